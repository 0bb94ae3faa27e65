"""Fixtures that the whole suite shares."""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["tests.browser.pages"]


@pytest.fixture(scope="session", autouse=True)
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the recordings of all dashboards that tests start out of the user's own directories."""
    directory = tmp_path_factory.mktemp("recordings")
    # Apache's user has to get there, too.
    for parent in (directory, *directory.parents[:2]):
        parent.chmod(0o777 | stat.S_ISVTX if parent == directory else 0o755)
    os.environ["STATE_DIRECTORY"] = str(directory)
    return directory


Metrics = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fail-on-skip", action="store_true", help="a skipped test is a failure")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where one is asked for."""
    report = yield
    if report.skipped and item.config.getoption("--fail-on-skip"):
        report.outcome = "failed"
        report.longrepr = f"skipped: {report.longrepr}"
    return report


DATA = Path(__file__).parent / "data"
CAPTURES = sorted(path.name.removesuffix(".jsonl.gz") for path in DATA.glob("*.jsonl.gz"))


def load_capture(name: str) -> list[Metrics]:
    """Return the real `server_metrics()` dicts of one capture, in order."""
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def build_metrics(
    *letters: str,
    pids: list[int] | None = None,
    generations: list[int] | None = None,
    quiescing: tuple[int, ...] = (),
    running_generation: int = 0,
    restart_time: float = 1000.0,
    counts: int | list[int] = 0,
    request: str = "GET / HTTP/1.1",
    vhost: str = "site.example",
    started: float = 1990.0,
) -> Metrics:
    """Build a `server_metrics()` dict whose process n has the workers `letters[n]`."""
    limit = len(letters[0])
    total = counts if isinstance(counts, list) else [counts] * (limit * len(letters))
    processes = []
    for number, states in enumerate(letters):
        workers = []
        for index, letter in enumerate(states):
            count = total[number * limit + index]
            busy = letter in "RWKLDCG"
            workers.append(
                {
                    "thread_num": number * limit + index,
                    "generation": 0,
                    "status": letter,
                    "access_count": count,
                    "bytes_served": 100 * count,
                    "start_time": started if busy or count else 0.0,
                    "stop_time": 0.0 if busy else started,
                    "last_used": started,
                    "client": "192.0.2.7" if busy or count else "",
                    "request": request if busy or count else "",
                    "vhost": vhost if busy or count else "",
                }
            )
        processes.append(
            {
                "process_num": number,
                "pid": (pids or [100 + n for n in range(len(letters))])[number],
                "generation": (generations or [running_generation] * len(letters))[number],
                "quiescing": number in quiescing,
                "workers": workers,
            }
        )
    return {
        "server_limit": len(letters),
        "thread_limit": limit,
        "running_generation": running_generation,
        "restart_time": restart_time,
        "current_time": 2000.0,
        "running_time": 1000,
        "processes": processes,
    }
