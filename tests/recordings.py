"""Recordings made in a moment: what the recorder writes of simulated samples, without its thread."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.core import history, rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import Watcher
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.recording import DELTA, KEY_EVERY, KINDS, MARKER
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.tape import RunHead, Tape, Tick

# Midnight of 2023-11-15 in Greenwich: every tier of buckets begins one with it.
AT = 1_700_006_400.0

LIMIT = 512 << 20

Latest = wire.Sample | wire.Failure


def play(
    seconds: Iterable[float], *, scenario: str = "burst", slots: int = 64, limit: int | None = None
) -> Iterator[Latest]:
    """Yield the samples of an Apache that has run for two minutes at `AT`, one at each of `seconds`.

    Args:
        seconds: after `AT`.
        scenario: of the simulator.
        slots: of the simulator.
        limit: Apache's MaxRequestWorkers, if it is known.
    """
    simulator = Simulator(scenario=scenario, slots=slots, start_at=AT - 120.0)
    reader, previous = Reader(Redactor()), None
    viewers = wire.ViewerCount(0, 4)
    for tick, second in enumerate(seconds, start=1):
        at = AT + second
        try:
            board = reader.read(simulator.server_metrics(at))
        except DashboardError as error:
            yield wire.Failure(tick, at, 1.0, str(error), viewers, [])
            continue
        previous = rates.read(board, previous=previous, elapsed=1.0, max_request_workers=limit)
        yield wire.Sample(
            tick, at, 1.0, previous.scoreboard, previous.rates, previous.capacity, viewers, []
        )


class Run:
    """One run of a recording, that is written tick by tick."""

    def __init__(self, path: Path, *, detail: wire.Detail = "full", limit: int = LIMIT) -> None:
        self.tape = Tape(path, limit=limit)
        self.tape.begin(RunHead(1.0, detail, __version__))
        self._encoder = Encoder(detail=detail)
        self._watcher = Watcher(version=__version__)
        self._until_key = 0

    def add(self, latest: Latest) -> None:
        """Write a tick."""
        encoder = self._encoder
        encoder.advance(latest)
        key = self._until_key <= 0 or encoder.previous is None
        text = encoder.key() if key else encoder.delta()
        kind = KINDS.get(text[:14], DELTA)
        self._until_key = self._until_key - 1 if kind == DELTA else KEY_EVERY - 1
        states, values = "", []
        if isinstance(latest, wire.Sample):
            states = history.letters(latest.snapshot)
            values = history.measure(latest, states)
        self.tape.append(
            Tick(
                *(int(latest.at * 1000), kind, len(text), zlib.adler32(text)),
                wire.deflate(text, 6) + MARKER,
                *(states.encode(), values, self._watcher.observe(latest)),
            )
        )


def record(
    path: Path, latest: Iterable[Latest], *, detail: wire.Detail = "full", limit: int = LIMIT
) -> None:
    """Record samples as one run of a recording, and close it."""
    run = Run(path, detail=detail, limit=limit)
    for each in latest:
        run.add(each)
    run.tape.close()
