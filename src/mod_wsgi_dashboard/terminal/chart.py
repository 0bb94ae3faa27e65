"""The busy workers of the last while, as a chart of braille dots.

Owns how points become dots: each column of dots shows the most that were busy in its time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.terminal.text import Line, Span

# Seconds, and what they are called. The last one is all that there is.
WINDOWS: tuple[tuple[float, str], ...] = (
    (60.0, "1 min"),
    (300.0, "5 min"),
    (900.0, "15 min"),
    (3600.0, "1 h"),
    (21_600.0, "6 h"),
    (86_400.0, "1 day"),
    (90 * 86_400.0, "all"),
)

# Dots from the bottom up in the left and in the right column of a cell (Unicode's braille patterns).
_LEFT = (0x40, 0x04, 0x02, 0x01)
_RIGHT = (0x80, 0x20, 0x10, 0x08)
_BLANK = 0x2800

DOTS = 4
GUTTER = 7


def lines(
    points: Sequence[Point], span: tuple[float, float], *, label: str, cells: int, rows: int
) -> list[Line]:
    """Return a chart of some lines.

    Args:
        points: what was busy, and of how many, the oldest first.
        span: where the chart begins and ends (epoch seconds).
        label: what its time is called.
        cells: how wide it is.
        rows: how many lines.
    """
    start, end = span
    columns = max(1, (cells - GUTTER) * 2)
    most = max((point.of for point in points if start <= point.at <= end), default=0)
    found = _columns(points, start=start, end=end, columns=columns)
    top = max(most, max((busy for busy, _ in filter(None, found)), default=0), 1)
    heights = [None if each is None else _dots(each[0], top, rows * DOTS) for each in found]
    full = [each is not None and each[0] >= each[1] > 0 for each in found]
    drawn = []
    for row in reversed(range(rows)):
        gutter = f"{top:,}" if row == rows - 1 else label if row == 0 else ""
        spans = _row(heights, full, row * DOTS)
        drawn.append((Span(f"{gutter[: GUTTER - 1]:>{GUTTER - 1}} ", "muted"), *spans))
    return drawn


def _columns(
    points: Iterable[Point], *, start: float, end: float, columns: int
) -> list[tuple[int, int] | None]:
    """Return the most busy point of each column; None where none is known.

    Where points are further apart than columns, each holds until the next, unless there is a gap.
    """
    each = max(1e-9, (end - start) / columns)
    found: list[tuple[int, int] | None] = [None] * columns
    last: tuple[int, Point] | None = None
    for point in points:
        if not start < point.at <= end:
            continue
        column = min(columns - 1, int((point.at - start) / each))
        here = found[column]
        if here is None or point.busy > here[0]:
            found[column] = (point.busy, point.of)
        if last is not None and not point.gap:
            for between in range(last[0] + 1, column):
                found[between] = (last[1].busy, last[1].of)
        last = (column, point)
    return found


def _dots(busy: int, top: int, dots: int) -> int:
    """Return how many dots high a number is: one at least where anything is busy."""
    return min(dots, max(1 if busy else 0, math.floor(busy / top * dots + 1e-9)))


def _row(heights: Sequence[int | None], full: Sequence[bool], below: int) -> list[Span]:
    spans: list[Span] = []
    for left in range(0, len(heights), 2):
        code = _BLANK
        for column, bits in ((left, _LEFT), (left + 1, _RIGHT)):
            height = heights[column]
            # A line of dots at the bottom says that something is known.
            filled = 0 if height is None else max(0, height - below)
            for dot in range(min(DOTS, filled)):
                code |= bits[dot]
        look = "full" if full[left] or full[left + 1] else "chart"
        if spans and spans[-1].look == look:
            spans[-1] = Span(spans[-1].text + chr(code), look)
        else:
            spans.append(Span(chr(code), look))
    return spans
