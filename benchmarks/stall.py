"""What one stalled viewer costs the others: the delay from tick to frame, with it and without.

Rounds with and without a stalled viewer alternate on the same server and the same viewers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

from tests.served import FixedSource, Served, big_metrics, reset, serving
from websockets.asyncio.client import ClientConnection, connect

SLOTS = 1600
VIEWERS = 20
ROUNDS = 6
SECONDS = 4.0
INTERVAL = 0.2


def main() -> None:
    """Print delays and missed ticks with and without a stalled viewer."""
    asyncio.run(run())


async def run() -> None:
    source = FixedSource(big_metrics(SLOTS))
    settings: dict[str, Any] = {"interval": INTERVAL, "max_viewers": 100, "stall_timeout": 600}
    delays: dict[bool, list[float]] = {False: [], True: []}
    missed = {False: 0, True: 0}
    async with serving(source, **settings) as served, viewers(served) as connections:
        for number in range(ROUNDS):
            stalled = number % 2 == 1
            blocker = await served.stalled_viewer() if stalled else None
            watched = await asyncio.gather(*(watch(one) for one in connections))
            if blocker is not None:
                reset(blocker)
            for found, lost in watched:
                delays[stalled] += found
                missed[stalled] += lost
    print(f"{VIEWERS} viewers, {SLOTS} slots, {len(delays[True])} frames each (one stalled / none)")
    for name, quantile in (("p50", 50), ("p99", 99)):
        with_it, without = (percentile(delays[key], quantile) for key in (True, False))
        print(f"  tick to frame {name}: {with_it:.1f} / {without:.1f} ms = {with_it / without:.2f}")
    print(f"  ticks missed: {missed[True]} / {missed[False]}")


@contextlib.asynccontextmanager
async def viewers(served: Served) -> AsyncIterator[list[ClientConnection]]:
    """Connect the viewers that read."""
    async with contextlib.AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{served.port}/ws"
        yield [
            await stack.enter_async_context(connect(url, compression=None, max_size=None))
            for _ in range(VIEWERS)
        ]


async def watch(viewer: ClientConnection) -> tuple[list[float], int]:
    """Read for a while; return the delays in ms, and how many ticks were missed."""
    delays: list[float] = []
    ticks: list[int] = []
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = await viewer.recv(decode=True)
        came = time.time()
        # Parsing the whole frame would be most of what is measured.
        head = json.loads(text[: text.index(',"interval"')] + "}")
        delays.append((came - head["at"]) * 1000)
        ticks.append(head["tick"])
    # The first frame of a round may have waited in the client's buffer.
    return delays[1:], ticks[-1] - ticks[0] + 1 - len(ticks)


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]
