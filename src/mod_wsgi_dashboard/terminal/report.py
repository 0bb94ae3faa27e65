"""One sample for scripts and for pasting: as text, and as JSON.

Owns the form of both. Lines of the text are as long as they need to be; every string of the scoreboard
is cleaned. The JSON is the plain format of `core.wire`, with `verdict`, `alerts` and `in_flight` added.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from mod_wsgi_dashboard.core import requests, sentences, wire
from mod_wsgi_dashboard.core.groups import GroupKey
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.terminal.moment import Moment, draining, nothing_listed
from mod_wsgi_dashboard.terminal.text import clean, fit, width

# A report is read by people: of a server of thousands of workers JSON has the rest.
MOST_REQUESTS = 50
MOST_ROWS = 64
ROW_SLOTS = 100

_COLUMNS = ("AGE", "STATE", "PID", "SLOT", "CLIENT", "VIRTUAL HOST", "REQUEST")


def as_text(moment: Moment, name: str, *, group: GroupKey | None = None) -> str:
    """Return a report of a sample, which ends with a line feed; `name` is where it is from."""
    sample = moment.sample
    lines = [f"{clean(name)} at {shown(sample.at)}, {sentences.server_line(sample)}", moment.sentence]
    if moment.advice is not None:
        lines.append(f"{moment.advice.directive}: {moment.advice.why}")
    lines += [_alert(alert, moment.at) for alert in sample.alerts]
    lines += sample.notices
    lines += [text] if (text := draining(moment)) else []
    lines += ["", *_tiles(moment), f"  {_held(sample)}"]
    lines += ["", f"Workers: {sentences.legend(sample)}", *_grid(sample)]
    lines += ["", *(_groups(moment, group) if group else _requests(moment))]
    return "".join(f"{clean(line)}\n" for line in lines)


def of_failure(failure: wire.Failure, name: str) -> str:
    """Return the one line for a scoreboard that can't be read."""
    return clean(f"{name}: Apache's scoreboard can't be read: {failure.error}")


def as_json(moment: Moment) -> str:
    """Return one JSON object on one line."""
    says, advice = moment.verdict, moment.advice
    document: dict[str, Any] = {
        **msgspec.to_builtins(moment.sample),
        "alerts": msgspec.to_builtins(moment.sample.alerts),
        "verdict": {
            "level": says.level,
            "sentence": moment.sentence,
            "directive": None if advice is None else advice.directive,
            "why": None if advice is None else advice.why,
        },
        "in_flight": [_described(each, moment.at) for each in (*moment.listed, *moment.sockets)],
    }
    return msgspec.json.encode(document).decode() + "\n"


def failure_as_json(failure: wire.Failure) -> str:
    """Return one JSON object on one line."""
    document = {**msgspec.to_builtins(failure), "alerts": msgspec.to_builtins(failure.alerts)}
    return msgspec.json.encode(document).decode() + "\n"


def shown(at: float) -> str:
    """Return an instant (epoch seconds) in local time, with its zone."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _described(request: Request, at: float) -> dict[str, Any]:
    return {**msgspec.to_builtins(request), "age": requests.age_of(request, at)}


def _alert(alert: Any, at: float) -> str:
    return f"{alert.severity.upper()} {sentences.alert(alert, at)}"


def _held(sample: wire.Sample) -> str:
    workers = sample.capacity.workers if sample.capacity.workers > 0 else None
    return f"{sentences.holding(sample.viewers.holding, workers)}."


def _tiles(moment: Moment) -> Iterator[str]:
    for tile in sentences.tiles(moment.sample, moment.verdict, moment.slow):
        yield f"  {tile.label:15} {tile.value:>18}   {tile.more}".rstrip()


def _grid(sample: wire.Sample) -> Iterator[str]:
    """Yield the letters of each process that runs."""
    rows = 0
    for process in requests.living(sample):
        letters = "".join(worker.status for worker in process.workers)
        mark = " draining" if requests.drains(process, sample) else ""
        for at in range(0, len(letters), ROW_SLOTS):
            if rows == MOST_ROWS:
                yield "  ... more processes; --json has all."
                return
            label = f"{process.pid:>8} g{process.generation:<3}" if at == 0 else " " * 13
            yield f"{label} {letters[at : at + ROW_SLOTS]}{mark if at == 0 else ''}"
            rows += 1


def _requests(moment: Moment) -> Iterator[str]:
    both = [*moment.listed, *moment.sockets]
    every = len(moment.every)
    number = str(every) if len(both) == every else f"{len(both)} of {every}"
    yield f"In flight: {number}"
    yield from (f"  {sentences.filter_error(error)}" for error in moment.filter.errors)
    if not both:
        yield f"  {nothing_listed(moment)}"
        return
    rows = [_COLUMNS, *(_row(each, moment.at) for each in both[:MOST_REQUESTS])]
    widths = [max(width(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [fit(cell, cells) for cell, cells in zip(row, widths, strict=True)]
        yield f"  {'  '.join(cells)}".rstrip()
    if len(both) > MOST_REQUESTS:
        yield f"  {len(both) - MOST_REQUESTS} more; --filter shows some of them, --json all."


def _row(request: Request, at: float) -> tuple[str, ...]:
    flags = [
        word for word, true in (("draining", request.draining), ("WebSocket", request.websocket)) if true
    ]
    state = f"{request.status} {sentences.LEGEND_NAMES[request.status]}"
    return (
        sentences.age(request, at),
        ", ".join([state, *flags]),
        str(request.pid),
        sentences.slot(request),
        clean(request.client),
        clean(request.vhost),
        clean(sentences.request_line(request.request)),
    )


def _groups(moment: Moment, key: GroupKey) -> Iterator[str]:
    yield f"In flight, by {sentences.GROUP_NAMES[key].lower()}:"
    groups = moment.groups or []
    yield from (f"  {sentences.filter_error(error)}" for error in moment.filter.errors)
    if not groups:
        yield f"  {nothing_listed(moment)}"
    for group in groups[:MOST_REQUESTS]:
        name = sentences.group_name(group, key)
        yield f"  {group.count:>6}  {sentences.oldest_of(group, moment.at):20}  {name}"
