"""What a configuration means for mod_wsgi and its proxies: groups, scripts, mounts, workers.

Owns the reading of WSGIDaemonProcess, WSGIImportScript, WSGIScriptAlias, ProxyPass, RewriteRule and
the MPM's directives into values. Pure: it sees directives, and the texts it is given.

A dashboard is recognised by its script: one that imports `mod_wsgi_dashboard`, or one that runs in a
group named so. Its mounts are the proxied paths that lead to an address which it listens on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mod_wsgi_dashboard.apacheconf.directives import Configuration, Directive, Section, split_words
from mod_wsgi_dashboard.apacheconf.keywords import script_keywords

# The default of the setting `listen`.
DEFAULT_LISTEN = "127.0.0.1:8765"

# mod_wsgi's defaults of WSGIDaemonProcess.
DEFAULT_THREADS = 15
DEFAULT_PROCESSES = 1

GLOBAL = "%{GLOBAL}"

_WSGI_OPTION = re.compile(r"""(?<!\S)([\w-]+)=("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S*)""")
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A daemon process group, as its WSGIDaemonProcess defines it."""

    name: str
    options: Mapping[str, str]
    directive: Directive

    @property
    def threads(self) -> int:
        return _number(self.options.get("threads"), DEFAULT_THREADS)

    @property
    def processes(self) -> int:
        return _number(self.options.get("processes"), DEFAULT_PROCESSES)

    @property
    def server_metrics(self) -> bool:
        return self.options.get("server-metrics", "off").lower() == "on"


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A WSGI script: what is served below `alias`, or what is imported at start (`alias` None).

    `process_group` and `application_group` are what the line itself or the directives of its context
    say; None where nothing does.
    """

    path: str
    alias: str | None
    process_group: str | None
    application_group: str | None
    directive: Directive


@dataclass(frozen=True, slots=True, eq=False)
class Mount:
    """A path that is proxied to an address.

    Args:
        path: what is mapped, "/metrics/", or the pattern of a RewriteRule.
        target: the URL as written.
        address: "host:port" or "unix:/path"; "" where it can't be told.
        scheme: of the target: http, https, ws, wss, balancer, ...
        parameters: key=value of the ProxyPass or BalancerMember.
        directive: the line.
        members: what a balancer leads to.
    """

    path: str
    target: str
    address: str
    scheme: str
    parameters: Mapping[str, str]
    directive: Directive
    members: tuple[Mount, ...] = ()

    @property
    def rewritten(self) -> bool:
        return self.directive.key == "rewriterule"

    @property
    def vhost(self) -> Section | None:
        return self.directive.vhost

    @property
    def upgrades(self) -> bool:
        """Whether a WebSocket handshake gets through: upgrade=, on all members of a balancer."""
        if self.members:
            return all(member.upgrades for member in self.members)
        if self.scheme in {"ws", "wss"}:
            return True
        return self.parameters.get("upgrade", "").lower() in {"websocket", "any"}

    def leads_to(self, address: str) -> bool:
        """Whether it leads to that address, through a balancer as well."""
        return self.address == address or any(member.leads_to(address) for member in self.members)


@dataclass(frozen=True, slots=True, eq=False)
class Sidecar:
    """A dashboard: its script, its group if there is one of that name, and where it listens."""

    script: Script
    group: Group | None
    address: str
    mounts: tuple[Mount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Apache's pool of workers: what is configured, and the defaults of the MPM for the rest."""

    mpm: str
    server_limit: int
    threads_per_child: int
    thread_limit: int
    max_request_workers: int
    directives: Mapping[str, Directive] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """The threads that a process has: ThreadLimit cuts ThreadsPerChild."""
        return max(min(self.threads_per_child, self.thread_limit), 1)

    @property
    def most(self) -> int:
        """The workers that there can be at most, once all limits have cut MaxRequestWorkers."""
        processes = max(self.max_request_workers // self.threads, 1)
        return max(min(processes, self.server_limit), 1) * self.threads


def groups(configuration: Configuration) -> tuple[Group, ...]:
    """Return the daemon process groups, in the order of the configuration, same names and all."""
    found = []
    for directive in configuration.find("WSGIDaemonProcess"):
        if directive.arguments:
            found.append(Group(directive.arguments[0], wsgi_options(directive), directive))
    return tuple(found)


def scripts(configuration: Configuration) -> tuple[Script, ...]:
    """Return what WSGIScriptAlias, WSGIScriptAliasMatch and WSGIImportScript name."""
    found = []
    for directive in configuration.find("WSGIScriptAlias", "WSGIScriptAliasMatch"):
        if len(directive.arguments) >= 2:
            alias, path = directive.arguments[:2]
            found.append(_script(configuration, directive, alias, path, wsgi_options(directive)))
    for directive in configuration.find("WSGIImportScript"):
        if directive.arguments:
            options = wsgi_options(directive)
            groups = options.get("process-group"), options.get("application-group")
            found.append(Script(directive.arguments[0], None, *groups, directive))
    return tuple(found)


def _script(
    configuration: Configuration, directive: Directive, alias: str, path: str, options: Mapping[str, str]
) -> Script:
    def of(option: str, name: str) -> str | None:
        if option in options:
            return options[option]
        return _of_context(configuration, name, directive, alias, path)

    return Script(
        path,
        alias,
        of("process-group", "WSGIProcessGroup"),
        of("application-group", "WSGIApplicationGroup"),
        directive,
    )


def _of_context(
    configuration: Configuration, name: str, directive: Directive, alias: str, path: str
) -> str | None:
    """Return what a directive says for an alias: in its Location or Directory, vhost, or server."""
    for setting in configuration.find(name):
        section = setting.section
        if section is None or not setting.arguments or section.kind == "virtualhost":
            continue
        if setting.vhost not in (None, directive.vhost) or not section.arguments:
            continue
        where = section.arguments[0]
        if section.kind == "location" and _below(alias, where):
            return setting.arguments[0]
        if section.kind == "directory" and _below(path, where):
            return setting.arguments[0]
    effective = configuration.effective(name, directive.vhost)
    return effective.arguments[0] if effective is not None and effective.arguments else None


def _below(path: str, where: str) -> bool:
    base = where.rstrip("/")
    return path == where or path.rstrip("/") == base or path.startswith(base + "/")


def mounts(configuration: Configuration) -> tuple[Mount, ...]:
    """Return what is proxied by ProxyPass, ProxyPassMatch and RewriteRule with [P], in their order."""
    balancers = _balancers(configuration)
    found = []
    for directive in configuration.find("ProxyPass", "ProxyPassMatch", "RewriteRule"):
        split = _rewrite_rule(directive) if directive.key == "rewriterule" else _proxy_pass(directive)
        if split is not None:
            path, target, parameters = split
            found.append(_mount(directive, path, target, parameters, balancers))
    return tuple(found)


def _proxy_pass(directive: Directive) -> tuple[str, str, Mapping[str, str]] | None:
    arguments = list(directive.arguments)
    location = directive.within("location", "locationmatch")
    if location is not None and location.arguments:
        path = location.arguments[-1]
    elif arguments:
        path = arguments.pop(0)
    else:
        return None
    if not arguments:
        return None
    return path, arguments[0], _options(arguments[1:])


def _rewrite_rule(directive: Directive) -> tuple[str, str, Mapping[str, str]] | None:
    if len(directive.arguments) < 3:
        return None
    pattern, target, flags = directive.arguments[:3]
    if not {"p", "proxy"} & set(rewrite_flags(flags)):
        return None
    return pattern, target, {}


def rewrite_flags(text: str) -> tuple[str, ...]:
    """Return the flags of a RewriteRule, "[P,L]", in lower case."""
    return tuple(flag.strip().lower() for flag in text.strip("[]").split(",") if flag.strip())


def _balancers(configuration: Configuration) -> Mapping[str, tuple[Mount, ...]]:
    found: dict[str, tuple[Mount, ...]] = {}
    for directive in configuration.find("BalancerMember"):
        arguments = list(directive.arguments)
        section = directive.within("proxy")
        if section is not None and section.arguments:
            name = section.arguments[0]
        elif arguments:
            name = arguments.pop(0)
        else:
            continue
        if arguments:
            member = _mount(directive, "", arguments[0], _options(arguments[1:]), {})
            key = name.rstrip("/").lower()
            found[key] = (*found.get(key, ()), member)
    return found


def _mount(
    directive: Directive,
    path: str,
    target: str,
    parameters: Mapping[str, str],
    balancers: Mapping[str, tuple[Mount, ...]],
) -> Mount:
    scheme, address = address_of(target)
    members: tuple[Mount, ...] = ()
    if scheme == "balancer":
        members = balancers.get("balancer://" + address.partition("/")[0].lower(), ())
    return Mount(path, target, address, scheme, parameters, directive, members)


def address_of(target: str) -> tuple[str, str]:
    """Return scheme and address ("host:port", "unix:/path", or a balancer's name) of a proxy target."""
    if target.startswith("unix:"):
        path, _, url = target.partition("|")
        return url.partition(":")[0].lower(), path
    try:
        parts = urlsplit(target)
        scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
    except ValueError:
        return "", ""
    if scheme == "balancer":
        return scheme, host
    port = port or _PORTS.get(scheme)
    return scheme, normal_address(f"{host}:{port}") if host and port else ""


def normal_address(listen: str) -> str:
    """Return the one spelling of an address that two of them are compared in."""
    if listen.startswith("unix:"):
        return listen
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").lower()
    return f"{'127.0.0.1' if host in {'localhost', '::1'} else host}:{port}"


def sidecars(
    configuration: Configuration,
    text_of: Callable[[str], str | None],
    listen: str = DEFAULT_LISTEN,
) -> tuple[Sidecar, ...]:
    """Return the dashboards of a configuration.

    Args:
        configuration: what Apache reads.
        text_of: gives the text of a script, None if it can't be read.
        listen: where a dashboard listens whose script doesn't say.
    """
    by_name = {group.name: group for group in reversed(groups(configuration))}
    proxied = mounts(configuration)
    found = []
    for script in scripts(configuration):
        if script.alias is not None:
            continue
        text = text_of(script.path)
        if not (_named_so(script) if text is None else "mod_wsgi_dashboard" in text):
            continue
        told = script_keywords(text or "").get("listen")
        address = normal_address(told if isinstance(told, str) else listen)
        group = by_name.get(script.process_group or "")
        own = tuple(mount for mount in proxied if mount.leads_to(address))
        found.append(Sidecar(script, group, address, own))
    addresses = [sidecar.address for sidecar in found]
    meant = tuple(_looking_so(proxied, addresses))
    return tuple(one if one.mounts else dataclasses.replace(one, mounts=meant) for one in found)


def _named_so(script: Script) -> bool:
    """Whether a script that can't be read has the name of a dashboard, or its group has."""
    names = (script.process_group or "", script.path.rpartition("/")[2], script.path)
    return any("dashboard" in name.lower() for name in names[:2]) or "mod_wsgi_dashboard" in names[2]


def _looking_so(proxied: tuple[Mount, ...], addresses: Sequence[str]) -> Iterator[Mount]:
    """Yield the mounts that are meant for a dashboard, by their path, and lead to none."""
    for mount in proxied:
        if re.search(r"/(metrics|dashboard)\b", mount.path) and not any(
            mount.leads_to(address) for address in addresses
        ):
            yield mount


def pool(configuration: Configuration, mpm: str) -> Pool:
    """Return the pool of workers that the MPM ("event", "worker", "prefork") makes."""
    names = ("ServerLimit", "ThreadsPerChild", "ThreadLimit", "MaxRequestWorkers", "MaxClients")
    directives = {
        name: directive
        for name in names
        if (directive := configuration.server(name)) is not None and directive.arguments
    }
    if "MaxClients" in directives:
        directives.setdefault("MaxRequestWorkers", directives.pop("MaxClients"))

    def number(name: str, default: int) -> int:
        return _number(directives[name].arguments[0], default) if name in directives else default

    threaded = mpm != "prefork"
    server_limit = number("ServerLimit", 16 if threaded else 256)
    threads = max(number("ThreadsPerChild", 25), 1) if threaded else 1
    return Pool(
        mpm=mpm,
        server_limit=server_limit,
        threads_per_child=threads,
        thread_limit=number("ThreadLimit", 64) if threaded else 1,
        # 16 x 25, whatever ServerLimit and ThreadsPerChild say (measured with the event MPM).
        max_request_workers=number("MaxRequestWorkers", 400 if threaded else 256),
        directives=directives,
    )


def wsgi_options(directive: Directive) -> dict[str, str]:
    """Return the options of one of mod_wsgi's directives, whose values may be quoted: name='a value'."""
    return {
        name.lower(): (*split_words(value), "")[0] for name, value in _WSGI_OPTION.findall(directive.raw)
    }


def _options(words: Sequence[str]) -> dict[str, str]:
    return {
        key.lower(): value for word in words for key, equals, value in [word.partition("=")] if equals
    }


def _number(text: str | None, default: int) -> int:
    # No number of Apache's has more digits, and int() refuses thousands of them.
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else default
