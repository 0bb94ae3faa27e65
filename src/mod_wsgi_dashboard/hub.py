"""Fan-out: the same bytes to every viewer of a kind, and no viewer in another's way.

Owns the viewers' transports from join to leave. It must not know what a frame says, nor aiohttp:
a transport is asyncio's, and frames come from encoders that it is given.

Viewers of one kind stand on one channel: one encoder, one form of its frames. A frame is encoded,
compressed and framed when the first viewer needs it, once, and then the same bytes go to all of them.

How a slow viewer is kept harmless:

- a frame is written only into an empty buffer, so that a viewer costs at most one frame of memory
  beside the kernel's own buffer (`SEND_BUFFER`); what it misses it never gets, the next one it gets
  is the newest, as a key frame;
- nothing is ever awaited on a viewer: a write into a full socket stays in its transport;
- kernels and proxies have buffers of their own. So pings go behind frames now and then, and how long
  the pong takes tells how far behind a viewer is. From `BEHIND` on, it gets a frame only when the one
  before has come through: what it sees is never older than one frame's way through those buffers;
- a viewer that takes no byte for `stall_timeout` seconds is aborted. A polite close would wait for
  its full buffer, which is for ever.

Something goes down each socket at least once a `KEEPALIVE`, whatever the polling interval: Apache
2.4's `restart` and `stop` wait ten seconds for a tunnel that is silent, and its Timeout cuts it. A
ping each `heartbeat` finds viewers that vanished without a word, and their Apache workers with them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import socket
import struct
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mod_wsgi_dashboard.core import wire

log = logging.getLogger(__name__)

# Linux's default grows to 4 MB and hides a slow reader for minutes; this holds a few small frames.
SEND_BUFFER = 64 * 1024

# A restart with a tunnel that talks once a second takes 1.4 s; with a silent one, 10.4 s.
KEEPALIVE = 1.0

# The fan-out gives way to the event loop after so long: 5,000 viewers then delay nothing else by more.
SLICE = 0.0015
SLICE_VIEWERS = 16

# A pong later than this means that frames queue up on their way.
BEHIND = 2.0

# A pong costs 60 to 90 us, as much as seven frames (aiohttp wakes a task for it): 25 a second were a
# tenth of the fan-out to 1,000 viewers. So many a second, at most.
PINGS_PER_SECOND = 10

# Consecutive multiples of it fall evenly between 0 and 1: the golden ratio's fraction.
SPREAD = 0.618034

# Level 6 makes a delta 4 to 9 % smaller (150 to 6,400 slots), for up to five times the time.
LEVEL = 1


class Encoder(Protocol):
    """Makes the frames of one chain; see `core.wire`."""

    tick: int | None
    previous: int | None

    def advance(self, latest: wire.Sample | wire.Failure) -> None:
        """Go on to a newer sample."""

    def key(self) -> bytes:
        """Return the frame for who holds nothing."""

    def delta(self) -> bytes:
        """Return the frame for who holds the sample of `previous`."""


class Kind(NamedTuple):
    """What a viewer is sent: all viewers of a kind get the same bytes."""

    format: str
    every: int = 1
    compressed: bool = False


class Chain:
    """The frames of one encoder, shared by the viewers that take them plain and compressed."""

    def __init__(self, encoder: Encoder, every: int) -> None:
        self.encoder = encoder
        self.every = every
        self.channels: dict[bool, Channel] = {}

    def advance(self, latest: wire.Sample | wire.Failure) -> None:
        """Go on to a newer sample, if its turn has come."""
        tick = self.encoder.tick
        if tick is not None and tick < latest.tick and latest.tick % self.every:
            return
        self.encoder.advance(latest)
        for channel in self.channels.values():
            channel.renew()


class Channel:
    """Viewers that get the same bytes, and these bytes."""

    def __init__(self, chain: Chain, *, compressed: bool) -> None:
        self.chain = chain
        self.viewers: dict[Viewer, None] = {}
        self.served_at = 0.0
        self.kept = False
        self._compressed = compressed
        self._frames: dict[tuple[bool, int | None], bytes] = {}
        self._bodies: dict[bool, bytes] = {}

    @property
    def previous(self) -> int | None:
        """The tick whose sample the newest delta continues; None where there is no delta."""
        return self.chain.encoder.previous

    def renew(self) -> None:
        """Forget the frames of the sample before."""
        self._frames.clear()
        self._bodies.clear()

    def text(self, *, key: bool) -> bytes:
        """Return the newest frame's text."""
        encoder = self.chain.encoder
        return encoder.key() if key else encoder.delta()

    def body(self, *, key: bool) -> bytes:
        """Return the newest frame's text, as permessage-deflate has it on a compressed channel."""
        if not self._compressed:
            return self.text(key=key)
        body = self._bodies.get(key)
        if body is None:
            body = self._bodies[key] = wire.deflate(self.text(key=key), LEVEL)
        return body

    def frame(self, *, key: bool, ping: int | None = None) -> bytes:
        """Return the newest frame, with a ping of that number behind it; made at the first call."""
        frame = self._frames.get((key, ping))
        if frame is None:
            frame = self._make(key=key) if ping is None else self.frame(key=key) + _ping(ping)
            self._frames[key, ping] = frame
        return frame

    def _make(self, *, key: bool) -> bytes:
        return wire.websocket_frame(self.body(key=key), compressed=self._compressed)


class Viewer:
    """The hub's side of one connected client."""

    __slots__ = (
        "backlog",
        "behind",
        "channel",
        "heard_at",
        "ping_due",
        "pinged",
        "pinged_at",
        "plain_sailing",
        "position",
        "progress_at",
        "transport",
    )

    def __init__(self, channel: Channel, transport: asyncio.WriteTransport, now: float) -> None:
        self.channel: Channel | None = channel
        self.transport = transport
        self.position: int | None = None
        # Nothing to do but to write the next delta.
        self.plain_sailing = False
        self.ping_due = True
        self.pinged: int | None = None
        self.pinged_at = now
        self.behind = False
        self.backlog = 0
        self.progress_at = now
        self.heard_at = now


class Hub:
    """Sends the newest frame to every viewer.

    Args:
        encoders: makes the encoder for a `Kind.format`.
        stall_timeout: seconds without a byte taken after which a viewer is aborted.
        heartbeat: seconds between pings, more where that would be more than `PINGS_PER_SECOND`; a
            viewer that is silent for three of them is aborted.
        keepalive: seconds after which a viewer gets an unasked pong if it got nothing else.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        encoders: Callable[[str], Encoder],
        *,
        stall_timeout: float = 20.0,
        heartbeat: float = 10.0,
        keepalive: float = KEEPALIVE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.occupied = asyncio.Event()
        self._encoders = encoders
        self._stall_timeout = stall_timeout
        self._heartbeat = heartbeat
        self._keepalive = keepalive
        self._clock = clock
        self._chains: dict[tuple[str, int], Chain] = {}
        self._latest: wire.Sample | wire.Failure | None = None
        self._count = 0
        self._failures = 0
        self._order = itertools.count(1)
        self._round = 0
        self._pings: list[tuple[float, int, Viewer]] = []
        self._pinged_at = clock()
        self._unanswered: dict[Viewer, None] = {}
        self._lagging: dict[Viewer, None] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @property
    def lagging(self) -> int:
        """Viewers that had not taken their last frame when the next one came."""
        return len(self._lagging)

    def keep(self, kind: Kind) -> Channel:
        """Return the channel of a kind, whose frames are there with each sample, viewers or not."""
        channel = self._channel(kind)
        channel.kept = True
        return channel

    def join(self, transport: asyncio.WriteTransport, kind: Kind) -> Viewer:
        """Take a viewer in, and send it the newest frame at once."""
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        now = self._clock()
        channel = self._channel(kind)
        viewer = Viewer(channel, transport, now)
        channel.viewers[viewer] = None
        self._count += 1
        if self._count == 1:
            self.occupied.set()
            # Keepalives begin.
            self._wake.set()
        number = next(self._order)
        first = now + self._period * ((number * SPREAD) % 1.0)
        heapq.heappush(self._pings, (first, number, viewer))
        self._serve(viewer, now)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go. What it has not taken by now is dropped with its connection."""
        channel = viewer.channel
        if channel is None:
            return
        viewer.channel = None
        viewer.plain_sailing = False
        del channel.viewers[viewer]
        self._unanswered.pop(viewer, None)
        self._lagging.pop(viewer, None)
        self._count -= 1
        if not self._count:
            self.occupied.clear()
            self._pings.clear()
        self._forget_unused()
        if viewer.transport.get_write_buffer_size():
            viewer.transport.abort()

    def heard(self, viewer: Viewer) -> None:
        """Note that something came from a viewer: it lives."""
        viewer.heard_at = self._clock()

    def answered(self, viewer: Viewer, payload: bytes) -> None:
        """Note a viewer's pong: all that was sent before its ping has come through."""
        if viewer.pinged is None or payload != _payload(viewer.pinged):
            return
        late = self._clock() - viewer.pinged_at > BEHIND
        viewer.pinged, viewer.behind = None, late
        self._unanswered.pop(viewer, None)

    def wants_key(self, viewer: Viewer) -> None:
        """Send a viewer a key frame at the next tick: it can't use a delta."""
        viewer.position = None
        viewer.plain_sailing = False

    def publish(self, latest: wire.Sample | wire.Failure) -> None:
        """Make `latest` the newest sample; the running fan-out sends it."""
        self._latest = latest
        for chain in self._chains.values():
            chain.advance(latest)
        self._wake.set()

    async def run(self) -> None:
        """Send each published frame to all viewers, and keepalives between, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            # Not wait_for(): before Python 3.12 it loses a cancellation that comes with the event.
            alarm = loop.call_later(self._keepalive, self._wake.set) if self._count else None
            try:
                await self._wake.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()
            self._wake.clear()
            await self.fan_out()

    async def fan_out(self) -> None:
        """Give every viewer its turn: the newest frame, a keepalive, or the end."""
        now = self._clock()
        self._round += 1
        self._look_after(now)
        for chain in tuple(self._chains.values()):
            for channel in tuple(chain.channels.values()):
                await self._send(channel)

    async def _send(self, channel: Channel) -> None:
        """Send a channel's newest frame to its viewers, in slices of time."""
        encoder = channel.chain.encoder
        tick, previous = encoder.tick, encoder.previous
        news = any(viewer.position != tick for viewer in channel.viewers)
        if not news and self._clock() - channel.served_at < 0.9 * self._keepalive:
            return
        channel.served_at = self._clock()
        # Who needs no key frame holds the sample of a tick, and so there is one that a delta continues.
        delta = b"" if previous is None or not news else channel.frame(key=False)
        waiting = tuple(channel.viewers)
        paused_at = time.monotonic()
        for start in range(0, len(waiting), SLICE_VIEWERS):
            for viewer in waiting[start : start + SLICE_VIEWERS]:
                if viewer.plain_sailing and viewer.position == previous:
                    transport = viewer.transport
                    if transport.get_write_buffer_size():
                        self._fall_back(viewer)
                        continue
                    viewer.position = tick
                    try:
                        transport.write(delta)
                    except Exception:
                        self._cut_off(viewer)
                elif viewer.channel is not None:
                    try:
                        self._serve(viewer, self._clock())
                    except Exception:
                        self._cut_off(viewer)
            if time.monotonic() - paused_at >= SLICE:
                await asyncio.sleep(0)
                paused_at = time.monotonic()

    def _serve(self, viewer: Viewer, now: float) -> None:
        """Send one viewer what it needs, if it can take it."""
        channel, transport = viewer.channel, viewer.transport
        if channel is None or transport.is_closing():
            return
        if viewer.transport.get_write_buffer_size():
            self._fall_back(viewer)
            return
        if viewer.behind and viewer.pinged is not None:
            return
        encoder = channel.chain.encoder
        if encoder.tick is None:
            return
        ping = None
        if viewer.pinged is None and (viewer.ping_due or viewer.behind):
            ping = viewer.pinged = self._round
            viewer.pinged_at, viewer.ping_due = now, False
            self._unanswered[viewer] = None
        if viewer.position == encoder.tick:
            transport.write(wire.KEEPALIVE if ping is None else _ping(ping))
        else:
            broken = viewer.position is None or viewer.position != encoder.previous
            viewer.position = encoder.tick
            transport.write(channel.frame(key=broken, ping=ping))
        viewer.plain_sailing = not (viewer.ping_due or viewer.behind)

    def _fall_back(self, viewer: Viewer) -> None:
        """Note that a viewer did not take its last frame yet: it misses this one."""
        viewer.plain_sailing = False
        viewer.ping_due = True
        if viewer not in self._lagging:
            self._lagging[viewer] = None
            viewer.backlog, viewer.progress_at = viewer.transport.get_write_buffer_size(), self._clock()

    def _look_after(self, now: float) -> None:
        """Ping whose turn it is, and cut off who takes or answers nothing."""
        for viewer in tuple(self._lagging):
            backlog = viewer.transport.get_write_buffer_size()
            if backlog < viewer.backlog:
                viewer.progress_at = now
            viewer.backlog = backlog
            if not backlog:
                del self._lagging[viewer]
            elif now - viewer.progress_at > self._stall_timeout:
                log.info("a viewer took nothing for too long and is cut off")
                viewer.transport.abort()
        for viewer in self._unanswered:
            if now - viewer.pinged_at <= BEHIND:
                break
            viewer.behind, viewer.plain_sailing = True, False
        # Many that joined together come due together, and yet not all may answer at once.
        turns = math.ceil((now - self._pinged_at) * PINGS_PER_SECOND)
        self._pinged_at = now
        for _ in range(turns):
            if not self._pings or self._pings[0][0] > now:
                break
            due, number, viewer = heapq.heappop(self._pings)
            if viewer.channel is None:
                continue
            if not viewer.transport.get_write_buffer_size() and now - viewer.heard_at > 3 * self._period:
                log.info("a viewer answered nothing for too long and is cut off")
                viewer.transport.abort()
                continue
            viewer.ping_due, viewer.plain_sailing = True, False
            heapq.heappush(self._pings, (max(due, now) + self._period, number, viewer))

    @property
    def _period(self) -> float:
        return max(self._heartbeat, self._count / PINGS_PER_SECOND)

    def _cut_off(self, viewer: Viewer) -> None:
        self._failures += 1
        # The 1st, 2nd, 4th, 8th: what is wrong with a frame cuts off thousands, and again when they come
        # back.
        if not self._failures & (self._failures - 1):
            extra = {"failures": self._failures}
            log.exception("a viewer could not be served and is cut off", extra=extra)
        viewer.transport.abort()

    def _channel(self, kind: Kind) -> Channel:
        chain = self._chains.get((kind.format, kind.every))
        if chain is None:
            chain = Chain(self._encoders(kind.format), kind.every)
            self._chains[kind.format, kind.every] = chain
            if self._latest is not None:
                chain.advance(self._latest)
        if kind.compressed not in chain.channels:
            chain.channels[kind.compressed] = Channel(chain, compressed=kind.compressed)
        return chain.channels[kind.compressed]

    def _forget_unused(self) -> None:
        """Drop channels without viewers, so that nothing is encoded for nobody."""
        for name, chain in tuple(self._chains.items()):
            chain.channels = {
                key: channel
                for key, channel in chain.channels.items()
                if channel.viewers or channel.kept
            }
            if not chain.channels:
                del self._chains[name]

    def _viewers(self) -> list[Viewer]:
        return [
            viewer
            for chain in self._chains.values()
            for channel in chain.channels.values()
            for viewer in channel.viewers
        ]


def _payload(number: int) -> bytes:
    return struct.pack("!Q", number)


def _ping(number: int) -> bytes:
    return wire.ping(_payload(number))
