"""Addresses that can't be asked at all: each way in which the network fails is one finding."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from mod_wsgi_dashboard.apacheconf.probe import probe
from mod_wsgi_dashboard.apacheconf.visitor import clean, is_this_machine
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.settings import Settings
from tests.ports import free_port
from tests.served import FixedSource

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@contextlib.asynccontextmanager
async def talking(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve whatever `talk` says on a loopback port, and give the port."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                await talk(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(text: bytes, *, times: int = 1, pause: float = 0.0) -> Talk:
    """Return a talk that reads a request, and then says `text` so many times."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(times):
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(pause)

    return talk


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


GARBAGE = "does not speak HTTP as it should."
ENDED = "ended the connection in place of an answer."
LATE = "takes the connection, and does not answer in time."
OTHER = "The page there is not the dashboard's."

MIB = b"x" * 2**20

TALKS = {
    "says nothing": (silence, LATE),
    "resets": (reset, ENDED),
    "ends": (saying(b""), ENDED),
    "another protocol": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), GARBAGE),
    "binary": (saying(bytes(range(256)) * 40), GARBAGE),
    "no status": (saying(b"HTTP/1.1 \x1b[31mabc\r\n\r\n"), GARBAGE),
    "a header without end": (saying(OK + b"X: " + MIB), GARBAGE),
    "drips": (saying(OK.replace(b"\r\n", b"\r\nX: y\r\n", 1), pause=9.0), LATE),
    "drips a body": (saying(OK + b"Content-Length: 900\r\n\r\n" + b"x", pause=9.0), LATE),
    "a body cut short": (saying(OK + b"Content-Length: 900\r\n\r\nx"), ENDED),
    "1 GB": (saying(OK + b"Content-Length: 1073741824\r\n\r\n" + MIB, times=1024), OTHER),
    "a body without end": (saying(OK + b"\r\n" + MIB, times=100_000), OTHER),
}


@pytest.mark.parametrize("name", TALKS)
async def test_what_is_no_dashboard_is_one_finding(name: str) -> None:
    """Whatever answers, or doesn't, is one finding, in the time given and without its text."""
    talk, what = TALKS[name]
    async with talking(talk) as port:
        began = asyncio.get_running_loop().time()
        found = await probe(f"http://127.0.0.1:{port}/metrics/", timeout=1.0)
        took = asyncio.get_running_loop().time() - began
    prefix = "" if what is OTHER else f"127.0.0.1:{port} "
    assert [prefix + what] == [finding.what for finding in found]
    assert "\x1b" not in str(found)
    assert took < 3.0


async def test_nothing_listens() -> None:
    """A refused connection names host and port."""
    port = free_port()
    (found,) = await probe(f"http://127.0.0.1:{port}/")
    assert ("url-reachable", f"Nothing listens at 127.0.0.1:{port}.") == (found.check, found.what)


async def test_a_full_backlog() -> None:
    """A connection that nobody takes is told apart from an answer that doesn't come."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        where = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(where)
            (found,) = await probe(f"http://127.0.0.1:{where[1]}/", timeout=0.5)
    assert f"127.0.0.1:{where[1]} does not take the connection in time." == found.what


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
async def test_an_unknown_name(host: str) -> None:
    """A name without an address is one finding, even one that no DNS could hold."""
    (found,) = await probe(f"http://{host}/metrics/", timeout=20.0)
    assert ("url-reachable", f"The name {host} is not known here.") == (found.check, found.what)


@pytest.mark.parametrize(
    "url",
    [
        "", "metrics", "ftp://site.example/", "ws://site.example/", "http://", "http:///metrics/",
        "http://[::1/", "http://site.example:99999/", "http://site.example:x/", "http://a b/",
        "http://site.example/\x1b[31m", "unix:/run/dashboard.sock",
    ],
)  # fmt: skip
async def test_what_is_no_address(url: str) -> None:
    """What is no HTTP address ends with one line that says what one looks like."""
    with pytest.raises(DashboardError, match=r"http\(s\)://HOST/MOUNT/") as failure:
        await probe(url)
    assert str(failure.value).isprintable()


async def test_credentials_without_a_password() -> None:
    """Credentials that can't be used are asked for, and not repeated."""
    with pytest.raises(DashboardError, match=r"^Credentials are NAME:PASSWORD$"):
        await probe("http://127.0.0.1/", user="hunter2")


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cant_be_used(tmp_path: Path, content: str | None) -> None:
    """A file of certificates that is missing or holds none is one line with its name."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DashboardError, match=r"ca\.pem can't be used: "):
        await probe("https://127.0.0.1/", ca_file=str(path))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `localhost` that signed itself, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


async def serve(context: ssl.SSLContext | None) -> tuple[web.AppRunner, int]:
    """Serve a real dashboard on a loopback port."""
    runner = web.AppRunner(create_app(Settings(), FixedSource()), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, runner.addresses[0][1]


async def test_a_certificate_nobody_vouches_for(
    tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    """An unknown authority is named, with the way to name it; named, or unchecked, all is well."""
    runner, port = await serve(tls)
    url = f"https://localhost:{port}/"
    try:
        (found,) = await probe(url)
        assert [] == await probe(url, ca_file=str(certificate[0]))
        assert [] == await probe(url, insecure=True)
    finally:
        await runner.cleanup()
    assert ("url-reachable", ("TLS: self-signed certificate",)) == (found.check, found.evidence)
    assert "--ca-file" in found.fix


async def test_a_certificate_for_another_name(
    tls: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    """A certificate that is trusted, for another name, says so."""
    runner, port = await serve(tls)
    try:
        (found,) = await probe(f"https://127.0.0.1:{port}/", ca_file=str(certificate[0]))
    finally:
        await runner.cleanup()
    assert "url-reachable" == found.check
    assert "not valid for '127.0.0.1'" in found.what
    assert "Use the name in the certificate, not an IP address." == found.fix


async def test_no_tls_there() -> None:
    """https:// to a port that speaks plain HTTP is told as that."""
    runner, port = await serve(None)
    try:
        (found,) = await probe(f"https://127.0.0.1:{port}/")
    finally:
        await runner.cleanup()
    assert ("url-reachable", f"127.0.0.1:{port} does not speak TLS.") == (found.check, found.what)


@pytest.mark.parametrize(
    ("address", "own"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("0.0.0.0", True), ("192.0.2.1", False)],
)
def test_which_addresses_are_this_machines(address: str, *, own: bool) -> None:
    """An address belongs to this machine if it can be bound."""
    assert own == is_this_machine([(socket.AF_INET, (address, 80))])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("a\r\nb\x1b[31m\u202ec", "a b [31m c"),
        ("x" * 1000, "x" * 199 + "…"),
        ("\x00" * 10_000, ""),
    ],
)
def test_foreign_text_is_one_short_line(text: str, line: str) -> None:
    """Text of others is printable, one line, and at most 200 characters long."""
    assert line == clean(text)
