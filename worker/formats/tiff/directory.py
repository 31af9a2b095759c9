"""Walks a TIFF's directories before anything is decoded.

Refuses loops, endless chains, and directories that would exhaust memory.
"""

import os
import struct
from collections import deque
from dataclasses import dataclass
from dataclasses import field as a_field
from typing import BinaryIO, Literal

from worker.errors import DamagedError, IncompleteError, ScanError
from worker.metadata.ifd import BIG_SIZES, Field, Form, fields, form_of, row_size

MOST_PAGES = 10_000
MOST_FIELDS = 400_000  # in all directories together: forty for each of the pages
MOST_VALUES = 1_000_000  # of structure in all directories together: 500,000 strips or tiles
# Tags that tifffile reads as it meets them: structure, and texts.
STRUCTURE = {254, 255, 258, 270, 273, 277, 279, 282, 283, 305, 324, 325, 330, 338, 339, 347}
STRUCTURE |= {513, 514, 530, 33628, 42113, 50838, 50839}
SUB_DIRECTORIES = 330
POINTERS = {3, 4, 9, 13, 16, 17, 18}  # types that a place in the file may have


@dataclass(frozen=True)
class Page:
    """One directory of the main chain, or below one.

    Attributes:
        number: of the page in the main chain, from 0.
        at: its offset in the file.
        fields: by tag.
        below: its SubIFDs, and theirs, in order.
        broken: offsets of SubIFDs that cannot be read.
    """

    number: int
    at: int
    fields: dict[int, Field]
    below: list["Page"] = a_field(default_factory=list)
    broken: list[int] = a_field(default_factory=list)


class _Walk:
    """A walk in progress: offsets seen, and totals."""

    def __init__(self, file: BinaryIO, form: Form) -> None:
        self.file = file
        self.form = form
        self.seen: set[int] = set()
        self._fields = self._values = 0

    def take(self, at: int, number: int) -> tuple[Page, int]:
        """Read a directory; return it and the next one's offset (0 for none)."""
        if len(self.seen) == MOST_PAGES:
            raise ScanError(
                f"the TIFF has more than {MOST_PAGES:,} pages; split it into smaller files"
            )
        self.seen.add(at)
        found, following = read(self.file, at, self.form)
        self._fields += len(found)
        self._values += sum(field.values for tag, field in found.items() if tag in STRUCTURE)
        if self._fields > MOST_FIELDS or self._values > MOST_VALUES:
            raise ScanError(
                f"the TIFF's first {number + 1} pages have {self._fields:,} tags and "
                f"{self._values:,} strips, tiles and other values of structure, more than any "
                "photograph needs"
            )
        return Page(number, at, found), following

    def take_below(self, page: Page) -> None:
        """Add a page's SubIFDs, level by level, each with its chain."""
        waiting = deque(self._pointers(page.fields.get(SUB_DIRECTORIES)))
        while waiting:
            at = waiting.popleft()
            if at in self.seen:
                continue
            try:
                found, following = self.take(at, page.number)
                waiting.extend(self._pointers(found.fields.get(SUB_DIRECTORIES)))
            except (IncompleteError, OverflowError):
                page.broken.append(at)
                continue
            page.below.append(found)
            if following:
                waiting.append(following)

    def _pointers(self, pointers: Field | None) -> list[int]:
        if pointers is None:
            return []
        size = BIG_SIZES[pointers.kind] if pointers.kind in POINTERS else 0
        try:
            data = value(self.file, pointers)
        except ValueError as error:
            raise IncompleteError(
                f"the TIFF's pointer to subimages (tag 330) cannot be read: {error}"
            ) from error
        if not size:  # of an unknown type, but something is there
            return [pointers.at]
        order: Literal["little", "big"] = "little" if self.form.order == "<" else "big"
        return [int.from_bytes(data[n : n + size], order) for n in range(0, len(data), size)]


def walk(file: BinaryIO) -> tuple[Form, list[Page]]:
    """Read a TIFF's main chain of directories and their SubIFDs, without values.

    Raises:
        IncompleteError: a directory is missing or truncated, or they form a loop.
        ScanError: they would exhaust memory.
    """
    file.seek(0)
    header = file.read(16)
    form = form_of(header)
    start = 8 if form.big else 4
    if len(header) < start + form.inline:
        raise IncompleteError("the TIFF is cut short within its header")
    (at,) = struct.unpack_from(form.offset, header, start)
    pages: list[Page] = []
    met = _Walk(file, form)
    while at:
        if at in met.seen:
            raise IncompleteError(
                f"the TIFF's pages form a loop after page {len(pages)}; the file is damaged"
            )
        page, at = met.take(at, len(pages))
        pages.append(page)
    for page in pages:
        met.take_below(page)
    return form, pages


def read(file: BinaryIO, at: int, form: Form) -> tuple[dict[int, Field], int]:
    """Read one directory: its fields by tag, and the next one's offset (0 for none).

    Raises:
        IncompleteError: there is no complete directory at that offset.
    """
    seek(file, at)
    head = file.read(struct.calcsize(form.tags))
    count = struct.unpack(form.tags, head)[0] if len(head) == struct.calcsize(form.tags) else 0
    if not 0 < count <= 4096:  # tifffile's limit
        raise IncompleteError(
            f"the TIFF has no directory at byte {at:,}: the file is damaged or cut short"
        )
    rows = file.read(count * row_size(form))
    following = file.read(form.inline)
    if len(following) < form.inline:
        raise IncompleteError(f"the TIFF's directory at byte {at:,} is cut short")
    found: dict[int, Field] = {}
    for tag, field in fields(rows, at + len(head), form):
        found.setdefault(tag, field)
    return found, int(struct.unpack(form.offset, following)[0])


def seek(file: BinaryIO, at: int) -> None:
    """Seek to an offset, or to the end if the system allows no such offset."""
    try:
        file.seek(at)
    except (OSError, OverflowError, ValueError):
        file.seek(0, os.SEEK_END)


def bytes_at(file: BinaryIO, at: int, count: int) -> bytes:
    """Read bytes at an offset; fewer at the end of the file."""
    seek(file, at)
    return file.read(count)


def value(file: BinaryIO, field: Field, most: int = 1 << 24) -> bytes:
    """Read a field's bytes, in the file's byte order.

    Args:
        file: the TIFF.
        field: to read.
        most: bytes that are believable.

    Raises:
        DamagedError: it has an unknown type, is larger than believable, or lies beyond the end.
    """
    if not 0 < field.size <= most:
        raise DamagedError(f"type {field.kind} with {field.values:,} values")
    seek(file, field.at)
    data = file.read(field.size)
    if len(data) < field.size:
        raise DamagedError("it lies beyond the end of the file")
    return data


def whole_number(file: BinaryIO, field: Field | None, form: Form) -> int | None:
    """Read a field's first whole number; None where there is none."""
    if field is None or field.kind not in {1, 3, 4, 13, 16, 18} or field.values < 1:
        return None
    size = BIG_SIZES[field.kind]
    seek(file, field.at)
    return int.from_bytes(file.read(size), "little" if form.order == "<" else "big")
