"""The forms of findings."""

from __future__ import annotations

import json

import pytest

from mod_wsgi_dashboard.apacheconf import report
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.rules import RULES

ERROR = error("server-metrics", "It is off.", "/etc/httpd.conf:3", fix="server-metrics=on")
WARNING = warning("timeout", "Timeout is 5.", fix="Timeout 60")
NOTE = note("server-name", "There is none.")


@pytest.mark.parametrize(
    ("findings", "status"), [([], 0), ([NOTE], 0), ([NOTE, WARNING], 1), ([ERROR], 1)]
)
def test_the_exit_status(findings: list[Finding], status: int) -> None:
    """Errors and warnings make it 1, notes don't."""
    assert status == report.exit_status(findings)


def test_the_worst_comes_first() -> None:
    """Errors, then warnings, then notes."""
    assert [ERROR, WARNING, NOTE] == report.ordered([NOTE, WARNING, ERROR])


def test_a_clean_system_is_one_line() -> None:
    """Without findings there is one line, which says what was looked at."""
    assert "Nothing wrong was found. Read it." == report.as_text([], "Read it.", colour=False)


def test_the_text_has_all_that_one_needs() -> None:
    """What, evidence, why, fix, documentation and the check's name, and a summary at the end."""
    text = report.as_text([ERROR, WARNING, NOTE], "Read it.", colour=False)
    for part in (
        "ERROR   It is off. [server-metrics]",
        "  seen  /etc/httpd.conf:3",
        "  why   ",
        "  fix   ",
    ):
        assert part in text
    assert RULES["server-metrics"].docs in text
    assert text.endswith("\n1 error, 1 warning, 1 note. Read it.")
    assert "\x1b" not in text


def test_colour() -> None:
    """With colour the text is the same otherwise."""
    coloured = report.as_text([ERROR], "", colour=True)
    for code in ("\x1b[31m", "\x1b[1m", "\x1b[0m"):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == report.as_text([ERROR], "", colour=False)


def test_hostile_text_steers_no_terminal() -> None:
    """Control characters of a configuration or a log are shown, not sent; long evidence is cut."""
    hostile = error(
        "server-metrics", "a\x1b[2Jb\x07", "e\x1b]0;x\x07" + "y" * 1000, fix="f\x9bm\u202e\ng"
    )
    text = report.as_text([hostile], "r\x1b", colour=False)
    assert "a\\x1b[2Jb\\x07" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    assert max(map(len, text.splitlines())) <= report.EVIDENCE_LENGTH + 10
    assert "\x1b" not in json.dumps(report.as_data([hostile], "r\x1b"))


def test_json_has_why_and_docs() -> None:
    """The form for programs has all that the text has, and counts."""
    data = report.as_data([ERROR, NOTE], "Read it.")
    assert {"error": 1, "warning": 0, "note": 1} == data["counts"]
    first = data["findings"][0]
    assert ("server-metrics", "sidecar", "error") == (first["check"], first["group"], first["severity"])
    assert RULES["server-metrics"].why == first["why"]
    assert ["/etc/httpd.conf:3"] == first["evidence"]
