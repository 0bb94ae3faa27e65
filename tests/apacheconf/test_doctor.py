"""What doctor runs, and that its knowledge is whole."""

from __future__ import annotations

import pytest
from tools import troubleshooting

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.directives import Configuration
from mod_wsgi_dashboard.apacheconf.findings import Severity, warning
from mod_wsgi_dashboard.apacheconf.rules import GROUPS, RULES
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apacheconf import proxy_breaches, test_capacity, test_setup, test_sidecar


def test_each_rule_has_its_check() -> None:
    """What can be found without an address has a check, and no check is without a rule."""
    assert {name for name, rule in RULES.items() if rule.group != "url"} == set(doctor.CHECKS)


# Shown on running servers, in proxy_address's own tests, and (SELinux, AppArmor) by given outputs.
SHOWN_ELSEWHERE = {
    "apparmor", "group-log", "module-upgraded", "mount-address", "not-running", "proxy-modules",
    "respawn-loop", "selinux", "setting", "stale-sockets",
}  # fmt: skip


def test_each_rule_has_a_configuration_that_breaks_it() -> None:
    """The tables of breaches leave no rule out."""
    tables = (
        *test_sidecar.BREACHES,
        *test_capacity.BREACHES,
        *test_setup.BREACHES.values(),
        *proxy_breaches.BREACHES,
    )
    broken = {breach.rule for breach in tables}
    assert set(doctor.CHECKS) - SHOWN_ELSEWHERE == broken - SHOWN_ELSEWHERE


def test_each_rule_is_in_a_group() -> None:
    """The page and --list-checks show the rules by their groups."""
    assert set(GROUPS) == {rule.group for rule in RULES.values()}


def test_the_troubleshooting_page_is_the_table_s() -> None:
    """docs/troubleshooting.md is what `python -m tools.troubleshooting` writes."""
    assert troubleshooting.PAGE.read_text(encoding="utf-8") == troubleshooting.page()


def test_nothing_to_look_at_gives_nothing() -> None:
    """An empty configuration of no server has no findings."""
    assert [] == doctor.examine(System(configuration=Configuration()))


def test_a_thousand_of_a_kind_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding for each of a thousand virtual hosts is told ten times, and then as a number."""
    told = warning("timeout", "Timeout is 5.", fix="Timeout 60")
    monkeypatch.setattr(doctor, "CHECKS", {"timeout": lambda _system: iter([told] * 1000)})
    found = doctor.examine(System(configuration=Configuration()))
    assert doctor.MOST_OF_A_KIND + 1 == len(found)
    assert found[-1].what.startswith("990 more")
    assert found[-1].severity is Severity.WARNING
