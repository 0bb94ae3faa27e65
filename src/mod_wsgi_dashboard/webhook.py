"""The webhook: each alert that begins or is over, sent as a signed POST of JSON.

Owns what is sent, how it is signed (Standard Webhooks, https://www.standardwebhooks.com), and what
happens when the receiver doesn't take it. It must not know what an alert is about.

Alerts are sent one after the other, in the order of what happened, each until it is taken, with pauses
that grow, or until it is given up. Nobody waits for that: `offer` only puts it into a bounded queue, and
at the end there is one more try of a tenth of a second. The receiver may get one twice, with the same
`webhook-id`.

No part of the URL but scheme, host and port is ever logged, nor the secret, nor what was answered.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import socket
import threading
import time
import urllib.parse
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.core.alerts import Alert, Change

log = logging.getLogger(__name__)

# What one try may take, and the last one, when Apache waits for this process to end.
TRY_SECONDS, LAST_SECONDS = 10.0, 0.1

# Seconds between the tries for one alert: nine minutes in all. The others wait behind it.
PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

# Alerts that wait. Older ones make room: what is newest tells how things stand.
MOST_WAITING = 100

# Answers that may be another one later; any other that is no success stays as it is.
_PASSING = {408, 425, 429}

# The length of an answer's line and headers; nothing behind them is read.
_HEADER_BYTES = 4096


class _Message(msgspec.Struct, frozen=True):
    """What is sent, the same at each try."""

    id: str
    body: bytes


class _Refused(Exception):
    """The message was not taken: why, and whether another try may help."""

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing


class Webhook:
    """Sends alerts to one URL.

    Args:
        url: where to; user and password in it are sent as basic authentication.
        secret: the key in base64, with or without `whsec_`; None: nothing is signed.
        host: what the receiver is to call this machine.
        try_seconds: what one try may take.
        pauses: seconds between tries; after the last the alert is given up.
        clock: epoch seconds, by which messages are signed.
    """

    def __init__(
        self,
        url: str,
        secret: str | None = None,
        *,
        host: str | None = None,
        try_seconds: float = TRY_SECONDS,
        pauses: Sequence[float] = PAUSES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._name = _origin(url)
        self._key = None if secret is None else base64.b64decode(secret.removeprefix("whsec_"))
        self._host = socket.gethostname() if host is None else host
        self._try_seconds = try_seconds
        self._pauses = tuple(pauses)
        self._clock = clock
        self._waiting: deque[_Message] = deque()
        self._arrived = asyncio.Event()
        self._problem: str | None = None
        # Alerts that were not sent since somebody was told.
        self._lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, change: Change) -> None:
        """Send an alert, soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._lose()
        body = msgspec.json.encode(describe(change, host=self._host))
        self._waiting.append(_Message(f"msg_{uuid.uuid4().hex}", body))
        self._arrived.set()

    async def run(self) -> None:
        """Send what is offered, for ever; when cancelled, try once more what waits."""
        async with _session(self._try_seconds) as session:
            try:
                while True:
                    await self._arrived.wait()
                    while self._waiting:
                        await self._deliver(session)
                    self._arrived.clear()
            except asyncio.CancelledError:
                with contextlib.suppress(_Refused, asyncio.TimeoutError):
                    await asyncio.wait_for(self._send_rest(session), LAST_SECONDS)
                raise

    async def _deliver(self, session: aiohttp.ClientSession) -> None:
        """Send the oldest that waits, however often it takes."""
        message = self._waiting[0]
        for pause in (*self._pauses, None):
            try:
                await self._send(session, message)
            except _Refused as refused:
                self._tell(refused.reason)
                if not refused.passing or pause is None:
                    self._lose()
                    break
                await asyncio.sleep(pause)
                if message not in self._waiting:
                    # It made room for others.
                    return
            else:
                self._tell(None)
                break
        if self._waiting and self._waiting[0] is message:
            self._waiting.popleft()

    async def _send_rest(self, session: aiohttp.ClientSession) -> None:
        while self._waiting:
            await self._send(session, self._waiting[0])
            self._waiting.popleft()

    async def _send(self, session: aiohttp.ClientSession, message: _Message) -> None:
        """Try once.

        Raises:
            _Refused: it was not taken.
        """
        headers = {
            "Content-Type": "application/json",
            **sign(message.id, self._clock(), message.body, self._key),
        }
        try:
            async with session.post(
                self._url, data=message.body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                # What it says is of no interest, and may have no end.
                response.close()
        except asyncio.TimeoutError:
            raise _Refused(f"doesn't answer within {self._try_seconds:g} s", passing=True) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _Refused(_describe_error(error), passing=True) from None
        if 300 <= status < 400:
            raise _Refused(
                f"answers with a redirect ({status}), which is not followed: set it to where that leads",
                passing=False,
            )
        if not 200 <= status < 300:
            raise _Refused(f"answers with {status}", passing=status >= 500 or status in _PASSING)

    def _lose(self) -> None:
        self._lost += 1
        if self._lost == 1:
            log.error("webhook_url: an alert was given up; how many, the log says when one is taken")

    def _tell(self, problem: str | None) -> None:
        """Log how sending goes, if that changed."""
        if problem == self._problem:
            return
        self._problem, lost = problem, self._lost
        if problem is None:
            self._lost = 0
            log.warning(
                "webhook_url: %s takes alerts again; %d were not sent",
                self._name,
                lost,
                extra={"lost": lost},
            )
        else:
            log.error("webhook_url: %s %s", self._name, problem, extra={"waiting": len(self._waiting)})


def log_change(change: Change) -> None:
    """Log that an alert begins or is over. The path is a visitor's word, and not for a log."""
    alert, seconds = change.alert, change.seconds
    extra = {
        "rule": alert.rule,
        "kind": alert.kind,
        "severity": alert.severity,
        "seconds": round(seconds, 3),
    }
    if alert.peak is not None:
        extra["peak"] = alert.peak
    # After a start of Apache nothing is less than it was.
    mild = logging.INFO if alert.kind == "restart" else logging.WARNING
    if change.began:
        level = logging.ERROR if alert.severity == "critical" else mild
        log.log(level, "alert %s began: %s", alert.rule, _words(alert), extra=extra)
    else:
        text = "alert %s is over after %.0f s: %s"
        log.log(mild, text, alert.rule, seconds, _words(alert), extra=extra)


def _words(alert: Alert) -> str:
    peak = alert.peak or 0.0
    if alert.kind == "busy":
        return f"up to {100 * peak:.0f} % of the workers were busy"
    if alert.kind == "oldest":
        return f"the oldest request took up to {peak:.0f} s"
    if alert.kind == "stuck":
        return f"requests took up to {peak:.0f} s, far longer than usual; now {alert.count}"
    return "the scoreboard can't be read" if alert.kind == "error" else "Apache was restarted"


def describe(change: Change, *, host: str) -> dict[str, Any]:
    """Return what is sent of a change; instants are ISO 8601 in UTC."""
    alert = change.alert
    return {
        "type": "alert.began" if change.began else "alert.ended",
        "timestamp": _iso(change.at),
        "data": {
            "rule": alert.rule,
            "kind": alert.kind,
            "severity": alert.severity,
            "began_at": _iso(alert.since),
            "ended_at": None if change.began else _iso(change.at),
            "seconds": round(change.seconds, 3),
            "peak": alert.peak,
            "threshold": alert.threshold,
            "path": alert.path,
            "count": alert.count,
            "host": host,
        },
    }


def sign(identity: str, at: float, body: bytes, key: bytes | None) -> dict[str, str]:
    """Return the headers of a message by Standard Webhooks; without a key there is no signature."""
    stamp = str(int(at))
    headers = {"webhook-id": identity, "webhook-timestamp": stamp}
    if key is not None:
        content = f"{identity}.{stamp}.".encode() + body
        digest = hmac.new(key, content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _iso(at: float) -> str:
    text = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _origin(url: str) -> str:
    """Return what may be told of a URL: scheme, host and port."""
    parts = urllib.parse.urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def _describe_error(error: Exception) -> str:
    """Return what went wrong; an exception's own text may quote the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "unknown reason"
        return f"has a certificate that is not accepted ({why})"
    if isinstance(error, aiohttp.ClientSSLError):
        return "doesn't speak TLS as it should"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "can't be found: its name has no address"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"can't be reached: {error.os_error.strerror or type(error.os_error).__name__}"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "closes the connection without an answer"
    return f"can't be sent to ({type(error).__name__})"


def _session(try_seconds: float) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=1, force_close=True, resolver=_Resolver())
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=try_seconds),
        headers={"User-Agent": f"mod_wsgi-dashboard/{__version__}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_HEADER_BYTES,
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )


class _Resolver(AbstractResolver):
    """Looks up names in a thread that nobody waits for.

    The loop's own threads are waited for at the end, for as long as a name server doesn't answer; and
    Apache waits for this process.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any]] = loop.create_future()

        def settle(found: list[Any] | OSError) -> None:
            if answer.done():
                return
            if isinstance(found, OSError):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        def look_up() -> None:
            found: list[Any] | OSError
            try:
                found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            except OSError as error:
                found = error
            except UnicodeError:
                found = OSError("no name")
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, found)

        threading.Thread(target=look_up, name="webhook-name", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found, _, protocol, _, address in await answer
        ]

    async def close(self) -> None:
        """Do nothing: there is nothing to release."""
