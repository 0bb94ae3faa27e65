"""Wait until a URL answers 200; fail when the process that should serve it ends, or after 30 s."""

import os
import sys
import time
import urllib.error
import urllib.request


def main(url: str, pid: int) -> int:
    """Return 0 once the URL answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            with urllib.request.urlopen(url, timeout=5):
                return 0
        except ProcessLookupError:
            return 1
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
