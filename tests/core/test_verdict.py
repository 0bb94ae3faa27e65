"""What is wrong, if anything: levels, causes, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.requests import in_flight
from mod_wsgi_dashboard.core.verdict import Draining, Full, Point, Verdict, full_in, judge
from tests import boards
from tests.held import AT, held, process, sample, worker

IDLE = worker()
SOCKET = held(900.0, request="GET /ws HTTP/1.1")
RUNS = held(2.0)


def judged(board: wire.Sample, points: Sequence[Point] | None = None) -> Verdict:
    """Return what is said of a sample, which is the only one unless there are points."""
    rates, capacity = board.rates, board.capacity
    only = Point(board.at, True, rates.busy, capacity.max_request_workers or capacity.serving)
    return judge(board, in_flight(board), [only] if points is None else points)


def of_20(busy: int, limit: int | None = None) -> wire.Sample:
    return sample(process(*[RUNS] * busy, *[IDLE] * (20 - busy)), limit=limit)


def line(busy: Sequence[float], of: int = 20) -> list[Point]:
    """Return points a second apart, the last one at AT."""
    start = AT - len(busy) + 1
    return [Point(start + place, place == 0, int(value), of) for place, value in enumerate(busy)]


@pytest.mark.parametrize(
    ("busy", "limit", "level", "of", "basis"),
    [
        (3, None, "calm", 20, "serving"),
        (14, None, "calm", 20, "serving"),
        (15, None, "busy", 20, "serving"),
        (20, None, "full", 20, "serving"),
        (20, 400, "calm", 400, "max_request_workers"),
        (20, 15, "full", 15, "max_request_workers"),
    ],
)
def test_the_level_is_by_the_share_of_busy_workers(
    busy: int, limit: int | None, level: str, of: int, basis: str
) -> None:
    """Three quarters are busy, and all are full, of Apache's limit if it is known."""
    says = judged(of_20(busy, limit))
    assert (level, busy, of, basis) == (says.level, says.busy, says.of, says.basis)


@pytest.mark.parametrize("limit", [None, 20])
def test_without_workers_the_server_is_down(limit: int | None) -> None:
    """No worker runs: down, whatever the limit is."""
    assert "down" == judged(sample(process(worker(status="."), pid=0), limit=limit)).level


@pytest.mark.parametrize(
    ("slow", "workers", "level"), [(1, 5, "calm"), (2, 20, "slow"), (2, 21, "calm"), (3, 30, "slow")]
)
def test_several_old_requests_make_a_server_slow(slow: int, workers: int, level: str) -> None:
    """Two requests, and a tenth of the workers, that are held for 10 s are no accident."""
    board = sample(process(*[held(10.0)] * slow, *[IDLE] * (workers - slow)))
    assert level == judged(board).level


def test_websockets_are_not_slow() -> None:
    """A held WebSocket is neither slow nor the oldest request."""
    says = judged(sample(process(*[SOCKET] * 5, held(4.0), *[IDLE] * 14)))
    assert ("calm", 5, 4.0) == (says.level, says.websockets, says.oldest_seconds)


def test_a_server_fills_up() -> None:
    """Half full, and full within two minutes at the pace of the last minute."""
    rising = [second / 2 for second in range(21)]
    assert "filling" == judged(of_20(10), line(rising)).level
    assert "calm" == judged(of_20(10), line([20 - each for each in rising])).level


@pytest.mark.parametrize(
    ("some", "cause"),
    [
        (worker(status="R"), "reading"),
        (worker(status="K"), "keepalive"),
        (worker(status="D"), "dns"),
        (worker(status="L"), "logging"),
        (SOCKET, "websockets"),
        (held(2.0, request="GET /report/17 HTTP/1.1"), "path"),
    ],
)
def test_two_fifths_of_the_busy_make_a_cause(some: Any, cause: str) -> None:
    """What holds two fifths of the busy workers is the cause; less is the load."""
    rest = [held(2.0, request=f"GET /{chr(97 + place)} HTTP/1.1") for place in range(13)]
    assert cause == judged(sample(process(*[some] * 8, *rest[:12]))).cause
    assert "workers" == judged(sample(process(*[some] * 7, *rest))).cause


def test_old_processes_are_told() -> None:
    """Each process that stops or is old counts once, and their oldest request is told."""
    board = sample(
        process(held(5.0), quiescing=True),
        process(held(9.0), pid=8, process_num=1, generation=1),
        process(held(99.0), pid=9, process_num=2),
        process(held(30.0), pid=10, process_num=3, generation=1, quiescing=True),
        process(IDLE, pid=0, process_num=4, generation=3),
        limit=20,
    )
    says = judged(board)
    assert says.draining is not None
    assert says.draining.oldest is not None
    assert (3, 10, "draining") == (says.draining.processes, says.draining.oldest.pid, says.cause)
    idle = judged(sample(process(IDLE, worker(status="R"), quiescing=True), limit=20))
    assert Draining(1, None) == idle.draining


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (line([19, 20, 20]), Full(1.0, False)),
        (line([20, 20, 20]), Full(2.0, True)),
        ([], Full(0.0, False)),
    ],
)
def test_for_how_long_it_is_full(points: list[Point], expected: Full) -> None:
    """Full since the first sample that showed it; what was not seen may have been full before."""
    assert expected == judged(of_20(20), points).full


def test_full_at_first_sight() -> None:
    """All workers have been busy since the youngest of their requests began."""
    board = sample(process(held(40.0), held(70.0)), process(held(3.0), pid=8, quiescing=True))
    assert Full(40.0, True) == judged(board).full
    reading = sample(process(held(40.0), worker(status="R")))
    assert Full(0.0, True) == judged(reading).full


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        (range(11), 10.0),
        ([0] * 30 + [second // 6 for second in range(61)], 60.0),
        ([20 - second // 2 for second in range(21)], None),
        ([7] * 30, None),
        ([8 + second * 7 % 5 for second in range(60)], None),
        (range(21), None),
        (range(10), None),
        ([3], None),
        ([], None),
    ],
)
def test_in_how_long_all_will_be_busy(busy: Sequence[float], expected: float | None) -> None:
    """A straight rise of the last minute goes on; noise, and what falls or is too short, does not."""
    seconds = full_in(line(busy))
    assert seconds == (None if expected is None else pytest.approx(expected, rel=0.1))


@given(
    history=boards.histories(most=2),
    limit=st.sampled_from([None, 1, 3, 40]),
    busy=st.lists(st.integers(0, 12), max_size=30),
)
def test_all_numbers_are_possible(history: list[Any], limit: int | None, busy: list[int]) -> None:
    """Of whatever a server says no number is negative, and who is full is so for some time."""
    for made in boards.samples(history):
        if isinstance(made, wire.Failure):
            continue
        capacity = msgspec.structs.replace(made.capacity, max_request_workers=limit)
        made = msgspec.structs.replace(made, capacity=capacity)
        of = limit or capacity.serving
        points = [Point(made.at - len(busy) + place, False, each, of) for place, each in enumerate(busy)]
        says = judge(made, in_flight(made), [*points, Point(made.at, False, made.rates.busy, of)])
        numbers = [says.full_in, says.oldest_seconds, says.full.seconds if says.full else None, says.of]
        assert all(number >= 0 for number in numbers if number is not None)
        assert (says.level == "full") == (says.full is not None)
        if says.level in ("calm", "down"):
            assert says.cause in (None, "draining")
