"""Values and sentences as lines of an Apache configuration.

Owns quoting, and the width of comments. It must not know any directive.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

# Nested twice at most, a comment then ends at column 100.
WIDTH = 92
INDENT = "    "

# Words that need no quotes in any directive.
_BARE = re.compile(r"[A-Za-z0-9._/+@:=,-]+")


def quoted(text: str) -> str:
    """Return a value as one word of a directive: backslashes doubled, in quotes where it needs them."""
    return text if _BARE.fullmatch(text) else '"' + text.replace("\\", "\\\\") + '"'


def comment(text: str) -> list[str]:
    """Return a text as lines of comment."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def indented(lines: Sequence[str]) -> list[str]:
    """Return the lines as they stand inside a section."""
    return [f"{INDENT}{line}" if line else line for line in lines]
