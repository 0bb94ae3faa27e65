"""The metrics that there are, and their values from a sample: what `/metrics` exposes.

Owns every metric's name, type, labels and help, and the counting by virtual host. It must not know
prometheus_client or HTTP.

Invariants: an `apache_*` metric has the name, the labels and the value that apache_exporter gives it
from mod_status; what the scoreboard does not hold is left out, never 0; no word of a client is ever a
label; the number of series is bounded, whatever Apache serves.

apache_exporter: https://github.com/Lusitaniae/apache_exporter
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from operator import attrgetter

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.rates import VHOSTS_LISTED
from mod_wsgi_dashboard.core.requests import SLOW_SECONDS
from mod_wsgi_dashboard.core.scoreboard import Process, Status

# Prefork has a process a worker, 200,000 at most: those beyond these are summed up.
MOST_PROCESSES = 1000

# Virtual hosts whose requests are counted to find the busiest; Apache's own names, so they don't churn.
MOST_VHOSTS = 1000

# Ticks after which the busiest virtual hosts are chosen again, and by what factor one must be busier
# than another to take its place: series that come and go are dear, and of no use.
REVIEW_TICKS, BUSIER = 600, 2

OTHER = "other"

# What apache_exporter calls the states.
STATES: dict[Status, str] = {
    "_": "idle",
    "S": "startup",
    "R": "read",
    "W": "reply",
    "K": "keepalive",
    "D": "dns",
    "C": "closing",
    "L": "logging",
    "G": "graceful_stop",
    "I": "idle_cleanup",
    ".": "open_slot",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Family:
    """A metric: its name, its type, its labels, and what it says."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    setting: str = ""


def _family(kind: str) -> Callable[..., Family]:
    def make(name: str, help: str, *labels: str, setting: str = "") -> Family:
        return Family(name, kind, help, labels, setting)

    return make


_gauge, _counter = _family("gauge"), _family("counter")

# In the order in which they are exposed.
FAMILIES = {
    family.name: family
    for family in (
        _gauge("apache_up", "Whether Apache's scoreboard could be read at the last tick."),
        _counter("apache_accesses_total", "Requests since Apache's start."),
        _counter("apache_sent_kilobytes_total", "Units of 1024 bytes sent since Apache's start."),
        _counter("apache_uptime_seconds_total", "Seconds since Apache's start."),
        _gauge("apache_workers", "Workers that are busy, and that wait for requests.", "state"),
        _gauge("apache_scoreboard", "Slots of the scoreboard in each state.", "state"),
        _gauge(
            "apache_generation", "Restarts of Apache since its start, graceful ones included.", "type"
        ),
        _gauge("apache_processes", "Processes of Apache, and those of them that stop.", "state"),
        _gauge("apache_load", "Load average of the machine.", "interval"),
        _gauge("apache_version", "Version of Apache: 2.4.62 is 2.04062."),
        _gauge("apache_info", "Apache's description of itself, and its MPM.", "version", "mpm"),
        _gauge("modwsgi_dashboard_info", "Version of mod_wsgi-dashboard.", "version"),
        _gauge("modwsgi_dashboard_start_time_seconds", "When the dashboard started, in epoch seconds."),
        _counter("process_cpu_seconds_total", "CPU time that the dashboard's process took."),
        _counter("modwsgi_ticks_total", "Polls of the scoreboard."),
        _counter("modwsgi_tick_failures_total", "Polls at which the scoreboard could not be read."),
        _gauge("modwsgi_last_tick_timestamp_seconds", "When the last poll was, in epoch seconds."),
        _gauge("modwsgi_tick_interval_seconds", "Seconds between two polls (the setting interval)."),
        _gauge("modwsgi_tick_lag_seconds", "How much later than it was due the last poll began."),
        _gauge("modwsgi_tick_duration_seconds", "How long the last poll took, to read and to hand on."),
        _gauge("modwsgi_scoreboard_slots", "Slots of the scoreboard: ServerLimit x ThreadLimit."),
        _gauge("modwsgi_serving_workers", "Workers that exist now and may take a request."),
        _gauge(
            "modwsgi_max_request_workers",
            "Apache's MaxRequestWorkers.",
            setting="max_request_workers",
        ),
        _gauge(
            "modwsgi_graceful_workers", "Workers that finish gracefully (GracefulWorkers of mod_status)."
        ),
        _gauge("modwsgi_websocket_workers", "Workers that a WebSocket holds, as far as its path tells."),
        _gauge("modwsgi_old_generation_processes", "Processes of before the last graceful restart."),
        _gauge("modwsgi_oldest_request_seconds", "Age of the oldest request, WebSockets aside."),
        _gauge(
            "modwsgi_slow_requests", f"Requests held for {SLOW_SECONDS} s or longer, WebSockets aside."
        ),
        _gauge("modwsgi_stuck_workers", "Workers held by requests far beyond their usual time."),
        _counter(
            "modwsgi_requests_total", "Requests since the dashboard's start, over restarts of Apache."
        ),
        _counter("modwsgi_sent_bytes_total", "Bytes sent since the dashboard's start."),
        _gauge("modwsgi_viewers", "Viewers connected over WebSocket."),
        _gauge(
            "modwsgi_viewers_holding_workers", "Viewers that came through Apache and hold a worker each."
        ),
        _gauge("modwsgi_viewers_limit", "The most viewers that may hold a worker."),
        _counter("modwsgi_viewers_refused_total", "Viewers that the capacity guard did not let in."),
        _counter("modwsgi_viewers_let_go_total", "Viewers that the capacity guard moved to polling."),
        _gauge("modwsgi_guard_free_workers", "Workers that the capacity guard counts as free."),
        _gauge(
            "modwsgi_guard_reserve_workers", "Workers that the capacity guard keeps free for the site."
        ),
        _gauge("modwsgi_guard_accepting", "Whether one more viewer would be let in."),
        _gauge(
            "modwsgi_recorder_up", "Whether the flight recorder writes what it should.", setting="record"
        ),
        _gauge("modwsgi_recorder_size_bytes", "What the recording takes on the disk.", setting="record"),
        _gauge("modwsgi_recorder_limit_bytes", "What it may take (record_bytes).", setting="record"),
        _counter(
            "modwsgi_recorder_dropped_ticks_total", "Ticks missing in the recording.", setting="record"
        ),
        _gauge("modwsgi_alert_active", "Whether an alert of this rule is on.", "rule", "severity"),
        _gauge(
            "modwsgi_process_workers",
            "Workers of a process slot.",
            *("slot", "state"),
            setting="metrics_processes",
        ),
        _counter(
            "modwsgi_process_requests_total",
            "Requests that a process slot served since Apache's start.",
            "slot",
            setting="metrics_processes",
        ),
        _counter(
            "modwsgi_process_sent_bytes_total",
            "Bytes that a process slot sent since Apache's start.",
            "slot",
            setting="metrics_processes",
        ),
        _gauge(
            "modwsgi_vhost_busy_workers",
            "Workers busy on a virtual host.",
            "vhost",
            setting="metrics_vhosts",
        ),
        _counter(
            "modwsgi_vhost_requests_total",
            "Requests to a virtual host since it has this series.",
            "vhost",
            setting="metrics_vhosts",
        ),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """How the flight recorder stands; `dropped` is None if there is none, though there should be."""

    up: bool
    size: int | None
    limit: int
    dropped: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What there is to expose. `rules` are the names and severities of the alert rules."""

    latest: wire.Sample | wire.Failure | None
    ticks: int
    failures: int
    interval: float
    lag: float
    duration: float
    refused: int
    let_go: int
    recording: Recording | None
    rules: Sequence[tuple[str, str]]
    stuck: int | None


# One series: the metric's name, the values of its labels, and the value; None is left out.
Row = tuple[str, tuple[str, ...], float | None]


_status = attrgetter("status")


def letters_of(process: Process) -> str:
    """Return the letters of a process' slots, in order."""
    return "".join(map(_status, process.workers))


def state_rows(state: State) -> Iterator[Row]:
    """Yield what the dashboard tells of itself."""
    yield "modwsgi_ticks_total", (), state.ticks
    yield "modwsgi_tick_failures_total", (), state.failures
    yield "modwsgi_tick_interval_seconds", (), state.interval
    yield "modwsgi_tick_lag_seconds", (), state.lag
    yield "modwsgi_tick_duration_seconds", (), state.duration
    yield "modwsgi_viewers_refused_total", (), state.refused
    yield "modwsgi_viewers_let_go_total", (), state.let_go
    recording = state.recording
    if recording is not None:
        yield "modwsgi_recorder_up", (), recording.up
        yield "modwsgi_recorder_size_bytes", (), recording.size
        yield "modwsgi_recorder_limit_bytes", (), recording.limit
        yield "modwsgi_recorder_dropped_ticks_total", (), recording.dropped
    latest = state.latest
    if latest is None:
        return
    yield "modwsgi_last_tick_timestamp_seconds", (), latest.at
    viewers = latest.viewers
    yield "modwsgi_viewers", (), viewers.connected
    yield "modwsgi_viewers_holding_workers", (), viewers.holding
    yield "modwsgi_viewers_limit", (), viewers.limit
    if isinstance(latest, wire.Sample):
        # With a failure they are those of the last reading.
        yield "modwsgi_guard_free_workers", (), viewers.free
        yield "modwsgi_guard_reserve_workers", (), viewers.reserve
    yield "modwsgi_guard_accepting", (), viewers.accepting
    active = {alert.rule for alert in latest.alerts}
    for rule, severity in state.rules:
        yield "modwsgi_alert_active", (rule, severity), rule in active


def apache_rows(sample: wire.Sample, letters: Sequence[str]) -> Iterator[Row]:
    """Yield what apache_exporter reads from mod_status, as far as it is in the scoreboard."""
    rates, snapshot = sample.rates, sample.snapshot
    sent = rates.bytes_served
    yield "apache_accesses_total", (), rates.accesses
    yield "apache_sent_kilobytes_total", (), None if sent is None else sent // 1024
    yield "apache_uptime_seconds_total", (), snapshot.running_time
    yield "apache_workers", ("busy",), rates.busy
    yield "apache_workers", ("idle",), rates.idle
    for letter, state in STATES.items():
        if letter != ".":
            yield "apache_scoreboard", (state,), rates.states[letter]
    yield "apache_scoreboard", (STATES["."],), open_slots(sample, letters)
    yield "apache_generation", ("mpm",), snapshot.running_generation
    yield "apache_processes", ("all",), rates.processes
    yield "apache_processes", ("stopping",), rates.quiescing


def open_slots(sample: wire.Sample, letters: Sequence[str]) -> int:
    """Return how many slots are open, as mod_status counts them (status_handler, mod_status.c).

    It passes over open slots that no worker can ever have: beyond ThreadsPerChild in each process, and
    in processes beyond MaxRequestWorkers, where that is known. So all that it counts is about
    MaxRequestWorkers, which alert rules rely on; more where a restart has left open slots behind.
    """
    capacity = sample.capacity
    threads, most = capacity.threads_per_process, capacity.max_request_workers
    if not threads:
        return sum(states.count(".") for states in letters)
    reachable = letters if most is None else letters[: most // threads]
    return sum(states.count(".", 0, threads) for states in reachable)


def sample_rows(sample: wire.Sample, letters: Sequence[str], stuck: int | None) -> Iterator[Row]:
    """Yield what else a sample says."""
    rates, capacity = sample.rates, sample.capacity
    yield "modwsgi_scoreboard_slots", (), capacity.slots
    yield "modwsgi_serving_workers", (), capacity.serving
    yield "modwsgi_max_request_workers", (), capacity.max_request_workers
    yield "modwsgi_graceful_workers", (), rates.graceful
    yield "modwsgi_websocket_workers", (), rates.websockets
    yield "modwsgi_old_generation_processes", (), rates.old_generation
    yield "modwsgi_requests_total", (), rates.requests_total
    yield "modwsgi_sent_bytes_total", (), rates.bytes_total
    if capacity.extended_status is not False:
        oldest, slow = ages(sample, letters)
        yield "modwsgi_oldest_request_seconds", (), oldest
        yield "modwsgi_slow_requests", (), slow
        yield "modwsgi_stuck_workers", (), stuck


# 1 for the letters that keep a worker from its next request, as `core.requests` has it.
_IS_HOLDING = bytes(chr(code) in "RWKDCLG" for code in range(256))


def ages(sample: wire.Sample, letters: Sequence[str]) -> tuple[float, int]:
    """Return the age of the oldest request (0 if there is none) and how many are slow, WebSockets aside.

    The same as by `core.requests`, for a fraction of its time: that makes an object of each request.
    """
    at, slow = sample.at, 0
    oldest = at
    for process, states in zip(sample.snapshot.processes, letters, strict=True):
        if not process.pid:
            continue
        for worker in compress(process.workers, states.encode().translate(_IS_HOLDING)):
            start = worker.start_time
            is_slow = at - start >= SLOW_SECONDS
            # Only those that count are looked at for what they ask.
            if start <= worker.stop_time or not (is_slow or start < oldest) or worker.held_by_websocket:
                continue
            slow += is_slow
            oldest = min(oldest, start)
    return at - oldest, slow


def process_rows(sample: wire.Sample, letters: Sequence[str]) -> Iterator[Row]:
    """Yield the workers and counters of each process slot that was ever used."""
    counters = sample.rates.accesses is not None
    slots: dict[str, Counter[str]] = {}
    for process, states in zip(sample.snapshot.processes, letters, strict=True):
        requests = sum(worker.access_count for worker in process.workers) if counters else 0
        sent = sum(worker.bytes_served for worker in process.workers) if counters else 0
        if not (process.pid or requests or sent):
            continue
        slot = str(process.process_num) if len(slots) < MOST_PROCESSES else OTHER
        total = slots.setdefault(slot, Counter())
        total.update(_workers(process, states, sample.snapshot.running_generation))
        total["requests"] += requests
        total["bytes"] += sent
    for slot, total in slots.items():
        for state in ("busy", "idle", "graceful"):
            yield "modwsgi_process_workers", (slot, state), total[state]
        if counters:
            yield "modwsgi_process_requests_total", (slot,), total["requests"]
            yield "modwsgi_process_sent_bytes_total", (slot,), total["bytes"]


def _workers(process: Process, states: str, generation: int) -> dict[str, int]:
    """Count the workers of one process by mod_status's rule, as `core.rates` does for all."""
    if not process.pid or process.quiescing:
        return {}
    idle, graceful = states.count("_"), states.count("G")
    return {
        "busy": len(states) - idle - graceful - sum(map(states.count, ".SI")),
        "idle": idle * (process.generation == generation),
        "graceful": graceful,
    }


# ServerName and port as Apache writes them (update_child_status_internal, scoreboard.c), which keeps 31
# bytes: a name that was cut has no port left, and is no label.
_VHOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


class VhostCounter:
    """Counts requests by virtual host, for the `most` busiest; all others together.

    Each request is counted once, to whom had a series at that tick: so no counter ever falls.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._ticks = 0
        self._chosen: set[str] = set()
        self._counts: Counter[str] = Counter()
        # Since the last review, of all that may have a series.
        self._lately: Counter[str] = Counter()

    def observe(self, sample: wire.Sample) -> None:
        """Count the requests of a tick."""
        total = sample.rates.requests_total
        if total is None:
            return
        self._ticks += 1
        for each in sample.rates.vhosts:
            known = each.vhost in self._lately or len(self._lately) < MOST_VHOSTS
            if each.requests and known and _VHOST.fullmatch(each.vhost):
                self._lately[each.vhost] += each.requests
        self._choose()
        left = total - self._total
        for each in sample.rates.vhosts:
            if each.vhost in self._chosen:
                self._counts[each.vhost] += each.requests
                left -= each.requests
        self._counts[OTHER] += left
        self._total = total

    def _choose(self) -> None:
        """Give the busiest what is free, and now and then the places of those that are far less busy."""
        review = self._ticks % REVIEW_TICKS == 0
        if not review and len(self._chosen) >= self._most:
            return
        for name, requests in self._lately.most_common():
            if name in self._chosen or (name not in self._counts and len(self._counts) > MOST_VHOSTS):
                continue
            if len(self._chosen) >= self._most:
                least = min(self._chosen, key=lambda each: (self._lately[each], each))
                if not review or requests <= BUSIER * self._lately[least]:
                    break
                self._chosen.remove(least)
            self._chosen.add(name)
        if review:
            self._lately.clear()

    def rows(self, sample: wire.Sample, letters: Sequence[str]) -> Iterator[Row]:
        """Yield the series; nothing where nothing is counted by virtual host."""
        rates = sample.rates
        if rates.requests_total is None:
            return
        busy = {each.vhost: each.busy for each in rates.vhosts}
        left = sum(
            len(states) - sum(map(states.count, "_.SI"))
            for process, states in zip(sample.snapshot.processes, letters, strict=True)
            if process.pid
        )
        for name in sorted(self._chosen):
            # Where not all are listed, one that isn't may be busy all the same: it is among the others.
            found = busy.get(name, None if len(busy) >= VHOSTS_LISTED else 0)
            left -= found or 0
            yield "modwsgi_vhost_busy_workers", (name,), found
            yield "modwsgi_vhost_requests_total", (name,), self._counts[name]
        yield "modwsgi_vhost_busy_workers", (OTHER,), left
        yield "modwsgi_vhost_requests_total", (OTHER,), self._counts[OTHER]
