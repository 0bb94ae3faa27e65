"""The page's weight before it shows anything.

To repeat it: `.venv/bin/python tools/npm.py run build`, then `gzip -9 -c FILE | wc -c` of each file that
`_web/index.html` names, of what these import at once, and of the shared worker's.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import weight

# Bytes, by gzip -9: what a line of 1 Mbit/s brings in 0.4 s.
BUDGET = 50_000


def test_the_page_shows_something_after_50_kb() -> None:
    """Scripts and style sheets that are loaded before the first contents are at most 50,000 bytes."""
    sizes = {path.name: weight.weigh(path) for path in weight.first_files()}
    assert sum(sizes.values()) <= BUDGET, sizes


def test_what_comes_later_is_not_counted_and_all_else_is(tmp_path: Path) -> None:
    """What scripts import at once belongs to the first files, over any number of steps; no other."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (tmp_path / "index.html").write_text(
        '<link rel="icon" href="./assets/icon.svg"><script src="./assets/page-1.js"></script>'
        '<link rel="stylesheet" href="./assets/page-2.css">'
    )
    scripts = {
        "page-1.js": 'import{a as b,c}from"./feed-3.js";const p=()=>import("./later-4.js")',
        "feed-3.js": 'import"./base-5.js";',
        "base-5.js": "",
        "worker-6.js": 'import{x}from"./only-7.js"',
        "only-7.js": "",
        "later-4.js": "",
        "page-2.css": "",
        "later-8.css": "",
    }
    for name, text in scripts.items():
        (assets / name).write_text(text)
    expected = ["base-5.js", "feed-3.js", "only-7.js", "page-1.js", "page-2.css", "worker-6.js"]
    assert expected == [path.name for path in weight.first_files(tmp_path)]
