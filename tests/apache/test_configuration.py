"""What operators configure, and the mistakes they make: what they are told, and what still works."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import monotonic
from urllib.request import urlopen

import pytest

from tests.apache.processes import wait_until
from tests.apache.server import REPOSITORY, Case, Server, start
from tests.apache.viewer import Viewer

pytestmark = pytest.mark.apache

OFF = {
    "event": {" server-metrics=on": ""},
    "express": {"    --server-metrics \\\n": ""},
}


@pytest.mark.parametrize("kind", OFF)
async def test_metrics_off(kind: str) -> None:
    """Without the option, viewers and API are told it in directive and in express words."""
    with start(Case(kind), edits=OFF[kind]) as server:
        async with Viewer(server.url) as viewer:
            frame = viewer.seen[0].frame
        answer = server.get("/metrics/api/v1/snapshot")
        assert server.get("/metrics/").status == 200
        assert server.get("/metrics/readyz").status == 503
    assert "snapshot" not in frame
    assert "server-metrics=on" in frame["error"]
    assert "--server-metrics" in frame["error"]
    assert json.loads(answer.body)["error"] == frame["error"]


async def test_extended_status_off() -> None:
    """With ExtendedStatus off, what is not known is null, and a notice names the directive."""
    edits = {"ExtendedStatus On": "ExtendedStatus Off"}
    with start(Case(), edits=edits) as server:
        # Only a busy worker tells, and the viewer's own is one.
        async with Viewer(server.url) as viewer:
            seen = await viewer.frame(lambda frame: bool(frame["notices"]))
    assert "ExtendedStatus On" in str(seen.frame["notices"])
    assert seen.frame["rates"]["accesses"] is None


def test_in_a_virtual_host() -> None:
    """Included inside a virtual host, the configuration works as well."""
    with start(Case(), in_vhost=True) as server:
        rates = json.loads(server.get("/metrics/api/v1/snapshot").body)["rates"]
        assert rates["idle"] >= 1
        assert server.get("/metrics").headers["Location"].endswith("/metrics/")


def test_own_service_script() -> None:
    """The example of a service script of one's own runs, with the settings that stand in it."""
    script = REPOSITORY / "examples" / "system" / "dashboard.py"
    with start(Case("event", "debian"), script=script) as server:
        server.get("/?page=2&token=secret123")
        answer = wait_for_request(server, "page=2")
    assert "secret123" not in answer
    assert json.loads(answer)["capacity"]["max_request_workers"] == 16


@pytest.mark.parametrize("module", ["pypi", "debian"])
async def test_sub_interpreter(module: str) -> None:
    """In a sub-interpreter viewers get 1001 at a graceful restart and come back, too."""
    edits = {"application-group=%{GLOBAL}": "application-group=dashboard"}
    with start(Case("event", module), edits=edits) as server:
        dashboards = [server.sidecar_pid()]
        async with Viewer(server.url) as viewer:
            began = monotonic()
            server.graceful()
            await viewer.frame(lambda f: f["snapshot"]["running_generation"] == 1, after=began)
            assert await viewer.closed(1) == [1001]
        dashboards.append(server.sidecar_pid())
        server.stop()
        assert "Traceback" not in server.error_log
        # By pid: a child of Apache that is stopped while mod_wsgi 4.9.4 starts its own Python in it
        # may crash, 1 of 120 times here, whatever the dashboard does.
        assert [] == [pid for pid in dashboards if f"child pid {pid} exit signal" in server.error_log]


async def test_a_long_interval_does_not_hold_up_a_restart() -> None:
    """With a minute between ticks a viewer's tunnel is still never silent: a restart takes < 2 s."""
    with start(Case(), settings={"interval": "60"}) as server:
        async with Viewer(server.url):
            assert await asyncio.to_thread(server.restart_fully) < 2.0


async def test_a_viewer_that_neither_reads_nor_answers() -> None:
    """Through Apache, too, it delays nobody; without an answer to pings its worker gets free.

    Apache lets go of a tunnel whose client stays silent one Timeout after the dashboard did.
    """
    settings = {"interval": "0.1", "heartbeat": "2", "max_viewers": "4"}
    edits = {"ExtendedStatus On": "ExtendedStatus On\nTimeout 3"}
    with start(Case(), settings=settings, edits=edits) as server, silent_viewer(server):
        await asyncio.to_thread(wait_until, lambda: server.viewer_count() == 1, 5, "it is there")
        async with Viewer(server.url) as viewer:
            await asyncio.to_thread(wait_until, lambda: server.viewer_count() == 1, 15, "it is gone")
            ticks = [seen.frame["tick"] for seen in viewer.seen]
        assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
        assert len(ticks) > 20
        # This request itself is all that Apache is busy with then.
        wait_until(lambda: server.server_status().busy == 1, 10, "its worker is free")


@contextmanager
def silent_viewer(server: Server) -> Iterator[None]:
    """Open a WebSocket through Apache, and then neither read from it nor write to it."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(
            b"GET /metrics/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert connection.recv(12) == b"HTTP/1.1 101"
        yield


def test_an_unknown_setting() -> None:
    """A bad setting is named once in the error log, and Apache does not start it over and over."""
    with start(Case(), settings={"intervall": "2"}, dashboard=False) as server:
        wait_until(lambda: "intervall" in server.error_log, 5, "the setting is named")
        pid = server.sidecar_pid()
        # Apache looks once a second for daemons to start again.
        wait_until(lambda: server.get("/metrics/healthz").status == 503, 5, "503")
        watch_until = monotonic() + 2.5
        wait_until(lambda: monotonic() > watch_until, 5)
        assert server.sidecar_pid() == pid
        assert server.error_log.count("unknown setting 'intervall'") == 1
        assert "MOD_WSGI_DASHBOARD_INTERVALL" in server.error_log
        assert server.stop() < 2.0


def test_embedded_in_an_application_of_ones_own() -> None:
    """The embedding example runs as a service script, and shows Apache's workers."""
    script = REPOSITORY / "examples" / "embed" / "app.py"
    with start(Case(), script=script, dashboard=False) as server:
        wait_until(lambda: server.get_directly("/").status == 200, 5, "its own page answers")
        frame = json.loads(server.get_directly("/metrics/api/v1/snapshot").body)
        pids = {process["pid"] for process in frame["snapshot"]["processes"]} - {0}
        assert pids <= set(server.pids())
        pid = server.sidecar_pid()
        server.graceful()
        wait_until(lambda: server.sidecar_pid() not in (None, pid), 5, "it was started again")
        wait_until(lambda: server.get_directly("/").status == 200, 5, "it is back")
        assert server.stop() < 2.0


@pytest.mark.parametrize("module", ["pypi", "debian"])
def test_what_ends_the_dashboard_is_in_the_error_log(module: str, tmp_path: Path) -> None:
    """An exception that nothing foresaw is logged with its traceback before Apache respawns."""
    with start(Case("event", module), dashboard=False) as server:
        script = server.root / "broken.py"
        script.write_text(
            "from mod_wsgi_dashboard import service\n"
            "def create_app(*_):\n    raise ZeroDivisionError('unforeseen')\n"
            "service.create_app = create_app\n"
            "service.run()\n",
            encoding="utf-8",
        )
        server.script = script
        server.command()
        server.graceful()
        wait_until(lambda: "ZeroDivisionError: unforeseen" in server.error_log, 5, "it is logged")
        log = server.error_log
        assert "the dashboard ends; Apache will start it again" in log
        assert "in create_app" in log


def test_an_address_in_use() -> None:
    """A busy address is logged once and tried again until it is free; Apache goes on meanwhile."""
    server = start(Case(), dashboard=False)
    with socket.create_server(("127.0.0.1", server.dashboard_port)):
        server.start()
        try:
            wait_until(lambda: "in use" in server.error_log, 5, "the address is named")
            pid = server.sidecar_pid()
        except BaseException:
            server.discard()
            raise
    try:
        wait_until(lambda: server.get("/metrics/healthz").status == 200, 10, "the dashboard is up")
        assert server.sidecar_pid() == pid
        assert server.error_log.count("in use") == 1
        server.stop()
    finally:
        server.discard()


async def test_viewers_over_the_limit() -> None:
    """Viewers never take more than their share of workers; the others are asked to poll."""
    with start(Case()) as server:
        workers = 16
        async with AsyncExitStack() as stack:
            for _ in range(workers // 5):
                await stack.enter_async_context(Viewer(server.url))
            surplus = Viewer(server.url)
            with pytest.raises(AssertionError, match="closed with \\[1013"):
                await asyncio.wait_for(surplus.first_frame(timeout=1), 5)
            answer = await asyncio.to_thread(server.get, "/metrics/api/v1/snapshot")
            assert answer.status == 200
            viewers = json.loads(answer.body)["viewers"]
            assert (3, 3, 3, False) == tuple(
                viewers[name] for name in ("connected", "holding", "limit", "accepting")
            )


@pytest.mark.parametrize("case", [Case(), Case("event", "debian", "unix"), Case("express")], ids=str)
async def test_killed_parent(case: Case) -> None:
    """When Apache's parent is killed the dashboard leaves with 1001, and a new Apache has no trouble."""
    with start(case) as server:
        async with Viewer(server.url) as viewer:
            sidecar = server.sidecar_pid()
            began = monotonic()
            server.kill_parent()
            assert await viewer.closed(1) == [1001]
            await asyncio.to_thread(
                wait_until, lambda: server.sidecar_pid() is None, 2, f"{sidecar} has left"
            )
            assert monotonic() - began < 2.0
            assert not server.socket_path.exists()
            # Apache's own children stay, and hold the site's port: that is for the operator to end.
            await asyncio.to_thread(server.reap)
            await asyncio.to_thread(server.start)
            await viewer.frame(lambda _frame: True, after=monotonic())
        assert "in use" not in server.error_log
        server.stop()


def test_nothing_but_the_proxy_gets_in() -> None:
    """The back end listens on the loopback interface alone."""
    with start(Case()) as server:
        url = f"http://127.0.0.1:{server.dashboard_port}/healthz"
        with urlopen(url, timeout=5) as answer:
            assert answer.status == 200
        port = f":{server.dashboard_port:04X}"
        entries = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        # State 0A is LISTEN.
        assert [e[1] for e in entries if e[1].endswith(port) and e[3] == "0A"] == [f"0100007F{port}"]


def wait_for_request(server: Server, text: str) -> str:
    """Return the API's answer once a request in it contains `text`."""

    def shown() -> str:
        answer = server.get_directly("/api/v1/snapshot").text
        return answer if text in answer else ""

    return wait_until(shown, 5, f"{text} is shown")
