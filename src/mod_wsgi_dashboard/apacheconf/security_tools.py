"""Runs the tools of SELinux and AppArmor, and hands on what they print.

Owns the calls. Must not know what an output means: that is for checks/security.py.

Invariants: no call changes anything; each has a time limit and a bound on its output; a machine
without the tools gives an empty mapping.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence

from mod_wsgi_dashboard.apacheconf import topology
from mod_wsgi_dashboard.apacheconf.directives import Configuration

# `semanage port -l` starts a Python and reads the policy: 1 to 3 s. `ausearch` reads all audit logs.
SECONDS = 15.0

# All of `getsebool -a` is 15 kB, of `semanage port -l` 30 kB; denials come by the thousand.
OUTPUT_BYTES = 1024 * 1024

# Paths whose labels are asked for in one call: a thousand virtual hosts have a script each.
MAX_PATHS = 200

# Where the tools are, whatever an ordinary user's PATH says.
DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")

# By the names that the checks know them by. --input-logs: without it, ausearch reads its stdin.
SELINUX = {
    "getsebool": ("getsebool", "-a"),
    "semanage": ("semanage", "port", "-l"),
}
AUSEARCH = ("ausearch", "--input-logs", "-m", "AVC", "-ts", "recent")


def outputs(paths: Iterable[str] = ()) -> Mapping[str, str]:
    """Return what the tools print, by name: those of this machine that print anything.

    The names are "getenforce", "getsebool", "semanage" (ports), "ls -Z", "ausearch" and "aa-status".

    Args:
        paths: files whose SELinux labels are wanted (see `labelled_paths`).
    """
    calls: dict[str, Sequence[str]] = {"getenforce": ("getenforce",), "aa-status": ("aa-status",)}
    found = {name: _output(command) for name, command in calls.items()}
    selinux = found["getenforce"].strip() in {"Enforcing", "Permissive"}
    if selinux:
        found |= {name: _output(command) for name, command in SELINUX.items()}
        wanted = list(dict.fromkeys(paths))[:MAX_PATHS]
        found["ls -Z"] = _output(("ls", "-dZ", "--", *wanted)) if wanted else ""
    if selinux or found["aa-status"]:
        found["ausearch"] = _output(AUSEARCH)
    return {name: text for name, text in found.items() if text.strip()}


def labelled_paths(configuration: Configuration) -> tuple[str, ...]:
    """Return the files whose labels matter: WSGI scripts, and unix sockets with their directories."""
    paths = [script.path for script in topology.scripts(configuration)]
    for mount in topology.mounts(configuration):
        for one in (mount, *mount.members):
            if one.address.startswith("unix:"):
                socket = one.address.removeprefix("unix:")
                paths += [socket, os.path.dirname(socket)]
    return tuple(dict.fromkeys(path for path in paths if os.path.isabs(path)))


def _output(command: Sequence[str]) -> str:
    """Return what a program prints, cut at `OUTPUT_BYTES`; nothing if it isn't there or can't start."""
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *DIRECTORIES))
    program = shutil.which(command[0], path=search)
    if program is None:
        return ""
    try:
        process = subprocess.Popen(
            (program, *command[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # so that what it starts is ended with it
        )
    except OSError:
        return ""
    with process:
        timer = threading.Timer(SECONDS, _end, (process,))
        timer.start()
        try:
            assert process.stdout is not None
            data = process.stdout.read(OUTPUT_BYTES)
        finally:
            timer.cancel()
            _end(process)
    return data.decode("utf-8", "backslashreplace")


def _end(process: subprocess.Popen[bytes]) -> None:
    # A process that was not waited for yet keeps its pid, so this hits nobody else.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
