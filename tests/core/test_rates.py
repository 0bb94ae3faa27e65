"""Counts, rates and capacity."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core.rates import VHOSTS_LISTED, Reading, VhostRates, read
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import STATUSES, Reader, Scoreboard, parse
from mod_wsgi_dashboard.simulator import Simulator
from tests.boards import histories
from tests.conftest import CAPTURES, build_metrics, load_capture

PLAIN = Redactor(enabled=False)


def follow(*metrics: dict[str, Any], elapsed: float = 1.0) -> list[Reading]:
    """Read scoreboards one after another."""
    readings: list[Reading] = []
    for one in metrics:
        previous = readings[-1] if readings else None
        readings.append(read(parse(one, PLAIN), previous=previous, elapsed=elapsed))
    return readings


@pytest.mark.parametrize(
    ("letters", "kwargs", "expected"),
    [
        ("_WRK", {}, (3, 1, 0)),
        ("SI.L", {}, (1, 0, 0)),
        ("DC_G", {}, (2, 1, 1)),
        ("_W_W", {"quiescing": (0,)}, (0, 0, 0)),
        ("_W_W", {"pids": [0]}, (0, 0, 0)),
        ("_W_W", {"generations": [0], "running_generation": 1}, (2, 0, 0)),
    ],
    ids=["states", "not-working", "graceful", "quiescing", "dead", "old-generation"],
)
def test_workers_are_counted_as_mod_status_does(
    letters: str, kwargs: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    """Busy, idle and graceful follow mod_status's rule for every state and kind of process."""
    (reading,) = follow(build_metrics(letters, **kwargs))
    assert expected == (reading.rates.busy, reading.rates.idle, reading.rates.graceful)


def test_every_state_is_always_counted() -> None:
    """All eleven letters have a count, 0 too, and together they are all slots."""
    (reading,) = follow(build_metrics("_WW.", "...."))
    assert set(STATUSES) == set(reading.rates.states)
    assert 8 == sum(reading.rates.states.values())
    assert (2, 5) == (reading.rates.states["W"], reading.rates.open)


def test_processes_are_counted_by_their_part_in_a_restart() -> None:
    """Live, quiescing and old-generation processes are told apart."""
    (reading,) = follow(
        build_metrics(
            "_", "G", "_", ".",
            pids=[1, 2, 3, 0], generations=[1, 0, 1, 0], quiescing=(1,), running_generation=1,
        )
    )  # fmt: skip
    rates = reading.rates
    assert (3, 1, 1) == (rates.processes, rates.quiescing, rates.old_generation)


def test_the_first_reading_has_no_rate() -> None:
    """One scoreboard gives counts, and None for what takes two."""
    (reading,) = follow(build_metrics("_W", counts=5))
    assert reading.rates.requests_per_second is None
    assert reading.rates.bytes_per_second is None
    assert (10, 1000) == (reading.rates.accesses, reading.rates.bytes_served)
    assert (0, 0) == (reading.rates.requests_total, reading.rates.bytes_total)


def test_rates_are_per_second_of_the_given_time() -> None:
    """Requests and bytes between two readings are divided by the seconds between them."""
    _, reading = follow(
        build_metrics("_W", counts=[5, 7]), build_metrics("_W", counts=[6, 10]), elapsed=2.0
    )
    assert 2.0 == reading.rates.requests_per_second
    assert 200.0 == reading.rates.bytes_per_second
    assert [VhostRates("site.example", 1, 4)] == reading.rates.vhosts


@pytest.mark.parametrize("elapsed", [0.0, -1.0])
def test_no_time_between_readings_gives_no_rate(elapsed: float) -> None:
    """Two readings without a positive distance have no rate, and don't divide by zero."""
    _, reading = follow(build_metrics("W", counts=1), build_metrics("W", counts=2), elapsed=elapsed)
    assert reading.rates.requests_per_second is None


def test_a_full_restart_counts_from_zero() -> None:
    """After restart_time changed, what stands there came since; totals go on."""
    _, _, reading = follow(
        build_metrics("_W", counts=[50, 50]),
        build_metrics("_W", counts=[60, 50]),
        build_metrics("_W", counts=[3, 60], restart_time=1500.0),
    )
    assert 63.0 == reading.rates.requests_per_second
    assert (63, 73) == (reading.rates.accesses, reading.rates.requests_total)


def test_a_recycled_slot_is_not_a_negative_rate() -> None:
    """A slot whose counter fell was cleared; what it shows came since."""
    _, reading = follow(build_metrics("_W", counts=[50, 9]), build_metrics("_W", counts=[4, 9]))
    assert 4.0 == reading.rates.requests_per_second


def test_another_geometry_is_a_restart() -> None:
    """When ServerLimit or ThreadLimit changed, slots can't be matched, and counts start again."""
    _, reading = follow(build_metrics("_W", counts=9), build_metrics("_W", "__", counts=1))
    assert 4.0 == reading.rates.requests_per_second


def test_without_extended_status_nothing_is_zero() -> None:
    """Where Apache counts nothing, counts and rates are None, and worker states still count."""
    metrics = build_metrics("_W", started=0.0)
    _, reading = follow(metrics, metrics)
    rates = reading.rates
    assert 1 == rates.busy
    assert [None] * 6 == [
        rates.accesses, rates.bytes_served, rates.requests_total, rates.bytes_total,
        rates.requests_per_second, rates.bytes_per_second,
    ]  # fmt: skip
    assert reading.capacity.extended_status is False


def test_virtual_hosts_are_bounded() -> None:
    """The busiest virtual hosts are listed, at most VHOSTS_LISTED of them."""
    metrics = build_metrics("W" * 200)
    for index, worker in enumerate(metrics["processes"][0]["workers"]):
        worker["vhost"] = f"host{index % 100}"
    (reading,) = follow(metrics)
    assert VHOSTS_LISTED == len(reading.rates.vhosts)
    assert VhostRates("host0", 2, 0) == reading.rates.vhosts[0]


@pytest.mark.parametrize(
    ("letters", "kwargs", "slots", "serving", "threads"),
    [
        (("__W.", "...."), {"pids": [1, 0]}, 8, 3, 3),
        (("__W.", "_G.."), {"quiescing": (1,)}, 8, 3, 3),
        (("__", "_W"), {"generations": [1, 0], "running_generation": 1}, 4, 2, 2),
        (("S_", "I_"), {}, 4, 3, 2),
        (("..",), {"pids": [0]}, 2, 0, None),
    ],
    ids=["empty-slots", "quiescing", "old-generation", "starting", "nothing"],
)
def test_capacity_is_what_can_really_serve(
    letters: tuple[str, ...], kwargs: dict[str, Any], slots: int, serving: int, threads: int | None
) -> None:
    """The size of the scoreboard and the workers that can serve are told apart."""
    (reading,) = follow(build_metrics(*letters, **kwargs))
    capacity = reading.capacity
    assert (slots, serving, threads) == (
        capacity.slots, capacity.serving, capacity.threads_per_process,
    )  # fmt: skip
    assert capacity.max_request_workers is None
    assert serving == capacity.workers


def test_a_configured_limit_is_the_capacity() -> None:
    """MaxRequestWorkers, where it is configured, goes before what runs at the moment."""
    reading = read(
        parse(build_metrics("_W"), PLAIN), previous=None, elapsed=0.0, max_request_workers=150
    )
    assert 150 == reading.capacity.workers


@pytest.mark.parametrize("capture", CAPTURES)
def test_real_captures_give_sane_rates(capture: str) -> None:
    """On real data no count is negative, totals only grow, and sums hold at every step."""
    readings = follow(*load_capture(capture), elapsed=0.5)
    totals = [reading.rates.requests_total or 0 for reading in readings]
    assert sorted(totals) == totals
    assert totals[-1] > 0
    for reading in readings:
        assert 0 <= reading.rates.busy + reading.rates.idle <= reading.capacity.serving
        assert reading.capacity.slots == sum(reading.rates.states.values())


def test_a_real_graceful_restart_keeps_the_totals_growing() -> None:
    """Over the captured graceful restart the generation rises and no counter goes back."""
    for mpm in ("event", "worker", "prefork"):
        before = load_capture(f"mod_wsgi-6.1.1-{mpm}-1-before-graceful")
        after = load_capture(f"mod_wsgi-6.1.1-{mpm}-2-after-graceful")
        readings = follow(*before, *after, elapsed=0.5)
        totals = [reading.rates.requests_total or 0 for reading in readings]
        accesses = [reading.rates.accesses or 0 for reading in readings]
        assert sorted(totals) == totals
        assert sorted(accesses) == accesses


def test_held_websockets_are_counted_in_real_data() -> None:
    """The two WebSockets of the captured load are seen."""
    readings = follow(*load_capture("mod_wsgi-6.1.1-prefork-1-before-graceful"))
    assert 2 == readings[-1].rates.websockets


def test_websockets_of_other_libraries_are_counted() -> None:
    """At each moment there are as many as hold a worker, while they come and go."""
    simulator = Simulator(scenario="websocket-hogs", slots=64)
    boards = [simulator.server_metrics(at / 2) or {} for at in range(1, 400)]
    counts = [reading.rates.websockets for reading in follow(*boards, elapsed=0.5)]
    expected = [
        sum(
            worker["status"] == "W"
            and worker["request"].startswith(("GET /metrics/ws", "GET /chat/socket"))
            for process in board["processes"]
            for worker in process["workers"]
        )
        for board in boards
    ]
    assert expected == counts
    assert max(counts) > 20


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 50), min_size=4, max_size=4),
            st.sampled_from([1000.0, 1100.0, 1200.0]),
            st.sampled_from(["_WWG", "....", "_._W", "KKKK"]),
            st.integers(0, 2),
        ),
        min_size=2,
        max_size=12,
    ),
    st.floats(-1.0, 10.0),
)
def test_no_sequence_makes_a_count_go_backwards(
    steps: list[tuple[list[int], float, str, int]], elapsed: float
) -> None:
    """Whatever restarts, recycled slots and clock steps come, totals grow and rates are >= 0."""
    metrics = [
        build_metrics(letters, counts=counts, restart_time=restart, running_generation=generation)
        for counts, restart, letters, generation in steps
    ]
    last = 0
    for reading in follow(*metrics, elapsed=elapsed):
        assert reading.totals.requests >= last
        last = reading.totals.requests
        assert (reading.rates.requests_per_second or 0.0) >= 0.0
        assert (reading.rates.bytes_per_second or 0.0) >= 0.0


def served_between(before: Scoreboard | None, now: Scoreboard) -> tuple[int, int]:
    """Count, slot by slot, what was served from one scoreboard to the next."""
    slots = [worker for process in now.processes for worker in process.workers]
    old = [worker for process in before.processes for worker in process.workers] if before else []
    same = before is not None and [len(p.workers) for p in before.processes] == [
        len(p.workers) for p in now.processes
    ]
    if not same:
        return sum(w.access_count for w in slots), sum(w.bytes_served for w in slots)
    requests = sent = 0
    for was, is_now in zip(old, slots, strict=True):
        requests += is_now.access_count - (
            was.access_count if is_now.access_count >= was.access_count else 0
        )
        sent += is_now.bytes_served - (
            was.bytes_served if is_now.bytes_served >= was.bytes_served else 0
        )
    return requests, sent


@settings(deadline=None)
@given(histories())
def test_counting_what_changed_is_counting_all(history: list[Any]) -> None:
    """However a scoreboard came about, its figures are those that it has when it is read alone."""
    reader, previous = Reader(Redactor()), None
    for metrics in history:
        if metrics is None:
            continue
        scoreboard = reader.read(metrics)
        assert scoreboard == parse(metrics, Redactor())
        reading = read(scoreboard, previous=previous, elapsed=1.0)
        alone = read(parse(metrics, Redactor()), previous=None, elapsed=0.0)
        assert alone.capacity == reading.capacity
        assert alone.standing == reading.standing
        for name in (
            "busy",
            "idle",
            "graceful",
            "open",
            "states",
            "processes",
            "websockets",
            "accesses",
        ):
            assert getattr(alone.rates, name) == getattr(reading.rates, name)
        assert {(v.vhost, v.busy) for v in alone.rates.vhosts} == {
            (v.vhost, v.busy) for v in reading.rates.vhosts
        }
        if previous is not None and reading.capacity.extended_status:
            served = served_between(previous.scoreboard, scoreboard)
            assert served == (reading.rates.requests_per_second, reading.rates.bytes_per_second)
        previous = reading
