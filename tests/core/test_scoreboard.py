"""Parsing of `server_metrics()` dicts, real and broken."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from mod_wsgi_dashboard.core.errors import MetricsOff, ShapeError
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Worker, parse
from tests.conftest import CAPTURES, build_metrics, load_capture

PLAIN = Redactor(enabled=False)


@pytest.mark.parametrize("capture", CAPTURES)
def test_real_dicts_come_back_as_they_were(capture: str) -> None:
    """Every captured dict, of each version and MPM, encodes to itself but for leftover strings."""
    for metrics in load_capture(capture):
        encoded = json.loads(msgspec.json.encode(parse(metrics, PLAIN)))
        for process in metrics["processes"]:
            for worker in process["workers"]:
                if process["pid"] == 0 or worker["status"] == ".":
                    worker.update(client="", request="", vhost="")
        assert metrics == encoded


def test_none_says_which_option_to_set() -> None:
    """None is an error that names the option in directive words and in mod_wsgi-express's."""
    with pytest.raises(
        MetricsOff, match=r"server-metrics=on on its WSGIDaemonProcess.*--server-metrics"
    ):
        parse(None, PLAIN)


def _broken(change: str) -> dict[str, Any]:
    metrics = build_metrics("_W", "_.")
    process = metrics["processes"][1]
    worker = process["workers"][0]
    if change == "no restart_time":
        del metrics["restart_time"]
    elif change == "pid is text":
        process["pid"] = "secret"
    elif change == "request is None":
        worker["request"] = None
    elif change == "unknown letter":
        worker["status"] = "secret' - at"
    elif change == "workers missing":
        del process["workers"]
    elif change == "processes is a dict":
        metrics["processes"] = {}
    return metrics


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("no restart_time", "`restart_time`"),
        ("pid is text", "$.processes[1].pid"),
        ("request is None", "$.processes[1].workers[0].request"),
        ("unknown letter", "$.processes[1].workers[0].status"),
        ("workers missing", "`workers` - at `$.processes[1]`"),
        ("processes is a dict", "$.processes"),
    ],
)
def test_a_shape_that_cannot_be_read_names_the_key(change: str, key: str) -> None:
    """One error, one line, names the key that is wrong, and never quotes the value."""
    with pytest.raises(ShapeError) as caught:
        parse(_broken(change), PLAIN)
    assert key in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("metrics", [[], "text", 7, {}, {"processes": []}], ids=repr)
def test_anything_else_is_one_error(metrics: object) -> None:
    """Whatever is no dict of the right keys is a ShapeError, never another exception."""
    with pytest.raises(ShapeError):
        parse(metrics, PLAIN)


def test_unknown_keys_are_left_out() -> None:
    """A key of a later mod_wsgi is no error, and doesn't get through unredacted."""
    metrics = build_metrics("W")
    metrics["cookies"] = "secret"
    metrics["processes"][0]["workers"][0]["cookie"] = "secret"
    assert b"secret" not in msgspec.json.encode(parse(metrics, PLAIN))


@pytest.mark.parametrize(("letters", "pid"), [("W", 0), (".", 100)])
def test_leftover_strings_of_empty_slots_are_dropped(letters: str, pid: int) -> None:
    """A dead slot keeps its counters and loses what an earlier request left in it."""
    scoreboard = parse(build_metrics(letters, pids=[pid], counts=3), PLAIN)
    worker = scoreboard.processes[0].workers[0]
    assert (3, "", "", "") == (worker.access_count, worker.client, worker.request, worker.vhost)


def test_strings_are_redacted_and_bounded() -> None:
    """What parse lets through is masked, without control characters, and bounded."""
    metrics = build_metrics("W", request="GET /a?token=hunter2secret\x1b[31m", vhost="v" * 5000 + "\x00")
    worker = parse(metrics, Redactor(truncate_clients=True)).processes[0].workers[0]
    assert "hunter2" not in worker.request
    assert "192.0.2.0/24" == worker.client
    assert len(worker.vhost) < 300
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", worker.request + worker.vhost)


def test_parse_leaves_its_input_alone() -> None:
    """The dict that is parsed is not changed."""
    metrics = build_metrics("W", request="GET /?a=secret HTTP/1.1")
    before = json.dumps(metrics)
    parse(metrics, Redactor())
    assert before == json.dumps(metrics)


@pytest.mark.parametrize(
    ("letters", "started", "expected"),
    [("_W", 1990.0, True), ("_W", 0.0, False), ("__", 0.0, None), ("..", 0.0, None)],
)
def test_extended_status_is_seen(letters: str, started: float, expected: bool | None) -> None:
    """A busy worker without any start time betrays ExtendedStatus Off; idle ones tell nothing."""
    assert expected is parse(build_metrics(letters, started=started), PLAIN).extended_status


def _worker(**changes: Any) -> Worker:
    raw = build_metrics("W", request="GET /metrics/ws HTTP/1.1")["processes"][0]["workers"][0]
    return msgspec.convert(raw | changes, Worker)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"request": "GET /metrics/ws?a=1 HTTP/1.1"}, True),
        ({"request": "GET /metrics/ws"}, True),
        ({"request": "GET /chat/socket?room=*** HTTP/1.1"}, True),
        ({"request": "GET /socket.io/?EIO=*** HTTP/1.1"}, True),
        ({"request": "GET /socket.io/socket.io.js HTTP/1.1"}, False),
        ({"request": "GET /a?next=/ws HTTP/1.1"}, False),
        ({"request": "/ws"}, False),
        ({"status": "K"}, False),
        ({"stop_time": 1991.0}, False),
        ({"request": "GET /news HTTP/1.1"}, False),
        ({"request": ""}, False),
    ],
)
def test_websockets_are_recognised_by_path_and_times(changes: dict[str, Any], expected: bool) -> None:
    """A worker that still replies to a request for .../ws, or its like, holds a WebSocket."""
    assert expected is _worker(**changes).held_by_websocket
