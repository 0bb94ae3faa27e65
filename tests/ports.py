"""Free loopback ports."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
