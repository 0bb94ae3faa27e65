"""What keys do, and the words of help.

Owns the table of keys: each has a name of Textual's, what help calls it, and the action of `screen`.
They are those of the page, as far as a terminal has what they act on (docs/page.md).
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """One line of help: Textual's names of the keys, what they act on, and words."""

    names: str
    action: str
    shown: str
    does: str


KEYS = (
    Key("slash", "filter", "/", "filter requests"),
    Key("space", "pause", "Space", "stop at this sample; go on"),
    Key("left", "step(-1)", "← →", "a sample back, one on"),
    Key("right", "step(1)", "", ""),
    Key("shift+left,less_than_sign", "step(-10)", "Shift ← →", "ten of them; also < >"),
    Key("shift+right,greater_than_sign", "step(10)", "", ""),
    Key("comma", "jump(-1)", ", .", "the event before, the next one"),
    Key("full_stop", "jump(1)", "", ""),
    Key("p", "play", "p", "play from here; stop"),
    *(Key(str(n), f"window({n - 1})", "", "") for n in range(1, 8)),
    Key("plus,equals_sign", "zoom(-1)", "1 ... 7, + -", "the chart: 1 min ... 1 day, all"),
    Key("minus", "zoom(1)", "", ""),
    Key("left_square_bracket", "pan(-1)", "[ ]", "a quarter of the chart back, on"),
    Key("right_square_bracket", "pan(1)", "", ""),
    Key("up,k", "move(-1)", "↑ ↓", "choose a request; PgUp PgDn too"),
    Key("down,j", "move(1)", "", ""),
    Key("pageup", "page(-1)", "", ""),
    Key("pagedown", "page(1)", "", ""),
    Key("home", "move(-1000000)", "", ""),
    Key("end", "move(1000000)", "", ""),
    Key("enter", "open", "Enter", "its story; of a group: filter"),
    Key("g", "group", "g", "group by path, vhost, client ..."),
    Key("s", "sort", "s S", "next sort column; turn it round"),
    Key("S,shift+s,upper_s", "turn", "", ""),
    Key("m", "panel", "m", "only workers, only requests"),
    Key("c", "copy", "c", "copy what is shown, as text"),
    Key("escape", "leave", "Esc", "close, clear the filter, go on"),
    Key("question_mark", "help", "?", "this list"),
    Key("q", "quit", "q", "end"),
    Key("ctrl+c", "quit", "", ""),
)

HELP = tuple((key.shown, key.does) for key in KEYS if key.shown)

FILTER_HELP = (
    ("report", "anywhere in it"),
    ("-report", "nowhere in it"),
    ("path:/report/*", "a pattern"),
    ("vhost:www", "client:192.0.2."),
    ("method:POST", "pid:4711  slot:3.10"),
    ("state:R,W", "by letter or name"),
    ("age>5s", "age<2m"),
    ("is:slow", "is:draining"),
    ("is:websocket", ""),
)

# What the last line says; the first of them fit 80 columns.
HINTS = ("/ filter", "g group", "s sort", "m panel", "Space stop", "← → step", "? help", "q end")
STOPPED_HINTS = ("Space live", "← → step", ", . event", "p play", "/ filter", "? help", "q end")
REPLAY_HINTS = ("/ filter", "g group", "s sort", "← → step", ", . event", "p play", "? help", "q end")
