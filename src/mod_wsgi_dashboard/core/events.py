"""What happens to Apache and to the dashboard: events, told by what one sample says after another.

Owns the kinds of events that samples tell of, and their `data`; `bookmark`, the one that people make,
goes by the same type. It must not know a clock or the recording: instants are those of the samples.

Kinds, and their `data`. Instants are when something was *seen*, but for `apache-start`:

- `apache-start`: the first that is seen of an Apache, at the instant of its full start or restart:
  `restart_time`;
- `graceful`: the running generation is another one: `generation`, `before`, and `draining`, how many
  processes of old generations there are;
- `drained`: a process of an old generation is gone. From when its generation was seen to be old until
  it was gone: `pid`, `process_num`, `generation`, `seconds`, `successor` (a pid or null), and of the
  request that held it last, the oldest one if there were several, `slot` (index in the process),
  `request` and `client`: null where it held none, or where Apache keeps no requests;
- `process-end`: any other process is gone: `pid`, `process_num`, `generation`, `successor`, and `held`,
  the workers that it held when last seen. What went with a restart, graceful or not, is a part of that;
- `saturation`: all workers are busy: `workers`, and `peak`, the most that were busy;
- `metrics-off`: the scoreboard can't be read: `error`;
- `alert`: the condition of a rule, from when it began until the alert was over: `rule`, `kind`,
  `severity`, `threshold`, `peak`, `path`, `count`, the most workers it held (see `core.alerts`). What
  grows is told when the alert begins, when it has grown by a tenth, and when it is over;
- `dashboard-start`: `version`, and `gap`, the seconds for which nobody looked, null if nobody ever did;
- `clock`: the clock was set back: `seconds`, negative. A clock that is set forward looks just as a
  pause does: samples have no other time than the clock's, and ticks count polls.

A process is gone when the scoreboard no longer names it. Apache may give the place of one that stops to
a `successor` before it has ended (make_child in worker.c and event.c); nobody sees the rest.

Invariants: an event never ends before it begins, nor by another clock than it began by; one that lasts
ends once, unless the watcher stops before; a tick makes a bounded number of events.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress, count, zip_longest
from operator import is_not
from typing import Any, NamedTuple

import msgspec

from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.rates import LONGEST_GAP
from mod_wsgi_dashboard.core.scoreboard import Process, Worker
from mod_wsgi_dashboard.core.wire import Failure, Sample

# Kinds that last. Where one of these was not ended, nobody knows more of it than its run's last tick.
LASTING = frozenset({"saturation", "metrics-off", "alert"})

# An alert's peak may grow at each tick, as the age of a request does; each is no news.
NEWS = 1.1

# Apache keeps this instant as it is. What passed it on may have rounded it; nobody restarts so often.
RESTART_SECONDS = 2.0

# A pool that is full but for a moment now and then is full; each moment is no event of its own.
SETTLE_SECONDS = 5.0

# Ends of processes told of one tick, of each kind: on prefork thousands may end in one.
MOST_ENDS = 20

# Letters of a worker that does nothing; mod_status's rule, as in `rates`.
_NOT_HELD = "_.SI"

_NOBODY = Process(0, 0, 0, False, [])


class Event(msgspec.Struct, frozen=True):
    """Something that happened at an instant, or lasted from one to another, in epoch milliseconds.

    `kind`, `at_ms` and `subject` name an event: one that is given again replaces the one before.
    `ended_ms` is None for what is still going on, and for what has no length. `subject` tells events of
    one kind and instant apart: a pid, or an alert's rule and path. `data` are JSON values.
    """

    kind: str
    at_ms: int
    ended_ms: int | None = None
    subject: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)


class _Drain(msgspec.Struct, frozen=True):
    """A process of an old generation: since when, and the worker that held it when last one did."""

    since_ms: int
    slot: int | None = None
    worker: Worker | None = None


class _Change(NamedTuple):
    """A place of the scoreboard in the sample before, and now."""

    place: int
    then: Process
    now: Process


class Watcher:
    """Tells the events of one run of the recording, at the cost of what changed.

    Args:
        previous: the newest recorded sample of an earlier run, None if there is none. What happened
            between it and the first tick is told as far as it is certain: another Apache, another
            generation, but no single process.
        version: the dashboard's own.
    """

    def __init__(self, previous: Sample | None = None, *, version: str) -> None:
        self._version = version
        self._good = previous
        self._watching = False  # whether `_good` is of this run
        self._at_ms: int | None = None
        self._drains: dict[int, _Drain] = {}  # by place in the scoreboard
        self._full: Event | None = None
        self._full_ms = 0
        self._off: Event | None = None
        # By subject: as they were last told, and as they are.
        self._alerts: dict[str, tuple[Event, Event]] = {}

    def observe(self, latest: Sample | Failure) -> list[Event]:
        """Return the events that begin, change or end with this tick.

        One that changed or ended is given again, with the same kind, `at_ms` and subject.
        """
        at_ms = _ms(latest.at)
        events = self._begin(at_ms) if self._at_ms is None else self._check_clock(latest, self._at_ms)
        events += self._follow_alerts(latest, self._at_ms or at_ms)
        self._at_ms = at_ms
        if isinstance(latest, Failure):
            events += self._fail(at_ms, latest.error)
            events += self._settle(at_ms)
            return events
        events += self._recover(at_ms)
        events += self._compare(latest)
        events += self._fill(at_ms, latest.rates.busy, latest.capacity.workers)
        return events

    def _begin(self, at_ms: int) -> list[Event]:
        gap = None if self._good is None else max(0, at_ms - _ms(self._good.at)) / 1000
        return [Event("dashboard-start", at_ms, data={"gap": gap, "version": self._version})]

    def _check_clock(self, latest: Sample | Failure, before_ms: int) -> list[Event]:
        """End what lasts if the clock was set back: from here on, instants are others."""
        at_ms = _ms(latest.at)
        if at_ms > before_ms:
            return []
        step_ms = at_ms - before_ms - _ms(latest.interval)
        # Drains are told at their end, in the time of then: that leaves their seconds true.
        for place, drain in self._drains.items():
            self._drains[place] = msgspec.structs.replace(drain, since_ms=drain.since_ms + step_ms)
        events = [*self._end_full(), *self._recover(before_ms)]
        return [*events, Event("clock", at_ms, data={"seconds": step_ms / 1000})]

    def _fail(self, at_ms: int, error: str) -> list[Event]:
        if self._off is not None and self._off.data["error"] == error:
            return []
        ended = self._recover(at_ms)
        self._off = Event("metrics-off", at_ms, data={"error": error})
        return [*ended, self._off]

    def _recover(self, at_ms: int) -> list[Event]:
        ended, self._off = self._off, None
        return [] if ended is None else [msgspec.structs.replace(ended, ended_ms=at_ms)]

    def _fill(self, at_ms: int, busy: int, workers: int) -> list[Event]:
        """Begin, continue or end saturation, as busy workers stand to all workers."""
        if not busy >= workers > 0:
            return self._settle(at_ms)
        # No tick was between the two, and nobody knows what was.
        unseen = at_ms - self._full_ms > LONGEST_GAP * 1000
        ended = self._end_full() if unseen else []
        known, self._full_ms = self._full, at_ms
        data = {"workers": workers, "peak": busy}
        if known is not None:
            data["peak"] = max(busy, known.data["peak"])
            if data == known.data:
                return ended
        self._full = Event("saturation", at_ms if known is None else known.at_ms, data=data)
        return [*ended, self._full]

    def _settle(self, at_ms: int) -> list[Event]:
        """End saturation if the last full tick is long enough ago."""
        return self._end_full() if at_ms - self._full_ms >= SETTLE_SECONDS * 1000 else []

    def _end_full(self) -> list[Event]:
        ended, self._full = self._full, None
        return [] if ended is None else [msgspec.structs.replace(ended, ended_ms=self._full_ms)]

    def _follow_alerts(self, latest: Sample | Failure, before_ms: int) -> list[Event]:
        """Begin, continue or end alerts. When the clock is set, they begin anew by the new one."""
        if not latest.alerts and not self._alerts:
            return []
        at_ms = _ms(latest.at)
        now = {event.subject: event for event in map(_alert, latest.alerts)}
        events = []
        for subject, (_, last) in list(self._alerts.items()):
            successor = now.get(subject)
            if successor is None or successor.at_ms != last.at_ms:
                del self._alerts[subject]
                # One that began anew was over before this tick.
                ended_ms = at_ms if successor is None else before_ms
                events.append(msgspec.structs.replace(last, ended_ms=max(last.at_ms, ended_ms)))
        for subject, event in now.items():
            known = self._alerts.get(subject)
            latest_event = event if known is None else _at_most(known[1], event)
            if known is None or _is_news(known[0], latest_event):
                self._alerts[subject] = latest_event, latest_event
                events.append(latest_event)
            else:
                self._alerts[subject] = known[0], latest_event
        return events

    def _compare(self, latest: Sample) -> list[Event]:
        """Tell what became of Apache and its processes since the last good sample."""
        before, self._good = self._good, latest
        watching, self._watching = self._watching, True
        at_ms, restarts = _ms(latest.at), _restarts(before, latest)
        changes = self._changes(before, latest, every=not watching or bool(restarts))
        gone = [each for each in changes if watching and each.then.pid not in (0, each.now.pid)]
        ended = [each for each in gone if each.place not in self._drains and not restarts]
        drained = [(self._drains.pop(each.place), each) for each in gone if each.place in self._drains]
        self._follow_drains(changes, before, latest)
        return [*restarts, *_drained(drained, at_ms), *_process_ends(ended, at_ms)]

    def _changes(self, before: Sample | None, latest: Sample, *, every: bool) -> list[_Change]:
        """Return every place, or those of another process, or of one that drains and changed."""
        then = [] if before is None else before.snapshot.processes
        now = latest.snapshot.processes
        # Another generation makes a process old that did not change.
        if every or len(then) != len(now):
            pairs = enumerate(zip_longest(then, now, fillvalue=_NOBODY))
            return [_Change(place, old, new) for place, (old, new) in pairs]
        changed = list(map(is_not, then, now))
        columns = compress(count(), changed), compress(then, changed), compress(now, changed)
        drains = self._drains
        return [
            _Change(place, old, new)
            for place, old, new in zip(*columns, strict=True)
            if old.pid != new.pid or place in drains
        ]

    def _follow_drains(self, changes: list[_Change], before: Sample | None, latest: Sample) -> None:
        """Keep in mind the processes of old generations, and what holds them."""
        drains, running = self._drains, latest.snapshot.running_generation
        for place, then, now in changes:
            if now.pid == 0 or now.generation == running:
                drains.pop(place, None)
                continue
            drain = drains.get(place) or _Drain(_ms(_old_since(then, now, before, latest)))
            held = _held_longest(now.workers)
            drains[place] = drain if held is None else _Drain(drain.since_ms, *held)


def _alert(alert: Alert) -> Event:
    data = msgspec.structs.asdict(alert)
    del data["since"]
    subject = alert.rule if alert.path is None else f"{alert.rule} {alert.path}"
    return Event("alert", _ms(alert.since), subject=subject, data=data)


def _at_most(last: Event, now: Event) -> Event:
    """Return an alert's event with the most that its count was."""
    if now.data["count"] is None:
        return now
    count = max(last.data["count"] or 0, now.data["count"])
    return msgspec.structs.replace(now, data={**now.data, "count": count})


def _is_news(told: Event, now: Event) -> bool:
    """Return whether an alert has grown since it was last told."""
    if (now.data["count"] or 0) > (told.data["count"] or 0):
        return True
    return (now.data["peak"] or 0.0) >= (told.data["peak"] or 0.0) * NEWS > 0.0


def _restarts(before: Sample | None, latest: Sample) -> list[Event]:
    """Tell of another Apache, or of another generation of the same."""
    now = latest.snapshot
    if before is None or not _same_apache(before, latest):
        return [Event("apache-start", _ms(now.restart_time), data={"restart_time": now.restart_time})]
    generation = before.snapshot.running_generation
    if now.running_generation == generation:
        return []
    data = {
        "generation": now.running_generation,
        "before": generation,
        "draining": latest.rates.old_generation,
    }
    return [Event("graceful", _ms(latest.at), data=data)]


def _same_apache(before: Sample, latest: Sample) -> bool:
    # After the clock was set back, the later start may be the earlier instant.
    return abs(latest.snapshot.restart_time - before.snapshot.restart_time) <= RESTART_SECONDS


def _old_since(then: Process, now: Process, before: Sample | None, latest: Sample) -> float:
    """Return when a process that no drain is known of was first seen to be old.

    An earlier run may have seen it; its last sample is all that is left of that.
    """
    if before is None or then.pid != now.pid or not _same_apache(before, latest):
        return latest.at
    was_old = then.generation != before.snapshot.running_generation
    return min(before.at, latest.at) if was_old else latest.at


def _is_held(worker: Worker) -> bool:
    return worker.status not in _NOT_HELD


def _held_longest(workers: Iterable[Worker]) -> tuple[int, Worker] | None:
    """Return the worker, and its index, whose request has been under way for longest."""
    held = (each for each in enumerate(workers) if _is_held(each[1]) and each[1].unfinished)
    return min(held, key=lambda each: each[1].start_time, default=None)


def _drained(drains: list[tuple[_Drain, _Change]], at_ms: int) -> list[Event]:
    """Tell of drains that are over; if too many are, of the longest, and those that a request held."""
    drains.sort(key=lambda each: (each[0].since_ms, each[0].worker is None))
    return [
        Event(
            "drained",
            drain.since_ms,
            at_ms,
            subject=str(process.pid),
            data={
                "pid": process.pid,
                "process_num": process.process_num,
                "generation": process.generation,
                "seconds": (at_ms - drain.since_ms) / 1000,
                "successor": successor.pid or None,
                "slot": drain.slot,
                "request": (drain.worker.request or None) if drain.worker else None,
                "client": (drain.worker.client or None) if drain.worker else None,
            },
        )
        for drain, (_, process, successor) in drains[:MOST_ENDS]
    ]


def _process_ends(ended: list[_Change], at_ms: int) -> list[Event]:
    """Tell of processes that ended by themselves: if too many did, of those that held most workers."""
    counted = [(sum(map(_is_held, each.then.workers)), each) for each in ended]
    counted.sort(key=lambda each: -each[0])
    return [
        Event(
            "process-end",
            at_ms,
            subject=str(process.pid),
            data={
                "pid": process.pid,
                "process_num": process.process_num,
                "generation": process.generation,
                "successor": successor.pid or None,
                "held": held,
            },
        )
        for held, (_, process, successor) in counted[:MOST_ENDS]
    ]


def _ms(instant: float) -> int:
    """Return milliseconds, cut as `at_ms` of a frame is."""
    return int(instant * 1000)
