"""What the error logs say of a dashboard: its ends, and what ended it.

Owns the messages of mod_wsgi 4.9.4 and 6.1.1. Must not know the configuration.

Invariants: only lines of the last minute count, since a log also tells of what was mended meanwhile;
no line leaves here that `logs.shown` didn't mask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from mod_wsgi_dashboard.apacheconf import logs
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Sidecar

# How far back is now. Apache starts a daemon that ended again within a second.
RECENT = timedelta(seconds=60)

_PID = re.compile(r"\[pid (\d+)")
_HEAD = re.compile(r"^(?:\[[^\]]*\] )+")
_NO_MODULE = re.compile(r"No module named '([\w.]{1,100})'")


@dataclass(frozen=True, slots=True)
class Ends:
    """How often a dashboard ended within the last minute, in which log, and by which error if any."""

    times: int
    log: str
    last_error: str | None


def ends(system: System, sidecar: Sidecar) -> Ends | None:
    """Return what the logs say of a dashboard's ends; None if nothing does.

    mod_wsgi tells of each end at LogLevel info; below that only an exception of the script is there,
    and nothing of sys.exit().
    """
    name = re.escape(sidecar.script.process_group or "")
    died = re.compile(rf"Process '{name}'(?: \(pid=\d+\))? has died")
    deaths = [entry for entry in _recent(system) if died.search(entry.text)]
    failures = _failures(system, sidecar)
    pids = {pid for entry in failures for pid in _PID.findall(entry.text)}
    told = [*deaths, *failures]
    if not told:
        return None
    last_error = masked(failures[-1].text) if failures else None
    return Ends(max(len(deaths), len(pids)), str(told[-1].path), last_error)


def missing_module(system: System, sidecar: Sidecar) -> tuple[str, str] | None:
    """Return the module that a dashboard couldn't import within the last minute, and the line."""
    for entry in reversed(_failures(system, sidecar)):
        if found := _NO_MODULE.search(entry.text):
            return found[1], f"{entry.path}: {masked(entry.text)}"
    return None


def _failures(system: System, sidecar: Sidecar) -> list[logs.Entry]:
    """Return the errors of the processes in which a dashboard's script failed."""
    recent = _recent(system)
    failed = f"processing WSGI script '{sidecar.script.path}'"
    pids = {pid for entry in recent if failed in entry.text for pid in _PID.findall(entry.text)}
    return [
        entry
        for entry in recent
        if ":error]" in entry.text and not pids.isdisjoint(_PID.findall(entry.text))
    ]


def _recent(system: System) -> list[logs.Entry]:
    # Apache's stamps are local time without a zone, to the second or finer.
    since = datetime.now() - RECENT
    entries = logs.since_start(system.logs).entries
    return [entry for entry in entries if entry.at is not None and entry.at >= since]


def masked(line: str) -> str:
    """Return a line of a log without its head and its secrets."""
    return logs.shown(_HEAD.sub("", line))
