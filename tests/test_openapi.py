"""The OpenAPI document and the API: each says what the other does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests
import schemathesis
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mod_wsgi_dashboard import drain, fields, openapi
from mod_wsgi_dashboard.app import create_app, create_replay
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from tests.recordings import play, record
from tests.served import FixedSource, serving

# What the document is about, of all that is served.
DESCRIBED = ("/api/v1/", "/metrics", "/drain", "/healthz", "/readyz")

# Which an answer may have though all that was asked for is fine by itself: a range that ends before it
# begins, a step with too many points, an instant too long ago for a bookmark, a note of blanks.
TOGETHER = tuple(
    f"/api/v1/{name}"
    for name in ("history", "states", "frames", "events", "concurrency", "export", "bookmarks")
)

CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {
            "deterministic": True,
            "max-examples": 8,
            "no-shrink": True,
            # They are passed over, and a test of its own says so.
            "allow-extra-parameters": False,
        },
        # A busy server answers /drain with 503, and there is nothing to be read at first.
        "checks": {
            "not_a_server_error": {"expected-statuses": ["2XX", "4XX", 503]},
            "positive_data_acceptance": {"expected-statuses": ["2XX", 304, 403, 404, 503]},
            "negative_data_rejection": {"expected-statuses": ["4XX", 503]},
        },
    }
)


def routes(app: web.Application) -> set[tuple[str, str]]:
    """Return method and path of what the document is about."""
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        if route.resource.canonical.startswith(DESCRIBED) and route.method != "HEAD":
            found.add((route.method, route.resource.canonical))
    return found


def test_the_document_has_every_route_and_no_other() -> None:
    """Paths and methods are those of the application, both ways."""
    app = create_app(Settings(), SimulatorSource(Simulator()))
    described = {
        (method.upper(), path) for path, item in openapi.document()["paths"].items() for method in item
    }
    assert routes(app) == described


def test_operations_can_be_told_apart() -> None:
    """Each operation has a name of its own, which generated clients take for their functions."""
    names = [operation["operationId"] for _, operation in operations()]
    assert sorted(set(names)) == sorted(names)


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in openapi.document()["paths"].items():
        for operation in item.values():
            yield path, operation


def validator(schema: dict[str, Any]) -> Any:
    """Return a validator of a schema that refers to the document's components."""
    return jsonschema_rs.Draft202012Validator({**schema, "components": openapi.document()["components"]})


def test_schemas_are_schemas() -> None:
    """Each component is a JSON Schema, and every reference leads to one."""
    schemas = openapi.document()["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )
    text = json.dumps(openapi.document())
    names = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(schemas)
    assert set() == {name for name in schemas if name not in names}, "nothing refers to these"


def test_examples_are_examples() -> None:
    """Each example fits its schema."""
    count = 0
    for _, operation in operations():
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        media = [each for content in contents for each in content.get("content", {}).values()]
        for described in (*operation.get("parameters", []), *media):
            if "example" in described:
                validator(described["schema"]).validate(described["example"])
                count += 1
    assert count > 20


async def test_the_document_is_served() -> None:
    """The address answers the document; its server's address leads from there to the mount."""
    async with (
        serving() as served,
        ClientSession() as session,
        session.get(f"{served.url}/api/v1/openapi.json") as answer,
    ):
        assert openapi.document() == await answer.json()
        server = openapi.document()["servers"][0]["url"]
        assert f"{served.url}/" == str(answer.url.join(type(answer.url)(server)))


async def test_what_cannot_be_read_is_as_described() -> None:
    """While the scoreboard can't be read, each 503 has a body that the document names."""
    source = FixedSource()
    source.metrics = None
    count = 0
    async with serving(source) as served, ClientSession(served.url) as session:
        for path, item in openapi.document()["paths"].items():
            if "get" not in item:
                continue
            async with session.get(path) as answer:
                if answer.status != 503:
                    continue
                described = item["get"]["responses"]["503"]["content"][answer.content_type]
                validator(described["schema"]).validate(await answer.json())
                count += 1
        async with session.get("/api/v1/snapshot?fields=rates.busy") as answer:
            assert (503, {"error"}) == (answer.status, set(await answer.json()))
    assert count >= 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/snapshot", 404),
        ("GET", "/<script>alert(1)</script>", 404),
        ("GET", "/api/v1/bookmarks/", 404),
        ("GET", "/api/v1/bookmarks/1", 405),
        ("PUT", "/api/v1/snapshot", 405),
        ("POST", "/drain", 405),
    ],
)
async def test_errors_are_problems(method: str, path: str, status: int) -> None:
    """Whatever is asked for that there is not, is refused as RFC 9457 has it, and not repeated."""
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        text = (await reader.read()).decode()
        writer.close()
    head, _, body = text.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "<script" not in text
    assert "Content-Type: application/problem+json" in head
    assert "Content-Security-Policy" in head
    assert {"status", "detail"} == set(json.loads(body))
    assert ("Allow:" in head) == (status == 405)


async def test_a_sub_application_has_problems_of_its_own() -> None:
    """Below its mount its errors are problems; the rest is the outer application's."""
    outer = web.Application()
    outer.add_subapp("/dash", create_app(Settings(record="off"), FixedSource()))
    async with TestClient(TestServer(outer)) as client:
        for path, status in (("/dash/nothing", 404), ("/dash/drain", 503)):
            async with client.get(path) as answer:
                assert (status, "application/problem+json") == (answer.status, answer.content_type)
        async with client.put("/dash/drain") as answer:
            assert (405, "GET,HEAD") == (answer.status, answer.headers["Allow"])


async def test_a_fault_of_our_own_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that fails is answered with 500 and logged with its traceback; nothing of it is told."""
    async with serving() as served, ClientSession(served.url) as session:
        monkeypatch.setattr(served.dashboard, "refresh", lambda: {"a": 1}["secret"])
        async with session.get("/api/v1/snapshot") as answer:
            found, text = (answer.status, answer.content_type), await answer.text()
        async with session.get("/healthz") as answer:
            assert 200 == answer.status
    assert ((500, "application/problem+json"), False) == (found, "secret" in text)
    (logged,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert ("a request could not be answered", True) == (logged.getMessage(), bool(logged.exc_info))


def test_the_page_names_what_there_is() -> None:
    """Addresses in docs/api.md are in the document, and its fields are members."""
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"http://127\.0\.0\.1:8765(/[\w./]+)", page))
    assert {"/api/v1/openapi.json", "/api/v1/snapshot", "/drain"} == named
    assert named <= set(openapi.document()["paths"])
    wanted = fields.parse(re.findall(r"\?fields=([\w.,]+)", page)[0])
    example = re.findall(r'^    (\{"rates.*\})$', page, re.M)[0]
    assert wanted is not None
    assert wanted.keys() == json.loads(example).keys()
    answer = "".join(re.findall(r'^    (\{"at".*)\n    (.*"drained"\})$', page, re.M)[0])
    assert drain.Drained(**json.loads(answer)).drained


class Background:
    """An application that is served by an event loop in a thread."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])
        self.url = ""

    async def _serve(self) -> None:
        runner = make_runner(self._app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(10)
        return self.url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A dashboard that records, one that doesn't, and one that plays a recording."""
    folder = tmp_path_factory.mktemp("openapi")
    record(folder / "replay.sqlite3", play(range(60)))
    with contextlib.ExitStack() as stack:
        yield {
            "recording": stack.enter_context(Background(live(folder, record="full"))),
            "off": stack.enter_context(Background(live(folder, record="off"))),
            "replay": stack.enter_context(
                Background(create_replay(Settings(), folder / "replay.sqlite3", "i.gz"))
            ),
        }


def numbers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, name and schema of each parameter in a query that is a number."""
    for path, operation in operations():
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query" and parameter["schema"].get("type") in ("integer", "number"):
                yield path, parameter["name"], parameter["schema"]


def test_limits_are_those_of_the_code(servers: dict[str, str]) -> None:
    """Of each number the least and the most are accepted, and nothing below or above."""
    count = 0
    with requests.Session() as session:
        for path, name, schema in numbers():
            low = schema.get("minimum", schema.get("exclusiveMinimum"))
            least = low if "minimum" in schema else low + 10_000
            cases = [(least, True), (schema["maximum"], True), (low - 1, False)]
            for value, good in [*cases, (schema["maximum"] + 1, False)]:
                # A range must not end before it begins.
                query = {name: value, **({"to": value} if name == "from" else {})}
                answer = session.get(servers["replay"] + path, params=query, timeout=10)
                assert (answer.status_code != 400) == good, (path, query, answer.text)
                count += 1
    assert count >= 60


def live(folder: Path, **options: Any) -> web.Application:
    source = SimulatorSource(Simulator(scenario="burst", slots=16))
    return create_app(Settings(interval=0.2, state_dir=str(folder), **options), source)


schema = schemathesis.openapi.from_dict(openapi.document(), config=CONFIG)


@schema.parametrize()
@settings(
    max_examples=8,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_a_fuzzer_finds_nothing(case: schemathesis.Case[Any], servers: dict[str, str]) -> None:
    """Whatever is asked, an answer has a status, headers, a type and a body that the document names.

    What is not accepted is refused, what is accepted is answered, and other methods are a 405; with a
    recording, without one, and in a replay.
    """
    together = case.path.startswith(TOGETHER)
    excluded: list[schemathesis.CheckFunction] = [positive_data_acceptance] if together else []
    for url in servers.values():
        with requests.Session() as session:
            case.call_and_validate(base_url=url, session=session, excluded_checks=excluded, timeout=10)
