"""The capacity guard on a real Apache of ten workers: the site comes first."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from time import monotonic

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.apache.load import holding
from tests.apache.processes import wait_until
from tests.apache.server import Case, Server, start

pytestmark = pytest.mark.apache

WORKERS = 10
BROWSERS = 40

PROTOCOL = Subprotocol("mod-wsgi-dashboard.v1")

# How often the page asks while it polls.
POLL_SECONDS = 5.0


class Browser:
    """What one page does: a WebSocket if it gets in, short polling if it is told to."""

    def __init__(self, server: Server, number: int) -> None:
        self.url = server.url
        self.number = number
        self.samples = 0
        self.polls = 0
        self.closes: Counter[int] = Counter()

    async def run(self) -> None:
        """Watch for ever."""
        url = self.url.replace("http://", "ws://") + "/metrics/ws"
        async with aiohttp.ClientSession() as session:
            while True:
                async with connect(url, subprotocols=[PROTOCOL]) as socket:
                    with suppress(ConnectionClosed):
                        while True:
                            await socket.recv()
                            self.samples += 1
                    self.closes[socket.close_code or 0] += 1
                await self._poll(session)

    async def _poll(self, session: aiohttp.ClientSession) -> None:
        """Poll until the guard has room."""
        # Pages poll at random moments, not all together.
        await asyncio.sleep(POLL_SECONDS * self.number / BROWSERS)
        while True:
            async with session.get(f"{self.url}/metrics/api/v1/snapshot") as response:
                viewers = (await response.json())["viewers"]
                assert viewers["accepting"] == ("Retry-After" not in response.headers)
            self.polls += 1
            if viewers["accepting"] and viewers["holding"] < viewers["limit"]:
                return
            await asyncio.sleep(POLL_SECONDS)


@pytest.mark.parametrize(
    "case", [Case("event", "pypi", "tcp"), Case("prefork", "debian", "unix")], ids=str
)
async def test_forty_browsers_leave_the_site_its_workers(
    case: Case, figure: Callable[[str], None]
) -> None:
    """Beside forty browsers every request to the site is answered, and the reserve stays free."""
    settings = {"max_request_workers": str(WORKERS)}
    with start(case, settings=settings, workers=WORKERS) as server:
        browsers = [Browser(server, number) for number in range(BROWSERS)]
        tasks = [asyncio.create_task(browser.run()) for browser in browsers]
        answers, slowest = Counter[int](), 0.0
        held = []
        end = monotonic() + 15.0
        async with aiohttp.ClientSession() as session:
            while monotonic() < end:
                began = monotonic()
                async with session.get(server.url + "/", timeout=aiohttp.ClientTimeout(5)) as response:
                    answers[response.status] += 1
                slowest = max(slowest, monotonic() - began)
                async with session.get(server.url + "/metrics/healthz") as response:
                    held.append((await response.json())["viewers"])
        failed = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [] == [task.exception() for task in failed]
        assert answers.keys() == {200}
        assert {1013} == {code for browser in browsers for code in browser.closes}
        assert 1 <= max(held) <= WORKERS // 5
        assert all(browser.samples or browser.polls for browser in browsers)
        figure(
            f"{answers[200]} site requests answered beside {BROWSERS} browsers, the slowest in"
            f" {slowest:.2f} s; {max(held)} WebSockets, {sum(b.polls for b in browsers)} polls,"
            f" {sum(b.samples for b in browsers)} frames"
        )


async def test_under_the_reserve_the_newest_go_and_come_back(figure: Callable[[str], None]) -> None:
    """When the site needs workers, viewers are moved to polling, and let in again later."""
    settings = {"max_request_workers": str(WORKERS), "max_viewers": "4"}
    with start(Case("event", "pypi", "tcp"), settings=settings, workers=WORKERS) as server:
        url = server.url.replace("http://", "ws://") + "/metrics/ws"
        async with AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(connect(url)) for _ in range(4)]
            for viewer in viewers:
                await viewer.recv()
            began = monotonic()
            # 4 viewers and 6 requests hold all; 2 are to be free.
            async with holding(server.url, 6, seconds=4.0):
                for viewer in viewers[2:]:
                    await asyncio.wait_for(viewer.wait_closed(), 5.0)
                moved = monotonic() - began
                status = server.get("/").status
                answer = server.get("/metrics/api/v1/snapshot")
            assert [(1013, True)] * 2 == [
                (viewer.close_code, "Apache workers are free" in (viewer.close_reason or ""))
                for viewer in viewers[2:]
            ]
            assert [None, None] == [viewer.close_code for viewer in viewers[:2]], "the oldest stay"
            assert (200, False) == (status, json.loads(answer.text)["viewers"]["accepting"])
            assert answer.headers["Retry-After"] == "30"
            async with connect(url) as refused:
                with pytest.raises(ConnectionClosed):
                    await refused.recv()
            assert refused.close_code == 1013
            wait_until(lambda: accepting(server), 30, "room again")
            returned = monotonic() - began
            async with connect(url) as again:
                assert "snapshot" in json.loads(await again.recv())
        # In one step, or in two where the load came between two readings.
        moves = re.findall(r"(\d) of [34] viewers were moved to polling", server.error_log)
        assert sum(map(int, moves)) == 2
        figure(f"2 of 4 viewers moved {moved:.1f} s after the load came, room again at {returned:.1f} s")


def accepting(server: Server) -> bool:
    answer = json.loads(server.get("/metrics/api/v1/snapshot").text)
    return bool(answer["viewers"]["accepting"])
