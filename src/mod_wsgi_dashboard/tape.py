"""Writes the file of the flight recorder, within its bound.

Owns what one tick writes, in one transaction, and what has to go for it. The tables are `recording`'s.
It must not know threads or the event loop: every call here blocks.

Invariants: the file, its write-ahead log and its index together never have more than `limit` bytes, but
for the moment of an opening with a lower limit than before; whatever ends the process costs no tick that
was committed; another process may write the same file, for as long as two dashboards overlap at a
graceful restart.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import LASTING, Event
from mod_wsgi_dashboard.recording import (
    APPLICATION_ID,
    DELTA,
    SCHEMA,
    TABLES,
    NotARecording,
    OtherSchema,
    check_schema,
)

# Rows of some kB leave less unused in small pages, and a tick dirties less: 12 % off the file at 1,600
# slots, and half of what is written, beside pages of 4 KB.
PAGE_BYTES = 1024
_LOGGED_PAGE_BYTES = PAGE_BYTES + 24

# Least room that is worth a recording: minutes of 6,400 slots, an hour or two of 64.
LEAST_BYTES = 8 << 20

# The write-ahead log and its index: a quarter of a small file, 16 MB of a large one.
_LOG_SHARE, _LOG_MOST = 4, 16 << 20
_INDEX_BYTES = 64 << 10

# All buckets of all tiers, of a busy Apache. A small file keeps each tier for a part of its time, so
# that buckets take a quarter of it, and whole samples the rest.
_TIERS_BYTES, _TIERS_SHARE = 120 << 20, 4

# Pages that a tick writes beside its frame and its letters: 8 to 15, more where trees grow.
_SMALL_PAGES = 64

# Frames go in lots of a minute or two; older buckets and events once a minute.
_LOT = 120
_SWEEP_MS = 60_000

# Whole samples say who asked for what: they are kept for a week at most.
FRAMES_KEEP = 7 * history.DAY
EVENTS_KEEP = 90 * history.DAY
MOST_EVENTS = 20_000
MOST_RUNS = 2_000

# So much has to be recorded after an instant before things get older by it.
SETTLED_MS = 3_600_000

# How long a tick may wait for another process that writes.
_BUSY_SECONDS = 2.0
_PAUSE_SECONDS = 0.01

_BODY_BYTES = {4 * len(history.SERIES), 12 * len(history.SERIES)}


class TapeError(DashboardError):
    """The recording can't be written: what to change."""


class Moved(TapeError):
    """The file is another one by now, or gone."""


class Tick(NamedTuple):
    """What is recorded of one tick.

    `states` are the letters of all slots and `values` one number for each of `history.SERIES`, both
    empty for a failure. `size` and `adler` are those of the frame's text, of which `body` is the
    compressed form; see `recording`.
    """

    at_ms: int
    kind: int
    size: int
    adler: int
    body: bytes
    states: bytes
    values: list[float]
    events: list[Event]


_Execute = Callable[..., sqlite3.Cursor]
_Blob = bytes  # Tape.bytes hides the name


class RunHead(NamedTuple):
    """What is said of a run as a whole."""

    interval: float
    detail: str
    version: str


class Tape:
    """A recording that is written, from one thread.

    Args:
        path: the file; made if there is none.
        limit: most bytes on disk.

    Raises:
        NotARecording: there is something else, or a damaged one.
        OtherSchema: it is one of another version.
        TapeError: it belongs to somebody else.
        OSError, sqlite3.Error: it can't be opened or made.
    """

    def __init__(self, path: Path, *, limit: int) -> None:
        self.path = path
        self._limit = limit
        log_bytes = min(limit // _LOG_SHARE, _LOG_MOST)
        self._log_bytes = log_bytes - _INDEX_BYTES
        self._most_pages = (limit - log_bytes) // PAGE_BYTES
        self._tiers_part = min(1.0, limit / _TIERS_SHARE / _TIERS_BYTES)
        self._run: int | None = None
        self._states = b""
        self._second: list[history.Row] = []
        self._rolled: dict[int, int] = {}
        self._swept_ms: int | None = None
        _make_file(path)
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False
        )
        try:
            self._file = _identity(path)
            self._set_up()
        except BaseException:
            self._connection.close()
            raise

    def _set_up(self) -> None:
        execute = self._connection.execute
        # Before the first table, or never.
        execute(f"PRAGMA page_size = {PAGE_BYTES}")
        execute("PRAGMA auto_vacuum = INCREMENTAL")
        # Not ON, as some distributions build it: each page that becomes free were written once more.
        execute("PRAGMA secure_delete = FAST")
        known = check_schema(self._connection)
        (mode,) = execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise TapeError(
                f"The file system of {self.path.parent} can't share a file between processes"
                " (SQLite's WAL): name a directory on a local disk in the setting state_dir."
            )
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA trusted_schema = OFF")
        execute(f"PRAGMA wal_autocheckpoint = {self._log_bytes // 4 // PAGE_BYTES}")
        execute(f"PRAGMA journal_size_limit = {self._log_bytes // 4}")
        if not known:
            self._make_tables()
        self._shrink()
        execute(f"PRAGMA max_page_count = {self._most_pages}")

    def _make_tables(self) -> None:
        with self._transaction() as execute:
            # Another process may have made them by now.
            if check_schema(self._connection):
                return
            for table in TABLES:
                execute(table)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {SCHEMA}")

    def _shrink(self) -> None:
        """Give room back to the disk where the bound is less than it was."""
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        if pages <= self._most_pages:
            return
        while not self._forget_old():
            pass
        self._make_room(_SMALL_PAGES)
        while pages > self._most_pages:
            before = pages
            with self._transaction() as execute:
                execute(f"PRAGMA incremental_vacuum({self._step_pages // 2})").fetchall()
                (pages,) = execute("PRAGMA page_count").fetchone()
            if pages >= before:
                break
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @property
    def _step_pages(self) -> int:
        """Most pages of one transaction: as many as the log always has room for."""
        return self._log_bytes // 2 // _LOGGED_PAGE_BYTES

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[_Execute]:
        execute = self._connection.execute
        self._begin()
        try:
            yield execute
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _begin(self) -> None:
        """Begin a transaction, when the log has room for it.

        Raises:
            TapeError: a reader kept the log from being emptied, or the file is another one by now.
        """
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            self._connection.execute("BEGIN IMMEDIATE")
            # Nobody else adds to the log from here on.
            moved = _identity(self.path) != self._file
            if not moved and _size(f"{self.path}-wal") <= self._log_bytes // 2:
                return
            self._connection.execute("ROLLBACK")
            if moved:
                raise Moved(f"{self.path} was removed or replaced: a new recording begins.")
            self._empty_log(deadline)

    def _empty_log(self, deadline: float) -> None:
        # SQLite waits for readers, but not for another process that does the same.
        while self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() >= deadline:
                raise TapeError(
                    f"{self.path} is read for so long that nothing can be added to it. It goes on when"
                    " the program that reads it is done."
                )
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(_size(f"{self.path}{ending}") for ending in ("", "-wal", "-shm"))

    def begin(self, head: RunHead) -> None:
        """Let the next tick begin a new run."""
        self._run, self._head = None, head

    def append(self, tick: Tick) -> None:
        """Record a tick, in one transaction; the first of a run needs a key frame.

        Raises:
            TapeError, OSError, sqlite3.Error: it was not recorded; nothing of it is left behind.
        """
        difference = tick.states
        if tick.kind == DELTA and tick.states:
            difference = history.xor(self._states, tick.states)
        letters = zlib.compress(difference, 1) if tick.states else None
        self._make_room(self._pages_of(tick, letters))
        if self._swept_ms is None or abs(tick.at_ms - self._swept_ms) >= _SWEEP_MS:
            # What is left over goes with the next ticks.
            self._swept_ms = tick.at_ms if self._forget_old() else None
        run, second, rolled = self._run, list(self._second), dict(self._rolled)
        try:
            with self._transaction():
                self._write_frame(tick, letters)
                if tick.values and not self._is_outdated(tick.at_ms):
                    self._write_buckets(tick)
                self._write_events(tick.events)
        except BaseException:
            self._run, self._second, self._rolled = run, second, rolled
            raise
        self._states = tick.states

    def _pages_of(self, tick: Tick, letters: _Blob | None) -> int:
        """Return how many pages a tick may need.

        Raises:
            TapeError: more than fit.
        """
        size = len(tick.body) + len(letters or b"") + sum(len(_encode(e.data)) for e in tick.events)
        pages = size // (PAGE_BYTES - 4) + _SMALL_PAGES
        if pages > self._step_pages:
            raise self._too_small()
        return pages

    def _too_small(self) -> TapeError:
        return TapeError(
            f"{self._limit >> 20} MB are too few for the recording of an Apache of this size: set"
            " record_bytes to more, or record to states."
        )

    def _write_frame(self, tick: Tick, letters: _Blob | None) -> None:
        execute = self._connection.execute
        if self._run is None:
            self._rolled, self._second = {}, []
        known = execute("UPDATE run SET ended_ms = ? WHERE id = ?", (tick.at_ms, self._run))
        if not known.rowcount:
            # The number stays, should another process have dropped the run with its last frames.
            self._run = execute(
                "INSERT INTO run (id, began_ms, ended_ms, interval, detail, version)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (self._run, tick.at_ms, tick.at_ms, *self._head),
            ).lastrowid
        execute(
            "INSERT INTO frame (run, at_ms, kind, size, adler, body, letters)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._run, tick.at_ms, tick.kind, tick.size, tick.adler, tick.body, letters),
        )

    def _is_outdated(self, at_ms: int) -> bool:
        """Return whether a newer run, of another process, recorded this second too: it counts."""
        second_ms = at_ms - at_ms % 1000
        newer = self._connection.execute(
            "SELECT 1 FROM run WHERE id > ? AND began_ms < ? AND ended_ms >= ?",
            (self._run, second_ms + 1000, second_ms),
        )
        return newer.fetchone() is not None

    def _write_buckets(self, tick: Tick) -> None:
        at = tick.at_ms // 1000
        if self._second and self._second[0].at != at:
            self._second.clear()
        self._second.append(history.Row(at, 1, history.pack(tick.values)))
        for lower, tier in zip(history.TIERS, history.TIERS[1:], strict=False):
            begun = at - at % tier.seconds
            if self._rolled.get(tier.seconds) != begun:
                self._roll(lower, tier, begun)
                self._rolled[tier.seconds] = begun
        # After the tiers above it, so that what is rolled is whole.
        self._put_bucket(history.Row(at, 1, history.merge(self._second)), None)

    def _put_bucket(self, row: history.Row, levels: str | None) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO aggregate (tier, at, body, levels) VALUES (?, ?, ?, ?)",
            (row.seconds, row.at, row.body, levels),
        )

    def _roll(self, lower: history.Tier, tier: history.Tier, begun: int) -> None:
        """Make the buckets of a tier that ended by now, out of the tier below it."""
        execute = self._connection.execute
        start = self._rolled.get(tier.seconds)
        if start is None or start > begun:
            (newest,) = execute(
                "SELECT max(at) FROM aggregate WHERE tier = ? AND at < ?", (tier.seconds, begun)
            ).fetchone()
            start = 0 if newest is None else newest + tier.seconds
        rows = execute(
            "SELECT at, tier, body, levels FROM aggregate"
            " WHERE tier = ? AND at >= ? AND at < ? ORDER BY at",
            (lower.seconds, start, begun),
        ).fetchall()
        buckets: dict[int, list[tuple[history.Row, str | None]]] = {}
        for at, seconds, body, levels in rows:
            if _is_body(body):
                row = history.Row(at, seconds, body)
                buckets.setdefault(at - at % tier.seconds, []).append((row, levels))
        for at, parts in buckets.items():
            with contextlib.suppress(OverflowError, ValueError, struct.error, msgspec.MsgspecError):
                body = history.merge([row for row, _ in parts])
                self._put_bucket(history.Row(at, tier.seconds, body), self._levels(tier, at, parts))

    def _levels(
        self, tier: history.Tier, at: int, parts: list[tuple[history.Row, str | None]]
    ) -> str | None:
        if tier.seconds < history.LEVELS_FROM:
            return None
        if tier.seconds > history.LEVELS_FROM:
            several = [msgspec.json.decode(text, type=history.Levels) for _, text in parts if text]
            return _encode(history.add_levels(several))
        rows = self._connection.execute(
            "SELECT at, tier, body FROM aggregate WHERE tier = 1 AND at >= ? AND at < ?",
            (at, at + tier.seconds),
        )
        seconds = max(1.0, self._head.interval)
        sound = [history.Row(*row) for row in rows if _is_body(row[2])]
        return _encode(history.count_levels(sound, seconds))

    def write_events(self, events: Iterable[Event]) -> None:
        """Write events without a tick; as `append` writes them."""
        with self._transaction():
            self._write_events(events)

    def _write_events(self, events: Iterable[Event]) -> None:
        """Write events; one that is there already is replaced, whichever run told of it."""
        execute = self._connection.execute
        for event in events:
            run, data = self._run or 0, _encode(event.data)
            known = execute(
                "UPDATE event SET run = ?, ended_ms = ?, data = ?"
                " WHERE id = (SELECT max(id) FROM event WHERE at_ms = ? AND kind = ? AND subject = ?)",
                (run, event.ended_ms, data, event.at_ms, event.kind, event.subject),
            )
            if not known.rowcount:
                execute(
                    "INSERT INTO event (run, kind, subject, at_ms, ended_ms, data)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (run, event.kind, event.subject, event.at_ms, event.ended_ms, data),
                )

    def end_open_events(self) -> None:
        """End what went on when an earlier process stopped recording: nobody saw it go on."""
        with self._transaction() as execute:
            execute(
                "UPDATE event SET ended_ms = max(at_ms, coalesce("
                "(SELECT ended_ms FROM run WHERE run.id = event.run), at_ms))"
                f" WHERE ended_ms IS NULL AND kind IN ({', '.join('?' * len(LASTING))})",
                sorted(LASTING),
            )

    def add_bookmark(self, event: Event) -> int:
        """Write a bookmark, and return its number."""
        with self._transaction() as execute:
            number = execute(
                "INSERT INTO event (run, kind, subject, at_ms, ended_ms, data)"
                " VALUES (0, ?, ?, ?, ?, ?)",
                (event.kind, event.subject, event.at_ms, event.ended_ms, _encode(event.data)),
            ).lastrowid
        assert number is not None
        return number

    def remove_bookmark(self, number: int) -> bool:
        """Remove a bookmark; return whether there was one."""
        with self._transaction() as execute:
            gone = execute("DELETE FROM event WHERE id = ? AND kind = 'bookmark'", (number,))
        return gone.rowcount > 0

    def _pages(self) -> int:
        (count,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return int(count) - int(free)

    def _make_room(self, pages: int) -> None:
        """Drop the oldest until there is room for so many pages, and as many of another process.

        Raises:
            TapeError: nothing is left that could go.
        """
        while self._pages() + 2 * pages > self._most_pages:
            with self._transaction():
                if not self._forget_oldest():
                    raise self._too_small()

    def _forget_oldest(self) -> bool:
        """Drop the oldest frames; of the last of them, buckets, events, and all but the last chain."""
        execute = self._connection.execute
        lot = execute("SELECT id FROM frame ORDER BY id LIMIT 1 OFFSET ?", (2 * _LOT,)).fetchone()
        if lot is not None:
            execute("DELETE FROM frame WHERE id IN (SELECT id FROM frame ORDER BY id LIMIT ?)", (_LOT,))
            return True
        for tier in history.TIERS:
            oldest = execute(
                "SELECT at FROM aggregate WHERE tier = ? ORDER BY at LIMIT 1 OFFSET 1000",
                (tier.seconds,),
            ).fetchone()
            if oldest is not None:
                execute("DELETE FROM aggregate WHERE tier = ? AND at < ?", (tier.seconds, *oldest))
                return True
        few = "SELECT id FROM event ORDER BY id LIMIT 500"
        if execute(f"DELETE FROM event WHERE id IN ({few})").rowcount:
            return True
        chain = "SELECT max(id) FROM frame WHERE kind > 0"
        return execute(f"DELETE FROM frame WHERE id < ({chain})").rowcount > 0

    def _forget_old(self) -> bool:
        """Drop some of what is older than it may become; return whether that was all of it.

        A clock that was set, for minutes or for a year, must not make a recording old. So ages count
        from the instant after which an hour was recorded, in the order of recording, and the clock
        never stood before it; less that hour, so that nothing is kept longer while all is well. An
        instant can be wrong and still stand in the future when the clock is right again: so there are
        never more frames than come within their age, whatever their instants are.
        """
        with self._transaction() as execute:
            settled_ms = self._settled_ms()
            if settled_ms is None:
                return True
            gone = [self._forget_frames(settled_ms - 1000 * FRAMES_KEEP)]
            for tier in history.TIERS:
                keep = int(tier.keep * self._tiers_part)
                gone.append(self._forget_buckets(tier, settled_ms // 1000 - keep))
            events = execute(
                "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE at_ms < ? LIMIT ?)",
                (settled_ms - 1000 * EVENTS_KEEP, _LOT),
            )
            more = execute(
                "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?", (MOST_EVENTS,)
            )
            gone += [events.rowcount >= _LOT, more.rowcount >= _LOT]
            self._forget_runs()
        return not any(gone)

    def _settled_ms(self) -> int | None:
        """Return from when on ages count, as `_forget_old` says; None where nothing is recorded."""
        runs = self._connection.execute("SELECT began_ms, ended_ms FROM run ORDER BY id DESC").fetchall()
        left, reached = SETTLED_MS, []
        for began, ended in runs:
            reached.append(max(began, ended - left))
            left -= ended - began
            if left <= 0:
                break
        return min(min(reached) + SETTLED_MS, runs[0][1]) if runs else None

    def _forget_frames(self, before_ms: int) -> bool:
        """Drop a lot of the frames that are too old, or too many; return whether there are more."""
        execute = self._connection.execute
        (interval,) = execute("SELECT min(interval) FROM run").fetchone()
        many = execute(
            "DELETE FROM frame WHERE id IN (SELECT id FROM frame"
            " WHERE id <= (SELECT max(id) FROM frame) - ? ORDER BY id LIMIT ?)",
            (int(FRAMES_KEEP / interval), _LOT),
        )
        left = _LOT - many.rowcount
        for (run,) in execute("SELECT id FROM run WHERE began_ms < ?", (before_ms,)).fetchall():
            old = execute(
                "DELETE FROM frame WHERE id IN (SELECT id FROM frame"
                " WHERE run = ? AND at_ms < ? ORDER BY at_ms LIMIT ?)",
                (run, before_ms, left),
            )
            left -= old.rowcount
            if left <= 0:
                break
        return left <= 0

    def _forget_buckets(self, tier: history.Tier, before: int) -> bool:
        execute = self._connection.execute
        (oldest,) = execute("SELECT min(at) FROM aggregate WHERE tier = ?", (tier.seconds,)).fetchone()
        if oldest is None or oldest >= before:
            return False
        end = min(before, oldest + 4 * _LOT * tier.seconds)
        execute("DELETE FROM aggregate WHERE tier = ? AND at < ?", (tier.seconds, end))
        return bool(end < before)

    def _forget_runs(self) -> None:
        """Drop runs of which there is no frame any more."""
        execute = self._connection.execute
        (oldest,) = execute("SELECT min(run) FROM frame").fetchone()
        execute("DELETE FROM run WHERE id < ? AND id <> ?", (oldest, self._run or 0))
        execute("DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", (MOST_RUNS,))


def _is_body(body: object) -> bool:
    """Return whether this can be a bucket's: a damaged disk may have made anything of it."""
    return isinstance(body, bytes) and len(body) in _BODY_BYTES


def _encode(data: object) -> str:
    return msgspec.json.encode(data).decode()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def claim(path: Path) -> bool:
    """Return whether there is a file of ours at a path; False where there is nothing.

    Raises:
        TapeError: somebody else's is there, or what is no file; links are none.
        OSError: it can't be looked at.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise TapeError(
            f"{path} belongs to another user, or is no file: remove it, or name another directory in"
            " the setting state_dir."
        )
    return True


def _make_file(path: Path) -> None:
    """Make the file if it isn't there, for its owner alone; its log and index get the same mode.

    Raises:
        TapeError: somebody else made it, or what is there is no file.
        OSError: it can't be made.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return
    # Not opened: to close it again would drop the locks of SQLite's own connections to it.
    claim(path)
    if stat.S_IMODE(os.lstat(path).st_mode) != 0o600:
        os.chmod(path, 0o600)


def set_aside(path: Path, ending: str) -> Path:
    """Give a file another name, with its log and index, so that a new one can begin.

    Only the newest of each ending is kept.
    """
    aside = path.with_name(f"{path.name}.{ending}")
    # A log that is left over from another file would be taken for this one's.
    for part in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{aside}{part}")
    for part in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{part}", f"{aside}{part}")
    return aside


def is_sound(path: Path) -> bool:
    """Return whether SQLite finds nothing wrong in a file. Takes seconds for hundreds of megabytes."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
            check_schema(connection)
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except (sqlite3.DatabaseError, NotARecording, OtherSchema):
        return False
