"""The dashboard inside an aiohttp application of your own, at /metrics/.

As a service script inside Apache it shows Apache's workers; run by hand, with `python app.py [PORT]`,
simulated ones.
"""

import asyncio
import contextlib
import sys
import time

from aiohttp import web

from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.core.errors import NotInsideApache
from mod_wsgi_dashboard.service import serve_app
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import ModWsgiSource, SimulatorSource, Source


async def index(_request: web.Request) -> web.Response:
    return web.Response(text="My own page; the dashboard is at /metrics/\n")


async def to_dashboard(_request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently("/metrics/")


def scoreboard() -> Source:
    """Return Apache's scoreboard, or a simulated one outside of Apache."""
    try:
        return ModWsgiSource()
    except NotInsideApache:
        return SimulatorSource(Simulator(start_at=time.time() - 600))


def make_app(settings: Settings) -> web.Application:
    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/metrics", to_dashboard)
    app.add_subapp("/metrics/", create_app(settings, scoreboard()))
    return app


# mod_wsgi imports a service script under a name of its own.
if __name__ == "__main__" or __name__.startswith("_mod_wsgi_"):
    listen = {"listen": f"127.0.0.1:{sys.argv[1]}"} if sys.argv[1:] else {}
    settings = Settings.load(**listen)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_app(make_app(settings), settings))
