"""The command in a real terminal's place: a pseudo-terminal, with its size, signals and bytes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from tests import recordings
from tests.recordings import play
from tests.served import Served, serving

# Of the sequences that Textual sends: moving, colours and modes (ECMA-48), nothing that could set a
# title or a clipboard; but the shape of the mouse pointer.
SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;?<>=$ ]*[A-Za-z@`~]|[=>78cM]|\]22;[a-z]+\x07)")

ENTERS, LEAVES = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """The command `top` in a pseudo-terminal."""

    def __init__(self, *arguments: str, size: tuple[int, int], **environment: str) -> None:
        self.output = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:  # pragma: no cover - it becomes the command
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
            command = [sys.executable, "-m", "mod_wsgi_dashboard.cli", "top", *arguments]
            # Not the environment of the process, to which readline adds LINES and COLUMNS, unseen here:
            # they would win over the terminal's size.
            os.execve(sys.executable, command, {**os.environ, "TERM": "xterm-256color", **environment})
        os.set_blocking(self._fd, False)
        self.status: int | None = None

    def read(self) -> bool:
        """Take what was written; return whether the command is there."""
        try:
            while data := os.read(self._fd, 65_536):
                self.output += data
        except BlockingIOError:
            return True
        except OSError:
            # The other end was closed (EIO).
            pass
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._fd)
        return False

    async def until(self, condition: Callable[[bytes], object], *, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while self.read() and not condition(self.output):
            assert time.monotonic() < deadline, self.output[-2000:]
            await asyncio.sleep(0.02)

    async def ended(self) -> int:
        """Wait for the end of the command and return its status."""
        await self.until(lambda _: False)
        assert self.status is not None
        return self.status

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def resize(self, cells: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cells, 0, 0))

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does before and after the command."""
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    simulator = Simulator(scenario="hostile", start_at=time.time() - 60.0)
    async with serving(SimulatorSource(simulator), record="off") as running:
        yield running


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_nothing_but_drawing_reaches_the_terminal(served: Served, size: tuple[int, int]) -> None:
    """With hostile requests in flight only movements, colours and modes are sent; q restores it."""
    terminal = Terminal(served.url, size=size)
    await terminal.until(lambda output: b"In flight" in output and b"q end" in output)
    before = len(terminal.output)
    await terminal.until(lambda output: len(output) > before + 200)
    terminal.type("q")
    assert await terminal.ended() == 0
    assert ENTERS in terminal.output
    assert terminal.output.rfind(LEAVES) > terminal.output.rfind(b"In flight")
    drawn = SEQUENCE.sub(b"", terminal.output)
    assert not set(drawn) & ({*range(0x20)} - set(b"\r\n") | {0x7F})
    # As many lines as the terminal has: the footer stands in the last.
    assert f"\x1b[{size[1]};1H".encode() in terminal.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signals_end_it_and_restore_the_terminal(served: Served, number: signal.Signals) -> None:
    """Whatever ends it, the terminal is as it was, within a second or two, and the status is 0."""
    terminal = Terminal(served.url, size=(80, 24))
    await terminal.until(lambda output: b"In flight" in output)
    assert not terminal.echoes
    began = time.monotonic()
    os.kill(terminal.pid, number)
    assert await terminal.ended() == 0
    assert time.monotonic() - began < 5.0
    assert terminal.output.rstrip().endswith(b"\x1b[?1004l") or LEAVES in terminal.output
    assert b"Traceback" not in terminal.output


async def test_ctrl_c_and_a_new_size(served: Served) -> None:
    """A terminal that grows is filled; Ctrl-C ends it."""
    terminal = Terminal(served.url, size=(80, 24))
    await terminal.until(lambda output: b"In flight" in output)
    terminal.resize(120, 40)
    await terminal.until(lambda output: b"\x1b[40;1H" in output and b"PID, slot" in output)
    terminal.type("\x03")
    assert await terminal.ended() == 0


async def test_nothing_answers_before_the_screen_is_taken(tmp_path: Path) -> None:
    """Where nothing answers the terminal keeps its screen: one line says what to change, status 1."""
    terminal = Terminal(f"unix:{tmp_path}/no.sock", size=(80, 24))
    assert await terminal.ended() == 1
    assert ENTERS not in terminal.output
    assert terminal.output.count(b"\n") == 1
    assert b"nothing answers at unix:" in terminal.output


async def test_a_recording_in_a_terminal(tmp_path: Path) -> None:
    """A recorded file is shown at its end."""
    path = tmp_path / "recording.sqlite3"
    recordings.record(path, play(range(30), slots=16))
    terminal = Terminal(str(path), size=(80, 24))
    await terminal.until(lambda output: b"Replay, " in output and b"q end" in output)
    terminal.type("q")
    assert await terminal.ended() == 0
