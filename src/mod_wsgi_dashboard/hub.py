"""Fan-out: the same bytes to every viewer, and no viewer in another's way.

Owns the viewers' transports from join to leave. It must not know what a frame says, nor aiohttp:
a transport is asyncio's.

How a slow viewer is kept harmless:

- a frame is written only into an empty buffer, so that a viewer costs at most one frame of memory
  beside the kernel's own buffer (`SEND_BUFFER`); what it misses it never gets, the next one it gets
  is the newest;
- nothing is ever awaited on a viewer: a write into a full socket stays in its transport;
- a viewer that takes no byte for `stall_timeout` seconds is aborted. A polite close would wait for
  its full buffer, which is for ever.

Something goes down each socket at least once a `KEEPALIVE`, whatever the polling interval: Apache
2.4's `restart` and `stop` wait ten seconds for a tunnel that is silent, and its Timeout cuts it. A
ping each `heartbeat` finds viewers that vanished without a word, and their Apache workers with them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from mod_wsgi_dashboard.core import wire

log = logging.getLogger(__name__)

# Linux's default grows to 4 MB and hides a slow reader for minutes; this holds a few small frames.
SEND_BUFFER = 64 * 1024

# A restart with a tunnel that talks once a second takes 1.4 s; with a silent one, 10.4 s.
KEEPALIVE = 1.0

# The fan-out gives way to the event loop after so long: 5,000 viewers then delay nothing else by more.
SLICE = 0.002


class Full(Exception):
    """The viewer limit is reached."""


class Viewer:
    """The hub's side of one connected client."""

    __slots__ = ("backlog", "heard_at", "pinged_at", "progress_at", "sent", "transport")

    def __init__(self, transport: asyncio.WriteTransport, now: float) -> None:
        self.transport = transport
        self.sent: bytes | None = None
        self.backlog = 0
        self.progress_at = now
        self.heard_at = now
        self.pinged_at = now


class Hub:
    """Sends the newest frame to every viewer.

    Args:
        limit: viewers at once; more are refused with `Full`.
        stall_timeout: seconds without a byte taken after which a viewer is aborted.
        heartbeat: seconds between pings; a viewer silent for three of them is aborted.
        keepalive: seconds after which a viewer gets a ping if it got nothing else.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        limit: int,
        stall_timeout: float = 20.0,
        heartbeat: float = 10.0,
        keepalive: float = KEEPALIVE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self._stall_timeout = stall_timeout
        self._heartbeat = heartbeat
        self._keepalive = keepalive
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._frame: bytes | None = None
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, transport: asyncio.WriteTransport) -> Viewer:
        """Take a viewer in, and send it the newest frame at once.

        Raises:
            Full: there are `limit` viewers already.
        """
        if len(self._viewers) >= self.limit:
            raise Full
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        viewer = Viewer(transport, self._clock())
        self._viewers.add(viewer)
        self._serve(viewer, self._clock())
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go. What it has not taken by now is dropped with its connection."""
        self._viewers.discard(viewer)
        if viewer.transport.get_write_buffer_size():
            viewer.transport.abort()

    def heard(self, viewer: Viewer) -> None:
        """Note that something came from a viewer: it lives."""
        viewer.heard_at = self._clock()

    def publish(self, payload: bytes) -> None:
        """Make `payload` the newest text message; the running fan-out sends it."""
        self._frame = wire.text_frame(payload)
        self._wake.set()

    def abort(self) -> None:
        """Cut every viewer off."""
        for viewer in tuple(self._viewers):
            viewer.transport.abort()

    async def run(self) -> None:
        """Send each published frame to all viewers, and keepalives between, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            # Not wait_for(): before Python 3.12 it loses a cancellation that comes with the event.
            alarm = loop.call_later(self._keepalive, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()
            self._wake.clear()
            await self.fan_out()

    async def fan_out(self) -> None:
        """Give every viewer its turn: the newest frame, a keepalive, or the end."""
        paused_at = time.monotonic()
        for viewer in tuple(self._viewers):
            if viewer not in self._viewers:
                continue
            try:
                self._serve(viewer, self._clock())
            except Exception:
                log.exception("a viewer could not be served and is cut off")
                viewer.transport.abort()
            if time.monotonic() - paused_at >= SLICE:
                await asyncio.sleep(0)
                paused_at = time.monotonic()

    def _serve(self, viewer: Viewer, now: float) -> None:
        transport = viewer.transport
        backlog = transport.get_write_buffer_size()
        if backlog == 0 or backlog < viewer.backlog:
            viewer.progress_at = now
        viewer.backlog = backlog
        silent = backlog == 0 and now - viewer.heard_at > 3 * self._heartbeat
        if silent or now - viewer.progress_at > self._stall_timeout:
            log.info("a viewer took nothing for too long and is cut off")
            transport.abort()
        if backlog or transport.is_closing():
            return
        frame = None if self._frame is viewer.sent else self._frame
        if frame is not None:
            transport.write(frame)
            viewer.sent = frame
        if frame is None or now - viewer.pinged_at >= self._heartbeat:
            transport.write(wire.PING)
            viewer.pinged_at = now
        viewer.backlog = transport.get_write_buffer_size()
