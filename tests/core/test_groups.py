"""Requests in an order, and in groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core.filters import parse
from mod_wsgi_dashboard.core.groups import (
    GROUP_KEYS,
    SORT_KEYS,
    Common,
    GroupKey,
    SortKey,
    commonest,
    group,
    sort,
)
from mod_wsgi_dashboard.core.pattern import pattern
from mod_wsgi_dashboard.core.requests import LETTERS, Request
from tests.held import AT, request

lines = (
    st.sampled_from(["", "-", "GET /a/1 HTTP/1.1", "GET /a/2 HTTP/1.1", "POST /b HTTP/1.1"]) | st.text()
)
drawn = st.lists(
    st.builds(
        request,
        process_num=st.integers(0, 2),
        index=st.integers(0, 5),
        pid=st.sampled_from([1, 17]),
        status=st.sampled_from(LETTERS),
        started_at=st.sampled_from([None, AT - 1.0, AT - 60.0]),
        client=st.sampled_from(["", "192.0.2.7", "2001:db8::1"]) | st.text(),
        vhost=st.text(max_size=3),
        request=lines,
    )
)


def by(name: str, *values: Any) -> list[Request]:
    """Return requests that differ in one thing; the place of each is its index."""
    return [request(index=index, **{name: value}) for index, value in enumerate(values)]


def places(requests: Sequence[Request]) -> list[int]:
    return [each.index for each in requests]


@pytest.mark.parametrize(
    ("key", "values", "up"),
    [
        ("age", [AT - 5.0, AT - 9.0, None, AT - 1.0], [3, 0, 1, 2]),
        ("state", ["W", "_", "R"], [1, 2, 0]),
        ("client", ["10.0.0.9", "9.0.0.0/24", "", "2001:db8::/48", "a.example"], [1, 0, 3, 4, 2]),
        ("client", ["10.0.0.10", "10.0.0.9", "10.0.0.100"], [1, 0, 2]),
        ("vhost", ["b", "a", ""], [1, 0, 2]),
        ("request", ["GET /b", "", "GET /a"], [2, 0, 1]),
    ],
)
def test_requests_have_an_order(key: SortKey, values: list[Any], up: list[int]) -> None:
    """Numbers sort as numbers, in addresses, too; what is not known comes last in both directions."""
    name = {"age": "started_at", "state": "status"}.get(key, key)
    requests = by(name, *values)
    known = [place for place in up if values[place] not in (None, "")]
    unknown = [place for place in up if values[place] in (None, "")]
    assert up == places(sort(requests, key, down=False))
    assert [*reversed(known), *unknown] == places(sort(requests, key, down=True))


def test_equal_ones_are_in_the_order_of_their_age() -> None:
    """What is equal by a key is told oldest first in both directions, and then by its slot."""
    same = by("started_at", AT - 1.0, None, AT - 9.0, AT - 9.0)
    for down in (False, True):
        assert [2, 3, 0, 1] == places(sort(same, "vhost", down=down))
        assert [0, 1, 2, 3] == places(sort(same, "pid", down=down)), "a process has its own order"


@given(drawn, st.sampled_from(SORT_KEYS), st.booleans())
def test_nothing_is_lost_in_an_order(requests: list[Request], key: SortKey, down: bool) -> None:
    """An order has the same requests, whichever way they came."""
    ordered = sort(requests, key, down=down)
    assert sorted(map(id, requests)) == sorted(map(id, ordered))
    assert ordered == sort(ordered, key, down=down)


def test_groups_are_the_largest_first() -> None:
    """Of equal groups the one with the oldest request comes first, then by name."""
    requests = [
        *(request(request=f"GET /a/{number} HTTP/1.1", started_at=None) for number in (1, 2, 3)),
        request(request="GET /d", status="R", started_at=AT - 1.0),
        request(request="GET /c", started_at=AT - 9.0),
        request(request="GET /b", started_at=AT - 1.0),
    ]
    groups = group(requests, "path")
    assert [("GET /a/*", 3, None), ("GET /c", 1, AT - 9.0), ("GET /b", 1, AT - 1.0)] == [
        (each.name, each.count, each.oldest_at) for each in groups[:3]
    ]
    assert [{"W": 3}, {"W": 1}, {"W": 1}, {"R": 1}] == [each.states for each in groups]


@given(drawn, st.sampled_from(GROUP_KEYS))
def test_the_filter_of_a_group_shows_that_group(requests: list[Request], key: GroupKey) -> None:
    """A group's term finds each of its requests, and none of another group."""
    groups = group(requests, key)
    assert len(requests) == sum(each.count for each in groups)
    for each in groups:
        found = parse(each.filter)
        assert () == found.errors
        shown = [own for own in requests if found.matches(own, AT)]
        assert each.count == len(shown)
        assert sum(each.states.values()) == each.count


@given(drawn)
def test_the_commonest_is_the_largest_known_group(requests: list[Request]) -> None:
    """What most requests are for is the largest group by path that has a name."""
    most = commonest(requests)
    known = [each for each in group(requests, "path") if each.name]
    if most is None:
        assert known == []
    else:
        assert most.count == known[0].count == sum(pattern(one.request) == most.name for one in requests)


def test_of_equals_the_first_by_name_is_the_commonest() -> None:
    """Of as many requests for each of two paths, the first by name is told."""
    assert Common("GET /a", 1) == commonest(by("request", "GET /b HTTP/1.1", "", "GET /a HTTP/1.1"))
