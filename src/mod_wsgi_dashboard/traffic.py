"""The made-up traffic of the simulator: what is asked, by whom, for how long, how large the answer.

Owns the endpoints, clients and hostile strings, in the form in which Apache's scoreboard keeps them.
It must not know workers or time; chance comes from the caller's generator.
"""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random

_CLIENT_CHARS, _REQUEST_CHARS, _VHOST_CHARS = 31, 63, 31  # httpd's scoreboard.h, without the NUL

# Sigma of the lognormal durations: the mean is twice the median, 1 % last 16 times the median.
_SPREAD = 1.2
# The longest ordinary request, give or take a fifth: a load follows its curve in half a minute.
_LONGEST_S = 25.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request: what is asked, how often, and how it is answered."""

    method: str
    path: str  # {n} becomes a number, {h} a hexadecimal secret
    vhost: str
    weight: float
    median_s: float
    size_bytes: int
    hold_s: tuple[float, float] = (0.0, 0.0)  # shortest and longest, for requests that are held


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as the scoreboard will show it, and how long it takes."""

    request: str
    vhost: str
    client: str
    duration_s: float
    size_bytes: int
    held: bool = False


_SHOP, _API, _STATIC, _INTERNAL, _CHAT = (
    "www.example.com:443",
    "api.example.com:443",
    "static.example.com:443",
    "intranet.example.com:8443",
    "chat.community.example.com:443",
)

_ENDPOINTS = (
    Endpoint("GET", "/", _SHOP, 9, 0.25, 18_400),
    Endpoint("HEAD", "/", _SHOP, 2, 0.2, 310),
    Endpoint("GET", "/category/{n}", _SHOP, 7, 0.35, 24_100),
    Endpoint("GET", "/category/{n}?page=3&sort=price", _SHOP, 4, 0.45, 23_700),
    Endpoint("GET", "/product/{n}", _SHOP, 9, 0.3, 31_200),
    Endpoint("GET", "/product/{n}/reviews", _SHOP, 4, 0.4, 12_900),
    Endpoint("GET", "/search?q=winter+boots", _SHOP, 4, 0.8, 20_300),
    Endpoint("GET", "/search?q=caf%C3%A9&page=2", _SHOP, 2, 0.9, 19_800),
    Endpoint("GET", "/basket?session={h}", _SHOP, 3, 0.3, 9_200),
    Endpoint("POST", "/basket/items", _SHOP, 3, 0.35, 640),
    Endpoint("POST", "/checkout", _SHOP, 1.5, 1.6, 2_100),
    Endpoint("POST", "/login?next=/account", _SHOP, 2, 0.6, 480),
    Endpoint("GET", "/account/orders?session={h}", _SHOP, 2, 0.5, 14_500),
    Endpoint("GET", "/account/orders/{n}/invoice.pdf", _SHOP, 1, 1.8, 88_000),
    Endpoint("GET", "/password/reset?token={h}", _SHOP, 0.6, 0.3, 5_300),
    Endpoint("POST", "/newsletter", _SHOP, 0.5, 0.4, 210),
    Endpoint("GET", "/v1/items/{n}", _API, 9, 0.15, 1_500),
    Endpoint("GET", "/v1/items?limit=50&offset={n}", _API, 5, 0.4, 22_000),
    Endpoint("POST", "/v1/items", _API, 2, 0.3, 900),
    Endpoint("GET", "/v1/items/{n}?api_key={h}", _API, 4, 0.15, 1_480),
    Endpoint("GET", "/v1/users/{n}", _API, 4, 0.2, 1_100),
    Endpoint("GET", "/v1/users/{n}/events?since=2024-01-01", _API, 2, 0.7, 16_700),
    Endpoint("POST", "/v1/users/{n}/avatar", _API, 0.8, 2.2, 420),
    Endpoint("POST", "/v1/token?client_secret={h}", _API, 1.5, 0.4, 730),
    Endpoint("GET", "/v1/stock/{n}", _API, 5, 0.12, 360),
    Endpoint("HEAD", "/v1/stock/{n}", _API, 1, 0.1, 240),
    Endpoint("POST", "/v1/orders", _API, 2, 0.9, 1_300),
    Endpoint("GET", "/v1/orders/{n}?token={h}", _API, 2, 0.3, 2_900),
    Endpoint("POST", "/hooks/payment?signature={h}{h}", _API, 1, 0.5, 120),
    Endpoint("GET", "/css/site.{n}.css", _STATIC, 5, 0.02, 41_000),
    Endpoint("GET", "/js/app.{n}.js", _STATIC, 5, 0.03, 182_000),
    Endpoint("GET", "/img/product/{n}/600x600.webp", _STATIC, 9, 0.04, 54_000),
    Endpoint("GET", "/fonts/inter.woff2", _STATIC, 2, 0.02, 103_000),
    Endpoint("HEAD", "/img/product/{n}/600x600.webp", _STATIC, 1, 0.01, 280),
    Endpoint("GET", "/video/{n}/chunk-{n}.m4s", _STATIC, 1, 2.5, 1_900_000),
    Endpoint("GET", "/admin/dashboard", _INTERNAL, 1, 1.2, 27_000),
    Endpoint("GET", "/admin/orders?status=open&session={h}", _INTERNAL, 1, 1.5, 46_000),
    Endpoint("GET", "/admin/report/{n}.csv?token={h}", _INTERNAL, 0.6, 4.0, 310_000),
    Endpoint("POST", "/admin/import", _INTERNAL, 0.3, 5.0, 900),
    Endpoint("GET", "/healthz", _INTERNAL, 2, 0.005, 190),
    Endpoint("GET", "/chat/rooms/{n}/messages?after={n}", _CHAT, 2, 0.2, 5_600),
    Endpoint("POST", "/chat/rooms/{n}/messages", _CHAT, 1, 0.25, 330),
)
_EXPORT = Endpoint("GET", "/reports/export?session={h}", _INTERNAL, 1, 0, 640_000, (30, 120))
SLOW_REPLIES = (_EXPORT,)
LONG_REPLIES = (
    Endpoint("GET", "/reports/build/{n}?token={h}", _INTERNAL, 3, 0, 210_000, (10, 40)),
    Endpoint("POST", "/v1/uploads/{n}", _API, 2, 0, 400, (8, 35)),
)
SOCKETS = (
    Endpoint("GET", "/metrics/ws", _INTERNAL, 1, 0, 0, (math.inf, math.inf)),
    Endpoint("GET", "/chat/socket?room={n}&token={h}", _CHAT, 2, 0, 74_000, (60, 600)),
)

# As Apache keeps them: latin-1, tabs made spaces, no NUL; a refused request (400, 414) stays, too.
_HOSTILE_REQUESTS = (
    "GET /<script>alert(1)</script> HTTP/1.1",
    'GET /"><img src=x onerror=alert(1)> HTTP/1.1',
    "GET /item?id=1'%20OR%20'1'='1'-- HTTP/1.1",
    "GET /a\x1b[31mred HTTP/1.1",
    "GET /a\x1b]0;owned\x07b\x7f\x9b2J HTTP/1.1",
    "GET /caf\xff\xe9?n=\xa0 HTTP/1.1",
    "GET /login?token=secret&password=hunter2 HTTP/1.1",
    "GET /cb?code=1&access_token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl HTTP/1.1",
    "GET /cut/in/an/escape?padding=0123456789012345678901234567890&x=%C3%A9 HTTP/1.1",
    "GET http://admin:hunter2@evil.example/abs HTTP/1.1",
    'FOO"bar /method HTTP/1.1',
    '=HYPERLINK("http://evil.example";"x") / HTTP/1.1',
    "GET /%0d%0aSet-Cookie:%20a=b?__proto__[x]={{7*7}} HTTP/1.1",
    "GET /" + "A" * 200 + " HTTP/1.1",
)
_HOSTILE_VHOST = '"><svg onload=alert(1)>:443'
_HOSTILE_CLIENT = "<b>ptr</b>.evil.example"  # a name, as HostnameLookups stores it


class Traffic:
    """Draws visits: what is asked, by whom, for how long, and how large the answer is."""

    def __init__(self, rng: Random, hostile: float) -> None:
        self._rng = rng
        self._hostile = hostile
        self._clients = [self._draw_client() for _ in range(300)]
        self._weights = list(accumulate(endpoint.weight for endpoint in _ENDPOINTS))
        medians = sum(endpoint.weight * endpoint.median_s for endpoint in _ENDPOINTS)
        self.mean_s = medians / self._weights[-1] * math.exp(_SPREAD**2 / 2)

    def draw(self, slowdown: float, client: str = "") -> Visit:
        """Return an ordinary visit, or a hostile one in that scenario's share."""
        rng = self._rng
        client = client or rng.choice(self._clients)
        if rng.random() < self._hostile:
            return self._draw_hostile(client)
        endpoint = _ENDPOINTS[bisect(self._weights, rng.random() * self._weights[-1])]
        seconds = endpoint.median_s * rng.lognormvariate(0.0, _SPREAD) * slowdown
        about = 0.8 + 0.4 * rng.random()
        seconds = min(seconds, _LONGEST_S * about)
        size = int(endpoint.size_bytes * about)
        return Visit(self._write_request(endpoint), endpoint.vhost, client, seconds, size)

    def draw_held(self, holders: tuple[Endpoint, ...]) -> Visit:
        """Return a visit that keeps its slot as long as its endpoint's `hold_s` says."""
        endpoint = self._rng.choices(holders, [holder.weight for holder in holders])[0]
        shortest, longest = endpoint.hold_s
        seconds = self._rng.uniform(shortest, longest) if longest < math.inf else math.inf
        client = self._rng.choice(self._clients)
        request = self._write_request(endpoint)
        return Visit(request, endpoint.vhost, client, seconds, endpoint.size_bytes, held=True)

    def _draw_hostile(self, client: str) -> Visit:
        rng = self._rng
        vhost = _HOSTILE_VHOST if rng.random() < 0.2 else _SHOP
        client = _HOSTILE_CLIENT if rng.random() < 0.1 else client
        request = rng.choice(_HOSTILE_REQUESTS)[:_REQUEST_CHARS]
        return Visit(request, vhost[:_VHOST_CHARS], client[:_CLIENT_CHARS], rng.uniform(0.3, 3.0), 400)

    def _write_request(self, endpoint: Endpoint) -> str:
        path = endpoint.path
        if "{" in path:
            number = int(self._rng.random() * 90_000) + 10
            path = path.format(n=number, h=f"{self._rng.getrandbits(64):016x}")
        return f"{endpoint.method} {path} HTTP/1.1"[:_REQUEST_CHARS]

    def _draw_client(self) -> str:
        bits = self._rng.getrandbits
        if self._rng.random() < 0.7:  # documentation networks of RFC 5737 and RFC 3849
            return f"{self._rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{bits(8)}"
        groups = [f"{bits(16) or 1:x}" for _ in range(6)]
        return f"2001:db8:{':'.join(groups)}"[:_CLIENT_CHARS]
