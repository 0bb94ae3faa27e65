"""Files put in place: never over somebody's work, never half written.

Owns reading what is there, the difference, and the writing. It must not know what the files say.

Invariants: without `force` no file that was there is changed; one that came a moment ago never is; one
conflict leaves all files of a plan alone; a file has its whole text or its old one.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mod_wsgi_dashboard.apacheconf.targets import File
from mod_wsgi_dashboard.core.errors import DashboardError

# A configuration is a few thousand bytes; whatever is larger is something else.
EXISTING_BYTES = 1024 * 1024

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, slots=True)
class Change:
    """A file to be written: where, what, and what is there now (None: nothing)."""

    path: Path
    text: str
    before: str | None

    @property
    def unchanged(self) -> bool:
        return self.before == self.text


def compare(files: Iterable[File], root: Path = Path("/")) -> tuple[Change, ...]:
    """Return each file with what is there now.

    Args:
        files: what shall be there.
        root: the directory that stands for `/`.

    Raises:
        DashboardError: what is there can't be read, or is no regular file.
    """
    return tuple(_compared(root / file.path.lstrip("/"), file.text) for file in files)


def diff(change: Change) -> str:
    """Return the change as a unified diff, fit for a terminal; "" for no change."""
    lines = difflib.unified_diff(
        (change.before or "").splitlines(keepends=True),
        change.text.splitlines(keepends=True),
        fromfile="/dev/null" if change.before is None else str(change.path),
        tofile=str(change.path),
    )
    unfinished = "\n\\ No newline at end of file\n"
    return printable("".join(line if line.endswith("\n") else line + unfinished for line in lines))


def write(changes: Sequence[Change], *, force: bool = False) -> None:
    """Write what isn't there yet; with `force`, also over what is.

    Raises:
        DashboardError: a file is there and differs, or can't be written; the message names it.
    """
    wanted = [change for change in changes if not change.unchanged]
    for change in wanted:
        if change.before is not None and not force:
            raise DashboardError(
                f"{printable(str(change.path))} is there and differs: --dry-run shows how,"
                " --force overwrites it"
            )
    for change in wanted:
        _write(change)


def printable(text: str) -> str:
    """Return a text without what could steer a terminal; lines and tabs stay."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in text
    )


def _compared(path: Path, text: str) -> Change:
    shown = printable(str(path))
    try:
        # O_NONBLOCK: a pipe by this name must not make it wait.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Change(path, text, None)
    except OSError as error:
        if path.is_symlink():
            raise DashboardError(f"{shown} is a symbolic link: choose another place") from None
        raise DashboardError(f"{shown} can't be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DashboardError(f"{shown} is no regular file: choose another place")
        if status.st_size > EXISTING_BYTES:
            raise DashboardError(f"{shown} is there and far too large for a configuration: move it away")
        content = os.read(descriptor, EXISTING_BYTES)
    finally:
        os.close(descriptor)
    return Change(path, text, content.decode("utf-8", errors="backslashreplace"))


def _write(change: Change) -> None:
    shown = printable(str(change.path))
    try:
        change.path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=change.path.parent, prefix=f".{change.path.name}.")
    except OSError as error:
        raise DashboardError(f"{shown} can't be written: {error.strerror}") from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(change.text.encode("utf-8"))
            os.fchmod(file.fileno(), FILE_MODE)
            file.flush()
            os.fsync(file.fileno())
        if change.before is None:
            # Unlike a rename, a link never takes the place of a file that came meanwhile.
            os.link(temporary, change.path)
        else:
            temporary.replace(change.path)
    except FileExistsError:
        raise DashboardError(f"{shown} came into being just now: look at it, and try again") from None
    except OSError as error:
        raise DashboardError(f"{shown} can't be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
