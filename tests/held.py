"""Samples of chosen workers, with the numbers that a poller derives from them."""

from __future__ import annotations

from typing import Any

import msgspec

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.requests import Request, in_flight
from mod_wsgi_dashboard.core.scoreboard import Process, Scoreboard, Worker

AT = 1_700_000_000.0

IDLE = Worker(
    thread_num=0,
    generation=0,
    status="_",
    access_count=3,
    bytes_served=900,
    start_time=AT - 20.0,
    stop_time=AT - 19.0,
    last_used=AT - 19.0,
    client="127.0.0.1",
    request="GET / HTTP/1.1",
    vhost="localhost:80",
)


def worker(**changes: Any) -> Worker:
    """Return a worker that waits, but for the changes."""
    return msgspec.structs.replace(IDLE, **changes)


def held(seconds: float, **changes: Any) -> Worker:
    """Return a worker in the middle of a request that began so many seconds before AT."""
    times = {"start_time": AT - seconds, "stop_time": AT - seconds - 1.0}
    return worker(**{"status": "W", **times, **changes})


def process(*workers: Worker, **changes: Any) -> Process:
    """Return a process of these workers: the first, with the pid 7, but for the changes."""
    facts = {"process_num": 0, "pid": 7, "generation": 0, "quiescing": False, **changes}
    return Process(workers=list(workers), **facts)


def sample(
    *processes: Process, at: float = AT, limit: int | None = None, generation: int = 0
) -> wire.Sample:
    """Return the sample of these processes; `limit` is MaxRequestWorkers."""
    scoreboard = Scoreboard(
        server_limit=len(processes),
        thread_limit=max((len(each.workers) for each in processes), default=0),
        running_generation=generation,
        restart_time=AT - 3600.0,
        current_time=at,
        running_time=3600,
        processes=list(processes),
    )
    reading = rates.read(scoreboard, previous=None, elapsed=0.0, max_request_workers=limit)
    viewers = wire.ViewerCount(0, 4)
    return wire.Sample(1, at, 1.0, scoreboard, reading.rates, reading.capacity, viewers, [])


def requests(*workers: Worker) -> list[Request]:
    """Return what these workers of one process are held by."""
    return in_flight(sample(process(*workers)))


def request(**changes: Any) -> Request:
    """Return a request to change."""
    whole = Request(
        process_num=3,
        index=10,
        pid=4711,
        status="W",
        started_at=AT - 20.0,
        websocket=False,
        draining=False,
        client="192.0.2.7",
        vhost="www.example.com:443",
        request="GET /report/17?q=***&page=*** HTTP/1.1",
    )
    return msgspec.structs.replace(whole, **changes)
