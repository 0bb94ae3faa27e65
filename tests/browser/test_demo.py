"""The page in a real Chromium, on each scenario of the simulator."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from mod_wsgi_dashboard.simulator import SCENARIOS
from tests.browser.pages import clean_page
from tests.browser.server import demo

pytestmark = pytest.mark.browser

ARTIFACTS = Path(__file__).parents[2] / "artifacts"

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 720}},
    "dark": {"viewport": {"width": 1280, "height": 720}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_shown(browser: Browser, scenario: str) -> None:
    """Light, dark, on a phone: live, no error, nothing wider than the window, nobody else asked."""
    with demo("--scenario", scenario) as url:
        for look, options in LOOKS.items():
            with clean_page(browser, **options) as page:
                asked: list[str] = []
                page.on("request", partial(note, asked))
                page.goto(url)
                expect(page.get_by_test_id("connection")).to_contain_text("Live")
                shown = "error" if scenario == "metrics-off" else "grid"
                expect(page.get_by_test_id(shown)).to_be_visible()
                assert wide_by(page) == 0
                assert {urlsplit(address).netloc for address in asked} == {urlsplit(url).netloc}
                ARTIFACTS.mkdir(exist_ok=True)
                page.screenshot(path=ARTIFACTS / f"{scenario}-{look}.png")
                page.goto("about:blank")


def test_hostile_strings_are_text(browser: Browser) -> None:
    """Markup, control bytes and secrets of clients: the first two are shown as text, the last not."""
    with demo("--scenario", "hostile", "--slots", "400") as url, clean_page(browser) as page:
        page.goto(url)
        table = page.get_by_test_id("inflight")
        for text in ("<script>alert(1)</script>", "\\x1b[31mred", "<b>ptr</b>.evil.example"):
            expect(table.get_by_text(text).first).to_be_visible(timeout=20_000)
        assert page.locator("script:not([src]), [onerror], [onload], img").count() == 0
        assert "hunter2" not in page.content()
        page.goto("about:blank")


def note(asked: list[str], request: Request) -> None:
    asked.append(request.url)


def wide_by(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    pixels: int = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return max(0, pixels)
