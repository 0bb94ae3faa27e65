from __future__ import annotations

import gzip
import importlib
import itertools
import json
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.simulator import MPMS, SCENARIOS, Simulator, fake_module

DATA = Path(__file__).parent / "data"
START = 1_700_000_000.0

Metrics = dict[str, Any]

any_mpm = st.sampled_from(MPMS)
any_scenario = st.sampled_from([name for name in SCENARIOS if name != "metrics-off"])


def read(simulator: Simulator, elapsed: float) -> Metrics:
    metrics = simulator.server_metrics(START + elapsed)
    assert metrics is not None
    return metrics


def play(seconds: int, **arguments: Any) -> Iterator[Metrics]:
    simulator = Simulator(start_at=START, **arguments)
    return (read(simulator, float(second)) for second in range(seconds))


def workers(metrics: Metrics) -> list[Metrics]:
    return [worker for process in metrics["processes"] for worker in process["workers"]]


def letters(metrics: Metrics) -> Counter[str]:
    return Counter(worker["status"] for worker in workers(metrics))


def shape(value: object) -> object:
    """Reduce a dict to its keys in order and their types; a list to that of its elements."""
    match value:
        case dict():
            return [(key, shape(item)) for key, item in value.items()]
        case list():
            (only,) = {repr(shape(item)) for item in value}
            return [only]
    return type(value).__name__


@pytest.mark.parametrize("mpm", MPMS)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "metrics-off"])
def test_shape_is_real(mpm: str, scenario: str) -> None:
    """Keys, their order and their types are those of dicts captured from a real Apache."""
    with gzip.open(DATA / f"mod_wsgi-6.1.1-{mpm}-2-after-graceful.jsonl.gz", "rt") as lines:
        captured = json.loads(next(lines))

    for metrics in play(50, mpm=mpm, scenario=scenario, slots=20):
        assert shape(captured) == shape(metrics)


@pytest.mark.parametrize("mpm", MPMS)
def test_habits_are_real(mpm: str) -> None:
    """What the captured slots have in common with each letter holds for the simulated ones, too."""

    def violations(metrics: Metrics) -> set[str]:
        found = set()
        for process in metrics["processes"]:
            for index, worker in enumerate(process["workers"]):
                number = process["process_num"] * metrics["thread_limit"] + index
                start, stop, used = (worker[k] for k in ("start_time", "stop_time", "last_used"))
                rules = {
                    "'W' has begun and not ended": worker["status"] != "W" or start > stop,
                    "'W' was used as it began": worker["status"] != "W" or used == start,
                    "'_' has ended": worker["status"] != "_" or start <= stop <= used,
                    "'K' was used as it ended": worker["status"] != "K" or start <= stop == used,
                    "an empty server slot is '.'": process["pid"] or worker["status"] == ".",
                    "thread_num is the place, or 0": worker["thread_num"]
                    in ({0, number} if worker["status"] in ".S" else {number}),
                    "prefork keeps generation 0": mpm != "prefork" or not worker["generation"],
                    "client fits": len(worker["client"]) <= 31,
                    "request fits": len(worker["request"]) <= 63,
                    "vhost fits": len(worker["vhost"]) <= 31,
                    "nothing is in the future": max(start, stop, used) <= metrics["current_time"],
                }
                found |= {rule for rule, kept in rules.items() if not kept}
        return found

    for name in DATA.glob(f"mod_wsgi-*-{mpm}-*.jsonl.gz"):
        with gzip.open(name, "rt") as lines:
            for line in lines:
                assert set() == violations(json.loads(line))
    for scenario in ("saturation", "graceful-restart", "hostile"):
        for metrics in play(100, mpm=mpm, scenario=scenario, slots=30):
            assert set() == violations(metrics)


@settings(max_examples=25, deadline=None)
@given(
    mpm=any_mpm,
    scenario=any_scenario,
    seed=st.integers(0, 5),
    polls=st.lists(st.floats(0.0, 99.0), max_size=30).map(sorted),
)
def test_polling_changes_nothing(mpm: str, scenario: str, seed: int, polls: list[float]) -> None:
    """The state at an instant doesn't depend on when it was asked before."""
    watched, unwatched = (
        Simulator(scenario=scenario, mpm=mpm, slots=30, seed=seed, start_at=START) for _ in "ab"
    )
    for elapsed in polls:
        read(watched, elapsed)

    assert read(unwatched, 99.0) == read(watched, 99.0)


def test_seeds_differ() -> None:
    """Another seed is another history."""
    (*_, one), (*_, other) = play(20, seed=1), play(20, seed=2)

    assert one != other


@settings(max_examples=25, deadline=None)
@given(
    mpm=any_mpm,
    scenario=any_scenario,
    gaps=st.lists(st.floats(0.0, 40.0) | st.just(7200.0), min_size=2, max_size=8),
)
def test_counters_never_fall(mpm: str, scenario: str, gaps: list[float]) -> None:
    """Counters and times of a slot, generation and uptime never go back, over restarts and gaps."""
    simulator = Simulator(scenario=scenario, mpm=mpm, slots=30, start_at=START)
    elapsed, before = 0.0, read(simulator, 0.0)
    for gap in gaps:
        elapsed += gap
        after = read(simulator, elapsed)
        for key in ("running_generation", "running_time", "current_time"):
            assert before[key] <= after[key]
        assert before["restart_time"] == after["restart_time"] == START
        for old, new in zip(workers(before), workers(after), strict=True):
            for key in ("access_count", "bytes_served", "start_time", "stop_time", "last_used"):
                assert old[key] <= new[key]
        before = after


@settings(max_examples=40, deadline=None)
@given(mpm=any_mpm, slots=st.integers(1, 300))
def test_every_slot_is_listed(mpm: str, slots: int) -> None:
    """server_limit x thread_limit slots are listed, `slots` of them alive, the rest '.'."""
    (*_, metrics) = play(3, mpm=mpm, slots=slots)
    listed = metrics["server_limit"] * metrics["thread_limit"]

    assert listed == len(workers(metrics))
    assert slots == listed - letters(metrics)["."]
    assert all(process["pid"] for process in metrics["processes"])


@pytest.mark.parametrize(
    ("slots", "mpm", "servers", "threads"),
    [
        (64, "event", 4, 16),
        (6400, "worker", 256, 25),
        (20, "event", 2, 10),
        (7, "event", 1, 7),
        (37, "event", 2, 25),
        (40, "prefork", 40, 1),
    ],
)
def test_slots_are_spread(slots: int, mpm: str, servers: int, threads: int) -> None:
    """Threads a process divide `slots` where they can, 25 at most; prefork has one each."""
    (metrics,) = play(1, slots=slots, mpm=mpm)

    assert (servers, threads) == (metrics["server_limit"], metrics["thread_limit"])


@pytest.mark.parametrize("mpm", MPMS)
def test_letters_by_mpm(mpm: str) -> None:
    """S and K are shown by worker and prefork alone; R, W, C, L and _ by every MPM."""
    simulator = Simulator(mpm=mpm, scenario="burst", start_at=START)
    seen = {letter for tick in range(400) for letter in letters(read(simulator, tick / 4))}

    assert set("_RWCL") | (set() if mpm == "event" else set("SK")) == seen


@pytest.mark.parametrize("mpm", MPMS)
@pytest.mark.parametrize(
    ("scenario", "low", "high"), [("calm", 0.10, 0.20), ("burst", 0.07, 0.90), ("hostile", 0.2, 0.6)]
)
def test_load(mpm: str, scenario: str, low: float, high: float) -> None:
    """Calm keeps 10 to 20 % of many slots busy; waves stay between their ends."""
    for metrics in list(play(150, mpm=mpm, scenario=scenario, slots=800))[30:]:
        assert low <= 1 - letters(metrics)["_"] / 800 <= high


def test_burst_comes_in_waves() -> None:
    """A burst climbs over 65 % and falls under 25 % in every minute."""
    busy = [1 - letters(m)["_"] / 400 for m in play(180, scenario="burst", slots=400)][60:]

    for minute in (busy[:60], busy[60:]):
        assert min(minute) < 0.25
        assert max(minute) > 0.65


def test_slow_endpoint() -> None:
    """Most busy workers sit on one URL, and the oldest of them for more than 30 seconds."""
    (*_, metrics) = play(90, scenario="slow-endpoint")
    busy = [worker for worker in workers(metrics) if worker["status"] == "W"]
    slow = [worker for worker in busy if worker["request"].startswith("GET /reports/export?")]

    assert len(slow) > len(busy) / 2
    assert max(metrics["current_time"] - worker["start_time"] for worker in slow) > 30.0


@pytest.mark.parametrize("mpm", MPMS)
def test_saturation(mpm: str) -> None:
    """Every slot is busy for 20 seconds and more, then most are free again, twice in three minutes."""
    idle = [letters(metrics)["_"] for metrics in play(180, mpm=mpm, scenario="saturation")]

    for cycle in (idle[:90], idle[90:]):
        assert cycle.count(0) >= 20
        assert [0] * 20 == cycle[35:55]
        assert max(cycle[60:]) > 40


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_graceful_restart(mpm: str) -> None:
    """Old processes drain as quiescing, their busy slots as G, beside new ones in other places."""
    before, *_, after = list(play(48, mpm=mpm, scenario="graceful-restart"))[44:]
    old = [process for process in after["processes"] if process["quiescing"]]
    new = [process for process in after["processes"] if process["pid"] and not process["quiescing"]]
    stayed = {process["process_num"]: process["pid"] for process in before["processes"]}

    assert (0, 1) == (before["running_generation"], after["running_generation"])
    assert old
    assert {0} == {process["generation"] for process in old}
    assert {"G", "."} == {worker["status"] for process in old for worker in process["workers"]}
    assert all(stayed[process["process_num"]] == process["pid"] for process in old)
    assert {1} == {process["generation"] for process in new}
    assert {0} == {stayed[process["process_num"]] for process in new}
    assert 64 == sum(len(process["workers"]) for process in new)
    assert before["restart_time"] == after["restart_time"]


def test_graceful_restart_on_prefork() -> None:
    """On prefork old processes show G, are never quiescing, and workers keep generation 0."""
    before, *_, after = list(play(48, mpm="prefork", scenario="graceful-restart"))[44:]
    old = [process for process in after["processes"] if process["pid"] and not process["generation"]]

    assert (0, 1) == (before["running_generation"], after["running_generation"])
    assert {"G"} == {process["workers"][0]["status"] for process in old}
    assert not any(process["quiescing"] for process in after["processes"])
    assert {0} == {worker["generation"] for worker in workers(after)}


@pytest.mark.parametrize("mpm", MPMS)
def test_graceful_restarts_go_on(mpm: str) -> None:
    """Every 45 seconds brings one more generation; the one before is gone by the next."""
    simulator = Simulator(mpm=mpm, scenario="graceful-restart", start_at=START)
    for restart in range(8):
        metrics = read(simulator, restart * 45.0 + 44.0)
        alive = {process["generation"] for process in metrics["processes"] if process["pid"]}
        assert restart == metrics["running_generation"]
        assert restart in alive
        assert alive <= {restart, restart - 1}


def test_draining_requests_count_when_they_end() -> None:
    """A request that ends in a draining process raises its slot's counters, which stay readable."""
    history = list(play(90, scenario="graceful-restart"))
    drained = [
        (slot, workers(history[47])[slot])
        for slot, worker in enumerate(workers(history[47]))
        if worker["status"] == "G" and workers(history[89])[slot]["status"] == "."
    ]

    assert drained
    for slot, then in drained:
        now = workers(history[89])[slot]
        assert then["access_count"] + 1 == now["access_count"]
        assert (then["request"], then["client"]) == (now["request"], now["client"])
        assert now["start_time"] < now["stop_time"]


def test_websockets_hold_workers() -> None:
    """A held WebSocket is a W whose times and counters stand still until it closes."""
    history = list(play(300, scenario="websocket-hogs"))
    sockets = [
        slot
        for slot, worker in enumerate(workers(history[40]))
        if worker["request"] == "GET /metrics/ws HTTP/1.1" and worker["status"] == "W"
    ]
    paths = {w["request"].split("?")[0] for w in workers(history[40]) if w["status"] == "W"}

    assert len(sockets) >= 5
    assert "GET /chat/socket" in paths
    for slot in sockets:
        held, later = workers(history[40])[slot], workers(history[299])[slot]
        assert held == later
        assert held["stop_time"] < held["start_time"]


def test_closed_websocket_counts() -> None:
    """A chat socket counts its request and its bytes when it closes, and not before."""
    closed = 0
    history = list(play(300, scenario="websocket-hogs"))
    for before, after in itertools.pairwise(history):
        for old, new in zip(workers(before), workers(after), strict=True):
            same = old["request"] == new["request"] and old["start_time"] == new["start_time"]
            if same and old["request"].startswith("GET /chat/socket") and old["status"] == "W":
                ended = new["status"] not in "WL"
                closed += ended
                assert ended == (new["access_count"] > old["access_count"])
                assert ended == (new["bytes_served"] > old["bytes_served"])

    assert closed


def test_metrics_off() -> None:
    """With server metrics off the answer is None, at every time."""
    simulator = Simulator(scenario="metrics-off", start_at=START)

    assert [None, None] == [simulator.server_metrics(START + tick) for tick in (0.0, 60.0)]


@pytest.mark.parametrize(
    ("key", "hostile"),
    [
        ("request", "GET /<script>alert(1)</script> HTTP/1.1"),
        ("request", "GET /a\x1b[31mred HTTP/1.1"),
        ("request", "GET /caf\xff\xe9?n=\xa0 HTTP/1.1"),
        ("request", "GET /login?token=secret&password=hunter2 HTTP/1.1"),
        ("request", "GET http://admin:hunter2@evil.example/abs HTTP/1.1"),
        ("request", 'FOO"bar /method HTTP/1.1'),
        ("request", "GET /" + "A" * 58),
        ("vhost", '"><svg onload=alert(1)>:443'),
        ("client", "<b>ptr</b>.evil.example"),
    ],
)
def test_hostile(key: str, hostile: str) -> None:
    """Hostile strings appear as Apache keeps them: raw, latin-1, cut to the field."""
    seen = {worker[key] for metrics in play(60, scenario="hostile") for worker in workers(metrics)}

    assert hostile in seen
    assert all(text.encode("latin-1").count(0) == 0 for text in seen)


def test_requests_are_varied() -> None:
    """Ordinary traffic has secrets in queries, several methods and vhosts, and cut IPv6 clients."""
    seen = [worker for metrics in play(120, scenario="burst") for worker in workers(metrics)]
    requests = {worker["request"] for worker in seen}

    assert {"GET", "POST", "HEAD"} == {request.split(" ")[0] for request in requests if request}
    assert all(any(key in r for r in requests) for key in ("token=", "session=", "api_key="))
    assert len({worker["vhost"] for worker in seen if worker["vhost"]}) >= 4
    assert 31 == max(len(worker["client"]) for worker in seen if ":" in worker["client"])
    assert any("." in worker["client"] for worker in seen)
    assert 63 == max(map(len, requests))


def test_durations_have_a_heavy_tail() -> None:
    """Most requests end within half a second, some take more than five."""
    spans = {
        (slot, worker["start_time"]): worker["stop_time"] - worker["start_time"]
        for metrics in play(200, slots=200)
        for slot, worker in enumerate(workers(metrics))
        if worker["status"] == "_" and worker["start_time"]
    }
    ordered = sorted(spans.values())

    assert ordered[len(ordered) // 2] < 0.5
    assert ordered[-len(ordered) // 200] > 5.0


def test_time_does_not_go_back() -> None:
    """An earlier `now` gives the present state; one before the start gives the start."""
    simulator = Simulator(start_at=START)
    assert START == read(simulator, -100.0)["current_time"]
    present = read(simulator, 30.0)

    assert present == read(simulator, 10.0) == read(simulator, 30.0)


def test_answers_are_fresh() -> None:
    """A caller may change what it got; the next answer doesn't show it."""
    simulator = Simulator(start_at=START)
    expected, spoiled = read(simulator, 5.0), read(simulator, 5.0)
    workers(spoiled)[0]["status"] = "?"
    spoiled["processes"].clear()

    assert expected == read(simulator, 5.0)


def test_a_long_gap_is_jumped() -> None:
    """After a night the clock, schedules and generation are right, and only some minutes counted."""
    simulator = Simulator(scenario="graceful-restart", start_at=START)
    night = 8 * 3600.0
    metrics = read(simulator, night)
    served = sum(worker["access_count"] for worker in workers(metrics))
    current = [p for p in metrics["processes"] if p["pid"] and p["generation"] == 640]

    assert int(night) == metrics["running_time"]
    assert 640 == metrics["running_generation"]
    assert 0 < served < 600 * 64
    assert 64 == sum(len(process["workers"]) for process in current)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scenario": "rush"}, r"unknown scenario 'rush'; there are: calm, burst, .*, hostile"),
        ({"mpm": "winnt"}, r"unknown mpm 'winnt'; there are: event, worker, prefork"),
        ({"slots": 0}, r"slots must be 1 to 20000, not 0: .*Apache"),
        ({"slots": 20_001}, r"slots must be 1 to 20000, not 20001: .*Apache"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    """A bad argument is refused with what is accepted."""
    with pytest.raises(ValueError, match=message):
        Simulator(**arguments)


@pytest.mark.parametrize("slots", [1, 20_000])
@pytest.mark.parametrize("mpm", MPMS)
def test_bounds_work(mpm: str, slots: int) -> None:
    """The smallest and the largest server run."""
    (*_, metrics) = play(2, mpm=mpm, slots=slots)

    assert slots == len(workers(metrics))


def test_scenarios() -> None:
    """Scenarios have their names, in the order of listing, and one sentence each."""
    names = "calm burst slow-endpoint saturation graceful-restart websocket-hogs metrics-off hostile"

    assert names.split() == list(SCENARIOS)
    assert all(text.endswith(".") and "\n" not in text for text in SCENARIOS.values())


def test_fake_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import mod_wsgi` finds what a service script finds in a threads=0 daemon."""
    instants = iter([START + 1.0, START + 2.0])
    clock: Callable[[], float] = lambda: next(instants)  # noqa: E731 - the type is the point
    module = fake_module(Simulator(start_at=START), clock)
    monkeypatch.setitem(sys.modules, "mod_wsgi", module)
    mod_wsgi = importlib.import_module("mod_wsgi")

    assert module is mod_wsgi
    assert isinstance(module, types.ModuleType)
    assert [1, 2] == [mod_wsgi.server_metrics()["running_time"] for _ in range(2)]
    assert ((6, 1, 1), "service:dashboard", "", 1, 0) == (
        mod_wsgi.version,
        mod_wsgi.process_group,
        mod_wsgi.application_group,
        mod_wsgi.maximum_processes,
        mod_wsgi.threads_per_process,
    )
    assert mod_wsgi.process_metrics() is None
    assert mod_wsgi.subscribe_shutdown(print) is None


def test_fake_module_with_metrics_off() -> None:
    """The fake module's server_metrics() is None, too, when metrics are off."""
    assert fake_module(Simulator(scenario="metrics-off")).server_metrics() is None
