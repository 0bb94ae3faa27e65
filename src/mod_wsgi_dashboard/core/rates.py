"""What a scoreboard says: worker counts, rates between two readings, and capacity.

Owns every number that is derived from scoreboards. It must not know a clock: the seconds between
two readings come from the caller's monotonic clock, since Apache's own times jump with the wall
clock.

Invariants: no rate and no total is ever negative; totals only grow, over restarts, graceful
restarts and recycled slots; what the scoreboard can't tell is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain

import msgspec

from mod_wsgi_dashboard.core.scoreboard import STATUSES, Process, Scoreboard

# A server with thousands of virtual hosts must not make every sample grow with them.
VHOSTS_LISTED = 50


class VhostRates(msgspec.Struct, frozen=True):
    """One virtual host: the workers busy on it now, and the requests since the last reading."""

    vhost: str
    busy: int
    requests: int


class Rates(msgspec.Struct, frozen=True):
    """What one scoreboard, and its distance from the one before, say.

    `busy`, `idle` and `graceful` follow mod_status (BusyWorkers, IdleWorkers, GracefulWorkers), as do
    `accesses` and `bytes_served` (Total Accesses; Total kBytes x 1024), which start again at a full
    restart. `requests_total` and `bytes_total` go on over restarts, from the first reading.
    """

    busy: int
    idle: int
    graceful: int
    open: int
    states: dict[str, int]
    processes: int
    quiescing: int
    old_generation: int
    websockets: int
    accesses: int | None
    bytes_served: int | None
    requests_per_second: float | None
    bytes_per_second: float | None
    requests_total: int | None
    bytes_total: int | None
    vhosts: list[VhostRates]


class Capacity(msgspec.Struct, frozen=True):
    """How many requests Apache can work on at once, as far as the scoreboard tells.

    `slots` is ServerLimit x ThreadLimit: how much room the scoreboard has, usually far more than
    Apache will ever use. `serving` is the workers that exist now and may take a request.
    `max_request_workers` is Apache's MaxRequestWorkers, which is not in mod_wsgi's API: None unless
    it was configured.
    """

    slots: int
    serving: int
    threads_per_process: int | None
    max_request_workers: int | None
    extended_status: bool | None

    @property
    def workers(self) -> int:
        """The best figure for the most requests at once: MaxRequestWorkers where it is known."""
        return self.max_request_workers or self.serving


class Totals(msgspec.Struct, frozen=True):
    """Requests and bytes since the first reading; they only grow."""

    requests: int = 0
    bytes: int = 0


class Reading(msgspec.Struct, frozen=True):
    """A scoreboard with all that was derived from it: what the next reading is measured against."""

    scoreboard: Scoreboard
    rates: Rates
    capacity: Capacity
    totals: Totals


def read(
    scoreboard: Scoreboard,
    *,
    previous: Reading | None,
    elapsed: float,
    max_request_workers: int | None = None,
) -> Reading:
    """Derive counts, rates and capacity from a scoreboard.

    Args:
        scoreboard: the present reading.
        previous: the last good reading, None at the first.
        elapsed: monotonic seconds since `previous` was read; rates are None when it is not positive.
        max_request_workers: Apache's MaxRequestWorkers, where it was configured.
    """
    capacity = _capacity(scoreboard, max_request_workers)
    extended = capacity.extended_status
    since = None
    if previous is not None and elapsed > 0.0 and extended:
        since = _served_between(previous.scoreboard, scoreboard)
    totals = previous.totals if previous is not None else Totals()
    if since is not None:
        totals = Totals(totals.requests + sum(since.requests), totals.bytes + sum(since.bytes))
    return Reading(
        scoreboard=scoreboard,
        rates=_rates(scoreboard, since, totals if extended else None, elapsed),
        capacity=capacity,
        totals=totals,
    )


class _Served(msgspec.Struct, frozen=True):
    """Requests and bytes of each slot between two readings, in the order of the slots."""

    requests: list[int]
    bytes: list[int]


def _served_between(before: Scoreboard, now: Scoreboard) -> _Served:
    """Return what each slot served since `before`.

    A full restart zeroes every counter, so all that stands there now came since. A counter that
    fell on its own belongs to a slot that was cleared and used anew.
    """
    fresh = before.restart_time != now.restart_time or len(before.processes) != len(now.processes)
    then = [] if fresh else list(chain.from_iterable(p.workers for p in before.processes))
    slots = list(chain.from_iterable(process.workers for process in now.processes))
    if len(then) != len(slots):
        return _Served([w.access_count for w in slots], [w.bytes_served for w in slots])
    pairs = list(zip(then, slots, strict=True))
    return _Served(
        [_increase(old.access_count, new.access_count) for old, new in pairs],
        [_increase(old.bytes_served, new.bytes_served) for old, new in pairs],
    )


def _increase(old: int, new: int) -> int:
    return new - old if new >= old else new


def _rates(
    scoreboard: Scoreboard, since: _Served | None, totals: Totals | None, elapsed: float
) -> Rates:
    slots = list(chain.from_iterable(process.workers for process in scoreboard.processes))
    live = [process for process in scoreboard.processes if process.pid]
    generation = scoreboard.running_generation
    states = Counter(worker.status for worker in slots)
    counts = _worker_counts(live, generation)
    return Rates(
        busy=counts["busy"],
        idle=counts["idle"],
        graceful=counts["graceful"],
        open=states["."],
        states={letter: states[letter] for letter in STATUSES},
        processes=len(live),
        quiescing=sum(process.quiescing for process in live),
        old_generation=sum(process.generation != generation for process in live),
        websockets=sum(worker.held_by_websocket for p in live for worker in p.workers),
        accesses=None if totals is None else sum(worker.access_count for worker in slots),
        bytes_served=None if totals is None else sum(worker.bytes_served for worker in slots),
        requests_per_second=None if since is None else sum(since.requests) / elapsed,
        bytes_per_second=None if since is None else sum(since.bytes) / elapsed,
        requests_total=None if totals is None else totals.requests,
        bytes_total=None if totals is None else totals.bytes,
        vhosts=_vhosts(scoreboard, since),
    )


def _worker_counts(live: list[Process], generation: int) -> Counter[str]:
    """Count busy, idle and graceful workers by mod_status's rule (status_handler, mod_status.c)."""
    counts: Counter[str] = Counter()
    for process in live:
        if process.quiescing:
            continue
        for worker in process.workers:
            if worker.status == "_":
                counts["idle"] += process.generation == generation
            elif worker.status == "G":
                counts["graceful"] += 1
            elif worker.status not in ".SI":
                counts["busy"] += 1
    return counts


def _vhosts(scoreboard: Scoreboard, since: _Served | None) -> list[VhostRates]:
    """Count by virtual host. A slot names only its latest one, which all that it served is put to."""
    busy: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    served = iter(since.requests) if since is not None else None
    for process in scoreboard.processes:
        for worker in process.workers:
            count = next(served) if served is not None else 0
            if not worker.vhost:
                continue
            requests[worker.vhost] += count
            busy[worker.vhost] += process.pid != 0 and worker.status not in "_.SI"
    names = sorted(requests, key=lambda name: (-requests[name], -busy[name], name))
    return [VhostRates(name, busy[name], requests[name]) for name in names[:VHOSTS_LISTED]]


def _capacity(scoreboard: Scoreboard, max_request_workers: int | None) -> Capacity:
    threads = [sum(w.status != "." for w in p.workers) for p in scoreboard.processes if p.pid]
    return Capacity(
        slots=scoreboard.server_limit * scoreboard.thread_limit,
        serving=sum(_serving(p, scoreboard.running_generation) for p in scoreboard.processes),
        threads_per_process=max(threads, default=None),
        max_request_workers=max_request_workers,
        extended_status=scoreboard.extended_status,
    )


def _serving(process: Process, generation: int) -> int:
    """Return how many workers of a process exist and may take, or have, a request of their own."""
    if not process.pid or process.quiescing or process.generation != generation:
        return 0
    return sum(worker.status not in ".GI" for worker in process.workers)
