"""Samples and scenes for the tests of the terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.terminal import moment
from mod_wsgi_dashboard.terminal.layout import Scene
from mod_wsgi_dashboard.terminal.moment import Choice

# Each of them would change a terminal, or what Textual or Rich shows, if it were taken as it is.
HOSTILE = (
    "GET /\x1b[2J\x1b]0;owned\x07 HTTP/1.1",
    "GET /[bold red]markup[/] HTTP/1.1",
    "GET /\x9b31m\u202e\u200b\u0301\u0301 HTTP/1.1",
    "GET /\r\nnext HTTP/1.1",
    "GET /\N{FULLWIDTH LATIN CAPITAL LETTER A}\N{CJK UNIFIED IDEOGRAPH-4E00} HTTP/1.1",
)


def sample_of(metrics: Any, *, at: float = 2000.0, **members: Any) -> wire.Sample:
    """Return the sample of a scoreboard; further members replace its own."""
    reading = rates.read(parse(metrics, Redactor()), previous=None, elapsed=0.0)
    made = {
        "tick": 1,
        "at": at,
        "interval": 1.0,
        "snapshot": reading.scoreboard,
        "rates": reading.rates,
        "capacity": reading.capacity,
        "viewers": wire.ViewerCount(1, 4),
        "notices": [],
    }
    return wire.Sample(**{**made, **members})


def simulated(
    scenario: str = "saturation", *, slots: int = 64, seconds: float = 40.0, mpm: str = "event"
) -> wire.Sample:
    """Return a sample of the simulator, so many seconds after its start."""
    simulator = Simulator(scenario=scenario, slots=slots, mpm=mpm, start_at=1_700_000_000.0)
    at = 1_700_000_000.0 + seconds
    return sample_of(simulator.server_metrics(at), at=at)


def scene(sample: wire.Sample | None, *, choice: Choice | None = None, **members: Any) -> Scene:
    """Return a scene of a sample that is live; further members replace its own."""
    wanted = choice or Choice()
    points: Sequence[Point] = ()
    at = 0.0 if sample is None else sample.at
    if sample is not None:
        points = (Point(at, True, sample.rates.busy, sample.capacity.workers),)
    made = {
        "name": "site.example",
        "standing": "Live",
        "why": "",
        "stopped": "",
        "moment": None if sample is None else moment.read(sample, points, wanted),
        "failure": None,
        "choice": wanted,
        "panel": "both",
        "points": points,
        "span": (at - 300.0, at),
        "window": "5 min",
        "clock": time.strftime("%H:%M:%S", time.gmtime(at)),
    }
    return Scene(**{**made, **members})
