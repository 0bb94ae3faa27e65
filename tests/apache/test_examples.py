"""The examples that need no Apache of their own; the others are what every server here runs."""

import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.apache.processes import wait_until
from tests.apache.server import REPOSITORY, Response, ask, free_ports
from tests.apache.viewer import Viewer

pytestmark = pytest.mark.apache

EXAMPLES = REPOSITORY / "examples"


async def test_embedded() -> None:
    """An own aiohttp application has the dashboard at /metrics/, and ends at Ctrl-C without a word."""
    [port] = free_ports(1)
    with embedded(port) as process:
        assert get(port, "/metrics").headers["Location"] == "/metrics/"
        assert get(port, "/metrics/").status == 200
        assert "snapshot" in json.loads(get(port, "/metrics/api/v1/snapshot").body)
        async with Viewer(f"http://127.0.0.1:{port}") as viewer:
            assert viewer.seen[0].frame["snapshot"]["processes"]
    assert process.returncode == 0


@contextmanager
def embedded(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the example until the end of the context, where it is interrupted."""
    command = [sys.executable, str(EXAMPLES / "embed" / "app.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: get(port, "/"), 10, "the example answers")
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=10)
            assert errors == b""


def get(port: int, path: str) -> Response:
    return ask(HTTPConnection("127.0.0.1", port, timeout=5), path, {})


@pytest.mark.parametrize(
    ("path", "query", "status", "length"),
    [
        ("/", "", "200 OK", None),
        ("/bytes", "", "200 OK", 1000),
        ("/bytes", "n=5", "200 OK", 5),
        ("/bytes", "n=99999999999", "200 OK", 1_000_000),
        ("/bytes", "n=-1", "200 OK", 1000),
        ("/bytes", "n=nan", "200 OK", 1000),
        ("/bytes", "n=many", "200 OK", 1000),
        ("/slow", "s=0", "200 OK", 4),
        ("/nothing", "", "404 Not Found", None),
    ],
)
def test_small_application(path: str, query: str, status: str, length: int | None) -> None:
    """The example's application answers what its help page says, within its bounds."""
    application: Callable[..., Any] = runpy.run_path(str(EXAMPLES / "express" / "wsgi.py"))[
        "application"
    ]
    started: list[Any] = []
    body = b"".join(
        application(
            {"PATH_INFO": path, "QUERY_STRING": query}, lambda *arguments: started.extend(arguments)
        )
    )
    assert started[0] == status
    assert dict(started[1])["Content-Length"] == str(len(body))
    assert length in (None, len(body))
