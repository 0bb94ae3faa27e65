"""One report of a sample: as text, and as JSON."""

from __future__ import annotations

import json

import msgspec
import pytest

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.requests import Request
from mod_wsgi_dashboard.terminal import moment, report
from mod_wsgi_dashboard.terminal.moment import Choice, Moment
from tests.conftest import Metrics, build_metrics
from tests.terminal.scenes import HOSTILE, sample_of, simulated

ALERT = Alert("stuck-workers", "stuck", "warning", 1_700_000_020.0, 70.0, 1.0, "GET /report/*", 3)


def told(sample: wire.Sample, choice: Choice | None = None) -> Moment:
    return moment.read(sample, [], choice or Choice())


def test_a_report_tells_what_the_screen_tells() -> None:
    """The sentence, the directive, alerts, notices, the numbers, all letters and the requests."""
    sample = msgspec.structs.replace(simulated(), alerts=[ALERT], notices=["Polling, said the guard."])
    text = report.as_text(told(sample), "site.example")
    for words in (
        "site.example at 2023-11-14",
        "Full: 64 of 64 workers busy",
        "MaxRequestWorkers: ",
        "WARNING stuck-workers: 3 workers stuck on GET /report/*",
        "Polling, said the guard.",
        "64 / 64",
        "This dashboard holds no Apache worker.",
        "W sending 64",
        "In flight: 64",
    ):
        assert words in text
    for process in sample.snapshot.processes:
        assert f"{process.pid} g0   WWWW" in text
    assert f"{64 - report.MOST_REQUESTS} more; --filter" in text


def test_a_report_of_thousands_is_bounded() -> None:
    """A report of 20,000 workers is a screen or three, and says what it leaves out."""
    text = report.as_text(told(simulated(slots=20_000, seconds=1.0)), "x")
    assert len(text.splitlines()) < 150
    assert "... more processes; --json has all." in text


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (build_metrics("____"), "none came yet, or ExtendedStatus is Off"),
        (build_metrics("____", counts=3), "No request in flight: eve"),
    ],
)
def test_an_empty_list_says_why(metrics: Metrics, expected: str) -> None:
    """There may be no request, or nothing that tells of one."""
    assert expected in report.as_text(told(sample_of(metrics)), "site.example")


def test_groups_are_listed_in_place_of_requests() -> None:
    """Grouped, each group has its number and the age of its oldest request."""
    choice = Choice(group="path")
    text = report.as_text(told(simulated(), choice), "x", group="path")
    assert "In flight, by method and path:" in text
    assert "oldest" in text


@pytest.mark.parametrize("bad", HOSTILE)
def test_no_line_of_a_report_is_hostile(bad: str) -> None:
    """Whatever is in a scoreboard, a report's lines are printable, and as many as without it."""
    sample = sample_of(build_metrics("W"))
    (process,) = sample.snapshot.processes
    worker = msgspec.structs.replace(process.workers[0], request=bad, client=bad, vhost=bad)
    board = msgspec.structs.replace(
        sample.snapshot, processes=[msgspec.structs.replace(process, workers=[worker])]
    )
    alert = msgspec.structs.replace(ALERT, path=bad)
    hostile = msgspec.structs.replace(sample, snapshot=board, alerts=[alert], notices=[bad])
    calm = msgspec.structs.replace(sample, alerts=[ALERT], notices=["x"])
    text = report.as_text(told(hostile), bad)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.splitlines()) == len(report.as_text(told(calm), "x").splitlines())


def test_json_is_the_plain_format_and_more() -> None:
    """One line of JSON: the sample as the API has it, with verdict, alerts and what is in flight."""
    sample = msgspec.structs.replace(simulated(), alerts=[ALERT])
    text = report.as_json(told(sample, Choice(filter="method:GET", sort="pid", down=False)))
    assert text.count("\n") == 1
    document = json.loads(text)
    assert msgspec.convert(document, wire.Sample) == sample
    assert document["verdict"]["level"] == "full"
    assert document["verdict"]["sentence"].startswith("Full: 64 of 64")
    assert document["verdict"]["directive"] == "MaxRequestWorkers"
    assert document["verdict"]["why"].startswith("No single path")
    assert document["alerts"] == [msgspec.to_builtins(ALERT)]
    flights = document["in_flight"]
    assert flights
    assert all(each["request"].startswith("GET ") for each in flights)
    assert [each["pid"] for each in flights] == sorted(each["pid"] for each in flights)
    assert set(flights[0]) == {*Request.__struct_fields__, "age"}


def test_json_of_a_calm_server() -> None:
    """Without alerts and advice the members are there all the same: [] and null."""
    document = json.loads(report.as_json(told(sample_of(build_metrics("____", counts=1)))))
    assert document["alerts"] == []
    assert document["verdict"]["directive"] is None
    assert document["in_flight"] == []


def test_a_failure_is_one_line_and_its_json() -> None:
    """A scoreboard that can't be read is told in one line; its JSON is the plain format's."""
    failure = wire.Failure(1, 2000.0, 1.0, "Set server-metrics=on.", wire.ViewerCount(0, 4), [])
    line = report.of_failure(failure, "site.example")
    assert line == "site.example: Apache's scoreboard can't be read: Set server-metrics=on."
    document = json.loads(report.failure_as_json(failure))
    assert msgspec.convert(document, wire.Failure) == failure
    assert document["alerts"] == []
