"""The recording over HTTP: history, the sample of an instant, frames, states, events, bookmarks.

Owns the routes below `/api/v1/` that read the recording, their parameters and limits. It must not know
SQLite. Instants are epoch seconds; errors are problem details (RFC 9457).
"""

from __future__ import annotations

import asyncio
import csv
import io
import math
import re
import time
import unicodedata
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from mod_wsgi_dashboard import fields, middlewares
from mod_wsgi_dashboard.archive import Archive, NoRecording, Unreadable
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recorder import Recorder
from mod_wsgi_dashboard.recording import MARKER, Extent, Frame, Recording, RecordingError, StoredEvent
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import FRAMES_KEEP, Tape, TapeError

ARCHIVE = web.AppKey("mod_wsgi_dashboard.archive", Archive)
SETTINGS = web.AppKey("mod_wsgi_dashboard.settings", Settings)

DEFAULT_SECONDS = 900.0
MOST_POINTS, DEFAULT_POINTS = 4000, 1000
MOST_COLUMNS = 2000
# As JSON; compressed by the server's own hand it is a tenth of it.
MOST_LETTERS = 16 << 20
MOST_FRAMES, MOST_FRAME_BYTES = 3600, 16 << 20
# Frames deflate to a third or a fifth.
MOST_FRAME_TEXT = 4 * MOST_FRAME_BYTES
MOST_EVENTS, DEFAULT_EVENTS = 5000, 500
# The 90 days that aggregates are kept, and one more.
LONGEST = 91.0 * history.DAY
# Until the year 5138, as the scoreboard's.
LAST_INSTANT = 1e11
BOOKMARK_LENGTH = 200
BOOKMARK_BYTES = 4096
LEAST_COMPRESSED = 1024
PIECE_BYTES = 256 << 10
# How long the writing of a bookmark may take: a request that waits holds a worker of Apache.
WRITE_SECONDS = 5.0
MOST_KINDS = 20
NUMBER_LENGTH = 18
# The longest that Python writes a float: -2.2250738585072014e-308.
FLOAT_LENGTH = 24

# As JSON has it.
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?")
_COUNT = re.compile(r"[0-9]+")
_KIND = re.compile(r"[a-z][a-z-]{0,39}")
# What zlib calls the two codings.
_WINDOWS = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS + 16}
_NO_WEIGHT = re.compile(r"\s*q\s*=\s*0(?:\.0*)?\s*", re.I)
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = frozenset("=+-@\t\r")

# A line feed as a piece of a deflate stream of its own.
_LINE_FEED = wire.deflate(b"\n", 1) + MARKER
# RFC 1950: a header for any level, and the empty block that ends a stream (RFC 1951).
_ZLIB_HEADER, _LAST_BLOCK = b"\x78\x01", b"\x03\x00"
_ADLER = 65521

T = TypeVar("T")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadQuery(DashboardError):
    """A parameter is not accepted: which, and what is."""


class Range(NamedTuple):
    """A range of time in epoch seconds."""

    start: float
    end: float


def routes() -> list[web.RouteDef]:
    """Return the routes; the application needs `ARCHIVE` and `SETTINGS`."""
    return [
        web.get("/api/v1/recording", told(recording)),
        web.get("/api/v1/history", told(aggregates)),
        web.get("/api/v1/states", told(states)),
        web.get("/api/v1/frames", told(frames)),
        web.get("/api/v1/grid", told(grid)),
        web.get("/api/v1/events", told(events)),
        web.get("/api/v1/concurrency", told(concurrency)),
        web.post("/api/v1/bookmarks", told(add_bookmark)),
        web.delete("/api/v1/bookmarks/{id}", told(remove_bookmark)),
    ]


def told(handler: Handler) -> Handler:
    """Answer what a handler raises as problem details."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (BadQuery, fields.FieldError) as error:
            return middlewares.problem(400, str(error))
        except NoRecording as error:
            return middlewares.problem(404, str(error))
        except (Unreadable, RecordingError, TapeError) as error:
            return middlewares.problem(503, str(error), {"Retry-After": "1"})

    return answer


def _text(request: web.Request, name: str) -> str | None:
    """Return a parameter; None where there is none."""
    given = request.query.getall(name, [])
    if len(given) > 1:
        raise BadQuery(f"`{name}` is given more than once.")
    return given[0] if given else None


def _number(request: web.Request, name: str, default: float, *, most: float = LAST_INSTANT) -> float:
    text = _text(request, name)
    if text is None:
        return default
    if len(text) > FLOAT_LENGTH or not _NUMBER.fullmatch(text) or not 0.0 <= float(text) <= most:
        what = "epoch seconds, such as 1790000000.5" if most == LAST_INSTANT else f"at most {most:.0f} s"
        raise BadQuery(f"`{name}` is a number: {what}.")
    # Without the sign of -0.0.
    return abs(float(text))


def _count(request: web.Request, name: str, default: int, most: int) -> int:
    text = _text(request, name)
    if text is None:
        return default
    if len(text) > NUMBER_LENGTH or not _COUNT.fullmatch(text) or not 1 <= int(text) <= most:
        raise BadQuery(f"`{name}` is a whole number from 1 to {most}.")
    return int(text)


def _choice(request: web.Request, name: str, *choices: str) -> str:
    text = _text(request, name)
    if text is None:
        return choices[0]
    if text not in choices:
        raise BadQuery(f"`{name}` is {' or '.join(choices)}.")
    return text


def asked_fields(request: web.Request) -> fields.Tree | None:
    """Return the members that are asked for; None for all."""
    return fields.parse(_text(request, "fields"))


async def asked_range(request: web.Request, *, seconds: float = DEFAULT_SECONDS) -> Range:
    """Return the range that is asked for; by default what came last."""
    end = _number(request, "to", await _newest(request))
    start = _number(request, "from", max(0.0, end - seconds))
    if not start <= end:
        raise BadQuery("`from` is not after `to`.")
    # What is older than anything can be is not there; a range of all time is the same as this.
    return Range(max(start, end - LONGEST), end)


async def _newest(request: web.Request) -> float:
    archive = request.app[ARCHIVE]
    if archive.replay is None:
        return time.time()
    extent = await archive.read(Recording.extent)
    return extent.until or 0.0


def _ms(instant: float) -> int:
    # A millisecond that went through a float must come out as the same one.
    return round(instant * 1000)


def _json(request: web.Request, data: object, *, status: int = 200) -> web.Response:
    return _pack(request, msgspec.json.encode(data), "application/json", status=status)


def _csv(request: web.Request, names: Sequence[str], rows: Iterable[Sequence[object]]) -> web.Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_cell(value) for value in row] for row in rows)
    response = _pack(request, text.getvalue().encode(), "text/csv")
    name = request.path.rpartition("/")[2]
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _pack(request: web.Request, body: bytes, content_type: str, *, status: int = 200) -> web.Response:
    """Return an answer, compressed where that is worth it; for the reading thread.

    Level 1 takes a tenth of the time of zlib's default: letters of 6,400 slots are megabytes.
    """
    coding = _coding(request) if len(body) > LEAST_COMPRESSED else None
    if coding is not None:
        packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[coding])
        body = packer.compress(body) + packer.flush()
    return _answer(body, content_type, coding, status=status)


def _answer(body: bytes, content_type: str, coding: str | None, *, status: int = 200) -> web.Response:
    headers = {"Vary": "Accept-Encoding", "Content-Length": str(len(body))}
    if coding is not None:
        headers["Content-Encoding"] = coding
    # Megabytes at once would be copied on the event loop.
    content = body if len(body) <= PIECE_BYTES else _pieces(body)
    return web.Response(
        status=status,
        body=content,
        content_type=content_type,
        charset=_charset(content_type),
        headers=headers,
    )


def _charset(content_type: str) -> str | None:
    return "utf-8" if content_type.startswith("text/") else None


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


def _coding(request: web.Request, *known: str) -> str | None:
    """Return which of some codings an answer may have; None for none (RFC 9110, 12.5.3)."""
    accepted = set()
    for part in ",".join(request.headers.getall("Accept-Encoding", [])).split(","):
        name, _, weight = part.partition(";")
        if not _NO_WEIGHT.fullmatch(weight):
            accepted.add(name.strip().lower())
    return next((name for name in known or _WINDOWS if name in accepted), None)


def _cell(value: object) -> object:
    """Return what a spreadsheet takes for a value, not for a formula (OWASP, CSV Injection)."""
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


async def recording(request: web.Request) -> web.Response:
    """Answer how the recording stands, and what it holds."""
    archive, settings = request.app[ARCHIVE], request.app[SETTINGS]
    status = archive.status
    try:
        extent = await archive.read(Recording.extent)
    except DashboardError:
        extent = Extent(None, None, None, settings.interval, settings.record)
    live = status.state in ("recording", "failed")
    return _json(
        request,
        {
            "state": status.state,
            "detail": extent.detail if extent.detail in ("full", "states") else "full",
            "problem": status.problem,
            "since": extent.since,
            "until": extent.until,
            "history_since": extent.history_since,
            "bytes": status.bytes,
            "limit": settings.record_bytes if live else None,
            "interval": extent.interval,
            "now": time.time(),
            "file": archive.replay,
        },
    )


async def aggregates(request: web.Request) -> web.Response:
    """Answer series of numbers, down-sampled."""
    archive = request.app[ARCHIVE]
    asked = await asked_range(request)
    names = _series(request)
    form = _choice(request, "format", "json", "csv")
    interval = (await archive.read(Recording.extent)).interval
    length = asked.end - asked.start
    points = _count(request, "points", DEFAULT_POINTS, MOST_POINTS)
    wish = _number(request, "step", 0.0, most=LONGEST)
    if wish:
        step = history.round_step(max(wish, 1.0))
        if length / step > MOST_POINTS:
            raise BadQuery(
                f"`step` makes more than {MOST_POINTS} points of this range: ask for a longer one, or"
                " for less time."
            )
    elif "step" in request.query:
        raise BadQuery("`step` is more than 0 seconds.")
    else:
        step = history.step_for(length, points, max(1.0, interval))

    def work(recording: Recording) -> web.Response:
        table, found = recording.aggregates(asked.start, asked.end, step)
        return _table(request, _Asked(asked, names, interval, form), table, found)

    return await archive.read(work)


def _series(request: web.Request) -> list[str]:
    text = _text(request, "series")
    # In the order that was asked for, each once.
    names = history.SERIES if text is None else tuple(dict.fromkeys(text.split(",")))
    if not set(names) <= set(history.SERIES):
        raise BadQuery(f"`series` is a list of {', '.join(history.SERIES)}.")
    return list(names)


class _Asked(NamedTuple):
    """What is wanted of aggregates."""

    range: Range
    series: list[str]
    interval: float
    format: str


def _table(request: web.Request, asked: _Asked, table: history.Table, step: int) -> web.Response:
    series = {name: columns(name, table.columns) for name in asked.series}
    if asked.format == "csv":
        flat = {f"{name}_{what}": values for name, of in series.items() for what, values in of.items()}
        return _csv(request, ["at", *flat], zip(table.at, *flat.values(), strict=True))
    return _json(
        request,
        {
            "from": asked.range.start,
            "to": asked.range.end,
            "step": step,
            "interval": asked.interval,
            "at": table.at,
            "series": series,
        },
    )


def columns(name: str, of: history.Columns) -> dict[str, list[float | int | None]]:
    """Return the numbers of one series, as they are answered."""
    number = history.SERIES.index(name)
    means, least, most = (column[number] for column in of)
    if means is most:
        # Buckets of one sample each: three times the same.
        return dict.fromkeys(("mean", "min", "max"), history.shown(name, means, mean=False))
    return {
        "mean": history.shown(name, means, mean=True),
        "min": history.shown(name, least, mean=False),
        "max": history.shown(name, most, mean=False),
    }


async def states(request: web.Request) -> web.Response:
    """Answer the letters of all slots over time."""
    asked = await asked_range(request)
    points = _count(request, "points", DEFAULT_POINTS, MOST_COLUMNS)

    def work(recording: Recording) -> web.Response:
        start, end = _ms(asked.start), _ms(asked.end)
        found = recording.states(start, end, points=points, most_bytes=MOST_LETTERS)
        slots = len(found.letters[0]) if found.letters else 0
        return _json(
            request,
            {
                "from": asked.start,
                "to": asked.end,
                "slots": slots,
                "at": found.at,
                "letters": found.letters,
            },
        )

    return await request.app[ARCHIVE].read(work)


async def frames(request: web.Request) -> web.Response:
    """Answer recorded frames as they are, one a line."""
    asked = await asked_range(request, seconds=60.0)
    deflate = _coding(request, "deflate")

    def work(recording: Recording) -> web.Response:
        found = recording.frames(
            *(_ms(asked.start), _ms(asked.end)),
            most=MOST_FRAMES,
            most_bytes=MOST_FRAME_BYTES,
            most_text=MOST_FRAME_TEXT,
        )
        body = b"".join([frame.text() + b"\n" for frame in found]) if deflate is None else _stream(found)
        return _answer(body, "application/x-ndjson", deflate)

    return await request.app[ARCHIVE].read(work)


def _stream(found: Sequence[Frame]) -> bytes:
    """Return frames, each with a line feed, as one zlib stream (RFC 1950), without compressing again.

    Raises:
        NotARecording: one of them is damaged; a client would only find that the stream breaks off.
    """
    adler, pieces = 1, [_ZLIB_HEADER]
    line_feed = zlib.adler32(b"\n")
    for frame in found:
        frame.text()
        pieces += (frame.body, _LINE_FEED)
        adler = _join_adler(_join_adler(adler, frame.adler, frame.size), line_feed, 1)
    pieces += (_LAST_BLOCK, adler.to_bytes(4, "big"))
    return b"".join(pieces)


def _join_adler(one: int, other: int, size: int) -> int:
    """Return the Adler-32 of two texts one behind the other; `size` is the second one's."""
    low = ((one & 0xFFFF) + (other & 0xFFFF) - 1) % _ADLER
    high = ((one >> 16) + (other >> 16) + size * ((one & 0xFFFF) - 1)) % _ADLER
    return high << 16 | low


async def grid(request: web.Request) -> web.Response:
    """Answer the newest recorded sample at or before an instant, in the plain format."""
    at = _number(request, "at", await _newest(request))
    wanted = asked_fields(request)

    def work(recording: Recording) -> web.Response:
        sample = recording.sample_at(_ms(at))
        if sample is None:
            return middlewares.problem(404, "Nothing was recorded at that time, or before it.")
        body = wire.encode(sample) if wanted is None else fields.encode(sample, wanted)
        return _pack(request, body, "application/json")

    return await request.app[ARCHIVE].read(work)


async def events(request: web.Request) -> web.Response:
    """Answer what happened."""
    asked = await asked_range(request, seconds=LONGEST)
    most = _count(request, "limit", DEFAULT_EVENTS, MOST_EVENTS)
    form = _choice(request, "format", "json", "csv")
    text = _text(request, "kind")
    kinds = [] if text is None else text.split(",")
    if len(kinds) > MOST_KINDS or not all(map(_KIND.fullmatch, kinds)):
        raise BadQuery("`kind` is a list of kinds of events, separated by commas.")

    def work(recording: Recording) -> web.Response:
        found = recording.events(_ms(asked.start), _ms(asked.end), kinds=kinds, most=most)
        plain = [_plain(event) for event in found]
        if form == "json":
            return _json(request, {"events": plain})
        rows = [[*list(e.values())[:4], msgspec.json.encode(e["data"]).decode()] for e in plain]
        return _csv(request, ["id", "at", "ended", "kind", "data"], rows)

    return await request.app[ARCHIVE].read(work)


def _plain(stored: StoredEvent) -> dict[str, Any]:
    event = stored.event
    ended = None if event.ended_ms is None else event.ended_ms / 1000
    return {
        "id": stored.id,
        "at": event.at_ms / 1000,
        "ended": ended,
        "kind": event.kind,
        "data": event.data,
    }


async def concurrency(request: web.Request) -> web.Response:
    """Answer for how long how many workers were held."""
    asked = await asked_range(request, seconds=history.DAY)
    first, last = 3600 * int(asked.start // 3600), 3600 * math.ceil(asked.end / 3600)

    def work(recording: Recording) -> web.Response:
        levels = recording.levels(first, last)
        return _json(
            request,
            {
                "from": first,
                "to": last,
                "seconds": sum(levels.values()),
                "workers": recording.workers_limit(),
                "levels": sorted(levels.items()),
            },
        )

    return await request.app[ARCHIVE].read(work)


class _Bookmark(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    at: float | None = None


async def add_bookmark(request: web.Request) -> web.Response:
    """Write a bookmark."""
    recorder = _recorder(request)
    if isinstance(recorder, web.Response):
        return recorder
    wish = await _read_bookmark(request)
    now = time.time()
    at = now if wish.at is None else wish.at
    text = wish.text.strip()
    if not 1 <= len(text) <= BOOKMARK_LENGTH or any(map(_is_hidden, text)):
        raise BadQuery(f"`text` has 1 to {BOOKMARK_LENGTH} characters, and no control characters.")
    if not now - FRAMES_KEEP <= at <= now + 60.0:
        raise BadQuery("`at` is an instant of the last seven days, in epoch seconds.")
    event = Event("bookmark", _ms(at), None, str(time.time_ns()), {"text": text})
    number = await _write(recorder, lambda tape: tape.add_bookmark(event))
    return _json(request, _plain(StoredEvent(number, event)), status=201)


def _recorder(request: web.Request) -> Recorder | web.Response:
    """Return the recorder that may be told to write, or why this request may not.

    The rule against pages of other sites, which can make a browser send whatever a form can, with the
    credentials of whoever looks at them: a foreign `Origin` is refused with every request
    (`middlewares`), and browsers send one with each POST and DELETE to another site. Where one does not,
    `Sec-Fetch-Site` says where a request comes from, and must be the same site's own. Where there is
    neither, it is an old browser or none at all: no form can make a DELETE, or a POST of JSON, and a
    script only after a preflight, which nobody answers here.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return middlewares.problem(403, "This request comes from a page of another site.")
    if request.method == "POST" and request.content_type != "application/json":
        return middlewares.problem(415, "A bookmark is JSON: send `Content-Type: application/json`.")
    archive = request.app[ARCHIVE]
    if archive.replay is not None:
        return middlewares.problem(403, "A replay can't be changed.")
    return archive.recorder or middlewares.problem(
        404, archive.status.problem or "Nothing is recorded, and so there is nothing to mark."
    )


async def _read_bookmark(request: web.Request) -> _Bookmark:
    too_long = f"A bookmark has at most {BOOKMARK_BYTES} bytes."
    if (request.content_length or 0) > BOOKMARK_BYTES:
        raise BadQuery(too_long)
    body = bytearray()
    # Without a Content-Length it may have any.
    async for part in request.content.iter_any():
        body += part
        if len(body) > BOOKMARK_BYTES:
            raise BadQuery(too_long)
    try:
        return msgspec.json.decode(body, type=_Bookmark)
    except (msgspec.DecodeError, UnicodeError):
        raise BadQuery('A bookmark is JSON: {"at": 1790000000.0, "text": "deploy 4711"}.') from None


def _is_hidden(character: str) -> bool:
    """Return whether a character can't be seen, or changes how others are shown."""
    # Cc, Cf (bidi controls, soft hyphens), Cs, Co; Zl and Zp break lines. A joiner is part of an emoji.
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in "\u200c\u200d"


async def _write(recorder: Recorder, work: Callable[[Tape], T]) -> T:
    """Have the recorder write, and wait for it.

    Raises:
        TapeError: nothing can be written, or it takes too long.
    """
    # A client that goes must not cancel what the recorder's thread has begun.
    answer = asyncio.shield(asyncio.wrap_future(recorder.ask(work)))
    try:
        return await asyncio.wait_for(answer, WRITE_SECONDS)
    except asyncio.TimeoutError:
        raise TapeError("The disk is too slow: whether it was written is not known.") from None


async def remove_bookmark(request: web.Request) -> web.Response:
    """Remove a bookmark."""
    recorder = _recorder(request)
    if isinstance(recorder, web.Response):
        return recorder
    text = request.match_info["id"]
    if len(text) > NUMBER_LENGTH or not _COUNT.fullmatch(text):
        raise BadQuery("A bookmark has a number.")
    if not await _write(recorder, lambda tape: tape.remove_bookmark(int(text))):
        return middlewares.problem(404, "There is no such bookmark.")
    return web.Response(status=204)
