"""JPEG inside TIFF: finds the end of a stream, and reassembles old-style JPEG (compression 6).

Old-style JPEG is one complete stream, or strips of codes whose tables are in a stream's header or
in tags; each strip becomes a JPEG. Refuses lossless old-style JPEG.
Source: TIFF 6.0 section 22; ITU-T T.81; Adobe's TIFF technical note 2, and libtiff's notes on what
was written under that number.
"""

import random
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import imagecodecs
import numpy as np
from tifffile import PHOTOMETRIC, TiffPage

from worker.color.cielab import Pixels
from worker.errors import IncompleteError, ScanError
from worker.formats.jpeg import check_scans

Read = Callable[[int, int], bytes]  # from a place, so many bytes or fewer
PROCESS, STREAM, STREAM_LENGTH, RESTART = 512, 513, 514, 515
Q_TABLES, DC_TABLES, AC_TABLES = 519, 520, 521
LOSSLESS = 14  # of PROCESS
MOST_SEGMENTS = 200  # honest streams have some dozens, and a hundred with long metadata
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
# After the codes of a scan: no stuffed byte, no restart.
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
RESTARTS = re.compile(rb"\xff[\xd0-\xd7]")
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
ADVICE = "convert it with another program, such as tiffcp -c lzw OLD.tif NEW.tif"


class Frame(NamedTuple):
    """A JPEG's frame header; `end` is the offset after its end marker, None if missing."""

    width: int
    height: int
    samples: int
    bits: int
    codes: int  # where those of its first scan begin, 0 if there are none
    end: int | None


@dataclass(frozen=True)
class Tables:
    """What all strips share: everything between a JPEG's start marker and its codes."""

    head: bytes
    tall: int  # bytes of `head` before the place of the height


def frame(data: bytes) -> Frame:
    """Scan a JPEG's segments and codes.

    Raises:
        IncompleteError: it does not begin as one does, or a segment is cut short.
    """
    if data[:2] != SOI:
        raise IncompleteError("a JPEG strip or tile of the TIFF does not start with a JPEG marker")
    found = Frame(0, 0, 0, 0, 0, None)
    at = 2
    for _ in range(MOST_SEGMENTS):
        if (marker := MARKER.search(data, at)) is None:
            break
        at, code = marker.end(), data[marker.end() - 1]
        if code == 0xD9:
            return found._replace(end=at)
        if code in {0x01, 0xD8}:  # without a body
            continue
        length = int.from_bytes(data[at : at + 2])
        body = data[at + 2 : at + length]
        if length < 2 or len(body) != length - 2:
            break
        at += length
        if code in FRAMES and len(body) >= 6:
            bits, height, width, samples = struct.unpack_from(">BHHB", body)
            found = found._replace(width=width, height=height, samples=samples, bits=bits)
        if code == 0xDA and not found.codes:
            found = found._replace(codes=at)
    return found


def whole(data: bytes) -> tuple[bytes, Frame]:
    """Return a JPEG without trailing padding, and its frame header.

    Raises:
        IncompleteError: it is cut short. (libjpeg would go on, in gray.)
        ScanError: it would take hours.
    """
    check_scans(data)
    found = frame(data)
    if found.end is None:
        raise IncompleteError("a JPEG strip or tile of the TIFF is cut short")
    return data[: found.end], found


def settle(page: TiffPage, read: Read) -> Tables | None:
    """Find how an old-style JPEG is stored, and correct its page accordingly.

    A whole stream becomes the page's only strip.

    Args:
        page: whose compression it is; strips are changed.
        read: of the file.

    Returns:
        what is put before the codes of each strip; None where strips are streams themselves.

    Raises:
        ScanError: it is stored in a way that is not read, with what to do.
    """
    if page.tags.valueof(PROCESS) == LOSSLESS:
        raise ScanError(f"the TIFF is old-style lossless JPEG, which cannot be read; {ADVICE}")
    if page.is_tiled:
        raise ScanError(f"the TIFF is old-style JPEG in tiles, which cannot be read; {ADVICE}")
    at, length = _number(page, STREAM), _number(page, STREAM_LENGTH)
    most = 65536 + 12 * page.imagewidth * page.imagelength  # bytes that any honest stream needs
    stream = read(at, min(length or most, most)) if at else b""
    found = frame(stream) if stream[:2] == SOI else None
    if found and found.end and (found.width, found.height) == (page.imagewidth, page.imagelength):
        page.dataoffsets, page.databytecounts = (at,), (found.end,)
        page.rowsperstrip = page.imagelength
    else:
        first, size = (*page.dataoffsets[:1], 0)[0], (*page.databytecounts[:1], 0)[0]
        strip = read(first, min(size, most)) if first else b""
        if strip[:2] != SOI:
            tables = _tables(page, stream, read)
            _say(page, frame(tables.head).samples)
            return tables
        found = frame(strip)
    _say(page, found.samples)
    return None


def _say(page: TiffPage, samples: int) -> None:
    """Set a page's colors as its JPEG states them."""
    if not samples:
        raise IncompleteError("the TIFF's old-style JPEG ends before its image data")
    page.samplesperpixel = samples
    if samples == 3:
        page.photometric = PHOTOMETRIC.YCBCR
    elif samples == 1 and page.photometric not in {PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK}:
        page.photometric = PHOTOMETRIC.MINISBLACK


def _number(page: TiffPage, tag: int) -> int:
    found = page.tags.valueof(tag)
    first = found[0] if isinstance(found, tuple) and found else found
    return first if isinstance(first, int) and first > 0 else 0


def _tables(page: TiffPage, stream: bytes, read: Read) -> Tables:
    """Assemble tables, frame and scan header from a stream's header or from tags."""
    segments = _segments(stream)
    tables = b"".join(body for code, body in segments if code in {0xDB, 0xC4})
    # Those of a stream are numbered as nearly all encoders do: one for light, one for color.
    numbers = [2, 2] if tables else [len(_places(page, tag)) for tag in (DC_TABLES, AC_TABLES)]
    tables = tables or _tables_of_tags(page, read)
    interval = next((body for code, body in segments if code == 0xDD), b"")
    interval = interval or _interval(page)
    shape = next((body for code, body in segments if code in FRAMES), b"")
    shape = shape or _shape(page, 2 if segments else len(_places(page, Q_TABLES)))
    scan = next((body for code, body in segments if code == 0xDA), b"")
    scan = scan or _scan(shape[9], *numbers)
    head = SOI + tables + interval + shape
    return Tables(head + scan, len(head) - len(shape) + 5)


def _segments(stream: bytes) -> list[tuple[int, bytes]]:
    """Split a stream's header into segments: marker and bytes of each."""
    found = []
    at = 2
    while stream[at : at + 1] == b"\xff" and at + 4 <= len(stream):
        code, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4])
        found.append((code, stream[at : at + 2 + length]))
        at += 2 + length
        if code == 0xDA:
            break
    return [(code, body) for code, body in found if len(body) > 4]


def _tables_of_tags(page: TiffPage, read: Read) -> bytes:
    """Build segments from the tables whose offsets are in tags."""
    made = b""
    for number, at in enumerate(_places(page, Q_TABLES)):
        made += _segment(0xDB, bytes([number]) + read(at, 64).ljust(64, b"\1"))
    for kind, tag in ((0, DC_TABLES), (16, AC_TABLES)):
        for number, at in enumerate(_places(page, tag)):
            counts = read(at, 16)
            made += _segment(0xC4, bytes([kind + number]) + counts + read(at + 16, sum(counts)))
    return made


def _places(page: TiffPage, tag: int) -> tuple[int, ...]:
    found = page.tags.valueof(tag)
    places = (found,) if isinstance(found, int) else found
    if not isinstance(places, tuple) or not 1 <= len(places) <= 4:
        raise ScanError(f"the TIFF is old-style JPEG without its tables; {ADVICE}")
    return places


def _segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _interval(page: TiffPage) -> bytes:
    found = _number(page, RESTART)
    return _segment(0xDD, struct.pack(">H", found)) if 0 < found < 65536 else b""


def _shape(page: TiffPage, tables: int) -> bytes:
    """Build the page's frame header: baseline, each sample with the table of its number."""
    gray = page.photometric in {PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK}
    samples = 1 if gray else 3
    across, down = page.subsampling or (2, 2)
    body = struct.pack(">BHHB", 8, page.imagelength, page.imagewidth, samples)
    for number in range(samples):
        steps = across << 4 | down if samples > 1 and number == 0 else 0x11
        body += bytes([number + 1, steps, min(number, tables - 1)])
    return _segment(0xC0, body)


def _scan(samples: int, direct: int, alternating: int) -> bytes:
    """Build the scan header of all samples, by the number of DC and AC tables."""
    body = bytes([samples])
    for number in range(samples):
        tables = min(number, direct - 1) << 4 | min(number, alternating - 1)
        body += bytes([number + 1, tables])
    return _segment(0xDA, body + b"\0\x3f\0")


def assembled(tables: Tables, codes: bytes, rows: int) -> bytes:
    """Make a JPEG of a strip of codes.

    Args:
        tables: of the page.
        codes: of the strip, as stored.
        rows: of the strip.

    Raises:
        IncompleteError: they are cut short.
    """
    codes = codes[2:] if RESTARTS.match(codes) else codes
    end = MARKER.search(codes)
    told = end is not None and codes[end.end() - 1] == 0xD9
    if end is not None:
        codes = codes[: end.start()]
    count = iter(range(len(codes)))
    codes = RESTARTS.sub(lambda _: bytes([0xFF, 0xD0 + next(count) % 8]), codes)
    head = tables.head[: tables.tall] + struct.pack(">H", rows) + tables.head[tables.tall + 2 :]
    if not told:
        _check_codes(head, codes)
    return head + codes + EOI


def _check_codes(head: bytes, codes: bytes) -> None:
    """Refuse truncated codes: a decoder that has enough ignores what follows."""
    noise = random.Random(0)  # noqa: S311 - the same each time
    plain = codes.rstrip(b"\xff")
    tails = (bytes(noise.randrange(255) for _ in range(4000)) for _ in range(2))
    samples = frame(head).samples
    first, *others = (decoded(head + plain + tail + EOI, samples) for tail in (b"", *tails))
    if not all(np.array_equal(first, other) for other in others):
        raise IncompleteError("a strip of the TIFF's old-style JPEG is cut short")


def decoded(data: bytes, samples: int) -> Pixels:
    """Decode an old-style JPEG to gray or RGB: (rows, W, 1 or 3) uint8."""
    codes = imagecodecs.jpeg8_decode(data, outcolorspace="RGB" if samples == 3 else None)
    return np.asarray(codes).reshape(*codes.shape[:2], -1)
