"""What every request must pass: the mount prefix, the Host and the Origin; and headers of answers.

Owns the rules on who may ask. It must not know what is answered.

Threats and answers:

- a page of another site that opens the WebSocket or reads the API in a viewer's browser (which sends
  the viewer's credentials along): its `Origin` is foreign, and refused;
- DNS rebinding, a foreign name that resolves to this machine's loopback: its `Host` is foreign, and
  refused on a loopback listener;
- a hostile `X-Forwarded-Prefix`, where Apache's configuration doesn't set its own: refused unless it
  is a plain path, and only then ever put into an answer.

Behind Apache the Host is the back end's address, and the site's own name is the last element of
X-Forwarded-Host: mod_proxy appends to what a client sent.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mod_wsgi_dashboard.core.errors import NOTHING_HERE
from mod_wsgi_dashboard.settings import Settings

log = logging.getLogger(__name__)

# One token for each request that holds a worker of Apache now, viewers' WebSockets too.
HELD = web.AppKey("mod_wsgi_dashboard.held", set[object])

# Longer than any mount point that a person would type.
PREFIX_LENGTH = 200

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

# No inline script or style, and nothing from elsewhere: the page works without any exception.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    more: Mapping[str, object] | None = None,
) -> web.Response:
    """Return an error as problem details (RFC 9457): one sentence that says what to change.

    Args:
        status: of HTTP.
        detail: the sentence.
        headers: further headers of the answer.
        more: further members, for programs.
    """
    return web.Response(
        status=status,
        body=msgspec.json.encode({"status": status, "detail": detail, **(more or {})}),
        content_type="application/problem+json",
        headers=headers,
    )


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on an answer, and no-store on whatever names no caching of its own."""
    if response.status == 101:
        # Nothing is shown or kept of an upgrade; and a WebSocket keeps its headers as long as it lives.
        return
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")


def admission(settings: Settings) -> Middleware:
    """Return the middleware that lets a request in, or says why not.

    One for all checks: each middleware is a coroutine that a WebSocket keeps as long as it lives.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        token, held = object(), request.app[HELD]
        if came_through_apache(request):
            held.add(token)
        try:
            # Who may ask at all comes first, before anything about the request is believed.
            refusal = _check_host(request, settings)
            if refusal is None:
                refusal = _check_origin(request, settings)
            if refusal is None:
                refusal = _check_prefix(request)
            return await handler(request) if refusal is None else refusal
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _plainly(error)
        except Exception:
            if request.writer.output_size or "Upgrade" in request.headers:
                # Something was answered already, and nothing else can be.
                raise
            log.exception("a request could not be answered")
            return problem(500, "The dashboard failed; Apache's error log says how.")
        finally:
            held.discard(token)

    return check


_WHAT_TO_ASK = {
    404: NOTHING_HERE,
    405: "This address does not take that method; the header Allow names those that it takes.",
    413: "The body of the request is too long.",
}


def _plainly(error: web.HTTPException) -> web.Response:
    """Return what aiohttp raised as problem details; its own texts may repeat what a client sent."""
    status = HTTPStatus(error.status)
    detail = _WHAT_TO_ASK.get(status) or f"The request was not accepted: {status.phrase}."
    kept = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
    return problem(status, detail, kept)


def _check_prefix(request: web.Request) -> web.Response | None:
    """Refuse an X-Forwarded-Prefix that isn't a plain path."""
    if forwarded_prefix(request) is not None:
        return None
    return problem(
        400,
        "X-Forwarded-Prefix is not a path. Let Apache set it:"
        " RequestHeader set X-Forwarded-Prefix /metrics",
    )


# What mod_proxy adds (ProxyAddHeaders, on by default), and what the mount's own configuration sets.
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Prefix")


def came_through_apache(request: web.Request) -> bool:
    """Return whether a request came through Apache's proxy, and so holds a worker of Apache."""
    return any(name in request.headers for name in _FORWARDED)


def forwarded_prefix(request: web.Request) -> str | None:
    """Return the mount point that Apache names, without a closing slash; None if it's no plain path."""
    given = request.headers.getall("X-Forwarded-Prefix", [""])
    if len(given) > 1 or len(given[0]) > PREFIX_LENGTH or not _PREFIX.fullmatch(given[0]):
        return None
    return given[0].rstrip("/")


def _check_host(request: web.Request, settings: Settings) -> web.Response | None:
    """Refuse a foreign Host on a loopback listener."""
    # A browser always sends a Host; health checks in HTTP/1.0 don't.
    given = request.headers.getall("Host", [])
    if not _listens_on_loopback(request) or all(
        _is_loopback(name) or _allowed(name, settings) for name in given
    ):
        return None
    return problem(
        403,
        "The Host of this request is not this dashboard's. Where Apache passes on its own"
        " (ProxyPreserveHost On), name it in the setting allowed_hosts"
        " (MOD_WSGI_DASHBOARD_ALLOWED_HOSTS).",
    )


def _check_origin(request: web.Request, settings: Settings) -> web.Response | None:
    """Refuse requests which a page of another site made."""
    origins = request.headers.getall("Origin", [])
    if all(_is_own(value, request, settings) for value in origins):
        return None
    return problem(
        403,
        "This request comes from a page of another site. If this dashboard is reached by"
        " that name too, add it to the setting allowed_hosts"
        " (MOD_WSGI_DASHBOARD_ALLOWED_HOSTS).",
    )


def _is_own(value: str, request: web.Request, settings: Settings) -> bool:
    try:
        url = urlsplit(value)
        given = (url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme))
    except ValueError:
        return False
    if url.scheme not in _DEFAULT_PORTS or not given[0]:
        return False
    if _allowed(url.netloc, settings):
        return True
    forwarded = ",".join(request.headers.getall("X-Forwarded-Host", []))
    own = forwarded.rpartition(",")[2].strip() or request.headers.get("Host", "")
    return given == _split(own, _DEFAULT_PORTS[url.scheme])


def _split(netloc: str, default_port: int | None) -> tuple[str | None, int | None]:
    """Return the host, in lower case and without brackets, and the port of HOST or HOST:PORT."""
    try:
        url = urlsplit(f"//{netloc}")
        return url.hostname, url.port or default_port
    except ValueError:
        return None, None


def _allowed(netloc: str, settings: Settings) -> bool:
    name, port = _split(netloc, None)
    return any(
        name == allowed_name and allowed_port in (None, port)
        for allowed_name, allowed_port in (_split(own, None) for own in settings.allowed_hosts)
    )


def _listens_on_loopback(request: web.Request) -> bool:
    """Return whether the request came in on a loopback address; a unix socket has no names."""
    transport = request.transport
    address = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(address, tuple):
        return False
    return ipaddress.ip_address(address[0]).is_loopback


def _is_loopback(netloc: str) -> bool:
    name, _ = _split(netloc, None)
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False
