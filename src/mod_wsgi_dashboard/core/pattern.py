"""The kind of request that a request line is of: its method, and its path without what differs.

Owns what of a path is the same from one request to the next. Lines come as Apache keeps them and as they
are shown: masked as `***`, perhaps cut, perhaps hostile. The page's twin is `pattern.ts`; both are held
to `tests/twins`.
"""

from __future__ import annotations

import re

# Apache keeps so many characters of a line (server/scoreboard.h, worker_score.request).
KEPT = 63

# A server of 6,400 workers may show so many new lines a tick: twice that, or each tick would clear it.
_CACHE_SIZE = 16_384

# Method, path, query. A space behind the path is enough: " HT" may be all that was kept of the protocol.
_LINE = re.compile(r"([^ ]+) (?:[a-z][a-z\d+.-]*://[^ /?#]*|(?=/))([^ ?#]*)([^ ]*)", re.I | re.A)

# A segment with a digit or a mask; others have nothing to shorten.
_SEGMENT = re.compile(r"[^/\d*]*[\d*][^/]*", re.A)

# If there is a digit: a number, a hash, or a long token, as a UUID is. No dot: files keep extensions.
_OPAQUE = re.compile(r"\d+|[\da-f]{8,}|[\w%+=~-]{20,}", re.I | re.A)

_NUMBER = re.compile(r"\d\d+", re.A)
_LAST = re.compile(r"[^/]*\Z")

_cache: dict[str, str] = {}


def pattern(request: str) -> str:
    """Return the kind of a request line, which is returned as it is if it has no path.

    "GET /report/17?q=*** HTTP/1.1" is of the kind "GET /report/*".
    """
    known = _cache.get(request)
    if known is None:
        if len(_cache) >= _CACHE_SIZE:
            _cache.clear()
        known = _cache[request] = _generalise(request)
    return known


def target(request: str) -> str:
    """Return the path with its query, without the host of an absolute URL; "" if the line has none."""
    line = _LINE.match(request)
    return "" if line is None else f"{line[2]}{line[3]}"


def _generalise(request: str) -> str:
    line = _LINE.match(request)
    if line is None:
        return request
    method, path, query = line.groups()
    short = _SEGMENT.sub(lambda found: _shorten(found[0]), path or "/")
    # A mask is shorter than what it hides, so that a line with one may be cut whatever its length.
    whole = query == "" and line.end() == len(request)
    if whole and (_units(request) >= KEPT or "***" in path):
        short = _LAST.sub("*", short, count=1)
    return f"{method} {short}"


def _units(text: str) -> int:
    """Return a text's length as JavaScript has it: in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _shorten(segment: str) -> str:
    if _OPAQUE.fullmatch(segment):
        return "*"
    rest = _NUMBER.sub("*", segment)
    return "*" if "***" in rest else rest
