"""JPEG segments and PNG chunks, put into files by hand."""

import struct
import zlib

from worker.formats import png


def with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """Put segments behind a JPEG's first two bytes."""
    parts = (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(parts) + data[2:]


def chunk(name: bytes, body: bytes) -> bytes:
    """Put a chunk together."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def small_png(
    *chunks: bytes, bits: int = 8, color_type: int = 0, rows: bytes = b"\0\x10\xf0"
) -> bytes:
    """Write a PNG of 2 x 1 pixels by hand, with these chunks before its pixels."""
    header = struct.pack(">IIBBBBB", 2, 1, bits, color_type, 0, 0, 0)
    body = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows))]
    return png.SIGNATURE + b"".join([*body, chunk(b"IEND", b"")])
