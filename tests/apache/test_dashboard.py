"""The dashboard on real servers: what operators and viewers see, and what they live through.

The tests of this module share one server for each case, in the order in which they stand: what counts
requests comes before what restarts, and the stop comes last.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest

from tests.apache.load import Load, holding, in_flight
from tests.apache.processes import wait_until
from tests.apache.server import Server, ServerStatus
from tests.apache.viewer import Frame, Seen, Viewer

pytestmark = pytest.mark.apache

VIEWERS = 3
GRACEFULS = 5

# mod_status counts the request that asks it: one worker more is busy, one less idle.
ITSELF = 1


def test_page(server: Server) -> None:
    """The page and all that it names come through Apache below /metrics/, under a strict policy."""
    page = server.get("/metrics/")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assets = re.findall(r'(?:src|href)="(?!/metrics/")([^"]+)"', page.text)
    assert assets
    for asset in assets:
        path = asset if asset.startswith("/") else "/metrics/" + asset.removeprefix("./")
        assert path.startswith("/metrics/")
        assert (server.get(path).status, path) == (200, path)


def test_redirect(server: Server) -> None:
    """/metrics redirects to /metrics/ on the same host."""
    answer = server.get("/metrics")
    assert answer.status in (301, 302)
    assert answer.headers["Location"] == f"{server.url}/metrics/"


def test_health(server: Server) -> None:
    """Liveness and readiness are good."""
    assert server.get("/metrics/healthz").status == 200
    assert server.get("/metrics/readyz").status == 200


async def test_a_frame_a_second(server: Server, figure: Callable[[str], None]) -> None:
    """A WebSocket through Apache gets every tick, one a second, each with the whole snapshot."""
    async with Viewer(server.url) as viewer:
        first = viewer.seen[0].frame["tick"]
        await viewer.frame(lambda frame: frame["tick"] == first + 4)
        seen = viewer.seen[:5]
    assert [s.frame["tick"] for s in seen] == list(range(first, first + 5))
    assert all(s.frame["snapshot"]["processes"] for s in seen)
    # The first one comes at once, whenever the last tick was; the others on the grid of seconds.
    gaps = [later.at - sooner.at for sooner, later in pairwise(seen[1:])]
    figure("seconds between frames " + ", ".join(f"{gap:.3f}" for gap in gaps))
    assert sum(gaps) == pytest.approx(len(gaps), abs=0.5)


async def test_api_is_the_frame(server: Server) -> None:
    """The API's snapshot is the frame of the same tick, member for member."""
    async with Viewer(server.url) as viewer:
        polled = await asyncio.to_thread(sample, server)
        seen = await viewer.frame(lambda frame: frame["tick"] == polled["tick"])
    assert polled == seen.frame


async def test_equals_mod_status(server: Server, figure: Callable[[str], None]) -> None:
    """After a load and with workers held, each figure is mod_status's, and the access log's."""
    async with Viewer(server.url), holding(server.url, 3, seconds=6):
        async with Load(server.url) as load:
            await asyncio.to_thread(compare_under_load, server)
        await asyncio.to_thread(server.settled)
        moment = await asyncio.to_thread(still_moment, server)
    before, status, lines = moment
    rates = before["rates"]
    assert status.busy == rates["busy"] + ITSELF
    assert status.idle == rates["idle"] - ITSELF
    assert status.graceful == rates["graceful"] == 0
    assert letters(status.scoreboard) == states_with_itself(rates["states"])
    assert status.accesses == rates["accesses"] == lines
    assert status.kbytes == rates["bytes_served"] // 1024
    assert status.generation == before["snapshot"]["running_generation"]
    # Held workers and the viewer's own are what is busy now.
    assert rates["busy"] == 4
    assert rates["websockets"] == 1
    assert load.errors == 0
    figure(
        f"busy {rates['busy']}, idle {rates['idle']}, accesses {rates['accesses']},"
        f" kBytes {status.kbytes}, generation {status.generation}: all equal,"
        f" after {sum(load.sent.values())} requests"
    )


async def test_graceful_restarts(server: Server, figure: Callable[[str], None]) -> None:
    """At each graceful restart every viewer gets 1001 and comes back; no old process stays."""
    waits = []
    async with viewers(server) as watching:
        for _ in range(GRACEFULS):
            generation = watching[0].seen[-1].frame["snapshot"]["running_generation"]
            closes = [len(viewer.close_codes) + 1 for viewer in watching]
            began = monotonic()
            server.graceful()
            seen = await all_frames(watching, of_generation(generation + 1), began)
            waits.append(max(s.at for s in seen) - began)
            codes = [await v.closed(n) for v, n in zip(watching, closes, strict=True)]
            assert [code[-1] for code in codes] == [1001] * VIEWERS
        await watching[0].frame(only_one_generation, after=monotonic())
        assert {code for viewer in watching for code in viewer.close_codes} == {1001}
    figure("graceful to first new frame " + ", ".join(f"{wait:.2f} s" for wait in waits))
    assert max(waits) < 5.0


async def test_draining_equals_mod_status(server: Server, figure: Callable[[str], None]) -> None:
    """While an old process drains a request after a graceful restart, counts are mod_status's."""
    with in_flight(server.port, "/metrics/held"):
        await asyncio.to_thread(
            wait_until, lambda: sample(server)["rates"]["busy"] == 1, 5, "it is held"
        )
        generation = sample(server)["snapshot"]["running_generation"]
        server.graceful()
        await asyncio.to_thread(wait_until, lambda: drains(server, generation), 10, "it drains")
        before, status, _ = await asyncio.to_thread(still_moment, server)
    rates = before["rates"]
    assert status.busy == rates["busy"] + ITSELF
    assert status.idle == rates["idle"] - ITSELF
    assert status.graceful == rates["graceful"]
    assert status.generation == before["snapshot"]["running_generation"]
    assert rates["old_generation"] == 1
    # Event and prefork call the slot G; the worker MPM leaves it W, and may call its idle ones G.
    assert rates["states"]["G"] + rates["states"]["W"] >= 1
    assert letters(status.scoreboard) == states_with_itself(rates["states"])
    figure(f"busy {rates['busy']}, graceful {rates['graceful']}, idle {rates['idle']}: all equal")


async def test_restart(server: Server, figure: Callable[[str], None]) -> None:
    """A restart with viewers connected is over within 2 s, and the viewers come back."""
    async with viewers(server) as watching:
        restarted_at = watching[0].seen[-1].frame["snapshot"]["restart_time"]
        began = monotonic()
        seconds = await asyncio.to_thread(server.restart_fully)
        seen = await all_frames(
            watching, lambda frame: frame["snapshot"]["restart_time"] > restarted_at, began
        )
    wait = max(s.at for s in seen) - began
    figure(f"restart {seconds:.2f} s, first new frame {wait:.2f} s")
    assert seconds < 2.0


async def test_killed_dashboard(server: Server, figure: Callable[[str], None]) -> None:
    """When the dashboard is killed Apache starts another, and the viewers come back."""
    async with viewers(server) as watching:
        began = monotonic()
        pid = server.kill_sidecar()
        seen = await all_frames(watching, lambda _frame: True, began)
    wait = max(s.at for s in seen) - began
    figure(f"kill -9 of the dashboard to first new frame {wait:.2f} s")
    assert server.sidecar_pid() not in (None, pid)
    assert wait < 5.0


async def test_stop(server: Server, figure: Callable[[str], None]) -> None:
    """With viewers connected a stop takes less than 2 s, and no process is left.

    The error log of all the tests before has neither a traceback nor a loop on a busy address.
    """
    async with viewers(server):
        seconds = await asyncio.to_thread(server.stop)
    figure(f"stopped in {seconds:.2f} s with {VIEWERS} viewers")
    assert seconds < 2.0
    assert "Traceback" not in server.error_log
    assert server.error_log.lower().count("in use") == 0


def sample(server: Server) -> Frame:
    """Return the dashboard's present sample, read past Apache so that it changes nothing there."""
    frame: Frame = json.loads(server.get_directly("/api/v1/snapshot").body)
    return frame


def next_sample(server: Server, *, after: int) -> Frame:
    """Return the first sample of a later tick."""

    def later() -> Frame | None:
        frame = sample(server)
        return frame if frame["tick"] > after else None

    return wait_until(later, 5, "another tick")


def compare_under_load(server: Server) -> None:
    """Counters of mod_status, read under load between two ticks, lie between theirs."""
    before = next_sample(server, after=sample(server)["tick"])
    status = server.server_status()
    after = next_sample(server, after=before["tick"])
    assert before["rates"]["accesses"] <= status.accesses < after["rates"]["accesses"]
    assert before["rates"]["bytes_served"] // 1024 <= status.kbytes
    assert status.kbytes <= after["rates"]["bytes_served"] // 1024
    assert before["snapshot"]["running_time"] <= status.uptime <= after["snapshot"]["running_time"]


def still_moment(server: Server) -> tuple[Frame, ServerStatus, int]:
    """Return a sample, mod_status and the access log's lines, of a moment when nothing happened.

    That is when the next sample is the same but for the one request that asked mod_status.
    """

    def attempt() -> tuple[Frame, ServerStatus, int] | None:
        before = next_sample(server, after=sample(server)["tick"])
        lines = len(server.access_log)
        status = server.server_status()
        after = next_sample(server, after=before["tick"])
        assert before["snapshot"]["running_time"] <= status.uptime
        assert status.uptime <= after["snapshot"]["running_time"]
        still = (
            before["rates"]["states"] == after["rates"]["states"]
            and before["rates"]["accesses"] + 1 == after["rates"]["accesses"]
        )
        return (before, status, lines) if still else None

    return wait_until(attempt, 5, "a moment when nothing happens")


def drains(server: Server, generation: int) -> bool:
    """Whether one process of that generation is left, beside its successors."""
    try:
        frame = sample(server)
    except OSError:
        return False
    restarted: bool = frame["snapshot"]["running_generation"] > generation
    return restarted and bool(frame["rates"]["old_generation"] == 1)


def letters(scoreboard: str) -> Counter[str]:
    """Return the counts by letter; mod_status leaves out open slots that were never used."""
    return Counter(scoreboard.replace(".", ""))


def states_with_itself(states: dict[str, int]) -> Counter[str]:
    """Return the counts by letter with one more idle worker at work, as mod_status sees itself."""
    counts = Counter(states)
    del counts["."]
    counts["_"] -= ITSELF
    counts["W"] += ITSELF
    return +counts


@asynccontextmanager
async def viewers(server: Server) -> AsyncIterator[list[Viewer]]:
    """Several viewers at once, each of which has seen a frame."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Viewer(server.url)) for _ in range(VIEWERS)]


async def all_frames(watching: list[Viewer], wanted: Callable[[Frame], Any], began: float) -> list[Seen]:
    """Return each viewer's first such frame since `began`."""
    return await asyncio.gather(*(viewer.frame(wanted, after=began) for viewer in watching))


def of_generation(generation: int) -> Callable[[Frame], bool]:
    return lambda frame: frame["snapshot"]["running_generation"] == generation


def only_one_generation(frame: Frame) -> bool:
    """Whether every process of Apache belongs to the running generation."""
    running = frame["snapshot"]["running_generation"]
    living = [process for process in frame["snapshot"]["processes"] if process["pid"]]
    return all(process["generation"] == running for process in living)
