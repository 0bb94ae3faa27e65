"""What a scoreboard says: worker counts, rates between two readings, and capacity.

Owns every number that is derived from scoreboards. It must not know a clock: the seconds between
two readings come from the caller's monotonic clock, since Apache's own times jump with the wall
clock.

Invariants: no rate and no total is ever negative; totals only grow, over restarts, graceful
restarts and recycled slots; what the scoreboard can't tell is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from itertools import zip_longest

import msgspec

from mod_wsgi_dashboard.core.scoreboard import NEVER_USED, STATUSES, Process, Scoreboard, Worker

# A server with thousands of virtual hosts must not make every sample grow with them.
VHOSTS_LISTED = 50

# Between readings further apart than this, in seconds, lies a time when nobody looked: a mean over
# all of it is no rate of now. Prometheus scrapes every 15 to 60 s.
LONGEST_GAP = 120.0


class VhostRates(msgspec.Struct, frozen=True):
    """One virtual host: the workers busy on it now, and the requests since the last reading."""

    vhost: str
    busy: int
    requests: int


class Rates(msgspec.Struct, frozen=True):
    """What one scoreboard, and its distance from the one before, say.

    `busy`, `idle` and `graceful` follow mod_status (BusyWorkers, IdleWorkers, GracefulWorkers), as do
    `accesses` and `bytes_served` (Total Accesses; Total kBytes x 1024), which start again at a full
    restart. `requests_total` and `bytes_total` go on over restarts, from the first reading. Rates per
    second are None when the reading before is more than `LONGEST_GAP` seconds old.
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


class Standing(msgspec.Struct, frozen=True):
    """What all slots of a scoreboard hold together; the next one is counted from here."""

    letters: list[str]
    accesses: int
    bytes_served: int
    websockets: int
    vhosts: dict[str, tuple[int, int]]


class Reading(msgspec.Struct, frozen=True):
    """A scoreboard with all that was derived from it: what the next reading is measured against."""

    scoreboard: Scoreboard
    rates: Rates
    capacity: Capacity
    totals: Totals
    standing: Standing


def read(
    scoreboard: Scoreboard,
    *,
    previous: Reading | None,
    elapsed: float,
    max_request_workers: int | None = None,
) -> Reading:
    """Derive counts, rates and capacity from a scoreboard, at the cost of what changed.

    Args:
        scoreboard: the present reading.
        previous: the last good reading, None at the first.
        elapsed: monotonic seconds since `previous` was read; rates are None when it is not positive.
        max_request_workers: Apache's MaxRequestWorkers, where it was configured.
    """
    extended = scoreboard.extended_status
    counted = _count(scoreboard, previous)
    capacity = _capacity(scoreboard, counted.standing.letters, extended, max_request_workers)
    known = previous is not None and elapsed > 0.0 and bool(extended)
    totals = previous.totals if previous is not None else Totals()
    if known:
        totals = Totals(totals.requests + counted.requests, totals.bytes + counted.bytes)
    return Reading(
        scoreboard=scoreboard,
        rates=_rates(
            scoreboard,
            counted,
            totals if extended else None,
            elapsed if known and elapsed <= LONGEST_GAP else None,
            with_requests=known,
        ),
        capacity=capacity,
        totals=totals,
        standing=counted.standing,
    )


class _Counted(msgspec.Struct, frozen=True):
    """What stands in a scoreboard, and what was served since the one before."""

    standing: Standing
    requests: int
    bytes: int
    requests_by_vhost: dict[str, int]


def _count(now: Scoreboard, previous: Reading | None) -> _Counted:
    """Count what all slots hold and served since `previous`, from what changed in between.

    A full restart zeroes every counter, so all that stands there now came since. A counter that
    fell on its own belongs to a slot that was cleared and used anew.
    """
    if previous is None or not _continues(previous.scoreboard, now):
        before: list[Process] = []
        standing = Standing([], 0, 0, 0, {})
    else:
        before, standing = previous.scoreboard.processes, previous.standing
    tally = _Tally(standing)
    letters = [
        known if then is process else tally.move_on(then, process, known)
        for then, process, known in zip_longest(before, now.processes, standing.letters)
    ]
    tally.count()
    return _Counted(
        Standing(letters, tally.accesses, tally.bytes_served, tally.websockets, tally.vhosts),
        tally.requests,
        tally.bytes,
        tally.requests_by_vhost,
    )


def _continues(before: Scoreboard, now: Scoreboard) -> bool:
    return before.restart_time == now.restart_time and [
        len(process.workers) for process in before.processes
    ] == [len(process.workers) for process in now.processes]


class _Tally:
    """Sums over all slots, moved on by the slots that changed."""

    def __init__(self, standing: Standing) -> None:
        self.accesses = standing.accesses
        self.bytes_served = standing.bytes_served
        self.websockets = standing.websockets
        self.vhosts = dict(standing.vhosts)
        self.requests = 0
        self.bytes = 0
        self.requests_by_vhost: dict[str, int] = {}
        self._changed: list[tuple[Worker, Worker]] = []

    def move_on(self, before: Process | None, now: Process, letters: str | None) -> str:
        """Take in what changed in one process; return the letters of its slots."""
        was_live, is_live = before is not None and before.pid != 0, now.pid != 0
        old_workers = [NEVER_USED] * len(now.workers) if before is None else before.workers
        states = list(letters or "." * len(now.workers))
        for index, (old, new) in enumerate(zip(old_workers, now.workers, strict=True)):
            if old is new and was_live == is_live:
                continue
            self._changed.append((old, new))
            states[index] = new.status
            was_busy = was_live and old.status not in "_.SI"
            is_busy = is_live and new.status not in "_.SI"
            if was_busy != is_busy or old.vhost != new.vhost:
                self._move(old.vhost, new.vhost, was_busy=was_busy, is_busy=is_busy)
            if was_busy:
                self.websockets -= old.held_by_websocket
            if is_busy:
                self.websockets += new.held_by_websocket
        return "".join(states)

    def count(self) -> None:
        """Count what all that changed has served."""
        pairs = self._changed
        requests = [new.access_count - old.access_count for old, new in pairs]
        sent = [new.bytes_served - old.bytes_served for old, new in pairs]
        self.accesses += sum(requests)
        self.bytes_served += sum(sent)
        if min(requests, default=0) < 0:
            requests = [_increase(old.access_count, new.access_count) for old, new in pairs]
        if min(sent, default=0) < 0:
            sent = [_increase(old.bytes_served, new.bytes_served) for old, new in pairs]
        self.requests = sum(requests)
        self.bytes = sum(sent)
        by_vhost = self.requests_by_vhost
        for (_, new), count in zip(pairs, requests, strict=True):
            if count and new.vhost:
                by_vhost[new.vhost] = by_vhost.get(new.vhost, 0) + count

    def _move(self, old: str, new: str, *, was_busy: bool, is_busy: bool) -> None:
        """Take a slot from its old virtual host to its new one."""
        vhosts = self.vhosts
        if old:
            slots, busy = vhosts.pop(old)
            if slots > 1:
                vhosts[old] = (slots - 1, busy - was_busy)
        if new:
            slots, busy = vhosts.get(new, (0, 0))
            vhosts[new] = (slots + 1, busy + is_busy)


def _increase(old: int, new: int) -> int:
    return new - old if new >= old else new


def _rates(
    scoreboard: Scoreboard,
    counted: _Counted,
    totals: Totals | None,
    elapsed: float | None,
    *,
    with_requests: bool,
) -> Rates:
    standing = counted.standing
    live = [process for process in scoreboard.processes if process.pid]
    generation = scoreboard.running_generation
    every = "".join(standing.letters)
    states: dict[str, int] = {letter: every.count(letter) for letter in STATUSES}
    counts = _worker_counts(scoreboard, standing.letters)
    return Rates(
        busy=counts["busy"],
        idle=counts["idle"],
        graceful=counts["graceful"],
        open=states["."],
        states=states,
        processes=len(live),
        quiescing=sum(process.quiescing for process in live),
        old_generation=sum(process.generation != generation for process in live),
        websockets=standing.websockets,
        accesses=None if totals is None else standing.accesses,
        bytes_served=None if totals is None else standing.bytes_served,
        requests_per_second=None if elapsed is None else counted.requests / elapsed,
        bytes_per_second=None if elapsed is None else counted.bytes / elapsed,
        requests_total=None if totals is None else totals.requests,
        bytes_total=None if totals is None else totals.bytes,
        vhosts=_vhosts(standing.vhosts, counted.requests_by_vhost if with_requests else {}),
    )


def _worker_counts(scoreboard: Scoreboard, letters: list[str]) -> Counter[str]:
    """Count busy, idle and graceful workers by mod_status's rule (status_handler, mod_status.c)."""
    counts: Counter[str] = Counter()
    for process, states in zip(scoreboard.processes, letters, strict=True):
        if not process.pid or process.quiescing:
            continue
        idle, graceful = states.count("_"), states.count("G")
        counts["idle"] += idle * (process.generation == scoreboard.running_generation)
        counts["graceful"] += graceful
        none = states.count(".") + states.count("S") + states.count("I")
        counts["busy"] += len(states) - idle - graceful - none
    return counts


def _vhosts(standing: dict[str, tuple[int, int]], requests: dict[str, int]) -> list[VhostRates]:
    """Count by virtual host. A slot names only its latest one, which all that it served is put to."""
    listed = [VhostRates(name, busy, requests.get(name, 0)) for name, (_, busy) in standing.items()]
    listed.sort(key=lambda vhost: (-vhost.requests, -vhost.busy, vhost.vhost))
    return listed[:VHOSTS_LISTED]


def _capacity(
    scoreboard: Scoreboard, letters: list[str], extended: bool | None, max_request_workers: int | None
) -> Capacity:
    pairs = list(zip(scoreboard.processes, letters, strict=True))
    threads = [len(states) - states.count(".") for process, states in pairs if process.pid]
    return Capacity(
        slots=scoreboard.server_limit * scoreboard.thread_limit,
        serving=sum(_serving(*pair, scoreboard.running_generation) for pair in pairs),
        threads_per_process=max(threads, default=None),
        max_request_workers=max_request_workers,
        extended_status=extended,
    )


def _serving(process: Process, states: str, generation: int) -> int:
    """Return how many workers of a process exist and may take, or have, a request of their own."""
    if not process.pid or process.quiescing or process.generation != generation:
        return 0
    return len(states) - states.count(".") - states.count("G") - states.count("I")
