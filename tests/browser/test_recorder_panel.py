"""The recorder's panel on a real server that records, and the line of what keeps old processes."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import Demos
from tests.browser.feed import Feed
from tests.browser.pages import clean_page, lone_page, wait_for
from tests.browser.server import demo
from tests.browser.test_access import AXE, LOOKS, violations
from tests.browser.test_demo import ARTIFACTS, SCREEN, hidden_rows, outside, wide_by
from tests.conftest import build_metrics

pytestmark = pytest.mark.browser

TABS = ("Status", "Events", "Take it along", "What if", "Compare")


@pytest.fixture
def url(demos: Demos) -> str:
    """Return the address of a server that records four samples a second."""
    return demos("graceful-restart", interval="0.25")


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)


def open_panel(page: Page, tab: str) -> Locator:
    """Open the panel at one of its parts."""
    page.get_by_test_id("recorder").click()
    panel = page.get_by_test_id("recorder-panel")
    expect(panel).to_be_visible()
    panel.get_by_role("tab", name=tab).click()
    expect(panel.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
    return panel


def bookmark(panel: Locator, text: str) -> Locator:
    """Bookmark the shown moment; return its row."""
    panel.get_by_role("textbox").fill(text)
    panel.get_by_role("button", name="Bookmark this moment").click()
    row = panel.get_by_role("listitem").filter(has_text=text)
    expect(row).to_have_count(1)
    return row


def test_the_button_opens_what_the_server_records(page: Page, url: str) -> None:
    """The button says that the server records; Escape closes its panel, and nothing else."""
    open_page(page, url)
    button = page.get_by_test_id("recorder")
    expect(button).to_have_text("Recording")
    page.get_by_test_id("inflight").locator("tbody td.pid button").first.click()
    pinned = re.compile("slot=")
    expect(page).to_have_url(pinned)
    panel = open_panel(page, "Status")
    status = panel.get_by_test_id("recorder-status")
    expect(status).to_contain_text("Every tick is recorded whole")
    expect(status).to_contain_text(re.compile(r"On disk.* of 537 MB"))
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(button).to_be_focused()
    expect(page).to_have_url(pinned)


def test_tabs_are_gone_through_with_arrows(page: Page, url: str) -> None:
    """Arrows lead from part to part, around the ends; the page's single keys do nothing meanwhile."""
    open_page(page, url)
    panel = open_panel(page, "Status")
    for key, tab in (("ArrowLeft", TABS[-1]), ("ArrowRight", TABS[0]), ("ArrowRight", TABS[1])):
        page.keyboard.press(key)
        expect(panel.get_by_role("tab", name=tab)).to_be_focused()
        expect(panel.get_by_role("tabpanel", name=tab)).to_be_visible()
    page.keyboard.press("m")
    expect(page.get_by_test_id("cells")).to_have_count(1)


def test_a_bookmark_leads_back_to_its_moment(page: Page, url: str) -> None:
    """What was bookmarked is text and nothing else; Enter shows the page as it was then."""
    open_page(page, url)
    panel = open_panel(page, "Events")
    text = "deploy <b>4711</b> & more"
    row = bookmark(panel, text)
    expect(panel.get_by_role("textbox")).to_have_value("")
    instant = re.search(r"\d\d:\d\d:\d\d", row.inner_text())
    assert instant
    row.get_by_title("Show this moment in the page").press("Enter")
    expect(panel).to_be_hidden()
    expect(page.get_by_test_id("clock")).to_contain_text(f"Paused at {instant.group()}")
    open_panel(page, "Events")
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_a_bookmark_that_fails_is_told(browser: Browser, url: str) -> None:
    """The server's own sentence is shown, and the text stays in its field."""

    def refuse(route: Route) -> None:
        body = {"status": 503, "detail": "The disk is full."}
        route.fulfill(status=503, content_type="application/problem+json", body=json.dumps(body))

    with clean_page(browser, allow="503") as page:
        page.route("**/api/v1/bookmarks", refuse)
        open_page(page, url)
        panel = open_panel(page, "Events")
        panel.get_by_role("textbox").fill("deploy")
        panel.get_by_role("button", name="Bookmark this moment").click()
        expect(panel.get_by_role("alert")).to_have_text("The disk is full.")
        expect(panel.get_by_role("textbox")).to_have_value("deploy")


def test_events_are_filtered_by_kind(page: Page, url: str) -> None:
    """Ends of processes are left out until they are asked for; with no kind at all that is said."""
    open_page(page, url)
    panel = open_panel(page, "Events")
    events = panel.get_by_test_id("recorder-events")
    expect(events).to_contain_text("Dashboard start")
    expect(panel.get_by_label("Process ended")).not_to_be_checked()
    panel.get_by_label("Dashboard start").uncheck()
    expect(events.get_by_text("Dashboard start")).to_have_count(0)
    for box in panel.get_by_role("checkbox", checked=True).all()[::-1]:
        box.uncheck()
    expect(panel).to_contain_text("Nothing of these kinds was recorded")


def test_a_stretch_of_time_is_taken_along(page: Page, url: str) -> None:
    """The CSV of the chosen time has its numbers; a stretch that ends before it begins has no links."""
    open_page(page, url)
    panel = open_panel(page, "Take it along")
    panel.get_by_role("button", name="Last 15 minutes").click()
    link = panel.get_by_test_id("recorder-csv").get_attribute("href") or ""
    rows = list(csv.DictReader(io.StringIO(page.request.get(urljoin(url, link)).text())))
    assert {"at", "busy_mean", "busy_max"} <= rows[0].keys()
    assert time.time() - 900 - 60 <= float(rows[0]["at"]) <= time.time()
    href = panel.get_by_test_id("recorder-export").get_attribute("href") or ""
    assert re.fullmatch(r"api/v1/export\?from=\d+&to=\d+", href)
    panel.get_by_label("From").fill("2040-01-01T00:00:00")
    expect(panel).to_contain_text("must be before")
    expect(panel.get_by_test_id("recorder-export")).to_have_count(0)


def test_what_if_there_were_fewer_workers(page: Page, url: str) -> None:
    """The sentence is about the number that was typed, and a number that is none is told."""
    open_page(page, url)
    panel = open_panel(page, "What if")
    answer, field = panel.get_by_test_id("recorder-answer"), panel.get_by_test_id("recorder-workers")
    expect(answer).to_contain_text("MaxRequestWorkers = 64 you would never have been full")
    field.fill("1")
    expect(answer).to_have_text(
        re.compile(
            r"^With MaxRequestWorkers = 1 you would have been full .* % of the last .* \(.* s\)\.$"
        )
    )
    expect(panel.get_by_role("table")).to_contain_text("never")
    field.fill("0")
    expect(answer).to_contain_text("whole number")


def test_two_moments_are_compared(page: Page, url: str) -> None:
    """A bookmark stands beside now, both in numbers and as a grid; they can be swapped and shown."""
    open_page(page, url)
    panel = open_panel(page, "Events")
    bookmark(panel, "before the deploy")
    panel.get_by_role("tab", name="Compare").click()
    choice = panel.get_by_label("Compare with")
    option = choice.locator("option").filter(has_text="before the deploy")
    choice.select_option(option.get_attribute("value"))
    sides = [panel.get_by_test_id(f"recorder-{side}") for side in ("before", "after")]
    for side in sides:
        expect(side.get_by_role("img")).to_be_visible()
        expect(side).to_contain_text("of 64 workers busy")
    expect(panel.get_by_role("table", name="Numbers")).to_contain_text("Busy workers")
    moments = [side.locator("input").input_value() for side in sides]
    panel.get_by_role("button", name="Swap").click()
    for side, moment in zip(sides, reversed(moments), strict=True):
        expect(side.locator("input")).to_have_value(moment)
    sides[0].get_by_role("button", name="Show this moment").click()
    expect(panel).to_be_hidden()
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")


def test_a_moment_before_the_recording_is_told(page: Page, url: str) -> None:
    """Where nothing was recorded that is said in the place of the numbers."""
    open_page(page, url)
    panel = open_panel(page, "Compare")
    expect(panel.get_by_role("table")).not_to_have_count(0)
    panel.get_by_test_id("recorder-before").locator("input").fill("2001-01-01T00:00:00")
    expect(panel.get_by_test_id("recorder-before")).to_contain_text("Nothing was recorded")
    expect(panel.get_by_role("table")).to_have_count(0)


def test_without_a_recording_the_panel_says_why(browser: Browser) -> None:
    """Each part says that recording is off and what to set, and nothing more is asked."""
    with clean_page(browser) as page, demo("--scenario", "calm", record="off") as url:
        open_page(page, url)
        expect(page.get_by_test_id("recorder")).to_have_text("Not recording")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        panel = open_panel(page, "Status")
        for tab in TABS:
            panel.get_by_role("tab", name=tab).click()
            expect(panel.get_by_role("tabpanel")).to_contain_text("record = full")
        assert {address for address in asked if "/api/" in address} <= {f"{url}api/v1/recording"}
        page.goto("about:blank")


def test_a_recorder_that_fails_is_told(browser: Browser, tmp_path: Path) -> None:
    """The button says that nothing is recorded, and each part of the panel what is in the way."""
    file = tmp_path / "file"
    file.touch()
    with clean_page(browser) as page, demo("--scenario", "calm", state_dir=str(file)) as url:
        open_page(page, url)
        button = page.get_by_test_id("recorder")
        expect(button).to_have_text(re.compile("Not recording"))
        expect(button).to_have_accessible_name(re.compile("failed"))
        panel = open_panel(page, "Status")
        for tab in TABS:
            panel.get_by_role("tab", name=tab).click()
            expect(panel.get_by_role("tabpanel")).to_contain_text("state_dir")
        page.goto("about:blank")


def test_a_panel_that_does_not_come_is_told(browser: Browser, url: str) -> None:
    """Where the server has no such file any more the page says what to do, and goes on."""
    with clean_page(browser, allow="Panel-") as page:
        page.route("**/assets/Panel-*.js", lambda route: route.fulfill(status=404))
        open_page(page, url)
        page.get_by_test_id("recorder").click()
        expect(page.get_by_role("alert")).to_contain_text("Load the page again")
        before = page.get_by_test_id("clock").inner_text()
        expect(page.get_by_test_id("clock")).not_to_have_text(before)


def test_a_replay_has_no_bookmarks_to_set(page: Page, url: str) -> None:
    """In a replay the button says so, and no field asks for a bookmark."""

    def replayed(route: Route) -> None:
        told = route.fetch().json()
        route.fulfill(json={**told, "state": "replay", "file": "incident.gz"})

    page.route("**/api/v1/recording", replayed)
    open_page(page, url)
    expect(page.get_by_test_id("recorder")).to_have_text("Replay")
    panel = open_panel(page, "Status")
    expect(panel).to_contain_text("incident.gz")
    panel.get_by_role("tab", name="Events").click()
    expect(panel.get_by_test_id("recorder-events")).to_be_visible()
    expect(panel.get_by_role("textbox")).to_have_count(0)


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_in_the_panel(browser: Browser, url: str, look: str) -> None:
    """In no part of the panel axe-core finds anything, nor is any wider than the window."""
    with clean_page(browser, **LOOKS[look]) as page:
        open_page(page, url)
        panel = open_panel(page, "Status")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = {}
        for tab in TABS:
            panel.get_by_role("tab", name=tab).click()
            settled = {
                "Events": "recorder-events",
                "What if": "recorder-answer",
                "Compare": "recorder-after",
            }
            if tab in settled:
                expect(panel.get_by_test_id(settled[tab])).to_be_visible()
            found[tab] = violations(page)
            page.screenshot(path=ARTIFACTS / f"recorder-{tab.split()[0].lower()}-{look}.png")
            assert panel.evaluate("panel => panel.scrollWidth - panel.clientWidth") <= 0
    assert {} == {tab: what for tab, what in found.items() if what}


def drain(page: Page, url: str, now: str = "____") -> None:
    """Show a page of which two processes drain since just now, by one request and by two.

    `now` are the letters of the process that has begun since then.
    """
    feed = Feed(page)
    page.goto(url)
    wait_for(page, lambda: feed.open, "a socket")
    started = time.time() - 250
    export = partial(
        build_metrics, restart_time=started - 600, started=started, request="GET /export HTTP/1.1"
    )
    feed.send(export("__W_", "__W_", "_W_W"))
    # Of two samples that come in one animation frame the page shows the newer one alone.
    expect(page.get_by_test_id("cells")).to_be_visible()
    feed.send(export(now, "__G_", "_G_G", generations=[1, 0, 0], running_generation=1))


@pytest.mark.parametrize("look", LOOKS)
def test_what_blocks_a_restart_is_on_the_first_screen(browser: Browser, demos: Demos, look: str) -> None:
    """The line names pid, slot, request and its age; a click pins the slot; nothing is moved away."""
    with lone_page(browser, **LOOKS[look]) as page:
        drain(page, demos("calm"))
        line = page.get_by_test_id("draining")
        expect(line).to_contain_text("Blocked by")
        expect(line).to_contain_text(
            re.compile(r"pid 10[12], slot [12]\.[12], GET /export, 4 min 1\d s")
        )
        expect(line).to_contain_text(re.compile(r"generation 0 drains for \d"))
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert violations(page) == []
        assert wide_by(page) == 0
        page.screenshot(path=ARTIFACTS / f"draining-{look}.png")
        if look != "phone":
            assert hidden_rows(page) == 0
            assert outside(page, ("verdict", "draining", "cells", "timeline", "inflight")) == []
        line.get_by_title("Pin this slot").first.click()
        expect(page).to_have_url(re.compile(r"slot=[12]\.[12]"))


def test_all_that_drain_are_listed(browser: Browser, demos: Demos) -> None:
    """The list has each process with its own request; Escape closes it, and unpins nothing."""
    with lone_page(browser, viewport=SCREEN) as page:
        drain(page, demos("calm"))
        line = page.get_by_test_id("draining")
        line.locator("summary").click()
        expect(line.locator("summary")).to_have_text("1 more")
        listed = line.get_by_role("row")
        expect(listed).to_have_count(2)
        expect(listed.filter(has_text="1 more request")).to_contain_text("pid 102")
        expect(line).to_contain_text("ServerLimit")
        listed.last.get_by_role("button").click()
        page.keyboard.press("Escape")
        expect(listed.first).to_be_hidden()
        expect(page).to_have_url(re.compile("slot="))


def test_a_full_server_that_drains_fits_the_screen(browser: Browser, demos: Demos) -> None:
    """At 1280 x 720 the line stands beside the advice for a full server, and nothing scrolls."""
    with lone_page(browser, viewport=SCREEN) as page:
        drain(page, demos("calm"), now="WWWW")
        expect(page.get_by_test_id("verdict")).to_contain_text("Full")
        for name in ("draining", "advice"):
            expect(page.get_by_test_id(name)).to_be_visible()
        assert hidden_rows(page) == 0
        assert outside(page, ("verdict", "draining", "cells", "timeline", "inflight")) == []
        page.screenshot(path=ARTIFACTS / "draining-full.png")
