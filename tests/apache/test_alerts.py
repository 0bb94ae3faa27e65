"""Rules on a real Apache: what a webhook and the error log are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from tests.apache.load import holding, in_flight
from tests.apache.server import Case, start
from tests.served import until
from tests.test_webhook import SECRET, receiving, signature

pytestmark = pytest.mark.apache

WORKERS = 10

RULES = [
    {
        "name": "nearly-full",
        "when": "busy",
        "above": 0.8,
        "for": 1,
        "clear_for": 1,
        "severity": "critical",
    },
    {"name": "held", "when": "stuck", "clear_for": 1},
    {"name": "restarted", "when": "restart"},
]


async def test_a_real_apache_is_told_of(figure: Callable[[str], None]) -> None:
    """A restart, a pool that fills up, and a request far beyond its path's usual are sent, signed."""
    async with receiving() as receiver, aiohttp.ClientSession() as session:
        settings = {
            "alerts": json.dumps(RULES),
            "webhook_url": f"http://{receiver.url}",
            "webhook_secret": SECRET,
            "max_request_workers": str(WORKERS),
            "interval": "0.25",
            "record": "off",
        }

        def told() -> dict[tuple[str, str], Any]:
            bodies = [json.loads(body) for body in receiver.bodies]
            return {(body["data"]["rule"], body["type"]): body["data"] for body in bodies}

        case = Case("event", "pypi", "unix")
        server = await asyncio.to_thread(start(case, settings=settings, workers=WORKERS).__enter__)
        try:
            # What is usual must be learnt first, from one request a slot and reading.
            for _ in range(30):
                async with session.get(f"{server.url}/slow?s=0.05") as response:
                    assert 200 == response.status
                await asyncio.sleep(0.1)
            async with holding(server.url, 1, seconds=12.0):
                with contextlib.ExitStack() as stack:
                    for _ in range(8):
                        stack.enter_context(in_flight(server.port, "/metrics/api/v1/bookmarks"))
                    await until(lambda: ("nearly-full", "alert.began") in told())
                await until(lambda: ("nearly-full", "alert.ended") in told())
                await until(lambda: ("held", "alert.began") in told(), seconds=15.0)
            await until(lambda: ("held", "alert.ended") in told())
            log = server.error_log
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
        found = told()
    assert ("restarted", "alert.began") in found
    full, held = found["nearly-full", "alert.ended"], found["held", "alert.ended"]
    assert (0.8, "critical") == (full["threshold"], full["severity"])
    assert 0.8 <= full["peak"] <= 1.0
    assert 1.0 <= full["seconds"] < 12.0
    assert ("GET /slow", 1) == (held["path"], found["held", "alert.began"]["count"])
    assert 10.0 <= held["peak"] < 30.0
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        assert signature(headers, body) == headers["webhook-signature"]
    lines = [line for line in log.splitlines() if ": alert " in line or "webhook" in line]
    assert len(lines) >= 5
    assert not any("/slow" in line or "hunter2" in line for line in lines)
    figure(f"a request of 12 s was told of after {found['held', 'alert.began']['peak']:.1f} s")


async def test_a_graceful_restart_is_none_of_an_alert() -> None:
    """The dashboard is another process then, and the alert goes on: one beginning, one end."""
    rule = {"name": "old", "when": "oldest", "above": 1, "clear_for": 1}
    async with receiving() as receiver:
        settings = {
            "alerts": json.dumps([rule]),
            "webhook_url": f"http://{receiver.url}",
            "interval": "0.25",
        }

        def told() -> list[str]:
            return [json.loads(body)["type"] for body in receiver.bodies]

        case = Case("event", "debian", "unix")
        server = await asyncio.to_thread(start(case, settings=settings, workers=WORKERS).__enter__)
        try:
            async with holding(server.url, 1, seconds=9.0):
                await until(lambda: told() == ["alert.began"], seconds=5.0)
                before = server.sidecar_pid()
                await asyncio.to_thread(server.graceful)
                await until(lambda: server.sidecar_pid() not in (None, before), seconds=6.0)
            await until(lambda: "alert.ended" in told())
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
    assert ["alert.began", "alert.ended"] == told()
    began, ended = (json.loads(body)["data"] for body in receiver.bodies)
    assert began["began_at"] == ended["began_at"]
    assert ended["seconds"] > began["seconds"] + 1.0
