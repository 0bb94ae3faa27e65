"""What the flight recorder costs a tick and an hour, against a plain one, and what it is read for.

The plain recorder is what a script would do: `json.dumps` of each `server_metrics()` dict, compressed at
level 6, one row and one transaction a tick, in the same kind of SQLite file. Both write what the poller
has; reading and redacting the scoreboard is in `benchmarks.tick`.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from mod_wsgi_dashboard import history_api
from mod_wsgi_dashboard.core import history, rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.hub import Hub, Kind
from mod_wsgi_dashboard.recorder import Recorder
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.service import GARBAGE
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.tape import PAGE_BYTES

SLOTS = (150, 1600, 6400)
TICKS = 240
# Filling the strings' tables takes a minute.
WARM = 60
LOT = 10
START = 1_700_000_000.0
READS = 40


def main() -> None:
    """Print CPU and bytes for each size, and what reading takes."""
    gc.freeze()
    gc.set_threshold(GARBAGE)
    for scenario in ("calm", "burst"):
        print(f"Recording, {scenario}: CPU ms a tick and MB an hour, ours / plain")
        for slots in SLOTS:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "ours.sqlite3"
                ours, ours_bytes = record(path, slots, scenario)
                plain, plain_bytes = record_plainly(Path(folder) / "plain.sqlite3", slots, scenario)
                print(
                    f"  {slots:5} slots: {ours:6.2f} / {plain:6.2f} ms = 1/{plain / ours:.1f},"
                    f" {ours_bytes:6.1f} / {plain_bytes:6.1f} MB = 1/{plain_bytes / ours_bytes:.1f}"
                )
                if scenario == "calm":
                    states, states_bytes = record(
                        Path(folder) / "states.sqlite3", slots, scenario, detail="states"
                    )
                    print(f"               record = states: {states:.2f} ms, {states_bytes:.1f} MB")
                    print(f"               a sample at a random instant: {read_samples(path):.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        print(f"An hour of all series at 1 Hz, read and encoded: {read_hour(Path(folder)):.1f} ms")


def samples(slots: int, scenario: str) -> Callable[[int], tuple[object, wire.Sample]]:
    """Return what gives the scoreboard and the sample of each tick, in turn."""
    simulator = Simulator(scenario=scenario, slots=slots, start_at=START)
    reader = Reader(Redactor())
    previous: rates.Reading | None = None

    def sample(tick: int) -> tuple[object, wire.Sample]:
        nonlocal previous
        at = START + 60.0 + tick
        metrics = simulator.server_metrics(at)
        previous = rates.read(reader.read(metrics), previous=previous, elapsed=1.0)
        viewers = wire.ViewerCount(0, 4)
        parts = (previous.scoreboard, previous.rates, previous.capacity, viewers)
        return metrics, wire.Sample(tick, at, 1.0, *parts, [])

    return sample


def record(
    path: Path, slots: int, scenario: str, *, detail: wire.Detail = "full"
) -> tuple[float, float]:
    """Return CPU ms a tick, encoder and thread included, and MB an hour of the real recorder."""
    hub = Hub(lambda _: Encoder(detail=detail))
    settings = Settings(state_dir=str(path.parent), record_bytes=1 << 40, record=detail)
    recorder = Recorder(path, settings, hub.keep(Kind(detail, compressed=True)))
    recorder.start()
    sample = samples(slots, scenario)
    cpu: list[float] = []
    started = 0
    # To wait for the thread at each tick would be measured, too.
    for first in range(1, WARM + TICKS + 1, LOT):
        lot = [sample(tick)[1] for tick in range(first, first + LOT)]
        began = time.process_time()
        for latest in lot:
            hub.publish(latest)
            recorder.take(latest)
        recorder.ask(lambda tape: None).result()
        cpu.append(1000 * (time.process_time() - began) / LOT)
        if first + LOT == WARM + 1:
            started = stored(path)
    grown = stored(path) - started
    recorder.close()
    # A mean: a tick in thirty has a key frame.
    return statistics.mean(cpu[WARM // LOT :]), grown / TICKS * 3600 / 1e6


def stored(path: Path) -> int:
    """Return the bytes of all pages in use, those of the log included."""
    connection = sqlite3.connect(path)
    try:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        return int(pages) * PAGE_BYTES
    finally:
        connection.close()


def record_plainly(path: Path, slots: int, scenario: str) -> tuple[float, float]:
    """Return the same of the plain recorder."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE tick (at INTEGER PRIMARY KEY, body BLOB)")
    sample = samples(slots, scenario)
    cpu: list[float] = []
    for tick in range(1, TICKS // 4 + 1):
        metrics, _ = sample(tick)
        began = time.process_time()
        body = zlib.compress(json.dumps(metrics).encode(), 6)
        connection.execute("INSERT INTO tick VALUES (?, ?)", (tick, body))
        cpu.append(1000 * (time.process_time() - began))
    connection.close()
    return statistics.mean(cpu), path.stat().st_size / len(cpu) * 3600 / 1e6


def read_samples(path: Path) -> float:
    """Return the median CPU ms in which the whole sample of an instant is read and decoded."""
    recording = Recording(path)
    cpu: list[float] = []
    for number in range(READS):
        at = START + 60.0 + WARM + number * TICKS / READS
        began = time.process_time()
        assert recording.sample_at(int(1000 * at)) is not None
        cpu.append(1000 * (time.process_time() - began))
    recording.close()
    return statistics.median(cpu)


def read_hour(folder: Path) -> float:
    """Return the median CPU ms in which an hour of all series is read and made JSON."""
    path = folder / "hour.sqlite3"
    hub = Hub(lambda _: Encoder())
    settings = Settings(state_dir=str(folder))
    recorder = Recorder(path, settings, hub.keep(Kind("full", compressed=True)))
    recorder.start()
    sample = samples(64, "burst")
    for tick in range(1, 3601):
        _, latest = sample(tick)
        hub.publish(latest)
        recorder.take(latest)
        recorder.ask(lambda tape: None).result()
    recorder.close()
    recording = Recording(path)
    cpu: list[float] = []
    for _ in range(10):
        began = time.process_time()
        table, _ = recording.aggregates(START + 60.0, START + 3660.0, 1)
        columns = {name: history_api.columns(name, table.columns) for name in history.SERIES}
        msgspec.json.encode({"at": table.at, "series": columns})
        cpu.append(1000 * (time.process_time() - began))
    recording.close()
    return statistics.median(cpu)


if __name__ == "__main__":
    main()
