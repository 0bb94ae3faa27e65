"""What an operator does with the page: find, follow, stop, go back, share."""

from __future__ import annotations

import base64
import json
import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Demos
from tests.browser.pages import clean_page, lone_page, wait_for
from tests.browser.test_demo import SCREEN

pytestmark = pytest.mark.browser

EXPORT = "GET /reports/export"


@pytest.fixture
def url(demos: Demos) -> str:
    """Return the address of a server with requests that stay for long, four samples a second."""
    return demos("slow-endpoint", interval="0.25")


def open_page(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_test_id("cells").or_(page.get_by_test_id("map"))).to_be_visible(timeout=10_000)


def rows(page: Page) -> Locator:
    return page.get_by_test_id("inflight").locator("tbody tr")


def by_address(client: str) -> tuple[list[int], str]:
    """Return what clients are sorted by: IPv4 addresses by their numbers, then the others as text."""
    numbers = [int(part) for part in client.split(".")] if client.count(".") == 3 else [256]
    return numbers, client


def test_filtering_leaves_what_matches(page: Page, url: str) -> None:
    """`/` leads to the filter; a bad key is named and hides nothing; Escape clears."""
    open_page(page, url)
    field, table = page.get_by_label("Filter"), page.get_by_test_id("inflight")
    expect(rows(page).filter(has_text=EXPORT).first).to_be_visible()
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("-export")
    expect(field).to_have_value("-export")
    expect(rows(page).filter(has_text=EXPORT)).to_have_count(0)
    field.fill("path:/reports state:W")
    expect(rows(page).filter(has_not_text=EXPORT)).to_have_count(0)
    expect(rows(page).filter(has_text=EXPORT).first).to_be_visible()
    assert "filter=" in page.url
    field.fill("colour:red")
    expect(table).to_contain_text("colour:red is no key")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(rows(page).filter(has_text=EXPORT).first).to_be_visible()
    field.fill("nobody-asks-for-this")
    expect(table).to_contain_text("None of")
    page.keyboard.press("Escape")
    expect(field).to_have_value("")
    assert "#" not in page.url


def test_a_header_sorts(page: Page, url: str) -> None:
    """A click on a column's name sorts by it, another one turns it round; the address and ARIA tell."""
    open_page(page, url)
    header = page.get_by_role("columnheader", name="Age")
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(rows(page).first).to_contain_text(EXPORT)
    page.get_by_test_id("pause").click()
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    assert page.url.endswith("&sort=age")
    by_client = page.get_by_role("columnheader", name="Client")
    by_client.get_by_role("button").click()
    expect(by_client).to_have_attribute("aria-sort", "ascending")
    expect(header).to_have_attribute("aria-sort", "none")
    up = page.locator("td.client").all_inner_texts()
    assert page.url.endswith("&sort=client")
    by_client.get_by_role("button").click()
    expect(by_client).to_have_attribute("aria-sort", "descending")
    down = page.locator("td.client").all_inner_texts()
    assert page.url.endswith("&sort=-client")
    assert len(set(up)) > 1
    assert sorted(up, key=by_address) == up
    assert sorted(down, key=by_address, reverse=True) == down
    assert by_address(up[0]) < by_address(down[0])


def test_a_group_leads_to_its_requests(page: Page, url: str) -> None:
    """Groups say how many requests are alike; a click on one shows them, and the address says so."""
    open_page(page, url)
    page.get_by_label("Group by").select_option("path")
    group = page.get_by_test_id("groups").get_by_role("button").filter(has_text=EXPORT)
    expect(group).to_contain_text(re.compile(r"\d+ \S"))
    assert page.url.endswith("#group=path")
    group.click()
    expect(page.get_by_test_id("groups")).to_have_count(0)
    expect(rows(page).filter(has_text=EXPORT).first).to_be_visible()
    expect(rows(page).filter(has_not_text=EXPORT)).to_have_count(0)
    assert "export" in page.get_by_label("Filter").input_value()


def test_a_pinned_slot_is_followed(page: Page, url: str) -> None:
    """A click on a row pins its slot: row, story and address agree, until it is unpinned."""
    open_page(page, url)
    story = page.get_by_test_id("story")
    # The youngest: each lasts half a minute, and the oldest may end at any moment.
    rows(page).filter(has_text=EXPORT).last.click()
    expect(story).to_contain_text(EXPORT)
    slot = page.url.partition("#slot=")[2]
    expect(story).to_contain_text(f"slot {slot} ")
    expect(page.locator("tr.pinned")).to_contain_text(f"· {slot}")
    expect(page.get_by_role("button", pressed=True, name=f"· {slot}")).to_be_visible()
    before = story.inner_text()
    expect(story).not_to_have_text(before)
    expect(story).to_contain_text(f"slot {slot} ")
    page.get_by_role("button", name="Unpin").click()
    expect(page.locator("tr.pinned")).to_have_count(0)
    assert "#" not in page.url


def test_a_cell_is_pinned_by_click(page: Page, url: str) -> None:
    """A pointer on a cell tells its story; a click pins it."""
    open_page(page, url)
    cells, story = page.get_by_test_id("cells").locator("canvas"), page.get_by_test_id("story")
    first = {"x": 14, "y": 32}
    cells.hover(position=first)
    expect(story).to_contain_text("slot 0.0 ")
    assert "#" not in page.url
    cells.click(position=first)
    assert page.url.endswith("#slot=0.0")


def test_a_link_restores_the_view(page: Page, url: str) -> None:
    """Window, panel, filter, sort, group and pinned slot are in the address, and come back with it."""
    open_page(page, url)
    page.get_by_test_id("pause").click()
    rows(page).first.click()
    page.get_by_test_id("pause").click()
    page.get_by_role("button", name="15 m").click()
    page.get_by_role("columnheader", name="State").get_by_role("button").click()
    page.get_by_label("Filter").fill('vhost:"intranet"')
    page.get_by_label("Group by").select_option("client")
    page.get_by_test_id("grid").get_by_role("button", name="Over time").click()
    expect(page.get_by_test_id("map")).to_be_visible()
    address = page.url
    page.reload()
    expect(page.get_by_test_id("map")).to_be_visible(timeout=10_000)
    expect(page.get_by_role("button", name="15 m")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Filter")).to_have_value('vhost:"intranet"')
    expect(page.get_by_label("Group by")).to_have_value("client")
    expect(page.get_by_test_id("groups")).to_be_visible()
    expect(page.get_by_test_id("story")).to_be_visible()
    assert address == page.url
    page.get_by_label("Group by").select_option("")
    expect(page.get_by_role("columnheader", name="State")).to_have_attribute("aria-sort", "ascending")


@pytest.mark.parametrize("way", ["button", "Space"])
def test_a_paused_page_stands_still(page: Page, url: str, way: str) -> None:
    """While frames keep coming a paused page changes nothing that it shows; then it goes on."""
    frames: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    open_page(page, url)
    wait_for(page, lambda: len(frames) > 3, "some samples")

    def toggle() -> None:
        if way == "button":
            page.get_by_test_id("pause").click()
        else:
            page.keyboard.press(way)

    toggle()
    clock = page.get_by_test_id("clock")
    expect(clock).to_contain_text("Paused")
    shown = texts(page)
    number = len(frames)
    expect(clock).to_contain_text("behind")
    wait_for(page, lambda: len(frames) >= number + 6, "later samples")
    assert shown == texts(page)
    toggle()
    expect(clock).not_to_contain_text("Paused")
    wait_for(page, lambda: texts(page) != shown, "news")


def test_arrows_step_through_samples(page: Page, demos: Demos) -> None:
    """Left and right go from sample to sample; beyond the newest the page goes on."""
    open_page(page, demos("slow-endpoint"))
    clock = page.get_by_test_id("clock")
    for _ in range(2):
        expect(clock).not_to_have_text(clock.inner_text())
    page.keyboard.press("Space")
    instants = [instant(clock)]
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
        expect(clock).not_to_contain_text(instants[-1])
        instants.append(instant(clock))
    assert sorted(instants, reverse=True) == instants
    page.keyboard.press("ArrowRight")
    expect(clock).to_contain_text(instants[1])
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    expect(clock).not_to_contain_text("Paused")


def test_a_click_in_the_past_stops_there(page: Page, url: str) -> None:
    """The timeline tells the numbers at the pointer; a click stops the page at that instant."""
    open_page(page, url)
    clock, reading = page.get_by_test_id("clock"), page.get_by_test_id("reading")
    page.keyboard.press("1")
    canvas = page.get_by_test_id("timeline").locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.hover(position={"x": box["width"] - 12, "y": box["height"] / 2})
    expect(reading).to_contain_text("busy")
    canvas.click(position={"x": box["width"] - 12, "y": box["height"] / 2})
    expect(clock).to_contain_text("Paused")
    page.mouse.move(0, 0)
    expect(reading).to_contain_text(instant(clock))
    page.keyboard.press("Escape")
    expect(clock).not_to_contain_text("Paused")


def test_the_map_shares_the_cursor(page: Page, url: str) -> None:
    """A pointer on the map tells a slot's story and the numbers of that instant; a click pins it."""
    open_page(page, f"{url}#panel=map&window=1m")
    canvas = page.get_by_test_id("map").locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    newest = {"x": box["width"] - 14, "y": 3}
    canvas.hover(position=newest)
    story = page.get_by_test_id("story")
    expect(story).to_contain_text("slot 0.")
    expect(page.get_by_test_id("reading")).to_contain_text("busy")
    canvas.click(position=newest)
    pinned = page.url.rpartition("slot=")[2]
    assert re.fullmatch(r"0\.\d+", pinned)
    expect(story).to_contain_text(f"slot {pinned} ")


def test_wheel_with_ctrl_zooms(page: Page, url: str) -> None:
    """Ctrl and the wheel zoom to a window of no name, the wheel alone not; a double click goes back."""
    open_page(page, url)
    canvas = page.get_by_test_id("timeline").locator("canvas")
    named = page.get_by_test_id("timeline").locator("[aria-pressed=true]")
    expect(named).to_have_count(1)
    canvas.hover()
    page.mouse.wheel(0, 100)
    expect(named).to_have_count(1)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    expect(named).to_have_count(0)
    canvas.dblclick()
    expect(named).to_have_count(1)
    expect(page.get_by_test_id("clock")).not_to_contain_text("Paused")


def test_single_keys_work(page: Page, url: str) -> None:
    """1 to 7 choose the window, m the map, g the groups, ? help; Escape closes it."""
    open_page(page, url)
    for key, name in (("1", "1 m"), ("3", "15 m"), ("6", "1 d"), ("7", "All"), ("2", "5 m")):
        page.keyboard.press(key)
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("m")
    expect(page.get_by_test_id("map")).to_be_visible()
    page.keyboard.press("m")
    expect(page.get_by_test_id("cells")).to_be_visible()
    page.keyboard.press("g")
    expect(page.get_by_test_id("groups")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Pause")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_test_id("groups")).to_be_visible()


def test_the_screen_is_copied_as_text(browser: Browser, url: str) -> None:
    """What is copied holds the verdict, the workers' letters and the requests."""
    with lone_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        open_page(page, url)
        page.get_by_test_id("pause").click()
        page.keyboard.press("c")
        expect(page.get_by_test_id("copy")).to_have_text("Copied")
        text = page.evaluate("navigator.clipboard.readText()")
        verdict = page.get_by_test_id("verdict").locator("p").first.inner_text()
        page.locator("summary").click()
        letters = page.get_by_test_id("process-row").locator("td.letters").all_inner_texts()
    assert verdict in text
    assert letters
    assert all(word in text for word in letters)
    assert EXPORT in text


def test_without_a_clipboard_the_text_is_shown(page: Page, url: str) -> None:
    """Where the browser copies nothing, as on plain http, a dialog holds the text."""
    page.add_init_script("delete Navigator.prototype.clipboard")
    open_page(page, url)
    page.get_by_test_id("copy").click()
    expect(page.get_by_role("dialog").locator("textarea")).to_have_value(
        re.compile(r"workers busy.*reports/export", re.DOTALL)
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_tab_tells_the_share(browser: Browser, demos: Demos) -> None:
    """Title and icon of the tab carry the busy share, and go on while the page is paused."""
    with clean_page(browser, viewport=SCREEN) as page:
        open_page(page, demos("burst", interval="0.25"))
        icon = page.locator("link[rel=icon]")
        expect(icon).to_have_attribute("href", re.compile("^data:image/png;base64,"))
        head, _, data = (icon.get_attribute("href") or "").partition(",")
        assert head.endswith("base64")
        assert base64.b64decode(data).startswith(b"\x89PNG")
        before = page.title()
        page.get_by_test_id("pause").click()
        expect(page).not_to_have_title(before, timeout=20_000)
        assert "busy" in page.title()


def texts(page: Page) -> str:
    """Return the words of all that stands still while the page is paused."""
    names = ("verdict", "tile-busy", "tile-requests", "tile-bytes", "tile-oldest", "inflight")
    return json.dumps([page.get_by_test_id(name).inner_text() for name in names])


def instant(clock: Locator) -> str:
    """Return the time of day at which a page is paused."""
    return clock.inner_text().removeprefix("Paused at ").partition(",")[0]
