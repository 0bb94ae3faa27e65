"""A recording is read as it was written: at every edge, across runs, and around what is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recording import (
    DELTA,
    KEY_EVERY,
    MARKER,
    SCHEMA,
    EmptyRecording,
    Frame,
    NotARecording,
    OtherSchema,
    Recording,
    RecordingError,
    check_schema,
)
from mod_wsgi_dashboard.tape import Tape
from tests.core.test_wire import whole
from tests.recordings import AT, LIMIT, Latest, Run, play, record

AT_MS = int(AT * 1000)


@contextlib.contextmanager
def reading(path: Path, *, still: bool = False) -> Iterator[Recording]:
    recording = Recording(path, still=still)
    try:
        yield recording
    finally:
        recording.close()


def change(path: Path, statement: str, *values: object) -> None:
    """Change a recording behind everybody's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)


def ms(latest: Latest) -> int:
    return int(latest.at * 1000)


def samples_of(frames: Iterable[Frame]) -> list[Latest]:
    """Return what a viewer makes of recorded frames, which skips to the next key when it must."""
    decoder, found = Decoder(), []
    for frame in frames:
        with contextlib.suppress(ChainBroken):
            latest = decoder.decode(frame.text())
            assert latest is not None
            found.append(latest)
    return found


def failing(latest: Iterable[Latest], *numbers: int) -> list[Latest]:
    """Return samples, some of which could not be read."""
    return [
        wire.Failure(each.tick, each.at, 1.0, "off", each.viewers, []) if n in numbers else each
        for n, each in enumerate(latest)
    ]


def newest(recorded: Iterable[Latest], at_ms: int) -> Latest | None:
    """Return the last of some samples, in order, at or before an instant."""
    before = [latest for latest in recorded if ms(latest) <= at_ms]
    return whole(before[-1]) if before else None


def all_frames(recording: Recording, start: float, end: float) -> list[Frame]:
    return recording.frames(
        AT_MS + int(1000 * start), AT_MS + int(1000 * end), most=10_000, most_bytes=1 << 30
    )


def test_each_instant_reads_back_what_was_recorded(tmp_path: Path) -> None:
    """At each tick and a millisecond to both sides, at failures, in a gap, before all and after all."""
    seconds = [*range(70), *range(200, 240)]
    recorded = failing(play(seconds), 0, 31, 32, 80)
    record(tmp_path / "r", recorded)
    instants = {AT_MS - 1, AT_MS + 120_000, AT_MS + 10**9}
    instants |= {ms(latest) + shift for latest in recorded for shift in (-1, 0, 1)}
    with reading(tmp_path / "r") as recording:
        for at_ms in sorted(instants):
            assert newest(recorded, at_ms) == recording.sample_at(at_ms)


def test_frames_of_a_range_hold_all_its_samples(tmp_path: Path) -> None:
    """From the newest key at or before its beginning on, to the last frame at or before its end."""
    recorded = failing(play([*range(70), *range(200, 240)]), 31, 32)
    record(tmp_path / "r", recorded)
    with reading(tmp_path / "r") as recording:
        for start, end in [(0, 0), (5, 5), (29, 31), (31.5, 33), (45, 210), (100, 150), (239, 999)]:
            frames = all_frames(recording, start, end)
            assert frames[0].kind != DELTA
            assert frames[0].at_ms <= AT_MS + 1000 * start
            earlier = [each for each in recorded if ms(each) <= AT_MS + int(1000 * start)]
            assert ms(earlier[-1]) - frames[0].at_ms < KEY_EVERY * 1000
            expected = [
                whole(each) for each in recorded if frames[0].at_ms <= ms(each) <= AT_MS + 1000 * end
            ]
            assert expected == samples_of(frames)
        assert [] == all_frames(recording, -10, -1)
        assert AT_MS == all_frames(recording, -10, 3)[0].at_ms


def test_limits_of_frames(tmp_path: Path) -> None:
    """By number, by bytes and by text; at least one frame comes, so that who asks again gets on."""
    record(tmp_path / "r", play(range(100)))
    with reading(tmp_path / "r") as recording:
        every = all_frames(recording, 0, 100)
        bounds = {"most": 1000, "most_bytes": 1 << 30, "most_text": 1 << 30}

        def count(**changes: int) -> int:
            found = recording.frames(AT_MS, AT_MS + 100_000, **{**bounds, **changes})
            assert every[: len(found)] == found
            return len(found)

        assert (100, 7, 1) == (count(), count(most=7), count(most=1))
        assert (1, 1) == (count(most_bytes=1), count(most_text=1))
        bytes_of_ten = sum(len(frame.body) for frame in every[:10])
        text_of_ten = sum(frame.size for frame in every[:10])
        assert (10, 11) == (count(most_bytes=bytes_of_ten), count(most_bytes=bytes_of_ten + 1))
        assert (10, 11) == (count(most_text=text_of_ten), count(most_text=text_of_ten + 1))


def test_where_runs_overlap_the_newer_one_counts(tmp_path: Path) -> None:
    """One dashboard still writes while the next one does; a third one begins after a gap."""
    one = list(play(range(0, 60)))
    two = list(play([second + 0.5 for second in range(50, 90)], slots=32))
    three = list(play(range(200, 210)))
    path = tmp_path / "r"
    first, second = Run(path), Run(path)
    for latest in sorted([*one, *two], key=attrgetter("at")):
        (first if latest in one else second).add(latest)
    for run in (first, second):
        run.tape.close()
    record(path, three)
    seen = [*(each for each in one if each.at < two[0].at), *two, *three]
    with reading(path) as recording:
        assert [1, 2, 3] == [run.number for run in recording.runs()]
        for at_ms in range(AT_MS - 500, AT_MS + 220_000, 250):
            assert newest(seen, at_ms) == recording.sample_at(at_ms)
        assert list(map(whole, seen)) == samples_of(all_frames(recording, 0, 300))
        # Of 64 slots those that came last, and none of the 32 between.
        states = recording.states(AT_MS, AT_MS + 300_000, points=300, most_bytes=1 << 20)
        slots = len(states.letters[-1])
        expected = [each for each in seen if len(letters_of(each)) == slots]
        assert list(map(letters_of, expected)) == states.letters


def test_a_run_within_another_hides_only_its_own_time(tmp_path: Path) -> None:
    """Behind it the older run counts again, from its next key on; until then, the newer one's end."""
    outer, inner = list(play(range(100))), list(play([s + 0.5 for s in range(40, 45)]))
    path = tmp_path / "r"
    record(path, outer)
    record(path, inner)
    with reading(path) as recording:
        assert [1, 2, 1] == [run.number for run in recording.runs()]
        assert whole(inner[-1]) == recording.sample_at(AT_MS + 50_000)
        assert whole(outer[60]) == recording.sample_at(AT_MS + 60_000)
        assert whole(outer[40]) == recording.sample_at(AT_MS + 40_250)
        expected = [*outer[:41], *inner, *outer[60:]]
        assert list(map(whole, expected)) == samples_of(all_frames(recording, 0, 100))


def test_a_chain_that_lost_its_beginning_is_read_from_its_next_key(tmp_path: Path) -> None:
    """Retention drops the oldest frames: the deltas that are left are of no use to anybody."""
    recorded = list(play(range(100)))
    path = tmp_path / "r"
    record(path, recorded)
    change(path, "DELETE FROM frame WHERE id <= 10")
    with reading(path) as recording:
        assert AT + KEY_EVERY == recording.extent().since
        assert recording.sample_at(AT_MS + 20_000) is None
        assert whole(recorded[KEY_EVERY]) == recording.sample_at(AT_MS + 1000 * KEY_EVERY)
        assert list(map(whole, recorded[KEY_EVERY:])) == samples_of(all_frames(recording, 0, 100))
        states = recording.states(AT_MS, AT_MS + 100_000, points=200, most_bytes=1 << 20)
        assert list(map(letters_of, recorded[KEY_EVERY:])) == states.letters
    change(path, "DELETE FROM frame")
    with reading(path) as recording:
        assert recording.sample_at(AT_MS + 99_000) is None
        assert [] == all_frames(recording, 0, 100)
        assert ([], []) == recording.states(AT_MS, AT_MS + 100_000, points=9, most_bytes=99)
        assert (None, None) == recording.extent()[:2]


def letters_of(latest: Latest) -> str:
    return history.letters(latest.snapshot) if isinstance(latest, wire.Sample) else ""


@pytest.mark.parametrize(
    ("start", "end", "points"), [(0, 120, 120), (40, 65, 10), (33, 119, 7), (50, 50, 3)]
)
def test_letters_are_those_of_the_newest_sample_in_each_step(
    tmp_path: Path, start: int, end: int, points: int
) -> None:
    """Failures have none; a range may begin between two keys."""
    recorded = failing(play(range(120)), 45)
    record(tmp_path / "r", recorded)
    step = max((end - start) / points, 0.001)
    expected: dict[int, Latest] = {}
    for latest in recorded:
        if isinstance(latest, wire.Sample) and start <= latest.at - AT <= end:
            expected[min(int((latest.at - AT - start) / step), points - 1)] = latest
    with reading(tmp_path / "r") as recording:
        found = recording.states(
            AT_MS + 1000 * start, AT_MS + 1000 * end, points=points, most_bytes=1 << 20
        )
    assert [latest.at for latest in expected.values()] == pytest.approx(found.at, abs=0.001)
    assert list(map(letters_of, expected.values())) == found.letters


def test_long_ranges_of_letters_take_keys_alone_and_few_bytes(tmp_path: Path) -> None:
    """With steps of eight ticks and more; and of large scoreboards there are fewer steps."""
    recorded = list(play(range(400)))
    record(tmp_path / "r", recorded)
    with reading(tmp_path / "r") as recording:
        keys = recording.states(AT_MS, AT_MS + 400_000, points=50, most_bytes=1 << 20)
        few = recording.states(AT_MS, AT_MS + 400_000, points=400, most_bytes=10 * 80)
    assert [float(AT + n) for n in range(0, 400, KEY_EVERY)] == keys.at
    slots = len(letters_of(recorded[0]))
    assert 1 <= len(few.letters) <= 10 * 80 // slots


def test_the_extent(tmp_path: Path) -> None:
    """From the oldest key to the newest tick, and from the oldest bucket of any tier on."""
    path = tmp_path / "r"
    record(path, play(range(100, 200)), detail="states")
    with reading(path) as recording:
        assert (AT + 100, AT + 199, 1.0, "states") == tuple(recording.extent()[n] for n in (0, 1, 3, 4))
        assert int(AT) + 60 == recording.extent().history_since


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    """No file, an empty one, and one that holds tables but no tick."""
    path = tmp_path / "r"
    with reading(path) as recording:
        with pytest.raises(EmptyRecording):
            recording.extent()
        path.touch()
        with pytest.raises(EmptyRecording):
            recording.extent()
        path.unlink()
        Tape(path, limit=LIMIT).close()
        assert (None, None, None, 1.0, "full") == recording.extent()
        assert recording.sample_at(AT_MS) is None
        assert ([], []) == recording.states(0, AT_MS, points=10, most_bytes=100)
        assert ([], {}) == (recording.events(0, AT_MS, most=5), recording.levels(0, 3600))
        assert [] == recording.aggregates(0, AT, 60)[0].at
        assert recording.workers_limit() is None


@pytest.mark.parametrize("content", [b"no recording at all" * 99, b"SQLite format 3\0" + b"\7" * 4096])
def test_something_else_is_no_recording(tmp_path: Path, content: bytes) -> None:
    """A text, and what only begins as a database does."""
    (tmp_path / "r").write_bytes(content)
    with reading(tmp_path / "r") as recording, pytest.raises(NotARecording):
        recording.extent()


def test_recordings_of_others(tmp_path: Path) -> None:
    """Somebody else's database, and a recording of another version, each say so."""
    path = tmp_path / "r"
    change(path, "CREATE TABLE frame (id)")
    with reading(path) as recording, pytest.raises(NotARecording, match="no recording of"):
        recording.runs()
    other = tmp_path / "s"
    record(other, play([0]))
    change(other, f"PRAGMA user_version = {SCHEMA + 1}")
    with reading(other) as recording, pytest.raises(OtherSchema, match="a newer"):
        recording.runs()


def test_a_file_that_was_set_aside_is_left(tmp_path: Path) -> None:
    """The next reading is of the file that has its name now; or says that there is none."""
    path = tmp_path / "r"
    one, two = list(play(range(10))), list(play(range(50, 60)))
    record(path, one)
    with reading(path) as recording:
        assert whole(one[-1]) == recording.sample_at(AT_MS + 99_000)
        for part in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{part}", f"{path}.damaged{part}")
        with pytest.raises(EmptyRecording):
            recording.sample_at(AT_MS + 99_000)
        record(path, two)
        assert whole(two[-1]) == recording.sample_at(AT_MS + 99_000)
        assert recording.sample_at(AT_MS + 9_000) is None


DAMAGES = {
    "body": "UPDATE frame SET body = x'00' WHERE id = 41",
    "bit": "UPDATE frame SET adler = adler + 1 WHERE id = 41",
    "long": "UPDATE frame SET size = size - 1 WHERE id = 41",
    "short": "UPDATE frame SET size = size + 1 WHERE id = 41",
    "negative": "UPDATE frame SET size = -1 WHERE id = 41",
    "huge": "UPDATE frame SET size = 1 << 60 WHERE id = 41",
    "kind": "UPDATE frame SET kind = 1 WHERE id = 41",
    "gone": "DELETE FROM frame WHERE id = 41",
    "ended": "UPDATE frame SET body = CAST(x'0300' || body AS BLOB) WHERE id = 41",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_frame_costs_its_chain_alone(tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with one row: samples behind it are an error, all others are right."""
    path = tmp_path / "r"
    recorded = list(play(range(100)))
    record(path, recorded)
    change(path, DAMAGES[damage])
    with reading(path) as recording:
        for second in (39, 61, 5, 90):
            assert whole(recorded[second]) == recording.sample_at(AT_MS + 1000 * second)
            with pytest.raises(NotARecording, match="damaged"):
                recording.sample_at(AT_MS + 45_000)
        assert list(map(whole, recorded[60:])) == samples_of(all_frames(recording, 60, 100))


def test_a_frame_that_unpacks_to_gigabytes_is_cut_short() -> None:
    """Nothing longer than a row says is ever made of it."""
    body = wire.deflate(b"x" * (32 << 20), 9) + MARKER
    for size in (10, -5, 1 << 62):
        with pytest.raises(NotARecording):
            Frame(0, 1, size, 0, body).text()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE frame SET letters = x'0011' WHERE id = 41",
        "UPDATE frame SET letters = (SELECT letters FROM frame WHERE id = 200) WHERE id = 41",
    ],
)
def test_damaged_letters(tmp_path: Path, damage: str) -> None:
    """What can't be unpacked, or is of another length, is an error; a range without it is right."""
    path = tmp_path / "r"
    recorded = list(play(range(100)))
    record(path, recorded)
    record(path, play(range(300, 420), slots=128))
    change(path, damage)
    with reading(path) as recording:
        with pytest.raises(NotARecording, match="letters"):
            recording.states(AT_MS, AT_MS + 99_000, points=500, most_bytes=1 << 20)
        found = recording.states(AT_MS + 60_000, AT_MS + 99_000, points=500, most_bytes=1 << 20)
        assert list(map(letters_of, recorded[60:])) == found.letters


def test_damaged_pages_are_an_error_and_no_more(tmp_path: Path) -> None:
    """A file with rubbish in its middle is read where it is sound, and says so where it is not."""
    path = tmp_path / "r"
    record(path, play(range(400)))
    change(path, "PRAGMA journal_mode = DELETE")
    content = bytearray(path.read_bytes())
    # Less than what the tree's own pages stand apart.
    middle = len(content) // 2
    content[middle : middle + 16_384] = b"\xaa" * 16_384
    path.write_bytes(content)
    outcomes = set()
    with reading(path) as recording:
        for second in range(0, 400, 10):
            try:
                outcomes.add(type(recording.sample_at(AT_MS + 1000 * second)))
            except RecordingError as error:
                outcomes.add(type(error))
    assert {wire.Sample, NotARecording} == outcomes


def test_damaged_numbers_and_levels(tmp_path: Path) -> None:
    """A body of another length, and levels that are none, are errors."""
    path = tmp_path / "r"
    record(path, play(range(700)))
    change(path, "UPDATE aggregate SET body = x'00' WHERE tier = 1 AND at % 7 = 0")
    change(path, "UPDATE aggregate SET levels = '[]' WHERE tier = 60")
    hour = int(AT)
    with reading(path) as recording:
        with pytest.raises(NotARecording, match="numbers"):
            recording.aggregates(AT, AT + 100, 1)
        assert recording.aggregates(AT, AT + 600, 60)[0].at
        with pytest.raises(NotARecording, match="levels"):
            recording.levels(hour, hour + 3600)
        change(path, "UPDATE aggregate SET levels = '{}' WHERE tier = 60")
        with pytest.raises(NotARecording, match="numbers"):
            recording.levels(hour, hour + 3600)


def test_another_process_that_writes_for_long_is_no_matter(tmp_path: Path) -> None:
    """Readers see what was committed, while a transaction goes on."""
    path = tmp_path / "r"
    recorded = list(play(range(20)))
    record(path, recorded)
    writer = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(writer), reading(path) as recording:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM frame")
        assert whole(recorded[-1]) == recording.sample_at(AT_MS + 99_000)
        writer.execute("COMMIT")
        assert recording.sample_at(AT_MS + 99_000) is None


def test_a_still_file_needs_no_directory_to_write_to(tmp_path: Path) -> None:
    """A replay reads a file that has neither log nor index, and makes none."""
    path = tmp_path / "r"
    recorded = list(play(range(5)))
    record(path, recorded)
    change(path, "PRAGMA journal_mode = DELETE")
    with reading(path, still=True) as recording:
        assert whole(recorded[-1]) == recording.sample_at(AT_MS + 99_000)
    assert ["r"] == [each.name for each in tmp_path.iterdir()]


def test_what_is_interrupted_ends_with_an_error(tmp_path: Path) -> None:
    """And nothing is read any more, so that a dashboard that ends needn't wait."""
    record(tmp_path / "r", play(range(5)))
    with reading(tmp_path / "r") as recording:
        recording.extent()
        thread = threading.Thread(target=recording.interrupt)
        thread.start()
        thread.join()
        with pytest.raises(RecordingError, match="no longer"):
            recording.extent()


def buckets(recording: Recording, start: float, end: float, step: int) -> dict[int, tuple[float, ...]]:
    """Return mean, least and most of busy workers by bucket, seconds after `AT`, and check the step."""
    table, found = recording.aggregates(AT + start, AT + end, step)
    assert step == found
    busy = history.SERIES.index("busy")
    columns = (table.columns.means[busy], table.columns.least[busy], table.columns.most[busy])
    return {at - int(AT): values for at, *values in zip(table.at, *columns, strict=True)}


def expected_buckets(
    recorded: Iterable[Latest], start: float, end: float, step: int
) -> dict[int, list[float]]:
    values: dict[int, list[float]] = {}
    for latest in recorded:
        at = int(latest.at - AT)
        if isinstance(latest, wire.Sample) and start - start % step <= at < end:
            values.setdefault(at - at % step, []).append(float(latest.rates.busy))
    return {at: [sum(v) / len(v), min(v), max(v)] for at, v in values.items()}


@pytest.mark.parametrize("step", [1, 2, 5, 10, 20, 30, 60, 120, 300, 600])
@pytest.mark.parametrize("ticks", [3, 59, 61, 605, 1203])
def test_buckets_of_every_step_hold_every_tick(tmp_path: Path, step: int, ticks: int) -> None:
    """However much was rolled up by then; what was not yet is put together from finer tiers."""
    recorded = list(play(range(ticks), slots=4))
    record(tmp_path / "r", recorded)
    with reading(tmp_path / "r") as recording:
        for start, end in [(0, ticks), (0, 10**6), (ticks // 2, ticks), (ticks - 1, ticks)]:
            expected = expected_buckets(recorded, start, end, step)
            found = buckets(recording, start, end, step)
            assert list(expected) == list(found)
            for at, (mean, least, most) in expected.items():
                assert (pytest.approx(mean, rel=1e-5), least, most) == tuple(found[at])


def test_what_is_only_left_in_coarse_buckets_is_found(tmp_path: Path) -> None:
    """When fine tiers were dropped, a range of that time comes in the step that is left."""
    path = tmp_path / "r"
    recorded = list(play(range(1300), slots=4))
    record(path, recorded)
    change(path, "DELETE FROM aggregate WHERE tier = 1 AND at < ?", int(AT) + 1000)
    change(path, "DELETE FROM aggregate WHERE tier = 10 AND at < ?", int(AT) + 500)
    with reading(path) as recording:
        assert 1 == recording.aggregates(AT + 1100, AT + 1200, 1)[1]
        assert 10 == recording.aggregates(AT + 900, AT + 1200, 1)[1]
        assert 60 == recording.aggregates(AT + 100, AT + 1200, 10)[1]
        found = buckets(recording, 100, 1300, 60)
        assert list(expected_buckets(recorded, 60, 1300, 60)) == list(found)


def test_time_by_held_workers(tmp_path: Path) -> None:
    """Each recorded second counts once, whatever tiers it is in; gaps count nothing."""
    path = tmp_path / "r"
    seconds = [*range(1500), *range(2000, 2300)]
    recorded = list(play(seconds, slots=8))
    record(path, recorded)
    with reading(path) as recording:
        for start, end in [(0, 3600), (0, 600), (0, 2100), (1200, 2220)]:
            held = [
                sum(letter not in "_.SI" for letter in letters_of(each))
                for each in recorded
                if start <= each.at - AT < end
            ]
            expected = {level: float(held.count(level)) for level in set(held)}
            assert expected == recording.levels(int(AT) + start, int(AT) + end)
        assert recorded[-1].capacity.workers == recording.workers_limit()  # type: ignore[union-attr]


def test_events_that_reach_into_a_range(tmp_path: Path) -> None:
    """Those that begin in it, end in it, or go on; the newest of them, in order; of some kinds alone."""
    path = tmp_path / "r"
    events = [
        Event("graceful", AT_MS + 1000, None, "", {"n": 1}),
        Event("drained", AT_MS + 2000, AT_MS + 9000, "7", {"n": 2}),
        Event("saturation", AT_MS + 3000, AT_MS + 4000, "", {"n": 3}),
        Event("metrics-off", AT_MS + 3500, None, "", {"n": 4}),
        Event("bookmark", AT_MS + 6000, None, "x", {"n": 5}),
        Event("bookmark", AT_MS + 6000, None, "y", {"n": 6}),
        Event("graceful", AT_MS + 8000, None, "", {"n": 7}),
    ]
    with contextlib.closing(Tape(path, limit=LIMIT)) as tape:
        tape.write_events(events)
    with reading(path) as recording:

        def numbers(start: int, end: int, **limits: Any) -> list[int]:
            found = recording.events(AT_MS + start, AT_MS + end, **{"most": 99, **limits})
            return [stored.event.data["n"] for stored in found]

        assert [1, 2, 3, 4, 5, 6, 7] == numbers(0, 10_000)
        assert events == [each.event for each in recording.events(AT_MS, AT_MS + 10_000, most=99)]
        # What goes on reaches into all that comes; a moment does not, though it has no end either.
        assert [2, 4] == numbers(4001, 5999)
        assert [2, 4, 5, 6] == numbers(6000, 6000)
        assert [4] == numbers(9001, 9999)
        assert [] == numbers(0, 999)
        assert [6, 7] == numbers(0, 10_000, most=2)
        assert [1, 4, 7] == numbers(0, 10_000, kinds=["graceful", "metrics-off"])
        change(path, "UPDATE event SET data = '[1' WHERE kind = 'bookmark'")
        with pytest.raises(NotARecording, match="event"):
            numbers(0, 10_000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 100,000 frames in 50 runs, of all that aggregates and events may be."""
    path = tmp_path_factory.mktemp("large") / "r"
    recorded = list(play(range(100), slots=4))
    record(path, recorded)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        execute = connection.execute
        execute("PRAGMA synchronous = OFF")
        execute("BEGIN")
        execute("CREATE TEMP TABLE n AS WITH RECURSIVE n(n) AS"
                " (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000) SELECT n FROM n")  # fmt: skip
        # The same hundred ticks over and over: ticks 0 to 89 are three whole chains.
        execute(
            "INSERT INTO frame (run, at_ms, kind, size, adler, body, letters)"
            " SELECT 2 + n / 20, at_ms + 100000 * n, kind, size, adler, body, letters"
            " FROM n CROSS JOIN frame WHERE run = 1 ORDER BY n, frame.id"
        )
        execute(
            "INSERT INTO run SELECT run, min(at_ms), max(at_ms), 1.0, 'full', '0' FROM frame"
            " WHERE run > 1 GROUP BY run"
        )
        (body,) = execute("SELECT body FROM aggregate WHERE tier = 1 LIMIT 1").fetchone()
        execute("CREATE TEMP TABLE wide AS SELECT 1000 * (a.n - 1) + b.n - 1 AS n FROM n AS a, n AS b"
                " WHERE a.n <= 130")  # fmt: skip
        for tier in history.TIERS:
            execute(
                "INSERT OR IGNORE INTO aggregate SELECT ?, ? + ? * n, ?, '{}' FROM wide WHERE n < ?",
                (tier.seconds, int(AT), tier.seconds, body, tier.keep // tier.seconds),
            )
        execute(
            "INSERT INTO event (run, kind, subject, at_ms, ended_ms, data)"
            " SELECT 1, 'drained', n, ? + 5000 * n, ? + 5001 * n, '{}' FROM wide WHERE n < 20000",
            (AT_MS, AT_MS),
        )
        execute("COMMIT")
    return path


END_MS = AT_MS + 1000 * 100_000

READINGS: dict[str, tuple[Callable[[Recording], object], int]] = {
    "extent": (lambda r: r.extent(), 10_000),
    "sample": (lambda r: r.sample_at(END_MS - 43_210_000), 10_000),
    "newest sample": (lambda r: r.sample_at(END_MS + 10**9), 10_000),
    "first sample": (lambda r: r.sample_at(AT_MS), 10_000),
    "no sample": (lambda r: r.sample_at(AT_MS - 1), 10_000),
    "frames": (lambda r: r.frames(END_MS - 70_000, END_MS, most=60, most_bytes=1 << 20), 20_000),
    "states": (lambda r: r.states(END_MS - 900_000, END_MS, points=900, most_bytes=1 << 20), 60_000),
    "few states": (lambda r: r.states(AT_MS, END_MS, points=100, most_bytes=1 << 20), 200_000),
    "history": (lambda r: r.aggregates(END_MS / 1000 - 900, END_MS / 1000, 1), 30_000),
    "all history": (lambda r: r.aggregates(0, END_MS / 1000 + 90 * history.DAY, 7200), 300_000),
    "levels": (lambda r: r.levels(int(AT), int(AT) + history.DAY), 10_000),
    "events": (lambda r: r.events(END_MS - 900_000, END_MS, most=500), 450_000),
    "all events": (lambda r: r.events(0, 2 * END_MS, most=500), 30_000),
    "limit": (lambda r: r.workers_limit(), 1_000),
}


@pytest.mark.parametrize("name", READINGS)
def test_no_reading_goes_through_the_whole_file(large: Path, name: str) -> None:
    """Each query finds its rows by an index, in so many steps of SQLite's machine: milliseconds."""
    work, most_steps = READINGS[name]
    queries: list[str] = []
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 100
        return 0

    with reading(large) as recording:
        connection = recording._open()
        connection.set_trace_callback(queries.append)
        connection.set_progress_handler(step, 100)
        work(recording)
        connection.set_trace_callback(None)
        connection.set_progress_handler(None, 0)
        plans = [
            row[3] for query in set(queries) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")
        ]
    # The runs are read whole, 2,000 at most.
    assert {"SCAN run"} >= {plan for plan in plans if plan.startswith("SCAN")}
    assert steps <= most_steps


def test_a_sample_in_a_hundred_thousand_frames_is_the_right_one(large: Path) -> None:
    """Wherever one looks, it is that of the tick."""
    with reading(large) as recording:
        expected = [recording.sample_at(AT_MS + 1000 * n) for n in range(90)]
        for n in (1, 400, 999):
            for tick in (0, 29, 30, 31, 89):
                at_ms = AT_MS + 100_000 * n + 1000 * tick
                # Their texts are copies of the first hundred.
                assert expected[tick] == recording.sample_at(at_ms)


def test_tables_that_come_while_one_looks_are_no_damage(tmp_path: Path) -> None:
    """What is asked of a new file's header and tables is of one moment: another process makes them."""
    path = tmp_path / "r"
    change(path, "PRAGMA journal_mode = WAL")

    class Interrupted(sqlite3.Connection):
        """A connection during whose questions another process makes a recording."""

        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
            found = super().execute(statement, *values)
            if "application_id" in statement:
                record(path, play([0]))
            return found

    with contextlib.closing(sqlite3.connect(path, factory=Interrupted)) as connection:
        assert not check_schema(connection)
        assert check_schema(connection)


BASE = list(play(range(90), slots=4))


def visible_ticks(path: Path) -> list[tuple[int, bytes]]:
    """Return the instants and bodies that count and can be read, by looking at every row."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        runs = connection.execute("SELECT id, began_ms, ended_ms FROM run").fetchall()
        rows = connection.execute(
            "SELECT run, at_ms, kind, body FROM frame ORDER BY run, at_ms"
        ).fetchall()
    found, begun, stretch = [], False, None
    for run, at_ms, kind, body in rows:
        newest_run = max(number for number, began, ended in runs if began <= at_ms <= ended)
        # A stretch ends where a newer run begins, and needs a key to begin anew.
        between = [n for n, began, _ in runs if n > run and stretch and stretch[1] < began <= at_ms]
        if stretch is None or stretch[0] != run or between:
            begun = False
        if newest_run == run:
            begun = begun or kind != DELTA
            if begun:
                found.append((at_ms, body))
        stretch = (run, at_ms)
    return sorted(found)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 90), st.sets(st.integers(0, 89), max_size=2)),
             min_size=1, max_size=4),
    st.integers(0, 60),
    st.data(),
)  # fmt: skip
def test_any_runs_read_back(
    drawn: list[tuple[int, int, set[int]]], dropped: int, data: st.DataObject
) -> None:
    """However runs overlap, and whatever retention dropped: as if one had looked at every row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r"
        for number, (start, length, failed) in enumerate(drawn):
            shifted = [
                msgspec.structs.replace(each, at=AT + start + n + number / 10)
                for n, each in enumerate(failing(BASE[:length], *failed))
            ]
            record(path, shifted)
        change(path, "DELETE FROM frame WHERE id <= ?", dropped)
        ticks = visible_ticks(path)
        with reading(path) as recording:
            since = recording.extent().since
            assert (ticks[0][0] / 1000 if ticks else None) == since
            for second in data.draw(st.lists(st.integers(-2, 300), min_size=1, max_size=20)):
                at_ms = AT_MS + 1000 * second + 50
                before = [tick for tick in ticks if tick[0] <= at_ms]
                sample = recording.sample_at(at_ms)
                assert (before[-1][0] if before else None) == (sample and ms(sample))
            start, end = sorted(AT_MS + 1000 * data.draw(st.integers(0, 300)) for _ in range(2))
            frames = recording.frames(start, end, most=10_000, most_bytes=1 << 30)
            within = [tick for tick in ticks if start <= tick[0] <= end]
            assert within == [(each.at_ms, each.body) for each in frames if each.at_ms >= start]
            assert sorted(each.at_ms for each in frames) == [each.at_ms for each in frames]
            decoder = Decoder()
            for frame in frames:
                assert decoder.decode(frame.text()) is not None
