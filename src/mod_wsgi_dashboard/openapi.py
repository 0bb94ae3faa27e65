"""The description of the API for programs: an OpenAPI 3.1 document.

Owns the route `/api/v1/openapi.json` and what it says. It must not answer anything else; limits and
names come from the modules that hold them, types of answers from the structs that are encoded, where
there are any. What has none is in `answers`.

A test holds the document to the application: same routes, and nothing that a fuzzer finds is
undocumented.

https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import msgspec
from aiohttp import web

from mod_wsgi_dashboard import __version__, answers, drain, exposition, fields, history_api
from mod_wsgi_dashboard.core import history, wire

Json = dict[str, Any]

_PROBLEM = "application/problem+json"
_JSON = "application/json"
_SCHEMAS = "#/components/schemas/"


_ANSWERS = (
    *(answers.Problem, answers.NotDrained, drain.Drained, answers.Health, answers.Ready),
    *(answers.Recording, answers.History, answers.Concurrency, answers.States),
    *(answers.Events, answers.Bookmark, answers.Doctor),
)
_SAMPLES = (wire.Sample, wire.Failure)


def _components() -> Json:
    _, schemas = msgspec.json.schema_components((*_ANSWERS, *_SAMPLES), ref_template=_SCHEMAS + "{name}")
    _, of_samples = msgspec.json.schema_components(_SAMPLES, ref_template=_SCHEMAS + "{name}Part")
    parts = {f"{name}Part": _part(schema) for name, schema in of_samples.items()}
    return {**schemas, **parts}


def _part(schema: Json) -> Json:
    """Return the schema of what may be left of an object when `fields` names some of its members."""
    part = copy.deepcopy(schema)
    part.pop("required", None)
    part["title"] = f"Part of {schema.get('title', 'it')}"
    return part


def _ref(name: str) -> Json:
    return {"$ref": _SCHEMAS + name}


def _of(*names: str) -> Json:
    refs = [_ref(name) for name in names]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


# Parameters


def _query(name: str, schema: Json, description: str, *, example: object = None) -> Json:
    parameter: Json = {"name": name, "in": "query", "description": description, "schema": schema}
    if schema.get("type") == "array":
        # One text, with commas.
        parameter |= {"style": "form", "explode": False}
    return parameter if example is None else {**parameter, "example": example}


def _instant(name: str, description: str, *, example: float) -> Json:
    schema = {"type": "number", "minimum": 0, "maximum": history_api.LAST_INSTANT}
    return _query(name, schema, f"{description} Epoch seconds.", example=example)


def _count(name: str, default: int, most: int, description: str) -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return _query(name, schema, description)


def _range(seconds: float) -> list[Json]:
    since = f"Begin of the range, {seconds:.0f} s before its end by default, at most 91 days before it."
    return [
        _instant("from", since, example=1790000000.0),
        _instant("to", "End of the range, by default now.", example=1790000600.0),
    ]


def _names(known: fields.Tree, above: str = "") -> list[str]:
    found = []
    for name, below in known.items():
        found.append(above + name)
        found += _names(below or {}, f"{above}{name}.")
    return found


def _fields() -> Json:
    known = {"type": "string", "enum": _names(fields.MEMBERS)}
    schema = {"type": "array", "items": known, "minItems": 1, "maxItems": fields.MOST_NAMES}
    text = (
        "Members that are wanted, instead of all, separated by commas. Through lists a name leads into"
        " each entry. While the scoreboard can't be read, `error` is there in any case."
    )
    return _query("fields", schema, text, example=["rates.busy", "capacity", "viewers.free"])


def _format() -> Json:
    return _query("format", {"enum": ["json", "csv"], "default": "json"}, "Form of the answer.")


# Answers


def _answer(description: str, schema: Json, *, media: str = _JSON, headers: Json | None = None) -> Json:
    answer: Json = {"description": description, "content": {media: {"schema": schema}}}
    return answer if headers is None else {**answer, "headers": headers}


def _header(description: str, schema: Json) -> Json:
    return {"description": description, "schema": schema}


_RETRY_AFTER = {
    "Retry-After": _header("Seconds after which to ask again.", {"type": "integer", "minimum": 1})
}
_ETAG = {"ETag": _header("Differs from tick to tick.", {"type": "string"})}

_WRONG = {
    400: "A parameter, or X-Forwarded-Prefix, is not accepted.",
    403: "The Host or the Origin is another site's.",
    404: "There is nothing of it: nothing is recorded, or nothing was at that time.",
    413: "The file would be too large: ask for less time.",
    415: "The body is not JSON.",
    500: "The dashboard failed.",
    503: "It can't be read now: ask again after Retry-After, where there is one.",
}


def _problems(*statuses: int, **other: str) -> Json:
    """Return answers with problem details; `other` are descriptions of their own, as `s404`."""
    texts = {int(name[1:]): text for name, text in other.items()}
    known = {400: _WRONG[400], 403: _WRONG[403], 500: _WRONG[500]}
    known |= {status: _WRONG[status] for status in statuses} | texts
    return {
        str(status): _answer(
            text, _ref("Problem"), media=_PROBLEM, headers=_RETRY_AFTER if status == 503 else None
        )
        for status, text in sorted(known.items())
    }


def _get(
    name: str, tag: str, text: str, responses: Json, parameters: list[Json] | None = None
) -> dict[str, Json]:
    operation = {"operationId": name, "tags": [tag], "summary": text, "responses": responses}
    return {"get": {**operation, "parameters": parameters} if parameters else operation}


def _table(name: str) -> Json:
    answer = _answer("Found.", _ref(name))
    answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    return answer


def _now() -> Json:
    headers = {**_ETAG, **_RETRY_AFTER}
    ok = _answer(
        "The sample. With Retry-After, no worker of Apache can be spared for a WebSocket.",
        _of("Sample", "SamplePart"),
        headers=headers,
    )
    # What the example of the parameter gives.
    ok["content"][_JSON]["example"] = {
        "rates": {"busy": 3},
        "capacity": {
            "slots": 64,
            "serving": 48,
            "threads_per_process": 16,
            "max_request_workers": 64,
            "extended_status": True,
        },
        "viewers": {"free": 61},
    }
    off = _answer("The scoreboard can't be read.", _of("Failure", "FailurePart"), headers=headers)
    off["content"][_PROBLEM] = {"schema": _ref("Problem")}
    unchanged = {"description": "The tick is the one of If-None-Match.", "headers": headers}
    etag = {
        "name": "If-None-Match",
        "in": "header",
        "description": "The ETag of the last answer.",
        "schema": {"type": "string"},
    }
    responses = {"200": ok, "304": unchanged, **_problems(), "503": off}
    return _get("snapshot", "now", "The current sample", responses, [_fields(), etag])


def _numbers() -> Json:
    """Return the paths that answer numbers of the recording."""
    series = {"type": "array", "minItems": 1, "items": {"enum": list(history.SERIES)}}
    step = {"type": "number", "exclusiveMinimum": 0, "maximum": history_api.LONGEST}
    most, points = history_api.MOST_POINTS, history_api.DEFAULT_POINTS
    return {
        "recording": _get(
            *("recording", "recorded", "How the recording stands, and what it holds"),
            {"200": _answer("How it stands.", _ref("Recording")), **_problems()},
        ),
        "history": _get(
            *("history", "recorded", "Series of numbers, down-sampled"),
            {"200": _table("History"), **_problems(404, 503)},
            [
                *_range(history_api.DEFAULT_SECONDS),
                _count("points", points, most, "At most so many buckets."),
                _query("step", step, "Seconds of a bucket, instead of `points`.", example=60),
                _query("series", series, "By default all.", example=["busy", "workers"]),
                _format(),
            ],
        ),
        "concurrency": _get(
            *("concurrency", "recorded", "For how long how many workers were held"),
            {"200": _answer("Levels.", _ref("Concurrency")), **_problems(404, 503)},
            _range(history.DAY),
        ),
    }


def _samples() -> Json:
    """Return the paths that answer samples of the recording."""
    most, points = history_api.MOST_COLUMNS, history_api.DEFAULT_POINTS
    lines, file = {"type": "string"}, {"type": "string", "format": "binary"}
    sample = _of("Sample", "Failure", "SamplePart", "FailurePart")
    wrong = _problems(404, 503)
    return {
        "grid": _get(
            *("grid", "recorded", "The newest recorded sample at or before an instant"),
            {"200": _answer("The sample.", sample), **wrong},
            [_instant("at", "By default the newest of all.", example=1790000100.5), _fields()],
        ),
        "frames": _get(
            *("frames", "recorded", "Recorded frames, as docs/protocol.md says"),
            {"200": _answer("One a line.", lines, media="application/x-ndjson"), **wrong},
            _range(60.0),
        ),
        "states": _get(
            *("states", "recorded", "The letters of all slots over time"),
            {"200": _answer("Letters.", _ref("States")), **wrong},
            [
                *_range(history_api.DEFAULT_SECONDS),
                _count("points", points, most, "At most so many instants."),
            ],
        ),
        "export": _get(
            *("export", "recorded", "An incident file of a range"),
            {
                "200": _answer("The file.", file, media="application/gzip"),
                **_problems(404, 413, 503),
            },
            _range(history_api.DEFAULT_SECONDS),
        ),
    }


def _events() -> Json:
    kinds = {
        "type": "array",
        "minItems": 1,
        "maxItems": history_api.MOST_KINDS,
        "items": {"type": "string", "pattern": "^[a-z][a-z-]{0,39}$"},
    }
    most, limit = history_api.MOST_EVENTS, history_api.DEFAULT_EVENTS
    parameters = [
        *_range(history_api.LONGEST),
        _count("limit", limit, most, "At most so many, the newest."),
        _query("kind", kinds, "Kinds of events, by default all.", example=["graceful"]),
        _format(),
    ]
    responses = {"200": _table("Events"), **_problems(404, 503)}
    return {"events": _get("events", "recorded", "What happened", responses, parameters)}


def _bookmarks() -> Json:
    body = {
        "required": True,
        "content": {
            _JSON: {"schema": _ref("Bookmark"), "example": {"text": "deploy 4711", "at": 1790000000.0}}
        },
    }
    foreign = "A page of another site asks, or this is a replay, which can't be changed."
    number = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "Of the bookmark's event.",
        "schema": {
            "type": "integer",
            "minimum": 0,
            "maximum": 10**history_api.NUMBER_LENGTH - 1,
        },
    }
    gone = {"description": "It is removed."}
    return {
        "bookmarks": {
            "post": {
                "operationId": "addBookmark",
                "tags": ["recorded"],
                "summary": "Note something at an instant",
                "requestBody": body,
                "responses": {
                    "201": _answer("The bookmark, an event.", _ref("Event")),
                    **_problems(404, 415, 503, s403=foreign),
                },
            }
        },
        "bookmarks/{id}": {
            "delete": {
                "operationId": "removeBookmark",
                "tags": ["recorded"],
                "summary": "Remove a bookmark",
                "parameters": [number],
                "responses": {"204": gone, **_problems(404, 503, s403=foreign)},
            }
        },
    }


def _health() -> Json:
    """Return the paths for balancers, hooks and scrapers."""
    metrics = {
        "description": "The form that Accept prefers.",
        "content": {
            form.content_type.partition(";")[0]: {"schema": {"type": "string"}}
            for form in (exposition.TEXT, exposition.OPENMETRICS)
        },
    }
    unknown = "There is no form that Accept names."
    busy = _answer(
        "Others' requests are at work, or the scoreboard can't be read.",
        _of("NotDrained", "Problem"),
        media=_PROBLEM,
        headers=_RETRY_AFTER,
    )
    drained = _answer("Only the dashboard is at work.", _ref("Drained"))
    drained["content"][_JSON]["example"] = {
        "status": "drained", "at": 1790000000.25, "busy": 2, "own": 2, "others": 0, "old_generation": 0,
        "keepalive": 0, "oldest_seconds": None,
    }  # fmt: skip
    replay = "This is a replay: there is no Apache."
    return {
        "/metrics": _get(
            *("metrics", "operation", "For Prometheus"),
            {"200": metrics, **_problems(s404=replay, s406=unknown)},
        ),
        "/drain": _get(
            *("drain", "operation", "Whether only the dashboard itself is at work"),
            {"200": drained, **_problems(s404=replay), "503": busy},
        ),
        "/healthz": _get(
            *("healthz", "operation", "Whether the process lives"),
            {"200": _answer("It lives.", _ref("Health")), **_problems()},
        ),
        "/readyz": _get(
            *("readyz", "operation", "Whether the scoreboard was read lately"),
            {"200": _answer("It was.", _ref("Ready")), **_problems(503)},
        ),
    }


@cache
def document() -> Json:
    """Return the document."""
    this = _answer("This document.", {"type": "object"})
    paths = {
        "snapshot": _now(),
        "doctor": _get(
            *("doctor", "now", "What the dashboard sees of its own set-up"),
            {"200": _answer("Findings, the worst first.", _ref("Doctor")), **_problems()},
        ),
        "openapi.json": _get(*("openapi", "now", "This document"), {"200": this, **_problems()}),
        **_numbers(),
        **_samples(),
        **_events(),
        **_bookmarks(),
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "mod_wsgi-dashboard",
            "version": __version__,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            "description": "The JSON of the dashboard for Apache httpd + mod_wsgi. Parameters that are"
            " not named here are passed over; members may be added to every object.",
        },
        # From this document's own address to the mount.
        "servers": [{"url": "../.."}],
        "paths": {**{f"/api/v1/{name}": path for name, path in paths.items()}, **_health()},
        "components": {"schemas": _components()},
    }


@cache
def _body() -> bytes:
    return msgspec.json.encode(document())


def routes() -> list[web.RouteDef]:
    """Return the route of the document."""
    return [web.get("/api/v1/openapi.json", _answer_document)]


async def _answer_document(_request: web.Request) -> web.Response:
    return web.Response(body=_body(), content_type="application/json")
