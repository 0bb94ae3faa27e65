"""The command `mod_wsgi-dashboard doctor`, with a real Apache to ask."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor_command
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.cli import main
from tests.apache.server import Case, Server, start
from tests.apacheconf.sites import APACHE, text_of_site

pytestmark = pytest.mark.apache

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command, and returns exit status, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = main(["doctor", *map(str, arguments)])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def written(root: Path, **site: object) -> Path:
    path = root / "httpd.conf"
    path.write_text(text_of_site(root, **site), encoding="utf-8")  # type: ignore[arg-type]  # passed through
    return path


def test_a_clean_configuration_is_one_line(run: Run, tmp_path: Path) -> None:
    """It says that nothing is wrong, what it read and where the dashboard is; exit status 0."""
    path = written(tmp_path)
    status, out, err = run("--config", path, "--apachectl", APACHE)
    assert (0, "") == (status, err)
    assert 1 == out.count("\n")
    for part in ("Nothing wrong was found.", str(path), "(event)", "the dashboard is at /metrics/."):
        assert part in out


def test_no_dashboard_is_no_fault(run: Run, tmp_path: Path) -> None:
    """A server without a dashboard is told how to get one, and that is no finding."""
    path = tmp_path / "httpd.conf"
    path.write_text(
        text_of_site(tmp_path).partition("Define DASHBOARD_PYTHON_HOME")[0], encoding="utf-8"
    )
    status, out, _ = run("--config", path, "--apachectl", APACHE)
    assert 0 == status
    assert "no dashboard runs in this Apache: `mod_wsgi-dashboard config`" in out


def test_a_mistake(run: Run, tmp_path: Path) -> None:
    """A mistake is told with its place, and makes the exit status 1; JSON has the same."""
    path = written(tmp_path, edits={" server-metrics=on": ""})
    line = path.read_text(encoding="utf-8").partition("WSGIDaemonProcess dashboard")[0].count("\n")
    status, out, _ = run("--config", path, "--apachectl", APACHE)
    assert 1 == status
    assert "[server-metrics]" in out
    assert f"{path}:" in out
    status, out, _ = run("--config", path, "--apachectl", APACHE, "--format", "json")
    assert 1 == status
    (finding,) = json.loads(out)["findings"]
    assert "server-metrics" == finding["check"]
    # Apache gives a directive that goes over several lines the number of the last.
    assert finding["evidence"][0] in {f"{path}:{line + 1}", f"{path}:{line + 2}"}


def test_one_check_alone(run: Run, tmp_path: Path) -> None:
    """--check runs what it names, and nothing else; a name that there isn't is a usage error."""
    path = written(tmp_path, edits={" server-metrics=on": "", "Timeout 60": "Timeout 3"})
    _, out, _ = run("--config", path, "--apachectl", APACHE, "--format", "json", "--check", "timeout")
    assert ["timeout"] == [finding["check"] for finding in json.loads(out)["findings"]]
    status, _, err = run("--check", "nonsense")
    assert 2 == status
    assert "nonsense" in err


def test_the_checks_are_listed(run: Run) -> None:
    """--list-checks names them all."""
    status, out, _ = run("--list-checks")
    assert 0 == status
    assert set(RULES) <= set(out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "/nonexistent/httpd.conf"], ["--config", "/nonexistent/httpd.conf"]),
        (["--apachectl", "/nonexistent/apachectl"], ["/nonexistent/apachectl"]),
        (["--apachectl", "/etc/passwd"], ["/etc/passwd"]),
    ],
)
def test_a_bad_path_is_one_line(run: Run, arguments: list[str], words: list[str]) -> None:
    """What isn't there is named in one line on stderr, with exit status 1."""
    status, out, err = run(*arguments)
    assert (1, "") == (status, out)
    assert 1 == err.count("\n")
    for word in words:
        assert word in err


def test_without_an_apache(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without Apache one line says what to name."""
    monkeypatch.setattr(doctor_command, "CONFIGURATIONS", ())
    monkeypatch.setattr(doctor_command, "read_httpd", lambda _apachectl: (None, None))
    status, out, err = run()
    assert (1, "") == (status, out)
    assert "--apachectl" in err
    assert "--config" in err


def test_an_apache_without_configuration(run: Run, tmp_path: Path) -> None:
    """A program whose configuration isn't there is one line, with the file and the options."""
    control = tmp_path / "apachectl"
    missing = tmp_path / "nowhere.conf"
    control.write_text(f'#!/bin/sh\nexec {APACHE} -f {missing} "$@"\n', encoding="utf-8")
    control.chmod(0o755)
    status, out, err = run("--apachectl", control)
    assert (1, "", 1) == (status, out, err.count("\n"))
    for word in (str(missing), "--config", "--apachectl"):
        assert word in err


def test_the_files_will_do(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no Apache can be asked, its configuration is read from the usual places."""
    path = written(tmp_path, edits={"ExtendedStatus On": "ExtendedStatus Off"})
    monkeypatch.setattr(doctor_command, "CONFIGURATIONS", (str(path),))
    monkeypatch.setattr(doctor_command, "read_httpd", lambda _apachectl: (None, None))
    status, out, _ = run("--check", "extended-status")
    assert 1 == status
    assert f"{path}:" in out


@pytest.mark.parametrize(
    ("content", "check"),
    [
        (b"\x7fELF\x00\x01" * 1000, "reading"),
        (b"Include {path}\n", "reading"),
        (b"<VirtualHost *:80>\n", "syntax"),
        (b"", None),
        (b"\xff\xfe\xfa" * 1000 + b"\n", None),
        (b"x" * 5_000_000, "reading"),
    ],
    ids=["binary", "loop", "unclosed", "empty", "bytes", "long"],
)
def test_hostile_configurations(run: Run, tmp_path: Path, content: bytes, check: str | None) -> None:
    """Whatever a configuration holds, there is a finding or a line, never a traceback."""
    path = tmp_path / "httpd.conf"
    path.write_bytes(content.replace(b"{path}", bytes(path)))
    status, out, err = run("--config", path, "--apachectl", APACHE, "--format", "json")
    assert "Traceback" not in out + err
    found = {finding["check"] for finding in json.loads(out)["findings"]}
    assert (found and 1) == status or not found
    if check is not None:
        assert check in found


def test_a_misspelt_directive(run: Run, tmp_path: Path) -> None:
    """What Apache refuses is told in its words, with the place."""
    path = written(tmp_path, after="ProxyPas /a/ http://127.0.0.1:1/")
    status, out, _ = run("--config", path, "--apachectl", APACHE)
    assert 1 == status
    assert "[syntax]" in out
    assert "ProxyPas" in out
    assert f"{path}:{len(path.read_text(encoding='utf-8').splitlines())}" in out


def test_an_unreachable_address(run: Run, tmp_path: Path) -> None:
    """An address where nobody listens is a finding; credentials in it are not printed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://jane:s3@cret@127.0.0.1:{unused.getsockname()[1]}/metrics/?token=abc"
        status, out, err = run("--config", written(tmp_path), "--apachectl", APACHE, "--url", url)
    assert 1 == status
    assert "[url-reachable]" in out
    for secret in ("s3", "cret", "jane", "abc"):
        assert secret not in out + err


def apachectl(server: Server) -> Path:
    """Write an apachectl for a test's server."""
    path = server.root / "apachectl"
    path.write_text(f'#!/bin/sh\nexec {APACHE} -f {server.root}/httpd.conf "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def test_the_live_server(run: Run) -> None:
    """A running Apache with the dashboard is clean, from inside and from outside."""
    with start(Case()) as server:
        status, out, err = run("--apachectl", apachectl(server), "--url", f"{server.url}/metrics/")
    assert (0, "") == (status, err), out
    assert out.startswith("Nothing wrong was found.")
    assert f"Tried {server.url}/metrics/." in out


@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_the_live_server_for_an_ordinary_user(listener: str) -> None:
    """Who may not read the dashboard's environment, or its socket, gets no false alarm."""
    with start(Case("event", "pypi", listener)) as server:
        command = [sys.executable, "-m", "mod_wsgi_dashboard.cli", "doctor"]
        done = subprocess.run(
            [*command, "--apachectl", str(apachectl(server))],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": "/usr/bin:/bin"},
            # Neither root nor Apache's user.
            user="nobody" if os.geteuid() == 0 else None,
            group="nogroup" if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert 1 == done.stdout.count("\n")


def test_the_live_server_of_express(run: Run) -> None:
    """So is one of mod_wsgi-express, by its own apachectl."""
    with start(Case("express")) as server:
        control = server.root / "express" / "apachectl"
        assert os.access(control, os.X_OK)
        status, out, _ = run("--apachectl", control, "--url", f"{server.url}/metrics/")
    assert 0 == status, out
    assert "the dashboard is at /metrics/." in out


def test_a_live_server_with_mistakes(run: Run) -> None:
    """From inside and outside a mistake has its findings: the line, and what it does."""
    edits = {" upgrade=websocket": ""}
    with start(Case(), edits=edits) as server:
        _, out, _ = run(
            "--apachectl", apachectl(server), "--url", f"{server.url}/metrics/", "--format", "json"
        )
    assert {"websocket-upgrade", "url-websocket"} == {f["check"] for f in json.loads(out)["findings"]}
