"""The recorder's thread: on slow and stuck disks, on clocks that jump, and at its end."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mod_wsgi_dashboard import recorder as recorder_module
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recorder import (
    CLOSE_SECONDS,
    MOST_WAITING,
    RETRY_SECONDS,
    SLOW_SECONDS,
    Status,
    choose_path,
    file_name,
    state_directories,
)
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import Tape, TapeError, Tick
from tests.tapes import (
    AT,
    Deck,
    Latest,
    blank,
    decoded,
    disk_bytes,
    frames,
    is_intact,
    reading,
    simulated,
)

AT_MS = int(AT * 1000)
FULL = "database or disk is full"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.sqlite3"


class Gate:
    """What the tape's `append` does before it writes; the test sets it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.waits = threading.Event()
        self.error: Exception | None = None

    def pass_through(self) -> None:
        if not self.open.is_set():
            self.waits.set()
            assert self.open.wait(60)
        if self.error is not None:
            raise self.error


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate in front of the disk."""
    gate = Gate()

    class Gated(Tape):
        def append(self, tick: Tick) -> None:
            gate.pass_through()
            super().append(tick)

    monkeypatch.setattr(recorder_module, "Tape", Gated)
    yield gate
    gate.open.set()


def told(path: Path) -> list[list[int]]:
    """Return the ticks of each run, as a viewer of its frames is told of them."""
    texts: dict[int, list[bytes]] = {}
    for run, _, text in frames(path):
        texts.setdefault(run, []).append(text)
    return [[latest.tick for latest in decoded(each)] for each in texts.values()]


def events(path: Path) -> list[Event]:
    """Return all recorded events, in the order of recording."""
    with reading(path) as recording:
        stored = recording.events(0, 1 << 60, most=10_000)
    return [each.event for each in sorted(stored)]


def in_generation(latest: Latest, generation: int) -> wire.Sample:
    """Return a sample of another generation of Apache."""
    assert isinstance(latest, wire.Sample)
    snapshot = msgspec.structs.replace(latest.snapshot, running_generation=generation)
    return msgspec.structs.replace(latest, snapshot=snapshot)


def in_full(latest: Latest, busy: int) -> wire.Sample:
    """Return a sample of an Apache without a free worker."""
    assert isinstance(latest, wire.Sample)
    return msgspec.structs.replace(
        latest,
        rates=msgspec.structs.replace(latest.rates, busy=busy),
        capacity=msgspec.structs.replace(latest.capacity, max_request_workers=4),
    )


@pytest.mark.parametrize("record", ["full", "states"])
@pytest.mark.parametrize("scenario", ["graceful-restart", "metrics-off", "hostile"])
def test_every_tick_is_recorded(path: Path, scenario: str, record: str) -> None:
    """What the poller makes goes to the file tick by tick, failures too, and reads back there."""
    samples = list(simulated(100, scenario=scenario))
    with Deck(path, record=record) as deck:
        status = deck.play(samples)
        assert Status("recording", None, disk_bytes(path)) == status
    assert [[latest.tick for latest in samples]] == told(path)
    with reading(path) as recording:
        for latest in samples:
            found = recording.sample_at(int(latest.at * 1000))
            assert found is not None
            assert (latest.tick, type(latest)) == (found.tick, type(found))


def test_recording_of_states_has_no_request_in_it(path: Path) -> None:
    """With record = states neither frames nor events say who asked for what."""
    samples = list(simulated(140, scenario="graceful-restart", slots=32))
    for record in ("full", "states"):
        with Deck(path.with_name(record), record=record) as deck:
            deck.play(samples)
    kinds = [[event.kind for event in events(path.with_name(name))] for name in ("full", "states")]
    assert kinds[0] == kinds[1]
    asked = [
        {event.data["request"], event.data["client"]}
        for event in events(path.with_name("states"))
        if event.kind == "drained"
    ]
    assert [{None}] * len(asked) == asked
    assert any(event.data.get("request") for event in events(path.with_name("full")))
    for _, _, text in frames(path.with_name("states")):
        assert b"HTTP/1.1" not in text


def test_stuck_disk_never_blocks_who_gives(
    path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """While a write hangs, ticks wait up to a bound and are dropped then; it is said, and taken back."""
    caplog.set_level(logging.INFO)
    samples = [blank(tick, AT + tick) for tick in range(1, 300)]
    with Deck(path) as deck:
        deck.play(samples[:10])
        gate.open.clear()
        deck.give(samples[10])
        assert gate.waits.wait(60)
        for latest in samples[11:100]:
            deck.give(latest)
        assert MOST_WAITING == deck.recorder._queue.qsize()
        slow = "The disk of the recording was too slow: some samples are missing from it."
        assert slow == deck.recorder.status.problem
        with pytest.raises(TapeError, match="too slow"):
            deck.ask(lambda tape: None)
        gate.open.set()
        last = recorder_module._Request(lambda tape: None)
        deck.recorder._queue.put(last, timeout=60)
        last.answer.result(60)
        status = deck.play(samples[100:130])
        assert ("recording", slow) == (status.state, status.problem)
        deck.clock.now += SLOW_SECONDS
        assert deck.play(samples[130:200]).problem is None
    # A key frame follows the gap, so that the chain of the one run is unbroken.
    kept = [*range(1, 12 + MOST_WAITING), *range(101, 201)]
    assert [kept] == told(path)
    assert [f"recording to {path}", slow, "the disk of the recording keeps up again"] == caplog.messages


def test_end_does_not_wait_for_a_stuck_disk(path: Path, gate: Gate) -> None:
    """While a write hangs, `close` is back in time; when it no longer does, the thread ends."""
    deck = Deck(path)
    deck.play([blank(1, AT)])
    gate.open.clear()
    deck.give(blank(2, AT + 1))
    assert gate.waits.wait(60)
    for tick in range(3, 100):
        deck.give(blank(tick, AT + tick))
    watch = os.times()
    deck.recorder.close()
    assert os.times().elapsed - watch.elapsed < CLOSE_SECONDS + 1.0
    assert deck.recorder._thread.is_alive()
    # What comes now is nobody's any more.
    deck.give(blank(100, AT + 100))
    gate.open.set()
    deck.recorder._thread.join(60)
    assert not deck.recorder._thread.is_alive()
    assert [[1, 2, *range(3, 3 + MOST_WAITING)]] == told(path)


def test_end_writes_what_waits(path: Path, gate: Gate) -> None:
    """Ticks that were given are recorded at the end, and nothing is left running or open."""
    deck = Deck(path)
    gate.open.clear()
    for tick in range(1, 21):
        deck.give(blank(tick, AT + tick))
    assert gate.waits.wait(60)
    gate.open.set()
    deck.recorder.close()
    deck.recorder._thread.join(60)
    assert [list(range(1, 21))] == told(path)
    assert [path.name] == [each.name for each in path.parent.iterdir()]
    with pytest.raises(TapeError, match="has ended"):
        deck.ask(lambda tape: None)


def test_recorder_that_never_began_can_be_closed(path: Path) -> None:
    """To close a recorder twice, or one without a tick, is no error, and makes no file."""
    with Deck(path) as deck:
        deck.recorder.close()
    assert not path.exists()


def test_events_that_could_not_be_written_are_written_later(path: Path, gate: Gate) -> None:
    """What happened while the disk was full is in the recording, as it was seen, once there is room."""
    samples = [blank(tick, AT + tick) for tick in range(1, 40)]
    with Deck(path) as deck:
        deck.play(samples[:5])
        gate.error = sqlite3.OperationalError(FULL)
        later = [in_generation(latest, 1) for latest in samples[5:]]
        assert "failed" == deck.play(later[:10]).state
        gate.error = None
        deck.clock.now += RETRY_SECONDS
        # The first tick of the next try asks for a key frame, which the one after it brings.
        deck.play(later[10:11])
        assert "recording" == deck.play(later[11:20]).state
    graceful = [event for event in events(path) if event.kind == "graceful"]
    assert [(AT_MS + 6000, 0, 1)] == [
        (event.at_ms, event.data["before"], event.data["generation"]) for event in graceful
    ]
    assert ["dashboard-start", "apache-start"] == [e.kind for e in events(path) if e not in graceful]


def test_what_lasts_over_a_failure_is_one_event(path: Path, gate: Gate) -> None:
    """Saturation that began before a failure and ended after it is one event, with both its ends."""
    samples = [blank(tick, AT + tick) for tick in range(1, 60)]
    with Deck(path) as deck:
        deck.play([samples[0], *(in_full(latest, 4) for latest in samples[1:10])])
        gate.error = sqlite3.OperationalError(FULL)
        deck.play(in_full(latest, 4) for latest in samples[10:20])
        gate.error = None
        deck.clock.now += RETRY_SECONDS
        deck.play([*(in_full(latest, 4) for latest in samples[20:25]), *samples[25:]])
    saturation = [event for event in events(path) if event.kind == "saturation"]
    assert [(AT_MS + 2000, AT_MS + 25_000)] == [(each.at_ms, each.ended_ms) for each in saturation]


def test_what_goes_on_at_the_end_ends_with_the_last_tick(path: Path) -> None:
    """Saturation that is not over when the recorder ends is over for it."""
    with Deck(path) as deck:
        deck.play(in_full(blank(tick, AT + tick), 4) for tick in range(1, 10))
    saturation = [event for event in events(path) if event.kind == "saturation"]
    assert [(AT_MS + 1000, AT_MS + 9000)] == [(each.at_ms, each.ended_ms) for each in saturation]


def test_events_that_wait_are_bounded(path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many events that can't be written the newest are kept."""
    monkeypatch.setattr(recorder_module, "MOST_PENDING", 120)
    with Deck(path) as deck:
        deck.play([blank(1, AT + 1)])
        gate.error = sqlite3.OperationalError(FULL)
        deck.play(in_generation(blank(tick, AT + tick), tick) for tick in range(2, 220))
        assert 120 == len(deck.recorder._pending)
        gate.error = None
        deck.clock.now += RETRY_SECONDS
        first = 220
        deck.play(in_generation(blank(tick, AT + tick), first) for tick in range(first, first + 30))
    generations = [event.data["generation"] for event in events(path) if event.kind == "graceful"]
    assert list(range(first - 119, first + 1)) == generations


def test_error_nobody_thought_of_stops_the_recording_for_a_while(
    path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug under the recorder is logged once, with where it is, and tried again later."""
    with Deck(path) as deck:
        deck.play([blank(1, AT + 1)])
        gate.error = RuntimeError("a bug")
        status = deck.play(blank(tick, AT + tick) for tick in range(2, 40))
        problem = f"Nothing is recorded: RuntimeError while writing {path}: a bug."
        assert Status("failed", problem) == status
        assert [True] == [record.exc_info is not None for record in caplog.records]
        gate.error = None
        deck.clock.now += RETRY_SECONDS
        assert "recording" == deck.play(blank(tick, AT + tick) for tick in range(40, 50)).state
    assert is_intact(path)


def test_disk_is_tried_again_now_and_then(path: Path, gate: Gate) -> None:
    """While nothing can be written, it is tried each 15 seconds, and the log says so once."""
    tries = []
    gate.error = sqlite3.OperationalError(FULL)
    with Deck(path) as deck:
        for tick in range(1, 100):
            deck.play([blank(tick, AT + tick)])
            tries.append(deck.recorder._retry_at)
    # A key frame is one tick late, where one is needed.
    assert 99 / (RETRY_SECONDS + 2) <= len(set(tries)) <= 99 / RETRY_SECONDS + 1


def test_runs_begin_where_the_clock_jumps(path: Path) -> None:
    """A clock set ahead or back begins another run, with a key frame; each says what it said then."""
    instants = [AT, AT + 31_536_000.0, AT + 100.0, AT - 3600.0, 1000.0, AT + 200.0, AT + 195.0]
    ticks = 0
    with Deck(path) as deck:
        for start in instants:
            deck.play(blank(ticks + n, start + n) for n in range(1, 21))
            ticks += 20
            with reading(path) as recording:
                found = recording.sample_at(int(1000 * (start + 20.5)))
            assert isinstance(found, wire.Sample)
            assert ticks == found.tick
    assert [list(range(20 * n + 1, 20 * n + 21)) for n in range(7)] == told(path)
    clocks = [event.data["seconds"] for event in events(path) if event.kind == "clock"]
    assert 4 == len(clocks)
    assert all(seconds < 0 for seconds in clocks)


def test_pause_of_some_ticks_is_a_gap_in_one_run(path: Path) -> None:
    """A minute without a tick is no other run: nothing but the clock passed."""
    with Deck(path) as deck:
        deck.play([blank(1, AT), blank(2, AT + 60.0), blank(3, AT + 61.0)])
    assert [[1, 2, 3]] == told(path)


def test_next_process_goes_on_in_another_run(path: Path) -> None:
    """Another process says since when nobody looked, and tells nothing twice."""
    for start in (0.0, 100.0):
        with Deck(path) as deck:
            deck.play(blank(tick, AT + start + tick) for tick in range(1, 31))
    assert [list(range(1, 31))] * 2 == told(path)
    assert [("dashboard-start", None), ("apache-start", None), ("dashboard-start", 71.0)] == [
        (event.kind, event.data.get("gap")) for event in events(path)
    ]


def test_bookmarks_are_made_by_the_thread(path: Path) -> None:
    """What is asked of the thread has the open file, and what it raises is passed on."""
    mark = Event("bookmark", AT_MS, subject="1", data={"text": "deploy"})
    with Deck(path) as deck:
        with pytest.raises(TapeError, match="Nothing is recorded yet"):
            deck.ask(lambda tape: tape.add_bookmark(mark))
        deck.play([blank(1, AT)])
        number = deck.ask(lambda tape: tape.add_bookmark(mark))
        assert mark in events(path)
        assert deck.ask(lambda tape: tape.remove_bookmark(number))
        assert mark not in events(path)
        with pytest.raises(ZeroDivisionError):
            deck.ask(lambda tape: 1 // 0)
        with pytest.raises(TapeError, match=r"disk of .* is full"):
            deck.ask(_no_room)
        assert "recording" == deck.play([blank(2, AT + 1)]).state


def _no_room(tape: Tape) -> None:
    raise sqlite3.OperationalError(FULL)


def test_bookmarks_are_refused_while_nothing_is_recorded(path: Path, gate: Gate) -> None:
    """In a failure a bookmark is refused with the failure's sentence."""
    with Deck(path) as deck:
        deck.play([blank(1, AT)])
        gate.error = sqlite3.OperationalError(FULL)
        problem = deck.play([blank(2, AT + 1)]).problem
        with pytest.raises(TapeError) as caught:
            deck.ask(lambda tape: tape.add_bookmark(Event("bookmark", AT_MS)))
        assert problem == str(caught.value)


def test_what_was_asked_is_answered_at_the_end(path: Path, gate: Gate) -> None:
    """A request that the thread can't come to any more is refused, and hangs nobody."""
    deck = Deck(path)
    deck.play([blank(1, AT)])
    gate.open.clear()
    deck.give(blank(2, AT + 1))
    assert gate.waits.wait(60)
    done = deck.recorder.ask(lambda tape: "done")
    deck.recorder.close()
    late = deck.recorder.ask(lambda tape: "late")
    gate.open.set()
    deck.recorder._thread.join(60)
    assert "done" == done.result(60)
    with pytest.raises(TapeError, match="has ended"):
        late.result(60)


def test_each_dashboard_has_its_own_file() -> None:
    """Names of recordings are plain, and those of two addresses differ."""
    addresses = ["127.0.0.1:8001", "127.0.0.1:8002", "[::1]:8001"]
    listens = [*addresses, "unix:/run/a b.sock", "unix:/run/a-b.sock"]
    names = [file_name(Settings.load(listen=listen)) for listen in listens]
    assert "recording-127.0.0.1-8001.sqlite3" == names[0]
    assert len(listens) == len(set(names))
    assert all(name.isascii() and "/" not in name and " " not in name for name in names)


def test_setting_names_the_only_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With state_dir set nothing else is tried; unset, the service manager's directory is the first."""
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/a:{tmp_path}/b")
    chosen = Settings.load(state_dir=str(tmp_path / "c"))
    assert [tmp_path / "c"] == list(state_directories(chosen))
    first, second, system, *_ = state_directories(Settings.load())
    assert (tmp_path / "a", tmp_path / "b", recorder_module.SYSTEM_DIRECTORY) == (first, second, system)
    path = choose_path(Settings.load())
    assert tmp_path / "a" == path.parent
    assert 0o700 == path.parent.stat().st_mode & 0o777


def test_account_without_a_home_has_a_directory_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user id that no account has, as containers give them, is no error."""

    def unknown(uid: int) -> Any:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    found = list(state_directories(Settings.load()))
    assert Path(f"/var/tmp/mod_wsgi-dashboard-{os.geteuid()}") in found


def _file(path: Path) -> None:
    path.write_text("")


def _link(path: Path) -> None:
    path.with_name("elsewhere").mkdir()
    path.symlink_to(path.with_name("elsewhere"))


def _loop(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_file, "File exists"),
        (_link, "somebody else's"),
        (_loop, "File exists"),
        (lambda path: path.parent.rmdir(), None),
    ],
    ids=["a file", "a link", "a loop", "nothing above it"],
)
def test_directory_that_can_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], reason: str | None
) -> None:
    """The one sentence names the directory, what is wrong with it, and the setting; or it is made."""
    parent = tmp_path / "tmp"
    parent.mkdir()
    # Where others may write too, a link is nobody's.
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(parent))
    directory = parent / "state"
    make(directory)
    settings = Settings.load(state_dir=str(directory))
    if reason is None:
        assert directory / file_name(settings) == choose_path(settings)
        return
    with pytest.raises(TapeError) as caught:
        choose_path(settings)
    assert f"No directory to record in: {directory} ({reason})." in str(caught.value)
    assert "state_dir" in str(caught.value)
