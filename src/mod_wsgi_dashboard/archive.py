"""What may be asked of the recording, from the event loop: one thread reads, within limits.

Owns the reading thread and its limits. It must not know HTTP; `history_api` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.recorder import Recorder, Status
from mod_wsgi_dashboard.recording import EmptyRecording, Recording

T = TypeVar("T")

# A page asks for four things when it opens; the tenth page at once can ask again.
MOST_WAITING = 32


class Unreadable(DashboardError):
    """The recording can't be asked now; what to do."""


class NoRecording(DashboardError):
    """There is no recording, and there will be none."""


class Archive:
    """The recording of one dashboard: written by its recorder, or taken along from another.

    Args:
        path: a file that nobody writes to, in a replay.
        replay: the name of what is replayed.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        replay: str | None = None,
    ) -> None:
        self.recorder: Recorder | None = None
        self.replay = replay
        self._problem: str | None = None
        self._recording = None if path is None else Recording(path, still=True)
        self._executor = ThreadPoolExecutor(1, "archive")
        self._waiting = 0
        self._closed = False

    def attach(self, recorder: Recorder) -> None:
        """Read what a recorder writes from now on."""
        self.recorder, self._recording = recorder, Recording(recorder.path)

    def give_up(self, problem: str) -> None:
        """Say why nothing is recorded, for as long as this process lives."""
        self._problem = problem

    @property
    def status(self) -> Status:
        """How the recording stands."""
        if self.replay is not None:
            return Status("replay")
        if self.recorder is not None:
            return self.recorder.status
        return Status("failed" if self._problem else "off", self._problem)

    @property
    def path(self) -> Path | None:
        """The file that is read; None where there is none."""
        return None if self._recording is None else self._recording.path

    @property
    def reason(self) -> str:
        """A sentence on why there is no recording."""
        return self._problem or "Nothing is recorded: the setting record is off (record = full)."

    async def read(self, work: Callable[[Recording], T]) -> T:
        """Have the reading thread do something with the recording.

        Raises:
            NoRecording: there is none.
            Unreadable: too much is asked at once, or nothing is recorded yet.
            RecordingError: it can't be read.
        """
        recording = self._recording
        if recording is None:
            raise NoRecording(self.reason)
        if self._closed:
            raise Unreadable("The dashboard is about to end: ask again.")
        if self._waiting >= MOST_WAITING:
            raise Unreadable("Too much is asked of the recording at once: ask again.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, recording)
        except EmptyRecording:
            raise Unreadable(self.status.problem or "Nothing is recorded yet: ask again.") from None
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End what is read, and close the file."""
        recording = self._recording
        if recording is None or self._closed:
            return
        self._closed = True
        recording.interrupt()
        self._executor.submit(recording.close)
        self._executor.shutdown(wait=False)
