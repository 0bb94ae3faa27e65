"""The Python client on real sockets: live, less, broken, restarted, full, refused, silent, left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, get_args

import aiohttp
import msgspec
import pytest
from aiohttp import WSCloseCode, web

from mod_wsgi_dashboard.app import PACES, create_app
from mod_wsgi_dashboard.client import (
    CLOSE_SECONDS,
    FIRST_WAIT,
    LONGEST_RETRY_AFTER,
    LONGEST_WAIT,
    Disconnected,
    Every,
    Latest,
    Patience,
    Refused,
    asking,
    connect,
)
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from tests.boards import samples
from tests.conftest import build_metrics
from tests.core.test_wire import whole
from tests.served import FixedSource, Served, serving, until

WATCH = Path(__file__).parent.parent / "examples" / "client" / "watch.py"


class Sleeps:
    """Notes how long a client would wait, and lets it wait for an instant alone."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0.005)

    def patience(self, *, silence: float = 5.0) -> Patience:
        return Patience(silence=silence, sleep=self, random=lambda: 0.0)


async def take(count: int, url: str, **arguments: Any) -> list[Any]:
    """Return the first samples of a dashboard."""
    taken = []
    async with contextlib.aclosing(connect(url, **arguments)) as feed:
        async for latest in feed:
            taken.append(latest)
            if len(taken) == count:
                break
    return taken


def simulated(scenario: str = "burst") -> SimulatorSource:
    return SimulatorSource(Simulator(scenario=scenario, start_at=time.time() - 60))


def history(*letters: str, interval: float = 0.01) -> list[Latest]:
    """Return a sample for each string of letters, at ticks from 1 on."""
    made = samples([build_metrics(states, counts=n) for n, states in enumerate(letters)])
    return [msgspec.structs.replace(sample, interval=interval) for sample in made]


def record(served: Served) -> dict[int, Latest]:
    """Note all samples that a server publishes from now on, by tick."""
    published: dict[int, Latest] = {}
    publish = served.dashboard.hub.publish

    def note(latest: Latest) -> None:
        published[latest.tick] = latest
        publish(latest)

    served.dashboard.hub.publish = note  # type: ignore[method-assign]
    return published


Speaker = Callable[[web.WebSocketResponse], Awaitable[None]]
Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def scripted(
    speak: Speaker | None = None,
    *,
    answer: Answerer | None = None,
    snapshot: Answerer | None = None,
    protocols: tuple[str, ...] = (wire.SUBPROTOCOL,),
) -> AsyncIterator[str]:
    """Run a server whose WebSockets say what `speak` says, or that gives `answer` in their place."""

    async def websocket(request: web.Request) -> web.StreamResponse:
        if answer is not None:
            return await answer(request)
        assert speak is not None
        socket = web.WebSocketResponse(protocols=protocols, compress=True)
        await socket.prepare(request)
        await speak(socket)
        return socket

    app = web.Application()
    app.router.add_get("/m/ws", websocket)
    if snapshot is not None:
        app.router.add_get("/m/api/v1/snapshot", snapshot)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/m/"
    finally:
        await runner.cleanup()


def closes(code: int, reason: bytes = b"") -> Speaker:
    async def speak(socket: web.WebSocketResponse) -> None:
        await socket.close(code=code, message=reason)

    return speak


def tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


async def test_samples_are_those_of_the_server() -> None:
    """Every tick comes once, in order, and is what the server published, strings and times included."""
    async with serving(simulated(), interval=0.1) as served:
        published = record(served)
        async with contextlib.aclosing(connect(served.url)) as feed:
            first = await anext(feed)
            published[first.tick] = served.dashboard.latest or first
            got = [first, *[await anext(feed) for _ in range(5)]]
    assert [got[0].tick + n for n in range(6)] == [sample.tick for sample in got]
    assert [whole(published[sample.tick]) for sample in got] == got


async def test_samples_are_those_of_the_api() -> None:
    """What the client gives at a tick is the API's JSON of that tick, to the millisecond."""
    async with serving(simulated(), interval=60.0) as served, aiohttp.ClientSession() as session:
        [sample] = await take(1, served.url)
        async with session.get(f"{served.url}/api/v1/snapshot") as answer:
            api = msgspec.json.decode(await answer.read(), type=wire.Sample)
    assert whole(api) == sample


async def test_errors_come_as_failures() -> None:
    """With metrics off, the loop gives failures, and samples again when they are on."""
    source = FixedSource()
    metrics, source.metrics = source.metrics, None
    async with (
        serving(source, interval=0.1) as served,
        contextlib.aclosing(connect(served.url)) as feed,
    ):
        failure = await anext(feed)
        source.metrics = metrics
        while not isinstance(await anext(feed), wire.Sample):
            pass
    assert isinstance(failure, wire.Failure)
    assert "server-metrics=on" in failure.error


async def test_less_detail_and_fewer_ticks() -> None:
    """`detail` leaves out strings and times, `every` ticks; both are the server's to leave out."""
    async with serving(simulated(), interval=0.1) as served:
        _, second, third = await take(3, served.url, detail="states", every=2)
        published = served.dashboard.latest
    assert isinstance(published, wire.Sample)
    assert (0, 2) == (second.tick % 2, third.tick - second.tick)
    slots = [slot for process in third.snapshot.processes for slot in process.workers]
    assert {""} == {text for slot in slots for text in (slot.client, slot.request, slot.vhost)}
    assert third.rates.busy == sum(slot.status in "RWKLDC" for slot in slots)


def test_paces_are_the_servers() -> None:
    """The client knows exactly the values of `every` that the server accepts."""
    assert PACES == get_args(Every)


@pytest.mark.parametrize(
    "form", ["http://{}/dash/", "http://{}/dash", "ws://{}/dash/ws", "ws://{}/dash/"]
)
async def test_each_form_of_url_leads_to_the_mount(form: str) -> None:
    """The mount with and without slash, and the WebSocket's own URL, mean the same."""
    outer = web.Application()
    outer.add_subapp("/dash", create_app(Settings(), FixedSource()))
    runner = make_runner(outer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        [sample] = await take(1, form.format(f"127.0.0.1:{runner.addresses[0][1]}"))
    finally:
        await runner.cleanup()
    assert sample.rates.busy == 2


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        ("localhost:8765", {}),
        ("ftp://localhost/", {}),
        ("http:///metrics/", {}),
        ("unix:relative", {}),
        ("unix://host/path", {}),
        ("http://localhost/ws?detail=states", {}),
        ("http://localhost/", {"detail": "some"}),
        ("http://localhost/", {"every": 3}),
    ],
)
async def test_bad_arguments_fail_at_once(url: str, arguments: dict[str, Any]) -> None:
    """What can't be meant raises where it is written, not where the loop begins."""
    with pytest.raises(ValueError, match=r"URL is http|is one of"):
        connect(url, **arguments)


async def test_a_broken_chain_heals() -> None:
    """When a frame was lost, the client asks for a key frame, and shows nothing until it comes."""
    made = history("_W", "WW", "W_", "__", "_W")
    asked = []

    async def speak(socket: web.WebSocketResponse) -> None:
        encoder = Encoder()
        for number, latest in enumerate(made):
            encoder.advance(latest)
            if number == 3:
                asked.append(await socket.receive_str())
                await socket.send_str(encoder.key().decode())
            elif number != 1:
                await socket.send_str((encoder.delta()).decode())
        await socket.receive()

    async with scripted(speak) as url:
        got = await take(3, url)
    assert [True] == [wire.asks_for_key(text) for text in asked]
    assert [whole(made[n]) for n in (0, 3, 4)] == got


async def test_unknown_frames_are_passed_over() -> None:
    """A frame of a kind that this version doesn't know changes nothing."""
    made = history("_W", "WW")

    async def speak(socket: web.WebSocketResponse) -> None:
        encoder = Encoder()
        for latest in made:
            encoder.advance(latest)
            await socket.send_str(encoder.delta().decode())
            await socket.send_str('{"frame": "weather", "sun": true}')
        await socket.receive()

    async with scripted(speak) as url:
        assert [whole(latest) for latest in made] == await take(2, url)


async def test_a_server_without_the_subprotocol() -> None:
    """Where the server selects no subprotocol, the client reads the plain format."""
    made = samples([build_metrics("_W"), None, build_metrics("WW")])

    async def speak(socket: web.WebSocketResponse) -> None:
        for latest in made:
            await socket.send_str(wire.encode(latest).decode())
        await socket.receive()

    async with scripted(speak, protocols=()) as url:
        assert made == await take(3, url)


@pytest.mark.parametrize("text", ["no JSON", '{"frame": "key"}', "[]"])
@pytest.mark.parametrize("protocols", [(), (wire.SUBPROTOCOL,)])
async def test_what_cannot_be_read_is_told(text: str, protocols: tuple[str, ...]) -> None:
    """A server of another make ends the loop with an error, not with silence."""

    async def speak(socket: web.WebSocketResponse) -> None:
        await socket.send_str(text)
        await socket.receive()

    async with scripted(speak, protocols=protocols) as url:
        with pytest.raises(Refused, match="can't read"):
            await take(1, url)


async def test_a_restarted_server_is_found_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On a unix socket: the client waits for a server, and comes back when it restarts."""
    path, sleeps = tmp_path / "dashboard.sock", Sleeps()

    async def serve() -> web.AppRunner:
        runner = make_runner(create_app(Settings(interval=0.1), FixedSource()))
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        return runner

    async with contextlib.aclosing(connect(f"unix:{path}", patience=sleeps.patience())) as feed:
        waiting = asyncio.ensure_future(anext(feed))
        await until(lambda: len(sleeps.seconds) > 3)
        runner = await serve()
        assert 1 == (await waiting).tick
        waited = len(sleeps.seconds)
        waiting = asyncio.ensure_future(_first_of_next_life(feed))
        await runner.cleanup()
        await until(lambda: len(sleeps.seconds) > waited + 1)
        runner = await serve()
        assert 1 == (await waiting).tick
        await runner.cleanup()
    assert {FIRST_WAIT} == set(sleeps.seconds)
    warnings = [entry.message for entry in caplog.records if "client" in entry.name]
    assert 2 == len(warnings)
    assert "can't be reached" in warnings[0]
    assert "1001" in warnings[1]


async def _first_of_next_life(feed: Any) -> Latest:
    """Return the first sample of a server's next life: ticks start again."""
    last = 1
    async for latest in feed:
        if latest.tick <= last:
            break
        last = latest.tick
    return latest  # type: ignore[no-any-return]


async def test_a_sample_comes_once() -> None:
    """A sample that was known before the connection broke is not given again after it."""
    first, second = history("_W", "WW")
    connections = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        encoder = Encoder()
        for latest in (first, second)[: max(1, connections - 1)]:
            encoder.advance(latest)
            await socket.send_str(encoder.delta().decode())
        if connections == 3:
            await socket.receive()
        assert socket._req is not None
        assert socket._req.transport is not None
        socket._req.transport.abort()

    sleeps = Sleeps()
    async with scripted(speak) as url:
        patience = Patience(sleep=sleeps, random=lambda: 1.0)
        assert [1, 2] == [s.tick for s in await take(2, url, patience=patience)]
    assert connections == 3
    # Connections that work do not add up to a long wait.
    assert [2 * FIRST_WAIT] * 2 == sleeps.seconds


async def test_a_full_server_is_polled_until_there_is_a_place() -> None:
    """Sent away with 1013, the client polls, and gets a WebSocket when another viewer has left."""
    sleeps = Sleeps()
    async with (
        serving(simulated(), interval=0.1, max_viewers=1) as served,
        aiohttp.ClientSession() as session,
    ):
        other = await session.ws_connect(f"{served.url}/ws")
        async with contextlib.aclosing(connect(served.url, patience=sleeps.patience())) as feed:
            polled = [await anext(feed) for _ in range(8)]
            assert {1} == {latest.viewers.connected for latest in polled[1:]}
            assert {5.0} == set(sleeps.seconds)
            await other.close()
            await until(lambda: len(served.dashboard.hub) == 0)
            while not len(served.dashboard.hub):
                await anext(feed)
            asked_after = len(sleeps.seconds)
            live = [await anext(feed) for _ in range(3)]
    assert [latest.tick for latest in polled] == sorted({latest.tick for latest in polled})
    assert asked_after * 5.0 >= 30.0
    assert asked_after == len(sleeps.seconds)
    assert live[-1].tick == live[0].tick + 2


def plain(latest: Latest, *, accepting: bool, **headers: str) -> web.Response:
    viewers = msgspec.structs.replace(latest.viewers, accepting=accepting)
    body = wire.encode(msgspec.structs.replace(latest, viewers=viewers))
    status = 200 if isinstance(latest, wire.Sample) else 503
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


async def test_polling_honours_what_the_server_says() -> None:
    """ETag, Retry-After and `accepting` hold; each sample comes once, and failures come, too."""
    one, two = history("_W", "WW")
    [failure] = samples([None])
    failure = msgspec.structs.replace(failure, tick=3)
    asked: list[str] = []
    connections: set[object] = set()
    sleeps = Sleeps()

    async def speak(socket: web.WebSocketResponse) -> None:
        asked.append("ws")
        if asked.count("ws") == 1:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"Only 2 of 40 are free.")
            return
        encoder = Encoder()
        encoder.advance(msgspec.structs.replace(two, tick=4))
        await socket.send_str(encoder.key().decode())
        await socket.receive()

    async def snapshot(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("If-None-Match", "-"))
        connections.add(request.transport)
        match len(asked):
            case 2:
                return plain(one, accepting=False, **{"ETag": '"1"', "Retry-After": "30"})
            case 3:
                return web.Response(status=304, headers={"ETag": '"1"', "Retry-After": "30"})
            case 4:
                return plain(failure, accepting=True, **{"ETag": '"3"'})
            case 5:
                return plain(two, accepting=False, **{"ETag": '"2"', "Retry-After": "9999999"})
            case 6:
                return plain(two, accepting=False, **{"ETag": '"2"', "Retry-After": "12"})
            case 10:
                return plain(two, accepting=True, **{"ETag": '"2"'})
        return web.Response(status=304, headers={"ETag": '"2"'})

    async with scripted(speak, snapshot=snapshot) as url:
        got = await take(4, url, every=1, patience=sleeps.patience())
    assert [1, 3, 2, 4] == [latest.tick for latest in got]
    assert got[1].error == getattr(failure, "error", "")
    # 12 s after the last Retry-After it might ask; at 20 s the server accepts.
    assert ["ws", "-", '"1"', '"1"', '"3"', *['"2"'] * 5, "ws"] == asked
    assert [5.0] * 8 == sleeps.seconds
    # None is kept open in between: it would hold a worker.
    assert len(connections) == len(sleeps.seconds) + 1


async def test_no_server_sends_a_client_away_for_good() -> None:
    """A Retry-After of months is taken for ten minutes."""
    sleeps, polls = Sleeps(), 0
    first, second = history("_W", "WW")

    async def speak(socket: web.WebSocketResponse) -> None:
        if not polls:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return
        encoder = Encoder()
        encoder.advance(second)
        await socket.send_str(encoder.key().decode())
        await socket.receive()

    async def snapshot(_request: web.Request) -> web.StreamResponse:
        nonlocal polls
        polls += 1
        headers = {"Retry-After": "9999999"} if polls == 1 else {}
        return plain(first, accepting=True, **headers)

    async with scripted(speak, snapshot=snapshot) as url:
        await take(2, url, patience=sleeps.patience())
    assert LONGEST_RETRY_AFTER == sum(sleeps.seconds)


async def test_polling_that_fails_becomes_connecting_again() -> None:
    """When Apache can't reach the dashboard while it is polled, the client asks for a WebSocket."""
    connections, sleeps = 0, Sleeps()
    [sample] = history("_W")

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return
        encoder = Encoder()
        encoder.advance(sample)
        await socket.send_str(encoder.key().decode())
        await socket.receive()

    async def snapshot(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text="<h1>Service Unavailable</h1>")

    async with scripted(speak, snapshot=snapshot) as url:
        [got] = await take(1, url, patience=sleeps.patience())
    assert whole(sample) == got
    assert [FIRST_WAIT] == sleeps.seconds


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Authorization"),
        (403, "allowed_hosts"),
        (404, "where it is mounted"),
        (400, "upgrade=websocket"),
        (200, "upgrade=websocket"),
    ],
)
async def test_what_waiting_does_not_heal(status: int, words: str) -> None:
    """Such an answer ends the loop with what to change, and without the URL's password."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with scripted(answer=answer) as url:
        with pytest.raises(Refused, match=words) as refused:
            await take(1, url.replace("//", "//me:hunter2@"))
    assert f" answered {status}" in str(refused.value)
    assert "hunter2" not in str(refused.value)


async def test_the_server_s_own_refusals() -> None:
    """A foreign Host, a wrong path and TLS on a plain port are told, not tried again."""
    async with serving() as served:
        with pytest.raises(Refused, match="allowed_hosts"):
            await take(1, served.url, headers={"Host": "evil.example"})
        with pytest.raises(Refused, match="where it is mounted"):
            await take(1, f"{served.url}/nowhere/")
        with pytest.raises(Refused, match="argument `ssl`"):
            await take(1, served.url.replace("http", "https"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_dashboard_behind_apache_may_be_away(status: int) -> None:
    """While Apache answers for a dashboard that isn't there, the client tries again, ever slower."""
    sleeps, answers = Sleeps(), 0

    async def answer(_request: web.Request) -> web.StreamResponse:
        nonlocal answers
        answers += 1
        return web.Response(status=status if answers < 9 else 404)

    patience = Patience(sleep=sleeps, random=lambda: 1.0)
    async with scripted(answer=answer) as url:
        with pytest.raises(Refused):
            await take(1, url, patience=patience)
    assert [0.6, 1.2, 2.4, 4.8, 9.6, 15.0, 15.0, 15.0] == sleeps.seconds


@pytest.mark.parametrize("dice", [0.0, 0.5, 1.0])
def test_waits_have_bounds(dice: float) -> None:
    """However often it failed and whatever the dice say, a wait lies between its bounds."""
    patience = Patience(random=lambda: dice)
    waits = [patience.before_attempt(number) for number in (1, 2, 10, 5000)]
    assert FIRST_WAIT <= min(waits) <= max(waits) <= LONGEST_WAIT
    assert 30.0 <= patience.about(30.0) <= 37.5


@pytest.mark.parametrize(
    ("speak", "code", "words"),
    [
        (closes(1001, b"restarting"), 1001, "restarting"),
        (closes(1013, b"All 4 viewer places are taken."), 1013, "All 4 viewer places"),
        (closes(1011), 1011, "1011"),
    ],
)
async def test_without_reconnect_the_end_is_an_error(speak: Speaker, code: int, words: str) -> None:
    """With `reconnect=False` the loop ends with the close code and the server's reason."""
    async with scripted(speak) as url:
        with pytest.raises(Disconnected, match=words) as ended:
            await take(1, url, reconnect=False)
    assert code == ended.value.code


async def test_without_reconnect_nobody_waits_for_a_server(tmp_path: Path) -> None:
    """With `reconnect=False` a server that isn't there is an error at once."""
    with pytest.raises(Disconnected, match="can't be reached") as ended:
        await take(1, f"unix:{tmp_path}/none.sock", reconnect=False)
    assert ended.value.code == 1006


async def test_a_silent_connection_is_lost() -> None:
    """A connection on which nothing comes is given up, and another one opened."""
    connections = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        encoder = Encoder()
        encoder.advance(history("_W", "WW")[connections - 1])
        await socket.send_str(encoder.key().decode())
        await socket.receive()

    async with scripted(speak) as url:
        patience = Sleeps().patience(silence=0.2)
        assert [1, 2] == [s.tick for s in await take(2, url, patience=patience)]
    assert connections == 2


async def test_pongs_are_no_silence() -> None:
    """What keeps a connection alive between rare samples are unasked pongs."""
    connections = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        encoder = Encoder()
        for latest in history("_W", "WW"):
            encoder.advance(latest)
            await socket.send_str(encoder.delta().decode())
            for _ in range(12):
                await socket.pong(b"")
                await asyncio.sleep(0.05)

    async with scripted(speak) as url:
        await take(2, url, patience=Sleeps().patience(silence=0.3))
    assert connections == 1


async def test_silence_is_measured_by_the_interval() -> None:
    """Where samples are far apart, so far may they be."""
    first, second = history("_W", "WW", interval=1.0)
    connections = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal connections
        connections += 1
        encoder = Encoder()
        encoder.advance(first)
        await socket.send_str(encoder.delta().decode())
        await asyncio.sleep(0.3)
        encoder.advance(second)
        await socket.send_str(encoder.delta().decode())
        await socket.receive()

    async with scripted(speak) as url:
        await take(2, url, patience=Sleeps().patience(silence=0.1))
    assert connections == 1


async def test_credentials_are_sent() -> None:
    """Both a header and the URL's user and password reach the server, and a header reaches the API."""
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(status=401)

    async with scripted(answer=answer) as url:
        for address, headers in (
            (url, {"Authorization": "Bearer abc"}),
            (url.replace("//", "//me:hunter2@"), {}),
        ):
            with pytest.raises(Refused):
                await take(1, address, headers=headers)
    assert ["Bearer abc", "Basic bWU6aHVudGVyMg=="] == seen

    async def snapshot(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return plain(history("_W")[0], accepting=False)

    async with scripted(closes(1013), snapshot=snapshot) as url:
        await take(1, url, headers={"Authorization": "Bearer abc"})
    assert seen[-1] == "Bearer abc"


async def test_leaving_the_loop_closes_the_connection() -> None:
    """After a plain `break` connection and tasks are gone by themselves, within moments."""
    async with serving(interval=0.1) as served:
        before = tasks()
        async for _ in connect(served.url):
            assert len(served.dashboard.hub) == 1
            break
        await until(lambda: len(served.dashboard.hub) == 0)
        await until(lambda: tasks() <= before)


async def test_it_says_goodbye() -> None:
    """Who leaves closes the WebSocket as RFC 6455 has it; compression was on while it lasted."""
    heard: list[tuple[Any, ...]] = []

    async def speak(socket: web.WebSocketResponse) -> None:
        encoder = Encoder()
        encoder.advance(history("_W")[0])
        await socket.send_str(encoder.key().decode())
        message = await socket.receive()
        heard.append((socket.compress, message.type, message.data))

    async with scripted(speak) as url:
        await take(1, url)
    assert [(15, aiohttp.WSMsgType.CLOSE, 1000)] == heard


async def test_closing_waits_for_the_end() -> None:
    """After `aclose()` nothing is left to wait for; it takes a moment."""
    async with serving(interval=0.1) as served:
        before = tasks()
        feed = connect(served.url)
        await anext(feed)
        began = time.monotonic()
        await feed.aclose()
        assert time.monotonic() - began < 0.4
        assert tasks() <= before | _handlers()
        await until(lambda: len(served.dashboard.hub) == 0)


def _handlers() -> set[asyncio.Task[Any]]:
    """Return the tasks of aiohttp's server, which ends its side of the connection in its own time."""
    return {task for task in tasks() if "RequestHandler" in repr(task.get_coro())}


@pytest.mark.parametrize("while_", ["receiving", "waiting", "polling"])
async def test_cancellation_ends_it(while_: str) -> None:
    """Whatever the client waits for, a cancellation ends it, and is not swallowed."""
    waiting, forever = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await forever.wait()

    async def speak(socket: web.WebSocketResponse) -> None:
        if while_ == "receiving":
            waiting.set()
            await socket.receive()
        await socket.close(code=1013 if while_ == "polling" else 1001)

    async def snapshot(_request: web.Request) -> web.StreamResponse:
        return plain(history("_W")[0], accepting=True)

    async with scripted(speak, snapshot=snapshot) as url:
        task = asyncio.create_task(take(2, url, patience=Patience(sleep=sleep)))
        await waiting.wait()
        # One turn of the loop from the server's handshake to the client's wait.
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 1.0)


async def test_it_says_once_that_it_polls(caplog: pytest.LogCaptureFixture) -> None:
    """A change of state is one line of the log, however often the server refuses."""
    asked = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal asked
        asked += 1
        await socket.close(code=1013, message=f"Only {asked} of 40 workers are free.".encode())

    async def snapshot(_request: web.Request) -> web.StreamResponse:
        return plain(history(*["_W"] * asked)[-1], accepting=True)

    caplog.set_level(logging.INFO, logger="mod_wsgi_dashboard.client")
    async with scripted(speak, snapshot=snapshot) as url:
        await take(4, url, patience=Sleeps().patience())
    assert asked == 4
    [line] = [entry.message for entry in caplog.records if entry.name == "mod_wsgi_dashboard.client"]
    assert line.endswith("1013 Only 1 of 40 workers are free.; polling")


async def test_leaving_does_not_wait_for_a_server_that_goes_on_sending() -> None:
    """A server that answers no close, and goes on sending, keeps nobody who leaves."""
    made, left = history("_W"), asyncio.Event()

    async def speak(socket: web.WebSocketResponse) -> None:
        encoder = Encoder()
        encoder.advance(made[0])
        while not left.is_set():
            with contextlib.suppress(ConnectionError, RuntimeError):
                await socket.send_str(encoder.key().decode())
            await asyncio.sleep(0.05)

    async with scripted(speak) as url:
        feed = connect(url)
        await anext(feed)
        began = time.monotonic()
        await feed.aclose()
        seconds = time.monotonic() - began
        left.set()
    assert seconds < CLOSE_SECONDS + 1.0


async def test_changes_of_the_connection_are_told() -> None:
    """`tell` hears that it is live, lost, or polling, each once and with the reason."""
    made, told = history("_W", "WW"), []
    refuse = closes(WSCloseCode.TRY_AGAIN_LATER, b"Only 1 of 40 workers are free.")
    spoken = 0

    async def speak(socket: web.WebSocketResponse) -> None:
        nonlocal spoken
        spoken += 1
        if spoken > 2:
            await refuse(socket)
            return
        encoder = Encoder()
        encoder.advance(made[spoken - 1])
        await socket.send_str(encoder.key().decode())
        await socket.close(code=WSCloseCode.GOING_AWAY)

    async def snapshot(_: web.Request) -> web.Response:
        return web.Response(body=wire.encode(history("__")[0]), content_type="application/json")

    sleeps = Sleeps()
    async with scripted(speak, snapshot=snapshot) as url:
        await take(3, url, patience=sleeps.patience(), tell=lambda *each: told.append(each))
    assert [standing for standing, _ in told] == [
        "live",
        "connecting again",
        "live",
        "connecting again",
        "polling",
    ]
    assert "1001" in told[1][1]
    assert "Only 1 of 40 workers are free." in told[4][1]


async def test_single_answers_can_be_asked() -> None:
    """`asking` gives the newest sample, and what a route answers; what goes wrong is told as usual."""
    async with serving(simulated(), interval=60.0) as served, asking(served.url) as api:
        newest = await api.newest()
        recording = msgspec.json.decode(await api.get("api/v1/recording"))
        with pytest.raises(Refused, match="404"):
            await api.get("api/v1/nothing")
    assert newest == served.dashboard.latest
    assert "state" in recording
    with pytest.raises(ValueError, match="URL is http"):
        async with asking("localhost"):
            pass


async def test_the_example_prints_a_line_a_tick() -> None:
    """examples/client/watch.py shows workers, requests and the oldest request; and why it can't."""
    async with serving(simulated("slow-endpoint"), interval=0.1) as served:
        process = await _run_example(served.url)
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(3)]
        process.terminate()
        await process.wait()
        refused = await _run_example(f"{served.url}/nowhere/")
        _, errors = await refused.communicate()
    for line in lines:
        assert " of 64 workers busy" in line
        assert "requests/s" in line
        assert "oldest request: " in line
    assert refused.returncode == 1
    assert "where it is mounted" in errors.decode()


async def _run_example(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WATCH), url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
