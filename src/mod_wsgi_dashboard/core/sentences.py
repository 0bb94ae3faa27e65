"""The words in which a sample is told, and how numbers are written.

Owns what the terminal and the page say alike. It must not know a screen, a time zone or a clock.

The page's twin is `strings.ts`; both are held to `tests/twins`. Request lines, clients and virtual
hosts are in some of these texts: none of those may go into a log, or be taken as markup.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType

from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.filters import ErrorKind, FilterError
from mod_wsgi_dashboard.core.groups import Group, GroupKey
from mod_wsgi_dashboard.core.requests import LETTERS, Request, letters_only
from mod_wsgi_dashboard.core.scoreboard import Status
from mod_wsgi_dashboard.core.verdict import Cause, Level, Verdict
from mod_wsgi_dashboard.core.wire import Sample

NOT_AVAILABLE = "not available"
NONE = "none"
_NO_AGE = "\N{EN DASH}"

EXTENDED_STATUS_OFF = (
    "Apache's ExtendedStatus is Off: no requests, times or counts; add `ExtendedStatus On`."
)
NOT_RECORDED = "Requests are not recorded (record = states)."
NO_TRAFFIC = "No request has come since Apache started."
NO_TRACE = "No request in flight, and none has left a trace: none came yet, or ExtendedStatus is Off."
NOTHING_IN_FLIGHT = "No request in flight: every worker waits for one."

STATE_NAMES: Mapping[Status, str] = MappingProxyType(
    {
        "_": "waiting for a connection",
        "S": "starting up",
        "R": "reading the request",
        "W": "sending the reply",
        "K": "keep-alive",
        "D": "DNS lookup",
        "C": "closing the connection",
        "L": "logging",
        "G": "gracefully finishing",
        "I": "idle cleanup of worker",
        ".": "open slot, no worker",
    }
)

LEGEND_NAMES: Mapping[Status, str] = MappingProxyType(
    {
        "_": "waiting",
        "S": "starting",
        "R": "reading",
        "W": "sending",
        "K": "keep-alive",
        "D": "DNS",
        "C": "closing",
        "L": "logging",
        "G": "finishing",
        "I": "cleanup",
        ".": "open",
    }
)

GROUP_NAMES: Mapping[GroupKey, str] = MappingProxyType(
    {"path": "Method and path", "vhost": "Virtual host", "client": "Client", "state": "State"}
)

_LEVELS: dict[Level, str] = {
    "calm": "Calm",
    "slow": "Slow",
    "filling": "Filling up",
    "busy": "Busy",
    "full": "Full",
    "down": "Down",
}

# A younger request holds nobody up.
_WORTH_SAYING_SECONDS = 1.0
# Of the busy workers.
_WORTH_SAYING_SHARE = 0.2

_PROTOCOL = re.compile(r" HTTP/[\d.]+\Z", re.A)


@dataclass(frozen=True, slots=True)
class Advice:
    """The directive to look at, and why."""

    directive: str
    why: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the four large numbers; `more` may be empty."""

    label: str
    value: str
    more: str


def count(value: float) -> str:
    """Write a number without decimals: "6,400"."""
    # From there on a float has no decimals, and perhaps more digits than a Decimal would round.
    whole = isinstance(value, int) or abs(value) >= 2**53
    return f"{int(value) if whole else _rounded(value, '1'):,}"


def plural(value: int, one: str, many: str | None = None) -> str:
    """Write "1 worker", "2 workers"."""
    return f"{count(value)} {one if value == 1 else many or f'{one}s'}"


def seconds(value: float) -> str:
    """Write an age: "9.5 s", "12 s", "2 min 10 s"."""
    return f"{_rounded(value, '0.1')} s" if value < 10.0 else duration(value)


def duration(value: float) -> str:
    """Write whole seconds in the two largest units: "12 s", "2 min 10 s", "3 h 5 min", "4 d 1 h"."""
    whole = math.floor(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def size(value: float) -> str:
    """Write bytes: "999 B", "1.5 kB", "5,000 TB"."""
    units = ["B", "kB", "MB", "GB", "TB"]
    rest, unit = value, 0
    while rest >= 999.5 and unit < len(units) - 1:
        rest /= 1000
        unit += 1
    return f"{_short(rest) if unit else count(rest)} {units[unit]}"


def verdict(says: Verdict) -> str:
    """Return the one sentence that says how the server is."""
    if says.level == "down":
        return "Down: no worker is running."
    parts = [f"{_LEVELS[says.level]}: {_share(says)}"]
    if says.websockets > 0 and says.websockets >= _WORTH_SAYING_SHARE * says.busy:
        sockets = "a WebSocket" if says.websockets == 1 else "WebSockets"
        parts.append(f"{count(says.websockets)} held by {sockets}")
    if says.most is not None and says.most.count > 1 and says.level != "calm":
        parts.append(f"{count(says.most.count)} of them on {says.most.name}")
    if says.oldest_seconds is not None and says.oldest_seconds >= _WORTH_SAYING_SECONDS:
        parts.append(f"oldest {seconds(says.oldest_seconds)}")
    return f"{'; '.join(parts)}."


def advice(says: Verdict) -> Advice | None:
    """Return the directive to look at, and why; None while there is nothing to look at."""
    if says.cause is None:
        return None
    directive, why = _ADVICE[says.cause]
    return Advice(directive, f"{_draining(says)} {why}" if says.cause == "draining" else why)


def basis(says: Verdict) -> str:
    """Return what the busy workers are a share of."""
    if says.basis == "serving":
        return "of those that run; set max_request_workers for the true limit."
    return "of Apache's MaxRequestWorkers."


def tiles(sample: Sample, says: Verdict, slow: int) -> list[Tile]:
    """Return the four large numbers; `slow` requests are held for long."""
    return [_busy(sample, says), _requests(sample), _sent(sample), _oldest(sample, says, slow)]


def server_line(sample: Sample) -> str:
    """Return for how long the server is up, and its generation and processes."""
    snapshot, processes = sample.snapshot, sample.rates.processes
    return " · ".join(
        [
            f"up {duration(snapshot.running_time)}",
            f"generation {count(snapshot.running_generation)}",
            plural(processes, "process", "processes"),
        ]
    )


def legend(sample: Sample) -> str:
    """Return the letters that occur, what they mean, and how often: "_ waiting 3, W sending 1"."""
    states = sample.rates.states
    return ", ".join(
        f"{letter} {LEGEND_NAMES[letter]} {count(states[letter])}"
        for letter in LETTERS
        if states.get(letter, 0) > 0
    )


def holding(held: int, workers: int | None) -> str:
    """Return what the dashboard itself costs the server; `workers` is None while it is not known."""
    if held == 0:
        return "This dashboard holds no Apache worker"
    if workers is None:
        return f"This dashboard holds {plural(held, 'worker')}"
    return f"This dashboard holds {count(held)} of {plural(workers, 'worker')}"


def age(request: Request, at: float) -> str:
    """Write for how long a request has been held at an instant (epoch seconds)."""
    return _NO_AGE if request.started_at is None else seconds(max(0.0, at - request.started_at))


def slot(request: Request) -> str:
    """Write the name of a request's slot: "3.10", as the filter knows it."""
    return f"{request.process_num}.{request.index}"


def known(text: str) -> str:
    """Return a text, or that there is none."""
    return text or NOT_AVAILABLE


def request_line(request: str) -> str:
    """Return a request line without its protocol, which tells little and takes room."""
    return known(_PROTOCOL.sub("", request))


def oldest_of(group: Group, at: float) -> str:
    """Write the age of a group's oldest request at an instant (epoch seconds)."""
    return _NO_AGE if group.oldest_at is None else f"oldest {seconds(max(0.0, at - group.oldest_at))}"


def group_name(group: Group, key: GroupKey) -> str:
    """Return the name of a group by a key."""
    for letter in LETTERS:
        if key == "state" and group.name == letter:
            return f"{letter} {STATE_NAMES[letter]}"
    return known(group.name)


def nothing_matches(every: int) -> str:
    """Return that the filter hides all requests in flight."""
    return f"None of {plural(every, 'request')} in flight matches the filter."


def filter_error(error: FilterError) -> str:
    """Return what is wrong with a term of the filter, and what is accepted."""
    return f"{error.text} {_FILTER_ERRORS[error.kind]}."


def alert(alert: Alert, at: float) -> str:
    """Return what goes on at an instant: "saturated: all workers busy for 2 min 10 s, peak 100 %"."""
    time = duration(max(0.0, at - alert.since))
    since = f"{time} ago" if alert.kind == "restart" else f"for {time}"
    return f"{alert.rule}: {_condition(alert)} {since}{_extreme(alert)}"


def _rounded(value: float, step: str) -> Decimal:
    """Round halves away from 0, as the page does; Python's formats round them to the even neighbour."""
    return Decimal(value).quantize(Decimal(step), rounding=ROUND_HALF_UP)


def _short(value: float) -> str:
    """Write three digits at most in front of the unit, one decimal where it says something."""
    return str(_rounded(value, "0.1")) if value < 100.0 else count(value)


def _share(says: Verdict) -> str:
    busy = f"{count(says.busy)} of {plural(says.of, 'worker')} busy"
    if says.full is not None:
        return f"{busy} for {'at least ' if says.full.at_least else ''}{seconds(says.full.seconds)}"
    if says.full_in is None:
        return busy
    return f"{busy}, full in about {duration(says.full_in)} at this pace"


_ADVICE: dict[Cause, tuple[str, str]] = {
    "reading": ("RequestReadTimeout", "Many workers wait for clients to send their request."),
    "keepalive": (
        "KeepAliveTimeout",
        "Many workers wait for the next request of a connection; the event MPM needs none for that.",
    ),
    "dns": ("HostnameLookups", "Many workers wait for DNS."),
    "logging": ("BufferedLogs", "Many workers wait for the log to be written."),
    "websockets": ("MaxRequestWorkers", "Each WebSocket holds a worker for as long as it lives."),
    "path": (
        "request-timeout",
        "One path holds the workers: find out what it waits for."
        " This option of WSGIDaemonProcess ends what is too long.",
    ),
    "draining": (
        "ServerLimit",
        "Old processes keep their places, beside the new ones, until their last request ends.",
    ),
    "slow": (
        "request-timeout",
        "Several paths are slow: look for what they share, such as a database."
        " This option of WSGIDaemonProcess ends them.",
    ),
    "workers": (
        "MaxRequestWorkers",
        "No single path stands out: it is the load. Look at free memory before you raise it.",
    ),
}


def _draining(says: Verdict) -> str:
    what = says.draining
    if what is None:
        return ""
    one = what.processes == 1
    processes = "1 old process drains" if one else f"{count(what.processes)} old processes drain"
    if what.oldest is None:
        return f"{processes}."
    return f"{processes}; pid {what.oldest.pid} is held by {request_line(what.oldest.request)}."


def _busy(sample: Sample, says: Verdict) -> Tile:
    rates, parts = sample.rates, []
    if says.full_in is not None:
        parts.append(f"full in about {duration(says.full_in)}")
    if rates.websockets > 0:
        parts.append(plural(rates.websockets, "WebSocket"))
    if rates.graceful > 0:
        parts.append(f"{count(rates.graceful)} finishing")
    rest = " · ".join(parts) or f"{count(rates.idle)} wait for a request"
    return Tile("Busy workers", f"{count(says.busy)} / {count(says.of)}", rest)


def _requests(sample: Sample) -> Tile:
    rate, total = sample.rates.requests_per_second, sample.rates.accesses
    return Tile(
        "Requests",
        _missing(sample) if rate is None else f"{_short(rate)} /s",
        "" if total is None else f"{count(total)} since the start",
    )


def _sent(sample: Sample) -> Tile:
    rate, total = sample.rates.bytes_per_second, sample.rates.bytes_served
    return Tile(
        "Sent",
        _missing(sample) if rate is None else f"{size(rate)}/s",
        "" if total is None else f"{size(total)} since the start",
    )


def _oldest(sample: Sample, says: Verdict, slow: int) -> Tile:
    unknown = sample.capacity.extended_status is False or letters_only(sample)
    oldest = NONE if says.oldest_seconds is None else seconds(says.oldest_seconds)
    sockets = "WebSockets aside" if says.websockets > 0 else ""
    return Tile(
        "Oldest request",
        NOT_AVAILABLE if unknown else oldest,
        f"{count(slow)} held for 10 s or more" if slow > 0 else sockets,
    )


def _missing(sample: Sample) -> str:
    """A rate needs two samples, and ExtendedStatus."""
    return NOT_AVAILABLE if sample.capacity.extended_status is False else f"{NOT_AVAILABLE} yet"


_FILTER_ERRORS: dict[ErrorKind, str] = {
    "key": "is no key: use vhost, client, path, method, state, pid, slot, age or is",
    "state": f"names no state: use a letter ({' '.join(LETTERS)}) or a name such as reading",
    "age": "is no age: write age>5s, age<2m or age>=1h",
    "is": "is unknown: use is:slow, is:draining or is:websocket",
}


_CONDITIONS = {"error": "scoreboard not readable", "restart": "Apache restarted"}


def _condition(alert: Alert) -> str:
    """Return what a rule watches. What a newer server may watch has its own name."""
    above = alert.threshold
    if alert.kind == "busy":
        if above is None or above >= 1.0:
            return "all workers busy"
        return f"{_part(above)} of the workers or more busy"
    if alert.kind == "oldest":
        return "an old request" if above is None else f"a request older than {seconds(above)}"
    if alert.kind == "stuck":
        # An alert outlives its condition by a while: none may be stuck any more.
        workers = plural(alert.count, "worker") if alert.count else "workers"
        return f"{workers} stuck" if alert.path is None else f"{workers} stuck on {known(alert.path)}"
    return _CONDITIONS.get(alert.kind, alert.kind)


def _extreme(alert: Alert) -> str:
    """Return how far it went; nothing where nothing is measured."""
    if alert.peak is None:
        return ""
    if alert.kind == "busy":
        return f", peak {_part(alert.peak)}"
    return f", longest {seconds(alert.peak)}" if alert.kind in ("oldest", "stuck") else ""


def _part(share: float) -> str:
    """Write a share of the workers: all of them is 100 %, and nothing else is."""
    return f"{math.floor(1000.0 * share + 1e-6) / 10:.1f}".removesuffix(".0") + " %"
