"""The check of where the dashboard records: what the running one says, and what it is told.

Owns the comparison of the setting `state_dir` with the permissions of that directory. What is said of
it is state_directory.py's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf import machine, state_directory
from mod_wsgi_dashboard.apacheconf.checks.sidecar_fixes import listing
from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import Told, told
from mod_wsgi_dashboard.apacheconf.findings import Finding, warning
from mod_wsgi_dashboard.apacheconf.machine import Account, Block
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Sidecar


def recording(system: System) -> Iterator[Finding]:
    """A dashboard that can't record, by its own word or by its directory; or not for long."""
    for sidecar in system.sidecars:
        answer = system.answers.get(sidecar.address)
        running = answer.recording if answer is not None else None
        # What runs knows better what may be written than the permissions tell.
        if running is None:
            yield from _unwritable(system, sidecar)
        elif running.state == "failed":
            setting = told(system, sidecar, "state_dir")
            yield state_directory.failed(
                running.problem,
                f"/api/v1/recording at {sidecar.address}: {running.state}",
                sidecar.script.directive.place,
                user=_user(system, _account(system, sidecar)),
                directory=setting.value if setting is not None else None,
            )
    yield from _passing(system)


def _passing(system: System) -> Iterator[Finding]:
    """Look for recordings that may end with Apache, by the files that its children have open."""
    answers = [answer.recording for answer in system.answers.values()]
    if system.parent is None or not any(one and one.state == "recording" for one in answers):
        return
    for process in machine.processes():
        if process.parent != system.parent.pid:
            continue
        for path in filter(state_directory.is_last_resort, machine.open_files(process.pid)):
            yield state_directory.passing(
                path,
                f"pid {process.pid} has it open",
                user=_user(system, machine.account(f"#{process.uid}")),
            )


def _unwritable(system: System, sidecar: Sidecar) -> Iterator[Finding]:
    """Look at the directory that the setting names, with the eyes of the dashboard's user."""
    setting, record = told(system, sidecar, "state_dir"), told(system, sidecar, "record")
    who = _account(system, sidecar)
    if setting is None or who is None or (record is not None and record.value == "off"):
        return
    block = _block(setting, who)
    # The file may be meant for another machine, or for a directory that is still to be made.
    if block is None or (block.reason == "missing" and not system.live):
        return
    missing = block.reason == "missing"
    reason = "missing, and not to be made" if missing else block.reason
    yield warning(
        "recording",
        f"The dashboard's user {who.name} can't record in {setting.value}: {block.path} is {reason}.",
        setting.source,
        f"no {block.path}" if missing else listing(block),
        sidecar.script.directive.place,
        fix=state_directory.remedy(_user(system, who), setting.value),
    )


def _block(setting: Told, who: Account) -> Block | None:
    """Return what keeps a user from writing into a directory, or from making it."""
    path = setting.value
    try:
        os.fsencode(path or "")
    except UnicodeEncodeError:
        return None  # no path that the system would take
    if not path:
        return None
    block = machine.blocked_at(path, who, want="x") or machine.blocked_at(path, who, want="w")
    if block is None or block.reason != "missing" or path == state_directory.DIRECTORY:
        return block
    above = os.path.dirname(block.path)
    # Any other directory is made by the recorder, where it may.
    return block if machine.blocked_at(above, who, want="w") is not None else None


def _account(system: System, sidecar: Sidecar) -> Account | None:
    """Return who a dashboard runs as; None where that, or the root of its paths, isn't known."""
    if sidecar.group is None or "chroot" in sidecar.group.options:
        return None
    return system.daemon_account(sidecar.group)


def _user(system: System, who: Account | None) -> str | None:
    """Return whom to make a directory of the system for; None under an Apache that isn't root's."""
    if who is None or (system.parent is not None and system.parent.uid != 0):
        return None
    return who.name
