"""The whole picture as lines: what stands where in a terminal of any size.

Owns the order of parts and who gets how many lines. 80 by 24 has all parts; a larger terminal gives the
workers, the chart and the requests more. It must not know Textual: it gives exactly as many lines as
there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mod_wsgi_dashboard.core import sentences
from mod_wsgi_dashboard.core.groups import Group
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.core.wire import Failure
from mod_wsgi_dashboard.terminal import chart, grid, keys, table
from mod_wsgi_dashboard.terminal.moment import Choice, Moment, draining, nothing_listed
from mod_wsgi_dashboard.terminal.text import (
    EMPTY,
    Line,
    Span,
    clean,
    crop,
    fit,
    line_width,
    spread,
    wrap,
)

Panel = Literal["both", "workers", "requests"]
PANELS: tuple[Panel, ...] = ("both", "workers", "requests")

# From so many lines on there is room for taller parts.
TALL = 36
# Less than this shows what fits, from the top.
LEAST_ROWS = 5

_TILE_ROOM = 110


@dataclass(frozen=True, slots=True)
class Scene:
    """All that one picture shows.

    `standing` is how the connection stands, short, and `why`, if it isn't live; `stopped` says where
    the viewer is, if not at the newest sample. Of a failure `moment` is that of the sample before, and
    `below` its time. `chosen` is the place of the chosen row among those listed, `scroll` the first
    line of the workers where they are shown alone.
    """

    name: str
    standing: str
    why: str
    stopped: str
    moment: Moment | None
    failure: Failure | None
    choice: Choice
    panel: Panel
    points: Sequence[Point]
    span: tuple[float, float]
    window: str
    chosen: int | None = None
    story: Request | None = None
    scroll: int = 0
    message: str = ""
    typing: bool = False
    replay: bool = False
    clock: str = ""
    below: str = ""


def picture(scene: Scene, cells: int, rows: int) -> list[Line]:
    """Return exactly so many lines of at most so many cells."""
    lines = _picture(scene, cells, rows)
    return [line if line_width(line) <= cells else crop(line, cells) for line in lines[:rows]]


def _picture(scene: Scene, cells: int, rows: int) -> list[Line]:
    foot = [] if scene.typing else [_footer(scene, cells)]
    room = rows - len(foot)
    head = _head(scene, cells, tall=rows >= TALL)
    moment = scene.moment
    if moment is None:
        lines = head if scene.failure is not None else [*head, EMPTY, *_waiting(scene, cells)]
        return _exactly(lines, room) + foot
    below = _story(scene, moment, cells)
    left = room - len(head) - len(below)
    body: list[Line] = []
    if scene.panel != "requests":
        most = left - 1 if scene.panel == "workers" else _grid_rows(left, rows)
        body += _workers(scene, moment, cells, most=most)
    if scene.panel != "workers":
        body += _in_flight(scene, moment, cells, rows=left - len(body))
    return _exactly([*head, *body], room - len(below)) + below + foot


def _exactly(lines: list[Line], rows: int) -> list[Line]:
    return [*lines[: max(0, rows)], *[EMPTY] * max(0, rows - len(lines))]


def _grid_rows(left: int, rows: int) -> int:
    """Return how many lines the workers may take beside the requests: a third, in a tall one half."""
    return max(2, left // (2 if rows >= TALL else 3))


# The head: where, how, what to look at


def _head(scene: Scene, cells: int, *, tall: bool) -> list[Line]:
    lines = [_title(scene, cells)]
    if scene.why:
        lines += [(Span(text, "warning"),) for text in wrap(clean(scene.why), cells, most=2)]
    if scene.failure is not None:
        lines += _failed(scene.failure, scene.below, cells)
    moment = scene.moment
    if moment is None:
        return lines
    lines += _verdict(moment, cells)
    lines += _alerts(scene, moment, cells, most=6 if tall else 3)
    for notice in moment.sample.notices[:2]:
        lines += [(Span(text, "warning"),) for text in wrap(clean(notice), cells, most=2)]
    if (text := draining(moment)) and moment.verdict.cause != "draining":
        lines += [(Span(part, "slow"),) for part in wrap(clean(text), cells, most=1)]
    lines += _tiles(moment, cells)
    return lines + chart.lines(
        scene.points, scene.span, label=scene.window, cells=cells, rows=4 if tall else 2
    )


def _title(scene: Scene, cells: int) -> Line:
    look = "live" if not (scene.why or scene.stopped) else "warning"
    right = (Span(scene.stopped or f"{scene.standing} {scene.clock}".rstrip(), look),)
    left = [Span(clean(scene.name), "strong")]
    if scene.moment is not None:
        facts = sentences.server_line(scene.moment.sample).split(" · ")
        # Whole facts, as many as there is room for.
        while facts and len(scene.name) + len(right[0].text) + len(" · ".join(facts)) + 3 > cells:
            facts.pop()
        left.append(Span(f"  {' · '.join(facts)}", "muted"))
    return spread(tuple(left), right, cells)


def _failed(failure: Failure, below: str, cells: int) -> list[Line]:
    texts = wrap(clean(f"No scoreboard: {failure.error}"), cells, most=4)
    texts += [f"What follows is the sample before, of {below}."] if below else []
    return [(Span(text, "full"),) for text in texts]


def _waiting(scene: Scene, cells: int) -> list[Line]:
    text = scene.message or "Waiting for the first sample."
    return [(Span(part, "muted"),) for part in wrap(clean(text), cells, most=3)]


def _verdict(moment: Moment, cells: int) -> list[Line]:
    """Return the sentence, its first word by how bad it is, and the directive to look at."""
    level = moment.verdict.level
    lines: list[Line] = []
    for number, text in enumerate(wrap(clean(moment.sentence), cells, most=3)):
        word, colon, rest = text.partition(":")
        if number == 0 and colon:
            lines.append((Span(word + colon, f"level-{level}"), Span(rest, "strong")))
        else:
            lines.append((Span(text, "strong"),))
    if moment.advice is not None:
        directive = moment.advice.directive
        texts = wrap(clean(f"{directive}: {moment.advice.why}"), cells - 2, most=2)
        first = texts[0].removeprefix(directive)
        lines.append((Span("→ ", "muted"), Span(directive, "accent"), Span(first)))
        lines += [(Span(f"  {text}"),) for text in texts[1:]]
    return lines


def _alerts(scene: Scene, moment: Moment, cells: int, *, most: int) -> list[Line]:
    alerts = moment.sample.alerts
    shown = alerts if len(alerts) <= most else alerts[: most - 1]
    lines: list[Line] = []
    for alert in shown:
        text = clean(sentences.alert(alert, moment.at))
        look = "critical" if alert.severity == "critical" else "alert"
        parts = wrap(text, cells - 2, most=2 if len(alerts) < most else 1)
        lines += [(Span("! " if n == 0 else "  ", look), Span(p, look)) for n, p in enumerate(parts)]
    if len(shown) < len(alerts):
        lines.append((Span(f"! {len(alerts) - len(shown)} more alerts", "alert"),))
    return lines


def _tiles(moment: Moment, cells: int) -> list[Line]:
    tiles = sentences.tiles(moment.sample, moment.verdict, moment.slow)
    each, wide = cells // len(tiles), cells >= _TILE_ROOM
    labels, values, rest = [], [], []
    for tile in tiles:
        labels.append(Span(fit(tile.label, each), "muted"))
        look = "level-" + moment.verdict.level if tile is tiles[0] else "strong"
        value = tile.value
        if tile is tiles[-1] and moment.slow and not wide:
            value += f", {sentences.count(moment.slow)} slow"
        values += [Span(fit(value, min(len(value), each)), look)]
        values += [Span(" " * max(0, each - len(value)))]
        rest.append(Span(fit(tile.more, each - 1) + " ", "muted"))
    lines = [tuple(labels), tuple(values)]
    return [*lines, tuple(rest)] if wide else lines


# The body


def _workers(scene: Scene, moment: Moment, cells: int, *, most: int) -> list[Line]:
    sample = moment.sample
    drawn = grid.lines(
        sample,
        cells=cells,
        rows=max(1, most),
        first=scene.scroll if scene.panel == "workers" else None,
        matches=_matches(moment),
    )
    legend = sentences.legend(sample)
    where = ""
    if scene.panel == "workers" and drawn.rows > len(drawn.lines):
        at = max(0, min(scene.scroll, drawn.rows - len(drawn.lines)))
        where = f"lines {at + 1} to {at + len(drawn.lines)} of {drawn.rows}, ↑ ↓"
    right = (Span(drawn.scale or where, "accent"),) if drawn.scale or where else EMPTY
    heading: Line = (Span("Workers ", "title"), Span(legend, "muted"))
    if drawn.scale and cells < _TILE_ROOM:
        heading = (Span("Workers ", "title"),)
    return [spread(heading, right, cells), *drawn.lines]


def _matches(moment: Moment) -> grid.Matches | None:
    if moment.filter.empty:
        return None
    found = {(each.process_num, each.index) for each in (*moment.listed, *moment.sockets)}
    return lambda number, index: (number, index) in found


def _in_flight(scene: Scene, moment: Moment, cells: int, *, rows: int) -> list[Line]:
    lines = [_flight_heading(scene, moment, cells)]
    for error in moment.filter.errors:
        text = clean(sentences.filter_error(error))
        lines += [(Span(part, "warning"),) for part in wrap(text, cells, most=2)]
    if scene.choice.group is not None:
        lines += _group_rows(scene, moment, cells, rows - len(lines))
    else:
        lines += _request_rows(scene, moment, cells, rows - len(lines))
    return lines[: max(0, rows)]


def _flight_heading(scene: Scene, moment: Moment, cells: int) -> Line:
    shown, every = len(moment.listed) + len(moment.sockets), len(moment.every)
    number = sentences.count(every)
    number = number if shown == every else f"{sentences.count(shown)} of {number}"
    left = [Span("In flight ", "title"), Span(number)]
    if scene.choice.filter and not scene.typing:
        left.append(Span(f"  filter {clean(scene.choice.filter)}", "accent"))
    held = moment.sample.viewers.holding
    own = sentences.holding(held, moment.sample.capacity.workers).removeprefix("This ")
    right = (Span(own if held else "", "muted"),) if held else EMPTY
    return spread(tuple(left), right, cells)


def _request_rows(scene: Scene, moment: Moment, cells: int, rows: int) -> list[Line]:
    both: list[Request] = [*moment.listed, *moment.sockets]
    if not both:
        return [(Span(part, "muted"),) for part in wrap(nothing_listed(moment), cells, most=2)]
    lines = [table.heading(cells, scene.choice.sort, down=scene.choice.down)]
    room = max(1, rows - 1)
    first = _first_row(scene.chosen, len(both), room)
    for place in range(first, min(first + room, len(both))):
        line = table.row(both[place], moment.at, cells)
        lines.append(_marked(line, chosen=place == scene.chosen))
    return _with_rest(lines, len(both) - first - room, cells)


def _group_rows(scene: Scene, moment: Moment, cells: int, rows: int) -> list[Line]:
    groups: list[Group] = moment.groups or []
    key = scene.choice.group
    assert key is not None
    if not groups:
        return [(Span(part, "muted"),) for part in wrap(nothing_listed(moment), cells, most=2)]
    lines = [table.group_heading(key, cells)]
    room = max(1, rows - 1)
    first = _first_row(scene.chosen, len(groups), room)
    for place in range(first, min(first + room, len(groups))):
        line = table.group_row(groups[place], key, moment.at, cells)
        lines.append(_marked(line, chosen=place == scene.chosen))
    return _with_rest(lines, len(groups) - first - room, cells)


def _first_row(chosen: int | None, count: int, room: int) -> int:
    """Return the first row to show, so that the chosen one is among them."""
    # The last line may have to say how many are left.
    return 0 if chosen is None else max(0, min(chosen - room + 2, count - room))


def _marked(line: Line, *, chosen: bool) -> Line:
    return tuple(Span(span.text, "chosen") for span in line) if chosen else line


def _with_rest(lines: list[Line], rest: int, cells: int) -> list[Line]:
    """Say in place of the last line how many there are that don't fit."""
    if rest <= 0 or len(lines) < 2:
        return lines
    return [*lines[:-1], (Span(fit(f"{rest + 1:,} more: ↓, filter or group", cells), "muted"),)]


def _story(scene: Scene, moment: Moment, cells: int) -> list[Line]:
    request = scene.story
    if request is None:
        return []
    process = next(
        (p for p in moment.sample.snapshot.processes if p.process_num == request.process_num), None
    )
    texts = table.story(request, moment.at, None if process is None else process.generation)
    lines: list[Line] = [(Span(fit("─── Esc closes ", cells), "muted"),)]
    for number, text in enumerate(texts):
        look = "strong" if number == 0 else ""
        lines += [(Span(part, look),) for part in wrap(text, cells, most=3)]
    return lines


def _footer(scene: Scene, cells: int) -> Line:
    if scene.message and scene.moment is not None:
        return (Span(fit(clean(scene.message), cells), "footer"),)
    known = keys.STOPPED_HINTS if scene.stopped else keys.HINTS
    hints = "   ".join(keys.REPLAY_HINTS if scene.replay else known)
    return (Span(fit(f" {hints}", cells), "footer"),)


def help_lines(cells: int, rows: int, *, scroll: int = 0) -> list[Line]:
    """Return help in exactly so many lines: keys, and the filter's language beside them."""
    left = [(shown, does) for shown, does in keys.HELP]
    right = list(keys.FILTER_HELP)
    room = max(45, cells // 2)
    drawn: list[Line] = [
        (Span(fit("Keys", room), "title"), Span("Filter: all terms must hold", "title"))
    ]
    for number in range(max(len(left), len(right))):
        spans = [Span(" " * room)]
        if number < len(left):
            shown, does = left[number]
            spans = [Span(fit(f"{shown:12}", 13), "accent"), Span(fit(does, room - 13))]
        if number < len(right):
            term, means = right[number]
            spans += [Span(f"{term:15} ", "accent"), Span(means)]
        drawn.append(tuple(spans))
    drawn += [EMPTY, (Span("docs/top.md has the rest. ? or Esc goes back.", "muted"),)]
    at = max(0, min(scroll, len(drawn) - rows))
    return _exactly(drawn[at:], rows)
