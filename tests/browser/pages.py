"""Pages of a real Chromium on which nothing may go wrong, for every test that opens one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

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


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on which nothing goes wrong: no script error, no dialog, nothing refused by the policy."""
    with clean_page(browser) as page:
        yield page


@contextmanager
def clean_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a page in a context with these options; fail at the end if anything went wrong on it."""
    troubles: list[str] = []
    with browser.new_context(**options) as context:
        page = context.new_page()

        def dismissed(dialog: Dialog) -> None:
            troubles.append(dialog.message)
            dialog.dismiss()

        def said(text: str) -> None:
            if "Content Security Policy" in text:
                troubles.append(text)

        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", dismissed)
        page.on("console", lambda message: said(message.text))
        yield page
    assert troubles == []
