"""What is exposed of a sample: values, labels and their bounds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import metrics, rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.metrics import (
    FAMILIES,
    MOST_PROCESSES,
    OTHER,
    REVIEW_TICKS,
    Row,
    VhostCounter,
)
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.requests import in_flight, is_slow, oldest_seconds
from mod_wsgi_dashboard.core.scoreboard import parse
from tests.boards import histories, samples
from tests.conftest import build_metrics


def sample_of(*letters: str, max_request_workers: int | None = None, **board: Any) -> wire.Sample:
    """Return the sample of a scoreboard, at its own time."""
    scoreboard = parse(build_metrics(*letters, **board), Redactor(enabled=False))
    reading = rates.read(scoreboard, previous=None, elapsed=1.0, max_request_workers=max_request_workers)
    viewers = wire.ViewerCount(0, 4)
    return wire.Sample(
        1, scoreboard.current_time, 1.0, scoreboard, reading.rates, reading.capacity, viewers, []
    )


def letters_of(sample: wire.Sample) -> list[str]:
    return [metrics.letters_of(process) for process in sample.snapshot.processes]


def by_name(rows: Iterable[Row]) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values of rows, by name and labels; None stands for what is left out."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, labels, value in rows:
        if value is not None:
            assert len(FAMILIES[name].labels) == len(labels)
            assert labels not in found.setdefault(name, {})
            found[name][labels] = value
    return found


def test_names_are_as_prometheus_wants_them() -> None:
    """Counters end in _total and gauges don't; ours are below modwsgi_, in base units."""
    for family in FAMILIES.values():
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.name.startswith(("apache_", "modwsgi_", "process_cpu_"))
        if family.name.startswith("modwsgi_"):
            assert not re.search(r"_(ms|kb|kilobytes|minutes|percent)(_|$)", family.name)


@pytest.mark.parametrize(
    ("board", "workers", "expected"),
    [
        (("__..", "W...", "...."), None, 1 + 2),
        (("__..", "W...", "...."), 4, 1),
        (("__..", "W...", "...."), 6, 1 + 2),
        (("_", "W", ".", "."), 3, 1),
        (("....", "...."), None, 8),
    ],
    ids=["threads-per-child", "max-request-workers", "room-for-more", "prefork", "no-process"],
)
def test_open_slots_are_those_that_a_worker_can_have(
    board: tuple[str, ...], workers: int | None, expected: int
) -> None:
    """Open slots beyond ThreadsPerChild, and beyond MaxRequestWorkers where it is known, don't count."""
    pids = [0 if set(letters) == {"."} else 100 + n for n, letters in enumerate(board)]
    sample = sample_of(*board, pids=pids, max_request_workers=workers)
    assert expected == metrics.open_slots(sample, letters_of(sample))


@given(histories())
@settings(max_examples=60)
def test_ages_are_those_of_the_requests(history: list[dict[str, Any] | None]) -> None:
    """The oldest request and the count of slow ones are what `core.requests` says, for any board."""
    for sample in samples(history):
        if isinstance(sample, wire.Sample):
            oldest, slow = metrics.ages(sample, letters_of(sample))
            assert (oldest_seconds(sample) or 0.0) == pytest.approx(oldest)
            assert sum(is_slow(request, sample.at) for request in in_flight(sample)) == slow


@given(histories())
@settings(max_examples=60)
def test_process_slots_add_up_to_the_whole(history: list[dict[str, Any] | None]) -> None:
    """Workers and counters of all process slots are together those of Apache, for any board."""
    for sample in samples(history):
        if not isinstance(sample, wire.Sample):
            continue
        found = by_name(metrics.process_rows(sample, letters_of(sample)))
        total: Counter[str] = Counter()
        for (_, state), value in found.get("modwsgi_process_workers", {}).items():
            total[state] += int(value)
        wanted = {name: getattr(sample.rates, name) for name in ("busy", "idle", "graceful")}
        assert wanted == {name: total[name] for name in wanted}
        if sample.rates.accesses is not None:
            assert sample.rates.accesses == sum(found.get("modwsgi_process_requests_total", {}).values())
            assert sample.rates.bytes_served == sum(
                found.get("modwsgi_process_sent_bytes_total", {}).values()
            )


def test_process_slots_have_a_bound() -> None:
    """Of more processes than that, the rest is summed up."""
    sample = sample_of(*"W" * (MOST_PROCESSES + 20), counts=3)
    found = by_name(metrics.process_rows(sample, letters_of(sample)))
    requests = found["modwsgi_process_requests_total"]
    assert MOST_PROCESSES + 1 == len(requests)
    assert 20 * 3 == requests[OTHER,]
    assert {"0", "1", OTHER} <= {slot for (slot,) in requests}


def test_without_extended_status_what_it_gives_is_left_out() -> None:
    """Letters alone give workers and states; no counter and no age."""
    sample = sample_of("_W", started=0.0)
    assert sample.capacity.extended_status is False
    letters = letters_of(sample)
    rows = [
        *metrics.apache_rows(sample, letters),
        *metrics.sample_rows(sample, letters, 0),
        *metrics.process_rows(sample, letters),
        *VhostCounter(5).rows(sample, letters),
    ]
    found = by_name(rows)
    assert {(("busy",)): 1, (("idle",)): 1} == found["apache_workers"]
    assert not found.keys() & {
        "apache_accesses_total",
        "apache_sent_kilobytes_total",
        "modwsgi_requests_total",
        "modwsgi_sent_bytes_total",
        "modwsgi_oldest_request_seconds",
        "modwsgi_slow_requests",
        "modwsgi_stuck_workers",
        "modwsgi_process_requests_total",
        "modwsgi_process_sent_bytes_total",
        "modwsgi_vhost_busy_workers",
        "modwsgi_vhost_requests_total",
    }


def test_nothing_under_way_is_an_age_of_0() -> None:
    """A server at rest has no old request: 0, not nothing."""
    sample = sample_of("__", counts=1)
    found = by_name(metrics.sample_rows(sample, letters_of(sample), None))
    assert {(): 0} == found["modwsgi_oldest_request_seconds"] == found["modwsgi_slow_requests"]
    assert "modwsgi_stuck_workers" not in found


def test_each_rule_is_1_while_its_alert_is_on() -> None:
    """All rules are there, those that are quiet as 0; two alerts of one rule are one series."""
    alerts = [
        Alert("stuck", "stuck", "warning", 1.0, path='GET /"} forged'),
        Alert("stuck", "stuck", "warning", 2.0, path="GET /b"),
    ]
    state = metrics.State(
        latest=msgspec.structs.replace(sample_of("_W"), alerts=alerts),
        ticks=1,
        failures=0,
        interval=1.0,
        lag=0.0,
        duration=0.0,
        refused=0,
        let_go=0,
        recording=None,
        rules=[("saturated", "critical"), ("stuck", "warning")],
        stuck=3,
    )
    found = by_name(metrics.state_rows(state))["modwsgi_alert_active"]
    assert {("saturated", "critical"): 0, ("stuck", "warning"): 1} == found


@given(histories(), st.integers(1, 3))
@settings(max_examples=60)
def test_requests_by_vhost_add_up_and_never_fall(
    history: list[dict[str, Any] | None], most: int
) -> None:
    """Over any history, all series together are the whole, none falls, and none has a hostile name."""
    counter = VhostCounter(most)
    before: dict[tuple[str, ...], float] = {}
    for sample in samples(history):
        if not isinstance(sample, wire.Sample):
            continue
        counter.observe(sample)
        found = by_name(counter.rows(sample, letters_of(sample)))
        counts = found.get("modwsgi_vhost_requests_total", {})
        assert sum(counts.values()) == (sample.rates.requests_total or 0) or not counts
        assert all(counts[labels] >= before.get(labels, 0) for labels in counts)
        # Strings of these boards have no port.
        assert set(counts) <= {(OTHER,)}
        before = counts


def ticks_of(
    counter: VhostCounter, *requests: dict[str, int], total: int = 0
) -> list[dict[tuple[str, ...], float]]:
    """Have a counter observe ticks with so many requests each; return the counts behind each."""
    sample, found = sample_of("_W", counts=1), []
    for each in requests:
        total += sum(each.values())
        listed = [rates.VhostRates(name, 0, count) for name, count in each.items()]
        now = msgspec.structs.replace(sample.rates, requests_total=total, vhosts=listed)
        sample = msgspec.structs.replace(sample, rates=now)
        counter.observe(sample)
        found.append(by_name(counter.rows(sample, ["_W"]))["modwsgi_vhost_requests_total"])
    return found


def test_the_busiest_vhosts_have_series_of_their_own() -> None:
    """Of more than may have one, the busiest at that tick get it; all others count together."""
    (found,) = ticks_of(VhostCounter(2), {"a.example:80": 3, "b.example:443": 9, "[::1]:80": 5})
    assert {("b.example:443",): 9, ("[::1]:80",): 5, (OTHER,): 3} == found


def test_a_vhost_that_became_busier_takes_a_place() -> None:
    """At a review the place of one that is far less busy is given away; counts go on from there."""
    quiet, loud = {"quiet.example:80": 1}, {"quiet.example:80": 1, "loud.example:80": 9}
    found = ticks_of(VhostCounter(1), quiet, *[loud] * REVIEW_TICKS)
    assert {("quiet.example:80",), (OTHER,)} == found[REVIEW_TICKS - 2].keys()
    assert {("loud.example:80",), (OTHER,)} == found[REVIEW_TICKS - 1].keys()
    # What it had served before was counted among the others, and stays there.
    assert 9 == found[REVIEW_TICKS - 1]["loud.example:80",]
    assert found[-1][OTHER,] >= found[REVIEW_TICKS - 2][OTHER,]


@pytest.mark.parametrize(
    "name",
    [
        "site.example",
        "site.example:",
        "site.example:443\n",
        'x"} 1\nforged{a="b:80',
        "<script>:80",
        "a b:80",
        ":80",
        "-a:80",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}.example:80",
        "site.example:123456",
    ],
)
def test_what_is_no_host_and_port_is_no_label(name: str) -> None:
    """Anything but HOST:PORT counts among the others, cut names included."""
    (found,) = ticks_of(VhostCounter(5), {name: 4})
    assert {(OTHER,): 4} == found


def test_workers_by_vhost_add_up() -> None:
    """Busy workers of the series are together all busy ones, those of vhosts without one included."""
    sample = sample_of("WW_", "RWK", vhost="site.example:80", counts=1)
    counter = VhostCounter(1)
    ticks_of(counter, {"site.example:80": 1})
    found = by_name(counter.rows(sample, letters_of(sample)))["modwsgi_vhost_busy_workers"]
    assert {("site.example:80",): 5, (OTHER,): 0} == found
    other = by_name(VhostCounter(1).rows(sample, letters_of(sample)))["modwsgi_vhost_busy_workers"]
    assert {(OTHER,): 5} == other
