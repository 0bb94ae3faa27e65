"""Reads an Apache configuration from its files, for when no Apache can say what it reads.

Owns Apache's rules for lines, variables, conditions, includes and macros. Runs no program, and doesn't
judge what it reads. Directives that Apache carries out while it reads (LoadModule, Define, Include,
ServerRoot, Use) are in the result too, though Apache's own dump leaves them out.

Invariants: content never raises; what can't be read becomes a `Problem` and reading goes on. Time and
memory are bounded whatever the files hold.
Source: https://httpd.apache.org/docs/2.4/configuring.html, httpd's server/config.c and server/core.c,
and what Apache 2.4.71 printed for the same files.
"""

from __future__ import annotations

import dataclasses
import errno
import fnmatch
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mod_wsgi_dashboard.apacheconf.directives import (
    Configuration,
    Directive,
    Place,
    Problem,
    Section,
    split_words,
)

# The largest real file seen, a generated one with 5,000 virtual hosts, has 2 MB.
MAX_FILE_BYTES = 4 * 1024 * 1024
# A host with a file for each of some thousand customers; it bounds what a wildcard over a disk costs.
MAX_FILES = 10_000
# Apache's own limit (AP_MAX_INCLUDE_DEPTH), for macros in macros as well.
MAX_DEPTH = 50
# Apache takes 16 MB. No directive that a person wrote comes near this; without it, variables that hold
# one another double in size with each Define.
MAX_LINE = 64 * 1024
# All lines together, after macros: each use of a macro in a macro can multiply them. A line counts for
# LINE_CHARGE more than its length: at most 335,000 lines, read in 4 s. 5,000 virtual hosts have 100,000.
MAX_TEXT = 32 * 1024 * 1024
LINE_CHARGE = 100
# More don't help a reader. A message can hold names from the files.
MAX_PROBLEMS = 100
MAX_MESSAGE = 300

# Compiled into each usual httpd, or loaded by each usual distribution: what <IfModule> sees when nobody
# said which modules there are.
ASSUMED_MODULES = frozenset(
    {"core", "so", "http", "unixd", "version", "log_config", "logio", "watchdog"}
)
# What <IfVersion> sees when nobody knows the version.
ASSUMED_VERSION = (2, 4, 62)

# Modules whose source file isn't called mod_NAME.c. <IfModule> takes the name of either.
_SOURCES = {
    "core.c": "core",
    "http_core.c": "http",
    "event.c": "mpm_event",
    "prefork.c": "mpm_prefork",
    "util_ldap.c": "ldap",
    "worker.c": "mpm_worker",
}

_BLANK = " \t\n\v\f\r"
_FIRST_WORD = re.compile(rf"([^{_BLANK}]+)[{_BLANK}]*")
_WILD = re.compile(r"[*?]|\[.*\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_CONDITIONS = ("ifmodule", "ifdefine", "ifversion", "iffile")


def read_files(
    path: Path,
    *,
    server_root: str | None = None,
    modules: Iterable[str] = (),
    defines: Mapping[str, str] | None = None,
    version: tuple[int, int, int] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Read a configuration file and all that it includes, as Apache would.

    Args:
        path: the file that Apache would be given with `-f`.
        server_root: what relative paths start from until a ServerRoot says otherwise; the directory of
            the file unless given.
        modules: what is loaded before the first line, without `_module`; `ASSUMED_MODULES` if empty.
        defines: the names of `-D`, and values for `${NAME}`; a name without a value has the value "".
        version: for IfVersion; `ASSUMED_VERSION` unless given.
        environ: the environment that Apache would have, for `${NAME}`.

    Never raises for what the files hold, nor for files that are missing or closed.
    """
    file = os.path.abspath(path)
    reader = _Reader(
        server_root=server_root or os.path.dirname(file),
        modules=set(modules) or set(ASSUMED_MODULES),
        defines=dict(defines or {}),
        version=version or ASSUMED_VERSION,
        environ=environ or {},
    )
    reader.variables.update({name.lower(): text for name, text in reader.defines.items() if text})
    reader.include(file, None, None)
    return Configuration(
        directives=tuple(reader.directives),
        sections=tuple(reader.sections),
        modules=frozenset(reader.modules),
        defines=reader.defines,
        problems=tuple(reader.problems),
    )


class _Line(NamedTuple):
    text: str
    place: Place


class _Frame(NamedTuple):
    """An open section of the file that is being read, conditions among them."""

    kind: str
    place: Place
    parent: Section | None  # what its content is inside of
    reads: bool  # False in a condition that doesn't hold, and in all inside of it


@dataclasses.dataclass(frozen=True, slots=True)
class _Macro:
    name: str
    parameters: tuple[str, ...]
    body: tuple[str, ...]


@dataclasses.dataclass(slots=True, kw_only=True)
class _Reader:
    """One reading of one configuration."""

    server_root: str
    modules: set[str]
    defines: dict[str, str]
    version: tuple[int, int, int]
    environ: Mapping[str, str]
    directives: list[Directive] = dataclasses.field(default_factory=list)
    sections: list[Section] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    macros: dict[str, _Macro] = dataclasses.field(default_factory=dict)
    # What is being read at the moment, the outermost first: paths of files, names of macros.
    active: list[str] = dataclasses.field(default_factory=list)
    files_left: int = MAX_FILES
    text_left: int = MAX_TEXT

    def problem(self, message: str, place: Place | None) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            shown = message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}..."
            self.problems.append(Problem(_CONTROL.sub("?", shown), place))

    # Files

    def include(
        self, path: str, parent: Section | None, place: Place | None, *, optional: bool = False
    ) -> None:
        """Read a file, or all files below a directory, into a section.

        `optional` is for IncludeOptional, which puts up with all that is missing, links to nothing too.
        """
        if not self._enter(os.path.realpath(path), place):
            return
        if os.path.isdir(path):
            for name in self._names(path, place, optional=optional):
                self.include(os.path.join(path, name), parent, place, optional=optional)
        elif (text := self._text(path, place, optional=optional)) is not None:
            self._read(_lines(text, path), parent)
        self.active.pop()

    def _enter(self, what: str, place: Place | None) -> bool:
        """Begin with a file or macro, unless that leads round in circles."""
        if what in self.active:
            self.problem(f"{what} includes itself", place)
            return False
        if len(self.active) >= MAX_DEPTH:
            self.problem(f"Includes and macros are nested more than {MAX_DEPTH} deep", place)
            return False
        self.active.append(what)
        return True

    def _names(self, directory: str, place: Place | None, *, optional: bool) -> list[str]:
        """Return the names in a directory in Apache's order, as far as the bound on files goes."""
        if not self._one_more(place):
            return []
        try:
            with os.scandir(directory) as entries:
                names = [entry.name for entry in itertools.islice(entries, MAX_FILES)]
        except OSError as error:
            self._unreadable(f"the directory {directory}", error, place, optional=optional)
            return []
        return sorted(names, key=os.fsencode)

    def _unreadable(self, what: str, error: OSError, place: Place | None, *, optional: bool) -> None:
        if not (optional and error.errno in (errno.ENOENT, errno.ENOTDIR)):
            self.problem(f"Can't read {what}: {error.strerror}", place)

    def _one_more(self, place: Place | None) -> bool:
        """Count a file or directory; False, with one problem, when there were too many."""
        self.files_left -= 1
        if self.files_left == -1:
            self.problem(f"The rest is not read: there are more than {MAX_FILES:,} files", place)
        return self.files_left >= 0

    def _text(self, path: str, place: Place | None, *, optional: bool) -> str | None:
        if not self._one_more(place):
            return None
        try:
            data = _data(path)
        except OSError as error:
            self._unreadable(path, error, place, optional=optional)
            return None
        except ValueError as error:
            self.problem(f"Can't read {path}: {error}", place)
            return None
        return data.decode("utf-8", "backslashreplace")

    def _matches(self, pattern: str, *, optional: bool, place: Place) -> Iterator[str]:
        """Yield the paths that an Include with wildcards means, one path component after another."""
        base, _, rest = pattern[1:].partition("/")
        paths, more = ["/"], bool(rest)
        while True:
            if _WILD.search(base):
                before = len(self.problems)
                found = (
                    os.path.join(path, name)
                    for path in paths
                    for name in self._names(path, place, optional=optional)
                    if _fits(name, base) and (not more or os.path.isdir(os.path.join(path, name)))
                )
                paths = list(itertools.islice(found, MAX_FILES))
                if not paths and not optional and len(self.problems) == before:
                    self.problem(f"Nothing matches {pattern} (IncludeOptional wouldn't mind)", place)
            else:
                paths = [os.path.join(path, base) for path in paths]
            if not more or not paths:
                break
            base, _, rest = rest.partition("/")
            more = bool(rest)
        yield from paths

    # Lines

    def _read(self, lines: Iterator[_Line], parent: Section | None) -> None:
        """Read the lines of one file or macro: its sections can't reach beyond it."""
        frames: list[_Frame] = []
        for line in lines:
            text = self._charged(line.text.strip(_BLANK), line.place)
            if self.text_left < 0:
                return
            if text and not text.startswith("#"):
                outer = frames[-1] if frames else _Frame("", line.place, parent, True)
                self._line(text, lines, frames, outer._replace(place=line.place))
        # Of those in a condition that doesn't hold, none is Apache's concern before it is closed.
        read = [frame for frame in frames if frame.reads]
        for frame in reversed(frames[: len(read) + 1]):
            self.problem(f"<{frame.kind}> is not closed", frame.place)

    def _charged(self, text: str, place: Place) -> str:
        """Count the text against the bounds; return it, or "" if it's too much."""
        charge = len(text) + LINE_CHARGE
        if self.text_left >= 0 > self.text_left - charge:
            self.problem("The rest is not read: it is too much", place)
        self.text_left -= charge
        if self.text_left < 0:
            return ""
        if len(text) > MAX_LINE:
            self.problem(f"A line with over {MAX_LINE:,} characters is not read", place)
            return ""
        return text

    def _line(self, text: str, lines: Iterator[_Line], frames: list[_Frame], outer: _Frame) -> None:
        if outer.reads and "${" in text:
            # Charged again: a variable can make a short line long.
            text = self._charged(_replaced(_VARIABLE, text, self._value), outer.place)
        match = _FIRST_WORD.match(text)
        if match is None:  # too long, or a variable with nothing in it
            return
        name, raw = match[1], text[match.end() :]
        if name.startswith("</"):
            self._close(name[2:].rstrip(">").lower(), frames, outer.place)
        elif name.startswith("<"):
            self._open(name[1:], raw, lines, frames, outer)
        elif outer.reads:
            self._directive(Directive(name, split_words(raw), outer.place, outer.parent, raw))

    def _value(self, variable: re.Match[str]) -> str:
        """Return the value: that of Define, else of the environment, else the text as it stands."""
        name = variable[1]
        return self.variables.get(name.lower(), self.environ.get(name, variable[0]))

    def _open(
        self, name: str, raw: str, lines: Iterator[_Line], frames: list[_Frame], outer: _Frame
    ) -> None:
        """Open a section; `outer` says what it is inside of, and whether that is read."""
        raw = raw or (">" if name.endswith(">") else "")
        name, kind, place = name.rstrip(">"), name.rstrip(">").lower(), outer.place
        if not outer.reads or len(frames) >= MAX_DEPTH:
            if outer.reads:
                self.problem(f"Sections are nested more than {MAX_DEPTH} deep", place)
            if len(frames) < 2 * MAX_DEPTH:  # beyond it, nothing that this could spoil is real
                frames.append(outer._replace(kind=kind, reads=False))
            return
        if ">" not in raw:
            self.problem(f"<{name} has no closing bracket", place)
        arguments = raw.rpartition(">")[0].strip(_BLANK) if ">" in raw else raw
        if kind == "macro":
            self._define_macro(split_words(arguments), lines, place)
        elif kind in _CONDITIONS:
            frames.append(_Frame(kind, place, outer.parent, self._holds(kind, arguments, place)))
        else:
            section = Section(name, split_words(arguments), place, outer.parent, arguments)
            self.sections.append(section)
            frames.append(_Frame(kind, place, section, True))

    def _close(self, kind: str, frames: list[_Frame], place: Place) -> None:
        if not any(frame.kind == kind for frame in frames):
            if not frames or frames[-1].reads:
                self.problem(f"</{kind}> closes nothing", place)
            return
        while frames:
            frame = frames.pop()
            if frame.kind == kind:
                return
            self.problem(f"<{frame.kind}> is not closed before </{kind}>", frame.place)

    # Conditions

    def _holds(self, kind: str, arguments: str, place: Place) -> bool:
        if kind == "ifversion":
            return self._version_holds(split_words(arguments), place)
        negative = arguments.startswith("!")
        words = split_words(arguments[1:] if negative else arguments)
        if not words:
            self.problem(f"<{kind}> says nothing to look for", place)
            return False
        if kind == "ifmodule":
            found = _module(words[0]) in self.modules
        elif kind == "ifdefine":
            found = words[0] in self.defines
        else:
            found = os.path.exists(self._absolute(words[0]))
        return found is not negative

    def _version_holds(self, words: tuple[str, ...], place: Place) -> bool:
        """Compare as mod_version does: with one word, or with = and no slashes, for equality."""
        sign, wanted = ("=", *words)[-2:] if words else ("=", "")
        negative = sign.startswith("!")
        sign = sign.removeprefix("!")
        if sign == "~" or (sign in ("=", "==") and wanted.startswith("/")):
            return self._version_matches(wanted.strip("/"), place) is not negative
        numbers = wanted.split(".")
        known = {"=", "==", ">", ">=", "<", "<="}
        if (
            sign not in known
            or len(numbers) > 3
            or not all(re.fullmatch("[0-9]{1,9}", n) for n in numbers)
        ):
            self.problem("<IfVersion> can't be understood", place)
            return False
        other = tuple(int(number) for number in (*numbers, "0", "0")[:3])
        difference = (self.version > other) - (self.version < other)
        holds = ("=" in sign and difference == 0) or (">" in sign and difference > 0)
        return (holds or ("<" in sign and difference < 0)) is not negative

    def _version_matches(self, pattern: str, place: Place) -> bool:
        # The text is some eight characters long, which bounds what any pattern can cost.
        try:
            return re.search(pattern[:200], ".".join(map(str, self.version))) is not None
        except (re.error, OverflowError, RecursionError):
            self.problem("<IfVersion> has a pattern that can't be understood", place)
            return False

    # Directives that act while Apache reads

    def _directive(self, directive: Directive) -> None:
        self.directives.append(directive)
        match directive.key, directive.arguments:
            case "include" | "includeoptional" | "define" | "loadmodule" | "serverroot" | "use", ():
                self.problem(f"{directive.name} needs an argument", directive.place)
            case "define", (name, *values):
                self._define(name, *values)
            case "undefine", (name, *_):
                self.defines.pop(name, None)
                self.variables.pop(name.lower(), None)
            case "loadmodule", (name, *_):
                self.modules.add(_module(name))
            case "serverroot", (root, *_):
                self.server_root = self._absolute(root)
            case "include" | "includeoptional", (pattern, *_):
                self._included(directive, self._absolute(pattern))
            case "use", (name, *values):
                self._use(name, tuple(values), directive)
            case "undefmacro", (name, *_):
                self.macros.pop(name.lower(), None)

    def _define(self, name: str, *values: str) -> None:
        self.defines[name] = values[0] if values else ""
        if values:
            # Apache keeps the values in a table that doesn't care about the case.
            self.variables[name.lower()] = values[0]

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join("/", self.server_root, path))

    def _included(self, directive: Directive, pattern: str) -> None:
        optional, place = directive.key == "includeoptional", directive.place
        wild = _WILD.search(pattern) is not None
        paths = self._matches(pattern, optional=optional, place=place) if wild else [pattern]
        for path in paths:
            self.include(path, directive.section, place, optional=optional)

    # Macros

    def _define_macro(self, words: tuple[str, ...], lines: Iterator[_Line], place: Place) -> None:
        body: list[str] = []
        depth = 1
        for line in lines:
            text = self._charged(line.text.strip(_BLANK), line.place)
            lower = text.lower()
            depth += lower.startswith("<macro") - lower.startswith("</macro")
            if depth == 0:
                break
            body.append(text)
        else:
            self.problem("<Macro> is not closed", place)
        if words:
            self.macros[words[0].lower()] = _Macro(words[0], words[1:], tuple(body))
        else:
            self.problem("<Macro> has no name", place)

    def _use(self, name: str, values: tuple[str, ...], use: Directive) -> None:
        macro = self.macros.get(name.lower())
        identity = f"macro {name.lower()}"
        if macro is None:
            self.problem(f"Use: there is no macro {name}", use.place)
        elif len(values) != len(macro.parameters):
            counts = f"{len(macro.parameters)} values, not {len(values)}"
            self.problem(f"Use: macro {name} takes {counts}", use.place)
        elif self._enter(identity, use.place):
            self._read(self._filled(macro, values, use.place), use.section)
            self.active.pop()

    def _filled(self, macro: _Macro, values: tuple[str, ...], place: Place) -> Iterator[_Line]:
        """Yield the macro's lines with the values put in; the longest parameter wins, once over."""
        by_name = dict(zip(macro.parameters, values, strict=True))
        longest_first = sorted((name for name in by_name if name), key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)))
        for text in macro.body:
            if longest_first:
                text = _replaced(pattern, text, lambda match: by_name[match[0]])
            yield _Line(text, place)


def _module(name: str) -> str:
    """Return the module's short name for `proxy_module`, `mod_proxy.c` or `proxy`."""
    if name.endswith(".c"):
        return _SOURCES.get(name, name.removesuffix(".c").removeprefix("mod_"))
    return name.removesuffix("_module")


def _fits(name: str, pattern: str) -> bool:
    # A leading dot must be written, as in the shell.
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatch.fnmatchcase(name, pattern.replace("[^", "[!"))


def _replaced(pattern: re.Pattern[str], text: str, value: Callable[[re.Match[str]], str]) -> str:
    """Replace all matches; stop with a result that is too long for a line, but not much."""
    parts: list[str] = []
    at = size = 0
    for match in pattern.finditer(text):
        parts += (text[at : match.start()], value(match))
        at = match.end()
        size += len(parts[-1]) + len(parts[-2])
        if size > MAX_LINE:
            return "".join(parts)
    return "".join((*parts, text[at:]))


def _data(path: str) -> bytes:
    """Return the content of a regular file; OSError, or ValueError that says what is wrong with it."""
    # Without O_NONBLOCK the open of a pipe would wait for a writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            if os.path.realpath(path) == os.devnull:
                return b""
            raise ValueError("it is not a regular file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"it has over {MAX_FILE_BYTES:,} bytes")
    if b"\0" in data:
        raise ValueError("it is binary")
    return data


def _lines(text: str, path: str) -> Iterator[_Line]:
    """Yield the lines of a file, each with those that a backslash at the end joins to it.

    A joined line has the number of its last line, as in Apache's messages.
    """
    number = 0
    parts: list[str] = []
    *ended, last = text.split("\n")
    for number, physical in enumerate(ended, 1):
        physical = physical.removesuffix("\r")
        if physical.endswith("\\"):
            parts.append(physical[:-1])
        else:
            yield _Line("".join((*parts, physical)), Place(path, number))
            parts.clear()
    # What no newline ends: a backslash joins nothing here.
    if last or parts:
        yield _Line("".join((*parts, last)), Place(path, number + 1))
