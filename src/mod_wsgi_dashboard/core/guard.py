"""The capacity guard: do no harm to the pool of workers that the dashboard itself consumes.

Owns the decision whom to let in and how many to let go. It must not know connections or a clock:
monotonic seconds come as arguments.

Each viewer that comes through Apache's proxy holds one Apache worker for as long as it stays. The
guard keeps a reserve of workers free for the site: under it no such viewer gets in, and as many as
are missing are let go, to poll instead, which takes a worker for milliseconds. Viewers that come
straight to the listener hold none, and are not its business, but for the limit on all of them.

Where MaxRequestWorkers is known, free workers are what it leaves. Where not, they are those that
wait, or that once were there and are not now; and since Apache starts more when few wait, nobody is
let go before it had time to.

The way back is slower than the way out: there must be more room than the reserve, for a while.
"""

from __future__ import annotations

import msgspec

from mod_wsgi_dashboard.core.rates import Reading

# Without the setting: a tenth of the workers, and never less than two.
RESERVE_SHARE, RESERVE_LEAST = 10, 2

# Without max_viewers: one viewer for so many of Apache's workers, whatever is free.
WORKERS_PER_VIEWER = 5

# Sockets take file descriptors, of which Apache's children inherit 1,024 to a million.
MOST_VIEWERS = 10_000

# Seconds with room before viewers get in again, and before they should ask.
REOPEN_AFTER = 10.0

# Apache starts processes once a second, twice as many each time, when too few workers wait.
PATIENCE = 3.0

# Apache frees the worker of a viewer that was let go within a tick; count again after that.
SETTLE = 2.0


class Room(msgspec.Struct, frozen=True):
    """What the guard makes of the newest reading; None where nothing was read."""

    limit: int
    reserve: int | None
    free: int | None
    accepting: bool


class Guard:
    """Keeps `reserve` workers of Apache free.

    Args:
        reserve: workers to keep free; None: a tenth of the pool, at least 2.
        max_viewers: the most viewers, whichever way they come; None: through Apache a fifth of the
            pool, at least 1.
    """

    def __init__(self, *, reserve: int | None, max_viewers: int | None) -> None:
        self._reserve = reserve
        self._max_viewers = max_viewers
        self._workers: int | None = None
        self._most_serving = 0
        self._free: int | None = None
        self._joined = 0
        self._closed = False
        self._short_since: float | None = None
        self._roomy_since: float | None = None
        self._let_go_at: float | None = None

    def observe(self, reading: Reading, *, held: int, now: float) -> int:
        """Take in a reading, and return how many viewers to let go.

        Args:
            reading: the newest reading of the scoreboard.
            held: viewers that hold a worker of Apache.
            now: monotonic seconds.
        """
        capacity = reading.capacity
        self._most_serving = max(self._most_serving, capacity.serving)
        self._workers = capacity.max_request_workers or self._most_serving
        self._free = max(reading.rates.idle, self._workers - reading.rates.busy - reading.rates.graceful)
        self._joined = 0
        missing = self.reserve - self._free
        if missing <= 0:
            self._short_since = None
            self._reopen(now)
            return 0
        self._closed, self._roomy_since = True, None
        if self._short_since is None:
            self._short_since = now
        known = capacity.max_request_workers is not None
        settling = self._let_go_at is not None and now - self._let_go_at < SETTLE
        if settling or (not known and now - self._short_since < PATIENCE) or not held:
            return 0
        self._let_go_at = now
        return min(missing, held)

    def _reopen(self, now: float) -> None:
        if not self._closed:
            return
        # With one more than comes back at once, it would close again at the next tick.
        if self._free is None or self._free <= self.reserve + 1:
            self._roomy_since = None
        elif self._roomy_since is None:
            self._roomy_since = now
        elif now - self._roomy_since >= REOPEN_AFTER:
            self._closed, self._roomy_since = False, None

    def refusal(self, *, connected: int, held: int, through_apache: bool) -> str | None:
        """Return why one more viewer may not come in, None if it may.

        Close reasons have room for 123 bytes (RFC 6455, 5.5), so these are short.
        """
        if connected >= self.most or (through_apache and held >= self._limit):
            limit = self._limit if through_apache else self.most
            return f"All {limit} viewer places are taken; each holds an Apache worker."
        if through_apache and not self._has_room:
            return f"Only {self._free} of {self._workers} Apache workers are free; the site needs them."
        return None

    def joined(self, *, through_apache: bool) -> None:
        """Note that a viewer came in since the newest reading."""
        self._joined += through_apache

    @property
    def most(self) -> int:
        """The most viewers, whichever way they come."""
        return MOST_VIEWERS if self._max_viewers is None else self._max_viewers

    @property
    def reserve(self) -> int:
        """Workers to keep free."""
        if self._reserve is not None:
            return self._reserve
        return max(RESERVE_LEAST, (self._workers or 0) // RESERVE_SHARE)

    def room(self, *, connected: int, held: int) -> Room:
        """Return what viewers are told."""
        return Room(
            limit=self._limit,
            reserve=None if self._workers is None else self.reserve,
            free=self._free,
            accepting=self.refusal(connected=connected, held=held, through_apache=True) is None,
        )

    @property
    def _limit(self) -> int:
        if self._max_viewers is not None:
            return self._max_viewers
        return max(1, (self._workers or 0) // WORKERS_PER_VIEWER)

    @property
    def _has_room(self) -> bool:
        """Whether the reserve stands with one more worker taken."""
        if self._closed:
            return False
        return self._free is None or self._free - self._joined > self.reserve
