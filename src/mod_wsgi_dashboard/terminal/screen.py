"""The terminal's first screen: Textual's application around one picture.

Owns keys, timers, and what is chosen. What is shown is made by `layout`, as lines; only lines that
changed are sent to the terminal, which matters over ssh. No string goes through Textual's markup.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
import signal
import time
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import ClassVar

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from mod_wsgi_dashboard.client import Latest, Refused, Standing
from mod_wsgi_dashboard.core import groups, sentences
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.core.wire import Failure, Sample
from mod_wsgi_dashboard.terminal import keys, moment, report
from mod_wsgi_dashboard.terminal.chart import GUTTER, WINDOWS
from mod_wsgi_dashboard.terminal.layout import PANELS, Scene, help_lines, picture
from mod_wsgi_dashboard.terminal.moment import Choice, Moment
from mod_wsgi_dashboard.terminal.palette import style
from mod_wsgi_dashboard.terminal.text import EMPTY, Line
from mod_wsgi_dashboard.terminal.travel import Travel

# Ages go on between samples, as while polling; and so does a connection's state.
TICK_SECONDS = 1.0

# What can't be watched now may be set right: ask again.
REFUSED_SECONDS = 15.0

# How long a message stays.
SAID_SECONDS = 5.0

PLAY_SPEEDS = (1.0, 5.0, 30.0)

Tell = Callable[[Standing, str], None]
# Makes a connection that calls back at each change of it.
Connect = Callable[[Tell], AsyncGenerator[Latest, None]]

_CLOSED = re.compile(r".* closed the connection: \d+ ?(.*)", re.S)
_STANDING = {"live": "Live", "polling": "Polling", "connecting again": "Reconnecting"}


class Canvas(Widget):
    """Lines of text, of which those that changed are drawn again."""

    can_focus = True
    DEFAULT_CSS = "Canvas { width: 1fr; height: 1fr; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Line] = []

    def show(self, lines: list[Line]) -> None:
        """Show lines in place of those before."""
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, lines, strict=True)) if old != new]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        line = self._lines[y] if y < len(self._lines) else EMPTY
        colour = not self.app.no_color
        strip = Strip([Segment(span.text, style(span.look, colour=colour)) for span in line])
        return strip.adjust_cell_length(self.size.width)


class Top(App[str]):
    """The first screen; it returns a text to say on stderr, if it ended for a reason.

    Args:
        name: what is watched, as it is called in the title.
        travel: the place in time.
        connect: makes a connection; None for a replay.
        choice: what is listed first.
    """

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Input { display: none; height: 1; border: none; padding: 0; background: ansi_default; }
    Input:focus { border: none; }
    Input.typing { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key.names, key.action, show=False, priority="ctrl" in key.names) for key in keys.KEYS
    ]

    def __init__(
        self, name: str, travel: Travel, connect: Connect | None, *, choice: Choice | None = None
    ) -> None:
        # The terminal's own 16 colours, its background among them.
        super().__init__(ansi_color=True)
        self.title = "mod_wsgi-dashboard top"
        self._watched = name.removeprefix("http://").removesuffix("/")
        self.travel = travel
        self._connect = connect
        self.choice = choice or Choice()
        self._standing, self._why = "Connecting", ""
        self._received = time.monotonic()
        self._drawn = 0.0
        self._chosen: Request | None = None
        self._row = 0
        self._chosen_group: str | None = None
        self._open = False
        self._panel = PANELS[0]
        self._scroll = 0
        self._message, self._said = "", 0.0
        self._help = False
        self._speed = 0
        self._playing: asyncio.Task[None] | None = None
        self._moment: Moment | None = None
        self._last: Sample | None = None
        # One step after the other, in the order of keys.
        self._moving = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield Canvas()
        yield Input(value=self.choice.filter, placeholder=" filter: text vhost:www age>5s")

    def on_mount(self) -> None:
        self._canvas = self.query_one(Canvas)
        self._input = self.query_one(Input)
        self._canvas.focus()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Not in a thread other than the main one, where tests may run it.
            with contextlib.suppress(ValueError, RuntimeError):
                loop.add_signal_handler(number, self.exit)
        if self._connect is not None:
            self.run_worker(self._watch(self._connect), exit_on_error=True)
        # The chart's width is known then.
        self.call_after_refresh(lambda: self.run_worker(self._begin()))
        self.set_interval(TICK_SECONDS, self._tick)
        self.draw()

    # What comes

    async def _begin(self) -> None:
        """Ask the recording for what was before."""
        if not self.travel.still:
            end = self.travel.newest.at if self.travel.newest is not None else time.time()
            await self.travel.remember(end)
        await self.travel.fetch_chart(self._columns())
        self.draw()

    async def _watch(self, connect: Connect) -> None:
        """Take samples as they come, for ever."""
        while True:
            try:
                async with contextlib.aclosing(connect(self._told)) as feed:
                    async for latest in feed:
                        self._take(latest)
            except Refused as error:
                self._standing, self._why = "Refused", str(error)
            except DashboardError as error:
                self._standing, self._why = "Lost", str(error)
            self.draw()
            await asyncio.sleep(REFUSED_SECONDS)

    def _told(self, standing: Standing, why: str) -> None:
        self._standing = _STANDING[standing]
        # The server's own reason says more than that the connection was closed, and with which code.
        closed = _CLOSED.fullmatch(why)
        self._why = why if closed is None else closed[1] or "the connection was lost"
        self.draw()

    def _take(self, latest: Latest) -> None:
        if self._standing in ("Refused", "Lost", "Connecting"):
            self._standing, self._why = "Live", ""
        self._received = time.monotonic()
        self.travel.take(latest)
        self.draw()

    def _tick(self) -> None:
        if time.monotonic() - self._drawn >= 0.9 * TICK_SECONDS:
            self.draw()

    # What is shown

    def draw(self) -> None:
        """Draw what has changed."""
        if not self.is_running or not hasattr(self, "_canvas"):
            return
        self._drawn = time.monotonic()
        cells, rows = self._canvas.size
        if cells <= 0 or rows <= 0:
            return
        if self._help:
            self._canvas.show(help_lines(cells, rows, scroll=self._scroll))
            return
        self._canvas.show(picture(self.scene(), cells, rows))

    def on_resize(self, _event: Resize) -> None:
        self.call_after_refresh(self.draw)

    def scene(self) -> Scene:
        """Return all that the picture shows."""
        shown = self.travel.shown
        failure = shown if isinstance(shown, Failure) else None
        if isinstance(shown, Sample):
            self._last = shown
        sample = self._last
        self._moment = None
        if sample is not None:
            points = self.travel.points()
            self._moment = moment.read(sample, points, self.choice, at=self._at(sample))
        return Scene(
            name=self._watched,
            standing=self._standing,
            why=self._why,
            stopped=self._stopped(),
            moment=self._moment,
            failure=failure,
            choice=self.choice,
            panel=self._panel,
            points=self.travel.chart(),
            span=self.travel.span(),
            window=WINDOWS[self.travel.window][1],
            chosen=self._place(),
            story=self._story(),
            scroll=self._scroll,
            message=self.travel.trouble or self._saying(),
            below="" if failure is None or sample is None else clock(sample.at),
            typing=self._input.has_class("typing"),
            replay=self.travel.still,
            clock="" if shown is None else clock(shown.at),
        )

    def _at(self, sample: Sample) -> float:
        """Return the instant for which ages are told: they go on as long as somebody looks."""
        if self.travel.paused or self._standing not in ("Live", "Polling"):
            return sample.at
        if sample is not self.travel.newest:
            return sample.at
        passed = time.monotonic() - self._received
        return sample.at if passed < TICK_SECONDS else sample.at + passed

    def _stopped(self) -> str:
        travel = self.travel
        if not travel.paused or travel.shown is None:
            return ""
        at = instant(travel.shown.at)
        if self._playing is not None:
            return f"▶ {PLAY_SPEEDS[self._speed]:.0f}x {at}"
        if travel.still:
            return f"Replay, {at}"
        behind = travel.newest.at - travel.shown.at if travel.newest is not None else 0.0
        return f"Paused at {at}" + (f", {sentences.seconds(behind)} behind" if behind >= 1.0 else "")

    def _rows(self) -> list[Request]:
        return [] if self._moment is None else [*self._moment.listed, *self._moment.sockets]

    def _group_names(self) -> list[str]:
        found = None if self._moment is None else self._moment.groups
        return [group.name for group in found or []]

    def _place(self) -> int | None:
        """Return where the chosen row is by now, or what stands in its place; None if none is chosen."""
        if self.choice.group is not None:
            names = self._group_names()
            return names.index(self._chosen_group) if self._chosen_group in names else None
        if self._chosen is None:
            return None
        slot, rows = _slot(self._chosen), self._rows()
        found = next((n for n, each in enumerate(rows) if _slot(each) == slot), None)
        if found is None and rows and not self._open:
            found = min(self._row, len(rows) - 1)
            self._chosen = rows[found]
        self._row = self._row if found is None else found
        return found

    def _story(self) -> Request | None:
        """Return the request of the slot whose story is open, as it is by now, or was last."""
        if not self._open or self._chosen is None:
            return None
        every = [] if self._moment is None else self._moment.every
        now = next((each for each in every if _slot(each) == _slot(self._chosen)), None)
        if now is None:
            self._say("That slot's request has ended.")
        else:
            self._chosen = now
        return self._chosen

    def _columns(self) -> int:
        return max(1, 2 * (self._canvas.size.width - GUTTER))

    def _say(self, text: str) -> None:
        """Show a text in the last line for a moment."""
        self._message, self._said = text, time.monotonic()

    def _saying(self) -> str:
        return self._message if time.monotonic() - self._said < SAID_SECONDS else ""

    # What keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys are text while the filter is typed."""
        typing = hasattr(self, "_input") and self._input.has_class("typing")
        return action in ("quit", "leave") if typing else True

    async def action_quit(self) -> None:
        self.exit()

    def action_help(self) -> None:
        self._help = not self._help
        self._scroll = 0
        self.draw()

    def action_filter(self) -> None:
        self._help = False
        self._input.add_class("typing")
        self._input.value = self.choice.filter
        self._input.focus()
        self.call_after_refresh(self.draw)

    def _stop_typing(self) -> None:
        self._input.remove_class("typing")
        self._canvas.focus()
        self.call_after_refresh(self.draw)

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._input.has_class("typing"):
            self._choose(filter=event.value)

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._stop_typing()

    def action_leave(self) -> None:
        """One thing at a time, the uppermost first."""
        if self._help:
            self._help = False
        elif self._open:
            self._open = False
        elif self.choice.filter or self._input.has_class("typing"):
            typing = self._input.has_class("typing")
            self._input.remove_class("typing")
            self._choose(filter="")
            if typing:
                self._stop_typing()
        elif self._chosen is not None or self._chosen_group is not None:
            self._chosen = self._chosen_group = None
        elif self.travel.paused and not self.travel.still:
            self._halt()
            self.travel.follow()
        self.draw()

    def _choose(
        self,
        *,
        filter: str | None = None,
        sort: groups.SortKey | None = None,
        down: bool | None = None,
    ) -> None:
        choice = self.choice
        self.choice = dataclasses.replace(
            choice,
            filter=choice.filter if filter is None else filter,
            sort=sort or choice.sort,
            down=choice.down if down is None else down,
        )
        self.draw()

    def action_sort(self) -> None:
        order = groups.SORT_KEYS
        following = order[(order.index(self.choice.sort) + 1) % len(order)]
        # Ages the longest first; names, letters and numbers from the first on.
        self._choose(sort=following, down=following == "age")

    def action_turn(self) -> None:
        self._choose(down=not self.choice.down)

    def action_group(self) -> None:
        order = [None, *groups.GROUP_KEYS]
        following = order[(order.index(self.choice.group) + 1) % len(order)]
        self.choice = dataclasses.replace(self.choice, group=following)
        self._chosen_group, self._open = None, False
        self.draw()

    def action_panel(self) -> None:
        self._panel = PANELS[(PANELS.index(self._panel) + 1) % len(PANELS)]
        self._scroll = 0
        self.draw()

    def action_move(self, by: int) -> None:
        if self._help or self._panel == "workers":
            self._scroll = max(0, min(self._scroll + by, self._last_line()))
        elif self.choice.group is not None:
            names = self._group_names()
            self._chosen_group = names[_moved(self._place(), by, len(names))] if names else None
        else:
            rows = self._rows()
            self._chosen = rows[_moved(self._place(), by, len(rows))] if rows else None
        self.draw()

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self._canvas.size.height // 2))

    def _last_line(self) -> int:
        """Return more lines than there can be, so that the end can be left at once."""
        if self._moment is None or self._help:
            return len(keys.KEYS)
        processes = self._moment.sample.snapshot.processes
        slots = sum(len(process.workers) for process in processes)
        return max(0, slots // max(1, self._canvas.size.width - GUTTER) + len(processes))

    def action_open(self) -> None:
        if self.choice.group is not None:
            found = self._moment.groups or [] if self._moment is not None else []
            place = self._place()
            if place is not None:
                group = found[place]
                self.choice = dataclasses.replace(self.choice, filter=group.filter, group=None)
        elif self._place() is not None:
            self._open = not self._open
        elif rows := self._rows():
            self._chosen = rows[0]
        self.draw()

    def action_copy(self) -> None:
        """Copy a report to the clipboard of the terminal, also over ssh (OSC 52)."""
        if self._moment is None:
            return
        text = report.as_text(self._moment, self._watched, group=self.choice.group)
        self.copy_to_clipboard(text)
        self._say("Copied, if this terminal lets programs copy (OSC 52).")
        self.draw()

    # Time

    async def action_pause(self) -> None:
        travel = self.travel
        if travel.still:
            await self.action_play()
            return
        self._halt()
        if travel.paused:
            travel.follow()
        else:
            travel.stop()
        self.draw()

    async def action_step(self, count: int) -> None:
        self._halt()
        await self._move(count)

    async def _move(self, count: int) -> None:
        async with self._moving:
            await self.travel.step(count)
            await self._have_chart()
        self.draw()

    async def action_jump(self, direction: int) -> None:
        self._halt()
        async with self._moving:
            mark = await self.travel.jump(direction)
            await self._have_chart()
        if mark is not None:
            text = f"{mark.text}, at {instant(mark.at)}"
            if mark.ended is not None:
                text += f", for {sentences.seconds(max(0.0, mark.ended - mark.at))}"
            self._say(text)
        self.draw()

    async def action_pan(self, direction: int) -> None:
        self._halt()
        shown = self.travel.shown
        if shown is None:
            return
        start, end = self.travel.span()
        newest = self.travel.newest
        at = shown.at + direction * (end - start) / 4
        async with self._moving:
            if newest is not None and at >= newest.at:
                self.travel.follow()
            else:
                await self.travel.seek(at)
            await self._have_chart()
        self.draw()

    async def _have_chart(self) -> None:
        if self.travel.needs_chart() or (self.travel.paused and not self.travel.chart()):
            await self.travel.fetch_chart(self._columns())

    async def action_window(self, number: int) -> None:
        self.travel.window = max(0, min(number, len(WINDOWS) - 1))
        self.draw()
        await self.travel.fetch_chart(self._columns())
        self.draw()

    async def action_zoom(self, by: int) -> None:
        await self.action_window(self.travel.window + by)

    async def action_play(self) -> None:
        """Play on from the shown sample; again, faster; at last, stop."""
        if self._playing is not None and self._speed < len(PLAY_SPEEDS) - 1:
            self._speed += 1
        elif self._playing is not None:
            self._halt()
        else:
            self._speed = 0
            self.travel.stop()
            self._playing = asyncio.create_task(self._play())
        self.draw()

    def _halt(self) -> None:
        playing, self._playing = self._playing, None
        if playing is not None:
            playing.cancel()

    async def _play(self) -> None:
        """Go on sample by sample, at their own pace times the speed, until the end."""
        travel = self.travel
        while travel.paused and travel.shown is not None:
            before = travel.shown
            # At most ten pictures a second: faster ones leave samples out.
            pause = max(0.1, travel.shown.interval / PLAY_SPEEDS[self._speed])
            await asyncio.sleep(pause)
            count = max(1, round(pause * PLAY_SPEEDS[self._speed] / travel.shown.interval))
            await self._move(count)
            if travel.shown is before or travel.trouble:
                break
        self._playing = None
        self.draw()


def _slot(request: Request) -> tuple[int, int]:
    return request.process_num, request.index


def _moved(place: int | None, by: int, count: int) -> int:
    """Return the row to choose; the first key chooses the first row, or the last."""
    if place is None:
        return 0 if by > 0 else count - 1
    return max(0, min(place + by, count - 1))


def clock(at: float) -> str:
    """Return a time of day."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def instant(at: float) -> str:
    """Return the time of day, with the day if that is not today."""
    there = datetime.fromtimestamp(at)
    form = "%H:%M:%S" if there.date() == datetime.now().date() else "%d %b %H:%M:%S"
    return there.strftime(form)
