"""What the page costs in a real Chromium: its weight, its first picture, a tick, hours of it.

`python -m benchmarks.page`, with `--quick` for a shorter look. Owns what is measured of the page, how,
and the targets. Ticks are measured in CPU time of the page's main thread: what else runs on the machine
has less of a say in that. The reference is a page that does what the documented example's does: put the
whole message, indented, into a `<pre>`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from benchmarks import children, fanout, feed, opening, weight
from benchmarks.children import BenchmarkError
from benchmarks.feed import Stage

PARTS = ("weight", "loads", "opening", "ticks", "hour")
SLOTS = (64, 1600, 6400)
FEW_AND_MANY = (64, 6400)
WINDOW = {"width": 1280, "height": 720}
START = 1_700_000_000.0

# The most that each may be: bytes, ms, CPU ms, MB.
WEIGHT, FIRST_PICTURE, TICK, GROWTH = 50_000, 500.0, 20.0, 2.0

# The window that the page shows at first is full after so many ticks.
FILL = 300
# The bursts come once a minute. After the filling the load is near its top, for a measurement's length.
BURST, AFTER = 60, 80

# Ticks at the pace that is measured: first some that are not counted, then blocks.
WARMUP, BLOCKS, BLOCK = 5, 3, 4
PACES = {"1 Hz": 1.0, "5 Hz": 0.2}

VIEWS = {
    "grid": f"{feed.MOUNT}/",
    "map": f"{feed.MOUNT}/#panel=map",
    "filter, groups": f"{feed.MOUNT}/#filter=state:W&group=path",
}
REFERENCE = "reference"

HOUR = (300, 900, 1800, 2700, 3600)
QUICK_HOUR = (100, 300, 600)

# From so many ticks on the page holds all that it ever holds, but for a point a tick.
FULL = 900

LONG_TASKS = """
    window.longTasks = [];
    new PerformanceObserver((list) => {
        for (const { startTime, duration } of list.getEntries()) longTasks.push([startTime, duration]);
    }).observe({ type: "longtask", buffered: true });
"""

# Tells when the first cell of the grid is on the screen: at the latest one animation frame after that.
FIRST_CELL = """
    window.firstCell = new Promise((resolve) => {
        const canvas = CanvasRenderingContext2D.prototype;
        const draw = canvas.drawImage;
        canvas.drawImage = function (...given) {
            draw.apply(this, given);
            if (this.canvas.closest("[data-testid=cells]") === null) return;
            canvas.drawImage = draw;
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
        };
    });
"""

# Since the HTML was there.
LOADED = """async () => {
    const cell = await firstCell;
    const [loaded] = performance.getEntriesByType("navigation");
    const [contents] = performance.getEntriesByName("first-contentful-paint");
    return [contents.startTime - loaded.responseEnd, cell - loaded.responseEnd];
}"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a tick takes of the page's main thread, in ms: CPU time, and the times of tasks and of parts.

    `layouts` is how often it lays out, which no other load of the machine changes.
    """

    cpu: float
    task: float
    script: float
    layout: float
    layouts: float


@dataclass(frozen=True, slots=True)
class Ticks:
    """What was measured of one view: a cost for each block, and the long tasks (ms) in all of them."""

    costs: Sequence[Cost]
    long: Sequence[float]

    def median(self, name: str) -> float:
        """Return a member of the costs, as the blocks' median."""
        values: list[float] = [getattr(cost, name) for cost in self.costs]
        return statistics.median(values)


@dataclass(frozen=True, slots=True)
class Held:
    """What the page holds after a number of ticks, once garbage is collected; sizes in MB."""

    ticks: int
    heap: float
    buffers: float
    nodes: int
    resident: float


def weigh() -> dict[str, dict[str, int]]:
    """Return the bytes of scripts and style sheets: what is loaded at first, and what comes later."""
    first = weight.first_files()
    later = [path for path in weight.all_files() if path not in first]
    parts = {"first": first, "later": later}
    return {part: {path.name: weight.weigh(path) for path in paths} for part, paths in parts.items()}


def load(stage: Stage, browser: Browser, to_send: Sequence[bytes]) -> tuple[float, float]:
    """Load the page anew; return when it shows something, and when the first cell (ms)."""
    with feed.opened(stage, browser, to_send, script=FIRST_CELL, viewport=WINDOW) as page:
        contents, cell = page.evaluate(LOADED)
        return float(contents), float(cell)


def measure_loads(stage: Stage, browser: Browser, loads: int) -> dict[int, list[tuple[float, float]]]:
    """Load the page so many times with the fewest and with the most slots, in turn."""
    to_send = {slots: list(itertools.islice(feed.frames(_burst(slots)), 1)) for slots in FEW_AND_MANY}
    load(stage, browser, to_send[64])  # the browser's own first time
    found: dict[int, list[tuple[float, float]]] = {slots: [] for slots in to_send}
    for _ in range(loads):
        for slots, times in found.items():
            times.append(load(stage, browser, to_send[slots]))
    return found


def measure_ticks(page: Page, stage: Stage, pace: float) -> Ticks:
    """Return what ticks cost at a pace."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    stage.play(WARMUP, pace=pace)
    since = page.evaluate("performance.now()")
    costs = []
    for _ in range(BLOCKS):
        before = _counters(session)
        stage.play(BLOCK, pace=pace)
        after = _counters(session)
        spent = {name: (after[name] - before[name]) * 1000 / BLOCK for name in after}
        costs.append(
            Cost(
                cpu=spent["ThreadTime"],
                task=spent["TaskDuration"],
                script=spent["ScriptDuration"],
                layout=spent["LayoutDuration"] + spent["RecalcStyleDuration"],
                layouts=spent["LayoutCount"] / 1000,
            )
        )
    long = page.evaluate("longTasks")
    session.detach()
    return Ticks(costs, [duration for start, duration in long if start >= since])


def measure_views(
    stage: Stage, browser: Browser, slots: int, paces: Mapping[str, float]
) -> dict[tuple[str, str], Ticks]:
    """Return what a tick of each view costs at each pace, and one of the reference at the first pace."""
    measured = WARMUP + BLOCKS * BLOCK
    # Between two paces the page catches up to the same part of the next burst.
    between = BURST - measured
    boards = list(itertools.islice(_burst(slots), 1 + FILL + 2 * measured + between))
    made = list(feed.frames(boards))
    plain = list(feed.dumps([*boards[:1], *boards[FILL + 1 : FILL + 1 + measured]]))
    found = {}
    for view, path in VIEWS.items():
        with _watched(stage, browser, made, path) as page:
            for number, (name, pace) in enumerate(paces.items()):
                stage.play(between if number else FILL)
                found[view, name] = measure_ticks(page, stage, pace)
    name, pace = next(iter(paces.items()))
    with _watched(stage, browser, plain, f"{feed.REFERENCE}/") as page:
        found[REFERENCE, name] = measure_ticks(page, stage, pace)
    return found


def measure_hour(stage: Stage, browser: Browser, slots: int, reports: Sequence[int]) -> Iterator[Held]:
    """Yield what the page holds after each of these numbers of ticks, sent as fast as it takes them."""
    with _watched(stage, browser, feed.frames(_burst(slots)), VIEWS["grid"]) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        ticks = 1
        for report in reports:
            stage.play(report - ticks)
            ticks = report
            session.send("HeapProfiler.collectGarbage")
            usage = session.send("Runtime.getHeapUsage")
            yield Held(
                ticks,
                usage["usedSize"] / 1e6,
                usage.get("backingStorageSize", 0.0) / 1e6,
                int(_counters(session)["Nodes"]),
                _renderer_mb(browser),
            )


def _burst(slots: int) -> Iterator[dict[str, object]]:
    return feed.readings("burst", slots, start_at=START, after=AFTER)


def _watched(
    stage: Stage, browser: Browser, to_send: Iterable[bytes], path: str
) -> AbstractContextManager[Page]:
    return feed.opened(stage, browser, to_send, path=path, script=LONG_TASKS, viewport=WINDOW)


def _counters(session: CDPSession) -> dict[str, float]:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return {metric["name"]: metric["value"] for metric in metrics}


def _renderer_mb(browser: Browser) -> float:
    """Return the resident size of the largest renderer: the page's, as the others are in reserve."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pids = [process["id"] for process in processes if process["type"] == "renderer"]
    return max(children.resident_kb(pid) for pid in pids) / 1000


def show_weight(weights: Mapping[str, Mapping[str, int]]) -> None:
    """Print bytes."""
    print("The page's weight, gzip -9")
    for part, sizes in weights.items():
        for name, size in sizes.items():
            print(f"  {size:7,} bytes  {name}")
        total = sum(sizes.values())
        target = f"; target <= {WEIGHT:,}: {_met(total <= WEIGHT)}" if part == "first" else ""
        print(f"  {total:7,} bytes {part}{target}", flush=True)


def show_loads(found: Mapping[int, Sequence[tuple[float, float]]]) -> None:
    """Print medians of the loads."""
    print(f"First picture, ms since the HTML, median of {len(found[64])} loads with nothing cached")
    for slots, times in found.items():
        contents, cells = ([each[part] for each in times] for part in (0, 1))
        middle = statistics.median(cells)
        met = _met(middle < FIRST_PICTURE)
        print(
            f"  {slots:5} slots: {statistics.median(contents):5.0f} anything, {middle:5.0f} cells"
            f" [{min(cells):.0f}..{max(cells):.0f}]; target < {FIRST_PICTURE:g}: {met}",
            flush=True,
        )


def show_views(slots: int, found: Mapping[tuple[str, str], Ticks]) -> None:
    """Print the table of one number of slots."""
    print(
        f"A tick of {slots} slots, ms of the main thread, median of {BLOCKS} times {BLOCK} ticks"
        " at the top of a burst"
    )
    columns = [field.name for field in fields(Cost)]
    print("  " + " " * 22 + "".join(f"{name:>8}" for name in columns) + "   long tasks")
    base = next(ticks for (view, _), ticks in found.items() if view == REFERENCE)
    for (view, pace), ticks in found.items():
        line = f"  {view:16}{pace:6}" + "".join(f"{ticks.median(name):8.1f}" for name in columns)
        line += f"   {len(ticks.long):2}"
        line += f", longest {max(ticks.long):.0f} ms" if ticks.long else ""
        if ticks is not base:
            cpu = ticks.median("cpu")
            line += f"  1/{base.median('cpu') / cpu:.1f} of the reference"
            line += f"  target <= {TICK:g}: {_met(cpu <= TICK and not ticks.long)}"
        print(line, flush=True)


def show_hour(slots: int, all_held: Iterable[Held]) -> list[Held]:
    """Print what the page holds, as it is found, and whether it has stopped to grow."""
    print(f"Memory of {slots} slots, burst, after a garbage collection")
    found = []
    for held in all_held:
        found.append(held)
        print(
            f"  {held.ticks:5} ticks: heap {held.heap:6.1f} MB, buffers {held.buffers:5.1f} MB,"
            f" {held.nodes:6} nodes, renderer {held.resident:6.1f} MB",
            flush=True,
        )
    full = [held for held in found if held.ticks >= FULL]
    if len(full) > 1:
        growth = full[-1].heap + full[-1].buffers - full[0].heap - full[0].buffers
        met = _met(growth <= GROWTH)
        print(f"  {growth:+.1f} MB since {full[0].ticks} ticks; target <= {GROWTH:g}: {met}")
    return found


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


def keep(results: Mapping[str, Any], path: Path) -> None:
    """Write results beside those of the other benchmarks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    others = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**others, "page": results}, indent=1))


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write what the options say."""
    wanted = arguments.parts or PARTS
    results: dict[str, Any] = {
        "host": children.describe_host(),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with feed.staged() as (stage, browser):
        results["browser"] = browser.version
        print(f"The page in Chromium {browser.version}, {WINDOW['width']} x {WINDOW['height']}")
        if "weight" in wanted:
            results["weight"] = weigh()
            show_weight(results["weight"])
        if "loads" in wanted:
            results["loads"] = measure_loads(stage, browser, 3 if arguments.quick else 5)
            show_loads(results["loads"])
        if "opening" in wanted:
            loads = 3 if arguments.quick else opening.LOADS
            results["opening"] = opening.run(browser, loads, opening.WINDOW)
        if "ticks" in wanted:
            results["ticks"] = run_ticks(stage, browser, quick=arguments.quick)
        if "hour" in wanted:
            reports = QUICK_HOUR if arguments.quick else HOUR
            results["hour"] = {
                slots: [
                    asdict(held)
                    for held in show_hour(slots, measure_hour(stage, browser, slots, reports))
                ]
                for slots in FEW_AND_MANY
            }
    keep(results, arguments.json)
    print(f"written to {arguments.json}")


def run_ticks(stage: Stage, browser: Browser, *, quick: bool) -> dict[str, Any]:
    """Measure and print the ticks of all views; return them for the results' file."""
    paces = dict(itertools.islice(PACES.items(), 1)) if quick else PACES
    results = {}
    for slots in FEW_AND_MANY if quick else SLOTS:
        found = measure_views(stage, browser, slots, paces)
        show_views(slots, found)
        results[str(slots)] = {f"{view}, {pace}": asdict(ticks) for (view, pace), ticks in found.items()}
    return results


def main(arguments: list[str] | None = None) -> None:
    """Run the page's benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer loads, sizes and paces; 600 ticks instead of an hour's",
    )
    parser.add_argument(
        "--json", type=Path, default=fanout.RESULTS, help=f"results (default: {fanout.RESULTS})"
    )
    try:
        run(parser.parse_args(arguments))
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
