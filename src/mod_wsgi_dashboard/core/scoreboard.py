"""The model of one `mod_wsgi.server_metrics()` result: parsed, checked, redacted.

Owns the shape of a scoreboard and its edge: what `parse` lets through has the types stated here,
and no string that is secret or dangerous to show. It must not know where a scoreboard comes from,
nor what becomes of it.

The shape is that of mod_wsgi 4.9.4, 5.x and 6.x, which is the same (wsgi_metrics.c), for the event,
worker and prefork MPMs. Field names are mod_wsgi's own; encoded as JSON, a `Scoreboard` is the
documented dict again. Units: instants are epoch seconds (0.0 = never), `bytes_served` is bytes,
`running_time` whole seconds.

Rules that the fields don't show:

- every slot is always listed, server_limit x thread_limit of them; pid 0 is an empty server slot, and
  what its workers still hold is left over from an earlier process: only their counters count;
- a worker's place is its index in the list: `thread_num` is 0 until the slot was used once;
- `access_count` and `bytes_served` are the slot's since Apache's last full start, over every process
  that used it;
- on prefork a worker's own `generation` and `quiescing` stay 0 and False: use the process's
  generation, and the letter G;
- without `ExtendedStatus On` only the letters are kept: times are 0.0, counters 0, strings empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from mod_wsgi_dashboard.core.errors import MetricsOff, ShapeError
from mod_wsgi_dashboard.core.redaction import Redactor

Status = Literal["_", "S", "R", "W", "K", "D", "C", "L", "G", "I", "."]

# In the order of httpd's scoreboard.h. https://httpd.apache.org/docs/2.4/mod/mod_status.html
STATUSES: dict[Status, str] = {
    ".": "open slot with no current process",
    "S": "starting up",
    "_": "waiting for connection",
    "R": "reading request",
    "W": "sending reply",
    "K": "keepalive (read)",
    "L": "logging",
    "D": "DNS lookup",
    "C": "closing connection",
    "G": "gracefully finishing",
    "I": "idle cleanup of worker",
}


# Until the year 5138. Not a number, or an endless one, would go through every sum from here.
Instant = Annotated[float, msgspec.Meta(ge=0.0, le=1e11)]


class Worker(msgspec.Struct, frozen=True, gc=False):
    """One slot of the scoreboard: a thread of an Apache child, or all of it on prefork."""

    thread_num: int
    generation: int
    status: Status
    access_count: int
    bytes_served: int
    start_time: Instant
    stop_time: Instant
    last_used: Instant
    client: str
    request: str
    vhost: str

    @property
    def unfinished(self) -> bool:
        """Whether the slot's last request began and has not ended; False without ExtendedStatus."""
        return self.start_time > self.stop_time

    @property
    def path(self) -> str:
        """The request's path, without its query; empty when there is none."""
        _, _, target = self.request.partition(" ")
        return re.split(r"[ ?]", target, maxsplit=1)[0]

    @property
    def held_by_websocket(self) -> bool:
        """Whether this looks like a WebSocket held through Apache's proxy.

        The scoreboard doesn't tell a tunnel from a slow reply; the path is all there is, so only
        sockets whose path ends in `/ws`, as the dashboard's own does, are seen.
        """
        return (
            self.status == "W"
            and self.unfinished
            and "/ws" in self.request
            and self.path.endswith("/ws")
        )


class Process(msgspec.Struct, frozen=True):
    """One server slot: an Apache child process, or an empty place for one (pid 0)."""

    process_num: int
    pid: int
    generation: int
    quiescing: bool
    workers: list[Worker]


class Scoreboard(msgspec.Struct, frozen=True):
    """One reading of Apache's scoreboard, every string of it redacted and bounded."""

    server_limit: int
    thread_limit: int
    running_generation: int
    restart_time: float
    current_time: float
    running_time: int
    processes: list[Process]

    @property
    def extended_status(self) -> bool | None:
        """Whether Apache keeps times, counts and requests; None while nothing tells.

        A busy worker without a start time means `ExtendedStatus Off`. For an instant that holds for
        the first request of a slot, too, so any start time anywhere outweighs it.
        """
        busy = False
        for process in self.processes:
            for worker in process.workers:
                if worker.start_time > 0.0:
                    return True
                busy = busy or worker.status == "W"
        return False if busy else None


def parse(metrics: object, redactor: Redactor) -> Scoreboard:
    """Return the scoreboard in one `mod_wsgi.server_metrics()` result, redacted.

    Raises: as `Reader.read`.
    """
    return Reader(redactor).read(metrics)


class Reader:
    """Parses one `mod_wsgi.server_metrics()` result after another, at the cost of what changed.

    What is equal to what stood there before is not checked and redacted again: its `Worker`, its
    list of workers and its `Process` are the very objects of the scoreboard before. So whoever
    compares two scoreboards of one reader finds by identity what changed between them.

    Results must be fresh: one that the source changes in place looks unchanged.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._raw: list[list[Any]] = []
        self._processes: list[Process] = []

    def read(self, metrics: object) -> Scoreboard:
        """Return the scoreboard in a result, redacted.

        Keys that this version doesn't know are left out, since nobody could say what is secret in them.

        Raises:
            MetricsOff: `metrics` is None.
            ShapeError: a key is missing or of another type; the message names the key, never its value.
        """
        if metrics is None:
            raise MetricsOff
        try:
            raw = msgspec.convert(metrics, _RawScoreboard)
            changed = [list(self._changed(*numbered)) for numbered in enumerate(raw.processes)]
            fresh = [
                process.workers[index]
                for process, indexes in zip(raw.processes, changed, strict=True)
                for index in indexes
            ]
            workers = iter(msgspec.convert(fresh, list[Worker]))
        except msgspec.ValidationError as error:
            raise ShapeError(_describe(metrics, error)) from None
        self._processes = [
            self._assemble(number, process, indexes, workers)
            for number, (process, indexes) in enumerate(zip(raw.processes, changed, strict=True))
        ]
        self._raw = [process.workers for process in raw.processes]
        return Scoreboard(
            raw.server_limit,
            raw.thread_limit,
            raw.running_generation,
            raw.restart_time,
            raw.current_time,
            raw.running_time,
            self._processes,
        )

    def _changed(self, number: int, process: _RawProcess) -> Iterable[int]:
        """Return the indexes of the workers that are not as they were."""
        if self._known(number, process) is None:
            return range(len(process.workers))
        pairs = zip(self._raw[number], process.workers, strict=True)
        return [index for index, (old, new) in enumerate(pairs) if old != new]

    def _known(self, number: int, process: _RawProcess) -> Process | None:
        """Return the process of this place from before, unless nothing of it may be taken over."""
        if number >= len(self._processes):
            return None
        known = self._processes[number]
        # What may be shown of an empty server slot is another thing.
        same = len(known.workers) == len(process.workers) and (known.pid == 0) == (process.pid == 0)
        return known if same else None

    def _assemble(
        self, number: int, raw: _RawProcess, indexes: list[int], fresh: Iterable[Worker]
    ) -> Process:
        known = self._known(number, raw)
        if known is not None and not indexes:
            workers = known.workers
        else:
            workers = list(raw.workers if known is None else known.workers)
            for index, worker in zip(indexes, fresh, strict=False):
                workers[index] = _redact(worker, self._redactor, empty=raw.pid == 0)
        process = Process(raw.process_num, raw.pid, raw.generation, raw.quiescing, workers)
        return known if known == process else process


class _RawProcess(msgspec.Struct):
    process_num: int
    pid: int
    generation: int
    quiescing: bool
    workers: list[Any]


class _RawScoreboard(msgspec.Struct):
    server_limit: int
    thread_limit: int
    running_generation: int
    restart_time: Instant
    current_time: Instant
    running_time: int
    processes: list[_RawProcess]


def _describe(metrics: object, error: msgspec.ValidationError) -> str:
    try:
        # A worker was checked apart from its process; only the whole has the whole path.
        msgspec.convert(metrics, Scoreboard)
    except msgspec.ValidationError as whole:
        error = whole
    # msgspec quotes a bad enum value, which may be anything; its other messages hold types and keys.
    problem = re.sub(r"Invalid enum value .* - at", "Unknown status letter - at", str(error), flags=re.S)
    return f"mod_wsgi.server_metrics() has a shape that this version can't read: {problem}"


def _redact(worker: Worker, redactor: Redactor, *, empty: bool) -> Worker:
    request, client, vhost = worker.request, worker.client, worker.vhost
    if empty or worker.status == ".":
        shown = ("", "", "")
    else:
        shown = (redactor.client(client), redactor.request(request), redactor.vhost(vhost))
    if shown == (client, request, vhost):
        return worker
    return Worker(
        worker.thread_num,
        worker.generation,
        worker.status,
        worker.access_count,
        worker.bytes_served,
        worker.start_time,
        worker.stop_time,
        worker.last_used,
        *shown,
    )
