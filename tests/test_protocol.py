"""The protocol's page and its JSON Schema say what the code does.

`python -m tests.test_protocol` writes docs/protocol.schema.json anew.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from aiohttp import ClientSession, WSMsgType
from hypothesis import given, settings

from mod_wsgi_dashboard.app import PACES
from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from mod_wsgi_dashboard.simulator import SCENARIOS, Simulator
from tests.boards import histories, samples
from tests.conftest import CAPTURES, load_capture
from tests.served import FixedSource, serving

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")
SCHEMA = DOCS / "protocol.schema.json"

Latest = wire.Sample | wire.Failure


def blocks(language: str) -> list[str]:
    """Return the page's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


AT = 1_790_000_000.0


def worker(
    number: int, letter: str, count: int, start: float, stop: float, request: str
) -> dict[str, Any]:
    return {
        "thread_num": number,
        "generation": 1 if request else 0,
        "status": letter,
        "access_count": count,
        "bytes_served": 4000 * count,
        "start_time": start,
        "stop_time": stop,
        "last_used": max(start, stop),
        "client": "192.0.2.7" if request else "",
        "request": request,
        "vhost": "site.example" if request else "",
    }


def board(now: float, *workers: dict[str, Any]) -> dict[str, Any]:
    """Return a scoreboard of one process with two workers, and one empty place."""
    places = [(0, 4711, 1, list(workers)), (1, 0, 0, [worker(0, ".", 0, 0.0, 0.0, "")] * 2)]
    return {
        "server_limit": 2,
        "thread_limit": 2,
        "running_generation": 1,
        "restart_time": AT - 900.0,
        "current_time": now,
        "running_time": int(now - AT) + 900,
        "processes": [
            {"process_num": n, "pid": pid, "generation": g, "quiescing": False, "workers": slots}
            for n, pid, g, slots in places
        ],
    }


def example_frames() -> Iterator[dict[str, Any]]:
    """Make the page's frames: a key, a delta and an error, one second apart."""
    one, two = "GET /report HTTP/1.1", "GET / HTTP/1.1"
    boards = [
        board(
            AT, worker(0, "W", 41, AT - 2.5, AT - 9.0, one), worker(1, "_", 17, AT - 4.0, AT - 3.75, two)
        ),
        board(
            AT + 1,
            worker(0, "_", 42, AT - 2.5, AT + 0.5, one),
            worker(1, "W", 17, AT + 0.75, AT - 3.75, "POST /login HTTP/1.1"),
        ),
    ]
    reader, encoder, previous = Reader(Redactor(enabled=True)), Encoder(), None
    viewers = wire.ViewerCount(1, 1, holding=1, free=1, reserve=0)
    for tick, metrics in enumerate(boards, start=7):
        scoreboard, at = reader.read(metrics), AT + tick - 7 + 0.0402
        previous = rates.read(scoreboard, previous=previous, elapsed=1.0)
        encoder.advance(
            wire.Sample(
                tick, at, 1.0, scoreboard, previous.rates, previous.capacity, viewers, notices=[]
            )
        )
        yield json.loads(encoder.delta())
    error = "Apache's scoreboard can't be read: server metrics are off for this daemon process group."
    encoder.advance(wire.Failure(9, AT + 2.0402, 1.0, error, viewers, []))
    yield json.loads(encoder.delta())


def test_the_page_s_frames_are_the_encoder_s() -> None:
    """The three JSON blocks are what the encoder makes of one small scoreboard, value for value."""
    assert list(example_frames()) == [json.loads(block) for block in blocks("json")]


@pytest.mark.parametrize(
    "struct",
    [
        *(wire.KeyFrame, wire.DeltaFrame, wire.ErrorFrame, wire.Processes, wire.Tables, wire.Slots),
        *(wire.Sample, wire.Failure, wire.ViewerCount, rates.Rates, rates.VhostRates, rates.Capacity),
        Alert,
    ],
)
def test_the_page_explains_each_member(struct: type[msgspec.Struct]) -> None:
    """Each member of what is sent stands in the page's text, not in its examples alone."""
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S)
    assert [] == [name for name in struct.__struct_fields__ if f"`{name}`" not in text]


def page_s_decode() -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
    """Return the `decode` that the page prints."""
    [source] = blocks("python")
    namespace: dict[str, Any] = {}
    exec(compile(source, "docs/protocol.md", "exec"), namespace)
    decode: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = namespace["decode"]
    return decode


def slots_of(latest: Latest | None) -> list[dict[str, Any]] | None:
    """Return a decoded sample's slots in the form of the page's."""
    if not isinstance(latest, wire.Sample):
        return None
    slots = [
        msgspec.structs.asdict(slot) for process in latest.snapshot.processes for slot in process.workers
    ]
    for slot in slots:
        for name in ("start_time", "stop_time", "last_used"):
            slot[name] = round(slot[name] * 1000) or None
    return slots


def check_decode(history: list[Any], *, detail: wire.Detail = "full") -> None:
    """Hold the page's `decode` to the decoder, over every third frame missed."""
    decode, encoder, decoder = page_s_decode(), Encoder(detail=detail), Decoder()
    held: dict[str, Any] = {}
    for number, latest in enumerate(samples(history)):
        encoder.advance(latest)
        if number % 3 == 2:
            continue
        text = encoder.delta()
        try:
            expected = decoder.decode(text)
        except ChainBroken:
            assert {} == decode(json.loads(text), held)
            text = encoder.key()
            expected = decoder.decode(text)
        held = decode(json.loads(text), held)
        assert slots_of(expected) == held.get("board")
        if isinstance(expected, wire.Sample):
            members = msgspec.to_builtins(expected) | msgspec.to_builtins(expected.snapshot)
            shared = held.keys() & members.keys() - {"processes"}
            members.setdefault("alerts", [])
            shared.add("alerts")
            assert {"tick", "rates", "viewers", "notices", "running_time"} <= shared
            assert {name: members[name] for name in shared} == {name: held[name] for name in shared}
            pids = [process.pid for process in expected.snapshot.processes]
            assert pids == held["processes"]["pid"]
        assert held == decode({"frame": "weather", "sun": True}, held)


@settings(deadline=None)
@given(histories())
def test_the_page_s_decoder_is_right(history: list[Any]) -> None:
    """Whatever changes, who follows the page holds what the decoder of this package holds."""
    check_decode(history)


@pytest.mark.parametrize("detail", get_args(wire.Detail))
def test_the_page_s_decoder_reads_real_scoreboards(detail: wire.Detail) -> None:
    """Real scoreboards, with tables that fill, in either detail."""
    for name in CAPTURES:
        check_decode(load_capture(name), detail=detail)


def test_the_page_names_what_can_be_asked_for() -> None:
    """The values of `detail` and `every` are the server's."""
    assert f"| `every` | {', '.join(map(str, PACES))} |" in PAGE
    assert f"| `detail` | {', '.join(f'`{name}`' for name in get_args(wire.Detail))} |" in PAGE
    assert f"`{wire.SUBPROTOCOL}`" in PAGE


@pytest.mark.parametrize(("size", "closed"), [(1023, False), (1024, True)])
async def test_long_messages_close_the_connection(size: int, *, closed: bool) -> None:
    """A message of 1,024 bytes is too long, one of a byte less is passed over."""
    async with (
        serving(FixedSource(), interval=0.1) as served,
        ClientSession() as session,
        session.ws_connect(f"{served.url}/ws") as viewer,
    ):
        await viewer.receive()
        await viewer.send_str("x" * size)
        types = [(await viewer.receive()).type for _ in range(4)]
        assert closed == (WSMsgType.CLOSE in types)
        assert viewer.close_code == (1009 if closed else None)


def make_schema() -> dict[str, Any]:
    """Return the JSON Schema of all that is sent and understood."""
    roots = (wire.KeyFrame, wire.DeltaFrame, wire.ErrorFrame, wire.Sample, wire.Failure)
    _, definitions = msgspec.json.schema_components((*roots, wire._Wish), ref_template="#/$defs/{name}")
    definitions["ClientMessage"] = definitions.pop("_Wish") | {
        "title": "ClientMessage",
        "description": "What a client may say: that it needs a key frame.",
    }
    for definition in definitions.values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": wire.SUBPROTOCOL,
        "description": "A message of the server: a frame of the subprotocol, or the plain format."
        " Members and kinds of frames may be added; pass over those that you don't know.",
        "oneOf": [{"$ref": f"#/$defs/{root.__name__}"} for root in roots],
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    return json.dumps(make_schema(), indent=2) + "\n"


def test_the_schema_is_the_code_s() -> None:
    """docs/protocol.schema.json is what the types say; `python -m tests.test_protocol` writes it."""
    assert SCHEMA.read_text(encoding="utf-8") == schema_text()


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_frames_have_the_schema_s_members(scenario: str) -> None:
    """Frames of every scenario have each required member, and none that the schema doesn't know."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    simulator = Simulator(scenario=scenario, slots=50, seed=5, start_at=1e9)
    encoder, less = Encoder(), Encoder(detail="states")
    kinds = {"key": "KeyFrame", "delta": "DeltaFrame", "error": "ErrorFrame"}
    for latest in samples(simulator.server_metrics(1e9 + tick) for tick in range(5)):
        for each in (encoder, less):
            each.advance(latest)
            for text in (each.delta(), each.key()):
                frame = json.loads(text)
                check_against(frame, {"$ref": f"#/$defs/{kinds[frame['frame']]}"}, schema)
        check_against(
            json.loads(wire.encode(latest)), {"$ref": f"#/$defs/{type(latest).__name__}"}, schema
        )
    check_against({"key": True}, {"$ref": "#/$defs/ClientMessage"}, schema)


TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def check_against(value: Any, rule: dict[str, Any], schema: dict[str, Any]) -> None:
    """Hold a value to the schema: those keywords of JSON Schema that it has, and no unknown members."""
    if "$ref" in rule:
        rule = schema["$defs"][rule["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in rule:
        kinds = (
            {"boolean"}
            if isinstance(value, bool)
            else {
                kind for kind, types in TYPES.items() if kind != "boolean" and isinstance(value, types)
            }
        )
        [rule] = [one for one in rule["anyOf"] if one["type"] in kinds]
    assert value in rule.get("enum", [value])
    if "type" not in rule:
        return
    assert isinstance(value, TYPES[rule["type"]])
    assert isinstance(value, bool) == (rule["type"] == "boolean")
    if isinstance(value, dict):
        assert set(rule.get("required", [])) <= value.keys()
        known = rule.get("properties", {})
        assert rule.get("additionalProperties") or value.keys() <= known.keys()
        for name, member in value.items():
            check_against(member, known.get(name) or rule["additionalProperties"], schema)
    elif isinstance(value, list):
        for member in value:
            check_against(member, rule.get("items", {}), schema)
    elif isinstance(value, int | float):
        assert rule.get("minimum", value) <= value <= rule.get("maximum", value)


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
