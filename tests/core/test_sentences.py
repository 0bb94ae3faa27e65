"""The words, and how numbers are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import sentences
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.filters import KEYS, parse
from mod_wsgi_dashboard.core.groups import Common
from mod_wsgi_dashboard.core.requests import LETTERS
from mod_wsgi_dashboard.core.verdict import Cause, Draining, Full, Verdict
from tests.held import AT, held, process, request, sample, worker

OF_20 = Verdict(
    level="calm",
    busy=3,
    of=20,
    basis="serving",
    full=None,
    full_in=None,
    most=None,
    websockets=0,
    oldest_seconds=None,
    draining=None,
    cause=None,
)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (OF_20, "Calm: 3 of 20 workers busy."),
        (replace(OF_20, oldest_seconds=0.9), "Calm: 3 of 20 workers busy."),
        (replace(OF_20, oldest_seconds=4.25), "Calm: 3 of 20 workers busy; oldest 4.3 s."),
        (
            replace(OF_20, level="busy", busy=18, most=Common("GET /", 5)),
            "Busy: 18 of 20 workers busy; 5 of them on GET /.",
        ),
        (
            replace(OF_20, level="filling", full_in=95.2),
            "Filling up: 3 of 20 workers busy, full in about 1 min 35 s at this pace.",
        ),
        (
            replace(OF_20, level="full", busy=1, of=1, full=Full(75.0, True), websockets=1),
            "Full: 1 of 1 worker busy for at least 1 min 15 s; 1 held by a WebSocket.",
        ),
        (
            replace(OF_20, busy=6300, of=6400, websockets=2000),
            "Calm: 6,300 of 6,400 workers busy; 2,000 held by WebSockets.",
        ),
        (replace(OF_20, level="down"), "Down: no worker is running."),
    ],
)
def test_the_sentence(says: Verdict, expected: str) -> None:
    """One sentence says how the server is."""
    assert expected == sentences.verdict(says)


@pytest.mark.parametrize("cause", get_args(Cause))
def test_each_cause_has_a_directive(cause: Cause) -> None:
    """What holds the workers has a directive to look at, and a reason in whole sentences."""
    advice = sentences.advice(replace(OF_20, cause=cause, draining=Draining(2, request())))
    assert advice is not None
    assert advice.directive.replace("-", "").isalpha()
    assert advice.why.endswith(".")


def test_what_drains_is_told() -> None:
    """The advice on old processes says how many there are, and what holds the oldest request."""
    assert sentences.advice(OF_20) is None
    starts = {
        Draining(1, None): "1 old process drains. Old",
        Draining(
            3, request()
        ): "3 old processes drain; pid 4711 is held by GET /report/17?q=***&page=***. Old",
    }
    for draining, start in starts.items():
        advice = sentences.advice(replace(OF_20, cause="draining", draining=draining))
        assert advice is not None
        assert advice.why.startswith(start)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, "0.3 s"),
        (9.94, "9.9 s"),
        (9.96, "10.0 s"),
        (59.9, "59 s"),
        (61.0, "1 min 1 s"),
        (3600.0, "1 h 0 min"),
        (200_000.0, "2 d 7 h"),
    ],
)
def test_seconds(value: float, expected: str) -> None:
    """Below ten with a decimal, whose halves are rounded up; above in the two largest units."""
    assert expected == sentences.seconds(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (999.5, "1.0 kB"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (5e15, "5,000 TB")],
)
def test_sizes(value: float, expected: str) -> None:
    """Bytes have a unit of a thousand, and three digits at most in front of it."""
    assert expected == sentences.size(value)


@given(st.floats(0.0, 1e300) | st.integers(0, 10**40))
def test_any_number_can_be_written(value: float) -> None:
    """No number of a server is too large to be written."""
    assert int(sentences.count(value).replace(",", "")) == pytest.approx(value, abs=0.5, rel=1e-15)
    assert sentences.size(value).split()[-1] in ("B", "kB", "MB", "GB", "TB")


def test_tiles() -> None:
    """Four large numbers; what the scoreboard does not hold is never 0."""
    board = sample(process(held(30.0), worker()))
    tiles = sentences.tiles(board, replace(OF_20, oldest_seconds=30.0), 4)
    assert [
        ("Busy workers", "3 / 20", "1 wait for a request"),
        ("Requests", "not available yet", "6 since the start"),
        ("Sent", "not available yet", "1.8 kB since the start"),
        ("Oldest request", "30 s", "4 held for 10 s or more"),
    ] == [(tile.label, tile.value, tile.more) for tile in tiles]
    capacity = msgspec.structs.replace(board.capacity, extended_status=False)
    bare = sentences.tiles(msgspec.structs.replace(board, capacity=capacity), OF_20, 0)
    assert ["not available"] * 3 == [tile.value for tile in bare[1:]]


def test_the_lines_of_a_report() -> None:
    """The server's own line, and what the letters mean that occur."""
    board = sample(process(worker(status="R"), worker(), worker()), process(worker(status="."), pid=0))
    assert "up 1 h 0 min · generation 0 · 1 process" == sentences.server_line(board)
    assert "_ waiting 2, R reading 1, . open 1" == sentences.legend(board)


def test_each_letter_has_its_words() -> None:
    """No letter is without a name, in either length."""
    assert sorted(LETTERS) == sorted(sentences.STATE_NAMES) == sorted(sentences.LEGEND_NAMES)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [("foo:x", KEYS), ("state:x", LETTERS), ("age>x", ["age>5s"]), ("is:x", ["is:slow"])],
)
def test_a_filter_error_says_what_is_accepted(text: str, accepted: Sequence[str]) -> None:
    """What is wrong is told with the term as it stands, and what could stand there."""
    (error,) = parse(text).errors
    told = sentences.filter_error(error)
    assert told.startswith(f"{text} ")
    assert [] == [word for word in accepted if word not in told.removeprefix(text)]


@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        (
            Alert("saturated", "busy", "critical", AT - 130.0, peak=1.0, threshold=1.0),
            "saturated: all workers busy for 2 min 10 s, peak 100 %",
        ),
        (
            Alert("nearly", "busy", "warning", AT - 5.0, peak=0.9999, threshold=0.9),
            "nearly: 90 % of the workers or more busy for 5 s, peak 99.9 %",
        ),
        (
            Alert("stuck", "stuck", "warning", AT - 5.0, peak=65.0, path="GET /report/*", count=5),
            "stuck: 5 workers stuck on GET /report/* for 5 s, longest 1 min 5 s",
        ),
        (Alert("again", "restart", "warning", AT - 5.0), "again: Apache restarted 5 s ago"),
        (Alert("off", "error", "critical", AT - 5.0), "off: scoreboard not readable for 5 s"),
        (Alert("new", "heat", "fatal", AT + 5.0, peak=80.0), "new: heat for 0 s"),
    ],
)
def test_alerts(alert: Alert, expected: str) -> None:
    """An alert is told with its rule, what holds, for how long, and how far it went."""
    assert expected == sentences.alert(alert, AT)


@pytest.mark.parametrize(
    ("held", "workers", "expected"),
    [
        (0, 400, "This dashboard holds no Apache worker"),
        (1, 1, "This dashboard holds 1 of 1 worker"),
        (2, None, "This dashboard holds 2 workers"),
    ],
)
def test_what_the_dashboard_holds(held: int, workers: int | None, expected: str) -> None:
    """What the dashboard itself costs the server is told."""
    assert expected == sentences.holding(held, workers)
