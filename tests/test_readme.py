"""What README and docs say is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.settings import describe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_settings_table_is_the_code_s() -> None:
    """The README lists each setting with the default, values and meaning that the code has."""
    expected = [f"| `{n}` | `{d}` | {a} | {m} |" for n, d, a, m in describe()]
    table = README.partition("| setting |")[2].partition("\n\n")[0].splitlines()[2:]
    assert expected == table


@pytest.mark.parametrize(
    "struct", [wire.Sample, wire.Failure, wire.ViewerCount, rates.Rates, rates.Capacity]
)
def test_the_protocol_page_names_every_member(struct: type[msgspec.Struct]) -> None:
    """docs/protocol.md explains each member of a frame."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert [] == [
        name for name in struct.__struct_fields__ if f"`{name}`" not in text and f'"{name}"' not in text
    ]


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("apache/*.md")])
)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page points to a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_the_make_targets_exist() -> None:
    """Each make command that the README names is a target."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|    )make (\w+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target
