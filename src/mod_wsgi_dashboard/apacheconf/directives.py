"""The model of an Apache configuration: directives and sections in the order in which Apache reads them.

Owns the data types, Apache's rules for words, and the parser of Apache's own dump (`DUMP_CONFIG`). Must
not know files, processes or what a directive means: that is for `files`, `httpd` and the checks.

Invariants: sections that only decide whether their content is read (IfModule, IfDefine, IfVersion,
IfFile) are not in the model. A directive and a section are equal only to themselves, so that two lines
with the same words stay two.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Name a line of a configuration file; `str()` is `file:line`, lines count from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Section:
    """Hold one section: `<VirtualHost *:80>` has the name VirtualHost and the arguments `("*:80",)`."""

    name: str
    arguments: tuple[str, ...]
    place: Place
    parent: Section | None = None
    raw: str = ""  # the arguments as written, without the closing bracket

    @property
    def kind(self) -> str:
        """Return the name in lower case: Apache doesn't care about the case."""
        return self.name.lower()

    def path(self) -> tuple[Section, ...]:
        """Return the enclosing sections, the outermost first, this one last."""
        upwards = [self]
        while above := upwards[-1].parent:
            upwards.append(above)
        return tuple(reversed(upwards))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Directive:
    """Hold one directive; `raw` is its arguments as written, after variables were put in.

    The line of a directive that goes over several lines is its last one, as in Apache's messages.
    """

    name: str
    arguments: tuple[str, ...]
    place: Place
    section: Section | None = None
    raw: str = ""

    @property
    def key(self) -> str:
        """Return the name in lower case: Apache doesn't care about the case."""
        return self.name.lower()

    @property
    def vhost(self) -> Section | None:
        """Return the enclosing VirtualHost; None in the main server."""
        return self.within("virtualhost")

    def within(self, *kinds: str) -> Section | None:
        """Return the nearest enclosing section of one of the kinds, which are given in lower case."""
        path = self.section.path() if self.section else ()
        return next((section for section in reversed(path) if section.kind in kinds), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Say in one line what could not be read, and where."""

    message: str
    place: Place | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Hold all that was read.

    `modules` are names without `_module` ("proxy", "mpm_event"), the static ones as well. `defines` are
    the variables of Define and `-D`, by name; one without a value has the value "".
    """

    directives: tuple[Directive, ...] = ()
    sections: tuple[Section, ...] = ()
    modules: frozenset[str] = frozenset()
    defines: Mapping[str, str] = dataclasses.field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def vhosts(self) -> tuple[Section, ...]:
        """Return the virtual hosts, in order."""
        return tuple(section for section in self.sections if section.kind == "virtualhost")

    def find(self, *names: str) -> tuple[Directive, ...]:
        """Return every directive of these names, in order, wherever it stands."""
        keys = {name.lower() for name in names}
        return tuple(directive for directive in self.directives if directive.key in keys)

    def server(self, name: str) -> Directive | None:
        """Return the directive that holds for the main server: the last one outside all sections."""
        return next((one for one in reversed(self.find(name)) if one.section is None), None)

    def effective(self, name: str, vhost: Section | None) -> Directive | None:
        """Return the directive that holds in a virtual host: its own last, else the main server's."""
        own = (one for one in reversed(self.find(name)) if vhost and one.section is vhost)
        return next(own, None) or self.server(name)


def split_words(text: str) -> tuple[str, ...]:
    r"""Split arguments into words as Apache does.

    Words are parted by blanks. A word that begins with `"` or `'` goes on to the next such quote; in it,
    a backslash takes the quote or a backslash literally. Elsewhere `\\` is one backslash, and a quote
    inside of a word is an ordinary character. An open quote ends with the line.
    Source: `ap_getword_conf` in httpd's server/util.c.
    """
    words: list[str] = []
    at = 0
    while match := _WORD.match(text, at):
        quoted_double, quoted_single, plain = match.groups()
        if plain is not None:
            words.append(plain.replace("\\\\", "\\"))
        elif quoted_double is not None:
            words.append(re.sub(r'\\([\\"])', r"\1", quoted_double))
        else:
            words.append(re.sub(r"\\([\\'])", r"\1", quoted_single))
        at = match.end()
    return tuple(words)


# Not \s: Apache's blanks are C's, so that a no-break space is part of a word. Possessive by
# construction: each alternative consumes what the others can't, so nothing is tried twice.
_BLANK = " \\t\\n\\v\\f\\r"
_WORD = re.compile(
    rf"""[{_BLANK}]*(?:"((?:[^"\\]|\\.|\\\Z)*)"?|'((?:[^'\\]|\\.|\\\Z)*)'?|([^{_BLANK}]+))""",
    re.DOTALL,
)


def parse_dump(text: str) -> Configuration:
    """Read what `httpd -t -D DUMP_CONFIG` prints where mod_info is loaded.

    Other dumps may stand around it: only a line that follows a line number is a directive. What is
    nested in what is read from the indentation, because an empty section is printed without its end.
    Text without a dump gives an empty configuration, as after a syntax error.
    Source: https://httpd.apache.org/docs/2.4/mod/mod_info.html, and the output of 2.4.71.
    """
    directives: list[Directive] = []
    sections: list[Section] = []
    stack: list[Section] = []
    for level, line, place in _dumped(text):
        del stack[level:]
        parent = stack[-1] if stack else None
        name, _, raw = line.partition(" ")
        if name.startswith("<"):
            raw = raw.rpartition(">")[0].strip()
            section = Section(name[1:], split_words(raw), place, parent, raw)
            sections.append(section)
            stack.append(section)
        else:
            directives.append(Directive(name, split_words(raw), place, parent, raw))
    return Configuration(directives=tuple(directives), sections=tuple(sections))


class _Line(NamedTuple):
    level: int
    text: str
    place: Place


_FILE = re.compile(r"# In file: (.*)")
_NUMBER = re.compile(r"((?:  )*)#\s*(\d+):")
_USED = re.compile(r'used on line (\d+) of "([^"]*)"')


def _dumped(text: str) -> Iterator[_Line]:
    file = "?"
    number: re.Match[str] | None = None
    # Not splitlines(), which ends a line at characters that may be part of an argument.
    for line in text.split("\n"):
        if number:
            level = len(number[1]) // 2
            yield _Line(level, line.strip(" "), place_of(file, int(number[2])))
            number = None
        elif match := _FILE.fullmatch(line):
            file = match[1]
        else:
            number = _NUMBER.fullmatch(line)


def place_of(file: str, line: int) -> Place:
    """Return the place; of a line that a macro made, the place where the macro was used."""
    used = _USED.findall(file) if file.startswith("macro '") else []
    return Place(used[-1][1], int(used[-1][0])) if used else Place(file, line)
