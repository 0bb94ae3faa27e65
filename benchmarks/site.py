"""The site beside the dashboard: requests a second of a real Apache, with the sidecar and without.

`python -m benchmarks.site`, not part of `make bench`: it needs wrk, and what the tests with a real
Apache need. Apache is started anew for each measurement, and the three modes take turns: no dashboard in
the configuration; one that nobody looks at; one with viewers, through Apache as browsers come.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.apache.server import Apache, Case

from benchmarks import children, scoreboard
from benchmarks.children import BenchmarkError
from benchmarks.measure import SUBPROTOCOL, Bench

MODES = ("without", "idle", "watched")

# As many workers as a small server has; the load and the viewers leave most of them free.
WORKERS, CLIENTS, VIEWERS = 64, 8, 3

# Longer than a measurement takes; the viewers are ended when it is done.
LONGEST = 3600

# Until Apache, its WSGI processes and the sidecar have settled.
WARMUP_SECONDS = 2


class Site(Apache):
    """The tests' Apache, with or without the dashboard."""

    def __init__(self, *, sidecar: bool) -> None:
        super().__init__(Case(), dashboard=sidecar, workers=WORKERS)
        self._sidecar = sidecar

    def _dashboard(self) -> str:
        return super()._dashboard() if self._sidecar else ""


@contextlib.contextmanager
def watching(bench: Bench, port: int) -> Iterator[None]:
    """Have viewers connected through Apache."""
    scoreboard.Stamps.create(bench.stamps)
    command: list[str | Path] = [bench.load, "--port", str(port), "--path", "/metrics/ws", "--deflate"]
    command += ["--viewers", str(VIEWERS), "--subprotocol", SUBPROTOCOL, "--stamps", bench.stamps]
    command += ["--seconds", str(LONGEST)]
    with children.running(command, log=bench.directory / "viewers"):
        yield


def measure(bench: Bench, mode: str, seconds: int) -> tuple[float, float]:
    """Return requests a second of the site, and the 99th percentile of their time in ms.

    Raises:
        BenchmarkError: viewers are missing, or requests failed.
    """
    with contextlib.ExitStack() as stack:
        site = stack.enter_context(Site(sidecar=mode != "without"))
        if mode == "watched":
            stack.enter_context(watching(bench, site.port))
        run_wrk(site.url, WARMUP_SECONDS)
        found = run_wrk(site.url, seconds)
        if mode == "watched" and site.viewer_count() != VIEWERS:
            raise BenchmarkError(f"only {site.viewer_count()} of {VIEWERS} viewers are there")
        return found


def run_wrk(url: str, seconds: int) -> tuple[float, float]:
    """Return what wrk measures: requests a second, and the 99th percentile in ms."""
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--latency", f"{url}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    if rate is None or slow is None or "Non-2xx" in done.stdout:
        raise BenchmarkError(f"wrk failed:\n{done.stdout}{done.stderr}")
    return float(rate[1]), float(slow[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]


def main() -> None:
    """Print medians, and ratios to the site without a dashboard."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.site", description=__doc__)
    parser.add_argument("--reps", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=6)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt install wrk")
    children.prepare()
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    try:
        with Bench(seconds=arguments.seconds) as bench:
            for rep in range(arguments.reps):
                # Each repetition begins with another mode, so that none always comes first.
                turn = rep % len(MODES)
                for mode in MODES[turn:] + MODES[:turn]:
                    found[mode].append(measure(bench, mode, arguments.seconds))
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None
    print(f"A WSGI site on Apache, {CLIENTS} clients, {arguments.reps} turns of {arguments.seconds} s")
    for mode, runs in found.items():
        rates = [rate for rate, _ in runs]
        ratios = [rate / base for rate, (base, _) in zip(rates, found["without"], strict=True)]
        print(
            f"  {mode:8} {statistics.median(rates):8.0f} requests/s"
            f" [{min(rates):.0f}..{max(rates):.0f}],"
            f" p99 {statistics.median(slow for _, slow in runs):5.1f} ms,"
            f" ratio {statistics.median(ratios):.3f} [{min(ratios):.3f}..{max(ratios):.3f}]"
        )


if __name__ == "__main__":
    main()
