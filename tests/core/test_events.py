"""Events: restarts, drains, processes that end, saturation, and the recording's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.errors import MetricsOff
from mod_wsgi_dashboard.core.events import LASTING, MOST_ENDS, Event, Watcher
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Process, Reader
from mod_wsgi_dashboard.simulator import MPMS, Simulator
from tests import boards
from tests.conftest import build_metrics, load_capture

AT = 1_700_000_000.0
AT_MS = 1_700_000_000_000
OFF = str(MetricsOff())

Tick = wire.Sample | wire.Failure


def make(
    *history: dict[str, Any] | None, at: Iterable[float] | None = None, limit: int | None = None
) -> list[Tick]:
    """Make ticks of what a source gave, one a second from AT on, or at so many seconds after it."""
    instants = iter(at or range(len(history)))
    reader, previous = Reader(Redactor()), None
    made: list[Tick] = []
    for tick, metrics in enumerate(history, start=1):
        now, viewers = AT + next(instants), wire.ViewerCount(0, 4)
        if metrics is None:
            made.append(wire.Failure(tick, now, 1.0, OFF, viewers, []))
            continue
        previous = rates.read(
            reader.read(metrics), previous=previous, elapsed=1.0, max_request_workers=limit
        )
        board, counted, capacity = previous.scoreboard, previous.rates, previous.capacity
        made.append(wire.Sample(tick, now, 1.0, board, counted, capacity, viewers, []))
    return made


def one(metrics: dict[str, Any], *, at: float = 0.0) -> wire.Sample:
    """Make a single sample."""
    (sample,) = make(metrics, at=[at])
    assert isinstance(sample, wire.Sample)
    return sample


def watch(ticks: Iterable[Tick], previous: wire.Sample | None = None) -> list[list[Event]]:
    """Return the events of each tick."""
    watcher = Watcher(previous, version="1.2")
    return [watcher.observe(tick) for tick in ticks]


def told(ticks: Iterable[Tick], previous: wire.Sample | None = None) -> list[Event]:
    """Return the events of all ticks, but those of the first."""
    return [event for events in watch(ticks, previous)[1:] for event in events]


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.kind for event in events]


STARTED = Event("dashboard-start", AT_MS, data={"gap": None, "version": "1.2"})


def test_the_first_tick_ever_tells_of_both_starts() -> None:
    """Without a recording, the dashboard starts with no gap, and Apache's start is known exactly."""
    (events,) = watch([one(build_metrics("_W", restart_time=AT - 1000.5))])
    apache = Event("apache-start", AT_MS - 1_000_500, data={"restart_time": AT - 1000.5})
    assert [STARTED, apache] == events


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, []),
        ({"pids": [201, 202]}, []),
        ({"restart_time": 1001.9}, []),
        ({"restart_time": 1600.0}, [Event("apache-start", 1_600_000, data={"restart_time": 1600.0})]),
        ({"restart_time": 400.0}, [Event("apache-start", 400_000, data={"restart_time": 400.0})]),
        (
            {"running_generation": 2, "generations": [2, 0], "pids": [9, 101], "quiescing": (1,)},
            [Event("graceful", AT_MS, data={"generation": 2, "before": 0, "draining": 1})],
        ),
        (
            {"restart_time": 1600.0, "running_generation": 1},
            [Event("apache-start", 1_600_000, data={"restart_time": 1600.0})],
        ),
    ],
    ids=["same", "other-processes", "rounded", "restart", "clock-set-back", "graceful", "full-restart"],
)
def test_an_earlier_run_is_compared_with(now: dict[str, Any], expected: list[Event]) -> None:
    """Over a gap, another Apache and another generation are told, and no single process."""
    previous = one(build_metrics("_W", "W_"), at=-7.25)
    (events,) = watch([one(build_metrics("_W", "W_", **now))], previous)
    assert [Event("dashboard-start", AT_MS, data={"gap": 7.25, "version": "1.2"}), *expected] == events


def test_a_gap_is_never_negative() -> None:
    """An earlier run that ends in the future (the clock was set back) leaves no gap, and no jump."""
    board = build_metrics("_W")
    (events,) = watch([one(board)], one(board, at=3600.0))
    assert [Event("dashboard-start", AT_MS, data={"gap": 0.0, "version": "1.2"})] == events


def test_a_run_that_begins_with_a_failure_compares_later() -> None:
    """The dashboard's start is told at once, that of Apache as soon as it can be read."""
    previous = one(build_metrics("_W"), at=-1.0)
    first, second = watch(make(None, build_metrics("_W", pids=[7], restart_time=1500.0)), previous)
    assert ["dashboard-start", "metrics-off"] == kinds(first)
    assert ["metrics-off", "apache-start"] == kinds(second)


def test_nothing_happens_while_nothing_changes() -> None:
    """Samples that say the same make no event, however many there are."""
    assert [] == told(make(*[build_metrics("_W", "GG", generations=[0, 1])] * 5))


OLD = build_metrics("W_W", "___", pids=[10, 11])


def drained(pid: int, since: float, until: float, **data: Any) -> Event:
    """Return the event of a process that drained, in seconds after AT."""
    known = {"pid": pid, "process_num": 0, "generation": 0, "seconds": until - since, "successor": None}
    found = {"slot": None, "request": None, "client": None}
    return Event(
        "drained",
        AT_MS + round(since * 1000),
        AT_MS + round(until * 1000),
        subject=str(pid),
        data={**known, **found, **data},
    )


def graceful(*letters: str, **kwargs: Any) -> dict[str, Any]:
    """Build a scoreboard of the running generation 1."""
    return build_metrics(*letters, running_generation=1, **kwargs)


def test_a_graceful_restart_and_its_drain() -> None:
    """The process that drains is told of when it is gone, with how long it took and what held it."""
    draining = graceful("G.G", "___", pids=[10, 21], generations=[0, 1], quiescing=(0,))
    _, stale, longest = draining["processes"][0]["workers"]
    stale.update(start_time=1970.0, stop_time=0.0)
    longest.update(start_time=1980.0, request="GET /export HTTP/1.1")
    empty = graceful("___", "___", pids=[10, 21], generations=[0, 1], quiescing=(0,))
    gone = graceful("___", "___", pids=[0, 21], generations=[0, 1])
    expected = [
        Event("graceful", AT_MS + 1000, data={"generation": 1, "before": 0, "draining": 1}),
        drained(10, 1, 4, slot=2, request="GET /export HTTP/1.1", client="192.0.2.7"),
    ]
    assert expected == told(make(OLD, draining, draining, empty, gone, gone))


def test_processes_that_a_graceful_restart_ends_at_once_are_no_events() -> None:
    """Who is gone with the very tick of a graceful restart is a part of it."""
    assert ["graceful"] == kinds(told(make(OLD, graceful("___", "___", pids=[20, 21]))))


def test_two_graceful_restarts_drain_at_once() -> None:
    """Each process drains from the restart that made it old, and none from the next one."""
    first = graceful("G_G", "__W", pids=[10, 21], generations=[0, 1])
    second = build_metrics("G_G", "__G", "___", pids=[10, 21, 32], generations=[0, 1, 2])
    second["running_generation"] = 2
    third = build_metrics("___", "__G", "___", pids=[33, 21, 32], generations=[2, 1, 2])
    third["running_generation"] = 2
    last = build_metrics("___", "___", "___", pids=[33, 34, 32], running_generation=2)
    expected = [
        Event("graceful", AT_MS + 1000, data={"generation": 1, "before": 0, "draining": 1}),
        Event("graceful", AT_MS + 2000, data={"generation": 2, "before": 1, "draining": 2}),
        drained(10, 1, 3, successor=33, slot=0, request="GET / HTTP/1.1", client="192.0.2.7"),
        drained(
            21, 2, 4, process_num=1, generation=1, successor=34,
            slot=2, request="GET / HTTP/1.1", client="192.0.2.7",
        ),
    ]  # fmt: skip
    assert expected == told(make(OLD, first, second, third, last))


@pytest.mark.parametrize(
    "kwargs", [{"started": 0.0}, {"request": "", "started": 0.0}], ids=["no-times", "nothing"]
)
def test_without_extended_status_nothing_is_known_of_what_held(kwargs: dict[str, Any]) -> None:
    """Where Apache keeps no requests, slot, request and client are null."""
    draining = graceful("GGG", pids=[10], generations=[0], **kwargs)
    ticks = make(build_metrics("WWW", pids=[10]), draining, graceful("___", pids=[0]))
    assert drained(10, 1, 2) == told(ticks)[-1]


@pytest.mark.parametrize(
    ("before", "since"),
    [
        (graceful("G", pids=[10], generations=[0]), -9),
        (build_metrics("W", pids=[10]), 0),
        (graceful("G", pids=[9], generations=[0]), 0),
        (graceful("G", pids=[10], generations=[0], restart_time=500.0), 0),
        (None, 0),
    ],
    ids=["drained", "not-old", "other-process", "other-apache", "nothing"],
)
def test_a_drain_that_an_earlier_run_saw_began_then(before: dict[str, Any] | None, since: int) -> None:
    """When the dashboard is restarted amid a drain, it counts from the last sample before."""
    ticks = make(graceful("G", pids=[10], generations=[0]), graceful("_", pids=[11]))
    held = {"slot": 0, "request": "GET / HTTP/1.1", "client": "192.0.2.7", "successor": 11}
    previous = None if before is None else one(before, at=-9.0)
    assert [drained(10, since, 1, **held)] == told(ticks, previous)


def test_a_drain_can_not_begin_after_it_was_seen() -> None:
    """What an earlier run saw in the future, before the clock was set back, counts from now."""
    draining = graceful("_", pids=[10], generations=[0])
    ticks = make(draining, graceful("_", pids=[11]))
    assert [drained(10, 0, 1, successor=11)] == told(ticks, one(draining, at=3600.0))


def test_a_process_that_is_not_old_after_all_ends_by_itself() -> None:
    """A place that is read while Apache writes to it, pid first, is no drain for that."""
    half = graceful("_", pids=[10], generations=[0])
    ticks = make(half, graceful("_", pids=[10]), graceful("_", pids=[11]))
    assert [process_end(10, 2, generation=1, successor=11)] == told(ticks)


def process_end(pid: int, at: float, **data: Any) -> Event:
    """Return the event of a process that ended by itself."""
    known = {"pid": pid, "process_num": 0, "generation": 0, "successor": None, "held": 0}
    return Event("process-end", AT_MS + round(at * 1000), subject=str(pid), data={**known, **data})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (("W_K",), {"pids": [0]}, {"held": 2}),
        (("RWG",), {"pids": [11]}, {"held": 3, "successor": 11}),
        (("_SI",), {"pids": [11]}, {"successor": 11}),
    ],
    ids=["gone", "replaced", "idle"],
)
def test_a_process_that_ends_is_told(
    before: tuple[str, ...], after: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A process that goes without a restart is told with what it held and who came after it."""
    ticks = make(build_metrics(*before, pids=[10]), build_metrics("___", **after))
    assert [process_end(10, 1, **expected)] == told(ticks)


def test_a_process_that_stops_by_itself_does_not_drain() -> None:
    """Quiescing in the running generation (MaxSpareThreads, MaxConnectionsPerChild) is no drain."""
    stopping = build_metrics("G_", pids=[10], quiescing=(0,))
    ticks = make(build_metrics("W_", pids=[10]), stopping, stopping, build_metrics("__", pids=[11]))
    assert [process_end(10, 3, held=1, successor=11)] == told(ticks)


def test_ends_are_bounded_and_the_gravest_are_kept() -> None:
    """Of many processes that end in a tick, those are told that held the most."""
    busy, idle = ["WW"] * (MOST_ENDS - 1), ["__"] * 30
    ticks = make(build_metrics(*idle, *busy), build_metrics(*["__"] * 49, pids=[0] * 49))
    assert [2] * (MOST_ENDS - 1) + [0] == [event.data["held"] for event in told(ticks)]


def test_drains_are_bounded_and_the_gravest_are_kept() -> None:
    """Of many drains that end in a tick, the longest are told, and those that a request held."""
    letters = ["_"] * 60
    letters[57:] = "GGG"
    first = graceful(*letters, generations=[0] * 60)
    gone = graceful(*["_"] * 60, pids=[0] * 60)
    events = told(make(build_metrics(*letters), first, gone))[1:]
    assert MOST_ENDS == len(events)
    assert ["157", "158", "159"] == [event.subject for event in events[:3]]


def test_a_full_restart_ends_processes_and_drains() -> None:
    """With another Apache, drains are over, and the rest went with the old one."""
    draining = graceful("G__", "W__", pids=[10, 11], generations=[0, 1])
    fresh = build_metrics("___", "___", pids=[30, 31], restart_time=1500.0)
    expected = [
        Event("apache-start", 1_500_000, data={"restart_time": 1500.0}),
        drained(10, 0, 2, successor=30, slot=0, request="GET / HTTP/1.1", client="192.0.2.7"),
    ]
    assert expected == told(make(draining, draining, fresh, fresh))


def test_another_size_of_the_scoreboard_is_no_trouble() -> None:
    """Another ServerLimit or ThreadLimit is followed: what has no place any more is gone."""
    small, large = build_metrics("W_", pids=[10]), build_metrics("____", "____", pids=[10, 11])
    assert [process_end(11, 2, process_num=1)] == told(make(small, large, small))


OLD_ONE = build_metrics("W", pids=[10])

BOARDS = {
    "F": build_metrics("WW"),
    "n": build_metrics("W_"),
    "L": build_metrics("WW", "WW"),
    "l": build_metrics("WW", "W_"),
    "x": None,
}


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("nFn", [(1, None, 2, 2)]),
        ("nFnnnnnn", [(1, None, 2, 2), (1, 1, 2, 2)]),
        ("nFFFnnnnnn", [(1, None, 2, 2), (1, 3, 2, 2)]),
        ("nFnnnnFnnnnnn", [(1, None, 2, 2), (1, 6, 2, 2)]),
        ("nFnnnnnnF", [(1, None, 2, 2), (1, 1, 2, 2), (8, None, 2, 2)]),
        ("nFnnnnnF", [(1, None, 2, 2), (1, 1, 2, 2), (7, None, 2, 2)]),
        ("lLl", [(1, None, 4, 4)]),
        ("nFxxxxxxF", [(1, None, 2, 2), (1, 1, 2, 2), (8, None, 2, 2)]),
        ("nnx", []),
    ],
    ids=["begins", "one-tick", "ends", "short-rest", "long-rest", "5-s-rest", "larger", "off", "never"],
)
def test_saturation(story: str, expected: list[tuple[int, int | None, int, int]]) -> None:
    """It begins with the first full tick, and ends with the last one before 5 s without."""
    found = [event for event in told(make(*map(BOARDS.get, story))) if event.kind == "saturation"]
    assert expected == [
        (
            (event.at_ms - AT_MS) // 1000,
            None if event.ended_ms is None else (event.ended_ms - AT_MS) // 1000,
            event.data["workers"],
            event.data["peak"],
        )
        for event in found
    ]


def test_a_pool_that_grows_while_full_is_one_saturation() -> None:
    """More workers, and more that are busy, change the event, and give it again."""
    grows = make(BOARDS["n"], BOARDS["F"], BOARDS["l"], BOARDS["L"], BOARDS["L"])
    data = [event.data for event in told(grows) if event.kind == "saturation"]
    assert [{"workers": 2, "peak": 2}, {"workers": 4, "peak": 4}] == data


def test_the_peak_is_the_most_of_all_ticks() -> None:
    """Fewer that are busy later don't lower it."""
    (event,) = told(make(build_metrics("__"), BOARDS["F"], BOARDS["n"], BOARDS["F"], limit=1))
    assert {"workers": 1, "peak": 2} == event.data


def test_the_configured_limit_is_what_can_be_full() -> None:
    """With MaxRequestWorkers known, all that run may be busy, and it is not full."""
    assert [] == told(make(BOARDS["n"], BOARDS["F"], limit=3))
    ((begun,),) = watch(make(BOARDS["n"], BOARDS["F"], limit=2))[1:]
    assert {"workers": 2, "peak": 2} == begun.data


def test_no_saturation_without_workers() -> None:
    """An Apache without a worker has none that is busy."""
    assert [] == told(make(*[build_metrics("..", pids=[0])] * 3))


def test_saturation_does_not_reach_over_what_nobody_saw() -> None:
    """Full before and after a long pause is full twice; polls a minute apart are no pause."""
    full = BOARDS["F"]
    paused = told(make(BOARDS["n"], full, full, at=[0, 1, 9001]))
    assert [(1000, None), (1000, 1000), (9_001_000, None)] == [
        (event.at_ms - AT_MS, event.ended_ms and event.ended_ms - AT_MS) for event in paused
    ]
    assert 1 == len(told(make(BOARDS["n"], full, full, full, at=[0, 60, 120, 180])))


def test_metrics_off_and_on_again() -> None:
    """It lasts from the first tick that failed to the first that didn't, and is told twice."""
    board = BOARDS["n"]
    off = Event("metrics-off", AT_MS + 1000, data={"error": OFF})
    ended = msgspec.structs.replace(off, ended_ms=AT_MS + 3000)
    assert [[off], [], [ended], []] == watch(make(board, None, None, board, board))[1:]


def test_another_error_is_another_event() -> None:
    """What the first error said until then stands."""
    first, second, third = make(BOARDS["n"], None, None)
    assert isinstance(third, wire.Failure)
    third = msgspec.structs.replace(third, error="Another sentence.")
    *_, ended, begun = told([first, second, third])
    assert (OFF, AT_MS + 1000, AT_MS + 2000) == (ended.data["error"], ended.at_ms, ended.ended_ms)
    assert Event("metrics-off", AT_MS + 2000, data={"error": "Another sentence."}) == begun


def test_what_happened_while_metrics_were_off_is_told_after() -> None:
    """Good samples are compared with the last good one."""
    ticks = make(
        build_metrics("W", pids=[10]), None, build_metrics("_", pids=[11]),
        None, graceful("_", pids=[12]),
    )  # fmt: skip
    expected = ["metrics-off", "metrics-off", "process-end", "metrics-off", "metrics-off", "graceful"]
    assert expected == kinds(told(ticks))


@pytest.mark.parametrize(("at", "seconds"), [(-99.0, -101.0), (1.0, -1.0)], ids=["back", "stands"])
def test_a_clock_that_was_set_back_is_told(at: float, seconds: float) -> None:
    """A tick that is not after the one before tells by how much the clock is behind."""
    events = told(make(*[BOARDS["n"]] * 3, at=[0, 1, at]))
    assert [Event("clock", AT_MS + round(at * 1000), data={"seconds": seconds})] == events


def test_what_lasts_ends_where_the_clock_was_set_back() -> None:
    """Saturation and failures end by the old clock, and begin again by the new one."""
    full = told(make(*[BOARDS["F"]] * 3, at=[0, 1, -500]))
    assert [("saturation", 1000), ("clock", None), ("saturation", None)] == [
        (event.kind, event.ended_ms and event.ended_ms - AT_MS) for event in full
    ]
    off = told(make(BOARDS["n"], None, None, BOARDS["n"], at=[0, 1, -500, -499]))
    assert [(1000, None), (1000, 1000), (-500_000, None), (-500_000, None), (-500_000, -499_000)] == [
        (event.at_ms - AT_MS, event.ended_ms and event.ended_ms - AT_MS) for event in off
    ]


def test_a_drain_keeps_its_seconds_when_the_clock_is_set_back() -> None:
    """How long a process drained is not changed by the clock."""
    draining, gone = graceful("G", pids=[10], generations=[0]), graceful("_", pids=[11])
    idle = build_metrics("_", pids=[10])
    events = told(make(idle, draining, draining, draining, gone, at=[0, 1, 2, -997, -996]))
    assert ["graceful", "clock", "drained"] == kinds(events)
    assert (3.0, -996) == (events[-1].data["seconds"], ((events[-1].ended_ms or 0) - AT_MS) // 1000)


def test_a_clock_that_was_set_forward_is_a_pause() -> None:
    """Samples can't tell the two apart; processes are followed over it."""
    ticks = make(OLD_ONE, OLD_ONE, build_metrics("_", pids=[11]), at=[0, 1, 5000])
    assert [process_end(10, 5000, held=1, successor=11)] == [
        event for event in told(ticks) if event.kind != "saturation"
    ]


@pytest.mark.parametrize("mpm", MPMS)
def test_a_real_graceful_restart(mpm: str) -> None:
    """Of the captured one the generation is told, with or without a run of its own, and nothing else."""
    before = load_capture(f"mod_wsgi-6.1.1-{mpm}-1-before-graceful")
    after = load_capture(f"mod_wsgi-6.1.1-{mpm}-2-after-graceful")
    ticks = make(*before, *after)
    behind = len(before)
    known = ticks[behind - 1]
    assert isinstance(known, wire.Sample)
    expected = Event(
        "graceful",
        AT_MS + behind * 1000,
        data={"generation": 1, "before": 0, "draining": 0},
    )
    assert [expected] == told(ticks)
    started, *others = [event for events in watch(ticks[behind:], known) for event in events]
    assert {"gap": 1.0, "version": "1.2"} == started.data
    assert [expected] == others


def test_a_real_process_that_came_is_no_event() -> None:
    """Of mod_wsgi 4.9.4's capture, where Apache starts a third process, nothing is told."""
    assert [] == told(make(*load_capture("mod_wsgi-4.9.4-event")))


@pytest.mark.parametrize("mpm", MPMS)
def test_drains_of_the_simulator_are_those_that_were_seen(mpm: str) -> None:
    """Each process that was ever seen to be old is told once it is gone, with the seconds seen."""
    # On prefork each slot is a process, and all that are idle end together.
    slots = MOST_ENDS if mpm == "prefork" else 48
    simulator = Simulator(scenario="graceful-restart", slots=slots, mpm=mpm, start_at=AT - 40.0)
    history = [simulator.server_metrics(AT + at) for at in range(130)]
    old: dict[int, int] = {}
    expected = []
    for at, board in enumerate(history):
        assert board is not None
        running = board["running_generation"]
        found = {
            process["pid"]
            for process in board["processes"]  # type: ignore[attr-defined]
            if process["pid"] and process["generation"] != running
        }
        expected += [(pid, float(at - old.pop(pid))) for pid in sorted(old.keys() - found)]
        old.update({pid: at for pid in sorted(found - old.keys())})
    events = told(make(*history))
    seen = [event.data for event in events if event.kind == "drained"]
    assert len(expected) > 3
    assert sorted(expected) == sorted((data["pid"], data["seconds"]) for data in seen)
    slow = [data for data in seen if data["seconds"] > 1.0]
    assert len(slow) > 3
    assert all(data["request"] and data["client"] and data["slot"] is not None for data in slow)
    assert 3 == kinds(events).count("graceful")
    assert "process-end" not in kinds(events)


def test_saturation_of_the_simulator_is_what_was_seen() -> None:
    """Each stretch of full ticks is told, from its first to its last."""
    simulator = Simulator(scenario="saturation", slots=32, start_at=AT - 10.0)
    ticks = make(*[simulator.server_metrics(AT + at) for at in range(200)], limit=32)
    full = [at for at, tick in enumerate(ticks) if isinstance(tick, wire.Sample) and is_full(tick)]
    stretches: list[list[int]] = []
    for at in full:
        if stretches and at - stretches[-1][1] <= 5:
            stretches[-1][1] = at
        else:
            stretches.append([at, at])
    events = [event for event in told(ticks) if event.kind == "saturation"]
    assert len(stretches) > 1
    assert stretches == [
        [(event.at_ms - AT_MS) // 1000, (event.ended_ms - AT_MS) // 1000]
        for event in events
        if event.ended_ms is not None
    ]
    assert {32} == {event.data["peak"] for event in events}


def is_full(sample: wire.Sample) -> bool:
    return sample.rates.busy >= sample.capacity.workers


class Untouched(list[Any]):
    """Workers that nobody may look at."""

    def __iter__(self) -> Any:
        raise AssertionError("workers were looked at")


def test_only_what_changed_is_looked_at() -> None:
    """Neither workers of a process that doesn't drain, nor those of one that is as it was, are read."""
    first = one(graceful("W_", "G_", generations=[1, 0]))
    running, draining = (
        Process(known.process_num, known.pid, known.generation, known.quiescing, Untouched())
        for known in first.snapshot.processes
    )
    watcher = Watcher(version="1.2")
    watcher.observe(first)

    def look(at: float, *processes: Process) -> list[Event]:
        board = msgspec.structs.replace(first.snapshot, processes=list(processes))
        return watcher.observe(msgspec.structs.replace(first, at=AT + at, snapshot=board))

    old = first.snapshot.processes[1]
    assert [] == look(1.0, running, old)
    with pytest.raises(AssertionError, match="looked at"):
        look(2.0, running, draining)


@st.composite
def stories(draw: st.DrawFn) -> list[Tick]:
    """Draw ticks: any change of the scoreboard, other Apaches, failures, pauses and set-back clocks."""
    history = draw(boards.histories())
    for board in history:
        if board is not None and draw(st.integers(0, 4)) == 0:
            board["restart_time"] += draw(st.sampled_from([1.0, 300.0, 1500.0]))
    at, ticks = AT, []
    steps = st.sampled_from([1.0, 1.0, 1.0, 2.5, 0.0, -0.4, 7.0, 500.0, -3.0, -10_000.0])
    for tick in boards.samples(history):
        at += draw(steps)
        ticks.append(msgspec.structs.replace(tick, at=at))
    return ticks


@st.composite
def runs(draw: st.DrawFn) -> tuple[wire.Sample | None, list[Tick]]:
    """Draw the ticks of a run, and what an earlier one has left."""
    earlier = [tick for tick in draw(stories()) if isinstance(tick, wire.Sample)]
    return draw(st.sampled_from([None, *earlier])), draw(stories())


@settings(deadline=None)
@given(runs())
def test_events_keep_their_promises(run: tuple[wire.Sample | None, list[Tick]]) -> None:
    """None ends before it begins or twice, what lasts ends before it comes again, all are JSON."""
    previous, ticks = run
    going: dict[tuple[str, str], Event] = {}
    for tick, events in zip(ticks, watch(ticks, previous), strict=True):
        for event in events:
            assert event == msgspec.json.decode(msgspec.json.encode(event), type=Event)
            assert event.ended_ms is None or event.at_ms <= event.ended_ms
            if event.kind not in LASTING:
                assert event.kind == "drained" or event.ended_ms is None
            elif event.ended_ms is not None:
                assert going.pop((event.kind, event.subject)).at_ms == event.at_ms
            else:
                name = event.kind, event.subject
                assert going.setdefault(name, event).at_ms == event.at_ms
        assert (("metrics-off", "") in going) == isinstance(tick, wire.Failure)
        assert all(kinds(events).count(kind) <= MOST_ENDS for kind in ("drained", "process-end"))


@settings(deadline=None)
@given(runs())
def test_the_same_sample_again_tells_nothing(run: tuple[wire.Sample | None, list[Tick]]) -> None:
    """A second later, an unchanged scoreboard makes no event."""
    previous, ticks = run
    watcher = Watcher(previous, version="1.2")
    for tick in ticks:
        watcher.observe(tick)
        assert [] == watcher.observe(msgspec.structs.replace(tick, at=tick.at + 0.1))


@settings(deadline=None)
@given(runs())
def test_identity_only_saves_work(run: tuple[wire.Sample | None, list[Tick]]) -> None:
    """Samples that share nothing, as those that were recorded, tell the same events."""
    previous, ticks = run
    copies = [msgspec.json.decode(msgspec.json.encode(tick), type=type(tick)) for tick in ticks]
    assert watch(copies, previous) == watch(ticks, previous)


@settings(deadline=None)
@given(stories())
def test_strings_are_those_of_the_samples(ticks: list[Tick]) -> None:
    """A request or a client in an event was in a sample, where it was redacted before."""
    strings: set[str | None] = {None}
    for tick in ticks:
        if isinstance(tick, wire.Sample):
            for process in tick.snapshot.processes:
                strings |= {worker.request for worker in process.workers}
                strings |= {worker.client for worker in process.workers}
    data = [event.data for events in watch(ticks) for event in events if event.kind == "drained"]
    assert {text for each in data for text in (each["request"], each["client"])} <= strings


def test_secrets_do_not_reach_an_event() -> None:
    """The request of a drain is the redacted one."""
    draining = graceful("G", pids=[10], generations=[0], request="GET /a?token=hush HTTP/1.1")
    *_, event = told(make(OLD_ONE, draining, graceful("_", pids=[11])))
    assert "drained" == event.kind
    assert event.data["request"].startswith("GET /a?")
    assert "hush" not in event.data["request"]


FULL = Alert("full", "busy", "critical", AT - 2.0, 0.9, 0.9)
HELD = Alert("held", "stuck", "warning", AT, 60.0, 1.0, "GET /a/*", 1)


def alerted(*each: list[Alert] | None, at: Iterable[float] | None = None) -> list[Tick]:
    """Make ticks with these alerts, None for a failure with none."""
    ticks = make(*(None if alerts is None else build_metrics("_W") for alerts in each), at=at)
    return [
        msgspec.structs.replace(tick, alerts=alerts or [])
        for tick, alerts in zip(ticks, each, strict=True)
    ]


def event(alert: Alert, ended: float | None = None, **changed: Any) -> Event:
    """Return the event of an alert that ended so many seconds after `AT`."""
    data = msgspec.structs.asdict(alert) | changed
    at_ms = int(1000 * data.pop("since"))
    subject = f"{alert.rule} {alert.path}" if alert.path else alert.rule
    return Event("alert", at_ms, None if ended is None else AT_MS + int(1000 * ended), subject, data)


def alert_events(ticks: Iterable[Tick]) -> list[list[Event]]:
    return [[each for each in events if each.kind == "alert"] for events in watch(ticks)]


def test_an_alert_lasts_from_its_condition_on() -> None:
    """It begins when its condition did, is told once while it stays the same, and ends when it goes."""
    ticks = alerted([], [FULL], [FULL], [FULL, HELD], None, [])
    expected = [[], [event(FULL)], [], [event(HELD)], [event(FULL, 4.0), event(HELD, 4.0)], []]
    assert expected == alert_events(ticks)


def test_an_alert_that_grows_is_told_now_and_then() -> None:
    """A peak that grew by a tenth and a count that rose are told; the end tells the most of both."""
    grown = [
        msgspec.structs.replace(HELD, peak=60.0 + number, count=count)
        for number, count in enumerate([1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 0])
    ]
    told = alert_events(alerted(*([each] for each in grown), []))
    assert [0, 2, 9, 11] == [number for number, events in enumerate(told) if events]
    assert [event(HELD, peak=62.0, count=2)] == told[2]
    assert [event(HELD, 11.0, peak=70.0, count=2)] == told[-1]


def test_alerts_of_one_rule_are_told_apart_by_path() -> None:
    """One may end while the other goes on."""
    other = msgspec.structs.replace(HELD, path="GET /b")
    told = alert_events(alerted([HELD, other], [other], []))
    assert [[event(HELD), event(other)], [event(HELD, 1.0)], [event(other, 2.0)]] == told


def test_an_alert_that_began_anew_is_another() -> None:
    """If it began later than it did a tick before, the one before ended with that tick."""
    again = msgspec.structs.replace(FULL, since=AT + 1.5)
    assert [[event(FULL)], [], [event(FULL, 1.0), event(again)]] == alert_events(
        alerted([FULL], [FULL], [again])
    )


def test_an_alert_ends_by_the_clock_that_it_began_by() -> None:
    """When the clock is set back an alert ends with the tick before, and begins again by the new one."""
    earlier = msgspec.structs.replace(FULL, since=AT - 3602.0)
    told = alert_events(alerted([FULL], [FULL], [earlier], [], at=[0.0, 1.0, -3598.0, -3597.0]))
    assert [[event(FULL)], [], [event(FULL, 1.0), event(earlier)], [event(earlier, -3597.0)]] == told
