"""Where a dashboard is entered: its paths, the virtual hosts that have them, and who gets there.

Owns the reading of mounts into entrances, of VirtualHost and Listen into addresses, and which sections
are for a request. Pure, as proxy_routing is, which it builds on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import (
    Outcome,
    Route,
    Scope,
    covers,
    owners,
    plain_url,
    route,
    sections_of,
)
from mod_wsgi_dashboard.apacheconf.directives import Directive, Section
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Mount, Sidecar

LOOPBACK = re.compile(r"localhost|ip6-localhost|127(\.\d+){3}|::1", re.IGNORECASE)

_LITERAL = re.compile(r"\^?((?:[\w/~%@:,&=-]|\\\W)*)")
_PORT = re.compile(r"(?:(.*):)?(\d+)\Z")


@dataclass(frozen=True, slots=True, eq=False)
class Entrance:
    """A path at which a dashboard is to be found.

    Args:
        sidecar: the dashboard.
        path: with a slash at its end: "/metrics/", "/".
        owner: the virtual host whose lines mount it; None for the main server's, which hold in all.
        mounts: the lines.
        scopes: where it can be asked for: virtual hosts, or None for the main server.
    """

    sidecar: Sidecar
    path: str
    owner: Scope
    mounts: tuple[Mount, ...]
    scopes: tuple[Scope, ...]

    @property
    def socket_path(self) -> str:
        return self.path + "ws"

    @property
    def prefix(self) -> str:
        """What X-Forwarded-Prefix should be: "" at the root."""
        return self.path.rstrip("/")

    def has(self, found: Route) -> bool:
        """Whether a route leads to its dashboard."""
        return any(mount.directive is found.directive for mount in self.sidecar.mounts)

    def reached(self, system: System, scope: Scope) -> Route | None:
        """Return the page's route in a scope; None where it doesn't lead to the dashboard."""
        found = route(system, scope, self.path, websocket=False)
        return found if self.has(found) else None


@lru_cache(maxsize=2)
def entrances(system: System) -> tuple[Entrance, ...]:
    """Return the entrances of all dashboards, in the order of the configuration."""
    found: dict[tuple[int, int, str], list[Mount]] = {}
    sidecars = {id(sidecar): sidecar for sidecar in system.sidecars}
    for sidecar in system.sidecars:
        for mount in sidecar.mounts:
            path = page_path(mount)
            if path is not None:
                found.setdefault((id(sidecar), id(mount.vhost), path), []).append(mount)
    return tuple(
        Entrance(
            sidecar=sidecars[key[0]],
            path=key[2],
            owner=mounts[0].vhost,
            mounts=tuple(mounts),
            scopes=_scopes(system, mounts[0].vhost),
        )
        for key, mounts in found.items()
    )


def page_path(mount: Mount) -> str | None:
    """Return the path at which a mount has the dashboard's page; None where it has but a part of it."""
    target = re.sub(r"\$\d.*", "", plain_url(mount.target))
    if target.partition("://")[2].partition("/")[2]:
        return None
    path = mount.path
    if mount.directive.key != "proxypass":
        literal = _LITERAL.match(path)
        written = literal[1] if literal else ""
        if literal and path[literal.end() : literal.end() + 1] in {"?", "*"}:
            written = written[:-1]
        path = re.sub(r"\\(.)", r"\1", written)
    return path.rstrip("/") + "/"


def _scopes(system: System, owner: Scope) -> tuple[Scope, ...]:
    if owner is not None:
        return (owner,)
    vhosts = system.configuration.vhosts
    return vhosts if vhosts and not _main_is_reached(system) else (None, *vhosts)


def _main_is_reached(system: System) -> bool:
    """Whether there is a Listen that no virtual host takes whole."""
    vhosts = system.configuration.vhosts
    taken = [_host_and_port(address) for vhost in vhosts for address in vhost.arguments]
    listens = [_listened(directive) for directive in system.configuration.find("Listen")]
    return not listens or any(
        not any(wanted in {"*", "_default_", host} and number in {"*", port} for wanted, number in taken)
        for host, port in listens
    )


def _host_and_port(address: str) -> tuple[str, str]:
    match = _PORT.match(address)
    host, port = (match[1] or "*", match[2]) if match else (address.removesuffix(":*"), "*")
    return host.removeprefix("[").removesuffix("]").lower(), port


def _listened(directive: Directive) -> tuple[str, str]:
    return _host_and_port(directive.arguments[0]) if directive.arguments else ("*", "")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches that host."""
    return LOOPBACK.fullmatch(host) is not None


def open_listeners(system: System, scopes: Iterable[Scope]) -> list[Directive] | None:
    """Return the Listens by which other machines reach a scope; None where there is no Listen at all."""
    listens = system.configuration.find("Listen")
    if not listens:
        return None
    found = []
    for scope in scopes:
        addresses = [_host_and_port(one) for one in scope.arguments] if scope else [("*", "*")]
        for listen in listens:
            host, port = _listened(listen)
            if not is_loopback(host) and any(
                not is_loopback(wanted) and number in {"*", port} for wanted, number in addresses
            ):
                found.append(listen)
    return list(dict.fromkeys(found))


def covering(system: System, scope: Scope, path: str, url: str) -> list[Section]:
    """Return the sections that are for a proxied request, in the order in which Apache merges them.

    Proxy, then Location, then If, whose condition isn't known; the main server's before the virtual
    host's. Directory and Files sections aren't for what is proxied (measured, 2.4.71).
    """
    found: list[Section] = []
    for kinds in (("proxy", "proxymatch"), ("location", "locationmatch")):
        for owner in owners(scope):
            found += [one for one in sections_of(system, owner, *kinds) if covers(one, path, url)]
    for owner in owners(scope):
        found += sections_of(system, owner, "if", "elseif", "else")
    return found


def name_of(scope: Scope) -> str:
    """Return how a scope is spoken of."""
    if scope is None:
        return "the main server"
    return f"<VirtualHost {' '.join(scope.arguments)}> ({scope.place})"


def leads(outcome: Outcome) -> bool:
    """Whether a request ends up with something that isn't meant for it."""
    return outcome in {Outcome.PROXIED, Outcome.EXCLUDED, Outcome.LOCAL}
