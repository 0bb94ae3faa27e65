"""The harness: every kind of server starts, restarts and stops, and nothing stays behind."""

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.apache.load import Load, holding
from tests.apache.processes import send, wait_until
from tests.apache.server import Case, Server, start
from tests.apache.viewer import Viewer

pytestmark = pytest.mark.apache

ALL = [
    *(
        Case(mpm, module, listener)
        for mpm in ("event", "worker", "prefork")
        for module in ("pypi", "debian")
        for listener in ("tcp", "unix")
    ),
    Case("express", "pypi", "tcp"),
    Case("express", "pypi", "unix"),
]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_starts_and_stops(case: Case, figure: Callable[[str], None]) -> None:
    """Every MPM, mod_wsgi and listener serves site and dashboard, and stops without a trace."""
    server = start(case)
    with server:
        up = server.environment.copy()
        assert server.get("/metrics/api/v1/snapshot").status == 200
        assert server.get("/static/hello.txt").body == b"hello\n"
        assert server.server_status().busy >= 1
        assert server.sidecar_pid() in server.pids()
        assert server.pid in server.pids()
        seconds = server.stop()
    assert up == server.environment
    assert server.pids() == []
    assert not server.root.exists()
    figure(f"stopped in {seconds:.2f} s")


def test_restarts(figure: Callable[[str], None]) -> None:
    """A graceful restart, a restart and a killed dashboard each bring a new dashboard."""
    with start(Case()) as server:
        for action in (server.graceful, server.restart, server.kill_sidecar):
            before = {None, wait_until(server.sidecar_pid, 5)}
            action()
            wait_until(partial(is_other, server, before), 5, "a new one")
            server.wait_ready()
        assert server.server_status().generation == 2


def is_other(server: Server, pids: set[int | None]) -> bool:
    return server.sidecar_pid() not in pids


def test_orphans_are_found() -> None:
    """Whatever outlives Apache's parent is found by its mark, and killed."""
    with start(Case()) as server:
        children = set(server.pids()) - {server.pid}
        server.kill_parent()
        assert set(server.pids()) <= children
        server.reap()
        assert server.pids() == []


def test_stop_of_a_dead_server_fails() -> None:
    """`stop` of a server that died before fails, and what it left behind is killed all the same."""
    with start(Case()) as server:
        send(server.pid, signal.SIGKILL)
        with pytest.raises(AssertionError, match="the server died with -9"):
            server.stop()
        assert server.pids() == []


async def test_load_counts_what_it_sends() -> None:
    """The load's own count is the access log's, and a held worker is busy in mod_status."""
    with start(Case()) as server:
        before = server.settled()
        async with Load(server.url) as load:
            await asyncio.to_thread(wait_until, lambda: sum(load.sent.values()) >= 60, 10)
        assert load.errors == 0
        assert set(load.answered) == {200, 404}
        await asyncio.to_thread(
            wait_until, lambda: len(server.access_log) == before + sum(load.sent.values()), 5
        )
        async with holding(server.url, 3, seconds=1):
            await asyncio.to_thread(wait_until, lambda: server.server_status().busy == 4, 5)


async def test_a_viewer_comes_back() -> None:
    """The test's viewer sees frames, and reconnects by itself when the dashboard is killed."""
    with start(Case()) as server:
        async with Viewer(server.url) as viewer:
            server.kill_sidecar()
            assert await viewer.closed(1) == [1006]
            await viewer.frame(lambda _frame: True, after=viewer.seen[-1].at)


def test_files_are_the_operators(tmp_path: Path) -> None:
    """Without edits the files that run are those that operators copy, themselves."""
    path = tmp_path / "dashboard.conf"
    path.write_text("as it stands", encoding="utf-8")
    server = Server(Case())
    try:
        assert server.edited(path) == path
    finally:
        server.discard()
