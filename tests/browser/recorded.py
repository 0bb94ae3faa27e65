"""Recordings of hours that no test waits for: the simulator's samples, written as if it were then."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from mod_wsgi_dashboard.recorder import Recorder, file_name
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.tape import Tape

# Fewer than what the recorder lets wait.
AT_ONCE = 20


class Chain:
    """Frames of an encoder, as the recorder takes them."""

    def __init__(self) -> None:
        self.encoder = Encoder()

    @property
    def previous(self) -> int | None:
        """The tick that the newest delta continues."""
        return self.encoder.previous

    def text(self, *, key: bool) -> bytes:
        """Return the newest frame's text."""
        return self.encoder.key() if key else self.encoder.delta()

    def body(self, *, key: bool) -> bytes:
        """Return it compressed."""
        return wire.deflate(self.text(key=key), 1)


def record(
    directory: Path, runs: Sequence[tuple[float, float]], *, scenario: str = "burst", slots: int = 64
) -> None:
    """Record a sample a second, for a demo on port 0 to go on with.

    Args:
        directory: its `state_dir`.
        runs: from when to when (epoch seconds) each run of the dashboard recorded; Apache runs through.
        scenario, slots: of the simulator.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    settings = Settings.load(listen="127.0.0.1:0")
    simulator = Simulator(scenario=scenario, slots=slots, start_at=runs[0][0] - 120)
    for start, end in runs:
        chain = Chain()
        recorder = Recorder(directory / file_name(settings), settings, chain)
        recorder.start()
        _play(simulator, recorder, chain, range(int(start), int(end)))
        recorder.close()


def _play(simulator: Simulator, recorder: Recorder, chain: Chain, seconds: range) -> None:
    reading: rates.Reading | None = None
    for tick, at in enumerate(seconds, 1):
        board = parse(simulator.server_metrics(float(at)), Redactor(enabled=False))
        reading = rates.read(board, previous=reading, elapsed=1.0)
        sample = wire.Sample(
            tick=tick,
            at=float(at),
            interval=1.0,
            snapshot=reading.scoreboard,
            rates=reading.rates,
            capacity=reading.capacity,
            viewers=wire.ViewerCount(connected=1, limit=4),
            notices=[],
        )
        chain.encoder.advance(sample)
        recorder.take(sample)
        if tick % AT_ONCE == 0 or tick == len(seconds):
            recorder.ask(_nothing).result()


def _nothing(_tape: Tape) -> None:
    """Say that all before it is written."""
