"""The file of the flight recorder: its tables, and how it is read.

Owns the schema and all reading. A recording is an SQLite file; who writes it is `tape`. It must not know
HTTP, nor the event loop: every call here blocks, and belongs into a thread.

What the tables hold, all instants in epoch milliseconds unless said otherwise:

- `run`: one unbroken recording of one dashboard process. Another process begins another run, and so does
  a clock that was set back. Where runs overlap in time, the newer one counts.
- `frame`: one row a tick. `body` is the frame of `mod-wsgi-dashboard.v1` as permessage-deflate has it,
  with the closing marker that it leaves out: raw deflate that ends on a byte, so that bodies can be put
  one behind another; `size` and `adler` (Adler-32) are those of its text. `letters` are those of all
  slots, zlib: whole with a key frame, with a delta as the difference (XOR) from the tick before.
- `aggregate`: buckets of `core.history`, by tier and the epoch second at which each begins; `levels` is
  a JSON object, seconds by the number of held workers.
- `event`: `core.events`; `ended_ms` is null for a moment, and for what goes on.

Whatever is read was written by a dashboard of this schema, or else is refused: `RecordingError`.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import LASTING, Event

# "MWDR", in the file's header; `file` and SQLite show it.
APPLICATION_ID = 0x4D574452
SCHEMA = 1

TABLES = (
    """CREATE TABLE run (
    id INTEGER PRIMARY KEY, began_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
    interval REAL NOT NULL, detail TEXT NOT NULL, version TEXT NOT NULL)""",
    """CREATE TABLE frame (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, at_ms INTEGER NOT NULL, kind INTEGER NOT NULL,
    size INTEGER NOT NULL, adler INTEGER NOT NULL, body BLOB NOT NULL, letters BLOB)""",
    "CREATE INDEX frame_at ON frame (run, at_ms)",
    "CREATE INDEX frame_key ON frame (run, at_ms) WHERE kind > 0",
    """CREATE TABLE aggregate (
    tier INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, levels TEXT,
    PRIMARY KEY (tier, at)) WITHOUT ROWID""",
    """CREATE TABLE event (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    at_ms INTEGER NOT NULL, ended_ms INTEGER, data TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX event_at ON event (at_ms, kind, subject, run)",
)

# Kinds of frames.
DELTA, KEY, ERROR = 0, 1, 2
KINDS = {b'{"frame":"key"': KEY, b'{"frame":"erro': ERROR}

# Ticks from one key frame to the next. A key takes five times the bytes of a delta: twice as many keys
# cost 7 % more room, and halve what has to be read for one sample.
KEY_EVERY = 30

# permessage-deflate leaves this end of each message out.
MARKER = b"\0\0\xff\xff"

# The text of a key frame of 200,000 slots, the most there can be, has some 12 MB.
MOST_TEXT = 64 << 20

_ALL = 1 << 60

# A column of the map is a key frame's from a quarter of their distance on, and needs no deltas.
_KEYS_ALONE = KEY_EVERY / 4

_levels = msgspec.json.Decoder(history.Levels)


class RecordingError(DashboardError):
    """A recording can't be read: what is wrong with it."""


class NotARecording(RecordingError):
    """There is a file, but not of this program, or it is damaged."""


class EmptyRecording(NotARecording):
    """There is no file yet, or one without anything in it."""


class OtherSchema(RecordingError):
    """The recording is of another version of this program."""

    def __init__(self, schema: int) -> None:
        super().__init__(
            f"the recording has schema {schema}, this version reads {SCHEMA}:"
            f" use {'a newer' if schema > SCHEMA else 'the older'} mod_wsgi-dashboard for it"
        )
        self.schema = schema


class Frame(NamedTuple):
    """One recorded frame: `body` as the table has it."""

    at_ms: int
    kind: int
    size: int
    adler: int
    body: bytes

    def text(self) -> bytes:
        """Return the text of the frame.

        Raises:
            NotARecording: it is damaged.
        """
        inflator = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            # One byte more than there is to be, so that nothing longer is taken for it.
            text = inflator.decompress(self.body, max(0, min(self.size, MOST_TEXT)) + 1)
        except zlib.error:
            text = b""
        if len(text) != self.size or zlib.adler32(text) != self.adler or inflator.eof:
            raise NotARecording("a recorded frame is damaged")
        return text


class States(NamedTuple):
    """Letters of all slots at some instants (epoch seconds)."""

    at: list[float]
    letters: list[str]


class Extent(NamedTuple):
    """What a recording holds; None where it holds nothing. Instants are epoch seconds.

    `since` and `until` are those of whole samples, `history_since` that of the oldest aggregate.
    """

    since: float | None
    until: float | None
    history_since: float | None
    interval: float
    detail: str


class StoredEvent(NamedTuple):
    """An event with its number in the recording."""

    id: int
    event: Event


def check_schema(connection: sqlite3.Connection) -> bool:
    """Return whether a file holds a recording of this schema; False for one without any table.

    Raises:
        NotARecording: it holds something else, or can't be read at all.
        OtherSchema: it is one of another version.
    """
    try:
        # Another process may be making the tables: all three are to be of one moment.
        with _one_moment(connection) as execute:
            (application,) = execute("PRAGMA application_id").fetchone()
            (schema,) = execute("PRAGMA user_version").fetchone()
            (tables,) = execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise NotARecording("the file is damaged, or no recording") from None
        raise
    if not tables and not application:
        return False
    if application != APPLICATION_ID:
        raise NotARecording("the file is no recording of mod_wsgi-dashboard")
    if schema != SCHEMA:
        raise OtherSchema(schema)
    return True


@contextlib.contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[Callable[[str], sqlite3.Cursor]]:
    """Let all that is read in the context be of one moment."""
    within = connection.in_transaction
    if not within:
        connection.execute("BEGIN")
    try:
        yield connection.execute
    finally:
        if not within and connection.in_transaction:
            connection.execute("ROLLBACK")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file itself is bad."""
    # Python 3.10 has no error codes.
    return "malformed" in str(error) or "not a database" in str(error)


class Recording:
    """A recording that is read, from one thread at a time.

    Args:
        path: the file. It is opened at the first reading, anew after `close`.
        still: nobody writes to it any more.
    """

    def __init__(self, path: Path, *, still: bool = False) -> None:
        self.path = path
        self._still = still
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._ended = False

    def _open(self) -> sqlite3.Connection:
        if self._ended:
            raise RecordingError("the recording is no longer read")
        file = self._identity()
        if file != self._file:
            # It was set aside, and another one begun.
            self.close()
        if file is None:
            raise EmptyRecording("nothing is recorded yet")
        if self._connection is None:
            uri = f"file:{quote(str(self.path))}?mode=ro{'&immutable=1' if self._still else ''}"
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=1.0, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA query_only = ON")
                if not check_schema(connection):
                    raise EmptyRecording("nothing is recorded yet")
            except BaseException:
                connection.close()
                raise
            self._connection, self._file = connection, file
        return self._connection

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordingError(f"the recording can't be read: {error.strerror}") from None
        return found.st_dev, found.st_ino

    def _rows(self, query: str, *values: object) -> list[Any]:
        try:
            return self._open().execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _failure(self, error: sqlite3.Error) -> RecordingError:
        """Return what to raise for an error; the next reading opens the file anew."""
        self.close()
        if is_damage(error):
            return NotARecording("the recording is damaged")
        return RecordingError(f"the recording can't be read: {error}")

    def interrupt(self) -> None:
        """End a reading that goes on in another thread, and let none begin from now on."""
        self._ended = True
        connection = self._connection
        if connection is not None:
            # The other thread may be closing it.
            with contextlib.suppress(sqlite3.Error):
                connection.interrupt()

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def runs(self) -> list[history.Run]:
        """Return the stretches of time that are recorded, in order."""
        return history.visible(
            history.Run(*row) for row in self._rows("SELECT id, began_ms, ended_ms FROM run")
        )

    def extent(self) -> Extent:
        """Return from when to when there is something."""
        runs = self.runs()
        keys = (self._first_key(run, run.began_ms) for run in runs)
        since = next((key for key in keys if key is not None), None)
        newest = self._rows("SELECT interval, detail FROM run ORDER BY id DESC LIMIT 1")
        return Extent(
            None if since is None else since / 1000,
            None if since is None else runs[-1].ended_ms / 1000,
            min((first for first in self._oldest_buckets() if first is not None), default=None),
            *(newest[0] if newest else (1.0, "full")),
        )

    def _oldest_buckets(self) -> list[int | None]:
        """Return where the first bucket of each tier begins."""
        query = "SELECT min(at) FROM aggregate WHERE tier = ?"
        return [self._rows(query, tier.seconds)[0][0] for tier in history.TIERS]

    def frames(
        self, start_ms: int, end_ms: int, *, most: int, most_bytes: int, most_text: int = _ALL
    ) -> list[Frame]:
        """Return the frames of a range, from the newest key (or error) frame before it on.

        Args:
            start_ms: epoch milliseconds.
            end_ms: no frame after it.
            most: how many frames at most.
            most_bytes: their bytes, but for the last frame of them.
            most_text: the same for their texts.
        """
        frames: list[Frame] = []
        for run, first in self._chains(start_ms, end_ms):
            found = self._each(
                "SELECT at_ms, kind, size, adler, body FROM frame"
                " WHERE run = ? AND at_ms BETWEEN ? AND ? ORDER BY at_ms LIMIT ?",
                *(run.number, first, min(end_ms, run.ended_ms), most - len(frames)),
            )
            for frame in map(Frame._make, found):
                frames.append(frame)
                most_bytes -= len(frame.body)
                most_text -= frame.size
                if most_bytes <= 0 or most_text <= 0 or len(frames) == most:
                    return frames
        return frames

    def _each(self, query: str, *values: object) -> Iterator[Any]:
        """Yield rows one by one: together they may be large."""
        try:
            yield from self._open().execute(query, values)
        except sqlite3.Error as error:
            raise self._failure(error) from None

    def _chains(self, start_ms: int, end_ms: int) -> Iterator[tuple[history.Run, int]]:
        """Yield the stretches of a range, each with the instant of the frame to begin with.

        What stood when the range begins comes first, where there was anything.
        """
        runs = self.runs()
        first = self._newest_key(runs, start_ms)
        if first is not None:
            yield first
        for run in history.stretches_between(runs, start_ms, end_ms):
            if first is None or run.began_ms > first[0].began_ms:
                key = self._first_key(run, start_ms)
                if key is not None:
                    yield run, key

    def _newest_key(self, runs: Sequence[history.Run], at_ms: int) -> tuple[history.Run, int] | None:
        """Return the newest frame at or before an instant that needs none before it, and its stretch."""
        for run in reversed(runs):
            if run.began_ms <= at_ms:
                (key,) = self._rows(
                    "SELECT max(at_ms) FROM frame WHERE run = ? AND kind > 0 AND at_ms BETWEEN ? AND ?",
                    *(run.number, run.began_ms, min(at_ms, run.ended_ms)),
                )[0]
                if key is not None:
                    return run, key
        return None

    def _first_key(self, run: history.Run, start_ms: int) -> int | None:
        """Return the instant of a stretch's first frame from an instant on that needs none before it."""
        key: int | None = self._rows(
            "SELECT min(at_ms) FROM frame WHERE run = ? AND kind > 0 AND at_ms BETWEEN ? AND ?",
            *(run.number, max(start_ms, run.began_ms), run.ended_ms),
        )[0][0]
        return key

    def sample_at(self, at_ms: int) -> wire.Sample | wire.Failure | None:
        """Return the newest recorded sample, or failure, at or before an instant; None without one.

        Raises:
            RecordingError: it can't be read, or is damaged.
        """
        first = self._newest_key(self.runs(), at_ms)
        if first is None:
            return None
        run, key = first
        frames = self._each(
            "SELECT at_ms, kind, size, adler, body FROM frame"
            " WHERE run = ? AND at_ms BETWEEN ? AND ? ORDER BY at_ms",
            *(run.number, key, min(at_ms, run.ended_ms)),
        )
        try:
            return Decoder().decode_last(Frame(*row).text() for row in frames)
        except (ChainBroken, FrameError) as error:
            raise NotARecording(f"the recording is damaged: {error}") from None

    def states(self, start_ms: int, end_ms: int, *, points: int, most_bytes: int) -> States:
        """Return letters over time, those of the newest sample in each of `points` equal steps.

        From a step of seven or eight ticks on, only ticks with a key frame are looked at. Samples with
        another number of slots than the newest are those of another Apache, and are left out.
        """
        runs, length = self.runs(), self.extent().interval * 1000
        keys = (end_ms - start_ms) > max(points * _KEYS_ALONE, 4 * KEY_EVERY) * length
        slots = self._count_slots(runs, end_ms)
        points = max(1, min(points, most_bytes // max(1, slots)))
        step_ms = max(1.0, (end_ms - start_ms) / points)
        found: dict[int, tuple[int, bytes]] = {}
        for run in history.stretches_between(runs, start_ms, end_ms):
            for at_ms, states in self._letters(run, start_ms, end_ms, keys=keys):
                if len(states) == slots:
                    found[min(int((at_ms - start_ms) / step_ms), points - 1)] = (at_ms, states)
        return States(
            [at_ms / 1000 for at_ms, _ in found.values()],
            [states.decode("ascii", "replace") for _, states in found.values()],
        )

    def _count_slots(self, runs: Sequence[history.Run], at_ms: int) -> int:
        """Return how many slots the newest sample at or before an instant has; no delta changes that."""
        for run in reversed(runs):
            # The first condition is the index's, and SQLite does not see that the last one implies it.
            found = self._rows(
                "SELECT letters FROM frame WHERE run = ? AND kind > 0 AND at_ms BETWEEN ? AND ?"
                " AND kind = 1 ORDER BY at_ms DESC LIMIT 1",
                *(run.number, run.began_ms, min(at_ms, run.ended_ms)),
            )
            if found:
                return len(_inflate(found[0][0]))
        return 0

    def _letters(
        self, run: history.Run, start_ms: int, end_ms: int, *, keys: bool
    ) -> Iterator[tuple[int, bytes]]:
        before = self._newest_key([run], start_ms)
        first = self._first_key(run, start_ms) if before is None else before[1]
        if first is None:
            return
        states = b""
        only = "AND kind > 0 " if keys else ""
        for at_ms, kind, blob in self._each(
            f"SELECT at_ms, kind, letters FROM frame WHERE run = ? {only}"
            "AND at_ms BETWEEN ? AND ? ORDER BY at_ms",
            *(run.number, first, min(end_ms, run.ended_ms)),
        ):
            # Of a failure there are none.
            if blob is None:
                continue
            inflated = _inflate(blob)
            if kind == DELTA and len(inflated) != len(states):
                raise NotARecording("recorded letters are damaged")
            states = inflated if kind == KEY else history.xor(states, inflated)
            if at_ms >= start_ms:
                yield at_ms, states

    def aggregates(self, start: float, end: float, step: int) -> tuple[history.Table, int]:
        """Return the buckets of a range, and their step: that asked for, or what is left of that time.

        Args:
            start: epoch seconds; the bucket that holds it is the first.
            end: epoch seconds; no bucket begins at or after it.
            step: seconds, one of `history.round_step`.
        """
        number = history.tier_for(step, start, self._oldest_buckets())
        step = max(step, history.TIERS[number].seconds)
        at = start - start % step
        rows: list[history.Row] = []
        # What no bucket of a tier has yet is in the tiers below it.
        for tier in reversed(history.TIERS[: number + 1]):
            found = self._rows(
                "SELECT at, tier, body FROM aggregate WHERE tier = ? AND at >= ? AND at < ? ORDER BY at",
                *(tier.seconds, at, end),
            )
            rows.extend(history.Row(*row) for row in found)
            if rows:
                at = rows[-1].at + rows[-1].seconds
        if not history.are_sound(rows):
            raise NotARecording("recorded numbers are damaged")
        return history.table(rows, step), step

    def levels(self, start: int, end: int) -> history.Levels:
        """Return for how long how many workers were held, by whole minutes."""
        parts: list[history.Levels] = []
        at = start
        for seconds in (600, 60):
            found = self._rows(
                "SELECT at, levels FROM aggregate WHERE tier = ? AND at BETWEEN ? AND ? ORDER BY at",
                *(seconds, at, end - seconds),
            )
            parts.extend(_decode_levels(text) for _, text in found if text)
            if found:
                at = found[-1][0] + seconds
        rows = self._rows(
            "SELECT at, tier, body FROM aggregate WHERE tier = 1 AND at >= ? AND at < ?", at, end
        )
        singles = [history.Row(*row) for row in rows]
        if not history.are_sound(singles):
            raise NotARecording("recorded numbers are damaged")
        parts.append(history.count_levels(singles, max(1.0, self.extent().interval)))
        return history.add_levels(parts)

    def events(
        self, start_ms: int, end_ms: int, *, kinds: Iterable[str] = (), most: int
    ) -> list[StoredEvent]:
        """Return the newest events that reach into a range, in the order of time."""
        wanted, lasting = list(kinds), sorted(LASTING)
        among = f"AND kind IN ({_marks(wanted)})" if wanted else ""
        rows = self._rows(
            "SELECT id, kind, at_ms, ended_ms, subject, data FROM event WHERE at_ms <= ?"
            f" AND (at_ms >= ? OR ended_ms >= ? OR ended_ms IS NULL AND kind IN ({_marks(lasting)}))"
            f" {among} ORDER BY at_ms DESC, id DESC LIMIT ?",
            *(end_ms, start_ms, start_ms, *lasting, *wanted, most),
        )
        return [_event(row) for row in reversed(rows)]

    def workers_limit(self) -> int | None:
        """Return the most workers that could be busy, by the newest bucket."""
        found = self._rows(
            "SELECT at, tier, body FROM aggregate WHERE tier = 1 ORDER BY at DESC LIMIT 1"
        )
        rows = [history.Row(*row) for row in found]
        if not rows or not history.are_sound(rows):
            return None
        table = history.table(rows, 1)
        (most,) = table.columns.most[history.SERIES.index("workers")]
        return None if math.isnan(most) else int(most)


def _inflate(blob: bytes) -> bytes:
    """Return recorded letters, or their difference.

    Raises:
        NotARecording: they are damaged.
    """
    try:
        return zlib.decompressobj().decompress(blob, wire.MOST_SLOTS)
    except zlib.error:
        raise NotARecording("recorded letters are damaged") from None


def _decode_levels(text: str) -> history.Levels:
    try:
        return _levels.decode(text)
    except msgspec.DecodeError:
        raise NotARecording("recorded levels are damaged") from None


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _event(row: Sequence[Any]) -> StoredEvent:
    number, kind, at_ms, ended_ms, subject, data = row
    try:
        return StoredEvent(
            number,
            Event(kind, at_ms, ended_ms, subject, msgspec.json.decode(data, type=dict[str, Any])),
        )
    except msgspec.DecodeError:
        raise NotARecording("a recorded event is damaged") from None
