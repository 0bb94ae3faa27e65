"""The error logs of a server: which there are, what is in them since its last start, what is shown.

Owns the finding of logs in a configuration, the reading of Apache's time stamps, and the masking of
what a log line may hold of requests. Must not know what a message means: that is the checks' business.

Invariants: no more than `MAX_LOGS` files are read, each by `machine.tail` with its bound; no line is
shown that wasn't masked by `shown`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import machine
from mod_wsgi_dashboard.apacheconf.directives import Configuration, Section
from mod_wsgi_dashboard.apacheconf.httpd import Httpd
from mod_wsgi_dashboard.core.redaction import Redactor

# A server with a log for each of thousands of virtual hosts: the main one and the first of these.
MAX_LOGS = 50

# Apache's compiled default, below ServerRoot.
DEFAULT_LOG = "logs/error_log"

# What a line says when Apache has started, or started again.
_STARTED = "resuming normal operations"

_TIME = re.compile(r"\[\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.\d+)? (\d{4})\]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_WORD = re.compile(r"\S+")
# What may carry a secret: a URL or its query, userinfo, or a long token that is no path.
_SUSPECT = re.compile(r"[?@]|//|\A[^/]{32,}\Z")
_SECRET = re.compile(
    r"(?i)(\w*(?:pass|pwd|secret|token|apikey|api_key|auth|session|cookie)\w*[=:]\s*)\S+"
)
_REDACTOR = Redactor()


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log; `at` is None where it has no time stamp, as within a traceback."""

    path: Path
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What is in the logs since Apache last started; `started_at` is None where that isn't in them."""

    entries: tuple[Entry, ...]
    started_at: datetime | None = None

    def find(self, *texts: str) -> list[Entry]:
        """Return the entries that hold all of the texts, the oldest of a log first."""
        return [entry for entry in self.entries if all(text in entry.text for text in texts)]

    def late(self, entries: Iterable[Entry], grace: timedelta) -> list[Entry]:
        """Return those of the entries that are later than some time after the start."""
        return [
            entry
            for entry in entries
            if self.started_at is None or (entry.at is not None and entry.at - self.started_at > grace)
        ]


def error_logs(configuration: Configuration, httpd: Httpd | None) -> tuple[machine.Log, ...]:
    """Return the ends of the error logs of the main server and its virtual hosts, `MAX_LOGS` at most.

    Logs that go to a program or to syslog are not among them.
    """
    vhosts: tuple[Section | None, ...] = (None, *configuration.vhosts)
    paths = (log_path(configuration, httpd, vhost) for vhost in vhosts)
    found = list(dict.fromkeys(path for path in paths if path is not None))
    return tuple(machine.tail(path) for path in found[:MAX_LOGS])


def log_path(configuration: Configuration, httpd: Httpd | None, vhost: Section | None) -> Path | None:
    """Return the error log of a virtual host or the main server (None); None if that is no file."""
    directive = configuration.effective("ErrorLog", vhost)
    if directive is not None and directive.arguments:
        name = directive.arguments[0]
    else:
        name = (httpd.error_log if httpd is not None else None) or DEFAULT_LOG
    if name.startswith("|") or name.partition(":")[0] in {"syslog", "journald"}:
        return None
    path = os.path.join(_server_root(configuration, httpd), name)
    return Path(os.path.normpath(path)) if os.path.isabs(path) else None


def _server_root(configuration: Configuration, httpd: Httpd | None) -> str:
    directive = configuration.server("ServerRoot")
    if directive is not None and directive.arguments:
        return directive.arguments[0]
    return (httpd.server_root if httpd is not None else None) or ""


def since_start(tails: Iterable[machine.Log]) -> Run:
    """Return what the logs say since Apache last started or restarted.

    A line without a time stamp goes with the one before it. Where no log says when it started, all
    lines count: it was before what the tails hold.
    """
    logs = [(log, list(_entries(log))) for log in tails]
    starts = [
        entry.at
        for _, entries in logs
        for entry in entries
        if entry.at is not None and _STARTED in entry.text
    ]
    started_at = max(starts, default=None)
    found = [entry for _, entries in logs for entry in _after(entries, started_at)]
    return Run(tuple(found), started_at)


def _entries(log: machine.Log) -> Iterator[Entry]:
    for line in log.lines:
        yield Entry(Path(log.path), line, time_of(line))


def _after(entries: Iterable[Entry], started_at: datetime | None) -> Iterator[Entry]:
    recent = started_at is None
    for entry in entries:
        if entry.at is not None and started_at is not None:
            recent = entry.at >= started_at
        if recent:
            yield entry


def time_of(line: str) -> datetime | None:
    """Return the time stamp of a line in Apache's default ErrorLogFormat, local time."""
    match = _TIME.search(line[:64])
    if match is None or match[1] not in _MONTHS:
        return None
    month = _MONTHS.index(match[1]) + 1
    try:
        return datetime(int(match[6]), month, int(match[2]), int(match[3]), int(match[4]), int(match[5]))
    except ValueError:
        return None


def shown(line: str) -> str:
    """Return a line without what it may hold of secrets: queries, userinfo, tokens, passwords."""
    masked = _SECRET.sub(r"\1***", line)
    return _WORD.sub(_masked, masked)


def _masked(match: re.Match[str]) -> str:
    word = match[0]
    return _REDACTOR.request(word) if _SUSPECT.search(word) else word
