"""The servers under test, each a process of its own: `python -m benchmarks.servers KIND --port ...`.

Owns how each one is started on the fake `mod_wsgi` of `scoreboard`. It must not know who connects.

- `dashboard`: this package, through its public entry points, as a service script runs it;
- `unredacted`: the dashboard with redaction off, to see what of its bytes redaction saves;
- `reference`: a server that does what mod_wsgi's documented example does: a whole snapshot, indented,
  to one client after another, each send awaited, aiohttp's defaults, a second's sleep in between;
- `example`: the documented example itself, unchanged, from a path: to show that the reference is fair.

The floor, a loop of `send()` in C, is `floor.c`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import mmap
import runpy
import signal
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks import scoreboard

# As in the documented example.
HEARTBEAT = 30
POLL_INTERVAL = 1.0

# How often the event loop is asked whether it is on time, and for how many samples there is room.
LAG_INTERVAL = 0.001
LAG_SAMPLES = 200_000
LAG_SAMPLE = struct.Struct("=dd")

CLIENTS: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("clients", set)

# No viewer is refused.
MAX_VIEWERS = 1_000_000


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("dashboard", "unredacted", "reference", "example"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ticks", type=Path, required=True, help="prepared ticks")
    parser.add_argument("--stamps", type=Path, required=True, help="where to note when ticks begin")
    parser.add_argument("--lag", type=Path, help="measure the event loop's lag, and write it here")
    parser.add_argument("--example", type=Path, help="the documented example")
    arguments = parser.parse_args()
    scoreboard.install(arguments.ticks, arguments.stamps)
    if arguments.kind == "example":
        # It listens on 127.0.0.1:8765, whatever the port.
        runpy.run_path(str(arguments.example), run_name="example")
        return
    if arguments.kind == "reference":
        serving = serve_reference(arguments.port)
    else:
        serving = serve_dashboard(arguments.port, redact=arguments.kind == "dashboard")
    if arguments.lag is None:
        asyncio.run(serving)
        return
    asyncio.run(_with_lag(serving, arguments.lag))


async def serve_dashboard(port: int, *, redact: bool) -> None:
    """Serve the dashboard as its service script does."""
    from mod_wsgi_dashboard.app import create_app
    from mod_wsgi_dashboard.service import serve_app
    from mod_wsgi_dashboard.settings import Settings
    from mod_wsgi_dashboard.sources import ModWsgiSource

    settings = Settings.load({}, listen=f"127.0.0.1:{port}", max_viewers=MAX_VIEWERS, redact=redact)
    await serve_app(create_app(settings, ModWsgiSource()), settings)


async def serve_reference(port: int) -> None:
    """Serve what the documented example serves, on any port."""
    logging.basicConfig(level=logging.INFO)
    app = web.Application()
    app[CLIENTS] = set()
    app.router.add_get("/ws", _client)
    app.cleanup_ctx.append(_sending)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


async def _client(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT)
    await socket.prepare(request)
    request.app[CLIENTS].add(socket)
    try:
        async for _message in socket:
            pass
    finally:
        request.app[CLIENTS].discard(socket)
    return socket


async def _sending(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_send_forever(app))
    yield
    task.cancel()


async def _send_forever(app: web.Application) -> None:
    # Only there at run time: `scoreboard.install` has made it.
    import mod_wsgi  # type: ignore[import-untyped, unused-ignore]

    server_metrics: Callable[[], Any] = mod_wsgi.server_metrics
    clients = app[CLIENTS]
    while True:
        payload = json.dumps({"snapshot": server_metrics()}, indent=2)
        for socket in list(clients):
            with contextlib.suppress(ConnectionResetError):
                await socket.send_str(payload)
        await asyncio.sleep(POLL_INTERVAL)


async def _with_lag(serving: Coroutine[Any, Any, None], path: Path) -> None:
    """Serve, and measure the lag of the event loop meanwhile. That costs some 50 ms of CPU a second."""
    monitor = asyncio.create_task(_monitor(_map(path)))
    try:
        await serving
    finally:
        monitor.cancel()


def _map(path: Path) -> mmap.mmap:
    """Return an empty file, mapped: what is noted stays, however this process ends."""
    with path.open("w+b") as file:
        file.truncate(LAG_SAMPLES * LAG_SAMPLE.size)
        return mmap.mmap(file.fileno(), 0)


async def _monitor(samples: mmap.mmap) -> None:
    """Note when a sleep should have ended, and how many seconds later it did."""
    for number in range(LAG_SAMPLES):
        due = time.monotonic() + LAG_INTERVAL
        await asyncio.sleep(LAG_INTERVAL)
        late = max(0.0, time.monotonic() - due)
        LAG_SAMPLE.pack_into(samples, number * LAG_SAMPLE.size, due, late)


if __name__ == "__main__":
    main()
