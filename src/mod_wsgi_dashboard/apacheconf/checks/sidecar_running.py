"""Checks of the dashboard's process as it runs: its address, its socket, whether it stays alive.

Owns what processes, sockets and logs say of it. What the configuration alone tells of the same thing
(two dashboards on one address, a path that is too long) is here as well, so that each rule has one
function.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf import machine
from mod_wsgi_dashboard.apacheconf.checks.sidecar_fixes import group_with, listing, opened, unquoted
from mod_wsgi_dashboard.apacheconf.checks.sidecar_log import ends, masked
from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import (
    listens_on,
    mounted_sockets,
    told,
)
from mod_wsgi_dashboard.apacheconf.findings import Finding, error
from mod_wsgi_dashboard.apacheconf.machine import Account, Block, Listener, Process
from mod_wsgi_dashboard.apacheconf.system import DEFAULT_USER, System
from mod_wsgi_dashboard.apacheconf.topology import Group, Sidecar
from mod_wsgi_dashboard.settings import UNIX_PATH_BYTES, TcpAddress, UnixAddress

# A single end is a crash, or somebody's kill; Apache's respawns make one a second.
LOOP_LEAST = 3

# Hosts that stand for all: those of IPv6 take IPv4 with them, as Linux and Apache have it.
_ANY, _ANY_OF_4 = {"::", "*", ""}, "0.0.0.0"

# Directories of the whole system, which no user's socket is put into directly.
SHARED = {"/", "/etc", "/run", "/run/lock", "/srv", "/tmp", "/var", "/var/lib", "/var/run", "/var/tmp"}


def port_taken(system: System) -> Iterator[Finding]:
    """An address that two want: Apache, another dashboard, or any process of the machine."""
    found = False
    for finding in (*_taken_by_apache(system), *_taken_by_each_other(system)):
        found = True
        yield finding
    if system.live and not found:
        yield from _taken_by_processes(system)


def _taken_by_apache(system: System) -> Iterator[Finding]:
    for directive in system.configuration.find("Listen"):
        if not directive.arguments:
            continue
        host, _, port = directive.arguments[0].rpartition(":")
        for sidecar in system.sidecars:
            address = _tcp(system, sidecar)
            if address is None or port != str(address.port) or not _overlap(host, address.host):
                continue
            yield error(
                "port-taken",
                f"Apache itself listens on {directive.arguments[0]}, where the dashboard is to listen"
                f" ({address}).",
                directive.place,
                sidecar.script.directive.place,
                fix=_elsewhere(address),
            )


def _taken_by_each_other(system: System) -> Iterator[Finding]:
    first: dict[str, Sidecar] = {}
    for sidecar in system.sidecars:
        listen = listens_on(system, sidecar)
        if listen is None or str(listen.value).endswith(":0") or _computes(system, sidecar):
            continue
        known = first.setdefault(str(listen.value), sidecar)
        # Two of one group are two lines for one process: duplicate-group, or one script after another.
        if known.script.process_group == sidecar.script.process_group:
            continue
        yield error(
            "port-taken",
            f"Two dashboards, of the groups {known.script.process_group} and"
            f" {sidecar.script.process_group}, are to listen on {listen.value}.",
            known.script.directive.place,
            sidecar.script.directive.place,
            fix=_elsewhere(listen.value),
        )


def _computes(system: System, sidecar: Sidecar) -> bool:
    """Whether a script may set its address in a way that isn't seen from here."""
    text = system.script_text(sidecar.script.path) or ""
    return "environ" in text or "**" in text


def _taken_by_processes(system: System) -> Iterator[Finding]:
    listeners, processes = machine.listeners(), {one.pid: one for one in machine.processes()}
    apache = system.parent
    for sidecar in system.sidecars:
        listen = listens_on(system, sidecar)
        address = listen.value if listen is not None else None
        there = [listener for listener in listeners if _is_at(listener, address)]
        owners = [processes[one.pid] for one in there if one.pid is not None and one.pid in processes]
        for owner in owners:
            if not _is_own(owner, sidecar, apache, processes):
                yield _held(address, owner, processes)
        if there and not owners:
            yield from _refused(system, address)


def _held(address: object, owner: Process, processes: dict[int, Process]) -> Finding:
    parent = processes.get(owner.parent)
    orphan = owner.title.startswith("(wsgi:") and (parent is None or not _is_apache(parent))
    what = (
        f"{address} is held by process {owner.pid}, a service script whose Apache is gone"
        if orphan
        else f"{address} is held by process {owner.pid} ({_program(owner)}), which is not the dashboard"
    )
    fix = f"kill {owner.pid}" if orphan else _elsewhere(address)
    return error(
        "port-taken",
        f"{what}.",
        f"pid {owner.pid}, parent {owner.parent}, uid {owner.uid}: {_program(owner)}",
        fix=fix,
    )


def _refused(system: System, address: object) -> Iterator[Finding]:
    """Say what the log does, where it isn't permitted to see whose a socket is."""
    said = system.log_lines(f"can't listen on {address}:", f"listening on {address}", f"//{address}/")
    if said and "can't listen" in said[-1] and "in use" in said[-1]:
        yield error(
            "port-taken",
            f"Another process has {address}.",
            masked(said[-1]),
            fix=f"sudo ss -xltnp | grep {shlex.quote(str(address).removeprefix('unix:'))}",
        )


def _is_own(
    owner: Process, sidecar: Sidecar, apache: Process | None, processes: dict[int, Process]
) -> bool:
    """Whether a process is a dashboard of this Apache, as far as parent and title tell.

    Where it isn't known which process this Apache is, any Apache's child may be.
    """
    parent = processes.get(owner.parent)
    if parent is None or not _is_apache(parent) or (apache is not None and parent != apache):
        return False
    return not owner.title.startswith("(wsgi:") or owner.title.startswith(_title(sidecar.group))


def _title(group: Group | None) -> str:
    return f"(wsgi:{group.name})" if group is not None and _is_titled(group) else "("


def _is_titled(group: Group) -> bool:
    return unquoted(group.options.get("display-name", "")) == "%{GROUP}"


def _is_at(listener: Listener, address: object) -> bool:
    if isinstance(address, UnixAddress):
        return listener.address == str(address)
    if not isinstance(address, TcpAddress) or listener.address.startswith("unix:"):
        return False
    host, _, port = listener.address.rpartition(":")
    return port == str(address.port) and _overlap(host, address.host)


def _overlap(one: str, other: str) -> bool:
    """Whether two hosts can't both be listened on at one port."""
    pair = {host.strip("[]").lower().replace("localhost", "127.0.0.1") for host in (one, other)}
    if len(pair) == 1 or pair & _ANY:
        return True
    return _ANY_OF_4 in pair and not any(":" in host for host in pair)


def _tcp(system: System, sidecar: Sidecar) -> TcpAddress | None:
    listen = listens_on(system, sidecar)
    return listen.value if listen is not None and isinstance(listen.value, TcpAddress) else None


def _elsewhere(address: object) -> str:
    if isinstance(address, TcpAddress):
        return f'listen="{TcpAddress(address.host, address.port + 1)}"   # and the same in its ProxyPass'
    return 'listen="unix:/run/mod_wsgi-dashboard/dashboard-2.sock"   # and the same in its ProxyPass'


def _program(process: Process) -> str:
    """Return the name of a process's program: its arguments may hold secrets."""
    if process.title.startswith("(wsgi:"):
        return process.title.partition(")")[0] + ")"
    return os.path.basename(process.title.split(" ")[0]) or "?"


def _is_apache(process: Process) -> bool:
    return any(name in _program(process) for name in ("apache", "httpd"))


# The unix socket


def unix_socket(system: System) -> Iterator[Finding]:
    """A unix socket that the dashboard can't make, or that Apache's user can't connect to."""
    for sidecar in system.sidecars:
        listen = listens_on(system, sidecar)
        # A balancer's other members are other dashboards' sockets.
        own = [listen.value.path] if listen and isinstance(listen.value, UnixAddress) else []
        for path in mounted_sockets(sidecar) if listen is None else own:
            if "\0" in path:
                continue  # no path that the system would take
            finding = _too_long(sidecar, path) or _unreachable(system, sidecar, path)
            if finding is not None:
                yield finding


def _too_long(sidecar: Sidecar, path: str) -> Finding | None:
    length = len(os.fsencode(path))
    if length <= UNIX_PATH_BYTES:
        return None
    return error(
        "unix-socket",
        f"The path of the unix socket has {length} bytes, and {UNIX_PATH_BYTES} are the most that the"
        " system takes.",
        *_leading_to(sidecar, path),
        fix="# for the dashboard's `listen`, and in its ProxyPass\n"
        "unix:/run/mod_wsgi-dashboard/dashboard.sock",
    )


def _unreachable(system: System, sidecar: Sidecar, path: str) -> Finding | None:
    directory = os.path.dirname(path)
    daemon = system.daemon_account(sidecar.group) if sidecar.group is not None else None
    apache = system.apache_account
    if daemon is not None:
        for want in ("x", "w"):
            block = machine.blocked_at(directory, daemon, want=want)
            if block is not None:
                return _no_directory(system, sidecar, path, daemon, block)
    if apache is None:
        return None
    block = machine.blocked_at(directory, apache, want="x")
    if block is None and system.live and _exists(path):
        block = machine.blocked_at(path, apache, want="w")
    elif block is None and daemon is not None and not _may_connect(system, sidecar, daemon, apache):
        return _of_another(system, sidecar, path, daemon, apache)
    if block is None:
        return None
    kind = stat.S_IFSOCK if block.path == path else stat.S_IFDIR
    return error(
        "unix-socket",
        f"Apache's user {apache.name} can't connect to {path}: {block.path} is {block.reason}.",
        listing(block, kind),
        *_leading_to(sidecar, path),
        fix=_as_group(system, sidecar) if kind == stat.S_IFSOCK else opened(block),
    )


def _no_directory(
    system: System, sidecar: Sidecar, path: str, daemon: Account, block: Block
) -> Finding | None:
    """Say that the dashboard can't make its socket; nothing where /run is another machine's."""
    seen = listing(block)
    if block.reason in {"missing", "not a directory"}:
        if not system.live:
            return None
        seen = f"no directory {block.path}"
    directory = os.path.dirname(path)
    # Nobody should own a directory that all of the system uses.
    told = ""
    if directory in SHARED:
        directory = os.path.join(directory, "mod_wsgi-dashboard")
        socket = f"unix:{directory}/dashboard.sock"
        told = f"\n# for the dashboard's `listen`, and in its ProxyPass:\n{socket}"
    owner = f"-o {daemon.name} -g {_apache_group(system)}"
    return error(
        "unix-socket",
        f"The dashboard's user {daemon.name} can't make the socket {path}: {block.path} is"
        f" {block.reason}.",
        seen,
        *_leading_to(sidecar, path),
        fix=f"install -d -m 0750 {owner} {shlex.quote(directory)}{told}",
    )


def _may_connect(system: System, sidecar: Sidecar, daemon: Account, apache: Account) -> bool:
    """Whether Apache's user may write to a socket that the dashboard makes, by owner, group and mode.

    The dashboard gives it the mode of its setting socket_mode, whatever umask= says.
    """
    mode = told(system, sidecar, "socket_mode")
    bits = mode.value if mode is not None else 0o660
    if apache.uid in {0, daemon.uid}:
        return True
    return bool(bits & 0o002) or bool(bits & 0o020 and daemon.gids & apache.gids)


def _of_another(
    system: System, sidecar: Sidecar, path: str, daemon: Account, apache: Account
) -> Finding:
    return error(
        "unix-socket",
        f"Apache's user {apache.name} can't connect to {path}: the dashboard makes it as {daemon.name},"
        " for that user and its groups alone.",
        sidecar.group.directive.place if sidecar.group is not None else None,
        *_leading_to(sidecar, path),
        fix=_as_group(system, sidecar),
    )


def _as_group(system: System, sidecar: Sidecar) -> str:
    """Return the group's directive with what gives the socket to Apache's group."""
    group = _apache_group(system)
    if sidecar.group is None:
        return f"group={group} umask=0007"
    return group_with(sidecar.group, group=group, umask="0007")


def _apache_group(system: System) -> str:
    """Return the name of the group that Apache's children run as."""
    directive = system.configuration.server("Group")
    if directive is not None and directive.arguments:
        return directive.arguments[0]
    return (system.httpd.group if system.httpd is not None else None) or DEFAULT_USER


def _leading_to(sidecar: Sidecar, path: str) -> list[str]:
    """Return the lines that lead to a socket, or the one that starts the dashboard."""
    lines = [
        str(end.directive.place)
        for mount in sidecar.mounts
        for end in (mount.members or (mount,))
        if end.address == f"unix:{path}"
    ]
    return lines or [str(sidecar.script.directive.place)]


def _exists(path: str) -> bool:
    block = machine.blocked_at(path, Account("root", 0, frozenset()), want="r")
    return block is None


# Its life


def respawn_loop(system: System) -> Iterator[Finding]:
    """A dashboard that Apache starts over and over, or that isn't there at all."""
    if not system.live:
        return
    processes = {one.pid: one for one in machine.processes()}
    for sidecar in system.sidecars:
        ended = ends(system, sidecar)
        if ended is not None and ended.times >= LOOP_LEAST:
            yield error(
                "respawn-loop",
                f"The dashboard ended {ended.times} times within the last minute, and Apache started"
                " it again each time.",
                f"{ended.log}: {ended.last_error or 'its process has died, without an error'}",
                sidecar.script.directive.place,
                fix=f"# mend what ends it, and look at {ended.log}"
                + ("" if ended.last_error else "\n# a script that returns, or sys.exit(), says nothing"),
            )
        elif ended is None and _is_absent(system, sidecar, processes):
            yield error(
                "respawn-loop",
                f"Apache runs, and no process of the dashboard's group {sidecar.script.process_group}.",
                f"no child (wsgi:{sidecar.script.process_group}) of Apache's",
                sidecar.script.directive.place,
                fix="apachectl graceful   # if it hasn't read this configuration yet; else:\n"
                "LogLevel warn wsgi:info",
            )


def _is_absent(system: System, sidecar: Sidecar, processes: dict[int, Process]) -> bool:
    """Whether no process of a group is there whose processes say in their titles what they are."""
    group = sidecar.group
    apache = system.parent
    if group is None or apache is None or not _is_titled(group):
        return False
    title = _title(group)
    children = [one for one in processes.values() if one.parent == apache.pid]
    # Without any titled child the titles can't be seen, or Apache is about to stop.
    return bool(children) and not any(one.title.startswith(title) for one in children)
