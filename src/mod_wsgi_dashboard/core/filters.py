"""The language of the filter box.

Terms with spaces between them, all of which must hold. A term is a text, `key:value`, `key:=value`
where it must be all of it, or `age>5s`; values may be quoted, and `-` in front negates. What cannot be
understood is reported and hides nothing: a filter is read at each key stroke, half-written.

Owns what a filter means. It must not know the words in which its errors are told.

The page's twin is `filter.ts`; both are held to `tests/twins`. White space is JavaScript's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Literal

from mod_wsgi_dashboard.core.pattern import pattern, target
from mod_wsgi_dashboard.core.requests import LETTERS, Request, age_of, is_slow
from mod_wsgi_dashboard.core.scoreboard import Status

ErrorKind = Literal["key", "state", "age", "is"]

# None: not known, so that neither the term nor its negation holds. The instant is epoch seconds.
_Test = Callable[[Request, float], bool | None]


@dataclass(frozen=True, slots=True)
class FilterError:
    """A term that cannot be understood, and what of it is wrong."""

    kind: ErrorKind
    text: str


@dataclass(frozen=True, slots=True)
class Filter:
    """What is to be shown."""

    errors: tuple[FilterError, ...]
    _tests: tuple[_Test, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is filtered: there is no term, or none that can be understood."""
        return not self._tests

    def matches(self, request: Request, at: float) -> bool:
        """Return whether a request is to be shown; `at` is the instant for which ages are told."""
        return all(test(request, at) for test in self._tests)


# ECMAScript's white space and line ends. Python's own class has four control characters and U+0085
# more, and U+FEFF not.
_SPACE = r"\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"

# Sign, key, joint, quoted value or bare one. "http://x" has no key; an open quote ends with the text.
_TERM = re.compile(
    r"(-?)(?:(age(?=[<>])|[a-z]+(?=:(?!//)))(:=?|[<>]=?))?"
    rf'(?:"((?:[^"\\]|\\.?)*)"?|([^{_SPACE}]*))',
    re.S,
)
_ESCAPED = re.compile(r'\\(["\\])')
_BARE = re.compile(rf'(?!["=]|//)[^{_SPACE}]+')
_SPECIAL = re.compile(r'(["\\])')
_PATTERN = re.compile(r"/[^\n\r\u2028\u2029]*\*")
_AGE = re.compile(r"(\d+\.?\d*|\.\d+)(ms|[smhd]?)", re.A)
_UNIT_SECONDS = {"ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86_400.0}

# In the order of LETTERS.
_STATES = (
    "waiting",
    "starting",
    "reading",
    "sending",
    "keepalive",
    "dns",
    "closing",
    "logging",
    "graceful",
    "cleanup",
    "open",
)


def parse(text: str) -> Filter:
    """Read a filter, whatever it is."""
    tests: list[_Test] = []
    errors: list[FilterError] = []
    for term in _TERM.finditer(text):
        sign, key, joint, quoted, bare = term.groups()
        value = bare if quoted is None else _ESCAPED.sub(r"\1", quoted)
        # Somebody is typing, unless `vhost:=""` asks for nothing.
        if value == "" and not term[0].endswith(':=""'):
            continue
        test = _anywhere(value) if key is None else _meaning(key, value, joint=joint)
        if isinstance(test, str):
            errors.append(FilterError(test, term[0]))
        else:
            tests.append(partial(_negated, test) if sign else test)
    return Filter(tuple(errors), tuple(tests))


def quote(text: str) -> str:
    """Write a value as it must stand behind "key:" or "key:=" to be read back exactly."""
    if _BARE.fullmatch(text):
        return text
    escaped = _SPECIAL.sub(r"\\\1", text)
    return f'"{escaped}"'


def _meaning(key: str, value: str, *, joint: str) -> _Test | ErrorKind:
    meaning = _MEANINGS.get(key)
    return "key" if meaning is None else meaning(value, joint)


def _negated(test: _Test, request: Request, at: float) -> bool:
    return test(request, at) is False


def _equal(value: str, read: Callable[[Request], str]) -> _Test:
    return lambda request, _: read(request) == value


def _containing(value: str, read: Callable[[Request], str]) -> _Test:
    # Upper case, as lower case depends on the neighbours: a sigma at the end is another letter.
    wanted = value.upper()
    return lambda request, _: wanted in read(request).upper()


def _within(read: Callable[[Request], str], value: str, joint: str) -> _Test:
    return _equal(value, read) if joint == ":=" else _containing(value, read)


def _anywhere(value: str) -> _Test:
    # No field holds a line feed, as it is escaped, so nothing is found across two of them.
    return _containing(value, lambda request: f"{request.request}\n{request.client}\n{request.vhost}")


def _path(value: str, joint: str) -> _Test:
    """A path holds no space, so what has one is a pattern with its method."""
    if joint == ":=" or " " in value:
        return _equal(value, lambda request: pattern(request.request))
    if _PATTERN.match(value):
        return _equal(value, lambda request: _path_of(pattern(request.request)))
    return _containing(value, lambda request: target(request.request))


def _path_of(kind: str) -> str:
    _, space, path = kind.partition(" ")
    return path if space else kind


def _method(value: str, joint: str) -> _Test:
    return _equal(value.upper(), lambda request: request.request.partition(" ")[0].upper())


def _state(value: str, joint: str) -> _Test | ErrorKind:
    wanted: set[Status] = set()
    for word in value.removesuffix(",").split(","):
        letters = _letters(word)
        if len(letters) != 1:
            return "state"
        wanted.update(letters)
    return lambda request, _: request.status in wanted


def _letters(word: str) -> list[Status]:
    """Return the letter that a word is, or those of which it begins the name."""
    letter, start = word.upper(), word.lower()
    named = [own for own, name in zip(LETTERS, _STATES, strict=True) if name.startswith(start)]
    return [own for own in LETTERS if own == letter] or named


def _pid(value: str, joint: str) -> _Test:
    return _equal(value, lambda request: str(request.pid))


def _slot(value: str, joint: str) -> _Test:
    wanted = value.removesuffix(".")
    return lambda request, _: (
        wanted
        in (
            f"{request.process_num}",
            f"{request.process_num}.{request.index}",
        )
    )


def _is(value: str, joint: str) -> _Test | ErrorKind:
    return _KINDS.get(value.lower(), "is")


def _age(value: str, joint: str) -> _Test | ErrorKind:
    age = _AGE.fullmatch(value)
    if age is None or joint.startswith(":"):
        return "age"
    limit = float(age[1]) * _UNIT_SECONDS.get(age[2], 1.0)

    def test(request: Request, at: float) -> bool | None:
        seconds = age_of(request, at)
        if seconds is None:
            return None
        if seconds == limit:
            return joint.endswith("=")
        return (seconds > limit) == joint.startswith(">")

    return test


_KINDS: dict[str, _Test] = {
    "websocket": lambda request, _: request.websocket,
    "draining": lambda request, _: request.draining,
    "slow": is_slow,
}

# What a value means behind its key and joint, or what it should have been.
_MEANINGS: dict[str, Callable[[str, str], _Test | ErrorKind]] = {
    "vhost": partial(_within, attrgetter("vhost")),
    "client": partial(_within, attrgetter("client")),
    "path": _path,
    "method": _method,
    "state": _state,
    "pid": _pid,
    "slot": _slot,
    "is": _is,
    "age": _age,
}

# In the order in which help lists them.
KEYS: tuple[str, ...] = tuple(_MEANINGS)
