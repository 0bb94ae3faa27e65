"""Who may ask: prefixes, hosts and origins, friendly and hostile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession, WSServerHandshakeError

from tests.served import serving


async def get(path: str, headers: dict[str, str], **settings: Any) -> tuple[int, str, Any]:
    """Return status, body and headers of a GET from a dashboard with these settings."""
    async with (
        serving(**settings) as served,
        ClientSession() as session,
        session.get(served.url + path, headers=headers, allow_redirects=False) as response,
    ):
        return response.status, await response.text(), response.headers


HOSTILE_PREFIXES = [
    "</script><script>alert(1)</script>",
    '/a"onload="alert(1)',
    "//evil.example",
    "/metrics//evil",
    "https://evil.example",
    "/metrics/../admin",
    "/a b",
    "/%2e%2e",
    "dashboards",
    "/" + "x" * 4000,
]


@pytest.mark.parametrize("prefix", HOSTILE_PREFIXES, ids=lambda prefix: prefix[:20])
@pytest.mark.parametrize("path", ["/", "/api/v1/snapshot", "/ws", "/healthz"])
async def test_a_hostile_prefix_is_refused_and_not_reflected(path: str, prefix: str) -> None:
    """A prefix that isn't a plain path is a 400 on every URL, and no byte of it comes back."""
    status, body, headers = await get(path, {"X-Forwarded-Prefix": prefix})
    assert status == 400
    assert prefix not in body + str(headers)
    assert "RequestHeader set X-Forwarded-Prefix" in body


@pytest.mark.parametrize("value", ["/metrics\r\nX-Evil: 1", "/x" * 6000], ids=["CRLF", "12 kB"])
async def test_what_http_itself_forbids_gets_no_page(value: str) -> None:
    """A prefix with a line break or of 12 kB never becomes part of an answer."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Prefix: {value}\r\n"
        writer.write((head + "Connection: close\r\n\r\n").encode())
        answer = await reader.read()
        writer.close()
    if "X-Evil" in value:
        assert b"X-Evil" not in answer
    else:
        assert answer.startswith(b"HTTP/1.1 400")


async def test_two_prefixes_are_refused() -> None:
    """When a client's own header got through beside Apache's, nobody can say which is right."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Prefix: /a\r\n"
        writer.write((head + "X-Forwarded-Prefix: /b\r\nConnection: close\r\n\r\n").encode())
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("host", "settings", "expected"),
    [
        ("127.0.0.1:8765", {}, 200),
        ("localhost", {}, 200),
        ("[::1]:80", {}, 200),
        ("evil.example", {}, 403),
        ("127.0.0.1.evil.example", {}, 403),
        ("localhost.evil.example:8765", {}, 403),
        ("192.0.2.1", {}, 403),
        ("", {}, 403),
        ("a:b:c", {}, 403),
        ("www.example.org", {"allowed_hosts": ["www.example.org"]}, 200),
        ("WWW.example.org:8080", {"allowed_hosts": ["www.example.org"]}, 200),
        ("www.example.org:8080", {"allowed_hosts": ["www.example.org:8080"]}, 200),
        ("www.example.org:80", {"allowed_hosts": ["www.example.org:8080"]}, 403),
    ],
)
async def test_a_foreign_host_is_refused_on_loopback(
    host: str, settings: dict[str, Any], expected: int
) -> None:
    """Names that a rebound DNS entry could have are refused; the refusal names the setting."""
    status, body, _ = await get("/healthz", {"Host": host}, **settings)
    assert expected == status
    assert (expected == 403) == ("allowed_hosts" in body)


async def test_a_health_check_without_host_is_answered() -> None:
    """HTTP/1.0 needs no Host, and no browser speaks it."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b" 200 OK" in answer.partition(b"\r\n")[0]


ORIGINS = [
    ({}, True),
    ({"Origin": "http://127.0.0.1:{port}"}, True),
    ({"Origin": "http://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://127.0.0.1:1"}, False),
    ({"Origin": "http://[bad"}, False),
    ({"Origin": "https://site.example", "X-Forwarded-Host": "site.example"}, True),
    ({"Origin": "http://site.example:8080", "X-Forwarded-Host": "site.example:8080"}, True),
    ({"Origin": "http://site.example", "X-Forwarded-Host": "site.example:8080"}, False),
    ({"Origin": "http://site.example", "X-Forwarded-Host": "evil.example, site.example"}, True),
    ({"Origin": "http://evil.example", "X-Forwarded-Host": "evil.example, site.example"}, False),
    ({"Origin": "http://127.0.0.1:{port}", "X-Forwarded-Host": "site.example"}, False),
]


@pytest.mark.parametrize(("headers", "expected"), ORIGINS, ids=lambda value: str(value)[:60])
async def test_a_foreign_origin_is_refused(headers: dict[str, str], expected: bool) -> None:
    """The API and the WebSocket answer pages of their own site alone, as Apache names it."""
    async with serving(reserve_workers=0) as served, ClientSession() as session:
        headers = {name: value.format(port=served.port) for name, value in headers.items()}
        async with session.get(served.url + "/api/v1/snapshot", headers=headers) as response:
            assert (200 if expected else 403) == response.status
        connecting = session.ws_connect(served.url + "/ws", headers=headers)
        if expected:
            async with connecting as viewer:
                assert "snapshot" in await viewer.receive_json()
        else:
            with pytest.raises(WSServerHandshakeError) as refused:
                await connecting
            assert refused.value.status == 403


async def test_an_allowed_host_is_an_allowed_origin() -> None:
    """Behind two proxies the browser's name for the site is only known from allowed_hosts."""
    headers = {"Origin": "https://public.example", "X-Forwarded-Host": "public.example, inner"}
    assert 403 == (await get("/api/v1/snapshot", headers))[0]
    status, _, _ = await get("/api/v1/snapshot", headers, allowed_hosts=["public.example"])
    assert status == 200


@pytest.mark.parametrize("path", ["/", "/api/v1/snapshot", "/healthz", "/nothing", "/assets/x.js"])
async def test_every_answer_carries_the_security_headers(path: str) -> None:
    """Policy, nosniff and no-store are on pages, data and errors alike."""
    _, _, headers = await get(path, {})
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
