"""Asks a running dashboard at its own address, past Apache, what it sees of itself.

Owns the connection to it. What answers there may be anything: the answer is bounded and checked.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass

import msgspec

from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.core.errors import DashboardError

# On the same machine; one that needs longer for this doesn't serve a sample a second either.
ANSWER_SECONDS = 3.0

# Some forty findings of some hundred bytes.
ANSWER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dashboard said of itself; or why there is no answer, with the address in it."""

    findings: tuple[Finding, ...] = ()
    problem: str | None = None


class _Found(msgspec.Struct):
    check: str
    severity: Severity
    what: str
    evidence: list[str]
    fix: str


class _Body(msgspec.Struct):
    findings: list[_Found]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECONDS)
        self.sock.connect(self._path)


def ask(address: str) -> Answer:
    """Return what the dashboard at an address, "127.0.0.1:8765" or "unix:/path", says of itself."""
    try:
        return Answer(_asked(address))
    except PermissionError:
        # Another user's socket: root would know.
        return Answer()
    except (OSError, http.client.HTTPException) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        )
        return Answer(problem=f"{address}: {reason}")
    except (ValueError, DashboardError) as error:
        return Answer(problem=f"{address}: {error}")


def _asked(address: str) -> tuple[Finding, ...]:
    if address.startswith("unix:"):
        connection: http.client.HTTPConnection = _UnixConnection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/api/v1/doctor")
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES)
    finally:
        connection.close()
    try:
        told = msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError:
        raise DashboardError(f"what answers there ({response.status}) is no dashboard") from None
    return tuple(
        Finding(
            check=one.check, severity=one.severity, what=one.what, evidence=(*one.evidence,), fix=one.fix
        )
        for one in told.findings
        if one.check in RULES
    )
