"""Requests in flight: which they are, and for how long."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.requests import (
    LETTERS,
    age_of,
    drains,
    in_flight,
    is_slow,
    letters_only,
    living,
    oldest_seconds,
    since_of,
)
from mod_wsgi_dashboard.core.scoreboard import STATUSES
from tests import boards
from tests.held import AT, held, process, requests, sample, worker

RUNS = {"start_time": AT - 3.0, "stop_time": AT - 9.0}
ENDED = {"start_time": AT - 9.0, "stop_time": AT - 3.0, "last_used": AT - 2.0}
NEVER = {"start_time": 0.0, "stop_time": 0.0, "last_used": 0.0}


def test_every_letter_is_known() -> None:
    """The order of the letters has each that the scoreboard knows, once."""
    assert sorted(LETTERS) == sorted(STATUSES)


def test_held_workers_are_in_flight() -> None:
    """What a request or its connection holds is listed in the order of the scoreboard."""
    found = requests(*(worker(status=letter) for letter in LETTERS))
    assert [(2, "R"), (3, "W"), (4, "K"), (5, "D"), (6, "C"), (7, "L"), (8, "G")] == [
        (request.index, request.status) for request in found
    ]


def test_a_place_without_a_process_holds_nothing() -> None:
    """What is left in a slot without a process is no request."""
    board = sample(process(held(4.0), pid=0), process(held(2.0), pid=8, process_num=1))
    assert [8] == [each.pid for each in living(board)]
    assert [(8, 1, 0)] == [(each.pid, each.process_num, each.index) for each in in_flight(board)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"generation": 1}, True), ({"quiescing": True, "generation": 2}, True)],
)
def test_a_process_drains_that_stops_or_is_old(changes: dict[str, Any], expected: bool) -> None:
    """A process takes no new requests if it stops, or is of another generation than the running."""
    board = sample(process(held(4.0), **{"generation": 2, **changes}), generation=2)
    assert [expected] == [request.draining for request in in_flight(board)]
    assert [expected] == [drains(each, board) for each in board.snapshot.processes]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (RUNS, 3.0),
        ({"status": "K", **ENDED}, None),
        (NEVER, None),
        ({"start_time": AT - 2.0, "stop_time": 0.0}, 2.0),
        ({"start_time": AT + 1.0, "stop_time": 0.0}, 0.0),
    ],
)
def test_only_a_request_under_way_has_an_age(changes: dict[str, Any], expected: float | None) -> None:
    """An age is known while the newest request has not ended, and is never below 0."""
    (request,) = requests(worker(**{"status": "W", **changes}))
    assert expected == age_of(request, AT)


@pytest.mark.parametrize(
    ("seconds", "line", "expected"),
    [
        (9.9, "GET /a HTTP/1.1", False),
        (10.0, "GET /a HTTP/1.1", True),
        (900.0, "GET /ws HTTP/1.1", False),
    ],
)
def test_a_request_is_slow_from_ten_seconds_on(seconds: float, line: str, expected: bool) -> None:
    """A request that is held for 10 s is slow, and a WebSocket never is."""
    (request,) = requests(held(seconds, request=line))
    assert expected == is_slow(request, AT)


def test_a_request_of_unknown_age_is_not_slow() -> None:
    """Of what is being read no start is known."""
    (request,) = requests(worker(status="R", **NEVER))
    assert not is_slow(request, AT)


@pytest.mark.parametrize(
    ("status", "times", "expected"),
    [
        ("W", RUNS, 3.0),
        ("W", ENDED, None),
        ("G", RUNS, 3.0),
        ("G", ENDED, None),
        ("K", ENDED, 3.0),
        ("K", NEVER, None),
        ("_", ENDED, 2.0),
        ("_", NEVER, None),
        ("R", RUNS, None),
        ("S", RUNS, None),
        (".", ENDED, None),
    ],
)
def test_since_when_a_slot_is_as_it_is(
    status: str, times: dict[str, float], expected: float | None
) -> None:
    """Only what Apache notes of a state tells since when it lasts."""
    since = since_of(worker(status=status, **times))
    assert (None if expected is None else AT - expected) == since


def test_letters_alone() -> None:
    """A sample has nothing but letters if requests were served, and none by any worker."""
    whole = sample(process(held(3.0), worker()))
    blank = [
        msgspec.structs.replace(
            each, workers=[msgspec.structs.replace(own, access_count=0) for own in each.workers]
        )
        for each in whole.snapshot.processes
    ]
    snapshot = msgspec.structs.replace(whole.snapshot, processes=blank)
    assert letters_only(msgspec.structs.replace(whole, snapshot=snapshot))
    assert not letters_only(whole)
    assert not letters_only(sample(*blank)), "no request has come"


@given(history=boards.histories(most=2), later=st.floats(0.0, 100.0))
def test_the_oldest_is_one_of_those_in_flight(history: list[Any], later: float) -> None:
    """Of any scoreboard the oldest request is the oldest in flight that is no WebSocket."""
    for made in boards.samples(history):
        if isinstance(made, wire.Failure):
            continue
        made = msgspec.structs.replace(made, at=made.at + later)
        ages = [age_of(each, made.at) for each in in_flight(made) if not each.websocket]
        expected = max((age for age in ages if age is not None), default=None)
        assert expected == oldest_seconds(made)
