"""Where Apache sends a request: RewriteRule, ProxyPass in and out of Location.

Owns the order in which these are asked. Pure: it sees the directives of a `System`, and says UNKNOWN,
or the harmless answer, where they depend on what they don't show.

Measured on 2.4.71. RewriteRules of the server or virtual host come first (a virtual host has the
engine's state of the main server, and its rules only with RewriteOptions); then the last ProxyPass in a
Location that covers the path, main server before virtual host; then the first one outside of Locations,
the main server's again before the virtual host's.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from mod_wsgi_dashboard.apacheconf.directives import Directive, Section
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Mount, rewrite_flags

# No virtual host, or the section of one: where directives hold.
Scope = Section | None

# Far more than anybody writes by hand; bounds the work of Python's matcher.
PATTERN_LENGTH = 1000

# A repeated group that repeats in itself, as in (a+)+: Python may need for ever to say no.
_NESTED_REPEAT = re.compile(r"\([^()]*[+*}][^()]*\)[+*{]")
_NAMED_GROUP = re.compile(r"\(\?<(?=[A-Za-z_])")
_VARIABLE = re.compile(r"%\{([^}]*)\}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/]*)(.*)", re.DOTALL)


class Outcome(enum.Enum):
    """What becomes of a request."""

    PROXIED = "proxied"
    EXCLUDED = "excluded"  # ProxyPass ... !
    LOCAL = "local"  # rewritten to something that isn't proxied
    REDIRECTED = "redirected"
    FORBIDDEN = "forbidden"
    NOWHERE = "nowhere"  # nothing proxies it
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Route:
    """What becomes of a request, by which line, and the URL that it is proxied to."""

    outcome: Outcome
    directive: Directive | None = None
    mount: Mount | None = None
    url: str = ""


@dataclass(slots=True)
class Contents:
    """What stands directly in a section, in order."""

    directives: list[Directive] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    # What was asked for once: the main server of a thousand virtual hosts is asked with each of them.
    named: dict[tuple[str, ...], list[Directive]] = field(default_factory=dict)
    kinds: dict[tuple[str, ...], list[Section]] = field(default_factory=dict)


@lru_cache(maxsize=2)
def contents(system: System) -> Mapping[Scope, Contents]:
    """Return what stands in each section; `None` is the server's top level."""
    found: dict[Scope, Contents] = {None: Contents()}
    for section in system.configuration.sections:
        found.setdefault(section.parent, Contents()).sections.append(section)
    for directive in system.configuration.directives:
        found.setdefault(directive.section, Contents()).directives.append(directive)
    return found


def directives_of(system: System, scope: Scope, *names: str) -> list[Directive]:
    """Return the directives of these names (lower case) directly in a section, in order."""
    inside = contents(system).get(scope)
    if inside is None:
        return []
    if names not in inside.named:
        inside.named[names] = [one for one in inside.directives if one.key in names]
    return inside.named[names]


def sections_of(system: System, scope: Scope, *kinds: str) -> list[Section]:
    """Return the sections of these kinds directly in a section, in order."""
    inside = contents(system).get(scope)
    if inside is None:
        return []
    if kinds not in inside.kinds:
        inside.kinds[kinds] = [one for one in inside.sections if one.kind in kinds]
    return inside.kinds[kinds]


def owners(scope: Scope) -> tuple[Scope, ...]:
    """Return whose directives hold in a scope, in the order in which Apache merges them."""
    return (None,) if scope is None else (None, scope)


# Patterns


@lru_cache(maxsize=1024)
def _compiled(pattern: str, fold: bool) -> re.Pattern[str] | None:
    if len(pattern) > PATTERN_LENGTH or _NESTED_REPEAT.search(pattern):
        return None
    try:
        return re.compile(_NAMED_GROUP.sub("(?P<", pattern), re.IGNORECASE if fold else 0)
    except (re.error, RecursionError, OverflowError):
        return None


def matched(pattern: str, text: str, *, fold: bool = False) -> re.Match[str] | None:
    """Return how one of Apache's regular expressions matches; None, too, where Python can't tell."""
    compiled = _compiled(pattern, fold)
    return compiled.search(text) if compiled else None


def _glob(pattern: str, *, stops: str) -> str:
    """Return the regular expression of a shell pattern, whose wildcards match none of `stops`."""
    any_one = f"[^{stops}]" if stops else "."
    parts = {"*": f"{any_one}*", "?": any_one}
    return "(?s)" + "".join(parts.get(c) or re.escape(c) for c in pattern) + r"\Z"


def covers(section: Section, path: str, url: str = "") -> bool:
    """Whether a Location or Proxy section is for a request: by its path, or the URL it is proxied to."""
    if not section.arguments:
        return False
    proxy = section.kind.startswith("proxy")
    text, where = (url, section.arguments[0]) if proxy else (path, section.arguments[-1])
    if section.arguments[0] == "~":
        where = section.arguments[1] if len(section.arguments) > 1 else ""
    if section.kind.endswith("match") or section.arguments[0] == "~":
        return matched(where, text) is not None
    if any(c in where for c in "*?"):
        return matched(_glob(where, stops="" if proxy else "/"), text) is not None
    return text.startswith(where) if proxy else rest_of(where, text) is not None


def rest_of(prefix: str, path: str) -> str | None:
    """Return what follows a path's prefix, which ends at a slash; None if it isn't its prefix."""
    if not path.startswith(prefix):
        return None
    rest = path[len(prefix) :]
    return rest if prefix.endswith("/") or not rest or rest.startswith("/") else None


def plain_url(target: str) -> str:
    """Return a proxy target without its unix socket, scheme and host in lower case."""
    url = target.partition("|")[2] if target.lower().startswith("unix:") else target
    parts = URL.match(url)
    return parts[1].lower() + parts[2] if parts else url


def _expanded(target: str, match: re.Match[str] | None, path: str) -> str:
    """Return a substitution with $0-$9 and %{REQUEST_URI} put in; of others nothing is known."""
    text = target.replace("%{REQUEST_URI}", path)
    if match is None:
        return text
    return re.sub(r"\$(\d)", lambda reference: _group(match, int(reference[1])), text)


def _group(match: re.Match[str], number: int) -> str:
    return (match[number] or "") if number <= (match.re.groups or 0) else ""


def mapped(mount: Mount, path: str) -> str | None:
    """Return the URL that a mount proxies a path to; None where it isn't for that path."""
    target = plain_url(mount.target)
    if mount.directive.key == "proxypass":
        rest = rest_of(mount.path, path)
        return None if rest is None else target + rest
    pattern = mount.path.removeprefix("!") if mount.rewritten else mount.path
    match = matched(pattern, path, fold=bool({"nc", "nocase"} & _flags(mount.directive)))
    if mount.rewritten and mount.path.startswith("!"):
        return _expanded(target, None, path) if match is None else None
    if match is None:
        return None
    url = _expanded(target, match, path)
    # ProxyPassMatch without a reference puts the whole path behind its target.
    return url + path if url == target and not mount.rewritten else url


def _flags(directive: Directive) -> set[str]:
    at = 2
    return set(rewrite_flags(directive.arguments[at])) if len(directive.arguments) > at else set()


# The way of a request


@lru_cache(maxsize=2)
def mounts_by_line(system: System) -> Mapping[Directive, Mount]:
    """Return the mounts by the lines that make them."""
    return {mount.directive: mount for mount in system.mounts}


def route(system: System, scope: Scope, path: str, *, websocket: bool) -> Route:
    """Return what becomes of a GET request for a path in a virtual host, or in the main server."""
    rewritten, by = _rewritten(system, scope, path, websocket=websocket)
    if isinstance(rewritten, Route):
        return rewritten
    found = _by_location(system, scope, rewritten) or _by_list(system, scope, rewritten)
    if found is None:
        return Route(Outcome.LOCAL, by) if by else Route(Outcome.NOWHERE)
    return found


def _by_location(system: System, scope: Scope, path: str) -> Route | None:
    found: Route | None = None
    for owner in owners(scope):
        for section in sections_of(system, owner, "location", "locationmatch"):
            own = directives_of(system, section, "proxypass", "proxypassmatch")
            if own and covers(section, path):
                found = _by_mount(mounts_by_line(system).get(own[-1]), path) or found
    return found


def _by_list(system: System, scope: Scope, path: str) -> Route | None:
    for owner in owners(scope):
        for directive in directives_of(system, owner, "proxypass", "proxypassmatch"):
            found = _by_mount(mounts_by_line(system).get(directive), path)
            if found is not None:
                return found
    return None


def _by_mount(mount: Mount | None, path: str) -> Route | None:
    if mount is None:
        return None
    url = mapped(mount, path)
    if url is None:
        return None
    if mount.target == "!":
        return Route(Outcome.EXCLUDED, mount.directive)
    return Route(Outcome.PROXIED, mount.directive, mount, url)


# mod_rewrite


def engine_on(system: System, scope: Scope) -> bool:
    """Whether RewriteEngine is On in a scope, by its own word or the main server's."""
    for owner in reversed(owners(scope)):
        told = directives_of(system, owner, "rewriteengine")
        if told:
            return told[-1].arguments[:1] != () and told[-1].arguments[0].lower() == "on"
    return False


def rewrite_rules(system: System, scope: Scope) -> list[tuple[list[Directive], Directive]]:
    """Return the rules that hold in a scope with their conditions, inherited ones as well."""
    if not engine_on(system, scope):
        return []
    own = list(_rules_of(system, scope))
    if scope is None:
        return own
    mine, servers = _options(system, scope), _options(system, None)
    down = {"inheritdown", "inheritdownbefore"} & servers
    touched = directives_of(system, scope, "rewriteengine", "rewriterule", "rewriteoptions")
    if (
        "inherit" in mine
        or "inheritbefore" in mine
        or (touched and down and "ignoreinherit" not in mine)
    ):
        inherited = list(_rules_of(system, None))
        before = "inheritbefore" in mine or "inheritdownbefore" in servers
        return inherited + own if before else own + inherited
    return own


def _options(system: System, scope: Scope) -> set[str]:
    told = directives_of(system, scope, "rewriteoptions")
    return {word.lower() for directive in told for word in directive.arguments}


def _rules_of(system: System, scope: Scope) -> Iterator[tuple[list[Directive], Directive]]:
    conditions: list[Directive] = []
    for directive in directives_of(system, scope, "rewritecond", "rewriterule"):
        if directive.key == "rewritecond":
            conditions.append(directive)
            continue
        yield conditions, directive
        conditions = []


def _rewritten(
    system: System, scope: Scope, path: str, *, websocket: bool
) -> tuple[Route | str, Directive | None]:
    """Return what the rules make of a request: its end, or the path it goes on with, and by which."""
    by: Directive | None = None
    passed = False
    for conditions, rule in rewrite_rules(system, scope):
        match, applies = _matches(rule, path)
        mount = mounts_by_line(system).get(rule)
        if not applies or not _presumed(system, conditions, rule, path, websocket=websocket):
            continue
        flags, target = _flags(rule), rule.arguments[1]
        end = _end_of(rule, flags, target, mount, _expanded(plain_url(target), match, path))
        if end is not None:
            return end, rule
        if target != "-":
            path, by = _expanded(target, match, path), rule
            passed = bool(flags & {"pt", "passthrough"})
        if flags & {"l", "last", "end", "pt", "passthrough"}:
            break
    if by is not None and not passed:
        return Route(Outcome.LOCAL, by), by
    return path, by


def _matches(rule: Directive, path: str) -> tuple[re.Match[str] | None, bool]:
    if len(rule.arguments) < 2:
        return None, False
    pattern = rule.arguments[0]
    fold = bool({"nc", "nocase"} & _flags(rule))
    match = matched(pattern.removeprefix("!"), path, fold=fold)
    return (None, match is None) if pattern.startswith("!") else (match, match is not None)


def _end_of(
    rule: Directive, flags: set[str], target: str, mount: Mount | None, url: str
) -> Route | None:
    """Return where a rule ends the request's way; None where it goes on."""
    names = {flag.partition("=")[0] for flag in flags}
    if names & {"c", "chain", "n", "next", "s", "skip"}:
        return Route(Outcome.UNKNOWN, rule)
    if names & {"f", "forbidden", "g", "gone"}:
        return Route(Outcome.FORBIDDEN, rule)
    if names & {"p", "proxy"}:
        return Route(Outcome.PROXIED, rule, mount, url) if mount else Route(Outcome.UNKNOWN, rule)
    if target != "-" and (names & {"r", "redirect"} or _ABSOLUTE.match(target)):
        return Route(Outcome.REDIRECTED, rule)
    return None


def _presumed(
    system: System, conditions: list[Directive], rule: Directive, path: str, *, websocket: bool
) -> bool:
    """Whether the conditions hold; where that can't be told, what leaves the dashboard in peace."""
    holds: bool | None = True
    alternative: bool | None = False
    for condition in conditions:
        alternative = _either(alternative, _holds(condition, path, websocket=websocket))
        if {"or", "ornext"} & _flags(condition):
            continue
        holds = _both(holds, alternative)
        alternative = False
    if holds is not None:
        return holds
    mount = mounts_by_line(system).get(rule)
    return rule.arguments[1] == "-" or (mount is not None and mount in system.dashboard_mounts)


def _either(one: bool | None, other: bool | None) -> bool | None:
    return True if True in (one, other) else (None if None in (one, other) else False)


def _both(one: bool | None, other: bool | None) -> bool | None:
    return False if False in (one, other) else (None if None in (one, other) else True)


def _holds(condition: Directive, path: str, *, websocket: bool) -> bool | None:
    """Whether a RewriteCond holds; None where that depends on more than path and method."""
    if len(condition.arguments) < 2:
        return None
    subject, pattern = condition.arguments[:2]
    negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
    if pattern in {"-f", "-d", "-s", "-l", "-L", "-h", "-x"}:
        # A mount is no file.
        return negated
    text = _subject(subject, path, websocket=websocket)
    if text is None or pattern[:1] in {"<", ">", "-"}:
        return None
    fold = bool({"nc", "nocase"} & _flags(condition))
    if pattern.startswith("="):
        wanted = pattern[1:].strip('"')
        result = text.lower() == wanted.lower() if fold else text == wanted
    else:
        result = matched(pattern, text, fold=fold) is not None
    return result != negated


def _subject(text: str, path: str, *, websocket: bool) -> str | None:
    known = {
        "request_uri": path,
        "request_filename": path,
        "request_method": "GET",
        "the_request": f"GET {path} HTTP/1.1",
        "http:upgrade": "websocket" if websocket else "",
        "http:connection": "Upgrade" if websocket else "keep-alive",
        "http:sec-websocket-version": "13" if websocket else "",
    }
    names = [name.lower() for name in _VARIABLE.findall(text)]
    if not names or any(name not in known for name in names):
        return None
    text = _VARIABLE.sub(lambda variable: known[variable[1].lower()], text)
    return None if "%" in text or "$" in text else text
