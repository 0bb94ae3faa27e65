"""The shared write: what it costs to hand one viewer its bytes, against a bare `socket.send`.

Owns the ways of writing that are compared. All of them use the same connections, and they rotate, tick
by tick, so that what slows the machine slows all of them. The other ends are read by the load generator,
a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

from aiohttp import WSMsgType, web

from benchmarks import children, scoreboard
from benchmarks.children import BenchmarkError
from mod_wsgi_dashboard import hub
from mod_wsgi_dashboard.core import wire

VIEWERS = 1000
SIZES = (1_500, 10_000, 30_000)
ROUNDS = 25

# What a fan-out was measured to need before all of it is read, three times over.
PAUSE = 0.06
SETTLE_SECONDS = 20.0

# Longer than all of it takes; the reader is ended when it is done.
LONGEST = 3600

# The most that a shared write may cost, in `socket.send`.
TARGET = 1.15
OURS = "hub"


@dataclasses.dataclass(slots=True)
class Connection:
    """One viewer, and each way to it. `bare` is a second descriptor of the same socket."""

    websocket: web.WebSocketResponse
    transport: asyncio.WriteTransport
    bare: socket.socket
    answered: Callable[[bytes], None] | None = None


Fanout = Callable[[], Awaitable[None]]


class FixedEncoder:
    """An encoder of `hub.Encoder`'s form, whose frames have always the same text."""

    def __init__(self, text: bytes) -> None:
        self.tick: int | None = None
        self.previous: int | None = None
        self._text = text

    def advance(self, latest: wire.Sample | wire.Failure) -> None:
        self.previous, self.tick = self.tick, latest.tick

    def key(self) -> bytes:
        return self._text

    def delta(self) -> bytes:
        return self._text


@dataclasses.dataclass(slots=True)
class Tick:
    """All of a sample that the hub looks at."""

    tick: int


class Hub:
    """The dashboard's own hub, on the same connections: the one place that knows how to call it."""

    def __init__(self, connections: list[Connection], text: bytes) -> None:
        self._hub = hub.Hub(lambda _format: FixedEncoder(text))
        self._latest = Tick(0)
        self._viewers = []
        for connection in connections:
            viewer = self._hub.join(connection.transport, hub.Kind("fixed"))
            connection.answered = partial(self._hub.answered, viewer)
            self._viewers.append(viewer)

    async def send(self) -> None:
        """Publish the next tick, and send it to all."""
        self._latest = Tick(self._latest.tick + 1)
        self._hub.publish(cast(wire.Sample, self._latest))
        await self._hub.fan_out()

    def close(self) -> None:
        for viewer in self._viewers:
            self._hub.leave(viewer)


def make_fanouts(connections: list[Connection], text: bytes, ours: Hub) -> dict[str, Fanout]:
    """Return each way to send a text to all connections; the first is what others are compared to."""
    frame = wire.websocket_frame(text)
    string = text.decode()

    async def send_bare() -> None:
        for connection in connections:
            if connection.bare.send(frame) != len(frame):
                raise BenchmarkError("a viewer reads too slowly for a bare send")

    async def write() -> None:
        for connection in connections:
            transport = connection.transport
            if not transport.is_closing() and not transport.get_write_buffer_size():
                transport.write(frame)

    async def send_str() -> None:
        for connection in connections:
            await connection.websocket.send_str(string)

    return {"socket.send": send_bare, "transport.write": write, OURS: ours.send, "ws.send_str": send_str}


async def measure(connections: list[Connection], size: int, rounds: int) -> dict[str, list[float]]:
    """Return CPU us per viewer of each way, round by round."""
    text = b"x" * size
    ours = Hub(connections, text)
    fanouts = make_fanouts(connections, text, ours)
    costs: dict[str, list[float]] = {name: [] for name in fanouts}
    names = list(fanouts)
    # One round more: the first is a key frame for everybody, and warms everything up.
    for turn in range(rounds + 1):
        # Each round begins with another one, so that none always comes behind the same.
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.thread_time_ns()
            await fanouts[name]()
            costs[name].append((time.thread_time_ns() - began) / 1000 / len(connections))
            await settle(connections)
    ours.close()
    return {name: values[1:] for name, values in costs.items()}


async def settle(connections: list[Connection]) -> None:
    """Wait until everything is written, and most likely read."""
    await asyncio.sleep(PAUSE)
    deadline = time.monotonic() + SETTLE_SECONDS
    while any(connection.transport.get_write_buffer_size() for connection in connections):
        if time.monotonic() > deadline:
            raise BenchmarkError("viewers don't read")
        await asyncio.sleep(PAUSE)


@contextlib.asynccontextmanager
async def connected(viewers: int) -> AsyncIterator[list[Connection]]:
    """Have so many WebSockets connected, whose other ends are read by a process of their own."""
    connections: list[Connection] = []

    async def join(request: web.Request) -> web.WebSocketResponse:
        # As the dashboard has them: pongs go to the hub.
        websocket = web.WebSocketResponse(compress=False, autoping=False)
        await websocket.prepare(request)
        transport = request.transport
        assert transport is not None
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as bare:
            bare.setblocking(False)
            connection = Connection(websocket, transport, bare)
            connections.append(connection)
            async for message in websocket:
                if message.type is WSMsgType.PONG and connection.answered is not None:
                    connection.answered(bytes(message.data))
        return websocket

    app = web.Application()
    app.router.add_get("/ws", join)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with reading(runner.addresses[0][1], viewers):
            deadline = time.monotonic() + SETTLE_SECONDS
            while len(connections) < viewers:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"only {len(connections)} of {viewers} viewers came")
                await asyncio.sleep(0.1)
            yield connections
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def reading(port: int, viewers: int) -> Iterator[None]:
    """Run a load generator that connects and reads; what it measures is of no interest here."""
    with tempfile.TemporaryDirectory(prefix="dashboard-bench-") as name:
        directory = Path(name)
        stamps = directory / "stamps"
        scoreboard.Stamps.create(stamps)
        command: list[str | Path] = [children.compile_c("load", directory), "--port", str(port)]
        command += ["--viewers", str(viewers), "--stamps", stamps, "--seconds", str(LONGEST)]
        with children.running(command, log=directory / "log"):
            yield


async def run(arguments: argparse.Namespace) -> None:
    """Measure all sizes, and print medians and ratios."""
    print(
        f"The shared write: CPU us/viewer, medians of {arguments.rounds} rounds, {VIEWERS} viewers"
        " [middle half of the ratios to socket.send in the same round]"
    )
    async with connected(VIEWERS) as connections:
        for size in SIZES:
            costs = await measure(connections, size, arguments.rounds)
            print(f"  {size} bytes")
            base = next(iter(costs.values()))
            for name, values in costs.items():
                ratios = [value / least for value, least in zip(values, base, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                line = f"    {name:16} {statistics.median(values):6.2f} us  {middle:.2f}x"
                line += f" [{low:.2f}..{high:.2f}]"
                if name == OURS:
                    met = "met" if middle <= TARGET else "MISSED"
                    line += f"  target <= {TARGET}x: {met}"
                print(line, flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark of the shared write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"(default: {ROUNDS})")
    children.prepare()
    try:
        asyncio.run(run(parser.parse_args(arguments)))
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
