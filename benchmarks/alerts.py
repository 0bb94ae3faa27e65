"""What the rules cost at each tick, beside what the counts and rates of the same reading cost.

python -m benchmarks.alerts
"""

from __future__ import annotations

import statistics
import time

from mod_wsgi_dashboard.core import rates
from mod_wsgi_dashboard.core.alerts import Alarms
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader, Scoreboard
from mod_wsgi_dashboard.simulator import Simulator

SLOTS = 6400
TICKS = 60
START = 1_700_000_000.0
SCENARIOS = ("calm", "burst", "saturation", "slow-endpoint")


def main() -> None:
    """Print medians and the worst of each scenario."""
    print(f"The default rules at {SLOTS} slots, CPU ms a tick, of {TICKS} ticks")
    for scenario in SCENARIOS:
        rules, counts, changed = measure(scenario)
        print(
            f"  {scenario:14} {statistics.median(rules):5.2f} (worst {max(rules):5.2f}) for"
            f" {statistics.median(changed):.0f} slots that changed; rates"
            f" {statistics.median(counts):5.2f}"
        )


def measure(scenario: str) -> tuple[list[float], list[float], list[int]]:
    """Return CPU ms of the rules and of the rates, and how many slots changed, by tick."""
    simulator = Simulator(scenario=scenario, slots=SLOTS, seed=3, start_at=START)
    reader, alarms = Reader(Redactor()), Alarms()
    reading: rates.Reading | None = None
    rules: list[float] = []
    counts: list[float] = []
    changed: list[int] = []
    for tick in range(TICKS):
        before, board = reading, reader.read(simulator.server_metrics(START + 30.0 + tick))
        began = time.process_time()
        reading = rates.read(board, previous=reading, elapsed=1.0)
        counted = time.process_time()
        alarms.observe(reading, at=START + 30.0 + tick, now=float(tick))
        judged = time.process_time()
        if before is not None:
            counts.append(1000 * (counted - began))
            rules.append(1000 * (judged - counted))
            changed.append(differences(before.scoreboard, board))
    return rules, counts, changed


def differences(before: Scoreboard, now: Scoreboard) -> int:
    """Return how many slots are not what they were."""
    return sum(
        old is not new
        for then, process in zip(before.processes, now.processes, strict=True)
        for old, new in zip(then.workers, process.workers, strict=True)
    )


if __name__ == "__main__":
    main()
