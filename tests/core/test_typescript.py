"""The page's decoder, in a process of Node, beside Python's: both must make the same of every frame."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hatch_build
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.simulator import SCENARIOS, Simulator
from tests.boards import histories, samples

ENTRY = hatch_build.FRONTEND / "tests" / "stdio.ts"
BUNDLER = hatch_build.FRONTEND / "node_modules" / ".bin" / "rolldown"

# The wall clock of the sidecar is set forward and back.
jumps = st.sampled_from([0.0, 0.0, 0.0, -4000.25, 86_400.5])


class TypeScript:
    """The decoder of the page."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def restart(self) -> None:
        """Begin with a new decoder."""
        self._ask(None)

    def decode(self, frame: bytes) -> Any:
        return self._ask(frame.decode())

    def _ask(self, frame: str | None) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(frame).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def typescript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TypeScript]:
    """One process for all examples: to start Node takes longer than a hundred of them."""
    assert BUNDLER.exists(), "run: make setup"
    npm = hatch_build.system_npm() or hatch_build.wheel_npm()
    assert npm is not None, "missing: Node"
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", os.defpath)])
    node = shutil.which("node", path=path)
    assert node is not None
    script = tmp_path_factory.mktemp("typescript") / "stdio.mjs"
    bundle = [str(BUNDLER), str(ENTRY), "--file", str(script), "--platform", "node"]
    done = subprocess.run(
        bundle, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with subprocess.Popen([node, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield TypeScript(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0


def held(decoder: Decoder, frame: bytes) -> Any:
    """Return what Python's decoder makes of a frame, as plain JSON."""
    try:
        latest = decoder.decode(frame)
    except ChainBroken:
        return "broken"
    if latest is None:
        return "unknown"
    # What Python leaves out when it encodes is there in the page's.
    alerts = [msgspec.structs.asdict(alert) for alert in latest.alerts]
    return msgspec.json.decode(wire.encode(latest)) | {"alerts": alerts}


@settings(deadline=None, max_examples=200)
@given(history=histories(), data=st.data())
@pytest.mark.parametrize("detail", ["full", "states"])
def test_both_hold_the_same(
    typescript: TypeScript, detail: wire.Detail, history: list[Any], data: st.DataObject
) -> None:
    """Whatever changes, and whatever is missed, at every tick both hold what the key frame says."""
    encoder, python = Encoder(detail=detail), Decoder()
    typescript.restart()
    offset = 0.0
    for latest in samples(history):
        offset += data.draw(jumps)
        encoder.advance(msgspec.structs.replace(latest, at=latest.at + offset))
        if data.draw(st.integers(0, 3)) == 0:
            continue
        frame = encoder.delta()
        ours = held(python, frame)
        assert ours == typescript.decode(frame)
        if ours == "broken" and data.draw(st.booleans()):
            ours = held(python, encoder.key())
            assert ours == typescript.decode(encoder.key())
        if ours != "broken" and detail == "full":
            assert ours == held(Decoder(), encoder.key())


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_is_the_same(typescript: TypeScript, scenario: str) -> None:
    """Two minutes of each scenario, the turning over of the tables included."""
    simulator = Simulator(scenario=scenario, slots=120, seed=5, start_at=1e9)
    encoder, python = Encoder(), Decoder()
    typescript.restart()
    for latest in samples(simulator.server_metrics(1e9 + tick) for tick in range(120)):
        encoder.advance(latest)
        frame = encoder.delta()
        assert held(python, frame) == typescript.decode(frame)


VALUES = st.sampled_from(
    [None, True, 0, -1, 2, 3.5, 1e300, "", "W", "_W_W", [], [0], [1, "a"], {}, "__proto__"]
)


@settings(deadline=None, max_examples=300)
@given(history=histories(most=2), data=st.data())
def test_what_python_refuses_the_page_refuses(
    typescript: TypeScript, history: list[Any], data: st.DataObject
) -> None:
    """Of frames with one bent value; and those that both take mean the same to both."""
    encoder = Encoder()
    typescript.restart()
    latest = next(latest for latest in samples(history) if isinstance(latest, wire.Sample))
    encoder.advance(latest)
    frame = json.loads(encoder.key())
    place = frame
    for _ in range(data.draw(st.integers(0, 2))):
        inner = [value for value in place.values() if isinstance(value, dict) and value]
        place = data.draw(st.sampled_from(inner)) if inner else place
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    text = json.dumps(frame).encode()
    theirs = typescript.decode(text)
    try:
        ours = held(Decoder(), text)
    except FrameError:
        assert isinstance(theirs, str) or "refused" in theirs
    else:
        assert ours == theirs or "refused" in theirs
