"""What goes to a viewer: samples as text, in two formats, and the bytes of a WebSocket frame.

Owns the specification, the types of frames, and their bytes; `encoder` makes frames, `decoder` reads
them. It must not know viewers or connections. The word *frame* means one message of the protocol;
`websocket_frame` puts one into the bytes of a WebSocket.

The plain format
================

Spoken to every client that names no subprotocol, and answered by `/api/v1/snapshot`: one JSON object
a tick, a `Sample` (with the member `snapshot`, the documented `mod_wsgi.server_metrics()` dict) or a
`Failure` (with the member `error`). `at` is epoch seconds.

mod-wsgi-dashboard.v1
=====================

Each message is one JSON object; its member `frame` says what it is.

- `key`: a whole sample. It needs nothing that came before.
- `delta`: what changed since the frame whose `tick` is `previous`. It is of use only to who holds
  the sample of that very tick; anybody else asks for a key, and shows nothing new until it comes.
- `error`: the scoreboard could not be read. It breaks the chain: the next good frame is a key.

A client asks for a key frame with the message `{"key": true}`. Members that a client doesn't know, and
frames of a kind that it doesn't know, it passes over.

Members of key and delta frames. A delta leaves out what stands as it did; `rates` and `at_ms` are
always there:

- `tick`, `previous` (delta alone), `at_ms` (instant of the poll in epoch milliseconds), `interval`
  (seconds between polls), `viewers`, `notices`, `rates`, `capacity`: as in the plain format;
- `alerts`: as in the plain format. A key or an error that has none means that there are none;
- `server_limit`, `thread_limit`, `running_generation`, `restart_time`, `current_time`,
  `running_time`: the scoreboard's own;
- `processes`: all of them, as columns `process_num`, `pid`, `generation`, `quiescing` (0 or 1) and
  `workers`, how many slots each has, which no delta changes. Slots are numbered from 0 on, through all
  processes in order;
- `tables`: strings to keep, by column (`client`, `request`, `vhost`): a position and the strings to
  put there and behind it, over what stood there. Positions count from 1, and no table has a hole. A
  key's tables replace all;
- `slots`: the slots that changed, as columns. Before a key frame every slot stands at its origin:
  status `.`, counters 0, instants never, strings empty, `generation` that of its process, and as
  `thread_num` its place in its process plus `process_num` times `thread_limit`.

Columns of `slots`. Each has one entry a row, except those called sparse, which are lists of a row's
number (from 0 on), its value, another row's, its value, for the rows that don't have the default. A
column is left out when all of it is default: 0 for counters and strings, null for start and stop:

- `slot`: the number of the first row, then for each row its distance from the row before. Absent,
  where there are rows: one row for each slot;
- `status`: the letters, in one string;
- `access_count`, `bytes_served`: what to add to the slot's own;
- `start_time`: milliseconds before `at_ms`, or null for never;
- `stop_time`: milliseconds after `start_time`, or after 0 where that is never; null for never. It is
  below 0 exactly for a request that has not ended: the stop is that of the request before;
- `last_used` (sparse): milliseconds before `at_ms`, or null; by default the later of start and stop;
- `thread_num`, `generation` (sparse): the value; by default as before;
- `client`, `request`, `vhost`: a string, which may be the empty one, the position of one in its table,
  or 0 for as before.

Instants are cut to whole milliseconds; a stop that would come to stand on a later start by that is put
one millisecond before it. So `request` of a slot is under way if, and only if, its stop is before its
start.

A viewer may ask for less. `detail=states` leaves out all columns of `slots` but `slot` and `status`,
all tables, the virtual hosts of `rates` and the paths of `alerts`. `every=N` gives every N-th tick:
`previous` is then not the tick before, and who joins others at that pace first gets the sample that
they hold.

Versions: within v1 members, columns, tables and kinds of frames may be added, and none changes its
meaning; what can't be said so is v2, another subprotocol.
"""

from __future__ import annotations

import struct
import zlib
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.rates import Capacity, Rates
from mod_wsgi_dashboard.core.scoreboard import Scoreboard, Worker

SUBPROTOCOL = "mod-wsgi-dashboard.v1"

Detail = Literal["full", "states"]

# Apache's largest compiled-in ServerLimit is 200,000, that of prefork.
MOST_SLOTS = 200_000


class ViewerCount(msgspec.Struct, frozen=True):
    """Viewers connected over WebSocket, and what the capacity guard makes of them.

    `holding` viewers came through Apache's proxy, and hold one Apache worker each; at most `limit` of
    them may. `free` workers wait for requests, `reserve` of which the guard keeps free for the site;
    both are None while nothing was read. `accepting` is whether one more viewer would be let in now.
    """

    connected: int
    limit: int
    holding: int = 0
    free: int | None = None
    reserve: int | None = None
    accepting: bool = True


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """The scoreboard at a tick, and what it says. `alerts` is left out where there are none."""

    tick: int
    at: float
    interval: float
    snapshot: Scoreboard
    rates: Rates
    capacity: Capacity
    viewers: ViewerCount
    notices: list[str]
    alerts: list[Alert] = []


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tick at which the scoreboard could not be read, and why. `alerts` as in a sample."""

    tick: int
    at: float
    interval: float
    error: str
    viewers: ViewerCount
    notices: list[str]
    alerts: list[Alert] = []


Natural = Annotated[int, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST_SLOTS)]


class Processes(msgspec.Struct, frozen=True):
    """The processes of a scoreboard, as columns."""

    process_num: list[int]
    pid: list[int]
    generation: list[int]
    quiescing: list[int]
    workers: list[Count]


Reference = str | Natural
Table = list[Reference]


class Tables(msgspec.Struct, frozen=True, omit_defaults=True):
    """Strings to keep: for each column a position, and the strings from there on."""

    client: Table | UnsetType = UNSET
    request: Table | UnsetType = UNSET
    vhost: Table | UnsetType = UNSET


class Slots(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Slots that changed, as columns."""

    slot: list[Natural] | UnsetType = UNSET
    status: str
    access_count: list[int] | UnsetType = UNSET
    bytes_served: list[int] | UnsetType = UNSET
    start_time: list[int | None] | UnsetType = UNSET
    stop_time: list[int | None] | UnsetType = UNSET
    last_used: list[int | None] | UnsetType = UNSET
    thread_num: list[int] | UnsetType = UNSET
    generation: list[int] | UnsetType = UNSET
    client: list[Reference] | UnsetType = UNSET
    request: list[Reference] | UnsetType = UNSET
    vhost: list[Reference] | UnsetType = UNSET


class KeyFrame(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="frame", tag="key"
):
    """A whole sample."""

    tick: int
    at_ms: int
    interval: float
    rates: Rates
    capacity: Capacity
    viewers: ViewerCount
    notices: list[str]
    server_limit: int
    thread_limit: int
    running_generation: int
    restart_time: float
    current_time: float
    running_time: int
    processes: Processes
    tables: Tables | UnsetType = UNSET
    slots: Slots | UnsetType = UNSET
    alerts: list[Alert] = []


class DeltaFrame(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="frame", tag="delta"
):
    """What changed since the frame of the tick `previous`."""

    tick: int
    previous: int
    at_ms: int
    rates: Rates
    interval: float | UnsetType = UNSET
    capacity: Capacity | UnsetType = UNSET
    viewers: ViewerCount | UnsetType = UNSET
    notices: list[str] | UnsetType = UNSET
    server_limit: int | UnsetType = UNSET
    thread_limit: int | UnsetType = UNSET
    running_generation: int | UnsetType = UNSET
    restart_time: float | UnsetType = UNSET
    current_time: float | UnsetType = UNSET
    running_time: int | UnsetType = UNSET
    processes: Processes | UnsetType = UNSET
    tables: Tables | UnsetType = UNSET
    slots: Slots | UnsetType = UNSET
    alerts: list[Alert] | UnsetType = UNSET


class ErrorFrame(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="frame", tag="error"
):
    """The scoreboard could not be read at this tick, and why."""

    tick: int
    at_ms: int
    interval: float
    error: str
    viewers: ViewerCount
    notices: list[str]
    alerts: list[Alert] = []


Frame = KeyFrame | DeltaFrame | ErrorFrame


# Members of a frame that are a sample's, and those that are a scoreboard's.
OF_SAMPLE = ("interval", "capacity", "viewers", "notices")
OF_SCOREBOARD = (
    "server_limit",
    "thread_limit",
    "running_generation",
    "restart_time",
    "current_time",
    "running_time",
)

# Columns that hold strings, each with a table of its own.
STRINGS = ("client", "request", "vhost")


_json = msgspec.json.Encoder()


def blank_slots(process_num: int, generation: int, count: int, thread_limit: int) -> list[Worker]:
    """Return the slots of one process as they stand before a key frame."""
    first = process_num * thread_limit
    return [
        Worker(number, generation, ".", 0, 0, 0.0, 0.0, 0.0, "", "", "")
        for number in range(first, first + count)
    ]


def encode(sample: Sample | Failure) -> bytes:
    """Encode a sample or a failure in the plain format."""
    return _json.encode(sample)


class _Wish(msgspec.Struct):
    key: bool = False


def asks_for_key(text: str) -> bool:
    """Return whether a viewer's message asks for a key frame."""
    try:
        return msgspec.json.decode(text, type=_Wish).key
    except msgspec.DecodeError:
        return False


# RFC 6455 section 5.2: FIN and the opcode; RSV1 is RFC 7692's mark of a compressed message.
_TEXT, _COMPRESSED = 0x81, 0x40

# RFC 6455 section 5.5.3: a pong that answers no ping is a heartbeat that costs no reply.
KEEPALIVE = b"\x8a\x00"


def websocket_frame(payload: bytes, *, compressed: bool = False) -> bytes:
    """Return `payload` as one unfragmented WebSocket text frame (RFC 6455, 5.2)."""
    first, size = _TEXT | (_COMPRESSED if compressed else 0), len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def ping(payload: bytes) -> bytes:
    """Return a WebSocket ping with a payload of at most 125 bytes (RFC 6455, 5.5.2)."""
    return struct.pack("!BB", 0x89, len(payload)) + payload


def deflate(text: bytes, level: int) -> bytes:
    """Compress one message by itself, as permessage-deflate wants it (RFC 7692, 7.2.1).

    A message that refers to none before it is legal for every receiver of a window of 15 bits,
    whatever was negotiated on the taking over of contexts. So one compressed text serves them all.
    """
    compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(
        b"\0\0\xff\xff"
    )
