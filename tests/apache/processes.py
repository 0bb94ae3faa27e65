"""The processes of one server: found by a mark in their environment, ended by pid.

A process that lost its parent has another one, and a daemon has another session and name; but what
stood in its environment at the start stays readable. So nothing that a test started is ever missed,
and nothing else is ever touched.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

MARK = "APACHE_TEST_MARK"

# Short against everything that is waited for, long against what a look costs.
POLL_SECONDS = 0.02

T = TypeVar("T")


def wait_until(condition: Callable[[], T | None], timeout: float, what: str = "") -> T:
    """Return the first true value of `condition`, which may fail with OSError until then.

    Raises:
        AssertionError: none came within `timeout` seconds; the message names `what`.
    """
    deadline = monotonic() + timeout
    while True:
        try:
            value = condition()
        except OSError as error:
            reason = f" ({error})"
        else:
            reason = ""
            if value:
                return value
        if monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition}{reason}")
        sleep(POLL_SECONDS)


def marked(mark: str) -> list[int]:
    """Return the pids of the living processes that were started with this mark."""
    needle = f"{MARK}={mark}".encode()
    return [pid for pid in _pids() if needle in _read(pid, "environ").split(b"\0")]


def title(pid: int) -> str:
    """Return the command line of a process, as ps shows it; empty when it is gone."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to one process; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        # Gone meanwhile, or another user's, which can't be ours.
        return b""
