"""Samples, frames and recordings for the tests of the flight recorder, and a process to be killed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mod_wsgi_dashboard import recorder as recorder_module
from mod_wsgi_dashboard.core import history, rates, wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.hub import Hub, Kind
from mod_wsgi_dashboard.recorder import Recorder, Status
from mod_wsgi_dashboard.recording import DELTA, KEY_EVERY, KINDS, MARKER, Frame, Recording
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.tape import RunHead, Tape, TapeError, Tick

Latest = wire.Sample | wire.Failure
T = TypeVar("T")

AT = 1_700_000_000.0
LEAST = 8 << 20


def simulated(
    count: int, *, scenario: str = "calm", slots: int = 16, start: float = AT, seed: int = 1
) -> Iterator[Latest]:
    """Yield what a poller makes of the simulator, one tick a second."""
    simulator = Simulator(scenario=scenario, slots=slots, seed=seed, start_at=start - 60.0)
    reader, previous = Reader(Redactor(enabled=True)), None
    viewers = wire.ViewerCount(0, 4)
    for tick in range(1, count + 1):
        at = start + tick * 1.0009
        try:
            scoreboard = reader.read(simulator.server_metrics(at))
        except DashboardError as error:
            yield wire.Failure(tick, at, 1.0, str(error), viewers, [])
            continue
        previous = rates.read(scoreboard, previous=previous, elapsed=1.0)
        yield wire.Sample(tick, at, 1.0, scoreboard, previous.rates, previous.capacity, viewers, [])


def blank(tick: int, at: float, *, error: str | None = None) -> Latest:
    """Return a small sample at an instant, or a failure."""
    if error is not None:
        return wire.Failure(tick, at, 1.0, error, wire.ViewerCount(0, 4), [])
    (sample,) = simulated(1, slots=4)
    assert isinstance(sample, wire.Sample)
    return wire.Sample(tick, at, 1.0, sample.snapshot, sample.rates, sample.capacity, sample.viewers, [])


class Cutter:
    """Makes of samples what a tape is given, with a key frame as often as the recorder has it."""

    def __init__(self, detail: Any = "full") -> None:
        self.encoder = Encoder(detail=detail)
        self.until_key = 0

    def cut(self, latest: Latest, *events: Event, key: bool = False) -> tuple[Tick, bytes]:
        """Return a tick and the text of its frame."""
        encoder = self.encoder
        encoder.advance(latest)
        text = encoder.key() if key or self.until_key <= 0 else encoder.delta()
        kind = KINDS.get(text[:14], DELTA)
        self.until_key = self.until_key - 1 if kind == DELTA else KEY_EVERY - 1
        states, values = b"", []
        if isinstance(latest, wire.Sample):
            letters = history.letters(latest.snapshot)
            states, values = letters.encode(), history.measure(latest, letters)
        body = wire.deflate(text, 1) + MARKER
        at_ms = int(latest.at * 1000)
        return (
            Tick(at_ms, kind, len(text), zlib.adler32(text), body, states, values, list(events)),
            text,
        )


def head(interval: float = 1.0, detail: str = "full") -> RunHead:
    """Return what is said of a run."""
    return RunHead(interval, detail, "0")


@contextlib.contextmanager
def taping(path: Path, *, limit: int = LEAST, interval: float = 1.0) -> Iterator[Tape]:
    """Open a tape at the beginning of a run."""
    tape = Tape(path, limit=limit)
    try:
        tape.begin(head(interval))
        yield tape
    finally:
        tape.close()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Recording]:
    """Open a recording."""
    recording = Recording(path)
    try:
        yield recording
    finally:
        recording.close()


def query(path: Path, text: str, *values: object) -> list[Any]:
    """Return the rows of a query, by a connection of its own."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text, values).fetchall()


def is_intact(path: Path) -> bool:
    """Return whether SQLite's own check finds nothing."""
    return query(path, "PRAGMA integrity_check") == [("ok",)]


def frames(path: Path) -> list[tuple[int, int, bytes]]:
    """Return the run, instant and text of all frames, in the order of recording."""
    rows = query(path, "SELECT run, at_ms, kind, size, adler, body FROM frame ORDER BY id")
    return [(run, row[0], Frame(*row).text()) for run, *row in rows]


def disk_bytes(path: Path) -> int:
    """Return the bytes of a file, its log and its index."""
    return sum(
        os.stat(f"{path}{part}").st_size
        for part in ("", "-wal", "-shm")
        if os.path.exists(f"{path}{part}")
    )


def decoded(texts: Iterable[bytes]) -> list[Latest]:
    """Return what a viewer makes of frames."""
    decoder = Decoder()
    latest = [decoder.decode(text) for text in texts]
    return [each for each in latest if each is not None]


class Clock:
    """Monotonic seconds that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Deck:
    """A recorder and what feeds it: the fan-out's own chain, without viewers.

    Each tick advances the clock by a second.
    """

    def __init__(self, path: Path, *, record: str = "full", record_bytes: int = LEAST) -> None:
        self.settings = Settings.load(record=record, record_bytes=record_bytes)
        self.clock = Clock()
        self.path = path
        self._hub = Hub(lambda detail: Encoder(detail=detail))  # type: ignore[arg-type]
        chain = self._hub.keep(Kind(record, compressed=True))
        self.recorder = Recorder(path, self.settings, chain, monotonic=self.clock)
        self.recorder.start()

    def __enter__(self) -> Deck:
        return self

    def __exit__(self, *reason: object) -> None:
        self.recorder.close()
        self.recorder._thread.join(30)

    def play(self, samples: Iterable[Latest], *, at_once: int = 1) -> Status:
        """Give the recorder samples, and return how it stands when they are dealt with.

        A second is more than enough for a tick: unless `at_once` says else, each is dealt with before
        the next one comes.
        """
        for number, latest in enumerate(samples, start=1):
            self.give(latest)
            if number % at_once == 0:
                self.wait()
        return self.wait()

    def give(self, latest: Latest) -> None:
        """Give the recorder one sample."""
        self.clock.now += 1.0
        self._hub.publish(latest)
        self.recorder.take(latest)

    def wait(self) -> Status:
        """Return how the recorder stands once everything given was dealt with."""
        with contextlib.suppress(TapeError):
            self.ask(lambda tape: None)
        return self.recorder.status

    def ask(self, work: Callable[[Tape], T]) -> T:
        """Have the thread do something with the tape."""
        return self.recorder.ask(work).result(timeout=30)


class _Saying(Tape):
    """A tape that tells of each tick that is committed."""

    def append(self, tick: Tick) -> None:
        super().append(tick)
        os.write(1, b"%d %d\n" % (tick.at_ms, tick.adler))


def _record_until_killed(path: Path, number: int) -> None:
    recorder_module.Tape = _Saying  # type: ignore[misc]
    with Deck(path) as deck:
        start = AT + 10_000.0 * number
        deck.play(simulated(100_000, scenario="burst", start=start, seed=number), at_once=10)


def _main() -> None:
    """Fork a process that records for each line that comes, a number, and say when it is dead.

    Each fork saves the time of the imports.
    """
    path = Path(sys.argv[1])
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            _record_until_killed(path, int(line))
            os._exit(0)
        os.write(1, b"pid %d\n" % pid)
        os.waitpid(pid, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    _main()
