"""What a check says: the finding, and how serious it is.

Owns no knowledge of Apache (that is rules.py) and no way to find anything (that is the checks).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.Enum):
    """How serious a finding is. Errors and warnings make `doctor` exit with 1, notes don't."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, where, and what to do.

    Args:
        check: the name of a rule in rules.py, which says why it matters.
        severity: how serious.
        what: one sentence: what is wrong here.
        evidence: where that is seen: "file:line", a line of a log, an answer; never a secret.
        fix: the exact directive or command to paste, or one sentence.
    """

    check: str
    severity: Severity
    what: str
    evidence: tuple[str, ...] = ()
    fix: str = ""


def error(check: str, what: str, *evidence: object, fix: str) -> Finding:
    """Return a finding of something that doesn't work."""
    return _finding(check, Severity.ERROR, what, evidence, fix)


def warning(check: str, what: str, *evidence: object, fix: str) -> Finding:
    """Return a finding of something that works until a bad day, or lets in who should stay out."""
    return _finding(check, Severity.WARNING, what, evidence, fix)


def note(check: str, what: str, *evidence: object, fix: str = "") -> Finding:
    """Return a finding that is worth knowing, and no fault."""
    return _finding(check, Severity.NOTE, what, evidence, fix)


def _finding(
    check: str, severity: Severity, what: str, evidence: tuple[object, ...], fix: str
) -> Finding:
    return Finding(
        check=check,
        severity=severity,
        what=what,
        evidence=tuple(str(item) for item in evidence if item is not None),
        fix=fix,
    )
