"""The load: scoreboards of a busy Apache, and a fake `mod_wsgi` that gives one at each call.

Owns what is polled, and the files in which it is handed to the server under test. It must not know
who polls. Every server of a benchmark gets the same: same workers, same changes, same cost of a call.

A call must cost about what the real one does and return only new objects, as the real one does, yet
no server may pay for making up the load. So the ticks of a run are made before it, as one marshalled
dict each, and a call is `marshal.loads` of the next. Measured by `python -m benchmarks.scoreboard`;
a call on a real Apache (mod_wsgi 6.1.1, event) costs 0.21, 1.12 and 4.07 ms at 150, 1600 and 6400.

Each call notes its instant in a second file, which the load generator maps: it so knows when each tick
began, of any server alike.
"""

from __future__ import annotations

import marshal
import mmap
import os
import random
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# ThreadLimit: Debian's default, and what a server of 6,400 workers needs at a ServerLimit of 64.
THREADS, MANY_THREADS, MANY_WORKERS = 25, 100, 6400

# What ap_scoreboard keeps of a request line (httpd's include/scoreboard.h, 64 with the NUL).
REQUEST_LENGTH = 63

STATIC_URLS, CLIENTS, VHOSTS = 48, 300, 5

# Of the requests, how many are for one of the static URLs; each of the others is unique.
STATIC_SHARE = 0.45

# How long the server ran before the first tick, and what a slot had served by then.
UPTIME = 86_400.0
EARLIER_REQUESTS = 5_000

# Head of the ticks' file: the instant of its first tick, and how many there are; then their ends.
_HEAD = struct.Struct("<dQ")
_NUMBER = struct.Struct("<q")

# Room for the instants of so many calls: an hour of ticks.
STAMPS = 3600

Metrics = dict[str, Any]


class Board:
    """A scoreboard whose workers change by a given share from tick to tick.

    All slots are used, the MPM is event. A worker that changes has ended one request within the last
    second, and so has a new count, size and times; half of the time it is at the next one already.

    Args:
        workers: slots, a multiple of `THREADS`.
        changed: share of the workers that change per tick.
        at: the instant of the first tick, epoch seconds.
        seed: decides everything but the instant.
    """

    def __init__(self, workers: int, changed: float, at: float, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._changes = round(workers * changed)
        self._vhosts = [f"www{number}.site.example:443" for number in range(VHOSTS)]
        self._clients = [self._make_client() for _ in range(CLIENTS)]
        self._urls = [f"/static/{self._token(6)}/app-{number}.js" for number in range(STATIC_URLS)]
        threads = MANY_THREADS if workers >= MANY_WORKERS else THREADS
        self._workers = [self._make_worker(number, at) for number in range(workers)]
        self.metrics: Metrics = {
            "server_limit": workers // threads,
            "thread_limit": threads,
            "running_generation": 0,
            "restart_time": at - UPTIME,
            "current_time": at,
            "running_time": int(UPTIME),
            "processes": [
                {
                    "process_num": number,
                    "pid": 20_000 + number,
                    "generation": 0,
                    "quiescing": False,
                    "workers": self._workers[number * threads : (number + 1) * threads],
                }
                for number in range(workers // threads)
            ],
        }

    def advance(self) -> None:
        """Go on by one second."""
        self.metrics["current_time"] += 1.0
        self.metrics["running_time"] += 1
        now = self.metrics["current_time"]
        for worker in self._random.sample(self._workers, self._changes):
            self._end_request(worker, now)
            if worker["status"] == "_":
                self._begin_request(worker, now)
            else:
                worker["status"] = "_"

    def _make_worker(self, number: int, at: float) -> Metrics:
        worker: Metrics = {
            "thread_num": number,
            "generation": 0,
            "status": "_",
            "access_count": self._random.randrange(1, EARLIER_REQUESTS),
            "bytes_served": self._random.randrange(EARLIER_REQUESTS * 10_000),
        }
        self._end_request(worker, at - self._random.expovariate(0.2))
        if self._random.random() < 0.5:
            self._begin_request(worker, worker["stop_time"] + 1.0)
        return worker

    def _end_request(self, worker: Metrics, now: float) -> None:
        """Let a request be the slot's last one, ended within the second before `now`."""
        choose = self._random
        stop = now - choose.uniform(0.3, 1.0)
        worker["access_count"] += 1
        worker["bytes_served"] += int(choose.lognormvariate(9.0, 1.2))
        worker["start_time"] = round(stop - min(choose.expovariate(20.0), 0.9), 6)
        worker["stop_time"] = round(stop, 6)
        # As on a real one: used last some microseconds behind the end.
        worker["last_used"] = round(stop + choose.randrange(1, 42) * 1e-6, 6)
        self._draw_texts(worker)

    def _begin_request(self, worker: Metrics, now: float) -> None:
        """Let a request be under way since some instant between the last one's end and `now`."""
        worker["status"] = self._random.choices("WCL", (88, 6, 6))[0]
        start = round(self._random.uniform(worker["last_used"] + 1e-4, now), 6)
        worker["start_time"] = start
        worker["last_used"] = start + 0.0  # equal, and another object, as in a real dict
        self._draw_texts(worker)

    def _draw_texts(self, worker: Metrics) -> None:
        worker["client"] = _copy(self._random.choice(self._clients))
        worker["request"] = self._make_request()
        worker["vhost"] = _copy(self._random.choice(self._vhosts))

    def _make_request(self) -> str:
        choose = self._random
        if choose.random() < STATIC_SHARE:
            target = f"GET {choose.choice(self._urls)}"
        else:
            number = choose.randrange(100_000, 1_000_000)
            target = choose.choice(
                (
                    f"GET /api/v2/items/{number}?session={self._token(24)}",
                    f"GET /api/v2/users/{number}/orders?page={choose.randrange(1, 60)}",
                    f"POST /checkout/{self._token(16)}/pay?attempt={choose.randrange(1, 4)}",
                    f"GET /search?q={self._token(8)}&from={number}",
                )
            )
        return f"{target} HTTP/1.1"[:REQUEST_LENGTH]

    def _make_client(self) -> str:
        return f"203.0.{self._random.randrange(100, 116)}.{self._random.randrange(1, 255)}"

    def _token(self, length: int) -> str:
        return f"{self._random.getrandbits(4 * length):0{length}x}"


def _copy(text: str) -> str:
    """Return an equal string that is another object, which marshal then doesn't share either."""
    return text[:1] + text[1:]


def write_ticks(path: Path, workers: int, changed: float, *, ticks: int) -> None:
    """Write the ticks of one run, of which the first is due now."""
    at = time.time()
    board = Board(workers, changed, at)
    blobs = []
    for _ in range(ticks):
        blobs.append(marshal.dumps(board.metrics))
        board.advance()
    ends = [sum(map(len, blobs[: number + 1])) for number in range(ticks)]
    with path.open("wb") as file:
        file.write(_HEAD.pack(at, ticks))
        for end in ends:
            file.write(_NUMBER.pack(end))
        file.writelines(blobs)


class Ticks:
    """Reads the marshalled ticks of a run, one after another.

    They are read from the file anew, not kept: they are no part of a server's memory.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._at, count = _HEAD.unpack(os.pread(self._file, _HEAD.size, 0))
        table = os.pread(self._file, count * _NUMBER.size, _HEAD.size)
        first = _HEAD.size + len(table)
        self._ends = [first, *(first + end for (end,) in _NUMBER.iter_unpack(table))]
        self._last = -1

    def read(self) -> bytes:
        """Return the tick that is due now, and never one that was returned before.

        Raises:
            RuntimeError: the run took longer than it was prepared for.
        """
        self._last = max(self._last + 1, round(time.time() - self._at))
        if self._last + 1 >= len(self._ends):
            raise RuntimeError("the benchmark has run out of prepared ticks")
        begin, end = self._ends[self._last : self._last + 2]
        return os.pread(self._file, end - begin, begin)


class Stamps:
    """The instants of calls, in a file that others map: their number, then the ns of each.

    The clock is CLOCK_MONOTONIC, which all processes of a machine share.
    """

    SIZE = (1 + STAMPS) * _NUMBER.size

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self.SIZE)
        self._count = 0

    @classmethod
    def create(cls, path: Path) -> None:
        """Write an empty file of stamps."""
        path.write_bytes(bytes(cls.SIZE))

    def add(self) -> None:
        """Note that a tick begins now."""
        self._count += 1
        _NUMBER.pack_into(self._map, self._count * _NUMBER.size, time.monotonic_ns())
        _NUMBER.pack_into(self._map, 0, self._count)


def install(ticks: Path, stamps: Path) -> None:
    """Put a `mod_wsgi` into `sys.modules` whose `server_metrics()` gives prepared ticks."""
    module = ModuleType("mod_wsgi")
    module.__dict__.update(
        version=(6, 1, 1),
        process_group="service:dashboard",
        application_group="",
        maximum_processes=1,
        threads_per_process=0,
        server_metrics=make_server_metrics(Ticks(ticks), Stamps(stamps)),
        process_metrics=lambda: None,
        subscribe_events=lambda callback: None,
        subscribe_shutdown=lambda callback: None,
    )
    sys.modules["mod_wsgi"] = module


def make_server_metrics(ticks: Ticks, stamps: Stamps) -> Callable[[], Metrics]:
    """Return a `server_metrics()` that notes each call and gives the next tick."""

    def server_metrics() -> Metrics:
        stamps.add()
        metrics: Metrics = marshal.loads(ticks.read())
        return metrics

    return server_metrics


def main() -> None:
    """Print what a call of the fake costs at each size."""
    for workers in (150, 1600, 6400):
        with tempfile.TemporaryDirectory() as directory:
            ticks, stamps = Path(directory, "ticks"), Path(directory, "stamps")
            write_ticks(ticks, workers, 0.2, ticks=30)
            Stamps.create(stamps)
            call = make_server_metrics(Ticks(ticks), Stamps(stamps))
            costs = []
            for _ in range(29):
                began = time.process_time()
                metrics = call()
                costs.append((time.process_time() - began) * 1000)
                time.sleep(0.02)
            del metrics
        print(f"server_metrics() of {workers} workers: {statistics.median(costs):.2f} ms CPU")


if __name__ == "__main__":
    main()
