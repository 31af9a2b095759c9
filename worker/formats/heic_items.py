"""Checks that a HEIC is complete: where its images end in the file.

Sources: ISO/IEC 14496-12 section 8.11 (items), ISO/IEC 23008-12; H.265 section 7.4.1.1 (the last
byte of a unit is never zero).
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from worker.errors import DamagedError
from worker.formats.isobmff import Box, body, read_at, walk

PICTURES = {b"hvc1", b"hvt1"}  # items of H.265
IN_THE_FILE = 0  # an item's place: not in another box, nor in another item


def check_ends(file: BinaryIO) -> None:
    """Check the last byte of each image and tile, because decoders accept zeros.

    Args:
        file: a HEIC, open for reading.

    Raises:
        DamagedError: one lies beyond the file, or ends in zeros.
        struct.error, IndexError: the boxes are damaged.
    """
    whole = list(walk(file))
    meta = next((box for box in whole if box.name == b"meta"), None)
    if meta is None:
        raise DamagedError("the file ends before the image data does")
    inside = {box.name: box for box in walk(file, meta.start + 4, meta.start + meta.length)}
    if not {b"iinf", b"iloc"} <= inside.keys():
        raise DamagedError("it contains no image")
    kinds = dict(_kinds(file, inside[b"iinf"]))
    for item, end in _ends(body(file, inside[b"iloc"])):
        if kinds.get(item) in PICTURES and read_at(file, end - 1, 1) in {b"", b"\0"}:
            raise DamagedError("the file ends before the image data does")


def _kinds(file: BinaryIO, box: Box) -> Iterator[tuple[int, bytes]]:
    """Yield the number and type of each item."""
    version = read_at(file, box.start, 1)[0]
    first = box.start + (6 if version == 0 else 8)
    for entry in walk(file, first, box.start + box.length):
        data = body(file, entry)
        wide = data[0] > 2
        if data[0] >= 2:
            number = struct.unpack_from(">I" if wide else ">H", data, 4)[0]
            at = 10 if wide else 8
            yield number, data[at : at + 4]


class _Numbers:
    """Reads consecutive numbers of varying size."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, size: int) -> int:
        """Read an integer of so many bytes; 0 bytes give 0."""
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise DamagedError("the file ends within its header")
        self._at += size
        return int.from_bytes(part)


def _ends(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the item number and end offset of each extent in the file."""
    version = data[0]
    offset_size, length_size = data[4] >> 4, data[4] & 15
    base_size, index_size = data[5] >> 4, data[5] & 15 if version else 0
    numbers = _Numbers(data, 6)
    wide = 4 if version == 2 else 2
    for _ in range(numbers.take(wide)):
        item = numbers.take(wide)
        place = numbers.take(2) & 15 if version else IN_THE_FILE
        numbers.take(2)  # which file: this one
        base = numbers.take(base_size)
        for _ in range(numbers.take(2)):
            numbers.take(index_size)
            start, length = base + numbers.take(offset_size), numbers.take(length_size)
            if place == IN_THE_FILE and length:
                yield item, start + length
