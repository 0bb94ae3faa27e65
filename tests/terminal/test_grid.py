"""The workers as letters, and as shades where they don't fit."""

from __future__ import annotations

import pytest

from mod_wsgi_dashboard.core.wire import Sample
from mod_wsgi_dashboard.terminal import grid
from mod_wsgi_dashboard.terminal.text import line_width, plain
from tests.conftest import build_metrics
from tests.terminal.scenes import sample_of, simulated


def letters(sample: Sample) -> str:
    return "".join(
        worker.status
        for process in sample.snapshot.processes
        if process.pid
        for worker in process.workers
    )


def test_processes_stand_side_by_side() -> None:
    """Each process that runs has its pid and its letters; a star says that it drains."""
    metrics = build_metrics("_W", "GG", "..", pids=[100, 101, 0], quiescing=(1,))
    drawn = grid.lines(sample_of(metrics), cells=40, rows=5)
    assert [plain(line).rstrip() for line in drawn.lines] == ["100  _W  101* GG"]
    assert drawn.scale == ""


@pytest.mark.parametrize("cells", [40, 80, 200])
@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_every_worker_has_its_letter_where_there_is_room(cells: int, mpm: str) -> None:
    """With pids or without, the letters are those of the scoreboard in its order."""
    sample = simulated(slots=200, mpm=mpm)
    drawn = grid.lines(sample, cells=cells, rows=8)
    shown = "".join(span.text for line in drawn.lines for span in line if span.look.startswith("state-"))
    assert shown == letters(sample)
    assert max(map(line_width, drawn.lines)) <= cells
    assert len(drawn.lines) <= 8


@pytest.mark.parametrize("slots", [2000, 6400, 20_000])
def test_thousands_are_shaded_and_it_is_said(slots: int) -> None:
    """What does not fit stands several to a cell, darker the more are busy, and how many is said."""
    drawn = grid.lines(simulated(slots=slots, seconds=1.0), cells=80, rows=5)
    each = -(-slots // 400)
    assert f"a cell is {each} workers" in drawn.scale
    assert len(drawn.lines) <= 5
    cells = "".join(map(plain, drawn.lines))
    assert set(cells) <= set(grid.SHADES)
    assert len(cells) == -(-slots // each)


def test_shades_tell_quarters() -> None:
    """No busy worker is a dot, and only a cell whose workers are all busy is black."""
    sample = sample_of(build_metrics("____W___WW__WWW_WWWW" * 4))
    drawn = grid.lines(sample, cells=5, rows=4)
    assert [plain(line) for line in drawn.lines] == ["·░▒▓█"] * 4
    assert [line[-1].look for line in drawn.lines] == ["full"] * 4


def test_all_can_be_scrolled_through() -> None:
    """From a line on, whole processes stand there, up to the last one."""
    sample = simulated(slots=6400, seconds=1.0)
    first = grid.lines(sample, cells=80, rows=10, first=0)
    last = grid.lines(sample, cells=80, rows=10, first=10_000)
    assert first.rows == last.rows == 128
    pids = [process.pid for process in sample.snapshot.processes]
    assert plain(first.lines[0]).startswith(str(pids[0]))
    assert str(pids[-1]) in plain(last.lines[-1])


def test_a_filter_fades_the_rest() -> None:
    """Slots that don't match are faded, and keep their letters."""
    sample = sample_of(build_metrics("WW_"))
    (line,) = grid.lines(sample, cells=40, rows=2, matches=lambda _, index: index == 1).lines
    assert [(span.text, span.look) for span in line if span.text.strip()] == [
        ("100  ", "muted"),
        ("W", "faded"),
        ("W", "state-sending"),
        ("_", "faded"),
    ]
