"""Tries a dashboard's address from outside, as a browser would: page, its files, API, WebSocket, frame.

Owns the steps and what each answer means. It must not know the configuration behind the address: what
an answer can't tell is for the other checks.

What answers is not trusted. Each request has a time, an answer is read up to a named size, redirects are
few and stay on the host, credentials go nowhere else, and no text of an answer reaches a finding but one
short, printable line. Steps follow one another, and the first after which nothing further can work is
the last: its finding is the one that matters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec
from aiohttp import ClientWebSocketResponse, WSMsgType

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.state_directory import FAILED
from mod_wsgi_dashboard.apacheconf.visitor import (
    ASSET,
    DEFAULT_PORTS,
    Answer,
    Places,
    Stop,
    Visitor,
    bare,
    clean,
    explained,
    is_this_machine,
    look_up,
    open_session,
    phrase,
    place_of,
    target_of,
    tls_context,
)
from mod_wsgi_dashboard.client import MESSAGE_BYTES
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.core.errors import NOTHING_HERE, DashboardError

# http to https, and the bare path to the slash, with one to spare.
MOST_REDIRECTS = 3

# A sample is sent as soon as a viewer has joined.
FIRST_FRAME_SECONDS = 3.0

# A frame comes once an interval, and something else at least once a second (hub.KEEPALIVE): a second
# frame is waited for where that is not long.
LONGEST_INTERVAL, KEEPALIVE_SECONDS, LATE_SECONDS = 3.0, 1.0, 1.5

# A dashboard has four kinds of them.
MOST_NOTICES = 5

_SPOOFED = "/spoofed"


async def probe(
    url: str,
    *,
    timeout: float = 10.0,
    user: str | None = None,
    ca_file: str | None = None,
    insecure: bool = False,
) -> list[Finding]:
    """Return what is wrong with the dashboard at an address, tried end to end.

    Takes one interval between two frames where all is well, and never more than a dozen timeouts.

    Args:
        url: where the dashboard is mounted, `http(s)://[NAME:PASSWORD@]HOST[:PORT]/MOUNT/`.
        timeout: seconds that one request may take.
        user: `NAME:PASSWORD` for Basic authentication; wins over those in the URL.
        ca_file: a file of PEM certificates to trust, in place of the system's.
        insecure: don't check the certificate.

    Raises:
        DashboardError: an argument can't be used.
    """
    target = target_of(url, user)
    tls = tls_context(ca_file, insecure=insecure)
    found: list[Finding] = []
    try:
        places = await look_up(target, timeout)
        async with open_session(tls, timeout) as session:
            await _try(Visitor(session, target), places, found)
    except Stop as stop:
        _add(found, stop.finding)
    return found


_Known = TypeVar("_Known", bound=msgspec.Struct)


class _Health(msgspec.Struct):
    status: str


class _Snapshot(msgspec.Struct):
    tick: int
    error: str | None = None
    notices: list[str] = []  # msgspec copies an empty default


async def _try(visitor: Visitor, places: Places, found: list[Finding]) -> None:
    page = await _find_page(visitor, found)
    path = urlsplit(page.url).path
    mount = urljoin(page.url, path if path.endswith("/") else path + "/")
    await _check_access(visitor, page, places, found)
    await _check_files(visitor, page, mount, found)
    await _check_spoofing(visitor, page, mount, found)
    await _check_api(visitor, mount, found)
    await _check_websocket(visitor, mount, found)


def _add(found: list[Finding], finding: Finding) -> None:
    """Add a finding, unless another step said the same."""
    if all((finding.check, finding.what) != (known.check, known.what) for known in found):
        found.append(finding)


async def _find_page(visitor: Visitor, found: list[Finding]) -> Answer:
    """Return the dashboard's page, over redirects to it."""
    answer = await _follow(visitor, visitor.target.url)
    path = urlsplit(answer.url).path
    if answer.status == 404 and not path.endswith("/"):
        slashed = await _follow(visitor, urljoin(answer.url, path + "/"))
        if slashed.is_page:
            what = f"{clean(path)} is not redirected to {clean(path)}/, where the page is."
            fix = f'RedirectMatch 301 "^{clean(path)}$" "{clean(path)}/"'
            found.append(warning("url-page", what, answer.evidence, fix=fix))
            return slashed
    if not answer.is_page:
        raise Stop(_no_page(visitor, answer))
    return answer


async def _follow(visitor: Visitor, url: str) -> Answer:
    """Return the answer at the end of at most `MOST_REDIRECTS` redirects."""
    for _ in range(MOST_REDIRECTS + 1):
        answer = await visitor.get(url)
        location = answer.headers.get("Location", "")
        if not 300 <= answer.status < 400 or not location:
            return answer
        url = _redirected(answer, location)
    what = "The address redirects over and over."
    fix = "Look for a RewriteRule or Redirect that matches its own target."
    raise Stop(error("url-page", what, answer.evidence, fix=fix))


def _redirected(answer: Answer, location: str) -> str:
    """Return where a redirect leads, if it is for us to follow."""
    old = urlsplit(answer.url)
    try:
        new = urlsplit(urljoin(answer.url, location))
        ports = [parts.port or DEFAULT_PORTS.get(parts.scheme) for parts in (old, new)]
    except ValueError:
        new, ports = urlsplit(""), []
    if old.hostname == new.hostname:
        upgraded = (old.scheme, new.scheme) == ("http", "https")
        if upgraded or (old.scheme == new.scheme and ports[0] == ports[1]):
            return bare(new, query=new.query)
        if (old.scheme, new.scheme) == ("https", "http"):
            what = "The address redirects from https to http."
            fix = (
                "Redirect to https, or to a path alone: `RedirectMatch 301 ^/metrics$ /metrics/` (with"
                " mod_wsgi-express, use the address with its closing slash)."
            )
            raise Stop(error("url-page", what, answer.evidence, fix=fix))
    host = new.netloc.rpartition("@")[2]
    place = clean(f"{new.scheme}://{host}") if host else "one without a host"
    what = f"The address redirects to another place, {place}."
    fix = "Name the place where the dashboard is; a log-in page elsewhere can't be passed from here."
    raise Stop(error("url-page", what, answer.evidence, fix=fix))


def _no_page(visitor: Visitor, answer: Answer) -> Finding:
    """Return what an answer that isn't the page means."""
    if answer.status == 401:
        return _unauthorized(visitor, answer)
    if b"plain HTTP to an SSL-enabled server port" in answer.body:
        what = f"{place_of(visitor.target)} speaks TLS."
        return error("url-reachable", what, answer.evidence, fix="https:// in the address.")
    if answer.problem and answer.problem != NOTHING_HERE:
        what = "The dashboard refuses the page."
        return error("url-page", what, answer.evidence, answer.problem, fix=answer.problem)
    path = clean(urlsplit(answer.url).path)
    what, fix = _PAGES.get(answer.status, _PAGES[0])
    # In the words of this version, and in aiohttp's.
    if answer.status == 404 and (answer.problem or answer.body == b"404: Not Found"):
        what, fix = _SLASHES
    if answer.status == 500 and b"DNS lookup failure" in answer.body:
        what, fix = _SLASHES
    return error("url-page", what, answer.evidence, fix=fix.replace("MOUNT", path))


def _unauthorized(visitor: Visitor, answer: Answer) -> Finding:
    if visitor.target.authorization is not None:
        what = "The name and the password are refused."
        fix = "Check them against the AuthUserFile: `htpasswd -v FILE NAME`."
        return error("url-page", what, answer.evidence, fix=fix)
    what = "The page wants a name and a password, so nothing behind it was tried."
    fix = "Give them in the address: http(s)://NAME:PASSWORD@HOST/MOUNT/"
    return warning("url-page", what, answer.evidence, fix=fix)


_PASS = "ProxyPass MOUNT http://127.0.0.1:8765/ upgrade=websocket"

_SLASHES = ("The slashes at the ends of the ProxyPass don't match.", _PASS)

_DOWN = (
    "The dashboard's process doesn't answer Apache.",
    "Look for AH00957 and for what the dashboard said in Apache's error log: it isn't running, or it"
    " listens elsewhere than the ProxyPass says.",
)

_PAGES = {
    0: (
        "The page there is not the dashboard's.",
        f"Name the place where it is mounted, and put its line before more general ones: {_PASS}",
    ),
    403: (
        "Apache's access rules don't let this machine in.",
        'Name its address in <Location "MOUNT">: Require ip ADDRESS',
    ),
    404: ("Nothing is mounted there.", f"Name the place where the dashboard is mounted, or: {_PASS}"),
    500: (
        "Apache can't pass the request on.",
        "Look into its error log: AH01144 is a missing module (`a2enmod proxy_http`), AH00898 slashes"
        " that don't match.",
    ),
    502: (
        "What Apache passes the request to is not the dashboard.",
        "Name the dashboard's own port, the setting `listen`, in the ProxyPass, with http://.",
    ),
    503: _DOWN,
    504: _DOWN,
}


async def _check_access(visitor: Visitor, page: Answer, places: Places, found: list[Finding]) -> None:
    """Look whether the page comes without credentials."""
    # `Require local` lets in every address of the machine itself, whatever name it has.
    if is_this_machine(places):
        return
    anonymous = page
    if visitor.target.authorization is not None:
        anonymous = await visitor.ask("GET", page.url, {})
    if anonymous.is_page:
        what = "The dashboard opens without a password, from another machine."
        fix = (
            f'In <Location "{clean(urlsplit(page.url).path)}">: Require local, Require ip with the'
            " addresses that may look, or a password. If Require ip is what let this machine in, all is"
            " well."
        )
        found.append(warning("url-access", what, anonymous.evidence, fix=fix))


async def _check_files(visitor: Visitor, page: Answer, mount: str, found: list[Finding]) -> None:
    """Ask for a file of the page, from where a browser would."""
    place = urljoin(page.url, page.base or "")
    answer = await _file(visitor, page, place)
    if _is_file(answer):
        return
    path = clean(urlsplit(mount).path)
    if place != mount and _is_file(await _file(visitor, page, mount)):
        what = f"The page takes itself to be at {clean(urlsplit(place).path)}, not at {path}."
        fix = f'In <Location "{path}">: RequestHeader set X-Forwarded-Prefix {path.rstrip("/") or "/"}'
        found.append(error("url-prefix", what, answer.evidence, fix=fix))
        return
    what, fix = _SLASHES if answer.status in (404, 500) else _PAGES.get(answer.status, _PAGES[0])
    what = f"The page comes, its files don't. {what}"
    raise Stop(error("url-page", what, answer.evidence, fix=fix.replace("MOUNT", path)))


async def _file(visitor: Visitor, page: Answer, place: str) -> Answer:
    """Return the answer to a request for the page's first file, seen from `place`."""
    name = ASSET.search(page.body)
    assert name is not None
    url = urljoin(place, name[1].decode("ascii"))
    if urlsplit(url)[:2] != urlsplit(page.url)[:2]:
        # A page that sends us to another host doesn't take our credentials there.
        return Answer(f"GET {clean(url)}", url, 0, {}, b"")
    return await visitor.get(url)


def _is_file(answer: Answer) -> bool:
    return answer.status == 200 and "text/html" not in answer.headers.get("Content-Type", "")


async def _check_spoofing(visitor: Visitor, page: Answer, mount: str, found: list[Finding]) -> None:
    """Look whether the prefix is the client's to choose."""
    spoofed = await visitor.get(page.url, {"X-Forwarded-Prefix": _SPOOFED})
    if spoofed.is_page and (spoofed.base or "").startswith(_SPOOFED):
        what = "Apache doesn't set X-Forwarded-Prefix: the page believes what a client sends."
    elif spoofed.status == 400 and "X-Forwarded-Prefix" in spoofed.problem:
        what = "Apache adds to the X-Forwarded-Prefix that a client sends, where it should set it."
    else:
        return
    # Asked without Apache between, the dashboard is right to believe it.
    if await visitor.through_proxy(page.url):
        path = clean(urlsplit(mount).path)
        fix = f'In <Location "{path}">: RequestHeader set X-Forwarded-Prefix {path.rstrip("/") or "/"}'
        evidence = f"{spoofed.request} with X-Forwarded-Prefix: {_SPOOFED}: {phrase(spoofed.status)}"
        found.append(warning("prefix-header", what, evidence, fix=fix))


async def _check_api(visitor: Visitor, mount: str, found: list[Finding]) -> None:
    """Look at health, snapshot and readiness."""
    health = await visitor.get(urljoin(mount, "healthz"))
    if _decode(health.body, _Health) is None:
        found.append(_no_api(health))
        return
    answer = await visitor.get(urljoin(mount, "api/v1/snapshot"), limit=MESSAGE_BYTES)
    snapshot = _decode(answer.body, _Snapshot)
    if snapshot is None:
        found.append(_no_api(answer))
        return
    _hear(found, answer.evidence, snapshot.error, snapshot.notices)
    ready = await visitor.get(urljoin(mount, "readyz"))
    if snapshot.error is None and ready.status != 200:
        what = "The dashboard says that it is not ready."
        found.append(warning("url-frame", what, ready.evidence, fix=ready.problem or _DOWN[1]))


def _decode(body: bytes, kind: type[_Known]) -> _Known | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError:
        return None


def _no_api(answer: Answer) -> Finding:
    what = "The page comes, and what it asks for beside itself doesn't."
    fix = "Let everything under the mount through, by one ProxyPass and one <Location>."
    return error("url-page", what, answer.evidence, fix=answer.problem or fix)


def _hear(found: list[Finding], evidence: str, failure: str | None, notices: Sequence[str]) -> None:
    """Note what a sample says of itself."""
    if failure is not None:
        off = "server-metrics=on" in failure
        what = "The dashboard can't read the scoreboard" + ("." if off else f": {clean(failure)}")
        fix = "server-metrics=on on its WSGIDaemonProcess (mod_wsgi-express: --server-metrics)"
        check, fix = ("server-metrics", fix) if off else ("url-frame", _DOWN[1])
        _add(found, error(check, what, evidence, fix=fix))
    for notice in notices[:MOST_NOTICES]:
        if "ExtendedStatus" in notice:
            what = "Apache keeps no requests, times or counts: ExtendedStatus is off."
            _add(found, error("extended-status", what, evidence, fix="ExtendedStatus On"))
        elif notice.startswith(FAILED):
            _add(found, warning("recording", f"{FAILED}.", clean(notice), fix=RULES["recording"].fix))
        else:
            _add(found, note("url-frame", "The dashboard says that something is amiss.", clean(notice)))


async def _check_websocket(visitor: Visitor, mount: str, found: list[Finding]) -> None:
    """Open the WebSocket, and wait for frames."""
    url = urljoin(mount, "ws")
    request = f"WebSocket {clean(urlsplit(url).path)}"
    with explained(request, visitor.target, "url-websocket"):
        try:
            async with visitor.websocket(url) as opened:
                await _check_frames(opened, request, found)
        except aiohttp.WSServerHandshakeError as refusal:
            path = clean(urlsplit(mount).path)
            raise Stop(_no_websocket(refusal, request, path)) from None


def _no_websocket(refusal: aiohttp.WSServerHandshakeError, request: str, path: str) -> Finding:
    """Return what an answer in place of the upgrade means."""
    kind = "" if refusal.headers is None else refusal.headers.get("Content-Type", "")
    what, fix = _SOCKETS.get(refusal.status, _SOCKETS[0])
    if refusal.status == 403 and "application/problem+json" in kind:
        what, fix = _FOREIGN
    if refusal.status == 101:
        what, fix = (
            "The handshake comes back damaged.",
            "Look for what is between, which alters headers.",
        )
    evidence = f"{request}: {phrase(refusal.status)}"
    return error("url-websocket", what, evidence, fix=fix.replace("MOUNT", path))


_FOREIGN = (
    "The dashboard takes the WebSocket for one of another site's page.",
    "Name the host of this address in the setting allowed_hosts (MOD_WSGI_DASHBOARD_ALLOWED_HOSTS).",
)

_SOCKETS = {
    0: (
        "The WebSocket's address is answered by something else.",
        f"Put the dashboard's line before those that take MOUNTws, too: {_PASS}",
    ),
    400: (
        "Apache passes the WebSocket on as a plain request.",
        f"{_PASS}\n(Apache 2.4.47 or newer. If it says so already, look for AH01146 at configtest: an"
        " earlier ProxyPass to the same address lacks it.)",
    ),
    401: (
        "The page comes, and the WebSocket asks for other credentials.",
        'One <Location "MOUNT"> for both, with one AuthName.',
    ),
    403: (
        "Apache's rules let the page through, and not the WebSocket.",
        'One <Location "MOUNT"> for both, and no rule of its own for MOUNTws.',
    ),
    500: _PAGES[500],
    502: _PAGES[502],
    503: _DOWN,
    504: _DOWN,
}


async def _check_frames(opened: ClientWebSocketResponse, request: str, found: list[Finding]) -> None:
    """Wait for the first frame, and for a sign of life after it."""
    if opened.protocol != wire.SUBPROTOCOL:
        what = "The WebSocket opens without its subprotocol."
        fix = "Pass Sec-WebSocket-Protocol through; or the dashboard there is of another version."
        raise Stop(error("url-websocket", what, request, fix=fix))
    decoder = Decoder()
    text = await _receive(opened, FIRST_FRAME_SECONDS, request, signs=False)
    latest = _sample(decoder, text, request)
    if isinstance(latest, wire.Failure):
        _hear(found, f"{request}: an error frame", latest.error, latest.notices)
    soon = latest.interval <= LONGEST_INTERVAL
    patience = (latest.interval if soon else KEEPALIVE_SECONDS) + LATE_SECONDS
    again = await _receive(opened, patience, request, signs=not soon)
    if again is not None:
        latest = _sample(decoder, again, request)
    if isinstance(latest, wire.Sample):
        _hear(found, f"{request}: a frame", None, latest.notices)


async def _receive(
    opened: ClientWebSocketResponse, seconds: float, request: str, *, signs: bool
) -> str | None:
    """Return the next frame; with `signs`, None for a keepalive that comes before it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (left := deadline - loop.time()) > 0.0:
        try:
            message = await opened.receive(timeout=left)
        except asyncio.TimeoutError:
            break
        if message.type is WSMsgType.TEXT:
            return str(message.data)
        if message.type not in (WSMsgType.PING, WSMsgType.PONG):
            raise Stop(_closed(opened, message.extra, request))
        # A ping goes with the first frame; it says nothing of what comes later.
        if signs and message.type is WSMsgType.PONG:
            return None
    what = f"The WebSocket opens, and nothing comes within {seconds:.1f} s."
    fix = "Look for what holds messages back between here and Apache, such as a buffering proxy."
    raise Stop(error("url-frame", what, request, fix=fix))


def _closed(opened: ClientWebSocketResponse, reason: str | None, request: str) -> Finding:
    code = opened.close_code or int(aiohttp.WSCloseCode.ABNORMAL_CLOSURE)
    evidence = f"{request}: closed with {code} {clean(reason or '')}".rstrip()
    if code == aiohttp.WSCloseCode.TRY_AGAIN_LATER:
        what = "All places for viewers are taken just now, so the WebSocket was not tried to the end."
        return note("viewers-against-workers", what, evidence)
    if code == aiohttp.WSCloseCode.GOING_AWAY:
        what, fix = "Apache, or the dashboard, was just restarted.", "Try again."
        return warning("url-websocket", what, evidence, fix=fix)
    what = "The WebSocket opens, and is closed at once."
    fix = "Look into Apache's error log; and for what is between here and Apache."
    return error("url-websocket", what, evidence, fix=fix)


def _sample(decoder: Decoder, text: str | None, request: str) -> wire.Sample | wire.Failure:
    try:
        latest = decoder.decode(text or "")
    except DashboardError:
        latest = None
    if latest is None:
        what = "The frame is none that this version can read."
        fix = f"Use the version that runs there; this is {__version__}."
        raise Stop(error("url-frame", what, f"{request}: a frame", fix=fix))
    return latest
