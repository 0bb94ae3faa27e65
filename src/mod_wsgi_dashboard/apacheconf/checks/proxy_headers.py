"""The checks of what Apache tells the dashboard by headers: its mount, and no passwords.

Owns what a row of RequestHeader directives makes of one header. A value that isn't known beforehand
(%{...}, expr=) is nothing to complain about.

Measured on 2.4.71: `early` ones come first; then the main server's, the virtual host's, and those of the
Proxy, Location and If sections that cover the request. Only `set` and `unset` take away what a client
sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mod_wsgi_dashboard.apacheconf.checks.proxy_access import CONDITIONAL, access_to, line_of
from mod_wsgi_dashboard.apacheconf.checks.proxy_entrances import Entrance, covering, entrances
from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import (
    Scope,
    directives_of,
    owners,
    sections_of,
)
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, warning
from mod_wsgi_dashboard.apacheconf.system import System

PREFIX = "x-forwarded-prefix"

_MODULE = "\n# needs mod_headers: a2enmod headers, or LoadModule headers_module modules/mod_headers.so"


@dataclass(slots=True)
class Header:
    """What a request header is when the dashboard gets it."""

    value: str | None = None
    from_client: bool = True  # whether what a client sent arrives, or a part of it
    known: bool = True
    directives: list[Directive] = field(default_factory=list)

    def follow(self, directive: Directive, *, conditional: bool) -> None:
        """Do what a RequestHeader does."""
        action, _name, *rest = directive.arguments
        value = rest[0] if rest and action.lower() != "unset" else ""
        extra = rest if action.lower() == "unset" else rest[1:]
        conditional = conditional or any(word.lower().startswith(("env=", "expr=")) for word in extra)
        self.directives.append(directive)
        _ACTIONS.get(action.lower(), Header._change)(self, value, conditional)

    def _set(self, value: str, conditional: bool) -> None:
        self.known = "%{" not in value and not value.startswith("expr=")
        self.value = value.replace("%%", "%")
        self.from_client = self.from_client and conditional

    def _unset(self, _value: str, conditional: bool) -> None:
        if not conditional:
            self.value, self.from_client, self.known = None, False, True

    def _add(self, value: str, _conditional: bool) -> None:
        self.known = self.known and "%{" not in value
        self.value = value if self.value is None else f"{self.value}, {value}"

    def _set_if_empty(self, value: str, conditional: bool) -> None:
        if self.value is None:
            client = self.from_client
            self._set(value, conditional)
            self.from_client = client

    def _change(self, _value: str, _conditional: bool) -> None:
        self.known = False


_ACTIONS = {
    "set": Header._set,
    "unset": Header._unset,
    "add": Header._add,
    "append": Header._add,
    "merge": Header._add,
    "setifempty": Header._set_if_empty,
}


def header(system: System, scope: Scope, path: str, url: str, name: str) -> Header:
    """Return what RequestHeader makes of a header, `name` in lower case, on its way to the dashboard."""
    own = [one for owner in owners(scope) for one in _headers(system, owner, name)]
    early = [one for one in own if _is_early(one)]
    late = [one for one in own if not _is_early(one)]
    result = Header()
    for directive in early + late:
        result.follow(directive, conditional=False)
    for section in covering(system, scope, path, url):
        for directive in _headers(system, section, name):
            result.follow(directive, conditional=section.kind in CONDITIONAL)
        for inner in sections_of(system, section, *CONDITIONAL):
            for directive in _headers(system, inner, name):
                result.follow(directive, conditional=True)
    return result


def _headers(system: System, owner: Scope, name: str) -> list[Directive]:
    return [
        one
        for one in directives_of(system, owner, "requestheader")
        if len(one.arguments) > 1 and one.arguments[1].removesuffix(":").lower() == name
    ]


def _is_early(directive: Directive) -> bool:
    return directive.arguments[-1].lower() == "early"


def prefix_header(system: System) -> Iterator[Finding]:
    """X-Forwarded-Prefix that isn't set, is another, or is what a client says."""
    for entrance in entrances(system):
        if not entrance.prefix:
            continue
        for scope in entrance.scopes:
            way = entrance.reached(system, scope)
            found = _wrong_prefix(system, entrance, scope, way.url) if way else None
            if found is not None:
                yield found
                break


def _wrong_prefix(system: System, entrance: Entrance, scope: Scope, url: str) -> Finding | None:
    told = header(system, scope, entrance.path, url, PREFIX)
    modules = system.configuration.modules
    fix = _in_location(entrance, f"RequestHeader set X-Forwarded-Prefix {entrance.prefix}")
    if modules and "headers" not in modules:
        fix += (
            "\n# with mod_headers: a2enmod headers, or LoadModule headers_module modules/mod_headers.so"
        )
    mount = entrance.mounts[0].directive.place
    if not told.directives:
        what = f"No RequestHeader sets X-Forwarded-Prefix for {entrance.path}, so the page looks for"
        return error("prefix-header", f"{what} its style and data at /.", mount, fix=fix)
    if not told.known:
        return None
    last = told.directives[-1]
    if told.value is None or told.value.rstrip("/") != entrance.prefix:
        is_now = f"is {told.value!r}" if told.value is not None else "is removed"
        what = f"X-Forwarded-Prefix {is_now} for the mount {entrance.path}"
        return error("prefix-header", f"{what}: it should be {entrance.prefix!r}.", last.place, fix=fix)
    if told.from_client:
        what = f"A client can send an X-Forwarded-Prefix of its own to {entrance.path}"
        return warning("prefix-header", f"{what}: `{line_of(last)}` lets it in.", last.place, fix=fix)
    return None


def authorization_passed(system: System) -> Iterator[Finding]:
    """A password that Apache asks for, and hands on."""
    for entrance in entrances(system):
        for scope in entrance.scopes:
            way = entrance.reached(system, scope)
            asked = _password(system, scope, entrance, way.url) if way else None
            if asked is not None:
                yield warning(
                    "authorization-passed",
                    f"Apache hands the password that {entrance.path} asks for on to the dashboard.",
                    asked.place,
                    fix=_in_location(entrance, "RequestHeader unset Authorization"),
                )
                break


def _password(system: System, scope: Scope, entrance: Entrance, url: str) -> Directive | None:
    access = access_to(system, scope, entrance.path, url)
    asked = access.auth_type
    if asked is None or not access.asks_who or asked.arguments[:1] == ():
        return None
    if asked.arguments[0].lower() not in {"basic", "digest"}:
        return None
    told = header(system, scope, entrance.path, url, "authorization")
    return asked if told.from_client and told.known else None


def _in_location(entrance: Entrance, line: str) -> str:
    return f'<Location "{entrance.path}">\n    {line}\n</Location>'
