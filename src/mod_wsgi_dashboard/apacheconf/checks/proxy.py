"""Checks of the way to the dashboard through Apache: modules, order, upgrade, slashes, time.

Owns the checks; where a request goes is proxy_routing's business, whose parameters hold is
proxy_workers', where a dashboard is entered proxy_entrances'. Pure, like these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf.checks import Check
from mod_wsgi_dashboard.apacheconf.checks.proxy_access import line_of, open_location
from mod_wsgi_dashboard.apacheconf.checks.proxy_address import mount_address
from mod_wsgi_dashboard.apacheconf.checks.proxy_entrances import (
    Entrance,
    entrances,
    leads,
    name_of,
    page_path,
)
from mod_wsgi_dashboard.apacheconf.checks.proxy_headers import authorization_passed, prefix_header
from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import (
    Outcome,
    Route,
    Scope,
    directives_of,
    engine_on,
    mapped,
    owners,
    plain_url,
    rewrite_rules,
    route,
)
from mod_wsgi_dashboard.apacheconf.checks.proxy_workers import carries, url_of, worker_of
from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import told
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Mount
from mod_wsgi_dashboard.hub import KEEPALIVE
from mod_wsgi_dashboard.settings import Settings

# The first Apache whose ProxyPass knows upgrade=, and whose mod_proxy_http knows ws://.
UPGRADE_SINCE = (2, 4, 47)

# Apache's Timeout where nothing sets it, in seconds.
DEFAULT_TIMEOUT = 60.0

# Sets of processes that ServerLimit should have room for: the new one, and those of two reloads, as two
# nights of log rotation make them.
GENERATIONS = 3

_UNITS = {"ms": 0.001, "s": 1.0, "mi": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+)(ms|s|mi|h)?", re.IGNORECASE)
_SLASHES = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*//")


# Modules


def proxy_modules(system: System) -> Iterator[Finding]:
    """A module that the dashboard's lines need isn't loaded."""
    loaded = system.configuration.modules
    if system.mpm is None or not loaded:
        return
    needed: dict[str, Directive] = {}
    for mount in system.dashboard_mounts:
        for name in _modules_of(system, mount):
            needed.setdefault(name, mount.directive)
    for entrance in entrances(system):
        for name, directive in _modules_beside(system, entrance):
            needed.setdefault(name, directive)
    for name, directive in needed.items():
        if name not in loaded:
            yield error(
                "proxy-modules",
                f"mod_{name} isn't loaded, which `{line_of(directive)}` needs.",
                directive.place,
                fix=f"LoadModule {name}_module modules/mod_{name}.so\n# on Debian: a2enmod {name}",
            )


def _modules_of(system: System, mount: Mount) -> Iterator[str]:
    yield "proxy"
    if mount.rewritten:
        yield "rewrite"
    ends = mount.members or (mount,)
    schemes = {end.scheme for end in ends}
    old = system.httpd is not None and (system.httpd.version or UPGRADE_SINCE) < UPGRADE_SINCE
    if schemes & {"ws", "wss"} and old:
        yield "proxy_wstunnel"
    if schemes & {"http", "https"} or (schemes & {"ws", "wss"} and not old):
        yield "proxy_http"
    if schemes & {"https", "wss"}:
        yield "ssl"
    if mount.scheme == "balancer":
        yield "proxy_balancer"
        yield "slotmem_shm"
        yield f"lbmethod_{mount.parameters.get('lbmethod', 'byrequests')}"


def _modules_beside(system: System, entrance: Entrance) -> Iterator[tuple[str, Directive]]:
    """Yield the modules of the lines around a mount: the header, and the redirect of the bare path."""
    for directive in system.configuration.find("RequestHeader"):
        if directive.arguments[1:2] and directive.arguments[1].lower() == "x-forwarded-prefix":
            yield "headers", directive
    for directive in system.configuration.find("Redirect", "RedirectMatch"):
        if any(word.strip("^$") == entrance.prefix for word in directive.arguments[:-1]):
            yield "alias", directive


# Order


def proxy_order(system: System) -> Iterator[Finding]:
    """Something more general, or an exception, that takes the dashboard's requests."""
    for entrance in entrances(system):
        taken = [(scope, _taken(system, entrance, scope)) for scope in entrance.scopes]
        culprits = [(scope, *found) for scope, found in taken if found is not None]
        if not culprits:
            continue
        scope, directive, websocket = culprits[0]
        fix = _before(system, entrance, scope, directive, websocket=websocket)
        whose = "WebSocket" if websocket else "requests"
        what = f"`{line_of(directive)}` takes the {whose} of {entrance.path}"
        if any(mount.directive is directive for mount in entrance.sidecar.mounts):
            what += ", and doesn't upgrade it"
        else:
            what += " from the dashboard"
        mine = entrance.mounts[0].directive.place
        if len(culprits) == len(taken):
            yield error("proxy-order", f"{what}.", directive.place, mine, fix=fix)
        else:
            yield note("proxy-order", f"{what} in {name_of(scope)}.", directive.place, mine, fix=fix)


def _taken(system: System, entrance: Entrance, scope: Scope) -> tuple[Directive, bool] | None:
    """Return the line that takes the page, or else the WebSocket, and which of them."""
    page = route(system, scope, entrance.path, websocket=False)
    if page.directive is not None and leads(page.outcome) and not entrance.has(page):
        return page.directive, False
    socket = route(system, scope, entrance.socket_path, websocket=True)
    if page.directive is None or socket.directive is None or not leads(socket.outcome):
        return None
    if not entrance.has(socket):
        return socket.directive, True
    if carries(system, scope, socket) or not _later(system, entrance, scope):
        return None
    return socket.directive, True


def _later(system: System, entrance: Entrance, scope: Scope) -> Mount | None:
    """Return a mount that would carry the WebSocket, if its turn came."""
    for mount in entrance.sidecar.mounts:
        url = mapped(mount, entrance.socket_path) if not mount.rewritten else None
        if url is None or mount.vhost not in owners(scope):
            continue
        if carries(system, scope, Route(Outcome.PROXIED, mount.directive, mount, url)):
            return mount
    return None


def _before(
    system: System, entrance: Entrance, scope: Scope, directive: Directive, *, websocket: bool
) -> str:
    """Return what to write before the line that takes the requests, or after it, so that it doesn't."""
    later = _later(system, entrance, scope) if websocket else None
    mount = later or entrance.mounts[-1]
    if directive.key == "rewriterule":
        own = [
            _with_conditions(system, one)
            for one in entrance.sidecar.mounts
            if one.rewritten and one.upgrades and one.vhost is directive.vhost
        ]
        leave = f'RewriteRule "^{re.escape(entrance.path)}" - [L]'
        return "\n".join([f"# before {directive.place}:", *own, leave])
    if directive.within("location", "locationmatch") or mount.vhost is not directive.vhost:
        where = f"# after {directive.place}:" if mount.vhost is directive.vhost else "# instead:"
        target = mount.directive.raw.removeprefix(mount.directive.arguments[0]).strip()
        if mount.directive.within("location", "locationmatch"):
            target = mount.directive.raw
        path = mount.path if mount.directive.key == "proxypass" else entrance.path
        return f'{where}\n<Location "{path}">\n    ProxyPass {_target(mount) or target}\n</Location>'
    return f"# before {directive.place}:\n{line_of(mount.directive)}"


def _target(mount: Mount) -> str:
    """Return a plain ProxyPass' arguments without its path."""
    if mount.directive.key != "proxypass":
        return ""
    words = [f'"{mount.target}"' if " " in mount.target else mount.target]
    return " ".join([*words, *(f"{key}={value}" for key, value in mount.parameters.items())])


def _with_conditions(system: System, mount: Mount) -> str:
    for conditions, rule in rewrite_rules(system, mount.vhost):
        if rule is mount.directive:
            return "\n".join(line_of(one) for one in [*conditions, rule])
    return line_of(mount.directive)


# The WebSocket


def websocket_upgrade(system: System) -> Iterator[Finding]:
    """A way to the dashboard that drops the upgrade, or an Apache that doesn't know it."""
    for entrance in entrances(system):
        unknown = _unknown(entrance) if _is_old(system) else None
        if unknown is not None:
            what = f"This Apache is older than 2.4.47, and doesn't know `upgrade=` of {entrance.path}."
            fix = _rewrite_form(entrance.path, entrance.mounts[-1])
            yield error("websocket-upgrade", what, unknown.place, fix=fix)
            continue
        dropped = [
            (scope, mount)
            for scope in entrance.scopes
            if (mount := _dropping(system, entrance, scope)) is not None
        ]
        if dropped:
            yield _without_upgrade(system, entrance, dropped)


def _is_old(system: System) -> bool:
    version = system.httpd.version if system.httpd is not None else None
    return version is not None and version < UPGRADE_SINCE


def _unknown(entrance: Entrance) -> Directive | None:
    """Return the line with an upgrade= that an old Apache refuses."""
    ends = [end for mount in entrance.mounts for end in (mount.members or (mount,))]
    return next((end.directive for end in ends if "upgrade" in end.parameters), None)


def _dropping(system: System, entrance: Entrance, scope: Scope) -> Mount | None:
    """Return the mount that gets the WebSocket of a scope, and doesn't carry it."""
    way = route(system, scope, entrance.socket_path, websocket=True)
    if not entrance.has(way) or carries(system, scope, way) or _taken(system, entrance, scope):
        return None
    # With upgrade= on the line itself another line is at fault: see shared_worker.
    return way.mount if way.mount is not None and not way.mount.upgrades else None


def _without_upgrade(system: System, entrance: Entrance, dropped: list[tuple[Scope, Mount]]) -> Finding:
    scope, mount = dropped[0]
    finding = error if len(dropped) == len(entrance.scopes) else note
    rules = [one.directive for one in entrance.sidecar.mounts if one.rewritten and one.upgrades]
    fix = _upgraded(system, entrance.path, mount)
    if rules and not engine_on(system, scope):
        what = f"RewriteEngine isn't On in {name_of(scope)}, so `{line_of(rules[0])}` does nothing."
        return finding("websocket-upgrade", what, rules[0].place, fix="RewriteEngine On")
    if rules and rules[0].vhost is not scope:
        what = f"{name_of(scope)} doesn't inherit `{line_of(rules[0])}`: its WebSocket gets a 400."
        return finding("websocket-upgrade", what, rules[0].place, mount.directive.place, fix=fix)
    what = f"{entrance.path} is proxied without upgrade=websocket: the WebSocket gets a 400."
    return finding("websocket-upgrade", what, _at_fault(mount).place, fix=fix)


def _rewrite_form(path: str, mount: Mount) -> str:
    """Return the lines that lead the WebSocket to ws://, and the ProxyPass without upgrade=."""
    base = mount.target.split("$")[0].rstrip("/")
    target = _to_ws(base)
    lines = ["RewriteEngine On", "RewriteCond %{HTTP:Upgrade} =websocket [NC]"]
    if mount.members:
        target = f"{base}-ws"
        members = [f"    BalancerMember {_to_ws(member.target)}" for member in mount.members]
        lines = [f'<Proxy "{target}">', *members, "</Proxy>", *lines]
    rule = f'RewriteRule "^{re.escape(path)}(.*)$" "{target}/$1" [P,L]'
    return "\n".join([*lines, rule, f"ProxyPass {path} {base}/"])


def _to_ws(target: str) -> str:
    return re.sub(r"(\||^)http(s?)://", r"\1ws\2://", target)


def _at_fault(mount: Mount) -> Directive:
    without = [member for member in mount.members if not member.upgrades]
    return without[0].directive if without else mount.directive


def _upgraded(system: System, path: str, mount: Mount) -> str:
    """Return a mount's lines with upgrade=websocket, or with what does the same."""
    if mount.rewritten or _is_old(system):
        return _rewrite_form(path, mount)
    ends = [member for member in mount.members if not member.upgrades] or [mount]
    return "\n".join(_with_upgrade(end.directive) for end in ends)


def _with_upgrade(directive: Directive) -> str:
    line = re.sub(r"\s+upgrade=\S+", "", line_of(directive), flags=re.IGNORECASE)
    return f"{line[:-1]} upgrade=websocket>" if line.endswith(">") else f"{line} upgrade=websocket"


# Workers


def shared_worker(system: System) -> Iterator[Finding]:
    """Another line made the worker: its parameters hold, and its socket."""
    for entrance in entrances(system):
        for scope in entrance.scopes:
            found = _shared(system, entrance, scope)
            if found is not None:
                yield found
                break


def _shared(system: System, entrance: Entrance, scope: Scope) -> Finding | None:
    way = route(system, scope, entrance.socket_path, websocket=True)
    mount = way.mount
    if mount is None or not entrance.has(way) or mount.members or mount.scheme == "balancer":
        return None
    worker = worker_of(system, scope, url_of(mount, way))
    if worker is None or worker.directive is mount.directive:
        return None
    seen = (worker.directive.place, mount.directive.place)
    first = line_of(worker.directive)
    own = mount.address.removeprefix("unix:") if mount.address.startswith("unix:") else ""
    if worker.socket != own:
        to = worker.socket or worker.name
        what = f"Requests for {entrance.path} go to {to}: `{first}` has the same URL behind its socket."
        return error("shared-worker", what, *seen, fix=_own_host(mount))
    if worker.upgrades or not mount.upgrades or mount.scheme in {"ws", "wss"}:
        return None
    what = f"upgrade=websocket of {entrance.path} is dropped: `{first}` made the worker of that URL."
    return error("shared-worker", what, *seen, fix=_with_upgrade(worker.directive))


def _own_host(mount: Mount) -> str:
    """Return a mount's line with a host that no other line has."""
    url = plain_url(mount.target)
    host = url.partition("://")[2].partition("/")[0]
    return line_of(mount.directive).replace(f"://{host}", "://mod-wsgi-dashboard", 1)


# Slashes


def trailing_slashes(system: System) -> Iterator[Finding]:
    """A path and a target of which one ends in a slash."""
    for mount in system.dashboard_mounts:
        path = page_path(mount)
        if path is None:
            continue
        if mount.directive.key == "proxypass":
            wrong = mount.path.endswith("/") != plain_url(mount.target).endswith("/")
        else:
            url = mapped(mount, path + "ws") or ""
            wrong = _SLASHES.match(url) is not None
        if wrong:
            yield error(
                "trailing-slashes",
                f"`{line_of(mount.directive)}` maps {path}ws to {mapped(mount, path + 'ws')}.",
                mount.directive.place,
                fix=_slashed(mount, path),
            )
        elif mount.target.endswith("/"):
            yield from _slashed_members(mount, path)


def _slashed(mount: Mount, path: str) -> str:
    name = mount.directive.name
    if mount.directive.key != "proxypass":
        base = mount.target.split("$")[0].rstrip("/")
        words = [f'"^{re.escape(path)}(.*)$"', f'"{base}/$1"', *mount.directive.arguments[2:]]
        return " ".join([name, *words])
    base = mount.target.rstrip("/") + "/"
    rest = [f"{key}={value}" for key, value in mount.parameters.items()]
    if mount.directive.within("location", "locationmatch"):
        return f'<Location "{path}">\n    {" ".join([name, base, *rest])}\n</Location>'
    return " ".join([name, path, base, *rest])


def _slashed_members(mount: Mount, path: str) -> Iterator[Finding]:
    for member in mount.members:
        if member.target.endswith("/"):
            line = line_of(member.directive)
            yield error(
                "trailing-slashes",
                f"{path} leads to {mount.target}, which ends in a slash, and so does the member"
                f" {member.target}: the dashboard is asked for //ws.",
                member.directive.place,
                fix=line.replace(member.target, member.target.rstrip("/")),
            )


# Time


def timeout(system: System) -> Iterator[Finding]:
    """A Timeout by which Apache ends a WebSocket that is only quiet."""
    for entrance in entrances(system):
        setting = told(system, entrance.sidecar, "heartbeat")
        heartbeat = float(setting.value) if setting else Settings().heartbeat
        for scope in entrance.scopes:
            set_by = [one for owner in owners(scope) for one in directives_of(system, owner, "timeout")]
            directive = set_by[-1] if set_by else None
            seconds = _seconds(directive)
            if directive is None or seconds > heartbeat:
                continue
            what = f"Timeout {seconds:g} is not above the dashboard's heartbeat of {heartbeat:g} s"
            if seconds <= 2 * KEEPALIVE:
                what += ": viewers are cut off with 1006 as soon as a tick is late."
                yield warning("timeout", what, directive.place, fix="Timeout 60")
            else:
                what += f"; only what it sends each {KEEPALIVE:g} s keeps WebSockets open."
                yield note("timeout", what, directive.place, fix="Timeout 60")
            break


def _seconds(directive: Directive | None) -> float:
    match = _TIME.match(directive.arguments[0]) if directive and directive.arguments else None
    return float(match[1]) * _UNITS[(match[2] or "s").lower()] if match else DEFAULT_TIMEOUT


# Others


def other_websockets(system: System) -> Iterator[Finding]:
    """Another back end's WebSockets, that keep old processes, and too little room for these."""
    pool = system.pool
    if pool is None or pool.mpm == "prefork" or not system.sidecars:
        return
    processes = max(-(-pool.max_request_workers // pool.threads_per_child), 1)
    if pool.server_limit >= GENERATIONS * processes:
        return
    addresses = {sidecar.address for sidecar in system.sidecars}
    others = [
        mount
        for mount in system.mounts
        if mount.upgrades and mount not in system.dashboard_mounts and mount.address not in addresses
    ]
    if others:
        limit = pool.directives.get("ServerLimit")
        yield warning(
            "other-websockets",
            f"WebSockets of {others[0].path} ({others[0].address}) keep old processes after a graceful"
            f" restart: ServerLimit {pool.server_limit} has room for {pool.server_limit // processes}"
            f" sets of {processes}.",
            others[0].directive.place,
            limit.place if limit else None,
            fix=f"ServerLimit {(GENERATIONS + 1) * processes}\n# a restart keeps the old one:"
            " stop Apache, then start it",
        )


CHECKS: dict[str, Check] = {
    "proxy-modules": proxy_modules,
    "websocket-upgrade": websocket_upgrade,
    "mount-address": mount_address,
    "proxy-order": proxy_order,
    "shared-worker": shared_worker,
    "trailing-slashes": trailing_slashes,
    "prefix-header": prefix_header,
    "timeout": timeout,
    "authorization-passed": authorization_passed,
    "other-websockets": other_websockets,
    "open-location": open_location,
}
