"""How long requests usually take, by the kind of path, and which of those under way take far longer.

Owns what is learnt from requests that ended, and since when those that have not are under way. It must
not know a clock, nor what becomes of a stuck request. All ages are by the caller's monotonic seconds:
the scoreboard's own instants jump with the wall clock, and no jump may make a thousand requests old.

A slot tells of one request, its latest. Of those that begin and end between two readings only that one
is learnt from: short requests count for less than they are, so that what is usual comes out longer
rather than shorter.

Bounds: `PATHS` kinds of paths of some 700 bytes each; one entry a slot; `LEARNT` requests a reading.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress, repeat
from operator import is_not

import msgspec

from mod_wsgi_dashboard.core.pattern import pattern
from mod_wsgi_dashboard.core.scoreboard import NEVER_USED, Process, Scoreboard, Worker

# A request is stuck when it takes so many times the usual, and not before so many seconds; where too few
# of its kind have ended to know what is usual, after `UNKNOWN_SECONDS`.
TIMES_USUAL, LEAST_SECONDS, UNKNOWN_SECONDS = 10.0, 10.0, 60.0
USUAL, ENOUGH = 0.95, 20

# Kinds of paths that are kept; the one that ended longest ago goes. A site has tens to hundreds.
PATHS = 512

# Requests of one kind after which all before count for half, so that a faster release soon shows.
HALVED_AT = 1000

# Of a reading of thousands of requests that ended, as many as cost half a millisecond.
LEARNT = 200

# From 10 ms to over an hour, each a fifth longer than the one before: that is how exact a usual time is.
_STEPS = tuple(0.01 * 2 ** (step / 4) for step in range(76))

# Letters of a worker that does nothing; mod_status's rule, as in `rates`.
_NOT_HELD = "_.SI"


class Durations:
    """How long requests took that ended, by the kind of path."""

    def __init__(self) -> None:
        # The one that ended longest ago first.
        self._counts: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def learn(self, path: str, seconds: float) -> None:
        """Take in a request that ended."""
        counts = self._counts.pop(path, None)
        if counts is None:
            # One for each step, and the sum.
            counts = [0] * (len(_STEPS) + 1)
            if len(self._counts) >= PATHS:
                del self._counts[next(iter(self._counts))]
        self._counts[path] = counts
        counts[min(bisect_left(_STEPS, seconds), len(_STEPS) - 1)] += 1
        counts[-1] += 1
        if counts[-1] >= HALVED_AT:
            halves = [count // 2 for count in counts[:-1]]
            counts[:] = [*halves, sum(halves)]

    def usual(self, path: str) -> float | None:
        """Return the seconds that 95 of 100 requests of a kind took at most; None if too few ended."""
        counts = self._counts.get(path)
        if counts is None or counts[-1] < ENOUGH:
            return None
        sums = list(accumulate(counts[:-1]))
        return _STEPS[min(bisect_left(sums, USUAL * counts[-1]), len(_STEPS) - 1)]

    def limit(self, path: str) -> float:
        """Return after how many seconds a request of a kind is stuck."""
        usual = self.usual(path)
        return UNKNOWN_SECONDS if usual is None else max(LEAST_SECONDS, TIMES_USUAL * usual)


class Stuck(msgspec.Struct, frozen=True):
    """Requests of one kind that are stuck: how many, and the age of the oldest in seconds."""

    count: int
    oldest: float


class Requests:
    """The requests that hold workers, from reading to reading, at the cost of what changed.

    WebSockets, which are not meant to end, are neither old nor stuck, and nothing is learnt from them.
    Which ones are is only looked at when it matters: of thousands, few get old.
    """

    def __init__(self) -> None:
        self.durations = Durations()
        self._before: Scoreboard | None = None
        self._now = 0.0
        self._turn = 0
        # By number of the slot, through all processes in order: who holds it and since when, by the
        # caller's monotonic clock; and the same without those that were seen to be WebSockets.
        self._held: dict[int, tuple[Worker, float]] = {}
        self._began: dict[int, float] = {}

    def observe(self, scoreboard: Scoreboard, *, at: float, now: float) -> None:
        """Take in a reading.

        Args:
            scoreboard: the reading; what did not change is to be the same object as in the one before.
            at: its instant in epoch seconds.
            now: the same in monotonic seconds.
        """
        before, gap = self._before, now - self._now
        then: Sequence[Process | None]
        if before is None or not _continues(before, scoreboard):
            # What was served before is all that is known of what is usual here.
            then, gap = [None] * len(scoreboard.processes), math.inf
            self._held.clear()
            self._began.clear()
        else:
            then = before.processes
        ended: list[tuple[Worker, float]] = []
        first = 0
        for old, process in zip(then, scoreboard.processes, strict=True):
            if old is not process:
                ended += self._follow(self._changes(first, old, process), at=at, now=now, gap=gap)
            first += len(process.workers)
        self._learn(ended)
        self._before, self._now = scoreboard, now

    def _changes(
        self, first: int, old: Process | None, process: Process
    ) -> Iterable[tuple[int, Worker, Worker]]:
        """Return the slots of a process that changed: their numbers, as they were, as they are."""
        workers = process.workers
        numbers = range(first, first + len(workers))
        if old is not None and old.pid == process.pid != 0:
            changed = list(map(is_not, old.workers, workers))
            columns = (compress(column, changed) for column in (numbers, old.workers, workers))
            return zip(*columns, strict=True)
        # What another process held went with it, and did not end.
        for number in numbers:
            self._held.pop(number, None)
            self._began.pop(number, None)
        if not process.pid:
            return ()
        return zip(numbers, repeat(NEVER_USED), workers)

    def _follow(
        self, changes: Iterable[tuple[int, Worker, Worker]], *, at: float, now: float, gap: float
    ) -> list[tuple[Worker, float]]:
        """Follow slots of a live process; return the requests that ended, and how long they took.

        Args:
            changes: number, and the worker before and now.
            at: the instant in epoch seconds.
            now: the same in monotonic seconds.
            gap: seconds since the reading before.
        """
        held, all_began = self._held, self._began
        ended: list[tuple[Worker, float]] = []
        for number, was, worker in changes:
            start = worker.start_time
            known = held.pop(number, None)
            same = known is not None and known[0].start_time == start
            if known is not None and not same:
                ended.append((known[0], now - known[1]))
            if start > worker.stop_time and worker.status not in _NOT_HELD:
                # It began since the reading before, whatever the wall clock says.
                began = known[1] if known is not None and same else now - min(max(0.0, at - start), gap)
                held[number], all_began[number] = (worker, began), began
                continue
            if known is not None:
                all_began.pop(number, None)
            if start > worker.stop_time or not start or worker.stop_time == was.stop_time:
                continue
            took = worker.stop_time - start
            if known is not None and same:
                # The clock may have been set in between.
                since = now - known[1]
                ended.append((known[0], min(max(took, since - gap), since)))
            else:
                ended.append((worker, min(took, gap)))
        return ended

    def _learn(self, ended: list[tuple[Worker, float]]) -> None:
        # Each in turn, so that no slot is left out for good.
        step = -(-len(ended) // LEARNT) or 1
        self._turn = (self._turn + 1) % step
        for worker, seconds in ended[self._turn :: step]:
            if not worker.held_by_websocket:
                self.durations.learn(pattern(worker.request), seconds)

    def oldest(self, now: float) -> float:
        """Return for how many seconds the oldest request has been under way; 0.0 if there is none."""
        began = self._began
        while began:
            number = min(began, key=began.__getitem__)
            if not self._held[number][0].held_by_websocket:
                return now - began[number]
            del began[number]
        return 0.0

    def stuck(self, now: float) -> dict[str, Stuck]:
        """Return the requests that take far longer than usual, by the kind of path."""
        began, latest = self._began, now - LEAST_SECONDS
        limits: dict[str, float] = {}
        found: dict[str, Stuck] = {}
        for number in [number for number, instant in began.items() if instant <= latest]:
            worker = self._held[number][0]
            if worker.held_by_websocket:
                del began[number]
                continue
            path, age = pattern(worker.request), now - began[number]
            limit = limits.get(path)
            if limit is None:
                limit = limits[path] = self.durations.limit(path)
            if age >= limit:
                known = found.get(path, Stuck(0, 0.0))
                found[path] = Stuck(known.count + 1, max(known.oldest, age))
        return found


def _continues(before: Scoreboard, now: Scoreboard) -> bool:
    return before.restart_time == now.restart_time and [
        len(process.workers) for process in before.processes
    ] == [len(process.workers) for process in now.processes]
