"""Writes TIFF strip by strip, compressing ahead in threads or copying nothing, with metadata.

Each page's pixels precede its directory, so that all offsets are known when it is written.
Source: TIFF 6.0; its Technical Notes 2 (JPEG) and 3 (floating point).
"""

import itertools
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, Literal, NamedTuple

import imagecodecs
import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, PREDICTOR, SAMPLEFORMAT

from worker.color.cielab import Pixels
from worker.formats.image import Compression, OutputPage
from worker.formats.prefetch import WORKERS, ahead
from worker.formats.tiff.page_metadata import DESCRIPTIVE, IPTC, PHOTOSHOP, PROFILE, XMP
from worker.metadata import exif, ifd
from worker.metadata.block import CENTIMETERS
from worker.metadata.ifd import LONG, LONG8, SHORT, Directory, Form, Value, numbers

STRIP_BYTES = 1 << 19  # of a strip, not compressed
JPEG_QUALITY = 95
JPEG_SIDE = 65500  # libjpeg's longest
CLASSIC_BYTES = 3.9e9  # of what 32-bit offsets reach, with room for metadata
CODES = {
    "none": COMPRESSION.NONE,
    "deflate": COMPRESSION.ADOBE_DEFLATE,
    "lzw": COMPRESSION.LZW,
    "packbits": COMPRESSION.PACKBITS,
    "zstd": COMPRESSION.ZSTD,
    "jpeg": COMPRESSION.JPEG,
}
GROWTH = {"lzw": 1.5, "packbits": 1.01, "deflate": 1.01, "zstd": 1.01}  # of noise, compressed
ENCODERS: dict[str, Callable[..., bytes | bytearray]] = {
    "deflate": imagecodecs.deflate_encode,
    "lzw": imagecodecs.lzw_encode,
    "zstd": imagecodecs.zstd_encode,
}  # the ones that gain by a predictor


class _Storage(NamedTuple):
    """How a page's pixels are written."""

    compression: Compression
    real: bool  # floating point
    order: Literal["<", ">"]


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write colored pages as one TIFF, each stored as its scan was.

    Where JPEG cannot hold a page (16 bits, opacity, a long side), Deflate is used. Byte order and
    offset size are those of the first scan; offsets become 64-bit if the pages need it.

    Args:
        file: open for reading and writing, seekable, empty.
        pages: in order; their strips are consumed once, never a whole page held.

    Raises:
        OSError: the disk fails.
        ValueError: a page's EXIF block or number of rows is wrong.
    """
    form = _form(pages)
    version, head = (43, struct.pack(f"{form.order}HH", 8, 0)) if form.big else (42, b"")
    file.write(b"II" if form.order == "<" else b"MM")
    file.write(struct.pack(f"{form.order}H", version) + head)
    link = file.tell()  # where the place of the next directory belongs
    file.write(bytes(form.inline))
    for page in pages:
        fields = _pixels(file, page, form) | _metadata(file, page, form)
        if len(pages) > 1:
            fields[254] = numbers(form, LONG, 2)  # one page of several
        at, following = _append(file, fields, form)
        file.seek(link)
        file.write(struct.pack(form.offset, at))
        file.seek(0, 2)
        link = following


def _form(pages: Sequence[OutputPage]) -> Form:
    size = 0.0
    for page in pages:
        samples = page.width * page.height * (4 if page.alpha else 3)
        size += samples * (page.depth // 8) * GROWTH.get(page.encoding.compression, 1.0)
        size += samples * 2 if page.encoding.floating else 0
    encoding = pages[0].encoding
    return Form(">" if encoding.big_endian else "<", encoding.big_tiff or size > CLASSIC_BYTES)


def _storage(page: OutputPage, form: Form) -> _Storage:
    compression = page.encoding.compression
    if compression == "jpeg" and (page.depth > 8 or page.alpha or page.width > JPEG_SIDE):
        compression = "deflate"
    return _Storage(compression, page.encoding.floating and page.depth == 16, form.order)


def _pixels(file: BinaryIO, page: OutputPage, form: Form) -> Directory:
    """Write a page's strips; return the fields that say how they are stored."""
    storage = _storage(page, form)
    samples = 4 if page.alpha else 3
    bits = 32 if storage.real else page.depth
    rows = max(1, STRIP_BYTES // (page.width * samples * bits // 8))
    if storage.compression == "jpeg":
        rows = max(8, rows // 8 * 8)  # whole blocks
    rows = min(rows, page.height)
    if storage.compression == "none":
        sizes = _write_plain(file, page, storage, rows)
    else:
        sizes = _write_compressed(file, page, storage, rows)
    offsets = [file.tell() - sum(sizes)]
    offsets += (offsets[0] + end for end in itertools.accumulate(sizes[:-1]))
    place = LONG8 if form.big else LONG
    number = partial(numbers, form)
    fields = {
        256: number(LONG, page.width),
        257: number(LONG, page.height),
        258: number(SHORT, *[bits] * samples),
        259: number(SHORT, CODES[storage.compression]),
        262: number(SHORT, PHOTOMETRIC.RGB),
        273: number(place, *offsets),
        274: number(SHORT, 1),
        277: number(SHORT, samples),
        278: number(LONG, rows),
        279: number(place, *sizes),
        284: number(SHORT, 1),
    }
    if storage.compression in ENCODERS:
        kind = PREDICTOR.FLOATINGPOINT if storage.real else PREDICTOR.HORIZONTAL
        fields[317] = number(SHORT, kind)
    if page.alpha:
        fields[338] = number(SHORT, EXTRASAMPLE.UNASSALPHA)
    if storage.real:
        fields[339] = number(SHORT, *[SAMPLEFORMAT.IEEEFP] * samples)
    if storage.compression == "jpeg":
        fields[262] = number(SHORT, PHOTOMETRIC.YCBCR)
        fields[530] = number(SHORT, 1, 1)
        fields[532] = number(ifd.RATIONAL, 0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)
    return fields


def _write_compressed(file: BinaryIO, page: OutputPage, storage: _Storage, rows: int) -> list[int]:
    """Write a page in strips of so many rows, side by side; return the size of each."""
    sizes = []
    for data in ahead(partial(_encoded, storage), _cut(page, rows), 2 * WORKERS):
        sizes.append(len(data))
        file.write(data)
    return sizes


def _write_plain(file: BinaryIO, page: OutputPage, storage: _Storage, rows: int) -> list[int]:
    """Do the same without compression: then it is all one where the strips were cut before."""
    done = size = 0
    for strip in page.strips():
        samples = strip.astype(np.float32) / np.float32(65535) if storage.real else strip
        order = samples.dtype.newbyteorder(storage.order)
        stored = np.ascontiguousarray(samples, order)
        file.write(stored.reshape(-1).view(np.uint8).data)
        done, size = done + len(strip), stored.nbytes // len(strip)
    _check_rows(page, done)
    return [min(rows, done - top) * size for top in range(0, done, rows)]


def _check_rows(page: OutputPage, given: int) -> None:
    if given != page.height:
        raise ValueError(f"{given} rows were given for a page of {page.height}")


def _cut(page: OutputPage, rows: int) -> Iterator[Pixels]:
    """Re-cut a page's strips to so many rows each (the last may have fewer)."""
    held: list[Pixels] = []
    done = count = 0
    for strip in page.strips():
        top = 0
        while top < len(strip):
            part = strip[top : top + rows - count]
            held.append(part)
            top += len(part)
            count += len(part)
            if count == rows or done + count == page.height:
                yield held[0] if len(held) == 1 else np.concatenate(held)
                done += count
                held, count = [], 0
    _check_rows(page, done + count)


def _encoded(storage: _Storage, strip: Pixels) -> bytes:
    """Compress a strip (n, W, 3 or 4) uint8 or uint16."""
    if storage.compression == "jpeg":
        return bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(strip),
                level=JPEG_QUALITY,
                colorspace="RGB",
                outcolorspace="YCBCR",
                subsampling="444",
            )
        )
    if storage.real:
        strip = strip.astype(np.float32) / np.float32(65535)
    strip = np.ascontiguousarray(strip)
    if storage.compression in ENCODERS and storage.real:
        data = imagecodecs.floatpred_encode(strip, axis=-2).tobytes()  # has an order of its own
        return bytes(ENCODERS[storage.compression](data))
    if storage.compression in ENCODERS:
        strip = imagecodecs.delta_encode(strip, axis=-2)
    strip = strip.astype(strip.dtype.newbyteorder(storage.order), copy=False)
    if storage.compression == "packbits":  # row by row, as TIFF 6.0 section 9 asks
        return b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in strip)
    return bytes(ENCODERS[storage.compression](strip.tobytes()))


def _metadata(file: BinaryIO, page: OutputPage, form: Form) -> Directory:
    """Write a page's EXIF directories; return the fields that point to them, and the others."""
    carried = page.metadata
    fields = _descriptions(file, carried.exif, form) if carried.exif else {}
    if carried.xmp:
        fields[XMP] = Value(ifd.BYTE, carried.xmp)
    if carried.iptc:
        fields[IPTC] = Value(ifd.UNDEFINED, carried.iptc)
    if carried.photoshop:
        fields[PHOTOSHOP] = Value(ifd.BYTE, carried.photoshop)
    if carried.profile:
        fields[PROFILE] = Value(ifd.UNDEFINED, carried.profile)
    block = exif.Block(form.order)
    sides = carried.dpi or (1.0, 1.0)  # the fields are required
    unit = (3 if carried.metric else 2) if carried.dpi else 1  # centimeters, inches, none
    inches = CENTIMETERS if unit == 3 else 1.0
    fields[282], fields[283] = (block.rational(side / inches) for side in sides)
    fields[296] = numbers(form, SHORT, unit)
    return fields


def _descriptions(file: BinaryIO, data: bytes, form: Form) -> Directory:
    """Write an EXIF block's directories; return its descriptive fields and pointers."""
    block = exif.read(data)
    main, photo, place, interop = (
        _in_order(found, block.order, form)
        for found in (block.main, block.exif, block.gps, block.interop)
    )
    kind = LONG8 if form.big else LONG
    fields = {tag: value for tag, value in main.items() if tag in DESCRIPTIVE}
    for found, pointer, parent in (
        (interop, exif.INTEROP_POINTER, photo),  # first, for it stands in the second
        (photo, exif.EXIF_POINTER, fields),
        (place, exif.GPS_POINTER, fields),
    ):
        if found:
            parent[pointer] = numbers(form, kind, _append(file, found, form)[0])
    return fields


def _in_order(found: Directory, before: str, form: Form) -> Directory:
    """Return values in the byte order of `form`."""
    return {
        tag: value._replace(data=ifd.reordered(value.data, value.kind, before, form.order))
        for tag, value in found.items()
    }


def _append(file: BinaryIO, fields: Directory, form: Form) -> tuple[int, int]:
    """Append a directory; return its offset and that of the link to the next."""
    file.write(bytes(file.tell() % 2))
    at = file.tell()
    end = at + ifd.table_size(len(fields), form)
    behind = bytearray()

    def put(_tag: int, data: bytes) -> int:
        place = end + len(behind)
        behind.extend(data + bytes(len(data) % 2))
        return place

    file.write(ifd.table(fields, form, put) + behind)
    return at, end - form.inline
