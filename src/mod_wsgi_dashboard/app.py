"""The aiohttp application: page, WebSocket, API and health, wired around one poller and one hub.

`create_app(settings, source)` returns an ordinary application: to run on its own, to add to another
as a sub-application, or to test. Owns the routes and the wiring. It must not know who serves it, nor
where it is mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import logging
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from mod_wsgi_dashboard import __version__, middlewares
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.rates import Capacity
from mod_wsgi_dashboard.hub import Full, Hub
from mod_wsgi_dashboard.poller import Poller
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.sources import Source
from mod_wsgi_dashboard.supervisor import Supervisor

log = logging.getLogger(__name__)

# A viewer has nothing to say but pings and closes, which are at most 125 bytes each.
VIEWER_MESSAGE_BYTES = 1024

# Apache waits for the sidecar at a graceful restart, the whole site with it: half a second in all.
CLOSE_SECONDS = 0.25

# Without max_viewers: one viewer for so many of Apache's workers.
WORKERS_PER_VIEWER = 5

# A reading is fresh for so many intervals, and at least so many seconds.
FRESH_INTERVALS, FRESH_SECONDS = 3.0, 3.0

IMMUTABLE = "public, max-age=31536000, immutable"


class Dashboard:
    """What the handlers of one application share."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self.settings = settings
        self.supervisor = Supervisor()
        limit = 1 if settings.max_viewers is None else settings.max_viewers
        self.hub = Hub(limit=limit, stall_timeout=settings.stall_timeout, heartbeat=settings.heartbeat)
        self.sockets: set[web.WebSocketResponse] = set()
        self.latest: wire.Sample | wire.Failure | None = None
        self.payload = b""
        self.published_at = 0.0
        self.started_at = time.monotonic()
        self.poller = Poller(
            source,
            settings,
            publish=self.publish,
            viewers=self._count_viewers,
            notices=lambda: self.supervisor.notices,
        )

    def publish(self, latest: wire.Sample | wire.Failure) -> None:
        """Make `latest` what every viewer and the API get."""
        self.latest = latest
        self.payload = wire.encode(latest)
        self.published_at = time.monotonic()
        self.hub.publish(self.payload)

    def _count_viewers(self, capacity: Capacity | None) -> wire.ViewerCount:
        if self.settings.max_viewers is None and capacity is not None:
            self.hub.limit = max(1, capacity.workers // WORKERS_PER_VIEWER)
        return wire.ViewerCount(len(self.hub), self.hub.limit)

    @property
    def fresh(self) -> bool:
        """Whether the last tick is as young as it should be."""
        age = time.monotonic() - self.published_at
        return age <= max(FRESH_INTERVALS * self.settings.interval, FRESH_SECONDS)


DASHBOARD = web.AppKey("mod_wsgi_dashboard", Dashboard)
ASSETS = web.AppKey("mod_wsgi_dashboard.assets", dict[str, Path])
INDEX = web.AppKey("mod_wsgi_dashboard.index", str)


def create_app(settings: Settings, source: Source) -> web.Application:
    """Return the dashboard as an aiohttp application.

    Polling starts with the application and ends with it. As a sub-application
    (`app.add_subapp("/metrics", create_app(...))`) its page is at `/metrics/`.
    """
    app = web.Application(
        # Outermost first: who may ask at all, before anything about the request is believed.
        middlewares=[middlewares.host(settings), middlewares.origin(settings), middlewares.prefix]
    )
    app[DASHBOARD] = Dashboard(settings, source)
    web_root = Path(str(resources.files("mod_wsgi_dashboard"))) / "_web"
    app[ASSETS] = {path.name: path for path in web_root.glob("assets/*")}
    app[INDEX] = _read_index(web_root / "index.html")
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/ws", _websocket),
            web.get("/api/v1/snapshot", _snapshot),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/assets/{name}", _asset),
        ]
    )
    app.on_response_prepare.append(middlewares.add_headers)
    app.cleanup_ctx.append(_background)
    app.on_shutdown.append(_close_viewers)
    return app


async def _background(app: web.Application) -> AsyncIterator[None]:
    dashboard = app[DASHBOARD]
    async with (
        dashboard.supervisor.running("fan-out", dashboard.hub.run),
        dashboard.supervisor.running("poller", dashboard.poller.run),
    ):
        yield


async def _close_viewers(app: web.Application) -> None:
    """Tell viewers that the server restarts, so that they come back; cut off who doesn't hear it."""
    dashboard = app[DASHBOARD]
    closing = [
        asyncio.create_task(socket.close(code=WSCloseCode.GOING_AWAY, message=b"restarting"))
        for socket in tuple(dashboard.sockets)
    ]
    if closing:
        _, pending = await asyncio.wait(closing, timeout=CLOSE_SECONDS)
        dashboard.hub.abort()
        for task in pending:
            task.cancel()
        await asyncio.gather(*closing, return_exceptions=True)


async def _index(request: web.Request) -> web.Response:
    page = request.app[INDEX]
    if not page:
        return middlewares.problem(
            503, "The page is not built in this checkout: run `make setup`. The API works."
        )
    mount = middlewares.forwarded_prefix(request)
    if mount:
        base = f'<base href="{html.escape(mount + request.path)}">'
        page = page.replace("<head>", f"<head>{base}", 1)
    return web.Response(text=page, content_type="text/html")


async def _asset(request: web.Request) -> web.StreamResponse:
    """Serve one built file, pre-compressed where the client takes it; the name holds its hash."""
    path = request.app[ASSETS].get(request.match_info["name"])
    if path is None:
        return middlewares.problem(404, "There is no such file.")
    return web.FileResponse(path, headers={"Cache-Control": IMMUTABLE})


async def _snapshot(request: web.Request) -> web.Response:
    dashboard = request.app[DASHBOARD]
    latest = dashboard.latest
    if latest is None:
        return middlewares.problem(503, "The scoreboard was not read yet.", {"Retry-After": "1"})
    etag = f'"{latest.tick}-{dashboard.started_at:.6f}"'
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"ETag": etag})
    return web.Response(
        status=200 if isinstance(latest, wire.Sample) else 503,
        body=dashboard.payload,
        content_type="application/json",
        headers={"ETag": etag},
    )


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    dashboard = request.app[DASHBOARD]
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        autoping=False,
        compress=False,
        max_msg_size=VIEWER_MESSAGE_BYTES,
    )
    await socket.prepare(request)
    transport = request.transport
    if transport is None:
        return socket
    try:
        viewer = dashboard.hub.join(transport)
    except Full:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=_full(dashboard).encode())
        return socket
    dashboard.sockets.add(socket)
    try:
        async for message in socket:
            dashboard.hub.heard(viewer)
            if message.type is WSMsgType.PING:
                with contextlib.suppress(ConnectionError):
                    await socket.pong(message.data)
    finally:
        dashboard.sockets.discard(socket)
        dashboard.hub.leave(viewer)
    return socket


def _full(dashboard: Dashboard) -> str:
    # A close reason has room for 123 bytes (RFC 6455, 5.5).
    return f"All {dashboard.hub.limit} viewer places are taken; each holds an Apache worker."


async def _healthz(request: web.Request) -> web.Response:
    dashboard = request.app[DASHBOARD]
    body = {
        "status": "ok",
        "version": __version__,
        "uptime": round(time.monotonic() - dashboard.started_at, 3),
        "viewers": len(dashboard.hub),
        "notices": dashboard.supervisor.notices,
    }
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


async def _readyz(request: web.Request) -> web.Response:
    dashboard = request.app[DASHBOARD]
    latest = dashboard.latest
    if latest is None or not dashboard.fresh:
        return middlewares.problem(503, "The scoreboard was not read lately.", {"Retry-After": "1"})
    if isinstance(latest, wire.Failure):
        return middlewares.problem(503, latest.error)
    body = {"status": "ready", "tick": latest.tick}
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def _read_index(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
