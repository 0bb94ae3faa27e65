"""Requests in an order, and in groups of those that are alike.

Owns the orders and the groups. It must not know words.

The page's twin is `groups.ts`; both are held to `tests/twins`. Texts are in the order of their UTF-16
code units, as JavaScript compares them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, get_args

from mod_wsgi_dashboard.core.filters import quote
from mod_wsgi_dashboard.core.pattern import pattern
from mod_wsgi_dashboard.core.requests import LETTERS, Request
from mod_wsgi_dashboard.core.scoreboard import Status

SortKey = Literal["age", "state", "pid", "client", "vhost", "request"]
GroupKey = Literal["path", "vhost", "client", "state"]

SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)
GROUP_KEYS: tuple[GroupKey, ...] = get_args(GroupKey)

# An IPv4 address, or a network of them.
_IPV4 = re.compile(r"\d+\.\d+\.\d+\.\d+(?:/\d+)?", re.A)
_DIGITS = re.compile(r"\d+", re.A)

# What to sort by; None, where there is nothing to tell, comes last in both directions.
_RANKS: dict[SortKey, Callable[[Request], float | bytes | None]] = {
    "age": lambda request: None if request.started_at is None else -request.started_at,
    "state": lambda request: LETTERS.index(request.status),
    "pid": lambda request: request.pid,
    "client": lambda request: _text(_padded(request.client)),
    "vhost": lambda request: _text(request.vhost),
    "request": lambda request: _text(request.request),
}

_NAMES: dict[GroupKey, Callable[[Request], str]] = {
    "path": lambda request: pattern(request.request),
    "vhost": attrgetter("vhost"),
    "client": attrgetter("client"),
    "state": attrgetter("status"),
}


@dataclass(frozen=True, slots=True)
class Common:
    """A method and path, and how many requests are for it."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that are alike.

    `name` is a pattern, a name or a letter; "" where the scoreboard says nothing. `oldest_at` is when
    the request began that is held longest (epoch seconds), None if no start is known. `states` is how
    many there are by letter. `filter` is the filter's term that shows exactly this group.
    """

    name: str
    count: int
    oldest_at: float | None
    states: dict[Status, int]
    filter: str


def sort(requests: Iterable[Request], key: SortKey, *, down: bool) -> list[Request]:
    """Return requests by a key; `down` is the largest first, of ages the longest.

    Equal ones are in the order of their age, the oldest first, and then of their slots.
    """
    rank = _RANKS[key]
    ranked = [(rank(request), request) for request in sorted(requests, key=_TIES.get(key, _by_age))]
    known = [(own, request) for own, request in ranked if own is not None]
    known.sort(key=_first, reverse=down)
    return [request for _, request in known] + [request for own, request in ranked if own is None]


def group(requests: Iterable[Request], key: GroupKey) -> list[Group]:
    """Return the groups of requests, the largest first, then the oldest."""
    members: dict[str, list[Request]] = {}
    name_of = _NAMES[key]
    for request in requests:
        members.setdefault(name_of(request), []).append(request)
    groups = [_group(key, name, requests=alike) for name, alike in members.items()]
    groups.sort(key=lambda group: (-group.count, _instant(group.oldest_at), _units(group.name)))
    return groups


def commonest(requests: Iterable[Request]) -> Common | None:
    """Return the method and path that most of the requests are for; of equals the first by name.

    None if nothing is known of what any of them asks for.
    """
    counts = Counter(pattern(request.request) for request in requests)
    del counts[""]
    if not counts:
        return None
    most = max(counts.values())
    return Common(min((name for name, count in counts.items() if count == most), key=_units), most)


def _group(key: GroupKey, name: str, *, requests: list[Request]) -> Group:
    # A letter, or a path's pattern with its method, is no part of another value.
    joint = ":" if key == "state" or (key == "path" and " " in name) else ":="
    oldest = min(_instant(request.started_at) for request in requests)
    states: dict[Status, int] = {}
    for request in requests:
        states[request.status] = states.get(request.status, 0) + 1
    return Group(
        name, len(requests), None if oldest == math.inf else oldest, states, f"{key}{joint}{quote(name)}"
    )


def _by_age(request: Request) -> tuple[float, int, int]:
    return (_instant(request.started_at), request.process_num, request.index)


def _by_slot(request: Request) -> tuple[int, int]:
    return (request.process_num, request.index)


# The workers of a process are in their own order.
_TIES: dict[SortKey, Callable[[Request], tuple[float, ...]]] = {"pid": _by_slot}


def _first(ranked: tuple[float | bytes, Request]) -> float | bytes:
    return ranked[0]


def _instant(at: float | None) -> float:
    return math.inf if at is None else at


def _units(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _text(text: str) -> bytes | None:
    return _units(text) if text else None


def _padded(client: str) -> str:
    """Make all numbers of an address as wide as the widest, so that text sorts as they do.

    The space keeps them before names and IPv6.
    """
    if not _IPV4.fullmatch(client):
        return client
    return f" {_DIGITS.sub(lambda digits: digits[0].rjust(3, '0'), client)}"
