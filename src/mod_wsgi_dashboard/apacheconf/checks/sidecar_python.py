"""Checks of what the dashboard's process has to read: its script, its Python, its package.

Owns where Python looks for packages under a python-home. Must not run a Python: another one than this
is asked about, as another user than this.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import mod_wsgi_dashboard
from mod_wsgi_dashboard.apacheconf import directories, machine
from mod_wsgi_dashboard.apacheconf.checks.sidecar_fixes import group_with, listing, opened, unquoted
from mod_wsgi_dashboard.apacheconf.checks.sidecar_log import masked, missing_module
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, warning
from mod_wsgi_dashboard.apacheconf.machine import Account, Block
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Sidecar

PACKAGE = "mod_wsgi_dashboard"

# What `mod_wsgi-dashboard service-script` prints.
PACKAGED_SCRIPT = Path(mod_wsgi_dashboard.__file__).parent / "service_script.py"

# Files that add directories to Python's path; an environment has a handful.
MAX_PATH_FILES = 50

# Minor versions of Python 3 that are tried where nothing tells the one: from the oldest that the
# dashboard runs on, some years ahead.
MINORS = range(10, 21)

# Where distributions, and `make install`, have their Python.
PREFIXES = ("/usr", "/usr/local")

SMALL_FILE_BYTES = 64 * 1024

# A script that changes where Python looks is beyond what can be told from here.
_CHANGES_PATH = re.compile(r"sys\s*\.\s*path|addsitedir|activate_this|importlib|execfile|exec\(")


# As mod_wsgi presents itself in Apache's description; hidden by ServerTokens.
_BUILT_FOR = re.compile(r"mod_wsgi/[\d.]+ Python/3\.([0-9]{1,2})\b")


def script_readable(system: System) -> Iterator[Finding]:
    """A script, or a Python, that the daemon's user can't read."""
    for sidecar in system.sidecars:
        who = _account(system, sidecar)
        if who is None:
            continue
        for what, path, want in _read_by(system, sidecar):
            block = machine.blocked_at(path, who, want=want)
            if block is None or (
                block.reason == "missing" and not _is_here(system, sidecar, block, path)
            ):
                continue
            if block.reason == "missing" and what != "script":
                continue  # package_importable says so
            yield _unreadable(sidecar, who, f"{what} {path}", block)
            break


def _read_by(system: System, sidecar: Sidecar) -> Iterator[tuple[str, str, str]]:
    """Yield what a dashboard's process reads at its start: a name, a path, a permission."""
    yield "script", script_path(system, sidecar), "r"
    home = _home(system, sidecar)
    if home is None:
        return
    yield "Python", home, "x"
    yield "Python", f"{home}/pyvenv.cfg", "r"
    base = _cfg(home).get("home")
    if base is not None and os.path.isabs(base):
        yield "Python", base, "x"
    for site in _site_packages(home):
        yield "Python", site, "r"
        yield "Python", site, "x"
    found = _package_in(_search_path(system, sidecar))
    if found is not None:
        yield "package", found, "r"


def _unreadable(sidecar: Sidecar, who: Account, what: str, block: Block) -> Finding:
    if block.reason == "missing":
        return error(
            "script-readable",
            f"The dashboard's {what} is not there.",
            sidecar.script.directive.place,
            f"no {block.path}",
            fix=f"WSGIImportScript {PACKAGED_SCRIPT} process-group={sidecar.script.process_group}"
            " application-group=%{GLOBAL}",
        )
    return error(
        "script-readable",
        f"The dashboard's {what} can't be read by {who.name}, whom the group runs as: {block.path} is"
        f" {block.reason}.",
        sidecar.script.directive.place,
        listing(block),
        fix=opened(block),
    )


def package_importable(system: System) -> Iterator[Finding]:
    """A Python that doesn't have the package: by its directories, or by what the log says."""
    for sidecar in system.sidecars:
        other = _other_version(system, sidecar)
        if other is not None:
            yield other
            continue
        missing = missing_module(system, sidecar)
        if missing is not None:
            module, line = missing
            yield error(
                "package-importable",
                f"The dashboard's Python doesn't have the module {module}.",
                line,
                *_places(sidecar),
                fix=_fix(sidecar),
            )
            continue
        text = system.script_text(sidecar.script.path)
        if text is not None and PACKAGE in text and not _CHANGES_PATH.search(text):
            yield from _not_installed(system, sidecar)


def _other_version(system: System, sidecar: Sidecar) -> Finding | None:
    """Return the finding of a virtual environment whose Python isn't the one of mod_wsgi."""
    home = _home(system, sidecar)
    minor = _minor(home) if home is not None else None
    said = [line for line in system.log_lines("resuming normal operations") if _BUILT_FOR.search(line)]
    built_for = _BUILT_FOR.search(said[-1]) if said else None
    if home is None or minor is None or built_for is None or minor == int(built_for[1]):
        return None
    python = f"python3.{built_for[1]}"
    return error(
        "package-importable",
        f"{home} is an environment of Python 3.{minor}, and mod_wsgi was built for 3.{built_for[1]}.",
        *_places(sidecar),
        masked(said[-1]),
        fix=f"{python} -m venv --clear {shlex.quote(home)}\n"
        f"{shlex.quote(home)}/bin/pip install mod_wsgi-dashboard",
    )


def _not_installed(system: System, sidecar: Sidecar) -> Iterator[Finding]:
    home = _home(system, sidecar)
    if home is None:
        yield from _without_home(system, sidecar)
        return
    who = _account(system, sidecar)
    block = machine.blocked_at(home, who, want="x") if who is not None else None
    if block is not None:
        if block.reason == "missing" and _is_here(system, sidecar, block, home):
            yield error(
                "package-importable",
                f"The dashboard's Python {home} is not there.",
                *_places(sidecar),
                f"no {block.path}",
                fix=_fix(sidecar),
            )
        return
    sites = _site_packages(home)
    if not sites or _has_metadata(home) or _package_in(_search_path(system, sidecar)) is not None:
        return
    yield error(
        "package-importable",
        f"{PACKAGE} is not installed in {home}, the Python of the dashboard's group.",
        *_places(sidecar),
        *(f"no {site}/{PACKAGE}" for site in sites),
        fix=f"{home}/bin/pip install mod_wsgi-dashboard",
    )


def _without_home(system: System, sidecar: Sidecar) -> Iterator[Finding]:
    """Say that a virtual environment is not named, if it alone has the package."""
    own_is_virtual = sys.prefix != sys.base_prefix
    if not own_is_virtual or _package_in(_search_path(system, sidecar)) is not None:
        return
    yield warning(
        "package-importable",
        f"The dashboard's group names no python-home, and {PACKAGE} is not among the packages of"
        f" {' or '.join(_default_prefixes())}.",
        *_places(sidecar),
        f"it is installed in {sys.prefix}",
        fix=_fix(sidecar),
    )


def _fix(sidecar: Sidecar) -> str:
    """Return the group's directive with this very Python, which has the package."""
    if sidecar.group is None:
        return f"python-home={sys.prefix}"
    return group_with(sidecar.group, python_home=sys.prefix)


def _places(sidecar: Sidecar) -> list[str]:
    directive = sidecar.group.directive if sidecar.group is not None else sidecar.script.directive
    return [str(directive.place)]


def script_path(system: System, sidecar: Sidecar) -> str:
    """Return the absolute path of a dashboard's script."""
    return _absolute(system, sidecar.script.path)


def _absolute(system: System, path: str) -> str:
    root = system.httpd.server_root if system.httpd is not None else None
    return os.path.normpath(os.path.join(root or "/", path))


def _account(system: System, sidecar: Sidecar) -> Account | None:
    """Return who a dashboard runs as; None where that, or the root of its paths, isn't known."""
    if sidecar.group is None or "chroot" in sidecar.group.options:
        return None
    return system.daemon_account(sidecar.group)


def _is_here(system: System, sidecar: Sidecar, block: Block, path: str) -> bool:
    """Whether something that is missing is missed: a configuration may be meant for another machine.

    One that lies elsewhere and names files of /etc waits to be put in place, with them.
    """
    if system.live:
        return True
    file = sidecar.script.directive.place.file
    in_place = not path.startswith("/etc/") or file.startswith("/etc/")
    return in_place and block.path == path and _there(os.path.dirname(path))


def _there(path: str) -> bool:
    block = machine.blocked_at(path, _ROOT, want="r")
    return block is None or block.reason not in {"missing", "not a directory"}


# Sees all that this process sees.
_ROOT = Account("root", 0, frozenset({0}))


# Where Python looks for packages


def _home(system: System, sidecar: Sidecar) -> str | None:
    """Return the Python of a dashboard, as python-home= or WSGIPythonHome name it."""
    named = sidecar.group.options.get("python-home") if sidecar.group is not None else None
    if named is None:
        directive = system.configuration.server("WSGIPythonHome")
        named = directive.arguments[0] if directive is not None and directive.arguments else ""
    return _absolute(system, unquoted(named)) if named else None


def _cfg(home: str) -> dict[str, str]:
    """Return what a virtual environment says of itself; nothing where it is none."""
    text = machine.text_of(Path(home, "pyvenv.cfg"), SMALL_FILE_BYTES) or ""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}


def _minor(home: str) -> int | None:
    """Return 11 for a virtual environment of Python 3.11; None for what is none."""
    cfg = _cfg(home)
    told = re.match(r"3\.([0-9]{1,2})\b", cfg.get("version") or cfg.get("version_info") or "")
    return int(told[1]) if told else None


def _site_packages(prefix: str) -> list[str]:
    """Return the directories in which a Python with this prefix has its packages."""
    minor = _minor(prefix)
    minors = [minor] if minor is not None else list(MINORS)
    found = [
        f"{prefix}{middle}/lib/python3.{minor}/{kind}-packages"
        for minor in minors
        for middle in ("", "/local")
        for kind in ("site", "dist")
    ]
    return [path for path in (*found, f"{prefix}/lib/python3/dist-packages") if _there(path)]


def _search_path(system: System, sidecar: Sidecar) -> list[str]:
    """Return the directories in which the dashboard's Python looks for packages."""
    options = sidecar.group.options if sidecar.group is not None else {}
    own = [options.get("home", ""), *unquoted(options.get("python-path", "")).split(":")]
    own += system.environ.get("PYTHONPATH", "").split(":")
    home = _home(system, sidecar)
    prefixes = [home] if home is not None else _default_prefixes()
    if home is not None and _cfg(home).get("include-system-site-packages", "").lower() == "true":
        prefixes += [os.path.dirname(_cfg(home).get("home", "/usr/bin")), *PREFIXES]
    for prefix in dict.fromkeys(prefixes):
        own += _site_packages(prefix)
    return [path for path in map(unquoted, own) if os.path.isabs(path)]


def _has_metadata(home: str) -> bool:
    """Whether an installer put the package there, in whatever way it is found then."""
    return any(name.startswith(f"{PACKAGE}-") for name in directories.packages(home))


def _default_prefixes() -> list[str]:
    return list(dict.fromkeys([*PREFIXES, sys.base_prefix]))


def _package_in(paths: list[str]) -> str | None:
    """Return the path of the package's first file among directories, and those that they lead to."""
    for path in paths:
        for root in (path, *_led_to(path)):
            first = f"{root}/{PACKAGE}/__init__.py"
            if _there(first):
                return first
    return None


def _led_to(site: str) -> Iterator[str]:
    """Yield the directories that the .pth files of a directory of packages name."""
    prefix = site.partition("/lib/python")[0]
    names = sorted(name for name in directories.packages(prefix) if name.endswith(".pth"))
    for name in names[:MAX_PATH_FILES]:
        text = machine.text_of(Path(site, name), SMALL_FILE_BYTES) or ""
        yield from (line.strip() for line in text.splitlines() if os.path.isabs(line.strip()))
