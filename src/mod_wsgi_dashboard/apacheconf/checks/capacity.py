"""Checks of the pool of workers: is it as large as it was meant, and does the dashboard leave enough.

Owns what the MPM's directives mean for WebSockets. Must not know the machine: a pool is what the
configuration says.

Each WebSocket holds one worker for its life, on every MPM (measured on 2.4.71).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf.checks import Check
from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import Told, told
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.findings import Finding, note, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Pool, Sidecar
from mod_wsgi_dashboard.core.guard import RESERVE_LEAST, RESERVE_SHARE

# What is left over for processes that drain after a graceful restart: a quarter, and at least two.
SPARE_SHARE, SPARE_LEAST = 4, 2

_RESTART = "# a restart keeps the old {name}: stop Apache, then start it"


def prefork(system: System) -> Iterator[Finding]:
    """WebSockets on prefork: works, at the price of a process for each viewer."""
    pool = system.pool
    if pool is None or pool.mpm != "prefork" or not system.sidecars:
        return
    yield note(
        "prefork",
        f"Each viewer of the dashboard holds one of {pool.most} processes of the prefork MPM.",
        _place(pool.directives.get("MaxRequestWorkers")) or "mpm_prefork",
        fix="a2dismod mpm_prefork && a2enmod mpm_event   # needs a thread-safe PHP, or none",
    )


def viewers_against_workers(system: System) -> Iterator[Finding]:
    """Settings of the guard that leave the site too few workers, or viewers none."""
    pool = system.pool
    if pool is None:
        return
    for sidecar in system.sidecars:
        yield from _sized(system, sidecar, pool)
        yield from _guarded(system, sidecar, pool)


def _sized(system: System, sidecar: Sidecar, pool: Pool) -> Iterator[Finding]:
    """Compare the setting max_request_workers with what Apache has."""
    believed = told(system, sidecar, "max_request_workers")
    workers = pool.most
    if believed is None or believed.value is None or believed.value == workers:
        return
    what = (
        f"The dashboard is told of {believed.value} workers (max_request_workers), and Apache has"
        f" {workers} at most"
    )
    evidence = (believed.source, _place(pool.directives.get("MaxRequestWorkers")))
    fix = f"max_request_workers={workers}   # the dashboard's setting"
    if believed.value > workers:
        yield warning(
            "viewers-against-workers",
            f"{what}: its guard lets viewers take the site's.",
            *evidence,
            fix=fix,
        )
    else:
        yield note(
            "viewers-against-workers",
            f"{what}: it says 'full' too early, and refuses viewers that there is room for.",
            *evidence,
            fix=fix,
        )


def _guarded(system: System, sidecar: Sidecar, pool: Pool) -> Iterator[Finding]:
    """Compare the settings max_viewers and reserve_workers with what Apache has."""
    workers = pool.most
    reserved = _number(told(system, sidecar, "reserve_workers"))
    reserve = max(RESERVE_LEAST, workers // RESERVE_SHARE) if reserved is None else reserved
    most = told(system, sidecar, "max_viewers")
    if reserve >= workers:
        yield warning(
            "viewers-against-workers",
            f"No viewer gets a WebSocket: all {workers} workers of Apache are in the reserve of"
            f" {reserve} that the dashboard leaves to the site; viewers poll.",
            _place(pool.directives.get("MaxRequestWorkers")),
            fix=f"MaxRequestWorkers {_multiple(2 * reserve + 1, pool.threads)}",
        )
    elif most is not None and most.value is not None and most.value >= workers - reserve:
        share = max(1, (workers - reserve) // 2)
        yield warning(
            "viewers-against-workers",
            f"max_viewers = {most.value} lets viewers hold all of Apache's {workers} workers but the"
            f" reserve of {reserve}.",
            most.source,
            _place(pool.directives.get("MaxRequestWorkers")),
            fix=f"max_viewers={share}   # the dashboard's setting; or, of Apache's:\n"
            f"MaxRequestWorkers {_multiple(2 * (most.value + reserve), pool.threads)}",
        )


def threads_multiple(system: System) -> Iterator[Finding]:
    """MaxRequestWorkers that Apache rounds, because processes have whole sets of threads."""
    pool = system.pool
    if pool is None or pool.mpm == "prefork":
        return
    directive = pool.directives.get("MaxRequestWorkers")
    asked, threads = pool.max_request_workers, pool.threads_per_child
    if directive is None or not asked or asked % threads == 0:
        return
    made = max(asked // threads, 1) * threads
    wanted = _multiple(asked, threads)
    fitting = wanted if wanted <= pool.server_limit * threads else made
    yield warning(
        "threads-multiple",
        f"MaxRequestWorkers {asked} is no multiple of ThreadsPerChild {threads}: Apache makes {made} of"
        " it.",
        directive.place,
        *_said(system, "AH00511", "AH00513", "AH00314", "AH00316"),
        fix=f"MaxRequestWorkers {fitting}",
    )


def server_limit(system: System) -> Iterator[Finding]:
    """Limits that cut what MaxRequestWorkers or ThreadsPerChild ask for."""
    pool = system.pool
    if pool is None:
        return
    yield from _limited_threads(system, pool)
    directive = pool.directives.get("MaxRequestWorkers")
    threads = pool.threads
    needed = max(pool.max_request_workers // threads, 1)
    if directive is None or pool.server_limit < 1 or needed <= pool.server_limit:
        return
    kept = pool.server_limit * threads
    spare = 0 if pool.mpm == "prefork" else max(SPARE_LEAST, needed // SPARE_SHARE)
    yield warning(
        "server-limit",
        f"MaxRequestWorkers {pool.max_request_workers} takes {needed} processes, and ServerLimit"
        f" {pool.server_limit} allows no more than {kept} workers.",
        _place(pool.directives.get("ServerLimit")) or "the MPM's default ServerLimit",
        directive.place,
        *_said(system, "AH00515", "AH00318", "AH00180"),
        fix=f"{_RESTART.format(name='ServerLimit')}\nServerLimit {needed + spare}",
    )


def _limited_threads(system: System, pool: Pool) -> Iterator[Finding]:
    directive = pool.directives.get("ThreadsPerChild")
    if pool.mpm == "prefork" or directive is None or pool.threads_per_child <= pool.thread_limit:
        return
    yield warning(
        "server-limit",
        f"ThreadsPerChild {pool.threads_per_child} exceeds ThreadLimit {pool.thread_limit}: Apache makes"
        f" {pool.thread_limit} threads.",
        _place(pool.directives.get("ThreadLimit")) or "the MPM's default ThreadLimit",
        directive.place,
        *_said(system, "AH00507", "AH00310"),
        fix=f"{_RESTART.format(name='ThreadLimit')}\nThreadLimit {pool.threads_per_child}",
    )


def _multiple(number: int, of: int) -> int:
    return math.ceil(number / of) * of


def _number(setting: Told | None) -> int | None:
    return setting.value if setting is not None else None


def _place(directive: Directive | None) -> str | None:
    return str(directive.place) if directive is not None else None


def _said(system: System, *codes: str) -> list[str]:
    """Return Apache's own words for it, where it was asked."""
    messages = system.httpd.messages if system.httpd is not None else ()
    return [message for message in messages if any(code in message for code in codes)]


CHECKS: dict[str, Check] = {
    "prefork": prefork,
    "viewers-against-workers": viewers_against_workers,
    "threads-multiple": threads_multiple,
    "server-limit": server_limit,
}
