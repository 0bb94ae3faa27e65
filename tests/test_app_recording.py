"""The dashboard with its recorder: what the application does with it, and without it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import connect

from mod_wsgi_dashboard.tape import Tape
from tests.served import FixedSource, Served, serving, until


async def get(served: Served, path: str) -> tuple[int, Any]:
    async with ClientSession() as session, session.get(f"{served.url}/api/v1/{path}") as answer:
        return answer.status, json.loads(await answer.read())


async def recorded(served: Served, *, after: float = 0.0) -> dict[str, Any]:
    """Wait for what is recorded after an instant, and return how the recording stands."""
    for _ in range(500):
        status, answer = await get(served, "recording")
        assert 200 == status
        if (answer["until"] or 0.0) > after:
            return dict(answer)
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was recorded")


async def test_it_records_without_viewers(tmp_path: Path) -> None:
    """A dashboard that nobody looks at records each tick."""
    source = FixedSource()
    async with serving(source, interval=0.1, state_dir=str(tmp_path)) as served:
        first = await recorded(served)
        await until(lambda: source.readings >= 5)
        status, grid = await get(served, "grid")
    assert ("recording", "full") == (first["state"], first["detail"])
    assert 200 == status
    assert "W" == grid["snapshot"]["processes"][0]["workers"][1]["status"]


async def test_off_means_off(tmp_path: Path) -> None:
    """With record = off there is no file, and each address that reads it says so."""
    async with serving(record="off", state_dir=str(tmp_path / "none")) as served:
        _, recording = await get(served, "recording")
        answers = [await get(served, path) for path in ("history", "grid", "frames", "events")]
    assert ("off", None) == (recording["state"], recording["problem"])
    assert {404} == {status for status, _ in answers}
    assert all("record is off" in answer["detail"] for _, answer in answers)
    assert not (tmp_path / "none").exists()


async def test_letters_alone(tmp_path: Path) -> None:
    """With record = states no request, client or virtual host is in the file."""
    async with serving(record="states", interval=0.1, state_dir=str(tmp_path)) as served:
        status = await recorded(served)
        _, grid = await get(served, "grid")
    workers = [worker for process in grid["snapshot"]["processes"] for worker in process["workers"]]
    assert "states" == status["detail"]
    assert ["_", "W", "_", "W"] == [worker["status"] for worker in workers]
    assert {("", "", "")} == {(w["request"], w["client"], w["vhost"]) for w in workers}
    assert [] == grid["rates"]["vhosts"]


async def test_no_directory_is_told_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be written the live view works, and says what to change; the log, once."""
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.ERROR):
        async with serving(interval=0.1, state_dir=str(tmp_path / "file")) as served:
            async with connect(f"ws://127.0.0.1:{served.port}/ws") as viewer:
                samples = [json.loads(await viewer.recv()) for _ in range(3)]
            _, recording = await get(served, "recording")
            status, history = await get(served, "history")
    assert "failed" == recording["state"]
    assert "state_dir" in recording["problem"]
    assert [recording["problem"]] == samples[-1]["notices"]
    assert (404, recording["problem"]) == (status, history["detail"])
    assert 1 == len([record for record in caplog.records if "state_dir" in record.getMessage()])


async def test_a_second_dashboard_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """What an earlier dashboard recorded is there, and the gap between the two is an event."""
    settings: dict[str, Any] = {"interval": 0.1, "state_dir": str(tmp_path)}
    async with serving(**settings) as served:
        first = await recorded(served)
    async with serving(**settings) as served:
        second = await recorded(served, after=first["until"])
        _, events = await get(served, "events?kind=dashboard-start")
    assert first["since"] == second["since"]
    assert [None, True] == [e["data"]["gap"] and e["data"]["gap"] > 0 for e in events["events"]]


async def test_bookmarks(tmp_path: Path) -> None:
    """A bookmark is an event at its instant, until it is removed; foreign pages can set none."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await recorded(served)
        url = f"{served.url}/api/v1/bookmarks"
        async with session.post(url, json={"text": "deploy 4711"}) as answer:
            made = await answer.json()
            assert (201, "deploy 4711") == (answer.status, made["data"]["text"])
        async with session.post(
            url, json={"text": "x"}, headers={"Origin": "https://evil.example"}
        ) as refused:
            assert 403 == refused.status
        _, events = await get(served, "events?kind=bookmark")
        assert [made] == events["events"]
        async with session.delete(f"{url}/{made['id']}") as gone:
            assert 204 == gone.status
        _, events = await get(served, "events?kind=bookmark")
        assert [] == events["events"]


async def test_only_bookmarks_can_be_removed(tmp_path: Path) -> None:
    """What the recorder itself noted stays."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await recorded(served)
        _, events = await get(served, "events")
        number = events["events"][0]["id"]
        async with session.delete(f"{served.url}/api/v1/bookmarks/{number}") as answer:
            assert 404 == answer.status
        assert events == (await get(served, "events"))[1]


async def test_a_stuck_disk_holds_no_tick_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk takes nothing, ticks go on to viewers; and the recording goes on after it."""
    free = threading.Event()
    append = Tape.append

    def stuck(tape: Tape, tick: Any) -> None:
        free.wait(20)
        append(tape, tick)

    monkeypatch.setattr(Tape, "append", stuck)
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served:
        async with connect(f"ws://127.0.0.1:{served.port}/ws") as viewer:
            ticks = [json.loads(await viewer.recv())["tick"] for _ in range(8)]
        free.set()
        await recorded(served)
    assert list(range(ticks[0], ticks[0] + 8)) == ticks
