"""Whether Apache is drained: is anything at work there but the dashboard itself?

Owns the route `/drain`, for hooks that wait before they stop, restart or replace a server, and the rule
what of a scoreboard counts. It must not know viewers: what the dashboard holds itself is the requests
that came through Apache and are not answered yet, among which each viewer's WebSocket is one.

What counts is what mod_status calls busy, and more, and less:

- a slot that reads, sends, logs, closes: yes, in processes that end as well. That is BusyWorkers, and
  what it leaves out, the slots of processes that end;
- a slot with the letter G: unless it has ended its last request, as idle threads of the worker MPM have;
- a live process of an old generation: yes, even where no slot of it is at work. On the event MPM it
  still sends answers that hold no worker;
- a slot with the letter K: no. It holds an open connection on which nothing was asked; the event MPM
  shows none of them. A load balancer may keep such connections open for ever;
- a slot that holds a request to the dashboard: no.

Every answer is of a reading that was taken after its request had come. Who asks meanwhile waits for the
next one together, `PAUSE` after the one before: so many may ask, and the scoreboard is read as if one
did.
"""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import msgspec
from aiohttp import web

from mod_wsgi_dashboard import middlewares
from mod_wsgi_dashboard.core.errors import DashboardError, MetricsOff, ShapeError
from mod_wsgi_dashboard.core.scoreboard import Scoreboard, Worker
from mod_wsgi_dashboard.sources import Source

# Seconds between two readings. Counting takes 3.6 ms at 6,400 slots, 31 ms at 20,000.
PAUSE = 0.2

# A connection that ended before the reading is known to have ended after so long.
SETTLE = 0.01

# When to ask again.
RETRY_AFTER = 1

_AT_WORK = frozenset("RWLDC")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What was at work at one reading.

    `busy` workers are at work, `own` of which are the dashboard's, and `others` are not.
    `old_generation` processes are left from before the last graceful restart. `keepalive` workers wait
    on open connections, and don't count. `oldest_seconds` is the age of the oldest request under way,
    WebSockets aside, None where there is none or Apache doesn't tell.
    """

    at: float
    busy: int
    own: int
    others: int
    old_generation: int
    keepalive: int
    oldest_seconds: float | None

    @property
    def drained(self) -> bool:
        """Whether only the dashboard itself is at work."""
        return not (self.others or self.old_generation)


class Drained(Held, frozen=True, kw_only=True):
    """The answer when only the dashboard is at work."""

    status: Literal["drained"] = "drained"


def count(metrics: object, *, own: int, at: float) -> Held:
    """Return what is at work in one `mod_wsgi.server_metrics()` result.

    Args:
        metrics: the result.
        own: requests to the dashboard that hold a worker.
        at: epoch seconds of the reading.

    Raises:
        MetricsOff: `metrics` is None.
        ShapeError: it has another shape than expected.
    """
    if metrics is None:
        raise MetricsOff
    try:
        # Unredacted, and so nothing but numbers may leave this function.
        board = msgspec.convert(metrics, Scoreboard)
    except (msgspec.ValidationError, TypeError):
        raise ShapeError("mod_wsgi.server_metrics() has a shape that this version can't read.") from None
    live = [process for process in board.processes if process.pid]
    slots = [slot for process in live for slot in process.workers]
    timed = bool(board.extended_status)
    held = [slot for slot in slots if _is_at_work(slot, timed=timed)]
    under_way = [slot.start_time for slot in held if slot.unfinished and not slot.held_by_websocket]
    own = min(own, len(held))
    others = len(held) - own
    return Held(
        at=at,
        busy=len(held),
        own=own,
        others=others,
        old_generation=sum(process.generation != board.running_generation for process in live),
        keepalive=sum(slot.status == "K" for slot in slots),
        oldest_seconds=max(0.0, at - min(under_way)) if under_way and others else None,
    )


def _is_at_work(slot: Worker, *, timed: bool) -> bool:
    if slot.status == "G":
        return not timed or slot.unfinished
    return slot.status in _AT_WORK


class Drain:
    """Takes the readings that `/drain` is answered from.

    Args:
        source: where scoreboards come from; None in a replay.
        held: the requests that hold a worker of Apache now.
    """

    def __init__(self, source: Source | None, held: set[object]) -> None:
        self.source = source
        self._held = held
        self._next: asyncio.Task[Held] | None = None
        self._read_at = 0.0

    async def look(self) -> Held:
        """Read the scoreboard anew, together with all who ask before it is read.

        Raises:
            DashboardError: it can't be read.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read(), name="drain")
        # One that goes must not cancel what others wait for.
        return await asyncio.shield(self._next)

    async def _read(self) -> Held:
        assert self.source is not None
        await asyncio.sleep(max(0.0, self._read_at + PAUSE - time.monotonic()))
        self._next = None
        self._read_at = time.monotonic()
        before, at = set(self._held), time.time()
        metrics = self.source.read()
        # What has ended by now, or had at the reading, without anybody here knowing yet, was perhaps not
        # held any more: its worker may be another's already.
        await asyncio.sleep(SETTLE)
        return count(metrics, own=len(before & self._held), at=at)


DRAIN = web.AppKey("mod_wsgi_dashboard.drain", Drain)


def routes() -> list[web.RouteDef]:
    """Return the routes; the application needs `DRAIN`."""
    return [web.get("/drain", _answer)]


async def _answer(request: web.Request) -> web.Response:
    drain = request.app[DRAIN]
    if drain.source is None:
        return middlewares.problem(404, "This is a recording: there is no Apache to drain.")
    try:
        held = await drain.look()
    except DashboardError as error:
        return middlewares.problem(503, str(error))
    except Exception as error:
        # What the source raises may be anything; the poller logs it.
        what = f"mod_wsgi.server_metrics() raised {type(error).__name__}."
        return middlewares.problem(503, what)
    if not held.drained:
        headers = {"Retry-After": str(RETRY_AFTER)}
        return middlewares.problem(503, _describe(held), headers, more=msgspec.structs.asdict(held))
    body = Drained(**msgspec.structs.asdict(held))
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


def _describe(held: Held) -> str:
    parts = []
    if held.others:
        parts.append(f"{_plural(held.others, 'worker')} at work")
    if held.oldest_seconds is not None:
        parts.append(f"the oldest request for {held.oldest_seconds:.0f} s")
    if held.old_generation:
        parts.append(f"{_plural(held.old_generation, 'process', 'processes')} of an old generation left")
    return f"Not drained yet: {', '.join(parts)}."


def _plural(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
