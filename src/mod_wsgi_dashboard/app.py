"""The aiohttp application: page, WebSocket, API and health, wired around one poller and one hub.

`create_app(settings, source)` returns an ordinary application: to run on its own, to add to another
as a sub-application, or to test. Owns the routes and the wiring. It must not know who serves it, nor
where it is mounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import html
import logging
import time
import zlib
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from mod_wsgi_dashboard import (
    __version__,
    doctor_page,
    drain,
    export_api,
    exposition,
    fields,
    history_api,
    middlewares,
    openapi,
    selfcheck,
    webhook,
)
from mod_wsgi_dashboard.apacheconf import report
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.archive import Archive
from mod_wsgi_dashboard.core import encoder, metrics, wire
from mod_wsgi_dashboard.core.alerts import Alarms, Alert
from mod_wsgi_dashboard.core.guard import Guard
from mod_wsgi_dashboard.core.rates import Reading
from mod_wsgi_dashboard.hub import Encoder, Hub, Kind, Viewer
from mod_wsgi_dashboard.poller import Poller
from mod_wsgi_dashboard.recorder import Recorder, choose_path, newest_recorded
from mod_wsgi_dashboard.recording import Recording, RecordingError
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.sources import Source
from mod_wsgi_dashboard.supervisor import Supervisor
from mod_wsgi_dashboard.tape import TapeError
from mod_wsgi_dashboard.webhook import Webhook

log = logging.getLogger(__name__)

# A viewer has nothing to say but pings, closes and the wish for a key frame.
VIEWER_MESSAGE_BYTES = 1024

# Apache waits for the sidecar at a graceful restart, the whole site with it: half a second in all.
CLOSE_SECONDS = 0.25

# Slower paces than every tick, in ticks: a few, so that viewers share their bytes.
PACES = (1, 2, 5, 10, 30, 60)

# A viewer that was asked to poll should ask for a WebSocket again after so many seconds.
RETRY_AFTER = 30

# A reading is fresh for so many intervals, and at least so many seconds.
FRESH_INTERVALS, FRESH_SECONDS = 3.0, 3.0

IMMUTABLE = "public, max-age=31536000, immutable"


@dataclasses.dataclass(slots=True)
class Connection:
    """A viewer with its WebSocket, and what it is told when the server lets it go."""

    viewer: Viewer
    socket: web.WebSocketResponse
    through_apache: bool
    handler: asyncio.Task[object]
    farewell: tuple[WSCloseCode, str] | None = None

    def dismiss(self, code: WSCloseCode, reason: str) -> None:
        """Have the handler close the WebSocket; the connection has ended after `CLOSE_SECONDS`."""
        self.farewell = (code, reason)
        # aiohttp's close(), called while a handler waits for messages, would not wait for the reply.
        self.handler.cancel()
        self.handler.get_loop().call_later(CLOSE_SECONDS, self.viewer.transport.abort)

    async def say_farewell(self) -> None:
        """Send the close frame, and wait until the client has answered it, or is gone.

        A connection that ended here already would cost the client its close frame, when it says
        something at that moment: Apache's tunnel then drops what it has not passed on yet. So only
        this direction ends with the frame. While aiohttp shuts down it throws away what comes in, the
        client's close frame as well; the end of the connection that follows it is noticed.
        """
        assert self.farewell is not None
        code, reason = self.farewell
        transport = self.viewer.transport
        if transport.can_write_eof():
            asyncio.get_running_loop().call_soon(transport.write_eof)
        await self.socket.close(code=code, message=reason.encode(), drain=False)


class Dashboard:
    """What the handlers of one application share."""

    def __init__(self, settings: Settings, source: Source | None, archive: Archive) -> None:
        self.settings = settings
        self.archive = archive
        self.supervisor = Supervisor()
        self.guard = Guard(reserve=settings.reserve_workers, max_viewers=settings.max_viewers)
        self.hub = Hub(_make_encoder, stall_timeout=settings.stall_timeout, heartbeat=settings.heartbeat)
        # In the order of joining.
        self.connections: dict[Viewer, Connection] = {}
        # Of these, how many hold a worker of Apache.
        self.holding = 0
        # By the guard, since the start: not let in, and moved to polling.
        self.refused = self.sent_away = 0
        self.latest: wire.Sample | wire.Failure | None = None
        self.alarms = Alarms(settings.alerts)
        url, secret = settings.webhook_url, settings.webhook_secret
        self.webhook = None if url is None or source is None else Webhook(url, secret)
        self.started_at = time.monotonic()
        self.surroundings = selfcheck.look_around(settings)
        self._payload: bytes | None = None
        self.exposition = exposition.Exposition(settings, self.state, mpm=self.surroundings.mpm)
        # In a replay there is nothing to read.
        self.poller = None if source is None else self._make_poller(source)

    def _make_poller(self, source: Source) -> Poller:
        wanted = self.hub.occupied
        if self.settings.record != "off" or self.webhook is not None:
            wanted = asyncio.Event()
            wanted.set()
        return Poller(
            source,
            self.settings,
            wanted=wanted,
            publish=self.publish,
            viewers=self._count_viewers,
            notices=self._notices,
            judge=self._judge,
        )

    def _judge(self, reading: Reading | None, at: float, now: float) -> list[Alert]:
        """Return the alerts; log those that begin or are over, and send them."""
        alerts, changes = self.alarms.observe(reading, at=at, now=now)
        for change in changes:
            webhook.log_change(change)
            if self.webhook is not None:
                self.webhook.offer(change)
        return alerts

    def publish(self, latest: wire.Sample | wire.Failure) -> None:
        """Make `latest` what every viewer and the API get, and have it recorded."""
        self.latest, self._payload = latest, None
        self.hub.publish(latest)
        self.exposition.observe(latest)
        recorder = self.archive.recorder
        if recorder is not None:
            recorder.take(latest)

    def _notices(self) -> list[str]:
        problem = self.archive.status.problem
        return [*self.supervisor.notices, *([] if problem is None else [problem])]

    def refresh(self) -> None:
        """Read the scoreboard, unless it was read within the last interval."""
        if self.poller is not None:
            self.poller.refresh()

    def state(self) -> metrics.State:
        """Return what `/metrics` tells, of a sample no older than the interval."""
        self.refresh()
        poller = self.poller
        assert poller is not None, "a replay has no metrics"
        return metrics.State(
            latest=self.latest,
            ticks=poller.ticks,
            failures=poller.failures,
            interval=self.settings.interval,
            lag=poller.lag,
            duration=poller.duration,
            refused=self.refused,
            let_go=self.sent_away,
            recording=self._recording_state(),
            rules=[(rule.name, rule.severity) for rule in self.alarms.rules],
            stuck=self.alarms.stuck,
        )

    def _recording_state(self) -> metrics.Recording | None:
        if self.settings.record == "off":
            return None
        status, recorder = self.archive.status, self.archive.recorder
        return metrics.Recording(
            up=status.state == "recording" and status.problem is None,
            size=status.bytes,
            limit=self.settings.record_bytes,
            dropped=None if recorder is None else recorder.dropped,
        )

    async def watch(self) -> None:
        """Read the scoreboard at each tick, for ever."""
        if self.poller is not None:
            await self.poller.run()
        self.publish(await self.archive.read(_newest_sample))
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Send alerts while in the context, if there is a webhook."""
        if self.webhook is None:
            yield
            return
        async with self.supervisor.running("webhook", self.webhook.run):
            yield

    @contextlib.asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Record while in the context, as the settings say; whatever is wrong, the rest works."""
        settings = self.settings
        if settings.record != "off" and self.poller is not None:
            try:
                path = await asyncio.to_thread(choose_path, settings)
            except TapeError as error:
                log.error("nothing is recorded: %s", error)
                self.archive.give_up(f"Nothing is recorded. {error}")
            else:
                await self._adopt_alerts(path)
                chain = self.hub.keep(Kind(settings.record, compressed=True))
                recorder = Recorder(path, settings, chain)
                recorder.start()
                self.archive.attach(recorder)
        try:
            yield
        finally:
            self.archive.close()
            if self.archive.recorder is not None:
                await asyncio.to_thread(self.archive.recorder.close)

    async def _adopt_alerts(self, path: Path) -> None:
        """Go on with the alerts of the process before: each graceful restart is another one."""
        at = time.time()
        last = await asyncio.to_thread(newest_recorded, path, until=at)
        if last is not None:
            self.alarms.adopt(last.alerts, seen_at=last.at, at=at, now=time.monotonic())

    @property
    def payload(self) -> bytes:
        """The newest sample in the plain format, encoded when it is first asked for."""
        if self._payload is None:
            assert self.latest is not None
            self._payload = wire.encode(self.latest)
        return self._payload

    def _count_viewers(self, reading: Reading | None) -> wire.ViewerCount:
        if reading is not None:
            surplus = self.guard.observe(reading, held=self.holding, now=time.monotonic())
            if surplus:
                self._let_go(surplus)
        connected, holding = len(self.hub), self.holding
        room = self.guard.room(connected=connected, held=holding)
        return wire.ViewerCount(
            connected=connected,
            limit=room.limit,
            holding=holding,
            free=room.free,
            reserve=room.reserve,
            accepting=room.accepting,
        )

    def _let_go(self, count: int) -> None:
        """Move the newest viewers that hold a worker of Apache to polling."""
        newest = [c for c in reversed(self.connections.values()) if c.through_apache][:count]
        reason = self.guard.refusal(connected=0, held=0, through_apache=True) or "No worker is free."
        extra = {"moved": len(newest), "viewers": len(self.hub)}
        text = "%s %d of %d viewers were moved to polling"
        log.warning(text, reason, len(newest), len(self.hub), extra=extra)
        self.sent_away += len(newest)
        for connection in newest:
            self.leave(connection.viewer)
            connection.dismiss(WSCloseCode.TRY_AGAIN_LATER, reason)

    def join(
        self, transport: asyncio.WriteTransport, socket: web.WebSocketResponse, kind: Kind, *, held: bool
    ) -> Connection:
        """Take a viewer in, whose handler is the current task."""
        handler = asyncio.current_task()
        assert handler is not None
        viewer = self.hub.join(transport, kind)
        connection = Connection(viewer, socket, held, handler)
        self.connections[viewer] = connection
        self.holding += held
        self.guard.joined(through_apache=held)
        return connection

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go; nothing happens if it went before."""
        connection = self.connections.pop(viewer, None)
        if connection is not None:
            self.holding -= connection.through_apache
        self.hub.leave(viewer)

    @property
    def fresh(self) -> bool:
        """Whether the last tick is as young as it should be."""
        limit = max(FRESH_INTERVALS * self.settings.interval, FRESH_SECONDS)
        return self.poller is None or self.poller.age <= limit


def _newest_sample(recording: Recording) -> wire.Sample | wire.Failure:
    """Return the last that was recorded, as if it were now, with nobody else looking."""
    until = recording.extent().until or 0.0
    latest = recording.sample_at(int(until * 1000))
    if latest is None:
        raise RecordingError("the recording holds no whole sample")
    viewers = wire.ViewerCount(connected=0, limit=latest.viewers.limit)
    return msgspec.structs.replace(latest, viewers=viewers, notices=[])


def _make_encoder(name: str) -> Encoder:
    if name == "plain":
        return encoder.PlainEncoder()
    return encoder.Encoder(detail="states" if name == "states" else "full")


DASHBOARD = web.AppKey("mod_wsgi_dashboard", Dashboard)
ASSETS = web.AppKey("mod_wsgi_dashboard.assets", dict[str, Path])
INDEX = web.AppKey("mod_wsgi_dashboard.index", str)


def create_app(settings: Settings, source: Source) -> web.Application:
    """Return the dashboard as an aiohttp application.

    The scoreboard is read at each tick and recorded; with `record = off`, and without a webhook, it is
    read once at the start, and then while there are viewers, or when the API is asked. Within another
    (`app.add_subapp("/metrics", create_app(...))`) its page is at `/metrics/`.
    """
    return _create(settings, Dashboard(settings, source, Archive()), source)


def create_replay(settings: Settings, path: Path, name: str) -> web.Application:
    """Return the dashboard on a recording, without any Apache.

    Args:
        settings: who may ask.
        path: the recording, which nobody writes to any more.
        name: what the page calls it.
    """
    return _create(settings, Dashboard(settings, None, Archive(path, replay=name)), None)


def _create(settings: Settings, dashboard: Dashboard, source: Source | None) -> web.Application:
    app = web.Application(middlewares=[middlewares.admission(settings)])
    app[DASHBOARD] = dashboard
    app[history_api.ARCHIVE] = dashboard.archive
    app[history_api.SETTINGS] = settings
    app[export_api.WRITING] = asyncio.Lock()
    if source is not None:
        app[exposition.EXPOSITION] = dashboard.exposition
    app[middlewares.HELD] = set()
    app[drain.DRAIN] = drain.Drain(source, app[middlewares.HELD])
    web_root = Path(str(resources.files("mod_wsgi_dashboard"))) / "_web"
    app[ASSETS] = {path.name: path for path in web_root.glob("assets/*")}
    app[INDEX] = _read_index(web_root / "index.html")
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/ws", _websocket),
            web.get("/api/v1/snapshot", history_api.told(_snapshot)),
            *history_api.routes(),
            *export_api.routes(),
            *exposition.routes(),
            web.get("/api/v1/doctor", _doctor_data),
            web.get("/doctor", _doctor),
            web.get(f"/{doctor_page.STYLE_NAME}", _doctor_style),
            *drain.routes(),
            *openapi.routes(),
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
        dashboard.recording(),
        dashboard.sending(),
        dashboard.supervisor.running("fan-out", dashboard.hub.run),
        dashboard.supervisor.running("poller", dashboard.watch),
    ):
        yield


async def _close_viewers(app: web.Application) -> None:
    """Tell viewers that the server restarts, so that they come back; cut off who doesn't hear it."""
    dashboard = app[DASHBOARD]
    connections = tuple(dashboard.connections.values())
    for connection in connections:
        dashboard.leave(connection.viewer)
        connection.dismiss(WSCloseCode.GOING_AWAY, "restarting")
    if connections:
        await asyncio.wait([c.handler for c in connections], timeout=CLOSE_SECONDS)


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
    wanted = history_api.asked_fields(request)
    dashboard.refresh()
    latest = dashboard.latest
    if latest is None:
        return middlewares.problem(503, "The scoreboard was not read yet.", {"Retry-After": "1"})
    which = "" if wanted is None else f"-{fields.tag(wanted)}"
    headers = {"ETag": f'"{latest.tick}-{dashboard.started_at:.6f}{which}"'}
    if not latest.viewers.accepting:
        # When to ask for a WebSocket again.
        headers["Retry-After"] = str(RETRY_AFTER)
    if headers["ETag"] in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    return web.Response(
        status=200 if isinstance(latest, wire.Sample) else 503,
        body=dashboard.payload if wanted is None else fields.encode(latest, wanted),
        content_type="application/json",
        headers=headers,
    )


def _examine(request: web.Request) -> list[Finding]:
    dashboard = request.app[DASHBOARD]
    dashboard.refresh()
    recorder = dashboard.archive.recorder
    return selfcheck.examine(
        dashboard.surroundings,
        dashboard.settings,
        dashboard.latest,
        request.headers,
        recording=dashboard.archive.status,
        recorded_to=None if recorder is None else recorder.path,
    )


async def _doctor(request: web.Request) -> web.Response:
    return web.Response(text=doctor_page.page(_examine(request)), content_type="text/html")


async def _doctor_data(request: web.Request) -> web.Response:
    return web.json_response(report.as_data(_examine(request), selfcheck.READ))


async def _doctor_style(_request: web.Request) -> web.Response:
    return web.Response(text=doctor_page.STYLE, content_type="text/css")


async def _websocket(request: web.Request) -> web.StreamResponse:
    dashboard = request.app[DASHBOARD]
    try:
        wish = _wish(request)
    except ValueError as error:
        return middlewares.problem(400, str(error))
    socket = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        autoping=False,
        compress=True,
        protocols=(wire.SUBPROTOCOL,),
        max_msg_size=VIEWER_MESSAGE_BYTES,
    )
    await socket.prepare(request)
    transport = request.transport
    if transport is None:
        return socket
    # A window smaller than ours can't take our compressed frames; plain ones are always legal.
    kind = wish._replace(compressed=socket.compress == zlib.MAX_WBITS)
    held = middlewares.came_through_apache(request)
    dashboard.refresh()
    refusal = dashboard.guard.refusal(
        connected=len(dashboard.hub), held=dashboard.holding, through_apache=held
    )
    if refusal is not None:
        dashboard.refused += 1
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=refusal.encode())
        return socket
    connection = dashboard.join(transport, socket, kind, held=held)
    try:
        async for message in socket:
            await _hear(dashboard.hub, connection.viewer, socket, message)
    except asyncio.CancelledError:
        if connection.farewell is None:
            raise
        await connection.say_farewell()
    finally:
        dashboard.leave(connection.viewer)
    return socket


async def _hear(hub: Hub, viewer: Viewer, socket: web.WebSocketResponse, message: WSMessage) -> None:
    hub.heard(viewer)
    if message.type is WSMsgType.PONG:
        hub.answered(viewer, bytes(message.data))
    elif message.type is WSMsgType.PING:
        with contextlib.suppress(ConnectionError):
            await socket.pong(message.data)
    elif message.type is WSMsgType.TEXT and wire.asks_for_key(message.data):
        hub.wants_key(viewer)


def _wish(request: web.Request) -> Kind:
    """Return what a viewer asks for.

    Raises:
        ValueError: it asks for what there is not.
    """
    offered = request.headers.get("Sec-WebSocket-Protocol", "").split(",")
    detail, every = request.query.get("detail", "full"), request.query.get("every", "1")
    if detail not in ("full", "states"):
        raise ValueError("`detail` is full or states.")
    if every not in map(str, PACES):
        raise ValueError(f"`every` is a number of ticks: {', '.join(map(str, PACES))}.")
    if wire.SUBPROTOCOL in map(str.strip, offered):
        return Kind(detail, int(every))
    if detail != "full":
        raise ValueError(f"Less detail needs the subprotocol {wire.SUBPROTOCOL}.")
    return Kind("plain", int(every))


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
    if not dashboard.hub.occupied.is_set():
        dashboard.refresh()
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
