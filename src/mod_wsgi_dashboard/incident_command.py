"""The commands `export` and `replay`: an incident file from a recording, and the page on one.

Owns their arguments and output. What was written is told on stdout, unless that is where it went. Times
are those of the machine's time zone.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from mod_wsgi_dashboard import incident, local_recordings
from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.core.errors import UsageError
from mod_wsgi_dashboard.incident import IncidentError, NothingRecorded, shown_bytes
from mod_wsgi_dashboard.instants import INSTANTS, shown
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.settings import Settings, TcpAddress
from mod_wsgi_dashboard.unpacking import MOST_UNPACKED, unpack

if TYPE_CHECKING:
    from aiohttp import web

# Half of what is opened again: it can't grow beyond that.
MOST_BYTES = MOST_UNPACKED // 2

# Rows of CSV that are made at once.
ROWS_AT_ONCE = 1000

Make = Callable[[], "web.Application"]


class Serve(Protocol):
    """Shows an application until it is stopped, and returns the exit status."""

    def __call__(self, make: Make, settings: Settings, title: str, *, verbose: bool) -> int:
        """Listen as the settings say, and print the address behind the title."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser], serve: Serve) -> None:
    """Add the commands to the command line.

    Args:
        commands: the command line.
        serve: how an application is shown.
    """
    _add_export(commands)
    _add_replay(commands, serve)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "export",
        help="write what was recorded into a file to take along",
        description="Write a range of the recording into one file, for `replay` on any machine:"
        " compressed, with checksums, redacted as what was recorded. The dashboard goes on recording"
        f" meanwhile. An instant T is {INSTANTS}; local time.",
        epilog="example: mod_wsgi-dashboard export --from 03:00 --to 03:20",
    )
    local_recordings.add_options(parser, start=None)
    add = parser.add_argument
    add(
        "-o",
        "--output",
        metavar="FILE",
        help="file to write, - is stdout (incident-YYYYmmdd-HHMM.gz, by where the range begins)",
    )
    add("--force", action="store_true", help="overwrite FILE")
    add("--csv", action="store_true", help="numbers over time as CSV instead, to stdout without -o")
    add("--step", metavar="SECONDS", type=_step, help="seconds of each row, with --csv (1)")
    parser.set_defaults(run=export)


def _step(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= history.DAY:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {history.DAY}")
    return int(text)


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser], serve: Serve) -> None:
    parser = commands.add_parser(
        "replay",
        help="show an incident file in the dashboard",
        description="Serve the dashboard on what `export` wrote, or on a recording, without Apache.",
        epilog="example: mod_wsgi-dashboard replay incident-20261121-0312.gz",
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="an incident file, or a recording")
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=int, default=8765, help="port, 0 picks a free one (%(default)s)")
    add("-v", "--verbose", action="store_true", help="log what happens")
    parser.set_defaults(run=functools.partial(replay, serve=serve))


def export(options: argparse.Namespace) -> int:
    """Write an incident file, or CSV."""
    if options.step is not None and not options.csv:
        raise UsageError("--step goes with --csv")
    now = time.time()
    start, end = local_recordings.asked_range(options, now)
    with local_recordings.opened(options.recording) as (path, recording):
        start, end = local_recordings.whole_range(recording, start, end, now=now, length=0.0)
        if options.csv:
            return _export_csv(options, recording, start, end)
        return _export_file(options, path, start, end)


def _export_file(options: argparse.Namespace, path: Path, start: float, end: float) -> int:
    name = options.output or datetime.fromtimestamp(start).strftime("incident-%Y%m%d-%H%M.gz")
    if name == "-":
        with tempfile.TemporaryDirectory(prefix="mod_wsgi-dashboard-") as folder:
            target = Path(folder, "incident")
            summary = _write(path, start, end, target)
            with target.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer)
    else:
        target = Path(name)
        _keep(target, force=options.force)
        summary = _write(path, start, end, target)
    output = sys.stderr if name == "-" else sys.stdout
    samples = f"{summary.samples:,} sample{'' if summary.samples == 1 else 's'}"
    since, until, size = shown(summary.since), shown(summary.until), shown_bytes(summary.bytes)
    print(f"{samples} from {since} to {until}, {size}:", file=output)
    # As sha256sum writes and reads it.
    print(f"{summary.sha256}  {name}", file=output)
    return 0


def _write(path: Path, start: float, end: float, target: Path) -> incident.Summary:
    return incident.write(path, int(start * 1000), int(end * 1000), target, most_bytes=MOST_BYTES)


def _keep(target: Path, *, force: bool) -> None:
    if not force and os.path.lexists(target):
        raise IncidentError(f"{target} is there already: --force overwrites it, -o names another file")


def _export_csv(options: argparse.Namespace, recording: Recording, start: float, end: float) -> int:
    step, rows = _csv_rows(recording, start, end, history.round_step(options.step or 1))
    if step > (options.step or 1):
        print(f"From {shown(start)} on there are rows of {step} s.", file=sys.stderr)
    if options.output in (None, "-"):
        _write_csv(sys.stdout, rows)
        return 0
    target = Path(options.output)
    _keep(target, force=options.force)
    try:
        with target.open("w", newline="", encoding="ascii") as file:
            _write_csv(file, rows)
    except OSError as error:
        raise IncidentError(f"{target} can't be written: {error.strerror or error}") from None
    return 0


def _write_csv(file: TextIO, rows: Iterable[tuple[object, ...]]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["at", *(f"{n}_{what}" for n in history.SERIES for what in ("mean", "min", "max"))])
    writer.writerows(rows)


def _csv_rows(
    recording: Recording, start: float, end: float, step: int
) -> tuple[int, Iterator[tuple[object, ...]]]:
    """Return the step that there is for all of a range, and its rows, which are made bit by bit."""
    extent = recording.extent()
    since, until = extent.history_since, extent.until
    if since is None or until is None or start > until or end < since:
        raise NothingRecorded(f"Nothing was recorded from {shown(start)} to {shown(end)}.")
    start, end = max(start, since), min(end, until + 1)
    # Fine steps are kept for a shorter time: where the range begins tells.
    _, step = recording.aggregates(start, start, step)

    def rows() -> Iterator[tuple[object, ...]]:
        at = start - start % step
        while at < end:
            table, _ = recording.aggregates(at, min(at + ROWS_AT_ONCE * step, end), step)
            yield from _rows_of(table)
            at += ROWS_AT_ONCE * step

    return step, rows()


def _rows_of(table: history.Table) -> Iterator[tuple[object, ...]]:
    columns: list[list[float | int | None]] = []
    for number, name in enumerate(history.SERIES):
        columns.append(history.shown(name, table.columns.means[number], mean=True))
        columns.append(history.shown(name, table.columns.least[number], mean=False))
        columns.append(history.shown(name, table.columns.most[number], mean=False))
    return zip(table.at, *columns, strict=True)


def replay(options: argparse.Namespace, serve: Serve) -> int:
    """Serve the dashboard on an incident file until it is stopped."""
    from mod_wsgi_dashboard.app import create_replay

    settings = Settings.load(listen=str(TcpAddress(options.host, options.port)))
    file = Path(options.file)
    with tempfile.TemporaryDirectory(prefix="mod_wsgi-dashboard-") as folder:
        path = unpack(file, Path(folder))
        recording = Recording(path, still=True)
        extent = recording.extent()
        recording.close()
        title = f"{file.name}, {shown(extent.since or 0.0)} to {shown(extent.until or 0.0)}"
        return serve(
            lambda: create_replay(settings, path, file.name), settings, title, verbose=options.verbose
        )
