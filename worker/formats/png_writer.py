"""Writes PNG of 8 or 16 bits, strip by strip, compressed on several cores.

Like pigz, it compresses pieces of one zlib stream in parallel, each primed with the preceding
32 KB: half of libpng's time on two cores, and never a whole page in memory.
Source: W3C, Portable Network Graphics, 3rd edition; RFC 1950 and 1951.
"""

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import numpy as np

from worker.color.cielab import Pixels
from worker.formats.full_image import only_page
from worker.formats.image import OutputPage
from worker.formats.png import INCH, SIGNATURE, XMP_KEYWORD
from worker.metadata import photoshop
from worker.metadata.block import Metadata

LEVEL = 6
LONGEST_SIDE = 1_000_000  # that libpng reads
WINDOW = 1 << 15  # bytes that deflate looks back
SUB = 1  # the filter: each sample less the one to its left
MOST_CORES = 4
LONGEST_KEYWORD = 79  # bytes


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write a PNG at the page's depth, with its opacity.

    Raises:
        ScanError: what the format cannot hold.
        OSError: when the disk fails.
    """
    page = only_page(pages, "PNG", LONGEST_SIDE)
    color_type = 6 if page.alpha else 2
    header = struct.pack(">IIBBBBB", page.width, page.height, page.depth, color_type, 0, 0, 0)
    file.write(SIGNATURE + _chunk(b"IHDR", header))
    file.writelines(_chunk(name, body) for name, body in _told(page.metadata))
    file.writelines(_chunk(b"IDAT", piece) for piece in _packed(page))
    file.write(_chunk(b"IEND", b""))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _told(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and body of each metadata chunk."""
    if metadata.profile:
        yield b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.profile)
    if metadata.dpi:
        x, y = (round(side / INCH) for side in metadata.dpi)
        if 0 < x < 1 << 31 and 0 < y < 1 << 31:
            yield b"pHYs", struct.pack(">IIB", x, y, 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")
    if metadata.xmp:
        yield b"iTXt", XMP_KEYWORD.encode() + b"\0\0\0\0\0" + metadata.xmp
    # PNG has no place for IPTC; this is how exiftool stores it, with other resources.
    if wrapped := photoshop.wrapped(metadata.iptc, metadata.photoshop):
        digits = wrapped.hex()
        lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
        text = f"\niptc\n{len(wrapped):8d}\n{lines}\n".encode()
        yield b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)
    for keyword, said in metadata.texts:
        yield _text(keyword.encode("latin-1", "replace")[:LONGEST_KEYWORD], said)


def _text(keyword: bytes, text: bytes) -> tuple[bytes, bytes]:
    """Build a text chunk; the text is UTF-8 or, as in older PNG texts, Latin-1."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return b"zTXt", keyword + b"\0\0" + zlib.compress(text)
    return b"iTXt", keyword + b"\0\1\0\0\0" + zlib.compress(text)


def _packed(page: OutputPage) -> Iterator[bytes]:
    """Yield the page's zlib stream in pieces."""
    cores = min(MOST_CORES, os.cpu_count() or 1)
    yield b"\x78\x9c"  # deflate with the full window, default level
    check, rows = zlib.adler32(b""), 0
    before = b""
    with ThreadPoolExecutor(cores, thread_name_prefix="png") as pool:
        waiting: deque[Future[bytes]] = deque()
        for strip in page.strips():
            filtered = _filtered(strip)
            check, rows = zlib.adler32(filtered, check), rows + len(strip)
            waiting.append(pool.submit(_deflated, filtered, before))
            before = filtered[-WINDOW:]
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    if rows != page.height:
        raise ValueError(f"{rows} rows of {page.height} were given to store")
    yield b"\x03\x00" + struct.pack(">I", check)  # an empty last block


def _deflated(filtered: bytes, before: bytes) -> bytes:
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, zdict=before)
    return stream.compress(filtered) + stream.flush(zlib.Z_SYNC_FLUSH)


def _filtered(strip: Pixels) -> bytes:
    """Filter a strip (n, W, channels) into PNG rows: filter type, then differences."""
    step = strip.shape[2] * strip.itemsize
    stored = np.ascontiguousarray(strip, strip.dtype.newbyteorder(">"))
    codes = stored.view(np.uint8).reshape(len(strip), -1)
    rows = np.empty((len(strip), 1 + codes.shape[1]), np.uint8)
    rows[:, 0] = SUB
    rows[:, 1 : 1 + step] = codes[:, :step]
    np.subtract(codes[:, step:], codes[:, :-step], out=rows[:, 1 + step :])
    return rows.tobytes()
