"""A fake Apache scoreboard, for demonstrations, tests and benchmarks.

Owns a small model of Apache's children and of the traffic on them, and the scenarios that it plays.
What it returns has the keys, types, order and habits of `mod_wsgi.server_metrics()` (mod_wsgi 4.9.4
to 6.1.1, Apache 2.4). It must not know who reads it: no I/O and no clock. Time is an
argument.

Invariants:

- Scenario, slots, mpm, seed and start_at decide every answer. The model moves in fixed steps that
  are counted from `start_at`, so how often it was asked in between changes nothing, as long as no
  two questions are further apart than what is simulated in one go (`_catch_up_steps`).
- `access_count` and `bytes_served` of a slot never fall: as under `apachectl graceful`, they
  outlive the process. A full restart is a new `Simulator`.
- Every answer is a fresh dict: the caller may keep or change it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from types import MappingProxyType, ModuleType
from typing import TypedDict

from mod_wsgi_dashboard.traffic import LONG_REPLIES, SLOW_REPLIES, SOCKETS, Endpoint, Traffic, Visit

MPMS = ("event", "worker", "prefork")

MAX_SLOTS = 20_000  # Apache's own hard ceiling of ServerLimit and ThreadLimit for event and worker
STEP_S = 0.1

# A request costs some 6 us (measured on CPython 3.11); above this rate requests get longer, not more.
_MAX_REQUESTS_PER_S = 1500
# A full server answers slower, which also bounds the work of refilling its slots.
_FULL_SLOWDOWN = 4.0
# Least time from a slot's last stop to its next start: equal instants would read as "ended", and
# epoch seconds in a float keep 0.24 us.
_GAP_S = 2e-6
# Shares of requests that pass through R, L, C, or K; K's mean and KeepAliveTimeout; reuse after K.
_READING, _LOGGING, _CLOSING, _KEEP_ALIVE = 0.04, 0.03, 0.05, 0.5
_KEEP_ALIVE_MEAN_S, _KEEP_ALIVE_TIMEOUT_S, _REUSE = 1.0, 5.0, 0.4


@dataclass(frozen=True, slots=True)
class _Scenario:
    sentence: str
    # Seconds since start -> share of slots: busy with ordinary requests (1.0: none stays idle),
    load: Callable[[float], float]
    # ... and kept by one of `holders`.
    held: Callable[[float], float] = lambda elapsed: 0.0
    holders: tuple[Endpoint, ...] = ()
    graceful_every_s: float = math.inf
    hostile: float = 0.0  # share of the requests
    metrics: bool = True


def _wave(elapsed: float) -> float:
    return 0.1 + 0.7 * math.sin(math.pi * elapsed / 60.0) ** 2


def _fill_and_recover(elapsed: float) -> float:
    """Return a load that climbs for 30 s, stays at the top for 30 s and is low for 30 s."""
    phase = elapsed % 90.0
    return 0.1 + 0.8 * phase / 30.0 if phase < 30.0 else 1.0 if phase < 60.0 else 0.12


def _level(share: float, *, within_s: float = 0.0) -> Callable[[float], float]:
    return lambda elapsed: share * min(1.0, elapsed / within_s) if within_s else share


_SCENARIOS = {
    "calm": _Scenario("Low load: some 15 % of the slots are busy.", _level(0.14)),
    "burst": _Scenario("Traffic in waves of a minute, up to some 80 % busy.", _wave),
    "slow-endpoint": _Scenario(
        "One URL takes half a minute and more, and collects the busy workers.",
        _level(0.08),
        _level(0.4, within_s=20.0),
        SLOW_REPLIES,
    ),
    "saturation": _Scenario(
        "Fills up until no worker is free, stays full for half a minute, recovers, and again.",
        _fill_and_recover,
    ),
    "graceful-restart": _Scenario(
        "A graceful restart every 45 s: old processes drain long requests beside the new ones.",
        _level(0.12),
        _level(0.12, within_s=10.0),
        LONG_REPLIES,
        graceful_every_s=45.0,
    ),
    "websocket-hogs": _Scenario(
        "Half of the workers are held by WebSockets, which end late or never.",
        _level(0.1),
        _level(0.5, within_s=20.0),
        SOCKETS,
    ),
    "metrics-off": _Scenario(
        "Server metrics are off: the scoreboard can't be read.", _level(0.0), metrics=False
    ),
    "hostile": _Scenario(
        "Clients send markup, control bytes, secrets and cut lines.", _level(0.25), hostile=0.6
    ),
}

SCENARIOS: Mapping[str, str] = MappingProxyType(
    {name: scenario.sentence for name, scenario in _SCENARIOS.items()}
)


class _Worker(TypedDict):
    thread_num: int
    generation: int
    status: str
    access_count: int
    bytes_served: int
    start_time: float
    stop_time: float
    last_used: float
    client: str
    request: str
    vhost: str


@dataclass(slots=True, eq=False)
class _Process:
    process_num: int
    slots: list[_Slot] = field(default_factory=list)
    pid: int = 0
    generation: int = 0
    threads: int = 0
    draining: bool = False
    busy: int = 0


@dataclass(slots=True, eq=False)
class _Slot:
    process: _Process
    index: int
    worker: _Worker
    stage: str = "."  # the letter; while the process drains, the scoreboard shows G instead
    turn: int = 0  # counts the stages: an appointment of an earlier turn is void
    visit: Visit | None = None


class Simulator:
    """Play one scenario on a fake scoreboard.

    `slots` is what Apache calls MaxRequestWorkers, 1 to 20000. Event and worker spread it over
    processes of at most 25 threads; the surplus slots of a last one that isn't full stay '.'. The
    graceful-restart scenario has twice the server slots, for old and new processes together.
    `start_at` is when Apache started, in epoch seconds: now gives a cold server, some minutes ago
    one that is warm at the first question.

    Raises ValueError, with what is accepted, for an unknown scenario or mpm or a bad slots.
    """

    def __init__(
        self,
        *,
        scenario: str = "calm",
        slots: int = 64,
        mpm: str = "event",
        seed: int = 1,
        start_at: float = 0.0,
    ) -> None:
        _check(scenario, slots, mpm)
        self._scenario = _SCENARIOS[scenario]
        self._start_at = self._current_at = start_at
        self._rng = Random(seed)
        self._traffic = Traffic(self._rng, self._scenario.hostile)
        self._mpm = mpm
        self._wanted = slots
        self._thread_limit = 1 if mpm == "prefork" else _threads_per_process(slots)
        spare = 2 if self._scenario.graceful_every_s < math.inf else 1
        self._processes = [
            _empty_process(number, self._thread_limit)
            for number in range(spare * math.ceil(slots / self._thread_limit))
        ]
        self._idle: list[_Slot] = []
        self._leaving: list[_Process] = []
        self._appointments: list[tuple[float, int, int, _Slot]] = []  # when, tie-break, turn, who
        self._count = 0
        self._held = 0
        self._threads = 0  # of the current generation
        self._generation = 0
        self._last_pid = 1000 + self._rng.randrange(20_000)
        self._step = 0
        self._next_arrival = 0.0
        self._slowdown = 1.0
        self._start_processes(0.0)

    def server_metrics(self, now: float) -> dict[str, object] | None:
        """Return the scoreboard at `now`, in epoch seconds, in `mod_wsgi.server_metrics()`'s form.

        An earlier `now` than the last one gives the present state again. After a long gap only its
        last minutes are simulated (10 for up to 500 slots, at least one); the requests of the
        time before are missing in the counters, while schedules (waves, restarts) go on unbroken.
        """
        if not self._scenario.metrics:
            return None
        self._current_at = max(self._current_at, now)
        self._advance(int((self._current_at - self._start_at) / STEP_S + 1e-6))
        return {
            "server_limit": len(self._processes),
            "thread_limit": self._thread_limit,
            "running_generation": self._generation,
            "restart_time": self._start_at,
            "current_time": self._current_at,
            "running_time": int(self._current_at - self._start_at),
            "processes": [self._show(process) for process in self._processes],
        }

    def _show(self, process: _Process) -> dict[str, object]:
        return {
            "process_num": process.process_num,
            "pid": process.pid,
            "generation": process.generation,
            "quiescing": process.draining and self._mpm != "prefork",
            "workers": [slot.worker.copy() for slot in process.slots],
        }

    def _advance(self, target: int) -> None:
        first = max(self._step, target - _catch_up_steps(self._wanted))
        if first > self._step:
            self._next_arrival = first * STEP_S
        for step in range(first + 1, target + 1):
            self._run_step(step * STEP_S)
        self._step = max(self._step, target)

    def _run_step(self, end: float) -> None:
        for process in self._leaving:
            process.pid, process.draining = 0, False
        self._leaving.clear()
        restarts = int(end / self._scenario.graceful_every_s + 1e-6)
        if restarts > self._generation:
            self._generation = restarts
            self._restart_gracefully(end - STEP_S)
        if self._threads < self._wanted:
            self._start_processes(end - STEP_S)
        self._serve(end)

    def _serve(self, end: float) -> None:
        """Let requests come and go up to `end`, in the order of their instants."""
        load = self._scenario.load(end)
        full = load >= 1.0
        rate = load * self._wanted / self._mean_stay_s()
        self._slowdown = max(_FULL_SLOWDOWN if full else 1.0, rate / _MAX_REQUESTS_PER_S)
        for at in self._arrivals(end, 0.0 if full else rate / self._slowdown):
            self._keep_appointments(at - _GAP_S)
            if self._idle:  # else it waits in the listen queue, which the scoreboard doesn't show
                self._accept(at)
        self._keep_appointments(end - _GAP_S)
        while full and self._idle:
            self._reply(self._take_idle(), end, self._traffic.draw(self._slowdown))
        while self._idle and self._held < int(self._scenario.held(end) * self._wanted):
            self._held += 1
            self._reply(self._take_idle(), end, self._traffic.draw_held(self._scenario.holders))

    def _arrivals(self, end: float, rate: float) -> Iterator[float]:
        if rate <= 0.0:
            self._next_arrival = end
            return
        while self._next_arrival <= end:
            yield self._next_arrival
            self._next_arrival += self._rng.expovariate(rate)

    def _mean_stay_s(self) -> float:
        """Return how long one connection keeps a slot, by Little's law the bridge to the load."""
        if self._mpm == "event":
            return self._traffic.mean_s
        one = self._traffic.mean_s + _KEEP_ALIVE * _KEEP_ALIVE_MEAN_S
        return one / (1.0 - _KEEP_ALIVE * _REUSE)

    def _take_idle(self) -> _Slot:
        idle = self._idle
        at = int(self._rng.random() * len(idle))
        idle[at], idle[-1] = idle[-1], idle[at]
        slot = idle.pop()
        slot.process.busy += 1
        return slot

    def _accept(self, at: float) -> None:
        visit = self._traffic.draw(self._slowdown)
        slot = self._take_idle()
        if self._rng.random() >= _READING:
            self._reply(slot, at, visit)
            return
        slot.visit = visit
        slot.worker["client"] = visit.client
        slot.worker["request"] = ""
        self._enter(slot, "R", at, self._rng.uniform(0.05, 0.6))

    def _reply(self, slot: _Slot, at: float, visit: Visit) -> None:
        worker = slot.worker
        slot.visit = visit
        worker["start_time"] = worker["last_used"] = self._start_at + at
        worker["client"] = visit.client
        worker["request"] = visit.request
        worker["vhost"] = visit.vhost
        self._enter(slot, "W", at, visit.duration_s)

    def _enter(self, slot: _Slot, stage: str, at: float, seconds: float) -> None:
        slot.stage = stage
        slot.turn += 1
        slot.worker["status"] = "G" if slot.process.draining else stage
        if seconds < math.inf:
            self._count += 1
            heappush(self._appointments, (at + seconds, self._count, slot.turn, slot))

    def _keep_appointments(self, until: float) -> None:
        appointments = self._appointments
        while appointments and appointments[0][0] <= until:
            at, _, turn, slot = heappop(appointments)
            if turn == slot.turn:
                self._leave_stage(slot, at)

    def _leave_stage(self, slot: _Slot, at: float) -> None:
        visit = slot.visit
        if slot.stage == "R" and visit:
            self._reply(slot, at, visit)
        elif slot.stage == "W" and self._rng.random() < _LOGGING:
            self._enter(slot, "L", at, self._rng.uniform(0.01, 0.3))
        elif slot.stage in "WL" and visit:
            self._finish(slot, at, visit)
        elif slot.stage == "K" and visit and self._rng.random() < _REUSE:
            self._reply(slot, at, self._traffic.draw(self._slowdown, visit.client))
        elif slot.stage == "S":
            self._settle(slot, at)
        else:
            self._rest(slot, at)

    def _finish(self, slot: _Slot, at: float, visit: Visit) -> None:
        worker = slot.worker
        worker["access_count"] += 1
        worker["bytes_served"] += visit.size_bytes
        worker["stop_time"] = worker["last_used"] = max(self._start_at + at, worker["start_time"])
        self._held -= visit.held
        chance = self._rng.random()
        if slot.process.draining:
            self._rest(slot, at)
        elif chance < _CLOSING:
            self._enter(slot, "C", at, self._rng.uniform(0.05, 0.5))
        elif self._mpm != "event" and chance < _CLOSING + _KEEP_ALIVE:
            wait = self._rng.expovariate(1.0 / _KEEP_ALIVE_MEAN_S) + _GAP_S
            self._enter(slot, "K", at, min(wait, _KEEP_ALIVE_TIMEOUT_S))
        else:
            self._rest(slot, at)

    def _rest(self, slot: _Slot, at: float) -> None:
        """Leave the slot idle, or dead when its process drains; the process ends with its last."""
        process = slot.process
        process.busy -= 1
        slot.turn += 1
        slot.visit = None
        slot.stage = slot.worker["status"] = "." if process.draining else "_"
        slot.worker["last_used"] = max(self._start_at + at, slot.worker["stop_time"])
        if not process.draining:
            self._idle.append(slot)
        elif not process.busy:
            self._leaving.append(process)

    def _start_processes(self, at: float) -> None:
        """Start what is missing in free server slots; with none free, wait, as Apache does."""
        for process in self._processes:
            missing = self._wanted - self._threads
            if not missing:
                return
            if not process.pid:
                process.threads = min(self._thread_limit, missing)
                self._threads += process.threads
                self._start(process, at)

    def _start(self, process: _Process, at: float) -> None:
        self._last_pid += self._rng.randrange(1, 4)
        if self._last_pid >= 4_194_304:  # where pids of 64-bit Linux wrap
            self._last_pid = 1000
        process.pid, process.generation = self._last_pid, self._generation
        for slot in process.slots[: process.threads]:
            if self._mpm != "prefork":
                slot.worker["generation"] = self._generation
            process.busy += 1
            if self._mpm == "event":
                self._settle(slot, at)
            else:
                self._enter(slot, "S", at, self._rng.uniform(0.05, 0.5))

    def _settle(self, slot: _Slot, at: float) -> None:
        """Let a thread that has started wait for its first connection."""
        slot.worker["thread_num"] = slot.process.process_num * self._thread_limit + slot.index
        self._rest(slot, at)

    def _restart_gracefully(self, at: float) -> None:
        """Let the processes of the last generation drain: who has nothing to do leaves at once."""
        self._idle.clear()
        self._threads = 0
        for process in self._processes:
            if not process.pid or process.draining:
                continue
            process.draining = True
            live = process.slots[: process.threads]
            process.busy = len(live)
            for slot in live:
                if slot.stage in "_SK":
                    self._rest(slot, at)
                else:
                    slot.worker["status"] = "G"


def fake_module(simulator: Simulator, clock: Callable[[], float] = time.time) -> ModuleType:
    """Return a stand-in for the `mod_wsgi` module that a threads=0 daemon of 6.1.1 imports.

    Its `server_metrics()` asks `simulator` at `clock()`. The caller puts it into `sys.modules`.
    """

    def server_metrics() -> dict[str, object] | None:
        return simulator.server_metrics(clock())

    def subscribe(callback: Callable[..., object]) -> None:
        """Take `callback` and never call it, as mod_wsgi does in a daemon without threads."""

    module = ModuleType("mod_wsgi")
    module.__dict__.update(
        version=(6, 1, 1),
        process_group="service:dashboard",
        application_group="",
        maximum_processes=1,
        threads_per_process=0,
        server_metrics=server_metrics,
        process_metrics=lambda: None,
        subscribe_events=subscribe,
        subscribe_shutdown=subscribe,
    )
    return module


def _check(scenario: str, slots: int, mpm: str) -> None:
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; there are: {', '.join(SCENARIOS)}")
    if mpm not in MPMS:
        raise ValueError(f"unknown mpm {mpm!r}; there are: {', '.join(MPMS)}")
    if not 1 <= slots <= MAX_SLOTS:
        raise ValueError(
            f"slots must be 1 to {MAX_SLOTS}, not {slots}: more than Apache's own limits allow"
        )


def _threads_per_process(slots: int) -> int:
    """Return the largest ThreadsPerChild, 25 (Apache's default) at most, that divides `slots`.

    At least two processes, where that leaves them 8 threads or more; else 25 with a surplus.
    """
    for threads in range(25, 7, -1):
        if slots % threads == 0 and slots > threads:
            return threads
    return min(25, slots)


def _catch_up_steps(slots: int) -> int:
    """Return how many steps are simulated at most in one go.

    10 minutes for up to 500 slots, less for more, never under a minute, the longest polling
    interval: waking up after hours costs 0.1 s for 64 slots and under a second for any number.
    """
    return int(max(60.0, min(600.0, 300_000 / slots)) / STEP_S)


def _empty_process(process_num: int, threads: int) -> _Process:
    process = _Process(process_num)
    for index in range(threads):
        worker = _Worker(
            thread_num=0,
            generation=0,
            status=".",
            access_count=0,
            bytes_served=0,
            start_time=0.0,
            stop_time=0.0,
            last_used=0.0,
            client="",
            request="",
            vhost="",
        )
        process.slots.append(_Slot(process, index, worker))
    return process
