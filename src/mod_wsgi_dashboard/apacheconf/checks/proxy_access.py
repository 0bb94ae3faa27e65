"""The check that somebody guards the dashboard, and who is let in where.

Owns what Require, AuthMerging and mod_access_compat come to for a mount. Where a condition decides, or
a certificate, nothing is known, and nothing is said.

Measured on 2.4.71: of the sections that cover a request the last with a Require holds, unless
AuthMerging says otherwise, and the last with an Order, Allow, Deny or Satisfy, whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mod_wsgi_dashboard.apacheconf.checks.proxy_entrances import (
    Entrance,
    covering,
    entrances,
    open_listeners,
)
from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import (
    Outcome,
    Scope,
    contents,
    directives_of,
    owners,
    rewrite_rules,
    route,
)
from mod_wsgi_dashboard.apacheconf.directives import Directive, Section
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System

_HOST_ACCESS = ("order", "allow", "deny", "satisfy")
# Providers of Require that ask where somebody comes from, and not who it is.
_ANONYMOUS = frozenset({"all", "ip", "host", "forward-dns", "local", "env", "method", "expr"})
CONDITIONAL = ("if", "elseif", "else")


@dataclass(slots=True)
class Access:
    """Who gets in: `None` where nothing was said yet.

    `conditional` is that an If section, a certificate or a rewrite has a word in it, too.
    """

    required: bool | None = None  # whether everybody meets the Require directives
    host: bool | None = None  # whether every host may, by mod_access_compat
    satisfy_any: bool = False
    auth_type: Directive | None = None
    asks_who: bool = False
    conditional: bool = False
    evidence: list[Directive] = field(default_factory=list)

    @property
    def everybody(self) -> bool:
        """Whether nobody is kept out, for sure."""
        if self.conditional:
            return False
        if self.required is None and self.auth_type is not None and not self.satisfy_any:
            # Apache answers 500 to an AuthType without a Require.
            return False
        required, host = self.required is not False, self.host is not False
        return (required or host) if self.satisfy_any else (required and host)


def open_location(system: System) -> Iterator[Finding]:
    """A mount that nothing guards."""
    for entrance in entrances(system):
        opened = [
            (scope, access)
            for scope in entrance.scopes
            if (access := _weakest(system, entrance, scope)) is not None and access.everybody
        ]
        if not opened:
            continue
        _, access = opened[0]
        scopes = [scope for scope, _ in opened]
        listeners = open_listeners(system, scopes)
        by = "`Require all granted`" if access.evidence else "no Require"
        what = f"{entrance.path} is open: {by} guards it"
        if access.evidence:
            what = f"{entrance.path} is open to everybody, by `{line_of(access.evidence[-1])}`"
        seen = [one.place for one in (access.evidence[-1:] or [entrance.mounts[0].directive])]
        fix = _closing(entrance, access)
        if listeners is None:
            yield warning("open-location", f"{what}.", *seen, fix=fix)
        elif listeners:
            reached = f", and other machines reach it (Listen {listeners[0].arguments[0]})."
            yield error("open-location", what + reached, *seen, listeners[0].place, fix=fix)
        else:
            reached = "; Apache listens on loopback addresses alone, so this machine's users see it."
            yield note("open-location", what + reached, *seen, fix=fix)


def line_of(directive: Directive) -> str:
    """Return a directive as it is written."""
    return f"{directive.name} {directive.raw}".strip()


def _closing(entrance: Entrance, access: Access) -> str:
    lines = ["    Require local"]
    if access.satisfy_any:
        lines.append("    Satisfy All")
    text = "\n".join([f'<Location "{entrance.path}">', *lines, "</Location>"])
    if (entrance.sidecar.script.process_group or "").startswith("service:"):
        return f"{text}\n# in a file that mod_wsgi-express gets by --include-file"
    return text


def _weakest(system: System, entrance: Entrance, scope: Scope) -> Access | None:
    """Return who gets to page, WebSocket or data, whichever is easiest; None where no way does."""
    found: Access | None = None
    for path in (entrance.path, entrance.socket_path, entrance.path + "api/v1/snapshot"):
        way = route(system, scope, path, websocket=path.endswith("ws"))
        if entrance.has(way):
            access = access_to(system, scope, path, way.url)
            if access.everybody or found is None:
                found = access
    return found


def access_to(system: System, scope: Scope, path: str, url: str) -> Access:
    """Return who gets to a path that is proxied to a URL."""
    access = Access()
    for section in covering(system, scope, path, url):
        if section.kind in CONDITIONAL or _has_condition(system, section):
            access.conditional = access.conditional or _decides(system, section)
        if section.kind in CONDITIONAL:
            continue
        _merge_required(system, section, access)
        _merge_host(system, section, access)
        kinds = directives_of(system, section, "authtype")
        if kinds:
            access.auth_type = kinds[-1] if kinds[-1].arguments[:1] != ("none",) else None
        access.conditional = access.conditional or _asks_certificate(system, section)
    access.conditional = access.conditional or any(
        _asks_certificate(system, owner) for owner in owners(scope)
    )
    access.conditional = access.conditional or _may_be_forbidden(system, scope, path)
    return access


def _has_condition(system: System, section: Section) -> bool:
    return any(one.kind in CONDITIONAL for one in _below(system, section))


def _below(system: System, section: Section) -> Iterator[Section]:
    for inner in _inside(system, section):
        yield inner
        yield from _below(system, inner)


def _inside(system: System, section: Section) -> list[Section]:
    inside = contents(system).get(section)
    return list(inside.sections) if inside else []


def _decides(system: System, section: Section) -> bool:
    """Whether an If in this section, or that this is, has a word in who gets in."""
    conditional = [one for one in (section, *_below(system, section)) if one.kind in CONDITIONAL]
    inner = [below for one in conditional for below in (one, *_below(system, one))]
    return any(directives_of(system, one, "require", *_HOST_ACCESS) for one in inner)


def _asks_certificate(system: System, owner: Scope) -> bool:
    asked = directives_of(system, owner, "sslverifyclient")
    needed = bool(asked) and asked[-1].arguments[:1] == ("require",)
    return needed or (owner is not None and bool(directives_of(system, owner, "sslrequire")))


def _may_be_forbidden(system: System, scope: Scope, path: str) -> bool:
    """Whether a RewriteRule with [F] might keep somebody out: by conditions that aren't known."""
    for _conditions, rule in rewrite_rules(system, scope):
        flags = {flag.strip("[] ").lower() for word in rule.arguments[2:3] for flag in word.split(",")}
        if flags & {"f", "forbidden"}:
            return True
    return route(system, scope, path, websocket=False).outcome is Outcome.UNKNOWN


# Require


def _merge_required(system: System, section: Section, access: Access) -> None:
    told = list(_required(system, section))
    met = _any(told)
    if met is None:
        return
    words = [one.arguments[0].lower() for one in directives_of(system, section, "authmerging")]
    merging = words[-1] if words else "off"
    if access.required is not None and merging == "and":
        access.required = access.required and met
    elif access.required is not None and merging == "or":
        access.required = access.required or met
    else:
        access.required, access.asks_who, access.evidence = met, False, []
    access.asks_who = access.asks_who or any(one.who for one in told)
    if met:
        access.evidence += [one.directive for one in told if one.met and one.directive]


@dataclass(frozen=True, slots=True)
class _Term:
    """A Require or a container: whether everybody meets it (None: it lets nobody in by itself)."""

    met: bool | None
    who: bool = False
    directive: Directive | None = None


def _required(system: System, section: Section) -> Iterator[_Term]:
    """Yield the terms of a section's Require directives and their containers."""
    for directive in directives_of(system, section, "require"):
        yield _term(directive)
    for inner in _inside(system, section):
        terms = list(_required(system, inner)) if inner.kind not in CONDITIONAL else []
        who = any(term.who for term in terms)
        met_by = next((term.directive for term in terms if term.met), None)
        if inner.kind == "requireany":
            yield _Term(_any(terms), who, met_by)
        elif inner.kind == "requireall":
            yield _Term(_all(terms), who, met_by)
        elif _limits_get(inner):
            yield from terms


def _limits_get(section: Section) -> bool:
    methods = {argument.upper() for argument in section.arguments}
    return (section.kind == "limit" and "GET" in methods) or (
        section.kind == "limitexcept" and "GET" not in methods
    )


def _term(directive: Directive) -> _Term:
    words = [word.lower() for word in directive.arguments]
    if not words or words[0] == "not":
        return _Term(None)
    if words[:2] == ["all", "granted"] or (words[0] == "method" and "get" in words[1:]):
        return _Term(True, directive=directive)
    return _Term(False, who=words[0] not in _ANONYMOUS, directive=directive)


def _any(terms: list[_Term]) -> bool | None:
    met = [term.met for term in terms if term.met is not None]
    return any(met) if met else None


def _all(terms: list[_Term]) -> bool | None:
    met = [term.met for term in terms if term.met is not None]
    return all(met) if met else None


# Order, Allow, Deny, Satisfy


def _merge_host(system: System, section: Section, access: Access) -> None:
    inner = [section, *(one for one in _inside(system, section) if _limits_get(one))]
    told = [one for place in inner for one in directives_of(system, place, *_HOST_ACCESS)]
    if not told:
        return
    words = [(one.key, [word.lower() for word in one.arguments]) for one in told]
    order = next((rest[0] for key, rest in reversed(words) if key == "order" and rest), "deny,allow")
    allows_all = any(key == "allow" and rest[-1:] == ["all"] for key, rest in words)
    denies_all = any(key == "deny" and rest[-1:] == ["all"] for key, rest in words)
    if order == "deny,allow":
        access.host = allows_all or not denies_all
    else:
        access.host = allows_all and not denies_all
    access.satisfy_any = any(key == "satisfy" and rest[:1] == ["any"] for key, rest in words)
