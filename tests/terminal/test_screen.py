"""The screen on a real dashboard: keys, the filter, time, hostile strings, and the connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from textual.pilot import Pilot

from mod_wsgi_dashboard import client
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.client import Patience
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.wire import Failure
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource, Source
from mod_wsgi_dashboard.terminal import keys
from mod_wsgi_dashboard.terminal import screen as screen_module
from mod_wsgi_dashboard.terminal.archive import ApiArchive, FileArchive
from mod_wsgi_dashboard.terminal.moment import Choice
from mod_wsgi_dashboard.terminal.screen import Canvas, Top
from mod_wsgi_dashboard.terminal.text import plain
from mod_wsgi_dashboard.terminal.travel import Travel
from tests import recordings
from tests.conftest import build_metrics
from tests.recordings import play
from tests.served import FixedSource, serving
from tests.terminal.scenes import HOSTILE


class Shown:
    """A screen in a terminal that isn't there."""

    def __init__(self, top: Top, pilot: Pilot[Any]) -> None:
        self.top = top
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        return [plain(line) for line in self.top.query_one(Canvas)._lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    async def press(self, *names: str) -> str:
        """Press keys, one after the other, and return what is shown then."""
        await self.pilot.press(*names)
        await self.pilot.pause()
        return self.text

    async def until(self, condition: Callable[[str], Any], *, seconds: float = 15.0) -> str:
        """Wait for something to be shown."""
        deadline = time.monotonic() + seconds
        while not condition(self.text):
            assert time.monotonic() < deadline, self.text
            await asyncio.sleep(0.02)
        return self.text


@contextlib.asynccontextmanager
async def screen(
    url: str, *, size: tuple[int, int] = (80, 24), choice: Choice | None = None
) -> AsyncIterator[Shown]:
    """Show a dashboard, as the command does."""
    patience = Patience(sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05)))
    async with client.asking(url) as api:
        travel = Travel(ApiArchive(api))
        travel.take(await api.newest())
        top = Top(
            api.name,
            travel,
            lambda tell: client.connect(url, patience=patience, tell=tell),
            choice=choice,
        )
        async with top.run_test(size=size) as pilot:
            shown = Shown(top, pilot)
            await shown.until(str.strip)
            yield shown


def simulated(scenario: str = "slow-endpoint", **values: Any) -> Source:
    return SimulatorSource(Simulator(scenario=scenario, start_at=time.time() - 60.0, **values))


def busy(request: str = "GET /report/17 HTTP/1.1") -> FixedSource:
    """Return a scoreboard of two processes, whose requests began long ago."""
    return FixedSource(build_metrics("WWW_", "WR__", counts=1, request=request))


async def test_it_is_live(tmp_path: Path) -> None:
    """New samples are shown as they come, with the state of the connection."""
    async with serving(simulated(), interval=0.1, record="off") as served, screen(served.url) as shown:
        text = await shown.until(lambda text: " Live " in text.splitlines()[0])
        tick = shown.top.travel.newest
        await shown.until(lambda _: shown.top.travel.newest is not tick)
    assert "workers busy" in text
    assert len(text.splitlines()) == 24


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_it_fills_the_terminal_and_follows_its_size(size: tuple[int, int]) -> None:
    """The picture has the terminal's size, also after that changes."""
    async with serving(busy(), record="off") as served, screen(served.url, size=size) as shown:
        await shown.until(lambda text: "GET /report/17" in text)
        assert len(shown.lines) == size[1]
        await shown.pilot.resize_terminal(100, 30)
        await shown.until(lambda text: len(text.splitlines()) == 30 and "PID, slot" in text)


async def test_the_filter_is_typed() -> None:
    """/ opens the filter; what is typed filters at once, Enter keeps it, Esc clears it."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        await shown.press("slash", *"state:R")
        text = await shown.until(lambda text: "In flight 1 of 5" in text)
        assert text.count("GET /report/17") == 1
        assert "q end" not in text
        text = await shown.press("enter")
        text = await shown.until(lambda text: "filter state:R" in text)
        assert "q end" in text
        await shown.press("escape")
        await shown.until(lambda text: "In flight 5\n" in text or "In flight 5 " in text)


async def test_keys_are_text_while_the_filter_is_typed() -> None:
    """Letters that are keys elsewhere go into the filter; a wrong term is explained; Esc leaves it."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        text = await shown.press("slash", *"qgm?", "space", *"is:x")
        assert shown.top.choice.filter == "qgm? is:x"
        assert "is:x is unknown: use is:slow" in text
        assert shown.top.is_running
        await shown.press("escape")
        assert shown.top.choice.filter == ""
        await shown.press("g")
        assert shown.top.choice.group == "path"


async def test_groups_lead_to_a_filter() -> None:
    """g groups; Enter on a group filters by it."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        text = await shown.press("g")
        assert "Method and path" in text
        text = await shown.press("down", "enter")
        assert shown.top.choice == Choice(filter='path:"GET /report/*"')
        assert "In flight 5" in text
        text = await shown.press("escape", *"gggg")
        assert "W sending the reply" in text
        text = await shown.press("g")
        assert "Virtual host" in text


async def test_a_request_has_a_story() -> None:
    """Down chooses, Enter opens its story and closes it, Esc closes it too."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        text = await shown.press("down", "down", "enter")
        assert "slot 0.1, pid 100, generation 0" in text
        assert "slot 0.1" not in await shown.press("enter")
        await shown.press("enter")
        assert "slot 0.1" not in await shown.press("escape")
        text = await shown.press("end", "enter")
        assert "slot 1.1, pid 101" in text
        assert "slot 0.0" in await shown.press("escape", "home", "enter")


async def test_orders() -> None:
    """s sorts by the next column, S turns the order round."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        await shown.press("s")
        assert (shown.top.choice.sort, shown.top.choice.down) == ("state", False)
        text = await shown.press("S")
        assert (shown.top.choice.sort, shown.top.choice.down) == ("state", True)
        assert "S▾" in text


async def test_panels() -> None:
    """m shows the workers alone, with all of their lines to scroll through, then requests alone."""
    async with serving(simulated(slots=2000), record="off") as served, screen(served.url) as shown:
        assert "a cell is" in shown.text
        text = await shown.press("m")
        assert "lines 1 to " in text
        assert "In flight" not in text
        assert "lines 2 to " in await shown.press("down")
        assert "lines 1 to " in await shown.press("end", "home")
        text = await shown.press("m")
        assert "Workers " not in text
        assert "In flight" in text


async def test_help_lists_the_keys() -> None:
    """? shows help, and hides it; Esc hides it, too."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        text = await shown.press("question_mark")
        assert all(does in text for _, does in keys.HELP)
        assert "GET /report" in await shown.press("question_mark")
        await shown.press("question_mark")
        assert "GET /report" in await shown.press("escape")


def test_every_key_does_something() -> None:
    """Each key of the table has an action of the screen."""
    for key in keys.KEYS:
        name = key.action.partition("(")[0]
        assert callable(getattr(Top, f"action_{name}")), key


async def test_space_stops_and_goes_on() -> None:
    """Stopped, the sample stays while others come; arrows go back and on; Esc is live again."""
    async with serving(busy(), interval=0.1, record="off") as served, screen(served.url) as shown:
        travel = shown.top.travel
        await shown.until(lambda _: travel.newest is not None and travel.newest.tick >= 4)
        text = await shown.press("space")
        stopped = travel.shown
        assert "Paused at" in text.splitlines()[0]
        newest = travel.newest
        await shown.until(lambda _: travel.newest is not newest)
        assert travel.shown is stopped
        await shown.press("left")
        assert travel.shown is not None
        assert stopped is not None
        assert travel.shown.tick == stopped.tick - 1
        await shown.press("right")
        assert travel.shown.tick == stopped.tick
        text = await shown.press("escape")
        assert "Live" in text.splitlines()[0]
        assert not travel.paused


async def test_q_ends() -> None:
    """q ends the screen, and so does Ctrl-C."""
    for key in ("q", "ctrl+c"):
        async with serving(busy(), record="off") as served, screen(served.url) as shown:
            await shown.press(key)
            assert not shown.top.is_running


@pytest.mark.parametrize("bad", HOSTILE)
async def test_hostile_strings_are_text(bad: str) -> None:
    """Requests with markup and control characters are shown as text, and nothing else is disturbed."""
    async with (
        serving(busy(bad), record="off", redact=False) as served,
        screen(served.url) as shown,
    ):
        await shown.press("down", "enter", "g")
        await shown.press("g", "g", "g", "g")
        text = await shown.press("slash", *"x[/]y")
        assert all(line.isprintable() for line in shown.lines)
        assert shown.top.choice.filter == "x[/]y"
        assert "Traceback" not in text
        text = await shown.press("escape")
        assert ("[bold red]markup[/]" in bad) == ("[bold red]markup[/]" in text)
        assert "\x1b" not in shown.top.export_screenshot()


async def test_it_comes_back_when_the_dashboard_restarts(tmp_path: Path) -> None:
    """While the dashboard is away the last sample stays, with the reason; then it goes on."""
    path = tmp_path / "dashboard.sock"

    async def serve() -> web.AppRunner:
        runner = make_runner(create_app(Settings(interval=0.1, record="off"), busy()))
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        return runner

    runner = await serve()
    async with screen(f"unix:{path}") as shown:
        await shown.until(lambda text: " Live " in text.splitlines()[0])
        await runner.cleanup()
        path.unlink(missing_ok=True)
        text = await shown.until(lambda text: "Reconnecting" in text.splitlines()[0])
        assert "GET /report/17" in text
        runner = await serve()
        await shown.until(lambda text: " Live " in text.splitlines()[0])
    await runner.cleanup()


async def test_it_polls_when_the_guard_refuses() -> None:
    """Without a viewer's place the screen polls, and says why."""
    async with (
        serving(busy(), interval=0.1, max_viewers=0, record="off") as served,
        screen(served.url) as shown,
    ):
        text = await shown.until(lambda text: "Polling" in text.splitlines()[0])
        assert "viewer places" in text
        tick = shown.top.travel.newest
        await shown.until(lambda _: shown.top.travel.newest is not tick)


async def test_a_scoreboard_that_cannot_be_read_is_told() -> None:
    """An error stands above the last numbers; when there are new ones it is gone."""
    source = busy()
    async with serving(source, interval=0.1, record="off") as served, screen(served.url) as shown:
        await shown.until(lambda text: " Live " in text)
        metrics, source.metrics = source.metrics, None
        text = await shown.until(lambda text: "server-metrics=on" in text)
        assert "the sample before" in text
        assert isinstance(shown.top.travel.shown, Failure)
        source.metrics = metrics
        await shown.until(lambda text: "server-metrics=on" not in text)


async def test_what_is_refused_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is shown with what to change, and asked about again later."""
    monkeypatch.setattr(screen_module, "REFUSED_SECONDS", 0.05)
    asked = 0

    async def refuse(_tell: object) -> Any:
        nonlocal asked
        asked += 1
        raise client.Refused("it answered 403; see `Require`")
        yield

    travel = Travel(None)
    for latest in play(range(3), slots=16):
        travel.take(latest)
    top = Top("http://site.example/", travel, refuse)
    async with top.run_test(size=(80, 24)) as pilot:
        shown = Shown(top, pilot)
        await shown.until(str.strip)
        text = await shown.until(lambda _: asked >= 3)
    assert "Refused" in text.splitlines()[0]
    assert "see `Require`" in text


async def test_without_a_recording_the_page_goes_back_to_its_first_sample() -> None:
    """Where nothing is recorded arrows end at the first sample, and events are said not to be there."""
    async with serving(busy(), interval=0.1, record="off") as served, screen(served.url) as shown:
        await shown.until(lambda text: " Live " in text)
        assert "There is none before it." in await shown.press("less_than_sign", "less_than_sign")
        assert "Nothing is recorded: there are no events." in await shown.press("comma")


async def test_copying_gives_the_report() -> None:
    """c puts the report of what is shown into the terminal's clipboard."""
    async with serving(busy(), record="off") as served, screen(served.url) as shown:
        text = await shown.press("c")
        assert "In flight: 5" in shown.top.clipboard
        assert "Copied" in text


async def test_a_replay_is_gone_through(tmp_path: Path) -> None:
    """A recording opens at its end; arrows, events, windows and playing go through it."""
    path = tmp_path / "recording.sqlite3"
    recordings.record(path, play(range(120), scenario="saturation", slots=16))
    recording = Recording(path, still=True)
    travel = Travel(FileArchive(recording), still=True)
    await travel.open_at_end()
    top = Top("recording.sqlite3", travel, None)
    async with top.run_test(size=(80, 24)) as pilot:
        shown = Shown(top, pilot)
        await shown.until(str.strip)
        end = travel.shown
        assert end is not None
        assert "Replay, " in shown.lines[0]
        await shown.press("left", "left", "left")
        assert travel.shown is not None
        assert end.at - travel.shown.at == pytest.approx(3.0)
        await shown.press("comma")
        await shown.until(lambda text: "full, at" in text)
        assert "Full: 16 of 16" in shown.text
        text = await shown.press("1")
        assert " 1 min" in text
        assert "15 min" in await shown.press("minus", "minus")
        before = travel.shown.at
        text = await shown.press("p", "p", "p")
        assert "30x" in text.splitlines()[0]
        await shown.until(lambda text: "Replay, " in text.splitlines()[0])
        assert travel.shown.at == end.at > before
        await shown.press("left_square_bracket")
        await shown.press("right_square_bracket", "right_square_bracket")
        await shown.until(lambda _: travel.shown is not None and travel.shown.at == end.at)
    recording.close()


async def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR no line has a colour; without, only the terminal's own sixteen are used."""
    for no_color in (False, True):
        if no_color:
            monkeypatch.setenv("NO_COLOR", "1")
        async with serving(simulated(), record="off") as served, screen(served.url) as shown:
            canvas = shown.top.query_one(Canvas)
            styles = [
                segment.style
                for y in range(24)
                for segment in canvas.render_line(y)
                if segment.style is not None
            ]
        colours = {colour for style in styles for colour in (style.color, style.bgcolor) if colour}
        assert bool(colours) != no_color
        assert all(colour.number is not None and colour.number < 16 for colour in colours)
        os.environ.pop("NO_COLOR", None)


async def test_without_any_sample_the_error_is_shown() -> None:
    """A dashboard that never could read a scoreboard is shown with its error."""
    source = FixedSource()
    source.metrics = None
    async with serving(source, record="off") as served, screen(served.url) as shown:
        text = await shown.until(lambda text: "server-metrics=on" in text)
        await shown.press("down", "enter", "g", "c", "m", "space", "left")
    assert "Waiting" not in text


async def test_an_empty_replay_is_an_error(tmp_path: Path) -> None:
    """What holds nothing isn't opened."""
    recording = Recording(tmp_path / "none.sqlite3", still=True)
    with pytest.raises(DashboardError):
        await Travel(FileArchive(recording), still=True).open_at_end()
