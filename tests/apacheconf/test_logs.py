"""Error logs: which are found, what is new in them, and what of a line is shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import logs, machine
from mod_wsgi_dashboard.apacheconf.files import read_files
from mod_wsgi_dashboard.apacheconf.httpd import Httpd

STARTED = (
    "[Sat Nov 21 20:00:00.5 2026] [mpm_event:notice] [pid 1] AH00489: -- resuming normal operations"
)


def found(tmp_path: Path, text: str, httpd: Httpd | None = None) -> list[Path]:
    path = tmp_path / "httpd.conf"
    path.write_text(text, encoding="utf-8")
    return [log.path for log in logs.error_logs(read_files(path), httpd)]


def httpd(**known: str) -> Httpd:
    return Httpd(command=("apachectl",), **known)  # type: ignore[arg-type]  # paths


def test_logs_of_server_and_virtual_hosts(tmp_path: Path) -> None:
    """The main log and those of virtual hosts are found once each, relative to ServerRoot."""
    text = """\
ServerRoot /srv/apache
ErrorLog logs/main.log
<VirtualHost *:80>
</VirtualHost>
<VirtualHost *:81>
ErrorLog /var/log/../log/one.log
</VirtualHost>
<VirtualHost *:82>
ErrorLog /var/log/one.log
</VirtualHost>
"""
    expected = [Path("/srv/apache/logs/main.log"), Path("/var/log/one.log")]
    assert expected == found(tmp_path, text, httpd(server_root="/srv/apache"))


@pytest.mark.parametrize("name", ["|/usr/bin/rotatelogs x", "syslog", "syslog:local1", "journald:x"])
def test_logs_that_are_no_files(tmp_path: Path, name: str) -> None:
    """A program's, syslog's and journald's logs can't be read, and are left out."""
    assert [] == found(tmp_path, f'ErrorLog "{name}"\n', httpd(server_root="/srv"))


def test_logs_that_nobody_named(tmp_path: Path) -> None:
    """Without ErrorLog it is the one that Apache names, else its default below ServerRoot."""
    assert [Path("/var/log/e")] == found(tmp_path, "", httpd(error_log="/var/log/e", server_root="/srv"))
    assert [Path("/srv/logs/error_log")] == found(tmp_path, "", httpd(server_root="/srv"))
    assert [] == found(tmp_path, "")


def test_logs_have_a_bound(tmp_path: Path) -> None:
    """However many virtual hosts there are, a bounded number of logs is read."""
    text = "".join(f"<VirtualHost *:80>\nErrorLog /v/{n}\n</VirtualHost>\n" for n in range(200))
    assert logs.MAX_LOGS == len(found(tmp_path, text))


def test_tails_are_read(tmp_path: Path) -> None:
    """The logs come with their lines."""
    (tmp_path / "e.log").write_text("one\ntwo\n", encoding="utf-8")
    path = tmp_path / "httpd.conf"
    path.write_text(f"ErrorLog {tmp_path}/e.log\n", encoding="utf-8")
    (log,) = logs.error_logs(read_files(path), None)
    assert ("one", "two") == log.lines


def line(seconds: float, text: str) -> str:
    at = datetime(2026, 11, 21, 20) + timedelta(seconds=seconds)
    return f"[Sat Nov {at:%d %H:%M:%S}.000001 {at:%Y}] [wsgi:error] [pid 1:tid 1] {text}"


def test_only_what_is_new_counts() -> None:
    """What was logged before the last start is over, in each log; a traceback goes with its line."""
    main = machine.Log(Path("/main"), (line(-9, "old"), STARTED, line(1, "new"), "traceback"))
    other = machine.Log(Path("/other"), (line(-9, "old, too"), "traceback", line(2, "new, too")))
    run = logs.since_start([main, other])
    assert datetime(2026, 11, 21, 20) == run.started_at
    shown = [entry.text.rpartition("] ")[2] for entry in run.entries if entry.text != STARTED]
    assert ["new", "traceback", "new, too"] == shown
    assert [Path("/other")] == [entry.path for entry in run.find("new", "too")]


def test_without_a_start_everything_counts() -> None:
    """A log that doesn't reach back to the start is all about this run, and all of it is late."""
    run = logs.since_start([machine.Log(Path("/main"), (line(1, "one"), "two"))])
    assert run.started_at is None
    assert ["two"] == [entry.text for entry in run.find("two")]
    assert 2 == len(run.late(run.entries, timedelta(seconds=60)))


def test_what_is_late() -> None:
    """Late is what came longer than the grace after the start."""
    run = logs.since_start([machine.Log(Path("/main"), (STARTED, line(59, "a"), line(61, "b"), "c"))])
    late = run.late(run.entries, timedelta(seconds=60))
    assert ["b"] == [entry.text[-1] for entry in late]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Sat Nov 21 20:00:05.123456 2026] [core:error] x", datetime(2026, 11, 21, 20, 0, 5)),
        ("[Sat Nov  1 20:00:05 2026] x", datetime(2026, 11, 1, 20, 0, 5)),
        ("[Sat Nov 41 20:00:05 2026] x", None),
        ("[Sat Foo 21 20:00:05 2026] x", None),
        ("2026-11-21T20:00:05 x", None),
        ("", None),
    ],
)
def test_time_stamps(text: str, expected: datetime | None) -> None:
    """Apache's default form is read, whatever the locale; others are no time stamp."""
    assert expected == logs.time_of(text)


@pytest.mark.parametrize(
    "plain",
    [
        line(
            1,
            "(13)Permission denied: [client 10.0.0.1:5] WSGI0117: Unable to connect to WSGI daemon",
        ),
        line(
            1, "mod_wsgi (pid=7): Target WSGI script '/srv/app.wsgi' cannot be loaded as Python module."
        ),
        "AH00558: apache2: Could not reliably determine the server's fully qualified domain name",
        "ModuleNotFoundError: No module named 'numpy.core._multiarray_umath'",
    ],
)
def test_what_has_no_secret_is_shown_as_it_is(plain: str) -> None:
    """The messages that the checks cite are not masked."""
    assert plain == logs.shown(plain)


@pytest.mark.parametrize(
    "secret",
    [
        "GET /a?token={} HTTP/1.1",
        "referer: https://jane:{}@example.com/",
        "referer: https://example.com/?q={}",
        "OperationalError: dsn host=db password={} user=x",
        "KeyError: secret_key: {}",
        "X-Auth {}{}",
        "postgres://u:{}@db/x",
    ],
)
def test_secrets_are_masked(secret: str) -> None:
    """Queries, credentials in URLs, passwords and long tokens are not shown."""
    word = "c0ffee77badcab1e42"
    assert word not in logs.shown(line(1, secret.format(word, word)))
