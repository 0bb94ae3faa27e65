"""Incident files over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

from aiohttp import ClientSession

from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.unpacking import unpack
from tests.served import Served, serving, until


async def recording_since(served: Served) -> float:
    """Wait for some samples, and return the instant of the first."""
    async with ClientSession() as session:
        for _ in range(500):
            async with session.get(f"{served.url}/api/v1/recording") as answer:
                status = await answer.json()
            if status["until"] and status["until"] > status["since"] + 0.5:
                return float(status["since"])
            await asyncio.sleep(0.02)
    raise AssertionError("nothing was recorded")


async def test_an_export_is_an_incident_file(tmp_path: Path) -> None:
    """A range comes as an attachment with its checksum, and unpacks to the samples of that range."""
    async with serving(interval=0.1, state_dir=str(tmp_path / "state")) as served:
        since = await recording_since(served)
        url = f"{served.url}/api/v1/export?from={since:.3f}&to={since + 0.45:.3f}"
        async with ClientSession() as session, session.get(url) as answer:
            body = await answer.read()
        left = [path.name for path in (tmp_path / "state").iterdir()]
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert (200, "application/gzip") == (answer.status, answer.content_type)
    assert f"sha-256=:{digest}:" == answer.headers["Repr-Digest"]
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="incident-')
    assert not [name for name in left if "export" in name]
    (tmp_path / "incident.gz").write_bytes(body)
    recording = Recording(unpack(tmp_path / "incident.gz", tmp_path), still=True)
    extent = recording.extent()
    recording.close()
    assert extent.since is not None
    assert extent.until is not None
    assert since - 0.001 <= extent.since <= extent.until <= since + 0.45


async def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    """A range without samples is a 404, a bad one a 400, no recording a 404: each a sentence."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        await recording_since(served)
        for query, status in (("from=1000&to=2000", 404), ("from=x", 400), ("from=9&to=8", 400)):
            async with session.get(f"{served.url}/api/v1/export?{query}") as answer:
                problem = await answer.json()
            assert (status, True) == (answer.status, problem["detail"].endswith("."))
    async with (
        serving(record="off") as served,
        ClientSession() as session,
        session.get(f"{served.url}/api/v1/export") as answer,
    ):
        assert (404, True) == (answer.status, "record is off" in (await answer.json())["detail"])


async def test_a_client_that_goes_leaves_nothing(tmp_path: Path) -> None:
    """A client that doesn't wait for its export leaves no file behind, and holds up no other."""
    async with serving(interval=0.1, state_dir=str(tmp_path)) as served, ClientSession() as session:
        since = await recording_since(served)
        url = f"{served.url}/api/v1/export?from={since}"
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        await until(lambda: not [path for path in tmp_path.iterdir() if "export" in path.name])
        status = 503
        while status == 503:
            async with session.get(url) as answer:
                status = answer.status
                body = await answer.read()
        assert (200, b"\x1f\x8b") == (status, body[:2])
