"""Opens incident files, and recordings, that may come from anybody.

Owns every check of them. It must not know HTTP nor the command line: every call here blocks.

What `unpack` returns has our tables and nothing else, rows of the types and within the limits of what
the recorder writes. The contents of frames and letters are checked as they are read, by `recording`.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import sys
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.incident import (
    BUSY_SECONDS,
    CHUNK,
    GZIP_BITS,
    ROWS_AT_ONCE,
    IncidentError,
    create,
    is_still,
    shown_bytes,
    tables_of,
)
from mod_wsgi_dashboard.recording import (
    MOST_TEXT,
    TABLES,
    NotARecording,
    check_schema,
    is_damage,
)
from mod_wsgi_dashboard.tape import MOST_EVENTS, MOST_RUNS

# An incident file is at most a recording, and those have 0.5 GB unless the operator gave them more.
MOST_UNPACKED = 16 << 30

# A small file must not fill the disk. Deflate could make 1,032 bytes of one. A recording comes to 48 at
# most, where 90 days of equal buckets are in it; the pages of an empty one are below the floor.
MOST_RATIO, RATIO_FLOOR = 100, 1 << 20

_GZIP, _SQLITE = b"\x1f\x8b", b"SQLite format 3\0"

# Until the year 5138, as the scoreboard's; in ms.
_LAST_MS = 10**14
_FLOATS = 4 * len(history.SERIES)
_TIERS = ", ".join(str(tier.seconds) for tier in history.TIERS)

# What holds for each row. An application of SQLite may store text in an INTEGER column.
_SOUND = {
    "run": "typeof(began_ms) = 'integer' AND typeof(ended_ms) = 'integer'"
    f" AND began_ms BETWEEN 0 AND ended_ms AND ended_ms <= {_LAST_MS}"
    " AND typeof(interval) = 'real' AND interval BETWEEN 0.01 AND 3600"
    " AND detail IN ('full', 'states') AND typeof(version) = 'text' AND length(version) <= 100",
    "frame": "typeof(run) = 'integer' AND typeof(at_ms) = 'integer'"
    f" AND at_ms BETWEEN 0 AND {_LAST_MS} AND kind IN (0, 1, 2)"
    f" AND typeof(size) = 'integer' AND size BETWEEN 2 AND {MOST_TEXT}"
    " AND typeof(adler) = 'integer' AND adler BETWEEN 0 AND 4294967295"
    # RFC 1951 can't make more than 1,032 bytes of one.
    " AND typeof(body) = 'blob' AND size <= 1032 * length(body)"
    " AND typeof(letters) IN ('blob', 'null')",
    "aggregate": f"tier IN ({_TIERS}) AND typeof(at) = 'integer' AND at BETWEEN 0 AND {_LAST_MS // 1000}"
    f" AND at % tier = 0 AND typeof(body) = 'blob' AND length(body) IN ({_FLOATS}, {3 * _FLOATS})"
    " AND (typeof(levels) = 'null' OR typeof(levels) = 'text')",
    "event": "typeof(run) = 'integer' AND typeof(kind) = 'text' AND length(kind) BETWEEN 1 AND 100"
    " AND typeof(subject) = 'text' AND length(subject) <= 100 AND typeof(at_ms) = 'integer'"
    f" AND at_ms BETWEEN 0 AND {_LAST_MS}"
    " AND (typeof(ended_ms) = 'null' OR (typeof(ended_ms) = 'integer'"
    f" AND ended_ms BETWEEN 0 AND {_LAST_MS}))"
    " AND typeof(data) = 'text' AND length(data) <= 65536",
}

_levels = msgspec.json.Decoder(history.Levels)

# A run or an event more than the recorder keeps may be there for a moment.
_MOST_ROWS = {"run": MOST_RUNS + 100, "event": MOST_EVENTS + 1000}

# So many times what a tier keeps: clocks that were set leave some more.
_MOST_TIMES = 4


def is_packed(path: Path) -> bool:
    """Return whether a file is an incident file, by its first bytes; OSError if it can't be read."""
    with path.open("rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def check_tables(path: Path) -> None:
    """Raise unless a recording, which may be written meanwhile, has our tables and nothing else.

    Raises: as `unpack`, but for what can be wrong within the tables.
    """
    with _reading(path), contextlib.closing(_open(path, still=is_still(path))) as connection:
        _check_tables(connection)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in a line what is wrong with a file that is read."""
    try:
        yield
    except OSError as error:
        raise IncidentError(f"{path.name}: {error.strerror or error}") from None
    except sqlite3.Error as error:
        if is_damage(error) or isinstance(error, sqlite3.DataError):
            raise NotARecording("the file is damaged") from None
        raise IncidentError(f"{path.name}: {error}") from None
    except UnicodeDecodeError:
        # What SQLite says of a damaged schema holds bytes of it.
        raise NotARecording("the file is damaged") from None


def unpack(file: Path, into: Path) -> Path:
    """Check an incident file, or a recording, and return a copy of it that nobody else writes.

    A recording may be one that is being written, or that a crash has left behind.

    Args:
        file: whatever came, from whomever.
        into: a directory.

    Raises:
        NotARecording: it is something else, damaged, or was made to look like one.
        OtherSchema: it is of another version of this program.
        IncidentError: it can't be read, there is no room, or nothing is in it.
    """
    target = into / "recording.sqlite3"
    try:
        with _reading(file):
            with file.open("rb") as packed:
                head = packed.read(len(_SQLITE))
                packed.seek(0)
                if head.startswith(_GZIP):
                    _inflate(packed, target, most=_most_unpacked(os.fstat(packed.fileno()).st_size))
                elif head != _SQLITE:
                    raise _other(head)
            # Closed by now: that would drop the locks of SQLite's own connection to it.
            if head == _SQLITE:
                _copy(file, target)
            with contextlib.closing(_open(target, still=True)) as connection:
                _examine(connection)
    except NotARecording as error:
        raise NotARecording(f"{file.name}: {error}") from None
    return target


def _most_unpacked(size: int) -> int:
    return min(MOST_UNPACKED, max(RATIO_FLOOR, MOST_RATIO * size))


def _other(head: bytes) -> NotARecording:
    if not head:
        return NotARecording("the file is empty")
    return NotARecording("neither an incident file nor a recording of mod_wsgi-dashboard")


def _inflate(packed: BinaryIO, target: Path, *, most: int) -> None:
    """Decompress a file of one gzip member, whose checksum and length zlib compares."""
    inflater = zlib.decompressobj(GZIP_BITS)
    size = 0
    with open(create(target), "wb") as plain:
        while not inflater.eof:
            chunk = inflater.unconsumed_tail or packed.read(CHUNK)
            if not chunk:
                raise NotARecording("the file is cut off: copy it once more")
            try:
                piece = inflater.decompress(chunk, CHUNK)
            except zlib.error:
                raise NotARecording("the file is damaged: its checksum is wrong") from None
            size += plain.write(piece)
            if size > most:
                raise NotARecording(
                    f"it would unpack to more than {shown_bytes(most)}, as no incident file does"
                )
    if inflater.unused_data or packed.read(1):
        raise NotARecording("there is something behind the end of the incident file")


def _copy(file: Path, target: Path) -> None:
    """Copy an SQLite file, with what is still in its write-ahead log."""
    if file.stat().st_size > MOST_UNPACKED:
        raise NotARecording(f"the file has more than {shown_bytes(MOST_UNPACKED)}")
    if not os.path.exists(f"{file}-wal"):
        with file.open("rb") as reading, open(create(target), "wb") as writing:
            shutil.copyfileobj(reading, writing, CHUNK)
        return
    os.close(create(target))
    uri = f"file:{quote(str(file))}?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        # All at once: whatever is written meanwhile would have it begin again.
        source.backup(copy)


def _open(path: Path, *, still: bool) -> sqlite3.Connection:
    """Open a file that may hold anything."""
    uri = f"file:{quote(str(path))}?mode=ro{'&immutable=1' if still else ''}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    # Text may be none.
    connection.text_factory = bytes
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _check_tables(connection: sqlite3.Connection) -> None:
    if not check_schema(connection):
        raise NotARecording("nothing is in the file")
    with contextlib.closing(sqlite3.connect(":memory:")) as ours:
        ours.text_factory = bytes
        for table in TABLES:
            ours.execute(table)
        if tables_of(connection, "main") != tables_of(ours, "main"):
            raise NotARecording("the file has other tables than a recording")


def _examine(connection: sqlite3.Connection) -> None:
    """Raise unless a file is as the recorder would have written it, but for the contents of frames."""
    _check_tables(connection)
    # Not quick_check: an index that says other things than its table is read, too.
    if connection.execute("PRAGMA integrity_check(1)").fetchone() != (b"ok",):
        raise NotARecording("the file is damaged")
    _check_rows(connection)


def _check_rows(connection: sqlite3.Connection) -> None:
    for table, condition in _SOUND.items():
        (bad,) = connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM {table} WHERE NOT ({condition}))"
        ).fetchone()
        if bad:
            raise NotARecording(f"the file has rows of another kind in the table {table}")
    _check_counts(connection)
    (frames,) = connection.execute("SELECT EXISTS (SELECT 1 FROM frame WHERE kind > 0)").fetchone()
    if not frames:
        raise NotARecording("no sample is in the file")
    _check_text(connection)
    _check_numbers(connection)


def _check_counts(connection: sqlite3.Connection) -> None:
    for table, most in _MOST_ROWS.items():
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        if count > most:
            raise NotARecording(f"the file has too many rows in the table {table}")
    for tier in history.TIERS:
        (count,) = connection.execute(
            "SELECT count(*) FROM aggregate WHERE tier = ?", (tier.seconds,)
        ).fetchone()
        if count > _MOST_TIMES * tier.keep / tier.seconds:
            raise NotARecording("the file has too many rows in the table aggregate")


def _check_text(connection: sqlite3.Connection) -> None:
    try:
        for text in connection.execute("SELECT kind || subject || data FROM event"):
            text[0].decode()
        for (data,) in connection.execute("SELECT data FROM event"):
            msgspec.json.decode(data, type=dict[str, Any])
        for (levels,) in connection.execute("SELECT levels FROM aggregate WHERE levels NOTNULL"):
            _check_levels(_levels.decode(levels))
        for (version,) in connection.execute("SELECT version FROM run"):
            version.decode()
    except ValueError:
        raise NotARecording("the file has text that the recorder does not write") from None


def _check_levels(levels: history.Levels) -> None:
    for held, seconds in levels.items():
        if held < 0 or not 0 <= seconds <= history.DAY:
            raise ValueError


def _check_numbers(connection: sqlite3.Connection) -> None:
    """Raise if a bucket has an infinite number, which the recorder never writes."""
    rows = connection.execute("SELECT body FROM aggregate")
    while lot := rows.fetchmany(ROWS_AT_ONCE):
        values = array("f", b"".join([body for (body,) in lot]))
        if sys.byteorder == "big":
            values.byteswap()
        if values.count(math.inf) or values.count(-math.inf):
            raise NotARecording("the file has numbers that the recorder does not write")
