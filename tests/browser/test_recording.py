"""What an operator does with the recording: open, go back, step, play, jump, share."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from mod_wsgi_dashboard.recorder import file_name
from mod_wsgi_dashboard.settings import Settings
from tests.browser.conftest import Demos
from tests.browser.pages import clean_page, hide, lone_page, wait_for
from tests.browser.recorded import record
from tests.browser.server import demo
from tests.browser.test_demo import LOOKS, SCREEN, wide_by

pytestmark = pytest.mark.browser

# Seconds before now: two runs of the dashboard, with a minute between them in which it did not run.
FIRST, END_OF_FIRST, SECOND, LAST = 2400, 1500, 1440, 5

REPLAY = """
import asyncio, sys
from pathlib import Path
from aiohttp import web
from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.settings import Settings

async def main():
    runner = web.AppRunner(create_replay(Settings.load(), Path(sys.argv[1]), "incident.gz"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def now() -> int:
    """When these tests began (epoch seconds)."""
    return int(time.time())


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, now: int) -> Path:
    """A directory with a recording of forty minutes."""
    directory = tmp_path_factory.mktemp("state") / "recording"
    record(directory, [(now - FIRST, now - END_OF_FIRST), (now - SECOND, now - LAST)], slots=16)
    return directory


@pytest.fixture(scope="module")
def url(recorded: Path) -> Iterator[str]:
    """The address of a server that goes on with it."""
    with demo("--scenario", "burst", "--slots", "16", state_dir=str(recorded)) as address:
        yield address


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("cells").or_(page.get_by_test_id("map"))).to_be_visible(timeout=10_000)
    expect(page.get_by_test_id("reading")).to_contain_text("Recorded since", timeout=10_000)


def ask(url: str, path: str) -> Any:
    """Return what the API answers."""
    with urllib.request.urlopen(f"{url}api/v1/{path}", timeout=10) as answer:
        return json.load(answer)


def letters(page: Page) -> list[str]:
    """Return the letters that the page shows, a process each."""
    if not page.locator("details").evaluate("details => details.open"):
        page.locator("summary").click()
    expect(page.get_by_test_id("process-row").first).to_be_attached()
    return page.get_by_test_id("process-row").locator("td.letters").all_inner_texts()


def letters_at(url: str, at: float) -> list[str]:
    """Return the letters that were recorded."""
    grid = ask(url, f"grid?at={at}")
    return [
        "".join(worker["status"] for worker in process["workers"])
        for process in grid["snapshot"]["processes"]
        if process["pid"]
    ]


def go_to(page: Page, url: str, at: float) -> None:
    """Have the page show an instant, by its address."""
    open_page_at(page, url, at)
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")


def open_page_at(page: Page, url: str, at: float) -> None:
    page.goto(f"{url}#at={at}")
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)


def shown_at(page: Page) -> float:
    """Return the instant in the page's address, once it has settled; not a number if it is live."""
    page.wait_for_timeout(500)
    found = re.search(r"[#&]at=([\d.]+)", page.url)
    return float(found.group(1)) if found else float("nan")


def instant(page: Page) -> str:
    """Return the time of day at which the page is paused."""
    return page.get_by_test_id("clock").inner_text().removeprefix("Paused at ").partition(",")[0]


def clicker(page: Page) -> Callable[[float], None]:
    """Return a function that clicks into the charts, at a share of their width."""
    canvas = page.get_by_test_id("timeline").locator("canvas")

    def click(share: float) -> None:
        box = canvas.bounding_box()
        assert box is not None
        canvas.click(position={"x": 56 + share * (box["width"] - 66), "y": box["height"] / 2})

    return click


def test_the_charts_open_with_history(page: Page, url: str) -> None:
    """The past is in the charts when the page opens, and after a reload, with what happened."""
    for _ in range(2):
        open_page(page, url)
        summary = page.get_by_test_id("timeline").locator("canvas")
        expect(summary).to_have_attribute(
            "aria-label", re.compile(r"full in \d+ of 2,[234]\d\d samples")
        )
        expect(summary).to_have_attribute("aria-label", re.compile("the dashboard was started"))
        page.reload()


def test_steps_work_right_after_opening(page: Page, url: str) -> None:
    """Ten samples back are there that the page has not seen."""
    open_page(page, url)
    expect(page.get_by_test_id("timeline").locator("canvas")).to_have_attribute(
        "aria-label", re.compile("of 2,")
    )
    page.get_by_role("button", name="One sample back").click()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")
    assert 20 < time.time() - shown_at(page) < 60


def test_a_click_takes_the_whole_page_back(page: Page, url: str, now: int) -> None:
    """Grid, verdict and tiles are those that were recorded at the instant that was clicked on."""
    open_page(page, f"{url}#window=all")
    live = letters(page)
    clicker(page)(0.2)
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")
    at = shown_at(page)
    assert now - FIRST < at < now - END_OF_FIRST
    assert letters_at(url, at) == letters(page)
    assert live != letters(page)
    busy = ask(url, f"grid?at={at}")["rates"]["busy"]
    expect(page.get_by_test_id("tile-busy").locator(".value")).to_have_text(f"{busy} / 16")
    expect(page.get_by_test_id("verdict")).to_contain_text(f"{busy} of 16")
    page.get_by_role("button", name="Live", exact=True).first.click()
    expect(page.get_by_test_id("clock")).not_to_contain_text("Paused")
    assert "at=" not in page.url


def test_arrows_go_through_the_recording(page: Page, url: str, now: int) -> None:
    """Each arrow is one recorded sample, also where another stretch of it has to be fetched."""
    go_to(page, url, now - 2000)
    assert now - 2000 == shown_at(page)
    for key in [*["Shift+ArrowLeft"] * 7, "ArrowRight", "Shift+ArrowRight"]:
        before = instant(page)
        page.keyboard.press(key)
        expect(page.get_by_test_id("clock")).not_to_contain_text(before)
    assert now - 2000 - 70 + 11 == shown_at(page)
    assert letters_at(url, now - 2059) == letters(page)


def test_the_recording_is_played(page: Page, url: str, now: int) -> None:
    """It goes on by itself as fast as is asked for, and stops when told to."""
    go_to(page, url, now - 2100)
    page.get_by_label("Speed").select_option("30")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_test_id("clock")).to_contain_text(", 30")
    page.wait_for_timeout(3000)
    page.keyboard.press("p")
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")
    at = shown_at(page)
    assert 30 < at - (now - 2100) < 150
    assert at == shown_at(page)
    assert letters_at(url, at) == letters(page)


def test_the_marker_is_dragged_through_time(page: Page, url: str, now: int) -> None:
    """The page follows the marker of a stopped page, and stays where it is let go."""
    open_page(page, f"{url}#window=all")
    click = clicker(page)
    click(0.1)
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")
    before = shown_at(page)
    box = page.get_by_test_id("timeline").locator("canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + 56 + 0.1 * (box["width"] - 66), box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for _ in range(10):
        x += 10
        page.mouse.move(x, y)
        page.wait_for_timeout(50)
    page.mouse.up()
    seconds = (now - before) / 0.9 * 100 / (box["width"] - 66)
    assert pytest.approx(before + seconds, abs=0.1 * seconds) == shown_at(page)
    assert letters_at(url, shown_at(page)) == letters(page)
    expect(page.get_by_role("button", name="All")).to_have_attribute("aria-pressed", "true")


def test_events_are_jumped_to(page: Page, url: str, now: int) -> None:
    """Back to where the dashboard was restarted, and to the next event."""
    open_page(page, url)
    for _ in range(30):
        page.keyboard.press(",")
        expect(page.get_by_test_id("clock")).to_contain_text("Paused")
        if shown_at(page) <= now - SECOND:
            break
    assert now - SECOND == shown_at(page)
    expect(page.get_by_test_id("reading")).to_contain_text("the dashboard was started")
    page.get_by_role("button", name="Next event").click()
    wait_for(page, lambda: not shown_at(page) <= now - SECOND, "a later event")


def test_a_link_shows_the_same_moment(browser: Browser, url: str, now: int) -> None:
    """The address of a paused page brings somebody else to the same sample, and to the same window."""
    with lone_page(browser) as page:
        open_page(page, f"{url}#window=all")
        clicker(page)(0.25)
        expect(page.get_by_test_id("clock")).to_contain_text("Paused")
        at, address, shown = shown_at(page), page.url, letters(page)
    with clean_page(browser) as page:
        page.goto(address)
        expect(page.get_by_test_id("clock")).to_contain_text("Paused", timeout=10_000)
        assert shown == letters(page)
        assert at == shown_at(page)
        assert address == page.url


def test_a_hole_is_told(page: Page, url: str, now: int) -> None:
    """Where nothing was recorded the page says so, and why, and shows the sample before it."""
    go_to(page, url, now - END_OF_FIRST + 20)
    moment = page.get_by_test_id("moment")
    expect(moment).to_contain_text("Nothing was recorded from")
    expect(moment).to_contain_text("the dashboard was restarted")
    assert now - END_OF_FIRST - 1 == shown_at(page)
    page.keyboard.press("ArrowRight")
    expect(moment).to_be_empty()
    assert now - SECOND == shown_at(page)


def test_a_live_page_asks_nothing_again(page: Page, url: str) -> None:
    """What was recorded is asked for when the page opens, and not while it goes on, or is hidden."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/api/v1/" in request.url:
            asked.append(request.url)

    page.on("request", note)
    open_page(page, url)
    wait_for(page, lambda: sum("/frames" in path for path in asked) >= 2, "whole samples")
    page.wait_for_timeout(1000)
    before = len(asked)
    page.wait_for_timeout(4000)
    assert asked[before:] == []
    assert sum(path.endswith("/recording") for path in asked) == 1
    page.keyboard.press("7")
    hide(page, hidden=True)
    page.wait_for_timeout(1000)
    assert asked[before:] == []


def test_without_a_recording_the_page_says_why(page: Page, demos: Demos) -> None:
    """With `record = off` it shows what it sees, as ever, and tells that the past isn't there."""
    page.goto(demos("calm", record="off"))
    expect(page.get_by_test_id("reading")).to_contain_text("when it was opened", timeout=10_000)
    expect(page.get_by_test_id("reading")).to_contain_text("record")
    page.get_by_test_id("pause").click()
    expect(page.get_by_test_id("clock")).to_contain_text("Paused")
    assert page.get_by_test_id("error").count() == 0


def test_a_replay_opens_at_its_end(browser: Browser, recorded: Path, url: str, now: int) -> None:
    """It says what it is, never that it is live, and goes through time as a live page does."""
    source = recorded / file_name(Settings.load(listen="127.0.0.1:0"))
    command = [sys.executable, "-c", REPLAY, str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}/"
        try:
            with lone_page(browser, viewport=SCREEN) as page:
                page.goto(address)
                connection = page.get_by_test_id("connection")
                expect(connection).to_contain_text("Replay of incident.gz, from", timeout=10_000)
                expect(page.get_by_test_id("clock")).to_contain_text("Paused")
                expect(connection).not_to_contain_text("Live")
                end = shown_at(page)
                page.goto(f"{address}#at={now - 2000}")
                wait_for(page, lambda: shown_at(page) == now - 2000, "the moment of the address")
                assert letters_at(url, now - 2000) == letters(page)
                page.get_by_role("button", name="End", exact=True).first.click()
                expect(page.get_by_test_id("clock")).to_contain_text("Paused")
                assert end == shown_at(page)
        finally:
            server.terminate()
            server.communicate(timeout=10)


def test_metrics_off_shows_the_newest_recorded_sample(page: Page, tmp_path: Path) -> None:
    """Where the scoreboard can't be read, the page says so, and shows what was before, as the past."""
    end = int(time.time()) - 600
    record(tmp_path / "state", [(end - 300, end)], slots=16)
    with demo("--scenario", "metrics-off", state_dir=str(tmp_path / "state")) as url:
        page.goto(url)
        expect(page.get_by_test_id("error")).to_contain_text("server-metrics=on", timeout=10_000)
        expect(page.get_by_test_id("clock")).to_contain_text("Paused at", timeout=10_000)
        expect(page.locator("main")).to_contain_text("No newer sample than of")
        assert letters_at(url, end - 1) == letters(page)
        assert "busy" not in page.title()
        page.get_by_role("button", name="One sample back").click()
        wait_for(page, lambda: shown_at(page) == end - 2, "the sample before")
        assert letters_at(url, end - 2) == letters(page)
        page.get_by_test_id("recorder").click()
        expect(page.get_by_test_id("recorder-status")).to_be_visible()
        page.goto("about:blank")


def test_the_map_of_an_apache_with_other_slots(page: Page, tmp_path: Path) -> None:
    """Over time, a moment of an Apache that had fewer slots shows those, and a newer one all."""
    now = int(time.time())
    record(tmp_path / "state", [(now - 1500, now - 900)], slots=16)
    record(tmp_path / "state", [(now - 800, now - 5)], slots=32)
    with demo("--scenario", "burst", "--slots", "32", state_dir=str(tmp_path / "state")) as url:
        for at, share in ((now - 1000, 0.66), (now - 400, 0.84)):
            page.goto("about:blank")
            page.goto(f"{url}#at={at}&panel=map&window=1h")
            expect(page.get_by_test_id("clock")).to_contain_text("Paused", timeout=10_000)
            wait_for(page, lambda share=share: is_painted(page, share), "letters")
        # What it still asks for would find no server.
        page.goto("about:blank")


def is_painted(page: Page, share: float) -> bool:
    """Return whether the map has something at a share of its width."""
    painted: bool = (
        page.get_by_test_id("map")
        .locator("canvas")
        .evaluate(
            """(canvas, share) => {
            const column = Math.round(canvas.width * share);
            const { data } = canvas.getContext("2d").getImageData(column, 0, 1, canvas.height - 40);
            const colors = new Set(new Uint32Array(data.buffer));
            return colors.size > 1;
        }""",
            share,
        )
    )
    return painted


def test_requests_that_are_not_recorded_are_told(page: Page, demos: Demos) -> None:
    """With `record = states`, a recorded moment has its letters, and says why it has no requests."""
    url = demos("saturation", record="states", interval="0.25")

    def recorded_for() -> float:
        answer = ask(url, "recording")
        return float(answer["until"] - answer["since"]) if answer["since"] else 0.0

    wait_for(page, lambda: recorded_for() > 3.0, "a recording of three seconds")
    at = ask(url, "recording")["since"] + 1
    go_to(page, url, at)
    expect(page.get_by_test_id("inflight")).to_contain_text(
        "Requests are not recorded (record = states)"
    )
    expect(page.get_by_test_id("tile-oldest")).to_contain_text("not available")
    assert letters_at(url, at) == letters(page)


@pytest.mark.parametrize("width", [320, 390])
def test_a_paused_phone_needs_no_scrolling_sideways(
    browser: Browser, url: str, now: int, width: int
) -> None:
    """At a moment, and at one of which nothing was recorded, in light, dark and forced colours."""
    with lone_page(browser, viewport={"width": width, "height": 844}, has_touch=True) as page:
        for at in (now - 2000, now - END_OF_FIRST + 30):
            page.goto("about:blank")
            go_to(page, url, at)
            for look in LOOKS.values():
                page.emulate_media(**look)
                assert wide_by(page) == 0
