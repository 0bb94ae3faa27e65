"""One line a tick on a terminal: how busy Apache is, how much it serves, and for how long already.

    python examples/client/watch.py http://localhost:8000/metrics/     # or unix:/path/to/socket

The client in `mod_wsgi_dashboard.client` comes back by itself when Apache restarts.
"""

import asyncio
import contextlib
import sys

from mod_wsgi_dashboard.client import connect
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.wire import Failure, Sample


def describe(sample: Sample) -> str:
    slots = [slot for process in sample.snapshot.processes for slot in process.workers]
    ages = [sample.at - slot.start_time for slot in slots if slot.status == "W" and slot.unfinished]
    rate = sample.rates.requests_per_second
    return (
        f"{sample.rates.busy:5} of {sample.capacity.workers} workers busy"
        f" {'?' if rate is None else format(rate, '.1f'):>8} requests/s"
        f"   oldest request: {f'{max(ages):.0f} s' if ages else 'none'}"
    )


async def watch(url: str) -> None:
    async for latest in connect(url):
        print(latest.error if isinstance(latest, Failure) else describe(latest), flush=True)


if __name__ == "__main__":
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(watch(*sys.argv[1:2] or ["http://localhost:8765/"]))
    except DashboardError as error:
        sys.exit(str(error))
