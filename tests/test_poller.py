"""The tick loop, on a clock of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from mod_wsgi_dashboard.core.wire import Failure, Sample, ViewerCount
from mod_wsgi_dashboard.poller import Poller
from mod_wsgi_dashboard.settings import Settings
from tests.conftest import build_metrics


class Stopped(Exception):
    """The clock has run out."""


class FakeClock:
    """A clock that jumps to where it is slept to, and ends the loop at `end`."""

    def __init__(self, end: float) -> None:
        self.now = 100.0
        self.offset = 1_700_000_000.0
        self.end = self.now + end

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset

    async def sleep_until(self, instant: float) -> None:
        assert instant > self.now
        if instant > self.end:
            raise Stopped
        self.now = instant


class Script:
    """A source that does at each reading what the test says for it, and lets time pass."""

    def __init__(self, clock: FakeClock, act: Callable[[int], Any], takes: float = 0.01) -> None:
        self.clock, self.act, self.takes = clock, act, takes
        self.read_at: list[float] = []

    def read(self) -> object:
        self.read_at.append(self.clock.now - 100.0)
        self.clock.now += self.takes
        return self.act(len(self.read_at))


def watched() -> asyncio.Event:
    """Return an event that is set: somebody looks."""
    event = asyncio.Event()
    event.set()
    return event


def run(
    act: Callable[[int], Any], *, seconds: float = 5.0, takes: float = 0.01, **settings: Any
) -> tuple[list[Sample | Failure], Script]:
    """Poll for so many seconds of the fake clock; return what was published, and the source."""
    clock = FakeClock(seconds)
    source = Script(clock, act, takes)
    published: list[Sample | Failure] = []
    poller = Poller(
        source,
        Settings(**settings),
        wanted=watched(),
        publish=published.append,
        viewers=lambda _: ViewerCount(1, 4),
        notices=lambda: ["told"],
        clock=clock,
    )
    with pytest.raises(Stopped):
        asyncio.run(poller.run())
    return published, source


def busy(_: int) -> dict[str, Any]:
    return build_metrics("_W", counts=1)


def test_a_sleep_that_ends_a_little_early_is_no_tick_more() -> None:
    """However instants are rounded, each interval has one poll."""
    _, source = run(busy, seconds=60.0, takes=0.0, interval=0.1)
    assert 601 == len(source.read_at)


@pytest.mark.parametrize("interval", [0.1, 1.0, 2.5])
def test_polls_do_not_drift(interval: float) -> None:
    """Every poll lies on the grid of the first one, however long each takes."""
    _, source = run(busy, seconds=20 * interval, takes=interval * 0.3, interval=interval)
    expected = [index * interval for index in range(21)]
    assert expected == pytest.approx(source.read_at)


def test_a_poll_that_takes_too_long_skips_to_the_grid() -> None:
    """A reading longer than the interval costs ticks, and polling stays on the grid."""
    samples, source = run(busy, seconds=8.0, takes=1.5)
    assert [0.0, 2.0, 4.0, 6.0, 8.0] == pytest.approx(source.read_at)
    assert [1, 2, 3, 4, 5] == [sample.tick for sample in samples]


def test_a_slow_reading_is_told_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each late sample says that it is late; the log says it once."""
    samples, _ = run(busy, seconds=8.0, takes=1.5)
    for sample in samples:
        assert sample.notices[0].startswith("Reading the scoreboard took 1.5 s")
    assert 1 == len(caplog.records)


def test_raising_readings_are_failures_and_polling_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A raising source gives failures that name the exception's type; logged once per change."""

    def act(number: int) -> Any:
        if number in (2, 3, 5):
            raise RuntimeError("holds a secret")
        return build_metrics("_W", counts=number)

    samples, _ = run(act)
    kinds = [type(sample).__name__ for sample in samples]
    assert ["Sample", "Failure", "Failure", "Sample", "Failure", "Sample"] == kinds
    assert isinstance(samples[1], Failure)
    assert samples[1].error == "mod_wsgi.server_metrics() raised RuntimeError; polling goes on."
    assert [logging.ERROR, logging.WARNING] * 2 == [record.levelno for record in caplog.records]


def test_rates_go_on_over_a_gap() -> None:
    """After a failure the rate is that of the whole gap, not of one interval."""

    def act(number: int) -> Any:
        return None if number == 2 else build_metrics("_W", counts=[0, 10 * number])

    samples, _ = run(act, seconds=2.0)
    assert isinstance(samples[2], Sample)
    assert samples[2].rates.requests_per_second == pytest.approx(10.0)


def test_metrics_that_come_and_go_are_told_each_time(caplog: pytest.LogCaptureFixture) -> None:
    """None gives a failure that names the option; each change is one log line."""
    samples, _ = run(lambda number: None if number % 3 else build_metrics("_W"), seconds=8.0)
    errors = [sample.error for sample in samples if isinstance(sample, Failure)]
    assert 6 == len(errors)
    assert "server-metrics=on" in errors[0]
    assert 6 == len(caplog.records)


def test_an_unreadable_shape_is_a_failure() -> None:
    """A dict of another shape is told by its key, and polling goes on."""
    samples, _ = run(lambda number: {"processes": []} if number == 1 else build_metrics("_W"))
    assert isinstance(samples[0], Failure)
    assert "`server_limit`" in samples[0].error
    assert isinstance(samples[1], Sample)


@pytest.mark.parametrize(("step", "word"), [(3600.0, "forward by 3600 s"), (-90.0, "back by 90 s")])
def test_a_clock_jump_is_told_once_and_spoils_no_rate(
    step: float, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A step of the wall clock is one notice and one log line; rates don't know of it."""
    clock = FakeClock(4.0)

    def act(number: int) -> Any:
        return build_metrics("_W", counts=[0, 7 * number])

    class Jumping(Script):
        def read(self) -> object:
            if len(self.read_at) == 1:
                clock.offset += step
            return super().read()

    published: list[Sample | Failure] = []
    poller = Poller(
        Jumping(clock, act),
        Settings(),
        wanted=watched(),
        publish=published.append,
        viewers=lambda _: ViewerCount(0, 1),
        notices=list,
        clock=clock,
    )
    with pytest.raises(Stopped):
        asyncio.run(poller.run())
    told = [notice for sample in published for notice in sample.notices]
    assert 1 == len(told)
    assert word in told[0]
    assert 1 == len(caplog.records)
    for sample in published[1:]:
        assert isinstance(sample, Sample)
        assert sample.rates.requests_per_second == pytest.approx(7.0)


def test_extended_status_off_is_told_with_the_directive(caplog: pytest.LogCaptureFixture) -> None:
    """An Apache that keeps no requests is told apart from one that has none."""
    samples, _ = run(lambda _: build_metrics("_W", started=0.0))
    assert "ExtendedStatus On" in samples[-1].notices[0]
    assert 1 == len(caplog.records)


def test_samples_carry_time_viewers_and_notices() -> None:
    """A sample has its tick, its instant, the interval, the viewers, and what others tell."""
    samples, _ = run(busy, seconds=0.5, interval=0.5)
    first, second = samples
    assert (1, 1_700_000_100.0, 0.5, ViewerCount(1, 4), ["told"]) == (
        first.tick, first.at, first.interval, first.viewers, first.notices,
    )  # fmt: skip
    assert 2 == second.tick
