"""What the page is held to, by vitest, is what Python says: tests/twins."""

from __future__ import annotations

from tests.twins import FOLDER, build

# They are read as often as tests are run, and travel with every checkout.
MOST_BYTES = 300_000


def test_python_says_what_is_written() -> None:
    """What `python -m tests.twins` writes is what is there."""
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert there == dict(build())
    assert MOST_BYTES > sum(map(len, there.values()))
