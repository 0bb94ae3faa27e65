"""Lines for a terminal: what becomes of strings, and how wide they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mod_wsgi_dashboard.terminal.text import (
    REPLACEMENT,
    Span,
    clean,
    crop,
    fit,
    line_width,
    plain,
    spread,
    width,
    wrap,
)
from tests.terminal.scenes import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_is_left(text: str) -> None:
    """What a terminal would obey, reorder or pile up is replaced; brackets stay what they are."""
    shown = clean(text)
    assert not set(shown) & set("\x1b\x07\x9b\r\n\u202e\u200b\u0301")
    assert ("[bold red]" in text) == ("[bold red]" in shown)
    assert shown.isprintable()


@given(st.text())
def test_a_clean_text_is_printable_and_stays(text: str) -> None:
    """Each character is replaced or kept, one for one, and cleaning twice changes nothing."""
    shown = clean(text)
    assert shown.isprintable()
    assert len(text) == len(shown)
    assert all(new in (old, REPLACEMENT) for old, new in zip(text, shown, strict=True))
    assert shown == clean(shown)


@given(st.text(st.characters(max_codepoint=0xFFFF)), st.integers(0, 30))
def test_a_text_fits_exactly(text: str, cells: int) -> None:
    """A text that is fitted has so many cells, by our measure."""
    assert width(fit(clean(text), cells)) == cells


@pytest.mark.parametrize(
    "text", ["GET /", "caf\u00e9", "\u4e00\uff21", "\u2026 \u25be \u2588 \ufffd \u2847"]
)
def test_cells_are_those_of_rich(text: str) -> None:
    """A text is as wide as Rich, which draws it, takes it to be."""
    assert cell_len(text) == width(text)


def test_wide_characters_are_cut_whole() -> None:
    """Half of a wide character is none: the cell is left empty."""
    assert fit("\u4e00\u4e00\u4e00", 4) == "\u4e00\u2026 "


def test_wrapped_lines_end_with_an_ellipsis_where_they_are_cut() -> None:
    """What doesn't fit into the last line is cut there, and words stay whole before."""
    assert wrap("one two three four", 9, most=2) == ["one two", "three fo\u2026"]
    assert wrap("one two", 20, most=2) == ["one two"]
    assert wrap("", 20, most=2) == [""]


def test_a_number_stays_with_its_unit() -> None:
    """A line ends before an age, not within it."""
    assert wrap("held for 1 min 28 s by one", 16, most=3) == ["held for", "1 min 28 s by", "one"]
    assert wrap("peak 100 % and 1 2", 9, most=3) == ["peak", "100 % and", "1 2"]


def test_a_line_keeps_its_end() -> None:
    """Where both don't fit, what stands at the end of a line stays."""
    line = spread((Span("a long name"), Span(" and more")), (Span("Live"),), 12)
    assert plain(line) == "a long\u2026 Live"
    assert line_width(line) == 12
    assert plain(spread((Span("name"),), (Span("Live"),), 12)) == "name    Live"


def test_a_cropped_line_keeps_its_looks() -> None:
    """A line is cut where its cells end, in the look of that place."""
    line = crop((Span("abc", "strong"), Span("defg", "muted")), 5)
    assert line == (Span("abc", "strong"), Span("d\u2026", "muted"))
