"""Going through time: in what is remembered, in a file, and in the recording of a dashboard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from blockbuster import blockbuster_ctx

from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.client import asking
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import RunHead, Tape
from mod_wsgi_dashboard.terminal import travel as travel_module
from mod_wsgi_dashboard.terminal.archive import ApiArchive, Archive, FileArchive
from mod_wsgi_dashboard.terminal.travel import Travel
from tests import recordings
from tests.recordings import AT, play

# Two minutes, ten without anything, and one more.
SECONDS = [*range(120), *range(720, 780)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording with a gap, a saturation and a bookmark."""
    path = tmp_path_factory.mktemp("travel") / "recording.sqlite3"
    recordings.record(path, play(SECONDS, scenario="saturation", slots=16))
    tape = Tape(path, limit=recordings.LIMIT)
    tape.begin(RunHead(1.0, "full", "test"))
    tape.add_bookmark(Event("bookmark", int((AT + 50) * 1000), None, "", {"text": "here"}))
    tape.close()
    return path


@pytest.fixture(params=["file", "api"])
async def archive(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Archive]:
    """The recording, read from the file, and asked of a dashboard."""
    if request.param == "file":
        recording = Recording(path, still=True)
        with blockbuster_ctx(scanned_modules=["mod_wsgi_dashboard"]):
            yield FileArchive(recording)
        recording.close()
        return
    runner = make_runner(create_replay(Settings(), path, "recording.sqlite3"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with asking(f"http://127.0.0.1:{runner.addresses[0][1]}/") as api:
            yield ApiArchive(api)
    finally:
        await runner.cleanup()


async def opened(archive: Archive) -> Travel:
    travel = Travel(archive, still=True)
    await travel.open_at_end()
    return travel


def second(travel: Travel) -> float:
    """Return the shown second of the recording."""
    assert travel.shown is not None
    return round(travel.shown.at - AT, 3)


async def test_a_replay_opens_at_its_end(archive: Archive) -> None:
    """The last sample is shown, with the load before it."""
    travel = await opened(archive)
    assert second(travel) == 779
    assert travel.paused
    assert len(travel.points()) >= 59


async def test_samples_follow_each_other_in_both_directions(archive: Archive) -> None:
    """Each sample comes once, across the gap as well, and the ends are said."""
    travel = await opened(archive)
    back = []
    for _ in range(len(SECONDS) - 1):
        await travel.step(-1)
        back.append(second(travel))
    assert back == list(reversed(SECONDS))[1:]
    await travel.step(-1)
    assert (second(travel), travel.trouble) == (0, "There is none before it.")
    on = []
    for _ in range(len(SECONDS) - 1):
        await travel.step(1)
        on.append(second(travel))
    assert on == SECONDS[1:]
    await travel.step(1)
    assert (second(travel), travel.trouble) == (779, "This is the end.")


async def test_ten_at_once(archive: Archive) -> None:
    """Ten samples back and ten on lead to where they began, across the gap too."""
    travel = await opened(archive)
    await travel.seek(AT + 725)
    await travel.step(-10)
    assert second(travel) == 115
    await travel.step(10)
    assert second(travel) == 725


@pytest.mark.parametrize(("wanted", "shown"), [(30.4, 30), (400, 119), (9999, 779), (-50, 0)])
async def test_an_instant_shows_the_sample_before_it(
    archive: Archive, wanted: float, shown: float
) -> None:
    """An instant shows the newest sample at or before it; before all of them, the first."""
    travel = await opened(archive)
    await travel.seek(AT + wanted)
    assert second(travel) == shown
    points = travel.points()
    assert points[-1].at <= AT + shown + 0.001


async def test_events_are_gone_through(archive: Archive) -> None:
    """Back from the end: each event in turn, in words; and on again."""
    travel = await opened(archive)
    texts = []
    while (mark := await travel.jump(-1)) is not None:
        texts.append(mark.text)
    assert "bookmark: here" in texts
    assert "full" in texts
    assert travel.trouble == "No event before this."
    assert second(travel) == 0
    following = await travel.jump(1)
    assert following is not None
    assert second(travel) > 0


async def test_the_chart_is_fetched_where_memory_ends(archive: Archive) -> None:
    """A window of an hour shows the recording before and behind the gap."""
    travel = await opened(archive)
    travel.window = 3
    await travel.fetch_chart(200)
    found = [round(point.at - AT) for point in travel.chart()]
    assert min(found) <= 20
    assert max(found) >= 770
    assert any(point.gap for point in travel.chart()[1:])


async def test_a_recording_that_ends_early_says_so(tmp_path: Path) -> None:
    """An empty recording can't be shown, and the error says why."""
    path = tmp_path / "recording.sqlite3"
    Tape(path, limit=recordings.LIMIT).close()
    recording = Recording(path, still=True)
    with pytest.raises(DashboardError, match="nothing is recorded"):
        await opened(FileArchive(recording))
    recording.close()


# Live


async def test_what_came_is_remembered(archive: Archive) -> None:
    """Live, arrows go through what came, then through the recording; beyond the newest it goes on."""
    travel = Travel(archive)
    coming = list(play(range(780, 790), scenario="saturation", slots=16))
    for latest in coming[:5]:
        travel.take(latest)
    assert travel.live
    await travel.remember(coming[0].at)
    assert round(travel.points()[0].at - AT) <= 2
    await travel.step(-7)
    assert second(travel) == 777
    for latest in coming[5:]:
        travel.take(latest)
    assert second(travel) == 777
    await travel.step(1)
    await travel.step(4)
    assert second(travel) == 782
    await travel.step(100)
    assert (second(travel), travel.live) == (789, True)


def test_without_a_recording_memory_is_all_there_is() -> None:
    """Arrows end at the first sample that came, and say so."""
    travel = Travel(None)

    async def walk() -> None:
        for latest in play(range(3), slots=16):
            travel.take(latest)
        await travel.remember(AT)
        await travel.step(-5)

    asyncio.run(walk())
    assert (second(travel), travel.trouble) == (0, "There is none before it.")


def test_memory_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept costs no more workers than allowed, and the newest always stays."""
    monkeypatch.setattr(travel_module, "MOST_WORKERS", 300)
    travel = Travel(None)
    for latest in play(range(60), slots=64):
        travel.take(latest)
    kept = travel._kept
    assert sum(cost for _, cost in kept) <= 300
    assert 2 <= len(kept) < 60
    assert second(travel) == 59
    assert len(travel.points()) == 60


def test_a_clock_that_is_set_back_takes_the_place_of_what_was_after() -> None:
    """Samples of before the change that are later by the clock are forgotten."""
    travel = Travel(None)
    for latest in [*play(range(10), slots=16), *play(range(5, 7), slots=16)]:
        travel.take(latest)
    assert [round(latest.at - AT) for latest, _ in travel._kept] == list(range(7))
    assert [round(point.at - AT) for point in travel.points()] == list(range(7))


@contextlib.contextmanager
def reading(path: Path) -> Iterator[FileArchive]:
    recording = Recording(path, still=True)
    yield FileArchive(recording)
    recording.close()


async def test_a_dashboard_answers_what_its_file_has(archive: Archive, path: Path) -> None:
    """Samples, points, events and extent are the same by the API and from the file."""
    with reading(path) as file:
        span = (AT + 10, AT + 60)
        assert await file.extent() == await archive.extent()
        assert await file.samples(*span) == await archive.samples(*span)
        assert await file.points(*span, 100) == await archive.points(*span, 100)
        assert await file.marks(*span) == await archive.marks(*span)
