"""Samples as they come, with the load before them: of scenarios, of captures, and drawn from a seed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.requests import LETTERS
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.simulator import Simulator
from tests import held

Metrics = dict[str, Any]


class Load(NamedTuple):
    """A point of a sample's past: how many seconds before it, and as `verdict.Point`."""

    before: float
    gap: bool
    busy: int
    of: int


class Screen(NamedTuple):
    """What it is about, the sample as a key frame, and the load up to it."""

    about: str
    frame: str
    loads: list[Load]


CAPTURES = Path(__file__).parent.parent / "data"
START = 1_700_000_000.0
LINES = (
    "", "-", "GET /ws HTTP/1.1", "GET /report/7 HTTP/1.1", "GET /report/8 HTTP/1.1", "GET /\u00e9?a=1",
)  # fmt: skip


def screens() -> Iterator[Screen]:
    """Give the first screens of servers in many states."""
    for scenario, at in {
        "calm": 70, "burst": 22, "saturation": 27, "slow-endpoint": 60, "graceful-restart": 47,
        "websocket-hogs": 50, "hostile": 20,
    }.items():  # fmt: skip
        yield _played(scenario, at=at)
    yield _played("saturation", at=50)
    yield _played("saturation", at=50, ticks=5)
    yield _played("saturation", at=24, limit=12)
    yield _played("burst", at=22, limit=400)
    yield _played("graceful-restart", at=49, mpm="prefork")
    yield _played("saturation", at=40, bare=True)
    yield _played("saturation", at=40, detail="states")
    yield _played("websocket-hogs", at=50, limit=10)
    yield _played("slow-endpoint", at=60, limit=8)
    for name in ("4.9.4-event", "6.1.1-event-2-after-graceful", "6.1.1-prefork-1-before-graceful"):
        yield _captured(CAPTURES / f"mod_wsgi-{name}.jsonl.gz")
    yield from _chosen()
    random = Random("screens")
    for number in range(18):
        yield _drawn(random, number)


def _played(
    scenario: str,
    *,
    at: int,
    ticks: int = 24,
    limit: int | None = None,
    mpm: str = "event",
    bare: bool = False,
    detail: wire.Detail = "full",
) -> Screen:
    simulator = Simulator(scenario=scenario, slots=16, mpm=mpm, seed=5, start_at=START)
    play = (simulator.server_metrics(START + tick) for tick in range(1, at + 1))
    whole = [metrics for metrics in play if metrics is not None][-ticks:]
    samples = _samples([_bare(metrics) for metrics in whole] if bare else whole, limit=limit)
    about = f"{scenario} {mpm} at {at}, limit {limit}, {'letters' if bare else detail}"
    return _screen(about, samples, detail=detail)


def _captured(path: Path) -> Screen:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        # As a path of a machine it would only mislead: it is one of the site that was captured.
        captured = [json.loads(line.replace("/work/", "/report/")) for line in lines]
    return _screen(path.name, _samples(captured[: len(captured) * 2 // 3][-12:]))


def _chosen() -> Iterator[Screen]:
    slow, quick, idle = held.held(40.0), held.held(3.0), held.worker()
    full = held.sample(
        held.process(slow, held.held(70.0)), held.process(quick, pid=8, process_num=1, quiescing=True)
    )
    yield Screen("full at first sight", _frame(full), [Load(0.0, True, 2, 2)])
    yield Screen("full since before", _frame(full), [Load(left, False, 2, 2) for left in (2, 1, 0)])
    for letter, many in (("D", 4), ("D", 3), ("K", 4)):
        some = [held.worker(status=letter)] * many
        yield _screen(f"{many} {letter}", [held.sample(held.process(*some, *[quick] * (10 - many)))])
    half = held.sample(held.process(*[quick] * 15, *[idle] * 15))
    for pace in (0.12, 0.14, 0.6):
        loads = [Load(left, False, int(15 - left * pace), 30) for left in range(20, -1, -1)]
        yield Screen(f"{pace} a second", _frame(half), loads)
    often = [Load(left / 4, False, 7 + abs(left - 60) // 8, 30) for left in range(90, -1, -1)]
    yield Screen("four samples a second", _frame(half), often)


def _drawn(random: Random, number: int) -> Screen:
    sample = _samples([_board(random)], limit=_one(random, [None, None, 1, 12, 16, 20]))[0]
    now = _load(sample, sample)
    # Most of them are on their way to the load of the sample, so that something can be foreseen.
    count, wobble = _below(random, 50), 1 + _below(random, 3)
    step, pace = _one(random, [-0.2, 0.0, 0.05, 0.2, 1.0]), _one(random, [0.5, 1.0, 1.25])
    loads = [
        Load(
            left * pace,
            _below(random, 30) == 0,
            max(0, int(now.busy - step * left) + _below(random, wobble)),
            now.of,
        )
        for left in range(count, 0, -1)
    ]
    return Screen(f"drawn {number}", _frame(sample), [*loads, now._replace(gap=not loads)])


def _screen(about: str, samples: Sequence[wire.Sample], *, detail: wire.Detail = "full") -> Screen:
    loads = [_load(sample, samples[-1]) for sample in samples]
    loads[0] = loads[0]._replace(gap=True)
    return Screen(about, _frame(samples[-1], detail=detail), loads)


def _load(sample: wire.Sample, last: wire.Sample) -> Load:
    capacity = sample.capacity
    of = capacity.serving if capacity.max_request_workers is None else capacity.max_request_workers
    return Load(round(last.at - sample.at, 3), False, sample.rates.busy, of)


def _frame(sample: wire.Sample, *, detail: wire.Detail = "full") -> str:
    encoder = Encoder(detail=detail)
    encoder.advance(sample)
    return encoder.key().decode()


def _samples(metrics: Iterable[Metrics], *, limit: int | None = None) -> list[wire.Sample]:
    reader, reading = Reader(Redactor()), None
    samples = []
    for tick, read in enumerate(metrics, start=1):
        scoreboard = reader.read(read)
        reading = rates.read(scoreboard, previous=reading, elapsed=1.0, max_request_workers=limit)
        viewers = wire.ViewerCount(1, 4)
        at = scoreboard.current_time + 0.25
        samples.append(
            wire.Sample(tick, at, 1.0, scoreboard, reading.rates, reading.capacity, viewers, [])
        )
    return samples


def _bare(metrics: Metrics) -> Metrics:
    """Return what is left without ExtendedStatus."""
    for process in metrics["processes"]:
        for worker in process["workers"]:
            worker |= {"access_count": 0, "bytes_served": 0, "client": "", "request": "", "vhost": ""}
            worker |= {"start_time": 0.0, "stop_time": 0.0, "last_used": 0.0}
    return metrics


def _board(random: Random) -> Metrics:
    return {
        "server_limit": 4,
        "thread_limit": 5,
        "running_generation": 0,
        "restart_time": START - 500.0,
        "current_time": START,
        "running_time": _one(random, [7, 500, 90_000, 900_000]),
        "processes": [
            {
                "process_num": number,
                "pid": _one(random, [0, 100 + number, 100 + number, 100 + number]),
                "generation": 1 - (_below(random, 4) > 0),
                "quiescing": _below(random, 6) == 0,
                "workers": [_worker(random, 5 * number + place) for place in range(5)],
            }
            for number in range(4)
        ],
    }


def _worker(random: Random, number: int) -> Metrics:
    instants = [
        0.0,
        START - 0.25 * _below(random, 900),
        START - 0.25 * _below(random, 20),
        START + _below(random, 3),
    ]
    return {
        "thread_num": number,
        "generation": 0,
        "status": _one(random, [*LETTERS, "W", "W", "W", "W", "_", "_", "_"]),
        "access_count": _below(random, 9000),
        "bytes_served": int(10 ** (random.random() * 13)),
        "start_time": _one(random, instants),
        "stop_time": _one(random, instants),
        "last_used": _one(random, instants),
        "client": _one(random, ["", "192.0.2.7", "2001:db8::1"]),
        "request": _one(random, LINES),
        "vhost": _one(random, ["", "www.example.com:443", "b:80"]),
    }


def _below(random: Random, below: int) -> int:
    return int(random.random() * below)


def _one(random: Random, values: Sequence[Any]) -> Any:
    return values[_below(random, len(values))]
