"""The requests that workers hold, and for how long.

Owns what of a sample is a request under way, and its age. It must not know words, orders or filters.
Instants are epoch seconds, ages are seconds; what the scoreboard does not tell is None.

The page's twin is `requests.ts`; both are held to `tests/twins`.
"""

from __future__ import annotations

import math

import msgspec

from mod_wsgi_dashboard.core.scoreboard import Process, Status, Worker
from mod_wsgi_dashboard.core.wire import Sample

# The letters in the order in which they are shown: that of mod_status's page.
LETTERS: tuple[Status, ...] = ("_", "S", "R", "W", "K", "D", "C", "L", "G", "I", ".")

# A request that is held for longer is worth a look (seconds).
SLOW_SECONDS = 10

# States that keep a worker from its next request.
_HOLDS = frozenset("RWKDCLG")


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a worker is held by: a request, or the connection of one that ended.

    `index` is the worker's place in its process. `started_at` is None if the scoreboard does not say.
    `websocket`: it is probably a held WebSocket. `draining`: its process takes no new requests.
    `request` is the request line, redacted and perhaps cut: "GET /report/17?q=*** HTTP/1.1".
    """

    process_num: int
    index: int
    pid: int
    status: Status
    started_at: float | None
    websocket: bool
    draining: bool
    client: str
    vhost: str
    request: str


def living(sample: Sample) -> list[Process]:
    """Return the processes that run: a place without a pid is only room for one."""
    return [process for process in sample.snapshot.processes if process.pid]


def drains(process: Process, sample: Sample) -> bool:
    """Return whether a process takes no new requests: it stops, or is of an old generation."""
    return process.quiescing or process.generation != sample.snapshot.running_generation


def letters_only(sample: Sample) -> bool:
    """Return whether nothing but letters is known of the workers, as if recorded by `record = states`.

    All together have served requests then, and each of them none.
    """
    if not sample.rates.accesses:
        return False
    return not any(
        worker.access_count for process in sample.snapshot.processes for worker in process.workers
    )


def in_flight(sample: Sample) -> list[Request]:
    """Return what workers are held by, in the order of the scoreboard."""
    requests: list[Request] = []
    for process in living(sample):
        draining = drains(process, sample)
        for index, worker in enumerate(process.workers):
            if worker.status in _HOLDS:
                requests.append(_describe(process, index, worker=worker, draining=draining))
    return requests


def oldest_seconds(sample: Sample) -> float | None:
    """Return the age of the oldest request, WebSockets aside; None if there is none of known age."""
    oldest = math.inf
    for process in living(sample):
        for worker in process.workers:
            # Of thousands only those that would be the oldest are looked at for what they ask.
            if worker.start_time >= oldest or not worker.unfinished or worker.status not in _HOLDS:
                continue
            if not worker.held_by_websocket:
                oldest = worker.start_time
    return None if oldest == math.inf else max(0.0, sample.at - oldest)


def age_of(request: Request, at: float) -> float | None:
    """Return for how long a request has been held at an instant; None if no start is known."""
    return None if request.started_at is None else max(0.0, at - request.started_at)


def is_slow(request: Request, at: float) -> bool:
    """Return whether a request is held for long, and is no WebSocket, which is meant to be."""
    return not request.websocket and (age_of(request, at) or 0.0) >= SLOW_SECONDS


def since_of(worker: Worker, /) -> float | None:
    """Return since when a slot has been as it is; None if the scoreboard does not tell.

    Apache notes when a request starts and ends and when a worker goes idle (server/scoreboard.c,
    update_child_status_internal), and not when it begins to read.
    """
    if worker.status in (".", "R", "S"):
        return None
    if worker.status == "_":
        return worker.last_used or None
    if worker.unfinished:
        return worker.start_time
    return (worker.stop_time or None) if worker.status == "K" else None


def _describe(process: Process, index: int, *, worker: Worker, draining: bool) -> Request:
    return Request(
        process.process_num,
        index,
        process.pid,
        worker.status,
        worker.start_time if worker.unfinished else None,
        worker.held_by_websocket,
        draining,
        worker.client,
        worker.vhost,
        worker.request,
    )
