"""Incident files: what is in one is what was recorded, whatever happens to the recording meanwhile."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mod_wsgi_dashboard import incident
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.incident import IncidentError, NothingRecorded, Stopped, TooLarge
from mod_wsgi_dashboard.recording import KEY_EVERY, Recording, RecordingError
from mod_wsgi_dashboard.tape import Tape
from mod_wsgi_dashboard.unpacking import unpack
from tests.recordings import AT, LIMIT, Run, play, record

MOST = 1 << 30


def ms(second: float) -> int:
    return int((AT + second) * 1000)


def export(source: Path, start: float, end: float, *, most_bytes: int = MOST) -> Path:
    """Write a range, by seconds after `AT`, and return the file."""
    target = source.with_suffix(".gz")
    incident.write(source, ms(start), ms(end), target, most_bytes=most_bytes)
    return target


def files(folder: Path) -> set[Path]:
    """Return what is in a folder, but for the log and index that SQLite has beside what is read."""
    return {path for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm"))}


@contextlib.contextmanager
def opened(file: Path, into: Path) -> Iterator[Recording]:
    """Unpack an incident file, and give the recording in it."""
    into.mkdir(exist_ok=True)
    recording = Recording(unpack(file, into), still=True)
    try:
        yield recording
    finally:
        recording.close()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Recording]:
    recording = Recording(path)
    try:
        yield recording
    finally:
        recording.close()


@pytest.mark.parametrize("detail", ["full", "states"])
@pytest.mark.parametrize("scenario", ["graceful-restart", "hostile"])
def test_every_sample_comes_back(tmp_path: Path, scenario: str, detail: wire.Detail) -> None:
    """Each sample of a range, its letters, buckets and events, is in the file as in the recording."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(150), scenario=scenario, slots=30), detail=detail)
    with reading(path) as source, opened(export(path, 40, 110), tmp_path / "into") as copy:
        for second in range(40, 111):
            expected = source.sample_at(ms(second))
            assert isinstance(expected, wire.Sample)
            assert expected == copy.sample_at(ms(second))
        for points in (2, 70):
            asked = {"points": points, "most_bytes": MOST}
            assert source.states(ms(40), ms(110), **asked) == copy.states(ms(40), ms(110), **asked)
        for step in (1, 10, 60):
            expected_table, step = source.aggregates(AT + 40, AT + 110, step)
            table, found = copy.aggregates(AT + 40, AT + 110, step)
            assert (expected_table.at, step) == (table.at, found)
            assert bytes_of(expected_table) == bytes_of(table)
        expected_events = source.events(ms(40), ms(110), most=100)
        assert expected_events == copy.events(ms(40), ms(110), most=100)
        assert source.extent()._replace(since=None, until=None, history_since=None) == (
            copy.extent()._replace(since=None, until=None, history_since=None)
        )


def bytes_of(table: history.Table) -> list[bytes]:
    """Return columns so that NaN equals NaN."""
    return [repr(list(column)).encode() for of in table.columns for column in of]


def test_only_the_range_is_in_it(tmp_path: Path) -> None:
    """Nothing after the range is in the file, and before it only back to the key frame it needs."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(300), slots=10))
    summary = incident.write(path, ms(100), ms(130), tmp_path / "file.gz", most_bytes=MOST)
    first = 100 - 100 % KEY_EVERY
    assert (AT + first, AT + 130, 131 - first) == summary[:3]
    with opened(tmp_path / "file.gz", tmp_path / "into") as copy:
        assert (AT + first, AT + 130) == copy.extent()[:2]
        assert copy.sample_at(ms(first - 1)) is None
        assert wire.Sample is type(copy.sample_at(ms(first)))
        (tick,) = {copy.sample_at(ms(second)).tick for second in (130, 131, 999)}  # type: ignore[union-attr]
        assert 131 == tick
        seconds, _ = copy.aggregates(AT + first, AT + 300, 1)
        assert list(range(int(AT) + first, int(AT) + 131)) == seconds.at


def test_the_summary_is_the_file_s(tmp_path: Path) -> None:
    """Bytes and SHA-256 are the file's, which is its owner's alone, and nothing is left beside."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(5), slots=2))
    target = tmp_path / "file.gz"
    target.write_bytes(b"an older one")
    summary = incident.write(path, ms(0), ms(5), target, most_bytes=MOST)
    content = target.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == summary[3:]
    assert 0o600 == stat.S_IMODE(target.stat().st_mode)
    assert {path, target} == files(tmp_path)


def test_it_is_what_gunzip_and_sqlite_open(tmp_path: Path) -> None:
    """No program of ours is needed to look into the file: it is SQLite in gzip."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(5), slots=2))
    plain = tmp_path / "plain"
    plain.write_bytes(gzip.decompress(export(path, 0, 5).read_bytes()))
    with contextlib.closing(sqlite3.connect(plain)) as connection:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        assert (5,) == connection.execute("SELECT count(*) FROM frame").fetchone()
        assert ("delete",) == connection.execute("PRAGMA journal_mode").fetchone()


def test_gaps_and_runs_stay(tmp_path: Path) -> None:
    """Where runs overlap the newer one counts, and where nobody recorded there is a gap, as before."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(100), slots=10))
    record(path, play((second + 0.5 for second in range(45, 60)), slots=10, scenario="saturation"))
    record(path, play(range(200, 260), slots=10))
    # The first run goes on behind the second, whose time holds none of its key frames.
    with reading(path) as source, opened(export(path, 30, 230), tmp_path / "into") as copy:
        assert [1, 2, 1, 3] == [run.number for run in copy.runs()]
        for second in (*range(30, 61), *range(90, 231)):
            assert source.sample_at(ms(second)) == copy.sample_at(ms(second))
        # Without the overlap this would be the second run's last sample.
        found = copy.sample_at(ms(62))
        assert isinstance(found, wire.Sample)
        assert 63 == found.tick


def test_a_range_in_a_gap_is_none(tmp_path: Path) -> None:
    """What was recorded before a gap is not given for a range within the gap."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(10), slots=2))
    record(path, play(range(100, 110), slots=2))
    with pytest.raises(NothingRecorded, match="No sample was recorded from"):
        export(path, 50, 60)


def test_a_pause_within_a_run_is_a_gap_too(tmp_path: Path) -> None:
    """Where ticks are missing from a run, because the disk was slow, there is nothing to export."""
    path = tmp_path / "recording.sqlite3"
    record(path, play([*range(40), *range(100, 140)], slots=2))
    with pytest.raises(NothingRecorded, match="No sample was recorded from"):
        export(path, 50, 90)
    with opened(export(path, 50, 110), tmp_path / "into") as copy:
        assert (AT + 30, AT + 110) == copy.extent()[:2]
    # Between two ticks what was seen at the first one stands.
    with opened(export(path, 35.2, 35.8), tmp_path / "between") as copy:
        assert AT + 35 == copy.extent().until


@pytest.mark.parametrize(("start", "end"), [(-100, -1), (10, 20)])
def test_no_sample_is_an_error_that_says_where_some_are(
    tmp_path: Path, start: float, end: float
) -> None:
    """Before and after all that was recorded, the error names the range that there is."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(10), slots=2))
    with pytest.raises(NothingRecorded) as raised:
        export(path, start, end)
    there = f"samples are there from {incident.shown(AT)} to {incident.shown(AT + 9)}"
    assert there in str(raised.value)
    assert {path} == files(tmp_path)


def test_failures_are_samples_too(tmp_path: Path) -> None:
    """A range in which the scoreboard could not be read is exported, with why."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(10), scenario="metrics-off"))
    with reading(path) as source, opened(export(path, 3, 8), tmp_path / "into") as copy:
        found = copy.sample_at(ms(5))
        assert isinstance(found, wire.Failure)
        assert source.sample_at(ms(5)) == found
        assert ["metrics-off"] == [e.event.kind for e in copy.events(ms(-9), ms(9), most=9)][:1]


def test_events_that_reach_in_are_there(tmp_path: Path) -> None:
    """An event that began before the range and ended in it, or goes on, is there; others aren't."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(200), slots=4))
    tape = Tape(path, limit=LIMIT)
    tape.write_events(
        [
            Event("saturation", ms(1), ms(60), "a"),
            Event("saturation", ms(1), None, "b"),
            Event("process-end", ms(1), None, "c"),
            Event("saturation", ms(1), ms(20), "d"),
            Event("bookmark", ms(70), None, "e"),
            Event("bookmark", ms(100), None, "f"),
            Event("bookmark", ms(101), None, "g"),
        ]
    )
    tape.close()
    with opened(export(path, 60, 100), tmp_path / "into") as copy:
        kept = [each.event.subject for each in copy.events(ms(-1000), ms(1000), most=100)]
    assert set("abef") == set(kept) - {""}


def test_too_large_is_said_before_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A range that makes too large a file is refused with both sizes, and nothing is copied for it."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(200), slots=64))
    size = export(path, 0, 200).stat().st_size
    monkeypatch.setattr(incident._Copier, "copy", None)
    with pytest.raises(TooLarge, match=r"makes a file of \d+ kB, and 100 kB is the most"):
        export(path, 0, 200, most_bytes=100_000)
    monkeypatch.undo()
    # What was measured is near what it comes to; and what it comes to is never more than was allowed.
    with pytest.raises(TooLarge):
        export(path, 0, 200, most_bytes=size - 1)
    assert size == export(path, 0, 200, most_bytes=size + size // 10).stat().st_size


def test_whoever_asked_may_stop_it(tmp_path: Path) -> None:
    """Between two pieces it is asked whether the file is still wanted, and if not, nothing is left."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(30), slots=2))
    for most in range(100):
        answers = iter([False] * most + [True])
        stop = answers.__next__
        try:
            incident.write(path, ms(0), ms(30), tmp_path / "file.gz", most_bytes=MOST, stop=stop)
        except Stopped:
            assert {path} == files(tmp_path)
        else:
            break
    assert next(answers)
    assert most > 10


def test_a_recording_is_exported_while_it_is_written(tmp_path: Path) -> None:
    """A live recording can be exported at any moment: the file is sound, and the recorder goes on."""
    path = tmp_path / "recording.sqlite3"
    latest = list(play(range(400), slots=16))
    run = Run(path)
    for each in latest[:50]:
        run.add(each)
    begun, problems = threading.Event(), []

    def go_on() -> None:
        try:
            for number, each in enumerate(latest[50:]):
                run.add(each)
                if number == 20:
                    begun.set()
        except Exception as error:
            problems.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=go_on)
    thread.start()
    begun.wait()
    counts = []
    while thread.is_alive():
        into = tmp_path / f"into-{len(counts)}"
        with opened(export(path, 5, 1000), into) as copy:
            frames = copy.frames(ms(5), ms(1000), most=1000, most_bytes=MOST)
        decoder = Decoder()
        found = [decoder.decode(frame.text()) for frame in frames]
        assert [each.tick for each in latest[: len(found)]] == [each.tick for each in found if each]
        counts.append(len(found))
    thread.join()
    run.tape.close()
    assert [] == problems
    assert counts == sorted(counts)
    assert counts[0] >= 50


@pytest.mark.parametrize("moment", range(1, 16))
def test_what_is_dropped_meanwhile_leaves_no_torn_chain(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that the recorder drops while they are copied are missing, at whichever moment that is, but
    every sample that is there can be read."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(300), slots=2))
    monkeypatch.setattr(incident, "FRAMES_AT_ONCE", 50)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if asked == moment:
            with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                connection.execute("DELETE FROM frame WHERE id < 100")
        return False

    summary = incident.write(path, ms(0), ms(300), tmp_path / "file.gz", most_bytes=MOST, stop=stop)
    # Keys are each 30 ticks: the first behind the 100th.
    assert (AT + 120, AT + 299, 180) == summary[:3]
    with opened(tmp_path / "file.gz", tmp_path / "into") as copy:
        assert copy.sample_at(ms(119)) is None
        for second in range(120, 300, 7):
            found = copy.sample_at(ms(second))
            assert isinstance(found, wire.Sample)
            assert second + 1 == found.tick


def test_all_dropped_meanwhile_is_an_error(tmp_path: Path) -> None:
    """A range that is dropped before it could be copied is an error, not an empty file."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(60), slots=2))

    def stop() -> bool:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("DELETE FROM frame")
        return False

    with pytest.raises(NothingRecorded, match="No sample was recorded"):
        incident.write(path, ms(0), ms(60), tmp_path / "file.gz", most_bytes=MOST, stop=stop)
    assert not (tmp_path / "file.gz").exists()


def test_a_part_of_a_part(tmp_path: Path) -> None:
    """What was unpacked can be exported again, and is the same."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(200), slots=8))
    (tmp_path / "one").mkdir()
    first = unpack(export(path, 20, 150), tmp_path / "one")
    with reading(path) as source, opened(export(first, 70, 90), tmp_path / "two") as copy:
        for second in range(70, 91):
            assert source.sample_at(ms(second)) == copy.sample_at(ms(second))


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    """A missing file, one of something else and one with more tables are errors, and leave nothing."""
    other = tmp_path / "other"
    other.write_bytes(b"something else" * 1000)
    more = tmp_path / "more.sqlite3"
    record(more, play(range(3), slots=2))
    with contextlib.closing(sqlite3.connect(more)) as connection:
        connection.execute("CREATE VIEW another AS SELECT 1")
    for path in (tmp_path / "missing", other, more):
        with pytest.raises(RecordingError):
            incident.write(path, 0, ms(10), tmp_path / "file.gz", most_bytes=MOST)
    assert {other, more} == files(tmp_path)


def test_where_it_cant_be_written(tmp_path: Path) -> None:
    """A directory that isn't there is one sentence."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(3), slots=2))
    with pytest.raises(IncidentError, match="can't be written: No such file or directory"):
        incident.write(path, 0, ms(10), tmp_path / "no" / "file.gz", most_bytes=MOST)


def test_a_file_behind_odd_names(tmp_path: Path) -> None:
    """Names with what means something in a URI are names."""
    folder = tmp_path / "a b?mode=rw&x#%41"
    folder.mkdir()
    path = folder / "recording ?#%.sqlite3"
    record(path, play(range(3), slots=2))
    with opened(export(path, 0, 3), tmp_path / "into") as copy:
        assert AT + 2 == copy.extent().until


def test_the_recording_keeps_its_owner(tmp_path: Path) -> None:
    """Root may export another user's recording, and takes neither it nor its log away from them."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(3), slots=2))
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(path, user, -1)
    export(path, 0, 3)
    assert {user} == {part.stat().st_uid for part in tmp_path.glob("recording.sqlite3*")}
