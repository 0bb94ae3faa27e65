"""How each look of `text` is drawn: with the terminal's own 16 colours, and without any.

Owns colours. Those of letters and levels are pairs of a foreground and a background, which can be read
in light and in dark terminals; everything else has the terminal's own foreground, or red or magenta:
yellow, green and cyan can't be read on white, nor blue on black. Letters and words say the same as
colours: NO_COLOR (https://no-color.org) loses nothing.
"""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style

_LOOKS = {
    "": "",
    "strong": "bold",
    "muted": "dim",
    "faded": "dim",
    "title": "bold",
    "accent": "bold",
    "footer": "reverse",
    "chosen": "reverse",
    "live": "",
    "warning": "black on yellow",
    "alert": "black on yellow",
    "critical": "bold white on red",
    "slow": "bold magenta",
    "full": "bold red",
    "chart": "",
    "level-calm": "black on green",
    "level-slow": "bold magenta",
    "level-filling": "bold magenta",
    "level-busy": "bold black on yellow",
    "level-full": "bold white on red",
    "level-down": "bold white on red",
    "state-waiting": "dim",
    "state-starting": "black on white",
    "state-reading": "black on yellow",
    "state-sending": "black on cyan",
    "state-keepalive": "black on green",
    "state-dns": "white on magenta",
    "state-closing": "white on blue",
    "state-logging": "white on blue",
    "state-finishing": "white on red",
    "state-cleanup": "dim",
    "state-open": "dim",
}

_COLOURLESS = {
    "warning": "bold",
    "alert": "bold",
    "critical": "bold reverse",
    "level-busy": "bold reverse",
    "level-full": "bold reverse",
    "level-down": "bold reverse",
    "slow": "bold",
    "full": "bold",
    "level-calm": "bold",
    "level-slow": "bold",
    "level-filling": "bold",
    "footer": "reverse",
    "chosen": "reverse",
    "strong": "bold",
    "title": "bold",
    "muted": "dim",
    "faded": "dim",
    "state-waiting": "dim",
    "state-cleanup": "dim",
    "state-open": "dim",
}


@lru_cache(maxsize=256)
def style(look: str, *, colour: bool) -> Style:
    """Return how a look is drawn; one that is not known is plain."""
    if colour:
        return Style.parse(_LOOKS.get(look, "")) if look else Style()
    known = _COLOURLESS.get(look, "bold" if look.startswith("state-") else "")
    return Style.parse(known) if known else Style()
