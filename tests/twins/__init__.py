"""What Python makes of samples, requests, lines and filters: for pytest and for vitest.

The page and the terminal say the same of the same sample only if their twins agree: `core/pattern.py`,
`requests.py`, `groups.py`, `filters.py`, `verdict.py`, `sentences.py` in Python, and in TypeScript
`pattern.ts`, `requests.ts`, `groups.ts`, `filter.ts`, `verdict.ts`, `strings.ts`. What is drawn comes
from a seed, and stays in the files.

    python -m tests.twins     writes the files anew
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mod_wsgi_dashboard.core import filters, groups, sentences, verdict, wire
from mod_wsgi_dashboard.core import requests as held
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.pattern import pattern, target
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.core.verdict import Point, Verdict
from tests.twins import drawn, screens

FOLDER = Path(__file__).parent


def build() -> Iterator[tuple[str, str]]:
    """Give each file's name and text."""
    files: dict[str, list[Any]] = {
        "lines": [_line(line) for line in drawn.lines()],
        "numbers": [_number(value) for value in drawn.numbers()],
        "alerts": [_alert(alert) for alert in drawn.alerts()],
        "filters": [_filter(text) for text in drawn.filters()],
        "quotes": [[text, filters.quote(text)] for text in drawn.texts()],
        "requests": [_row(request) for request in drawn.REQUESTS],
        "orders": [_order(requests) for requests in drawn.lists()],
        "screens": [_screen(screen) for screen in screens.screens()],
    }
    for name, rows in files.items():
        text = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        yield f"{name}.json", f"[\n{text}\n]\n"


def _line(line: str) -> Any:
    return [line, pattern(line), target(line), sentences.request_line(line)]


def _number(value: float) -> Any:
    words = (sentences.count, sentences.seconds, sentences.duration, sentences.size)
    return [value, *(write(value) for write in words)]


def _alert(failure: wire.Failure) -> Any:
    words = [sentences.alert(alert, failure.at) for alert in failure.alerts]
    return {"failure": json.loads(wire.encode(failure)), "words": words}


def _filter(text: str) -> Any:
    """Tell of a filter which of `drawn.REQUESTS` it shows, and what is wrong with it."""
    parsed = filters.parse(text)
    shown = "".join("01"[parsed.matches(request, drawn.AT)] for request in drawn.REQUESTS)
    errors = [[error.kind, error.text, sentences.filter_error(error)] for error in parsed.errors]
    return {"text": text, "empty": parsed.empty, "shown": shown, "errors": errors}


def _row(request: Request) -> Any:
    return {
        "row": list(msgspec.structs.astuple(request)),
        "age": held.age_of(request, drawn.AT),
        "slow": held.is_slow(request, drawn.AT),
        "words": [sentences.age(request, drawn.AT), sentences.slot(request)],
    }


def _order(requests: list[Request]) -> Any:
    """Tell the orders of requests by their places, and their groups."""
    places = {id(request): place for place, request in enumerate(requests)}
    orders = {
        f"{key} {'down' if down else 'up'}": [
            places[id(request)] for request in groups.sort(requests, key, down=down)
        ]
        for key in groups.SORT_KEYS
        for down in (False, True)
    }
    most = groups.commonest(requests)
    return {
        "requests": [list(msgspec.structs.astuple(request)) for request in requests],
        "orders": orders,
        "groups": _groups(requests, drawn.AT),
        "commonest": None if most is None else asdict(most),
    }


def _groups(requests: Sequence[Request], at: float) -> Any:
    return {
        key: [
            [
                *(group.name, group.count, group.oldest_at, group.states, group.filter),
                *(sentences.group_name(group, key), sentences.oldest_of(group, at)),
            ]
            for group in groups.group(requests, key)
        ]
        for key in groups.GROUP_KEYS
    }


def _screen(screen: screens.Screen) -> Any:
    sample = Decoder().decode(screen.frame)
    assert isinstance(sample, wire.Sample)
    points = [Point(sample.at - load.before, load.gap, load.busy, load.of) for load in screen.loads]
    requests = held.in_flight(sample)
    says = verdict.judge(sample, requests, points)
    slow = sum(held.is_slow(request, sample.at) for request in requests)
    advice = sentences.advice(says)
    return {
        "about": screen.about,
        "frame": json.loads(screen.frame),
        "points": [[load.before, int(load.gap), load.busy, load.of] for load in screen.loads],
        "requests": [list(msgspec.structs.astuple(request)[:7]) for request in requests],
        "letters_only": held.letters_only(sample),
        "verdict": _facts(says),
        "sentence": sentences.verdict(says),
        "advice": None if advice is None else asdict(advice),
        "basis": sentences.basis(says),
        "tiles": [asdict(tile) for tile in sentences.tiles(sample, says, slow)],
        "lines": [sentences.server_line(sample), sentences.legend(sample)],
    }


def _facts(says: Verdict) -> Any:
    facts: dict[str, Any] = {
        name: getattr(says, name)
        for name in ("level", "busy", "of", "basis", "full_in", "websockets", "oldest_seconds", "cause")
    }
    facts["full"] = None if says.full is None else asdict(says.full)
    facts["most"] = None if says.most is None else asdict(says.most)
    draining, oldest = says.draining, says.draining and says.draining.oldest
    facts["draining"] = draining and [draining.processes, oldest and [oldest.process_num, oldest.index]]
    return facts
