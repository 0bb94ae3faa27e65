"""What a scrape of `/metrics` costs, the first of its tick.

References, of the same sample: prometheus_client with one series for each worker and value (status,
requests, bytes, age), which the scoreboard invites to, and the plain format of `/api/v1/snapshot`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from benchmarks.tick import SLOTS, START, TICKS, timed
from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.metrics import Recording, State
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.exposition import OPENMETRICS, TEXT, Exposition
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator

# What is measured, in the order of the columns; the last two are the references.
WAYS = ("text", "OpenMetrics, gzip", "with process slots", "again", "JSON", "by worker")


def main() -> None:
    """Print the medians for each size, and the ratios to the references."""
    print(f"A scrape of the burst scenario, CPU ms (bytes), median of {TICKS}")
    for slots in SLOTS:
        found = measure(slots)
        cells = [f"{way} {ms:.2f} ({size:.0f})" for way, (ms, size) in found.items()]
        ours = found["text"][0]
        print(f"  {slots:5} slots: {', '.join(cells)}")
        print(
            f"        text is {ours / found['by worker'][0]:.3f} of a series by worker,"
            f" {ours / found['JSON'][0]:.2f} of the JSON"
        )


def measure(slots: int) -> dict[str, tuple[float, float]]:
    """Return CPU ms and bytes of each way, for so many slots."""
    costs: dict[str, list[float]] = {way: [] for way in WAYS}
    sizes: dict[str, list[int]] = {way: [] for way in WAYS}
    ticks = samples(slots)
    latest = next(ticks)

    def state() -> State:
        return State(
            latest=latest,
            ticks=latest.tick,
            failures=0,
            interval=1.0,
            lag=0.0,
            duration=0.01,
            refused=0,
            let_go=0,
            recording=Recording(up=True, size=1, limit=1 << 29, dropped=0),
            rules=[(name, "warning") for name in ("saturated", "nearly", "stuck", "off", "restarted")],
            stuck=0,
        )

    plain = Exposition(Settings(), state)
    detailed = Exposition(Settings(metrics_processes=True), state)
    for latest in ticks:
        works: list[Callable[[], bytes]] = [
            partial(plain.body, TEXT, packed=False),
            partial(Exposition(Settings(), state).body, OPENMETRICS, packed=True),
            partial(detailed.body, TEXT, packed=False),
            partial(plain.body, TEXT, packed=False),
            partial(wire.encode, latest),
            partial(generate_latest, ByWorker(latest)),
        ]
        for way, work in zip(WAYS, works, strict=True):
            sizes[way].append(len(timed(costs[way], work)))
    return {way: (statistics.median(costs[way]), statistics.median(sizes[way])) for way in WAYS}


def samples(slots: int) -> Iterator[wire.Sample]:
    """Yield what a poller would publish, tick by tick."""
    simulator = Simulator(scenario="burst", slots=slots, start_at=START)
    reader, previous = Reader(Redactor()), None
    for tick in range(TICKS + 1):
        board = reader.read(simulator.server_metrics(START + 60.0 + tick))
        previous = rates.read(board, previous=previous, elapsed=1.0)
        viewers = wire.ViewerCount(0, 4)
        yield wire.Sample(
            tick, START + 60.0 + tick, 1.0, board, previous.rates, previous.capacity, viewers, []
        )


class ByWorker(Collector):
    """A series for each worker and value."""

    def __init__(self, sample: wire.Sample) -> None:
        self._sample = sample

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        labels = ["process", "worker"]
        status = GaugeMetricFamily("worker_state", "State", labels=[*labels, "state"])
        requests = CounterMetricFamily("worker_requests_total", "Requests", labels=labels)
        sent = CounterMetricFamily("worker_bytes_total", "Bytes", labels=labels)
        age = GaugeMetricFamily("worker_request_seconds", "Age", labels=labels)
        for process in self._sample.snapshot.processes:
            for index, worker in enumerate(process.workers):
                name = [str(process.process_num), str(index)]
                status.add_metric([*name, worker.status], 1)
                requests.add_metric(name, worker.access_count)
                sent.add_metric(name, worker.bytes_served)
                if worker.unfinished:
                    age.add_metric(name, self._sample.at - worker.start_time)
        yield from (status, requests, sent, age)


if __name__ == "__main__":
    main()
