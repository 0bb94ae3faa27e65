"""The chart of busy workers: dots, and what is not known."""

from __future__ import annotations

from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.terminal import chart
from mod_wsgi_dashboard.terminal.text import plain

CELLS = chart.GUTTER + 4


def drawn(points: list[Point], *, rows: int = 1) -> list[str]:
    """Return the dots of eight columns over eight seconds, without the labels."""
    lines = chart.lines(points, (0.0, 8.0), label="8 s", cells=CELLS, rows=rows)
    return [plain(line)[chart.GUTTER :] for line in lines]


def test_dots_are_as_high_as_workers_are_busy() -> None:
    """A quarter busy is a quarter of the dots; one busy worker is one dot at least, none is none."""
    points = [Point(n + 0.5, n == 0, busy, 8) for n, busy in enumerate((0, 2, 4, 6, 8, 1, 0, 8))]
    # Columns of 0, 1, 2, 3, 4, 1, 0 and 4 dots.
    assert drawn(points) == [
        "\u2880\u28f4\u28c7\u28b8".replace("\u28f4", chr(0x2800 | 0x40 | 0x04 | 0xA0 | 0x10)).replace(
            "\u28c7", chr(0x2800 | 0x47 | 0x80)
        )
    ]


def test_two_rows_have_eight_dots() -> None:
    """The upper row is filled once the lower one is full."""
    upper, lower = drawn([Point(0.5, True, 6, 8), Point(1.5, False, 8, 8)], rows=2)
    assert upper[0] == chr(0x2800 | 0x40 | 0x04 | 0xB8)
    assert lower[0] == "\u28ff"


def test_what_is_not_known_is_empty() -> None:
    """Between two points the first one holds; before a gap, and before all, nothing is drawn."""
    holds = drawn([Point(2.5, True, 8, 8), Point(7.5, False, 8, 8)])
    gap = drawn([Point(2.5, True, 8, 8), Point(7.5, True, 8, 8)])
    assert holds == ["\u2800\u28ff\u28ff\u28ff"]
    assert gap == ["\u2800\u2847\u2800\u28b8"]


def test_a_spike_is_not_lost() -> None:
    """Of many points in a column the most busy one is drawn, and its colour says that it was full."""
    points = [Point(n / 100, n == 0, 8 if n == 42 else 1, 8) for n in range(100)]
    (line,) = chart.lines(points, (0.0, 8.0), label="8 s", cells=CELLS, rows=1)
    assert line[1] == (chr(0x2847), "full")


def test_labels() -> None:
    """The most stands at the top, what the time is called at the bottom."""
    lines = chart.lines([Point(1.0, True, 3, 6400)], (0.0, 8.0), label="8 s", cells=40, rows=2)
    assert [plain(line)[: chart.GUTTER] for line in lines] == [" 6,400 ", "   8 s "]
