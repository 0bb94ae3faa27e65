"""Samples to frames: the encoders of the plain format and of `mod-wsgi-dashboard.v1`.

Owns what is sent of a sample, and that it is made once. `core.wire` is the specification. It must not
know viewers; pure, as the rest of core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, compress, count, pairwise, repeat
from operator import is_not, mul, sub
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import astuple

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.scoreboard import NEVER_USED, Scoreboard, Worker

# References of up to three digits. A table is part of each key frame: no larger than the board.
TABLE_SIZE = 999
TABLE_LEAST = 64

# Strings that were seen once lately; seen again, they are worth a place in the table.
SEEN_STRINGS = 4096

_json = msgspec.json.Encoder()


class PlainEncoder:
    """The plain format, in the shape of the v1 encoder: every frame is whole."""

    def __init__(self) -> None:
        self.tick: int | None = None
        self.previous: int | None = None
        self._latest: wire.Sample | wire.Failure | None = None
        self._text: bytes | None = None

    def advance(self, latest: wire.Sample | wire.Failure) -> None:
        """Go on to a newer sample."""
        self.previous, self.tick = self.tick, latest.tick
        self._latest, self._text = latest, None

    def key(self) -> bytes:
        """Return the present sample, encoded at the first call."""
        if self._text is None:
            assert self._latest is not None
            self._text = wire.encode(self._latest)
        return self._text

    def delta(self) -> bytes:
        """Return the same as `key`."""
        return self.key()


class Encoder:
    """Encodes the samples of one chain as v1 frames, each at most once and only when asked for.

    All whom its frames go to share them. `tick` is the newest sample's; a viewer that holds the
    sample of `previous` is served with `delta`, every other one with `key`. `previous` is None when
    there is nothing that a delta could continue.

    Args:
        detail: "states" leaves out what is said there in the specification above.
    """

    def __init__(self, *, detail: wire.Detail = "full") -> None:
        self.tick: int | None = None
        self.previous: int | None = None
        self._full = detail == "full"
        self._latest: wire.Sample | wire.Failure | None = None
        self._before: wire.Sample | None = None
        self._slots: list[Worker] = []
        self._rows: _Rows | None = None
        self._tables = {name: _Table() for name in wire.STRINGS}
        self._key: bytes | None = None
        self._delta: bytes | None = None

    def advance(self, latest: wire.Sample | wire.Failure) -> None:
        """Go on to a newer sample."""
        before = self._latest
        self._latest, self._key, self._delta = latest, None, None
        self.previous, self.tick = None, latest.tick
        if isinstance(latest, wire.Failure):
            return
        slots = list(chain.from_iterable(process.workers for process in latest.snapshot.processes))
        continues = isinstance(before, wire.Sample) and _same_places(before.snapshot, latest.snapshot)
        # Without a chain there is nothing to send; but the tables learn what there is.
        old = self._slots if continues else [NEVER_USED] * len(slots)
        self._rows = self._changes(old, slots)
        self._slots = slots
        if continues and isinstance(before, wire.Sample):
            self._before, self.previous = before, before.tick

    def _changes(self, old: list[Worker], new: list[Worker]) -> _Rows:
        if self._full:
            numbers = list(compress(count(), map(is_not, old, new)))
        else:
            numbers = [
                i for i, (was, now) in enumerate(zip(old, new, strict=True)) if was.status != now.status
            ]
        rows = _Rows(numbers, [old[i] for i in numbers], [new[i] for i in numbers])
        if self._full:
            limit = min(TABLE_SIZE, max(TABLE_LEAST, len(new)))
            for name, table in self._tables.items():
                rows.references[name] = table.refer(rows.old[name], rows.new[name], limit=limit)
                if table.added is not None:
                    rows.tables[name] = table.added
        return rows

    def key(self) -> bytes:
        """Return the whole present sample as a key frame, or a failure as an error frame."""
        if self._key is None:
            assert self._latest is not None
            self._key = _json.encode(self._make_key(self._latest))
        return self._key

    def _make_key(self, latest: wire.Sample | wire.Failure) -> wire.KeyFrame | wire.ErrorFrame:
        if isinstance(latest, wire.Failure):
            return wire.ErrorFrame(
                tick=latest.tick,
                at_ms=_ms(latest.at),
                interval=latest.interval,
                error=latest.error,
                viewers=latest.viewers,
                notices=latest.notices,
                alerts=self._alerts(latest),
            )
        rows = self._used(latest.snapshot)
        tables: dict[str, Any] = {}
        if self._full:
            for name, table in self._tables.items():
                rows.references[name] = table.find(rows.new[name])
                if table.strings:
                    tables[name] = [1, *table.strings]
        return wire.KeyFrame(
            tick=latest.tick,
            at_ms=_ms(latest.at),
            rates=self._rates(latest),
            alerts=self._alerts(latest),
            processes=_processes(latest.snapshot),
            tables=wire.Tables(**tables) if tables else UNSET,
            slots=self._columns(latest, rows),
            **{name: getattr(latest, name) for name in wire.OF_SAMPLE},
            **{name: getattr(latest.snapshot, name) for name in wire.OF_SCOREBOARD},
        )

    def _used(self, scoreboard: Scoreboard) -> _Rows:
        """Return the slots that don't stand at their origin, as changed from there."""
        if not self._full:
            numbers = [i for i, worker in enumerate(self._slots) if worker.status != "."]
            return _Rows(numbers, [], [self._slots[i] for i in numbers])
        origins = _origins(scoreboard)
        pairs = enumerate(zip(origins, self._slots, strict=True))
        numbers = [i for i, (origin, worker) in pairs if worker != origin]
        return _Rows(numbers, [origins[i] for i in numbers], [self._slots[i] for i in numbers])

    def delta(self) -> bytes:
        """Return what changed since `previous`; the whole as a key frame where that is shorter."""
        if self._delta is None:
            latest, before, rows = self._latest, self._before, self._rows
            if (
                self.previous is None
                or rows is None
                or before is None
                or not isinstance(latest, wire.Sample)
            ):
                return self.key()
            self._delta = _json.encode(self._make_delta(latest, before, rows))
            if 2 * len(rows.numbers) > len(self._slots) and len(self.key()) < len(self._delta):
                self._delta = self.key()
        return self._delta

    def _make_delta(self, latest: wire.Sample, before: wire.Sample, rows: _Rows) -> wire.DeltaFrame:
        processes = _processes(latest.snapshot)
        alerts = self._alerts(latest)
        return wire.DeltaFrame(
            tick=latest.tick,
            previous=before.tick,
            at_ms=_ms(latest.at),
            rates=self._rates(latest),
            alerts=UNSET if alerts == self._alerts(before) else alerts,
            processes=UNSET if processes == _processes(before.snapshot) else processes,
            tables=wire.Tables(**rows.tables) if rows.tables else UNSET,
            slots=self._columns(latest, rows),
            **_differences(before, latest, wire.OF_SAMPLE),
            **_differences(before.snapshot, latest.snapshot, wire.OF_SCOREBOARD),
        )

    def _rates(self, sample: wire.Sample) -> rates.Rates:
        return sample.rates if self._full else msgspec.structs.replace(sample.rates, vhosts=[])

    def _alerts(self, latest: wire.Sample | wire.Failure) -> list[Alert]:
        """Return the alerts, without their paths where none may be told."""
        if self._full or not latest.alerts:
            return latest.alerts
        return [msgspec.structs.replace(alert, path=None) for alert in latest.alerts]

    def _columns(self, sample: wire.Sample, rows: _Rows) -> wire.Slots | UnsetType:
        if not rows.numbers:
            return UNSET
        gaps = UNSET if len(rows.numbers) == len(self._slots) else _gaps(rows.numbers)
        status = "".join(rows.new["status"])
        if not self._full:
            return wire.Slots(slot=gaps, status=status)
        references: dict[str, Any] = {
            name: column for name, column in rows.references.items() if not _all_zero(column)
        }
        return wire.Slots(
            slot=gaps, status=status, **_counters(rows), **_times(rows, _ms(sample.at)), **references
        )


class _Rows:
    """Slots that changed: their numbers, and the columns of what they were and what they are."""

    def __init__(self, numbers: list[int], old: list[Worker], new: list[Worker]) -> None:
        self.numbers = numbers
        self.old = _transpose(old)
        self.new = _transpose(new)
        self.references: dict[str, list[wire.Reference]] = {}
        self.tables: dict[str, wire.Table] = {}


def _transpose(workers: list[Worker]) -> dict[str, Sequence[Any]]:
    """Return the columns of some workers, by name."""
    names = Worker.__struct_fields__
    return dict(
        zip(
            names,
            zip(*map(astuple, workers), strict=True) if workers else [()] * len(names),
            strict=True,
        )
    )


class _Table:
    """Strings that came more than once, by position; the oldest makes room for the newest."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self.added: wire.Table | None = None
        self._positions: dict[str, wire.Reference] = {}
        self._seen: set[str] = set()
        self._next = 1

    def find(self, strings: Sequence[str]) -> list[wire.Reference]:
        """Return where each string stands, itself where it stands nowhere, 0 for the empty one."""
        positions = self._positions
        return [positions.get(text, text) or 0 for text in strings]

    def refer(self, old: Sequence[str], new: Sequence[str], *, limit: int) -> list[wire.Reference]:
        """Return how to write `new` for who has `old`, and take in what came before."""
        positions = self._positions
        self.added = None
        pairs = list(zip(old, new, strict=True))
        unknown = [now for was, now in pairs if was != now and now not in positions]
        if unknown:
            self._take_in(unknown, limit)
        return [0 if was == now else positions.get(now, now) for was, now in pairs]

    def _take_in(self, unknown: list[str], limit: int) -> None:
        seen = self._seen
        if len(seen) > SEEN_STRINGS:
            seen.clear()
        start, room = self._next, limit - self._next + 1
        added: list[wire.Reference] = []
        for text in unknown:
            if text not in seen:
                seen.add(text)
            elif text and len(added) < room and text not in self._positions:
                self._put(start + len(added), text)
                added.append(text)
        if added:
            self.added = [start, *added]
            self._next = start + len(added) if len(added) < room else 1

    def _put(self, position: int, text: str) -> None:
        if position > len(self.strings):
            self.strings.append(text)
        else:
            del self._positions[self.strings[position - 1]]
            self.strings[position - 1] = text
        self._positions[text] = position
        self._seen.discard(text)


def _origins(scoreboard: Scoreboard) -> list[Worker]:
    """Return what stands in each slot before a key frame."""
    limit = scoreboard.thread_limit
    return list(
        chain.from_iterable(
            wire.blank_slots(process.process_num, process.generation, len(process.workers), limit)
            for process in scoreboard.processes
        )
    )


def _ms(instant: float) -> int:
    return int(instant * 1000)


def _same_places(before: Scoreboard, now: Scoreboard) -> bool:
    return before.thread_limit == now.thread_limit and [
        (process.process_num, len(process.workers)) for process in before.processes
    ] == [(process.process_num, len(process.workers)) for process in now.processes]


def _processes(scoreboard: Scoreboard) -> wire.Processes:
    processes = scoreboard.processes
    return wire.Processes(
        [process.process_num for process in processes],
        [process.pid for process in processes],
        [process.generation for process in processes],
        [int(process.quiescing) for process in processes],
        [len(process.workers) for process in processes],
    )


def _differences(before: object, now: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(now, name) for name in names if getattr(now, name) != getattr(before, name)}


def _gaps(numbers: list[int]) -> list[int]:
    return [numbers[0], *[now - before for before, now in pairwise(numbers)]]


def _all_zero(column: Sequence[object]) -> bool:
    return column.count(0) == len(column)


def _counters(rows: _Rows) -> dict[str, Any]:
    old, new = rows.old, rows.new
    columns: dict[str, Any] = {}
    for name in ("access_count", "bytes_served"):
        column = list(map(sub, new[name], old[name]))
        if not _all_zero(column):
            columns[name] = column
    for name in ("thread_num", "generation"):
        if old[name] != new[name]:
            pairs = enumerate(zip(old[name], new[name], strict=True))
            columns[name] = _sparse((row, now) for row, (was, now) in pairs if was != now)
    return columns


def _times(rows: _Rows, at: int) -> dict[str, Any]:
    exact_starts, exact_stops = rows.new["start_time"], rows.new["stop_time"]
    starts, stops = _all_ms(exact_starts), _all_ms(exact_stops)
    # A stop before the start stays before it.
    stops = [
        stop - 1 if stop == start and start_at > stop_at > 0.0 else stop
        for start, stop, start_at, stop_at in zip(starts, stops, exact_starts, exact_stops, strict=True)
    ]
    lasts = _all_ms(rows.new["last_used"])
    later = list(map(max, starts, stops))
    columns: dict[str, Any] = {
        "start_time": [at - start if start else None for start in starts],
        "stop_time": [stop - start if stop else None for start, stop in zip(starts, stops, strict=True)],
    }
    columns = {name: column for name, column in columns.items() if column.count(None) < len(column)}
    if lasts != later:
        pairs = enumerate(zip(lasts, later, strict=True))
        columns["last_used"] = _sparse(
            (row, at - last if last else None) for row, (last, default) in pairs if last != default
        )
    return columns


def _all_ms(instants: Sequence[float]) -> list[int]:
    return list(map(int, map(mul, instants, repeat(1000))))


def _sparse(pairs: Iterable[tuple[int, int | None]]) -> list[Any]:
    return list(chain.from_iterable(pairs))
