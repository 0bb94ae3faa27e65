"""The webhook, against real servers that take, refuse, redirect, hang and lie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from mod_wsgi_dashboard.core.alerts import Alert, Change
from mod_wsgi_dashboard.core.errors import SettingsError
from mod_wsgi_dashboard.settings import Settings, describe
from mod_wsgi_dashboard.webhook import MOST_WAITING, TRY_SECONDS, Webhook, log_change
from tests.served import until

KEY = bytes(range(32))
SECRET = base64.b64encode(KEY).decode()
HIDDEN = "hunter2"

STUCK = Alert("stuck", "stuck", "warning", 1_700_000_000.25, 61.5, 1.0, "GET /<b>/*", 2)


def change(number: int = 0, *, began: bool = True, alert: Alert = STUCK) -> Change:
    return Change(began, alert, 1_700_000_060.5 + number, 60.25 + number)


class Receiver:
    """A server that remembers what came, and answers what it is told, the last answer for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers or (200,))
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.elsewhere = 0

    def __len__(self) -> int:
        return len(self.bodies)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers={"Location": f"/elsewhere?{HIDDEN}"})

    async def take_elsewhere(self, _request: web.Request) -> web.StreamResponse:
        self.elsewhere += 1
        return web.Response()


@contextlib.asynccontextmanager
async def receiving(
    *answers: int,
    take: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Receiver]:
    receiver = Receiver(*answers)
    app = web.Application()
    app.router.add_route("*", "/elsewhere", receiver.take_elsewhere)
    app.router.add_post("/{path:.*}", take or receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    receiver.url = f"127.0.0.1:{runner.addresses[0][1]}/{HIDDEN}?token={HIDDEN}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def running(webhook: Webhook) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(webhook.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def make(receiver: Receiver, secret: str | None = SECRET, **more: Any) -> Webhook:
    more = {"host": "web-1", "pauses": (0.01, 0.01, 0.01), **more}
    return Webhook(f"http://user:{HIDDEN}@{receiver.url}", secret, **more)


@pytest.fixture(autouse=True)
def nothing_hidden_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    """Whatever happens, the log names neither user, path and query of the URL nor the secret."""
    caplog.set_level(logging.DEBUG, logger="mod_wsgi_dashboard")
    yield
    for record in caplog.get_records("call"):
        text = record.getMessage() + repr(record.__dict__)
        if record.name.startswith("mod_wsgi_dashboard"):
            assert HIDDEN not in text
            assert SECRET not in text
            assert "<b>" not in text


async def test_what_is_sent() -> None:
    """A beginning and an end, as JSON with all that is known, from user and password of the URL."""
    async with receiving() as receiver:
        webhook = make(receiver)
        async with running(webhook):
            webhook.offer(change())
            webhook.offer(change(10, began=False))
            await until(lambda: not len(webhook))
    data = {
        "rule": "stuck", "kind": "stuck", "severity": "warning", "began_at": "2023-11-14T22:13:20.250Z",
        "ended_at": None, "seconds": 60.25, "peak": 61.5, "threshold": 1.0, "path": "GET /<b>/*",
        "count": 2, "host": "web-1",
    }  # fmt: skip
    ended = data | {"ended_at": "2023-11-14T22:14:30.500Z", "seconds": 70.25}
    assert [
        {"type": "alert.began", "timestamp": "2023-11-14T22:14:20.500Z", "data": data},
        {"type": "alert.ended", "timestamp": "2023-11-14T22:14:30.500Z", "data": ended},
    ] == [json.loads(body) for body in receiver.bodies]
    assert {"application/json"} == {headers["Content-Type"] for headers in receiver.headers}
    credentials = base64.b64encode(f"user:{HIDDEN}".encode()).decode()
    assert {f"Basic {credentials}"} == {headers["Authorization"] for headers in receiver.headers}


def signature(headers: dict[str, str], body: bytes) -> str:
    """Compute what Standard Webhooks wants, from its text."""
    signed = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    return "v1," + base64.b64encode(hmac.HMAC(KEY, signed, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("secret", [SECRET, f"whsec_{SECRET}"])
async def test_it_is_signed_as_standard_webhooks_says(secret: str) -> None:
    """Each try has the time of its own in its signature, and the message the same name."""
    times = iter([1_700_000_100.9, 1_700_000_200.0])
    async with receiving(500, 200) as receiver:
        webhook = make(receiver, secret, clock=lambda: next(times))
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: not len(webhook))
    assert ["1700000100", "1700000200"] == [each["webhook-timestamp"] for each in receiver.headers]
    assert 1 == len({each["webhook-id"] for each in receiver.headers})
    for headers, body in zip(receiver.headers, receiver.bodies, strict=True):
        assert signature(headers, body) == headers["webhook-signature"]


async def test_without_a_secret_nothing_is_signed() -> None:
    """There is no signature that anybody could make."""
    async with receiving() as receiver:
        webhook = make(receiver, None)
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: len(receiver))
    assert "webhook-signature" not in receiver.headers[0]
    assert receiver.headers[0]["webhook-id"].startswith("msg_")


@pytest.mark.parametrize("status", [500, 503, 429, 408])
async def test_what_may_pass_is_tried_again(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The same alert comes again until it is taken, the others behind it; two lines are logged."""
    async with receiving(status, status, 204) as receiver:
        webhook = make(receiver)
        async with running(webhook):
            webhook.offer(change(0))
            webhook.offer(change(1))
            await until(lambda: not len(webhook))
    assert [0.0, 0.0, 0.0, 1.0] == [
        json.loads(body)["data"]["seconds"] - 60.25 for body in receiver.bodies
    ]
    texts = [record.getMessage() for record in caplog.records if record.name.endswith("webhook")]
    assert 2 == len(texts)
    assert f"answers with {status}" in texts[0]
    assert "takes alerts again" in texts[1]


async def test_pauses_grow_and_end(caplog: pytest.LogCaptureFixture) -> None:
    """After the last try an alert is given up, the next is tried, and how many were lost is told."""
    async with receiving(*[500] * 4, 200) as receiver:
        webhook = make(receiver)
        async with running(webhook):
            webhook.offer(change(0))
            webhook.offer(change(1))
            await until(lambda: not len(webhook))
    assert 5 == len(receiver)
    assert "1 were not sent" in caplog.records[-1].getMessage()


@pytest.mark.parametrize("status", [302, 307, 308])
async def test_redirects_are_not_followed(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing goes elsewhere or is tried again, and it is said once, with the setting's name."""
    async with receiving(status) as receiver:
        webhook = make(receiver)
        async with running(webhook):
            for number in range(5):
                webhook.offer(change(number))
            await until(lambda: not len(webhook))
    assert (5, 0) == (len(receiver), receiver.elsewhere)
    texts = [record.getMessage() for record in caplog.records if "redirect" in record.getMessage()]
    assert 1 == len(texts)
    assert texts[0].startswith("webhook_url: http://127.0.0.1:")


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_a_refusal_is_final(status: int) -> None:
    """What no further try would change is not tried again."""
    async with receiving(status) as receiver:
        webhook = make(receiver)
        async with running(webhook):
            webhook.offer(change(0))
            webhook.offer(change(1))
            await until(lambda: not len(webhook))
    assert 2 == len(receiver)


async def test_a_receiver_that_hangs_costs_one_try(caplog: pytest.LogCaptureFixture) -> None:
    """A try ends after its time, and the next one may do better."""
    hung = asyncio.Event()
    calls = 0

    async def take(_request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        if calls == 1:
            await hung.wait()
        return web.Response()

    async with receiving(take=take) as receiver:
        webhook = make(receiver, try_seconds=0.2)
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: not len(webhook))
        hung.set()
    assert 2 == calls
    assert "doesn't answer within 0.2 s" in caplog.records[0].getMessage()


async def test_a_huge_answer_is_not_read() -> None:
    """Of an answer without an end its first line is enough."""
    sent = 0

    async def take(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 30:
                await response.write(b"x" * (1 << 16))
                sent += 1 << 16
        return response

    async with receiving(take=take) as receiver:
        webhook = make(receiver)
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: not len(webhook))
    assert sent < 1 << 25


async def raw_server(answer: bytes) -> asyncio.Server:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closes the connection"),
        (b"SMTP ready\r\n\r\n", "can't be sent to"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 50_000 + b"\r\n\r\n", "can't be sent to"),
    ],
    ids=["nothing", "no-http", "long-header"],
)
async def test_a_server_that_speaks_no_http(
    answer: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said what is wrong, and none of what was answered."""
    async with await raw_server(answer) as server:
        webhook = Webhook(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", SECRET)
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: caplog.records)
    assert words in caplog.records[0].getMessage()
    assert "xxx" not in caplog.text
    assert "SMTP" not in caplog.text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:1/hunter2", "http://127.0.0.1:1 can't be reached"),
        ("http://no-such-host.invalid/hunter2", "http://no-such-host.invalid can't be found"),
        ("http://[::1]:1/hunter2", "http://[::1]:1 can't be reached"),
        (f"http://{'a' * 64}.example/", "can't be"),
    ],
)
async def test_a_wrong_url_is_told(url: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody there, and no such name: each in words, once."""
    webhook = Webhook(url, SECRET, pauses=(0.01,) * 50)
    async with running(webhook):
        webhook.offer(change())
        await until(lambda: caplog.records)
        await asyncio.sleep(0.1)
    assert words in caplog.records[0].getMessage()
    assert 1 == sum("can't be" in record.getMessage() for record in caplog.records)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A certificate that nobody trusts."""
    directory: Path = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *names], cwd=directory, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context


async def test_a_certificate_that_nobody_signed(
    tls: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent to whom the certificate doesn't prove to be the one."""
    async with receiving(tls=tls) as receiver:
        webhook = Webhook(f"https://{receiver.url}", SECRET)
        async with running(webhook):
            webhook.offer(change())
            await until(lambda: caplog.records)
    assert 0 == len(receiver)
    assert "certificate that is not accepted (self-signed certificate)" in caplog.records[0].getMessage()


async def test_the_queue_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Of more alerts than may wait the newest stay, and that some were lost is said."""
    async with receiving() as receiver:
        webhook = make(receiver)
        for number in range(MOST_WAITING + 7):
            webhook.offer(change(number))
        assert MOST_WAITING == len(webhook)
        async with running(webhook):
            await until(lambda: not len(webhook))
    assert 7.0 == json.loads(receiver.bodies[0])["data"]["seconds"] - 60.25
    assert "given up" in caplog.records[0].getMessage()


async def test_the_end_is_quick_and_tries_once_more() -> None:
    """What waits when the service ends is sent if that takes no time, and else left."""
    async with receiving(500, 200) as receiver:
        webhook = make(receiver, pauses=(600.0,))
        async with running(webhook):
            webhook.offer(change(0))
            webhook.offer(change(1))
            await until(lambda: len(receiver))
        assert [0.0, 0.0, 1.0] == [
            json.loads(body)["data"]["seconds"] - 60.25 for body in receiver.bodies
        ]
    hung = asyncio.Event()

    async def take(_request: web.Request) -> web.StreamResponse:
        hung.set()
        await asyncio.sleep(60.0)
        return web.Response()

    async with receiving(take=take) as receiver:
        webhook = make(receiver)
        async with running(webhook) as task:
            webhook.offer(change())
            await hung.wait()
            began = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            assert time.monotonic() - began < TRY_SECONDS / 2


def test_changes_are_logged_by_rule_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A line for each change: the rule, how long and how bad; grave ones as errors; no path."""
    full = Alert("full", "busy", "critical", 1e9, 0.97, 0.9)
    for each in (change(), change(began=False), change(alert=full)):
        log_change(each)
    for kind in ("oldest", "error", "restart"):
        log_change(change(alert=Alert(kind, kind, "warning", 1e9)))
    texts = [record.getMessage() for record in caplog.records]
    assert "alert stuck began: requests took up to 62 s, far longer than usual; now 2" == texts[0]
    assert texts[1].startswith("alert stuck is over after 60 s: ")
    assert "alert full began: up to 97 % of the workers were busy" == texts[2]
    info, warning, error = logging.INFO, logging.WARNING, logging.ERROR
    levels = [record.levelno for record in caplog.records]
    assert [warning, warning, error, warning, warning, info] == levels


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("webhook_url", value) for value in (
            f"ftp://x/{HIDDEN}", HIDDEN, f"//x/{HIDDEN}", f"http:///{HIDDEN}", f"http://x:99999/{HIDDEN}",
            f"http://x/{HIDDEN} y", f"http://x/{HIDDEN}\n", f"http://x/{HIDDEN}" + "x" * 2000,
            f"http://[x/{HIDDEN}", f"http://x:0/{HIDDEN}", f"https://ü/{HIDDEN}", 5, ["http://x"],
        )),
        *(("webhook_secret", value) for value in (
            HIDDEN, f"whsec_{HIDDEN}", SECRET[:-9], "A" * 92, f"v1,{SECRET}", 5, f"{SECRET}\u00fc",
        )),
        *(("alerts", value) for value in (HIDDEN, "{}", "[", 5, {"a": HIDDEN}, None, [HIDDEN])),
    ],
)  # fmt: skip
def test_bad_settings_are_named_and_not_repeated(name: str, value: object) -> None:
    """The error says what is accepted, and nothing of what may be a secret."""
    with pytest.raises(SettingsError, match=name) as caught:
        Settings.load({}, **{name: value})
    assert HIDDEN not in str(caught.value)
    assert SECRET[:20] not in str(caught.value)
    if isinstance(value, str):
        with pytest.raises(SettingsError, match=f"the environment variable .*{name.upper()}") as caught:
            Settings.load({f"MOD_WSGI_DASHBOARD_{name.upper()}": value})
        assert HIDDEN not in str(caught.value)


def test_secrets_are_in_no_repr() -> None:
    """Whoever prints the settings shows neither the URL nor the secret."""
    settings = Settings(webhook_url=f"https://x/{HIDDEN}", webhook_secret=SECRET)
    assert (f"https://x/{HIDDEN}", SECRET) == (settings.webhook_url, settings.webhook_secret)
    assert HIDDEN not in repr(settings)
    assert SECRET not in repr(settings)


def test_rules_come_from_files_environment_and_keywords(tmp_path: Path) -> None:
    """A list of tables, JSON, or a list of dicts say the same; `off` says that there are none."""
    fields = {"name": "slow", "when": "oldest", "above": 20.0, "for": 5.0, "severity": "critical"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    config = tmp_path / "dashboard.toml"
    config.write_text("\n".join(["[[alerts]]", *lines]), encoding="utf-8")
    found = [
        Settings.load({}, alerts=[fields]).alerts,
        Settings.load({"MOD_WSGI_DASHBOARD_ALERTS": json.dumps([fields])}).alerts,
        Settings.load({"MOD_WSGI_DASHBOARD_CONFIG": str(config)}).alerts,
    ]
    assert 1 == len(set(found))
    assert 20.0 == found[0][0].above
    assert () == Settings.load({"MOD_WSGI_DASHBOARD_ALERTS": "off"}).alerts
    assert "5 rules" == next(default for name, default, *_ in describe() if name == "alerts")
