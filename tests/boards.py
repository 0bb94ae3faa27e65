"""Sequences of scoreboards, drawn by hypothesis: any change of any field, restarts and other layouts."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import STATUSES, Reader

AT = 1_700_000_000.0

instants = st.one_of(st.just(0.0), st.floats(AT - 1000.0, AT + 10.0))
strings = st.one_of(st.sampled_from(["", "a", "b", "GET / HTTP/1.1"]), st.text(max_size=12))

workers = st.fixed_dictionaries(
    {
        "thread_num": st.integers(0, 5),
        "generation": st.integers(0, 2),
        "status": st.sampled_from(sorted(STATUSES)),
        "access_count": st.integers(0, 2000),
        "bytes_served": st.integers(0, 10**12),
        "start_time": instants,
        "stop_time": instants,
        "last_used": instants,
        "client": strings,
        "request": strings,
        "vhost": strings,
    }
)


@st.composite
def processes(draw: st.DrawFn, number: int, threads: int) -> dict[str, Any]:
    return {
        "process_num": number,
        "pid": draw(st.sampled_from([0, 100, 101])),
        "generation": draw(st.integers(0, 2)),
        "quiescing": draw(st.booleans()),
        "workers": draw(st.lists(workers, min_size=threads, max_size=threads)),
    }


@st.composite
def boards(draw: st.DrawFn) -> dict[str, Any]:
    count, threads = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    return {
        "server_limit": count,
        "thread_limit": threads,
        "running_generation": draw(st.integers(0, 2)),
        "restart_time": AT - 2000.0,
        "current_time": AT,
        "running_time": 2000,
        "processes": [draw(processes(number, threads)) for number in range(count)],
    }


@st.composite
def histories(draw: st.DrawFn, *, most: int = 8) -> list[dict[str, Any] | None]:
    """Draw what a source gives, reading by reading; None where metrics are off."""
    history: list[dict[str, Any] | None] = []
    board = draw(boards())
    for _ in range(draw(st.integers(1, most))):
        history.append(board)
        what = draw(st.sampled_from(["slots", "slots", "slots", "process", "board", "off", "nothing"]))
        board = copy.deepcopy(board)
        if what == "off":
            history.append(None)
        elif what == "board":
            board = draw(boards())
        elif what != "nothing":
            place = draw(st.integers(0, len(board["processes"]) - 1))
            threads = board["thread_limit"]
            if what == "process":
                board["processes"][place] = draw(processes(place, threads))
            else:
                for index in draw(st.sets(st.integers(0, threads - 1))):
                    board["processes"][place]["workers"][index] = draw(workers)
        board["current_time"] += 1.0
    return history


def samples(
    history: Iterable[dict[str, Any] | None], *, redact: bool = True
) -> list[wire.Sample | wire.Failure]:
    """Return what a poller makes of a history, one tick a second."""
    reader, previous = Reader(Redactor(enabled=redact)), None
    made: list[wire.Sample | wire.Failure] = []
    for tick, metrics in enumerate(history, start=1):
        at, viewers = AT + 20.0 + tick * 1.0009, wire.ViewerCount(tick % 2, 4)
        try:
            scoreboard = reader.read(metrics)
        except DashboardError as error:
            made.append(wire.Failure(tick, at, 1.0, str(error), viewers, [], _alerts(tick)))
            continue
        previous = rates.read(scoreboard, previous=previous, elapsed=1.0)
        notices = ["late"] if tick % 3 == 0 else []
        derived = previous.rates, previous.capacity
        made.append(wire.Sample(tick, at, 1.0, scoreboard, *derived, viewers, notices, _alerts(tick)))
    return made


def _alerts(tick: int) -> list[Alert]:
    """Return alerts that begin, stay, grow and are over, as ticks go by."""
    stuck = Alert("held", "stuck", "warning", AT + 21.0, 60.0 + tick, 1.0, "GET /<b>/*", tick)
    found = [
        Alert("full", "busy", "critical", AT + 20.5, 1.0, 1.0),
        Alert("started", "restart", "warning", AT),
        stuck,
    ]
    return found[: (tick + 1) // 2 % 4]
