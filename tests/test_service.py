"""The life of the service process: listening, waiting out trouble, and ending in time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect, unix_connect

from tests.ports import free_port

# What mod_wsgi does: its module is there, and the script runs under a name of mod_wsgi's own.
INSIDE = """
import sys, time
from mod_wsgi_dashboard.simulator import Simulator, fake_module
sys.modules["mod_wsgi"] = fake_module(Simulator(start_at=time.time()))
from importlib import resources
path = resources.files("mod_wsgi_dashboard") / "service_script.py"
exec(compile(path.read_text("utf-8"), str(path), "exec"), {"__name__": "_mod_wsgi_0123456789abcdef"})
"""


class Service:
    """A service process, its log, and what it was told."""

    def __init__(self, log: Path, process: subprocess.Popen[bytes]) -> None:
        self._log = log
        self.process = process

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def until(self, condition: Callable[[], Any], *, seconds: float = 10.0) -> Any:
        """Wait for a condition; fail with the log if it doesn't come or the process ends."""
        deadline = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return result

    def until_logged(self, words: str) -> None:
        self.until(lambda: words in self.log)

    def stop(self) -> float:
        """Send SIGTERM; return the seconds until the process was gone."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0, self.log
        return time.monotonic() - began


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Return a function that starts a service with settings; what still runs is killed at the end."""
    started: list[Service] = []

    def begin(code: str = INSIDE, **settings: str) -> Service:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("MOD_WSGI_DASHBOARD_")}
        environ |= {f"MOD_WSGI_DASHBOARD_{name.upper()}": value for name, value in settings.items()}
        log = tmp_path / f"{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-X", "dev", "-c", code], env=environ, stderr=output, stdout=output
            )
        started.append(Service(log, process))
        return started[-1]

    yield begin
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(10)


def test_it_listens_and_ends_within_half_a_second(start: Callable[..., Service]) -> None:
    """Viewers get frames; at SIGTERM they get 1001, and the process is gone within 0.5 s."""
    port = free_port()
    service = start(listen=f"127.0.0.1:{port}", interval="0.1")
    service.until_logged("listening on")
    with connect(f"ws://127.0.0.1:{port}/ws") as viewer:
        assert "snapshot" in json.loads(viewer.recv())
        took = service.stop()
        with contextlib.suppress(Exception):
            while True:
                viewer.recv(timeout=1)
        assert viewer.close_code == 1001
    assert took < 0.5
    assert "stopping: SIGTERM" in service.log
    assert "Traceback" not in service.log


def test_an_address_in_use_is_waited_for(start: Callable[..., Service]) -> None:
    """While the port is taken the process stays, says so once, and listens when it is free."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        service = start(listen=f"127.0.0.1:{port}")
        service.until_logged("can't listen on")
        time.sleep(1.0)  # long enough for the second and third try, which must say nothing
        assert service.process.poll() is None
    service.until_logged("listening on")
    assert service.log.count("can't listen on") == 1
    service.stop()


def test_a_missing_directory_is_waited_for(start: Callable[..., Service], tmp_path: Path) -> None:
    """A unix socket in a directory that isn't there yet is told by name, and comes up later."""
    directory = tmp_path / "run"
    service = start(listen=f"unix:{directory}/d.sock")
    service.until_logged("No such file or directory")
    assert f"unix:{directory}/d.sock" in service.log
    directory.mkdir()
    service.until_logged("listening on")
    service.stop()


def test_a_bad_setting_keeps_it_down_but_not_respawning(start: Callable[..., Service]) -> None:
    """A bad setting is logged with its source, once, and the process waits for Apache's SIGTERM."""
    service = start(interval="never")
    service.until_logged("MOD_WSGI_DASHBOARD_INTERVAL")
    assert "seconds from 0.1 to 60" in service.log
    assert service.process.poll() is None
    assert service.stop() < 0.5


def test_a_unix_socket_has_its_mode_and_goes_with_the_service(
    start: Callable[..., Service], tmp_path: Path
) -> None:
    """The socket has exactly the mode that was set, works, and is removed at the end."""
    path = tmp_path / "d.sock"
    service = start(listen=f"unix:{path}", socket_mode="600")
    service.until_logged("listening on")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with unix_connect(str(path), "ws://localhost/ws") as viewer:
        assert "snapshot" in json.loads(viewer.recv())
    service.stop()
    assert not path.exists()


def test_a_socket_left_by_a_crash_is_replaced(start: Callable[..., Service], tmp_path: Path) -> None:
    """After kill -9 the next service takes the path over without a word of trouble."""
    path = tmp_path / "d.sock"
    first = start(listen=f"unix:{path}")
    first.until_logged("listening on")
    first.process.kill()
    first.process.wait(10)
    assert path.exists()
    second = start(listen=f"unix:{path}")
    second.until_logged("listening on")
    assert "can't listen" not in second.log
    second.stop()


def test_a_live_socket_is_not_stolen(start: Callable[..., Service], tmp_path: Path) -> None:
    """A second process on one path waits until the first is gone."""
    path = tmp_path / "d.sock"
    first = start(listen=f"unix:{path}")
    first.until_logged("listening on")
    second = start(listen=f"unix:{path}")
    second.until_logged("can't listen on")
    with unix_connect(str(path), "ws://localhost/ws") as viewer:
        viewer.recv()
    first.stop()
    second.until_logged("listening on")
    assert path.exists()
    second.stop()


def test_a_file_that_is_no_socket_is_left_alone(start: Callable[..., Service], tmp_path: Path) -> None:
    """Whatever else lies at the path is not removed."""
    path = tmp_path / "precious"
    path.write_text("data", encoding="utf-8")
    service = start(listen=f"unix:{path}")
    service.until_logged("there is a file that is no socket")
    service.stop()
    assert path.read_text(encoding="utf-8") == "data"


def test_it_goes_when_its_parent_is_killed(start: Callable[..., Service]) -> None:
    """Left behind by a killed parent, the service notices, says so, and frees its port."""
    port = free_port()
    parent = start(
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {INSIDE!r}]).wait()",
        listen=f"127.0.0.1:{port}",
    )
    parent.until_logged("listening on")
    parent.process.kill()
    parent.until_logged("stopping: Apache is gone")

    def free() -> bool:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return True
        return False

    parent.until(free)


def test_a_public_address_is_a_warning(start: Callable[..., Service]) -> None:
    """An address that other machines reach needs allow_public, and is warned of even then."""
    service = start(listen="0.0.0.0:0", allow_public="on")
    service.until_logged("is open to other machines")
    service.stop()


@pytest.mark.parametrize("module", ["import mod_wsgi", "sys.modules['mod_wsgi'] = None"])
def test_outside_apache_it_says_what_to_run(module: str) -> None:
    """Run by hand, with PyPI's mod_wsgi package or without, it is one line that names `demo`."""
    code = f"import sys\n{module}\nfrom mod_wsgi_dashboard.service import run\nrun()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "mod_wsgi-dashboard demo" in line


def test_importing_the_script_starts_nothing() -> None:
    """Only mod_wsgi's import, or running it, starts the service."""
    code = "import mod_wsgi_dashboard.service_script"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)
