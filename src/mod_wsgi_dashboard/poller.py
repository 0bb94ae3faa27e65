"""The tick: read the scoreboard, make a sample of it, hand it on.

Owns the schedule and what happens when a reading fails. It must not know who looks at samples, only
whether somebody does: while nobody does, nothing is read, but when it is asked for.

Invariants: ticks count up by one, poll by poll; while somebody looks, instants of polls lie on a fixed
grid, so that no delay adds up; whatever a reading does, polling goes on. What is wrong is logged once
per change, not once per tick.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader, Scoreboard
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.sources import Source

log = logging.getLogger(__name__)

# NTP slews by less; a step of this size between two polls makes times on the page jump visibly.
CLOCK_JUMP = 2.0

Judge = Callable[[rates.Reading | None, float, float], list[Alert]]


class Clock(Protocol):
    """The time as the poller sees it."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def wall(self) -> float:
        """Return epoch seconds."""

    async def sleep_until(self, instant: float) -> None:
        """Return once `monotonic()` has reached `instant`."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep_until(self, instant: float) -> None:
        await asyncio.sleep(max(0.0, instant - time.monotonic()))


class Poller:
    """Polls a source at a fixed interval and publishes a sample, or a failure, at every tick.

    Args:
        source: where scoreboards come from.
        settings: `interval`, `max_request_workers` and what decides redaction.
        wanted: set while somebody looks.
        publish: called with each sample or failure.
        viewers: called with the reading, None where there is none, for the count of viewers.
        notices: called for sentences, beside the poller's own, that viewers should read.
        judge: called with the reading, None where there is none, and its instant in epoch and in
            monotonic seconds, for the alerts.
    """

    def __init__(
        self,
        source: Source,
        settings: Settings,
        *,
        wanted: asyncio.Event,
        publish: Callable[[wire.Sample | wire.Failure], None],
        viewers: Callable[[rates.Reading | None], wire.ViewerCount],
        notices: Callable[[], list[str]],
        judge: Judge | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._wanted = wanted
        self._publish = publish
        self._viewers = viewers
        self._notices = notices
        self._judge: Judge = judge or (lambda _reading, _at, _now: [])
        self._clock = clock or SystemClock()
        self._reader = Reader(
            Redactor(
                enabled=settings.redact,
                allow_parameters=settings.allow_parameters,
                truncate_clients=settings.client_addresses == "truncated",
            )
        )
        self._tick = 0
        self._failures = 0
        self._due: float | None = None
        self._lag = self._duration = 0.0
        self._polled_at: float | None = None
        self._reading: rates.Reading | None = None
        self._read_at = 0.0
        self._offset: float | None = None
        self._problem: str | None = None
        self._troubles: frozenset[str] = frozenset()

    @property
    def age(self) -> float:
        """Seconds since the newest poll; infinite before the first."""
        return math.inf if self._polled_at is None else self._clock.monotonic() - self._polled_at

    @property
    def ticks(self) -> int:
        """Polls until now."""
        return self._tick

    @property
    def failures(self) -> int:
        """Of these, how many could not be read."""
        return self._failures

    @property
    def lag(self) -> float:
        """Seconds by which the newest poll began later than it was due; 0 if it was just asked for."""
        return self._lag

    @property
    def duration(self) -> float:
        """Seconds that the newest poll took, to read and to hand on."""
        return self._duration

    async def run(self) -> None:
        """Poll at once, so that the log says what is wrong, and then whenever somebody looks."""
        if not self._wanted.is_set():
            self.refresh()
        while True:
            await self._wanted.wait()
            await self._poll_while_wanted()

    async def _poll_while_wanted(self) -> None:
        interval = self._settings.interval
        self.refresh()
        start = self._clock.monotonic() - self.age
        while True:
            # A sleep may end a rounding error early: that must not be a tick of its own.
            passed = int((self._clock.monotonic() - start) / interval + 1e-3)
            due = start + (passed + 1) * interval
            await self._clock.sleep_until(due)
            if not self._wanted.is_set():
                return
            self._due = due
            self.poll()

    def refresh(self) -> None:
        """Read the scoreboard, unless it was read within the last interval."""
        if self.age >= self._settings.interval:
            self.poll()

    def poll(self) -> None:
        """Read the scoreboard once and publish what came of it."""
        self._tick += 1
        began = self._polled_at = self._clock.monotonic()
        due, self._due = self._due, None
        self._lag = 0.0 if due is None else max(0.0, began - due)
        at = self._clock.wall()
        try:
            scoreboard = self._reader.read(self._source.read())
        except DashboardError as error:
            self._fail(at, began, str(error), exception=None)
        except Exception as error:
            problem = f"mod_wsgi.server_metrics() raised {type(error).__name__}; polling goes on."
            self._fail(at, began, problem, exception=error)
        else:
            self._succeed(scoreboard, at, began)
        self._duration = self._clock.monotonic() - began

    def _succeed(self, scoreboard: Scoreboard, at: float, began: float) -> None:
        if self._problem is not None:
            log.warning("the scoreboard can be read again")
            self._problem = None
        slowness = self._slowness(began)
        self._reading = rates.read(
            scoreboard,
            previous=self._reading,
            elapsed=began - self._read_at,
            max_request_workers=self._settings.max_request_workers,
        )
        self._read_at = began
        troubles = self._tell(
            slow=slowness,
            jump=self._jump(at, began),
            extended=_extended_status(self._reading.capacity),
        )
        self._publish(
            wire.Sample(
                tick=self._tick,
                at=at,
                interval=self._settings.interval,
                snapshot=scoreboard,
                rates=self._reading.rates,
                capacity=self._reading.capacity,
                viewers=self._viewers(self._reading),
                notices=[*troubles, *self._notices()],
                alerts=self._judge(self._reading, at, began),
            )
        )

    def _fail(self, at: float, began: float, problem: str, *, exception: Exception | None) -> None:
        self._failures += 1
        if problem != self._problem:
            log.error("%s", problem, exc_info=exception)
            self._problem = problem
        self._publish(
            wire.Failure(
                tick=self._tick,
                at=at,
                interval=self._settings.interval,
                error=problem,
                viewers=self._viewers(None),
                notices=self._notices(),
                alerts=self._judge(None, at, began),
            )
        )

    def _tell(self, **found: str | None) -> list[str]:
        """Return the sentences on what makes this reading less than it should be; log new ones."""
        troubles = {name: text for name, text in found.items() if text is not None}
        for name in troubles.keys() - self._troubles:
            log.warning("%s", troubles[name])
        self._troubles = frozenset(troubles)
        return list(troubles.values())

    def _slowness(self, began: float) -> str | None:
        took = self._clock.monotonic() - began
        if took <= self._settings.interval:
            return None
        return (
            f"Reading the scoreboard took {took:.1f} s, longer than the interval of"
            f" {self._settings.interval:g} s: samples come late. The machine is overloaded, or"
            " `interval` is too short for so many slots."
        )

    def _jump(self, at: float, began: float) -> str | None:
        offset = at - began
        jump = 0.0 if self._offset is None else offset - self._offset
        self._offset = offset
        if abs(jump) <= CLOCK_JUMP:
            return None
        return (
            f"The system clock was set {'forward' if jump > 0 else 'back'} by {abs(jump):.0f} s:"
            " ages of requests that began before are wrong by as much; rates are not."
        )


def _extended_status(capacity: rates.Capacity) -> str | None:
    if capacity.extended_status is not False:
        return None
    return (
        "Apache's ExtendedStatus is off, so that it keeps no requests, times or counts:"
        " add `ExtendedStatus On` to its configuration and restart it."
    )
