"""Background tasks that come back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mod_wsgi_dashboard.supervisor import Supervisor


async def test_a_dead_task_is_logged_told_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """A task that raises runs again, with its traceback in the log and a notice for viewers."""
    supervisor = Supervisor(restart_delay=0.0)
    runs: asyncio.Queue[int] = asyncio.Queue()
    count = 0

    async def work() -> None:
        nonlocal count
        count += 1
        runs.put_nowait(count)
        if count < 3:
            raise ValueError("boom")
        await asyncio.Event().wait()

    async with supervisor.running("worker", work):
        assert [1, 2, 3] == [await runs.get() for _ in range(3)]
        (notice,) = supervisor.notices
    assert "The worker failed 2 times and was started again (last: ValueError)" in notice
    assert 2 == len([record for record in caplog.records if record.exc_info])


async def test_a_task_that_returns_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """Returning counts as dying: nobody else would notice."""
    supervisor = Supervisor(restart_delay=0.0)
    again = asyncio.Event()
    count = 0

    async def work() -> None:
        nonlocal count
        count += 1
        if count == 2:
            again.set()
            await asyncio.Event().wait()

    async with supervisor.running("worker", work):
        await again.wait()
    assert ["the worker returned, which it never should; starting it again"] == [
        record.getMessage() for record in caplog.records if record.levelno == logging.ERROR
    ]


async def test_the_task_ends_with_its_context() -> None:
    """After the context nothing runs, and nothing was told."""
    supervisor = Supervisor()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with supervisor.running("worker", work):
        await asyncio.sleep(0)
    assert ended.is_set()
    assert [] == supervisor.notices
