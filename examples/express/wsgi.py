"""A small WSGI application, so that the dashboard has requests to show."""

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

# Anyone who reaches the example may ask for these: enough to fill the picture, no more.
LONGEST_SECONDS = 60.0
MOST_BYTES = 1_000_000

HELP = """\
mod_wsgi-dashboard example

/metrics/     the dashboard of this server
/slow?s=10    takes 10 seconds (at most 60): a worker that the dashboard shows busy
/bytes?n=1000 sends 1000 bytes (at most 1000000)
"""


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer `/`, `/slow?s=` and `/bytes?n=`; anything else is not found."""
    page = {"/": help_page, "/slow": slow, "/bytes": zeros}.get(environ.get("PATH_INFO", ""))
    query = parse_qs(environ.get("QUERY_STRING", ""))
    status, body = page(query) if page else ("404 Not Found", b"not found\n")
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [body]


def help_page(_query: dict[str, list[str]]) -> tuple[str, bytes]:
    """Say what there is."""
    return "200 OK", HELP.encode()


def slow(query: dict[str, list[str]]) -> tuple[str, bytes]:
    """Take `s` seconds, one unless given."""
    seconds = number(query, "s", default=1.0, most=LONGEST_SECONDS)
    time.sleep(seconds)
    return "200 OK", f"{seconds:g} s\n".encode()


def zeros(query: dict[str, list[str]]) -> tuple[str, bytes]:
    """Send `n` bytes, a thousand unless given."""
    return "200 OK", b"0" * int(number(query, "n", default=1000, most=MOST_BYTES))


def number(query: dict[str, list[str]], name: str, *, default: float, most: float) -> float:
    """Return a parameter as a number from 0 to `most`; the default if it is none."""
    try:
        value = float(query[name][0])
    except (KeyError, ValueError):
        return default
    # Not-a-number compares false with everything, so it becomes the default as well.
    return min(value, most) if value >= 0 else default
