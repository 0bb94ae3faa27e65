"""How pages in a real Chromium get their frames: over one socket for all of them, and over their own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.browser.pages import clean_context, clean_page, hide, wait_for
from tests.browser.server import count_viewers, demo

pytestmark = pytest.mark.browser

LIVE_SECONDS = 10.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a busy server."""
    with demo("--scenario", "burst", "--slots", "64") as address:
        yield address


def test_pages_share_one_socket(browser: Browser, url: str) -> None:
    """Two pages of a browser are one viewer, both are live, and so is the one that stays."""
    with clean_context(browser) as context:
        one, other = context.new_page(), context.new_page()
        for page in (one, other):
            page.goto(url)
            wait_for_news(page)
        wait_for_news(one)
        assert 1 == count_viewers(url)
        one.close()
        wait_for_news(other)
        assert 1 == count_viewers(url)
        other.goto("about:blank")
        wait_for(other, lambda: count_viewers(url) == 0, "no viewer")


def test_other_browsers_share_nothing(browser: Browser, url: str) -> None:
    """Two contexts, as of two people, are two viewers."""
    with clean_page(browser) as one, clean_page(browser) as other:
        for page in (one, other):
            page.goto(url)
            wait_for_news(page)
        assert 2 == count_viewers(url)
    with clean_page(browser) as page:
        wait_for(page, lambda: count_viewers(url) == 0, "no viewer")


def test_hidden_pages_hold_no_socket(browser: Browser, url: str) -> None:
    """The socket lives while a page is seen, and comes again with the first that is."""
    with clean_context(browser) as context:
        one, other = context.new_page(), context.new_page()
        for page in (one, other):
            page.goto(url)
            wait_for_news(page)
        hide(one, hidden=True)
        expect(one.get_by_test_id("connection")).to_contain_text("Hidden")
        wait_for_news(other)
        assert 1 == count_viewers(url)
        hide(other, hidden=True)
        wait_for(other, lambda: count_viewers(url) == 0, "no viewer")
        before = letters(one)
        hide(one, hidden=False)
        expect(one.get_by_test_id("connection")).to_contain_text("Live")
        wait_for(one, lambda: letters(one) != before, "news")
        assert 1 == count_viewers(url)


def test_without_the_script_of_the_worker_a_page_has_its_own_socket(browser: Browser, url: str) -> None:
    """A page whose worker can't be loaded is live all the same."""
    with clean_context(browser) as context:
        context.add_init_script(
            """const Real = SharedWorker;
            window.SharedWorker = class extends Real {
                constructor(script, options) { super(`${script}.missing.js`, options); }
            };"""
        )
        pages = [context.new_page(), context.new_page()]
        for page in pages:
            page.goto(url)
            wait_for_news(page)
        assert 2 == count_viewers(url)


def test_frames_are_keys_and_deltas(page: Page, url: str) -> None:
    """The socket speaks v1: a key frame first, and then what changed, a fraction of it."""
    frames: list[str] = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda text: frames.append(str(text)))
    )
    page.goto(url)
    wait_for_news(page)
    wait_for(page, lambda: len(frames) >= 4, "four frames")
    kinds = [json.loads(text)["frame"] for text in frames]
    assert ["key", "delta", "delta", "delta"] == kinds[:4]
    assert len(frames[1]) < len(frames[0])


def test_a_broken_chain_heals(page: Page, url: str) -> None:
    """When a frame is lost the page asks for a key frame, once, and goes on with it."""
    came: list[str] = []
    asked: list[str] = []

    def between(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def from_server(text: str | bytes) -> None:
            came.append(json.loads(text)["frame"])
            if len(came) != 3:
                route.send(text)

        def from_page(text: str | bytes) -> None:
            asked.append(str(text))
            server.send(text)

        server.on_message(from_server)
        route.on_message(from_page)

    page.route_web_socket("**/ws", between)
    page.goto(url)
    wait_for(page, lambda: "key" in came[3:], "another key frame")
    wait_for_news(page)
    assert ['{"key":true}'] == asked
    expect(page.get_by_test_id("error")).to_have_count(0)
    page.goto("about:blank")


def letters(page: Page) -> str:
    """Return the letters of all workers, as the page shows them to who wants text."""
    if not page.locator("details").evaluate("details => details.open"):
        page.locator("summary").click()
    expect(page.get_by_test_id("process-row").first).to_be_attached()
    return "/".join(page.get_by_test_id("process-row").all_text_contents())


def wait_for_news(page: Page) -> None:
    """Wait until the page is live and shows another state of the workers."""
    expect(page.get_by_test_id("connection")).to_contain_text("Live", timeout=LIVE_SECONDS * 1000)
    expect(page.locator("summary")).to_be_visible(timeout=LIVE_SECONDS * 1000)
    before = letters(page)
    wait_for(page, lambda: letters(page) != before, "another state", LIVE_SECONDS)
