"""What one sample says to one viewer: the verdict, and the requests in flight as asked for.

Owns which requests are listed, and in which order. It must not know a terminal: no widths, no looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mod_wsgi_dashboard.core import filters, groups, requests, sentences, verdict
from mod_wsgi_dashboard.core.filters import Filter
from mod_wsgi_dashboard.core.groups import Group, GroupKey, SortKey
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.core.verdict import Point, Verdict
from mod_wsgi_dashboard.core.wire import Sample

# After so many intervals without a sample nothing is known; polling every five seconds is no gap.
_LATE, _LEAST_GAP = 3.0, 8.0


@dataclass(frozen=True, slots=True)
class Choice:
    """How a viewer wants requests: filtered, in an order, in groups."""

    filter: str = ""
    sort: SortKey = "age"
    down: bool = True
    group: GroupKey | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A sample and what it says at an instant, which may be a little later than the sample's.

    `listed` are the requests that match the filter, in order, WebSockets apart in `sockets`; `every`
    are all that are in flight, and `slow` how many of them are held for long.
    """

    sample: Sample
    at: float
    verdict: Verdict
    sentence: str
    advice: sentences.Advice | None
    slow: int
    filter: Filter
    every: list[Request]
    listed: list[Request]
    sockets: list[Request]
    groups: list[Group] | None


def read(sample: Sample, points: Sequence[Point], choice: Choice, *, at: float | None = None) -> Moment:
    """Return what a sample says.

    Args:
        sample: the sample.
        points: the load up to it, the oldest first.
        choice: what is wanted.
        at: the instant for which ages are told; the sample's, unless it is given.
    """
    every = requests.in_flight(sample)
    says = verdict.judge(sample, every, points)
    instant = sample.at if at is None else at
    wanted = filters.parse(choice.filter)
    found = every if wanted.empty else [each for each in every if wanted.matches(each, instant)]
    listed = groups.sort((each for each in found if not each.websocket), choice.sort, down=choice.down)
    sockets = groups.sort((each for each in found if each.websocket), choice.sort, down=choice.down)
    return Moment(
        sample=sample,
        at=instant,
        verdict=says,
        sentence=sentences.verdict(says),
        advice=sentences.advice(says),
        slow=sum(requests.is_slow(each, instant) for each in every),
        filter=wanted,
        every=every,
        listed=listed,
        sockets=sockets,
        groups=None if choice.group is None else groups.group([*listed, *sockets], choice.group),
    )


def point_of(sample: Sample, *, before: Point | None) -> Point:
    """Return the load at a sample; `before` is that at the one before it."""
    gap = before is None or sample.at - before.at > max(_LATE * sample.interval, _LEAST_GAP)
    return Point(sample.at, gap, sample.rates.busy, sample.capacity.workers)


def nothing_listed(moment: Moment) -> str:
    """Return why there is no request to list."""
    sample = moment.sample
    if moment.every and not moment.filter.empty:
        return sentences.nothing_matches(len(moment.every))
    if sample.capacity.extended_status is False:
        return sentences.EXTENDED_STATUS_OFF
    if requests.letters_only(sample):
        return sentences.NOT_RECORDED
    if sample.capacity.extended_status is None:
        return sentences.NO_TRACE
    return sentences.NO_TRAFFIC if sample.rates.accesses == 0 else sentences.NOTHING_IN_FLIGHT


def tells_requests(sample: Sample) -> bool:
    """Return whether the sample tells more of workers than their letters."""
    return sample.capacity.extended_status is not False and not requests.letters_only(sample)


def draining(moment: Moment) -> str:
    """Return which old processes are left and what holds them; "" without any."""
    what = moment.verdict.draining
    if what is None:
        return ""
    text = sentences.plural(what.processes, "process drains", "processes drain")
    if what.oldest is None:
        return text
    held = f"pid {what.oldest.pid} is held by {sentences.request_line(what.oldest.request)}"
    return f"{text}; {held}, {sentences.age(what.oldest, moment.at)}"
