"""A dashboard's samples, as they come, for programs in Python.

    async for latest in connect("https://site.example/metrics/"):
        if isinstance(latest, wire.Sample):
            print(latest.rates.busy, latest.rates.requests_per_second)
        else:
            print(latest.error)

The loop goes on over restarts of Apache and of the dashboard, and through times when the site needs all
its workers: then samples come by short polling. Leaving the loop closes the connection, a moment later.
Who must know when it is closed holds the generator:

    async with contextlib.aclosing(connect(url)) as samples:
        async for latest in samples:
            break

Owns the connection's life. What is said on it is `core.wire`, and what a frame means is `core.decoder`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from ssl import SSLContext
from typing import Literal, get_args
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import ClientSession, WSMsgType

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.errors import DashboardError

log = logging.getLogger(__name__)

Every = Literal[1, 2, 5, 10, 30, 60]
Latest = wire.Sample | wire.Failure
Standing = Literal["live", "polling", "connecting again"]

# The plain format of the largest scoreboard: 200,000 slots of some 600 bytes.
MESSAGE_BYTES = 128 * 1024 * 1024

# A full Apache answers a handshake when a worker comes free.
CONNECT_SECONDS = 15.0

# The server's answer to a close takes one round trip; who leaves doesn't wait for more, nor for the end
# of what a server goes on to send.
CLOSE_SECONDS = 0.5

# For one answer of the API: a dashboard takes milliseconds, a full Apache before it any time.
ANSWER_SECONDS = 10.0

# The shortest and the longest wait before connecting again; waits double from one to the other.
FIRST_WAIT, LONGEST_WAIT = 0.3, 15.0

# Between samples while polling, and until asking for a WebSocket again where no Retry-After says when.
POLL_SECONDS, ASK_AGAIN = 5.0, 30.0

# No Retry-After keeps a client away for longer.
LONGEST_RETRY_AFTER = 600.0

# "Try again later": the capacity guard's close code.
_FULL = aiohttp.WSCloseCode.TRY_AGAIN_LATER

_WHAT_TO_CHANGE = {
    401: "it wants credentials: pass headers={'Authorization': ...}",
    403: "it doesn't let this client in: see `Require` in Apache's configuration of the mount,"
    " and the setting allowed_hosts for the name that it is reached by",
    404: "there is no dashboard: name the place where it is mounted, such as http://HOST/metrics/",
}
_NO_WEBSOCKET = "the WebSocket doesn't get through: Apache needs upgrade=websocket on its ProxyPass"


class Refused(DashboardError):
    """The dashboard can't be watched like this, and waiting won't change it; the text says what will."""


class Disconnected(DashboardError):
    """The connection ended, or none came about; only callers with `reconnect=False` see it.

    `code` is the WebSocket's close code, 1006 where there was none (RFC 6455, 7.4.1).
    """

    def __init__(self, text: str, code: int = aiohttp.WSCloseCode.ABNORMAL_CLOSURE) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client waits, and by which clock and dice.

    Args:
        silence: seconds after which a connection is lost on which nothing came, not even a pong; where
            samples are further apart, the time of three.
        sleep: waits for so many seconds.
        random: gives a number from 0 to 1.
    """

    silence: float = 5.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def before_attempt(self, number: int) -> float:
        """Return how long to wait before attempt `number`, from 1 on."""
        # The exponent has a bound because floats have one.
        most = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(number, 30))
        return FIRST_WAIT + self.random() * (most - FIRST_WAIT)

    def about(self, seconds: float) -> float:
        """Return so many seconds and up to a quarter more, so that not all clients come at once."""
        return seconds * (1.0 + self.random() / 4.0)


def connect(
    url: str,
    *,
    detail: wire.Detail = "full",
    every: Every = 1,
    headers: Mapping[str, str] | None = None,
    ssl: SSLContext | None = None,
    reconnect: bool = True,
    patience: Patience | None = None,
    tell: Callable[[Standing, str], None] | None = None,
) -> AsyncGenerator[Latest, None]:
    """Return the samples of a dashboard, from the newest on, each once.

    A program that is slower than the ticks gets fewer of them.

    Args:
        url: where it is mounted (`http://HOST/metrics/`), its WebSocket (`wss://HOST/metrics/ws`), or
            its unix socket (`unix:/path`).
        detail: "states" leaves slots nothing but their letters, and `rates.vhosts` empty.
        every: take only ticks whose number divides by it. While polling, samples have full detail and
            come every five seconds at most.
        headers: sent with each request, such as `Authorization`.
        ssl: for a certificate that the system doesn't trust.
        reconnect: come back when the connection is lost, poll while all viewer places are taken, and
            wait for a dashboard that isn't there yet.
        tell: called at each change: how the connection stands, and why it isn't live.

    Raises:
        ValueError: an argument isn't one of those; at once.
        Refused: what waiting doesn't heal, such as 401, 403, 404, or a proxy that doesn't upgrade.
        Disconnected: with `reconnect=False`, the end of the connection.
    """
    if detail not in get_args(wire.Detail) or every not in get_args(Every):
        raise ValueError(f"`detail` is one of {get_args(wire.Detail)}, `every` one of {get_args(Every)}")
    base, unix_path = _parse(url)
    client = _Client(base, unix_path, detail, every, patience or Patience(), tell)
    return client.samples(dict(headers or {}), ssl, reconnect=reconnect)


class Api:
    """The routes of one dashboard, asked one by one; `asking` makes it."""

    def __init__(self, session: ClientSession, base: str, name: str) -> None:
        self._session = session
        self._base = base
        self.name = name

    async def newest(self) -> Latest:
        """Return the newest sample, with full detail.

        Raises:
            Refused, Disconnected: as `connect`.
        """
        return _decode_plain(await self.get("api/v1/snapshot"))

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return what a route answers.

        Args:
            path: below the mount, without a slash before it.
            query: its parameters.

        Raises:
            Refused, Disconnected: as `connect`.
        """
        with _explained(self.name):
            async with self._session.get(f"{self._base}{path}", params=query) as answer:
                # 503 with a sample's JSON is a tick at which the scoreboard could not be read.
                if answer.status != 200 and answer.content_type != "application/json":
                    answer.raise_for_status()
                return await answer.read()


@contextlib.asynccontextmanager
async def asking(
    url: str, *, headers: Mapping[str, str] | None = None, ssl: SSLContext | None = None
) -> AsyncIterator[Api]:
    """Give the API of a dashboard, to ask for single answers; the arguments are those of `connect`.

    Raises:
        ValueError: the URL is none.
    """
    base, unix_path = _parse(url)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    connector = _connector(unix_path, ssl)
    async with ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        yield Api(session, base, _name(base, unix_path))


class _Client:
    """One dashboard, watched by one program."""

    def __init__(
        self,
        base: str,
        unix_path: str | None,
        detail: wire.Detail,
        every: int,
        patience: Patience,
        tell: Callable[[Standing, str], None] | None,
    ) -> None:
        self._base = base
        self._unix_path = unix_path
        self._wish = {"detail": detail, "every": str(every)}
        self._every = every
        self._patience = patience
        self._interval = 1.0
        self._standing: Standing | None = None
        self._told = tell
        self._name = _name(base, unix_path)

    async def samples(
        self, headers: dict[str, str], ssl: SSLContext | None, *, reconnect: bool
    ) -> AsyncGenerator[Latest, None]:
        """Yield samples over one connection after another."""
        lost, polling, last = 0, False, None
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=CONNECT_SECONDS)
        connector = _connector(self._unix_path, ssl)
        async with ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
            while True:
                feed = self._poll(session) if polling else self._watch(session)
                try:
                    async with contextlib.aclosing(feed):
                        async for latest in feed:
                            lost = 0
                            self._interval = latest.interval
                            # A new connection begins with the newest sample, which may be known.
                            if last is None or not _same(last, latest):
                                last = latest
                                yield latest
                    polling = False
                except Disconnected as end:
                    if not reconnect:
                        raise
                    polling = end.code == _FULL
                    self._tell(end)
                    if not polling:
                        lost += 1
                        await self._patience.sleep(self._patience.before_attempt(lost))

    async def _watch(self, session: ClientSession) -> AsyncGenerator[Latest, None]:
        """Yield what comes over a WebSocket, until it ends."""
        with _explained(self._name):
            socket = await session.ws_connect(
                f"{self._base}ws",
                params=self._wish,
                protocols=(wire.SUBPROTOCOL,),
                compress=15,
                max_msg_size=MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
            try:
                decode = _decode_plain if socket.protocol is None else Decoder().decode
                while True:
                    silence = max(self._patience.silence, 3.0 * self._interval * self._every)
                    message = await socket.receive(timeout=silence)
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    try:
                        latest = decode(message.data)
                    except ChainBroken:
                        await socket.send_str('{"key":true}')
                        continue
                    if latest is not None:
                        self._stand("live", "")
                        yield latest
            finally:
                await _close(socket)
        reason = message.extra if message.type is WSMsgType.CLOSE else None
        code = socket.close_code or aiohttp.WSCloseCode.ABNORMAL_CLOSURE
        raise Disconnected(f"{self._name} closed the connection: {code} {reason or ''}".rstrip(), code)

    async def _poll(self, session: ClientSession) -> AsyncGenerator[Latest, None]:
        """Yield samples from the API until it is time to ask for a WebSocket again."""
        patience = self._patience
        left, etag, accepting = patience.about(ASK_AGAIN), "", False
        while True:
            latest, etag, retry_after = await self._fetch(session, etag)
            if latest is not None:
                accepting = latest.viewers.accepting
                yield latest
            if retry_after is not None:
                left = patience.about(retry_after)
            elif accepting and left <= 0.0:
                return
            pause = max(POLL_SECONDS, self._interval * self._every)
            await patience.sleep(pause)
            left -= pause

    async def _fetch(self, session: ClientSession, etag: str) -> tuple[Latest | None, str, float | None]:
        """Return the newest sample if it isn't that of `etag`, its ETag, and Retry-After."""
        known = {"If-None-Match": etag} if etag else {}
        with _explained(self._name):
            async with session.get(f"{self._base}api/v1/snapshot", headers=known) as answer:
                wait = answer.headers.get("Retry-After", "")
                retry_after = min(float(wait), LONGEST_RETRY_AFTER) if wait.isdecimal() else None
                if answer.status == 304:
                    return None, etag, retry_after
                # 503 with a sample's JSON is a tick at which the scoreboard could not be read.
                if answer.status != 200 and answer.content_type != "application/json":
                    answer.raise_for_status()
                return _decode_plain(await answer.read()), answer.headers.get("ETag", ""), retry_after

    def _tell(self, end: Disconnected) -> None:
        """Log what happened, once per change of state."""
        standing: Standing = "polling" if end.code == _FULL else "connecting again"
        if standing != self._standing:
            log.warning("%s; %s", end, standing)
        self._stand(standing, str(end))

    def _stand(self, standing: Standing, why: str) -> None:
        if standing != self._standing:
            self._standing = standing
            if self._told is not None:
                self._told(standing, why)


def _connector(unix_path: str | None, ssl: SSLContext | None) -> aiohttp.BaseConnector:
    # A connection kept between requests would hold a worker of Apache's prefork.
    if unix_path:
        return aiohttp.UnixConnector(unix_path, force_close=True)
    return aiohttp.TCPConnector(ssl=ssl or True, force_close=True)


def _name(base: str, unix_path: str | None) -> str:
    """Return what a dashboard is called in messages: its URL, which may hold a password, without it."""
    if unix_path:
        return f"unix:{unix_path}"
    parts = urlsplit(base)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def _close(socket: aiohttp.ClientWebSocketResponse) -> None:
    # aiohttp waits for the server's close for so long after each message that comes before it.
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(socket.close(), CLOSE_SECONDS)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what aiohttp and the decoder raise into the two errors of this module."""
    try:
        yield
    except aiohttp.ClientResponseError as error:
        text = f"{name} answered {error.status}"
        if error.status >= 500 or error.status in (408, 429):
            raise Disconnected(text) from None
        raise Refused(f"{text}; {_WHAT_TO_CHANGE.get(error.status, _NO_WEBSOCKET)}.") from None
    except aiohttp.ClientSSLError as error:
        raise Refused(f"TLS with {name} fails: {error}. See the argument `ssl`.") from None
    except FrameError as error:
        raise Refused(
            f"{name} sent what this version can't read, {error}: use the same version there."
        ) from None
    except asyncio.TimeoutError:
        raise Disconnected(f"{name} was silent for too long") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Disconnected(f"{name} can't be reached: {error}") from error


def _parse(url: str) -> tuple[str, str | None]:
    """Return the URL of the mount with a closing slash, and the unix socket's path if it is one."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return "http://localhost/", parts.path
    schemes = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
    if parts.scheme not in schemes or not parts.hostname or parts.query:
        raise ValueError("the URL is http(s)://HOST/MOUNT/, ws(s)://HOST/MOUNT/ws or unix:/path")
    path = parts.path.removesuffix("/ws") if parts.scheme.startswith("ws") else parts.path
    return f"{schemes[parts.scheme]}://{parts.netloc}{path.rstrip('/')}/", None


def _same(one: Latest, other: Latest) -> bool:
    # Ticks start again with the server; instants are cut to milliseconds in one format alone.
    return one.tick == other.tick and abs(one.at - other.at) < 0.002


class _Plain(msgspec.Struct):
    error: str | None = None


def _decode_plain(text: str | bytes) -> Latest:
    try:
        if msgspec.json.decode(text, type=_Plain).error is None:
            return msgspec.json.decode(text, type=wire.Sample)
        return msgspec.json.decode(text, type=wire.Failure)
    except msgspec.DecodeError as error:
        raise FrameError(f"the frame can't be read: {error}") from None
