"""A viewer of the dashboard: a WebSocket client that comes back, and remembers what it saw.

Spoken by another library than the dashboard's own, so that the two must agree on the protocol.
"""

import asyncio
import dataclasses
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

Frame = dict[str, Any]
T = TypeVar("T")

# The page waits longer and with jitter; here the restart shall be timed, not the wait.
RETRY_SECONDS = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A frame and when it came, in monotonic seconds."""

    at: float
    frame: Frame


class Viewer:
    """Watches a dashboard from entry to exit, over as many connections as it takes."""

    def __init__(self, url: str) -> None:
        self.url = url.replace("http://", "ws://") + "/metrics/ws"
        self.seen: list[Seen] = []
        self.close_codes: list[int] = []
        self.refusals = 0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Viewer":
        self._task = asyncio.create_task(self._watch())
        await self.frame(lambda _frame: True)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def frame(
        self, wanted: Callable[[Frame], bool], *, after: float = 0.0, timeout: float = 15.0
    ) -> Seen:
        """Return the first frame since `after` that is wanted, waiting for it if need be."""

        def first() -> Seen | None:
            return next((s for s in self.seen if s.at > after and wanted(s.frame)), None)

        seen = await self._wait_for(first, timeout)
        if seen is None:
            raise AssertionError(
                f"no such frame within {timeout:g} s; {len(self.seen)} others,"
                f" closed with {self.close_codes}, refused {self.refusals} times"
            )
        return seen

    async def first_frame(self, *, timeout: float) -> Seen:
        """Connect, return the first frame if one comes in time, and leave again."""
        task = asyncio.create_task(self._watch())
        try:
            return await self.frame(lambda _frame: True, timeout=timeout)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def closed(self, count: int, *, timeout: float = 15.0) -> list[int]:
        """Return the close codes once there are `count` of them, or all that came in time."""
        await self._wait_for(lambda: len(self.close_codes) >= count, timeout)
        return list(self.close_codes)

    async def _wait_for(self, condition: Callable[[], T], timeout: float) -> T | None:
        async with self._news:
            try:
                return await asyncio.wait_for(self._news.wait_for(condition), timeout)
            except asyncio.TimeoutError:
                return None

    async def _watch(self) -> None:
        while True:
            try:
                async with connect(
                    self.url, open_timeout=5, close_timeout=1, ping_interval=None, proxy=None
                ) as socket:
                    await self._read(socket)
                    await self._tell(partial(self.close_codes.append, socket.close_code or 1006))
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed):
                self.refusals += 1
            await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, socket: Any) -> None:
        with suppress(ConnectionClosed):
            while True:
                frame = json.loads(await socket.recv())
                await self._tell(partial(self.seen.append, Seen(monotonic(), frame)))

    async def _tell(self, change: Callable[[], None]) -> None:
        async with self._news:
            change()
            self._news.notify_all()
