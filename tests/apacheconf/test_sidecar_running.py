"""What doctor says of a dashboard that runs, or should: processes, sockets and logs of real servers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor, machine
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.processes import wait_until
from tests.apache.server import REPOSITORY, Case, Server, start
from tests.apacheconf.sites import APACHE
from tests.apacheconf.test_sidecar import furnish, root

__all__ = ["root"]  # a fixture

pytestmark = pytest.mark.apache


def live(server: Server) -> System:
    """Return what doctor sees of a running server."""
    httpd, configuration = read_httpd(APACHE, server.root / "httpd.conf")
    assert configuration is not None
    return System(
        configuration=configuration,
        httpd=httpd,
        live=True,
        logs=(machine.tail(server.error_log_path),),
        environ=server.environment,
    )


def found(server: Server) -> dict[str, Finding]:
    """Return the findings of a running server by their rules."""
    return {finding.check: finding for finding in doctor.examine(live(server))}


@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("module", ["pypi", "debian"])
def test_a_running_server_is_quiet(listener: str, module: str) -> None:
    """A dashboard that runs has its address, its socket and its life in order."""
    with start(Case(module=module, listener=listener)) as server:
        assert {} == found(server)


NOWHERE = "from mod_wsgi_dashboard.nowhere import run"


@pytest.mark.parametrize(
    ("module", "script", "rules", "words"),
    [
        ("pypi", "raise ValueError('token=secret')", {"respawn-loop"}, "ValueError"),
        ("debian", "import sys; sys.exit('no')", {"respawn-loop"}, "without an error"),
        ("pypi", NOWHERE, {"respawn-loop", "package-importable"}, "No module named"),
        ("debian", NOWHERE, {"respawn-loop", "package-importable"}, "No module named"),
    ],
)
def test_a_respawn_loop(module: str, script: str, rules: set[str], words: str, root: Path) -> None:
    """A script that ends again and again is found by the log, with its last error, masked."""
    path = root / "dashboard.py"
    path.write_text(f"# mod_wsgi_dashboard\n{script}\n")
    with start(Case(module=module), script=path, dashboard=False) as server:
        wait_until(lambda: server.error_log.count(" has died") >= 3, 10, "three ends")
        findings = found(server)
    assert rules == set(findings)
    assert words in findings["respawn-loop"].evidence[0]
    assert "secret" not in str(findings)


def test_a_silent_respawn_loop(root: Path) -> None:
    """A script that exits without a word in the log is found by the process that isn't there."""
    path = root / "dashboard.py"
    path.write_text("# mod_wsgi_dashboard\n")
    edits = {"\nWSGIDaemonProcess dashboard": "\nLogLevel warn\nWSGIDaemonProcess dashboard"}
    with start(Case(), script=path, edits=edits, dashboard=False) as server:
        wait_until(lambda: server.sidecar_pid() is None, 10, "no dashboard")
        findings = found(server)
    assert {"respawn-loop"} == set(findings)
    assert "no process of the dashboard's group dashboard" in findings["respawn-loop"].what


def test_a_crash_is_no_loop() -> None:
    """A dashboard that died once, and is there again, is no finding."""
    with start(Case()) as server:
        killed = server.kill_sidecar()
        wait_until(lambda: server.sidecar_pid() not in (None, killed), 10, "another dashboard")
        server.wait_ready()
        assert {} == found(server)


def test_a_port_of_another_process() -> None:
    """The process that has the dashboard's port is named."""
    server = start(Case(), dashboard=False)
    with socket.create_server(("127.0.0.1", server.dashboard_port)), server:
        wait_until(lambda: "can't listen on" in server.error_log, 10, "a refusal")
        findings = found(server)
    assert {"port-taken"} == set(findings)
    assert f"held by process {os.getpid()} (" in findings["port-taken"].what


def test_a_socket_of_another_process() -> None:
    """The same for a unix socket."""
    server = start(Case(listener="unix"), dashboard=False)
    server.socket_path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(server.socket_path))
        taken.listen()
        server.socket_path.chmod(0o777)
        with server:
            wait_until(lambda: "can't listen on" in server.error_log, 10, "a refusal")
            findings = found(server)
    assert {"port-taken"} == set(findings)
    assert f"held by process {os.getpid()} (" in findings["port-taken"].what


def test_an_orphan_has_the_port(root: Path) -> None:
    """A service script that outlived its Apache is named, with the command to end it."""
    path = root / "dashboard.py"
    path.write_text(
        "import os, socket, signal  # mod_wsgi_dashboard\n"
        "host, port = os.environ['MOD_WSGI_DASHBOARD_LISTEN'].split(':')\n"
        "with socket.create_server((host, int(port))):\n"
        "    signal.pause()\n"
    )
    with start(Case(), script=path, dashboard=False) as server:
        pid = wait_until(server.sidecar_pid, 10, "a service script")
        wait_until(
            lambda: server.listen in {one.address for one in machine.listeners()}, 10, "a listener"
        )
        assert {} == found(server)
        server.kill_parent()
        findings = found(server)
        server.reap()
    assert {"port-taken"} == set(findings)
    assert "whose Apache is gone" in findings["port-taken"].what
    assert f"kill {pid}" == findings["port-taken"].fix


def test_a_python_of_another_version(root: Path) -> None:
    """A virtual environment that isn't of mod_wsgi's Python is told from a package that's missing."""
    furnish(root)
    path = root / "empty" / "pyvenv.cfg"
    path.write_text(path.read_text().replace(f"= 3.{sys.version_info.minor}.", "= 3.99."))
    edits = {
        "python-home=${DASHBOARD_PYTHON_HOME}": f"python-home={root / 'empty'}",
    }
    with start(Case(), edits=edits, dashboard=False) as server:
        wait_until(lambda: server.error_log.count(" has died") >= 3, 10, "three ends")
        findings = found(server)
    assert {"package-importable", "respawn-loop"} == set(findings)
    assert "an environment of Python 3.99, and mod_wsgi" in findings["package-importable"].what


def test_an_ordinary_user_goes_by_the_log() -> None:
    """Who may not see whose a port is still learns from the log that it is taken."""
    server = start(Case(), dashboard=False)
    with socket.create_server(("127.0.0.1", server.dashboard_port)), server:
        wait_until(lambda: "can't listen on" in server.error_log, 10, "a refusal")
        program = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "from pathlib import Path\n"
            "from mod_wsgi_dashboard.apacheconf import doctor, machine\n"
            "from mod_wsgi_dashboard.apacheconf.httpd import read_httpd\n"
            "from mod_wsgi_dashboard.apacheconf.system import System\n"
            "root = Path(sys.argv[2])\n"
            "httpd, configuration = read_httpd(sys.argv[3], root / 'httpd.conf')\n"
            "logs = (machine.tail(root / 'error.log'),)\n"
            "environ = {'MOD_WSGI_DASHBOARD_LISTEN': sys.argv[4]}\n"
            "system = System(configuration=configuration, httpd=httpd, live=True, logs=logs,"
            " environ=environ)\n"
            "print([finding.check for finding in doctor.examine(system)])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, REPOSITORY, server.root, APACHE, server.listen],
            user="nobody",
            group="nogroup",
            extra_groups=[],
            cwd="/",
            env={"PATH": server.environment["PATH"]},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ("['port-taken']\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize("breach", ["mode", "directory"])
def test_a_socket_that_apache_cannot_reach(breach: str) -> None:
    """A socket, or its directory, that is closed to Apache's user or gone, is named with its mode."""
    with start(Case(listener="unix")) as server:
        path = server.socket_path
        if breach == "mode":
            path.chmod(0o600)
            shutil.chown(path, "daemon", "daemon")
            expected = f"srw------- daemon {path}"
        else:
            shutil.rmtree(path.parent)
            expected = f"no directory {path.parent}"
        findings = found(server)
    assert {"unix-socket"} == set(findings)
    assert expected == findings["unix-socket"].evidence[0]
