"""The forms of findings: text for a person, data for programs, an exit status.

Owns their order and looks. Pure: it prints nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.rules import RULES

# Characters of one piece of evidence: a line of a log may be long.
EVIDENCE_LENGTH = 300

WIDTH = 100

_COLOURS = {Severity.ERROR: "\x1b[31m", Severity.WARNING: "\x1b[33m", Severity.NOTE: "\x1b[36m"}
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings the worst first, those of one kind in the order of the rules."""
    order = list(RULES)
    return sorted(findings, key=lambda f: (f.severity.rank, order.index(f.check)))


def exit_status(findings: Iterable[Finding]) -> int:
    """Return 1 if there is an error or a warning, else 0."""
    return int(any(finding.severity is not Severity.NOTE for finding in findings))


def as_data(findings: Sequence[Finding], read: str) -> dict[str, Any]:
    """Return findings in the form of `--format json`; `read` says what was looked at."""
    return {
        "read": printable(read),
        "counts": {
            severity.value: sum(finding.severity is severity for finding in findings)
            for severity in Severity
        },
        "findings": [_datum(finding) for finding in findings],
    }


def _datum(finding: Finding) -> dict[str, Any]:
    rule = RULES[finding.check]
    return {
        "check": finding.check,
        "group": rule.group,
        "severity": finding.severity.value,
        "what": printable(finding.what),
        "evidence": [printable(item) for item in finding.evidence],
        "why": rule.why,
        "fix": printable(finding.fix),
        "docs": rule.docs,
    }


def as_text(findings: Sequence[Finding], read: str, *, colour: bool) -> str:
    """Return findings as a person reads them, with a summary as the last line."""
    blocks = [_block(finding, colour=colour) for finding in findings]
    return "\n\n".join([*blocks, f"{_summary(findings)} {printable(read)}"])


def _summary(findings: Sequence[Finding]) -> str:
    counts = [
        f"{count} {severity.value}{'' if count == 1 else 's'}"
        for severity in Severity
        if (count := sum(finding.severity is severity for finding in findings))
    ]
    return f"{', '.join(counts)}." if counts else "Nothing wrong was found."


def _block(finding: Finding, *, colour: bool) -> str:
    rule = RULES[finding.check]
    label = finding.severity.value.upper()
    head = f"{label:8}{printable(finding.what)} [{finding.check}]"
    if colour:
        head = f"{_COLOURS[finding.severity]}{label:8}{_PLAIN}{_BOLD}{head[8:]}{_PLAIN}"
    lines = [head]
    lines += [f"  seen  {_shortened(item)}" for item in finding.evidence]
    lines += _paragraph("  why   ", rule.why)
    lines += [
        f"{'  fix   ' if n == 0 else '        '}{printable(line)}"
        for n, line in enumerate((finding.fix or rule.fix).splitlines())
    ]
    lines.append(f"  docs  {rule.docs}")
    return "\n".join(lines)


def _paragraph(label: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=label, subsequent_indent=" " * len(label))


def _shortened(text: str) -> str:
    text = printable(text)
    return text if len(text) <= EVIDENCE_LENGTH else text[: EVIDENCE_LENGTH - 1] + "…"


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: control characters become \\xNN."""
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
