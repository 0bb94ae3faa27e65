"""The command `export-assets`: what the package brings along for Prometheus and Grafana, as files.

Owns its arguments and output. What the files say is theirs: they are written as they are.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import writer
from mod_wsgi_dashboard.apacheconf.targets import File

# Each file, and what it is for.
ASSETS = {
    "grafana-dashboard.json": "a dashboard for Grafana",
    "alert-rules.yml": "alerts for Prometheus",
    "recording-rules.yml": "recorded series for Prometheus",
    "prometheus.yml": "Prometheus for one host",
    "prometheus-fleet.yml": "Prometheus for many hosts",
    "targets.json": "the hosts, for prometheus-fleet.yml",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "export-assets",
        help="write a Grafana dashboard, and rules and configuration for Prometheus",
        description="Write a Grafana dashboard, alert and recording rules, and Prometheus configurations"
        " for one host and for many. Nothing is overwritten without --force; files that are the same"
        " already are left alone.",
        epilog="example: mod_wsgi-dashboard export-assets /etc/prometheus/mod_wsgi-dashboard",
    )
    add = parser.add_argument
    add("directory", metavar="DIR", help="where to, made if it isn't there")
    add("--dry-run", action="store_true", help="show what would change, as a diff, and write nothing")
    add("--force", action="store_true", help="overwrite files that are there and differ")
    parser.set_defaults(run=export_assets)


def export_assets(options: argparse.Namespace) -> int:
    """Write the files, and say which."""
    folder = Path(options.directory)
    changes = writer.compare((File(name, text(name)) for name in ASSETS), folder)
    if options.dry_run:
        print("".join(map(writer.diff, changes)), end="")
        return 0
    writer.write(changes, force=options.force)
    width = max(len(str(change.path)) for change in changes)
    for change in changes:
        same = " (was there already)" if change.unchanged else ""
        line = f"{change.path!s:{width}}  {ASSETS[change.path.name]}{same}"
        print(writer.printable(line))
    return 0


def text(name: str) -> str:
    """Return the text of an asset."""
    return (resources.files("mod_wsgi_dashboard") / "assets" / name).read_text(encoding="utf-8")
