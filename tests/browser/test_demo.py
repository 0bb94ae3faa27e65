"""The page in a real Chromium, on each scenario of the simulator: what is seen of it at a glance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest
from playwright.sync_api import Browser, Page, expect

from mod_wsgi_dashboard.simulator import SCENARIOS
from tests.browser.conftest import Demos
from tests.browser.pages import clean_page

pytestmark = pytest.mark.browser

ARTIFACTS = Path(__file__).parents[2] / "artifacts"

SCREEN = {"width": 1280, "height": 720}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
}


class Look(TypedDict, total=False):
    """What an operator's system asks a page for."""

    color_scheme: Literal["dark", "light"]
    forced_colors: Literal["active", "none"]
    reduced_motion: Literal["no-preference", "reduce"]


PLAIN = Look(color_scheme="light", forced_colors="none", reduced_motion="no-preference")
LOOKS: dict[str, Look] = {
    "light": PLAIN,
    "dark": {**PLAIN, "color_scheme": "dark"},
    "forced-colors": {**PLAIN, "forced_colors": "active"},
    "still": {**PLAIN, "reduced_motion": "reduce"},
}
# What answers an operator's first question, and so must be seen without scrolling.
FIRST = (
    *("verdict", "tile-busy", "tile-requests", "tile-bytes", "tile-oldest"),
    *("grid", "cells", "timeline", "inflight", "holding", "connection"),
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_fits_the_screen(browser: Browser, demos: Demos, scenario: str) -> None:
    """At 1280 x 720 all of 64 slots is on one screen, in every look, and nothing scrolls."""
    with clean_page(browser, viewport=SCREEN) as page:
        open_page(page, demos(scenario), scenario)
        for name, look in LOOKS.items():
            page.emulate_media(**look)
            page.screenshot(path=ARTIFACTS / f"{scenario}-{name}.png")
            assert wide_by(page) == 0
            assert hidden_rows(page) == 0
            assert outside(page, () if scenario == "metrics-off" else FIRST) == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_fits_a_phone(browser: Browser, demos: Demos, scenario: str) -> None:
    """On a phone nothing is wider than the window, and what matters first comes first."""
    with clean_page(browser, **PHONE) as page:
        open_page(page, demos(scenario), scenario)
        page.screenshot(path=ARTIFACTS / f"{scenario}-phone.png")
        assert wide_by(page) == 0
        first = () if scenario == "metrics-off" else ("verdict", "tile-busy", "connection")
        assert outside(page, first) == []


def test_thousands_of_workers_are_on_one_screen(
    browser: Browser, demos: Demos, record_property: Callable[[str, object], None]
) -> None:
    """The cells of 6,400 slots are all seen at 1280 x 720; how long they block the page is recorded."""
    with clean_page(browser, viewport=SCREEN) as page:
        page.add_init_script(
            """window.longTasks = [];
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) longTasks.push(Math.round(entry.duration));
            }).observe({type: "longtask"});"""
        )
        open_page(page, demos("burst", "--slots", "6400"), "burst")
        wait_for_ticks(page, 3)
        page.evaluate("window.longTasks.length = 0")
        wait_for_ticks(page, 3)
        tasks = page.evaluate("longTasks")
        record_property("long tasks of three ticks (ms)", tasks)
        print(f"6,400 slots: long tasks of three ticks (ms): {tasks}")
        page.screenshot(path=ARTIFACTS / "6400-slots.png")
        assert outside(page, ("verdict", "cells")) == []
        host = page.get_by_test_id("cells")
        assert host.evaluate("host => host.scrollHeight - host.clientHeight") <= 0
        assert wide_by(page) == 0


def open_page(page: Page, url: str, scenario: str) -> None:
    """Open a page, and wait until it shows what there is to show."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.goto(url)
    expect(page.get_by_test_id("connection")).to_contain_text("Live", timeout=10_000)
    shown = "error" if scenario == "metrics-off" else "cells"
    expect(page.get_by_test_id(shown)).to_be_visible()


def wait_for_ticks(page: Page, count: int) -> None:
    """Wait until the page has shown so many samples more."""
    clock = page.get_by_test_id("clock")
    for _ in range(count):
        expect(clock).not_to_have_text(clock.inner_text())


def wide_by(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    pixels: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return max(0, pixels)


def hidden_rows(page: Page) -> int:
    """Return how many pixels of the page are below the window's edge, until one scrolls."""
    pixels: int = page.evaluate(
        """() => {
            const main = document.querySelector("main"), all = document.documentElement;
            return Math.max(main.scrollHeight - main.clientHeight, all.scrollHeight - innerHeight);
        }"""
    )
    return max(0, pixels)


def outside(page: Page, names: tuple[str, ...]) -> list[str]:
    """Return those of the parts that are not wholly within the window."""
    size = page.viewport_size
    assert size is not None
    boxes = {name: page.get_by_test_id(name).bounding_box() for name in names}
    return [
        f"{name}: {box}"
        for name, box in boxes.items()
        if box is None
        or min(box["x"], box["y"]) < 0
        or box["x"] + box["width"] > size["width"]
        or box["y"] + box["height"] > size["height"]
    ]
