"""Several frames at once are what they are one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import is_
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import decoder, wire
from mod_wsgi_dashboard.core.decoder import ChainBroken, Decoder, FrameError
from mod_wsgi_dashboard.core.encoder import Encoder
from tests.boards import histories, samples
from tests.conftest import CAPTURES, load_capture

Latest = wire.Sample | wire.Failure


def frames(history: Iterable[Any], *, key_every: int = 5, detail: wire.Detail = "full") -> list[bytes]:
    """Return the frames of a chain, as a recorder takes them."""
    encoder, texts = Encoder(detail=detail), []
    for number, latest in enumerate(samples(history)):
        encoder.advance(latest)
        texts.append(encoder.delta() if number % key_every else encoder.key())
    return texts


def one_by_one(decoder: Decoder, texts: Iterable[bytes]) -> Latest | None:
    """Return what `decode_last` is to return, or raise what it is to raise."""
    latest: Latest | None = None
    for text in texts:
        latest = decoder.decode(text) or latest
    return latest


def outcome(work: Any, *arguments: Any) -> Any:
    """Return what a call returns, or the name and text of what it raises."""
    try:
        return work(*arguments)
    except (ChainBroken, FrameError) as error:
        return type(error).__name__, str(error)


@pytest.mark.parametrize("detail", get_args(wire.Detail))
@settings(deadline=None)
@given(history=histories(most=14), data=st.data())
def test_the_last_of_several_frames_is_what_they_say_one_by_one(
    detail: wire.Detail, history: list[Any], data: st.DataObject
) -> None:
    """Wherever a chain is cut, and from whatever frame it is read on."""
    texts = frames(history, key_every=data.draw(st.integers(1, 14)), detail=detail)
    # A frame may be missed, and one of a kind yet unknown come in.
    for place in data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=1)):
        texts[place : place + 1] = data.draw(st.sampled_from([[], [b'{"frame":"sun"}', texts[place]]]))
    slow, fast = Decoder(), Decoder()
    while texts:
        count = data.draw(st.integers(1, len(texts)))
        expected = outcome(one_by_one, slow, texts[:count])
        assert expected == outcome(fast.decode_last, texts[:count])
        if isinstance(expected, tuple):
            return
        del texts[:count]


# What a frame's column may be made of, to be wrong.
wrongs = st.sampled_from(
    [[], [0], [0, 0], [-1], [None], [1, 99], [99, 1], ["x"], "?", "WW", 7, {"pid": []}]
)


@settings(deadline=None, max_examples=300)
@given(histories(most=6), st.data())
def test_a_bad_frame_among_several_is_the_same_error(history: list[Any], data: st.DataObject) -> None:
    """One member of one frame is another: the error is that frame's, as if it came alone."""
    texts = frames(history)
    number = data.draw(st.integers(0, len(texts) - 1))
    frame = json.loads(texts[number])
    part = data.draw(st.sampled_from([frame, *(v for v in frame.values() if isinstance(v, dict))]))
    part[data.draw(st.sampled_from([*part, "slots", "slot", "last_used"]))] = data.draw(wrongs)
    texts[number] = json.dumps(frame).encode()
    assert outcome(one_by_one, Decoder(), texts) == outcome(Decoder().decode_last, texts)


@pytest.mark.parametrize("name", CAPTURES)
def test_real_chains_at_once(name: str) -> None:
    """What real servers gave, a whole chain at once and by thirds."""
    texts = frames(load_capture(name), key_every=1000)
    slow, fast = Decoder(), Decoder()
    for start in range(0, len(texts), 3):
        part = texts[start : start + 3]
        expected = one_by_one(slow, part)
        assert expected == fast.decode_last(part)
    assert expected == Decoder().decode_last(texts)


def test_no_frame_is_no_sample() -> None:
    """Of no frame, and of none of a known kind, nothing is said."""
    assert [None, None] == [Decoder().decode_last([]), Decoder().decode_last([b'{"frame":"sun"}'])]


def test_workers_that_stay_are_the_same() -> None:
    """Slots and processes that no frame names are the objects of the sample before."""
    history = load_capture(CAPTURES[0])[:3]
    changed = json.loads(json.dumps(history[0]))
    changed["processes"][0]["workers"][0]["access_count"] += 1
    texts = frames([history[0], changed, changed])
    reader = Decoder()
    before, after = reader.decode(texts[0]), reader.decode_last(texts[1:])
    assert isinstance(before, wire.Sample)
    assert isinstance(after, wire.Sample)
    pairs = zip(before.snapshot.processes, after.snapshot.processes, strict=True)
    assert [False] + [True] * (len(before.snapshot.processes) - 1) == [is_(*pair) for pair in pairs]
    first = zip(*(one.snapshot.processes[0].workers for one in (before, after)), strict=True)
    assert [False] + [True] * (len(before.snapshot.processes[0].workers) - 1) == [
        is_(*pair) for pair in first
    ]


def test_what_is_put_off_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of any length becomes workers from time to time, and comes out the same."""
    texts = frames(load_capture(CAPTURES[0]) * 3, key_every=1000)
    expected = Decoder().decode_last(texts)
    monkeypatch.setattr(decoder, "MOST_ROWS", 5)
    assert expected == Decoder().decode_last(texts)


@pytest.mark.parametrize("member", ["at_ms", "slots"])
def test_instants_that_no_clock_shows(member: str) -> None:
    """A number of 400 digits is no instant, in a key, a delta or an error frame."""
    key, delta = (json.loads(text) for text in frames(load_capture(CAPTURES[0])[:2]))
    error = json.loads(frames([None])[0])
    for frame in (key, error) if member == "at_ms" else (key,):
        if member == "slots":
            frame["slots"]["start_time"] = [10**400] * len(frame["slots"]["status"])
        else:
            frame["at_ms"] = 10**400
        reader = Decoder()
        with pytest.raises(FrameError):
            reader.decode(json.dumps(frame))
        with pytest.raises(ChainBroken):
            reader.decode(json.dumps(delta))
