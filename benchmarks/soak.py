"""An hour at ten ticks a second with viewers that come and go: does the memory grow?

Owns the run of a whole dashboard, on real sockets, whose clock is simulated: ticks follow each other as
fast as they can. `python -m benchmarks.soak` takes some minutes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import time
from pathlib import Path

from aiohttp import web

from mod_wsgi_dashboard.app import DASHBOARD, create_app
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource

SLOTS = 200
INTERVAL = 0.1
TICKS = 36_000
REPORTS = 12

# Viewers at once, and for how many frames each stays.
VIEWERS = 10
STAY = (5, 35)

KINDS = ("?detail=full", "?detail=states", "?every=5", "")
PAGE = os.sysconf("SC_PAGE_SIZE")


class FastClock:
    """A clock on which waiting takes no time: an instant is there once everybody else had a turn."""

    def __init__(self) -> None:
        self.start = time.time()
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.start + self.now

    async def sleep_until(self, instant: float) -> None:
        self.now = max(self.now, instant)
        await asyncio.sleep(0)


def main() -> None:
    """Print the memory at regular moments of the hour."""
    asyncio.run(run())


async def run() -> None:
    clock = FastClock()
    simulator = Simulator(scenario="burst", slots=SLOTS, start_at=clock.start - 120)
    settings = Settings(interval=INTERVAL, max_viewers=10 * VIEWERS, record="off")
    app = create_app(settings, SimulatorSource(simulator, clock.wall))
    dashboard = app[DASHBOARD]
    assert dashboard.poller is not None
    dashboard.poller._clock = clock
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    joins = [0]
    visitors = [asyncio.create_task(visit(port, random.Random(n), joins)) for n in range(VIEWERS)]
    print(f"{TICKS} ticks of {INTERVAL} s, {SLOTS} slots, {VIEWERS} viewers at once")
    try:
        for report in range(1, REPORTS + 1):
            while clock.now < report * TICKS * INTERVAL / REPORTS:  # noqa: ASYNC110  # a clock tells no event
                await asyncio.sleep(0.05)
            print(
                f"  {clock.now / 60:5.1f} min  {joins[0]:6} joins  RSS {resident() / 2**20:6.1f} MB",
                flush=True,
            )
    finally:
        for visitor in visitors:
            visitor.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)
        await runner.cleanup()


async def visit(port: int, chance: random.Random, joins: list[int]) -> None:
    """Come and go, for ever, in all manners."""
    while True:
        joins[0] += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = base64.b64encode(chance.randbytes(16)).decode()
        lines = [
            f"GET /ws{chance.choice(KINDS)} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {wire.SUBPROTOCOL}",
        ]
        if chance.random() < 0.7:
            lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(chance.randint(*STAY)):
                if not await reader.read(1 << 16):
                    break
        # Half of them vanish without a word.
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()


def resident() -> int:
    """Return this process's resident memory in bytes, clients included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    main()
