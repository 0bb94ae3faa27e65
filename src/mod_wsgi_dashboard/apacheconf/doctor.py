"""Runs the checks over a system.

Owns the table of checks, and how many findings of one check are told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mod_wsgi_dashboard.apacheconf.checks import Check, capacity, proxy, setup, sidecar
from mod_wsgi_dashboard.apacheconf.checks.sidecar_answer import said
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.report import ordered
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.system import System

CHECKS: Mapping[str, Check] = {**setup.CHECKS, **sidecar.CHECKS, **proxy.CHECKS, **capacity.CHECKS}

# Why a dashboard doesn't answer is worth telling, and that it doesn't follows.
EXPLAIN_SILENCE = {
    "mount-address",
    "package-importable",
    "port-taken",
    "respawn-loop",
    "script-readable",
    "setting",
}

# Findings of one check: a configuration with a thousand virtual hosts repeats itself.
MOST_OF_A_KIND = 10


def examine(system: System, only: Collection[str] = ()) -> list[Finding]:
    """Run the checks, all or those named, and return what they find, the worst first."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        if not only or name in only:
            found += _bounded(name, list(check(system)))
    names = {finding.check for finding in found}
    found += [one for one in said(system) if one.check not in names and (not only or one.check in only)]
    if names & EXPLAIN_SILENCE:
        found = [finding for finding in found if finding.check != "not-running"]
    return ordered(found)


def _bounded(name: str, findings: list[Finding]) -> list[Finding]:
    if len(findings) <= MOST_OF_A_KIND:
        return findings
    first = findings[0]
    rest = Finding(
        check=name,
        severity=first.severity,
        what=f"{len(findings) - MOST_OF_A_KIND} more of the same: {RULES[name].title}",
        fix=RULES[name].fix,
    )
    return [*findings[:MOST_OF_A_KIND], rest]
