"""Whose parameters hold for a proxied URL: mod_proxy's workers, and how lines share them.

Owns which line makes a worker and which worker takes a URL. Pure.

Measured on 2.4.71: a line whose URL begins with that of an older worker of the same scope shares that
one, and its own parameters are dropped. A request's worker is the one with the longest name, the main
server's before the virtual host's. The unix socket is no part of the name: of two sockets with one URL
behind them the second is never connected to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import (
    URL,
    Route,
    Scope,
    mounts_by_line,
    owners,
    plain_url,
)
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Mount

_WEBSOCKET = frozenset({"websocket", "any"})


@dataclass(slots=True, eq=False)
class Worker:
    """A proxy worker: the URL that it is for, and the parameters of the line that made it."""

    name: str
    pattern: bool
    socket: str
    upgrade: str
    directive: Directive

    @property
    def upgrades(self) -> bool:
        return self.upgrade in _WEBSOCKET


def worker_of(system: System, scope: Scope, url: str) -> Worker | None:
    """Return the worker that takes a URL: the one with the longest name, of those the first."""
    found: Worker | None = None
    for owner in owners(scope):
        for worker in _workers(system, owner):
            if _takes(worker, url) and (found is None or len(worker.name) > len(found.name)):
                found = worker
    return found


def carries(system: System, scope: Scope, way: Route) -> bool:
    """Whether a WebSocket handshake gets through on a way that ends at a mount."""
    mount = way.mount
    if mount is None or (mount.scheme == "balancer" and not mount.members):
        return True
    if mount.members or mount.scheme in {"ws", "wss"}:
        return mount.upgrades
    worker = worker_of(system, scope, url_of(mount, way))
    return worker.upgrades if worker else mount.upgrades


def url_of(mount: Mount, way: Route) -> str:
    """Return the URL of a route, without what wrong slashes do to it."""
    if mount.directive.key == "proxypass":
        return plain_url(mount.target).rstrip("/") + "/" + way.url.rpartition("/")[2]
    return way.url


def _takes(worker: Worker, url: str) -> bool:
    parts = URL.match(url)
    if parts is None or len(worker.name) < len(parts[1]):
        return False
    if not worker.pattern:
        return url.startswith(worker.name)
    pieces = (re.escape(piece) for piece in re.split(r"\$\d", worker.name))
    return re.match(".*".join(pieces) + r"\Z", url, re.DOTALL) is not None


@lru_cache(maxsize=64)
def _workers(system: System, owner: Scope) -> tuple[Worker, ...]:
    """Return the workers that a scope's own lines make, in order; a balancer's are not among them."""
    found: list[Worker] = []
    for directive in _makers(system).get(owner, ()):
        if directive.key in {"proxyset", "<proxy"}:
            _set(found, directive)
        elif (mount := mounts_by_line(system).get(directive)) is not None and "://" in mount.target:
            _shared(found, mount.target, mount.parameters, directive)
    return tuple(found)


@lru_cache(maxsize=2)
def _makers(system: System) -> Mapping[Scope, list[Directive]]:
    """Return the lines that make workers, by their virtual host, wherever they stand in it."""
    found: dict[Scope, list[Directive]] = {}
    for directive in system.configuration.find("ProxyPass", "ProxyPassMatch", "ProxySet"):
        found.setdefault(directive.vhost, []).append(directive)
    for section in system.configuration.sections:
        if section.kind == "proxy" and any("=" in word for word in section.arguments[1:]):
            # A section with parameters is as good as a ProxySet. Its place among the lines of other
            # files isn't known: it comes last then.
            line = Directive(f"<{section.name}", section.arguments, section.place, section.parent)
            line = replace(line, raw=f"{section.raw}>")
            own = found.setdefault(line.vhost, [])
            own.insert(next((n for n, one in enumerate(own) if _precedes(line, one)), len(own)), line)
    return found


def _precedes(one: Directive, other: Directive) -> bool:
    return one.place.file == other.place.file and one.place.line < other.place.line


def _set(found: list[Worker], directive: Directive) -> None:
    """Read ProxySet, which makes a worker or adds to one, or a Proxy section with parameters."""
    section = directive.within("proxy")
    words = list(directive.arguments)
    if directive.key == "proxyset" and section is not None and section.arguments:
        target = section.arguments[0]
    elif words:
        target = words.pop(0)
    else:
        return
    parameters = {key.lower(): value for key, _, value in (word.partition("=") for word in words)}
    if "://" in target and "*" not in target:
        worker = _shared(found, target, parameters, directive)
        worker.upgrade = parameters.get("upgrade", worker.upgrade).lower()


def _shared(
    found: list[Worker], target: str, parameters: Mapping[str, str], directive: Directive
) -> Worker:
    """Return the worker of a target: a new one, unless an older one is for the beginning of its URL."""
    name = plain_url(target)
    pattern = directive.key == "proxypassmatch" and "$" in name
    older = [
        worker
        for worker in found
        if worker.pattern == pattern and (worker.name == name if pattern else _takes(worker, name))
    ]
    if older:
        return max(older, key=lambda worker: len(worker.name))
    socket = target.partition("|")[0][len("unix:") :] if target.lower().startswith("unix:") else ""
    worker = Worker(name, pattern, socket, parameters.get("upgrade", "").lower(), directive)
    found.append(worker)
    return worker
