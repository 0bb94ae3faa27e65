"""The probe against good dashboards, against those with one fault each, and through a real Apache."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiohttp import web

from mod_wsgi_dashboard.apacheconf import probe as probe_module
from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.probe import probe
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.visitor import Answer, Stop
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import NOTHING_HERE
from mod_wsgi_dashboard.settings import Settings
from tests.conftest import build_metrics
from tests.served import FixedSource, serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

SLASHES = "The slashes at the ends of the ProxyPass don't match."
DOWN = "The dashboard's process doesn't answer Apache."


@contextlib.asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free loopback port, and give its URL."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def faulty(faults: Mapping[str, Handler]) -> AsyncIterator[str]:
    """Serve a real dashboard some of whose paths have another handler, and give its URL."""

    @web.middleware
    async def fault(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await faults.get(request.path, handler)(request)
        return answer

    async with running(behind(fault)) as url:
        yield url


def behind(middleware: Any) -> web.Application:
    """Return a real dashboard to which requests come through a middleware."""
    app = create_app(Settings(), FixedSource())
    app.middlewares.insert(0, middleware)
    return app


def saying(status: int, text: str = "", kind: str = "text/html", **headers: str) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=kind, headers=headers)

    return handler


def refusing(status: int, detail: str) -> Handler:
    return saying(status, f'{{"status": {status}, "detail": "{detail}"}}', "application/problem+json")


def brief(found: list[Finding]) -> list[tuple[str, Severity, str]]:
    return [(finding.check, finding.severity, finding.what) for finding in found]


# Good ones


@pytest.mark.parametrize("interval", [0.1, 1.0, 60.0])
async def test_a_good_dashboard(interval: float) -> None:
    """A dashboard asked directly has nothing wrong, whatever its interval, and that is soon known."""
    began = monotonic()
    async with serving(interval=interval) as served:
        assert [] == await probe(served.url)
    assert monotonic() - began < 5.0


# The page

PAGES = {
    "not there": (saying(404, "<h1>Not Found</h1>"), ERROR, "Nothing is mounted there."),
    "slashes": (refusing(404, NOTHING_HERE), ERROR, SLASHES),
    "slashes, once": (saying(404, "404: Not Found", "text/plain"), ERROR, SLASHES),
    "slashes in the host": (saying(500, "DNS lookup failure for: 127.0.0.1:1ws"), ERROR, SLASHES),
    "no module": (saying(500, "Internal Server Error"), ERROR, "Apache can't pass the request on."),
    "rules": (saying(403), ERROR, "Apache's access rules don't let this machine in."),
    "another protocol": (
        saying(502), ERROR, "What Apache passes the request to is not the dashboard.",
    ),
    "stopped": (saying(503), ERROR, DOWN),
    "hangs": (saying(504), ERROR, DOWN),
    "teapot": (saying(418), ERROR, "The page there is not the dashboard's."),
    "another page": (
        saying(200, "<title>mod_wsgi dashboard</title>"), ERROR,
        "The page there is not the dashboard's.",
    ),
    "empty": (saying(200), ERROR, "The page there is not the dashboard's."),
    "a password": (
        saying(401), WARNING, "The page wants a name and a password, so nothing behind it was tried.",
    ),
    "foreign host": (refusing(403, "not this dashboard's"), ERROR, "The dashboard refuses the page."),
    "a loop": (saying(302, Location="/"), ERROR, "The address redirects over and over."),
    "another host": (
        saying(302, Location="https://u:hunter2@login.example/x"), ERROR,
        "The address redirects to another place, https://login.example.",
    ),
    "another port": (
        saying(302, Location="http://127.0.0.1:1/"), ERROR,
        "The address redirects to another place, http://127.0.0.1:1.",
    ),
    "a broken redirect": (
        saying(302, Location="http://[::1"), ERROR,
        "The address redirects to another place, one without a host.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_does_not_come(name: str) -> None:
    """Each answer in the page's place is one finding that says what it means."""
    handler, severity, what = PAGES[name]
    async with faulty({"/": handler}) as url:
        found = await probe(url)
    assert [("url-reachable" if "TLS" in what else "url-page", severity, what)] == brief(found)
    assert found[0].fix
    assert "hunter2" not in str(found)


async def test_plain_http_to_a_tls_port() -> None:
    """Apache's answer to plain HTTP on a TLS port asks for https."""
    text = "You're speaking plain HTTP to an SSL-enabled server port."
    async with faulty({"/": saying(400, text)}) as url:
        (found,) = await probe(url)
    assert ("url-reachable", "https:// in the address.") == (found.check, found.fix)


async def test_what_the_dashboard_says_itself_is_the_fix() -> None:
    """The dashboard's own refusal is handed on, as one printable line."""
    async with faulty({"/": refusing(403, "name it\\u001b[31m\\nin allowed_hosts")}) as url:
        (found,) = await probe(url)
    assert "name it [31m in allowed_hosts" == found.fix


REDIRECTS = {
    "slash": ("http://a/m", "/m/", "http://a/m/"),
    "whole": ("http://a/m", "http://a:80/m/", "http://a:80/m/"),
    "to https": ("http://a/m", "https://a/m/", "https://a/m/"),
    "query": ("http://a/m", "/login?next=/m#x", "http://a/login?next=/m"),
    "credentials": ("http://a/m", "http://me:hunter2@a/m/", "http://a/m/"),
    "capitals": ("http://a/m", "http://A/m/", "http://A/m/"),
}


@pytest.mark.parametrize("name", REDIRECTS)
def test_which_redirects_are_followed(name: str) -> None:
    """Those that stay on the host, or lead from http to https there; without credentials of theirs."""
    old, location, new = REDIRECTS[name]
    assert new == probe_module._redirected(Answer("GET /m", old, 302, {}, b""), location)


@pytest.mark.parametrize(
    ("location", "what"),
    [
        ("http://a/m/", "The address redirects from https to http."),
        ("https://a:8443/", "The address redirects to another place, https://a:8443."),
        ("//b/", "The address redirects to another place, https://b."),
        ("file:///etc/passwd", "The address redirects to another place, one without a host."),
    ],
)
def test_which_redirects_are_not_followed(location: str, what: str) -> None:
    """From https to http, to another port, host or scheme nobody's credentials go."""
    with pytest.raises(Stop) as stopped:
        probe_module._redirected(Answer("GET /m", "https://a/m", 302, {}, b""), location)
    assert what == stopped.value.finding.what


async def test_redirects_are_followed() -> None:
    """Redirects on the host are no fault, and what they lead to is looked at."""
    async with faulty({"/a": saying(301, Location="/b"), "/b": saying(302, Location="/")}) as url:
        assert [] == await probe(f"{url}a")


async def test_credentials_stay_on_the_host() -> None:
    """A redirect to another port, a page's base elsewhere: neither gets the credentials."""
    asked: list[str | None] = []

    async def other(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Authorization"))
        return web.Response()

    page = '<head><base href="{}"><title>mod_wsgi dashboard</title><script src="./assets/x.js">'
    async with faulty({"/": other, "/assets/x.js": other}) as elsewhere:
        async with faulty({"/": saying(302, Location=elsewhere)}) as url:
            await probe(url, user="me:hunter2")
        async with faulty({"/": saying(200, page.format(elsewhere))}) as url:
            found = await probe(url, user="me:hunter2")
    assert [] == asked
    assert "hunter2" not in str(found)


async def test_credentials_are_sent() -> None:
    """Those of the URL, or those given, go with every request, the WebSocket's as well."""
    seen: dict[str, set[str | None]] = {}

    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        seen.setdefault(base64.b64decode(given.removeprefix("Basic ")).decode(), set()).add(request.path)
        answer: web.StreamResponse = await handler(request)
        return answer

    async with running(behind(note)) as url:
        found = await probe(url.replace("http://", "http://me:p%40ss@"))
        found += await probe(url.replace("http://", "http://me:p%40ss@"), user="you:x:y")
    assert [] == found
    assert {"me:p@ss", "you:x:y"} == seen.keys()
    assert all({"/", "/ws", "/api/v1/snapshot"} <= paths for paths in seen.values())


async def test_refused_credentials() -> None:
    """With credentials a 401 is an error, and shows none of them."""
    async with faulty({"/": saying(401)}) as url:
        (found,) = await probe(url, user="me:hunter2")
    assert (ERROR, "The name and the password are refused.") == (found.severity, found.what)
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("user", [None, "me:secret"])
async def test_open_to_other_machines(monkeypatch: pytest.MonkeyPatch, user: str | None) -> None:
    """A page that another machine gets without credentials is open, whatever was sent with it."""
    # No other machine is at hand: the look-up gives an address of one.

    async def look_up(*_: object) -> Any:
        return [(socket.AF_INET, ("192.0.2.1", 80))]

    monkeypatch.setattr(probe_module, "look_up", look_up)
    async with serving() as served:
        (found,) = await probe(served.url, user=user)
    assert ("url-access", WARNING) == (found.check, found.severity)


async def test_closed_to_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that comes with credentials only is not open."""

    async def look_up(*_: object) -> Any:
        return [(socket.AF_INET, ("192.0.2.1", 80))]

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        if "Authorization" not in request.headers:
            return web.Response(status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    monkeypatch.setattr(probe_module, "look_up", look_up)
    async with running(behind(guard)) as url:
        assert [] == await probe(url, user="me:secret")


# Beside the page

APIS = {
    "health": ({"/healthz": saying(404)}, "url-page", ERROR),
    "health of another": ({"/healthz": saying(200, "OK")}, "url-page", ERROR),
    "snapshot": ({"/api/v1/snapshot": saying(403)}, "url-page", ERROR),
    "snapshot of another": ({"/api/v1/snapshot": saying(200, "[]")}, "url-page", ERROR),
    "not ready": ({"/readyz": refusing(503, "not lately")}, "url-frame", WARNING),
}  # fmt: skip


@pytest.mark.parametrize("name", APIS)
async def test_what_stands_beside_the_page(name: str) -> None:
    """A part of the mount that something else answers is one finding."""
    faults, check, severity = APIS[name]
    async with faulty(faults) as url:
        found = await probe(url)
    assert [(check, severity)] == [(finding.check, finding.severity) for finding in found]


async def test_metrics_off_are_told_once() -> None:
    """What API and WebSocket both say is one finding."""
    source = FixedSource()
    source.metrics = None
    async with serving(source) as served:
        (found,) = await probe(served.url)
    assert ("server-metrics", ERROR) == (found.check, found.severity)
    assert "server-metrics=on" in found.fix


async def test_a_scoreboard_that_cant_be_read() -> None:
    """Another error is handed on in its own words."""
    async with serving(FixedSource(OSError("hunter2"))) as served:
        (found,) = await probe(served.url)
    assert ("url-frame", ERROR) == (found.check, found.severity)
    assert "mod_wsgi.server_metrics() raised OSError" in found.what


async def test_extended_status_off_is_told_once() -> None:
    """A notice on ExtendedStatus is a finding with the directive."""
    metrics = build_metrics("_W_W", counts=0, started=0.0)
    async with serving(FixedSource(metrics)) as served:
        (found,) = await probe(served.url)
    assert ("extended-status", ERROR, "ExtendedStatus On") == (found.check, found.severity, found.fix)


# The WebSocket

SOCKETS = {
    400: "Apache passes the WebSocket on as a plain request.",
    401: "The page comes, and the WebSocket asks for other credentials.",
    403: "Apache's rules let the page through, and not the WebSocket.",
    404: "The WebSocket's address is answered by something else.",
    200: "The WebSocket's address is answered by something else.",
    302: "The WebSocket's address is answered by something else.",
    500: "Apache can't pass the request on.",
    502: "What Apache passes the request to is not the dashboard.",
    503: DOWN,
}


@pytest.mark.parametrize("status", SOCKETS)
async def test_a_websocket_that_does_not_open(status: int) -> None:
    """Each status that comes in place of 101 is one finding that says what it means."""
    async with faulty({"/ws": saying(status)}) as url:
        found = await probe(url)
    assert [("url-websocket", ERROR, SOCKETS[status])] == brief(found)
    assert found[0].evidence[0].startswith(f"WebSocket /ws: {status}")


async def test_a_foreign_origin() -> None:
    """The dashboard's own refusal names its setting, not Apache's rules."""
    async with faulty({"/ws": refusing(403, "another site")}) as url:
        (found,) = await probe(url)
    assert "allowed_hosts" in found.fix


def talking(talk: Callable[[web.WebSocketResponse], Awaitable[object]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        opened = web.WebSocketResponse(protocols=(wire.SUBPROTOCOL,), timeout=0.1)
        await opened.prepare(request)
        await talk(opened)
        return opened

    return handler


ERROR_FRAME = (
    '{"frame":"error","tick":1,"at_ms":1,"interval":%s,"error":"hunted \\u001b[1m",'
    '"viewers":{"connected":1,"limit":1},"notices":[]}'
)


async def says_nothing(opened: web.WebSocketResponse) -> None:
    await opened.receive()


async def says_one_thing(opened: web.WebSocketResponse) -> None:
    await opened.send_str(ERROR_FRAME % "1e9")
    await opened.ping()
    while not (await opened.receive()).type.name.startswith("CLOS"):
        pass


async def floods_with_pings(opened: web.WebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        while not opened.closed:
            await opened.ping()
            await asyncio.sleep(0)


async def drops(opened: web.WebSocketResponse) -> None:
    assert opened._req is not None
    assert opened._req.transport is not None
    opened._req.transport.abort()


async def breaks_the_protocol(opened: web.WebSocketResponse) -> None:
    assert opened._req is not None
    assert opened._req.transport is not None
    opened._req.transport.write(b"\xff" * 64)  # type: ignore[attr-defined]
    await opened.receive()


UNREADABLE = "The frame is none that this version can read."
CLOSED = "The WebSocket opens, and is closed at once."
PLACES = "All places for viewers are taken just now, so the WebSocket was not tried to the end."
QUIET = "The WebSocket opens, and nothing comes within 3.0 s."

FRAMES: dict[str, tuple[Callable[[web.WebSocketResponse], Awaitable[object]], Any]] = {
    "nothing": (says_nothing, [("url-frame", ERROR, QUIET)]),
    "pings alone": (floods_with_pings, [("url-frame", ERROR, QUIET)]),
    "one frame": (
        says_one_thing,
        [
            ("url-frame", ERROR, "The dashboard can't read the scoreboard: hunted [1m"),
            ("url-frame", ERROR, "The WebSocket opens, and nothing comes within 2.5 s."),
        ],
    ),
    "no JSON": (lambda s: s.send_str("\x1b[31m"), [("url-frame", ERROR, UNREADABLE)]),
    "no frame": (lambda s: s.send_str("{}"), [("url-frame", ERROR, UNREADABLE)]),
    "a kind of later": (lambda s: s.send_str('{"frame":"z"}'), [("url-frame", ERROR, UNREADABLE)]),
    "binary": (lambda s: s.send_bytes(b"\0"), [("url-websocket", ERROR, CLOSED)]),
    "closed": (lambda s: s.close(code=1011), [("url-websocket", ERROR, CLOSED)]),
    "dropped": (drops, [("url-websocket", ERROR, CLOSED)]),
    "no WebSocket": (breaks_the_protocol, [("url-websocket", ERROR, CLOSED)]),
    "restarting": (
        lambda s: s.close(code=1001),
        [("url-websocket", WARNING, "Apache, or the dashboard, was just restarted.")],
    ),
    "full": (
        lambda s: s.close(code=1013, message=b"full"),
        [("viewers-against-workers", NOTE, PLACES)],
    ),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_frames(name: str) -> None:
    """What a WebSocket does in place of sending frames is one finding."""
    talk, expected = FRAMES[name]
    async with faulty({"/ws": talking(talk)}) as url:
        began = monotonic()
        found = await probe(url)
    assert expected == brief(found)
    assert monotonic() - began < 5.0


async def test_a_dashboard_that_records_nothing() -> None:
    """Its notice is a finding of its own, in its own words; other notices stay notices."""
    said = "Nothing is recorded: the disk of /x is full."
    frame = ERROR_FRAME.replace('"notices":[]', f'"notices":["{said}","Something else."]') % "1e9"

    async def talk(opened: web.WebSocketResponse) -> None:
        await opened.send_str(frame)
        await opened.close()

    async with faulty({"/ws": talking(talk)}) as url:
        found = await probe(url)
    told = {finding.check: (finding.severity, finding.evidence) for finding in found}
    assert (WARNING, (said,)) == told["recording"]
    assert ("url-frame", NOTE, "The dashboard says that something is amiss.") in brief(found)


async def test_a_lost_subprotocol() -> None:
    """A WebSocket without the subprotocol was altered on its way."""

    async def handler(request: web.Request) -> web.StreamResponse:
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        await opened.receive()
        return opened

    async with faulty({"/ws": handler}) as url:
        found = await probe(url)
    assert [("url-websocket", ERROR, "The WebSocket opens without its subprotocol.")] == brief(found)


def test_every_finding_has_a_rule() -> None:
    """The names of checks in the two modules are rules."""
    package = Path(probe_module.__file__).parent
    text = "".join((package / name).read_text(encoding="utf-8") for name in ("probe.py", "visitor.py"))
    used = {name for name in RULES if f'"{name}"' in text}
    assert {
        "url-reachable", "url-page", "url-access", "url-prefix", "url-websocket", "url-frame",
        "prefix-header", "server-metrics", "extended-status", "viewers-against-workers", "recording",
    } == used  # fmt: skip
