"""`/drain` on real servers: of an Apache that is idle, watched, busy and restarted."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from time import monotonic
from typing import Any

import pytest

from tests.apache.load import Load, holding, in_flight
from tests.apache.processes import wait_until
from tests.apache.server import Case, Response, Server, start
from tests.apache.viewer import Viewer

pytestmark = pytest.mark.apache

CASES = (Case("event", "pypi", "tcp"), Case("prefork", "debian", "unix"))


@pytest.fixture(scope="module", params=CASES, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for all tests of this module, in the order in which they stand."""
    with start(request.param, settings={"max_viewers": "4", "reserve_workers": "0"}) as running:
        yield running


def counts(answer: Response) -> tuple[int, int, int, int]:
    """Return the status, and how many workers are busy, own and others'."""
    body = json.loads(answer.body)
    return answer.status, body["busy"], body["own"], body["others"]


def drained(server: Server, **through: str) -> tuple[int, int, int, int] | None:
    """Return the counts of a 200. A request that ended just now may still be logged: then ask again."""
    answer = server.get("/metrics/drain") if through else server.get_directly("/drain")
    return counts(answer) if answer.status == 200 else None


@contextmanager
def polling(server: Server) -> Iterator[list[int]]:
    """Poll the snapshot through Apache, as pages do that get no WebSocket; gives the statuses."""
    over, statuses = threading.Event(), []

    def poll() -> None:
        while not over.wait(0.02):
            statuses.append(server.get("/metrics/api/v1/snapshot").status)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield statuses
    finally:
        over.set()
        thread.join()


def test_an_idle_server_is_drained(server: Server) -> None:
    """The request itself holds a worker when it comes through Apache, which is not counted as work."""
    assert (200, 0, 0, 0) == wait_until(lambda: drained(server), 5, "drained")
    assert (200, 1, 1, 0) == wait_until(lambda: drained(server, through="Apache"), 5, "drained")


async def test_viewers_are_not_work(server: Server, figure: Callable[[str], None]) -> None:
    """Viewers that hold WebSockets, and others that poll, keep nobody from a restart."""
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(Viewer(server.url))
        found = await asyncio.to_thread(wait_until, lambda: drained(server), 5, "drained")
        assert (200, 3, 3, 0) == found
        found = await asyncio.to_thread(wait_until, lambda: drained(server, through="Apache"), 5, "so")
        assert (200, 4, 4, 0) == found
        with polling(server) as statuses:
            answers = [await asyncio.to_thread(server.get, "/metrics/drain") for _ in range(8)]
        # A poll whose worker still logs, or has not asked us yet, counts for a moment.
        good = [answer.status for answer in answers].count(200)
        figure(f"{good} of {len(answers)} good beside {len(statuses)} polls, one each 20 ms")
        assert good >= 3
        assert {200} == set(statuses)


async def test_work_is_told(server: Server) -> None:
    """While requests are at work each answer is a 503 with counts, whichever way it comes."""
    async with holding(server.url, 2, seconds=3.5), Viewer(server.url):
        await asyncio.sleep(1.2)  # so that the requests have an age
        one = await asyncio.to_thread(server.get, "/metrics/drain")
        other = await asyncio.to_thread(server.get_directly, "/drain")
    assert [(503, 4, 2, 2), (503, 3, 1, 2)] == [counts(one), counts(other)]
    body = json.loads(one.body)
    assert 1.0 < body["oldest_seconds"] < 3.5
    assert ("1", "application/problem+json") == (one.headers["Retry-After"], one.headers["Content-Type"])
    assert "2 workers at work" in body["detail"]


async def test_load_is_never_drained(server: Server) -> None:
    """Under a load of slow and quick requests no answer is good as long as one is under way."""
    async with holding(server.url, 1, seconds=3.5):
        await asyncio.sleep(0.2)  # until it is under way
        async with Load(server.url, clients=3):
            ends = monotonic() + 1.2
            answers = []
            while monotonic() < ends:
                answers.append((await asyncio.to_thread(server.get, "/metrics/drain")).status)
    assert ({503}, True) == (set(answers), len(answers) >= 4)


async def test_the_hook_of_the_page_works(server: Server) -> None:
    """The loop that the documentation names ends when the last request has, and not before."""
    curl = shutil.which("curl")
    assert curl is not None, "missing: apt-get install curl"
    hook = f"until {curl} -fsS {server.url}/metrics/drain; do sleep 0.2; done"
    async with holding(server.url, 1, seconds=1.5):
        await asyncio.sleep(0.2)  # until it is under way
        began = monotonic()
        ended = await asyncio.to_thread(
            subprocess.run, ["/bin/sh", "-c", hook], capture_output=True, timeout=20
        )
        took = monotonic() - began
    assert 0 == ended.returncode
    assert "drained" == json.loads(ended.stdout)["status"]
    assert b"503" in ended.stderr
    assert took > 1.0


def test_a_connection_that_is_kept_open_is_not_work(server: Server) -> None:
    """Nothing was asked on it, and nothing is lost; where Apache shows it, it is counted apart."""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("GET", "/")
    client.getresponse().read()
    shown = 1 if server.case.mpm == "prefork" else 0
    answer = wait_until(lambda: kept_open(server, shown), 5, "it is kept open")
    client.close()
    assert (200, 0, 0, 0) == counts(answer)


def kept_open(server: Server, count: int) -> Response | None:
    answer = server.get_directly("/drain")
    return answer if json.loads(answer.body)["keepalive"] == count else None


def test_an_old_generation_is_work(server: Server) -> None:
    """After a graceful restart it is a 503 until the last process of the old generation is gone."""
    with in_flight(server.port, "/held"):
        wait_until(lambda: told(server)["others"] == 1, 5, "it is held")
        server.graceful()
        left = wait_until(lambda: old_generation(server), 15, "an old generation")
        wait_until(lambda: told(server)["old_generation"] == 1, 15, "but one process is gone")
        again = server.get("/metrics/drain")
        body = json.loads(again.body)
    assert (503, True) == (again.status, left["others"] >= 1)
    assert (1, 1) == (body["old_generation"], body["others"])
    assert "1 process of an old generation left" in body["detail"]
    wait_until(lambda: drained(server, through="Apache"), 15, "drained")


def told(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(server.get_directly("/drain").body)
    return body


def old_generation(server: Server) -> dict[str, Any] | None:
    body = told(server)
    return body if body.get("old_generation") else None
