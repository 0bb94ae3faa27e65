"""Checks of daemon process groups and those who name them: scope, order, and where they log.

Owns the checks group-scope, group-order and group-log. Source: wsgi_config.c and wsgi_remote.c of
mod_wsgi 6.1.1; 4.9.4 answers the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mod_wsgi_dashboard.apacheconf import logs
from mod_wsgi_dashboard.apacheconf.directives import Directive, Section
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Group, wsgi_options

# A failure as mod_wsgi itself reports it: 6.x numbers its messages, 4.x names the process. What an
# application prints has neither.
_FAILURE = re.compile(r"\[wsgi:(?:error|crit|alert|emerg)\].*(?:WSGI\d{4}:|mod_wsgi \(pid=\d+)")


@dataclass(frozen=True, slots=True)
class _Reference:
    """A line that names a group; `at_once` if mod_wsgi looks for the group when it reads the line."""

    name: str
    directive: Directive
    at_once: bool


def _references(system: System) -> Iterator[_Reference]:
    for directive in system.configuration.find(
        "WSGIScriptAlias", "WSGIScriptAliasMatch", "WSGIImportScript", "WSGIDispatchScript"
    ):
        options = wsgi_options(directive)
        name = options.get("process-group")
        if name:
            yield _Reference(name, directive, _at_once(directive, options))
    for directive in system.configuration.find("WSGIProcessGroup"):
        if directive.arguments:
            yield _Reference(directive.arguments[0], directive, at_once=False)


def _at_once(directive: Directive, options: dict[str, str]) -> bool:
    """Whether the script is loaded at start, and its group looked up: WSGIScriptAlias has both then."""
    if directive.key == "wsgiimportscript":
        return True
    application = options.get("application-group", "%{")
    return directive.key.startswith("wsgiscriptalias") and (
        application == "%{GLOBAL}" or "%{" not in application
    )


def _is_static(name: str) -> bool:
    """Whether a name is one, and not chosen at each request."""
    return bool(name) and "%{" not in name


def group_scope(system: System) -> Iterator[Finding]:
    """Groups that are named where they can't be used: in other virtual hosts, or defined nowhere."""
    for reference in _references(system):
        if not _is_static(reference.name):
            continue
        group = next((one for one in system.groups if one.name == reference.name), None)
        if group is None:
            if not system.configuration.problems:  # else it may be in what could not be read
                yield _undefined(system, reference)
        elif not _reaches(system, reference, group):
            yield _out_of_reach(system, reference, group)


def _undefined(system: System, reference: _Reference) -> Finding:
    known = ", ".join(dict.fromkeys(group.name for group in system.groups)) or "none"
    symptom = "Apache doesn't start" if reference.at_once else "requests get a 500"
    return error(
        "group-scope",
        f"{reference.directive.name} names the process group {reference.name}, which is not defined"
        f" (defined: {known}): {symptom}.",
        reference.directive.place,
        fix=f"# at server scope, before {reference.directive.place}\n"
        f"WSGIDaemonProcess {reference.name} display-name=%{{GROUP}}",
    )


def _reaches(system: System, reference: _Reference, group: Group) -> bool:
    """Whether a reference may use a group: of server scope, or of a virtual host of the same name."""
    home, vhost = group.directive.vhost, reference.directive.vhost
    if home is None or home is vhost:
        return True
    names = _server_name(system, home), _server_name(system, vhost)
    if not reference.at_once:
        # At requests, a virtual host without a name has the main server's.
        main = _server_name(system, None)
        return (names[0] or main) == (names[1] or main)
    return names[0] == names[1]


def _server_name(system: System, vhost: Section | None) -> str | None:
    found = [
        directive.arguments[0]
        for directive in system.configuration.find("ServerName")
        if directive.section is vhost and directive.arguments
    ]
    if not found:
        return None
    # "https://name:port" is allowed; only the name is compared.
    return re.sub(r"^\w+://|:\d*$", "", found[-1])


def _out_of_reach(system: System, reference: _Reference, group: Group) -> Finding:
    home, vhost = group.directive.vhost, reference.directive.vhost
    # At server scope it reaches all virtual hosts, the group's own among them.
    partly = vhost is None and not reference.at_once
    severe = warning if partly else error
    symptom = "Apache doesn't start" if reference.at_once else "requests get a 500"
    return severe(
        "group-scope",
        f"{reference.directive.name} in {_named(system, vhost)} names the process group {group.name} of"
        f" {_named(system, home)}, which serves virtual hosts of the same ServerName only: {symptom}"
        f"{' elsewhere' if partly else ''}.",
        reference.directive.place,
        group.directive.place,
        fix=f"# at server scope, before all <VirtualHost>, and no more at {group.directive.place}\n"
        f"WSGIDaemonProcess {group.directive.raw}",
    )


def _named(system: System, vhost: Section | None) -> str:
    if vhost is None:
        return "the main server"
    name = _server_name(system, vhost)
    return f"<VirtualHost {' '.join(vhost.arguments)}> ({name or 'no ServerName'})"


def group_order(system: System) -> Iterator[Finding]:
    """Groups that are looked up before the line that defines them."""
    order = {directive: number for number, directive in enumerate(system.configuration.directives)}
    for reference in _references(system):
        if not reference.at_once or not _is_static(reference.name):
            continue
        defined = [one.directive for one in system.groups if one.name == reference.name]
        if not defined or min(map(order.__getitem__, defined)) < order[reference.directive]:
            continue
        yield error(
            "group-order",
            f"{reference.directive.name} names the process group {reference.name} before it is defined:"
            " Apache doesn't start.",
            reference.directive.place,
            defined[0].place,
            fix=f"# before {reference.directive.place}, and no more at {defined[0].place}\n"
            f"WSGIDaemonProcess {defined[0].raw}",
        )


def group_log(system: System) -> Iterator[Finding]:
    """Failures of a group that are in a virtual host's log, where nobody may look for them."""
    if not system.live:
        return
    run = logs.since_start(system.logs)
    main = logs.log_path(system.configuration, system.httpd, None)
    told = set()
    for group in system.groups:
        vhost = group.directive.vhost
        path = logs.log_path(system.configuration, system.httpd, vhost) if vhost is not None else None
        if path is None or path == main or path in told:
            continue
        failures = [entry for entry in run.entries if entry.path == path and _FAILURE.search(entry.text)]
        if failures:
            told.add(path)
            yield note(
                "group-log",
                f"The group {group.name} reports failures, in {path} and not in the main error log:"
                " its WSGIDaemonProcess is in a virtual host with a log of its own.",
                group.directive.place,
                logs.shown(failures[-1].text),
                fix=f"tail {path}",
            )
