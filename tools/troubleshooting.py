"""Write docs/troubleshooting.md from the table of rules that `doctor` checks.

python -m tools.troubleshooting
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mod_wsgi_dashboard.apacheconf.rules import GROUPS, RULES, Rule

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"

HEAD = """# Troubleshooting

    mod_wsgi-dashboard doctor
    mod_wsgi-dashboard doctor --url https://www.example.com/metrics/

`doctor` looks for all that this page lists: in Apache's configuration, its error logs, sockets and
processes, and, given an address, from outside. It changes nothing. Run it as root, or it sees less.
Each finding has its evidence (file and line), why it matters, and the directive to paste. `--check NAME`
runs one check; `--format json` is for programs; the exit status is 1 with errors and warnings, 0 with
notes alone. `--config FILE` judges a configuration that isn't live yet. The dashboard shows what it can
see of itself at `doctor` below its mount.

This page is generated from the table of checks by `python -m tools.troubleshooting`.
"""


def page() -> str:
    """Return the text of the page."""
    return "\n".join([HEAD, *_symptoms(), *_rules()])


def _symptoms() -> Iterator[str]:
    yield "## By what you see\n"
    yield "| what you see | what it may be |\n|---|---|"
    for rule in RULES.values():
        yield f"| {_cell(rule.symptom)} | [{rule.title}](#{rule.name}) |"
    yield ""


def _rules() -> Iterator[str]:
    for group, title in GROUPS.items():
        yield f"## {title}\n"
        for rule in RULES.values():
            if rule.group == group:
                yield _section(rule)


def _section(rule: Rule) -> str:
    return (
        f"### {rule.name}\n\n**{rule.title}.** {rule.why}\n\n"
        f"- What you see: {rule.symptom}\n- What to do: {rule.fix}\n- Documentation: <{rule.docs}>\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
