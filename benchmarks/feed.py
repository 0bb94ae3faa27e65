"""A page of a real Chromium, fed from the simulator on a simulated clock.

Owns the server behind the page: the dashboard's own, but for `ws`, which sends frames made beforehand,
at the pace that is asked. What is sent are the bytes that the hub would send. It must not know what is
measured of the page, or pictured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import threading
import zlib
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from aiohttp import WSMsgType, web
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.children import BenchmarkError
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource

# Root may not use Chromium's sandbox, and the pages are our own; the others keep it from asking anybody
# but the server.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

# The name by which the browser knows the server: the port is another one at each run.
HOST = "www.example.com"
MOUNT = "/metrics"
REFERENCE = "/reference"

# As the page tells that what it got is drawn: after the animation frame in which that is done.
DRAWN = "drawn"
SCRIPT = """
    delete window.SharedWorker; // the page then has its own socket
    window.WebSocket = class extends WebSocket {
        constructor(...given) {
            super(...given);
            const tell = () => this.send("drawn");
            this.addEventListener("message", () => requestAnimationFrame(() => setTimeout(tell)));
        }
    };
"""

# What the documented example's page does with a message.
REFERENCE_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>reference</title></head>
<body>
<pre id="out">connecting...</pre>
<script>
  const out = document.getElementById("out");
  new WebSocket("ws").onmessage = (message) => (out.textContent = message.data);
</script>
</body>
</html>
"""

# A tick of the reference was seen to take seconds.
PATIENCE = 60.0

LEVEL = 1  # of compression, the hub's

T = TypeVar("T")


def readings(
    scenario: str, slots: int, *, start_at: float, after: float, seed: int = 1
) -> Iterator[dict[str, object]]:
    """Yield the simulator's scoreboards, a second apart, from so many seconds after its start on."""
    simulator = Simulator(scenario=scenario, slots=slots, seed=seed, start_at=start_at)
    at = start_at + after
    while True:
        metrics = simulator.server_metrics(at)
        assert metrics is not None
        yield metrics
        at += 1.0


def frames(
    scoreboards: Iterable[dict[str, object]], *, max_request_workers: int | None = None
) -> Iterator[bytes]:
    """Make of scoreboards what the hub would send to a page: a key frame, then deltas."""
    reader, encoder = Reader(Redactor()), Encoder()
    previous: rates.Reading | None = None
    for tick, metrics in enumerate(scoreboards, start=1):
        board = reader.read(metrics)
        previous = rates.read(
            board, previous=previous, elapsed=1.0, max_request_workers=max_request_workers
        )
        viewers = wire.ViewerCount(1, 50)
        at = board.current_time
        encoder.advance(
            wire.Sample(tick, at, 1.0, board, previous.rates, previous.capacity, viewers, [])
        )
        yield _frame(encoder.key() if tick == 1 else encoder.delta())


def dumps(scoreboards: Iterable[dict[str, object]]) -> Iterator[bytes]:
    """Make of scoreboards what the documented example sends to a page."""
    for metrics in scoreboards:
        yield _frame(json.dumps({"snapshot": metrics}, indent=2).encode())


def _frame(text: bytes) -> bytes:
    return wire.websocket_frame(wire.deflate(text, LEVEL), compressed=True)


class Stage:
    """Feeds one page at a time. Made by `staged`; its methods are for another thread than its loop's."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._frames: Iterator[bytes] = iter(())
        self._transport: asyncio.WriteTransport | None = None
        self._trouble: str | None = None
        self._sent = 0
        self._drawn = asyncio.Semaphore(0)

    def load(self, to_send: Iterable[bytes]) -> None:
        """Have the next page that comes get these; the first of them at once."""
        self._call(self._load(iter(to_send)))

    def arrived(self) -> None:
        """Wait until the first frame is drawn."""
        self._call(self._wait_drawn())

    def play(self, ticks: int, *, pace: float | None = None) -> None:
        """Send so many more frames, and wait until all are drawn.

        Args:
            pace: seconds from one to the next, and from the last to the end; None to send each as soon
                as the one before it is drawn.

        Raises:
            BenchmarkError: the page has lost its connection, asked for a key frame, or draws nothing.
        """
        self._call(self._play(ticks, pace), patience=PATIENCE + ticks * (pace or PATIENCE))

    async def _load(self, to_send: Iterator[bytes]) -> None:
        self._frames, self._transport, self._trouble = to_send, None, None
        self._drawn = asyncio.Semaphore(0)

    async def _wait_drawn(self) -> None:
        try:
            await asyncio.wait_for(self._drawn.acquire(), PATIENCE)
        except asyncio.TimeoutError:
            self._trouble = self._trouble or "the page draws nothing"
        if self._trouble is not None:
            raise BenchmarkError(self._trouble)

    async def _play(self, ticks: int, pace: float | None) -> None:
        began = self._loop.time()
        following = next(self._frames)
        for tick in range(ticks):
            if pace is not None:
                await asyncio.sleep(began + tick * pace - self._loop.time())
            self._send(following)
            if tick + 1 < ticks:
                following = next(self._frames)  # while the page draws
            if pace is None:
                await self._wait_drawn()
        if pace is not None:
            for _ in range(ticks):
                await self._wait_drawn()
            await asyncio.sleep(began + ticks * pace - self._loop.time())

    def _send(self, frame: bytes) -> None:
        if self._transport is None:
            raise BenchmarkError("no page is connected")
        self._transport.write(frame)

    async def _join(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=True, protocols=(wire.SUBPROTOCOL,))
        await socket.prepare(request)
        if self._transport is not None or socket.compress != zlib.MAX_WBITS:
            self._trouble = "the page came back, or wants another compression"
            return socket
        self._transport = request.transport
        self._send(next(self._frames))
        async for message in socket:
            if message.type is WSMsgType.TEXT and message.data != DRAWN:
                self._trouble = f"the page asked for something: {message.data!r}"
            self._drawn.release()
        return socket

    async def _reference(self, _request: web.Request) -> web.Response:
        return web.Response(text=REFERENCE_PAGE, content_type="text/html")

    def _call(self, work: Coroutine[Any, Any, T], patience: float = 2 * PATIENCE) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)

    async def _serve(self) -> web.AppRunner:
        app = web.Application()
        # Before the dashboard: its own WebSocket is not asked.
        app.router.add_get(f"{MOUNT}/ws", self._join)
        app.router.add_get(f"{REFERENCE}/ws", self._join)
        app.router.add_get(f"{REFERENCE}/", self._reference)
        settings = Settings(allowed_hosts=(HOST,))
        app.add_subapp(f"{MOUNT}/", create_app(settings, SimulatorSource(Simulator())))
        runner = make_runner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        return runner

    @contextlib.contextmanager
    def serving(self) -> Iterator[Stage]:
        """Serve for the length of the context, on a loop in a thread."""
        self._thread.start()
        runner = self._call(self._serve())
        try:
            yield self
        finally:
            self._call(runner.cleanup())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@contextlib.contextmanager
def staged() -> Iterator[tuple[Stage, Browser]]:
    """Give a stage, and a Chromium that knows it as `HOST`.

    Raises:
        BenchmarkError: there is no Chromium.
    """
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        raise BenchmarkError("a Chromium is needed: apt install chromium")
    with Stage().serving() as stage, sync_playwright() as playwright:
        place = f"--host-resolver-rules=MAP {HOST}:80 127.0.0.1:{stage.port}"
        browser = playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS, place])
        try:
            yield stage, browser
        finally:
            browser.close()


@contextlib.contextmanager
def opened(
    stage: Stage,
    browser: Browser,
    to_send: Iterable[bytes],
    *,
    path: str = f"{MOUNT}/",
    script: str = "",
    **options: Any,
) -> Iterator[Page]:
    """Open a page, in a context of its own, on which the first frame is drawn.

    Args:
        to_send: its frames.
        path: path and fragment of its address.
        script: what to run in it before its own scripts.
        options: Playwright's, of a context.

    Raises:
        BenchmarkError: a script of the page failed.
    """
    stage.load(to_send)
    errors: list[str] = []
    with browser.new_context(**options) as context:
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.add_init_script(SCRIPT + script)
        page = context.new_page()
        page.goto(f"http://{HOST}{path}")
        stage.arrived()
        yield page
        page.goto("about:blank")
    if errors:
        raise BenchmarkError(f"the page failed: {errors[0]}")
