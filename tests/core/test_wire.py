"""The protocol mod-wsgi-dashboard.v1: frames of the encoder, put together again by the decoder."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.encoder import TABLE_LEAST, Encoder
from mod_wsgi_dashboard.core.scoreboard import Worker
from mod_wsgi_dashboard.simulator import SCENARIOS, Simulator
from tests.boards import histories, samples
from tests.conftest import CAPTURES, build_metrics, load_capture

Latest = wire.Sample | wire.Failure


def whole(latest: Latest) -> Latest:
    """Return a sample as v1 may tell it: instants in whole milliseconds, stops before later starts."""
    if isinstance(latest, wire.Failure):
        return msgspec.structs.replace(latest, at=cut(latest.at))
    processes = [
        msgspec.structs.replace(process, workers=[whole_worker(worker) for worker in process.workers])
        for process in latest.snapshot.processes
    ]
    snapshot = msgspec.structs.replace(latest.snapshot, processes=processes)
    return msgspec.structs.replace(latest, at=cut(latest.at), snapshot=snapshot)


def whole_worker(worker: Worker) -> Worker:
    stop = cut(worker.stop_time)
    if 0.0 < worker.stop_time < worker.start_time and stop == cut(worker.start_time):
        stop = (round(stop * 1000) - 1) / 1000
    return msgspec.structs.replace(
        worker, start_time=cut(worker.start_time), stop_time=stop, last_used=cut(worker.last_used)
    )


def cut(instant: float) -> float:
    return int(instant * 1000) / 1000


def states_alone(latest: Latest) -> Any:
    """Return what `detail=states` tells of a sample."""
    if isinstance(latest, wire.Failure):
        return latest.error
    letters = [[worker.status for worker in process.workers] for process in latest.snapshot.processes]
    return letters, msgspec.structs.replace(latest.rates, vhosts=[]), latest.capacity


@settings(deadline=None)
@given(histories())
def test_key_and_deltas_are_the_sample_at_every_tick(history: list[Any]) -> None:
    """Whatever changes, a viewer of deltas holds what a key frame says, which is the sample."""
    encoder, decoder = Encoder(), Decoder()
    for latest in samples(history):
        encoder.advance(latest)
        by_delta = decoder.decode(encoder.delta())
        by_key = Decoder().decode(encoder.key())
        assert by_key == by_delta == whole(latest)


@settings(deadline=None)
@given(histories(), st.data())
def test_a_viewer_that_misses_frames_knows_it(history: list[Any], data: st.DataObject) -> None:
    """After missed frames a delta is refused, and the next key frame makes it whole again."""
    encoder, decoder = Encoder(), Decoder()
    held: int | None = None
    for latest in samples(history):
        encoder.advance(latest)
        if data.draw(st.booleans()):
            continue
        frame = encoder.delta()
        fits = b'"frame":"delta"' not in frame[:20] or held == encoder.previous
        try:
            got = decoder.decode(frame)
        except ChainBroken:
            assert not fits
            got = decoder.decode(encoder.key())
        else:
            assert fits
        assert got == whole(latest)
        held = latest.tick


@settings(deadline=None)
@given(histories())
def test_less_detail_holds_the_same_states(history: list[Any]) -> None:
    """With `detail=states` letters, rates and capacity are the sample's, and no string is there."""
    encoder, decoder = Encoder(detail="states"), Decoder()
    for latest in samples(history):
        encoder.advance(latest)
        for frame, by in ((encoder.delta(), decoder), (encoder.key(), Decoder())):
            got = by.decode(frame)
            assert got is not None
            assert states_alone(latest) == states_alone(got)
            assert not any(f'"{name}"'.encode() in frame for name in ("request", "client", "tables"))


@settings(deadline=None)
@given(histories())
def test_a_delta_is_never_longer_than_a_key(history: list[Any]) -> None:
    """However much changes, what goes to all viewers is bounded by a key frame."""
    encoder = Encoder()
    for latest in samples(history):
        encoder.advance(latest)
        changed = len(encoder._rows.numbers) if encoder._rows and encoder.previous else 0
        if 2 * changed > len(encoder._slots):
            assert len(encoder.delta()) <= len(encoder.key())


@pytest.mark.parametrize("name", CAPTURES)
def test_real_scoreboards_come_through(name: str) -> None:
    """What real servers gave is the same behind the wire, in key frames and in deltas."""
    encoder, decoder = Encoder(), Decoder()
    for latest in samples(load_capture(name)):
        encoder.advance(latest)
        assert decoder.decode(encoder.delta()) == Decoder().decode(encoder.key()) == whole(latest)


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_every_scenario_comes_through(scenario: str) -> None:
    """A minute of each scenario, the tables' turning over included."""
    simulator = Simulator(scenario=scenario, slots=100, seed=3, start_at=1e9)
    encoder, decoder = Encoder(), Decoder()
    for latest in samples(simulator.server_metrics(1e9 + tick) for tick in range(60)):
        encoder.advance(latest)
        assert decoder.decode(encoder.delta()) == Decoder().decode(encoder.key()) == whole(latest)


def test_unchanged_slots_are_the_same_objects() -> None:
    """From one sample to the next a viewer gets the very workers that did not change."""
    encoder, decoder = Encoder(), Decoder()
    held = []
    for latest in samples([build_metrics("_W", "__"), build_metrics("_W", "_W")]):
        encoder.advance(latest)
        held.append(decoder.decode(encoder.delta()))
    first, second = held
    assert isinstance(first, wire.Sample)
    assert isinstance(second, wire.Sample)
    (one, other), (still, changed) = first.snapshot.processes, second.snapshot.processes
    assert (True, True) == (one.workers is still.workers, other.workers[0] is changed.workers[0])
    assert other.workers[1] != changed.workers[1]


def test_a_quiet_tick_is_a_tiny_frame() -> None:
    """When nothing changes, no slot, no process and no table is sent again."""
    encoder = Encoder()
    first, second = samples([build_metrics("_W" * 50), build_metrics("_W" * 50)])
    encoder.advance(first)
    encoder.advance(second)
    frame = json.loads(encoder.delta())
    assert {"slots", "processes", "tables", "capacity"}.isdisjoint(frame)
    assert len(encoder.delta()) < 600


def test_tables_are_bounded() -> None:
    """However many strings come twice, the tables in a key frame stay as small as the board."""
    encoder, decoder = Encoder(), Decoder()
    history = [
        build_metrics("WWWW", counts=tick, request=f"GET /{tick // 2} HTTP/1.1") for tick in range(1000)
    ]
    for latest in samples(history):
        encoder.advance(latest)
        assert decoder.decode(encoder.delta()) == whole(latest)
        table = json.loads(encoder.key()).get("tables", {}).get("request", [])
        assert len(table) <= TABLE_LEAST + 1
    assert len(table) == TABLE_LEAST + 1


def test_unknown_frames_and_members_are_passed_over() -> None:
    """A newer server may say more within v1."""
    encoder = Encoder()
    (latest,) = samples([build_metrics("_W")])
    encoder.advance(latest)
    frame = json.loads(encoder.key()) | {"colour": "red"}
    frame["slots"]["shoe_size"] = [41, 42]
    decoder = Decoder()
    assert decoder.decode(json.dumps(frame)) == whole(latest)
    assert decoder.decode('{"frame":"song","tick":2}') is None


@pytest.mark.parametrize(
    "change",
    [
        {"slots": {"status": "W"}},
        {"slots": {"status": "_Z"}},
        {"slots": {"status": "_W", "slot": [0]}},
        {"slots": {"status": "_W", "slot": [1, 1]}},
        {"slots": {"status": "_W", "slot": [1, -1]}},
        {"slots": {"status": "_W", "slot": [1, 0]}},
        {"slots": {"status": "_W", "slot": [-1, 1]}},
        {"slots": {"status": "_W", "access_count": [1]}},
        {"slots": {"status": "_W", "request": [0, 1]}},
        {"slots": {"status": "_W", "request": [0, -1]}},
        {"slots": {"status": "_W", "last_used": [0]}},
        {"slots": {"status": "_W", "last_used": [-1, 5]}},
        {"slots": {"status": "_W", "last_used": [None, 5]}},
        {"slots": {"status": "_W", "generation": [7, 1]}},
        {"slots": {"status": "_W", "start_time": ["x", 1]}},
        {"tables": {"request": [3, "a"]}},
        {"tables": {"request": ["a"]}},
        {"tables": {"request": []}},
        {"processes": {"process_num": [0], "pid": [], "generation": [], "quiescing": [], "workers": []}},
        {
            "processes": {
                "process_num": [0],
                "pid": [1],
                "generation": [0],
                "quiescing": [0],
                "workers": [-2],
            }
        },
        {"tick": "x"},
        {"rates": None},
    ],
    ids=str,
)
def test_a_frame_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    """Whatever is wrong in a frame, the decoder says so, and needs a key frame after it."""
    encoder = Encoder()
    (latest,) = samples([build_metrics("_W")])
    encoder.advance(latest)
    decoder = Decoder()
    with pytest.raises(FrameError):
        decoder.decode(json.dumps(json.loads(encoder.key()) | change))
    assert decoder.decode(encoder.key()) == whole(latest)


def test_a_delta_changes_no_number_of_processes() -> None:
    """A delta with more or fewer processes, or slots in them, is none."""
    encoder = Encoder()
    first, second = samples([build_metrics("_W", "__"), build_metrics("_W", "__", pids=[1, 2])])
    encoder.advance(first)
    key = encoder.key()
    encoder.advance(second)
    delta = json.loads(encoder.delta())
    columns = delta["processes"]
    for changed in (
        {name: column[:1] for name, column in columns.items()},
        {name: column + column[:1] for name, column in columns.items()},
        columns | {"workers": [2, 3]},
    ):
        decoder = Decoder()
        decoder.decode(key)
        with pytest.raises(FrameError):
            decoder.decode(json.dumps(delta | {"processes": changed}))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"tick":1}', "\x00", '{"frame":7}'])
def test_what_is_no_frame_is_refused(text: str) -> None:
    """Text that is no frame at all is an error of its own, not a crash."""
    with pytest.raises(FrameError):
        Decoder().decode(text)


def test_less_detail_tells_no_path() -> None:
    """With detail=states alerts come without their paths, in each kind of frame."""
    encoder, seen = Encoder(detail="states"), Decoder()
    paths = 0
    for latest in samples(load_capture(CAPTURES[0]) * 8):
        encoder.advance(latest)
        paths += any(alert.path is not None for alert in latest.alerts)
        expected = [msgspec.structs.replace(alert, path=None) for alert in latest.alerts]
        for decoder, text in [(seen, encoder.delta()), (Decoder(), encoder.key())]:
            told = decoder.decode(text)
            assert told is not None
            assert expected == told.alerts
    assert paths > 0
