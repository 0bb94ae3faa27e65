"""Alerts: what an operator should be told of, by rules, from when it begins until it is over.

Owns the rules, what they accept, and whether their conditions hold. It must not know who is told. Pure:
instants are those of the samples, durations by the caller's monotonic clock. If the wall clock is set,
the instants of what goes on are set with it, so that an age is right whenever one looks.

A condition begins when a number reaches `above`. Once it has held at every reading for `for` seconds
there is an alert, until the number has been under `clear_below` for `clear_for` seconds. What can't be
read holds nothing: no alert begins by it, and one that nothing confirms for `clear_for` seconds ends.

Each graceful restart is another process: it adopts what the one before told last.

Invariants: an alert has lasted for at least `for` seconds when it begins, begins once and ends once;
its peak is never under its threshold, where both are of one unit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from mod_wsgi_dashboard.core.durations import Requests, Stuck
from mod_wsgi_dashboard.core.rates import LONGEST_GAP, Reading

# Rules an operator may set, alerts that viewers are shown, and kinds of paths that one rule tells of.
MOST_RULES, MOST_SHOWN, MOST_PATHS = 20, 20, 5

KINDS = ("busy", "oldest", "stuck", "error", "restart")
SEVERITIES = ("warning", "critical")
LONGEST_SECONDS = 86_400.0

# An Apache that is younger was restarted.
YOUNG_SECONDS = 60.0

# Apache keeps the instant of its start. What passed it on may have rounded it.
RESTART_SECONDS = 2.0

# NTP slews by less, and a clock that was set by less spoils no age.
CLOCK_JUMP = 2.0


class Rule(msgspec.Struct, frozen=True):
    """When to alert. `hold_for` is the setting's field `for`; `above` is None for error and restart."""

    name: str
    when: str
    above: float | None = None
    hold_for: float = 0.0
    clear_below: float | None = None
    clear_for: float = 10.0
    severity: str = "warning"


DEFAULT_RULES = (
    Rule("saturated", "busy", 1.0, 10.0, 0.9, severity="critical"),
    Rule("nearly-saturated", "busy", 0.9, 60.0, 0.81),
    Rule("stuck-workers", "stuck", 1.0),
    Rule("metrics-off", "error", hold_for=5.0, severity="critical"),
    Rule("restarted", "restart"),
)


class RuleError(ValueError):
    """A rule is not accepted; the message names it, its field and what is accepted, never a value."""


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """A condition that an operator should know of, since it began and until it is over.

    `rule` is the operator's word, [a-z0-9-]{1,40}. `kind` is what is looked at: busy, oldest, stuck,
    error or restart; `severity` warning or critical. `since` is when the condition began, in epoch
    seconds, not when it had lasted for as long as the rule says. `peak` is the highest share of busy
    workers, 0 to 1 (busy), or the longest age in seconds (oldest, stuck). `threshold` is the rule's
    `above`. `path` (stuck) is the kind of request, such as "GET /report/*": text of the scoreboard,
    which belongs in no log and no label. `count` (stuck) is how many workers it holds now.
    """

    rule: str
    kind: str
    severity: str
    since: float
    peak: float | None = None
    threshold: float | None = None
    path: str | None = None
    count: int | None = None


class Change(msgspec.Struct, frozen=True):
    """An alert that began, or one that is over, with all that was known of it then.

    `at` is when, in epoch seconds; `seconds` how long the condition had lasted by then.
    """

    began: bool
    alert: Alert
    at: float
    seconds: float


class Told(NamedTuple):
    """What a reading makes of the rules: alerts to show, the gravest first, and what changed."""

    alerts: list[Alert]
    changes: list[Change]


class _Found(msgspec.Struct, frozen=True):
    """What a rule finds in a reading: whether the condition holds, or is over; it may be neither."""

    holds: bool
    over: bool
    peak: float | None = None
    count: int | None = None
    since: float | None = None


class _Case:
    """A condition that began, and may be an alert."""

    def __init__(self, at: float, now: float, since: float | None) -> None:
        # An instant that Apache keeps is not set with the clock.
        self.fixed = since is not None
        self.since = at if since is None else since
        self.began = now if since is None else now - max(0.0, at - since)
        self.active = False
        self.over_since: float | None = None
        self.peak: float | None = None
        self.count: int | None = None


_Key = tuple[str, str | None]


class Alarms:
    """Judges one reading after another by the rules.

    Args:
        rules: with names of their own.
    """

    def __init__(self, rules: Iterable[Rule] = DEFAULT_RULES) -> None:
        self.rules = tuple(rules)
        self.requests = Requests()
        # Workers that are stuck, and the age of the oldest request: None where nothing tells.
        self.stuck: int | None = None
        self.oldest: float | None = None
        self._paths: dict[str, Stuck] = {}
        self._cases: dict[_Key, _Case] = {}
        self._observed: float | None = None
        self._offset: float | None = None
        # Apache's start, when the service saw it first, and until when Apache is young.
        self._restart: tuple[float, float, float] | None = None

    def adopt(self, alerts: Iterable[Alert], *, seen_at: float, at: float, now: float) -> None:
        """Go on, before the first reading, with the alerts of a process before: none begins anew.

        What no rule is for any more is left out. So is all of it, if that process was seen last too long
        ago to know what has held since.

        Args:
            alerts: those of its last sample.
            seen_at: the instant of that, in epoch seconds.
            at: the present in epoch seconds.
            now: the same in monotonic seconds.
        """
        if not -CLOCK_JUMP <= at - seen_at <= LONGEST_GAP:
            return
        rules = {rule.name: rule for rule in self.rules}
        for alert in alerts:
            rule = rules.get(alert.rule)
            if rule is None or (rule.when, rule.above) != (alert.kind, alert.threshold):
                continue
            if (rule.when == "stuck") != (alert.path is not None):
                continue
            case = self._cases[alert.rule, alert.path] = _Case(at, now, alert.since)
            case.fixed, case.active = rule.when == "restart", True
            case.peak, case.count = alert.peak, alert.count

    def observe(self, reading: Reading | None, *, at: float, now: float) -> Told:
        """Judge a reading.

        Args:
            reading: None where the scoreboard could not be read.
            at: its instant in epoch seconds.
            now: the same in monotonic seconds, not before the last.
        """
        self._heed_clock(at, now)
        self._look(reading, at, now)
        changes: list[Change] = []
        for rule in self.rules:
            found = self._find(rule, reading, now)
            for path in self._paths_of(rule, found):
                changes += self._advance(rule, path, found.get(path), at, now)
        return Told(self._alerts(), changes)

    def _heed_clock(self, at: float, now: float) -> None:
        if self._observed is not None and now - self._observed > LONGEST_GAP:
            # Nobody knows whether what held then has held since.
            self._cases = {name: case for name, case in self._cases.items() if case.active}
        jump = 0.0 if self._offset is None else at - now - self._offset
        self._observed, self._offset = now, at - now
        if abs(jump) > CLOCK_JUMP:
            for case in self._cases.values():
                case.since += 0.0 if case.fixed else jump

    def _look(self, reading: Reading | None, at: float, now: float) -> None:
        """Take in what rules are about."""
        self.stuck, self.oldest, self._paths = None, None, {}
        if reading is None:
            return
        self.requests.observe(reading.scoreboard, at=at, now=now)
        if reading.capacity.extended_status:
            self._paths = self.requests.stuck(now)
            self.stuck = sum(found.count for found in self._paths.values())
            self.oldest = self.requests.oldest(now)
        started = reading.scoreboard.restart_time
        if self._restart is None or abs(started - self._restart[0]) > RESTART_SECONDS:
            age = max(0.0, at - started)
            self._restart = (started, min(started, at), now + YOUNG_SECONDS - age)

    def _find(self, rule: Rule, reading: Reading | None, now: float) -> dict[str | None, _Found]:
        """Return what a rule finds; what it doesn't name is over."""
        above = rule.above or 0.0
        if rule.when == "stuck":
            return {
                path: _Found(stuck.count >= above, stuck.count < above, stuck.oldest, stuck.count)
                for path, stuck in self._paths.items()
            }
        if rule.when == "error":
            return {None: _Found(holds=True, over=False)} if reading is None else {}
        if rule.when == "restart":
            if self._restart is None or now >= self._restart[2]:
                return {}
            return {None: _Found(holds=True, over=False, since=self._restart[1])}
        value = self.oldest if rule.when == "oldest" else _busy(reading)
        if value is None:
            return {}
        clear_below = above if rule.clear_below is None else rule.clear_below
        return {None: _Found(value >= above, value < clear_below, value)}

    def _paths_of(self, rule: Rule, found: Mapping[str | None, _Found]) -> list[str | None]:
        """Return what the rule is to be judged for: what goes on, and the worst of what is new."""
        known = [path for name, path in self._cases if name == rule.name]
        most = MOST_PATHS if rule.when == "stuck" else 1
        new = [path for path, each in found.items() if each.holds and path not in known]
        new.sort(key=lambda path: (-(found[path].count or 0), -(found[path].peak or 0.0)))
        return [*known, *new[: max(0, most - len(known))]]

    def _advance(
        self, rule: Rule, path: str | None, found: _Found | None, at: float, now: float
    ) -> list[Change]:
        """Begin, continue or end what a rule finds; return what changed."""
        name, changes = (rule.name, path), list[Change]()
        case = self._cases.get(name)
        if case is not None and not self._goes_on(rule, case, found, now):
            del self._cases[name]
            if case.active:
                changes.append(Change(False, _alert(rule, path, case), at, now - case.began))
            case = None
        if case is None:
            if found is None or not found.holds:
                return changes
            case = self._cases[name] = _Case(at, now, found.since)
        _take(case, found)
        if not case.active and now - case.began >= rule.hold_for:
            case.active = True
            changes.append(Change(True, _alert(rule, path, case), at, now - case.began))
        return changes

    def _goes_on(self, rule: Rule, case: _Case, found: _Found | None, now: float) -> bool:
        if not case.active:
            return found is not None and found.holds
        if found is not None and not found.over:
            case.over_since = None
            # Another restart is another alert.
            return found.since is None or abs(found.since - case.since) <= RESTART_SECONDS
        if case.over_since is None:
            case.over_since = now
        return now - case.over_since < rule.clear_for

    def _alerts(self) -> list[Alert]:
        rules = {rule.name: rule for rule in self.rules}
        alerts = [
            _alert(rules[name], path, case) for (name, path), case in self._cases.items() if case.active
        ]
        alerts.sort(key=lambda alert: (alert.severity != "critical", alert.since))
        return alerts[:MOST_SHOWN]


def _busy(reading: Reading | None) -> float | None:
    if reading is None or reading.capacity.workers <= 0:
        return None
    return min(1.0, reading.rates.busy / reading.capacity.workers)


def _take(case: _Case, found: _Found | None) -> None:
    """Take in how bad it is."""
    if found is None:
        case.count = None if case.count is None else 0
        return
    case.count = found.count
    if found.peak is not None:
        case.peak = max(found.peak, case.peak or 0.0)


def _alert(rule: Rule, path: str | None, case: _Case) -> Alert:
    return Alert(
        rule=rule.name,
        kind=rule.when,
        severity=rule.severity,
        since=case.since,
        # Not rounded down, or it might come out under the threshold.
        peak=None if case.peak is None else math.ceil(case.peak * 10_000 - 1e-6) / 10_000,
        threshold=rule.above,
        path=path,
        count=case.count,
    )


_FIELDS = ("name", "when", "above", "for", "clear_below", "clear_for", "severity")
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_HIGHEST = {"busy": 1.0, "oldest": 7 * LONGEST_SECONDS, "stuck": 1e6}
_ABOVE = {
    "busy": "a share of the workers, above 0 and up to 1",
    "oldest": "seconds, above 0 and up to 604800",
    "stuck": "a whole number of workers from 1 to 1000000",
}


def read_rules(given: Iterable[object]) -> tuple[Rule, ...]:
    """Return the rules that a setting gives, each a table of fields, or a `Rule`.

    Raises:
        RuleError: a rule is not accepted.
    """
    rules = [
        rule if isinstance(rule, Rule) else _rule(rule, number)
        for number, rule in enumerate(given, start=1)
    ]
    if len(rules) > MOST_RULES:
        raise RuleError(f"there are {len(rules)} rules: use at most {MOST_RULES}")
    names = [rule.name for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise RuleError(f"two rules have the name '{name}': give each its own")
    return tuple(rules)


def _rule(given: object, number: int) -> Rule:
    if not isinstance(given, Mapping):
        raise RuleError(f"rule {number} is no table: use fields {', '.join(_FIELDS)}")
    name = given.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RuleError(f"rule {number}: name must be 1 to 40 of the characters a-z, 0-9 and -")
    rule = _Table(f"rule '{name}'", given)
    when = rule.choice("when", KINDS)
    known = _FIELDS if when in ("busy", "oldest") else [f for f in _FIELDS if f != "clear_below"]
    if when in ("error", "restart"):
        known = [field for field in known if field != "above"]
    rule.only(known, when)
    above = clear_below = None
    if when in _ABOVE:
        above = rule.number("above", 0.0, _HIGHEST[when], _ABOVE[when], 1.0 if when == "stuck" else None)
        if above == 0.0 or (when == "stuck" and above % 1):
            raise RuleError(f"rule '{name}': above must be {_ABOVE[when]}")
        if when != "stuck":
            accepts = "a number from 0 to the rule's `above`"
            clear_below = rule.number("clear_below", 0.0, above, accepts, round(0.9 * above, 9))
    return Rule(
        name,
        when,
        above,
        rule.number("for", 0.0, LONGEST_SECONDS, _SECONDS, 0.0),
        clear_below,
        rule.number("clear_for", 0.0, LONGEST_SECONDS, _SECONDS, 10.0),
        rule.choice("severity", SEVERITIES, "warning"),
    )


_SECONDS = "seconds from 0 to 86400"


class _Table(NamedTuple):
    """The fields of a rule as they were given, and what to call it."""

    title: str
    fields: Mapping[Any, object]

    def only(self, known: Sequence[str], when: str) -> None:
        """Refuse fields that rules of this kind don't have."""
        for field in self.fields:
            if field not in known:
                raise RuleError(
                    f"{self.title}: unknown field {_readable(field)} for a rule with when = {when}:"
                    f" use {', '.join(known)}"
                )

    def choice(self, field: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Return one of some words."""
        value = self.fields.get(field, default)
        if not isinstance(value, str) or value not in choices:
            raise RuleError(f"{self.title}: {field} must be one of {', '.join(choices)}")
        return value

    def number(self, field: str, low: float, high: float, accepts: str, default: float | None) -> float:
        """Return a number within bounds."""
        value = self.fields.get(field, default)
        good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not good:
            raise RuleError(f"{self.title}: {field} must be {accepts}")
        return float(value)  # type: ignore[arg-type]  # a number, as was just seen


def _readable(field: object) -> str:
    """Return the name of an unknown field; what looks like no name may be a secret, out of place."""
    named = isinstance(field, str) and re.fullmatch(r"[a-z_]{1,20}", field)
    return f"'{field}'" if named else "(its name is not shown)"
