"""What is wrong, if anything: the facts of the one sentence.

Owns the levels, the causes, and their thresholds. It must not know words.

The page's twin is `verdict.ts`; both are held to `tests/twins`. Instants are epoch seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mod_wsgi_dashboard.core.groups import Common, commonest
from mod_wsgi_dashboard.core.requests import (
    Request,
    drains,
    is_slow,
    letters_only,
    living,
    oldest_seconds,
    since_of,
)
from mod_wsgi_dashboard.core.wire import Sample

Level = Literal["calm", "slow", "filling", "busy", "full", "down"]

# What most of the busy workers are held by; each has a directive to look at.
Cause = Literal[
    "reading", "keepalive", "dns", "logging", "websockets", "path", "draining", "slow", "workers"
]

_BUSY_SHARE = 0.75
# Half full, and full within two minutes if it goes on like this.
_FILLING_SHARE = 0.5
_FILLING_SECONDS = 120.0
# So many requests that are held for long are no accident.
_SLOW_SHARE = 0.1
_LEAST_SLOW = 2
# A share of the busy workers that is worth a word, and one that makes a cause.
_TOLD_SHARE = 0.2
_CAUSE_SHARE = 0.4
# The pace is that of the last minute; a forecast beyond ten is none.
_PACE_SECONDS = 60
_LEAST_PACE_SECONDS = 10.0
_FORESEEABLE_SECONDS = 600.0
# Of the changes, the line must explain so much (R squared).
_LEAST_FIT = 0.5

# Not counted as busy: idle, or leaving.
_IDLE = frozenset("_.SIG")

_STATE_CAUSES: tuple[tuple[str, Cause], ...] = (
    ("R", "reading"),
    ("K", "keepalive"),
    ("D", "dns"),
    ("L", "logging"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """The load at a sample; `gap`: nothing is known of the time just before."""

    at: float
    gap: bool
    busy: int
    of: int


@dataclass(frozen=True, slots=True)
class Full:
    """For how long all workers have been busy; `at_least`: perhaps before that, unseen, too."""

    seconds: float
    at_least: bool


@dataclass(frozen=True, slots=True)
class Draining:
    """Processes that take no new requests, and the request that one of them has held longest."""

    processes: int
    oldest: Request | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The facts of the one sentence.

    `basis` is where `of`, the most that can be busy, comes from: Apache's limit, or merely the workers
    that run now. `full_in` is seconds until all are busy if it goes on like this. `most` is what holds
    more workers than any other method and path. `oldest_seconds` leaves WebSockets aside.
    """

    level: Level
    busy: int
    of: int
    basis: Literal["max_request_workers", "serving"]
    full: Full | None
    full_in: float | None
    most: Common | None
    websockets: int
    oldest_seconds: float | None
    draining: Draining | None
    cause: Cause | None


def judge(sample: Sample, requests: Sequence[Request], points: Sequence[Point]) -> Verdict:
    """Return what is to be said of a sample, of which `requests` are in flight.

    `points` are those up to the sample, the oldest first: the pace is that of the last minute, and it
    takes all of them to say for how long the server has been full.
    """
    busy, limit = sample.rates.busy, sample.capacity.max_request_workers
    of = sample.capacity.serving if limit is None else limit
    websockets = sum(request.websocket for request in requests)
    # What old processes still do is told apart, and mostly not counted as busy.
    present = [request for request in requests if not request.websocket and not request.draining]
    slow = sum(is_slow(request, sample.at) for request in present)
    pace = full_in(points)
    level = _level(sample, of, slow=slow, pace=pace)
    most = commonest(present)
    if most is not None and most.count < _TOLD_SHARE * busy:
        most = None
    draining = _draining(sample, requests)
    return Verdict(
        level=level,
        busy=busy,
        of=of,
        basis="serving" if limit is None else "max_request_workers",
        full=_full(sample, points) if level == "full" else None,
        full_in=pace,
        most=most,
        websockets=websockets,
        oldest_seconds=oldest_seconds(sample),
        draining=draining,
        cause=_cause(sample, level, most=most, websockets=websockets, draining=draining),
    )


def full_in(points: Sequence[Point]) -> float | None:
    """Return seconds until all workers are busy at the pace of the last minute.

    None if they don't fill up, or too little is known.
    """
    if not points or points[-1].busy >= points[-1].of:
        return None
    last = points[-1]
    recent = [point for point in points[-_PACE_SECONDS:] if point.at > last.at - _PACE_SECONDS]
    if last.at - recent[0].at < _LEAST_PACE_SECONDS:
        return None
    slope = _pace(recent)
    seconds = (last.of - last.busy) / slope if slope > 0.0 else math.inf
    return seconds if seconds <= _FORESEEABLE_SECONDS else None


def _level(sample: Sample, of: int, *, slow: int, pace: float | None) -> Level:
    busy = sample.rates.busy
    if of <= 0 or (busy == 0 and sample.capacity.serving <= 0):
        return "down"
    if busy >= of:
        return "full"
    if busy / of >= _BUSY_SHARE:
        return "busy"
    if pace is not None and pace <= _FILLING_SECONDS and busy / of >= _FILLING_SHARE:
        return "filling"
    return "slow" if slow >= max(_LEAST_SLOW, _SLOW_SHARE * of) else "calm"


def _cause(
    sample: Sample, level: Level, *, most: Common | None, websockets: int, draining: Draining | None
) -> Cause | None:
    busy = sample.rates.busy
    # With nothing busy, the requests that are held are those of processes that stop.
    calm = level in ("calm", "down")
    if draining is not None and (calm or busy == 0):
        return "draining"
    if calm:
        return None
    enough = max(1.0, _CAUSE_SHARE * busy)
    for letter, cause in _STATE_CAUSES:
        if sample.rates.states.get(letter, 0) >= enough:
            return cause
    # Nobody knows what they do.
    if letters_only(sample):
        return None
    if websockets >= enough:
        return "websockets"
    if most is not None and most.count >= enough:
        return "path"
    return "slow" if level == "slow" else "workers"


def _draining(sample: Sample, requests: Sequence[Request]) -> Draining | None:
    processes = sum(drains(process, sample) for process in living(sample))
    if not processes:
        return None
    known = [request for request in requests if request.draining and request.started_at is not None]
    oldest = min(known, key=lambda request: request.started_at or 0.0, default=None)
    return Draining(processes, oldest)


def _full(sample: Sample, points: Sequence[Point]) -> Full:
    """Return for how long all workers have been busy."""
    first, at_least = len(points), False
    while first > 0 and not at_least:
        point = points[first - 1]
        if point.busy < point.of:
            break
        first -= 1
        # Before a gap nothing was seen, and before the first point nothing is remembered.
        at_least = point.gap or first == 0
    since = points[first].at if first < len(points) else sample.at
    if at_least:
        # All have been on what they do since the youngest of their requests began.
        since = min(since, _youngest(sample))
    return Full(max(0.0, sample.at - since), at_least)


def _youngest(sample: Sample) -> float:
    """Return when the youngest request began of those that count as busy.

    Nothing in a process that stops does.
    """
    start = -math.inf
    for process in living(sample):
        if process.quiescing:
            continue
        for worker in process.workers:
            if worker.status in _IDLE:
                continue
            since = since_of(worker)
            start = max(start, sample.at if since is None else since)
    return min(start, sample.at) if start > 0.0 else sample.at


def _pace(points: Sequence[Point]) -> float:
    """Return busy workers a second, by least squares; 0 where no line fits."""
    at = _mean(points, lambda point: point.at)
    busy = _mean(points, lambda point: point.busy)
    both = _mean(points, lambda point: (point.at - at) * (point.busy - busy))
    across = _mean(points, lambda point: (point.at - at) * (point.at - at))
    up = _mean(points, lambda point: (point.busy - busy) * (point.busy - busy))
    fits = across > 0.0 and up > 0.0 and both * both / (across * up) >= _LEAST_FIT
    return both / across if fits else 0.0


def _mean(points: Sequence[Point], pick: Callable[[Point], float]) -> float:
    total = 0.0
    # One after the other, as the page does: `sum` compensates from Python 3.12 on.
    for point in points:
        total += pick(point)
    return total / len(points)
