"""Numbers over time: what is kept of each sample, tiers of buckets, and down-sampling.

Owns the series, how buckets of one tier become one of the next, and how rows become columns of any step,
with mean, least and most, so that no spike vanishes. It must not know where rows are kept.

A *body* is the bytes of one bucket: 32-bit little-endian floats, one for each of `SERIES`, NaN for what
is not available; where a bucket stands for more than one sample, the means, then the least, then the
most. Whole numbers are exact up to 2^24.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from itertools import chain, compress, groupby, pairwise
from operator import attrgetter, mul
from typing import NamedTuple

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.scoreboard import Scoreboard

_LETTERS = {
    "states_waiting": "_",
    "states_starting": "S",
    "states_reading": "R",
    "states_writing": "W",
    "states_keepalive": "K",
    "states_dns": "D",
    "states_closing": "C",
    "states_logging": "L",
    "states_graceful": "G",
    "states_cleanup": "I",
}
_OF_RATES = ("busy", "idle", "graceful", "open")
_MORE_OF_RATES = (
    "processes",
    "quiescing",
    "old_generation",
    "websockets",
    "requests_per_second",
    "bytes_per_second",
)

SERIES = (*_OF_RATES, "workers", *_LETTERS, *_MORE_OF_RATES, "oldest_seconds", "viewers", "held")

# Their values have a part behind the point; all others are whole in each sample.
FRACTIONS = frozenset({"requests_per_second", "bytes_per_second", "oldest_seconds"})

_SINGLE = struct.Struct(f"<{len(SERIES)}f")
_TRIPLE = struct.Struct(f"<{3 * len(SERIES)}f")
_HELD = SERIES.index("held")

# A worker with one of these letters has nothing to do; one with one of those works on a request.
_FREE = "_.SI"
_HOLDING = b"RWKDCLG"

# 1 for each of these letters, 0 for every other one.
_IS_HOLDING = bytes(code in _HOLDING for code in range(256))

_status = attrgetter("status")


class Tier(NamedTuple):
    """Buckets of so many seconds, kept for so many."""

    seconds: int
    keep: int


DAY = 86_400

# A day of the first is 9 MB, a week of the second 20 MB, 90 days of the third 40 MB, of the last 4 MB.
# Without the last, a chart of all of it would go through 130,000 rows.
TIERS = (Tier(1, DAY), Tier(10, 7 * DAY), Tier(60, 90 * DAY), Tier(600, 90 * DAY))

# From this tier on, buckets hold for how long how many workers were held.
LEVELS_FROM = 60

# What a chart's axis divides into; above them, whole minutes, and whole tens of them.
_STEPS = (1, 2, 5, 10, 20, 30)


class Row(NamedTuple):
    """One bucket: the epoch second at which it begins, how many it lasts, and its body."""

    at: int
    seconds: int
    body: bytes


Levels = dict[int, float]


def letters(scoreboard: Scoreboard) -> str:
    """Return the letters of all slots in order; "." for slots of no process."""
    return "".join(
        [
            "".join(map(_status, process.workers)) if process.pid else "." * len(process.workers)
            for process in scoreboard.processes
        ]
    )


def measure(sample: wire.Sample, states: str) -> list[float]:
    """Return a sample's value of each series, NaN where it has none.

    Args:
        sample: the sample.
        states: its `letters`.
    """
    rates, capacity = sample.rates, sample.capacity
    values: list[float | None] = [getattr(rates, name) for name in _OF_RATES]
    values.append(capacity.workers)
    values.extend(rates.states[letter] for letter in _LETTERS.values())
    values.extend(getattr(rates, name) for name in _MORE_OF_RATES)
    values.append(_oldest_seconds(sample, states))
    values.append(sample.viewers.holding)
    values.append(len(states) - sum(map(states.count, _FREE)))
    return [math.nan if value is None else float(value) for value in values]


def _oldest_seconds(sample: wire.Sample, states: str) -> float | None:
    """Return for how long the oldest request has been under way, WebSockets aside."""
    oldest = sample.at
    found = False
    workers = chain.from_iterable(process.workers for process in sample.snapshot.processes)
    for worker in compress(workers, states.encode().translate(_IS_HOLDING)):
        start = worker.start_time
        # Of thousands only those that would be the oldest are looked at for what they ask.
        if start > oldest or start <= worker.stop_time or worker.held_by_websocket:
            continue
        oldest, found = start, True
    return sample.at - oldest if found else None


def pack(values: Sequence[float]) -> bytes:
    """Return the body of a bucket of one sample."""
    return _SINGLE.pack(*values)


def are_sound(rows: Iterable[Row]) -> bool:
    """Return whether bodies have one of the two lengths that bodies have."""
    return {len(row.body) for row in rows} <= {_SINGLE.size, _TRIPLE.size}


def merge(rows: Sequence[Row]) -> bytes:
    """Return the body of the bucket that holds all of these, of which there is one at least."""
    if len(rows) == 1:
        return rows[0].body
    columns = _columns(rows)
    weights = [row.seconds for row in rows]
    means = [_mean(column, weights) for column in columns.means]
    least = [_least(column, weights) for column in columns.least]
    most = [_most(column, weights) for column in columns.most]
    return _TRIPLE.pack(*means, *least, *most)


def count_levels(rows: Iterable[Row], seconds: float) -> Levels:
    """Return for how long how many workers were held.

    Args:
        rows: buckets of one sample, or of those of one second, whose mean counts.
        seconds: what each stands for: the interval between samples, or one second if that is more.
    """
    levels: Levels = {}
    for row in rows:
        held: float = struct.unpack_from("<f", row.body, 4 * _HELD)[0]
        if held == held:
            levels[round(held)] = levels.get(round(held), 0.0) + seconds
    return levels


def add_levels(several: Iterable[Levels]) -> Levels:
    """Return the sums over several buckets."""
    total: Levels = {}
    for levels in several:
        for held, seconds in levels.items():
            total[held] = total.get(held, 0.0) + seconds
    return total


def full_share(levels: Levels, workers: int) -> float | None:
    """Return which part of the time `workers` would all have been held; None where nothing was seen."""
    total = sum(levels.values())
    if not total:
        return None
    return sum(seconds for held, seconds in levels.items() if held >= workers) / total


def step_for(seconds: float, points: int, least: float) -> int:
    """Return the smallest step that covers `seconds` with at most `points` buckets.

    Args:
        seconds: length of the range.
        points: the most buckets.
        least: seconds between two samples: buckets of less would have holes.
    """
    return round_step(max(seconds / points, least))


def round_step(seconds: float) -> int:
    """Return the smallest step that is not below `seconds`: 1, 2, 5, 10, 20, 30 or whole minutes."""
    for step in _STEPS:
        if seconds <= step:
            return step
    minutes = math.ceil(seconds / 60)
    return 60 * minutes if minutes <= 5 else 600 * math.ceil(seconds / 600)


def tier_for(step: int, start: float, oldest: Sequence[int | None]) -> int:
    """Return the number of the tier to read from: coarse as the step allows, if it reaches back so far.

    Args:
        step: seconds between the points wanted.
        start: epoch seconds from which on they are.
        oldest: of each tier, where its first bucket begins; None where it is empty.
    """
    fit = max((n for n, tier in enumerate(TIERS) if step % tier.seconds == 0), default=0)
    for number in range(fit, len(TIERS)):
        first = oldest[number]
        if first is None:
            continue
        # Where a finer bucket begins within the first coarse one, the coarse tiers know of no more.
        ends = [at + tier.seconds for at, tier in zip(oldest, TIERS, strict=True) if at is not None]
        if first <= start or all(first < end for end in ends):
            return number
    return fit


class Columns(NamedTuple):
    """Columns of rows, one for each of `SERIES`; NaN for what is not available."""

    means: list[Sequence[float]]
    least: list[Sequence[float]]
    most: list[Sequence[float]]


class Table(NamedTuple):
    """Buckets of one step: where each begins, and its columns."""

    at: list[int]
    columns: Columns


def table(rows: Sequence[Row], step: int) -> Table:
    """Return rows, in the order of time, as buckets of `step` seconds."""
    columns = _columns(rows)
    starts = [row.at - row.at % step for row in rows]
    firsts = [n for n, start in enumerate(starts) if not n or start != starts[n - 1]]
    if len(firsts) == len(rows):
        return Table(starts, columns)
    spans = list(zip(firsts, [*firsts[1:], len(rows)], strict=True))
    groups = _group(spans, [row.seconds for row in rows])
    return Table(
        [starts[first] for first in firsts],
        Columns(
            [_reduce(column, groups, sum, _mean) for column in columns.means],
            [_reduce(column, groups, min, _least) for column in columns.least],
            [_reduce(column, groups, max, _most) for column in columns.most],
        ),
    )


class _Group(NamedTuple):
    """Rows that follow each other, of which each `length` together become one bucket."""

    first: int
    end: int
    length: int
    weights: Sequence[int]


def _group(spans: Sequence[tuple[int, int]], weights: Sequence[int]) -> list[_Group]:
    """Return spans of one length that follow each other, and whose rows weigh the same, together."""
    groups = []
    for length, several in groupby(spans, lambda span: span[1] - span[0]):
        first, *_, end = chain.from_iterable(several)
        if len({*weights[first:end]}) == 1:
            groups.append(_Group(first, end, length, weights[first : first + length]))
        else:
            groups.extend(
                _Group(at, at + length, length, weights[at : at + length])
                for at in range(first, end, length)
            )
    return groups


def _reduce(
    column: Sequence[float],
    groups: Sequence[_Group],
    plain: Callable[[Iterable[float]], float],
    careful: Callable[[Sequence[float], Sequence[int]], float],
) -> list[float]:
    """Return one number for each bucket; `plain` where all there is are numbers, which is fast."""
    total = sum(column)
    whole = total == total
    reduced: list[float] = []
    for first, end, length, weights in groups:
        buckets = zip(*[iter(column[first:end])] * length, strict=True)
        if not whole or (plain is sum and len({*weights}) > 1):
            reduced.extend(careful(bucket, weights) for bucket in buckets)
        elif plain is sum:
            reduced.extend([total / length for total in map(sum, buckets)])
        else:
            reduced.extend(map(plain, buckets))
    return reduced


def _columns(rows: Sequence[Row]) -> Columns:
    width = len(SERIES)
    single = [len(row.body) == _SINGLE.size for row in rows]
    if all(single):
        means = _transpose(b"".join([row.body for row in rows]), width)
        return Columns(means, means, means)
    # A body of one sample is its own least and most.
    whole = [row.body * 3 if one else row.body for row, one in zip(rows, single, strict=True)]
    columns = _transpose(b"".join(whole), 3 * width)
    return Columns(columns[:width], columns[width : 2 * width], columns[2 * width :])


def _transpose(body: bytes, width: int) -> list[Sequence[float]]:
    values = array("f", body)
    if sys.byteorder == "big":
        values.byteswap()
    return [values[column::width].tolist() for column in range(width)]


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    total: float = sum(map(mul, values, weights))
    if total == total:
        return total / sum(weights)
    known = [(v, w) for v, w in zip(values, weights, strict=True) if v == v]
    return sum(v * w for v, w in known) / sum(w for _, w in known) if known else math.nan


def _least(values: Sequence[float], _weights: Sequence[int]) -> float:
    return min([value for value in values if value == value], default=math.nan)


def _most(values: Sequence[float], _weights: Sequence[int]) -> float:
    return max([value for value in values if value == value], default=math.nan)


def shown(name: str, values: Sequence[float], *, mean: bool) -> list[float | int | None]:
    """Return a column as numbers to read: whole where they are, else to three digits; None for NaN."""
    if mean or name in FRACTIONS:
        return [None if v != v else round(v, 3) for v in values]
    total = sum(values)
    # Of thousands of numbers hardly ever one is missing.
    return list(map(int, values)) if total == total else [None if v != v else int(v) for v in values]


class Run(NamedTuple):
    """One unbroken recording; a later one has a higher number. Instants are epoch milliseconds."""

    number: int
    began_ms: int
    ended_ms: int


def visible(runs: Iterable[Run]) -> list[Run]:
    """Return the stretches of runs that count, in order: where runs overlap, the newest does."""
    known = sorted((run for run in runs if run.began_ms <= run.ended_ms), key=lambda run: run.began_ms)
    # Which run counts can only change where one begins, or right behind the end of one.
    instants = sorted({run.began_ms for run in known} | {run.ended_ms + 1 for run in known})
    going: list[tuple[int, int]] = []
    stretches: list[Run] = []
    begun = 0
    for instant, following in pairwise(instants):
        while begun < len(known) and known[begun].began_ms <= instant:
            heappush(going, (-known[begun].number, known[begun].ended_ms))
            begun += 1
        while going and going[0][1] < instant:
            heappop(going)
        if not going:
            continue
        newest, start = -going[0][0], instant
        if stretches and stretches[-1].number == newest and stretches[-1].ended_ms == instant - 1:
            start = stretches.pop().began_ms
        stretches.append(Run(newest, start, following - 1))
    return stretches


def stretches_between(stretches: Sequence[Run], start_ms: int, end_ms: int) -> Sequence[Run]:
    """Return those of `visible` that reach into a range."""
    ends = [stretch.ended_ms for stretch in stretches]
    return [
        stretch for stretch in stretches[bisect_left(ends, start_ms) :] if stretch.began_ms <= end_ms
    ]


def xor(one: bytes, other: bytes) -> bytes:
    """Return the difference of two texts of one length: the letters that are the same become NUL."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
