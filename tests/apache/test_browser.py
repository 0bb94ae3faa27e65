"""The page in a real Chromium, through a real Apache: what a person sees of it all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, WebSocket

from tests.apache.load import in_flight
from tests.apache.processes import wait_until
from tests.apache.server import Case, Server, start
from tests.browser.pages import clean_context, hide, lone_page, wait_for

pytestmark = [pytest.mark.apache, pytest.mark.browser]

# Held in flight by a body that never comes, so that they are on the page for as long as they last.
HOSTILE = {
    "/metrics/<script>alert(1)</script>": "<script>alert(1)</script>",
    "/metrics/<img/src/onerror/alert(2)>": "<img/src/onerror/alert(2)>",
    "/metrics/\"'><b/onclick>x": "\"'><b/onclick>x",
    "/metrics/caf\xe9/\xfcber": "ber",
    "/metrics/" + "words/" * 1300: "words/words/words",
}

# What the browser itself says while Apache or its sidecar starts anew.
GONE = r"WebSocket connection to|ERR_CONNECTION_|ERR_EMPTY_RESPONSE|status of 50[234]"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all that leaves it in good order."""
    with start(Case()) as running:
        yield running


def test_the_page_is_live(server: Server, page: Page) -> None:
    """The page opens a WebSocket below /metrics/, gets a frame a second, and asks nobody else."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    watch = Watch(page)
    page.goto(f"{server.url}/metrics/")
    wait_for(page, lambda: len(watch.frames) >= 3, "three frames")
    assert {urlsplit(url).netloc for url in asked} == {f"127.0.0.1:{server.port}"}
    assert {urlsplit(url).path for url in watch.sockets} == {"/metrics/ws"}


def test_a_hidden_page_holds_no_worker(server: Server, page: Page) -> None:
    """A page that becomes hidden lets its Apache worker go, and takes one again when it is seen."""
    page.goto(f"{server.url}/metrics/")
    wait_for(page, lambda: server.viewer_count() == 1, "a viewer")
    hide(page, hidden=True)
    wait_for(page, lambda: server.viewer_count() == 0, "no viewer")
    hide(page, hidden=False)
    wait_for(page, lambda: server.viewer_count() == 1, "a viewer again")
    page.get_by_test_id("connection").get_by_text("Live").wait_for(timeout=5000)


def test_the_tabs_of_a_browser_hold_one_worker(server: Server, browser: Browser) -> None:
    """Three tabs share one WebSocket, and say that the dashboard holds one worker of Apache's."""
    with clean_context(browser) as context:
        tabs = [context.new_page() for _ in range(3)]
        for tab in tabs:
            tab.goto(f"{server.url}/metrics/")
        for tab in tabs:
            tab.get_by_text("This dashboard holds 1 of 16 workers").wait_for(timeout=10_000)
        assert server.viewer_count() == 1
        tabs.pop(0).close()
        hide(tabs.pop(0), hidden=True)
        tabs[0].get_by_test_id("cells").wait_for(timeout=5000)
        assert server.viewer_count() == 1
        tabs[0].close()
        wait_until(lambda: server.viewer_count() == 0, 10, "no viewer")


def test_a_page_without_a_place_polls_and_says_why(page: Page) -> None:
    """Over the viewer limit the page shows the server's reason, and goes on with samples."""
    with start(Case(), settings={"max_viewers": "0"}) as server:
        page.goto(f"{server.url}/metrics/")
        page.get_by_text("viewer places are taken").first.wait_for(timeout=5000)
        page.get_by_test_id("tile-busy").wait_for(timeout=5000)
        assert server.viewer_count() == 0
        page.goto("about:blank")


def test_a_proxy_without_upgrade_is_named(browser: Browser) -> None:
    """Where Apache doesn't pass WebSockets on, the page polls and names `upgrade=websocket`."""
    with (
        start(Case(), edits={" upgrade=websocket": ""}) as server,
        lone_page(browser, allow="WebSocket.*response code: 400") as page,
    ):
        page.goto(f"{server.url}/metrics/")
        page.get_by_text("upgrade=websocket").first.wait_for(timeout=20000)
        page.get_by_test_id("tile-busy").wait_for(timeout=5000)


def test_hostile_requests_are_text(server: Server, page: Page) -> None:
    """Hostile requests in flight are shown as they are, and none of them becomes markup."""
    with ExitStack() as stack:
        for path in HOSTILE:
            stack.enter_context(in_flight(server.port, path))
        page.goto(f"{server.url}/metrics/")
        for text in HOSTILE.values():
            page.get_by_text(text).first.wait_for(timeout=5000)
        assert page.locator("script:not([src])").count() == 0
        assert page.locator("[onclick], [onerror], img").count() == 0


@pytest.mark.parametrize("action", ["graceful", "restart", "kill_sidecar"])
def test_the_page_comes_back(
    server: Server, browser: Browser, action: str, figure: Callable[[str], None]
) -> None:
    """After a graceful restart, a restart or a crash the page has new frames by itself."""
    with lone_page(browser, allow=GONE) as page:
        watch = Watch(page)
        page.goto(f"{server.url}/metrics/")
        wait_for(page, lambda: bool(watch.frames), "a frame")
        sockets = len(watch.sockets)
        began = monotonic()
        getattr(server, action)()
        wait_for(page, lambda: len(watch.sockets) > sockets and watch.is_newer(began), "a new frame")
        seconds = watch.first_of_last - began
        page.get_by_test_id("connection").get_by_text("Live").wait_for(timeout=5000)
    figure(f"{seconds:.2f} s to the first new frame")
    assert seconds < 10.0


@pytest.mark.parametrize(
    ("kind", "edits"),
    [
        ("event", {" server-metrics=on": ""}),
        ("express", {"    --server-metrics \\\n": ""}),
    ],
)
def test_metrics_off_is_explained(kind: str, edits: dict[str, str], page: Page) -> None:
    """With metrics off the page names the option, in directive and in express words."""
    with start(Case(kind), edits=edits) as server:
        page.goto(f"{server.url}/metrics/")
        for words in ("server-metrics=on", "--server-metrics"):
            page.get_by_text(words).first.wait_for(timeout=5000)
        page.goto("about:blank")


class Watch:
    """The WebSockets of a page, and when their frames came."""

    def __init__(self, page: Page) -> None:
        self.sockets: list[str] = []
        self.frames: list[float] = []
        self.first_of_last = 0.0
        page.on("websocket", self._opened)

    def is_newer(self, instant: float) -> bool:
        return self.first_of_last > instant

    def _opened(self, opened: WebSocket) -> None:
        self.sockets.append(opened.url)
        number = len(self.sockets)
        waiting = True

        def came(_payload: str | bytes) -> None:
            nonlocal waiting
            self.frames.append(monotonic())
            if waiting and number == len(self.sockets):
                self.first_of_last = self.frames[-1]
            waiting = False

        opened.on("framereceived", came)
