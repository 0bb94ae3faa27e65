"""A peer: mod_wsgi-telemetry's live view of six processes, beside the dashboard of 150 workers.

`python -m benchmarks.peer`, not part of `make bench`: it installs the peer from PyPI, into an
environment that is thrown away. The two show different things (WSGI processes, Apache's workers), so
this says what a viewer of each costs, not that one could take the other's place. The peer sends one
message per process and second, without a tick that all of them belong to: its delays can't be measured
from outside, and a "tick" is a second here.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks import children, fanout, scoreboard
from benchmarks.children import BenchmarkError
from benchmarks.measure import Bench, Cell, Measurement

PACKAGE = "mod_wsgi-telemetry"
PROCESSES = 6

# It refuses the 65th subscriber; lifted, so that more than a few can be measured.
START = (
    "from mod_wsgi.telemetry import cli, ingest;"
    "ingest.Ingester.__init__.__kwdefaults__['max_subscribers'] = 1_000_000;"
    "cli.main()"
)

CELLS = ("150x1-plain", "150x100-plain", "150x100-deflate", "150x1000-plain")
SHOWN = ("CPU us/viewer/tick", "bytes/viewer/tick", "first message bytes", "cpu share %", "KB/viewer")


@contextlib.contextmanager
def ticking(stamps: Path) -> Iterator[None]:
    """Note a tick each second in the server's stead, so that figures are per second."""
    scoreboard.Stamps.create(stamps)
    ticks, over = scoreboard.Stamps(stamps), threading.Event()

    def tick() -> None:
        while not over.wait(1.0):
            ticks.add()

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def install(directory: Path) -> Path:
    """Install the peer into an environment of its own, and return that one's Python.

    Raises:
        BenchmarkError: it can't be installed.
    """
    python = directory / "bin" / "python"
    try:
        subprocess.run([sys.executable, "-m", "venv", directory], check=True, timeout=120)
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        raise BenchmarkError(f"{PACKAGE} can't be installed: {error}") from None
    return python


def measure(bench: Bench, python: Path, cell: Cell) -> Measurement:
    """Measure the peer with a cell's viewers."""
    port, socket = children.free_port(), f"unix:{bench.directory / 'telemetry.sock'}"
    command: list[str | Path] = [python, "-c", START]
    serve = [*command, "serve", "--listen", socket, "--http-port", str(port)]
    simulate = [*command, "simulate", "--target", socket, "--processes", str(PROCESSES)]
    log = bench.directory / "log"
    with (
        children.running(serve, log=log) as server,
        children.running(simulate, log=bench.directory / "simulate"),
        ticking(bench.stamps),
    ):
        children.wait_listening(server, port, log)
        rest = children.resident_kb(server.pid)
        return Measurement(bench.run_load(cell, port, server.pid), rest, {})


def main() -> None:
    """Print what a viewer of the peer costs, and one of the dashboard."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="CELL", default=CELLS, help=Cell.FORM)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    children.prepare()
    try:
        with Bench(seconds=arguments.seconds) as bench:
            python = install(bench.directory / "venv")
            for cell in map(Cell.parse, arguments.cells):
                runs = {
                    "dashboard": [bench.measure("dashboard", cell)],
                    "telemetry": [measure(bench, python, cell)],
                }
                print(fanout.show(fanout.Comparison(cell, runs), figures=SHOWN), flush=True)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
