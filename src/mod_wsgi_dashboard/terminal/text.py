"""Lines for a terminal: pieces of text, each with a look; no markup and no control characters.

Owns what becomes of a string from the scoreboard before a terminal sees it, and how wide it is there.
It must not know colours: a look is a word, and `palette` says how it looks.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

# In place of what a terminal would obey, or draw in no cell or in somebody else's.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

# Control, format (as bidirectional overrides), surrogates, private; marks, which pile up; line ends.
_UNSAFE = frozenset("CMZ")


_UNIT = re.compile(
    r"(?<=\d) (?=(?:s|min|h|d)\b|%)|(?<=\d min) (?=\d+ s\b)|(?<=\d [hd]) (?=\d+ (?:min|h)\b)"
)


class Span(NamedTuple):
    """A piece of a line. `look` is "" for plain text."""

    text: str
    look: str = ""


Line = tuple[Span, ...]

EMPTY: Line = ()


@lru_cache(maxsize=16_384)
def clean(text: str) -> str:
    """Return a text of which each character is drawn in one or two cells of its own."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character == " " or unicodedata.category(character)[0] not in _UNSAFE
        else REPLACEMENT
        for character in text
    )


def width(text: str) -> int:
    """Return how many cells a clean text takes."""
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def fit(text: str, cells: int) -> str:
    """Return a clean text in exactly so many cells: cut, with an ellipsis, or filled with spaces."""
    if width(text) <= cells:
        return text + " " * (cells - width(text))
    if cells <= 0:
        return ""
    cut = text[:cells]
    while width(cut) > cells - 1:
        cut = cut[:-1]
    return cut + ELLIPSIS + " " * (cells - 1 - width(cut))


def wrap(text: str, cells: int, *, most: int) -> list[str]:
    """Return a clean text in lines of so many cells, `most` of them; the last one may be cut.

    No line ends between a number and its unit. A clean text has no no-break spaces of its own.
    """
    bound = _UNIT.sub("\u00a0", text)
    lines = textwrap.wrap(bound, max(1, cells), break_on_hyphens=False) or [""]
    lines = [line.replace("\u00a0", " ") for line in lines]
    if len(lines) > most:
        rest = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], fit(rest, cells).rstrip()]
    return [fit(line, cells).rstrip() for line in lines]


def line_width(line: Iterable[Span]) -> int:
    """Return how many cells a line takes."""
    return sum(width(span.text) for span in line)


def spread(left: Line, right: Line, cells: int) -> Line:
    """Return a line with something at its end; where both don't fit, the left one is cut."""
    room = cells - line_width(right)
    gap = room - line_width(left)
    if gap >= 1 or not right:
        return (*left, Span(" " * max(0, gap)), *right)
    return (*crop(left, room - 1), Span(" "), *right)


def crop(line: Line, cells: int) -> Line:
    """Return what of a line fits into so many cells."""
    shown: list[Span] = []
    left = cells
    for span in line:
        if left <= 0:
            break
        if width(span.text) > left:
            shown.append(Span(fit(span.text, left), span.look))
            break
        shown.append(span)
        left -= width(span.text)
    return tuple(shown)


def plain(line: Line) -> str:
    """Return a line without its looks."""
    return "".join(span.text for span in line)
