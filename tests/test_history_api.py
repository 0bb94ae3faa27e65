"""The recording over HTTP: what is answered, what is refused, and that the live view never waits."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import json
import re
import shlex
import sqlite3
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from blockbuster import blockbuster_ctx
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard import archive, history_api
from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recording import KEY_EVERY, Recording
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import Tape
from tests.core.test_wire import whole
from tests.recordings import AT, LIMIT, Latest, play, record
from tests.served import FixedSource, Served, serving, until

TICKS = 700
END = AT + TICKS - 1
PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")

EVENTS = [
    Event("apache-start", int(AT - 100) * 1000, None, "", {"restart_time": AT - 100}),
    Event("saturation", int(AT + 50) * 1000, int(AT + 60) * 1000, "", {"workers": 60, "peak": 60}),
    Event("bookmark", int(AT + 70) * 1000, None, "1", {"text": "=HYPERLINK(1)"}),
    Event("=cmd", int(AT + 80) * 1000, None, "2", {}),
]


@pytest.fixture(scope="module")
def recorded() -> list[Latest]:
    """What was recorded: 700 ticks, of which one failed."""
    latest = list(play(range(TICKS)))
    one = latest[100]
    latest[100] = wire.Failure(one.tick, one.at, 1.0, "metrics are off", one.viewers, [])
    return latest


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, recorded: list[Latest]) -> Path:
    """A recording that nobody writes to any more."""
    path = tmp_path_factory.mktemp("replay") / "r.sqlite3"
    record(path, recorded)
    with contextlib.closing(Tape(path, limit=LIMIT)) as tape:
        tape._connection.execute("DELETE FROM event")
        tape.write_events(EVENTS)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@contextlib.asynccontextmanager
async def replaying(path: Path) -> AsyncIterator[str]:
    """Serve a replay, and give the address of its API; blocking the event loop fails the test."""
    runner = make_runner(create_replay(Settings(), path, "incident.gz"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with blockbuster_ctx(scanned_modules=["mod_wsgi_dashboard"]):
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
        finally:
            await runner.cleanup()


async def fetch(url: str, **options: Any) -> tuple[int, Any]:
    """Return the status and the decoded JSON of an answer."""
    async with ClientSession() as session, session.get(url, **options) as answer:
        return answer.status, json.loads(await answer.read())


async def test_what_a_replay_is(path: Path) -> None:
    """Its state, its extent, and the file's name."""
    async with replaying(path) as api:
        before = time.time()
        status, answer = await fetch(f"{api}/recording")
    assert 200 == status
    assert before <= answer.pop("now") <= time.time()
    assert answer == {
        "state": "replay",
        "detail": "full",
        "problem": None,
        "since": AT,
        "until": END,
        "history_since": AT,
        "bytes": None,
        "limit": None,
        "interval": 1.0,
        "file": "incident.gz",
    }


async def test_history_is_columns_of_buckets(path: Path, recorded: list[Latest]) -> None:
    """Mean, least and most of each series; a bucket without a sample is missing."""
    async with replaying(path) as api:
        _, fine = await fetch(f"{api}/history?from={AT}&to={AT + 120}&step=1&series=busy,oldest_seconds")
        _, coarse = await fetch(f"{api}/history?from={AT}&to={AT + 120}&points=20&series=busy,workers")
        _, default = await fetch(f"{api}/history")
    busy = {int(each.at): each.rates.busy for each in recorded if isinstance(each, wire.Sample)}
    expected = [int(AT) + n for n in range(120) if n != 100]
    assert (AT, AT + 120, 1, 1.0) == tuple(fine[name] for name in ("from", "to", "step", "interval"))
    assert expected == fine["at"]
    assert ["busy", "oldest_seconds"] == list(fine["series"])
    values = [busy[at] for at in expected]
    assert {"mean": values, "min": values, "max": values} == fine["series"]["busy"]
    assert 10 == coarse["step"]
    for at, mean, least, most in zip(coarse["at"], *coarse["series"]["busy"].values(), strict=True):
        lot = [busy[at + n] for n in range(10) if at + n in busy]
        assert (min(lot), max(lot)) == (least, most)
        assert mean == pytest.approx(sum(lot) / len(lot), abs=0.001)
    # The last 900 seconds, of which 699 were recorded.
    assert list(history.SERIES) == list(default["series"])
    assert (END - 900, END, 1) == (default["from"], default["to"], default["step"])
    assert TICKS - 2 == len(default["at"])


async def test_history_as_csv_has_the_same_numbers(path: Path) -> None:
    """One row a bucket, under names of their own; what is not known is empty."""
    question = f"history?from={AT}&to={AT + 90}&step=10"
    async with replaying(path) as api, ClientSession() as session:
        _, plain = await fetch(f"{api}/{question}")
        async with session.get(f"{api}/{question}&format=csv") as answer:
            assert "text/csv" == answer.content_type
            disposition = answer.headers["Content-Disposition"]
            assert disposition.startswith("attachment; filename=")
            text = await answer.text()
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert [str(at) for at in plain["at"]] == [row["at"] for row in rows]
    for name, columns in plain["series"].items():
        for what, values in columns.items():
            written = ["" if value is None else str(value) for value in values]
            assert written == [row[f"{name}_{what}"] for row in rows]


BAD = [
    *(("from", value) for value in ("", "nan", "inf", "-1", "1e400", "1e12", "9" * 30, "100000000001")),
    *(("from", value) for value in ("\u0661\u0662", "1_0", " 1", "0x1", "yesterday", "1&from=2", ".")),
    *(("to", value) for value in ("nan", "-inf", "", "1&to=1")),
    ("from", f"{AT + 9}&to={AT}"),
]
ONLY = {
    "history": [
        *(
            ("points", value)
            for value in ("0", "-1", "4001", "1.5", "", "\u0665", "9" * 40, "1&points=1")
        ),
        *(("step", value) for value in ("0", "0.0", "-1", "nan", "inf", "", "7862401", "1&step=1")),
        *(("series", value) for value in ("", "busy,", "busy,lazy", "busy&series=idle")),
        *(("format", value) for value in ("", "xml", "CSV", "csv&format=csv")),
        ("step", f"1&from={AT - 5000}"),
    ],
    "states": [("points", value) for value in ("0", "2001", "x")],
    "frames": [],
    "events": [
        *(("limit", value) for value in ("0", "5001", "-5", "")),
        *(("kind", value) for value in ("", "a,,b", "A", "drained;", ",".join(["a"] * 21), "a" * 41)),
        ("format", "text"),
    ],
    "concurrency": [],
}
GRID = [("at", value) for value in ("", "nan", "-1", "x", "1&at=2", "\u0661", "1e")]


@pytest.mark.parametrize("endpoint", [*ONLY, "grid"])
async def test_bad_parameters_are_refused_by_name(path: Path, endpoint: str) -> None:
    """Each is a 400 whose sentence names the parameter."""
    bad = GRID if endpoint == "grid" else [*BAD, *ONLY[endpoint]]
    async with replaying(path) as api, ClientSession() as session:
        for name, value in bad:
            async with session.get(f"{api}/{endpoint}?{name}={value}") as answer:
                found = (answer.status, answer.content_type)
                assert (400, "application/problem+json") == found, (name, value)
                told = json.loads(await answer.read())
            assert 400 == told["status"]
            assert f"`{name}`" in told["detail"]


@pytest.mark.parametrize("endpoint", ["recording", "grid", *ONLY])
async def test_unknown_parameters_are_passed_over(path: Path, endpoint: str) -> None:
    """A newer page may ask for more than this server knows."""
    async with replaying(path) as api:
        status, _ = await lines(f"{api}/{endpoint}?weather=fine&weather=dull")
    assert 200 == status


async def lines(url: str, **options: Any) -> tuple[int, list[Any]]:
    """Return the status and the decoded lines of an answer."""
    async with ClientSession() as session, session.get(url, **options) as answer:
        return answer.status, [json.loads(line) for line in (await answer.read()).splitlines()]


async def test_a_range_of_all_time_is_one_of_all_that_is_kept(path: Path) -> None:
    """However far back it reaches, and whatever is to come."""
    async with replaying(path) as api:
        _, answer = await fetch(f"{api}/history?from=0&to={AT + 10**6}&points=4000&series=busy")
        _, counted = await fetch(f"{api}/concurrency?from=0&to={AT + 10**6}")
        _, events = await fetch(f"{api}/events?from=0&to={AT + 10**6}")
    assert AT + 10**6 - 91 * 86_400 == answer["from"]
    assert answer["at"]
    assert TICKS - 1 == counted["seconds"]
    assert len(EVENTS) == len(events["events"])


async def test_the_sample_of_an_instant(path: Path, recorded: list[Latest]) -> None:
    """It is the one that was recorded, in the plain format, or failed; before all there is none."""
    async with replaying(path) as api:
        for second in (0, 31.4, 99, 100, 699, 10**6):
            status, answer = await fetch(f"{api}/grid?at={AT + second}")
            expected = whole(recorded[min(int(second), TICKS - 1)])
            assert (200, json.loads(wire.encode(expected))) == (status, answer)
        _, newest = await fetch(f"{api}/grid")
        assert recorded[-1].tick == newest["tick"]
        status, answer = await fetch(f"{api}/grid?at={AT - 0.001}")
        assert (404, 404) == (status, answer["status"])


@given(st.integers(10**12, 5 * 10**12))
def test_a_millisecond_survives_json(at_ms: int) -> None:
    """Whoever asks for the instant of a sample, as the API told it, gets that very sample."""
    assert at_ms == history_api._ms(json.loads(json.dumps(at_ms / 1000)))


async def test_letters_over_time(path: Path, recorded: list[Latest]) -> None:
    """Those of all slots, at instants of samples."""
    async with replaying(path) as api:
        status, answer = await fetch(f"{api}/states?from={AT + 90}&to={AT + 110}&points=100")
        _, few = await fetch(f"{api}/states?from={AT}&to={END}&points=7")
    expected = [each for each in recorded[90:111] if isinstance(each, wire.Sample)]
    assert 200 == status
    assert [each.at for each in expected] == answer["at"]
    assert [history.letters(each.snapshot) for each in expected] == answer["letters"]
    assert {answer["slots"]} == set(map(len, answer["letters"]))
    assert 7 == len(few["at"])


async def test_letters_have_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large scoreboard there are fewer points."""
    monkeypatch.setattr(history_api, "MOST_LETTERS", 1000)
    async with replaying(path) as api:
        _, answer = await fetch(f"{api}/states?from={AT}&to={END}&points=2000")
    assert 500 <= sum(map(len, answer["letters"])) <= 1000


CODINGS = ["deflate", "gzip, deflate, br", "Deflate;q=0.5", "identity", "deflate;q=0, gzip", "gzip", ""]


@pytest.mark.parametrize("coding", CODINGS)
async def test_frames_are_one_valid_stream(path: Path, recorded: list[Latest], coding: str) -> None:
    """Put together of what was recorded: for zlib, for aiohttp, and plain for who takes no deflate."""
    deflated = "deflate" in coding.lower() and "q=0," not in coding
    url = f"frames?from={AT + 95}&to={AT + 140}"
    headers = {"Accept-Encoding": coding}
    async with replaying(path) as api, ClientSession(auto_decompress=False) as raw:
        async with raw.get(f"{api}/{url}", headers=headers) as answer:
            assert deflated == (answer.headers.get("Content-Encoding") == "deflate")
            assert ("application/x-ndjson", "Accept-Encoding") == (
                *(answer.content_type, answer.headers["Vary"]),
            )
            body = await answer.read()
        _, decoded = await lines(f"{api}/{url}", headers=headers)
    text = zlib.decompress(body) if deflated else body
    assert text.endswith(b"\n")
    assert decoded == [json.loads(line) for line in text.splitlines()]
    decoder = Decoder()
    assert [whole(each) for each in recorded[90:141]] == list(map(decoder.decode, text.splitlines()))


async def test_no_frames_are_a_valid_stream_too(path: Path) -> None:
    """Before the first there is nothing."""
    async with replaying(path) as api:
        for coding in ("deflate", "identity"):
            assert (200, []) == await lines(
                f"{api}/frames?from=1&to=2", headers={"Accept-Encoding": coding}
            )


@pytest.mark.parametrize(
    ("limit", "value"), [("MOST_FRAMES", 50), ("MOST_FRAME_BYTES", 50_000), ("MOST_FRAME_TEXT", 200_000)]
)
async def test_who_asks_again_gets_all_frames(
    path: Path, recorded: list[Latest], monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """An answer that ended early is gone on with from its last frame."""
    monkeypatch.setattr(history_api, limit, value)
    seen: dict[int, Any] = {}
    start, asked = AT, 0
    async with replaying(path) as api:
        while start < END:
            _, found = await lines(f"{api}/frames?from={start}&to={END}")
            assert len(found) < TICKS / 2
            seen |= {frame["at_ms"]: frame for frame in found}
            start, before = found[-1]["at_ms"] / 1000, start
            assert start > before
            asked += 1
    assert 3 <= asked <= 40
    decoder = Decoder()
    texts = [json.dumps(frame) for _, frame in sorted(seen.items())]
    assert list(map(whole, recorded)) == list(map(decoder.decode, texts))


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_checksums_are_joined(texts: list[bytes]) -> None:
    """The Adler-32 of the whole, from those of its parts."""
    joined = 1
    for text in texts:
        joined = history_api._join_adler(joined, zlib.adler32(text), len(text))
    assert zlib.adler32(b"".join(texts)) == joined


@pytest.fixture
def damaged(path: Path, tmp_path: Path) -> Path:
    """The recording, with a frame that is not what it was."""
    other = tmp_path / "r"
    other.write_bytes(path.read_bytes())
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("UPDATE frame SET adler = 1 WHERE id = 40")
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
    return other


async def test_a_damaged_frame_is_an_error_and_the_next_range_is_read(damaged: Path) -> None:
    """Not a stream that breaks off."""
    async with replaying(damaged) as api:
        for url in (f"frames?from={AT + 31}&to={AT + 59}", f"grid?at={AT + 50}"):
            status, answer = await fetch(f"{api}/{url}")
            assert (503, "a recorded frame is damaged") == (status, answer["detail"])
        assert 200 == (await lines(f"{api}/frames?from={AT + 60}&to={AT + 70}"))[0]
        assert 200 == (await fetch(f"{api}/grid?at={AT + 60}"))[0]


async def test_events_as_json_and_csv(path: Path) -> None:
    """The newest of them in the order of time; no cell of the table is a formula."""
    async with replaying(path) as api, ClientSession() as session:
        _, answer = await fetch(f"{api}/events")
        _, some = await fetch(f"{api}/events?kind=saturation,bookmark&limit=1")
        _, none = await fetch(f"{api}/events?from={AT + 61}&to={AT + 69}")
        async with session.get(f"{api}/events?format=csv") as table:
            rows = list(csv.DictReader((await table.text()).splitlines()))
    assert [each.kind for each in EVENTS] == [each["kind"] for each in answer["events"]]
    assert {"id": 2, "at": AT + 50, "ended": AT + 60, "kind": "saturation"} | {
        "data": {"workers": 60, "peak": 60}
    } == answer["events"][1] | {"id": 2}
    assert ["bookmark"] == [each["kind"] for each in some["events"]]
    assert [] == none["events"]
    assert ["apache-start", "saturation", "bookmark", "'=cmd"] == [row["kind"] for row in rows]
    assert ["", str(AT + 60), "", ""] == [row["ended"] for row in rows]
    assert [each["data"] for each in answer["events"]] == [json.loads(row["data"]) for row in rows]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra"])
def test_cells_that_would_be_formulas(text: str) -> None:
    """Get an apostrophe; numbers, and other texts, stay."""
    assert f"'{text}" == history_api._cell(text)
    assert [-1, "a=1", "", None] == [history_api._cell(value) for value in (-1, "a=1", "", None)]


async def test_time_by_held_workers(path: Path, recorded: list[Latest]) -> None:
    """In whole hours, rounded outwards."""
    async with replaying(path) as api:
        _, answer = await fetch(f"{api}/concurrency?from={AT + 1}&to={END}")
    held = [
        sum(letter not in "_.SI" for letter in history.letters(each.snapshot))
        for each in recorded
        if isinstance(each, wire.Sample)
    ]
    assert (AT, AT + 3600) == (answer["from"], answer["to"])
    assert [[level, held.count(level)] for level in sorted(set(held))] == answer["levels"]
    assert TICKS - 1 == answer["seconds"]
    assert recorded[-1].capacity.workers == answer["workers"]  # type: ignore[union-attr]


ENDPOINTS = ["recording", "history", "states", "frames", "grid", "events", "concurrency"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_headers_of_all_answers(path: Path, endpoint: str) -> None:
    """Nothing is stored, HEAD is GET without the body, and what is large is compressed as asked."""
    async with replaying(path) as api, ClientSession(auto_decompress=False) as session:
        bodies = {}
        for coding in ("identity", "deflate", "gzip"):
            headers = {"Accept-Encoding": coding}
            async with session.get(f"{api}/{endpoint}", headers=headers) as answer:
                bodies[coding] = await answer.read()
                used = answer.headers.get("Content-Encoding", "identity")
                assert used in (coding, "identity")
                assert (200, "no-store") == (answer.status, answer.headers["Cache-Control"])
                assert "Accept-Encoding" == answer.headers["Vary"]
            if used == "deflate":
                bodies[coding] = zlib.decompress(bodies[coding])
            elif used == "gzip":
                bodies[coding] = gzip.decompress(bodies[coding])
            assert (used == "identity") == (
                coding == "identity"
                or len(bodies[coding]) <= 1024
                or (endpoint, coding) == ("frames", "gzip")
            )
            async with session.head(f"{api}/{endpoint}", headers=headers) as head:
                assert (200, b"") == (head.status, await head.read())
                if endpoint != "recording":
                    assert answer.headers["Content-Length"] == head.headers["Content-Length"]
    if endpoint != "recording":
        assert 1 == len(set(bodies.values()))


async def test_a_large_answer_comes_in_pieces(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is the same; HEAD has its length and nothing else."""
    async with replaying(path) as api, ClientSession(auto_decompress=False) as session:
        bodies = []
        for size in (1 << 20, 100):
            monkeypatch.setattr(history_api, "PIECE_BYTES", size)
            async with session.get(f"{api}/states") as answer:
                bodies.append((answer.headers["Content-Length"], await answer.read()))
            async with session.head(f"{api}/states") as head:
                bodies.append((head.headers["Content-Length"], bodies[0][1]))
                assert b"" == await head.read()
    assert 1 == len(set(bodies))


@contextlib.contextmanager
def held_up(served: Served) -> Iterator[list[asyncio.Future[Any]]]:
    """Have the reading thread wait while in the context; what waits for it is in the list."""
    reader = served.app[history_api.ARCHIVE]
    release, reached = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(_: Recording) -> None:
        loop.call_soon_threadsafe(reached.set)
        assert release.wait(30)

    try:
        yield [asyncio.ensure_future(reader.read(wait))]
    finally:
        release.set()


async def first_tick(served: Served) -> None:
    """Wait until something is recorded."""
    reader = served.app[history_api.ARCHIVE]
    for _ in range(500):
        with contextlib.suppress(archive.Unreadable):
            if (await reader.read(Recording.extent)).until is not None:
                return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was recorded")


async def test_a_slow_reading_holds_nothing_up(tmp_path: Path) -> None:
    """While one is under way the scoreboard is read, recorded, and shown; then it is answered."""
    source = FixedSource()
    async with serving(source, interval=0.1, state_dir=str(tmp_path)) as served:
        await first_tick(served)
        with held_up(served) as waiting:
            asked = asyncio.create_task(fetch(f"{served.url}/api/v1/grid"))
            readings = source.readings
            await until(lambda: source.readings >= readings + 5)
            assert not asked.done()
            status, snapshot = await fetch(f"{served.url}/api/v1/snapshot")
            assert (200, "_") == (status, snapshot["snapshot"]["processes"][0]["workers"][0]["status"])
        await asyncio.gather(*waiting)
        status, grid = await asked
    assert 200 == status
    assert "_" == grid["snapshot"]["processes"][0]["workers"][0]["status"]


async def test_too_many_readings_at_once_are_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And told when to come again; once the others are done, there is room."""
    monkeypatch.setattr(archive, "MOST_WAITING", 3)
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await first_tick(served)
        url = f"{served.url}/api/v1/grid"
        with held_up(served) as waiting:
            asked = [asyncio.create_task(fetch(url)) for _ in range(2)]
            await until(lambda: served.app[history_api.ARCHIVE]._waiting == 3)
            async with session.get(url) as answer:
                assert (503, "1") == (answer.status, answer.headers["Retry-After"])
                assert "at once" in (await answer.json())["detail"]
        await asyncio.gather(*waiting)
        assert [200, 200] == [status for status, _ in await asyncio.gather(*asked)]
        assert 200 == (await fetch(url))[0]


async def test_clients_that_go_leave_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While their reading waits, or while a large answer is sent."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served:
        await first_tick(served)
        reader = served.app[history_api.ARCHIVE]
        with held_up(served) as waiting:
            asked = [asyncio.create_task(fetch(f"{served.url}/api/v1/grid")) for _ in range(5)]
            await until(lambda: reader._waiting == 6)
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)
        await asyncio.gather(*waiting)
        await until(lambda: reader._waiting == 0)
        assert 200 == (await fetch(f"{served.url}/api/v1/grid"))[0]
    assert [] == [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL")]


async def test_readings_end_with_the_dashboard(tmp_path: Path) -> None:
    """What waits is told so, and the file is closed."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served:
        await first_tick(served)
        reader = served.app[history_api.ARCHIVE]
    with pytest.raises(archive.Unreadable, match="about to end"):
        await reader.read(Recording.extent)


JSON = {"Content-Type": "application/json"}


async def send(
    served: Served, body: bytes | str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    """Post a bookmark."""
    async with (
        ClientSession() as session,
        session.post(f"{served.url}/api/v1/bookmarks", data=body, headers=headers or JSON) as answer,
    ):
        return answer.status, json.loads(await answer.read())


GOOD_TEXTS = [
    "x",
    " deploy 4711 ",
    "a" * 200,
    "Größe: 3\u00a0€",
    "\U0001f469\u200d\U0001f680 up",
    "<b>&'\"",
    "=1",
]


async def test_bookmarks_that_are_taken(tmp_path: Path) -> None:
    """Any text that can be seen, at the instant that is named, or now."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served:
        await first_tick(served)
        for text in GOOD_TEXTS:
            began = time.time()
            status, made = await send(served, json.dumps({"text": text}))
            assert (201, "bookmark", None) == (status, made["kind"], made["ended"])
            assert {"text": text.strip()} == made["data"]
            assert began - 0.001 <= made["at"] <= time.time() + 0.001
        at = round(time.time() - 3600, 3)
        _, made = await send(served, json.dumps({"at": at, "text": "earlier"}))
        assert at == made["at"]
        _, events = await fetch(f"{served.url}/api/v1/events?kind=bookmark")
        assert len(GOOD_TEXTS) + 1 == len(events["events"])
        assert made == events["events"][0]


BAD_TEXTS = [
    "",
    "  ",
    "a" * 201,
    "a\nb",
    "a\0",
    "\x7f",
    "\u202eevil",
    "\u2066x",
    "\u200bx",
    "a\u2028b",
    "\ue000",
]
BAD_BODIES = [
    *(json.dumps({"text": text}) for text in BAD_TEXTS),
    *(json.dumps({"text": "x", "at": at}) for at in (0, -1, 1e10, 1e300, True, "1790000000", [])),
    *('{"text":"x","at":NaN}', '{"text":"x","at":1e999}', '{"text":"\\ud800"}'),
    *("", "x", "[]", "null", "{}", '{"text":7}', '{"text":"x","more":1}', '{"text":null}', '"x"'),
    b'{"text":"\xff"}',
    json.dumps({"text": "x"}) + " " * 5000,
]


async def test_bookmarks_that_are_refused(tmp_path: Path) -> None:
    """Wrong types and sizes, control and bidi characters, instants out of reach: each is a 400."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await first_tick(served)
        for body in BAD_BODIES:
            status, answer = await send(served, body)
            assert (400, 400) == (status, answer["status"]), body

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1000):
                yield b" " * 1000

        url = f"{served.url}/api/v1/bookmarks"
        with contextlib.suppress(ConnectionError):
            async with session.post(url, data=endless(), headers=JSON) as answer:
                assert 400 == answer.status
        _, events = await fetch(f"{served.url}/api/v1/events?kind=bookmark")
        assert [] == events["events"]
        for number in ("0x1", "-1", "9" * 30, "x", "\u0661"):
            async with session.delete(f"{url}/{number}") as answer:
                assert 400 == answer.status
        async with session.delete(f"{url}/4711") as answer:
            assert 404 == answer.status


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # What a form of another site, or a script without a preflight, can send.
        ({"Content-Type": "text/plain", "Origin": "https://evil.example"}, 403),
        ({"Content-Type": "text/plain", "Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": FORM}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "text/plain; application/json"}, 415),
        ({**JSON, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**JSON, "Sec-Fetch-Site": "same-site"}, 403),
        ({**JSON, "Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, 403),
        # The page itself, and a program.
        ({"Content-Type": "application/json; charset=utf-8", "Sec-Fetch-Site": "same-origin"}, 201),
        (JSON, 201),
    ],
)
async def test_pages_of_other_sites_set_no_bookmarks(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    """Whatever of origin, site and type a browser sends along."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await first_tick(served)
        status, _ = await send(served, '{"text":"x"}', headers)
        assert expected == status
        _, answer = await fetch(f"{served.url}/api/v1/events?kind=bookmark")
        assert (expected == 201) == bool(answer["events"])
        for bookmark in answer["events"]:
            url = f"{served.url}/api/v1/bookmarks/{bookmark['id']}"
            async with session.delete(url, headers={"Sec-Fetch-Site": "cross-site"}) as refused:
                assert 403 == refused.status
        # No preflight is answered.
        async with session.options(f"{served.url}/api/v1/bookmarks", headers=headers) as preflight:
            assert preflight.status in (403, 405)
            assert not [name for name in preflight.headers if name.startswith("Access-Control")]


async def test_a_bookmark_waits_for_a_slow_disk_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who gives up waiting takes nothing from the recorder: it goes on."""
    monkeypatch.setattr(history_api, "WRITE_SECONDS", 0.2)
    source = FixedSource()
    async with serving(source, interval=0.1, state_dir=str(tmp_path)) as served:
        await first_tick(served)
        recorder = served.app[history_api.ARCHIVE].recorder
        assert recorder is not None
        release = threading.Event()
        blocked = recorder.ask(lambda tape: release.wait(30))
        try:
            status, answer = await send(served, '{"text":"late"}')
            assert 503 == status
            assert "too slow" in answer["detail"]
        finally:
            release.set()
        assert blocked.result(10)
        recorded_until = (await fetch(f"{served.url}/api/v1/recording"))[1]["until"]
        readings = source.readings
        await until(lambda: source.readings >= readings + 3)
        _, later = await fetch(f"{served.url}/api/v1/recording")
        assert ("recording", True) == (later["state"], later["until"] > recorded_until)
        _, events = await fetch(f"{served.url}/api/v1/events?kind=bookmark")
        assert ["late"] == [each["data"]["text"] for each in events["events"]]


async def test_where_nothing_is_recorded_there_is_nothing_to_mark(path: Path) -> None:
    """A replay is not changed, and without a recording a bookmark has no place."""
    async with serving(record="off") as served, ClientSession() as session:
        assert 404 == (await send(served, '{"text":"x"}'))[0]
        async with session.delete(f"{served.url}/api/v1/bookmarks/1") as answer:
            assert 404 == answer.status
    async with replaying(path) as api, ClientSession() as session:
        async with session.post(f"{api}/bookmarks", data='{"text":"x"}', headers=JSON) as answer:
            assert 403 == answer.status
        async with session.delete(f"{api}/bookmarks/3") as answer:
            assert 403 == answer.status
        _, events = await fetch(f"{api}/events?kind=bookmark")
        assert 1 == len(events["events"])


def chapter() -> str:
    """Return the page's chapter on the recording."""
    return PAGE[PAGE.index("\n## The recording\n") :]


def commands() -> list[list[str]]:
    """Return the chapter's curl commands."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", chapter(), re.M | re.S)
    text = "".join(blocks).replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("curl ")]


async def run(session: ClientSession, api: str, command: list[str]) -> tuple[int, str, bytes]:
    """Do what a curl command does; return status, content type and body."""
    method, data, url = "GET", None, ""
    headers = {}
    words = iter(command[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-d":
            method, data = "POST", next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-o":
            next(words)
        elif not word.startswith("-"):
            url = word
    # The page's instants are those of no recording.
    url = re.sub(r"1790000(\d{3})", lambda found: f"{AT + int(found[1]):.0f}", url)
    _, _, question = url.partition("/api/v1/")
    async with session.request(method, f"{api}/{question}", data=data, headers=headers) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_the_page_s_commands_are_answered(path: Path) -> None:
    """Each of them, but those that write: a replay refuses these."""
    asked = set()
    async with replaying(path) as api, ClientSession() as session:
        for command in commands():
            status, kind, body = await run(session, api, command)
            writes = "-d" in command or "-X" in command
            asked.add(command[-1].partition("/api/v1/")[2].partition("?")[0].partition("/")[0])
            if "export" in command[-1]:
                continue
            assert (403 if writes else 200) == status, command
            assert body
            assert kind in (
                "text/csv",
                "application/x-ndjson",
                "application/json",
                "application/problem+json",
            )
    assert {*ENDPOINTS, "bookmarks", "export"} == asked


async def test_the_page_s_bookmark_is_taken(tmp_path: Path) -> None:
    """The command that sets one works on a dashboard that records."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await first_tick(served)
        [command] = [command for command in commands() if "-d" in command]
        status, _, body = await run(session, f"{served.url}/api/v1", command)
        assert (201, "deploy 4711") == (status, json.loads(body)["data"]["text"])


async def test_the_page_explains_each_member_and_series(path: Path) -> None:
    """Of every answer; each series, each kind of event, and each limit."""
    text = chapter()
    names = set(history.SERIES)
    async with replaying(path) as api:
        for endpoint in ENDPOINTS:
            if endpoint not in ("frames", "grid"):
                names |= (await fetch(f"{api}/{endpoint}"))[1].keys()
    limits = [
        *(history_api.MOST_POINTS, history_api.MOST_COLUMNS, history_api.MOST_FRAMES),
        *(history_api.MOST_EVENTS, history_api.BOOKMARK_LENGTH, KEY_EVERY),
    ]
    assert [] == sorted(name for name in names if f"`{name}`" not in text)
    assert [] == [limit for limit in limits if not re.search(rf"\b{limit:,}\b", text)]
    kinds = ["apache-start", "graceful", "drained", "process-end", "saturation", "metrics-off"]
    kinds += ["dashboard-start", "clock", "bookmark"]
    assert [] == [kind for kind in kinds if f"| `{kind}` |" not in text]
