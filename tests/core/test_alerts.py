"""Rules, and when there is an alert by them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard.core import rates
from mod_wsgi_dashboard.core.alerts import (
    DEFAULT_RULES,
    MOST_PATHS,
    MOST_RULES,
    MOST_SHOWN,
    Alarms,
    Alert,
    Change,
    Rule,
    RuleError,
    read_rules,
)
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import Reader
from tests.conftest import build_metrics

AT = 1_700_000_000.0

Metrics = dict[str, Any]


class Watch:
    """Readings of one Apache, a second apart, and what the alarms make of them."""

    def __init__(self, *rules: Rule) -> None:
        self.alarms = Alarms(rules)
        self.reader = Reader(Redactor())
        self.reading: rates.Reading | None = None
        self.now = 50.0
        self.at = AT
        self.alerts: list[Alert] = []
        self.changes: list[Change] = []

    def see(
        self, metrics: Metrics | None, *, after: float = 1.0, jump: float = 0.0
    ) -> list[tuple[str, bool]]:
        """Read a scoreboard, None where that fails; return the rules that began or ended."""
        self.now += after
        self.at += after + jump
        reading = None
        if metrics is not None:
            board = self.reader.read(metrics)
            reading = self.reading = rates.read(board, previous=self.reading, elapsed=after)
        told = self.alarms.observe(reading, at=self.at, now=self.now)
        self.alerts = told.alerts
        self.changes += told.changes
        return [(change.alert.rule, change.began) for change in told.changes]

    def play(self, story: str) -> str:
        """Read one scoreboard a letter, a digit for that many of ten busy, `x` for a failure.

        Returns for each what happened: `B` an alert began, `E` it ended, `|` there is one, `.` none.
        """
        told = ""
        for letter in story:
            changes = self.see(None if letter == "x" else busy(int(letter)))
            kinds = "".join("B" if began else "E" for _, began in changes)
            told += kinds or ("|" if self.alerts else ".")
        return told


def busy(count: int, *, request: str = "GET / HTTP/1.1", **more: Any) -> Metrics:
    """Return ten workers, of which so many are busy since five seconds before `AT`."""
    letters = "W" * count + "_" * (10 - count)
    return build_metrics(letters, counts=1, request=request, started=AT - 5.0, **more)


def idle(count: int = 10) -> Metrics:
    return build_metrics("_" * count, counts=1, started=AT - 5.0)


@pytest.mark.parametrize(
    ("rule", "story", "expected"),
    [
        (Rule("r", "busy", 0.9, 0.0, 0.8, 0.0), "0898770", "..B|E.."),
        (Rule("r", "busy", 0.9, 3.0, 0.8, 0.0), "99989999970", ".......B|E."),
        (Rule("r", "busy", 0.9, 0.0, 0.8, 3.0), "9778777777", "B||||||E.."),
        (Rule("r", "busy", 0.9, 0.0, 0.8, 2.0), "97797770", "B|||||E."),
        (Rule("r", "busy", 0.9, 0.0, 0.9, 0.0), "9898", "BEBE"),
        (Rule("r", "busy", 1.0, 2.0, 0.9, 2.0), "555599995", "........."),
        (Rule("r", "busy", 0.9, 2.0, 0.8, 3.0), "99x999xx99xxx0", ".....B|||||||E"),
        (Rule("r", "error", None, 2.0, None, 1.0), "0x0xxx00", ".....B|E"),
        (Rule("r", "error", None, 0.0, None, 0.0), "0x0xx", ".BEB|"),
    ],
)  # fmt: skip
def test_an_alert_begins_late_and_ends_late(rule: Rule, story: str, expected: str) -> None:
    """It begins when the number has held for so long, and ends when it has been low for so long."""
    assert expected == Watch(rule).play(story)


def test_an_alert_says_since_when_and_how_bad() -> None:
    """It counts from when its condition began; its peak is the highest since; it ends with both."""
    watch = Watch(Rule("full", "busy", 0.8, 2.0, 0.7, 3.0, "critical"))
    watch.play("0889")
    began = Alert("full", "busy", "critical", AT + 2.0, 0.9, 0.8)
    assert [began] == watch.alerts
    watch.play("9800")
    assert [began] == watch.alerts
    assert [Change(True, began, AT + 4.0, 2.0)] == watch.changes
    watch.play("00")
    assert [] == watch.alerts
    assert Change(False, began, AT + 10.0, 8.0) == watch.changes[-1]


def test_a_short_pause_holds_and_a_long_one_begins_anew() -> None:
    """Readings a minute apart tell that a condition held; those ten minutes apart don't."""
    watch = Watch(Rule("full", "busy", 0.8, 30.0))
    watch.see(busy(8))
    assert [("full", True)] == watch.see(busy(8), after=60.0)
    watch = Watch(Rule("full", "busy", 0.8, 30.0))
    watch.see(busy(8))
    assert [] == watch.see(busy(8), after=600.0)
    assert [("full", True)] == watch.see(busy(8), after=60.0)


def handed_on(rule: Rule, other: Rule, *, pause: float) -> Watch:
    """Return a watch by a rule that takes over from one by another, after so many seconds."""
    old, new = Watch(rule), Watch(other)
    old.play("0999")
    new.at, new.now = old.at + pause, 5.0
    new.alarms.adopt(old.alerts, seen_at=old.at, at=new.at, now=new.now)
    return new


def test_an_alert_goes_on_in_the_next_process() -> None:
    """It doesn't begin again, and what is told of its end counts from its beginning."""
    rule = Rule("r", "busy", 0.9, 2.0, 0.8, 0.0)
    watch = handed_on(rule, rule, pause=1.0)
    assert "||E" == watch.play("990")
    (ended,) = watch.changes
    assert (AT + 2.0, 0.9, 6.0) == (ended.alert.since, ended.alert.peak, ended.seconds)


def test_an_alert_that_is_over_by_then_ends() -> None:
    """Its end is told by the process that comes after."""
    rule = Rule("r", "busy", 0.9, 0.0, 0.8, 2.0)
    assert "||E." == handed_on(rule, rule, pause=1.0).play("0000")


@pytest.mark.parametrize(
    ("rule", "pause"),
    [
        (Rule("r", "busy", 0.8, 0.0, 0.7, 0.0), 1.0),
        (Rule("other", "busy", 0.9, 0.0, 0.8, 0.0), 1.0),
        (Rule("r", "oldest", 0.9, 0.0, 0.8, 0.0), 1.0),
        (Rule("r", "busy", 0.9, 0.0, 0.8, 0.0), 200.0),
        (Rule("r", "busy", 0.9, 0.0, 0.8, 0.0), -200.0),
    ],
)
def test_what_no_rule_is_for_begins_anew(rule: Rule, pause: float) -> None:
    """Another rule, or a pause in which anything may have happened, ends what was."""
    watch = handed_on(Rule("r", "busy", 0.9, 0.0, 0.8, 0.0), rule, pause=pause)
    assert "B" == watch.play("9")


def test_a_stuck_path_that_was_not_recorded_is_not_taken_over() -> None:
    """A recording of letters alone doesn't say what was stuck."""
    watch = Watch(Rule("r", "stuck", 1.0, clear_for=0.0))
    watch.alarms.adopt(
        [Alert("r", "stuck", "warning", AT, 70.0, 1.0, count=1)], seen_at=AT, at=AT, now=50.0
    )
    assert ".." == watch.play("00")


def test_no_worker_is_no_share() -> None:
    """A scoreboard without a process is neither full nor empty."""
    assert [] == Watch(Rule("full", "busy", 0.1)).see(build_metrics("..", pids=[0]))


def test_the_oldest_request() -> None:
    """Its age is looked at; without ExtendedStatus there is none, nor is anything stuck."""
    watch = Watch(Rule("slow", "oldest", 8.0, 0.0, 7.2, 0.0))
    assert [] == watch.see(busy(1))
    assert [] == watch.see(busy(1))
    assert [("slow", True)] == watch.see(busy(1))
    assert [Alert("slow", "oldest", "warning", AT + 3.0, 8.0, 8.0)] == watch.alerts
    assert (0, 8.0) == (watch.alarms.stuck, watch.alarms.oldest)
    watch.see(busy(1))
    assert 9.0 == watch.alerts[0].peak
    assert [("slow", False)] == watch.see(idle())
    assert (0, 0.0) == (watch.alarms.stuck, watch.alarms.oldest)
    bare = build_metrics("WW", started=0.0)
    watch = Watch(*DEFAULT_RULES)
    watch.see(bare, after=1.0)
    watch.see(bare, after=100.0)
    assert (None, None) == (watch.alarms.stuck, watch.alarms.oldest)
    watch.see(None)
    assert (None, None) == (watch.alarms.stuck, watch.alarms.oldest)


def test_stuck_workers_are_told_by_path() -> None:
    """One alert for each kind of path, with how many workers it holds and for how long."""
    watch = Watch(Rule("stuck", "stuck", 2.0, clear_for=5.0))
    line = "GET /report/17?q=secret HTTP/1.1"
    watch.see(busy(2, request=line))
    watch.see(busy(2, request=line), after=53.0)
    assert [] == watch.alerts
    assert [("stuck", True)] == watch.see(busy(2, request=line))
    alert = Alert("stuck", "stuck", "warning", AT + 55.0, 60.0, 2.0, "GET /report/*", 2)
    assert [alert] == watch.alerts
    assert 2 == watch.alarms.stuck
    watch.see(busy(1, request=line))
    assert [("GET /report/*", 1, 61.0)] == [(a.path, a.count, a.peak) for a in watch.alerts]
    watch.see(idle(), after=4.0)
    assert [("GET /report/*", 0)] == [(a.path, a.count) for a in watch.alerts]
    assert [("stuck", False)] == watch.see(idle(), after=1.0)


def many_paths(*paths: str) -> Metrics:
    """Return a worker for each path, held since five seconds before `AT`."""
    metrics = build_metrics("W" * len(paths), counts=1, started=AT - 5.0)
    for worker, path in zip(metrics["processes"][0]["workers"], paths, strict=True):
        worker["request"] = f"GET /{path} HTTP/1.1"
    return metrics


def test_one_rule_tells_of_a_few_paths() -> None:
    """Of many kinds of requests the worst are told, and those that were told stay."""
    watch = Watch(Rule("stuck", "stuck", 1.0))
    paths = ["a", "a", "b", "c", "d", "e", "f", "g", "g"]
    watch.see(many_paths(*paths))
    watch.see(many_paths(*paths), after=60.0)
    told = [alert.path for alert in watch.alerts]
    assert MOST_PATHS == len(told)
    assert {"GET /a", "GET /g"} <= set(told)
    assert 9 == watch.alarms.stuck
    assert [] == watch.see(many_paths(*paths))


def test_a_restart_is_told_while_it_is_young() -> None:
    """For a minute from Apache's start; a second start is a second alert; a graceful one is none."""
    watch = Watch(Rule("restarted", "restart", None, 0.0, None, 0.0))
    assert [] == watch.see(busy(1, restart_time=AT - 500.0))
    assert [] == watch.see(busy(1, restart_time=AT - 500.0, running_generation=1))
    assert [("restarted", True)] == watch.see(busy(1, restart_time=AT + 2.5))
    assert [Alert("restarted", "restart", "warning", AT + 2.5)] == watch.alerts
    assert [] == watch.see(busy(1, restart_time=AT + 2.5), after=57.0)
    again = watch.see(busy(1, restart_time=AT + 60.5))
    assert [("restarted", False), ("restarted", True)] == again
    assert [] == watch.see(busy(1, restart_time=AT + 60.5), after=59.0)
    assert [("restarted", False)] == watch.see(busy(1, restart_time=AT + 60.5))
    assert 60.5 == watch.changes[-1].seconds


@pytest.mark.parametrize("jump", [7200.0, -7200.0])
def test_the_clock_may_be_set(jump: float) -> None:
    """An alert keeps its age: nothing begins or ends by a jump, and its start moves with the clock."""
    watch = Watch(*DEFAULT_RULES, Rule("slow", "oldest", 30.0))
    old: Metrics = {"restart_time": AT - 5000.0}
    for _ in range(11):
        watch.see(busy(10, **old))
    assert ["saturated"] == [alert.rule for alert in watch.alerts]
    assert [] == watch.see(busy(10, **old), jump=jump)
    assert [AT + 1.0 + jump] == [alert.since for alert in watch.alerts]
    for _ in range(10):
        assert [] == watch.see(busy(0, **old))
    assert [("saturated", False)] == watch.see(busy(0, **old))
    assert 22.0 == watch.changes[-1].seconds


def test_the_gravest_come_first() -> None:
    """Critical ones before warnings, older ones before newer ones, and so many at most."""
    rules = [Rule("late", "busy", 0.5, 3.0), Rule("soon", "busy", 0.5), Rule("grave", "busy", 0.8)]
    rules[2] = Rule("grave", "busy", 0.8, severity="critical")
    watch = Watch(*rules)
    watch.play("5558")
    assert ["grave", "late", "soon"] == [alert.rule for alert in watch.alerts]
    watch = Watch(*(Rule(f"rule-{n}", "stuck", 1.0) for n in range(MOST_RULES)))
    watch.see(many_paths("a", "b", "c"))
    assert 3 * MOST_RULES == len(watch.see(many_paths("a", "b", "c"), after=60.0))
    assert MOST_SHOWN == len(watch.alerts)


rules = st.builds(
    Rule,
    st.just("r"),
    st.just("busy"),
    st.sampled_from([0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.5, 2.0, 5.0]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.0, 1.0, 3.0]),
)
ticks = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 10)),
        st.sampled_from([0.25, 1.0, 1.0, 1.0, 60.0, 300.0]),
        st.sampled_from([0.0, 0.0, 0.0, 0.0, 3600.0, -3600.0]),
        st.sampled_from([0.0, 0.0, 0.0, 0.0, 500.0]),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(rules, ticks)
def test_alerts_keep_their_promises(
    rule: Rule, story: list[tuple[int | None, float, float, float]]
) -> None:
    """Whatever comes: begins and ends alternate, none is too short, and peaks reach the threshold.

    Failures, restarts, long pauses and a clock that is set in between.
    """
    watch, started, going, began_at = Watch(rule), AT - 5000.0, False, 0.0
    for count, after, jump, restart in story:
        started += restart
        metrics = None if count is None else busy(count, restart_time=started)
        before = len(watch.changes)
        watch.see(metrics, after=after, jump=jump)
        for change in watch.changes[before:]:
            assert change.began != going
            going = change.began
            assert change.seconds >= rule.hold_for
            if going:
                began_at = watch.now - change.seconds
            else:
                assert watch.now - began_at == pytest.approx(change.seconds)
            alert = change.alert
            assert alert.peak is not None
            assert rule.above is not None
            assert rule.above <= alert.peak <= 1.0
            assert change.at == watch.at
            assert alert.since == pytest.approx(watch.at - change.seconds, abs=0.001)
        assert going == bool(watch.alerts)


GOOD = {"name": "full", "when": "busy", "above": 0.9}


@pytest.mark.parametrize(
    ("given_rule", "expected"),
    [
        (GOOD, Rule("full", "busy", 0.9, 0.0, 0.81, 10.0, "warning")),
        (
            GOOD | {"for": 5, "clear_below": 0, "clear_for": 0, "severity": "critical"},
            Rule("full", "busy", 0.9, 5.0, 0.0, 0.0, "critical"),
        ),
        ({"name": "a-1", "when": "oldest", "above": 30}, Rule("a-1", "oldest", 30.0, 0.0, 27.0)),
        ({"name": "s", "when": "stuck"}, Rule("s", "stuck", 1.0)),
        ({"name": "s", "when": "stuck", "above": 3}, Rule("s", "stuck", 3.0)),
        ({"name": "e", "when": "error", "for": 2.5}, Rule("e", "error", hold_for=2.5)),
        ({"name": "r", "when": "restart", "clear_for": 1}, Rule("r", "restart", clear_for=1.0)),
        (DEFAULT_RULES[0], DEFAULT_RULES[0]),
    ],
)
def test_rules_are_read(given_rule: object, expected: Rule) -> None:
    """What a rule leaves out has a default."""
    assert (expected,) == read_rules([given_rule])


def test_the_default_rules_are_what_the_settings_could_say() -> None:
    """Written as fields, they come out the same."""
    fields = [
        {"name": rule.name, "when": rule.when, "for": rule.hold_for, "severity": rule.severity}
        | ({} if rule.above is None else {"above": rule.above})
        for rule in DEFAULT_RULES
    ]
    assert read_rules(fields) == DEFAULT_RULES


SECRET = "hunter2-HUNTER2"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (SECRET, ["rule 1 is no table", "name, when, above"]),
        ({"when": "busy"}, ["rule 1: name", "a-z, 0-9 and -"]),
        ({"name": SECRET}, ["rule 1: name"]),
        ({"name": "x" * 41}, ["rule 1: name"]),
        (GOOD | {"when": SECRET}, ["rule 'full': when", "busy, oldest, stuck, error, restart"]),
        ({"name": "full"}, ["rule 'full': when"]),
        (GOOD | {"abov": 1}, ["rule 'full': unknown field 'abov'", "clear_below"]),
        (GOOD | {SECRET: 1}, ["rule 'full': unknown field (its name is not shown)"]),
        (GOOD | {1: 1}, ["rule 'full': unknown field"]),
        *((GOOD | {"above": value}, ["rule 'full': above", "up to 1"]) for value in (
            SECRET, 0, -1, 1.01, True, None, float("nan"), float("inf"), [0.5],
        )),
        ({"name": "o", "when": "oldest"}, ["rule 'o': above", "seconds"]),
        ({"name": "o", "when": "oldest", "above": 1e7}, ["rule 'o': above", "604800"]),
        ({"name": "s", "when": "stuck", "above": 1.5}, ["rule 's': above", "whole number"]),
        ({"name": "s", "when": "stuck", "above": 0}, ["rule 's': above", "from 1"]),
        ({"name": "s", "when": "stuck", "clear_below": 1}, ["unknown field 'clear_below'", "stuck"]),
        ({"name": "e", "when": "error", "above": 1}, ["unknown field 'above'", "when = error"]),
        (GOOD | {"clear_below": 0.95}, ["rule 'full': clear_below", "`above`"]),
        (GOOD | {"for": -1}, ["rule 'full': for", "0 to 86400"]),
        (GOOD | {"clear_for": 1e9}, ["rule 'full': clear_for", "0 to 86400"]),
        (GOOD | {"severity": SECRET}, ["rule 'full': severity", "warning, critical"]),
    ],
)  # fmt: skip
def test_a_bad_rule_says_what_is_accepted(bad: object, words: list[str]) -> None:
    """The error names rule, field and accepted values, and never what was given."""
    with pytest.raises(RuleError) as caught:
        read_rules([bad])
    assert [] == [word for word in words if word not in str(caught.value)]
    assert SECRET not in str(caught.value)


def test_rules_have_names_of_their_own_and_are_bounded() -> None:
    """Two of one name, or too many, are refused."""
    with pytest.raises(RuleError, match="two rules have the name 'full'"):
        read_rules([GOOD, GOOD])
    with pytest.raises(RuleError, match=f"at most {MOST_RULES}"):
        read_rules([GOOD | {"name": f"r-{number}"} for number in range(MOST_RULES + 1)])
