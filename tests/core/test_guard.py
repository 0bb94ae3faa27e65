"""The capacity guard: whom it lets in, and whom it lets go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import rates
from mod_wsgi_dashboard.core.guard import REOPEN_AFTER, Guard, Room
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from tests.conftest import build_metrics


def reading(letters: str, *, limit: int | None = None) -> rates.Reading:
    """Return a reading of one process with these workers."""
    scoreboard = parse(build_metrics(letters), Redactor())
    return rates.read(scoreboard, previous=None, elapsed=0.0, max_request_workers=limit)


def refuses(guard: Guard, *, held: int = 0, connected: int | None = None) -> str | None:
    return guard.refusal(
        connected=held if connected is None else connected, held=held, through_apache=True
    )


def room(guard: Guard) -> Room:
    return guard.room(connected=0, held=0)


def test_the_reserve_is_a_tenth_and_at_least_two() -> None:
    """Without the setting a tenth of the pool stays free, two workers of a small one."""
    for workers, expected in ((4, 2), (10, 2), (20, 2), (40, 4), (400, 40)):
        guard = Guard(reserve=None, max_viewers=None)
        guard.observe(reading("_" * workers), held=0, now=0.0)
        assert expected == room(guard).reserve


def test_a_fifth_of_the_pool_may_be_viewers() -> None:
    """Without max_viewers, viewers through Apache hold a fifth of its workers, or one of few."""
    for workers, expected in ((4, 1), (20, 4), (400, 80)):
        guard = Guard(reserve=0, max_viewers=None)
        guard.observe(reading("_" * workers), held=0, now=0.0)
        assert expected == room(guard).limit
        assert refuses(guard, held=expected - 1) is None
        reason = refuses(guard, held=expected)
        assert reason == f"All {expected} viewer places are taken; each holds an Apache worker."
        assert guard.refusal(connected=expected, held=expected, through_apache=False) is None
        assert (True, False) == tuple(
            guard.room(connected=held, held=held).accepting for held in (expected - 1, expected)
        )


def test_max_viewers_is_for_all_of_them() -> None:
    """The setting bounds viewers whichever way they come."""
    guard = Guard(reserve=0, max_viewers=3)
    guard.observe(reading("_" * 100), held=0, now=0.0)
    for through_apache in (False, True):
        assert guard.refusal(connected=2, held=0, through_apache=through_apache) is None
        assert guard.refusal(connected=3, held=0, through_apache=through_apache) is not None


def test_joins_since_the_reading_count() -> None:
    """Between two readings the guard lets in no more than leaves the reserve."""
    guard = Guard(reserve=2, max_viewers=40)
    guard.observe(reading("_____WWWWW"), held=0, now=0.0)
    admitted = 0
    while refuses(guard, held=admitted) is None:
        guard.joined(through_apache=True)
        admitted += 1
    assert admitted == 3
    reason = refuses(guard, held=admitted)
    assert reason == "Only 5 of 10 Apache workers are free; the site needs them."


def test_who_holds_no_worker_gets_in() -> None:
    """A full Apache can be watched through the loopback door."""
    guard = Guard(reserve=None, max_viewers=None)
    guard.observe(reading("WWWWWWWWWW", limit=10), held=2, now=0.0)
    assert guard.refusal(connected=2, held=2, through_apache=False) is None
    assert refuses(guard, held=0) is not None


def test_viewers_are_let_go_under_the_reserve() -> None:
    """As many as are missing go, at once where MaxRequestWorkers is known; then the guard waits."""
    guard = Guard(reserve=3, max_viewers=None)
    assert 0 == guard.observe(reading("___WWWWWWW", limit=10), held=2, now=0.0)
    assert 2 == guard.observe(reading("_WWWWWWWWW", limit=10), held=5, now=1.0)
    assert 0 == guard.observe(reading("_WWWWWWWWW", limit=10), held=3, now=2.0), "settling"
    assert 2 == guard.observe(reading("_WWWWWWWWW", limit=10), held=3, now=3.0)
    assert 1 == guard.observe(reading("WWWWWWWWWW", limit=10), held=1, now=5.0)
    assert 0 == guard.observe(reading("WWWWWWWWWW", limit=10), held=0, now=7.0)


def test_apache_gets_time_to_start_workers() -> None:
    """Where the limit isn't known, few waiting workers may mean that Apache is about to start more."""
    guard = Guard(reserve=2, max_viewers=None)
    assert [0, 0, 0, 1] == [
        guard.observe(reading("_WWW"), held=2, now=float(second)) for second in range(4)
    ]
    growing = Guard(reserve=2, max_viewers=None)
    letters = ["_WWW", "_WWW", "____WWWW", "_WWWWWWW"]
    assert [0] * 4 == [
        growing.observe(reading(text), held=2, now=float(second)) for second, text in enumerate(letters)
    ]


def test_workers_that_were_there_count_as_free() -> None:
    """Apache ends workers that wait for long; it can start them again."""
    guard = Guard(reserve=3, max_viewers=None)
    guard.observe(reading("_" * 20), held=0, now=0.0)
    assert 0 == guard.observe(reading("_WWWW"), held=4, now=60.0)
    assert (16, True) == (room(guard).free, room(guard).accepting)


def test_the_way_back_needs_more_room_for_a_while() -> None:
    """After letting viewers go, the guard takes none until there was room to spare for ten seconds."""
    guard = Guard(reserve=2, max_viewers=None)
    guard.observe(reading("_WWWWWWWWW", limit=10), held=1, now=0.0)
    guard.observe(reading("___WWWWWWW", limit=10), held=0, now=60.0)
    assert refuses(guard) is not None, "one more than the reserve is not enough"
    for second in (61.0, 65.0, 61.0 + REOPEN_AFTER - 0.1):
        guard.observe(reading("_____WWWWW", limit=10), held=0, now=second)
        assert (False, "Apache workers are free" in (refuses(guard) or "")) == (
            room(guard).accepting,
            True,
        )
    guard.observe(reading("_____WWWWW", limit=10), held=0, now=61.0 + REOPEN_AFTER)
    assert refuses(guard) is None
    assert room(guard).accepting


def test_nothing_is_known_before_the_first_reading() -> None:
    """While the scoreboard can't be read, one viewer gets in, to be told why."""
    guard = Guard(reserve=None, max_viewers=None)
    assert (None, None) == (room(guard).free, room(guard).reserve)
    assert refuses(guard) is None
    assert refuses(guard, held=1) is not None


@given(
    st.lists(st.text("_WKS.", min_size=10, max_size=10), min_size=1, max_size=30),
    st.integers(0, 4),
    st.booleans(),
)
def test_the_guard_never_takes_from_the_reserve(boards: list[str], reserve: int, known: bool) -> None:
    """Whatever the load does, no viewer is let in that leaves less than the reserve."""
    guard = Guard(reserve=reserve, max_viewers=40)
    held = 0
    for second, letters in enumerate(boards):
        now = reading(letters, limit=10 if known else None)
        held -= guard.observe(now, held=held, now=float(second))
        assert held >= 0
        free = room(guard).free
        assert free is not None
        while refuses(guard, held=held) is None:
            guard.joined(through_apache=True)
            held, free = held + 1, free - 1
        assert free >= min(reserve, room(guard).free or 0)
