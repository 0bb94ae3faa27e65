"""Fan-out to viewers that read, stall, dawdle, reset and vanish, on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.hub import Hub, Kind, Viewer
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


FULL = Kind("full")


class Counting:
    """An encoder whose frames say what they are, and that counts how often each was made."""

    def __init__(self) -> None:
        self.tick: int | None = None
        self.previous: int | None = None
        self.made: list[str] = []

    def advance(self, latest: Any) -> None:
        self.previous, self.tick = self.tick, latest.tick

    def key(self) -> bytes:
        self.made.append(f"key {self.tick}")
        return self.made[-1].encode()

    def delta(self) -> bytes:
        self.made.append(f"delta {self.tick}")
        return self.made[-1].encode()


class Fixture:
    """A hub on a clock that the test sets, with its encoders."""

    def __init__(self, **changes: Any) -> None:
        self.now = 0.0
        self.encoders: list[Counting] = []
        self.hub = Hub(self._encoder, **({"stall_timeout": 5.0, "clock": lambda: self.now} | changes))

    def _encoder(self, _: str) -> Counting:
        self.encoders.append(Counting())
        return self.encoders[-1]

    def join(self, kind: Kind = FULL) -> tuple[Pipe, Viewer]:
        pipe = Pipe()
        return pipe, self.hub.join(pipe, kind)  # type: ignore[arg-type]

    async def tick(self, number: int) -> None:
        self.hub.publish(SimpleNamespace(tick=number))  # type: ignore[arg-type]
        await self.hub.fan_out()


def texts(pipe: Pipe) -> list[str]:
    """Return the messages that were written, without frames and pings."""
    return [text.decode() for text in re.findall(rb"(?:key|delta) \d+", b"".join(pipe.written))]


def pings(pipe: Pipe) -> list[bytes]:
    """Return the payloads of the pings that were written."""
    return re.findall(rb"\x89\x08(.{8})", b"".join(pipe.written), re.S)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
async def test_frames_are_read_by_another_library(size: int, compressed: bool) -> None:
    """A text frame of any size is what RFC 6455 and RFC 7692 say, as the websockets library reads it."""
    text = "".join(random.Random(size).choices("0123456789", k=size))
    payload = wire.deflate(text.encode(), 1) if compressed else text.encode()
    frame = wire.websocket_frame(payload, compressed=compressed)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
        from websockets.server import ServerProtocol

        protocol = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()] if compressed else None)
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = protocol.events_received()
        protocol.send_response(protocol.accept(request))  # type: ignore[arg-type]
        sent = b"".join(protocol.data_to_send())
        writer.write(sent + wire.ping(b"x") + frame + wire.KEEPALIVE + frame)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    compression = "deflate" if compressed else None
    async with (
        server,
        connect(f"ws://127.0.0.1:{port}/", compression=compression, close_timeout=0.1) as viewer,
    ):
        assert [text, text] == [await viewer.recv(), await viewer.recv()]


async def test_a_joining_viewer_gets_the_newest_key_at_once() -> None:
    """Joining sends what was published last, whole, without waiting for the next tick."""
    fixture = Fixture()
    await fixture.tick(1)
    await fixture.tick(2)
    pipe, _ = fixture.join()
    assert ["key 2"] == texts(pipe)


async def test_every_viewer_gets_the_same_bytes() -> None:
    """One frame object goes to all: nothing is encoded for each."""
    fixture = Fixture()
    pipes = [fixture.join()[0] for _ in range(3)]
    await fixture.tick(1)
    await fixture.tick(2)
    assert 1 == len({id(pipe.written[-1]) for pipe in pipes})
    assert ["key 1", "delta 2"] == fixture.encoders[0].made


async def test_ten_thousand_joins_encode_one_key() -> None:
    """However many join within a tick, its key frame is encoded once, and framed once a form."""
    fixture = Fixture()
    await fixture.tick(1)
    pipes = [fixture.join(Kind("full", compressed=bool(n % 2)))[0] for n in range(10_000)]
    assert ["key 1"] * 2 == fixture.encoders[0].made
    assert 2 == len({id(pipe.written[0]) for pipe in pipes})


async def test_kinds_have_chains_of_their_own() -> None:
    """Less detail and a slower pace are encoded apart; plain and compressed share one encoder."""
    fixture = Fixture()
    kinds = [Kind("full"), Kind("full", compressed=True), Kind("states"), Kind("full", every=5)]
    pipes = [fixture.join(kind)[0] for kind in kinds]
    for number in range(1, 11):
        await fixture.tick(number)
    assert 3 == len(fixture.encoders)
    assert ["key 1", *(f"delta {n}" for n in range(2, 11))] == texts(pipes[2])
    assert ["key 1", "delta 5", "delta 10"] == texts(pipes[3])


async def test_nothing_is_encoded_for_nobody() -> None:
    """A chain ends with its last viewer; whoever comes next gets a key frame of a new one."""
    fixture = Fixture()
    _, viewer = fixture.join()
    await fixture.tick(1)
    fixture.hub.leave(viewer)
    assert not fixture.hub.occupied.is_set()
    await fixture.tick(2)
    pipe, _ = fixture.join()
    assert [["key 1"], ["key 2"]] == [encoder.made for encoder in fixture.encoders]
    assert ["key 2"] == texts(pipe)


async def test_a_full_buffer_gets_nothing_and_then_a_key() -> None:
    """While a viewer's buffer is not empty it gets no frame; drained, it gets the newest, whole."""
    fixture = Fixture()
    pipe, _ = fixture.join()
    await fixture.tick(1)
    pipe.buffered = 10
    for number in (2, 3, 4):
        await fixture.tick(number)
    pipe.buffered = 0
    await fixture.tick(5)
    await fixture.tick(6)
    assert ["key 1", "key 5", "delta 6"] == texts(pipe)


async def test_a_viewer_may_ask_for_a_key() -> None:
    """Who asks for a key gets it at the next tick; the others go on with deltas."""
    fixture = Fixture()
    (asking, viewer), (other, _) = fixture.join(), fixture.join()
    await fixture.tick(1)
    for _ in range(100):
        fixture.hub.wants_key(viewer)
    await fixture.tick(2)
    await fixture.tick(3)
    assert ["key 1", "key 2", "delta 3"] == texts(asking)
    assert ["key 1", "delta 2", "delta 3"] == texts(other)


async def test_a_viewer_without_progress_is_aborted() -> None:
    """A buffer that doesn't shrink for stall_timeout seconds ends in abort(), not in close()."""
    fixture = Fixture()
    pipe, _ = fixture.join()
    await fixture.tick(1)
    pipe.buffered = 10
    for number in range(2, 8):
        fixture.now = number - 1.0
        await fixture.tick(number)
        assert not pipe.aborted
    fixture.now = 6.1
    await fixture.tick(8)
    assert pipe.aborted


async def test_a_slow_viewer_that_makes_progress_lives() -> None:
    """A buffer that shrinks, however slowly, is no stall."""
    fixture = Fixture(heartbeat=1000.0)
    pipe, _ = fixture.join()
    for second in range(60):
        fixture.now = float(second)
        pipe.buffered = 100 - second
        await fixture.tick(second + 1)
    assert not pipe.aborted


async def test_a_late_pong_makes_a_viewer_wait_for_what_is_under_way() -> None:
    """Two seconds behind, a viewer gets its next frame only when the one before has come through."""
    fixture = Fixture(heartbeat=4.0)
    pipe, viewer = fixture.join()
    await fixture.tick(1)
    fixture.now = 1.0
    await fixture.tick(2)
    fixture.now = 2.5
    await fixture.tick(3)
    await fixture.tick(4)
    assert ["key 1", "delta 2"] == texts(pipe)
    fixture.hub.answered(viewer, pings(pipe)[0])
    await fixture.tick(5)
    await fixture.tick(6)
    assert ["key 1", "delta 2", "key 5"] == texts(pipe), "not before the pong of its ping"
    fixture.now = 3.0
    fixture.hub.answered(viewer, pings(pipe)[1])
    await fixture.tick(7)
    await fixture.tick(8)
    assert ["key 1", "delta 2", "key 5", "key 7", "delta 8"] == texts(pipe), "in time again"


async def test_a_pong_that_nobody_asked_for_changes_nothing() -> None:
    """Only the pong of the very ping that is out counts."""
    fixture = Fixture()
    pipe, viewer = fixture.join()
    await fixture.tick(1)
    for payload in (b"", b"x" * 8, b"x" * 125):
        fixture.hub.answered(viewer, payload)
    fixture.now = 2.5
    await fixture.tick(2)
    assert ["key 1"] == texts(pipe)


async def test_a_silent_viewer_is_pinged_and_then_aborted() -> None:
    """A viewer that answers no ping for three heartbeats is gone; one that answers stays."""
    fixture = Fixture(heartbeat=1.0)
    (dead, _), (alive, viewer) = fixture.join(), fixture.join()
    for tenth in range(60):
        fixture.now = tenth / 10
        await fixture.tick(tenth + 1)
        fixture.hub.heard(viewer)
        for payload in pings(alive)[-1:]:
            fixture.hub.answered(viewer, payload)
    assert (True, False) == (dead.aborted, alive.aborted)
    assert len(pings(alive)) >= 4


@pytest.mark.parametrize("every", [1, 60])
async def test_rare_frames_cost_no_viewer_its_place(every: int) -> None:
    """Between frames that are further apart than heartbeats, pings come alone, and are answered."""
    fixture = Fixture(heartbeat=10.0)
    pipe, viewer = fixture.join(Kind("full", every=every))
    await fixture.tick(60)
    for second in range(1, 181):
        fixture.now = float(second)
        if every == 60 or second % 60 == 0:
            fixture.hub.publish(SimpleNamespace(tick=60 + second))  # type: ignore[arg-type]
        await fixture.hub.fan_out()
        if viewer.pinged is not None:
            fixture.hub.heard(viewer)
            fixture.hub.answered(viewer, pings(pipe)[-1])
        assert not pipe.aborted
    assert 18 <= len(pings(pipe)) <= 22
    assert 4 == len(texts(pipe))


async def test_heartbeats_are_spread() -> None:
    """Viewers that join together are not pinged together, and never more than 10 in a second."""
    fixture = Fixture(heartbeat=10.0, stall_timeout=600.0)
    joined = [fixture.join() for _ in range(300)]
    await fixture.tick(1)
    for pipe, viewer in joined:
        fixture.hub.answered(viewer, pings(pipe)[0])
    pinged = []
    for second in range(1, 61):
        fixture.now = float(second)
        for pipe, _ in joined:
            pipe.written.clear()
        await fixture.tick(second + 1)
        found = [(viewer, pings(pipe)) for pipe, viewer in joined]
        pinged.append(sum(len(payloads) for _, payloads in found))
        for viewer, payloads in found:
            fixture.hub.heard(viewer)
            for payload in payloads:
                fixture.hub.answered(viewer, payload)
    assert max(pinged) <= 11
    assert min(pinged) >= 5
    assert sum(pinged) >= 2 * 290


async def test_a_broken_viewer_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever one transport raises, the others get their frame, and the broken one is cut off."""
    fixture = Fixture()
    pipes = [fixture.join()[0] for _ in range(3)]
    await fixture.tick(1)
    await fixture.tick(2)
    pipes[1].broken = True
    await fixture.tick(3)
    assert [False, True, False] == [pipe.aborted for pipe in pipes]
    assert ["delta 3", "delta 2", "delta 3"] == [texts(pipe)[-1] for pipe in pipes]


async def test_leaving_drops_what_was_not_taken() -> None:
    """A viewer that leaves with a full buffer is aborted: nobody would watch it any longer."""
    fixture = Fixture()
    pipe, viewer = fixture.join()
    pipe.buffered = 10
    fixture.hub.leave(viewer)
    fixture.hub.leave(viewer)
    assert pipe.aborted
    assert 0 == len(fixture.hub)


async def test_something_goes_down_each_socket_every_second() -> None:
    """Between ticks that are far apart, a viewer gets unasked pongs."""
    async with (
        serving(interval=60.0) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws", ping_interval=None) as viewer,
    ):
        await viewer.recv()
        pings = 0
        seen = asyncio.Event()
        original = viewer.protocol.receive_data

        def count(data: bytes) -> None:
            nonlocal pings
            pings += data.count(wire.KEEPALIVE)
            if pings >= 2:
                seen.set()
            original(data)

        viewer.protocol.receive_data = count  # type: ignore[method-assign]
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
        await until(lambda: served.dashboard.hub.lagging)
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
        (viewer,) = served.dashboard.connections
        most = 0

        def gone() -> bool:
            nonlocal most
            most = max(most, viewer.transport.get_write_buffer_size())
            return len(hub) == 0

        await until(gone)
        assert 0 < most <= len(wire.websocket_frame(served.dashboard.payload))
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
            await until(lambda: hub.lagging)
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


async def test_a_kept_channel_needs_no_viewer() -> None:
    """A channel that is kept has the frames of each tick, viewers or not, made once for both."""
    fixture = Fixture()
    channel = fixture.hub.keep(FULL)
    (encoder,) = fixture.encoders
    await fixture.tick(1)
    assert (b"key 1", None) == (channel.text(key=True), channel.previous)
    pipe, viewer = fixture.join()
    await fixture.tick(2)
    fixture.hub.leave(viewer)
    await fixture.tick(3)
    assert (b"delta 3", 2) == (channel.body(key=False), channel.previous)
    assert [encoder] == fixture.encoders
    assert ["key 1", "delta 2"] == texts(pipe)


async def test_a_kept_channel_shares_what_is_compressed() -> None:
    """What is recorded is byte for byte what a viewer with compression gets."""
    fixture = Fixture()
    kind = Kind("full", compressed=True)
    channel = fixture.hub.keep(kind)
    pipe, _ = fixture.join(kind)
    await fixture.tick(1)
    assert channel.body(key=True) in b"".join(pipe.written)
