"""Incident files: a range of a recording, written into one file to take along.

Owns the form of the file; `unpacking` opens it. It must not know HTTP nor the command line: every call
here blocks, and belongs into a thread.

An incident file is a recording, with the tables of `recording`, of a range alone, in gzip (RFC 1952),
whose CRC-32 guards all of it. What is in it was redacted before it was recorded. Runs and frames keep
their numbers. Before the range it has what the first sample of the range needs: from the newest key
frame on. Buckets and events that reach into the range are whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import LASTING
from mod_wsgi_dashboard.instants import shown
from mod_wsgi_dashboard.recording import (
    APPLICATION_ID,
    SCHEMA,
    TABLES,
    Extent,
    NotARecording,
    Recording,
    RecordingError,
    is_damage,
)

# What is taken in one read transaction: some minutes of frames, a few ms. As long as one lasts, the
# recorder's write-ahead log can't be emptied.
FRAMES_AT_ONCE = 200
ROWS_AT_ONCE = 5_000

# Of a row beside its blobs: small columns, three entries of indices, and its aggregates, after gzip.
_ROW_BYTES = 80

# Frames are deflated already: of 1,600 workers level 1 leaves 93.2 % and level 9 leaves 93.1 %; of 64,
# 72.3 and 71.5 % in 0.15 and 0.35 s of CPU an hour.
_LEVEL = 1
CHUNK = 1 << 20

# RFC 1952, as zlib's functions are told.
GZIP_BITS = zlib.MAX_WBITS | 16

# So many intervals after a tick its sample no longer stands for what is.
_STANDS = 2

# Of what SQLite does while another process has the file for itself: a moment at its start and end.
BUSY_SECONDS = 5.0


class IncidentError(DashboardError):
    """An incident file can't be written or opened: why."""


class NothingRecorded(IncidentError):
    """There is no sample in the range; the message says where there are some."""


class TooLarge(IncidentError):
    """A range makes too large a file; the message has both sizes."""


class Stopped(IncidentError):
    """Whoever asked wants it no more."""


class Summary(NamedTuple):
    """What was written: instants of the first and the last sample (epoch seconds), and their number.

    `bytes` and `sha256` (hexadecimal) are those of the file.
    """

    since: float
    until: float
    samples: int
    bytes: int
    sha256: str


class _Part(NamedTuple):
    """Frames of one run, from and to these instants."""

    run: int
    first_ms: int
    last_ms: int


def shown_bytes(count: float) -> str:
    """Return a number of bytes in the largest unit that leaves more than one."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def is_still(path: Path) -> bool:
    """Return whether a recording can only be read as one that nobody writes.

    So is one without a write-ahead log, where none can be made: SQLite would need it.
    """
    return not os.path.exists(f"{path}-wal") and not os.access(path.parent, os.W_OK)


def write(
    source: Path,
    start_ms: int,
    end_ms: int,
    target: Path,
    *,
    most_bytes: int,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Write a range of a recording as an incident file, in place of what is there.

    The recording may be written by others meanwhile, and is not in their way: it is read in pieces.
    For a moment the directory of `target` has the file twice, once uncompressed. Mode 0600.

    Args:
        source: the recording.
        start_ms: epoch milliseconds.
        end_ms: no sample after it.
        target: where to.
        most_bytes: the file becomes no larger.
        stop: asked between two pieces.

    Raises:
        NothingRecorded: there is no sample in the range.
        TooLarge: it would be larger than `most_bytes`.
        Stopped: `stop` said so.
        RecordingError: the recording can't be read.
        IncidentError: the file can't be written.
    """
    parts, extent = _parts(source, start_ms, end_ms)
    with _failing(source, target):
        folder = tempfile.TemporaryDirectory(dir=target.parent, prefix=".incident-")
    with folder, _failing(source, target):
        plain, packed = Path(folder.name, "plain"), Path(folder.name, "packed")
        with contextlib.closing(_connect(plain, source)) as connection:
            copier = _Copier(connection, stop)
            estimate = copier.measure(parts)
            if estimate > most_bytes:
                raise _too_large(estimate, most_bytes)
            copier.copy(parts, start_ms, end_ms)
            since_ms, until_ms, samples = connection.execute(
                "SELECT min(at_ms), max(at_ms), count(*) FROM frame"
            ).fetchone()
        if not samples or until_ms < start_ms - 1000 * _STANDS * extent.interval:
            raise _nothing(start_ms, end_ms, extent)
        size, digest = _pack(plain, packed, most_bytes, stop)
        os.replace(packed, target)
    return Summary(since_ms / 1000, until_ms / 1000, samples, size, digest)


def _parts(source: Path, start_ms: int, end_ms: int) -> tuple[list[_Part], Extent]:
    """Return the frames that make a range, those that count of each run, and all that there is."""
    recording = Recording(source, still=is_still(source))
    try:
        runs, extent = recording.runs(), recording.extent()
    finally:
        recording.close()
    found = history.stretches_between(runs, start_ms, end_ms)
    if not found or extent.since is None or extent.since * 1000 > end_ms:
        raise _nothing(start_ms, end_ms, extent)
    parts = [_Part(run.number, max(run.began_ms, start_ms), min(run.ended_ms, end_ms)) for run in found]
    return parts, extent


def _nothing(start_ms: int, end_ms: int, extent: Extent) -> NothingRecorded:
    since, until, history_since = extent.since, extent.until, extent.history_since
    if since is None or until is None:
        return NothingRecorded("No sample is in the recording yet.")
    text = (
        f"No sample was recorded from {shown(start_ms / 1000)} to {shown(end_ms / 1000)}:"
        f" samples are there from {shown(since)} to {shown(until)}"
    )
    if history_since is not None and history_since < min(since, end_ms / 1000):
        text += f", numbers alone from {shown(history_since)} on"
    return NothingRecorded(f"{text}.")


def _too_large(size: float, most: int) -> TooLarge:
    return TooLarge(
        f"The range makes a file of {shown_bytes(size)}, and {shown_bytes(most)} is the most:"
        " ask for a shorter one."
    )


@contextlib.contextmanager
def _failing(source: Path, target: Path) -> Iterator[None]:
    """Say in a sentence why a file could not be written."""
    try:
        yield
    except OSError as error:
        raise IncidentError(f"{target} can't be written: {error.strerror or error}") from None
    except sqlite3.Error as error:
        if is_damage(error):
            raise NotARecording(f"The recording {source} is damaged.") from None
        if "full" in str(error) or "disk I/O" in str(error):
            raise IncidentError(f"{target} can't be written: {error}") from None
        raise RecordingError(f"{source} can't be read: {error}") from None


def _connect(plain: Path, source: Path) -> sqlite3.Connection:
    """Make an empty recording, and open another one beside it, named `source`."""
    connection = sqlite3.connect(
        f"file:{quote(str(plain))}?mode=rwc", uri=True, isolation_level=None, timeout=BUSY_SECONDS
    )
    try:
        execute = connection.execute
        execute("PRAGMA trusted_schema = OFF")
        # Until it is whole nobody else has it.
        execute("PRAGMA main.journal_mode = OFF").fetchall()
        execute("PRAGMA main.synchronous = OFF")
        for table in TABLES:
            execute(table)
        execute(f"PRAGMA main.application_id = {APPLICATION_ID}")
        execute(f"PRAGMA main.user_version = {SCHEMA}")
        execute(
            "ATTACH ? AS source",
            (f"file:{quote(str(source))}?mode=ro{'&immutable=1' if is_still(source) else ''}",),
        )
        if tables_of(connection, "source") != tables_of(connection, "main"):
            raise NotARecording(f"{source} has other tables than a recording.")
    except BaseException:
        connection.close()
        raise
    return connection


def tables_of(connection: sqlite3.Connection, name: str) -> set[tuple[Any, ...]]:
    """Return all that is in a database: tables, indices, and what should not be there."""
    # One more than ours are is enough to tell.
    return set(
        connection.execute(
            f"SELECT type, name, tbl_name, sql FROM {name}.sqlite_master LIMIT {2 * len(TABLES)}"
        )
    )


class _Copier:
    """Copies from one recording to another, piece by piece; each piece is a read transaction."""

    def __init__(self, connection: sqlite3.Connection, stop: Callable[[], bool]) -> None:
        self._connection = connection
        self._stop = stop

    def _one(self, query: str, *values: object) -> Any:
        if self._stop():
            raise Stopped("The export was stopped.")
        return self._connection.execute(query, values).fetchone()

    def _insert(self, query: str, *values: object) -> int:
        if self._stop():
            raise Stopped("The export was stopped.")
        return self._connection.execute(query, values).rowcount

    def measure(self, parts: list[_Part]) -> int:
        """Return how large the file becomes, roughly: what is in frames doesn't get smaller."""
        total = 0
        for part in parts:
            at_ms: int | None = part.first_ms - 1
            while at_ms is not None:
                count, length, at_ms = self._one(
                    "SELECT count(*), total(length), max(at_ms) FROM ("
                    " SELECT at_ms, length(body) + coalesce(length(letters), 0) AS length"
                    " FROM source.frame WHERE run = ? AND at_ms > ? AND at_ms <= ?"
                    " ORDER BY at_ms LIMIT ?)",
                    *(part.run, at_ms, part.last_ms, ROWS_AT_ONCE),
                )
                total += int(length) + count * _ROW_BYTES
        return total

    def copy(self, parts: list[_Part], start_ms: int, end_ms: int) -> None:
        """Copy the range."""
        for part in parts:
            self._copy_frames(part)
        self._drop_remains()
        self._copy_runs()
        (first_ms,) = self._one("SELECT min(at_ms) FROM main.frame")
        start_ms = start_ms if first_ms is None else min(start_ms, first_ms)
        for tier in history.TIERS:
            self._copy_buckets(tier.seconds, start_ms // 1000 - tier.seconds, end_ms // 1000)
        lasting = ", ".join(f"'{kind}'" for kind in sorted(LASTING))
        self._insert(
            "INSERT INTO main.event SELECT * FROM source.event WHERE at_ms <= ?"
            f" AND (at_ms >= ? OR ended_ms >= ? OR (ended_ms IS NULL AND kind IN ({lasting})))",
            *(end_ms, start_ms, start_ms),
        )

    def _copy_frames(self, part: _Part) -> None:
        """Copy the frames of a part, from the key before it on, or from where the run was left."""
        (copied_ms,) = self._one("SELECT max(at_ms) FROM main.frame WHERE run = ?", part.run)
        (key_ms,) = self._one(
            "SELECT max(at_ms) FROM source.frame WHERE run = ? AND kind > 0 AND at_ms <= ?",
            *(part.run, part.first_ms),
        )
        start_ms = part.first_ms if key_ms is None else key_ms
        at_ms: int | None = max(start_ms - 1, copied_ms or 0)
        while at_ms is not None and self._insert(
            "INSERT INTO main.frame SELECT * FROM source.frame"
            " WHERE run = ? AND at_ms > ? AND at_ms <= ? ORDER BY at_ms LIMIT ?",
            *(part.run, at_ms, part.last_ms, FRAMES_AT_ONCE),
        ):
            (at_ms,) = self._one("SELECT max(at_ms) FROM main.frame WHERE run = ?", part.run)

    def _drop_remains(self) -> None:
        """Drop what has lost its key frame, as the recorder drops the oldest frames meanwhile."""
        (oldest,) = self._one("SELECT min(id) FROM source.frame")
        self._insert("DELETE FROM main.frame WHERE id < coalesce(?, 1 << 62)", oldest)
        self._insert(
            "DELETE FROM main.frame WHERE at_ms < coalesce((SELECT min(at_ms) FROM main.frame AS key"
            f" WHERE key.run = frame.run AND key.kind > 0), {1 << 62})"
        )

    def _copy_runs(self) -> None:
        """Copy the runs that there are frames of, as long as these."""
        self._insert(
            "INSERT INTO main.run SELECT id, (SELECT min(at_ms) FROM main.frame WHERE run = run.id),"
            " (SELECT max(at_ms) FROM main.frame WHERE run = run.id), interval, detail, version"
            " FROM source.run AS run WHERE id IN (SELECT DISTINCT run FROM main.frame)"
        )

    def _copy_buckets(self, tier: int, after: int, last: int) -> None:
        at: int | None = after
        while at is not None and self._insert(
            "INSERT INTO main.aggregate SELECT * FROM source.aggregate"
            " WHERE tier = ? AND at > ? AND at <= ? ORDER BY at LIMIT ?",
            *(tier, at, last, ROWS_AT_ONCE),
        ):
            (at,) = self._one("SELECT max(at) FROM main.aggregate WHERE tier = ?", tier)


def _pack(plain: Path, packed: Path, most_bytes: int, stop: Callable[[], bool]) -> tuple[int, str]:
    """Compress a file; return the size of the other, and its SHA-256."""
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, GZIP_BITS)
    digest, size = hashlib.sha256(), 0
    with plain.open("rb") as reading, open(create(packed), "wb") as writing:
        more = True
        while more:
            chunk = reading.read(CHUNK)
            more = bool(chunk)
            piece = compressor.compress(chunk) if more else compressor.flush()
            digest.update(piece)
            size += writing.write(piece)
            if size > most_bytes:
                raise _too_large(size, most_bytes)
            if stop():
                raise Stopped("The export was stopped.")
        writing.flush()
        os.fsync(writing.fileno())
    return size, digest.hexdigest()


def create(path: Path) -> int:
    """Open a new file, for its owner alone; OSError if there is one."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
