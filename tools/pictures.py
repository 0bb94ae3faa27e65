"""Make the README's pictures: the page in a real Chromium, on the simulator and its clock.

`make pictures`. The same page, browser and fonts give the same pictures: the scoreboards are of a fixed
seed and hour, and reduced motion holds the ages of requests still between samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import feed
from benchmarks.children import REPOSITORY

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


def main() -> None:
    """Make all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with feed.staged() as (stage, browser):
        for picture in PICTURES_MADE:
            boards = feed.readings(
                picture.scenario, picture.slots, start_at=START, after=picture.at - TICKS
            )
            with feed.opened(
                stage,
                browser,
                feed.frames(boards, max_request_workers=picture.slots),
                path=f"{feed.MOUNT}/{picture.fragment}",
                viewport={"width": WIDTH, "height": HEIGHT},
                color_scheme=picture.scheme,
                reduced_motion="reduce",
                timezone_id="UTC",
                locale="en-GB",
            ) as page:
                stage.play(TICKS)
                path = PICTURES / f"{picture.name}.png"
                page.screenshot(path=path)
                print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
