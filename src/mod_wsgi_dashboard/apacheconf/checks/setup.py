"""Checks of Apache and mod_wsgi in general: what the documentation lists as configuration issues.

Owns the table of the group, and what is seen in the configuration's text: that it parses, names itself,
and leads requests where they are meant to go. Its other checks are in `setup_files`, `setup_groups`,
`setup_running` and `security`.

Where the documentation and a measurement differ, the measurement counts (rules.py says which).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from mod_wsgi_dashboard.apacheconf import machine
from mod_wsgi_dashboard.apacheconf.checks import (
    Check,
    proxy,
    security,
    setup_files,
    setup_groups,
    setup_running,
    sidecar,
)
from mod_wsgi_dashboard.apacheconf.directives import Directive, Problem
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Script, rewrite_flags

# What Apache says when it refuses a line, and the rules that say more about it. The check `syntax` is
# silent where one of them speaks.
EXPLAINED: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), rules)
    for pattern, rules in (
        (r"Name duplicates previous WSGI daemon definition", ("duplicate-group",)),
        (r"WSGI process group not yet configured", ("group-order", "group-scope")),
        (r"WSGI process group not (?:accessible|matchable)", ("group-scope",)),
        (r"Name of WSGI application group required", ("application-group",)),
        (r"Invalid server metrics flag", ("server-metrics",)),
        (r"ExtendedStatus cannot occur within", ("extended-status",)),
        (
            r"Invalid command '(?:Proxy|RequestHeader|Header|Redirect|Rewrite|Balancer)",
            ("proxy-modules",),
        ),
        (r"unknown Worker parameter", ("websocket-upgrade",)),
        (r"worker uds path \(.*\) too long", ("unix-socket",)),
        (
            r"Could not open configuration|No matches for the wildcard|maximum include depth",
            ("reading",),
        ),
    )
)

# The module that knows a directive, by how its name begins; the longer beginnings first.
_MODULES = (
    ("WSGI", "wsgi"),
    ("Proxy", "proxy"),
    ("Balancer", "proxy"),
    ("RequestHeader", "headers"),
    ("Header", "headers"),
    ("Rewrite", "rewrite"),
    ("Redirect", "alias"),
    ("ScriptAlias", "alias"),
    ("Alias", "alias"),
    ("SSL", "ssl"),
    ("SetEnv", "env"),
    ("Auth", "auth_basic"),
    ("Expires", "expires"),
)

# A test of the configuration needs files that only root may read: keys, logs, password files.
_NEEDS_ROOT = re.compile(r"Permission denied|does not exist or is empty|AH02291|AH00015")

# Sections that don't fit: what files.py says of them.
_SECTIONS = re.compile(r"> is not closed|closes nothing|closing bracket")


def syntax(system: System) -> Iterator[Finding]:
    """A configuration that Apache refuses, for a reason that no other check explains."""
    httpd = system.httpd
    if httpd is None or httpd.syntax_error is None or _is_explained(system, httpd.syntax_error):
        return
    refused = httpd.syntax_error
    who = machine.current_account()
    if who.uid != 0 and _NEEDS_ROOT.search(refused.message):
        yield note(
            "syntax",
            f"The configuration can't be tested as {who.name}: {refused.message}",
            refused.place,
            fix="sudo mod_wsgi-dashboard doctor",
        )
        return
    yield error(
        "syntax",
        f"Apache refuses the configuration: {refused.message}",
        refused.place or " ".join(httpd.command),
        fix=_mended(refused),
    )


def _is_explained(system: System, refused: Problem) -> bool:
    if refused.place is None and system.configuration.problems:
        return True  # in a loop Apache says so much that its reason is lost
    for pattern, rules in EXPLAINED:
        if pattern.search(refused.message):
            return any(next(_check(rule)(system), None) is not None for rule in rules)
    return False


def _check(rule: str) -> Check:
    """Return a rule's check, maybe another group's; one that finds nothing if there is none."""
    tables: tuple[Mapping[str, Check], ...] = (CHECKS, sidecar.CHECKS, proxy.CHECKS)
    return next((table[rule] for table in tables if rule in table), lambda _: iter(()))


def _mended(refused: Problem) -> str:
    unknown = re.search(r"Invalid command '([^']{1,80})'", refused.message)
    if unknown is not None:
        for beginning, module in _MODULES:
            if unknown[1].lower().startswith(beginning.lower()):
                return (
                    f"a2enmod {module}   # on Debian; elsewhere:\n"
                    f"LoadModule {module}_module modules/mod_{module}.so\n"
                    f"# or correct the spelling of {unknown[1]}"
                )
    where = f" {refused.place}" if refused.place else ""
    return f"Mend{where or ' it'}, then: apachectl configtest"


def reading(system: System) -> Iterator[Finding]:
    """Parts of the configuration that could not be read."""
    accepted = system.httpd is not None and system.httpd.syntax_ok
    refused = system.httpd.syntax_error if system.httpd is not None else None
    for problem in system.configuration.problems:
        if refused is not None and _SECTIONS.search(problem.message):
            continue  # Apache says the same
        denied = "Permission denied" in problem.message
        severe = warning if accepted or denied else error
        yield severe(
            "reading",
            f"{problem.message}.",
            problem.place,
            fix="sudo mod_wsgi-dashboard doctor" if denied else _readable(problem),
        )


def _readable(problem: Problem) -> str:
    if problem.message.startswith("Nothing matches"):
        return "Correct the path, remove the line, or make it IncludeOptional."
    if "includes itself" in problem.message:
        return "Remove the Include that leads back to its own file."
    return f"Mend{f' {problem.place}' if problem.place else ' it'}, then: apachectl configtest"


def server_name(system: System) -> Iterator[Finding]:
    """No ServerName for Apache itself, where WSGI applications depend on it.

    A note, and only if Apache complains: Debian's stock configuration has none either, and serves no
    application that builds addresses of it.
    """
    if not system.scripts or system.configuration.server("ServerName") is not None:
        return
    if system.httpd is not None:
        evidence = next((line for line in system.httpd.messages if "AH00558" in line), None)
    else:
        listen = system.configuration.server("Listen")
        evidence = str(listen.place) if listen is not None else None
    if evidence is not None:
        yield note(
            "server-name",
            "No ServerName at server scope: Apache guesses its name, for redirects and SERVER_NAME.",
            evidence,
            fix="# outside of virtual hosts; or the site's name\nServerName localhost",
        )


def rewrite_pt(system: System) -> Iterator[Finding]:
    """RewriteRules that make a path of a WSGI application, and are taken for a file name."""
    rules = system.configuration.find("RewriteRule")
    for number, rule in enumerate(rules):
        if not _makes_a_path(system, rule, rules[number + 1 :]):
            continue
        target = rule.arguments[1]
        script = _application(system, rule, target)
        if script is None or (script.alias == "/" and not _is_lost(system, rule, target)):
            continue
        pattern, _, flags = (*rule.arguments, "")[:3]
        yield error(
            "rewrite-pt",
            f"RewriteRule {pattern} leads to {target}, below WSGIScriptAlias {script.alias}, without"
            " [PT]: Apache looks for a file of that name, and answers 404.",
            rule.place,
            script.directive.place,
            fix=f"RewriteRule {_quoted(pattern)} {_quoted(target)} {_with_pt(flags)}",
        )


def _makes_a_path(system: System, rule: Directive, later: tuple[Directive, ...]) -> bool:
    """Whether a rule ends the rewriting of a server or virtual host with a path, by its flags."""
    if len(rule.arguments) < 2 or not rule.arguments[1].startswith("/"):
        return False
    if rule.section is not rule.vhost:
        return False  # below a directory the result is a URL anyway
    engine = system.configuration.effective("RewriteEngine", rule.vhost)
    if engine is None or "on" not in [word.lower() for word in engine.arguments]:
        return False
    flags = _flags(rule)
    if flags & {"pt", "passthrough", "p", "proxy", "r", "redirect", "f", "forbidden", "g", "gone"}:
        return False
    ends = bool(flags & {"l", "last", "end"})
    return ends or not any(
        one.section is rule.section and _flags(one) & {"pt", "passthrough"} for one in later
    )


def _flags(rule: Directive) -> set[str]:
    words = rewrite_flags(rule.arguments[2]) if len(rule.arguments) > 2 else ()
    return {word.partition("=")[0] for word in words}


def _application(
    system: System, directive: Directive, path: str, *, anywhere: bool = False
) -> Script | None:
    """Return the application that a URL path belongs to, in the virtual host of a directive, or any."""
    path = path.partition("?")[0]
    fitting = [
        script
        for script in system.scripts
        if script.directive.key == "wsgiscriptalias"
        and (anywhere or script.directive.vhost in (None, directive.vhost))
        and f"{path}/".startswith(f"{(script.alias or '').rstrip('/')}/")
    ]
    return max(fitting, key=lambda script: len(script.alias or ""), default=None)


def _is_lost(system: System, rule: Directive, target: str) -> bool:
    """Whether a path below an application at "/" is no file either; False where that can't be told.

    Without [PT] it is one below the DocumentRoot, or of the machine if its first directory is there.
    """
    path = target.partition("?")[0]
    if re.search(r"[$%]", path) or path == "/":
        return False
    root = system.configuration.effective("DocumentRoot", rule.vhost)
    places = ["/" + path.split("/")[1]]
    if root is not None and root.arguments:
        places.append(os.path.normpath(root.arguments[0] + path))
    who = machine.current_account()
    blocks = [machine.blocked_at(place, who, want="r") for place in places]
    return all(block is not None and block.reason == "missing" for block in blocks)


def _quoted(word: str) -> str:
    return f'"{word}"' if re.search(r"[\s\"]", word) or not word else word


def _with_pt(flags: str) -> str:
    kept = flags.strip("[]")
    return f"[PT,{kept}]" if kept else "[PT]"


def fallback_resource(system: System) -> Iterator[Finding]:
    """FallbackResource onto a WSGI application."""
    for directive in system.configuration.find("FallbackResource"):
        target = directive.arguments[0] if directive.arguments else ""
        if not target.startswith("/"):
            continue
        # A Directory at server scope holds for all virtual hosts.
        anywhere = directive.vhost is None and directive.section is not None
        script = _application(system, directive, target, anywhere=anywhere)
        if script is None:
            continue
        yield note(
            "fallback-resource",
            f"FallbackResource {target} leads to the WSGI application at {script.alias}; mod_wsgi"
            " advises against that.",
            directive.place,
            script.directive.place,
            fix="RewriteEngine On\n"
            "RewriteCond %{REQUEST_FILENAME} !-f\n"
            "RewriteCond %{REQUEST_FILENAME} !-d\n"
            f"RewriteRule ^ {target} [PT,L]",
        )


CHECKS: dict[str, Check] = {
    "syntax": syntax,
    "reading": reading,
    "server-name": server_name,
    "file-permissions": setup_files.file_permissions,
    "socket-prefix": setup_files.socket_prefix,
    "selinux": security.selinux,
    "apparmor": security.apparmor,
    "group-scope": setup_groups.group_scope,
    "group-order": setup_groups.group_order,
    "group-log": setup_groups.group_log,
    "c-extensions": setup_files.c_extensions,
    "htaccess": setup_files.htaccess,
    "rewrite-pt": rewrite_pt,
    "module-upgraded": setup_running.module_upgraded,
    "stale-sockets": setup_running.stale_sockets,
    "fallback-resource": fallback_resource,
}
