"""What a tick costs: parse, redact, derive and encode, against a plain dump of the same dict.

The reference is what mod_wsgi's documented example does at each tick: `json.dumps(..., indent=2)`.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from mod_wsgi_dashboard.simulator import Simulator

SLOTS = (150, 1600, 6400)
TICKS = 30


def main() -> None:
    """Print the medians and their ratio for each size."""
    print("A tick of the burst scenario, CPU ms, median of 30 (ours / reference, frame sizes)")
    for slots in SLOTS:
        ours, reference, frame, dump = measure(slots)
        print(
            f"  {slots:5} slots: {ours:6.2f} / {reference:6.2f} ms = {ours / reference:.2f},"
            f" {frame} / {dump} bytes = {frame / dump:.2f}"
        )


def measure(slots: int) -> tuple[float, float, int, int]:
    """Return CPU ms of ours and the reference, and bytes of both, for so many slots."""
    simulator = Simulator(scenario="burst", slots=slots, start_at=1_700_000_000.0)
    redactor = Redactor()
    previous: rates.Reading | None = None
    ours: list[float] = []
    reference: list[float] = []
    frame = dump = b""
    for tick in range(TICKS):
        metrics = simulator.server_metrics(1_700_000_060.0 + tick)

        def work(metrics: object = metrics, tick: int = tick) -> bytes:
            nonlocal previous
            scoreboard = parse(metrics, redactor)
            previous = rates.read(scoreboard, previous=previous, elapsed=1.0)
            sample = wire.Sample(
                tick, 0.0, 1.0, scoreboard, previous.rates, previous.capacity, wire.ViewerCount(1, 4), []
            )
            return wire.websocket_frame(wire.encode(sample))

        frame = timed(ours, work)
        dump = timed(reference, partial(example, metrics))
    return statistics.median(ours), statistics.median(reference), len(frame), len(dump)


def example(metrics: object) -> bytes:
    """Return what the documented example sends."""
    return json.dumps({"snapshot": metrics}, indent=2).encode()


def timed(into: list[float], work: Callable[[], bytes]) -> bytes:
    """Run `work`, put its CPU ms into a list, and return its result."""
    began = time.process_time()
    result = work()
    into.append((time.process_time() - began) * 1000)
    return result
