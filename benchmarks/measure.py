"""One measurement: one server, a number of viewers, some seconds.

Owns what a cell of the table is, how a server is put under its load, and what the generator's figures
mean. It must not know how measurements are compared or printed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import children, scoreboard, servers
from benchmarks.children import BenchmarkError

# The load: a fifth of the workers at every tick.
CHANGED = 0.2

SUBPROTOCOL = "mod-wsgi-dashboard.v1"

# Where the documented example listens; all others take any free port.
EXAMPLE_PORT = 8765

# Until caches, connections and the memory allocator are in their steady state.
WARMUP_SECONDS = 3.0

# With viewers that don't read: when the dashboard has one that takes no more, and hasn't cut it off yet.
STALL_SECONDS = 12.0

# The reference feels such a viewer when the kernel has taken some 4 MB for it: six seconds of its plain
# messages, most of a minute of its deflated ones.
STALL_DEFLATE_SECONDS = 60.0

# Ticks that are prepared beside the window's: starting, connecting, a server that is far behind.
SPARE_TICKS = 90

# Less than half of the least stream of 1,600 workers, so that no server can pass it on whole.
SLOW_RATE = 4096

# A generator that is busier than this is part of what it measures.
BUSY = 0.6

# Until a server that has just begun to listen is at rest.
REST_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """A load: so many workers and viewers. `deflate` is offered by the viewers, as browsers do."""

    workers: int
    viewers: int
    deflate: bool = False
    stalled: int = 0
    slow: int = 0
    lag: bool = False

    FORM = "WORKERSxVIEWERS-plain|deflate[-stalledN][-slowN][-lag]"

    @classmethod
    def parse(cls, name: str) -> Cell:
        """Return the cell of a name.

        Raises:
            BenchmarkError: it is none.
        """
        found = re.fullmatch(
            r"(\d+)x(\d+)-(plain|deflate)(?:-stalled(\d+))?(?:-slow(\d+))?(-lag)?", name
        )
        if found is None:
            raise BenchmarkError(f"{name!r} is no cell: use {cls.FORM}")
        workers, viewers, form, stalled, slow, lag = found.groups()
        return cls(
            int(workers), int(viewers), form == "deflate", int(stalled or 0), int(slow or 0), bool(lag)
        )

    @property
    def disturbed(self) -> bool:
        """Whether there are viewers that don't take what they are sent."""
        return bool(self.stalled or self.slow)

    def warmup(self, server: str) -> float:
        """Return seconds from the last viewer's coming to the window."""
        if not self.disturbed:
            return WARMUP_SECONDS
        deflating = self.deflate and server in ("reference", "example")
        return STALL_DEFLATE_SECONDS if deflating else STALL_SECONDS

    def __str__(self) -> str:
        parts = [f"{self.workers}x{self.viewers}", "deflate" if self.deflate else "plain"]
        parts += [f"stalled{self.stalled}"] if self.stalled else []
        parts += [f"slow{self.slow}"] if self.slow else []
        return "-".join(parts + (["lag"] if self.lag else []))


@dataclasses.dataclass(frozen=True, slots=True)
class Measurement:
    """What one run gave. `raw` is the generator's report.

    `rest_kb` is the server's memory before the first viewer came, `lags` what it told of its loop.
    """

    raw: dict[str, Any]
    rest_kb: int
    lags: dict[str, float]

    @property
    def ticks(self) -> int:
        return int(self.raw["ticks"])

    @property
    def sizes(self) -> list[int]:
        """Bytes of a message, tick by tick."""
        return [int(size) for size in self.raw["sizes"]]

    @property
    def stopped(self) -> bool:
        """Whether the server ticks no more, or nobody gets what it sends."""
        return bool(self.raw["stopped"]) or not self.raw["delivered"]

    @property
    def generator_share(self) -> float:
        """Return the generator's share of a core."""
        return float(self.raw["own_cpu_ms"] / 1000 / self.raw["seconds"])

    def figures(self) -> dict[str, float]:
        """Return what is compared; what could not be measured is left out."""
        raw = self.raw
        viewers, seconds = raw["viewers"], raw["seconds"]
        found = {
            "cpu share %": raw["server_cpu_ms"] / seconds / 10,
            "ticks missed %": 100 * max(0.0, 1 - raw["delivered"] / (viewers * seconds)),
            "RSS at rest MB": self.rest_kb / 1024,
            "RSS MB": raw["rss_kb"] / 1024,
        }
        if viewers > 1:
            # What one viewer needs is there already: encoders, and the state of the last tick.
            found["KB/viewer"] = (raw["rss_kb"] - raw["alone_kb"]) / (viewers - 1)
        if not self.stopped:
            # After a stop, the few messages that came before it would be all that counts.
            found["CPU ms/tick"] = raw["server_cpu_ms"] / self.ticks
            found["CPU us/viewer/tick"] = 1000 * raw["server_cpu_ms"] / self.ticks / viewers
            found["bytes/viewer/tick"] = (raw["bytes"] + raw["control_bytes"]) / viewers / self.ticks
            found["first message bytes"] = raw["join_bytes"]
            found["p50 ms"] = raw["p50_ms"]
            found["p99 ms"] = raw["p99_ms"]
        if self.lags:
            # The monitor's own CPU time is in all of these.
            for figure in ("cpu share %", "CPU ms/tick", "CPU us/viewer/tick"):
                found.pop(figure, None)
        return found | self.lags

    def warnings(self, cell: Cell) -> list[str]:
        """Return what makes the figures doubtful."""
        found = []
        if self.generator_share > BUSY:
            found.append(f"the generator was busy for {self.generator_share:.0%} of the time")
        if self.raw["failed"] or self.raw["lost"]:
            found.append(f"{self.raw['failed']} viewers not connected, {self.raw['lost']} lost")
        if cell.deflate and not self.raw["deflated"]:
            found.append("the server took no deflate: its figures are plain")
        if self.raw["p99_ms"] > 500 and self.raw["messages"] > self.raw["delivered"]:
            found.append("more than one message a tick at such delays: they may be too short")
        return found


class Bench:
    """Measures servers, one after another. A context: programs and files are gone behind it.

    Args:
        seconds: length of the window.
        pin: server and generator each on a core of their own.
        example: path of the documented example, for the server of that name.
    """

    def __init__(self, *, seconds: float, pin: bool = False, example: Path | None = None) -> None:
        self._seconds = seconds
        self._pin = pin
        self._example = example
        self._temporary = tempfile.TemporaryDirectory(prefix="dashboard-bench-")
        self.directory = Path(self._temporary.name)
        self.stamps = self.directory / "stamps"
        self.load = children.compile_c("load", self.directory)
        self._floor = children.compile_c("floor", self.directory)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def measure(
        self,
        server: str,
        cell: Cell,
        *,
        sizes: list[int] | None = None,
        warmup: float | None = None,
    ) -> Measurement:
        """Measure one server in one cell.

        Args:
            server: a kind of `servers`, or floor.
            cell: the load.
            sizes: of the frames that the floor sends.
            warmup: seconds before the window; the cell's own unless given.

        Raises:
            BenchmarkError: it could not be measured.
        """
        warmup = cell.warmup(server) if warmup is None else warmup
        port = EXAMPLE_PORT if server == "example" else children.free_port()
        log, lag = self.directory / "log", self.directory / "lag"
        scoreboard.Stamps.create(self.stamps)
        lag.unlink(missing_ok=True)
        if server == "floor":
            frames = [str(size) for size in sizes or [] if size]
            command: list[str | Path] = [self._floor, str(port), self.stamps, str(int(cell.deflate))]
            command += frames
        else:
            command = self._server_command(
                server, cell, port, ticks=SPARE_TICKS + round(warmup + self._seconds)
            )
        core = children.SERVER_CORE if self._pin else None
        with children.running(command, core=core, log=log) as process:
            children.wait_listening(process, port, log)
            time.sleep(REST_SECONDS)
            rest = children.resident_kb(process.pid)
            raw = self.run_load(cell, port, process.pid, warmup=warmup)
        return Measurement(raw, rest, read_lags(lag, raw) if lag.exists() else {})

    def _server_command(self, server: str, cell: Cell, port: int, *, ticks: int) -> list[str | Path]:
        path = self.directory / "ticks"
        scoreboard.write_ticks(path, cell.workers, CHANGED, ticks=ticks)
        command = children.python(
            "benchmarks.servers", server, "--port", str(port), "--ticks", path, "--stamps", self.stamps
        )
        if cell.lag:
            command += ["--lag", self.directory / "lag"]
        if server == "example":
            if self._example is None:
                raise BenchmarkError("the documented example needs --example PATH")
            command += ["--example", self._example]
        return command

    def run_load(
        self, cell: Cell, port: int, pid: int, *, warmup: float = WARMUP_SECONDS
    ) -> dict[str, Any]:
        """Return the load generator's report on a server that listens, and writes `stamps`.

        Raises:
            BenchmarkError: it gave none.
        """
        command: list[str | Path] = [self.load, "--port", str(port), "--pid", str(pid)]
        command += ["--viewers", str(cell.viewers), "--stamps", self.stamps]
        command += ["--seconds", str(self._seconds), "--warmup", str(warmup)]
        command += ["--stalled", str(cell.stalled), "--slow", str(cell.slow)]
        command += ["--slow-rate", str(SLOW_RATE), "--subprotocol", SUBPROTOCOL]
        if cell.deflate:
            command += ["--deflate"]
        core = children.GENERATOR_CORE if self._pin else None
        report = self.directory / "report"
        with children.running(command, core=core, log=report) as process:
            try:
                process.wait(SPARE_TICKS + warmup + 3 * self._seconds)
            except subprocess.TimeoutExpired:
                raise BenchmarkError(f"{cell}: the load generator does not end") from None
        text = report.read_text(errors="replace")
        if process.returncode not in (0, 1) or not text.startswith("{"):
            raise BenchmarkError(f"{cell}: the load generator failed: {text[-500:]}")
        raw: dict[str, Any] = json.loads(text)
        if not raw["seconds"]:
            raise BenchmarkError(f"{cell}: only {raw['opened']} viewers could connect")
        return raw


def read_lags(path: Path, raw: dict[str, Any]) -> dict[str, float]:
    """Return how late the event loop was within the window.

    The 99th percentile is that of events which come at any time, once a sampling interval: while the
    loop is busy no sample is taken, so a late one stands for all that should have been.
    """
    begin, interval = raw["window_at"], servers.LAG_INTERVAL
    lags: list[float] = []
    longest = 0.0
    for due, late in servers.LAG_SAMPLE.iter_unpack(path.read_bytes()):
        if begin <= due < begin + raw["seconds"]:
            longest = max(longest, late)
            lags += [late - missed * interval for missed in range(1 + int(late / interval))]
    if len(lags) < 2:
        return {}
    return {
        "loop lag p99 ms": 1000 * statistics.quantiles(lags, n=100)[98],
        "longest lag ms": 1000 * longest,
    }
