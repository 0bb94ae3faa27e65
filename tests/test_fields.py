"""Asking for less of a sample: which names there are, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import ClientSession

from mod_wsgi_dashboard import fields
from mod_wsgi_dashboard.core import wire
from tests.recordings import play
from tests.served import serving

(SAMPLE,) = play([0])
WHOLE: dict[str, Any] = json.loads(wire.encode(SAMPLE))


def chosen(text: str, latest: wire.Sample | wire.Failure = SAMPLE) -> Any:
    wanted = fields.parse(text)
    assert wanted is not None
    return json.loads(fields.encode(latest, wanted))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tick", {"tick": 1}),
        ("rates.busy,capacity,viewers.free", {
            "rates": {"busy": WHOLE["rates"]["busy"]},
            "capacity": WHOLE["capacity"],
            "viewers": {"free": None},
        }),
        ("snapshot.processes.pid", {
            "snapshot": {"processes": [{"pid": p["pid"]} for p in WHOLE["snapshot"]["processes"]]}
        }),
        ("rates.vhosts.vhost,rates.states", {
            "rates": {
                "states": WHOLE["rates"]["states"],
                "vhosts": [{"vhost": v["vhost"]} for v in WHOLE["rates"]["vhosts"]],
            }
        }),
        # What is a part of another name changes nothing, whichever comes first; nor does a name twice.
        ("capacity,capacity.slots", {"capacity": WHOLE["capacity"]}),
        ("capacity.slots,capacity,tick,tick", {"tick": 1, "capacity": WHOLE["capacity"]}),
        # What only a failure has is not there.
        ("error,tick", {"tick": 1}),
    ],
)  # fmt: skip
def test_names_choose_members(text: str, expected: object) -> None:
    """An answer has what was named and nothing else, in the order of the whole."""
    assert expected == chosen(text)


def test_all_names_are_the_whole() -> None:
    """Whoever names each member of a sample gets the sample."""
    assert WHOLE == chosen(",".join(WHOLE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "in a sample are tick, at"),
        ("busy", "in a sample are tick, at"),
        ("rates.busy,", "in a sample are tick, at"),
        ("rates.<script>", "below rates are busy, idle"),
        ("rates.busy.now", "nothing below rates.busy"),
        ("rates.states.W", "nothing below rates.states"),
        ("snapshot.processes.workers.x", "below snapshot.processes.workers are thread_num"),
        (".", "in a sample"),
        ("tick" * 600, "at most 50 names and 2050 characters"),
        (",".join(["tick"] * 51), "at most 50 names and 2050 characters"),
    ],
)
def test_unknown_names_are_told_what_there_is(text: str, words: str) -> None:
    """The refusal names the members at that level, and repeats nothing that was unknown."""
    with pytest.raises(fields.FieldError, match=words.replace(".", r"\.")) as refused:
        fields.parse(text)
    assert "script" not in str(refused.value)


def test_a_failure_always_says_why() -> None:
    """Whatever is asked for, a scoreboard that can't be read has its error in the answer."""
    failure = wire.Failure(3, 1.0, 1.0, "metrics are off", wire.ViewerCount(0, 1), [])
    assert {"error": "metrics are off"} == chosen("rates.busy", failure)
    assert {"tick": 3, "error": "metrics are off"} == chosen("tick", failure)


async def test_each_choice_has_its_own_etag() -> None:
    """A tick's ETag is another one for other members, and the same for the same in another order."""
    async with serving(interval=60.0) as served, ClientSession() as session:

        async def ask(query: str, **headers: str) -> tuple[int, Any, str]:
            url = f"{served.url}/api/v1/snapshot{query}"
            async with session.get(url, headers=headers) as answer:
                body = await answer.read()
                return answer.status, json.loads(body) if body else None, answer.headers["ETag"]

        _, whole, plain = await ask("")
        _, less, one = await ask("?fields=tick,rates.busy")
        _, _, same = await ask("?fields=rates.busy,tick")
        again = await ask("?fields=tick,rates.busy", **{"If-None-Match": one})
        other = await ask("?fields=tick", **{"If-None-Match": one})
    assert {"tick": whole["tick"], "rates": {"busy": whole["rates"]["busy"]}} == less
    assert (one, 3) == (same, len({plain, one, other[2]}))
    assert ((304, None), (200, {"tick": 1})) == (again[:2], other[:2])


@pytest.mark.parametrize(
    "query", ["fields=busy", "fields=tick&fields=at", "fields=%00", "fields=%ff", "fields=%ED%A0%80"]
)
async def test_a_bad_list_is_a_problem(query: str) -> None:
    """What can't be answered is a 400 with problem details that name the parameter."""
    async with (
        serving(interval=60.0) as served,
        ClientSession() as session,
        session.get(f"{served.url}/api/v1/snapshot?{query}") as answer,
    ):
        body = await answer.json()
        assert (400, "application/problem+json") == (answer.status, answer.content_type)
    assert ("`fields`", 400) == (body["detail"].partition(":")[0].partition(" ")[0], body["status"])
