"""Boxes (ISO base media files): the structure of HEIC, JPEG 2000 and JPEG XL.

Source: ISO/IEC 15444-1 annex I.4 (JPEG XL: ISO/IEC 18181-2 clause 4 is the same).
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from worker.errors import DamagedError

MOST = 10_000  # boxes in a row; no honest file comes near it


class Box(NamedTuple):
    """A box: its name, the offset of its body, and the body's length in bytes."""

    name: bytes
    start: int
    length: int


def walk(file: BinaryIO, at: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes of a file, or of its part from `at` to `end`.

    Raises:
        DamagedError: a box extends beyond the end, or there are too many.
    """
    end = file.seek(0, os.SEEK_END) if end is None else end
    for _ in range(MOST):
        if at >= end:
            return
        header = read_at(file, at, min(16, end - at))
        if len(header) < 8:
            raise DamagedError("the file ends within a box")
        length, name = struct.unpack_from(">I4s", header)
        head = 8
        if length == 1:
            if len(header) < 16:
                raise DamagedError("the file ends within a box")
            (length,) = struct.unpack_from(">Q", header, 8)
            head = 16
        elif length == 0:  # up to the end
            length = end - at
        if length < head or at + length > end:
            raise DamagedError("a box is cut short")
        if not name.strip(b"\0"):
            raise DamagedError("a box has no valid name")
        yield Box(name, at + head, length - head)
        at += length
    raise DamagedError(f"there are more than {MOST} boxes")


def read_at(file: BinaryIO, start: int, length: int) -> bytes:
    """Read bytes at an offset; fewer at the end of the file."""
    file.seek(start)
    return file.read(length)


def named(box: Box) -> str:
    """Describe a box to people."""
    name = "".join(sign if sign.isprintable() else "?" for sign in box.name.decode("latin-1"))
    return f"the box {name.strip()}, {box.length:,} bytes"


def body(file: BinaryIO, box: Box) -> bytes:
    """Read the body of a box."""
    return read_at(file, box.start, box.length)


def box(name: bytes, *bodies: bytes) -> bytes:
    """Build a box."""
    whole = b"".join(bodies)
    return start(name, len(whole)) + whole


def start(name: bytes, length: int) -> bytes:
    """Build the header of a box with a body of some length."""
    if length + 8 < 1 << 32:
        return struct.pack(">I4s", length + 8, name)
    return struct.pack(">I4sQ", 1, name, length + 16)
