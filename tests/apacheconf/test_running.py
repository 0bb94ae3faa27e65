"""What a running dashboard says of itself, asked past Apache."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor, doctor_command
from mod_wsgi_dashboard.apacheconf.findings import Severity
from mod_wsgi_dashboard.apacheconf.running import ANSWER_BYTES, Answer, Recording, ask
from tests.apache.processes import wait_until
from tests.apache.server import Case, start
from tests.apacheconf.sites import APACHE, system_of, text_of_site

pytestmark = pytest.mark.apache

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that answers a connection with each of these, and gives the address."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def answer(listener: socket.socket, answers: tuple[bytes, ...]) -> None:
        for number, data in enumerate(answers, 1):
            connection, _ = listener.accept()
            if number == len(answers):
                listener.close()
            with connection:
                connection.recv(65536)
                with contextlib.suppress(OSError):  # once it has read enough
                    connection.sendall(data)

    def serve(*answers: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=answer, args=(listener, answers)))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff" * 100,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        HEAD + b"<html>another server</html>",
        HEAD + b'{"findings": 7}',
        HEAD + b'{"findings": [{"check": 1}]}',
        HEAD + b"[" * 100_000,
        HEAD + b"x" * (ANSWER_BYTES * 20),
    ],
    ids=["nothing", "bytes", "ssh", "page", "number", "member", "deep", "endless"],
)
def test_whatever_answers_is_no_traceback(serve: Serve, data: bytes) -> None:
    """What is no dashboard's answer is one line with the address."""
    address = serve(data)
    answer = ask(address)
    assert () == answer.findings
    assert answer.problem is not None
    assert answer.problem.startswith(f"{address}: ")
    assert "\n" not in answer.problem


def test_an_unknown_check_is_left_out(serve: Serve) -> None:
    """A dashboard of a later version may know more."""
    one = b'{"check": "%s", "severity": "error", "what": "w", "evidence": ["e"], "fix": "f"}'
    answer = ask(serve(HEAD + b'{"findings": [' + one % b"timeout" + b", " + one % b"later" + b"]}"))
    assert ["timeout"] == [finding.check for finding in answer.findings]


NOTHING_FOUND = HEAD + b'{"findings": []}'


@pytest.mark.parametrize(
    ("data", "recording"),
    [
        (HEAD + b'{"state": "off", "bytes": null}', Recording("off")),
        (HEAD + b'{"state": "failed", "problem": "Why."}', Recording("failed", "Why.")),
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n" + b'{"state": "off"}', None),
        (HEAD + b'{"detail": "none"}', None),
        (HEAD + b'{"state": "\xff"}', None),
        (HEAD + b'{"state": 7}', None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (b"", None),
    ],
)
def test_how_it_records(data: bytes, recording: Recording | None, serve: Serve) -> None:
    """Is asked after it; one that can't say, an older one for example, still answers the rest."""
    assert Answer(recording=recording) == ask(serve(NOTHING_FOUND, data))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "unix:/nonexistent/d.sock", "nonsense"])
def test_nobody_there(address: str) -> None:
    """A closed port, a missing socket and nonsense are each a line."""
    answer = ask(address)
    assert answer.problem is not None
    assert answer.problem.startswith(address)


def test_a_closed_socket_says_nothing(tmp_path: Path) -> None:
    """Who may not connect doesn't know whether it runs."""
    path = tmp_path / "d.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0)
        answer = ask(f"unix:{path}")
    # Nobody listens: that is what root sees.
    assert (answer == Answer()) is (os.geteuid() != 0)


@pytest.mark.parametrize("listener", ["tcp", "unix"])
def test_a_running_one_is_asked(listener: str) -> None:
    """A dashboard behind a real Apache says what it sees: here, that server metrics are off."""
    with start(Case("event", "pypi", listener), edits={" server-metrics=on": ""}) as server:
        address = f"unix:{server.socket_path}" if listener == "unix" else server.listen
        answer = ask(address)
    assert answer.problem is None
    assert ("server-metrics", Severity.ERROR) in [(one.check, one.severity) for one in answer.findings]


def test_what_it_says_is_told_once(site_root: Path) -> None:
    """What the configuration shows already isn't told again, and notes stay on the dashboard's page."""
    system = system_of(text_of_site(site_root, edits={" server-metrics=on": ""}), site_root)
    (own,) = doctor.examine(system)
    note = dataclasses.replace(own, check="prefork", severity=Severity.NOTE)
    other = dataclasses.replace(own, check="extended-status")
    answered = dataclasses.replace(system, answers={"x": Answer((own, note, other))})
    assert {"server-metrics", "extended-status"} == {one.check for one in doctor.examine(answered)}
    assert ["extended-status"] == [one.check for one in doctor.examine(answered, ["extended-status"])]


def test_one_that_hangs_is_found() -> None:
    """A stopped dashboard of a running Apache is found, in its own words, and only then."""
    with start(Case()) as server:
        control = server.root / "apachectl"
        control.write_text(
            f'#!/bin/sh\nexec {APACHE} -f {server.root}/httpd.conf "$@"\n', encoding="utf-8"
        )
        control.chmod(0o755)
        system = doctor_command.gather(None, str(control))
        assert system is not None
        assert [] == doctor.examine(system)
        pid = server.sidecar_pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            system = doctor_command.gather(None, str(control))
            assert system is not None
            (finding,) = doctor.examine(system)
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: server.get("/metrics/healthz").status == 200, 10, "it goes on")
    assert "not-running" == finding.check
    assert finding.evidence[0].startswith(f"{server.listen}: ")
