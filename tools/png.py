"""PNG files made small: at most 256 colours, and all that isn't needed to show them left out.

For pictures of pages, which are flat but for the edges of their letters. Reads what Chromium writes:
8-bit RGB, not interlaced. Numbers in docstrings are sections of the PNG specification (W3C, third
edition).
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RGB, INDEXED = 2, 3
COLOURS = 256


def shrink(png: bytes) -> bytes:
    """Return the picture as one of indexed colours, each the nearest of those that are kept.

    Raises:
        ValueError: it is no picture as Chromium writes it.
    """
    chunks = list(_read_chunks(png))
    header = next(content for kind, content in chunks if kind == b"IHDR")
    width, height, depth, colour, *ways = struct.unpack("!IIBBBBB", header)
    if (depth, colour, ways) != (8, RGB, [0, 0, 0]):
        raise ValueError("only 8-bit RGB without interlace can be read")
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    rows = _unfilter(zlib.decompress(packed), 3 * width)
    pixels = [row[place : place + 3] for row in rows for place in range(0, 3 * width, 3)]
    palette, nearest = _choose(Counter(pixels))
    indexes = bytes(nearest[pixel] for pixel in pixels)
    lines = b"".join(b"\0" + indexes[first : first + width] for first in range(0, len(indexes), width))
    return SIGNATURE + b"".join(
        struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))
        for kind, content in (
            (b"IHDR", struct.pack("!IIBBBBB", width, height, 8, INDEXED, 0, 0, 0)),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )


def _read_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from("!I", png, place)
        yield png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        place += length + 12


def _unfilter(filtered: bytes, size: int) -> list[bytes]:
    """Return the rows of pixels (9.2)."""
    above = bytes(size)
    rows = []
    for first in range(0, len(filtered), size + 1):
        row = bytearray(filtered[first + 1 : first + 1 + size])
        for place, value in enumerate(row):
            left, corner = (row[place - 3], above[place - 3]) if place >= 3 else (0, 0)
            row[place] = value + _predict(filtered[first], left, above[place], corner) & 0xFF
        above = bytes(row)
        rows.append(above)
    return rows


def _predict(way: int, left: int, above: int, corner: int) -> int:
    if way == 3:
        return (left + above) >> 1
    if way < 3:
        return (0, left, above)[way]
    middle = left + above - corner
    return min((left, above, corner), key=lambda value: abs(middle - value))


def _choose(counts: Counter[bytes]) -> tuple[list[bytes], dict[bytes, int]]:
    """Return the colours to keep, and the place among them of the one nearest to each colour.

    Half of them are the most frequent ones; each of the others is the one that none before is near to:
    a dot of a colour of its own is few pixels, and yet has a meaning.
    """
    palette = [colour for colour, _ in counts.most_common(COLOURS // 2)]
    nearest = {
        colour: min((_distance(colour, kept), place) for place, kept in enumerate(palette))
        for colour in counts
    }
    while len(palette) < min(COLOURS, len(counts)):
        palette.append(max(nearest, key=lambda colour: nearest[colour][0]))
        added = (palette[-1], len(palette) - 1)
        for colour, found in nearest.items():
            nearest[colour] = min(found, (_distance(colour, added[0]), added[1]))
    return palette, {colour: place for colour, (_, place) in nearest.items()}


def _distance(one: bytes, other: bytes) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2
