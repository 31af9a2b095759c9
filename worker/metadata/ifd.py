"""TIFF directories (IFDs): the one reader and writer for TIFF, BigTIFF and EXIF blocks.

Sources: TIFF 6.0 section 2; libtiff's BigTIFF specification; Exif 3.0 section 4.6.2 (types).
"""

import struct
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, DIRECTORY, LONG8 = 1, 2, 3, 4, 5, 7, 13, 16
# Bytes of one value, by type; 129 is UTF-8. BigTIFF adds three types of 64 bits.
SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1)) | {129: 1}
BIG_SIZES = SIZES | {16: 8, 17: 8, 18: 8}
# Bytes that change places between byte orders: a fraction's two numbers are swapped one by one.
WORDS = BIG_SIZES | {5: 4, 10: 4}
CODES = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}


class Form(NamedTuple):
    """A file's byte order, and whether its offsets have 64 bits (BigTIFF)."""

    order: Literal["<", ">"]
    big: bool = False

    @property
    def row(self) -> str:
        """A row: tag, type, number of values."""
        return f"{self.order}HH{'Q' if self.big else 'I'}"

    @property
    def offset(self) -> str:
        """An offset in the file."""
        return f"{self.order}{'Q' if self.big else 'I'}"

    @property
    def tags(self) -> str:
        """The number of a directory's rows."""
        return f"{self.order}{'Q' if self.big else 'H'}"

    @property
    def inline(self) -> int:
        """Bytes of a value that a row holds itself; also those of an offset."""
        return 8 if self.big else 4


class Field(NamedTuple):
    """A row that was read: the value's type, how many there are, and their offset in the file."""

    kind: int
    values: int
    at: int

    @property
    def size(self) -> int:
        """Bytes of the value; 0 for an unknown type."""
        return BIG_SIZES.get(self.kind, 0) * self.values


class Value(NamedTuple):
    """A value: its type, and its bytes in the file's byte order."""

    kind: int
    data: bytes


Directory = dict[int, Value]  # by tag


def form_of(header: bytes) -> Form:
    """Return the form of a TIFF or an EXIF block that begins so."""
    return Form("<" if header[:2] == b"II" else ">", header[2:4] in {b"+\0", b"\0+"})


def table_size(rows: int, form: Form) -> int:
    """Return the bytes of a directory of so many rows, with its count and the link to the next."""
    return struct.calcsize(form.tags) + rows * row_size(form) + form.inline


def row_size(form: Form) -> int:
    """Return the bytes of a row."""
    return struct.calcsize(form.row) + form.inline


def fields(rows: bytes, at: int, form: Form) -> Iterator[tuple[int, Field]]:
    """Yield the tag and field of each row.

    Args:
        rows: the rows' bytes, whole rows.
        at: their offset in the file.
        form: of the file.
    """
    row, offset, inline = struct.Struct(form.row), struct.Struct(form.offset), form.inline
    for start in range(0, len(rows), row.size + inline):
        tag, kind, number = row.unpack_from(rows, start)
        place = start + row.size
        field = Field(kind, number, at + place)
        if field.size > inline:
            field = field._replace(at=offset.unpack_from(rows, place)[0])
        yield tag, field


def table(directory: Directory, form: Form, put: Callable[[int, bytes], int]) -> bytes:
    """Lay out a directory, with no link to a next one.

    Args:
        directory: values in the byte order of `form`.
        form: of the file.
        put: called with tag and bytes of each value that a row cannot hold; returns its offset.

    Raises:
        struct.error: an offset or a number of values does not fit into 32 bits.
    """
    rows = struct.pack(form.tags, len(directory))
    for tag, (kind, data) in sorted(directory.items()):
        rows += struct.pack(form.row, tag, kind, len(data) // BIG_SIZES[kind])
        if len(data) <= form.inline:
            rows += data.ljust(form.inline, b"\0")
        else:
            rows += struct.pack(form.offset, put(tag, data))
    return rows + bytes(form.inline)


def numbers(form: Form, kind: int, *values: int) -> Value:
    """Make a value of whole numbers, of type SHORT, LONG, LONG8, or RATIONAL (two for each)."""
    return Value(kind, struct.pack(f"{form.order}{len(values)}{CODES[kind]}", *values))


def reordered(data: bytes, kind: int, before: str, after: str) -> bytes:
    """Convert a value of a type from one byte order ("<" or ">") to another."""
    width = WORDS[kind]
    if width == 1 or before == after:
        return data
    swapped = bytearray(len(data))
    for place in range(width):
        swapped[place::width] = data[width - 1 - place :: width]
    return bytes(swapped)
