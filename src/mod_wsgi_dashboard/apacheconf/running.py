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
class Recording:
    """How a dashboard records: "recording", "off" or "failed", and its sentence on what is wrong."""

    state: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a dashboard said of itself; or why there is no answer, with the address in it.

    `recording` is None where it doesn't say, as an older one.
    """

    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    recording: Recording | None = None


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
        return _asked(address)
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


def _asked(address: str) -> Answer:
    if address.startswith("unix:"):
        connection: http.client.HTTPConnection = _UnixConnection(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        connection = http.client.HTTPConnection(host, int(port), timeout=ANSWER_SECONDS)
    try:
        return Answer(_findings(connection), recording=_recording(connection))
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read(ANSWER_BYTES)
    # What is left of a longer answer is not the next one's beginning.
    if not response.isclosed():
        connection.close()
    return response.status, body


def _recording(connection: http.client.HTTPConnection) -> Recording | None:
    """Return how it records; None for whatever is no answer to that."""
    try:
        status, body = _get(connection, "/api/v1/recording")
        return msgspec.json.decode(body, type=Recording) if status == 200 else None
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _findings(connection: http.client.HTTPConnection) -> tuple[Finding, ...]:
    status, body = _get(connection, "/api/v1/doctor")
    try:
        told = msgspec.json.decode(body, type=_Body)
    except msgspec.MsgspecError:
        raise DashboardError(f"what answers there ({status}) is no dashboard") from None
    return tuple(
        Finding(
            check=one.check, severity=one.severity, what=one.what, evidence=(*one.evidence,), fix=one.fix
        )
        for one in told.findings
        if one.check in RULES
    )
