"""The workers as letters: all of them if they fit, or shades of how many are busy.

Owns how slots come to stand in lines. Slots of no process are left out. `_ S . I G` don't count as busy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from mod_wsgi_dashboard.core import requests, sentences
from mod_wsgi_dashboard.core.scoreboard import Process
from mod_wsgi_dashboard.core.wire import Sample
from mod_wsgi_dashboard.terminal.text import Line, Span, fit

# How many of a cell's slots are busy, in quarters; none, and then some, up to all.
SHADES = "·░▒▓█"

_IDLE = frozenset("_.SIG")
_GAP = 2

# The look of each letter, by what help calls it.
LOOKS = {letter: f"state-{name.replace('-', '')}" for letter, name in sentences.LEGEND_NAMES.items()}


class Grid(NamedTuple):
    """Lines, how many there would be of all, and what a cell is, where it isn't one slot."""

    lines: list[Line]
    rows: int
    scale: str


Matches = Callable[[int, int], bool]


def lines(
    sample: Sample, *, cells: int, rows: int, first: int | None = None, matches: Matches | None = None
) -> Grid:
    """Return the workers in at most so many lines.

    Args:
        sample: the sample.
        cells: how wide a line is.
        rows: most lines.
        first: show whole processes from this line on, however many lines there are; None shows all.
        matches: whether a slot (number of the process, index) is to stand out; None: all do.
    """
    processes = requests.living(sample)
    drawn = _by_process(processes, sample, cells, matches)
    if first is not None:
        at = max(0, min(first, len(drawn) - rows))
        return Grid(drawn[at : at + rows], len(drawn), "")
    if len(drawn) <= rows:
        return Grid(drawn, len(drawn), "")
    slots = sum(len(process.workers) for process in processes)
    if slots <= cells * rows:
        flow = [span for process in processes for span in _letters(process, matches)]
        packed = _fold(flow, cells)
        return Grid(packed, len(packed), "")
    return _shades(processes, slots, cells, rows)


def _by_process(
    processes: Sequence[Process], sample: Sample, cells: int, matches: Matches | None
) -> list[Line]:
    """Return lines of processes with their pids; on prefork, of one worker each, letters alone."""
    longest = max((len(process.workers) for process in processes), default=0)
    if longest <= 1:
        return _fold([span for process in processes for span in _letters(process, matches)], cells)
    label = max(len(str(process.pid)) for process in processes) + 2
    block = label + longest + _GAP
    if block - _GAP > cells:
        return [
            line
            for process in processes
            for line in _wrapped(process, sample, label, cells, matches=matches)
        ]
    abreast = max(1, (cells + _GAP) // block)
    drawn = []
    for at in range(0, len(processes), abreast):
        line: list[Span] = []
        for process in processes[at : at + abreast]:
            line += [_label(process, sample, label), *_letters(process, matches)]
            line.append(Span(" " * (block - label - len(process.workers))))
        drawn.append(tuple(line))
    return drawn


def _wrapped(
    process: Process, sample: Sample, label: int, cells: int, *, matches: Matches | None
) -> list[Line]:
    parts = _fold(_letters(process, matches), cells - label)
    heads = [_label(process, sample, label), *[Span(" " * label)] * (len(parts) - 1)]
    return [(head, *part) for head, part in zip(heads, parts, strict=True)]


def _label(process: Process, sample: Sample, cells: int) -> Span:
    """Return a process' pid, with a star if it drains."""
    drains = requests.drains(process, sample)
    text = f"{process.pid}{'*' if drains else ''}"
    return Span(fit(text, cells), "slow" if drains else "muted")


def _letters(process: Process, matches: Matches | None) -> list[Span]:
    letters = "".join([worker.status for worker in process.workers])
    if matches is None:
        return [Span("".join(run), LOOKS[letter]) for letter, run in groupby(letters)]  # type: ignore[index]
    looks = [
        LOOKS[worker.status] if matches(process.process_num, index) else "faded"
        for index, worker in enumerate(process.workers)
    ]
    pairs = groupby(zip(letters, looks, strict=True), key=lambda pair: pair[1])
    return [Span("".join(letter for letter, _ in run), look) for look, run in pairs]


def _fold(spans: Sequence[Span], cells: int) -> list[Line]:
    """Return spans one behind the other in lines of so many cells."""
    folded: list[list[Span]] = [[]]
    # Even in a terminal that is narrower than a pid.
    left = cells = max(1, cells)
    for span in spans:
        text = span.text
        while text:
            if left == 0:
                folded.append([])
                left = cells
            folded[-1].append(Span(text[:left], span.look))
            text, left = text[left:], max(0, left - len(text))
    return [tuple(line) for line in folded]


def _shades(processes: Sequence[Process], slots: int, cells: int, rows: int) -> Grid:
    """Return cells that stand for several slots each."""
    each = math.ceil(slots / (cells * rows))
    letters = "".join(worker.status for process in processes for worker in process.workers)
    spans = []
    for at in range(0, slots, each):
        part = letters[at : at + each]
        busy = sum(letter not in _IDLE for letter in part)
        shade = math.ceil(busy / len(part) * (len(SHADES) - 1))
        spans.append(Span(SHADES[shade], "full" if busy == len(part) else "chart"))
    joined = [
        Span("".join(span.text for span in run), look)
        for look, run in groupby(spans, key=lambda span: span.look)
    ]
    folded = _fold(joined, cells)
    return Grid(folded, len(folded), f"a cell is {each} workers, darker the more are busy; m: letters")
