"""Lines, filters, requests and numbers: some chosen for their edges, many drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import TypeVar

import msgspec

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.filters import quote
from mod_wsgi_dashboard.core.requests import LETTERS, Request

AT = 1_700_000_000.0

T = TypeVar("T")

# Characters on which the two languages could differ: white space of the one alone, letters whose other
# case is longer or another letter, digits that are not ASCII, and what has two units in UTF-16.
ODD = (
    "\u00a0\u0085\u001c\u001f\u000b\ufeff\u2028\u3000\u200b"
    "\u00df\u03a3\u03c2\u0130\u0131\u00e9\u0149\ufb00\u01c5\u212a\u017f\u1fb3\u00b5\u00ff"
    "\u0663\u00b2\u0967\U0001d7d8\uffee\ue000\U0001f600\U00010400\U00010428"
)  # fmt: skip

LINES = (
    "", "-", "garbage", "GET", "GET ", " GET /a/12", "/a/12", "OPTIONS * HTTP/1.1",
    "CONNECT a.example:443 HTTP/1.1", "GET / HTTP/1.1", "GET /report/17?q=*** HTTP/1.1",
    "GET /report/17#*** HTTP/1.1", "GET //a HTTP/1.1", "GET /a?next=/b/17 HTTP/1.1",
    "GET /item?id=1' OR 1=1 HTTP/1.1", "GET HTTPS://host:8443/abs/5?a=*** HTTP/1.1",
    "GET http://***@evil.example/abs HTTP/1.1", "GET http://host HTTP/1.1",
    "GET http://host?a=/b HTTP/1.1", "GET \u212attp://host/a HTTP/1.1", "GET /http://x/1 HTTP/1.1",
    'FOO"bar /method HTTP/1.1', "GET /3f2504e0-4f89-11d3-9a0c-0305e82c3301/x HTTP/1.1",
    "GET /deadbee1 HTTP/1.1", "GET /deadbeef HTTP/1.1", "GET /AbCdEfGhIjKlMnOpQrS1 HTTP/1.1",
    "GET /AbCdEfGhIjKlMnOpQr1 HTTP/1.1", "GET /chunk-86798.m4s HTTP/1.1",
    "GET /app.123.js HTTP/1.1", "GET /*** HTTP/1.1", "GET /a/***",
    "GET /\u0663\u0664/\u0967\u0968 HTTP/1.1",
    "GET /" + "\u00e9" * 21 + "1 HTTP/1.1",
    "GET /" + "x" * 57, "GET /" + "x" * 58, "GET /a/" + "x" * 55 + "\U0001f600",
    "GET /a/" + "x" * 54 + "\U0001f600",
    "GET /a/17 HTTP/1.\u0661", "GET /a/17 HTTP/1.1\n",
)  # fmt: skip

_PIECES = (
    *" /?#:;*=&%.-~\"\\<\u00e9aZ07", "//", "12", "***", "http://", "HTTP", " HTTP/1.1", "GET ",
    "deadbeef1", "\u0663", "\U0001f600", "\u00a0",
)  # fmt: skip

STARTS = (None, AT - 0.3, AT - 5.0, AT - 20.0, AT - 95.25, AT - 4000.0, AT + 1.0)
PATHS = ("", "-", "GET /report/17 HTTP/1.1", "POST /a?b=*** HTTP/1.1", "GET /\uffee", "GET /\U0001f600")
CLIENTS = ("", "192.0.2.7", "9.0.0.1", "10.0.0.0/24", "2001:db8::/48", "***.example", "1.2.3.4444")
VHOSTS = (
    "", "www.example.com:443", "stra\u00dfe", "\u0130\u017f", "\uffee", "\U0001f600", "\U00010400",
)  # fmt: skip

TERMS = (
    "report", "REPORT/17", "-report", '"17?q=*** http"', '"page=*** ht', "1.1www", "vhost:EXAMPLE",
    "vhost:=www.example.com:443", 'vhost:"=www.example.com:443"', 'vhost:=""', '-vhost:=""',
    'vhost:""', "client:192.", "client:=192.0.2.7", "path:REPORT", "path:q=***", "path:/report/*",
    "path:/rep*", 'path:"GET /report/*"', 'path:="GET /report/*"', "path:=/report/*",
    "-path:/report/*", 'path:=""', 'path:"/a\u2028*"', 'path:"/a\r*"', 'path:"/a\u0085*"',
    "method:get", "method:GE", "-method:POST", "method:", "pid:4711", "pid:47", "slot:3", "slot:3.",
    "slot:3.10", "slot:3.1", "is:slow", "-is:slow", "is:Draining", "is:idle", "is:constructor",
    "is:\u017flow", "http://x", "-http://x", "[::1]:80", "10.0.0.1:80", "Vhost:www", "pid>5",
    "foo:bar", '-foo:"a b"', "constructor:x", "state:w", "state:w,K,lo", "state:w,", "state:s,cl",
    "state:w,,k", "state:\u017f", "state:x", "state:.", "state:waiting", "state:c", "age>5s",
    "age<=90", "age>=1h", "-age>5", "age>500ms", "age<2m", "age>1.5h", "age>1.h", "age>.5", "age>.",
    "age>1.2.3", "age>5y", "age>\u0665", "age:5", "age:>5", "age>", "-age>=", "age>1d", "age>=20",
    "age<=20", "age>" + "9" * 400, "age<0.3", "-", '"', '""', '-""', 'a"b', r'"a \"b\" c"',
    r'"a \\ b"', r'"a \x b"', 'vhost:="', "vhost:=", "-a -b", "a\u00a0b", "a\u0085b", "a\u001cb",
    "a\ufeffb", "a\u2028b", "a\u200bb", "STRASSE", "stra\u00dfe", "\u0130", "i\u0307", "\u03c3",
    "\u212a", "k", "\ufb00", "\U00010428", "vhost:\u01c6",
)  # fmt: skip


def lines() -> list[str]:
    """Give lines as Apache keeps them, and others."""
    random = Random("lines")
    return [*LINES, *(_any_line(random) for _ in range(150))]


def texts() -> list[str]:
    """Give what may have to be quoted."""
    random = Random("texts")
    return ["", "a", "=a", '"a"', "//a", "a//", "a b", "a\\", *(_any_text(random) for _ in range(80))]


def filters() -> list[str]:
    """Give filters: finished, half-written, and wrong."""
    random = Random("filters")
    return [*TERMS, *(_any_filter(random) for _ in range(200))]


def numbers() -> list[float]:
    """Give numbers to be written, many of them at the edge of what is rounded."""
    random = Random("numbers")
    halves = [0.05, 0.25, 0.35, 1.45, 4.25, 8.75, 0.5, 1.5, 2.5, 9.94, 9.95, 9.96, 12.5, 99.94, 99.95]
    edges = [0, 1, 999, 999.4, 999.5, 1000, 59.999, 60, 61, 3599.99, 3600, 86_399, 86_400, 200_000, 6400]
    large = [1500, 999_900, 99_950, 99_949, 123_456_789, 5e15, 2**53, 1e15 + 0.5, 1e18]
    drawn = [random.random() * 10 ** _below(random, 13) for _ in range(60)]
    return [*halves, *edges, *large, *drawn, *(round(value, 2) for value in drawn[:30])]


def alerts() -> Iterator[wire.Failure]:
    """Give alerts as they come, with a failed sample: it may have them all."""
    common = ("warning", AT - 130.4)
    yield _failure(
        Alert("saturated", "busy", "critical", AT - 130.0, peak=1.0, threshold=1.0),
        Alert("nearly", "busy", *common, peak=0.9996, threshold=0.9),
        Alert("half", "busy", *common, peak=0.55, threshold=0.505),
        Alert("plain", "busy", *common),
        Alert("metrics-off", "error", "critical", AT - 5.0),
        Alert("restarted", "restart", *common),
    )
    yield _failure(
        Alert("old", "oldest", *common, peak=4000.5, threshold=30.0),
        Alert("young", "oldest", *common, peak=4.25, threshold=4.25),
        Alert("any", "oldest", *common),
        Alert("stuck", "stuck", *common, peak=130.0, threshold=1.0, path="GET /report/*", count=5),
        Alert("stuck", "stuck", *common, peak=9.95, path="<b>\U0001f600", count=1),
        Alert("stuck", "stuck", *common, path="", count=1200),
        Alert("stuck", "stuck", *common),
        Alert("stuck", "stuck", *common, peak=61.0, path="GET /a", count=0),
        Alert("newer", "temperature", "fatal", AT + 3.0, peak=80.0),
    )


def lists() -> Iterator[list[Request]]:
    """Give lists of requests with many that are equal in something."""
    random = Random("lists")
    for size in (0, 1, 9, 14, 20, 30):
        yield [_any_request(random, place) for place in range(size)]


def _failure(*found: Alert) -> wire.Failure:
    return wire.Failure(1, AT, 1.0, "The scoreboard is off.", wire.ViewerCount(0, 4), [], list(found))


def _below(random: Random, below: int) -> int:
    """Return a whole number; `random()` alone gives the same in each version of Python."""
    return int(random.random() * below)


def _one(random: Random, values: Sequence[T]) -> T:
    return values[_below(random, len(values))]


def _any_line(random: Random) -> str:
    start = _one(random, ["", "GET /", "POST http://h/", "*** /"])
    rest = "".join(_one(random, _PIECES) for _ in range(_below(random, 40)))
    return f"{start}{rest}"[:63] + _one(random, ["", " HTTP/1.1"])


def _any_text(random: Random) -> str:
    plain = ' \t\n"\\=:,.-*/<>()[]aAbsSwW019'
    pieces = (*plain, *ODD, "vhost:", "state:", "age>", '\\"', "http://", "GET /")
    return "".join(_one(random, pieces) for _ in range(_below(random, 9)))


def _any_filter(random: Random) -> str:
    return " ".join(
        _one(random, ["", "", "-"]) + _any_term(random) for _ in range(1 + _below(random, 3))
    )


def _any_term(random: Random) -> str:
    keys = ["vhost:", "vhost:=", "client:", "path:", "path:=", "method:", "state:", "age>", ""]
    key = _one(random, keys)
    own = _any_text(random)
    return _one(random, [own, key + quote(own), key + own, _one(random, TERMS), _one(random, TERMS)])


def _any_request(random: Random, place: int) -> Request:
    return Request(
        process_num=place // 4,
        index=_below(random, 3),
        pid=_one(random, [1, 17, 4711]),
        status=_one(random, LETTERS),
        started_at=_one(random, STARTS),
        websocket=_below(random, 4) == 0,
        draining=_below(random, 3) == 0,
        client=_one(random, CLIENTS),
        vhost=_one(random, VHOSTS),
        request=_one(random, [*PATHS, *PATHS, _any_line(random)]),
    )


def _requests() -> Iterator[Request]:
    whole = Request(
        *(3, 10, 4711, "W", AT - 20.0, False, False),
        *("192.0.2.7", "www.example.com:443", "GET /report/17?q=***&page=*** HTTP/1.1"),
    )
    yield whole
    yield msgspec.structs.replace(whole, request="GET /x/a\r*b HTTP/1.1")
    random = Random("requests")
    for place in range(38):
        yield _any_request(random, place)


REQUESTS = tuple(_requests())
