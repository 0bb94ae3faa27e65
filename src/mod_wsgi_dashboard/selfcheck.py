"""What the running dashboard can see of its own set-up.

Owns the checks that need nothing but this process: the daemon process group around it, its settings,
socket and recording, the newest sample, and the request that asks. It must not know routes, and reads no
configuration: that is `mod_wsgi-dashboard doctor`'s business, whose rules and findings these are.

What can't be known here is not guessed: whether Apache asked for a password, for example, since the
header with it shall not come this far.
"""

from __future__ import annotations

import importlib
import ipaddress
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mod_wsgi_dashboard.apacheconf import state_directory
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import MetricsOff
from mod_wsgi_dashboard.core.guard import RESERVE_LEAST, RESERVE_SHARE
from mod_wsgi_dashboard.recorder import Status
from mod_wsgi_dashboard.settings import Settings, TcpAddress, UnixAddress

# What was looked at, for who reads that nothing was found.
READ = (
    "Looked at: the newest reading of the scoreboard, the dashboard's daemon process group, its"
    " settings, socket and recording, and the request for this page."
)

# mod_proxy adds these to what it passes on (ProxyAddHeaders, on by default).
_OF_APACHE = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server")

_PREFIX_LINE = "RequestHeader set X-Forwarded-Prefix /metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is around this process; None for what is not there, or can't be seen.

    Args:
        process_group: name of the daemon process group.
        application_group: name of the interpreter, "" for the main one, %{GLOBAL}.
        threads: threads= of the group.
        processes: processes= of the group.
        mpm: Apache's MPM, such as "event".
        directory_mode: permissions of the directory that holds the unix socket.
        user: who this process runs as, a name or #NUMBER.
    """

    process_group: str | None = None
    application_group: str | None = None
    threads: int | None = None
    processes: int | None = None
    mpm: str | None = None
    directory_mode: int | None = None
    user: str | None = None


def look_around(settings: Settings) -> Surroundings:
    """Return what is around this process. Asks the file system; nothing of it changes while it runs.

    What mod_wsgi tells was measured on 4.9.4 and 6.1.1: `threads_per_process` is 0 with threads=0, 15
    without; `application_group` is "" for %{GLOBAL}.
    """
    mode, user = _directory_mode(settings), _user()
    module = _module("mod_wsgi")
    # PyPI's package can be imported anywhere; and in embedded mode there is no group.
    if module is None or not hasattr(module, "server_metrics") or not _text(module, "process_group"):
        return Surroundings(directory_mode=mode, user=user)
    apache = _module("apache")
    return Surroundings(
        process_group=_text(module, "process_group"),
        application_group=_text(module, "application_group"),
        threads=_count(module, "threads_per_process"),
        processes=_count(module, "maximum_processes"),
        mpm=None if apache is None else _text(apache, "mpm_name"),
        directory_mode=mode,
        user=user,
    )


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _text(module: ModuleType, name: str) -> str | None:
    value = getattr(module, name, None)
    return value if isinstance(value, str) else None


def _count(module: ModuleType, name: str) -> int | None:
    value = getattr(module, name, None)
    return value if isinstance(value, int) else None


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _directory_mode(settings: Settings) -> int | None:
    if not isinstance(settings.listen, UnixAddress):
        return None
    try:
        return stat.S_IMODE(os.stat(os.path.dirname(settings.listen.path)).st_mode)
    except OSError:
        return None


def examine(
    around: Surroundings,
    settings: Settings,
    latest: wire.Sample | wire.Failure | None,
    headers: Mapping[str, str],
    *,
    recording: Status | None = None,
    recorded_to: Path | None = None,
) -> list[Finding]:
    """Return what is wrong, the worst first.

    Args:
        around: what is around the process.
        settings: its own.
        latest: the newest sample or failure, None before the first.
        headers: those of the request that asks, their names in any case.
        recording: how the recording stands; None for one that isn't meant to be.
        recorded_to: its file, where there is one.
    """
    found = [
        *_readings(around, latest),
        *_group(around),
        *_listener(around, settings),
        *_workers(around, settings, latest),
        *_recording(around, settings, recording, recorded_to),
        *_request(headers),
    ]
    return sorted(found, key=lambda finding: finding.severity.rank)


def _readings(around: Surroundings, latest: wire.Sample | wire.Failure | None) -> Iterator[Finding]:
    if isinstance(latest, wire.Failure):
        if latest.error == str(MetricsOff()):
            yield error(
                "server-metrics",
                "Server metrics are off for this process group: there is no scoreboard to read.",
                "mod_wsgi.server_metrics() returned None",
                fix=f"WSGIDaemonProcess {_name(around)} threads=0 server-metrics=on",
            )
        else:
            yield error(
                "url-frame",
                "The scoreboard can't be read.",
                latest.error,
                fix="Use a version of the dashboard that knows this mod_wsgi; see Apache's error log.",
            )
    elif latest is not None and latest.capacity.extended_status is False:
        yield error(
            "extended-status",
            "ExtendedStatus is off: Apache keeps no requests, clients, times or counts.",
            "a busy worker without a start time",
            fix="ExtendedStatus On",
        )


def _name(around: Surroundings) -> str:
    return around.process_group or "dashboard"


def _group(around: Surroundings) -> Iterator[Finding]:
    """Look at the options of the daemon process group."""
    name = _name(around)
    if around.threads:
        yield warning(
            "threads-zero",
            f"The group {name} has threads for requests that it can't serve, and Apache waits 3 s for it"
            " at each restart.",
            f"mod_wsgi.threads_per_process is {around.threads}",
            fix=f"WSGIDaemonProcess {name} threads=0 server-metrics=on",
        )
    if around.application_group:
        yield warning(
            "application-group",
            f"The dashboard runs in the sub-interpreter {around.application_group}.",
            f"mod_wsgi.application_group is {around.application_group}",
            fix=f"WSGIImportScript SCRIPT process-group={name} application-group=%{{GLOBAL}}",
        )
    if around.processes is not None and around.processes > 1:
        yield warning(
            "sidecar-processes",
            f"The group {name} has {around.processes} processes, and one alone can have the address.",
            f"mod_wsgi.maximum_processes is {around.processes}",
            fix=f"WSGIDaemonProcess {name} processes=1 threads=0 server-metrics=on",
        )


def _listener(around: Surroundings, settings: Settings) -> Iterator[Finding]:
    """Look at who can connect past Apache's access rules."""
    listen = settings.listen
    if isinstance(listen, TcpAddress):
        if not listen.loopback:
            yield error(
                "public-listener",
                "Other machines reach the dashboard past Apache's access rules.",
                f"listen = {listen}",
                fix="listen = 127.0.0.1:8765, or unix:/run/mod_wsgi-dashboard/dashboard.sock",
            )
        return
    mode = around.directory_mode
    directory = os.path.dirname(listen.path)
    if mode is not None and mode & stat.S_IWOTH:
        yield warning(
            "unix-socket",
            "The socket is in a directory that everybody may write to, so anybody can take its place.",
            f"{directory} has mode {mode:o}",
            fix="listen = unix:/run/mod_wsgi-dashboard/dashboard.sock, in a directory of mode 750",
        )
    # A directory that others can't search keeps them from the socket.
    if settings.socket_mode & stat.S_IWOTH and (mode is None or mode & stat.S_IXOTH):
        yield warning(
            "unix-socket",
            "Every user of this machine can connect to the socket, past Apache's access rules.",
            f"socket_mode = {settings.socket_mode:o}",
            fix="socket_mode = 660",
        )


def _workers(
    around: Surroundings, settings: Settings, latest: wire.Sample | wire.Failure | None
) -> Iterator[Finding]:
    """Look at how many workers viewers may take."""
    if around.mpm == "prefork":
        yield note(
            "prefork",
            "Each viewer holds a whole process of the prefork MPM.",
            "apache.mpm_name is prefork",
            fix="a2dismod mpm_prefork && a2enmod mpm_event   # needs a thread-safe PHP, or none",
        )
    if not isinstance(latest, wire.Sample):
        return
    told, serving = settings.max_request_workers, latest.capacity.serving
    if told is None:
        yield note(
            "viewers-against-workers",
            "MaxRequestWorkers is not known: how full Apache is, is measured by the workers there were.",
            "max_request_workers is unset",
            fix="max_request_workers = the MaxRequestWorkers of Apache's configuration",
        )
    elif told < serving:
        yield warning(
            "viewers-against-workers",
            f"The dashboard is told of {told} workers, and Apache has {serving} at this moment.",
            f"max_request_workers = {told}",
            fix="max_request_workers = the MaxRequestWorkers of Apache's configuration",
        )
    yield from _reserve(settings, told or latest.capacity.slots)


def _reserve(settings: Settings, most: int) -> Iterator[Finding]:
    """Compare the guard's settings with the most workers that there can be."""
    reserve = settings.reserve_workers
    if reserve is None:
        reserve = max(RESERVE_LEAST, most // RESERVE_SHARE)
    if reserve >= most:
        yield warning(
            "viewers-against-workers",
            f"No viewer gets a WebSocket: all {most} workers are in the reserve.",
            f"the reserve is {reserve}",
            fix=f"MaxRequestWorkers {2 * reserve + 1}, or a smaller reserve_workers",
        )
    elif settings.max_viewers is not None and settings.max_viewers >= most - reserve:
        yield warning(
            "viewers-against-workers",
            f"Viewers may hold all of Apache's {most} workers but the reserve of {reserve}.",
            f"max_viewers = {settings.max_viewers}",
            fix=f"max_viewers = {max(1, (most - reserve) // 2)}, or a higher MaxRequestWorkers",
        )


def _recording(
    around: Surroundings, settings: Settings, recording: Status | None, recorded_to: Path | None
) -> Iterator[Finding]:
    """Look at whether it records, and where."""
    if recording is None:
        return
    inside = around.process_group is not None
    # Outside of Apache no directory of the system is its own.
    user = around.user if inside else None
    if recording.state == "failed":
        yield state_directory.failed(
            recording.problem, "the recorder says so", user=user, directory=settings.state_dir
        )
    elif recording.state == "recording":
        if recording.problem is not None:
            yield note("recording", recording.problem, "the recorder says so", fix=_SLOW)
        if inside and recorded_to is not None and state_directory.is_last_resort(str(recorded_to)):
            yield state_directory.passing(str(recorded_to), "it is the file in use", user=user)


_SLOW = "A faster disk for the recording, or a longer interval."


def _request(headers: Mapping[str, str]) -> Iterator[Finding]:
    """Look at what Apache did to the request that asks."""
    if not any(name in headers for name in _OF_APACHE):
        return
    if "X-Forwarded-Prefix" not in headers:
        yield warning(
            "prefix-header",
            "Apache doesn't set X-Forwarded-Prefix: the page believes what a client sends.",
            "this request came through Apache without it",
            fix=f'In <Location "/metrics/">: {_PREFIX_LINE}',
        )
    if "Authorization" in headers:
        yield warning(
            "authorization-passed",
            "Apache passes your password on to the dashboard.",
            "this request has an Authorization header",
            fix='In <Location "/metrics/">: RequestHeader unset Authorization',
        )
    elif _is_public(headers.get("X-Forwarded-For", "")):
        yield note(
            "open-location",
            "You come from a public address. If nobody asked you for a password, nobody is asked.",
            "the last address in X-Forwarded-For is a public one",
            fix='In <Location "/metrics/">: Require local, Require ip ..., or a password',
        )


def _is_public(forwarded: str) -> bool:
    """Return whether the client is of the Internet: the last address is the one that Apache saw."""
    try:
        return ipaddress.ip_address(forwarded.rpartition(",")[2].strip()).is_global
    except ValueError:
        return False
