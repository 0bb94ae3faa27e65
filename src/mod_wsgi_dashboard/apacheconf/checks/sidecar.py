"""Checks of the dashboard's own process, as the configuration makes it.

Owns what WSGIDaemonProcess and WSGIImportScript must say, and where the dashboard may listen. What
needs its Python is in sidecar_python.py, what needs a running server in sidecar_running.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf.checks import (
    Check,
    sidecar_python,
    sidecar_recording,
    sidecar_running,
)
from mod_wsgi_dashboard.apacheconf.checks.sidecar_answer import not_running
from mod_wsgi_dashboard.apacheconf.checks.sidecar_fixes import group_with, unquoted, with_option
from mod_wsgi_dashboard.apacheconf.checks.sidecar_setting import setting
from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import Told, listens_on, told
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import GLOBAL, Group, Sidecar
from mod_wsgi_dashboard.settings import ENVIRONMENT_PREFIX, TcpAddress

# What mod_wsgi-express puts before the name of a service script, to name its group.
_SERVICE = "service:"


def extended_status(system: System) -> Iterator[Finding]:
    """ExtendedStatus off: by directive, or because mod_status, which turns it on, isn't there."""
    if not system.sidecars:
        return
    directive = system.configuration.server("ExtendedStatus")
    if directive is None and "status" in system.configuration.modules:
        return
    if directive is not None and directive.raw.strip().lower() == "on":
        return
    yield error(
        "extended-status",
        "ExtendedStatus is off: the dashboard gets a letter for each worker, and no requests, clients,"
        " times or counts.",
        directive.place if directive is not None else "no ExtendedStatus, and no mod_status",
        fix=_or_express(system.sidecars[0].group, "ExtendedStatus On"),
    )


def server_metrics(system: System) -> Iterator[Finding]:
    """server-metrics=on is missing, and nothing is there in its place."""
    if _for_embedded_mode(system) is None:
        yield from _without_metrics(system, "server-metrics")


def server_metrics_directive(system: System) -> Iterator[Finding]:
    """server-metrics=on is missing, and WSGIServerMetrics On stands there instead."""
    mistaken = _for_embedded_mode(system)
    if mistaken is not None:
        yield from _without_metrics(system, "server-metrics-directive", mistaken)


def _for_embedded_mode(system: System) -> Directive | None:
    directives = reversed(system.configuration.find("WSGIServerMetrics"))
    return next((one for one in directives if one.raw.strip().lower() == "on"), None)


def _without_metrics(system: System, rule: str, mistaken: Directive | None = None) -> Iterator[Finding]:
    for group in _groups(system):
        if group.server_metrics:
            continue
        what = f"The dashboard's group {group.name} may not read the scoreboard: server-metrics is off."
        if mistaken is not None:
            what = (
                f"WSGIServerMetrics On does nothing for the dashboard's group {group.name}, whose own"
                " option server-metrics is off."
            )
        fix = group_with(group, server_metrics="on")
        yield error(
            rule,
            what,
            group.directive.place,
            mistaken.place if mistaken is not None else None,
            fix=_or_express(group, fix),
        )


def threads_zero(system: System) -> Iterator[Finding]:
    """A dashboard in a group that serves requests."""
    for group in _groups(system):
        if not group.threads:
            continue
        if _serves(system, group):
            what = (
                f"The dashboard runs in the group {group.name}, whose {group.threads} threads serve"
                " requests: its import script keeps them from ever starting."
            )
            fix = _own_group(system, group)
            places = [sidecar.script.directive.place for sidecar in _in_group(system, group)]
        else:
            what = (
                f"The dashboard's group {group.name} has {group.threads} threads for requests that the"
                " import script keeps from ever starting."
            )
            fix, places = group_with(group, threads="0"), []
        yield warning("threads-zero", what, *places, group.directive.place, fix=fix)


def _serves(system: System, group: Group) -> bool:
    """Whether requests of applications go to a group."""
    named = (one.arguments[0] for one in system.configuration.find("WSGIProcessGroup") if one.arguments)
    aliases = (script.process_group for script in system.scripts if script.alias is not None)
    return group.name in {*named, *aliases}


def _own_group(system: System, group: Group) -> str:
    """Return the directives of a group for the dashboard alone."""
    taken = {one.name for one in system.groups}
    free = (name for name in ("dashboard", "dashboard-service") if name not in taken)
    name = next(free, f"{group.name}-dashboard")
    home = group.options.get("python-home")
    lines = [
        f"WSGIDaemonProcess {name} threads=0 server-metrics=on display-name=%{{GROUP}} locale=C.UTF-8"
        + (f" python-home={home}" if home else "")
    ]
    for sidecar in _in_group(system, group):
        raw = with_option(sidecar.script.directive.raw, "process-group", name)
        lines.append(f"{sidecar.script.directive.name} {raw}")
    return "\n".join(lines)


def _in_group(system: System, group: Group) -> list[Sidecar]:
    return [sidecar for sidecar in system.sidecars if sidecar.group is group]


def application_group(system: System) -> Iterator[Finding]:
    """A dashboard outside of the main interpreter."""
    for sidecar in system.sidecars:
        name = sidecar.script.application_group
        # "" is the main interpreter's own name, which %{GLOBAL} stands for.
        if name is None or unquoted(name) in {GLOBAL, ""}:
            continue
        directive = sidecar.script.directive
        yield warning(
            "application-group",
            f"The dashboard runs in the sub-interpreter {name}, where Python gets no signals.",
            directive.place,
            fix=f"{directive.name} {with_option(directive.raw, 'application-group', GLOBAL)}",
        )


def requests_to_sidecar(system: System) -> Iterator[Finding]:
    """WSGI requests that go to a group without threads."""
    silent = {group.name: group for group in system.groups if group.threads == 0}
    if not silent:
        return
    other = next((group.name for group in system.groups if group.threads), None)
    for directive in system.configuration.find("WSGIProcessGroup"):
        name = unquoted(directive.arguments[0]) if directive.arguments else ""
        if name in silent:
            yield _misrouted(directive, silent[name], f"{directive.name} {other or 'app'}", other)
    for directive in system.configuration.directives:
        if not directive.key.startswith("wsgi") or directive.key == "wsgiimportscript":
            continue
        name = _option(directive, "process-group") or ""
        if name in silent:
            fix = f"{directive.name} {with_option(directive.raw, 'process-group', other or 'app')}"
            yield _misrouted(directive, silent[name], fix, other)


def _misrouted(directive: Directive, group: Group, fix: str, other: str | None) -> Finding:
    if other is None:
        fix = f"WSGIDaemonProcess app\n{fix}"
    where = directive.section
    scope = f" in <{where.name} {' '.join(where.arguments)}>" if where is not None else ""
    subject = directive.arguments[0] if directive.key != "wsgiprocessgroup" else "WSGI requests"
    return error(
        "requests-to-sidecar",
        f"{directive.name}{scope} sends {subject} to the group {group.name}, which has no thread to"
        " answer (threads=0): clients hang.",
        directive.place,
        group.directive.place,
        fix=fix,
    )


def sidecar_processes(system: System) -> Iterator[Finding]:
    """Several processes of a dashboard, which want one address."""
    for group in _groups(system):
        if group.processes <= 1:
            continue
        listens = [listens_on(system, sidecar) for sidecar in _in_group(system, group)]
        addresses = " and ".join(str(listen.value) for listen in listens if listen is not None)
        serves = _serves(system, group) and group.threads
        yield warning(
            "sidecar-processes",
            f"The dashboard's group {group.name} has {group.processes} processes, and one alone can"
            f" listen on {addresses or 'its address'}.",
            group.directive.place,
            fix=_own_group(system, group) if serves else group_with(group, processes="1"),
        )


def public_listener(system: System) -> Iterator[Finding]:
    """A dashboard that listens on more than the loopback interface."""
    for sidecar in system.sidecars:
        listen = listens_on(system, sidecar)
        if listen is None or not isinstance(listen.value, TcpAddress) or listen.value.loopback:
            continue
        allowed = told(system, sidecar, "allow_public")
        if allowed is not None and allowed.value:
            what = (
                f"The dashboard listens on {listen.value}, where other machines reach it past Apache's"
                " TLS and access rules."
            )
        else:
            what = (
                f"The dashboard is told to listen on {listen.value}, which other machines reach, and"
                " stays down without allow_public."
            )
        yield error("public-listener", what, listen.source, fix=_local(listen))


def _local(listen: Told) -> str:
    """Return the setting with a loopback address, in the words of where it stands."""
    address = TcpAddress("127.0.0.1", listen.value.port)
    if listen.source.endswith("environment"):
        return f"export {ENVIRONMENT_PREFIX}LISTEN={address}"
    return f'listen="{address}"'


def duplicate_group(system: System) -> Iterator[Finding]:
    """Two groups of one name, anywhere on the server."""
    first: dict[str, Group] = {}
    for group in system.groups:
        known = first.setdefault(group.name, group)
        if known is group:
            continue
        if known.directive.place == group.directive.place:
            fix = f"Include {group.directive.place.file} once."
        else:
            raw = re.sub(re.escape(group.name), f"{group.name}-2", group.directive.raw, count=1)
            fix = f"{group.directive.name} {raw}"
        yield error(
            "duplicate-group",
            f"Two groups are named {group.name}; Apache doesn't start.",
            group.directive.place,
            known.directive.place,
            fix=fix,
        )


def _groups(system: System) -> list[Group]:
    """Return the groups of the dashboards, each once."""
    groups = [sidecar.group for sidecar in system.sidecars if sidecar.group is not None]
    return list(dict.fromkeys(groups))


def _or_express(group: Group | None, fix: str) -> str:
    """Return a fix, or in its place the option of mod_wsgi-express, where that writes the file."""
    if group is not None and group.name.startswith(_SERVICE):
        return "mod_wsgi-express ... --server-metrics"
    return fix


def _option(directive: Directive, name: str) -> str | None:
    for word in directive.arguments[1:]:
        key, equals, value = word.partition("=")
        if equals and key.lower() == name:
            return unquoted(value)
    return None


CHECKS: dict[str, Check] = {
    "extended-status": extended_status,
    "server-metrics": server_metrics,
    "server-metrics-directive": server_metrics_directive,
    "threads-zero": threads_zero,
    "application-group": application_group,
    "requests-to-sidecar": requests_to_sidecar,
    "sidecar-processes": sidecar_processes,
    "script-readable": sidecar_python.script_readable,
    "package-importable": sidecar_python.package_importable,
    "setting": setting,
    "port-taken": sidecar_running.port_taken,
    "public-listener": public_listener,
    "unix-socket": sidecar_running.unix_socket,
    "duplicate-group": duplicate_group,
    "respawn-loop": sidecar_running.respawn_loop,
    "not-running": not_running,
    "recording": sidecar_recording.recording,
}
