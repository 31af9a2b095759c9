"""Reads and writes EXIF blocks, preserving every value byte for byte.

Pillow does not: it reads texts as Latin-1, writes ASCII and guesses types, so that "Straße" becomes
"Stra??e". Source: Exif 3.0 section 4.6.
"""

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from worker.errors import DamagedError
from worker.metadata import ifd
from worker.metadata.ifd import DIRECTORY, LONG, SHORT, Directory, Value

PREFIX = b"Exif\0\0"
MOST_TAGS = 10_000  # of a directory; honest ones have some hundreds
EXIF_POINTER, GPS_POINTER, INTEROP_POINTER, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 0x927C


@dataclass
class Block:
    """A parsed EXIF block; tags exclude the pointers between directories.

    Attributes:
        order: byte order of every value, as `struct` has it.
        main: the first directory: artist, copyright, software, resolution.
        exif: exposure, dates, maker note.
        gps: where it was taken.
        interop: what DCF says of compatibility.
        maker_note_at: offset of the maker note, or 0; many contain offsets valid only there.
        unreadable: number of values that lie beyond the end or have an unknown type.
        thumbnail: whether a thumbnail followed, which is dropped.
    """

    order: Literal["<", ">"] = ">"
    main: Directory = field(default_factory=dict)
    exif: Directory = field(default_factory=dict)
    gps: Directory = field(default_factory=dict)
    interop: Directory = field(default_factory=dict)
    maker_note_at: int = 0
    unreadable: int = 0
    thumbnail: bool = False

    @property
    def form(self) -> ifd.Form:
        """Its byte order, as `ifd` takes it."""
        return ifd.Form(self.order)

    def short(self, value: int) -> Value:
        """Make a whole number of 16 bits."""
        return ifd.numbers(self.form, SHORT, value)

    def long(self, value: int) -> Value:
        """Make a whole number of 32 bits."""
        return ifd.numbers(self.form, LONG, value)

    def rational(self, value: float) -> Value:
        """Make a fraction of two whole numbers of 32 bits; 0 to 429,496."""
        near = Fraction(value).limit_denominator(10_000)
        return ifd.numbers(self.form, ifd.RATIONAL, near.numerator, near.denominator)

    def number(self, value: Value | None) -> int | None:
        """Return the first whole number of a value of 16 or 32 bits; None if it has none."""
        if value is None or value.kind not in {SHORT, LONG, DIRECTORY} or not value.data:
            return None
        code = "H" if value.kind == SHORT else "I"
        return int(struct.unpack_from(f"{self.order}{code}", value.data)[0])


def text(value: str) -> Value:
    """Make a text value in UTF-8."""
    return Value(ifd.ASCII, value.replace("\0", "").encode(errors="replace") + b"\0")


def text_of(value: Value | None) -> str:
    """Decode a text as UTF-8 or else Latin-1; "" if there is none."""
    data = value.data.split(b"\0")[0].strip() if value else b""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def read(data: bytes) -> Block:
    r"""Parse an EXIF block, without the thumbnail and its directory.

    Args:
        data: the block, with or without `Exif\0\0` before it.

    Raises:
        DamagedError: it is no EXIF block. Single bad values are only counted.
    """
    while data.startswith(PREFIX):
        data = data[len(PREFIX) :]
    if len(data) < 8 or data[:4] not in {b"II*\0", b"MM\0*"}:
        raise DamagedError("it does not start with a TIFF header")
    block = Block(ifd.form_of(data[:4]).order)
    (first,) = struct.unpack_from(f"{block.order}I", data, 4)
    if first + 2 > len(data):
        raise DamagedError("its first directory lies beyond its end")
    block.main = _directory(data, first, block)
    (count,) = struct.unpack_from(f"{block.order}H", data, first)
    end = first + ifd.table_size(count, block.form)
    following = data[end - block.form.inline : end]
    block.thumbnail = bool(following.strip(b"\0"))
    block.exif = _below(block.main, EXIF_POINTER, data, block)
    block.gps = _below(block.main, GPS_POINTER, data, block)
    block.interop = _below(block.exif, INTEROP_POINTER, data, block)
    directories = (block.main, block.exif, block.gps, block.interop)
    # Two tags may share bytes; thousands that do are a decompression bomb.
    if sum(len(v.data) for d in directories for v in d.values()) > 2 * len(data):
        raise DamagedError("its values overlap")
    return block


def _below(parent: Directory, pointer: int, data: bytes, block: Block) -> Directory:
    at = block.number(parent.pop(pointer, None))
    return {} if at is None else _directory(data, at, block)


def _directory(data: bytes, at: int, block: Block) -> Directory:
    """Read the directory at an offset; count and skip unreadable values."""
    found: Directory = {}
    if at + 2 > len(data):
        block.unreadable += 1
        return found
    (count,) = struct.unpack_from(f"{block.order}H", data, at)
    size, first = ifd.row_size(block.form), at + 2
    whole = min(count, (len(data) - first) // size, MOST_TAGS)
    block.unreadable += count - whole
    held = 0
    for tag, row in ifd.fields(data[first : first + whole * size], first, block.form):
        held += row.size
        end = row.at + row.size
        if row.kind not in ifd.SIZES or end > len(data) or held > 2 * len(data):
            block.unreadable += 1
            continue
        if tag == MAKER_NOTE and row.size > block.form.inline:
            block.maker_note_at = row.at
        found.setdefault(tag, Value(row.kind, data[row.at : end]))
    return found


def write(block: Block) -> bytes:
    r"""Serialize an EXIF block, with `Exif\0\0` before it."""
    layout = _Layout(block)
    below = bool(block.exif or block.interop) + bool(block.gps)
    first = layout.place(
        ifd.table_size(len(block.main) + below, block.form)
    )  # at 8, where simple readers look
    main, exif = dict(block.main), dict(block.exif)
    if block.interop:
        exif[INTEROP_POINTER] = block.long(layout.directory(block.interop))
    if exif:
        main[EXIF_POINTER] = block.long(layout.directory(exif))
    if block.gps:
        main[GPS_POINTER] = block.long(layout.directory(block.gps))
    layout.fill(first, main)
    signature = b"II*\0" if block.order == "<" else b"MM\0*"
    layout.put(0, signature + struct.pack(f"{block.order}I", first))
    return PREFIX + bytes(layout.data)


class _Layout:
    """A growing block; space is allocated from the front, around the maker note's old place."""

    def __init__(self, block: Block) -> None:
        self.data = bytearray(8)
        self.form = block.form
        note = block.exif.get(MAKER_NOTE)
        at = block.maker_note_at
        self.kept = range(at, at + len(note.data)) if note and at >= 8 else range(0)

    def place(self, size: int) -> int:
        """Allocate so many bytes; return their offset."""
        at = len(self.data) + len(self.data) % 2
        if at < self.kept.stop and at + size > self.kept.start:
            at = self.kept.stop + self.kept.stop % 2
        self.put(at, bytes(size))
        return at

    def put(self, at: int, data: bytes) -> None:
        """Write bytes at an offset, which may be beyond the end."""
        self.data.extend(bytes(max(0, at + len(data) - len(self.data))))
        self.data[at : at + len(data)] = data

    def directory(self, directory: Directory) -> int:
        """Write a directory and its values; return its offset."""
        at = self.place(ifd.table_size(len(directory), self.form))
        self.fill(at, directory)
        return at

    def fill(self, at: int, directory: Directory) -> None:
        """Write a directory at an offset, and its values at the end."""
        self.put(at, ifd.table(directory, self.form, self._put_value))

    def _put_value(self, tag: int, data: bytes) -> int:
        """Write a value that a row cannot hold; return its offset."""
        at = self.kept.start if tag == MAKER_NOTE and self.kept else self.place(len(data))
        self.put(at, data)
        return at
