"""Lines of the log: one each, as text or as JSON that comes through Apache's error log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mod_wsgi_dashboard
from mod_wsgi_dashboard import logs
from mod_wsgi_dashboard.supervisor import Supervisor
from tests.served import serving

AT = 1_790_000_000.25


def record(message: str, *arguments: object, **extra: object) -> logging.LogRecord:
    logger = logging.Logger("mod_wsgi_dashboard.test")
    made = logger.makeRecord(
        *("mod_wsgi_dashboard.test", logging.WARNING, "", 0, message, arguments, None), extra=extra
    )
    made.created, made.msecs = AT, 250.0
    return made


def line(message: str, *arguments: object, **extra: object) -> str:
    return logs.formatter("json").format(record(message, *arguments, **extra))


def through_apache(text: str) -> str:
    """Return what Apache's error log makes of a line (server/util.c, ap_escape_errorlog_item)."""
    named = {"\b": "\\b", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}
    out = "".join(
        named.get(c, c if 32 <= ord(c) < 127 else "".join(f"\\x{b:02x}" for b in c.encode()))
        for c in text
    )
    return out[:8191]


def test_a_line_is_an_object() -> None:
    """Instant in UTC, level, logger and message are members, and so is what `extra` names."""
    text = line("listening on %s", "x", address="127.0.0.1:1", pid=3, ok=True, share=0.5, none=None)
    assert {
        "at": "2026-09-21T14:13:20.250Z",
        "level": "warning",
        "logger": "mod_wsgi_dashboard.test",
        "message": "listening on x",
        "address": "127.0.0.1:1",
        "pid": 3,
        "ok": True,
        "share": 0.5,
        "none": None,
    } == json.loads(text)


def test_what_json_has_no_value_for_is_text() -> None:
    """Infinity and objects become strings, and members that stand for themselves stay what they are."""
    found = json.loads(line("m", far=float("inf"), path=Path("/tmp"), level="x", at=1))
    assert ("inf", "/tmp", "warning") == (found["far"], found["path"], found["level"])
    assert found["at"].endswith("Z")


@given(st.text(), st.text())
def test_any_text_comes_through_apache(message: str, extra: str) -> None:
    """Whatever is in it, a line is one line, means just that, and is an object in the error log."""
    text = line("%s", message, value=extra)
    assert text.isprintable()
    assert text.isascii()
    assert (message, extra[:200]) == (json.loads(text)["message"], json.loads(text)["value"])
    assert json.loads(text).keys() == json.loads(through_apache(text)).keys()
    undone = through_apache(text).replace("\\\\", "\\")
    assert json.loads(text) == json.loads(undone)


@pytest.mark.parametrize("unit", ["x", '"', "\\", "\n", "\N{SNOWMAN}", "\U0001f600", "\0"])
def test_a_line_is_shorter_than_apache_cuts(unit: str) -> None:
    """The longest message and traceback fit, with a prefix, when each backslash is doubled."""
    made = record("%s", unit * 30_000, value=unit * 30_000)
    try:
        raise ValueError(unit * 30_000)
    except ValueError:
        made.exc_info = sys.exc_info()
    text = logs.formatter("json").format(made)
    assert len(through_apache(text)) <= 8191 - 190
    assert {"message", "exception", "value"} < json.loads(through_apache(text)).keys()


def test_an_exception_is_a_string() -> None:
    """A traceback is one member, its end, where the error is, included."""
    made = record("broken")
    try:
        raise ValueError('bad "value"')
    except ValueError:
        made.exc_info = sys.exc_info()
    found = json.loads(logs.formatter("json").format(made))
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith('ValueError: bad "value"')


def test_text_is_a_sentence() -> None:
    """As text, Apache's own prefix says when and how bad; where there is no Apache, the line does."""
    assert "mod_wsgi_dashboard.test: m" == logs.formatter("text").format(record("m", a=1))
    text = logs.formatter("text", with_time=True).format(record("m"))
    assert text.endswith(" WARNING mod_wsgi_dashboard.test: m")


def test_the_demo_logs_as_it_is_told() -> None:
    """With the setting, each line that `demo` logs is an object."""
    code = (
        "import signal, threading, sys; from mod_wsgi_dashboard.cli import main;"
        "threading.Timer(1.0, signal.raise_signal, [signal.SIGTERM]).start();"
        "sys.exit(main(['demo', '--port', '0', '-v']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"MOD_WSGI_DASHBOARD_LOG_FORMAT": "json", "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    found = [json.loads(text) for text in done.stderr.splitlines()]
    assert 0 == done.returncode, done.stderr
    assert "recording to" in found[0]["message"]
    assert found[0]["path"].endswith(".sqlite3")


async def test_what_fails_again_and_again_is_not_logged_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A task that dies each second is logged the 1st, 2nd, 4th time, and when it dies of another."""
    supervisor = Supervisor(restart_delay=0.0)
    count, done = 0, asyncio.Event()

    async def work() -> None:
        nonlocal count
        count += 1
        if count == 20:
            done.set()
            await asyncio.Event().wait()
        raise KeyError if count == 10 else ValueError

    async with supervisor.running("worker", work):
        await done.wait()
    # 10 and 11, for they are of another kind than the one before.
    assert [1, 2, 4, 8, 10, 11, 16] == [vars(made)["deaths"] for made in caplog.records if made.exc_info]
    assert "failed 19 times" in supervisor.notices[0]


async def test_bad_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What is no HTTP gets a 400, and no byte of it comes into the log."""
    logs.quieten()
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"secret\r\n\r\n")
        await reader.read()
        writer.close()
    assert [] == [made.getMessage() for made in caplog.records if made.name.startswith("aiohttp")]
    assert "secret" not in caplog.text


PACKAGE = Path(mod_wsgi_dashboard.__file__).parent
# Of `extra`, a name that a record has already is an error when the line is written.
TAKEN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | set(logs.MEMBERS)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_names_of_extra_are_free(path: Path) -> None:
    """No `extra` in the package takes a name that a record or a line has already."""
    text = path.read_text(encoding="utf-8")
    given = re.findall(r"extra ?= ?\{(.*?)\}", text, re.S)
    names: list[Any] = [name for each in given for name in re.findall(r'"(\w+)":', each)]
    assert [] == [name for name in names if name in TAKEN]
