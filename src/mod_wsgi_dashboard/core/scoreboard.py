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
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import astuple

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


# The same endings as in the page's requests.ts.
_SOCKET = re.compile(r"\S+ [^ ?]*(?:/(?:ws|websocket|socket|cable)|/socket\.io/)(?:[ ?]|\Z)")


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
    def held_by_websocket(self) -> bool:
        """Whether this looks like a WebSocket held through Apache's proxy.

        The scoreboard doesn't tell a tunnel from a slow reply; the path is all there is, so only
        sockets on a path that names one are seen: `.../ws`, as the dashboard's own, and what the
        common libraries use.
        """
        request = self.request
        # Of thousands of changed workers a second few need the expression, and its 0.3 us.
        hinted = "/ws" in request or "socket" in request or "/cable" in request
        return hinted and self.status == "W" and self.unfinished and _SOCKET.match(request) is not None


NEVER_USED = Worker(0, 0, ".", 0, 0, 0.0, 0.0, 0.0, "", "", "")


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

    What is as it was in the result before is not checked and redacted again: its `Worker`, its list of
    workers and its `Process` are the very objects of the scoreboard before. So whoever compares two
    scoreboards of one reader finds by identity what changed between them.

    What changed is told by a 64-bit hash of each worker's values: keeping the result itself would cost
    megabytes that no cache holds. A change goes unseen with a chance of 2^-64, until the next one.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._hashes: list[list[int]] = []
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
            hashes = [_hash(process.workers) for process in raw.processes]
            known = [self._known(number, process) for number, process in enumerate(raw.processes)]
            changed = [
                _changed(self._hashes[number], hashes[number])
                if known[number]
                else range(len(hashes[number]))
                for number in range(len(hashes))
            ]
            workers = self._parse(raw.processes, changed)
        except (msgspec.ValidationError, TypeError) as error:
            raise ShapeError(_describe(metrics, error)) from None
        self._processes = [
            self._assemble(*each, workers) for each in zip(raw.processes, known, changed, strict=True)
        ]
        self._hashes = hashes
        return Scoreboard(
            raw.server_limit,
            raw.thread_limit,
            raw.running_generation,
            raw.restart_time,
            raw.current_time,
            raw.running_time,
            self._processes,
        )

    def _parse(self, processes: list[_RawProcess], changed: Sequence[Sequence[int]]) -> Iterator[Worker]:
        """Check and redact the workers that changed, column by column: a call for each costs more."""
        each = list(zip(processes, changed, strict=True))
        raw = [process.workers[index] for process, indexes in each for index in indexes]
        if not raw:
            return iter(())
        empty = chain.from_iterable(repeat(p.pid == 0, len(indexes)) for p, indexes in each)
        columns = list(zip(*map(astuple, msgspec.convert(raw, list[Worker])), strict=True))
        others, texts = columns[:-3], columns[-3:]
        blank = [none or letter == "." for none, letter in zip(empty, columns[2], strict=True)]
        if any(blank):
            texts = [
                tuple("" if none else text for none, text in zip(blank, column, strict=True))
                for column in texts
            ]
        return map(Worker, *others, *self._redactor.columns(*texts))

    def _known(self, number: int, raw: _RawProcess) -> Process | None:
        """Return the process of this place from before, unless nothing of it may be taken over."""
        if number >= len(self._processes):
            return None
        known = self._processes[number]
        # What may be shown of an empty server slot is another thing.
        same = len(known.workers) == len(raw.workers) and (known.pid == 0) == (raw.pid == 0)
        return known if same else None

    def _assemble(
        self, raw: _RawProcess, known: Process | None, indexes: Sequence[int], fresh: Iterator[Worker]
    ) -> Process:
        if known is not None and not indexes:
            workers = known.workers
        else:
            workers = list(raw.workers if known is None else known.workers)
            for index in indexes:
                workers[index] = next(fresh)
        process = Process(raw.process_num, raw.pid, raw.generation, raw.quiescing, workers)
        return known if known == process else process


def _hash(workers: list[dict[str, Any]]) -> list[int]:
    return list(map(hash, map(tuple, map(dict.values, workers))))


def _changed(before: list[int], now: list[int]) -> list[int]:
    return [index for index, (old, new) in enumerate(zip(before, now, strict=True)) if old != new]


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


def _describe(metrics: object, error: Exception) -> str:
    try:
        # A worker was checked apart from its process; only the whole has the whole path.
        msgspec.convert(metrics, Scoreboard)
    except msgspec.ValidationError as whole:
        error = whole
    # msgspec quotes a bad enum value, which may be anything; its other messages hold types and keys.
    problem = re.sub(r"Invalid enum value .* - at", "Unknown status letter - at", str(error), flags=re.S)
    return f"mod_wsgi.server_metrics() has a shape that this version can't read: {problem}"
