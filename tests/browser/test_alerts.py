"""Alerts on the page: what is seen and heard of them, and where they lead."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from mod_wsgi_dashboard.core.alerts import Alert
from tests.browser.conftest import Demos
from tests.browser.pages import lone_page
from tests.browser.test_access import AXE, violations
from tests.browser.test_demo import ARTIFACTS, FIRST, LOOKS, PHONE, SCREEN, hidden_rows, outside, wide_by
from tests.browser.test_hostile import IMAGE, assert_harmless

pytestmark = pytest.mark.browser

RULES = [
    {"name": "all-busy", "when": "busy", "above": 0.9, "for": 1, "severity": "critical"},
    {"name": "no-scoreboard", "when": "error", "for": 1, "severity": "critical"},
    {"name": "slow-report", "when": "stuck", "above": 1},
]


@pytest.fixture
def rules() -> dict[str, str]:
    """Settings of servers that alert within seconds."""
    return {"alerts": json.dumps(RULES), "interval": "0.25"}


class Alerting:
    """A server whose every frame has the alerts that a test makes."""

    def __init__(self, page: Page, *alerts: Alert) -> None:
        self.alerts = alerts
        page.route_web_socket("**/ws", self._open)

    def _open(self, route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def add(message: str | bytes) -> None:
            frame: dict[str, Any] = json.loads(message)
            route.send(json.dumps({**frame, "alerts": msgspec.to_builtins(self.alerts)}))

        server.on_message(add)


def saturated(since: float) -> Alert:
    return Alert("saturated", "busy", "critical", since, peak=1.0, threshold=1.0)


def stuck(since: float, path: str) -> Alert:
    return Alert("stuck-workers", "stuck", "warning", since, 155.0, 1.0, path, 5)


def many(now: float) -> list[Alert]:
    """One alert of each kind, and one that only a newer server has; the worst is the longest."""
    return [
        Alert(NAME, "stuck", "critical", now - 95, 155.0, 1.0, LONG, 5),
        saturated(now - 80),
        Alert("slow", "oldest", "warning", now - 70, 95.0, 30.0),
        stuck(now - 60, "GET /report/*"),
        Alert("metrics-off", "error", "critical", now - 50),
        Alert("restarted", "restart", "warning", now - 40),
        Alert("backlog", "queue", "info", now - 30),
    ]


NAME = "a-rule-whose-name-is-as-long-as-can-be-x"
LONG = f"GET /{IMAGE}/of/a/path/as/long/as/Apache/keeps"


def open_page(page: Page, url: str) -> Locator:
    """Open a page; give its line of alerts."""
    page.goto(url)
    expect(page.get_by_test_id("cells")).to_be_visible(timeout=10_000)
    return page.get_by_test_id("alerts")


def test_without_alerts_there_is_nothing(page: Page, demos: Demos) -> None:
    """No room is kept for alerts that there are not."""
    alerts = open_page(page, demos("calm"))
    expect(alerts).to_have_count(0)


def test_alerts_take_one_line(browser: Browser, demos: Demos) -> None:
    """At 1280 x 720 nothing scrolls however many and long they are; axe-core finds nothing."""
    with lone_page(browser, viewport=SCREEN) as page:
        Alerting(page, *many(time.time()))
        alerts = open_page(page, demos("saturation"))
        expect(alerts).to_contain_text("6 more")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = {}
        for name, look in LOOKS.items():
            page.emulate_media(**look)
            page.screenshot(path=ARTIFACTS / f"alerts-{name}.png")
            assert (wide_by(page), hidden_rows(page), outside(page, (*FIRST, "alerts"))) == (0, 0, [])
            alerts.locator("summary").click()
            page.screenshot(path=ARTIFACTS / f"alerts-open-{name}.png")
            found[name] = violations(page)
            page.keyboard.press("Escape")
            expect(alerts.locator("details")).not_to_have_attribute("open", "")
        assert {} == {name: what for name, what in found.items() if what}
        assert_harmless(page)


def test_alerts_fit_a_phone(browser: Browser, demos: Demos) -> None:
    """On a phone their words wrap, the open list too, and axe-core finds nothing."""
    with lone_page(browser, **PHONE) as page:
        Alerting(page, *many(time.time()))
        alerts = open_page(page, demos("saturation"))
        alerts.locator("summary").click()
        page.screenshot(path=ARTIFACTS / "alerts-phone.png")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert (wide_by(page), violations(page)) == (0, [])


def test_alerts_are_sorted_text(page: Page, demos: Demos) -> None:
    """What is critical comes first, and is said aloud; clients' words are text, in the filter too."""
    Alerting(page, *many(time.time()))
    alerts = open_page(page, demos("saturation"))
    expect(alerts.locator("li").first).to_contain_text(f"5 workers stuck on {LONG} for 1 min")
    speaker = page.get_by_test_id("speaker")
    expect(speaker).to_contain_text(f"Critical: {NAME}: 5 workers stuck on {LONG}")
    expect(speaker).to_contain_text("Critical: saturated: all workers busy")
    alerts.locator("summary").click()
    severities = ["Critical"] * 3 + ["Warning"] * 3 + ["info"]
    expect(alerts.locator("b")).to_have_text(severities)
    expect(alerts).to_contain_text("restarted: Apache restarted 4")
    expect(alerts).to_contain_text("backlog: queue for 3")
    find, box = alerts.get_by_role("button", name="Find them"), page.get_by_label("Filter", exact=True)
    expect(find).to_have_count(2)
    for number, path in ((0, LONG), (1, "GET /report/*")):
        find.nth(number).click()
        expect(box).to_have_value(f'path:"{path}"')
        expect(find.nth(number)).to_have_attribute("aria-pressed", "true")
    find.nth(1).click()
    expect(box).to_have_value("")
    assert_harmless(page)


def test_an_alert_leads_to_its_beginning(page: Page, demos: Demos) -> None:
    """A click goes to the sample before it began, which has no alert; the next ones have it."""
    server = Alerting(page)
    alerts = open_page(page, demos("burst", interval="0.25"))
    clock = page.get_by_test_id("clock")
    expect(clock).not_to_have_text(clock.inner_text())
    server.alerts = (saturated(time.time()),)
    expect(alerts).to_contain_text(re.compile("for [1-9]"))
    expect(page).to_have_title(re.compile("^⚠ "))
    alerts.get_by_title("Show when it began").click()
    expect(clock).to_contain_text("Paused at")
    expect(alerts).to_have_count(0)
    expect(page).to_have_title(re.compile("^⚠ "))
    page.keyboard.press("ArrowRight")
    expect(alerts).to_contain_text("saturated: all workers busy for 0 s, peak 100 %, since")
    server.alerts = ()
    page.get_by_test_id("pause").click()
    expect(alerts).to_have_count(0)
    expect(page).not_to_have_title(re.compile("⚠"))


def test_alerts_are_copied_as_text(browser: Browser, demos: Demos) -> None:
    """Text for a message has them all."""
    with lone_page(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        Alerting(page, *many(time.time()))
        open_page(page, demos("saturation"))
        page.get_by_test_id("copy").click()
        expect(page.get_by_test_id("copy")).to_have_text("Copied")
        copied = page.evaluate("navigator.clipboard.readText()")
    lines = [line for line in copied.splitlines() if re.match("(Critical|Warning|info): ", line)]
    assert len(lines) == 7
    assert LONG in lines[0]


def test_a_rule_of_the_settings_shows(page: Page, demos: Demos, rules: dict[str, str]) -> None:
    """A rule's alert comes by the WebSocket, and its event, with the peak, leads to the moment."""
    alerts = open_page(page, demos("saturation", **rules))
    words = re.compile(
        r"^Criticalall-busy: 90 % of the workers or more busy for \d+ s, peak 100 %, since [\d:]+$"
    )
    expect(alerts.locator("li").first).to_have_text(words, timeout=15_000)
    page.get_by_test_id("recorder").click()
    panel = page.get_by_test_id("recorder-panel")
    panel.get_by_role("tab", name="Events").click()
    event = panel.get_by_role("listitem").filter(has_text="all-busy").first
    expect(event).to_contain_text(
        "Alert all-busy: 90 % of the workers or more busy, peak 100 %, critical"
    )
    event.get_by_title("Show this moment in the page").click()
    expect(page.get_by_test_id("clock")).to_contain_text("Paused at")


@pytest.mark.parametrize("way", ["Live", "Polling"])
def test_an_error_has_its_alert(browser: Browser, demos: Demos, rules: dict[str, str], way: str) -> None:
    """Where the scoreboard can't be read that is an alert, too, over a WebSocket and by polling."""
    # What polling is answered then is a failure to the browser, too.
    with lone_page(browser, allow="503", viewport=SCREEN) as page:
        if way == "Polling":
            page.route_web_socket("**/ws", lambda route: route.close())
        page.goto(demos("metrics-off", **rules))
        words = "no-scoreboard: scoreboard not readable for"
        expect(page.get_by_test_id("alerts")).to_contain_text(words, timeout=15_000)
        expect(page.get_by_test_id("error")).to_be_visible()
        expect(page).to_have_title(re.compile("^⚠ mod_wsgi dashboard"))
        expect(page.get_by_test_id("connection")).to_contain_text(way)
        assert (wide_by(page), hidden_rows(page)) == (0, 0)
