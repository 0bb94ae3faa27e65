"""What clients and links may write onto the page: text, wherever it is shown."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Demos
from tests.browser.feed import Feed
from tests.browser.pages import lone_page, wait_for
from tests.conftest import build_metrics

pytestmark = pytest.mark.browser

IMAGE = "<img/src=x/onerror=alert(1)>"
SCRIPT = "<script>alert(2)</script>"
VECTOR = '"><svg/onload=alert(3)>'
QUOTED = "\"'><b onclick=alert(4)>x</b>"


def test_hostile_strings_are_text(browser: Browser, demos: Demos) -> None:
    """Markup, control bytes and secrets of clients: the first two are shown as text, the last not."""
    with lone_page(browser) as page:
        page.goto(demos("hostile", "--slots", "400"))
        table = page.get_by_test_id("inflight")
        for text in ("<script>alert(1)</script>", "\\x1b[31mred", "<b>ptr</b>.evil.example"):
            expect(table.get_by_text(text).first).to_be_visible(timeout=20_000)
        assert_harmless(page)
        assert "hunter2" not in page.content()


def test_every_place_shows_text(browser: Browser, demos: Demos) -> None:
    """Client, virtual host and request are text in table, story, groups, speech and copied text."""
    request = f"GET /{IMAGE}{VECTOR} HTTP/1.1"
    metrics = build_metrics("WW__", request=request, vhost=SCRIPT, started=time.time() - 40)
    for worker in metrics["processes"][0]["workers"]:
        worker["client"] = QUOTED
    with lone_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        feed = Feed(page)
        page.goto(demos("calm"))
        wait_for(page, lambda: feed.open, "a socket")
        feed.send(metrics)
        feed.send(metrics)
        row = page.get_by_test_id("inflight").locator("tbody tr").first
        for text in (IMAGE + VECTOR, SCRIPT, QUOTED):
            expect(row).to_contain_text(text)
        expect(page.get_by_test_id("verdict")).to_contain_text(IMAGE)
        row.click()
        story = page.get_by_test_id("story")
        for text in (IMAGE + VECTOR, SCRIPT, QUOTED):
            expect(story).to_contain_text(text)
        page.get_by_test_id("copy").click()
        expect(page.get_by_test_id("speaker")).to_contain_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert all(text in copied for text in (IMAGE + VECTOR, SCRIPT, QUOTED))
        for group, text in (("path", IMAGE), ("vhost", SCRIPT), ("client", QUOTED)):
            page.get_by_label("Group by").select_option(group)
            groups = page.get_by_test_id("groups")
            expect(groups).to_contain_text(text)
            groups.get_by_role("button").first.click()
            expect(row).to_contain_text(text)
            page.get_by_label("Filter").fill("")
        page.get_by_test_id("cells").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_test_id("speaker")).to_contain_text(IMAGE)
        assert_harmless(page)


@pytest.mark.parametrize(
    "fragment",
    [
        "#filter=<img src=x onerror=alert(1)>",
        f"#filter={quote('colour:' + IMAGE)}",
        f"#filter={quote('state:' + SCRIPT)}&group={quote(IMAGE)}",
        f"#slot={quote(IMAGE)}&window={quote(SCRIPT)}&sort={quote(VECTOR)}&panel={quote(IMAGE)}",
        "#slot=999999.999999",
        "#__proto__=1&sort=constructor&group=toString&window=__proto__",
        f"#filter={'%22' * 3}{'a' * 5000}",
        "#filter=%E0%A4%A&slot=1.2.3",
    ],
)
def test_links_are_text(page: Page, demos: Demos, fragment: str) -> None:
    """A link with anything behind its # opens a page that works, and shows it as text if at all."""
    page.goto(demos("calm") + fragment)
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
    expect(page.get_by_test_id("timeline")).to_be_visible()
    assert_harmless(page)


def assert_harmless(page: Page) -> None:
    """Fail if there is an element or an attribute that only markup of a stranger brings in."""
    assert page.locator("script:not([src]), img, #app b[onclick], #app svg:not(.spark)").count() == 0
    attributes = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((element) => element.getAttributeNames())"
    )
    assert [name for name in attributes if name.startswith("on")] == []
