"""The dashboard that pages look at: the demo, as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from mod_wsgi_dashboard.settings import ENVIRONMENT_PREFIX


@contextmanager
def demo(*arguments: str, **settings: str) -> Iterator[str]:
    """Run `mod_wsgi-dashboard demo` with these settings, on a free port; give its URL."""
    command = [sys.executable, "-m", "mod_wsgi_dashboard.cli", "demo", "--port", "0", *arguments]
    environ = {ENVIRONMENT_PREFIX + name.upper(): value for name, value in settings.items()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environ}
    ) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        try:
            yield found.group()
        finally:
            server.terminate()
            server.communicate(timeout=10)


def count_viewers(url: str) -> int:
    """Return how many viewers the server counts."""
    with urllib.request.urlopen(f"{url}healthz", timeout=5) as answer:
        viewers: int = json.load(answer)["viewers"]
    return viewers
