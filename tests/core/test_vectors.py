"""The vectors, by which the decoders of both languages are measured."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder
from tests.vectors import FOLDER, build

FILES = sorted(path.name for path in FOLDER.glob("*.json"))

# They are read as often as tests are run, and travel with every checkout.
MOST_BYTES = 320_000


def test_regenerating_changes_nothing() -> None:
    """What `python -m tests.vectors` writes is what is there."""
    there = {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}
    assert there == dict(build())
    assert MOST_BYTES > sum(map(len, there.values()))


@pytest.mark.parametrize("name", FILES)
def test_python_holds_what_it_should(name: str) -> None:
    """After each frame the decoder holds what the vector says, and knows where the chain broke."""
    decoder = Decoder()
    for step in json.loads((FOLDER / name).read_text(encoding="utf-8"))["steps"]:
        assert step["holds"] == held(decoder, step["frame"])


def held(decoder: Decoder, frame: str) -> Any:
    try:
        latest = decoder.decode(frame)
    except ChainBroken:
        return "broken"
    return "unknown" if latest is None else msgspec.json.decode(wire.encode(latest))
