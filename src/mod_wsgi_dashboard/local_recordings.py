"""The recordings of this machine: where they are, and how a command opens the one that is meant.

Owns where is looked, and what is said when there is none, or when it may not be read. It must not know
what a command does with it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mod_wsgi_dashboard import unpacking
from mod_wsgi_dashboard.core.errors import UsageError
from mod_wsgi_dashboard.incident import IncidentError, is_still
from mod_wsgi_dashboard.instants import parse_instant, shown
from mod_wsgi_dashboard.recorder import state_directories
from mod_wsgi_dashboard.recording import Recording, RecordingError
from mod_wsgi_dashboard.settings import Settings

# Directories in which the recorder makes one of its own for each user, by the user's number; systemd's
# PrivateTmp= puts them elsewhere, where root alone can look.
SHARED = (Path("/var/tmp"), Path("/tmp"))
_OF_USER = re.compile(r"mod_wsgi-dashboard-(\d+)")


class Found(NamedTuple):
    """Recordings that there are, where was looked, and what can't be read."""

    files: list[Path]
    directories: list[Path]
    closed: list[Path]


def add_options(parser: argparse.ArgumentParser, *, start: str | None) -> None:
    """Add the options that name a recording and a range of it.

    Args:
        parser: the command.
        start: what the range begins with, if that need not be said.
    """
    add = parser.add_argument
    begins = f"where the range begins{'' if start is None else f' ({start})'}"
    add("--from", dest="start", metavar="T", required=start is None, help=begins)
    add("--to", dest="end", metavar="T", help="where it ends (with the recording)")
    add(
        "--recording",
        metavar="FILE",
        help="a recording, or an incident file (the one that is found where the dashboard records)",
    )


def asked_range(options: argparse.Namespace, now: float) -> tuple[float | None, float | None]:
    """Return from when to when (epoch seconds) these options say; None for what they don't.

    Raises:
        UsageError: an instant can't be understood.
    """
    start = None if options.start is None else parse_instant(options.start, now)
    end = None if options.end is None else parse_instant(options.end, now, later=True)
    return start, end


def whole_range(
    recording: Recording, start: float | None, end: float | None, *, now: float, length: float
) -> tuple[float, float]:
    """Return a range with what was left open: up to the end of the recording, of a length in seconds.

    Raises:
        UsageError: it ends before it begins.
    """
    if end is None:
        # The last sample's instant has a part of a second.
        end = math.ceil(recording.extent().until or now)
    start = end - length if start is None else start
    if start > end:
        raise UsageError(f"the range begins at {shown(start)} and ends before that, at {shown(end)}")
    return start, end


@contextlib.contextmanager
def opened(name: str | None) -> Iterator[tuple[Path, Recording]]:
    """Give the recording that a command is about; an incident file is unpacked for as long."""
    path = named = Path(name) if name else find_recording(Settings.load())
    with contextlib.ExitStack() as stack:
        try:
            packed = unpacking.is_packed(path)
        except PermissionError:
            raise IncidentError(_closed_to_us(path)) from None
        except OSError as error:
            raise IncidentError(f"{path} can't be read: {error.strerror}") from None
        if packed:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mod_wsgi-dashboard-"))
            path = unpacking.unpack(path, Path(folder))
        recording = Recording(path, still=is_still(path))
        stack.callback(recording.close)
        try:
            unpacking.check_tables(path)
            yield path, recording
        except RecordingError as error:
            raise IncidentError(f"{named}: {error}") from None


def find_recording(settings: Settings) -> Path:
    """Return the recording of the dashboard on this machine.

    Raises:
        IncidentError: there is none, or more than one, or it can't be read; what to do.
    """
    files, directories, closed = look_for_recordings(settings)
    if len(files) == 1:
        return files[0]
    if files:
        found = ", ".join(f"{path} (of {shown(_written_at(path))})" for path in files)
        raise IncidentError(f"There are several recordings: choose one with --recording. {found}")
    if closed:
        raise IncidentError(_closed_to_us(closed[0]))
    raise IncidentError(
        f"No recording is in {', '.join(map(str, directories))}: name the file with --recording, or the"
        " dashboard's state_dir in MOD_WSGI_DASHBOARD_STATE_DIR"
        f"{'' if os.geteuid() == 0 else '; one of another user takes sudo'}."
    )


def _closed_to_us(path: Path) -> str:
    owner = ""
    with contextlib.suppress(OSError):
        owner = f": it belongs to {_user(path.lstat().st_uid)}"
    return f"{path} can't be read{owner}. Run this with sudo (and -o - > FILE for a file of your own)."


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _written_at(path: Path) -> float:
    """Return when something was last recorded in a file, roughly."""
    instants = [0.0]
    for part in (path, Path(f"{path}-wal")):
        with contextlib.suppress(OSError):
            instants.append(part.stat().st_mtime)
    return max(instants)


def look_for_recordings(settings: Settings) -> Found:
    """Return what recordings there are where the recorder puts them, those of other users too."""
    directories = list(dict.fromkeys(state_directories(settings)))
    if settings.state_dir is None:
        directories += [path for path in _of_other_users() if path not in directories]
    found = Found([], directories, [])
    for directory in directories:
        try:
            paths = sorted(directory.iterdir())
        except PermissionError:
            found.closed.append(directory)
            continue
        except OSError:
            continue
        for path in paths:
            if path.match("recording-*.sqlite3") and stat.S_ISREG(path.lstat().st_mode):
                (found.files if os.access(path, os.R_OK) else found.closed).append(path)
    return found


def _of_other_users() -> Iterator[Path]:
    """Yield directories that the recorder made for itself where everybody can make some.

    Only those whose name is that of their owner: nobody can put one there for somebody else.
    """
    for shared in SHARED:
        for pattern in ("mod_wsgi-dashboard-*", "systemd-private-*/tmp/mod_wsgi-dashboard-*"):
            for path in sorted(shared.glob(pattern)):
                user = _OF_USER.fullmatch(path.name)
                with contextlib.suppress(OSError):
                    if user and path.lstat().st_uid == int(user[1]) and not path.is_symlink():
                        yield path
