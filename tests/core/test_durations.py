"""How long requests usually take, and which of those under way take far longer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from mod_wsgi_dashboard.core.durations import (
    ENOUGH,
    HALVED_AT,
    LEARNT,
    PATHS,
    Durations,
    Requests,
    Stuck,
)
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader, Scoreboard
from tests.boards import histories, samples

AT = 1_700_000_000.0
IDLE = ("_", 0.0, 0.0, "")

Slot = tuple[str, float, float, str]


class Site:
    """Readings of one Apache, and the seconds of both clocks at each."""

    def __init__(self) -> None:
        self.requests = Requests()
        self.reader = Reader(Redactor(enabled=False))
        self.now = 0.0
        self.jumped = 0.0

    def see(
        self, *slots: Slot, after: float = 1.0, pid: int = 101, restart_time: float = AT - 1000.0
    ) -> None:
        """Read slots, so many seconds after the last reading: letter, start, stop and request.

        Starts and stops are seconds of the same clock as `after`, counted from 0.
        """
        self.now += after
        self.requests.observe(
            self.reader.read(board(slots, pid=pid, restart_time=restart_time)),
            at=AT + self.now + self.jumped,
            now=self.now,
        )

    def limit(self, path: str) -> float:
        return self.requests.durations.limit(path)


def board(slots: tuple[Slot, ...], **more: Any) -> dict[str, Any]:
    workers = [
        {
            "thread_num": number,
            "generation": 0,
            "status": letter,
            "access_count": 1,
            "bytes_served": 1,
            "start_time": AT + start if start else 0.0,
            "stop_time": AT + stop if stop else 0.0,
            "last_used": 0.0,
            "client": "",
            "request": request,
            "vhost": "",
        }
        for number, (letter, start, stop, request) in enumerate(slots)
    ]
    process = {"process_num": 0, "pid": more["pid"], "generation": 0, "quiescing": False}
    return {
        "server_limit": 1,
        "thread_limit": len(slots),
        "running_generation": 0,
        "restart_time": more["restart_time"],
        "current_time": AT,
        "running_time": 1000,
        "processes": [{**process, "workers": workers}],
    }


@pytest.mark.parametrize(
    ("took", "least", "most"),
    [
        ([0.02] * 100, 0.02, 0.024),
        ([0.02] * 94 + [9.0] * 6, 9.0, 10.8),
        ([0.02] * 96 + [9.0] * 4, 0.02, 0.024),
        ([5.0] * ENOUGH, 5.0, 6.0),
        ([0.0] * 30, 0.0, 0.011),
        ([1e9] * 30, 3000.0, 5000.0),
    ],
)
def test_the_usual_is_what_95_of_100_take(took: list[float], least: float, most: float) -> None:
    """It is never told too short, and at most a fifth too long, between 10 ms and an hour."""
    durations = Durations()
    for seconds in took:
        durations.learn("GET /", seconds)
    usual = durations.usual("GET /")
    assert usual is not None
    assert least <= usual <= most


@pytest.mark.parametrize(
    ("took", "expected"),
    [([], 60.0), ([0.02] * 19, 60.0), ([0.02] * 20, 10.0), ([0.9] * 20, 10.0), ([20.0] * 19, 60.0)],
)
def test_little_is_known_of_few(took: list[float], expected: float) -> None:
    """Until 20 of a kind have ended a minute is the limit; then ten times the usual, at least 10 s."""
    durations = Durations()
    for seconds in took:
        durations.learn("GET /", seconds)
    assert expected == durations.limit("GET /")


def test_what_is_usual_changes() -> None:
    """A release that makes a path slower is the usual after some hundreds of requests."""
    durations = Durations()
    for _ in range(5 * HALVED_AT):
        durations.learn("GET /", 0.02)
    assert 10.0 == durations.limit("GET /")
    for _ in range(HALVED_AT // 10):
        durations.learn("GET /", 4.0)
    assert durations.limit("GET /") >= 40.0


def test_kinds_of_paths_are_bounded() -> None:
    """Whatever is asked for, so many kinds are kept, and one that is asked for often stays."""
    durations = Durations()
    for number in range(10 * PATHS):
        durations.learn("GET /", 0.02)
        durations.learn(f"GET /{number}", 0.02)
    assert len(durations) == PATHS
    assert 10.0 == durations.limit("GET /")


def report(letter: str, start: float, stop: float) -> Slot:
    return (letter, start, stop, "GET /report/17 HTTP/1.1")


def test_a_request_is_stuck_after_a_minute_if_nothing_is_known() -> None:
    """It is stuck from then until it ends; its kind, number and age are told."""
    site = Site()
    site.see(report("W", 1.0, 0.5), IDLE)
    for _ in range(59):
        site.see(report("W", 1.0, 0.5), IDLE)
    assert {} == site.requests.stuck(site.now)
    site.see(report("W", 1.0, 0.5), report("W", 60.5, 0.0))
    assert {"GET /report/*": Stuck(1, 60.0)} == site.requests.stuck(site.now)
    assert 60.0 == site.requests.oldest(site.now)
    site.see(report("_", 1.0, 61.5), report("W", 60.5, 0.0))
    assert {} == site.requests.stuck(site.now)
    assert 1.5 == site.requests.oldest(site.now)


def test_what_ends_is_learnt() -> None:
    """Requests that are seen under way, and those that begin and end in between, both count once."""
    site = Site()
    site.see(IDLE, IDLE)
    for number in range(1, ENOUGH // 2 + 1):
        at = 2.0 * number
        site.see(report("_", at - 1.0, at - 0.9), report("W", at - 0.5, at - 1.2))
        site.see(report("_", at - 1.0, at - 0.9), report("_", at - 0.5, at + 0.5))
    assert 10.0 <= site.limit("GET /report/*") < 60.0
    assert 60.0 == site.limit("GET /")


def test_the_first_reading_teaches_what_slots_remember() -> None:
    """A service that has just started knows what is usual from the last request of each slot."""
    site = Site()
    site.see(*[report("_", 0.1, 0.2)] * ENOUGH)
    assert 10.0 == site.limit("GET /report/*")


def test_who_takes_a_slot_over_ends_the_request_before() -> None:
    """A request that is followed by another within a second was as old as it was last seen, or older."""
    site = Site()
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH)
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH, after=20.0)
    site.see(*[report("W", 21.5, 21.2)] * ENOUGH)
    assert 200.0 <= site.limit("GET /report/*") <= 260.0


def test_what_dies_with_its_process_did_not_end() -> None:
    """The requests of a process that is gone are neither under way nor learnt from."""
    site = Site()
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH)
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH, after=90.0)
    assert {"GET /report/*": Stuck(ENOUGH, 90.0)} == site.requests.stuck(site.now)
    site.see(*[report(".", 1.0, 0.5)] * ENOUGH, pid=0)
    assert {} == site.requests.stuck(site.now)
    site.see(*[IDLE] * ENOUGH, pid=102)
    assert 0 == len(site.requests.durations)
    assert 0.0 == site.requests.oldest(site.now)


def test_a_restart_begins_anew() -> None:
    """After a full restart nothing of before is under way."""
    site = Site()
    site.see(report("W", 1.0, 0.5))
    site.see(report("W", 1.0, 0.5), after=90.0)
    site.see(IDLE, restart_time=AT + 90.5)
    assert {} == site.requests.stuck(site.now)


@pytest.mark.parametrize("line", ["GET /ws HTTP/1.1", "GET /app/socket.io/?t=1 HTTP/1.1"])
def test_websockets_are_not_stuck(line: str) -> None:
    """They are neither old nor stuck, and nothing is learnt from their end."""
    site = Site()
    for _ in range(ENOUGH):
        site.see(("W", site.now + 0.5, 0.0, line))
        site.see(("W", site.now - 0.5, 0.0, line), after=500.0)
        assert {} == site.requests.stuck(site.now)
        assert 0.0 == site.requests.oldest(site.now)
        site.see(("_", site.now - 500.5, site.now + 0.5, line))
    assert 0 == len(site.requests.durations)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_a_clock_that_is_set_makes_nothing_old(jump: float) -> None:
    """Requests from before a jump and after it have the age that they have."""
    site = Site()
    site.see(report("W", 1.0, 0.5), IDLE)
    site.jumped = jump
    # Apache's clock is the same: what begins now has the new time.
    site.see(report("W", 1.0, 0.5), report("W", 1.5 + jump, 0.5))
    assert 1.0 == site.requests.oldest(site.now)
    site.see(report("W", 1.0, 0.5), report("_", 1.5 + jump, 2.0 + jump), after=59.0)
    assert {"GET /report/*": Stuck(1, 60.0)} == site.requests.stuck(site.now)


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_what_ends_after_a_jump_took_no_longer(jump: float) -> None:
    """A request that the clock was set during took as long as it was seen to take."""
    site = Site()
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH)
    site.see(*[report("W", 1.0, 0.5)] * ENOUGH, after=59.5)
    site.jumped = jump
    # Its start is kept; were the clock set back, its stop would be the earlier one.
    site.see(*[report("_", 1.0, max(61.0 + jump, 1.0))] * ENOUGH)
    assert 595.0 <= site.limit("GET /report/*") <= 605.0 * 1.2


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_what_began_before_a_jump_is_as_old_as_it_can_be(jump: float) -> None:
    """A request that is first seen after a jump, with a start from before, is a reading old at most."""
    site = Site()
    site.see(IDLE)
    site.jumped = jump
    site.see(report("W", 1.5, 0.0))
    assert 0.0 <= site.requests.oldest(site.now) <= 1.0


def test_an_unreadable_time_is_no_age() -> None:
    """While nobody reads, requests go on; what began meanwhile is no older than the pause."""
    site = Site()
    site.see(report("W", 1.0, 0.5), IDLE)
    site.see(report("W", 1.0, 0.5), report("W", 10.0, 0.5), after=100.0)
    assert {"GET /report/*": Stuck(2, 100.0)} == site.requests.stuck(site.now)


def test_a_reading_of_thousands_costs_a_few_hundred() -> None:
    """Of a reading at which everything ended so many are learnt from, and other ones the next time."""
    site = Site()
    site.see(*[("_", 0.5, 0.6, f"GET /{n % 2 * 'a'} HTTP/1.1") for n in range(2 * LEARNT)])
    site.see(*[("_", 1.5, 1.6, f"GET /{n % 2 * 'a'} HTTP/1.1") for n in range(2 * LEARNT)])
    assert 10.0 == site.limit("GET /")
    assert 10.0 == site.limit("GET /a")


def plain(scoreboard: Scoreboard, at: float) -> float:
    """Return the age of the oldest request under way, by the wall clock alone."""
    starts = [
        worker.start_time
        for process in scoreboard.processes
        for worker in process.workers
        if process.pid and worker.unfinished and worker.status not in "_.SI"
        if not worker.held_by_websocket
    ]
    return max([0.0, *(at - start for start in starts)])


@settings(deadline=None)
@given(histories())
def test_it_follows_every_change(history: list[Any]) -> None:
    """Whatever changes, who is under way is known as if all slots were looked at; ages are bounded."""
    requests, now = Requests(), 0.0
    for number, sample in enumerate(samples(history)):
        now += 1.0
        board = getattr(sample, "snapshot", None)
        if board is None:
            continue
        requests.observe(board, at=sample.at, now=now)
        held = {
            number
            for number, (process, worker) in enumerate(
                (process, worker) for process in board.processes for worker in process.workers
            )
            if process.pid and worker.unfinished and worker.status not in "_.SI"
        }
        assert held == requests._held.keys()
        requests.stuck(now)
        oldest = requests.oldest(now)
        if number == 0:
            assert oldest == pytest.approx(plain(board, sample.at))
        assert (oldest == 0.0) or held
        assert 0.0 <= oldest <= 1100.0
