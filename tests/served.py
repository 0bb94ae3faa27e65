"""A dashboard on a real socket, and clients of all manners, for tests of the whole path."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from blockbuster import blockbuster_ctx

from mod_wsgi_dashboard.app import DASHBOARD, Dashboard, create_app
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.sources import Source
from tests.conftest import build_metrics


class FixedSource:
    """Gives the same dict, or raises the same error, at every reading, and counts readings."""

    def __init__(self, metrics: object = None) -> None:
        self.metrics = metrics if metrics is not None else build_metrics("_W_W", counts=1)
        self.readings = 0

    def read(self) -> object:
        self.readings += 1
        if isinstance(self.metrics, BaseException):
            raise self.metrics
        return self.metrics


def big_metrics(workers: int = 1600) -> dict[str, Any]:
    """Return a scoreboard of so many busy workers: its frame is about 450 bytes for each."""
    return build_metrics(*["W" * 25] * (workers // 25), counts=1, request="GET /" + "x" * 50)


class Served:
    """A dashboard that listens on a loopback port."""

    def __init__(self, app: web.Application, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    @property
    def dashboard(self) -> Dashboard:
        return self.app[DASHBOARD]

    async def stalled_viewer(self) -> socket.socket:
        """Connect a viewer that does its handshake and then never reads another byte."""
        loop = asyncio.get_running_loop()
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", self.port))
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(connection, request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += await loop.sock_recv(connection, 1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        return connection


def reset(connection: socket.socket) -> None:
    """Close a connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.asynccontextmanager
async def serving(source: Source | None = None, **settings: Any) -> AsyncIterator[Served]:
    """Serve a dashboard on a free loopback port; a call that blocks the event loop fails the test."""
    app = create_app(Settings(**settings), source or FixedSource())
    runner = make_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with blockbuster_ctx(scanned_modules=["mod_wsgi_dashboard"]):
        try:
            yield Served(app, runner.addresses[0][1])
        finally:
            await runner.cleanup()


async def until(condition: Callable[[], Any], *, seconds: float = 10.0) -> None:
    """Wait for a condition of another task, and fail when it doesn't come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        assert loop.time() < deadline, "the condition did not come"
        await asyncio.sleep(0.01)
