"""What the API answers, where no struct is encoded: types for its description, which nobody makes.

Owns the shapes of answers and of what is sent. Those of samples are `core.wire`'s. A test holds them to
what is answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mod_wsgi_dashboard import drain, history_api
from mod_wsgi_dashboard.apacheconf.findings import Severity
from mod_wsgi_dashboard.core import wire


class Problem(msgspec.Struct):
    """Problem details (RFC 9457): what is wrong, in one sentence that says what to change."""

    status: int
    detail: str


class NotDrained(drain.Held, frozen=True, kw_only=True):
    """Problem details, with what is at work."""

    status: int
    detail: str


class Recording(msgspec.Struct):
    """How the recording stands. Instants are epoch seconds."""

    state: Literal["recording", "off", "failed", "replay"]
    detail: wire.Detail
    problem: str | None
    since: float | None
    until: float | None
    history_since: float | None
    bytes: int | None
    limit: int | None
    interval: float
    now: float
    file: str | None


Numbers = list[float | int | None]


class Series(msgspec.Struct):
    """Numbers of one series, one for each bucket."""

    mean: Numbers
    min: Numbers
    max: Numbers


class History(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """Series of numbers. `at` is where each bucket of `step` seconds begins. A missing one is a gap."""

    start: float
    end: float
    step: int
    interval: float
    at: list[float]
    series: dict[str, Series]


class States(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """The letters of all slots at some instants."""

    start: float
    end: float
    slots: int
    at: list[float]
    letters: list[Annotated[str, msgspec.Meta(pattern="^[_SRWKDCLGI.]*$")]]


class Event(msgspec.Struct):
    """Something that happened. `ended` is null for a moment, and for what still goes on."""

    id: int
    at: float
    ended: float | None
    kind: str
    data: dict[str, Any]


class Events(msgspec.Struct):
    """What happened, the oldest first."""

    events: list[Event]


class Bookmark(msgspec.Struct, forbid_unknown_fields=True):
    """A note at an instant of the last seven days, by default now. It has no control characters."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=history_api.BOOKMARK_LENGTH)]
    at: Annotated[float, msgspec.Meta(ge=0, le=history_api.LAST_INSTANT)] | None = None


class Concurrency(msgspec.Struct, rename={"start": "from", "end": "to"}):
    """For how many seconds exactly so many workers were held: pairs of workers and seconds."""

    start: int
    end: int
    seconds: float
    workers: int | None
    levels: list[Annotated[list[float], msgspec.Meta(min_length=2, max_length=2)]]


class DoctorFinding(msgspec.Struct):
    """Something that is wrong with the set-up, why it matters, and what to change."""

    check: str
    group: str
    severity: Severity
    what: str
    evidence: list[str]
    why: str
    fix: str
    docs: str


class Doctor(msgspec.Struct):
    """What the dashboard sees of its own set-up."""

    read: str
    counts: dict[str, int]
    findings: list[DoctorFinding]


class Health(msgspec.Struct):
    """The process lives."""

    status: Literal["ok"]
    version: str
    uptime: float
    viewers: int
    notices: list[str]


class Ready(msgspec.Struct):
    """The scoreboard was read lately."""

    status: Literal["ready"]
    tick: int
