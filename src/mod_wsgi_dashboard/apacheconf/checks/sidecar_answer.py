"""The check of what a running dashboard says of itself, or that it says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity, error
from mod_wsgi_dashboard.apacheconf.system import System


def not_running(system: System) -> Iterator[Finding]:
    """A dashboard of the live server that doesn't answer at its own address."""
    for sidecar in system.sidecars:
        answer = system.answers.get(sidecar.address)
        if answer is not None and answer.problem is not None:
            yield error(
                "not-running",
                "The dashboard doesn't answer at its own address.",
                answer.problem,
                sidecar.script.directive.place,
                fix="# start Apache, or see what its error log says of the dashboard\n"
                "LogLevel warn wsgi:info",
            )


def said(system: System) -> Iterator[Finding]:
    """Return what the running dashboards find wrong with themselves; their notes are their page's."""
    for answer in system.answers.values():
        for finding in answer.findings:
            if finding.severity is not Severity.NOTE:
                yield finding
