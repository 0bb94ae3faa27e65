"""Which sample is shown: the newest as it comes, or one of the past, and what is remembered of both.

Owns the samples that are kept, the load up to the shown one, and going back and forth. It must not know
how anything is shown. Instants are epoch seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import deque
from operator import is_not
from typing import TYPE_CHECKING

from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.core.wire import Failure, Sample
from mod_wsgi_dashboard.terminal.archive import Archive, Extent, Mark
from mod_wsgi_dashboard.terminal.chart import WINDOWS
from mod_wsgi_dashboard.terminal.moment import point_of

if TYPE_CHECKING:
    from mod_wsgi_dashboard.client import Latest

# Samples share what did not change, so one costs its changed workers, some 400 bytes each: 25 MB. A
# server of 64 slots that all change twice a second is remembered for a quarter of an hour.
MOST_WORKERS = 60_000
MOST_SAMPLES = 3600

# The load at each sample, for an hour at one a second.
MOST_POINTS = 3600

# What the verdict needs: for how long a server has been full.
BEFORE_SECONDS = 900.0

# What is fetched around a moment, at least and at most, and how far is looked for the next sample.
_LEAST_STRETCH, _MOST_STRETCH = 10.0, 60.0
_FAR = (1.0, 10.0, 100.0, 1000.0, 10_000.0)

# From the newest bucket of the recording to the first sample that came.
LATE_SECONDS = 3.0

_LESS = 0.0005


class Travel:
    """The place of one viewer in time.

    Args:
        archive: what was recorded; None if nothing can be asked.
        still: there is no newest sample to come: it is a replay.
    """

    def __init__(self, archive: Archive | None, *, still: bool = False) -> None:
        self.still = still
        self.shown: Latest | None = None
        self.newest: Latest | None = None
        self.paused = still
        self.trouble = ""
        self.window = 1
        self.extent: Extent | None = None
        self._archive = archive
        self._kept: deque[tuple[Latest, int]] = deque()
        self._cost = 0
        self._points: deque[Point] = deque(maxlen=MOST_POINTS)
        # Of a moment that is not remembered: the samples around it, and the load before it.
        self._stretch: list[Latest] = []
        self._past: list[Point] = []
        # What the chart shows where it reaches further than what is remembered, and for which time.
        self._chart: list[Point] = []
        self._chart_of: tuple[float, float] | None = None

    # What comes

    def take(self, latest: Latest) -> None:
        """Remember a new sample, and show it unless the viewer stopped at another one."""
        newest = self.newest
        if newest is not None and latest.at <= newest.at:
            # The clock was set back: what was after it is no past of it.
            self._forget_from(latest.at)
        self._keep(latest)
        self.newest = latest
        if not self.paused:
            self.shown = latest

    def _keep(self, latest: Latest) -> None:
        before = next((kept for kept, _ in reversed(self._kept) if isinstance(kept, Sample)), None)
        cost = _cost(before, latest)
        self._kept.append((latest, cost))
        self._cost += cost
        while len(self._kept) > 1 and (self._cost > MOST_WORKERS or len(self._kept) > MOST_SAMPLES):
            self._cost -= self._kept.popleft()[1]
        if isinstance(latest, Sample):
            last = self._points[-1] if self._points else None
            self._points.append(point_of(latest, before=last))

    def _forget_from(self, at: float) -> None:
        while self._kept and self._kept[-1][0].at >= at:
            self._cost -= self._kept.pop()[1]
        while self._points and self._points[-1].at >= at:
            self._points.pop()

    async def remember(self, end: float) -> None:
        """Fill in the load before the first sample from the recording, if there is one."""
        with contextlib.suppress(DashboardError):
            if self._archive is None or not await self._is_recorded():
                return
            earlier = await self._archive.points(end - BEFORE_SECONDS, end, int(BEFORE_SECONDS))
            first = self._points[0].at if self._points else end
            own = list(self._points)
            self._points.clear()
            self._points.extend(point for point in earlier if point.at < first - _LESS)
            if self._points and own:
                gap = own[0].at - self._points[-1].at > LATE_SECONDS * max(1.0, self._interval)
                own[0] = dataclasses.replace(own[0], gap=gap)
            self._points.extend(own)

    # What is shown

    @property
    def _interval(self) -> float:
        return self.newest.interval if self.newest is not None else 1.0

    @property
    def live(self) -> bool:
        return not self.paused

    def points(self) -> list[Point]:
        """Return the load up to the shown sample, as far as it is known."""
        if self.shown is None:
            return []
        at = self.shown.at + _LESS
        if self._is_kept(self.shown):
            return [point for point in self._points if point.at <= at]
        # Of a recorded point it is known in which second it was; the shown sample is the last.
        points = [point for point in self._past if point.at <= at - _LESS]
        if isinstance(self.shown, Sample):
            points.append(point_of(self.shown, before=points[-1] if points else None))
        return points

    def span(self) -> tuple[float, float]:
        """Return what the chart shows: a window that ends with the shown sample, or all there is."""
        end = self.shown.at if self.shown is not None else 0.0
        start = end - WINDOWS[self.window][0]
        if self.window == len(WINDOWS) - 1 and self.extent is not None and self.extent.since:
            start = max(start, self.extent.since)
        return start, end

    def chart(self) -> list[Point]:
        """Return the load in the chart's window, as far as it is known by now."""
        if self._chart_of is None:
            return self.points()
        until = self._chart_of[1]
        newer = [point for point in self.points() if point.at > until]
        return [*self._chart, *newer]

    async def fetch_chart(self, columns: int) -> None:
        """Ask for what the chart needs beyond what is remembered."""
        start, end = self.span()
        points = self.points()
        if self._archive is None or (points and points[0].at <= start + 2 * self._interval):
            self._chart_of = None
            return
        with contextlib.suppress(DashboardError):
            self._chart = await self._archive.points(start, end, max(1, columns))
            self._chart_of = (start, end)

    def needs_chart(self) -> bool:
        """Return whether what was asked for is another time than the chart's."""
        if self._archive is None or self._chart_of is None:
            return False
        start, end = self.span()
        length = end - start
        return not (self._chart_of[0] - 0.1 * length <= start <= self._chart_of[0] + length)

    # Going through time

    def stop(self) -> None:
        """Stay at the shown sample."""
        self.paused = True

    def follow(self) -> None:
        """Go to the newest sample, and on with those that come; of a replay to its end."""
        self.trouble = ""
        self.shown = self.newest
        self.paused = self.still
        self._chart_of = None

    async def open_at_end(self) -> None:
        """Show the last sample that was recorded.

        Raises:
            DashboardError: there is none, or it can't be read.
        """
        assert self._archive is not None
        self.extent = await self._archive.extent()
        if self.extent.until is None:
            raise DashboardError("nothing is recorded in it")
        await self.seek(self.extent.until)
        if self.shown is None:
            raise DashboardError("nothing is recorded in it")
        self.newest = self.shown

    async def seek(self, at: float) -> None:
        """Show the newest sample at or before an instant, or else the first one."""
        self.paused = True
        self.trouble = ""
        kept = [latest for latest, _ in self._kept if latest.at <= at + _LESS]
        # What is kept has all samples from its first one on.
        if kept:
            self.shown = kept[-1]
            return
        if self.extent is not None and self.extent.since is not None:
            at = max(at, self.extent.since)
        found = await self._around(at)
        before = [latest for latest in found if latest.at <= at + _LESS]
        if before:
            await self._show(before[-1])
        elif found:
            await self._show(found[0])
        elif self._kept:
            self.shown = self._kept[0][0]

    async def step(self, count: int) -> None:
        """Go so many samples back (below 0) or on; beyond the newest, go on with those that come."""
        self.paused = True
        self.trouble = ""
        for _ in range(abs(count)):
            if self.shown is None:
                return
            found = await (self._before(self.shown.at) if count < 0 else self._after(self.shown.at))
            if found is None:
                if count > 0 and not self.still:
                    self.follow()
                elif not self.trouble:
                    self.trouble = "There is none before it." if count < 0 else "This is the end."
                return
            await self._show(found)

    async def jump(self, direction: int) -> Mark | None:
        """Go to the event before (-1) or after the shown sample, and return it."""
        self.trouble = ""
        if self.shown is None:
            return None
        if not await self._is_recorded():
            self.trouble = "Nothing is recorded: there are no events."
            return None
        marks = await self._ask_marks()
        margin = self._interval
        if direction < 0:
            wanted = next((mark for mark in reversed(marks) if mark.at < self.shown.at - margin), None)
        else:
            wanted = next((mark for mark in marks if mark.at > self.shown.at + _LESS), None)
        if wanted is None:
            self.trouble = self.trouble or f"No event {'before' if direction < 0 else 'after'} this."
            return None
        await self.seek(wanted.at)
        if self.shown is not None and self.shown.at < wanted.at - _LESS:
            # What an event tells of is in the first sample after it.
            after = await self._after(self.shown.at)
            if after is not None and after.at - wanted.at <= 2 * self._interval:
                await self._show(after)
        return wanted

    async def _ask_marks(self) -> list[Mark]:
        assert self._archive is not None
        extent = self.extent
        since = extent.since if extent is not None and extent.since is not None else 0.0
        until = self.newest.at if self.newest is not None else 0.0
        try:
            return await self._archive.marks(since, until)
        except DashboardError as error:
            self.trouble = str(error)
            return []

    def _is_kept(self, latest: Latest) -> bool:
        return bool(self._kept) and latest.at >= self._kept[0][0].at

    async def _show(self, latest: Latest) -> None:
        self.shown = latest
        if self._is_kept(latest) or self._archive is None:
            return
        known = self._past[0].at if self._past else None
        if known is None or not known <= latest.at <= self._past[-1].at + self._interval:
            try:
                start, end = latest.at - BEFORE_SECONDS, latest.at + BEFORE_SECONDS
                self._past = await self._archive.points(start, end, int(2 * BEFORE_SECONDS))
            except DashboardError:
                self._past = []

    async def _before(self, at: float) -> Latest | None:
        kept = [latest for latest, _ in self._kept if latest.at < at - _LESS]
        if kept:
            return kept[-1]
        near = [latest for latest in self._stretch if latest.at < at - _LESS]
        covers = bool(self._stretch) and self._stretch[-1].at >= at - _LESS
        if not (near and covers):
            near = [latest for latest in await self._around(at - 2 * _LESS) if latest.at < at - _LESS]
        return near[-1] if near else None

    async def _after(self, at: float) -> Latest | None:
        if self._kept and self._kept[0][0].at <= at + _LESS:
            return next((latest for latest, _ in self._kept if latest.at > at + _LESS), None)
        if self._stretch and self._stretch[0].at <= at + _LESS < self._stretch[-1].at:
            return next(latest for latest in self._stretch if latest.at > at + _LESS)
        until = self._kept[0][0].at if self._kept else None
        for far in _FAR:
            end = at + far * self._length()
            found = [latest for latest in await self._fetch(at, end) if latest.at > at + _LESS]
            if found:
                return found[0]
            if (until is not None and end >= until) or self._is_beyond(end):
                break
        return self._kept[0][0] if self._kept else None

    def _is_beyond(self, end: float) -> bool:
        extent = self.extent
        return extent is None or extent.until is None or end >= extent.until

    async def _around(self, at: float) -> list[Latest]:
        """Return the samples of the stretch that ends with an instant, with one before them."""
        return await self._fetch(at - self._length(), at)

    async def _is_recorded(self) -> bool:
        """Return whether there is anything to ask for; a dashboard may have just begun to record."""
        if self._archive is not None and (self.extent is None or self.extent.since is None):
            with contextlib.suppress(DashboardError):
                self.extent = await self._archive.extent()
        return self.extent is not None and self.extent.since is not None

    async def _fetch(self, start: float, end: float) -> list[Latest]:
        if self._archive is None or not await self._is_recorded():
            return []
        try:
            self._stretch = await self._archive.samples(start, end)
        except DashboardError as error:
            self.trouble = str(error)
            self._stretch = []
        return self._stretch

    def _length(self) -> float:
        """Return the seconds of a stretch: as many changed workers as are remembered, at most."""
        shown = self.shown
        slots = 1
        if isinstance(shown, Sample):
            slots = sum(len(process.workers) for process in shown.snapshot.processes) or 1
        seconds = MOST_WORKERS / slots * self._interval
        return max(_LEAST_STRETCH, 10 * self._interval, min(_MOST_STRETCH, seconds))


def _cost(before: Sample | None, latest: Latest) -> int:
    """Return how many workers a sample has that the one before does not share."""
    if isinstance(latest, Failure):
        return 1
    total = 1
    then = [] if before is None else before.snapshot.processes
    for place, process in enumerate(latest.snapshot.processes):
        old = then[place] if place < len(then) else None
        if old is process:
            continue
        if old is None or len(old.workers) != len(process.workers):
            total += len(process.workers)
        elif old.workers is not process.workers:
            total += sum(map(is_not, old.workers, process.workers)) + len(process.workers) // 16
    return total
