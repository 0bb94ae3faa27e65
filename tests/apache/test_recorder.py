"""The flight recorder in real servers: what it holds after restarts, kills and metrics that were off."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
from collections.abc import Callable, Iterator
from time import monotonic, time
from typing import Any

import pytest

from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder
from mod_wsgi_dashboard.core.wire import Sample
from tests.apache.load import Load, holding, in_flight
from tests.apache.processes import wait_until
from tests.apache.server import Case, Server, start
from tests.apache.viewer import Viewer

pytestmark = pytest.mark.apache

CASES = (
    Case("express", "pypi", "tcp"),
    Case("event", "debian", "unix"),
    Case("prefork", "pypi", "tcp"),
)

# A graceful restart takes the dashboard along; its successor is there in 1 to 2 s, or later when busy.
LONGEST_GAP = 15.0


@pytest.fixture(scope="module", params=CASES, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that records, for all tests of this module; they go from quiet to violent."""
    with start(request.param, settings={"max_viewers": "4", "reserve_workers": "0"}) as running:
        yield running


def ask(server: Server, path: str) -> Any:
    answer = server.get(f"/metrics/api/v1/{path}")
    assert answer.status == 200, (path, answer.status, answer.text)
    return json.loads(answer.body)


def events(server: Server, *kinds: str, since: float = 0.0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(server, f"events?from={since}&kind={','.join(kinds)}")["events"]
    return found


def recorded(server: Server, start: float, end: float) -> list[Sample]:
    """Return the recorded samples of a range, decoded from what the server gives to pages."""
    decoder, samples = Decoder(), []
    for line in server.get(f"/metrics/api/v1/frames?from={start}&to={end}").text.splitlines():
        try:
            found = decoder.decode(line)
        except ChainBroken:
            continue
        if isinstance(found, Sample):
            samples.append(found)
    return samples


def test_it_records_for_its_owner_alone(server: Server) -> None:
    """A recording begins by itself, in the state directory, for Apache's user alone."""
    status = wait_until(lambda: recording(server), 10, "a recording")
    assert ("recording", "full", None) == (status["state"], status["detail"], status["problem"])
    files = list(server.state_directory.iterdir())
    assert {".sqlite3", ".sqlite3-wal", ".sqlite3-shm"} == {
        path.name[path.name.index(".sqlite3") :] for path in files
    }
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    assert status["bytes"] >= sum(path.stat().st_size for path in files) // 2


def recording(server: Server) -> dict[str, Any] | None:
    status: dict[str, Any] = ask(server, "recording")
    return status if status["until"] is not None and status["bytes"] else None


async def test_what_a_viewer_saw_is_what_was_recorded(server: Server) -> None:
    """Each sample that a viewer got, under load, is in the recording, value for value."""
    async with Viewer(server.url) as viewer, holding(server.url, 2, seconds=3), Load(server.url):
        first = viewer.seen[0].frame["tick"]
        await viewer.frame(lambda frame: frame["tick"] == first + 5)
        seen = [s.frame for s in viewer.seen[:5]]
    held = await asyncio.to_thread(recorded, server, seen[0]["at"] - 1, seen[-1]["at"])
    by_tick = {sample.tick: sample for sample in held}
    for frame in seen:
        sample = by_tick[frame["tick"]]
        assert letters_of(frame["snapshot"]) == [
            w.status for p in sample.snapshot.processes for w in p.workers
        ]
        assert [w["request"] for p in frame["snapshot"]["processes"] for w in p["workers"]] == [
            w.request for p in sample.snapshot.processes for w in p.workers
        ]
        assert frame["rates"]["accesses"] == sample.rates.accesses


def letters_of(snapshot: dict[str, Any]) -> list[str]:
    return [worker["status"] for process in snapshot["processes"] for worker in process["workers"]]


def test_a_graceful_restart_leaves_a_stated_gap(server: Server, figure: Callable[[str], None]) -> None:
    """Across a graceful restart the timeline is whole but for a gap, which an event states."""
    with in_flight(server.port, "/metrics/held"):
        wait_until(lambda: ask(server, "grid")["rates"]["busy"] >= 1, 5, "it is held")
        began = time()
        generation = ask(server, "grid")["snapshot"]["running_generation"]
        server.graceful()
        wait_until(lambda: started_again(server, began), 15, "it records again")
        wait_until(lambda: ask(server, "grid")["tick"] >= 3, 10, "three ticks of the new dashboard")
        assert ask(server, "grid")["rates"]["old_generation"] == 1
    samples = recorded(server, began - 2, time())
    pairs = list(itertools.pairwise(samples))
    # A new dashboard counts its ticks from 1 again.
    (gap,) = [later.at - sooner.at for sooner, later in pairs if later.tick < sooner.tick]
    (restarted,) = events(server, "dashboard-start", since=began)
    assert restarted["data"]["gap"] == pytest.approx(gap, abs=0.01)
    assert gap < LONGEST_GAP
    assert {1} == {round(later.at - sooner.at) for sooner, later in pairs if later.tick > sooner.tick}
    (graceful,) = events(server, "graceful", since=began)
    assert (generation, generation + 1) == (graceful["data"]["before"], graceful["data"]["generation"])
    figure(f"gap across a graceful restart {gap:.2f} s")
    blocked = wait_until(lambda: held_drains(server, began), 15, "the held request has drained")
    assert "POST /metrics/held" in blocked[0]["data"]["request"]
    assert blocked[0]["data"]["seconds"] > 1


def held_drains(server: Server, since: float) -> list[dict[str, Any]]:
    return [event for event in events(server, "drained", since=since) if event["data"]["request"]]


def started_again(server: Server, since: float) -> list[dict[str, Any]] | None:
    try:
        return events(server, "dashboard-start", since=since) or None
    except (AssertionError, OSError):
        return None


def test_a_kill_costs_a_tick(server: Server, figure: Callable[[str], None]) -> None:
    """After kill -9 the recording goes on, and all but the last tick before it is there."""
    before = ask(server, "grid")
    wait_until(lambda: ask(server, "grid")["tick"] > before["tick"], 5, "a tick")
    killed = time()
    server.kill_sidecar()
    wait_until(lambda: started_again(server, killed), 20, "it records again")
    samples = recorded(server, killed - 3, killed)
    assert samples[-1].at > killed - 1.2
    (start_again,) = events(server, "dashboard-start", since=killed)
    figure(f"gap across kill -9 {start_again['data']['gap']:.2f} s")


def test_a_full_restart_is_an_event(server: Server) -> None:
    """A full restart is told, with Apache's own time of it."""
    began = time()
    server.restart_fully()
    wait_until(lambda: started_again(server, began), 20, "it records again")
    (restart,) = events(server, "apache-start", since=began - 1)
    assert restart["data"]["restart_time"] == pytest.approx(began, abs=5)


def test_reading_holds_no_tick_up(server: Server, figure: Callable[[str], None]) -> None:
    """While everything that can be asked is asked, ticks go on one a second."""
    first, until = ask(server, "snapshot")["tick"], monotonic() + 4
    answers = 0
    while monotonic() < until:
        for path in ("history", "states", "frames", "events", "concurrency", "grid"):
            assert server.get(f"/metrics/api/v1/{path}").status == 200
            answers += 1
    passed = ask(server, "snapshot")["tick"] - first
    figure(f"{answers} answers in 4 s, {passed} ticks")
    assert passed in (3, 4, 5)
