"""Asks one host over HTTP and WebSocket, as a browser would; what keeps an answer away is a finding.

Owns the network of `probe`: addresses, TLS, requests, and the words for each way in which they fail. It
must not know what an answer should be.

What answers is not trusted. Each request has a time, an answer is read up to a named size, redirects
are answers, and text of an answer is quoted as one short, printable line.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import http
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aiohttp
import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.apacheconf.findings import Finding, error
from mod_wsgi_dashboard.client import CLOSE_SECONDS, MESSAGE_BYTES
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import DashboardError

# The page has 1 kB, health and problem details less; of a file its head is enough.
PAGE_BYTES = 64 * 1024

# Characters of an answer's text in a finding.
QUOTED = 200

ASSET = re.compile(rb'(?:src|href)="(\./assets/[A-Za-z0-9._-]{1,200})"')
_BASE = re.compile(rb'<base href="([^"]{1,400})">')
DEFAULT_PORTS = {"http": 80, "https": 443}

# The addresses of a name: family, and socket address as bind() takes it.
Places = Sequence[tuple[int, tuple[Any, ...]]]


class Stop(Exception):
    """After this finding nothing further can work."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Target:
    """Where to look: the URL without credentials, query and fragment; and the credentials."""

    url: str
    host: str
    port: int
    authorization: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request, its body up to a limit."""

    request: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def evidence(self) -> str:
        return f"{self.request}: {phrase(self.status)}"

    @property
    def problem(self) -> str:
        """What the dashboard itself says is wrong, cleaned; empty for an answer of anybody else."""
        if "application/problem+json" not in self.headers.get("Content-Type", ""):
            return ""
        with contextlib.suppress(msgspec.DecodeError):
            return clean(msgspec.json.decode(self.body, type=_Problem).detail)
        return ""

    @property
    def is_page(self) -> bool:
        """Whether this is the dashboard's page."""
        named = b"mod_wsgi dashboard" in self.body
        return self.status == 200 and named and ASSET.search(self.body) is not None

    @property
    def base(self) -> str | None:
        """The mount that the page names as its base."""
        found = _BASE.search(self.body)
        return None if found is None else html.unescape(found[1].decode("ascii", "replace"))


class _Problem(msgspec.Struct):
    detail: str = ""


def target_of(url: str, user: str | None) -> Target:
    """Return where to look.

    Args:
        url: `http(s)://[NAME:PASSWORD@]HOST[:PORT]/MOUNT/`.
        user: `NAME:PASSWORD`, which win over those in the URL.

    Raises:
        DashboardError: it is no such URL, or no such credentials; the message holds neither.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        if not parts.hostname or not url.isprintable() or " " in url:
            raise ValueError
    except (KeyError, ValueError):
        raise DashboardError(
            "The address to try is http(s)://HOST/MOUNT/, such as https://site.example/metrics/"
        ) from None
    if user is None and parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    if user is not None and ":" not in user:
        raise DashboardError("Credentials are NAME:PASSWORD")
    authorization = (
        None
        if user is None
        else "Basic " + base64.b64encode(user.encode("utf-8", "surrogateescape")).decode()
    )
    return Target(bare(parts), parts.hostname, port, authorization)


def tls_context(ca_file: str | None, *, insecure: bool) -> ssl.SSLContext | bool:
    """Return which certificates to trust, as aiohttp takes it.

    Raises:
        DashboardError: the file can't be read, or holds no certificate.
    """
    if insecure:
        return False
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as reason:
        text = (isinstance(reason, OSError) and reason.strerror) or "it holds no PEM certificate"
        raise DashboardError(f"The certificates in {clean(ca_file)} can't be used: {text}") from None


def bare(parts: SplitResult, *, query: str = "") -> str:
    """Return a URL without credentials and fragment."""
    netloc = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{netloc}{parts.path or '/'}{query and '?'}{query}"


@contextlib.asynccontextmanager
async def open_session(tls: ssl.SSLContext | bool, timeout: float) -> AsyncIterator[ClientSession]:
    """Give a session whose every request ends after `timeout` seconds."""
    async with ClientSession(
        # A connection that stays open would hold a worker of Apache's prefork.
        connector=aiohttp.TCPConnector(ssl=tls, force_close=True),
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=0.9 * timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        # A compressed answer may unpack to any size; asked like this, no honest server sends one.
        headers={"Accept-Encoding": "identity", "User-Agent": f"mod_wsgi-dashboard/{__version__}"},
        auto_decompress=False,
    ) as session:
        yield session


async def look_up(target: Target, timeout: float) -> Places:
    """Return the addresses of the host.

    Raises:
        Stop: it has none.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(
            loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM), timeout
        )
    except (OSError, UnicodeError, asyncio.TimeoutError):
        host = clean(target.host)
        raise Stop(
            error(
                "url-reachable",
                f"The name {host} is not known here.",
                f"no address for {host}",
                fix="Mend the name in the address, its DNS entry, or /etc/hosts.",
            )
        ) from None
    return [(family, address) for family, _, _, _, address in found]


def is_this_machine(places: Places) -> bool:
    """Return whether an address is one of this machine's: only those can be bound."""
    for family, address in places:
        with socket.socket(family, socket.SOCK_DGRAM) as test, contextlib.suppress(OSError):
            test.bind((address[0], 0, *address[2:]))
            return True
    return False


class Visitor:
    """Asks one host, with its credentials."""

    def __init__(self, session: ClientSession, target: Target) -> None:
        self._session = session
        self.target = target

    async def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, limit: int = PAGE_BYTES
    ) -> Answer:
        """Return the answer to a GET request with the credentials; redirects are answers.

        Raises:
            Stop: no HTTP answer came.
        """
        return await self.ask("GET", url, {**self._credentials, **(headers or {})}, limit=limit)

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], *, limit: int = PAGE_BYTES
    ) -> Answer:
        """Return the answer to any request, with no more than the headers given.

        Raises:
            Stop: no HTTP answer came.
        """
        request = f"{method} {clean(urlsplit(url).path)}"
        with explained(request, self.target):
            async with self._session.request(
                method, url, headers=headers, allow_redirects=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        break
                return Answer(request, url, response.status, response.headers, bytes(body[:limit]))

    async def through_proxy(self, url: str) -> bool:
        """Return whether a proxy is between: it answers what may go no further (RFC 9110, 7.6.2)."""
        headers = {**self._credentials, "Max-Forwards": "0"}
        return (await self.ask("OPTIONS", url, headers)).status == 200

    @contextlib.asynccontextmanager
    async def websocket(self, url: str) -> AsyncIterator[ClientWebSocketResponse]:
        """Open a WebSocket as a page from `url`'s place does."""
        parts = urlsplit(url)
        default = parts.port == DEFAULT_PORTS[parts.scheme]
        netloc = parts.netloc.rpartition(":")[0] if default else parts.netloc
        opened = await self._session.ws_connect(
            url,
            origin=f"{parts.scheme}://{netloc}",
            headers=self._credentials,
            protocols=(wire.SUBPROTOCOL,),
            compress=15,
            # A keepalive is a pong, which aiohttp hides otherwise.
            autoping=False,
            max_msg_size=MESSAGE_BYTES,
        )
        try:
            yield opened
        finally:
            # aiohttp's own limit begins anew with each message: who goes on sending would hold us.
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(opened.close(), CLOSE_SECONDS)

    @property
    def _credentials(self) -> dict[str, str]:
        given = self.target.authorization
        return {} if given is None else {"Authorization": given}


@contextlib.contextmanager
def explained(request: str, target: Target, check: str = "url-reachable") -> Iterator[None]:
    """Turn what aiohttp raises into the finding of it."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as reason:
        raise Stop(_bad_certificate(reason.certificate_error, target)) from None
    except (aiohttp.ClientSSLError, ssl.SSLError):
        raise Stop(_no_tls(target)) from None
    except aiohttp.ClientConnectorError as reason:
        raise Stop(_no_connection(reason.os_error, target)) from None
    except (asyncio.TimeoutError, aiohttp.ConnectionTimeoutError) as reason:
        connected = not isinstance(reason, aiohttp.ConnectionTimeoutError)
        raise Stop(_silence(request, target, check, connected=connected)) from None
    except aiohttp.ClientResponseError:
        what = f"{place_of(target)} does not speak HTTP as it should."
        raise Stop(
            error(check, what, request, fix="Mend the port in the address, or what listens there.")
        ) from None
    except (aiohttp.ClientError, OSError):
        what = f"{place_of(target)} ended the connection in place of an answer."
        fix = "Look into Apache's error log at this moment; a child that crashes does this."
        raise Stop(error(check, what, request, fix=fix)) from None


def _bad_certificate(reason: Exception, target: Target) -> Finding:
    code, text = getattr(reason, "verify_code", 0), getattr(reason, "verify_message", "")
    # X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
    fixes = {
        10: "Renew the certificate, and reload Apache.",
        62: "Use the name in the certificate, or have one made for this name.",
        64: "Use the name in the certificate, not an IP address.",
    }
    untrusted = (
        "Name the authority's certificate with --ca-file FILE; or SSLCertificateFile lacks the"
        " intermediate certificates."
    )
    what = f"The TLS certificate of {place_of(target)} is not accepted: {clean(text)}."
    return error("url-reachable", what, f"TLS: {clean(text)}", fix=fixes.get(code, untrusted))


def _no_tls(target: Target) -> Finding:
    return error(
        "url-reachable",
        f"{place_of(target)} does not speak TLS.",
        "TLS handshake failed",
        fix="`SSLEngine on` in that virtual host, or http:// in the address.",
    )


def _no_connection(reason: OSError, target: Target) -> Finding:
    if isinstance(reason, ConnectionRefusedError):
        what = f"Nothing listens at {place_of(target)}."
        fix = "Start Apache, or mend the port in the address: `Listen` names Apache's."
    else:
        what = f"There is no way to {place_of(target)}."
        fix = "Mend the address, the route to it, or the firewall."
    return error("url-reachable", what, clean(reason.strerror or "no connection"), fix=fix)


def _silence(request: str, target: Target, check: str, *, connected: bool) -> Finding:
    if not connected:
        what = f"{place_of(target)} does not take the connection in time."
        fix = "Mend the address, or let it through the firewall."
        return error("url-reachable", what, "connection timed out", fix=fix)
    what = f"{place_of(target)} takes the connection, and does not answer in time."
    fix = (
        "All of Apache's workers may be busy (AH00484, AH00161 in its error log): raise"
        " MaxRequestWorkers. Or WSGI requests go to a group with threads=0."
    )
    return error(check, what, f"{request}: no answer", fix=fix)


def place_of(target: Target) -> str:
    """Return HOST:PORT, as it may be shown."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{clean(host)}:{target.port}"


def phrase(code: int) -> str:
    """Return a status with its standard words: what a server writes there may be anything."""
    with contextlib.suppress(ValueError):
        return f"{code} {http.HTTPStatus(code).phrase}"
    return str(code)


def clean(text: str) -> str:
    """Return foreign text as one short, printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * QUOTED]).split())
    return line if len(line) <= QUOTED else line[: QUOTED - 1] + "…"
