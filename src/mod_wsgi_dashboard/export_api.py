"""A range of the recording as an incident file, over HTTP.

Owns the route `/api/v1/export`. What an incident file is, `incident` knows.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from mod_wsgi_dashboard import incident, middlewares
from mod_wsgi_dashboard.archive import NoRecording, Unreadable
from mod_wsgi_dashboard.history_api import ARCHIVE, asked_range, told

# An hour of 6,400 slots has some 100 MB.
MOST_BYTES = 256 << 20
CHUNK_BYTES = 256 << 10

# One at a time: each reads and compresses for seconds, and needs its own room on the disk.
WRITING = web.AppKey("mod_wsgi_dashboard.writing", asyncio.Lock)


def routes() -> list[web.RouteDef]:
    """Return the routes; the application needs `ARCHIVE` and `WRITING`."""
    return [web.get("/api/v1/export", told(export))]


async def export(request: web.Request) -> web.StreamResponse:
    """Answer a range of the recording as a file, `to` included."""
    asked = await asked_range(request)
    path = request.app[ARCHIVE].path
    if path is None:
        raise NoRecording(request.app[ARCHIVE].reason)
    if request.app[WRITING].locked():
        raise Unreadable("Another export is being written: ask again.")
    async with request.app[WRITING]:
        try:
            file, summary = await asyncio.to_thread(
                _write,
                path,
                int(1000 * asked.start),
                int(1000 * asked.end),
                # When the client has gone, nobody wants the rest.
                lambda: request.transport is None or request.transport.is_closing(),
            )
        except incident.NothingRecorded as error:
            return middlewares.problem(404, str(error))
        except incident.TooLarge as error:
            return middlewares.problem(413, str(error))
        except incident.IncidentError as error:
            return middlewares.problem(503, str(error))
    return await _send(request, file, summary)


def _write(
    path: Path, start_ms: int, end_ms: int, stop: Callable[[], bool]
) -> tuple[BinaryIO, incident.Summary]:
    """Write an incident file, and return it open, without a name."""
    # Beside the recording there is a disk with room; the system's folder may be memory.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        target = Path(folder, "incident.gz")
        summary = incident.write(path, start_ms, end_ms, target, most_bytes=MOST_BYTES, stop=stop)
        return target.open("rb"), summary


async def _send(request: web.Request, file: BinaryIO, summary: incident.Summary) -> web.StreamResponse:
    try:
        name = time.strftime("incident-%Y%m%d-%H%M.gz", time.localtime(summary.since))
        digest = base64.b64encode(bytes.fromhex(summary.sha256)).decode()
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/gzip",
                "Content-Disposition": f'attachment; filename="{name}"',
                # RFC 9530
                "Repr-Digest": f"sha-256=:{digest}:",
            }
        )
        response.content_length = summary.bytes
        # A client that has gone by now is no error of ours.
        with contextlib.suppress(ConnectionError):
            await response.prepare(request)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                await response.write(chunk)
            await response.write_eof()
    finally:
        await asyncio.to_thread(file.close)
    return response
