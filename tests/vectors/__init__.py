"""Frames of `mod-wsgi-dashboard.v1`, and what a viewer holds after each: for pytest and for vitest.

The frames are the encoder's, of what the simulator plays. What a viewer must hold does not come from a
decoder, but from the sample itself, with its instants cut to milliseconds as the specification says.

    python -m tests.vectors     writes the files anew
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Process, Reader, Worker
from mod_wsgi_dashboard.simulator import Simulator

FOLDER = Path(__file__).parent

START = 1_700_000_000.0

Metrics = dict[str, Any]
Latest = wire.Sample | wire.Failure


class Step(NamedTuple):
    """A frame's text, and what a viewer then holds: a sample as plain JSON, "broken" or "unknown"."""

    frame: str
    holds: Any


def build() -> Iterator[tuple[str, str]]:
    """Give each file's name and text."""
    for name, (about, steps) in _vectors().items():
        lines = ",\n".join(json.dumps(step._asdict(), separators=(",", ":")) for step in steps)
        yield f"{name}.json", f'{{"about":{json.dumps(about)},"steps":[\n{lines}\n]}}\n'


def _vectors() -> dict[str, tuple[str, list[Step]]]:
    burst = _samples(_play("burst", slots=40, at=20.0, ticks=3))
    small = _samples(_play("burst", slots=10, at=20.0, ticks=8))
    return {
        "burst": ("Ordinary traffic.", _whole_chain(burst)),
        "graceful-restart": (
            "Old processes drain beside new ones, and empty server slots fill.",
            _whole_chain(_samples(_play("graceful-restart", slots=10, at=43.5, ticks=5))),
        ),
        "hostile": (
            "Markup, control bytes and cut lines as strings.",
            _whole_chain(_samples(_play("hostile", slots=12, at=20.0, ticks=5))),
        ),
        "prefork": (
            "One worker a process, and generations that only the process knows.",
            _whole_chain(_samples(_play("graceful-restart", slots=7, mpm="prefork", at=43.5, ticks=5))),
        ),
        "error": (
            "The scoreboard can't be read for a tick: the next frame is a key.",
            _whole_chain(_samples([*_first(2), None, *_first(5)[3:]])),
        ),
        "layout": (
            "Apache comes back with another number of slots: the chain breaks, and starts anew.",
            _whole_chain(_samples([*_first(2), *_play("calm", slots=9, at=30.0, ticks=3)])),
        ),
        "extended-status-off": (
            "Letters alone: no times, counts or strings.",
            _whole_chain(_samples(map(_without_extended_status, _first(4)))),
        ),
        "states": ("detail=states: letters alone are sent.", _states(small[:5])),
        "every-2": ("every=2: each second tick.", _whole_chain(small[1::2])),
        "dropped": ("Frames are missed; a key frame comes when it was asked for.", _dropped(small)),
        "alerts": (
            "Alerts begin, grow, and are over; a failure has its own, and a key without any has none.",
            _whole_chain(_alerted()),
        ),
        "unknown": ("Members and kinds of frames of a newer server.", _unknown(small[:3])),
    }


def _play(
    scenario: str, *, slots: int, at: float, ticks: int, mpm: str = "event"
) -> Iterator[Metrics | None]:
    simulator = Simulator(scenario=scenario, slots=slots, mpm=mpm, seed=7, start_at=START)
    for tick in range(ticks):
        yield simulator.server_metrics(START + at + tick)


def _first(ticks: int) -> list[Metrics]:
    return [metrics for metrics in _play("burst", slots=10, at=20.0, ticks=ticks) if metrics]


def _without_extended_status(metrics: Metrics) -> Metrics:
    bare = copy.deepcopy(metrics)
    for process in bare["processes"]:
        for worker in process["workers"]:
            worker |= {"access_count": 0, "bytes_served": 0, "client": "", "request": "", "vhost": ""}
            worker |= {"start_time": 0.0, "stop_time": 0.0, "last_used": 0.0}
    return bare


def _samples(metrics: Iterable[Metrics | None]) -> list[Latest]:
    """Return what a poller makes of the readings, where None is one that failed."""
    reader, reading = Reader(Redactor()), None
    made: list[Latest] = []
    for tick, read in enumerate(metrics, start=1):
        at = START + 100.0 + tick * 1.0007
        # What the guard says changes now and then.
        viewers = wire.ViewerCount(tick // 3, 4, holding=tick // 4, free=9, reserve=2)
        if read is None:
            made.append(wire.Failure(tick, at, 1.0, "The scoreboard is off.", viewers, []))
            continue
        scoreboard = reader.read(read)
        reading = rates.read(scoreboard, previous=reading, elapsed=1.0)
        notices = ["The clock jumped."] if tick == 3 else []
        made.append(
            wire.Sample(tick, at, 1.0, scoreboard, reading.rates, reading.capacity, viewers, notices)
        )
    return made


def _alerted() -> list[Latest]:
    """Return samples with alerts; a path is as hostile as the requests that it is made of."""
    full = Alert("saturated", "busy", "critical", START + 90.25, peak=1.0, threshold=1.0)
    stuck = [
        Alert("stuck-workers", "stuck", "warning", START + 95.0, age, 1.0, path, count)
        for age, path, count in [(61.5, "GET /<script>/*", 1), (62.5, "GET /<script>/*", 2)]
    ]
    restarted = Alert("restarted", "restart", "warning", START + 70.125)
    off = Alert("metrics-off", "error", "critical", START + 98.0)
    each = [[], [full], [full, stuck[0]], [full, stuck[1], restarted], [restarted], [off], [off], [], []]
    boards = list(_play("burst", slots=3, at=20.0, ticks=9))
    ticks = _samples([*boards[:5], None, *boards[6:]])
    return [
        msgspec.structs.replace(latest, alerts=alerts)
        for latest, alerts in zip(ticks, each, strict=True)
    ]


def _whole_chain(samples: Iterable[Latest]) -> list[Step]:
    """Return the steps of a viewer that gets every frame."""
    encoder, steps = Encoder(), []
    for latest in samples:
        encoder.advance(latest)
        steps.append(Step(encoder.delta().decode(), _plain(_cut(latest))))
    return steps


def _states(samples: Iterable[Latest]) -> list[Step]:
    encoder, steps, held = Encoder(detail="states"), [], None
    for latest in samples:
        encoder.advance(latest)
        text = encoder.delta().decode()
        assert isinstance(latest, wire.Sample)
        held = _letters(latest, None if '"frame":"key"' in text else held)
        steps.append(Step(text, _plain(held)))
    return steps


def _letters(latest: wire.Sample, held: wire.Sample | None) -> wire.Sample:
    """Return a sample of which only the letters came; all else of a slot stands as in the key frame."""
    snapshot = latest.snapshot
    processes = []
    for place, process in enumerate(snapshot.processes):
        blank = wire.blank_slots(
            process.process_num, process.generation, len(process.workers), snapshot.thread_limit
        )
        before = blank if held is None else held.snapshot.processes[place].workers
        workers = [
            msgspec.structs.replace(was, status=now.status)
            for was, now in zip(before, process.workers, strict=True)
        ]
        processes.append(msgspec.structs.replace(process, workers=workers))
    return msgspec.structs.replace(
        latest,
        at=_ms(latest.at),
        snapshot=msgspec.structs.replace(snapshot, processes=processes),
        rates=msgspec.structs.replace(latest.rates, vhosts=[]),
    )


def _dropped(samples: Iterable[Latest]) -> list[Step]:
    """Return the steps of a viewer that misses ticks 3 and 6, and gets the key it asks for at tick 5."""
    encoder, steps = Encoder(), []
    for latest in samples:
        encoder.advance(latest)
        if latest.tick in (3, 6):
            continue
        frame = encoder.key() if latest.tick == 5 else encoder.delta()
        broken = latest.tick in (4, 7, 8) and b'"frame":"delta"' in frame
        steps.append(Step(frame.decode(), "broken" if broken else _plain(_cut(latest))))
    return steps


def _unknown(samples: Iterable[Latest]) -> list[Step]:
    steps = [Step('{"frame":"bookmark","tick":0,"text":"deployed"}', "unknown")]
    for step in _whole_chain(samples):
        frame = json.loads(step.frame) | {"colour": "red", "__proto__": {"error": "x"}}
        frame.get("slots", {})["shoe_size"] = [41]
        frame.get("tables", {})["colour"] = [1, "red"]
        text = json.dumps(frame, separators=(",", ":"))
        steps += [Step(text, step.holds), Step('{"frame":"__proto__"}', "unknown")]
    return steps


def _cut(latest: Latest) -> Latest:
    """Return a sample with its instants as v1 tells them."""
    if isinstance(latest, wire.Failure):
        return msgspec.structs.replace(latest, at=_ms(latest.at))
    processes = [_cut_process(process) for process in latest.snapshot.processes]
    snapshot = msgspec.structs.replace(latest.snapshot, processes=processes)
    return msgspec.structs.replace(latest, at=_ms(latest.at), snapshot=snapshot)


def _cut_process(process: Process) -> Process:
    return msgspec.structs.replace(process, workers=[_cut_worker(worker) for worker in process.workers])


def _cut_worker(worker: Worker) -> Worker:
    start, stop = _ms(worker.start_time), _ms(worker.stop_time)
    if worker.unfinished and stop == start > 0.0:
        stop = (int(worker.stop_time * 1000) - 1) / 1000
    return msgspec.structs.replace(
        worker, start_time=start, stop_time=stop, last_used=_ms(worker.last_used)
    )


def _ms(instant: float) -> float:
    return int(instant * 1000) / 1000


def _plain(latest: Latest) -> Any:
    return json.loads(wire.encode(latest))
