"""What the tests on real servers share: servers, and the figures that they measure."""

import signal
from collections.abc import Callable, Generator, Iterator

import pytest

from tests.apache.server import Case, Server, start

# Each shape of use, each MPM, each mod_wsgi and each listener; not each with each, which would take
# minutes: `test_harness.py` starts the others.
CASES = (
    Case("express", "pypi", "tcp"),
    Case("event", "pypi", "tcp"),
    Case("event", "debian", "unix"),
    Case("worker", "debian", "tcp"),
    Case("prefork", "pypi", "unix"),
)

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure() -> None:
    """End at SIGTERM as at Ctrl-C, so that a run which is cut short leaves no server behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="module", params=CASES, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that the tests of a module share, one after another; some take all of its workers."""
    with start(request.param, settings={"max_viewers": "4", "reserve_workers": "0"}) as running:
        yield running


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that puts a measured figure into the summary of the run."""
    figures = request.config.stash.setdefault(FIGURES, [])
    return lambda text: figures.append(f"{request.node.name}: {text}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the ends of the servers' logs with a failure."""
    report = yield
    if report.failed and item.get_closest_marker("apache"):
        report.sections += [(f"Apache {server.case}", server.logs()) for server in Server.running]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured."""
    for text in config.stash.get(FIGURES, []):
        terminalreporter.write_line(text)
