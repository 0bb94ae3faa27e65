"""The command `mod_wsgi-dashboard doctor`: what it is asked, what it gathers, and what it prints.

Owns arguments and output. Findings go to stdout, whatever keeps it from looking to stderr; exit
status 0 nothing wrong (notes alone), 1 findings or failure, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import doctor, logs, machine, report, running, security_tools
from mod_wsgi_dashboard.apacheconf.files import read_files
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.rules import GROUPS, RULES
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.core.errors import DashboardError

# Where distributions keep the configuration, for machines whose Apache can't be run.
CONFIGURATIONS = (
    "/etc/apache2/apache2.conf",
    "/etc/httpd/conf/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
)

# Debian's way to give Apache an environment.
ENVVARS = Path("/etc/apache2/envvars")
ENVVARS_BYTES = 64 * 1024

# What Apache says where there is no configuration at all.
_MISSING = "Could not open configuration file"

_EXPORT = re.compile(r"""^\s*export\s+(MOD_WSGI_DASHBOARD_\w+)=["']?([^"'\n]*)["']?\s*$""", re.MULTILINE)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "doctor",
        help="find what is wrong with the dashboard's Apache",
        description="Look at Apache's configuration, logs, sockets and processes, and at the dashboard"
        " from outside, and say what is wrong, where, why it matters and what to write instead. Changes"
        " nothing.",
        epilog="example: mod_wsgi-dashboard doctor --url https://www.example.com/metrics/",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="judge this configuration alone, not the live server"
    )
    parser.add_argument(
        "--apachectl", metavar="PATH", help="apachectl, httpd or apache2 to ask (from PATH)"
    )
    parser.add_argument(
        "--url", help="try the dashboard's public address, too; USER:PASSWORD@ is Basic auth"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificates that --url may be signed by")
    parser.add_argument("--insecure", action="store_true", help="don't verify the certificate of --url")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="(%(default)s)")
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        choices=list(RULES),
        metavar="NAME",
        help="only this; repeatable",
    )
    parser.add_argument("--list-checks", action="store_true", help="name the checks, and end")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look, print and return the exit status."""
    if options.list_checks:
        _list_checks()
        return 0
    # First, for an address that can't be tried is a matter of the command line.
    address = _address(options.url) if options.url is not None else None
    system = gather(options.config, options.apachectl, required=address is None)
    findings = doctor.examine(system, options.check) if system is not None else []
    if address is not None:
        findings += _probed(options, address)
    findings = report.ordered(findings)
    read = " ".join(filter(None, (describe(system), f"Tried {address}." if address else "")))
    if options.format == "json":
        import msgspec

        data = msgspec.json.format(msgspec.json.encode(report.as_data(findings, read)), indent=2)
        print(data.decode())
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        print(report.as_text(findings, read, colour=colour))
    return report.exit_status(findings)


def _list_checks() -> None:
    width = max(map(len, RULES))
    for group, title in GROUPS.items():
        print(title)
        for rule in RULES.values():
            if rule.group == group:
                print(f"  {rule.name:{width}}  {rule.title}")


def _address(url: str) -> str:
    """Return a URL as it may be shown: without credentials, query and fragment."""
    from mod_wsgi_dashboard.apacheconf import visitor

    return visitor.target_of(url, None).url


def _probed(options: argparse.Namespace, address: str) -> list[Finding]:
    # aiohttp is slow to import, and no other command of a moment needs it.
    from mod_wsgi_dashboard.apacheconf import probe

    if sys.stderr.isatty():
        print(f"Trying {address} ...", file=sys.stderr)
    found = asyncio.run(probe.probe(options.url, ca_file=options.ca_file, insecure=options.insecure))
    return [finding for finding in found if not options.check or finding.check in options.check]


def gather(config: str | None, apachectl: str | None, *, required: bool = True) -> System | None:
    """Read a configuration file alone, or the live server, and return what the checks look at.

    Args:
        config: the file to judge alone; None for the live server.
        apachectl: the program to ask.
        required: whether it is a failure that there is no Apache and no configuration.

    Raises:
        DashboardError: nothing can be read; the message says what to name.
    """
    if config is not None:
        path = Path(config)
        if not path.is_file():
            raise DashboardError(f"--config {config}: there is no such file")
        httpd, configuration = read_httpd(apachectl, path)
        if configuration is None:
            configuration = read_files(path)
        return System(configuration=configuration, httpd=httpd, environ=os.environ)
    httpd, configuration = read_httpd(apachectl)
    if httpd is not None and httpd.syntax_error and _MISSING in httpd.syntax_error.message:
        raise DashboardError(
            f"{httpd.syntax_error.message}: name one with --config, or with --apachectl the program that"
            " knows where it is"
        )
    if configuration is None:
        found = next((path for path in CONFIGURATIONS if os.path.exists(path)), None)
        if found is None:
            if required:
                raise DashboardError(
                    "found no Apache: name its program with --apachectl, or a configuration by --config"
                )
            return None
        configuration = read_files(Path(found), environ=os.environ)
    system = System(configuration=configuration, httpd=httpd, live=True)
    environ, known = _environment(system.parent)
    system = dataclasses.replace(
        system,
        logs=logs.error_logs(configuration, httpd),
        environ=environ,
        environ_known=known,
        tools=security_tools.outputs(security_tools.labelled_paths(configuration)),
    )
    return dataclasses.replace(system, answers=dict(_answers(system)))


def _answers(system: System) -> Iterator[tuple[str, running.Answer]]:
    """Yield what the dashboards of a running Apache say of themselves, by their address."""
    if system.parent is None:
        return
    for sidecar in system.sidecars:
        where = sidecar.address
        if not system.environ_known and sidecar.mounts:
            # It may be told to listen elsewhere; then its mounts lead there.
            where = sidecar.mounts[0].address or where
        yield sidecar.address, running.ask(where)


def _environment(parent: machine.Process | None) -> tuple[Mapping[str, str], bool]:
    """Return the environment that this Apache's dashboard has its settings from, and if it's that.

    That of a running one, if it may be read; else a guess: Debian's envvars, and this process's own.
    """
    for process in machine.processes():
        if parent is not None and process.parent == parent.pid and process.title.startswith("(wsgi:"):
            # All daemons of an Apache have the same one.
            found = machine.environment(process.pid)
            if found:
                return found, True
    text = machine.text_of(ENVVARS, ENVVARS_BYTES) or ""
    return {**os.environ, **dict(_EXPORT.findall(text))}, False


def describe(system: System | None) -> str:
    """Return in a sentence or two what was looked at."""
    if system is None:
        return ""
    httpd = system.httpd
    parts = []
    if httpd is not None and httpd.version is not None:
        version = ".".join(map(str, httpd.version))
        parts.append(f"Apache {version}{f' ({system.mpm})' if system.mpm else ''}")
    if httpd is not None and httpd.config_file:
        parts.append(httpd.config_file)
    parts.append(f"{len(system.configuration.directives)} directives")
    read = f"Read {', '.join(parts)}"
    if not system.sidecars:
        return f"{read}; no dashboard runs in this Apache: `mod_wsgi-dashboard config` writes one."
    paths = sorted({mount.path for mount in system.dashboard_mounts}) or ["no path of Apache"]
    return f"{read}; the dashboard is at {', '.join(paths)}."
