"""What people get who don't see the page, or don't use a pointer, or want it to hold still."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Demos
from tests.browser.feed import Feed
from tests.browser.pages import clean_page, lone_page, wait_for
from tests.browser.test_demo import ARTIFACTS, PHONE, SCREEN
from tests.conftest import build_metrics

pytestmark = pytest.mark.browser

AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": SCREEN},
    "dark": {"viewport": SCREEN, "color_scheme": "dark"},
    "phone": PHONE,
}


def pause(page: Page) -> None:
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")


def ask_for_help(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def open_text(page: Page) -> None:
    page.locator("summary").click()
    expect(page.get_by_test_id("process-row").first).to_be_visible()


def nothing(page: Page) -> None:
    pass


# Where in the page, and what to do there.
STATES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "grid, and a bad filter": ("#filter=colour:red", nothing),
    "map with a pinned slot": ("#panel=map&slot=0.3", nothing),
    "groups, and workers as text": ("#group=path", open_text),
    "paused": ("#", pause),
    "help": ("#", ask_for_help),
}


@pytest.mark.parametrize("look", LOOKS)
def test_the_doctor_page_is_for_everybody(browser: Browser, demos: Demos, look: str) -> None:
    """Help leads to it, and axe-core finds nothing there."""
    with clean_page(browser, **LOOKS[look]) as page:
        page.goto(demos("saturation"))
        expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
        ask_for_help(page)
        page.get_by_role("link", name="Check the set-up").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "What the dashboard sees of its own set-up"
        )
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert [] == violations(page)
        page.screenshot(path=ARTIFACTS / f"doctor-{look}.png", full_page=True)


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(browser: Browser, demos: Demos, look: str) -> None:
    """In no state of the page axe-core finds anything against WCAG 2.2 A and AA, or good practice."""
    with clean_page(browser, **LOOKS[look]) as page:
        url = demos("saturation")
        page.goto(url)
        expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = {}
        for state, (place, act) in STATES.items():
            page.goto(url + place)
            act(page)
            found[state] = violations(page)
    with clean_page(browser, **LOOKS[look]) as page:
        page.goto(demos("metrics-off"))
        expect(page.get_by_test_id("error")).to_be_visible(timeout=10_000)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found["metrics off"] = violations(page)
    assert {} == {state: what for state, what in found.items() if what}


def violations(page: Page) -> list[str]:
    options = {"runOnly": RULES, "resultTypes": ["violations"]}
    result = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{rule['id']}: {node['target']}: {node['html'][:120]}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


def test_a_reader_is_not_talked_down(browser: Browser, demos: Demos) -> None:
    """However often the verdict changes, it is said aloud at most once in ten seconds."""
    with lone_page(browser) as page:
        feed = Feed(page)
        page.goto(demos("calm"))
        wait_for(page, lambda: feed.open, "a socket")
        page.evaluate(
            """() => {
                window.said = [];
                const speaker = document.querySelector("[data-testid=speaker]");
                new MutationObserver(() => said.push([performance.now(), speaker.textContent]))
                    .observe(speaker, {childList: true, characterData: true, subtree: true});
            }"""
        )
        began = time.monotonic()
        states = "WWWW", "____"
        while time.monotonic() < began + 12:
            feed.send(build_metrics(states[0], started=time.time() - 2))
            states = states[::-1]
            page.wait_for_timeout(300)
        said = page.evaluate("said")
    instants = [at for at, _words in said]
    assert len(said) == 2
    assert instants[1] - instants[0] >= 9_900
    assert all("busy" in words for _at, words in said)


def test_ages_go_on_between_samples(browser: Browser, demos: Demos) -> None:
    """Ages count on while no sample comes, but not for who asked for little motion."""
    url = demos("slow-endpoint", interval="30")
    still_look = {"reduced_motion": "reduce"}
    with clean_page(browser) as page, clean_page(browser, **still_look) as still:
        for each in (page, still):
            each.goto(url)
            expect(each.get_by_test_id("cells")).to_be_visible(timeout=10_000)
        ages, stills = (each.locator("tbody td.age").first for each in (page, still))
        before, clock = stills.inner_text(), page.get_by_test_id("clock").inner_text()
        for _ in range(2):
            expect(ages).not_to_have_text(ages.inner_text())
        assert clock == page.get_by_test_id("clock").inner_text()
        assert before == stills.inner_text()


KEPT = "localStorage.getItem('mod-wsgi-dashboard.keys')"


def test_single_keys_can_be_switched_off(page: Page, demos: Demos) -> None:
    """Who switches single keys off in help is rid of them, after a reload too; Escape still closes."""
    page.goto(demos("calm"))
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
    page.keyboard.press("?")
    page.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for _ in range(2):
        # The browser keeps it, in its own time.
        wait_for(page, lambda: page.evaluate(KEPT) == "off", "the choice is kept")
        for key in ("m", "?", "Space", "2"):
            page.keyboard.press(key)
        expect(page.get_by_test_id("cells")).to_be_visible()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_test_id("clock")).not_to_contain_text("Paused")
        assert "#" not in page.url
        page.reload()
        expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    page.get_by_role("checkbox").check()
    page.keyboard.press("Escape")
    page.keyboard.press("m")
    expect(page.get_by_test_id("map")).to_be_visible()


def test_the_grid_is_walked_with_keys(page: Page, demos: Demos) -> None:
    """Tab leads into the grid, arrows from worker to worker, Enter pins: each is said aloud."""
    page.goto(demos("slow-endpoint"))
    cells, speaker = page.get_by_test_id("cells"), page.get_by_test_id("speaker")
    expect(cells).to_be_visible(timeout=10_000)
    page.locator("summary").focus()
    page.keyboard.press("Tab")
    expect(cells).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(speaker).to_contain_text("slot 0.0")
    page.keyboard.press("ArrowRight")
    expect(speaker).to_contain_text("slot 0.1")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("story")).to_contain_text("slot 0.1")
    assert page.url.endswith("#slot=0.1")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_test_id("story")).to_contain_text("slot 0.1")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("story")).to_have_count(0)
    assert "#" not in page.url
