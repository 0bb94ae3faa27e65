"""Checks of the running server: modules that were replaced under it, sockets that are gone.

Owns the checks module-upgraded and stale-sockets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import logs, machine
from mod_wsgi_dashboard.apacheconf.findings import Finding, note, warning
from mod_wsgi_dashboard.apacheconf.system import System

# What a reload doesn't replace: mod_wsgi, and the Python that it is linked to.
_MAPPED = re.compile(r"(?:^|/)(mod_wsgi[^/]*\.so|libpython[^/]*\.so[^/]*) \(deleted\)$")

# Apache's parent, by the name of its program.
_PROGRAM = re.compile(r"^(?:\S*/)?(?:apache2|httpd)(?:[.-]\w+)?(?:\s|$)")

# As long as an old child may serve its connections after a graceful restart: Apache's usual
# GracefulShutdownTimeout.
GRACE = timedelta(seconds=60)

PID_BYTES = 32
MOST_PIDS = 5


def module_upgraded(system: System) -> Iterator[Finding]:
    """A mod_wsgi or libpython that is mapped, and no longer what is on disk."""
    if not system.live:
        return
    mapped: dict[str, list[machine.Process]] = {}
    for process in _processes(system):
        for path in machine.mapped_files(process.pid):
            if _MAPPED.search(path):
                users = mapped.setdefault(path.removesuffix(" (deleted)"), [])
                if process not in users:
                    users.append(process)
    for path, users in sorted(mapped.items()):
        pids = ", ".join(str(user.pid) for user in users[:MOST_PIDS])
        yield warning(
            "module-upgraded",
            f"Apache runs with a {os.path.basename(path)} that was replaced on disk since it started.",
            f"{path} (deleted) is mapped by pid {pids}",
            fix="apachectl stop\napachectl start",
        )


def _processes(system: System) -> list[machine.Process]:
    """Return Apache's parent and its children; by their names where no pid file says which."""
    processes = machine.processes()
    path = system.httpd.pid_file if system.httpd is not None else None
    text = (machine.text_of(Path(path), PID_BYTES) or "").strip() if path else ""
    if text.isdecimal():
        parents = {int(text)}
    else:
        parents = {one.pid for one in processes if _PROGRAM.search(one.title)}
    return [one for one in processes if one.pid in parents or one.parent in parents]


def stale_sockets(system: System) -> Iterator[Finding]:
    """Children of Apache that look for sockets of daemons that are gone."""
    if not system.live:
        return
    run = logs.since_start(system.logs)
    found = run.find("(2)No such file or directory", "Unable to connect to WSGI daemon")
    if not found:
        return
    late = run.late(found, GRACE)
    if late:
        yield warning(
            "stale-sockets",
            f"Apache's children didn't find mod_wsgi's sockets, {_times(len(late))} long after a start.",
            logs.shown(late[-1].text),
            fix="apachectl restart\n"
            "# and let systemd-tmpfiles, tmpwatch or the like except the directory of the sockets",
        )
    else:
        yield note(
            "stale-sockets",
            f"Old children of Apache did not find mod_wsgi's sockets, {_times(len(found))} right after a"
            " restart.",
            logs.shown(found[-1].text),
            fix="# so that the sockets keep their names at a graceful restart\nWSGISocketRotation Off",
        )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
