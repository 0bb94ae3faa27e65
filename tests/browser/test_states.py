"""What the page says while there is nothing to show, or nothing new."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Demos
from tests.browser.feed import Feed
from tests.browser.pages import hide, lone_page, wait_for
from tests.browser.server import demo
from tests.conftest import Metrics, build_metrics

pytestmark = pytest.mark.browser

# What the browser itself says of a server that is gone.
REFUSED = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"

# Counts whatever is painted by hand.
COUNTING = """
    window.painted = 0;
    const context = CanvasRenderingContext2D.prototype;
    for (const name of ["fillRect", "drawImage", "putImageData", "fillText", "stroke", "fill"]) {
        const real = context[name];
        context[name] = function (...all) {
            window.painted += 1;
            return real.apply(this, all);
        };
    }
"""


def test_metrics_off_names_the_setting(page: Page, demos: Demos) -> None:
    """Without metrics the page says which setting brings them, and shows no numbers."""
    page.goto(demos("metrics-off"))
    for words in ("server-metrics=on", "--server-metrics"):
        expect(page.get_by_test_id("error")).to_contain_text(words, timeout=10_000)
    expect(page.get_by_test_id("tile-busy")).to_have_count(0)
    expect(page.get_by_test_id("grid")).to_have_count(0)


def test_no_traffic_is_told(page: Page, demos: Demos) -> None:
    """A server that nobody asked yet is calm, and its table says that there is no request."""
    show(page, demos, build_metrics("____", restart_time=time.time() - 60))
    expect(page.get_by_test_id("verdict")).to_contain_text("0 of 4 workers busy")
    expect(page.get_by_test_id("inflight")).to_contain_text("No request")
    expect(page.get_by_test_id("tile-oldest")).to_contain_text("none")


def test_an_idle_server_is_told(page: Page, demos: Demos) -> None:
    """A server that has served requests and has none just now is not told to have had none ever."""
    show(page, demos, build_metrics("____", counts=7, started=time.time() - 60))
    expect(page.get_by_test_id("inflight")).to_contain_text("No request in flight")


def test_extended_status_off_is_told(page: Page, demos: Demos) -> None:
    """Without ExtendedStatus the directive is named, and what is missing has no number."""
    show(page, demos, build_metrics("WW__", started=0.0))
    expect(page.get_by_test_id("verdict")).to_contain_text("2 of 4 workers busy")
    expect(page.get_by_test_id("inflight")).to_contain_text("ExtendedStatus")
    for tile in ("tile-requests", "tile-bytes", "tile-oldest"):
        expect(page.get_by_test_id(tile)).to_contain_text("not available")


def test_no_worker_is_down(page: Page, demos: Demos) -> None:
    """Where no worker runs, the verdict is that the server is down."""
    show(page, demos, build_metrics("....", pids=[0]))
    expect(page.get_by_test_id("verdict")).to_contain_text("Down")


def test_a_lost_server_is_told_and_comes_back(browser: Browser) -> None:
    """The page counts down to its next try, marks its numbers as old, and goes on with new ones."""
    with lone_page(browser, allow=REFUSED) as page:
        connection, main = page.get_by_test_id("connection"), page.locator("main")
        with demo("--scenario", "calm") as url:
            page.goto(url)
            expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
        expect(connection).to_contain_text("Reconnecting")
        expect(main).to_contain_text("No newer sample than of")
        seen = {connection.inner_text()}

        def is_counting() -> bool:
            seen.add(connection.inner_text())
            return len({number for words in seen for number in re.findall(r"in (\d+) s", words)}) >= 2

        wait_for(page, is_counting, "a countdown")
        ages = page.locator("tbody td.age")
        before = ages.all_inner_texts()
        with demo("--scenario", "calm", "--port", str(urlsplit(url).port)):
            expect(connection).to_contain_text("Live", timeout=20_000)
            expect(main).not_to_contain_text("No newer sample than of")
            expect(ages.first).not_to_have_text(before[0] if before else "")
            page.goto("about:blank")


def test_nothing_is_drawn_while_hidden(page: Page, demos: Demos) -> None:
    """A page that nobody sees paints nothing, and catches up when it is seen."""
    page.add_init_script(COUNTING)
    page.goto(demos("burst", interval="0.25"))
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
    wait_for(page, lambda: painted(page) > 100, "pictures")
    hide(page, hidden=True)
    expect(page.get_by_test_id("connection")).to_contain_text("Hidden")
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    before = painted(page)
    # There is no event to wait for: it is about what does not happen.
    page.wait_for_timeout(1000)
    assert before == painted(page)
    hide(page, hidden=False)
    wait_for(page, lambda: painted(page) > before, "new pictures")


def show(page: Page, demos: Demos, metrics: Metrics) -> None:
    """Open a page that gets two samples of the same metrics."""
    feed = Feed(page)
    page.goto(demos("calm"))
    wait_for(page, lambda: feed.open, "a socket")
    feed.send(metrics)
    expect(page.get_by_test_id("clock")).to_be_visible()
    feed.send(metrics)


def painted(page: Page) -> int:
    count: int = page.evaluate("painted")
    return count
