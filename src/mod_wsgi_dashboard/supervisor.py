"""Background tasks that come back: what kills one is logged, told to viewers, and it starts again.

Owns the life of tasks that must run as long as the application does. It must not know what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

log = logging.getLogger(__name__)

# A task that dies at once must not spin; Apache itself respawns at this pace.
RESTART_DELAY = 1.0


class Supervisor:
    """Keeps named background tasks running, and knows how often each had to be started again."""

    def __init__(self, *, restart_delay: float = RESTART_DELAY) -> None:
        self._restart_delay = restart_delay
        self._deaths: dict[str, tuple[int, str]] = {}

    @property
    def notices(self) -> list[str]:
        """One sentence for each task that had to be started again."""
        return [
            f"The {name} failed {'once' if count == 1 else f'{count} times'} and was started again"
            f" (last: {error}); Apache's error log has the traceback."
            for name, (count, error) in self._deaths.items()
        ]

    @contextlib.asynccontextmanager
    async def running(self, name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run `work` in the background while in the context; start it again when it ends."""
        task = asyncio.create_task(self._keep(name, work), name=name)
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                if extra := self._note(name, type(error).__name__):
                    log.exception("the %s failed; starting it again", name, extra=extra)
            else:
                if extra := self._note(name, "it returned"):
                    text = "the %s returned, which it never should; starting it again"
                    log.error(text, name, extra=extra)
            await asyncio.sleep(self._restart_delay)

    def _note(self, name: str, error: str) -> dict[str, object]:
        """Count a death; return what to log with it, nothing for none.

        It may die each second: the 1st, 2nd, 4th, 8th are logged, and each of another kind than the
        last.
        """
        before, last = self._deaths.get(name, (0, ""))
        self._deaths[name] = (before + 1, error)
        if error == last and before & (before + 1):
            return {}
        return {"task": name, "deaths": before + 1}
