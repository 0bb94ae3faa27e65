"""Frames to samples: the decoder of `mod-wsgi-dashboard.v1`.

Owns the chain on the viewer's side: what a delta may continue, and when a key frame is needed.
`core.wire` is the specification; whatever comes is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, chain
from operator import is_not
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.scoreboard import STATUSES, Process, Scoreboard, Worker


class ChainBroken(DashboardError):
    """A delta came that doesn't continue what the viewer holds: ask for a key frame."""


class FrameError(DashboardError):
    """What came is no frame of this protocol."""


class Decoder:
    """Puts the frames of one chain together again.

    The samples are those of the plain format, but for instants, which are whole milliseconds. What
    did not change from one to the next is the same object in both.
    """

    def __init__(self) -> None:
        self._sample: wire.Sample | None = None
        self._tables: dict[str, list[str]] = {}

    def decode(self, text: str | bytes) -> wire.Sample | wire.Failure | None:
        """Return what a frame says; None for a frame of a kind that this version doesn't know.

        Raises:
            ChainBroken: a delta doesn't continue what is held here: ask for a key frame.
            FrameError: the frame is none of this protocol.
        """
        try:
            frame = _decoder.decode(text)
        except msgspec.ValidationError as error:
            if _unknown_kind(text):
                return None
            raise FrameError(f"the frame can't be read: {error}") from None
        except msgspec.DecodeError as error:
            raise FrameError(f"the frame can't be read: {error}") from None
        if isinstance(frame, wire.ErrorFrame):
            self._sample = None
            return wire.Failure(
                frame.tick, frame.at_ms / 1000, frame.interval, frame.error, frame.viewers, frame.notices
            )
        held = self._sample
        if isinstance(frame, wire.DeltaFrame) and (held is None or held.tick != frame.previous):
            self._sample = None
            raise ChainBroken("a frame was missed")
        try:
            self._sample = self._merge(held, frame)
        except (IndexError, ValueError, TypeError):
            self._sample = None
            raise FrameError("the frame's columns don't fit each other") from None
        return self._sample

    def _merge(self, held: wire.Sample | None, frame: wire.KeyFrame | wire.DeltaFrame) -> wire.Sample:
        if isinstance(frame, wire.KeyFrame):
            held = None
            self._tables = {name: [] for name in wire.STRINGS}
        if not isinstance(frame.tables, UnsetType):
            self._take_in(frame.tables)
        sample = {name: _either(frame, name, held) for name in wire.OF_SAMPLE}
        board = {name: _either(frame, name, held and held.snapshot) for name in wire.OF_SCOREBOARD}
        processes = self._processes(held, frame, board["thread_limit"])
        return wire.Sample(
            tick=frame.tick,
            at=frame.at_ms / 1000,
            rates=frame.rates,
            snapshot=Scoreboard(processes=processes, **board),
            **sample,
        )

    def _take_in(self, tables: wire.Tables) -> None:
        for name in wire.STRINGS:
            added = getattr(tables, name)
            if added is UNSET:
                continue
            table, start = self._tables[name], int(added[0]) - 1
            if not 0 <= start <= len(table):
                raise ValueError("a table has a hole")
            table[start : start + len(added) - 1] = added[1:]

    def _processes(
        self, held: wire.Sample | None, frame: wire.KeyFrame | wire.DeltaFrame, thread_limit: int
    ) -> list[Process]:
        before = [] if held is None else held.snapshot.processes
        if isinstance(frame.processes, UnsetType):
            processes = list(before)
        else:
            if sum(frame.processes.workers) > wire.MOST_SLOTS:
                raise ValueError("there are too many slots")
            if held is not None and len(frame.processes.pid) != len(before):
                raise ValueError("a delta can't change the number of processes")
            heads = [getattr(frame.processes, name) for name in wire.Processes.__struct_fields__]
            processes = []
            for number, (place, pid, generation, quiescing, count) in enumerate(
                zip(*heads, strict=True)
            ):
                workers = (
                    before[number].workers
                    if held
                    else wire.blank_slots(place, generation, count, thread_limit)
                )
                if len(workers) != count:
                    raise ValueError("a delta can't change the number of slots")
                processes.append(Process(place, pid, generation, bool(quiescing), workers))
        if not isinstance(frame.slots, UnsetType):
            self._change(processes, frame.slots, frame.at_ms)
        return processes

    def _change(self, processes: list[Process], slots: wire.Slots, at: int) -> None:
        ends = list(accumulate(len(process.workers) for process in processes))
        # A distance of 0 would name a slot twice.
        if not isinstance(slots.slot, UnsetType) and 0 in slots.slot[1:]:
            raise ValueError("a slot is named twice")
        numbers = range(ends[-1]) if isinstance(slots.slot, UnsetType) else list(accumulate(slots.slot))
        if len(numbers) != len(slots.status) or (
            numbers and not 0 <= numbers[0] <= numbers[-1] < ends[-1]
        ):
            raise ValueError("rows and slots don't fit")
        workers = list(chain.from_iterable(process.workers for process in processes))
        changed = _columns_to_workers([workers[number] for number in numbers], slots, self._tables, at)
        for number, worker in zip(numbers, changed, strict=True):
            workers[number] = worker
        for index, process in enumerate(processes):
            end = ends[index]
            own = workers[end - len(process.workers) : end]
            if any(map(is_not, own, process.workers)):
                processes[index] = msgspec.structs.replace(process, workers=own)


def _columns_to_workers(
    old: list[Worker], slots: wire.Slots, tables: dict[str, list[str]], at: int
) -> Iterable[Worker]:
    if not set(slots.status) <= STATUSES.keys():
        raise ValueError("there is no such status")
    zeros = [0] * len(old)
    numbers, generations = [worker.thread_num for worker in old], [worker.generation for worker in old]
    for column, changes in ((numbers, slots.thread_num), (generations, slots.generation)):
        for row, value in _pairs(changes):
            column[row] = value
    counters = (
        [
            getattr(worker, name) + more
            for worker, more in zip(old, _given(getattr(slots, name), zeros), strict=True)
        ]
        for name in ("access_count", "bytes_served")
    )
    strings = (
        _resolve(
            _given(getattr(slots, name), zeros), [getattr(worker, name) for worker in old], tables[name]
        )
        for name in wire.STRINGS
    )
    columns = (numbers, generations, slots.status, *counters, *_instants(slots, len(old), at), *strings)
    return [Worker(*row) for row in zip(*columns, strict=True)]


def _instants(slots: wire.Slots, count: int, at: int) -> Iterable[list[float]]:
    """Return starts, stops and last uses in epoch seconds, 0.0 for never."""
    never = [None] * count
    starts = [0 if ago is None else at - ago for ago in _given(slots.start_time, never)]
    stops = [
        0 if after is None else start + after
        for start, after in zip(starts, _given(slots.stop_time, never), strict=True)
    ]
    lasts = list(map(max, starts, stops))
    for row, ago in _pairs(slots.last_used):
        lasts[row] = 0 if ago is None else at - ago
    return [[instant / 1000 for instant in column] for column in (starts, stops, lasts)]


def _given(column: list[Any] | UnsetType, default: list[Any]) -> list[Any]:
    return default if isinstance(column, UnsetType) else column


def _pairs(column: list[Any] | UnsetType) -> Iterable[tuple[int, Any]]:
    if isinstance(column, UnsetType):
        return ()
    if not all(isinstance(row, int) and row >= 0 for row in column[::2]):
        raise ValueError("there is no such row")
    return zip(column[::2], column[1::2], strict=True)


def _resolve(references: list[wire.Reference], old: list[str], table: list[str]) -> list[str]:
    return [
        reference if isinstance(reference, str) else table[reference - 1] if reference else was
        for reference, was in zip(references, old, strict=True)
    ]


def _either(frame: object, name: str, held: object) -> Any:
    value = getattr(frame, name)
    return getattr(held, name) if value is UNSET else value


def _unknown_kind(text: str | bytes) -> bool:
    try:
        kind = msgspec.json.decode(text, type=_Kind).frame
    except msgspec.DecodeError:
        return False
    return kind not in ("key", "delta", "error")


class _Kind(msgspec.Struct):
    frame: str


_decoder = msgspec.json.Decoder(wire.KeyFrame | wire.DeltaFrame | wire.ErrorFrame)
