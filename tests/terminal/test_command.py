"""The command line of `top`: reports, addresses, logins, and what is said when nothing answers."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web

from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from mod_wsgi_dashboard.terminal import command
from tests import recordings
from tests.recordings import play
from tests.served import FixedSource, Served, serving

COMMAND = [sys.executable, "-m", "mod_wsgi_dashboard.cli", "top"]

# As a Python without the extra: the import fails.
WITHOUT_TEXTUAL = (
    "import sys; sys.modules['textual'] = sys.modules['rich'] = None;"
    "from mod_wsgi_dashboard.cli import main; sys.exit(main(['top', *sys.argv[1:]]))"
)


class Ran(NamedTuple):
    status: int | None
    output: str
    errors: str


async def top(*arguments: str, command: list[str] | None = None, **environment: str) -> Ran:
    """Run the command to its end."""
    process = await asyncio.create_subprocess_exec(
        *(command or COMMAND),
        *arguments,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return Ran(process.returncode, output.decode(), errors.decode())


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    simulator = Simulator(scenario="slow-endpoint", start_at=1_700_000_000.0)
    async with serving(SimulatorSource(simulator), record="off") as running:
        yield running


async def test_once_prints_a_report(served: Served) -> None:
    """A report goes to stdout without colours, and the status is 0; no viewer's place is taken."""
    ran = await top("--once", "--filter", "method:GET", "--sort", "client", served.url)
    assert (ran.status, ran.errors) == (0, "")
    assert " of 64 workers busy" in ran.output
    assert "\x1b" not in ran.output
    assert "In flight: " in ran.output
    assert len(served.dashboard.hub) == 0


async def test_once_as_json(served: Served) -> None:
    """One JSON object, and nothing else, goes to stdout."""
    ran = await top("--once", "--json", served.url)
    document = json.loads(ran.output)
    assert (ran.status, ran.errors) == (0, "")
    assert document["verdict"]["sentence"].endswith(".")
    assert document["capacity"]["slots"] == 64


async def test_a_report_needs_no_textual(served: Served) -> None:
    """Without the extra a report is printed, and the screen says in one line what to install."""
    python = [sys.executable, "-c", WITHOUT_TEXTUAL]
    once = await top("--once", served.url, command=python)
    screen = await top(served.url, command=python)
    assert once.status == 0
    assert "workers busy" in once.output
    assert screen.status == 1
    (line,) = screen.errors.splitlines()
    assert "pip install 'mod_wsgi-dashboard[top]'" in line


async def test_a_pipe_is_no_terminal(served: Served) -> None:
    """Without a terminal the screen names --once."""
    ran = await top(served.url)
    (line,) = ran.errors.splitlines()
    assert (ran.status, ran.output) == (1, "")
    assert "`top --once`" in line


async def test_a_failure_is_status_1() -> None:
    """A scoreboard that can't be read is one line on stderr; --json gives its JSON all the same."""
    source = FixedSource()
    source.metrics = None
    async with serving(source, record="off") as running:
        text = await top("--once", running.url)
        both = await top("--once", "--json", running.url)
    (line,) = text.errors.splitlines()
    assert (text.status, text.output) == (1, "")
    assert "server-metrics=on" in line
    assert both.status == 1
    assert "server-metrics=on" in json.loads(both.output)["error"]


async def test_nothing_answers_is_one_line() -> None:
    """Who asks where nothing listens gets one line with the address, and what else to try."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        own = await top("--once", MOD_WSGI_DASHBOARD_LISTEN=address)
        other = await top("--once", f"http://user:secret@{address}/metrics/")
    for ran, words in ((own, "MOD_WSGI_DASHBOARD_LISTEN"), (other, "`top` alone asks past Apache")):
        (line,) = ran.errors.splitlines()
        assert (ran.status, ran.output) == (1, "")
        assert f"nothing answers at http://{address}/" in line
        assert "connection refused" in line
        assert words in line
        assert "secret" not in line


async def test_the_own_address_is_that_of_the_settings(tmp_path: Path, served: Served) -> None:
    """Without an argument the dashboard's own setting says where it is; also a unix socket."""
    by_port = await top("--once", MOD_WSGI_DASHBOARD_LISTEN=f"127.0.0.1:{served.port}")
    path = tmp_path / "dashboard.sock"
    gone = await top("--once", MOD_WSGI_DASHBOARD_LISTEN=f"unix:{path}")
    assert by_port.status == 0
    assert f"nothing answers at unix:{path} (no such file or directory)" in gone.errors


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8765", "http://127.0.0.1:8765/"),
        ("[::1]:80", "http://[::1]:80/"),
        ("unix:/run/d.sock", "unix:/run/d.sock"),
    ],
)
def test_addresses(listen: str, url: str) -> None:
    """An address to listen on becomes one to ask."""
    assert command._own_address(Settings(listen=listen)) == url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listen", "url"), [("0.0.0.0:80", "http://127.0.0.1:80/"), ("[::]:80", "http://[::1]:80/")]
)
def test_all_addresses_are_asked_by_loopback(listen: str, url: str) -> None:
    """A dashboard that listens to all addresses is asked past the network."""
    assert command._own_address(Settings(listen=listen, allow_public=True)) == url  # type: ignore[arg-type]


def test_any_port_is_none() -> None:
    """Port 0 says nothing of where the dashboard is."""
    with pytest.raises(DashboardError, match="port 0"):
        command._own_address(Settings(listen="127.0.0.1:0"))  # type: ignore[arg-type]


async def test_usage(tmp_path: Path) -> None:
    """What can't be meant is said in a line: 2 for usage, 1 for what isn't there."""
    cases = [
        (["--json"], 2, "--json goes with --once"),
        (["--once", "localhost:8765"], 1, "top http://localhost:8765"),
        (["--once", str(tmp_path / "gone.gz")], 1, "no file"),
        (["--once", "http://"], 1, "URL"),
        (["--once", str(tmp_path)], 1, str(tmp_path)),
    ]
    for arguments, status, words in cases:
        ran = await top(*arguments)
        (line,) = ran.errors.splitlines()
        assert (ran.status, ran.output) == (status, "")
        assert words in line


async def test_a_file_is_reported_at_its_end(tmp_path: Path) -> None:
    """A recording's last sample is reported, with for how long the server had been full."""
    path = tmp_path / "recording.sqlite3"
    recordings.record(path, play(range(60), scenario="saturation", slots=16))
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8b no gzip")
    ran = await top("--once", str(path))
    broken = await top("--once", str(tmp_path / "broken.gz"))
    assert ran.status == 0
    assert ran.output.startswith("recording.sqlite3 at 2023-11-15")
    (line,) = broken.errors.splitlines()
    assert broken.status == 1
    assert "broken.gz" in line


# Logins


def options(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"headers": None, "netrc": False, **values})


def test_headers_come_from_a_file(tmp_path: Path) -> None:
    """Each line is a header; comments and empty lines are none."""
    path = tmp_path / "headers"
    path.write_text("# login\nAuthorization: Basic abc==\n\nX-Forwarded-User:  me\n", encoding="utf-8")
    found = command._headers(options(headers=path, netrc=True), "https://site.example/metrics/")
    assert found == {"Authorization": "Basic abc==", "X-Forwarded-User": "me"}


@pytest.mark.parametrize("line", ["secret", "Name secret: x", "A: sec\x01ret", ": secret"])
def test_a_bad_header_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    """What is wrong is told without what stands there, which may be a secret."""
    path = tmp_path / "headers"
    path.write_text(f"A: b\n{line}\n", encoding="utf-8")
    with pytest.raises(DashboardError, match=r"line 2: write `Name: value`") as raised:
        command._headers(options(headers=path), "http://site.example/")
    assert "sec" not in str(raised.value)


def test_netrc_logs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--netrc takes login and password of the URL's host, and says so if there is none."""
    path = tmp_path / "netrc"
    path.write_text("machine site.example login ops password s3cret\n", encoding="utf-8")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    found = command._headers(options(netrc=True), "https://site.example/metrics/")
    assert found == {"Authorization": f"Basic {base64.b64encode(b'ops:s3cret').decode()}"}
    with pytest.raises(DashboardError, match=r"no line for the machine other\.example"):
        command._headers(options(netrc=True), "https://other.example/")
    path.write_text("machine\n", encoding="utf-8")
    with pytest.raises(DashboardError, match="can't be understood"):
        command._headers(options(netrc=True), "https://site.example/")
    monkeypatch.setenv("NETRC", str(tmp_path / "gone"))
    with pytest.raises(DashboardError, match="can't be read"):
        command._headers(options(netrc=True), "https://site.example/")


async def test_headers_are_sent(tmp_path: Path) -> None:
    """A dashboard behind a login answers who sends the header; others are told what it wants."""
    seen: list[str | None] = []

    async def snapshot(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        raise web.HTTPUnauthorized

    app = web.Application()
    app.router.add_get("/metrics/api/v1/snapshot", snapshot)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    path = tmp_path / "headers"
    path.write_text("Authorization: Bearer t0ken\n", encoding="utf-8")
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics/"
    ran = await top("--once", "--headers", str(path), url)
    await runner.cleanup()
    assert seen == ["Bearer t0ken"]
    assert ran.status == 1
    assert "it wants credentials" in ran.errors
    assert "t0ken" not in ran.errors
