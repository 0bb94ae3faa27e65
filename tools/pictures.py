"""Make the README's pictures: the page in a real Chromium, on the simulator and its clock.

`make pictures`. The same page, browser and fonts give the same pictures: the scoreboards are of a fixed
seed and hour, and reduced motion holds the ages of requests still between samples.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import feed, opening
from benchmarks.children import REPOSITORY
from playwright.sync_api import Browser, Page

from mod_wsgi_dashboard.simulator import Simulator

PICTURES = REPOSITORY / "docs" / "pictures"

START = 1_767_606_840.0  # Monday, 5 January 2026, 09:54 UTC

# How much the page remembers: most of the five minutes that it shows at first.
TICKS = 240

WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: what is shown, and so many seconds after the start of Apache."""

    name: str
    scenario: str
    at: float
    slots: int = 64
    scheme: str = "light"
    fragment: str = ""


# The saturation's 90 s are full from 30 to 60.
PICTURES_MADE = (
    Picture("first-screen-light", "saturation", at=3 * 90.0 + 41.0),
    Picture("map", "slow-endpoint", at=290.0, scheme="dark", fragment="#panel=map&group=path"),
)


# Of the recording: how long it is, and the moment that is pictured, in its fourth saturation.
RECORDED, MOMENT = 900, 585
SCRUBBED_SLOTS = 64


def main() -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with feed.staged() as (stage, browser):
        picture_recording(browser)
        for picture in PICTURES_MADE:
            boards = feed.readings(
                picture.scenario, picture.slots, start_at=START, after=picture.at - TICKS
            )
            with feed.opened(
                stage,
                browser,
                feed.frames(boards, max_request_workers=picture.slots),
                path=f"{feed.MOUNT}/{picture.fragment}",
                **looks(picture.scheme),
            ) as page:
                stage.play(TICKS)
                take(page, picture.name)


def looks(scheme: str) -> dict[str, Any]:
    """Return the options of a context that make a picture the same each time."""
    return {
        "viewport": {"width": WIDTH, "height": HEIGHT},
        "color_scheme": scheme,
        "reduced_motion": "reduce",
        "timezone_id": "UTC",
        "locale": "en-GB",
    }


def take(page: Page, name: str) -> None:
    """Take a picture of the page as it is."""
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes")


def picture_recording(browser: Browser) -> None:
    """Picture a moment of a replay, and two of them beside each other."""
    begin = START + 3600
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saturation.sqlite3"
        simulator = Simulator(scenario="saturation", slots=SCRUBBED_SLOTS, start_at=START)
        instants = [begin + second for second in range(RECORDED)]
        opening.record(path, simulator, instants, max_request_workers=SCRUBBED_SLOTS)
        with (
            opening.serving("replay", str(path), state_dir=path.parent) as url,
            browser.new_context(**looks("light")) as context,
        ):
            page = context.new_page()
            page.goto(f"{url}#at={begin + MOMENT}&window=15m")
            page.get_by_role("button", name="Previous event").wait_for()
            page.get_by_text(f"{SCRUBBED_SLOTS} of {SCRUBBED_SLOTS} workers busy").wait_for()
            # The port is another one at each run.
            place = page.locator(".place")
            place.evaluate("(place, host) => (place.textContent = host)", f"{feed.HOST}{feed.MOUNT}/")
            # Nothing tells when the last answer of the recording is drawn.
            page.wait_for_timeout(2000)
            take(page, "scrubbed")
            page.get_by_test_id("recorder").click()
            panel = page.get_by_test_id("recorder-panel")
            panel.get_by_role("tab", name="Compare").click()
            panel.get_by_role("combobox").first.select_option("60")
            panel.get_by_text("Requests in flight, by method and path").wait_for()
            page.wait_for_timeout(1000)
            take(page, "compare")


if __name__ == "__main__":
    main()
