"""Requests in flight, and groups of them, as lines of columns.

Owns columns and their widths. What does not fit is cut with an ellipsis; a request's story has it whole.
"""

from __future__ import annotations

from mod_wsgi_dashboard.core import requests, sentences
from mod_wsgi_dashboard.core.groups import Group, GroupKey, SortKey
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.terminal.text import Line, Span, clean, fit

# From so many columns on there is room for the pid and the slot.
WIDE = 100
_AGE, _STATE, _PID = 11, 2, 13


def _widths(cells: int) -> dict[SortKey, int]:
    """Return the cells of each column, without the space behind each."""
    wide = cells >= WIDE
    vhost = 26 if wide else 16
    client = 22 if wide else 15
    widths: dict[SortKey, int] = {"age": _AGE, "state": _STATE}
    fixed = _AGE + _STATE + vhost + client + (_PID if wide else 0)
    widths["request"] = max(10, cells - fixed - (6 if wide else 5))
    widths["vhost"], widths["client"] = vhost, client
    if wide:
        widths["pid"] = _PID
    return widths


_TITLES: dict[SortKey, str] = {
    "age": "Age",
    "state": "S",
    "request": "Request",
    "vhost": "Virtual host",
    "client": "Client",
    "pid": "PID, slot",
}


def heading(cells: int, sort: SortKey, *, down: bool) -> Line:
    """Return the names of the columns, with an arrow at what they are sorted by."""
    arrow = "▾" if down else "▴"
    parts = []
    for key, width in _widths(cells).items():
        title = _TITLES[key] + (arrow if key == sort else "")
        parts.append(Span(fit(title, width) + " ", "strong" if key == sort else "muted"))
    return tuple(parts)


def row(request: Request, at: float, cells: int) -> Line:
    """Return a request in one line."""
    widths = _widths(cells)
    slow = requests.is_slow(request, at)
    age = "slow" if slow else "faded" if request.websocket else ""
    mark = "*" if request.draining else ""
    texts: dict[SortKey, str] = {
        "age": sentences.age(request, at),
        "state": f"{request.status}{mark}",
        "request": clean(sentences.request_line(request.request)),
        "vhost": clean(request.vhost),
        "client": clean(request.client),
        "pid": f"{request.pid} {sentences.slot(request)}",
    }
    looks: dict[SortKey, str] = {"age": age, "state": "strong", "vhost": "muted", "client": "muted"}
    return tuple(Span(fit(texts[key], width) + " ", looks.get(key, "")) for key, width in widths.items())


def group_heading(key: GroupKey, cells: int) -> Line:
    """Return the names of the columns of groups."""
    text = f"{'Count':>6}  {'Oldest':<{_AGE}} {sentences.GROUP_NAMES[key]}"
    return (Span(fit(text, cells), "muted"),)


def group_row(group: Group, key: GroupKey, at: float, cells: int) -> Line:
    """Return a group in one line."""
    age = sentences.oldest_of(group, at).removeprefix("oldest ")
    states = " ".join(f"{letter} {number}" for letter, number in group.states.items())
    states = "" if key == "state" else states
    room = max(10, cells - _AGE - 10 - len(states) - (2 if states else 0))
    slow = group.oldest_at is not None and at - group.oldest_at >= requests.SLOW_SECONDS
    return (
        Span(f"{sentences.count(group.count):>6}  ", "strong"),
        Span(f"{age:<{_AGE}} ", "slow" if slow else ""),
        Span(fit(clean(sentences.group_name(group, key)), room)),
        Span(f"  {states}" if states else "", "muted"),
    )


def story(request: Request, at: float, generation: int | None) -> list[str]:
    """Return all that is known of a request, in lines of any length."""
    slot = sentences.slot(request)
    facts = [f"slot {slot}", f"pid {request.pid}"]
    facts += [] if generation is None else [f"generation {generation}"]
    facts += ["draining: the process ends with its last request"] if request.draining else []
    facts += ["held by a WebSocket"] if request.websocket else []
    held = "" if request.started_at is None else f" for {sentences.age(request, at)}"
    client, vhost = sentences.known(request.client), sentences.known(request.vhost)
    return [
        clean(sentences.known(request.request)),
        f"{sentences.STATE_NAMES[request.status]}{held}; {', '.join(facts)}",
        clean(f"client {client}, virtual host {vhost}"),
    ]
