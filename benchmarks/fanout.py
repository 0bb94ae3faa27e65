"""The fan-out's table: the dashboard against a reference and a floor, under the same load.

`python -m benchmarks.fanout [CELL ...]`. Owns which cells and servers are measured, in which order, and
how they are compared. Servers alternate within a repetition, so that what slows the machine slows all of
them; ratios are of neighbours, and a median of the repetitions' ratios.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import children
from benchmarks.children import BenchmarkError
from benchmarks.measure import Bench, Cell, Measurement

RESULTS = children.REPOSITORY / "artifacts" / "benchmarks.json"

WORKERS, VIEWERS = (150, 1600, 6400), (1, 100, 1000, 5000, 10_000)

# What `make bench` has the time for.
DEFAULT = (
    "1600x1-deflate",
    "1600x1000-plain",
    "1600x1000-deflate",
    "1600x5000-deflate",
    "6400x100-deflate",
    "1600x100-plain-stalled1",
)

# Above so many workers x viewers a tick of the reference takes more than five seconds when it deflates
# (3 us each), and holds more than 6 GB in socket buffers when it doesn't (0.5 kB each).
REFERENCE_DEFLATES, REFERENCE_SENDS = 1_600_000, 8_000_000

# A floor says something where sending is the most of the work.
FLOOR_VIEWERS = 1000

# The dashboard under the same load, but without the viewers that stall or are slow.
UNDISTURBED = "undisturbed"

# In this order, with digits behind the point.
FIGURES = {
    "bytes/viewer/tick": 0,
    "first message bytes": 0,
    "CPU ms/tick": 2,
    "CPU us/viewer/tick": 1,
    "cpu share %": 1,
    "p50 ms": 1,
    "p99 ms": 1,
    "ticks missed %": 1,
    "RSS at rest MB": 0,
    "RSS MB": 0,
    "KB/viewer": 1,
    "loop lag p99 ms": 1,
    "longest lag ms": 1,
}

# Where less is better, and a ratio of two servers means something.
COMPARED = (
    "bytes/viewer/tick",
    "CPU ms/tick",
    "CPU us/viewer/tick",
    "p50 ms",
    "p99 ms",
    "KB/viewer",
    "loop lag p99 ms",
    "longest lag ms",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What one figure of the dashboard should be: absolute, or as a ratio.

    `against` the reference a ratio is how many times better the dashboard is, and `bound` the least;
    against the floor and the undisturbed dashboard it is how many times worse, and `bound` the most.
    """

    cells: tuple[str, ...]
    figure: str
    against: str | None
    bound: float

    @property
    def at_least(self) -> bool:
        return self.against == "reference"

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.bound:g}{'x' if self.against else ''}"


TARGETS = (
    Target(("1600x1000-deflate",), "CPU us/viewer/tick", "reference", 200),
    Target(("1600x1000-plain",), "CPU us/viewer/tick", "reference", 10),
    Target(("1600x1000-deflate",), "bytes/viewer/tick", "reference", 14),
    Target(("1600x1000-plain",), "bytes/viewer/tick", "reference", 30),
    Target(("6400x1-deflate",), "bytes/viewer/tick", "reference", 17),
    Target(("6400x1-plain",), "bytes/viewer/tick", "reference", 32),
    Target(("6400x1-deflate",), "CPU ms/tick", "reference", 10),
    Target(("1600x1000-deflate",), "p99 ms", "reference", 150),
    Target(("1600x1000-plain",), "p99 ms", "reference", 8),
    Target(("1600x1000-deflate", "1600x1000-plain"), "CPU us/viewer/tick", "floor", 1.7),
    Target(("1600x5000-deflate", "1600x5000-plain"), "CPU us/viewer/tick", "floor", 1.3),
    Target(("1600x1000-deflate", "1600x1000-plain", "1600x5000-deflate"), "KB/viewer", None, 16),
    Target(("1600x1000-deflate", "1600x1000-plain"), "RSS at rest MB", None, 60),
    Target(("1600x10000-deflate", "1600x10000-plain"), "cpu share %", None, 12),
    Target(("1600x5000-deflate-lag", "1600x5000-plain-lag"), "loop lag p99 ms", None, 6),
    Target(
        ("1600x100-deflate-stalled1", "1600x100-plain-stalled1", "1600x100-deflate-slow10"),
        "p99 ms",
        UNDISTURBED,
        1.5,
    ),
)


@dataclasses.dataclass(slots=True)
class Comparison:
    """All runs of one cell, by server, one per repetition; None where one could not be measured."""

    cell: Cell
    runs: Mapping[str, Sequence[Measurement | None]]

    def values(self, server: str, figure: str) -> list[float | None]:
        """Return a figure of each repetition."""
        return [None if run is None else run.figures().get(figure) for run in self.runs.get(server, [])]

    @property
    def first(self) -> str:
        """The server that is compared with the others: the dashboard, if it takes part."""
        return next(iter(self.runs))

    def ratios(self, figure: str, against: str) -> list[float]:
        """Return, of each repetition, how many times better than the reference the first server is.

        Against any other server: how many times worse.
        """
        pairs = zip(self.values(self.first, figure), self.values(against, figure), strict=False)
        found = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
        if against == "floor" and figure == "KB/viewer":
            return []  # it keeps nothing for a viewer
        if against == "reference":
            return [theirs / ours for ours, theirs in found]
        return [ours / theirs for ours, theirs in found]


def all_cells() -> list[Cell]:
    """Return every cell of the table, with what `--full` measures beside it."""
    cells = [
        Cell(workers, viewers, deflate)
        for workers in WORKERS
        for viewers in VIEWERS
        for deflate in (False, True)
    ]
    for deflate in (False, True):
        cells += [
            Cell(1600, 100, deflate, stalled=1),
            Cell(1600, 100, deflate, slow=10),
            Cell(1600, 1000, deflate, lag=True),
            Cell(1600, 5000, deflate, lag=True),
        ]
    return cells


def servers_of(cell: Cell) -> list[str]:
    """Return which servers are measured in a cell, in their order."""
    limit = REFERENCE_DEFLATES if cell.deflate else REFERENCE_SENDS
    servers = ["dashboard"]
    if cell.workers * cell.viewers <= limit:
        servers.append("reference")
    if cell.disturbed:
        servers.append(UNDISTURBED)
    elif cell.viewers >= FLOOR_VIEWERS and not cell.lag:
        servers.append("floor")
    return servers


def compare(
    bench: Bench, cell: Cell, servers: Iterable[str], *, reps: int, tell: Callable[[str], None]
) -> Comparison:
    """Measure a cell, all servers in turn, so many times."""
    measured: dict[str, list[Measurement | None]] = {server: [] for server in servers}
    sizes: list[int] = []
    for rep in range(reps):
        for server, runs in measured.items():
            tell(f"{cell}: {server}, {rep + 1} of {reps}")
            run: Measurement | None = None
            try:
                run = _measure(bench, cell, server, sizes)
            except BenchmarkError as error:
                print(f"\n{cell}, {server}: {error}", file=sys.stderr)
            runs.append(run)
            if server == "dashboard" and run is not None:
                sizes = run.sizes
    return Comparison(cell, measured)


def _measure(bench: Bench, cell: Cell, server: str, sizes: list[int]) -> Measurement:
    if server == UNDISTURBED:
        alone = dataclasses.replace(cell, stalled=0, slow=0)
        return bench.measure("dashboard", alone, warmup=cell.warmup("dashboard"))
    return bench.measure(server, cell, sizes=sizes)


def show(comparison: Comparison, figures: Iterable[str] = FIGURES) -> str:
    """Return the table of one cell: medians, ratios, and targets."""
    cell, runs = comparison.cell, comparison.runs
    others = [server for server in runs if server != comparison.first]
    form = "deflate" if cell.deflate else "plain"
    title = f"{cell.workers} workers x {cell.viewers} viewers, {form}"
    title += f", {cell.stalled} stalled" if cell.stalled else ""
    title += f", {cell.slow} slow" if cell.slow else ""
    rows = [["", *runs, *(f"ratio to {other}" for other in others), "target"]]
    for figure in figures:
        digits = FIGURES[figure]
        values = [_median(comparison.values(server, figure), digits) for server in runs]
        if set(values) == {"-"}:
            continue
        ratios = [_ratio(comparison, figure, other) for other in others]
        rows.append([figure, *values, *ratios, _targets(comparison, figure)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        padded = [text.rjust(width) for text, width in zip(row[1:-1], widths[1:-1], strict=True)]
        lines.append("  ".join(["", row[0].ljust(widths[0]), *padded, row[-1]]).rstrip())
    return "\n".join([*lines, *_notes(comparison)])


def _median(values: list[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    text = f"{statistics.median(known):,.{digits}f}"
    if len(known) > 1:
        text += f" [{min(known):,.{digits}f}..{max(known):,.{digits}f}]"
    return text


def _ratio(comparison: Comparison, figure: str, against: str) -> str:
    ratios = comparison.ratios(figure, against) if figure in COMPARED else []
    if not ratios:
        return ""
    spread = f" [{min(ratios):.3g}..{max(ratios):.3g}]" if len(ratios) > 1 else ""
    return f"{statistics.median(ratios):.3g}x{spread}"


def _targets(comparison: Comparison, figure: str) -> str:
    found = []
    for target in TARGETS if comparison.first == "dashboard" else ():
        if str(comparison.cell) not in target.cells or target.figure != figure:
            continue
        if target.against:
            values = comparison.ratios(figure, target.against)
        else:
            values = [value for value in comparison.values("dashboard", figure) if value is not None]
        if values:
            met = target.met(statistics.median(values))
            name = f" {target.against}" if target.against else ""
            found.append(f"{target}{name}: {'met' if met else 'MISSED'}")
    return ", ".join(found)


def _notes(comparison: Comparison) -> list[str]:
    notes: dict[str, None] = {}
    for server, runs in comparison.runs.items():
        for run in runs:
            if run is None:
                notes[f"{server}: a run failed"] = None
                continue
            if run.stopped:
                came = run.raw["delivered"] / run.raw["viewers"]
                notes[f"{server}: stopped; {came:.1f} ticks came in {run.raw['seconds']:.0f} s"] = None
            for warning in run.warnings(comparison.cell):
                notes[f"{server}: {warning}"] = None
    measured = [run for runs in comparison.runs.values() for run in runs if run is not None]
    busiest = max((run.generator_share for run in measured), default=0.0)
    notes[f"the generator's own CPU was {busiest:.0%} of a core at most"] = None
    return [f"  ({note})" for note in notes]


def as_json(comparisons: list[Comparison], arguments: argparse.Namespace) -> dict[str, Any]:
    """Return everything that was measured, for the results' file."""
    return {
        "host": children.describe_host(),
        "aiohttp": metadata.version("aiohttp"),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": arguments.seconds,
        "reps": arguments.reps,
        "pinned": arguments.pin,
        "cells": {
            str(comparison.cell): {
                server: [
                    None if run is None else {**run.figures(), "raw": run.raw, "rest_kb": run.rest_kb}
                    for run in runs
                ]
                for server, runs in comparison.runs.items()
            }
            for comparison in comparisons
        },
    }


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", help=Cell.FORM)
    parser.add_argument("--full", action="store_true", help="every cell: takes an hour and a half")
    parser.add_argument("--reps", type=int, default=3, help="repetitions (default: 3)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a window (default: 6)")
    parser.add_argument(
        "--servers", help="only these, such as dashboard,reference,floor,unredacted,example"
    )
    parser.add_argument("--example", type=Path, help="path of the documented example")
    parser.add_argument("--pin", action="store_true", help="server and generator on a core each")
    parser.add_argument("--json", type=Path, default=RESULTS, help=f"results (default: {RESULTS})")
    return parser.parse_args(arguments)


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write what the options say."""
    names = arguments.cells or ([] if arguments.full else DEFAULT)
    cells = [Cell.parse(name) for name in names] or all_cells()
    limit = children.prepare()
    where = "server and generator pinned to a core each" if arguments.pin else "nothing pinned"
    print(
        f"Fan-out: medians of {arguments.reps} [least..most], {arguments.seconds:g} s each,"
        f" 20 % of the workers change per tick; {where}; {limit} files",
        flush=True,
    )
    comparisons: list[Comparison] = []
    with Bench(seconds=arguments.seconds, pin=arguments.pin, example=arguments.example) as bench:
        for cell in cells:
            servers = arguments.servers.split(",") if arguments.servers else servers_of(cell)
            comparisons.append(compare(bench, cell, servers, reps=arguments.reps, tell=_tell))
            _tell("")
            print(show(comparisons[-1]), flush=True)
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(as_json(comparisons, arguments), indent=1))
    print(f"written to {arguments.json}")


def _tell(progress: str) -> None:
    """Show what is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Run the fan-out's benchmark."""
    try:
        run(parse_arguments())
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
