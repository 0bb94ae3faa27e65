"""What a tick costs with one viewer: read, derive, encode and compress, against a dump of the same dict.

The reference is what mod_wsgi's documented example does at each tick, for a browser: `json.dumps` with
an indent, compressed at level 1.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.simulator import Simulator

SLOTS = (150, 1600, 6400)
TICKS = 30
START = 1_700_000_000.0


def main() -> None:
    """Print the medians and their ratio for each size."""
    print(f"A tick of the burst scenario, CPU ms, median of {TICKS} (ours / reference, bytes)")
    for slots in SLOTS:
        ours, reference, frame, dump = measure(slots)
        print(
            f"  {slots:5} slots: {ours:6.2f} / {reference:6.2f} ms = 1/{reference / ours:.1f},"
            f" {frame:.0f} / {dump:.0f} bytes = 1/{dump / frame:.1f}"
        )


def measure(slots: int) -> tuple[float, float, float, float]:
    """Return CPU ms of ours and the reference, and bytes of both, for so many slots."""
    simulator = Simulator(scenario="burst", slots=slots, start_at=START)
    reader, encoder = Reader(Redactor()), Encoder()
    previous: rates.Reading | None = None
    ours: list[float] = []
    reference: list[float] = []
    frames: list[int] = []
    dumps: list[int] = []
    for tick in range(TICKS):
        metrics = simulator.server_metrics(START + 60.0 + tick)

        def work(metrics: object = metrics, tick: int = tick) -> bytes:
            nonlocal previous
            scoreboard = reader.read(metrics)
            previous = rates.read(scoreboard, previous=previous, elapsed=1.0)
            encoder.advance(
                wire.Sample(
                    tick,
                    START + tick,
                    1.0,
                    scoreboard,
                    previous.rates,
                    previous.capacity,
                    wire.ViewerCount(1, 4),
                    [],
                )
            )
            return wire.websocket_frame(wire.deflate(encoder.delta(), 1), compressed=True)

        frames.append(len(timed(ours, work)))
        dumps.append(len(timed(reference, partial(example, metrics))))
    # The first frame is a key frame, and the first reading redacts everything.
    found = [statistics.median(values[1:]) for values in (ours, reference, frames, dumps)]
    return found[0], found[1], found[2], found[3]


def example(metrics: object) -> bytes:
    """Return what the documented example sends to a browser."""
    return wire.deflate(json.dumps({"snapshot": metrics}, indent=2).encode(), 1)


def timed(into: list[float], work: Callable[[], bytes]) -> bytes:
    """Run `work`, put its CPU ms into a list, and return its result."""
    began = time.process_time()
    result = work()
    into.append((time.process_time() - began) * 1000)
    return result
