"""The dashboard with its rules: what viewers, log, recording and webhook are told."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.webhook import TRY_SECONDS
from tests.conftest import build_metrics
from tests.served import FixedSource, Served, serving, until
from tests.test_webhook import SECRET, Receiver, receiving

FULL = {"name": "full", "when": "busy", "above": 1.0, "clear_for": 0, "severity": "critical"}
STUCK = {"name": "held", "when": "stuck", "clear_for": 0}
OFF = {"name": "off", "when": "error", "clear_for": 0}

SECRET_WORD = "hunter2"

IDLE = build_metrics("____", counts=1, started=1990.0)


def stuck() -> dict[str, Any]:
    """Return a scoreboard where two of four workers have been held for two minutes."""
    line = f"GET /{SECRET_WORD}/17 HTTP/1.1"
    return build_metrics("WW__", counts=1, started=time.time() - 120.0, request=line)


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def get(served: Served, path: str) -> Any:
    async with ClientSession() as session, session.get(f"{served.url}/api/v1/{path}") as answer:
        return json.loads(await answer.read())


def webhook(receiver: Receiver) -> dict[str, Any]:
    return {"webhook_url": f"http://{receiver.url}", "webhook_secret": SECRET}


def told(receiver: Receiver) -> list[tuple[str, str]]:
    bodies = [json.loads(body) for body in receiver.bodies]
    return [(body["type"], body["data"]["rule"]) for body in bodies]


async def test_alerts_begin_and_end_for_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Snapshot, frames, recorded events, log and webhook tell the same, and the log no path."""
    caplog.set_level(logging.INFO, logger="mod_wsgi_dashboard")
    source = FixedSource(stuck())
    async with (
        receiving() as receiver,
        serving(
            source, interval=0.1, state_dir=str(tmp_path), alerts=[FULL, STUCK, OFF], **webhook(receiver)
        ) as served,
        ClientSession() as session,
        session.ws_connect(f"{served.url}/ws", protocols=["mod-wsgi-dashboard.v1"]) as viewer,
    ):
        decoder = Decoder()

        async def seen(*rules: str) -> Any:
            while True:
                latest = decoder.decode(await viewer.receive_str())
                if latest is not None and [alert.rule for alert in latest.alerts] == list(rules):
                    return latest

        (alert,) = (await seen("held")).alerts
        assert (f"GET /{SECRET_WORD}/*", 2, 1.0) == (alert.path, alert.count, alert.threshold)
        assert ["held"] == [each["rule"] for each in (await get(served, "snapshot"))["alerts"]]
        assert 2 == served.dashboard.alarms.stuck
        source.metrics = IDLE
        await seen()
        assert "alerts" not in await get(served, "snapshot")
        source.metrics = build_metrics("WWWW", counts=1, started=time.time())
        await seen("full")
        source.metrics = RuntimeError()
        await seen("off")
        assert ["off"] == [each["rule"] for each in (await get(served, "snapshot"))["alerts"]]
        source.metrics = IDLE
        await seen()
        await until(lambda: len(receiver) == 6)
        await until(lambda: not served.dashboard.webhook or not len(served.dashboard.webhook))
        for _ in range(100):
            events = (await get(served, "events?kind=alert"))["events"]
            if len(events) == 3 and all(event["ended"] for event in events):
                break
            await asyncio.sleep(0.05)
    assert [
        ("alert.began", "held"), ("alert.ended", "held"), ("alert.began", "full"),
        ("alert.ended", "full"), ("alert.began", "off"), ("alert.ended", "off"),
    ] == told(receiver)  # fmt: skip
    assert ["held", "full", "off"] == [event["data"]["rule"] for event in events]
    assert all(event["ended"] >= event["at"] for event in events)
    lines = [record.getMessage() for record in caplog.records if "alert " in record.getMessage()]
    assert 6 == len(lines)
    assert SECRET_WORD not in caplog.text


async def test_a_recording_of_states_has_no_path(tmp_path: Path) -> None:
    """With record = states neither the event nor the frames say what was asked for."""
    kinds = {"interval": 0.1, "alerts": [STUCK], "record": "states", "state_dir": str(tmp_path)}
    async with serving(FixedSource(stuck()), **kinds) as served:
        for _ in range(100):
            events = (await get(served, "events?kind=alert")).get("events")
            if events:
                break
            await asyncio.sleep(0.05)
        grid = await get(served, "grid")
    assert [(None, "held")] == [(event["data"]["path"], event["data"]["rule"]) for event in events]
    assert [{"rule", "kind", "severity", "since", "peak", "threshold", "count"}] == [
        set(alert) for alert in grid["alerts"]
    ]
    assert [] == [name for name in files(tmp_path) if SECRET_WORD.encode() in name.read_bytes()]


async def test_a_webhook_is_looked_out_for() -> None:
    """With record = off and no viewer, polling goes on for whoever is to be told."""
    source = FixedSource(IDLE)
    async with (
        receiving() as receiver,
        serving(source, interval=0.1, record="off", alerts=[FULL], **webhook(receiver)) as served,
    ):
        await until(lambda: source.readings >= 3)
        source.metrics = build_metrics("WWWW", counts=1)
        await until(lambda: len(receiver))
        assert 0 == len(served.dashboard.hub)
    assert [("alert.began", "full")] == told(receiver)


async def test_a_webhook_that_hangs_delays_nothing() -> None:
    """Ticks come as they should while the receiver is silent, and the end doesn't wait for it."""
    waiting, hung = asyncio.Event(), asyncio.Event()

    async def take(_request: web.Request) -> web.StreamResponse:
        hung.set()
        await waiting.wait()
        return web.Response()

    source = FixedSource(build_metrics("WWWW", counts=1))
    loop = asyncio.get_running_loop()
    async with receiving(take=take) as receiver:
        async with serving(source, interval=0.1, record="off", alerts=[FULL], **webhook(receiver)):
            await hung.wait()
            before, began = source.readings, loop.time()
            await until(lambda: source.readings >= before + 20)
            # One try alone may take this long.
            assert loop.time() - began < TRY_SECONDS
            ended = loop.time()
        assert loop.time() - ended < TRY_SECONDS / 2
        waiting.set()


async def test_rules_may_be_off() -> None:
    """Without rules nobody is told anything, however full it is."""
    source = FixedSource(build_metrics("WWWW", counts=1))
    async with serving(source, interval=0.1, record="off", alerts="off") as served:
        assert "alerts" not in await get(served, "snapshot")
        assert () == served.dashboard.alarms.rules


async def test_a_restart_of_the_dashboard_is_none_of_an_alert(tmp_path: Path) -> None:
    """Apache starts another process at each graceful restart: the alert goes on, and ends once."""
    source = FixedSource(stuck())
    async with receiving() as receiver:
        settings = {
            "interval": 0.1,
            "state_dir": str(tmp_path),
            "alerts": [{"name": "old", "when": "oldest", "above": 60, "clear_for": 0}],
            **webhook(receiver),
        }
        async with serving(source, **settings) as served:
            await until(lambda: len(receiver) == 1)
            # The sample that has it is on the disk.
            recorder = served.dashboard.archive.recorder
            assert recorder is not None
            await asyncio.wrap_future(recorder.ask(lambda tape: tape.bytes))
        async with serving(source, **settings) as served:
            await until(lambda: served.dashboard.latest is not None)
            latest = served.dashboard.latest
            assert latest is not None
            assert ["old"] == [alert.rule for alert in latest.alerts]
            source.metrics = IDLE
            await until(lambda: len(receiver) == 2)
            recorder = served.dashboard.archive.recorder
            assert recorder is not None
            await asyncio.wrap_future(recorder.ask(lambda tape: tape.bytes))
            events = (await get(served, "events?kind=alert"))["events"]
    assert [("alert.began", "old"), ("alert.ended", "old")] == told(receiver)
    began, ended = (json.loads(body)["data"] for body in receiver.bodies)
    assert began["began_at"] == ended["began_at"]
    (event,) = events
    assert event["ended"] is not None
