"""The flight recorder: every tick goes to the disk, by a thread that nobody waits for.

Owns the writer thread, where the recording is, and what happens when it can't be written. It must not
know HTTP. The file is `tape`'s to write and `recording`'s to read.

Invariants: `take` never blocks and never raises; whatever the disk does, the live view goes on, and says
what is wrong; what is wrong is logged once per change; no delta is recorded that doesn't continue what
was recorded before it; what happens while nothing can be written is written afterwards.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import os
import pwd
import queue
import re
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import LASTING, Event, Watcher
from mod_wsgi_dashboard.core.rates import LONGEST_GAP
from mod_wsgi_dashboard.recording import (
    DELTA,
    KEY_EVERY,
    KINDS,
    MARKER,
    EmptyRecording,
    NotARecording,
    OtherSchema,
    Recording,
    RecordingError,
    is_damage,
)
from mod_wsgi_dashboard.settings import Settings, TcpAddress
from mod_wsgi_dashboard.tape import Moved, RunHead, Tape, TapeError, Tick, claim, is_sound, set_aside

log = logging.getLogger(__name__)

T = TypeVar("T")

# Ticks that wait for a slow disk: half a minute at one a second. More are dropped, and a gap shows.
MOST_WAITING = 30

# Seconds between two tries to record again, and for which it is said that samples are missing.
RETRY_SECONDS = 15.0
SLOW_SECONDS = 60.0

# Events that wait for a disk that can't be written, and how many of them go with one tick.
MOST_PENDING = 1000
_EVENTS_A_TICK = 50

# Less room than this is none: SQLite says no more than "disk I/O error" of a quota, or of its index.
_NO_ROOM_BYTES = 1 << 20

# At a graceful restart Apache waits for the dashboard, and the whole site with it.
CLOSE_SECONDS = 0.4

SYSTEM_DIRECTORY = Path("/var/lib/mod_wsgi-dashboard")

_SLOW = "The disk of the recording was too slow: some samples are missing from it."

# A newer sample this much later is no part of the same unbroken recording.
_RUN_GAP_MS = int(1000 * LONGEST_GAP)


class Chain(Protocol):
    """Frames of `mod-wsgi-dashboard.v1`, as the fan-out makes them; `hub.Channel` is one."""

    @property
    def previous(self) -> int | None:
        """The tick that the newest delta continues; None where there is no delta."""

    def text(self, *, key: bool) -> bytes:
        """Return the newest frame's text."""

    def body(self, *, key: bool) -> bytes:
        """Return it as permessage-deflate has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Status:
    """How the recording stands. `problem` is a sentence that says what to change; `bytes` is on disk."""

    state: str
    problem: str | None = None
    bytes: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """What the event loop gives to the thread for one tick."""

    latest: wire.Sample | wire.Failure
    kind: int
    previous: int | None
    size: int
    adler: int
    body: bytes


class _Request:
    """Something that the thread is asked to do with the open file."""

    def __init__(self, work: Callable[[Tape], object]) -> None:
        self.work = work
        self.answer: Future[object] = Future()


class Recorder:
    """Records what it is given, until it is closed.

    Args:
        path: the file; its directory is there.
        settings: `interval`, `record` and `record_bytes`.
        chain: where frames come from, of the detail that is to be recorded.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        chain: Chain,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._limit = settings.record_bytes
        self._head = RunHead(settings.interval, settings.record, __version__)
        self._chain = chain
        self._monotonic = monotonic
        self._queue: queue.Queue[_Item | _Request | None] = queue.Queue(MOST_WAITING)
        # The event loop's: what it gave last, and when it had to drop something.
        self._until_key = 0
        self._taken_ms = 0
        self._wants_key = True
        self._dropped_at: float | None = None
        self._dropped = 0
        self._closing = False
        # The thread's.
        self._tape: Tape | None = None
        self._retry_at = 0.0
        self._recorded: int | None = None
        self._last_ms = 0
        self._watcher: Watcher | None = None
        self._pending: dict[tuple[str, int, str], Event] = {}
        self._lasting: dict[tuple[str, int, str], Event] = {}
        self._status = Status("recording")
        self._suspect = False
        self._set_aside_at: float | None = None
        self._unwritten = 0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    @property
    def status(self) -> Status:
        """How the recording stands now."""
        status, dropped_at = self._status, self._dropped_at
        if status.problem is None and dropped_at is not None:
            return dataclasses.replace(status, problem=_SLOW)
        return status

    @property
    def dropped(self) -> int:
        """Ticks that were to be recorded and are not: the disk was too slow, or could not be written."""
        return self._dropped + self._unwritten

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Record what waits, and end; whatever takes longer than `CLOSE_SECONDS` is left."""
        if self._thread.ident is None:
            return
        deadline = time.monotonic() + CLOSE_SECONDS
        self._closing = True
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            log.warning("the recording did not end in time: the disk is slow")

    def take(self, latest: wire.Sample | wire.Failure) -> None:
        """Record a tick, soon. The chain's newest frame is that tick's."""
        if self._closing:
            return
        at_ms = int(latest.at * 1000)
        unbroken = self._taken_ms < at_ms <= self._taken_ms + _RUN_GAP_MS
        key = self._wants_key or self._until_key <= 0 or not unbroken
        text = self._chain.text(key=key)
        kind = KINDS.get(text[:14], DELTA)
        item = _Item(
            latest,
            kind,
            self._chain.previous if kind == DELTA else None,
            len(text),
            zlib.adler32(text),
            self._chain.body(key=key) + MARKER,
        )
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._wants_key = True
            self._dropped += 1
            if self._dropped_at is None:
                log.warning("%s", _SLOW)
            self._dropped_at = self._monotonic()
            return
        self._taken_ms = at_ms
        if kind == DELTA:
            self._until_key -= 1
        else:
            self._wants_key, self._until_key = False, KEY_EVERY - 1

    def ask(self, work: Callable[[Tape], T]) -> Future[T]:
        """Have the thread do something with the file; gives its result, or what it raised.

        Raises:
            TapeError: nothing can be written now.
        """
        request = _Request(work)
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            raise TapeError("The disk is too slow to write more now.") from None
        if self._ended:
            self._refuse_waiting()
        return request.answer  # type: ignore[return-value]  # a Future of what `work` returns

    def _run(self) -> None:
        """Write what comes, until the end."""
        while (item := self._queue.get()) is not None:
            if isinstance(item, _Request):
                self._answer(item)
            else:
                self._write(item)
            if self._closing and self._queue.empty():
                break
        if self._tape is not None:
            with contextlib.suppress(DashboardError, OSError, sqlite3.Error):
                # Nobody sees it go on from here.
                self._tape.write_events(
                    msgspec.structs.replace(event, ended_ms=max(event.at_ms, self._last_ms))
                    for event in self._lasting.values()
                )
            with contextlib.suppress(sqlite3.Error):
                self._tape.close()
        self._ended = True
        self._refuse_waiting()

    def _refuse_waiting(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if isinstance(item, _Request) and not item.answer.done():
                    item.answer.set_exception(TapeError("The recording has ended."))

    def _answer(self, request: _Request) -> None:
        try:
            if self._tape is None:
                raise TapeError(self._status.problem or "Nothing is recorded yet.")
            request.answer.set_result(request.work(self._tape))
        except sqlite3.Error as error:
            request.answer.set_exception(TapeError(describe(error, self.path)))
        except Exception as error:
            request.answer.set_exception(error)

    def _write(self, item: _Item) -> None:
        try:
            if self._watcher is not None:
                self._note(self._watcher.observe(item.latest))
            if self._tape is None and not self._open(item):
                self._unwritten += 1
                return
            self._append(item)
        except Exception as error:
            self._unwritten += 1
            self._fail(error)

    def _note(self, events: list[Event]) -> None:
        """Keep events until they are written; of too many, the newest."""
        for event in events:
            if self._head.detail != "full":
                event = _without_request(event)
            name = (event.kind, event.at_ms, event.subject)
            self._pending.pop(name, None)
            self._pending[name] = event
            self._lasting.pop(name, None)
            if event.kind in LASTING and event.ended_ms is None:
                self._lasting[name] = event
        while len(self._pending) > MOST_PENDING:
            del self._pending[next(iter(self._pending))]

    def _open(self, item: _Item) -> bool:
        """Open the file, if it is time to try; the run begins with a key frame."""
        if self._monotonic() < self._retry_at:
            return False
        if item.kind == DELTA:
            self._wants_key = True
            return False
        # It may have been cleaned away; those above it are not for us to make.
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        if claim(self.path):
            self._put_bad_file_aside()
        tape = Tape(self.path, limit=self._limit)
        try:
            tape.begin(self._head)
            if self._watcher is None:
                tape.end_open_events()
                watcher = Watcher(self._newest_sample(item), version=__version__)
                self._note(watcher.observe(item.latest))
                self._watcher = watcher
        except BaseException:
            tape.close()
            raise
        self._tape, self._recorded = tape, None
        return True

    def _put_bad_file_aside(self) -> None:
        """Rename a file that can't be used, so that a new one can begin."""
        try:
            recording = Recording(self.path)
            try:
                recording.extent()
            finally:
                recording.close()
            # Damage that only showed in the midst of it; to look for it takes seconds.
            if not self._suspect or is_sound(self.path):
                return
            raise NotARecording("the recording is damaged")
        except OtherSchema as error:
            ending, reason = f"schema-{error.schema}", str(error)
        except EmptyRecording:
            return
        except NotARecording as error:
            ending, reason = "damaged", str(error)
        except RecordingError:
            return
        finally:
            self._suspect = False
        aside = set_aside(self.path, ending)
        self._set_aside_at = self._monotonic()
        log.error("%s; it was set aside as %s, and a new recording begins", reason, aside)

    def _newest_sample(self, item: _Item) -> wire.Sample | None:
        """Return the newest sample of what was recorded before."""
        newest = newest_recorded(self.path, until=item.latest.at)
        return newest if isinstance(newest, wire.Sample) else None

    def _append(self, item: _Item) -> None:
        assert self._tape is not None
        latest = item.latest
        at_ms = int(latest.at * 1000)
        if self._recorded is None or not self._last_ms < at_ms <= self._last_ms + _RUN_GAP_MS:
            self._tape.begin(self._head)
            self._recorded = None
        if item.kind == DELTA and (self._recorded is None or item.previous != self._recorded):
            self._wants_key = True
            self._unwritten += 1
            return
        states, values = b"", []
        if isinstance(latest, wire.Sample):
            letters = history.letters(latest.snapshot)
            states, values = letters.encode(), history.measure(latest, letters)
        told = list(itertools.islice(self._pending, _EVENTS_A_TICK))
        events = [self._pending[name] for name in told]
        self._tape.append(
            Tick(at_ms, item.kind, item.size, item.adler, item.body, states, values, events)
        )
        for name in told:
            del self._pending[name]
        self._recorded, self._last_ms = latest.tick, at_ms
        before, self._status = self._status, Status("recording", None, self._tape.bytes)
        if before.state == "failed":
            log.warning("recording again, to %s", self.path, extra={"path": str(self.path)})
        elif before.bytes is None:
            log.info("recording to %s", self.path, extra={"path": str(self.path)})
        if self._dropped_at is not None and self._monotonic() - self._dropped_at >= SLOW_SECONDS:
            self._dropped_at = None
            log.warning("the disk of the recording keeps up again")

    def _fail(self, error: Exception) -> None:
        """Note what is wrong, and try again later."""
        tape, self._tape = self._tape, None
        if tape is not None:
            with contextlib.suppress(sqlite3.Error):
                tape.close()
        now = self._monotonic()
        self._suspect = isinstance(error, sqlite3.Error) and is_damage(error)
        # A disk that damages one file after the other is left in peace for a while.
        again = self._set_aside_at is not None and now - self._set_aside_at < RETRY_SECONDS
        at_once = isinstance(error, Moved) or (self._suspect and not again)
        # Everything else needs somebody to change something.
        self._retry_at = now if at_once else now + RETRY_SECONDS
        self._wants_key = True
        problem = describe(error, self.path)
        if problem != self._status.problem:
            unexpected = not isinstance(error, sqlite3.Error | OSError | DashboardError)
            log.error("%s", problem, exc_info=error if unexpected else None)
        self._status = Status("failed", problem)


# What SQLite and the system say of a directory in which nothing can be written.
_UNWRITABLE = (
    *("readonly", "unable to open", "Read-only", "Permission", "No such file", "Not a directory"),
    "File exists",
)


def describe(error: Exception, path: Path) -> str:
    """Return a sentence on why nothing is recorded, and what to change."""
    text = str(error)
    if isinstance(error, DashboardError):
        return f"Nothing is recorded. {text}"
    if isinstance(error, OSError):
        text = error.strerror or text
    directory = path.parent
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return f"The recording {path} is damaged: a new one begins."
    if "full" in text or "No space" in text or ("I/O" in text and _is_full(directory)):
        return (
            f"Nothing is recorded: the disk of {directory} is full. It goes on once there is room;"
            " the setting record_bytes bounds the recording itself."
        )
    if "locked" in text:
        return f"Nothing is recorded: another process keeps {path.name} in {directory} locked."
    if any(reason in text for reason in _UNWRITABLE):
        return (
            f"Nothing is recorded: {directory} can't be written ({text}). Let the user of the"
            " dashboard's process write there, or name another directory in the setting state_dir."
        )
    return f"Nothing is recorded: {type(error).__name__} while writing {path}: {text}."


def _is_full(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free < _NO_ROOM_BYTES
    except OSError:
        return False


def newest_recorded(path: Path, *, until: float) -> wire.Sample | wire.Failure | None:
    """Return what was recorded last up to an instant (epoch seconds), None if nothing can be read."""
    try:
        recording = Recording(path)
    except RecordingError:
        return None
    try:
        end = recording.extent().until
        # A clock that was set back has recorded what is still to come.
        return None if end is None else recording.sample_at(int(1000 * min(end, until)))
    except RecordingError:
        return None
    finally:
        recording.close()


def _without_request(event: Event) -> Event:
    """Return an event without what a recording of states leaves out."""
    hidden = {name: None for name in ("request", "client", "path") if name in event.data}
    if not hidden:
        return event
    subject = event.data["rule"] if event.kind == "alert" else event.subject
    return msgspec.structs.replace(event, subject=subject, data={**event.data, **hidden})


def file_name(settings: Settings) -> str:
    """Return the name of the recording: of two dashboards of one user, each has its own."""
    address = settings.listen
    plain = str(address) if isinstance(address, TcpAddress) else address.path
    name = re.sub(r"[^A-Za-z0-9.]+", "-", plain).strip("-")[-80:]
    if not isinstance(address, TcpAddress):
        # Two paths may look the same by now.
        name = f"unix-{name}-{zlib.crc32(os.fsencode(address.path)):08x}"
    return f"recording-{name}.sqlite3"


def state_directories(settings: Settings) -> Iterator[Path]:
    """Yield the directories to record in, the best first; that of the setting alone, if any."""
    if settings.state_dir:
        yield Path(settings.state_dir)
        return
    # Of a systemd unit with StateDirectory=mod_wsgi-dashboard.
    for given in os.environ.get("STATE_DIRECTORY", "").split(":"):
        if given:
            yield Path(given)
    yield SYSTEM_DIRECTORY
    # Not $HOME: Apache passes that of who started it on to processes of another user.
    with contextlib.suppress(KeyError):
        home = Path(pwd.getpwuid(os.geteuid()).pw_dir)
        yield home / ".local" / "state" / "mod_wsgi-dashboard"
    yield Path("/var/tmp") / f"mod_wsgi-dashboard-{os.geteuid()}"
    yield Path(tempfile.gettempdir()) / f"mod_wsgi-dashboard-{os.geteuid()}"


def choose_path(settings: Settings) -> Path:
    """Return where to record: in the first directory that can be used.

    Raises:
        TapeError: there is none; what to change.
    """
    reasons = []
    for directory in state_directories(settings):
        reason = _prepare(directory)
        if reason is None:
            return directory / file_name(settings)
        reasons.append(f"{directory} ({reason})")
    raise TapeError(
        f"No directory to record in: {', '.join(reasons)}. Make one that the user of the dashboard's"
        " process may write, and name it in the setting state_dir."
    )


def _prepare(directory: Path) -> str | None:
    """Make a directory usable; return why it can't be."""
    try:
        if directory != SYSTEM_DIRECTORY:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.lstat()
        if not stat.S_ISDIR(directory.stat().st_mode):
            return "no directory"
        shared = stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid()
        if shared and directory.parent in (Path("/var/tmp"), Path(tempfile.gettempdir())):
            return "somebody else's"
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            return "not writable"
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
