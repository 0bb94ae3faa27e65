"""How a log record becomes a line: as text, or as a JSON object.

Owns both forms, and what other packages may log. It must not know where lines go.

What the levels mean: `critical`, the dashboard is down; `error`, something is broken and needs somebody;
`warning`, it goes on with less, or is whole again: by Apache's default LogLevel nobody would see an
`info` of that; `info`, any other change of state; `debug`, the rest. A record is written when something
changes, and none each tick; no string of the scoreboard is in any.

A JSON line is made to come through Apache's error log: Apache cuts lines at 8 kB, and doubles each
backslash in them (server/util.c, ap_escape_errorlog_item). A doubled `\\"` would end a string. So quotes
in strings are `\\u0022`, which stays valid JSON with one backslash and with two, and all is ASCII.
Apache's own prefix stands before the object, unless its ErrorLogFormat is "%M".
"""

from __future__ import annotations

import json
import logging
import math
import re
import time

from aiohttp.http import HttpProcessingError

# Members of the object that stand for themselves; `extra` can't take their names.
MEMBERS = ("at", "level", "logger", "message", "exception")

# Apache cuts at 8,191 bytes, with its prefix, and after doubling backslashes.
MOST_BYTES = 7000

# Lines of a traceback at the end are what says most.
_MOST_MESSAGE, _MOST_EXCEPTION = 2000, 4000
_MOST_EXTRA = 200

_STANDARD = frozenset(
    [*logging.LogRecord("", 0, "", 0, "", (), None).__dict__, "message", "asctime", "taskName"]
)

_ESCAPED = re.compile(r"\\(.)")

TEXT = "%(name)s: %(message)s"
TEXT_WITH_TIME = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """Makes one JSON object, on one line, of a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: `at` (UTC), `level`, `logger`, `message`, what `extra` named, `exception`."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        plain: dict[str, object] = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _cut(record.getMessage(), _MOST_MESSAGE),
        }
        for name, value in record.__dict__.items():
            if name not in _STANDARD and name not in MEMBERS:
                plain[name] = value if _is_plain(value) else str(value)[:_MOST_EXTRA]
        if record.exc_info and record.exc_info[0] is not None:
            plain["exception"] = self.formatException(record.exc_info)[-_MOST_EXCEPTION:]
        line = _encode(plain)
        if len(line) + line.count("\\") > MOST_BYTES:
            # A traceback of nothing but escapes; the rest has its bounds.
            plain["message"] = _cut(str(plain["message"]), 120)
            plain["exception"] = str(plain.get("exception", ""))[-120:]
            line = _encode(plain)
        return line


def _is_plain(value: object) -> bool:
    """Return whether JSON has a value of its own for it; it has none for infinity."""
    return value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."


def _encode(plain: dict[str, object]) -> str:
    line = json.dumps(plain, ensure_ascii=True, allow_nan=False, separators=(", ", ": "))
    return _ESCAPED.sub(_escape, line)


def _escape(found: re.Match[str]) -> str:
    return r"\u0022" if found[1] == '"' else found[0]


def formatter(log_format: str, *, with_time: bool = False) -> logging.Formatter:
    """Return the formatter that the setting `log_format` names.

    Args:
        log_format: `text` or `json`.
        with_time: for text, put time and level before it; Apache does so itself.
    """
    if log_format == "json":
        return JsonFormatter()
    return logging.Formatter(TEXT_WITH_TIME if with_time else TEXT)


def quieten() -> None:
    """Keep out of the log what other packages say of single requests."""
    # It repeats what a client sent; and whoever names an unknown subprotocol gets the plain format.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    """Return whether a failed request is a fault of this server's: bad HTTP is answered, with a 400."""
    raised = record.exc_info[1] if record.exc_info else None
    return not isinstance(raised, HttpProcessingError)
