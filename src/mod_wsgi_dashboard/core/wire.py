"""What goes to a viewer: the sample of a tick as JSON, and the bytes of a WebSocket frame.

Owns the encoding. The plain format, spoken to every client that names no subprotocol and answered by
`/api/v1/snapshot`, is one JSON object a tick:

- a *sample* has the member `snapshot`, the documented `mod_wsgi.server_metrics()` dict as mod_wsgi's
  own dashboard example sends it, and beside it `tick`, `at`, `interval`, `rates`, `capacity`,
  `viewers` and `notices`;
- a *failure* has the member `error`, a sentence that names what to change, in place of `snapshot`,
  `rates` and `capacity`.

A client must pass over members that it doesn't know. `at` is epoch seconds, `interval` seconds.
"""

from __future__ import annotations

import struct

import msgspec

from mod_wsgi_dashboard.core.rates import Capacity, Rates
from mod_wsgi_dashboard.core.scoreboard import Scoreboard


class ViewerCount(msgspec.Struct, frozen=True):
    """Viewers connected over WebSocket, each of which holds a worker when it comes through Apache."""

    connected: int
    limit: int


class Sample(msgspec.Struct, frozen=True):
    """The scoreboard at a tick, and what it says."""

    tick: int
    at: float
    interval: float
    snapshot: Scoreboard
    rates: Rates
    capacity: Capacity
    viewers: ViewerCount
    notices: list[str]


class Failure(msgspec.Struct, frozen=True):
    """A tick at which the scoreboard could not be read, and why."""

    tick: int
    at: float
    interval: float
    error: str
    viewers: ViewerCount
    notices: list[str]


_encoder = msgspec.json.Encoder()

# RFC 6455 section 5.2: FIN and the opcode; a server's frames are never masked.
_TEXT = 0x81
PING = b"\x89\x00"


def encode(sample: Sample | Failure) -> bytes:
    """Encode a sample or a failure as one JSON object in UTF-8."""
    return _encoder.encode(sample)


def text_frame(payload: bytes) -> bytes:
    """Return `payload` as one unfragmented, uncompressed WebSocket text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", _TEXT, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", _TEXT, 126, size) + payload
    return struct.pack("!BBQ", _TEXT, 127, size) + payload
