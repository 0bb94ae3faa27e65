"""Buckets, tiers and steps: nothing vanishes, and nothing comes about, by down-sampling."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.history import SERIES, TIERS, Row, Run
from tests.boards import AT, samples
from tests.conftest import build_metrics

WIDTH = len(SERIES)
NAN = math.nan

# As 32-bit floats hold them.
numbers = st.one_of(
    st.integers(0, 200_000).map(float), st.floats(0.0, 1e9, width=32), st.sampled_from([0.0, NAN])
)


def row(at: int, first: float, *, seconds: int = 1) -> Row:
    """Return a bucket of one sample, whose first series has a value, and all others 1."""
    return Row(at, seconds, history.pack([first, *[1.0] * (WIDTH - 1)]))


def roll(rows: Sequence[Row], seconds: int) -> list[Row]:
    """Return the buckets of a tier, out of those of the tier below it."""
    buckets: dict[int, list[Row]] = {}
    for each in rows:
        buckets.setdefault(each.at - each.at % seconds, []).append(each)
    return [Row(at, seconds, history.merge(parts)) for at, parts in buckets.items()]


def first_of(table: history.Table) -> list[tuple[float, float, float]]:
    """Return mean, least and most of a table's first series."""
    columns = table.columns
    return list(zip(columns.means[0], columns.least[0], columns.most[0], strict=True))


@st.composite
def ticks(draw: st.DrawFn) -> list[Row]:
    """Draw a tier of one second: values of the first series, with gaps."""
    at, rows = draw(st.integers(0, 100)) + 1200, []
    for value in draw(st.lists(numbers, min_size=1, max_size=150)):
        at += draw(st.sampled_from([1, 1, 1, 1, 1, 1, 2, 3, 70, 700]))
        rows.append(row(at, value))
    return rows


steps = st.sampled_from([1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200])


@given(ticks(), steps)
def test_the_mean_lies_between_least_and_most(rows: list[Row], step: int) -> None:
    """In each bucket of any step, and where nothing is known, all three are NaN."""
    for mean, least, most in first_of(history.table(rows, step)):
        unknown = [math.isnan(value) for value in (mean, least, most)]
        assert len(set(unknown)) == 1
        if not unknown[0]:
            assert least * (1 - 1e-12) <= mean <= most * (1 + 1e-12)


@given(ticks(), steps)
def test_a_table_is_what_its_rows_are(rows: list[Row], step: int) -> None:
    """Each bucket has the least and the most of its rows' values, and their mean; gaps stay gaps."""
    table = history.table(rows, step)
    values: dict[int, list[float]] = {}
    for each in rows:
        (value,) = struct.unpack_from("<f", each.body)
        values.setdefault(each.at - each.at % step, []).append(value)
    assert list(values) == table.at
    for known, (mean, least, most) in zip(values.values(), first_of(table), strict=True):
        known = [value for value in known if not math.isnan(value)]
        if known:
            assert (min(known), max(known)) == (least, most)
            assert math.fsum(known) / len(known) == pytest.approx(mean, rel=1e-12)
        else:
            assert math.isnan(mean)


@given(ticks(), st.data())
def test_a_spike_of_one_tick_is_in_the_most_of_every_step_and_tier(
    rows: list[Row], data: st.DataObject
) -> None:
    """However far it is rolled up."""
    spike = data.draw(st.integers(0, len(rows) - 1))
    rows[spike] = row(rows[spike].at, 2e9)
    for tier in TIERS:
        rows = roll(rows, tier.seconds)
        for step in (tier.seconds, 2 * tier.seconds, 1200):
            highest = [most for _, _, most in first_of(history.table(rows, step))]
            assert 1 == highest.count(2e9)


@given(st.lists(st.floats(0.0, 1e9, width=32), min_size=1, max_size=40), st.sampled_from([600, 1200]))
@settings(deadline=None)
def test_a_coarse_tier_says_what_the_fine_one_says(values: list[float], step: int) -> None:
    """Of time that was recorded without a gap, up to what 32-bit floats can tell."""
    rows = [row(at, values[at % len(values)]) for at in range(1200)]
    expected = first_of(history.table(rows, step))
    for tier in TIERS:
        rows = roll(rows, tier.seconds)
        for fine, coarse in zip(expected, first_of(history.table(rows, step)), strict=True):
            assert fine[1:] == coarse[1:]
            assert fine[0] == pytest.approx(coarse[0], rel=1e-6, abs=1e-30)


def test_a_tail_of_finer_buckets_counts_by_its_seconds() -> None:
    """A minute, ten seconds and one second weigh as much as they last."""
    rows = [row(0, 60.0, seconds=60), row(60, 6.0, seconds=10), row(70, 33.0)]
    [(mean, least, most)] = first_of(history.table(rows, 600))
    assert ((60 * 60 + 10 * 6 + 33) / 71, 6.0, 60.0) == (mean, least, most)


def test_a_merged_bucket_keeps_what_is_known() -> None:
    """NaN is no number: the mean is that of the rest, by its weight; of NaN alone it is NaN."""
    merged = history.merge([row(0, NAN, seconds=10), row(10, 4.0, seconds=10), row(20, 7.0)])
    [(mean, least, most)] = first_of(history.table([Row(0, 60, merged)], 60))
    assert (struct.unpack("<f", struct.pack("<f", 47 / 11))[0], 4.0, 7.0) == (mean, least, most)
    nothing = history.merge([row(0, NAN), row(1, NAN)])
    assert all(map(math.isnan, first_of(history.table([Row(0, 10, nothing)], 10))[0]))
    assert row(5, NAN).body == history.merge([row(5, NAN)])


def test_whole_numbers_are_exact_and_large_ones_are_near() -> None:
    """Every count up to 2^24 comes back; bytes a second, up to 60 GB of them, to seven digits."""
    for value in (0, 1, 4711, 199_999, 200_000, 2**24):
        assert [value] == history.shown(
            "busy", history.table([row(0, value)], 1).columns.most[0], mean=False
        )
    for value in (1e6 + 0.123, 123_456_789.0, 6e10):
        [(mean, _, _)] = first_of(history.table([row(0, value)], 1))
        assert value == pytest.approx(mean, rel=6e-8)


def test_numbers_to_read() -> None:
    """Whole where samples have whole numbers, three digits in means and rates, None for NaN."""
    assert [3, None, 0] == history.shown("busy", [3.0, NAN, 0.0], mean=False)
    assert [3, 0] == history.shown("busy", [3.0, 0.0], mean=False)
    assert [3.333, None] == history.shown("busy", [10 / 3, NAN], mean=True)
    assert [3.333, None] == history.shown("oldest_seconds", [10 / 3, NAN], mean=False)


def test_bodies_of_other_lengths_are_seen() -> None:
    """A body has one number for each series, or three."""
    single, triple = row(0, 1.0), Row(0, 10, history.merge([row(0, 1.0), row(1, 2.0)]))
    assert history.are_sound([single, triple])
    assert history.are_sound([])
    assert not history.are_sound([single, Row(0, 1, single.body[:-1])])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        *((0.1, 1), (1.0, 1), (1.1, 2), (2.5, 5), (7, 10), (15, 20), (21, 30), (31, 60), (60, 60)),
        *((61, 120), (299, 300), (300, 300), (301, 600), (601, 1200), (7200, 7200), (7201, 7800)),
    ],
)
def test_steps_are_what_an_axis_divides_into(seconds: float, expected: int) -> None:
    """The next one that is not below what is asked for, and a multiple of each tier below it."""
    assert expected == history.round_step(seconds)
    assert [] == [tier for tier in TIERS if tier.seconds <= expected and expected % tier.seconds
                  and expected > 30]  # fmt: skip


@given(st.floats(1.0, 8e6), st.integers(1, 4000), st.floats(0.1, 60.0))
def test_a_range_has_at_most_the_points_asked_for(seconds: float, points: int, least: float) -> None:
    """And no bucket is shorter than the time between two samples."""
    step = history.step_for(seconds, points, least)
    assert math.ceil(seconds / step) <= points
    assert least <= step


NOW = 1_790_000_000
OLD = [NOW - tier.keep for tier in TIERS]


@pytest.mark.parametrize(
    ("step", "start", "oldest", "expected"),
    [
        # Old recordings: the coarsest that divides the step, unless only a coarser one reaches back.
        (1, NOW - 900, OLD, 0),
        (5, NOW - 3600, OLD, 0),
        (10, NOW - 3600, OLD, 1),
        (30, NOW - 3600, OLD, 1),
        (60, NOW - 3600, OLD, 2),
        (600, NOW - 3600, OLD, 3),
        (1, NOW - 2 * history.DAY, OLD, 1),
        (10, NOW - 8 * history.DAY, OLD, 2),
        (60, NOW - 80 * history.DAY, OLD, 2),
        # From before there was anything: from as far back as there is something.
        (1, 0, OLD, 2),
        (600, 0, OLD, 3),
        # Young ones: finer tiers make up for what a coarse one has not yet.
        (1, NOW - 900, [NOW - 30, None, None, None], 0),
        (60, NOW - 900, [NOW - 30, None, None, None], 2),
        (60, NOW - 900, [NOW - 100, NOW - 100, NOW - 120, None], 2),
        (10, NOW - 900, [NOW - 100, NOW - 105, NOW - 120, None], 1),
        (600, NOW - 900, [NOW - 100, NOW - 105, NOW - 120, None], 3),
        (1, NOW - 900, [NOW - 500, NOW - 501, NOW - 540, NOW - 900], 0),
        # With a gap at the young end: what was made room for is only in coarse buckets.
        (1, NOW - 5 * history.DAY, [NOW - 60, OLD[1], OLD[2], OLD[3]], 1),
        (1, NOW - 5 * history.DAY, [None, None, OLD[2], OLD[3]], 2),
        (10, NOW - 900, [None, None, None, None], 1),
    ],
)
def test_the_tier_to_read(step: int, start: float, oldest: Sequence[int | None], expected: int) -> None:
    """Coarse, so that little is read; and one that has the time that is asked for, if any has."""
    assert expected == history.tier_for(step, start, oldest)


runs = st.lists(
    st.tuples(st.integers(0, 60), st.integers(-2, 25)).map(lambda pair: (pair[0], sum(pair))), max_size=9
).map(lambda pairs: [Run(number, began, ended) for number, (began, ended) in enumerate(pairs, 1)])


@given(runs)
def test_of_overlapping_runs_the_newest_counts(recorded: list[Run]) -> None:
    """Each millisecond that any run covers is in one stretch, that of the newest run there."""
    expected = {ms: run.number for run in recorded for ms in range(run.began_ms, run.ended_ms + 1)}
    stretches = history.visible(recorded)
    covered = [ms for run in stretches for ms in range(run.began_ms, run.ended_ms + 1)]
    assert sorted(expected) == covered
    assert expected == {
        ms: run.number for run in stretches for ms in range(run.began_ms, run.ended_ms + 1)
    }
    # None is cut without need.
    assert len(stretches) <= 2 * len(recorded)


@given(runs, st.integers(-5, 90), st.integers(0, 40))
def test_stretches_of_a_range(recorded: list[Run], start: int, length: int) -> None:
    """Those, and only those, that share a millisecond with the range."""
    stretches = history.visible(recorded)
    expected = [run for run in stretches if run.began_ms <= start + length and run.ended_ms >= start]
    assert expected == list(history.stretches_between(stretches, start, start + length))


def test_thousands_of_overlapping_runs_take_no_time() -> None:
    """All of them reach over each other: a clock that was set each time."""
    recorded = [Run(number, number, 10_000 - number) for number in range(1, 4001)]
    assert 8000 - 1 == len(history.visible(recorded))


def test_levels_are_time_by_held_workers() -> None:
    """NaN is no time; sums of several are added; the share that N workers would have been full."""
    held = [*[1.0] * (WIDTH - 1)]
    rows = [Row(at, 1, history.pack([*held, value])) for at, value in enumerate([3, 3, 5, NAN])]
    levels = history.count_levels(rows, 2.0)
    assert {3: 4.0, 5: 2.0} == levels
    assert {3: 8.0, 5: 4.0} == history.add_levels([levels, {}, levels])
    shares = [history.full_share(levels, workers) for workers in (0, 3, 4, 5, 6)]
    assert [1.0, 1.0, 1 / 3, 1 / 3, 0.0] == shares
    assert history.full_share({}, 3) is None


def one(metrics: Any) -> wire.Sample:
    [sample] = samples([metrics])
    assert isinstance(sample, wire.Sample)
    return sample


def test_what_is_measured_of_a_sample() -> None:
    """Each series by its name, from letters of places with a process and without."""
    sample = one(build_metrics("_WK.", "GSSS", "WWWW", pids=[7, 8, 0], started=AT))
    letters = history.letters(sample.snapshot)
    assert "_WK.GSSS...." == letters
    values = dict(zip(SERIES, history.measure(sample, letters), strict=True))
    # As rates have them, of all places; an empty place holds no worker.
    for letter, name in history._LETTERS.items():
        assert sample.rates.states[name] == values[letter]
    assert (3, 2) == (values["held"], values["processes"])
    assert (sample.capacity.workers, sample.viewers.holding) == (values["workers"], values["viewers"])
    assert math.isnan(values["requests_per_second"])


@pytest.mark.parametrize(
    ("letters", "request_line", "expected"),
    [
        ("W_", "GET /a HTTP/1.1", 21.0009),
        ("G_", "GET /a HTTP/1.1", 21.0009),
        ("__", "GET /a HTTP/1.1", NAN),
        ("W_", "GET /ws HTTP/1.1", NAN),
    ],
)
def test_the_oldest_request(letters: str, request_line: str, expected: float) -> None:
    """It is one that is under way, and no WebSocket."""
    sample = one(build_metrics(letters, request=request_line, started=AT))
    values = history.measure(sample, history.letters(sample.snapshot))
    assert expected == pytest.approx(values[SERIES.index("oldest_seconds")], abs=1e-3, nan_ok=True)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_the_difference_of_letters_gives_them_back(one: bytes, data: st.DataObject) -> None:
    """XOR twice is what was there; what is the same is NUL."""
    other = data.draw(st.binary(min_size=len(one), max_size=len(one)))
    difference = history.xor(one, other)
    assert other == history.xor(one, difference)
    assert Counter(a == b for a, b in zip(one, other, strict=True))[True] == difference.count(0)
