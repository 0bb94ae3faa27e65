"""Pages of a real Chromium on which nothing may go wrong, for every test that opens one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, sync_playwright

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

# Addresses that ask no server.
INSIDE = ("data", "blob", "about")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with its own socket, on which nothing goes wrong."""
    with lone_page(browser) as page:
        yield page


@contextmanager
def lone_page(browser: Browser, *, allow: str | None = None, **options: Any) -> Iterator[Page]:
    """Open a page with its own socket in a context of its own."""
    with clean_context(browser, allow=allow, **options) as context:
        context.add_init_script(UNSHARED)
        yield context.new_page()


@contextmanager
def clean_page(browser: Browser, *, allow: str | None = None, **options: Any) -> Iterator[Page]:
    """Open a page in a context of its own."""
    with clean_context(browser, allow=allow, **options) as context:
        yield context.new_page()


@contextmanager
def clean_context(
    browser: Browser, *, allow: str | None = None, **options: Any
) -> Iterator[BrowserContext]:
    """Open a context with these options; fail at the end if anything went wrong on one of its pages.

    That is a script error, a dialog, something that the policy refused, an error on the console, or a
    request to another server than the first page's. Errors on the console that `allow` is found in are
    those that the test itself brings about.
    """
    troubles: list[str] = []
    asked: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    def said(message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        allowed = allow is not None and re.search(allow, text) is not None
        if "Content Security Policy" in text or (message.type == "error" and not allowed):
            troubles.append(text)

    def opened(page: Page) -> None:
        page.on("websocket", lambda socket: asked.append(socket.url))

    with browser.new_context(**options) as context:
        context.on("weberror", lambda error: troubles.append(str(error.error)))
        context.on("dialog", dismissed)
        context.on("console", said)
        context.on("request", lambda request: asked.append(request.url))
        context.on("page", opened)
        yield context
    servers = [urlsplit(url).netloc for url in asked if urlsplit(url).scheme not in INSIDE]
    troubles += [f"asked {server}" for server in servers if server != servers[0]]
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
