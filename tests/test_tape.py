"""The file of the flight recorder: killed, torn, shared, full, and on clocks that jump."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard import tape as tape_module
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recording import DELTA, KEY
from mod_wsgi_dashboard.tape import (
    FRAMES_KEEP,
    MOST_EVENTS,
    Moved,
    Tape,
    TapeError,
    Tick,
    is_sound,
    set_aside,
)
from tests import boards
from tests.tapes import (
    AT,
    LEAST,
    Cutter,
    Deck,
    Latest,
    blank,
    decoded,
    disk_bytes,
    frames,
    head,
    is_intact,
    query,
    reading,
    simulated,
    taping,
)

ROOT = Path(__file__).parent.parent
DAY_MS = 86_400_000
AT_MS = int(AT * 1000)

VALUES = [float(number) for number in range(len(history.SERIES))]


def plain(at_ms: int, *events: Event, size: int = 600, kind: int = KEY, held: float = 3.0) -> Tick:
    """Return a tick whose frame has a size, and says nothing: nobody reads it."""
    values = [*VALUES[:-1], held]
    return Tick(at_ms, kind, size, 1, bytes(size), b"_" * 16, values, list(events))


def shot(children: subprocess.Popen[bytes], number: int, rng: random.Random) -> list[tuple[int, int]]:
    """Have a process record, kill it at a random moment, and return what it said was committed."""
    assert children.stdin is not None
    assert children.stdout is not None
    children.stdin.write(b"%d\n" % number)
    children.stdin.flush()
    said = []
    pid = int(children.stdout.readline().split()[1])
    for _ in range(rng.choice([0, 1, 2, 29, 30, 31, rng.randrange(120)])):
        said.append(children.stdout.readline())
    for _ in range(rng.randrange(20_000)):
        pass
    os.kill(pid, signal.SIGKILL)
    while (line := children.stdout.readline()) != b"dead\n":
        said.append(line)
    # A line that was cut short was not said.
    words = [line.split() for line in said if line.endswith(b"\n")]
    return [(int(at_ms), int(adler)) for at_ms, adler in words]


def test_every_tick_that_was_committed_outlives_kill_9(tmp_path: Path) -> None:
    """After kill -9 at 60 random moments each committed tick reads back, each in its own run."""
    path = tmp_path / "r.sqlite3"
    rng = random.Random(6)
    command = [sys.executable, "-m", "tests.tapes", str(path)]
    committed = 0
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as children:
        for number in range(60):
            said = shot(children, number, rng)
            committed += len(said)
            assert is_intact(path)
            found = {(at_ms, adler): run for at_ms, adler, run in query(path, STORED)}
            assert set(said) <= found.keys()
            assert len({found[tick] for tick in said}) <= 1
        assert children.stdin is not None
        children.stdin.close()
    assert committed > 1000
    told = [decoded(texts) for texts in by_run(path).values()]
    assert len(frames(path)) == sum(map(len, told))
    before = len(told)
    with Deck(path) as deck:
        assert "recording" == deck.play(simulated(3, start=AT + 9_000_000.0)).state
    assert before + 1 == len(by_run(path))


STORED = "SELECT at_ms, adler, run FROM frame"


def by_run(path: Path) -> dict[int, list[bytes]]:
    """Return the texts of all frames, by run."""
    runs: dict[int, list[bytes]] = {}
    for run, _, text in frames(path):
        runs.setdefault(run, []).append(text)
    return runs


def torn(log: bytes, rng: random.Random) -> bytes:
    """Return a write-ahead log as a lost machine may leave it."""
    at = rng.randrange(len(log))
    end = rng.choice([len(log), min(len(log), at + rng.choice([512, 4096, 20_000]))])
    instead = rng.choice([bytes(end - at), rng.randbytes(end - at)])
    return rng.choice([log[:at], log[:at] + instead + log[end:]])


def test_torn_log_loses_no_more_than_its_end(tmp_path: Path) -> None:
    """A log cut, zeroed or filled with noise at 120 places costs the newest ticks alone."""
    path, copy = tmp_path / "r.sqlite3", tmp_path / "copy" / "r.sqlite3"
    cutter = Cutter()
    with taping(path, limit=64 << 20) as tape:
        for number, latest in enumerate(simulated(260, scenario="burst")):
            tape.append(cutter.cut(latest)[0])
            if number == 99:
                tape._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        parts = {part: Path(f"{path}{part}").read_bytes() for part in ("", "-wal", "-shm")}
        whole = frames(path)
    rng = random.Random(2)
    kept = []
    for _ in range(120):
        copy.parent.mkdir()
        copy.write_bytes(parts[""])
        Path(f"{copy}-wal").write_bytes(torn(parts["-wal"], rng))
        if rng.random() < 0.5:
            Path(f"{copy}-shm").write_bytes(parts["-shm"])
        with taping(copy) as tape:
            found = frames(copy)
            tape.append(plain(AT_MS + DAY_MS))
        assert is_intact(copy)
        assert whole[: len(found)] == found
        assert len(found) + 1 == query(copy, "SELECT count(*) FROM frame")[0][0]
        kept.append(len(found))
        shutil.rmtree(copy.parent)
    # What was checkpointed is never lost, and of what was not, any part may be.
    assert 100 <= min(kept) < 130 < 230 < max(kept)


def record_beside(path: str, first: str, number: str) -> None:
    """Record 300 ticks as one of two processes; they begin together. For the test below."""
    start, seed = float(first), int(number)
    samples = [
        msgspec.structs.replace(latest, at=start + 0.3 * seed + tick)
        for tick, latest in enumerate(simulated(300, scenario="burst", seed=seed))
    ]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    with Deck(Path(path)) as deck:
        states = {deck.play([latest]).state for latest in samples}
        sys.stdout.write(f"{sorted(states)} {deck.recorder.status.problem}\n")


def buckets(path: Path, tier: int) -> dict[int, bytes]:
    """Return the bodies of a tier's buckets."""
    return dict(query(path, "SELECT at, body FROM aggregate WHERE tier = ?", tier))


def test_two_processes_record_into_one_file(tmp_path: Path) -> None:
    """Two dashboards at once lose nothing; of each second the newer run's sample counts."""
    path = tmp_path / "r.sqlite3"
    begin = "import sys; from tests.test_tape import record_beside; record_beside(*sys.argv[1:])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", begin, str(path), str(AT), str(number)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    # A third process reads all the while.
    while any(process.poll() is None for process in processes):
        if path.exists() and query(path, "SELECT count(*) FROM sqlite_master") != [(0,)]:
            with reading(path) as recording:
                recording.extent()
                recording.sample_at(AT_MS + 400_000)
    said = [process.communicate(timeout=30)[0] for process in processes]
    assert ["['recording'] None\n"] * 2 == said
    assert is_intact(path)
    assert [300, 300] == [len(decoded(texts)) for texts in by_run(path).values()]
    check_shared_buckets(path)


@pytest.mark.parametrize("newer_first", [True, False])
def test_newer_run_counts_in_each_second(tmp_path: Path, *, newer_first: bool) -> None:
    """Where two processes record the same seconds, the aggregates of all tiers are the newer one's."""
    path = tmp_path / "r.sqlite3"
    start = AT_MS // 600_000 * 600_000
    with taping(path) as old, taping(path) as new:
        for n in range(30):
            old.append(plain(start + 1000 * n + 600, held=1.0))
        for n in range(30, 90):
            pair = [(new, 2.0, 300), (old, 1.0, 600)]
            for tape, held, after in pair if newer_first else pair[::-1]:
                tape.append(plain(start + 1000 * n + after, held=held))
        for n in range(90, 130):
            old.append(plain(start + 1000 * n + 600, held=1.0))
    with reading(path) as recording:
        expected = {1: [1.0] * 30 + [2.0] * 60 + [1.0] * 40, 10: [1.0] * 3 + [2.0] * 6 + [1.0] * 4}
        for step, held in expected.items():
            table, _ = recording.aggregates(start / 1000, start / 1000 + 130, step)
            assert held == list(table.columns.means[history.SERIES.index("held")])
        assert {1: 70.0, 2: 60.0} == recording.levels(start // 1000, start // 1000 + 130)


def check_shared_buckets(path: Path) -> None:
    """Check that each second has the newer run's sample where both ran, and ten seconds their mean."""
    ones, tens = buckets(path, 1), buckets(path, 10)
    assert {at_ms // 1000 for (at_ms,) in query(path, "SELECT at_ms FROM frame")} == ones.keys()
    newest = "SELECT began_ms / 1000, ended_ms / 1000 FROM run ORDER BY id DESC LIMIT 1"
    ((began, ended),) = query(path, newest)
    with reading(path) as recording:
        # In its last second the other one may have come later.
        for second in range(began, ended):
            sample = recording.sample_at(1000 * second + 999)
            assert isinstance(sample, wire.Sample)
            values = history.measure(sample, history.letters(sample.snapshot))
            # The first ten are whole numbers: the decoder cuts instants, and so the age of requests.
            assert history.pack(values)[:40] == ones[second][:40]
    for at, body in tens.items():
        rows = [history.Row(second, 1, ones[second]) for second in range(at, at + 10) if second in ones]
        assert history.merge(rows) == body


def sizes(tape: Tape, path: Path, ticks: Iterable[Tick]) -> int:
    """Append ticks and return the most bytes that were on disk after any of them."""
    most = 0
    for tick in ticks:
        tape.append(tick)
        most = max(most, disk_bytes(path))
    return most


def test_weeks_stay_within_the_bound(tmp_path: Path) -> None:
    """In fifteen days at two minutes a tick the file never has more bytes than its bound."""
    path = tmp_path / "r.sqlite3"
    count = 15 * 24 * 30
    rng = random.Random(1)
    with taping(path, interval=120.0) as tape:
        ticks = (plain(AT_MS + 120_000 * n, size=rng.choice([300, 900, 9000])) for n in range(count))
        most = sizes(tape, path, ticks)
    assert 0.6 * LEAST < most <= LEAST
    assert is_intact(path)
    # The oldest went first, in one piece: what is left is the end, and most of the file.
    ids = [row[0] for row in query(path, "SELECT id FROM frame ORDER BY id")]
    assert list(range(count + 1 - len(ids), count + 1)) == ids
    assert LEAST // 3 < query(path, "SELECT sum(length(body)) FROM frame")[0][0]
    # And of each tier a part, the same of all.
    end = AT_MS // 1000 + 120 * (count - 1)
    for tier in history.TIERS[1:]:
        oldest = query(path, "SELECT min(at) FROM aggregate WHERE tier = ?", tier.seconds)[0][0]
        assert abs(end - oldest - tier.keep // 60) <= 120 + tier.seconds


def test_tiers_keep_to_their_ages(tmp_path: Path) -> None:
    """With room for all of it, each tier is kept for its time, and no longer."""
    path = tmp_path / "r.sqlite3"
    count = 95 * 24 * 3
    with taping(path, limit=512 << 20, interval=1200.0) as tape:
        for n in range(count):
            tape.append(plain(AT_MS + 1_200_000 * n, size=10))
    end = AT_MS // 1000 + 1200 * (count - 1)
    for tier in history.TIERS:
        oldest = query(path, "SELECT min(at) FROM aggregate WHERE tier = ?", tier.seconds)[0][0]
        assert abs(end - oldest - tier.keep) <= 1200 + tier.seconds


@pytest.mark.parametrize("limit", [LEAST, 16 << 20])
def test_large_boards_stay_within_the_bound(tmp_path: Path, limit: int) -> None:
    """Frames as large as those of 20,000 slots make room for each other within the bound."""
    path = tmp_path / "r.sqlite3"
    with taping(path, limit=limit) as tape:
        keys = (plain(AT_MS + 30_000 * n, size=400_000) for n in range(50))
        deltas = (plain(AT_MS + 1000 * n, size=30_000, kind=DELTA) for n in range(1500) if n % 30)
        ticks = sorted([*keys, *deltas])
        most = sizes(tape, path, ticks)
    assert 0.6 * limit < most <= limit
    assert is_intact(path)
    (oldest,) = query(path, "SELECT kind FROM frame WHERE kind > 0 ORDER BY id LIMIT 1")[0]
    assert KEY == oldest


def test_frame_that_can_not_fit_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    """A frame too large for the bound is refused, and names the setting; a smaller one goes on."""
    path = tmp_path / "r.sqlite3"
    with taping(path) as tape:
        tape.append(plain(AT_MS))
        with pytest.raises(TapeError, match="record_bytes"):
            tape.append(plain(AT_MS + 1000, size=3_000_000))
        tape.append(plain(AT_MS + 2000))
    assert [(AT_MS,), (AT_MS + 2000,)] == query(path, "SELECT at_ms FROM frame")


def test_events_alone_stay_within_the_bound(tmp_path: Path) -> None:
    """Fifty long events a tick for hours leave room for samples, and never pass the bound."""
    path = tmp_path / "r.sqlite3"
    with taping(path, interval=60.0) as tape:
        data = {"request": "y" * 400}
        lots = [[Event("drained", AT_MS + n, None, str(i), data) for i in range(50)] for n in range(600)]
        most = sizes(tape, path, (plain(AT_MS + 60_000 * n, *events) for n, events in enumerate(lots)))
    assert most <= LEAST
    assert query(path, "SELECT count(*) FROM event")[0][0] <= MOST_EVENTS
    assert 100 < query(path, "SELECT count(*) FROM frame")[0][0]
    assert [(AT_MS + 599,)] == query(path, "SELECT max(at_ms) FROM event")


def test_events_are_bounded_by_number(tmp_path: Path) -> None:
    """Of more events than are kept, the oldest go."""
    path = tmp_path / "r.sqlite3"
    with taping(path, limit=64 << 20, interval=60.0) as tape:
        for n in range(500):
            events = (Event("process-end", AT_MS + n, subject=str(i)) for i in range(50))
            tape.append(plain(AT_MS + 60_000 * n, *events))
    count, oldest = query(path, "SELECT count(*), min(at_ms) FROM event")[0]
    assert MOST_EVENTS <= count <= MOST_EVENTS + 50
    assert AT_MS + 500 - count // 50 == oldest


def test_lower_bound_shrinks_the_file_when_it_is_opened(tmp_path: Path) -> None:
    """A recording of 24 MB that may have 8 from now on has 8, of the newest, and goes on."""
    path = tmp_path / "r.sqlite3"
    with taping(path, limit=24 << 20) as tape:
        most = sizes(tape, path, (plain(AT_MS + 1000 * n, size=5000) for n in range(5000)))
    assert 16 << 20 < most <= 24 << 20
    with taping(path, limit=LEAST) as tape:
        assert disk_bytes(path) <= LEAST
        # Seconds are now kept for a part of a day, as long as that of the bound is.
        oldest, newest = query(path, "SELECT min(at), max(at) FROM aggregate WHERE tier = 1")[0]
        assert 86_400 // 60 == newest - oldest
        more = (plain(AT_MS + 1000 * (5000 + n), size=5000) for n in range(500))
        assert sizes(tape, path, more) <= LEAST
    assert is_intact(path)
    assert [(5500,)] == query(path, "SELECT max(id) FROM frame")
    assert 500 < query(path, "SELECT count(*) FROM frame")[0][0]


def test_long_reader_costs_ticks_and_not_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a reader keeps the log from being emptied, ticks are refused; then it goes on."""
    monkeypatch.setattr(tape_module, "_BUSY_SECONDS", 0.0)
    path = tmp_path / "r.sqlite3"
    with taping(path) as tape:
        sizes(tape, path, (plain(AT_MS + 1000 * n, size=4000) for n in range(2500)))
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM frame").fetchall()
        most = [disk_bytes(path)]
        with pytest.raises(TapeError, match="read for so long"):
            most.extend(
                sizes(tape, path, [plain(AT_MS + 1000 * n, size=4000)]) for n in range(2500, 3500)
            )
        for n in range(3500, 3600):
            with pytest.raises(TapeError, match="read for so long"):
                tape.append(plain(AT_MS + 1000 * n, size=4000))
            most.append(disk_bytes(path))
        with pytest.raises(TapeError, match="read for so long"):
            tape.add_bookmark(Event("bookmark", AT_MS, data={"text": "x"}))
        reader.close()
        assert 105 < len(most)
        assert max(most) <= LEAST
        tape.append(plain(AT_MS + 3_500_000))
    assert is_intact(path)
    assert [(AT_MS + 3_500_000,)] == query(path, "SELECT max(at_ms) FROM frame")


def test_frames_are_kept_for_a_week(tmp_path: Path) -> None:
    """With room for more, frames and runs of more than a week are dropped, and aggregates are not."""
    path = tmp_path / "r.sqlite3"
    with taping(path, limit=512 << 20, interval=600.0) as tape:
        for n in range(9 * 24 * 6):
            if n == 100:
                tape.begin(head(600.0))
            tape.append(plain(AT_MS + 600_000 * n, size=50))
    oldest, newest = query(path, "SELECT min(at_ms), max(at_ms) FROM frame")[0]
    assert 1000 * FRAMES_KEEP <= newest - oldest <= 1000 * FRAMES_KEEP + 1_200_000
    assert [(2,)] == query(path, "SELECT id FROM run")
    assert [(AT_MS // 1000 // 60 * 60,)] == query(path, "SELECT min(at) FROM aggregate WHERE tier = 60")


def kept(path: Path) -> tuple[int, list[int]]:
    """Return how many frames there are, and how many buckets of each tier but the first."""
    tiers = [
        query(path, "SELECT count(*) FROM aggregate WHERE tier = ?", tier.seconds)[0][0]
        for tier in history.TIERS[1:]
    ]
    return query(path, "SELECT count(*) FROM frame")[0][0], tiers


@pytest.mark.parametrize(
    "jump_ms",
    [5 * 60_000, 3 * 3_600_000, 30 * DAY_MS, 365 * DAY_MS, -3_600_000, -AT_MS + 1000],
    ids=["minutes", "hours", "a month", "a year", "an hour back", "1970"],
)
def test_clock_that_was_wrong_for_a_while_makes_nothing_old(tmp_path: Path, jump_ms: int) -> None:
    """Forty minutes on another clock, there and back, drop nothing that was recorded before."""
    path = tmp_path / "r.sqlite3"
    with taping(path, limit=512 << 20, interval=30.0) as tape:
        for n in range(2880):
            tape.append(plain(AT_MS + 30_000 * n, size=50))
        before = kept(path)
        tape.begin(head(30.0))
        for n in range(2880, 2960):
            tape.append(plain(AT_MS + 30_000 * n + jump_ms, size=50))
        tape.begin(head(30.0))
        for n in range(2960, 3040):
            tape.append(plain(AT_MS + 30_000 * n, size=50))
    after = kept(path)
    assert before[0] + 160 == after[0]
    assert [True] * 3 == [now >= then for then, now in zip(before[1], after[1], strict=True)]
    end_ms = AT_MS + 30_000 * 3039
    with reading(path) as recording:
        visible = [run for run in recording.runs() if run.began_ms <= end_ms <= run.ended_ms]
        assert [3] == [run.number for run in visible]
        found = recording.frames(end_ms - 300_000, end_ms, most=1000, most_bytes=1 << 30)
    assert [end_ms - 30_000 * n for n in range(10, -1, -1)] == [frame.at_ms for frame in found]


def test_clock_that_stays_ahead_is_believed_after_an_hour(tmp_path: Path) -> None:
    """A month without a dashboard makes what was before it old, once an hour is recorded after it."""
    path = tmp_path / "r.sqlite3"
    later_ms = AT_MS + 30 * DAY_MS
    with taping(path, interval=10.0) as tape:
        for n in range(500):
            tape.append(plain(AT_MS + 10_000 * n, size=50))
        tape.begin(head(10.0))
        for n in range(355):
            tape.append(plain(later_ms + 10_000 * n, size=50))
        assert [(855,)] == query(path, "SELECT count(*) FROM frame")
        for n in range(355, 385):
            tape.append(plain(later_ms + 10_000 * n, size=50))
    assert [(later_ms,)] == query(path, "SELECT min(at_ms) FROM frame")
    assert [(2,)] == query(path, "SELECT id FROM run")


def test_frames_of_a_wrong_future_do_not_stay_for_ever(tmp_path: Path) -> None:
    """There are never more frames than come in a week, whatever their instants say."""
    path = tmp_path / "r.sqlite3"
    week = FRAMES_KEEP // 600
    with taping(path, limit=64 << 20, interval=600.0) as tape:
        for n in range(100):
            tape.append(plain(AT_MS + 365 * DAY_MS + 600_000 * n, size=50))
        tape.begin(head(600.0))
        for n in range(week + 200):
            tape.append(plain(AT_MS + 600_000 * n, size=50))
    assert query(path, "SELECT count(*) FROM frame")[0][0] <= week + 2
    assert query(path, "SELECT max(at_ms) FROM frame")[0][0] < AT_MS + 365 * DAY_MS


def test_clock_set_back_makes_the_newer_samples_count(tmp_path: Path) -> None:
    """Of seconds that were lived through twice the aggregates of every tier say the second time."""
    path = tmp_path / "r.sqlite3"
    start = AT_MS // 600_000 * 600_000
    with taping(path) as tape:
        for n in range(1200):
            tape.append(plain(start + 1000 * n, held=1.0))
        tape.begin(head())
        for n in range(600, 1210):
            tape.append(plain(start + 1000 * n, held=2.0))
    with reading(path) as recording:
        for step in (1, 10, 60, 600):
            table, found = recording.aggregates(start / 1000, start / 1000 + 1200, step)
            assert step == found
            column = list(table.columns.means[history.SERIES.index("held")])
            half = len(column) // 2
            assert [1.0] * half + [2.0] * half == column
        assert {1: 600.0, 2: 600.0} == recording.levels(start // 1000, start // 1000 + 1200)


def test_damaged_bucket_does_not_stop_the_recording(tmp_path: Path) -> None:
    """Buckets and levels that a disk made nonsense of are left out of the tiers above."""
    path = tmp_path / "r.sqlite3"
    start = AT_MS // 600_000 * 600_000
    with taping(path) as tape:
        for n in range(700):
            tape.append(plain(start + 1000 * n))
            if n == 310:
                tape._connection.execute("UPDATE aggregate SET body = x'00' WHERE at % 3 = 0")
                tape._connection.execute("UPDATE aggregate SET levels = '{' WHERE at % 240 = 0")
                tape._connection.execute(
                    "UPDATE aggregate SET body = ? WHERE tier = 1 AND at % 3 = 1",
                    (history.pack([float("inf")] * len(history.SERIES)),),
                )
    assert [(700,)] == query(path, "SELECT count(*) FROM frame")
    newest = query(path, "SELECT max(at) FROM aggregate WHERE tier = 10")
    assert [(start // 1000 + 680,)] == newest


def test_failed_tick_leaves_nothing_behind(tmp_path: Path) -> None:
    """A tick that fails half way is not there at all, and the next one continues the one before it."""
    path = tmp_path / "r.sqlite3"
    cutter = Cutter()
    samples = list(simulated(12, scenario="burst"))
    with taping(path) as tape:
        for number, latest in enumerate(samples):
            tick, _ = cutter.cut(latest, key=number in (0, 6))
            if number == 5:
                with pytest.raises(TypeError):
                    tape.append(tick._replace(events=[Event("bookmark", AT_MS, data={"x": object()})]))
                with pytest.raises(sqlite3.Error):
                    tape.append(tick._replace(events=[Event("bookmark", 1 << 62, 1 << 62, None)]))  # type: ignore[arg-type]
            else:
                tape.append(tick)
    assert [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12] == [
        each.tick for texts in by_run(path).values() for each in decoded(texts)
    ]
    with reading(path) as recording:
        found = recording.states(AT_MS, AT_MS + 60_000, points=2000, most_bytes=1 << 20)
    expected = [letters for n, letters in enumerate(map(letters_of, samples)) if n != 5]
    assert expected == found.letters


def test_event_that_is_given_again_is_replaced(tmp_path: Path) -> None:
    """Kind, instant and subject name an event, whichever run tells of it; others stay as they are."""
    path = tmp_path / "r.sqlite3"
    full = Event("saturation", AT_MS, data={"peak": 1})
    other = Event("process-end", AT_MS, subject="7")
    with taping(path) as tape:
        tape.append(plain(AT_MS, full, other))
    with taping(path) as tape:
        again = msgspec.structs.replace(full, ended_ms=AT_MS + 5, data={"peak": 2})
        tape.append(plain(AT_MS + 1000, again, Event("process-end", AT_MS, subject="8")))
    with reading(path) as recording:
        found = [stored.event for stored in recording.events(0, 1 << 60, most=100)]
    assert [again, other, Event("process-end", AT_MS, subject="8")] == found


def test_bookmarks_of_one_instant_are_several(tmp_path: Path) -> None:
    """Two bookmarks at one instant are two, and only bookmarks can be removed by number."""
    path = tmp_path / "r.sqlite3"
    with taping(path) as tape:
        tape.append(plain(AT_MS, Event("graceful", AT_MS)))
        numbers = [
            tape.add_bookmark(Event("bookmark", AT_MS, subject=str(n), data={"text": "x"}))
            for n in range(2)
        ]
        assert [False, True, False] == [tape.remove_bookmark(n) for n in (1, numbers[0], numbers[0])]
    assert [("graceful",), ("bookmark",)] == query(path, "SELECT kind FROM event ORDER BY id")


def test_what_went_on_when_a_process_died_ends_with_its_run(tmp_path: Path) -> None:
    """Saturation that was never ended ends at the last tick of the run that told of it."""
    path = tmp_path / "r.sqlite3"
    with taping(path) as tape:
        tape.append(plain(AT_MS, Event("saturation", AT_MS), Event("graceful", AT_MS)))
        tape.append(plain(AT_MS + 5000))
    with taping(path) as tape:
        tape.end_open_events()
    ended = query(path, "SELECT kind, ended_ms FROM event ORDER BY kind")
    assert [("graceful", None), ("saturation", AT_MS + 5000)] == ended


def hold(path: str) -> None:
    """Record a tick, and close the file when told to. For the test below."""
    with taping(Path(path)) as tape:
        tape.append(plain(AT_MS))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()


def test_process_that_leaves_an_old_file_leaves_the_new_one_alone(tmp_path: Path) -> None:
    """A process that closes a file which was set aside takes nothing from the one in its place."""
    path = tmp_path / "r.sqlite3"
    command = [sys.executable, "-c", "import sys; from tests.test_tape import hold; hold(sys.argv[1])"]
    with subprocess.Popen(
        [*command, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert "ready\n" == other.stdout.readline()
        aside = set_aside(path, "damaged")
        with taping(path) as tape:
            tape.append(plain(AT_MS + 1000))
            other.communicate("go\n", timeout=30)
            assert 0 == other.returncode
            tape.append(plain(AT_MS + 2000))
            assert [(AT_MS + 1000,), (AT_MS + 2000,)] == query(path, "SELECT at_ms FROM frame")
    assert [(AT_MS + 1000,), (AT_MS + 2000,)] == query(path, "SELECT at_ms FROM frame")
    assert [(AT_MS,)] == query(aside, "SELECT at_ms FROM frame")


def test_file_that_was_replaced_is_noticed_at_the_next_tick(tmp_path: Path) -> None:
    """A file that was removed, or renamed for a new one, is not written any more."""
    path = tmp_path / "r.sqlite3"
    with taping(path) as old:
        old.append(plain(AT_MS))
        aside = set_aside(path, "damaged")
        with taping(path) as new:
            new.append(plain(AT_MS + 1000))
            with pytest.raises(Moved):
                old.append(plain(AT_MS + 2000))
            old.close()
            # The old one's end must not take the new one's log away.
            new.append(plain(AT_MS + 3000))
            assert Path(f"{path}-wal").stat().st_size > 0
            path.unlink()
            with pytest.raises(Moved):
                new.append(plain(AT_MS + 4000))
    assert [(AT_MS,)] == query(aside, "SELECT at_ms FROM frame")


def test_file_that_is_set_aside_has_no_log_of_another(tmp_path: Path) -> None:
    """Only the newest file of an ending is kept, and never with an older one's log."""
    path = tmp_path / "r.sqlite3"
    (tmp_path / "r.sqlite3.damaged").write_bytes(b"old")
    (tmp_path / "r.sqlite3.damaged-wal").write_bytes(b"old log")
    path.write_bytes(b"new")
    assert tmp_path / "r.sqlite3.damaged" == set_aside(path, "damaged")
    assert {"r.sqlite3.damaged": b"new"} == {each.name: each.read_bytes() for each in tmp_path.iterdir()}


def test_commit_waits_for_the_disk_at_checkpoints(tmp_path: Path) -> None:
    """A lost machine costs the ticks since the last checkpoint, and never the file."""
    with taping(tmp_path / "r.sqlite3") as tape:
        execute = tape._connection.execute
        modes = [execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert ["wal", 1] == modes


def test_modes_are_the_owners_alone(tmp_path: Path) -> None:
    """The file, its log and its index can be read by their owner alone, whatever the umask."""
    path = tmp_path / "r.sqlite3"
    path.touch(0o666)
    path.chmod(0o666)
    with taping(path) as tape:
        tape.append(plain(AT_MS))
        assert {0o600} == {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}


def test_damage_in_the_midst_is_found(tmp_path: Path) -> None:
    """A page of noise in the middle of a file is no sound file; an untouched one is."""
    path = tmp_path / "r.sqlite3"
    with taping(path) as tape:
        for n in range(800):
            tape.append(plain(AT_MS + 1000 * n))
    assert is_sound(path)
    with path.open("r+b") as file:
        file.seek(4096 * 7)
        file.write(random.Random(3).randbytes(4096))
    assert not is_sound(path)


def letters_of(latest: Latest) -> str | None:
    """Return the letters of a sample, None for a failure."""
    return history.letters(latest.snapshot) if isinstance(latest, wire.Sample) else None


def newest_layout(letters: list[str | None]) -> list[str]:
    """Return the letters of all samples with as many slots as the newest has."""
    known = [each for each in letters if each is not None]
    return [each for each in known if len(each) == len(known[-1])]


def check_reading(path: Path, samples: list[Latest], detail: str, breaks: set[int]) -> None:
    """Record samples, and compare what reads back with what viewers hold who joined just then.

    With `detail` states, a viewer's slots say what they said when it joined, and so they are compared
    with those of one who was there from the beginning of the run. `breaks` are the numbers of those
    with which another run begins.
    """
    cutter, viewer, expected = Cutter(detail), Decoder(), []
    with taping(path) as tape:
        for number, latest in enumerate(samples):
            if number in breaks:
                tape.begin(head())
            tick, text = cutter.cut(latest, key=number in breaks)
            tape.append(tick)
            held = viewer.decode(text)
            expected += decoded([Cutter().cut(latest)[1]]) if detail == "full" else [held]
        first_ms, last_ms = int(samples[0].at * 1000), int(samples[-1].at * 1000)
        with reading(path) as recording:
            for latest, whole in zip(samples, expected, strict=True):
                at_ms = int(latest.at * 1000)
                assert whole == recording.sample_at(at_ms)
                assert whole == recording.sample_at(at_ms + 999)
            assert recording.sample_at(first_ms - 1) is None
            # A step is shorter than a tick: every one of them is there.
            assert len(samples) <= 500
            states = recording.states(first_ms, last_ms, points=2000, most_bytes=1 << 24)
    assert newest_layout(list(map(letters_of, samples))) == states.letters


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_history_reads_back_as_it_was(data: st.DataObject) -> None:
    """At each tick and between two, sample and letters are those of then, whatever changed when."""
    samples = boards.samples(data.draw(boards.histories()))
    breaks = data.draw(st.sets(st.integers(0, len(samples) - 1)))
    detail = data.draw(st.sampled_from(["full", "states"]))
    with tempfile.TemporaryDirectory() as folder:
        check_reading(Path(folder) / "r.sqlite3", samples, detail, breaks)


@pytest.mark.parametrize("detail", ["full", "states"])
@pytest.mark.parametrize("scenario", ["burst", "graceful-restart", "metrics-off", "hostile"])
def test_any_traffic_reads_back_as_it_was(tmp_path: Path, scenario: str, detail: str) -> None:
    """Of more than three key frames' time, every tick of each kind of traffic is as it was."""
    samples = list(simulated(100, scenario=scenario, slots=32))
    check_reading(tmp_path / "r.sqlite3", samples, detail, {41})


def test_failures_between_samples_read_back(tmp_path: Path) -> None:
    """A failure is there with its error, and the samples after it are whole."""
    samples = list(simulated(40, scenario="burst"))
    for number in (3, 4, 20, 39):
        samples[number] = blank(number + 1, samples[number].at, error="metrics are off")
    check_reading(tmp_path / "r.sqlite3", samples, "full", set())
