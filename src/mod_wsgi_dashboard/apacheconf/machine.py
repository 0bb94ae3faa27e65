"""Looks at the machine: accounts, permissions, processes, listening sockets, the ends of logs.

Owns every look at the system that isn't Apache's configuration. Must not know Apache, and changes
nothing. Linux only: elsewhere, what comes from /proc is empty.

Invariants: works for an ordinary user as well; what such a user may not see is left out or "not known",
never an error. Every read is bounded.
Source: proc(5), acl(5), path_resolution(7).
"""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import ipaddress
import os
import pwd
import re
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

# The last few thousand lines of an error log: enough for what happens once a second or at a restart.
LOG_TAIL_BYTES = 256 * 1024
# A process with some thousand mapped libraries.
PROC_BYTES = 4 * 1024 * 1024
# What is shown of a command line.
TITLE_BYTES = 4096
# As the kernel has it (path_resolution(7)).
MAX_SYMLINKS = 40
# A busy front server has some hundred listeners; each line of /proc/net/tcp has 150 bytes.
SOCKET_TABLE_BYTES = 16 * 1024 * 1024

_BITS = {"r": 4, "w": 2, "x": 1}


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Hold whom the kernel sees: a user and all groups, the primary one among them."""

    name: str
    uid: int
    gids: frozenset[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Say which component of a path is in the way; `mode` is its permission bits, 0 if it's missing.

    `reason` is one of: not searchable, not readable, not writable, not executable, missing, not a
    directory.
    """

    path: str
    mode: int
    owner: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """Hold one process; `title` is its command line, `started_at` seconds since the epoch."""

    pid: int
    parent: int
    title: str
    uid: int
    started_at: float


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """Hold one listening socket: "127.0.0.1:80", "[::]:80" or "unix:/path"; the lowest pid, if known."""

    address: str
    inode: int
    pid: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """Hold the last lines of a log, or the problem that kept them from being read."""

    path: Path
    lines: tuple[str, ...] = ()
    problem: str | None = None


# Accounts


def account(user: str, group: str | None = None) -> Account | None:
    """Return the account of Apache's User and Group, names or `#33`; None if there is none of the name.

    The groups are those of the user's entries, with `group` in place of the primary one.
    """
    try:
        entry = pwd.getpwuid(int(user[1:])) if user.startswith("#") else pwd.getpwnam(user)
    except (KeyError, ValueError, OverflowError):
        entry = None
    uid = entry.pw_uid if entry else _number(user)
    gid = _gid(group) if group else entry.pw_gid if entry else None
    if uid is None or (group and gid is None):
        return None
    gids = {gid} if gid is not None else set()
    if entry and gid is not None:
        gids |= set(os.getgrouplist(entry.pw_name, gid))
    return Account(entry.pw_name if entry else user, uid, frozenset(gids))


def current_account() -> Account:
    """Return the account that this process has."""
    uid = os.geteuid()
    return Account(_user_name(uid), uid, frozenset({os.getegid(), *os.getgroups()}))


def _gid(group: str) -> int | None:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return _number(group)


def _number(name: str) -> int | None:
    match = re.fullmatch(r"#([0-9]{1,10})", name)
    return int(match[1]) if match else None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


# Permissions


def blocked_at(path: str, who: Account, *, want: str = "r") -> Block | None:
    """Return the first component that keeps the account from a path; None if none does, or unknown.

    Args:
        path: absolute; symbolic links are followed, and what they lead through is checked as well.
        who: root passes all permissions, but not what is missing.
        want: "r", "w" or "x", what is needed at the end; "x" on a directory is to search it.

    Takes mode bits and POSIX access lists into account; not read-only mounts, SELinux or AppArmor.
    """
    here = "/"
    parts = path.split("/")[::-1]
    links = 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if block := _denied(here, who, "x"):
            return block
        there = os.path.dirname(here) if part == ".." else os.path.join(here, part)
        try:
            status = os.lstat(there)
            target = os.readlink(there) if stat.S_ISLNK(status.st_mode) else None
        except PermissionError:
            return None  # this process sees no further; the account may
        except OSError:
            return Block(there, 0, "", "missing")
        if target is None:
            here = there
            if any(parts) and not stat.S_ISDIR(status.st_mode):
                return _block(there, status, "not a directory")
            continue
        links += 1
        if links > MAX_SYMLINKS:
            return Block(there, 0, "", "missing")
        parts += target.split("/")[::-1]
        here = "/" if target.startswith("/") else here
    return _denied(here, who, want)


def _denied(path: str, who: Account, want: str) -> Block | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    if _permits(path, status, who, _BITS[want]):
        return None
    execute = "not searchable" if stat.S_ISDIR(status.st_mode) else "not executable"
    return _block(path, status, {"r": "not readable", "w": "not writable", "x": execute}[want])


def _block(path: str, status: os.stat_result, reason: str) -> Block:
    return Block(path, stat.S_IMODE(status.st_mode), _user_name(status.st_uid), reason)


def _permits(path: str, status: os.stat_result, who: Account, bit: int) -> bool:
    if who.uid == 0:
        return True
    try:
        access = os.getxattr(path, "system.posix_acl_access")
    except (OSError, AttributeError):  # most files have none; only Linux has the call
        access = b""
    if access:
        return acl_permits(access, status.st_uid, status.st_gid, who, bit)
    if who.uid == status.st_uid:
        return bool(status.st_mode >> 6 & bit)
    if status.st_gid in who.gids:
        return bool(status.st_mode >> 3 & bit)
    return bool(status.st_mode & bit)


# Tags of entries in the attribute (linux/posix_acl.h).
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def acl_permits(access: bytes, owner: int, group: int, who: Account, bit: int) -> bool:
    """Return whether an access list, the attribute `system.posix_acl_access`, permits a bit (4, 2, 1).

    What can't be understood permits: better no finding than a wrong one.
    Source: acl(5), "Access check algorithm"; the format is that of linux/posix_acl_xattr.h.
    """
    if len(access) % 8 != 4 or access[:4] != b"\x02\0\0\0":
        return True
    entries = list(struct.iter_unpack("<HHI", access[4:]))
    by_tag = {tag: permissions for tag, permissions, _ in entries}
    mask = by_tag.get(_MASK, 7)
    if who.uid == owner:
        return bool(by_tag.get(_OWNER, 0) & bit)
    for tag, permissions, number in entries:
        if tag == _USER and number == who.uid:
            return bool(permissions & mask & bit)
    groups = [
        permissions
        for tag, permissions, number in entries
        if (tag == _OWNING_GROUP and group in who.gids) or (tag == _GROUP and number in who.gids)
    ]
    if groups:
        return any(permissions & mask & bit for permissions in groups)
    return bool(by_tag.get(_OTHER, 0) & bit)


# Processes


def processes() -> tuple[Process, ...]:
    """Return the processes that can be seen, by pid."""
    boot = re.search(rb"^btime (\d+)$", _read(Path("/proc/stat"), PROC_BYTES) or b"", re.MULTILINE)
    booted_at = int(boot[1]) if boot else 0
    return tuple(
        process for pid in _pids() if (process := _process(pid, booted_at=booted_at)) is not None
    )


def _pids() -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    except OSError:
        return []


def _process(pid: int, *, booted_at: int) -> Process | None:
    """Return the process; None if it has ended, or may not be seen."""
    status = _read(Path(f"/proc/{pid}/status"), PROC_BYTES) or b""
    numbers = _read(Path(f"/proc/{pid}/stat"), PROC_BYTES) or b""
    uid = re.search(rb"^Uid:\s+\d+\s+(\d+)", status, re.MULTILINE)
    # The name, in brackets, can hold anything, brackets as well.
    name, _, rest = numbers.rpartition(b")")
    fields = rest.split()
    if uid is None or len(fields) < 20:
        return None
    words = (_read(Path(f"/proc/{pid}/cmdline"), TITLE_BYTES) or b"").rstrip(b"\0 ")
    title = words.replace(b"\0", b" ") or b"[" + name.partition(b"(")[2] + b"]"
    started_at = booted_at + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return Process(pid, int(fields[1]), _decoded(title), int(uid[1]), started_at)


def mapped_files(pid: int) -> tuple[str, ...]:
    """Return the files that a process has mapped, each once; () when that may not be seen.

    A file that was removed or replaced since then has " (deleted)" behind its name.
    """
    data = _read(Path(f"/proc/{pid}/maps"), PROC_BYTES) or b""
    fields = (line.split(None, 5) for line in data.split(b"\n"))
    files = (_decoded(words[5]) for words in fields if len(words) == 6 and words[5][:1] == b"/")
    return tuple(dict.fromkeys(files))


def open_files(pid: int) -> tuple[str, ...]:
    """Return the files that a process has open, each once; () when that may not be seen.

    Paths are those that the process itself sees, which may have another /tmp.
    """
    return tuple(dict.fromkeys(target for target in _descriptors(pid) if target.startswith("/")))


def _descriptors(pid: int) -> Iterator[str]:
    """Yield what the descriptors of a process lead to: a path, or "socket:[INODE]"."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{name}")


def environment(pid: int) -> dict[str, str]:
    """Return the environment with which a process began; {} when that may not be seen."""
    data = _read(Path(f"/proc/{pid}/environ"), PROC_BYTES) or b""
    pairs = (entry.partition(b"=") for entry in data.split(b"\0") if b"=" in entry)
    return {_decoded(name): _decoded(value) for name, _, value in pairs}


# Sockets


def listeners() -> tuple[Listener, ...]:
    """Return the listening sockets of this network namespace: TCP, and unix sockets with a name.

    Whose they are is known only for one's own processes, unless one is root.
    """
    pids = _socket_pids()
    found = (*_tcp_listeners("tcp"), *_tcp_listeners("tcp6"), *_unix_listeners())
    return tuple(Listener(address, inode, pids.get(inode)) for address, inode in found)


def _tcp_listeners(table: str) -> Iterator[tuple[str, int]]:
    data = _read(Path(f"/proc/net/{table}"), SOCKET_TABLE_BYTES) or b""
    for line in data.split(b"\n")[1:]:
        words = line.split()
        if len(words) >= 10 and words[3] == b"0A":  # TCP_LISTEN
            yield tcp_address(words[1].decode("ascii")), int(words[9])


def tcp_address(text: str) -> str:
    """Return `127.0.0.1:80` or `[::1]:80` for an address as /proc/net/tcp has it.

    It is hexadecimal, in words of 32 bits, each in the byte order of this machine.
    """
    host, _, port = text.partition(":")
    words = struct.iter_unpack(">I", bytes.fromhex(host))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for (word,) in words)
    ip = ipaddress.ip_address(packed)
    return f"[{ip}]:{int(port, 16)}" if ip.version == 6 else f"{ip}:{int(port, 16)}"


def _unix_listeners() -> Iterator[tuple[str, int]]:
    data = _read(Path("/proc/net/unix"), SOCKET_TABLE_BYTES) or b""
    for line in data.split(b"\n")[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and int(words[3], 16) & 0x10000:  # __SO_ACCEPTCON
            yield f"unix:{_decoded(words[7])}", int(words[6])


def _socket_pids() -> dict[int, int]:
    """Return the lowest pid that has each socket open, by the socket's inode."""
    pids: dict[int, int] = {}
    for pid in _pids():
        for target in _descriptors(pid):
            if target.startswith("socket:["):
                pids.setdefault(int(target[8:-1]), pid)
    return pids


# Files


def tail(path: Path, limit: int = LOG_TAIL_BYTES) -> Log:
    """Return the last whole lines of a log, of at most `limit` bytes together."""
    try:
        # Without O_NONBLOCK the open of a pipe would wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return Log(path, problem="is not a regular file")
            start = max(0, status.st_size - limit)
            file.seek(start)
            data = file.read(limit)
    except OSError as error:
        return Log(path, problem=f"can't be read: {error.strerror}")
    if start:
        data = data.partition(b"\n")[2]
    # A log that was cut to nothing while Apache has it open begins with a hole, which reads as NULs.
    data = data.lstrip(b"\0")
    if b"\0" in data:
        return Log(path, problem="is binary")
    return Log(path, tuple(_decoded(data).removesuffix("\n").split("\n")) if data else ())


def text_of(path: Path, limit: int) -> str | None:
    """Return the first `limit` bytes of a text file; None if it's missing, closed or binary."""
    data = _read(path, limit)
    return None if data is None or b"\0" in data else _decoded(data)


def _read(path: Path, limit: int) -> bytes | None:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(limit)
    except OSError:
        return None


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
