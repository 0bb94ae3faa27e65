"""Real WebSocket clients of two libraries, with and without compression.

They show that the public calls that the fan-out relies on (`request.transport`,
`WebSocketResponse.compress`) do what they should on the aiohttp that is installed.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from tests.served import Served, serving

Receive = Callable[[], Awaitable[str]]


@contextlib.asynccontextmanager
async def by_websockets(url: str, *, window: int | None, protocol: str | None) -> AsyncIterator[Receive]:
    """Connect with the websockets library; `window` is the most bits of the server's, None for none."""
    # aiohttp's server, asked for the 15 bits that are the default, says nothing of them.
    bits = None if window == 15 else window
    extensions = [ClientPerMessageDeflateFactory(server_max_window_bits=bits)] if window else None
    subprotocols = [Subprotocol(protocol)] if protocol else None
    async with connect(
        url.replace("http", "ws"),
        compression=None,
        extensions=extensions,
        subprotocols=subprotocols,
        max_size=None,
    ) as socket:
        assert protocol == socket.subprotocol
        yield lambda: socket.recv(decode=True)


@contextlib.asynccontextmanager
async def by_aiohttp(url: str, *, window: int | None, protocol: str | None) -> AsyncIterator[Receive]:
    """Connect with aiohttp's client."""
    async with (
        ClientSession() as session,
        session.ws_connect(
            url, compress=window or 0, protocols=[protocol] if protocol else [], max_msg_size=0
        ) as socket,
    ):
        assert protocol == socket.protocol
        yield socket.receive_str


CLIENTS = [
    (by_websockets, 15),
    (by_websockets, 10),
    (by_websockets, None),
    (by_aiohttp, 15),
    (by_aiohttp, None),
]


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    simulator = Simulator(scenario="burst", slots=400, start_at=time.time() - 60)
    async with serving(SimulatorSource(simulator), interval=0.1) as served:
        yield served


@pytest.mark.parametrize(("client", "window"), CLIENTS)
async def test_every_client_reads_the_protocol(served: Served, client: Any, window: int | None) -> None:
    """Key and delta frames come through, compressed for who can take them so; pings are answered."""
    decoder, ticks = Decoder(), []
    async with client(served.url + "/ws", window=window, protocol=wire.SUBPROTOCOL) as receive:
        for _ in range(15):
            sample = decoder.decode(await receive())
            assert isinstance(sample, wire.Sample)
            assert 400 == sum(
                map(sum, [[len(process.workers) for process in sample.snapshot.processes]])
            )
            ticks.append(sample.tick)
        (viewer,) = served.dashboard.connections
        assert viewer.channel is not None
        assert (window == 15) == viewer.channel._compressed
        assert viewer.pinged is None, "its pong came"
    assert list(range(ticks[0], ticks[0] + 15)) == ticks


@pytest.mark.parametrize(("client", "window"), CLIENTS)
async def test_every_client_reads_the_plain_format(
    served: Served, client: Any, window: int | None
) -> None:
    """Without a subprotocol each frame is whole, compressed or not."""
    async with client(served.url + "/ws", window=window, protocol=None) as receive:
        frames = [json.loads(await receive()) for _ in range(5)]
    assert [frames[0]["tick"] + n for n in range(5)] == [frame["tick"] for frame in frames]
    assert all(frame["snapshot"]["processes"] for frame in frames)


async def test_all_kinds_at_once_share_their_bytes(served: Served) -> None:
    """Thirty viewers of six kinds see the same tick, and each kind is encoded once."""
    async with contextlib.AsyncExitStack() as stack:
        receivers = [
            (
                protocol,
                await stack.enter_async_context(
                    client(served.url + "/ws", window=window, protocol=protocol)
                ),
            )
            for client, window in CLIENTS
            for protocol in (wire.SUBPROTOCOL, None)
            for _ in range(3)
        ]
        decoders = [Decoder() for _ in receivers]
        for _ in range(10):
            for (protocol, receive), decoder in zip(receivers, decoders, strict=True):
                text = await receive()
                seen = decoder.decode(text) if protocol else json.loads(text)
                assert seen is not None
        assert 2 == len(served.dashboard.hub._chains)
        assert 4 == sum(len(chain.channels) for chain in served.dashboard.hub._chains.values())


async def test_a_key_frame_on_request(served: Served) -> None:
    """`{"key": true}` brings a key frame; whatever else a client says is ignored."""
    subprotocols = [Subprotocol(wire.SUBPROTOCOL)]
    async with connect(served.url.replace("http", "ws") + "/ws", subprotocols=subprotocols) as socket:
        assert json.loads(await socket.recv())["frame"] == "key"
        assert json.loads(await socket.recv())["frame"] == "delta"
        for text in ("", "{", "null", '{"key": "x"}', '{"unlock": true}'):
            await socket.send(text)
        await socket.send(b"\x00binary")
        await socket.send('{"key": true, "and": "more"}')
        kinds = [json.loads(await socket.recv())["frame"] for _ in range(10)]
    assert 1 == kinds.count("key")


@pytest.mark.parametrize(
    ("query", "protocol", "status"),
    [
        ("?detail=states", wire.SUBPROTOCOL, 101),
        ("?every=5&detail=full", wire.SUBPROTOCOL, 101),
        ("?every=2", None, 101),
        ("?colour=red", wire.SUBPROTOCOL, 101),
        ("?detail=states", None, 400),
        ("?detail=all", wire.SUBPROTOCOL, 400),
        ("?every=3", wire.SUBPROTOCOL, 400),
        ("?every=-1", wire.SUBPROTOCOL, 400),
        ("?every=%00", wire.SUBPROTOCOL, 400),
    ],
)
async def test_a_viewer_may_ask_for_less(
    served: Served, query: str, protocol: str | None, status: int
) -> None:
    """What there is not is refused before the upgrade, in a sentence that says what there is."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    if protocol:
        headers["Sec-WebSocket-Protocol"] = f"other, {protocol}"
    async with (
        ClientSession() as session,
        session.get(served.url + "/ws" + query, headers=headers) as response,
    ):
        assert status == response.status
        if status == 400:
            assert (await response.json())["detail"].endswith(".")
        else:
            assert protocol == response.headers.get("Sec-WebSocket-Protocol")
