"""Looks at directories that a configuration names: for .htaccess files, packages, who may write there.

Owns the walk and its bounds. Must not know what the files mean. Symbolic links are not followed, so
that no walk is endless; what may not be read is not there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

# A document root may hold millions of files: this many names are looked at, so many levels down. It
# takes 0.1 s, and .htaccess files are near the top.
MAX_NAMES = 50_000
MAX_DEPTH = 8


@dataclass(slots=True)
class Walk:
    """A search with one budget for all of its directories; a directory is visited once."""

    names_left: int = MAX_NAMES
    visited: set[str] = field(default_factory=set)

    def named(self, root: str, name: str) -> Iterator[str]:
        """Yield the paths of the regular files of a name in a directory and below it, nearest first."""
        level = [os.path.normpath(root)]
        for _ in range(MAX_DEPTH):
            below: list[str] = []
            for directory in level:
                for entry in self._entries(directory):
                    if entry.name == name and _is_file(entry):
                        yield entry.path
                    elif _is_directory(entry):
                        below.append(entry.path)
            level = sorted(below)

    def _entries(self, directory: str) -> list[os.DirEntry[str]]:
        if directory in self.visited:
            return []
        self.visited.add(directory)
        found = []
        for entry in _scanned(directory):
            if self.names_left <= 0:
                break
            self.names_left -= 1
            found.append(entry)
        return found


def packages(python_home: str) -> frozenset[str]:
    """Return the names in the site-packages of a virtual environment, or of an installation's prefix."""
    names: set[str] = set()
    for lib in ("lib", "lib64"):
        for python in _scanned(os.path.join(python_home, lib)):
            if python.name.startswith("python"):
                site = os.path.join(python.path, "site-packages")
                names.update(entry.name for entry in _scanned(site))
    return frozenset(names)


def writable_by_all(path: str) -> bool:
    """Return whether everybody may make files in a directory, as in /tmp; False if it can't be seen."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_IWOTH)


def _scanned(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(MAX_NAMES), entries, strict=False):
                yield entry
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:
        return False


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
