"""Frames to samples: the decoder of `mod-wsgi-dashboard.v1`.

Owns the chain on the viewer's side: what a delta may continue, and when a key frame is needed.
`core.wire` is the specification; whatever comes is checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from operator import is_not
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.scoreboard import STATUSES, Process, Scoreboard, Worker

# Rows of deltas that are put off before they become workers: some 40 MB.
MOST_ROWS = 1 << 18


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
        self._board: _Board | None = None

    def decode(self, text: str | bytes) -> wire.Sample | wire.Failure | None:
        """Return what a frame says; None for a frame of a kind that this version doesn't know.

        Raises:
            ChainBroken: a delta doesn't continue what is held here: ask for a key frame.
            FrameError: the frame is none of this protocol.
        """
        return self.decode_last((text,))

    def decode_last(self, texts: Iterable[str | bytes]) -> wire.Sample | wire.Failure | None:
        """Return what the last of some frames says, which follow each other; None for none.

        It costs less than to decode them one by one: of each slot only what it is in the end is made.

        Raises: as `decode`, at the first frame that is wrong; but an instant out of all bounds that a
            later frame replaces is not looked at.
        """
        failure: wire.Failure | None = None
        told = False
        for text in texts:
            frame = _read(text)
            if frame is None:
                continue
            told = True
            if isinstance(frame, wire.ErrorFrame):
                self._board, failure = None, _failure(frame)
            else:
                self._take(frame)
        if not told or self._board is None:
            return failure
        try:
            return self._board.sample()
        except OverflowError:
            self._board = None
            raise FrameError("the frame's instants are none") from None

    def _take(self, frame: wire.KeyFrame | wire.DeltaFrame) -> None:
        held, self._board = self._board, None
        try:
            if isinstance(frame, wire.KeyFrame):
                held = _Board(frame)
            elif held is None or held.tick != frame.previous:
                raise ChainBroken("a frame was missed")
            held.change(frame)
        except (IndexError, ValueError, TypeError, OverflowError):
            raise FrameError("the frame's columns don't fit each other") from None
        self._board = held


class _Board:
    """What a chain holds: the slots as they were when last asked for, and what was said of them since.

    What is said of a slot is put off until somebody asks, and mostly replaced by then.

    Args:
        key: the frame that the chain begins with; what it says is to be given to `change` yet.

    Raises:
        ValueError: its columns don't fit each other.
    """

    def __init__(self, key: wire.KeyFrame) -> None:
        self.tick = key.tick
        self._frame: wire.KeyFrame | wire.DeltaFrame = key
        self._members: dict[str, Any] = {}
        self._tables: dict[str, list[str]] = {name: [] for name in wire.STRINGS}
        self._counts = key.processes.workers
        if sum(self._counts) > wire.MOST_SLOTS:
            raise ValueError("there are too many slots")
        self._slots = _Slots(key.processes, key.thread_limit)
        self._columns = key.processes
        self._processes: list[Process] = []

    def change(self, frame: wire.KeyFrame | wire.DeltaFrame) -> None:
        """Go on to what a frame says.

        Raises:
            IndexError, ValueError, TypeError: its columns don't fit each other, or what is held.
        """
        for name in _MEMBERS:
            value = getattr(frame, name)
            if value is not UNSET:
                self._members[name] = value
        if not isinstance(frame.tables, UnsetType):
            self._take_in(frame.tables)
        if not isinstance(frame.processes, UnsetType):
            self._change_processes(frame.processes)
        if not isinstance(frame.slots, UnsetType):
            self._slots.change(frame.slots, self._tables, float(frame.at_ms))
        self.tick, self._frame = frame.tick, frame

    def _take_in(self, tables: wire.Tables) -> None:
        for name in wire.STRINGS:
            added = getattr(tables, name)
            if added is UNSET:
                continue
            table, start = self._tables[name], int(added[0]) - 1
            if not 0 <= start <= len(table):
                raise ValueError("a table has a hole")
            table[start : start + len(added) - 1] = added[1:]

    def _change_processes(self, columns: wire.Processes) -> None:
        if columns.workers != self._counts:
            raise ValueError("a delta can't change the number of processes or of slots")
        if {len(getattr(columns, name)) for name in columns.__struct_fields__} != {len(self._counts)}:
            raise ValueError("columns are of different lengths")
        # They are made when they are asked for.
        self._columns, self._processes = columns, []

    def sample(self) -> wire.Sample:
        """Return what was said by now."""
        self._slots.settle()
        self._settle_processes()
        members, frame = self._members, self._frame
        board = {name: members[name] for name in wire.OF_SCOREBOARD}
        return wire.Sample(
            tick=frame.tick,
            at=frame.at_ms / 1000,
            rates=frame.rates,
            snapshot=Scoreboard(processes=list(self._processes), **board),
            alerts=members["alerts"],
            **{name: members[name] for name in wire.OF_SAMPLE},
        )

    def _settle_processes(self) -> None:
        workers, processes, end = self._slots.workers, self._processes, 0
        if not processes:
            heads = [getattr(self._columns, name) for name in self._columns.__struct_fields__[:-1]]
            self._processes = processes = [
                Process(place, pid, generation, bool(quiescing), [])
                for place, pid, generation, quiescing in zip(*heads, strict=True)
            ]
        for index, count in enumerate(self._counts):
            start, end = end, end + count
            own, before = workers[start:end], processes[index].workers
            if len(before) != count or any(map(is_not, own, before)):
                processes[index] = msgspec.structs.replace(processes[index], workers=own)


class _Slots:
    """All slots, as columns of what frames said last; and the workers they were when last settled.

    Args:
        processes: where the slots are, as they stand before a key frame.
        thread_limit: slots of one process.
    """

    def __init__(self, processes: wire.Processes, thread_limit: int) -> None:
        heads = (processes.process_num, processes.generation, processes.workers)
        numbers: list[int] = []
        generations: list[int] = []
        for place, generation, count in zip(*heads, strict=True):
            numbers += range(place * thread_limit, place * thread_limit + count)
            generations += [generation] * count
        total = self._total = len(numbers)
        # Empty until slots are settled for the first time.
        self.workers: list[Worker] = []
        self._plain: dict[str, list[Any]] = {"thread_num": numbers, "generation": generations}
        self._counters = {name: [0] * total for name in ("access_count", "bytes_served")}
        self._strings = {name: [""] * total for name in wire.STRINGS}
        # Rows of all frames since slots were settled: letter, instant of the frame, start before that,
        # stop after the start. Some rows have a last use. The newest row of each slot counts; of a key
        # frame there is one for each slot, in order.
        self._states: list[str] = []
        self._ats: list[float] = []
        self._starts: list[int | None] = []
        self._stops: list[int | None] = []
        self._lasts: dict[int, float] = {}
        self._newest: dict[int, int] = {}

    def change(self, slots: wire.Slots, tables: dict[str, list[str]], at: float) -> None:
        """Go on to what a frame says.

        Args:
            slots: its columns.
            tables: the strings that its references mean.
            at: its instant in epoch milliseconds.

        Raises:
            IndexError, ValueError, TypeError: the columns don't fit each other.
        """
        count, numbers = len(slots.status), _numbers(slots, self._total)
        if not set(slots.status) <= STATUSES.keys():
            raise ValueError("there is no such status")
        if isinstance(numbers, list):
            self._begin()
        first = len(self._states)
        self._newest.update(zip(numbers, range(first, first + count), strict=True))
        self._states += slots.status
        self._ats += [at] * count
        self._starts += _column(slots.start_time, count)
        self._stops += _column(slots.stop_time, count)
        for row, ago in _pairs(slots.last_used, count):
            self._lasts[first + row] = 0.0 if ago is None else at - ago
        for name, column in self._plain.items():
            for row, value in _pairs(getattr(slots, name), count):
                column[numbers[row]] = value
        for name, counters in self._counters.items():
            _add(counters, numbers, getattr(slots, name))
        for name, strings in self._strings.items():
            _resolve(strings, numbers, getattr(slots, name), tables[name])
        if first > MOST_ROWS:
            self.settle()

    def _begin(self) -> None:
        """Put in a row for each slot where there is none yet."""
        if not self.workers and not self._newest:
            total = self._total
            self._newest.update(zip(range(total), range(total), strict=True))
            self._states += "." * total
            self._ats += [0.0] * total
            self._starts += [None] * total
            self._stops += [None] * total

    def settle(self) -> None:
        """Make the workers what was said of them."""
        self._begin()
        numbers, workers = self._newest, self.workers
        columns = [*self._plain.values(), *self._counters.values(), *self._strings.values()]
        if workers:
            columns = [list(map(column.__getitem__, numbers)) for column in columns]
        states = map(self._states.__getitem__, numbers.values())
        made = map(Worker, *columns[:2], states, *columns[2:4], *self._instants(), *columns[4:])
        if workers:
            for number, worker in zip(numbers, made, strict=True):
                workers[number] = worker
        else:
            workers += made
        for rows in (self._newest, self._states, self._ats, self._starts, self._stops, self._lasts):
            rows.clear()

    def _instants(self) -> list[list[float]]:
        """Return starts, stops and last uses in epoch seconds, 0.0 for never."""
        rows = self._newest.values()
        agos = zip(map(self._ats.__getitem__, rows), map(self._starts.__getitem__, rows), strict=True)
        starts = [0.0 if ago is None else at - ago for at, ago in agos]
        afters = zip(starts, map(self._stops.__getitem__, rows), strict=True)
        stops = [0.0 if after is None else start + after for start, after in afters]
        lasts: Iterable[float] = map(max, starts, stops)
        if self._lasts:
            lasts = map(self._lasts.get, rows, lasts)
        return [[instant / 1000 for instant in column] for column in (starts, stops, lasts)]


def _add(counters: list[int], numbers: Sequence[int], column: list[int] | UnsetType) -> None:
    if not isinstance(column, UnsetType):
        for number, more in zip(numbers, column, strict=True):
            if more:
                counters[number] += more


def _resolve(
    strings: list[str],
    numbers: Sequence[int],
    references: list[Any] | UnsetType,
    table: list[str],
) -> None:
    if isinstance(references, UnsetType):
        return
    for number, reference in zip(numbers, references, strict=True):
        # A fifth faster than isinstance, on what takes the most time of all.
        if type(reference) is int:
            if reference:
                strings[number] = table[reference - 1]
        else:
            strings[number] = reference


def _numbers(slots: wire.Slots, total: int) -> Sequence[int]:
    """Return the slot of each row.

    Raises:
        ValueError: there is no such slot, or it is named twice.
    """
    if isinstance(slots.slot, UnsetType):
        return range(total)
    # A distance of 0 would name a slot twice.
    if 0 in slots.slot[1:]:
        raise ValueError("a slot is named twice")
    numbers = list(accumulate(slots.slot))
    if numbers and numbers[-1] >= total:
        raise ValueError("there is no such slot")
    return numbers


def _column(given: list[int | None] | UnsetType, count: int) -> list[int | None]:
    if isinstance(given, UnsetType):
        return [None] * count
    if len(given) != count:
        raise ValueError("columns are of different lengths")
    return given


def _pairs(given: list[Any] | UnsetType, count: int) -> Iterable[tuple[int, Any]]:
    if isinstance(given, UnsetType):
        return ()
    if not all(isinstance(row, int) and 0 <= row < count for row in given[::2]):
        raise ValueError("there is no such row")
    return zip(given[::2], given[1::2], strict=True)


def _read(text: str | bytes) -> wire.Frame | None:
    """Return a frame; None for one of an unknown kind."""
    try:
        frame: wire.Frame = _decoder.decode(text)
    except msgspec.ValidationError as error:
        if _unknown_kind(text):
            return None
        raise FrameError(f"the frame can't be read: {error}") from None
    except msgspec.DecodeError as error:
        raise FrameError(f"the frame can't be read: {error}") from None
    return frame


def _failure(frame: wire.ErrorFrame) -> wire.Failure:
    try:
        at = frame.at_ms / 1000
    except OverflowError:
        raise FrameError("the frame's instant is none") from None
    return wire.Failure(
        frame.tick, at, frame.interval, frame.error, frame.viewers, frame.notices, frame.alerts
    )


def _unknown_kind(text: str | bytes) -> bool:
    try:
        kind = msgspec.json.decode(text, type=_Kind).frame
    except msgspec.DecodeError:
        return False
    return kind not in ("key", "delta", "error")


class _Kind(msgspec.Struct):
    frame: str


_MEMBERS = (*wire.OF_SAMPLE, "alerts", *wire.OF_SCOREBOARD)

_decoder = msgspec.json.Decoder(wire.KeyFrame | wire.DeltaFrame | wire.ErrorFrame)
