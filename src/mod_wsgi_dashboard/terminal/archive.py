"""What was recorded, asked of a dashboard or read from a file, behind one interface.

Owns the questions, and the checks of what a dashboard answers. It must not know what is shown.
Instants are epoch seconds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import LASTING, Event
from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.recording import Recording

if TYPE_CHECKING:
    # It brings aiohttp, which takes a tenth of a second, and which a file doesn't need.
    from mod_wsgi_dashboard.client import Api, Latest

# What the page marks, and its words.
MARKS = {
    "apache-start": "Apache was started",
    "graceful": "graceful restart",
    "saturation": "full",
    "metrics-off": "scoreboard not readable",
    "dashboard-start": "the dashboard was started",
    "alert": "alert",
    "bookmark": "bookmark",
}
MOST_MARKS = 1000

# Of one answer: an hour at one sample a second, as the API's own bound.
MOST_FRAMES, MOST_FRAME_BYTES = 3600, 16 << 20

# After so many intervals without a sample nothing is known; polling every five seconds is no gap.
_LATE, _LEAST_GAP = 3.0, 8.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, in words, and when it was over, if it lasted and is."""

    at: float
    text: str
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Extent:
    """From when to when there are samples, None where there is none, and the time between two."""

    since: float | None
    until: float | None
    interval: float


class Archive(Protocol):
    """What can be asked of a recording.

    Every method raises a DashboardError where there is no answer.
    """

    async def extent(self) -> Extent:
        """Return what there is."""

    async def samples(self, start: float, end: float) -> list[Latest]:
        """Return the newest sample at or before `start`, and those up to `end`, in order."""

    async def points(self, start: float, end: float, most: int) -> list[Point]:
        """Return the load over a time; at most so many points, of each stretch of time the highest."""

    async def marks(self, start: float, end: float) -> list[Mark]:
        """Return what happened, in order."""


class _Answer(msgspec.Struct):
    since: float | None
    until: float | None
    interval: float


class _Column(msgspec.Struct):
    max: list[float | None]


class _Series(msgspec.Struct):
    busy: _Column
    workers: _Column


class _History(msgspec.Struct):
    at: list[float]
    step: float
    interval: float
    series: _Series


class _Event(msgspec.Struct):
    at: float
    kind: str
    data: dict[str, object]
    ended: float | None = None


class _Events(msgspec.Struct):
    events: list[_Event]


class NoAnswer(DashboardError):
    """The dashboard's answer can't be read."""


class ApiArchive:
    """The recording of a dashboard."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def _ask(self, path: str, answer: type[T], /, **query: object) -> T:
        text = await self._api.get(f"api/v1/{path}", {name: str(of) for name, of in query.items()})
        try:
            return msgspec.json.decode(text, type=answer)
        except msgspec.DecodeError as error:
            raise NoAnswer(f"{self._api.name}: its answer can't be read: {error}") from None

    async def extent(self) -> Extent:
        found = await self._ask("recording", _Answer)
        return Extent(found.since, found.until, found.interval)

    async def samples(self, start: float, end: float) -> list[Latest]:
        query = {"from": _written(start), "to": _written(end)}
        text = await self._api.get("api/v1/frames", query)
        return await asyncio.to_thread(_decode, text.splitlines())

    async def points(self, start: float, end: float, most: int) -> list[Point]:
        query = {"from": _written(start), "to": _written(end), "points": most}
        found = await self._ask("history", _History, **query, series="busy,workers")
        busy, of = found.series.busy.max, found.series.workers.max
        return _points(zip(found.at, busy, of, strict=False), found.step, found.interval, end)

    async def marks(self, start: float, end: float) -> list[Mark]:
        query = {"from": _written(start), "to": _written(end), "limit": MOST_MARKS}
        found = await self._ask("events", _Events, **query, kind=",".join(MARKS))
        return [_mark(e.kind, e.at, e.ended, data=e.data) for e in found.events if e.kind in MARKS]


class FileArchive:
    """A recording on this machine."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        # A recording is read from one thread at a time.
        self._lock = asyncio.Lock()

    async def _read(self, work: Callable[[Recording], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(work, self._recording)

    async def extent(self) -> Extent:
        found = await self._read(Recording.extent)
        return Extent(found.since, found.until, found.interval)

    async def samples(self, start: float, end: float) -> list[Latest]:
        def work(recording: Recording) -> list[Latest]:
            found = recording.frames(
                *(_ms(start), _ms(end)), most=MOST_FRAMES, most_bytes=MOST_FRAME_BYTES
            )
            return _decode(frame.text() for frame in found)

        return await self._read(work)

    async def points(self, start: float, end: float, most: int) -> list[Point]:
        def work(recording: Recording) -> list[Point]:
            interval = recording.extent().interval
            wish = history.step_for(end - start, most, max(1.0, interval))
            table, step = recording.aggregates(start, end, wish)
            busy, of = (table.columns.most[history.SERIES.index(n)] for n in ("busy", "workers"))
            return _points(zip(table.at, busy, of, strict=True), step, interval, end)

        return await self._read(work)

    async def marks(self, start: float, end: float) -> list[Mark]:
        def work(recording: Recording) -> list[Mark]:
            found = recording.events(_ms(start), _ms(end), kinds=MARKS, most=MOST_MARKS)
            return [_mark_of(each.event) for each in found]

        def _mark_of(event: Event) -> Mark:
            ended = None if event.ended_ms is None else event.ended_ms / 1000
            return _mark(event.kind, event.at_ms / 1000, ended, data=event.data)

        return await self._read(work)


def _written(at: float) -> str:
    return f"{max(0.0, at):.3f}"


def _ms(at: float) -> int:
    return math.floor(at * 1000 + 0.5)


def _decode(texts: Iterable[bytes]) -> list[Latest]:
    """Return what frames say; those that continue nothing are left out."""
    decoder, found = Decoder(), []
    for text in texts:
        try:
            latest = decoder.decode(text)
        except ChainBroken:
            continue
        except FrameError as error:
            raise NoAnswer(f"what was recorded can't be read: {error}") from None
        if latest is not None:
            found.append(latest)
    return found


def _points(
    rows: Iterable[tuple[float, float | None, float | None]], step: float, interval: float, end: float
) -> list[Point]:
    """Return rows of begin, busy and workers as points, which stand where their time ends."""
    longest = max(_LATE * max(step, interval), _LEAST_GAP)
    points: list[Point] = []
    for begin, busy, of in rows:
        if busy is None or of is None or not (math.isfinite(busy) and math.isfinite(of)):
            continue
        at = min(begin + step, max(begin, end))
        gap = not points or at - points[-1].at > longest
        points.append(Point(at, gap, int(busy), int(of)))
    return points


def _mark(kind: str, at: float, ended: float | None, *, data: dict[str, object]) -> Mark:
    said = data.get("text") or data.get("error") or data.get("rule") or ""
    text = f"{MARKS[kind]}: {said}" if isinstance(said, str) and said else MARKS[kind]
    return Mark(at, text, ended if kind in LASTING else None)
