"""Fan-out to viewers that read, stall, dawdle, reset and vanish, on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from typing import Any

import pytest
from websockets.asyncio.client import connect

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.hub import Full, Hub
from tests.served import FixedSource, Served, big_metrics, reset, serving, until


class Pipe:
    """A transport whose buffer the test fills and drains."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.buffered = 0
        self.aborted = False
        self.broken = False

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        if self.broken:
            raise RuntimeError("broken")
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True
        self.buffered = 0


class Time:
    """Monotonic seconds that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make_hub(**changes: Any) -> tuple[Hub, Time]:
    clock = Time()
    return Hub(**({"limit": 10, "stall_timeout": 5.0, "clock": clock} | changes)), clock


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
async def test_frames_are_read_by_another_library(size: int) -> None:
    """A text frame of any size is what RFC 6455 says, as the websockets library reads it."""
    frame = wire.text_frame(b"x" * size)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.server import ServerProtocol

        protocol = ServerProtocol()
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        writer.write(b"".join(protocol.data_to_send()) + wire.PING + frame)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, connect(f"ws://127.0.0.1:{port}/", compression=None, close_timeout=0.1) as viewer:
        assert "x" * size == await viewer.recv()


async def test_a_joining_viewer_gets_the_newest_frame_at_once() -> None:
    """Joining sends what was published last, without waiting for the next tick."""
    hub, _ = make_hub()
    hub.publish(b"1")
    hub.publish(b"2")
    pipe = Pipe()
    hub.join(pipe)  # type: ignore[arg-type]
    assert [wire.text_frame(b"2")] == pipe.written


async def test_every_viewer_gets_the_same_bytes() -> None:
    """One frame object goes to all: nothing is encoded for each."""
    hub, _ = make_hub()
    pipes = [Pipe() for _ in range(3)]
    for pipe in pipes:
        hub.join(pipe)  # type: ignore[arg-type]
    hub.publish(b"new")
    await hub.fan_out()
    assert 1 == len({id(pipe.written[-1]) for pipe in pipes})


async def test_a_full_buffer_gets_nothing_and_then_the_newest() -> None:
    """While a viewer's buffer is not empty it gets no frame; drained, it gets the newest only."""
    hub, _ = make_hub()
    pipe = Pipe()
    hub.publish(b"1")
    hub.join(pipe)  # type: ignore[arg-type]
    pipe.buffered = 10
    for frame in (b"2", b"3", b"4"):
        hub.publish(frame)
        await hub.fan_out()
    pipe.buffered = 0
    await hub.fan_out()
    assert [wire.text_frame(b"1"), wire.text_frame(b"4")] == pipe.written


async def test_a_viewer_without_progress_is_aborted() -> None:
    """A buffer that doesn't shrink for stall_timeout seconds ends in abort(), not in close()."""
    hub, clock = make_hub()
    pipe = Pipe()
    hub.join(pipe)  # type: ignore[arg-type]
    pipe.buffered = 10
    for clock.now in (1.0, 3.0, 5.0):
        await hub.fan_out()
        assert not pipe.aborted
    clock.now = 6.1
    await hub.fan_out()
    assert pipe.aborted


async def test_a_slow_viewer_that_makes_progress_lives() -> None:
    """A buffer that shrinks, however slowly, is no stall."""
    hub, clock = make_hub(heartbeat=1000.0)
    pipe = Pipe()
    hub.join(pipe)  # type: ignore[arg-type]
    for second in range(60):
        clock.now = float(second)
        pipe.buffered = 100 - second
        await hub.fan_out()
    assert not pipe.aborted


async def test_a_silent_viewer_is_pinged_and_then_aborted() -> None:
    """A viewer that answers no ping for three heartbeats is gone; one that answers stays."""
    hub, clock = make_hub(heartbeat=1.0)
    dead, alive = Pipe(), Pipe()
    hub.join(dead)  # type: ignore[arg-type]
    viewer = hub.join(alive)  # type: ignore[arg-type]
    for tenth in range(45):
        clock.now = tenth / 10
        hub.publish(b"x")
        await hub.fan_out()
        hub.heard(viewer)
    assert (True, False) == (dead.aborted, alive.aborted)
    assert alive.written.count(wire.PING) >= 4


async def test_a_broken_viewer_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever one transport raises, the others get their frame, and the broken one is cut off."""
    hub, _ = make_hub()
    pipes = [Pipe() for _ in range(3)]
    for pipe in pipes:
        hub.join(pipe)  # type: ignore[arg-type]
    pipes[1].broken = True
    hub.publish(b"new")
    await hub.fan_out()
    assert [False, True, False] == [pipe.aborted for pipe in pipes]
    assert [1, 0, 1] == [pipe.written.count(wire.text_frame(b"new")) for pipe in pipes]


async def test_viewers_are_limited() -> None:
    """One viewer more than the limit is refused; a place that is left can be taken."""
    hub, _ = make_hub(limit=1)
    viewer = hub.join(Pipe())  # type: ignore[arg-type]
    with pytest.raises(Full):
        hub.join(Pipe())  # type: ignore[arg-type]
    hub.leave(viewer)
    hub.join(Pipe())  # type: ignore[arg-type]


async def test_leaving_drops_what_was_not_taken() -> None:
    """A viewer that leaves with a full buffer is aborted: nobody would watch it any longer."""
    hub, _ = make_hub()
    pipe = Pipe()
    viewer = hub.join(pipe)  # type: ignore[arg-type]
    pipe.buffered = 10
    hub.leave(viewer)
    assert pipe.aborted


async def test_something_goes_down_each_socket_every_second() -> None:
    """Between ticks that are far apart, a viewer gets pings."""
    async with (
        serving(interval=60.0) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws", ping_interval=None) as viewer,
    ):
        await viewer.recv()
        reader, pings = viewer.protocol.reader, 0
        seen = asyncio.Event()
        original = viewer.protocol.receive_data

        def count(data: bytes) -> None:
            nonlocal pings
            pings += data.count(wire.PING)
            if pings >= 2:
                seen.set()
            original(data)

        viewer.protocol.receive_data = count  # type: ignore[method-assign]
        assert reader is viewer.protocol.reader
        await asyncio.wait_for(seen.wait(), 5.0)


async def _ticks(viewer: Any, count: int) -> list[int]:
    return [json.loads(await viewer.recv())["tick"] for _ in range(count)]


async def _watch(served: Served, count: int) -> list[int]:
    url = f"ws://127.0.0.1:{served.port}/ws"
    async with connect(url, compression=None, max_size=None) as viewer:
        return await _ticks(viewer, count)


async def test_a_stalled_viewer_delays_nobody() -> None:
    """Beside a viewer that never reads, another gets every tick, and polling goes on.

    The frame is larger than the kernel's buffers for the stalled one, so that an awaited send would
    block: mod_wsgi's documented example stops for every viewer within seconds of this.
    """
    source = FixedSource(big_metrics())
    async with serving(source, interval=0.1, max_viewers=10) as served:
        stalled = await served.stalled_viewer()
        await until(lambda: any(v.backlog for v in served.dashboard.hub._viewers))
        ticks = await asyncio.wait_for(_watch(served, 30), 20.0)
        assert list(range(ticks[0], ticks[0] + 30)) == ticks
        assert [] == served.dashboard.supervisor.notices
        stalled.close()


async def test_a_stalled_viewer_costs_at_most_one_frame_and_is_cut_off() -> None:
    """Its buffer never holds more than one frame, and it is gone after stall_timeout."""
    async with serving(
        FixedSource(big_metrics()), interval=0.1, stall_timeout=1.0, max_viewers=10
    ) as served:
        hub = served.dashboard.hub
        stalled = await served.stalled_viewer()
        (viewer,) = hub._viewers
        most = 0

        def gone() -> bool:
            nonlocal most
            most = max(most, viewer.transport.get_write_buffer_size())
            return len(hub) == 0

        await until(gone)
        assert 0 < most <= len(wire.text_frame(served.dashboard.payload))
        stalled.close()


async def test_a_viewer_that_reads_again_gets_the_newest_sample() -> None:
    """After a pause a viewer misses what it slept through, and is up to date at once."""
    async with serving(FixedSource(big_metrics()), interval=0.1, max_viewers=10) as served:
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with connect(url, compression=None, max_size=None, max_queue=1) as viewer:
            await viewer.recv()
            latest = served.dashboard.latest
            assert latest is not None
            start = latest.tick
            await until(lambda: served.dashboard.latest.tick >= start + 20)  # type: ignore[union-attr]
            ticks = [start]
            while served.dashboard.latest.tick - ticks[-1] > 1:  # type: ignore[union-attr]
                ticks += await _ticks(viewer, 1)
            gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
            assert max(gaps) > 1, "nothing was skipped"


async def test_a_reset_in_mid_send_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Viewers that reset while frames are under way end nothing but themselves.

    The sending loop of mod_wsgi's documented example dies of this.
    """
    async with serving(FixedSource(big_metrics()), interval=0.1, max_viewers=20) as served:
        hub = served.dashboard.hub
        watching = asyncio.create_task(_watch(served, 30))
        for _ in range(5):
            stalled = await served.stalled_viewer()
            await until(lambda: any(viewer.backlog for viewer in hub._viewers))
            reset(stalled)
            await until(lambda: len(hub) <= 1)
        ticks = await asyncio.wait_for(watching, 20.0)
        assert list(range(ticks[0], ticks[0] + 30)) == ticks
        assert [] == served.dashboard.supervisor.notices
    assert [] == [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


async def test_a_dead_fan_out_is_told_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the fan-out itself fails, viewers go on a second later and read why."""
    async with (
        serving(interval=0.1, max_viewers=10) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        await viewer.recv()
        fan_out = served.dashboard.hub.fan_out

        async def fail() -> None:
            monkeypatch.setattr(served.dashboard.hub, "fan_out", fan_out)
            raise RuntimeError("boom")

        monkeypatch.setattr(served.dashboard.hub, "fan_out", fail)
        while not (notices := json.loads(await viewer.recv())["notices"]):
            pass
        assert "The fan-out failed once and was started again (last: RuntimeError)" in notices[0]


async def test_a_thousand_byte_frame_from_a_viewer_is_too_much() -> None:
    """What viewers send is ignored, and bounded: more than pings need closes with 1009."""
    async with (
        serving(interval=0.1) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        await viewer.send("hello")
        await viewer.recv()
        await viewer.send("x" * 2000)
        await viewer.wait_closed()
        assert 1009 == viewer.close_code


async def test_pings_of_a_viewer_are_answered() -> None:
    """A client's own ping gets its pong."""
    async with (
        serving(interval=0.1) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        await asyncio.wait_for(await viewer.ping(struct.pack("!I", 7)), 5.0)
