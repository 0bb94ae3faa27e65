"""Pages of a real Chromium on which nothing may go wrong, for every test that opens one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

# Root may not use Chromium's sandbox, and the pages are the tests' own; the others keep it from
# asking anybody but the server under test.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    assert executable, "missing: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


# With these the page keeps its own socket: Playwright sees none of a worker's.
UNSHARED = "delete window.SharedWorker"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with its own socket, on which nothing goes wrong."""
    with clean_context(browser) as context:
        context.add_init_script(UNSHARED)
        yield context.new_page()


@contextmanager
def clean_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a page in a context of its own."""
    with clean_context(browser, **options) as context:
        yield context.new_page()


@contextmanager
def clean_context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """Open a context with these options; fail at the end if anything went wrong on one of its pages.

    That is a script error, a dialog, or something that the policy refused.
    """
    troubles: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    def said(text: str) -> None:
        if "Content Security Policy" in text:
            troubles.append(text)

    with browser.new_context(**options) as context:
        context.on("weberror", lambda error: troubles.append(str(error.error)))
        context.on("dialog", dismissed)
        context.on("console", lambda message: said(message.text))
        yield context
    assert troubles == []


def hide(page: Page, *, hidden: bool) -> None:
    """Make the page believe that its tab is hidden: headless Chromium never hides one."""
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def wait_for(page: Page, condition: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
    """Let the page live until the condition holds: its events come only while it is waited for."""
    deadline = monotonic() + timeout
    while not condition():
        assert monotonic() < deadline, f"not within {timeout:g} s: {what}"
        page.wait_for_timeout(20)
