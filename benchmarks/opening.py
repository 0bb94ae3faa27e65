"""How fast an hour of the recording, a sample a second, opens in the page.

`python -m benchmarks.opening`, or as a part of `benchmarks.page`. Owns the recording (of the simulator,
up to now), the server that goes on with it, and what counts as open: the charts show the whole hour when
their busy lane is drawn from its oldest minutes on, the map when it has letters there. Times count from
the start of the navigation, with nothing cached, to the animation frame that shows it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize

from benchmarks import feed
from benchmarks.children import BenchmarkError
from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.hub import Hub, Kind
from mod_wsgi_dashboard.recorder import Recorder, file_name
from mod_wsgi_dashboard.settings import ENVIRONMENT_PREFIX, Settings
from mod_wsgi_dashboard.simulator import Simulator

SLOTS = (64, 1600)
SCENARIO = "burst"
LOADS = 5
TARGET = 1000.0  # ms

HOUR = 3600
# Apache has run for a while when the recording begins, which is a little longer than what is shown.
UPTIME, BEFORE = 120, 60
# Fewer ticks than the recorder lets wait.
AT_ONCE = 20
PATIENCE = 60_000  # ms

WINDOW: ViewportSize = {"width": 1280, "height": 720}
VIEWS = {"charts": "#window=1h", "map": "#window=1h&panel=map"}

# Of the width of a plot, so much is looked at on its left: three minutes.
SCRIPT = """
    window.opened = new Promise((resolve) => {
        const shown = () => requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
        const canvas = CanvasRenderingContext2D.prototype;
        const { rect, putImageData } = canvas;
        const charts = !location.hash.includes("map");
        canvas.rect = function (x, y, width, height) {
            rect.call(this, x, y, width, height);
            const chart = charts && this.canvas.closest("[data-testid=timeline]") !== null;
            // The clip of all lanes is a rectangle, too, and as wide as the plot.
            const part = height > 0 && width < this.canvas.clientWidth / 20;
            if (chart && part && x > 0 && x < 56 + 0.05 * (this.canvas.clientWidth - 66)) shown();
        };
        canvas.putImageData = function (image, ...given) {
            putImageData.call(this, image, ...given);
            const column = Math.round(0.05 * image.width);
            for (let row = 0; row < image.height && !charts; row++) {
                if (image.data[4 * (row * image.width + column) + 3] > 0) return shown();
            }
        };
    });
"""

FIRST_CONTENTS = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def record(
    path: Path,
    simulator: Simulator,
    instants: Iterable[float],
    *,
    max_request_workers: int | None = None,
) -> None:
    """Record what a simulator gives at these instants (epoch seconds), which are a second apart."""
    hub = Hub(lambda detail: Encoder(detail="full"))
    settings = Settings(state_dir=str(path.parent))
    recorder = Recorder(path, settings, hub.keep(Kind("full", compressed=True)))
    recorder.start()
    reader = Reader(Redactor())
    reading: rates.Reading | None = None
    for tick, at in enumerate(instants, 1):
        board = reader.read(simulator.server_metrics(at))
        reading = rates.read(
            board, previous=reading, elapsed=1.0, max_request_workers=max_request_workers
        )
        parts = (reading.scoreboard, reading.rates, reading.capacity, wire.ViewerCount(0, 4))
        sample = wire.Sample(tick, at, 1.0, *parts, [])
        hub.publish(sample)
        recorder.take(sample)
        if tick % AT_ONCE == 0:
            recorder.ask(lambda tape: None).result()
    recorder.close()


def record_hour(directory: Path, slots: int) -> None:
    """Record the last hour, up to now, for a demo on port 0 to go on with."""
    begin = float(int(time.time()) - HOUR - BEFORE)
    simulator = Simulator(scenario=SCENARIO, slots=slots, start_at=begin - UPTIME)
    until_now = itertools.takewhile(lambda at: at < time.time(), itertools.count(begin, 1.0))
    record(directory / file_name(Settings.load(listen="127.0.0.1:0")), simulator, until_now)


@contextlib.contextmanager
def serving(*arguments: str, state_dir: Path) -> Iterator[str]:
    """Run a command of the dashboard, on a free port; give its address.

    Raises:
        BenchmarkError: it doesn't start.
    """
    command = [sys.executable, "-m", "mod_wsgi_dashboard.cli", *arguments, "--port", "0"]
    environ = {**os.environ, f"{ENVIRONMENT_PREFIX}STATE_DIR": str(state_dir)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        try:
            if found is None:
                raise BenchmarkError(f"{arguments[0]} doesn't start")
            yield found.group()
        finally:
            server.terminate()
            server.communicate(timeout=10)


def load(browser: Browser, url: str, viewport: ViewportSize) -> tuple[float, float]:
    """Open a page; return when it shows something, and when the hour (ms)."""
    with browser.new_context(viewport=viewport) as context:
        context.add_init_script(SCRIPT)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        hour = float(page.evaluate("() => opened"))
        return float(page.evaluate(FIRST_CONTENTS)), hour


def measure(
    browser: Browser, slots: int, loads: int, viewport: ViewportSize
) -> dict[str, list[tuple[float, float]]]:
    """Record an hour, and load each view of it so many times, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        record_hour(directory, slots)
        demo = ("demo", "--scenario", SCENARIO, "--slots", str(slots))
        with serving(*demo, state_dir=directory) as url:
            load(browser, url + VIEWS["charts"], viewport)  # the first reads from the disk
            found: dict[str, list[tuple[float, float]]] = {view: [] for view in VIEWS}
            for _ in range(loads):
                for view, fragment in VIEWS.items():
                    found[view].append(load(browser, url + fragment, viewport))
    return found


def show(slots: int, found: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Print medians."""
    for view, times in found.items():
        contents, hours = ([each[part] for each in times] for part in (0, 1))
        middle = statistics.median(hours)
        print(
            f"  {slots:5} slots, {view:6}: {statistics.median(contents):5.0f} anything,"
            f" {middle:5.0f} the hour"
            f" [{min(hours):.0f}..{max(hours):.0f}]; target < {TARGET:g}:"
            f" {'met' if middle < TARGET else 'MISSED'}",
            flush=True,
        )


def run(browser: Browser, loads: int, viewport: ViewportSize) -> dict[str, object]:
    """Measure and print all sizes; return them for the results' file."""
    print(f"An hour of 1 Hz opens, ms since the navigation, median of {loads} with nothing cached")
    results: dict[str, object] = {}
    for slots in SLOTS:
        found = measure(browser, slots, loads, viewport)
        show(slots, found)
        results[str(slots)] = found
    return results


def main() -> None:
    """Run this benchmark alone."""
    try:
        with feed.staged() as (_stage, browser):
            run(browser, LOADS, WINDOW)
    except BenchmarkError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
