"""What the page is made of, and how much of it a browser needs before it shows anything.

Owns which files those are: what `index.html` names, what that imports at once, and the shared worker's
script with what that imports. It must not know a browser.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import mod_wsgi_dashboard
from benchmarks.children import BenchmarkError

WEB = Path(mod_wsgi_dashboard.__file__).parent / "_web"

# As the bundler writes them: `import{a as b}from"./x.js"`, and `import"./x.js"`. What is imported later
# is a call: `import("./x.js")`.
_IMPORTED = re.compile(r'\b(?:from|import)\s*["`]\./([\w.-]+\.js)["`]')
_NAMED = re.compile(r'(?:src|href)="\./assets/([\w.-]+\.(?:js|css))"')


def weigh(path: Path) -> int:
    """Return the bytes of a file as it is sent at best, by `gzip -9`."""
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def all_files(web: Path = WEB) -> list[Path]:
    """Return all scripts and style sheets.

    Raises:
        BenchmarkError: the page is not built.
    """
    found = sorted(web.glob("assets/*.js")) + sorted(web.glob("assets/*.css"))
    if not found:
        raise BenchmarkError("the page is not built: run `make setup`")
    return found


def first_files(web: Path = WEB) -> list[Path]:
    """Return those that are loaded before the page shows anything, without its icon.

    Raises:
        BenchmarkError: the page is not built, or is not built as this module knows it.
    """
    files = {path.name: path for path in all_files(web)}
    names = _NAMED.findall((web / "index.html").read_text())
    worker = [name for name in files if name.startswith("worker-")]
    if not names or len(worker) != 1:
        raise BenchmarkError("index.html names no script, or there is not one worker's script")
    found: dict[str, Path] = {}
    waiting = [*names, *worker]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = files[name]
            waiting += _IMPORTED.findall(files[name].read_text())
    return [found[name] for name in sorted(found)]
