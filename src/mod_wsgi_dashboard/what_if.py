"""The command `what-if`: for how long a smaller or a larger pool of workers would have been full.

Owns its arguments, its output, and what can be known. It goes by how many workers were held at each
instant; times are those of the machine's time zone.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import NamedTuple

import msgspec

from mod_wsgi_dashboard import local_recordings
from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.incident import NothingRecorded
from mod_wsgi_dashboard.instants import INSTANTS, shown, span
from mod_wsgi_dashboard.recording import Recording

# The shares of the time for which a pool that is worth a line suffices.
QUANTILES = (0.5, 0.9, 0.99, 0.999)

MOST_WORKERS = 1_000_000

# Of a range of years, too.
MOST_ROWS = 1000


class Answer(NamedTuple):
    """For how long a pool would have been full; None where nobody can know."""

    workers: int
    full_seconds: float | None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "what-if",
        help="say how often a smaller or larger pool of workers would have been full",
        description="Say for how long so many workers would all have been busy, by how many were held at"
        f" each instant that was recorded. An instant T is {INSTANTS}; local time.",
        epilog="example: mod_wsgi-dashboard what-if --workers 24 --workers 48 --from -7d",
    )
    add = parser.add_argument
    add(
        "--workers",
        metavar="N",
        action="append",
        default=[],
        type=_workers,
        help="a MaxRequestWorkers to try, repeatable (some that are worth a look)",
    )
    local_recordings.add_options(parser, start="a day before its end")
    add("--format", choices=("table", "json"), default="table", help="(%(default)s)")
    parser.set_defaults(run=run)


def _workers(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {MOST_WORKERS}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Say for how long pools of other sizes would have been full."""
    now = time.time()
    start, end = local_recordings.asked_range(options, now)
    with local_recordings.opened(options.recording) as (_, recording):
        start, end = local_recordings.whole_range(recording, start, end, now=now, length=history.DAY)
        # Buckets of the coarsest tier have the answer.
        step = history.TIERS[-1].seconds
        first, last = int(start // step) * step, math.ceil(end / step) * step
        levels = recording.levels(first, last)
        limit = _limit(recording, first, last)
    if not levels:
        raise NothingRecorded(f"Nothing was recorded from {shown(first)} to {shown(last)}.")
    asked = sorted(set(options.workers)) or worth_a_look(levels, limit)
    answers = [answer(levels, limit, workers) for workers in asked]
    if options.format == "json":
        _print_json(first, last, levels, limit, answers)
        return 0
    if options.workers:
        _print_sentences(levels, answers)
    else:
        print(f"From {shown(first)} to {shown(last)}, {span(sum(levels.values()))} of it recorded:")
        _print_table(levels, limit, answers)
    _print_limit(levels, limit)
    return 0


def _limit(recording: Recording, start: int, end: int) -> int | None:
    """Return the most workers that there were at once."""
    seconds = history.step_for(end - start, MOST_ROWS, history.TIERS[-1].seconds)
    table, _ = recording.aggregates(start, end, seconds)
    column = table.columns.most[history.SERIES.index("workers")]
    return max((int(value) for value in column if value == value), default=None)


def answer(levels: history.Levels, limit: int | None, workers: int) -> Answer:
    """Return for how long so many workers would all have been held.

    While all workers that there were are held, further requests wait, and nothing tells how many: of a
    larger pool nothing is known then.
    """
    if limit is not None and workers > limit and max(levels) >= limit:
        return Answer(workers, None)
    share = history.full_share(levels, workers)
    assert share is not None
    return Answer(workers, share * sum(levels.values()))


def worth_a_look(levels: history.Levels, limit: int | None) -> list[int]:
    """Return sizes of pools: as it is, never full, and full for a little of the time."""
    total, passed = sum(levels.values()), 0.0
    sizes = {max(levels) + 1}
    left = list(QUANTILES)
    for held, seconds in sorted(levels.items()):
        passed += seconds
        while left and passed >= left[0] * total:
            sizes.add(held + 1)
            left.pop(0)
    if limit:
        sizes = {size for size in sizes if size < limit} | {limit}
    return sorted(sizes)


def _print_sentences(levels: history.Levels, answers: list[Answer]) -> None:
    total = sum(levels.values())
    for workers, seconds in answers:
        if seconds is None:
            text = f"it is not known how often all would have been busy in the {span(total)} recorded."
        elif not seconds:
            text = f"they would never all have been busy in the {span(total)} recorded."
        else:
            text = (
                f"all would have been busy {_percent(seconds / total)} of the {span(total)} recorded"
                f" ({span(seconds)})."
            )
        print(f"With MaxRequestWorkers {workers} {text}")


def _print_table(levels: history.Levels, limit: int | None, answers: list[Answer]) -> None:
    total = sum(levels.values())
    print("MaxRequestWorkers  all busy  for")
    for workers, seconds in answers:
        share, length = ("?", "?") if seconds is None else (_percent(seconds / total), span(seconds))
        print(f"{workers:17}  {share:>8}  {length}{'  (as it was)' if workers == limit else ''}")


def _print_limit(levels: history.Levels, limit: int | None) -> None:
    """Say what nobody can know."""
    if limit is None:
        return
    full = answer(levels, limit, limit).full_seconds
    if full:
        print(
            f"All {limit} workers of that time were busy for {span(full)}: how many requests waited"
            " meanwhile is not known, and so nothing of larger pools."
        )
    else:
        print(f"The {limit} workers of that time were never all busy: nothing had to wait.")


def _print_json(
    start: int, end: int, levels: history.Levels, limit: int | None, answers: list[Answer]
) -> None:
    total = sum(levels.values())
    data = {
        "from": start,
        "to": end,
        "seconds": total,
        "workers": limit,
        "held": max(levels),
        "answers": [
            {
                "workers": workers,
                "full_seconds": seconds,
                "share": None if seconds is None else seconds / total,
            }
            for workers, seconds in answers
        ],
    }
    print(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def _percent(share: float) -> str:
    if not share:
        return "0 %"
    return "<0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"
