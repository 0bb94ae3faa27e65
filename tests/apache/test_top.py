"""`top` on a real Apache of which every worker is taken."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.apache.load import holding
from tests.apache.processes import wait_until
from tests.apache.server import Case, start
from tests.terminal.test_command import top
from tests.terminal.test_pty import Terminal

pytestmark = pytest.mark.apache

WORKERS = 8


async def test_top_answers_when_apache_does_not() -> None:
    """With all workers taken mod_status waits; `top` by the loopback door says what takes them."""
    settings = {"max_request_workers": str(WORKERS), "reserve_workers": "0", "record": "off"}
    with start(Case("event", "debian", "unix"), settings=settings, workers=WORKERS) as server:
        listen = {"MOD_WSGI_DASHBOARD_LISTEN": server.listen}
        screen = Terminal(size=(80, 24), **listen)
        async with holding(server.url, WORKERS, seconds=6.0):

            def full() -> bool:
                snapshot = json.loads(server.get_directly("/api/v1/snapshot").body)
                return bool(snapshot["rates"]["busy"] == WORKERS)

            await asyncio.to_thread(wait_until, full, 5.0, "all workers are busy")
            async with aiohttp.ClientSession() as session:
                limit = aiohttp.ClientTimeout(1.0)
                with pytest.raises(asyncio.TimeoutError):
                    await session.get(f"{server.url}/server-status?auto", timeout=limit)
            ran = await top("--once", command=None, **listen)
            await screen.until(lambda output: b"Full:" in output and b"GET /slow" in output)
            screen.type("q")
            assert await screen.ended() == 0
    assert ran.status == 0, ran.errors
    assert f"Full: {WORKERS} of {WORKERS} workers busy" in ran.output
    assert f"{WORKERS} of them on GET /slow" in ran.output
