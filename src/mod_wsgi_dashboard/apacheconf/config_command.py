"""The command `mod_wsgi-dashboard config`: what it is asked, what it reads, what it prints.

Owns arguments and output. A configuration, or a diff, goes to stdout; what was read of the server, what
was assumed and what to mind, to stderr.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import choices as choose
from mod_wsgi_dashboard.apacheconf import render, targets, topology, writer
from mod_wsgi_dashboard.apacheconf.choices import Choices, Pool, Version
from mod_wsgi_dashboard.apacheconf.directives import Configuration
from mod_wsgi_dashboard.apacheconf.httpd import Httpd, read_httpd
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.state_directory import DIRECTORY
from mod_wsgi_dashboard.core.errors import UsageError
from mod_wsgi_dashboard.settings import Settings, TcpAddress, UnixAddress

MPMS = ("event", "worker", "prefork")

# Apache's own, where the configuration doesn't say.
DEFAULT_TIMEOUT = 60

# What MPMs have for workers, where no configuration could be read: ServerLimit 16 x 25, or 256.
ASSUMED_POOLS = {
    "event": Pool("event", 25, 16, 400),
    "worker": Pool("worker", 25, 16, 400),
    "prefork": Pool("prefork", 1, 256, 256),
}

# Debian and Red Hat have Apache listen on these themselves, and twice is an error.
USUAL_PORTS = (80, 443)

EXAMPLES = (
    "debian --listen unix:/run/mod_wsgi-dashboard/dashboard.sock --dry-run",
    "rhel --server-name status.example.org --tls /etc/pki/c.pem /etc/pki/k.pem",
    "vhost --access basic:/etc/apache2/dashboard.htpasswd -o dashboard.conf",
    "vhost --listen none --balance 10.0.0.2:8765 --balance 10.0.0.3:8765",
    "express --viewers 20 -o start.sh",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What could be read of the server; None is "not known".

    `ports` are those it listens on, `group_at` the place of another group by the dashboard's name.
    """

    version: Version | None = None
    mpm: str | None = None
    modules: frozenset[str] | None = None
    pool: Pool | None = None
    timeout: int | None = None
    group: str | None = None
    ports: frozenset[int] = frozenset()
    group_at: str | None = None


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "config",
        help="write Apache configuration that works",
        description="Write the configuration of the dashboard, with its reasons in comments. The server"
        " is asked for its version, MPM and modules where it can be. Nothing is overwritten without"
        " --force.",
        epilog="\n".join(f"example: mod_wsgi-dashboard config {line}" for line in EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target",
        choices=choose.TARGETS,
        metavar="TARGET",
        help="express: a start script for mod_wsgi-express. vhost: directives for any Apache. debian,"
        " rhel: files in their places, and the commands to run",
    )
    _add_place(parser)
    _add_ways(parser)
    _add_process(parser)
    _add_output(parser)
    parser.set_defaults(run=run)


def _add_place(parser: argparse.ArgumentParser) -> None:
    place = parser.add_argument_group("where it is seen")
    add = place.add_argument
    add("--mount", metavar="PATH", help="URL path (/metrics/; / with --server-name)")
    add("--server-name", metavar="NAME", help="a virtual host of its own, by this name")
    add("--inside-vhost", action="store_true", help="directives for inside a virtual host of yours")
    add("--tls", nargs=2, metavar=("CERT", "KEY"), help="https:// and wss://, with --server-name")
    add("--port", metavar="N", help="port of the virtual host without TLS (80)")
    add("--https-port", metavar="N", help="port of the virtual host with TLS (443)")
    add("--address", metavar="IP", default="*", help="address of the virtual host (%(default)s)")
    add(
        "--access",
        metavar="WHO",
        default="local",
        help="local: this machine alone (the default). ip:10.0.0.0/8,192.0.2.7. basic:/path/of/htpasswd."
        " existing: a block of yours elsewhere says who may look",
    )


def _add_ways(parser: argparse.ArgumentParser) -> None:
    ways = parser.add_argument_group("how Apache reaches it")
    add = ways.add_argument
    add(
        "--listen",
        metavar="ADDRESS",
        default=str(choose.DEFAULT_LISTEN),
        help="where the dashboard listens: 127.0.0.1:PORT, unix:/path, or none for no dashboard of this"
        " Apache (%(default)s). A unix socket where other users log in: they can reach a port past"
        " Apache's access rules",
    )
    add(
        "--proxy",
        choices=choose.PROXIES,
        help="upgrade: upgrade=websocket, Apache 2.4.47 or newer. rewrite: mod_rewrite to"
        " mod_proxy_wstunnel, inside virtual hosts. wstunnel: ProxyPass to it, everywhere (by version)",
    )
    add(
        "--balance",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a further dashboard, repeatable: HOST:PORT, unix:/path, or https://HOST/PATH/ of an Apache"
        " in front of it",
    )
    add("--backend-ca", metavar="FILE", help="certificates that https:// members are checked against")


def _add_process(parser: argparse.ArgumentParser) -> None:
    process = parser.add_argument_group("its process")
    add = process.add_argument
    add("--python-home", metavar="DIR", help="virtual environment it is installed in (this one)")
    add("--script", metavar="FILE", help="a service script of your own")
    add("--user", metavar="NAME", help="user of the process (Apache's)")
    add("--group", metavar="NAME", help="group of the process (Apache's)")
    add("--viewers", metavar="N", help="make room in Apache's pool for so many at once")
    add(
        "--record",
        choices=choose.RECORDS,
        help="what it keeps on disk: whole samples (full, the default), letters and numbers alone"
        " (states), or nothing",
    )
    add("--state-dir", metavar="DIR", help=f"where to ({DIRECTORY}; express: below the user's home)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("the server, and the output")
    add = output.add_argument
    add("--apachectl", metavar="PATH", help="apachectl, httpd or apache2 to ask; none asks nobody")
    add("--apache-version", metavar="V", help="write for this version, such as 2.4.41")
    add("--mpm", choices=MPMS, help="write for this MPM")
    add(
        "-o",
        "--output",
        metavar="PATH",
        help="vhost, express: a file, instead of stdout. debian, rhel: the directory that stands for /",
    )
    add("--dry-run", action="store_true", help="show what would change, as a diff, and write nothing")
    add("--force", action="store_true", help="overwrite files that are there")


def run(options: argparse.Namespace) -> int:
    """Write, or print, what was asked for."""
    server = read_server(options)
    choices = make_choices(options, server)
    for line in remarks(options, choices, server):
        print(writer.printable(f"mod_wsgi-dashboard: {line}"), file=sys.stderr)
    if choices.target in targets.DISTRIBUTIONS:
        plan = targets.plan(choices)
        _deliver(options, writer.compare(plan.files, Path(options.output or "/")), plan.commands)
        return 0
    files = _files(options, choices)
    if options.output is None:
        print(files[0].text, end="")
        return 0
    _deliver(options, writer.compare(files), ())
    return 0


def read_server(options: argparse.Namespace) -> Server:
    """Return what the server says about itself, and the options that overrule it."""
    version = choose.parse_version(options.apache_version) if options.apache_version else None
    httpd: Httpd | None = None
    configuration: Configuration | None = None
    # mod_wsgi-express makes a configuration of its own.
    if options.apachectl != "none" and options.target != "express":
        httpd, configuration = read_httpd(options.apachectl)
    if configuration is not None:
        # Without a directive there was no file to be read: nothing is known then, modules neither.
        known = bool(configuration.directives)
        configuration = _without_own(configuration, options.output) if known else None
    mpm = options.mpm or (httpd.mpm if httpd else None)
    return Server(
        version=version or (httpd.version if httpd else None),
        mpm=mpm if mpm in MPMS else None,
        modules=configuration.modules if configuration else None,
        pool=_pool(configuration, mpm) if configuration and mpm in MPMS else None,
        timeout=_timeout(configuration) if configuration else None,
        group=httpd.group if httpd else None,
        ports=frozenset(_ports(configuration)) if configuration else frozenset(),
        group_at=_group_at(configuration) if configuration else None,
    )


def make_choices(options: argparse.Namespace, server: Server) -> Choices:
    """Return the choices that the options and the server make together.

    Raises:
        DashboardError: an option is not accepted; the message begins with it.
    """
    place = targets.DISTRIBUTIONS.get(options.target)
    server_name = choose.parse_server_name(options.server_name) if options.server_name else None
    members = tuple(choose.parse_member(text) for text in options.balance)
    backend_ca = options.backend_ca
    if backend_ca is None and place and any(member.tls for member in members):
        backend_ca = place.certificates
    user = choose.parse_account("--user", options.user) if options.user else None
    group = choose.parse_account("--group", options.group) if options.group else None
    if user and not group and options.listen.startswith("unix:"):
        group = server.group or (place.group if place else None)
    script, script_kind = _script(options)
    viewers = choose.parse_viewers(options.viewers) if options.viewers else None
    pool, workers = _workers(options, server, viewers)
    port = _port(options)
    made = Choices(
        target=options.target,
        mount=choose.parse_mount(options.mount or ("/" if server_name else "/metrics/")),
        server_name=server_name,
        address=choose.parse_address(options.address),
        port=port,
        listens=port not in USUAL_PORTS and port not in server.ports,
        tls=_tls(options),
        inside_vhost=options.inside_vhost,
        listen=choose.parse_listen(options.listen),
        members=members,
        backend_ca=choose.parse_path("--backend-ca", backend_ca) if backend_ca else None,
        proxy=options.proxy or _proxy(options, server),
        version=server.version,
        access=choose.parse_access(options.access),
        python_home=choose.parse_path("--python-home", options.python_home or sys.prefix),
        script=script,
        script_kind=script_kind,
        user=user,
        group=group,
        viewers=viewers,
        pool=pool,
        max_request_workers=workers,
        record=options.record,
        state_dir=choose.parse_state_dir(options.state_dir) if options.state_dir else None,
    )
    if made.script_kind == "written" and options.target == "vhost" and not made.settings:
        # Nothing to be said in a script of its own.
        return dataclasses.replace(made, script=_packaged(), script_kind="packaged")
    return made


def remarks(options: argparse.Namespace, choices: Choices, server: Server) -> Iterator[str]:
    """Yield what was read of the server, what was assumed, and what to mind; one line each."""
    if choices.target != "express":
        yield from _read_and_assumed(choices, server)
    heartbeat = Settings().heartbeat
    if server.timeout is not None and server.timeout <= heartbeat:
        yield (
            f"Timeout {server.timeout} is not above the dashboard's heartbeat of {heartbeat:g} s."
            f" {RULES['timeout'].why} Set {RULES['timeout'].fix}"
        )
    if server.group_at is not None and choices.listen is not None:
        yield f"{server.group_at} has a group '{render.GROUP}' already. {RULES['duplicate-group'].why}"
    if server.mpm == "prefork":
        yield f"MPM prefork: {RULES['prefork'].why}"
    if isinstance(choices.listen, TcpAddress):
        yield (
            f"Other users of this machine can reach {choices.listen} past Apache's access rules; where"
            " they log in, use --listen unix:/run/mod_wsgi-dashboard/dashboard.sock"
        )
    if isinstance(choices.listen, UnixAddress) and not targets.makes_directory(choices):
        yield (
            f"The directory of {choices.listen.path} must be there before Apache starts: writable for"
            " the dashboard's user, and closed to others"
        )
    if choices.state_dir is not None and not targets.makes_state_directory(choices):
        yield (
            f"The directory {choices.state_dir} must be there before Apache starts: writable for the"
            " dashboard's user, and closed to others"
        )
    if choices.inside_vhost:
        yield "At server scope, outside of virtual hosts, put: ExtendedStatus On"
    if choices.access.kind == "existing":
        yield f"No Require is written: see that a block of yours covers {choices.mount}"
    if options.output is None and choices.environment and choices.target == "vhost":
        yield (
            f"Apache's environment needs {' '.join(choices.environment)}; -o FILE writes a service"
            " script with it instead"
        )


def _read_and_assumed(choices: Choices, server: Server) -> Iterator[str]:
    version = ".".join(map(str, server.version)) if server.version else None
    read = [f"Apache {version}"] if version else []
    read += [f"MPM {server.mpm}"] if server.mpm else []
    assumed = [] if version else ["Apache 2.4.47 or newer"]
    if server.modules is not None:
        missing = [name for name in render.modules(choices) if name not in server.modules]
        read.append(f"modules to load: {' '.join(missing)}" if missing else "all modules loaded")
    if server.pool is not None:
        read.append(f"MaxRequestWorkers {server.pool.max_request_workers}")
    elif choices.pool is not None:
        assumed.append(f"MPM {choices.pool.mpm} with {_assumed(choices.pool.mpm)} workers for the site")
    if read:
        yield f"Written for: {', '.join(read)}"
    if server.modules is None:
        yield "Not known, since no configuration could be read: modules, MaxRequestWorkers, Timeout"
    if assumed:
        yield f"Assumed, since no server could be asked: {', '.join(assumed)}"


def _assumed(mpm: str) -> int:
    return ASSUMED_POOLS[mpm].max_request_workers


def _deliver(
    options: argparse.Namespace, changes: tuple[writer.Change, ...], commands: Iterable[str]
) -> None:
    """Show the changes, or make them; then name the commands to run."""
    if options.dry_run:
        for change in changes:
            print(writer.diff(change), end="")
            if change.unchanged:
                print(writer.printable(f"mod_wsgi-dashboard: unchanged {change.path}"), file=sys.stderr)
        return
    writer.write(changes, force=options.force)
    for change in changes:
        done = "unchanged" if change.unchanged else "written  "
        print(writer.printable(f"{done} {change.path}"))
    lines = list(commands)
    if lines:
        print("Then, as root:")
    for line in lines:
        print(f"  {line}")


def _files(options: argparse.Namespace, choices: Choices) -> tuple[targets.File, ...]:
    """Return the files of the targets express and vhost; the first is the one to be printed."""
    path = str(Path(options.output).absolute()) if options.output is not None else ""
    if choices.target == "express":
        return (targets.File(path, targets.express(choices)),)
    configuration = targets.File(path, render.render(choices))
    if choices.script_kind != "written":
        return (configuration,)
    return configuration, targets.File(choices.script, targets.service_script(choices))


def _script(options: argparse.Namespace) -> tuple[str, str]:
    """Return the path of the service script, and whose it is."""
    if options.script:
        return choose.parse_path("--script", options.script), "own"
    if options.target in targets.DISTRIBUTIONS:
        return targets.DISTRIBUTIONS[options.target].script, "written"
    if options.target == "vhost" and options.output is not None:
        beside = Path(options.output).absolute().with_suffix(".py")
        if beside == Path(options.output).absolute():
            choose.refuse(
                "--output", options.output, "a name such as dashboard.conf, with a .py beside it"
            )
        return choose.parse_path("--output", str(beside)), "written"
    return _packaged(), "packaged"


def _packaged() -> str:
    return str(resources.files("mod_wsgi_dashboard") / "service_script.py")


def _tls(options: argparse.Namespace) -> choose.Tls | None:
    if options.tls is None:
        return None
    certificate, key = (choose.parse_path("--tls", text) for text in options.tls)
    return choose.Tls(certificate, key)


def _port(options: argparse.Namespace) -> int:
    if options.https_port is not None and options.tls is None:
        raise UsageError("--https-port has no effect without --tls CERT KEY")
    if options.port is not None and (options.tls is not None or options.server_name is None):
        raise UsageError("--port is for --server-name without --tls; with it, use --https-port")
    if options.address != "*" and options.server_name is None:
        raise UsageError("--address has no effect without --server-name NAME")
    if options.tls is not None:
        return choose.parse_port("--https-port", options.https_port or "443")
    return choose.parse_port("--port", options.port or "80")


def _proxy(options: argparse.Namespace, server: Server) -> str:
    """Return the way for WebSockets that the server's version has."""
    if options.target == "express" or server.version is None or server.version >= choose.UPGRADE_SINCE:
        return "upgrade"
    # Rewrite rules outside of virtual hosts hold in no virtual host that doesn't ask for them.
    return "rewrite" if options.server_name or options.inside_vhost else "wstunnel"


def _workers(
    options: argparse.Namespace, server: Server, viewers: int | None
) -> tuple[Pool | None, int | None]:
    """Return the pool to be written, if viewers need one; and how many workers there are then."""
    if options.target == "express":
        return None, targets.express_workers(viewers) if viewers is not None else None
    if viewers is None:
        return None, server.pool.max_request_workers if server.pool else None
    pool = choose.enlarge(server.pool or ASSUMED_POOLS[server.mpm or "event"], viewers)
    return pool, pool.max_request_workers


def _without_own(configuration: Configuration, output: str | None) -> Configuration:
    """Return a configuration without what this command wrote: its pool must not grow each time."""
    own = {f"{targets.NAME}.conf"} | ({Path(output).name} if output else set())
    kept = tuple(d for d in configuration.directives if Path(d.place.file).name not in own)
    return dataclasses.replace(configuration, directives=kept)


def _pool(configuration: Configuration, mpm: str) -> Pool:
    found = topology.pool(configuration, mpm)
    return Pool(mpm, found.threads_per_child, found.server_limit, found.max_request_workers)


def _timeout(configuration: Configuration) -> int | None:
    directive = configuration.server("Timeout")
    if directive is None or not directive.arguments:
        return DEFAULT_TIMEOUT
    text = directive.arguments[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _group_at(configuration: Configuration) -> str | None:
    groups = topology.groups(configuration)
    return next((str(g.directive.place) for g in groups if g.name == render.GROUP), None)


def _ports(configuration: Configuration) -> Iterator[int]:
    for directive in configuration.find("Listen"):
        port = directive.arguments[0].rpartition(":")[2] if directive.arguments else ""
        if port.isascii() and port.isdecimal() and len(port) <= 5:
            yield int(port)
