"""The application on a real socket: page, API, WebSocket, health."""

from __future__ import annotations

import asyncio
import html
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from mod_wsgi_dashboard.app import ASSETS, create_app
from mod_wsgi_dashboard.settings import Settings
from tests.conftest import build_metrics
from tests.served import FixedSource, Served, serving, until


async def fetch(served: Served, path: str, **headers: str) -> tuple[int, Any, Any]:
    """Return status, decoded JSON (or text), and headers."""
    async with (
        ClientSession() as session,
        session.get(served.url + path, headers=headers) as response,
    ):
        body = await response.text()
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(body) if is_json else body, response.headers


async def test_the_snapshot_is_the_documented_dict_and_what_it_says() -> None:
    """The API gives tick, time, the dict as mod_wsgi has it, rates, capacity and viewers."""
    metrics = build_metrics("_W_W", counts=1, request="GET /a?b=hunter2 HTTP/1.1")
    async with serving(FixedSource(metrics), max_request_workers=40) as served:
        status, body, _ = await fetch(served, "/api/v1/snapshot")
    assert status == 200
    for worker in metrics["processes"][0]["workers"]:
        worker["request"] = "GET /a?b=*** HTTP/1.1"
    assert metrics == body["snapshot"]
    assert (1, 1.0, 2, 2, 40) == (
        body["tick"],
        body["interval"],
        body["rates"]["busy"],
        body["rates"]["idle"],
        body["capacity"]["max_request_workers"],
    )
    assert {
        "connected": 0, "limit": 8, "holding": 0, "free": 38, "reserve": 4, "accepting": True,
    } == body["viewers"]  # fmt: skip
    assert abs(time.time() - body["at"]) < 60


async def test_the_doctor_page_says_what_the_dashboard_sees_of_itself() -> None:
    """Page and API have the same findings; the page's style is a file, which its policy demands."""
    async with serving(interval=60.0, max_viewers=100, max_request_workers=8) as served:
        _, data, _ = await fetch(served, "/api/v1/doctor")
        status, page, headers = await fetch(served, "/doctor")
        _, _, style_headers = await fetch(served, "/doctor.css")
    assert ["viewers-against-workers"] == [finding["check"] for finding in data["findings"]]
    assert (status, "text/html") == (200, headers["Content-Type"].partition(";")[0])
    assert html.escape(data["findings"][0]["what"]) in page
    assert '<link rel="stylesheet" href="doctor.css">' in page
    assert "text/css" == style_headers["Content-Type"].partition(";")[0]
    assert "default-src" in headers["Content-Security-Policy"]


async def test_an_unchanged_tick_is_not_sent_twice() -> None:
    """Each tick has its ETag; asking again within the tick gives 304."""
    async with serving(interval=60.0) as served:
        _, _, headers = await fetch(served, "/api/v1/snapshot")
        again = await fetch(served, "/api/v1/snapshot", **{"If-None-Match": headers["ETag"]})
        other = await fetch(served, "/api/v1/snapshot", **{"If-None-Match": '"x"'})
    assert (304, 200) == (again[0], other[0])


async def test_the_websocket_speaks_the_documented_format() -> None:
    """Without a subprotocol, each tick is one text frame with `snapshot`; the API says the same."""
    async with (
        serving(interval=0.2) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        frames = [json.loads(await viewer.recv()) for _ in range(3)]
        _, body, _ = await fetch(served, "/api/v1/snapshot")
    assert [frames[0]["tick"] + n for n in range(3)] == [frame["tick"] for frame in frames]
    assert body["snapshot"] == frames[-1]["snapshot"]


async def test_an_unknown_subprotocol_gets_the_plain_format(caplog: pytest.LogCaptureFixture) -> None:
    """A client that names a protocol we don't speak is not turned away."""
    async with (
        serving() as served,
        ClientSession() as session,
        session.ws_connect(served.url + "/ws", protocols=["nobody.v9"]) as viewer,
    ):
        assert viewer.protocol is None
        assert "snapshot" in json.loads(await viewer.receive_str())


async def test_metrics_off_are_told_to_everyone() -> None:
    """With metrics off, WebSocket, API and readiness name the option; liveness stays."""
    source = FixedSource()
    source.metrics = None
    async with serving(source) as served:
        async with connect(f"ws://127.0.0.1:{served.port}/ws") as viewer:
            frame = json.loads(await viewer.recv())
        status, body, _ = await fetch(served, "/api/v1/snapshot")
        ready, why, _ = await fetch(served, "/readyz")
        healthy, _, _ = await fetch(served, "/healthz")
    assert "snapshot" not in frame
    for text in (frame["error"], body["error"], why["detail"]):
        assert "server-metrics=on" in text
        assert "--server-metrics" in text
    assert (503, 503, 200) == (status, ready, healthy)


async def test_a_viewer_over_the_limit_is_told_to_poll() -> None:
    """The viewer after the last place is closed with 1013 and a reason; the API still serves it."""
    async with serving(max_viewers=1) as served:
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with connect(url) as first, connect(url) as second:
            await first.recv()
            with pytest.raises(ConnectionClosed) as closed:
                await second.recv()
            status, body, _ = await fetch(served, "/api/v1/snapshot")
        assert closed.value.rcvd is not None
        assert (1013, 200) == (closed.value.rcvd.code, status)
        assert closed.value.rcvd.reason == "All 1 viewer places are taken; each holds an Apache worker."
        assert 1 == body["viewers"]["limit"]
        await until(lambda: len(served.dashboard.hub) == 0)


async def test_readiness_needs_a_fresh_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody looks, readiness needs ticks that come; while nobody does, it reads for itself."""
    async with (
        serving(interval=0.1) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        await viewer.recv()
        ready, body, _ = await fetch(served, "/readyz")
        assert (200, "ready") == (ready, body["status"])
        monkeypatch.setattr(type(served.dashboard.poller), "age", 60.0)
        status, body, _ = await fetch(served, "/readyz")
    assert status == 503
    assert "not read lately" in body["detail"]


async def test_nothing_is_read_for_nobody() -> None:
    """Without recorder and viewer the scoreboard is read once at the start, then only for who asks."""
    source = FixedSource()
    async with serving(source, interval=0.1, record="off") as served:
        await asyncio.sleep(0.5)
        at_rest = source.readings
        await fetch(served, "/readyz")
        asked = source.readings
        async with connect(f"ws://127.0.0.1:{served.port}/ws") as viewer:
            for _ in range(5):
                await viewer.recv()
        await until(lambda: len(served.dashboard.hub) == 0)
        watched = source.readings
        await asyncio.sleep(0.5)
    assert (1, 2) == (at_rest, asked)
    assert watched >= 6
    assert source.readings <= watched + 1


async def test_a_dead_poller_is_told_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the poller itself fails, it starts again, and viewers read that it did."""
    async with (
        serving(interval=0.1) as served,
        connect(f"ws://127.0.0.1:{served.port}/ws") as viewer,
    ):
        before = json.loads(await viewer.recv())["tick"]
        poller = served.dashboard.poller
        poll = poller.poll

        def fail() -> None:
            monkeypatch.setattr(poller, "poll", poll)
            raise MemoryError

        monkeypatch.setattr(poller, "poll", fail)
        while not (frame := json.loads(await viewer.recv()))["notices"]:
            pass
        _, health, _ = await fetch(served, "/healthz")
    assert frame["tick"] > before
    assert "The poller failed once and was started again (last: MemoryError)" in frame["notices"][0]
    assert health["notices"] == frame["notices"]


async def test_viewers_hear_of_a_restart_in_time() -> None:
    """At shutdown viewers get 1001; one that doesn't read is cut off; all within half a second."""
    async with serving(interval=0.1, max_viewers=10) as served:
        viewers = [await connect(f"ws://127.0.0.1:{served.port}/ws") for _ in range(3)]
        stalled = await served.stalled_viewer()
        for viewer in viewers:
            await viewer.recv()
        began = time.monotonic()
    took = time.monotonic() - began
    for viewer in viewers:
        await viewer.wait_closed()
        assert 1001 == viewer.close_code
    stalled.close()
    assert took < 0.5


async def test_the_farewell_waits_for_the_reply() -> None:
    """After its close frame the server still listens: a late pong doesn't meet a closed connection.

    It did: Apache's tunnel, told so when it passed the pong on, dropped the close frame.
    """
    loop = asyncio.get_running_loop()
    received = b""
    async with serving() as served:
        viewer = await served.stalled_viewer()
        closing = asyncio.create_task(served.app.shutdown())
        while chunk := await loop.sock_recv(viewer, 65536):
            received += chunk
        assert received.endswith(b"\x88\x0c\x03\xe9restarting")
        await loop.sock_sendall(viewer, b"\x8a\x80mask")
        _, pending = await asyncio.wait([closing], timeout=0.1)
        assert pending == {closing}
        viewer.close()
        await closing


async def test_it_can_stop_as_soon_as_it_started() -> None:
    """Stopping right after the first tick was published ends the fan-out, which just awoke."""

    async def come_and_go() -> None:
        async with serving():
            pass

    for _ in range(10):
        await asyncio.wait_for(come_and_go(), 5.0)


async def test_the_page_knows_its_mount() -> None:
    """Directly the page has no base; behind Apache the prefix is its base, and only in its place."""
    async with serving() as served:
        status, page, headers = await fetch(served, "/")
        _, mounted, _ = await fetch(served, "/", **{"X-Forwarded-Prefix": "/metrics"})
        _, slash, _ = await fetch(served, "/", **{"X-Forwarded-Prefix": "/a/b-c/"})
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<base" not in page
    assert '<head><base href="/metrics/">' in mounted
    assert '<head><base href="/a/b-c/">' in slash
    assert page == mounted.replace('<base href="/metrics/">', "")


async def test_assets_are_immutable_and_precompressed() -> None:
    """Each built file has its hash in its name, is cached for ever, and comes compressed if taken."""
    async with serving() as served:
        names = [name for name in served.app[ASSETS] if name.endswith((".js", ".css"))]
        assert names
        for name in names:
            for encoding in ("br", "gzip"):
                headers = await _head(served, f"/assets/{name}", encoding)
                assert encoding == headers["Content-Encoding"]
                assert "immutable" in headers["Cache-Control"]
                assert headers["Vary"] == "Accept-Encoding"
            assert "Content-Encoding" not in await _head(served, f"/assets/{name}", "identity")


async def _head(served: Served, path: str, encoding: str) -> Any:
    async with ClientSession(auto_decompress=False) as session:
        headers = {"Accept-Encoding": encoding}
        async with session.get(served.url + path, headers=headers) as response:
            assert response.status == 200
            return response.headers


@pytest.mark.parametrize("name", ["../index.html", "..%2f..%2fapp.py", "%00", "none.js"])
async def test_only_built_assets_are_served(name: str) -> None:
    """No name reaches outside the built files."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            f"GET /assets/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
    assert b" 404 " in answer.partition(b"\r\n")[0] or b" 400 " in answer.partition(b"\r\n")[0]


async def test_it_is_usable_as_a_sub_application() -> None:
    """Mounted in another application, page, API and WebSocket work under the mount."""
    outer = web.Application()
    outer.add_subapp("/dash", create_app(Settings(), FixedSource()))
    runner = web.AppRunner(outer)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with ClientSession(f"http://127.0.0.1:{port}") as session:
            for path in ("/dash/", "/dash/api/v1/snapshot", "/dash/readyz"):
                async with session.get(path) as response:
                    assert 200 == response.status
                    assert "Content-Security-Policy" in response.headers
            async with session.get("/dash/", headers={"X-Forwarded-Prefix": "/site"}) as response:
                assert '<base href="/site/dash/">' in await response.text()
            async with session.ws_connect("/dash/ws") as viewer:
                assert "snapshot" in await viewer.receive_json()
    finally:
        await runner.cleanup()


async def test_the_page_says_when_it_was_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout without the built front end serves its API, and says what to run."""
    monkeypatch.setattr("mod_wsgi_dashboard.app.resources.files", lambda _: tmp_path)
    async with serving() as served:
        status, body, _ = await fetch(served, "/")
    assert status == 503
    assert "make setup" in body["detail"]
