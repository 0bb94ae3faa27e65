"""Servers that the tests of pages share: starting one takes longer than most tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.browser.server import demo

Demos = Callable[..., str]


@pytest.fixture(scope="session")
def demos() -> Iterator[Demos]:
    """Return a function that gives the URL of a demo with these options, started at its first use."""
    running: dict[tuple[object, ...], str] = {}
    with ExitStack() as stack:

        def url(scenario: str, *arguments: str, **settings: str) -> str:
            wanted = (scenario, arguments, *settings.items())
            if wanted not in running:
                running[wanted] = stack.enter_context(
                    demo("--scenario", scenario, *arguments, **settings)
                )
            return running[wanted]

        yield url
