"""`/drain`: what counts as work, and how often it looks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from websockets.asyncio.client import connect

from mod_wsgi_dashboard import drain
from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.core.errors import MetricsOff, ShapeError
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from tests.conftest import CAPTURES, build_metrics, load_capture
from tests.recordings import play, record
from tests.served import FixedSource, Served, serving, until

THROUGH_APACHE = {"X-Forwarded-For": "192.0.2.7"}
AT = 2000.0


def held(*letters: str, own: int = 0, **options: Any) -> drain.Held:
    return drain.count(build_metrics(*letters, **options), own=own, at=AT)


@pytest.mark.parametrize(
    ("letters", "busy", "keepalive"),
    [
        (["____", "...."], 0, 0),
        (["SI_.", "_..."], 0, 0),
        (["RWLD", "C___"], 5, 0),
        (["K___", "WK__"], 1, 2),
        (["G___"], 1, 0),
    ],
)
def test_letters_that_are_work(letters: list[str], busy: int, keepalive: int) -> None:
    """Who reads, sends, logs or closes is at work; who waits on an open connection is not."""
    found = held(*letters)
    assert (busy, busy, keepalive) == (found.busy, found.others, found.keepalive)
    assert found.drained == (busy == 0)


def test_an_idle_thread_that_ends_is_no_work() -> None:
    """A slot with G whose last request has ended waits for the others of its process."""
    metrics = build_metrics("GG__", counts=1, quiescing=(0,))
    metrics["processes"][0]["workers"][0]["stop_time"] = 1995.0
    assert 1 == drain.count(metrics, own=0, at=AT).busy
    for worker in metrics["processes"][0]["workers"]:
        worker["start_time"] = worker["stop_time"] = 0.0
    # ExtendedStatus Off: a busy worker has no times, and nothing tells which of them are.
    metrics["processes"][0]["workers"][2]["status"] = "W"
    assert 3 == drain.count(metrics, own=0, at=AT).busy


def test_processes_that_end_are_work() -> None:
    """mod_status leaves out busy slots of processes that end; what they do is not done all the same."""
    assert 2 == held("WW__", "____", quiescing=(0,)).others


def test_an_old_generation_is_work_even_without_a_busy_slot() -> None:
    """On the event MPM it still sends answers that hold no worker."""
    found = held("____", "____", generations=[1, 2], running_generation=2)
    assert (0, 1, False) == (found.others, found.old_generation, found.drained)


def test_empty_places_are_nothing() -> None:
    """What a place without a process still holds is left over."""
    found = held("WWWW", "____", pids=[0, 100], generations=[0, 1], running_generation=1)
    assert (0, 0, True) == (found.busy, found.old_generation, found.drained)


def test_own_requests_are_taken_off() -> None:
    """Never more of them than there are busy slots."""
    some, all_of_them, too_many = (held("WWW_", own=own) for own in (2, 3, 7))
    assert [(2, 1), (3, 0), (3, 0)] == [(h.own, h.others) for h in (some, all_of_them, too_many)]
    assert [False, True, True] == [h.drained for h in (some, all_of_them, too_many)]


def test_the_oldest_request() -> None:
    """Its age is told while there is work, WebSockets aside."""
    assert 10.0 == held("WW__").oldest_seconds
    assert held("WW__", own=2).oldest_seconds is None
    assert held("W___", request="GET /metrics/ws HTTP/1.1").oldest_seconds is None
    assert held("____").oldest_seconds is None


@pytest.mark.parametrize("metrics", [{}, {"processes": 1}, [], 7])
def test_what_cannot_be_read_is_no_answer(metrics: object) -> None:
    """Another shape, or none, is never taken for an idle server."""
    with pytest.raises(ShapeError):
        drain.count(metrics, own=0, at=AT)
    with pytest.raises(MetricsOff):
        drain.count(None, own=0, at=AT)


@pytest.mark.parametrize("name", CAPTURES)
def test_real_scoreboards_are_counted(name: str) -> None:
    """Of every captured scoreboard what mod_status calls busy counts, connections kept open aside."""
    for metrics in load_capture(name):
        found = drain.count(metrics, own=0, at=metrics["current_time"])
        letters = [
            worker["status"]
            for process in metrics["processes"]
            if process["pid"] and not process["quiescing"]
            for worker in process["workers"]
        ]
        assert found.busy >= sum(letter in "RWLDC" for letter in letters)
        assert found.busy <= sum(len(process["workers"]) for process in metrics["processes"])


async def ask(url: str, **headers: str) -> tuple[int, Any, Any]:
    async with ClientSession() as session, session.get(f"{url}/drain", headers=headers) as answer:
        return answer.status, await answer.json(content_type=None), answer.headers


@asynccontextmanager
async def dashboard(*letters: str, **settings: Any) -> AsyncIterator[tuple[Served, FixedSource]]:
    source = FixedSource(build_metrics(*letters, counts=1))
    async with serving(source, interval=60.0, **settings) as served:
        yield served, source


async def test_the_request_itself_is_no_work() -> None:
    """One busy worker is this very request, if it came through Apache, and another's, if it did not."""
    async with dashboard("W___") as (served, _):
        through, direct = await ask(served.url, **THROUGH_APACHE), await ask(served.url)
    assert (200, "drained", 1, 1) == (
        through[0],
        through[1]["status"],
        through[1]["own"],
        through[1]["busy"],
    )
    assert (503, 0, 1) == (direct[0], direct[1]["own"], direct[1]["others"])
    assert ("1", "application/problem+json") == (direct[2]["Retry-After"], direct[2]["Content-Type"])
    assert direct[1]["detail"].startswith("Not drained yet: 1 worker at work, the oldest request for ")


async def test_viewers_are_no_work() -> None:
    """Each WebSocket through Apache holds a worker until it has ended; one on the loopback port none."""
    async with dashboard("WW__", max_viewers=9, reserve_workers=0) as (served, source):
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with connect(url) as direct, connect(url, additional_headers=THROUGH_APACHE) as viewer:
            for each in (direct, viewer):
                await each.recv()
            status, body, _ = await ask(served.url, **THROUGH_APACHE)
            assert (200, 2, 2) == (status, body["own"], body["busy"])
            _, body, _ = await ask(served.url)
            assert (1, 1) == (body["own"], body["others"])
        await until(lambda: not served.dashboard.connections)
        source.metrics = build_metrics("W___", counts=1)
        _, body, _ = await ask(served.url)
    assert (0, 1) == (body["own"], body["others"])


async def test_each_answer_is_of_a_reading_after_its_request() -> None:
    """Many that ask at once share a reading; who asks later waits for the next; none gets an old one."""
    async with dashboard("____") as (served, source):
        before = source.readings
        began = time.time()
        answers = await asyncio.gather(*(ask(served.url) for _ in range(20)))
        shared = source.readings - before
        source.metrics = build_metrics("W___", counts=1)
        later = await ask(served.url)
        took = time.time() - began
    assert {200} == {status for status, _, _ in answers}
    assert all(body["at"] >= began for _, body, _ in answers)
    assert 503 == later[0]
    assert shared <= 2
    assert took >= drain.PAUSE


async def test_a_client_that_goes_takes_nobodys_answer_along() -> None:
    """One that waits for the same reading still gets it."""
    async with dashboard("____") as (served, _):
        await ask(served.url)  # so that the next one has to wait
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /drain HTTP/1.1\r\nHost: localhost\r\n\r\n")
        other = asyncio.create_task(ask(served.url))
        await asyncio.sleep(drain.PAUSE / 4)
        writer.transport.abort()
        assert 200 == (await other)[0]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [(None, "server-metrics=on"), ({}, "shape"), (OSError("secret"), "raised OSError")],
)
async def test_an_unreadable_scoreboard_is_not_drained(metrics: Any, words: str) -> None:
    """What is not known is a 503 that says why."""
    source = FixedSource()
    source.metrics = metrics
    async with serving(source, interval=60.0) as served:
        status, body, _ = await ask(served.url)
    assert (503, True, False) == (status, words in body["detail"], "secret" in json.dumps(body))


async def test_a_replay_has_nothing_to_drain(tmp_path: Path) -> None:
    """A recording is no server: 404, and never a 200 that somebody believes."""
    record(tmp_path / "r.sqlite3", play(range(3)))
    runner = make_runner(create_replay(Settings(), tmp_path / "r.sqlite3", "r.gz"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        status, body, _ = await ask(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert (404, "This is a recording: there is no Apache to drain.") == (status, body["detail"])
