"""Hostile request lines, sent to a real Apache by raw sockets: what reaches a viewer is plain text."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apache.processes import wait_until
from tests.apache.server import Case, Server, start

pytestmark = pytest.mark.apache

HOST = b"Host: localhost\r\nConnection: close\r\n\r\n"

# The line, and what of it must be seen as text in the dashboard's JSON.
LINES = {
    "markup": (b"GET /<script>alert(1)</script> HTTP/1.1", "<script>alert(1)</script>"),
    "attribute": (b"GET /\"'><b/onclick> HTTP/1.1", "\"'><b/onclick>"),
    "method": (b'FOO"<b> / HTTP/1.1', 'FOO"<b>'),
    "utf-8": (b"GET /caf\xc3\xa9/menu HTTP/1.1", "/menu"),
    "latin-1": (b"GET /\xff\xfe/raw HTTP/1.1", "/raw"),
    "escape": (b"GET /a\x1b[31mred HTTP/1.1", "[31mred"),
    "controls": (b"GET /b\x07\x08\x7fbell HTTP/1.1", "bell"),
    "absolute": (b"GET http://user:hunter2@evil/abs HTTP/1.1", "evil/abs"),
    "query": (b"GET /?next=1&token=hunter2 HTTP/1.1", "token="),
    "long": (b"GET /" + b"words/" * 1350 + b" HTTP/1.1", "words/words/words"),
    "too long": (b"GET /" + b"lines/" * 4000 + b" HTTP/1.1", "lines/lines/lines"),
}


@pytest.fixture(scope="module", params=[Case(), Case("prefork", "debian")], ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that looks often: a line stays in its slot only until the next request there."""
    with start(request.param, settings={"interval": "0.1"}) as running:
        yield running


@pytest.mark.parametrize("name", LINES)
def test_a_hostile_line_is_text(server: Server, name: str) -> None:
    """A hostile line is shown, bounded and printable, in JSON that no browser takes for a page."""
    line, shown = LINES[name]

    def seen() -> str:
        server.send_raw(line + b"\r\n" + HOST)
        wait_for_tick(server)
        return next((text for text in requests(server) if shown in text), "")

    text = wait_until(seen, 5, f"{shown!r} is shown")
    assert text.isprintable()
    assert "hunter2" not in text
    assert len(text) <= 255
    answer = server.get("/metrics/api/v1/snapshot")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_log_has_no_traceback(server: Server) -> None:
    """None of the lines made the dashboard stumble, nor is a secret of theirs in the error log."""
    assert server.get("/metrics/readyz").status == 200
    assert "Traceback" not in server.error_log
    own = [line for line in server.error_log.splitlines() if "mod_wsgi_dashboard" in line]
    assert not [line for line in own if "hunter2" in line]


def snapshot(server: Server) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(server.get_directly("/api/v1/snapshot").body)
    return answer


def wait_for_tick(server: Server) -> None:
    """Return when a reading that began after now is there."""
    tick = snapshot(server)["tick"]
    wait_until(lambda: snapshot(server)["tick"] > tick + 1, 5, "another tick")


def requests(server: Server) -> list[str]:
    """Return what is shown of every slot's last request."""
    processes = snapshot(server)["snapshot"]["processes"]
    return [worker["request"] for process in processes for worker in process["workers"]]
