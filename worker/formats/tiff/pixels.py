"""Decodes a TIFF page in bands of rows, decompressing ahead in threads.

Refuses strips and tiles that are missing, truncated or too large. A single compressed strip, as
some scanners write, is decoded whole.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from threading import Lock
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np
from PIL import Image
from tifffile import COMPRESSION, PLANARCONFIG, TIFF, TiffPage

from worker.color.cielab import Pixels
from worker.errors import IncompleteError, ScanError
from worker.formats.prefetch import WORKERS, ahead
from worker.formats.tiff import color_models, jpeg_in_tiff, sample_range
from worker.formats.tiff import samples as tiff_samples
from worker.formats.tiff.samples import JPEGS

BAND_PIXELS = 1 << 20  # of one band, if strips and tiles are not larger
AHEAD_SAMPLES = 1 << 24  # of the bands that are read ahead, together
STRIP_SIZES = {279, 325}  # tags of strips' and tiles' sizes
MARGIN = 4096  # pixels by which a tile may be larger than its page
# Compressions whose data state a size of their own, by Pillow's name.
PICTURES: dict[int, str] = {
    COMPRESSION.JPEG: "",  # looked through by `tiff_jpeg`
    COMPRESSION.OJPEG: "",
    COMPRESSION.JPEG2000: "JPEG2000",
    COMPRESSION.APERIO_JP2000_RGB: "JPEG2000",
    COMPRESSION.WEBP: "WEBP",
}


class _Block(NamedTuple):
    """Rows of the page, still as stored: each part's number (segment or plane) and its bytes."""

    top: int
    rows: int
    parts: list[tuple[int, bytes]]


def estimate_sizes(page: TiffPage, size: int) -> None:
    """Fill in missing strip sizes: up to the next strip, or the end of the file.

    Args:
        page: whose sizes are set.
        size: of the file, in bytes.
    """
    if any(tag in page.tags for tag in STRIP_SIZES):
        return
    places = sorted({*page.dataoffsets, size})
    page.databytecounts = tuple(
        places[min(bisect_right(places, at), len(places) - 1)] - at for at in page.dataoffsets
    )


def check(page: TiffPage, size: int) -> None:
    """Refuse a page whose strips or tiles are missing, or lie outside its file.

    Args:
        page: of the TIFF.
        size: of the file, in bytes.

    Raises:
        IncompleteError: in words.
        ScanError: its tiles are larger than the page.
    """
    tall, wide = _segment_shape(page)
    if tall > page.imagelength + MARGIN or wide > page.imagewidth + MARGIN:
        raise ScanError(f"the TIFF's tiles of {wide} x {tall} are larger than its page")
    what = "tile" if page.is_tiled else "strip"
    needed = _down(page) * _across(page) * _planes(page)
    if min(len(page.dataoffsets), len(page.databytecounts)) < needed:
        raise IncompleteError(
            f"the TIFF lists {len(page.dataoffsets)} offsets and {len(page.databytecounts)} sizes "
            f"for its {needed} {what}s; the file is damaged"
        )
    plain, down, length = _is_plain(page), _down(page), _row_bytes(page)
    for number in range(needed):
        start, count = page.dataoffsets[number], page.databytecounts[number]
        if start == 0 or (count == 0 and not plain):
            raise IncompleteError(f"{what} {number + 1} of {needed} is missing from the TIFF")
        if plain:  # then its size is known, whatever is said of it
            count = length * min(tall, page.imagelength - number % down * tall)
        if start + count > size:
            raise IncompleteError(
                f"the TIFF is cut short: {what} {number + 1} of {needed} ends at byte "
                f"{start + count:,} and the file has {size:,}"
            )


def bands(
    page: TiffPage,
    file: BinaryIO,
    lock: Lock,
    profile: bytes | None,
    tables: jpeg_in_tiff.Tables | None = None,
) -> Iterator[Pixels]:
    """Yield the page's rows from the top, as `tiff_samples.codes` gives them.

    Args:
        page: checked.
        file: the TIFF.
        lock: of its position, for the pages may be read in several threads.
        profile: of CMYK, if the page is that.
        tables: of old-style JPEG, where its strips have none.

    Raises:
        IncompleteError: a strip is cut short or does not fit.
        ScanError: the samples cannot be colors.
        OSError, ValueError, RuntimeError...: as the decoders have it, on damaged data.
    """
    # tifffile shares decoders by this, which says nothing of CCITT's options.
    page.hash = page.offset
    if page.compression != COMPRESSION.OJPEG:
        _ = page.decode  # made here: threads that make it at once get in each other's way
    blocks = _plain_blocks if _is_plain(page) else _segment_blocks
    work = partial(_plain_rows, page) if _is_plain(page) else partial(_segment_rows, page, tables)
    samples = _rows_of_block(page) * page.imagewidth * page.samplesperpixel
    samples *= max(1, int(page.bitspersample) // 16)
    most = max(1, min(WORKERS, AHEAD_SAMPLES // samples))
    step = max(1, BAND_PIXELS // page.imagewidth)
    alone = page.imagelength <= _rows_of_block(page)  # then threads gain nothing

    def stored() -> Iterator[Pixels]:
        taken = blocks(page, file, lock)
        for rows in map(work, taken) if alone else ahead(work, taken, most):
            for top in range(0, len(rows), step):
                yield rows[top : top + step]

    colors = tiff_samples.colors_stored(page)
    looked_at = (rows[..., :colors] for rows in stored())
    ends = sample_range.find(page, looked_at) if sample_range.is_needed(page) else None
    for rows in stored():
        yield tiff_samples.codes(page, rows, profile, ends)


def _is_plain(page: TiffPage) -> bool:
    """Tell whether rows can be read in place: strips without compression or predictor."""
    plain = page.compression == COMPRESSION.NONE and page.predictor == 1 and not page.is_tiled
    return plain and not _is_in_units(page)


def _is_in_units(page: TiffPage) -> bool:
    """Tell whether chroma is subsampled outside the compression."""
    return page.compression not in JPEGS and tiff_samples.chroma_steps(page) != (1, 1)


def _segment_shape(page: TiffPage) -> tuple[int, int]:
    """Return rows and columns of a strip or tile."""
    if page.is_tiled:
        return max(1, page.tilelength), max(1, page.tilewidth)
    return max(1, page.rowsperstrip), page.imagewidth


def _down(page: TiffPage) -> int:
    return -(-page.imagelength // _segment_shape(page)[0])


def _across(page: TiffPage) -> int:
    return -(-page.imagewidth // _segment_shape(page)[1])


def _planes(page: TiffPage) -> int:
    return page.samplesperpixel if page.planarconfig == PLANARCONFIG.SEPARATE else 1


def _rows_of(page: TiffPage, row_of_segments: int) -> int:
    """Return how many of the page's rows a row of strips or tiles covers."""
    tall = _segment_shape(page)[0]
    return min(tall, page.imagelength - row_of_segments * tall)


def _row_bytes(page: TiffPage) -> int:
    """Return the bytes of one stored row of one plane, not compressed."""
    bits = page.imagewidth * (page.samplesperpixel // _planes(page)) * int(page.bitspersample)
    return -(-bits // 8)


def _rows_of_block(page: TiffPage) -> int:
    """Return the rows that are decoded at once."""
    rows = max(1, BAND_PIXELS // page.imagewidth)
    tall = _segment_shape(page)[0]
    return min(rows, page.imagelength) if _is_plain(page) else max(1, rows // tall) * tall


def _plain_blocks(page: TiffPage, file: BinaryIO, lock: Lock) -> Iterator[_Block]:
    for top in range(0, page.imagelength, _rows_of_block(page)):
        rows = min(_rows_of_block(page), page.imagelength - top)
        parts = []
        for plane in range(_planes(page)):
            runs = _runs(page, plane, top, rows)
            parts.append((plane, b"".join(_stored(file, lock, *run) for run in runs)))
        yield _Block(top, rows, parts)


def _runs(page: TiffPage, plane: int, top: int, rows: int) -> list[tuple[int, int]]:
    """Find the offsets and sizes of some rows; adjacent strips are merged into one run."""
    tall, length = _segment_shape(page)[0], _row_bytes(page)
    first = plane * _down(page)
    runs: list[tuple[int, int]] = []
    row = top
    while row < top + rows:
        strip, inside = divmod(row, tall)
        taken = min(tall - inside, top + rows - row)
        start, size = page.dataoffsets[first + strip] + inside * length, taken * length
        if runs and sum(runs[-1]) == start:
            runs[-1] = (runs[-1][0], runs[-1][1] + size)
        else:
            runs.append((start, size))
        row += taken
    return runs


def _segment_blocks(page: TiffPage, file: BinaryIO, lock: Lock) -> Iterator[_Block]:
    tall, wide = _segment_shape(page)
    down, across = _down(page), _across(page)
    step = _rows_of_block(page) // tall
    # No decoder needs more; a size of gigabytes, stated a thousand times, must not be read.
    most = 65536 + 4 * tall * wide * page.samplesperpixel * max(1, int(page.bitspersample) // 8)
    for first in range(0, down, step):
        last = min(first + step, down)
        numbers = [
            plane * down * across + number
            for plane in range(_planes(page))
            for number in range(first * across, last * across)
        ]
        parts = []
        for number in numbers:
            start, count = page.dataoffsets[number], page.databytecounts[number]
            parts.append((number, _stored(file, lock, start, min(count, most))))
        rows = min(last * tall, page.imagelength) - first * tall
        yield _Block(first * tall, rows, parts)


def _stored(file: BinaryIO, lock: Lock, at: int, count: int) -> bytes:
    with lock:
        file.seek(at)
        data = file.read(count)
    if len(data) < count:
        raise IncompleteError(f"the TIFF is cut short at byte {at + len(data):,}")
    return data


def _plain_rows(page: TiffPage, block: _Block) -> Pixels:
    """Return the samples (n, W, all samples) of uncompressed rows."""
    samples = page.samplesperpixel // _planes(page)
    shape = (block.rows, page.imagewidth, samples)
    planes = []
    for _plane, stored in block.parts:
        data = imagecodecs.bitorder_decode(stored) if page.fillorder == 2 else stored
        planes.append(_unpacked(page, data, page.imagewidth * samples).reshape(shape))
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)


def _unpacked(page: TiffPage, data: bytes | bytearray, row: int) -> Pixels:
    """Return the samples of rows in native byte order."""
    bits, order = int(page.bitspersample), page.parent.byteorder
    if bits == 24:
        return np.asarray(imagecodecs.float24_decode(data, byteorder=order))
    if bits in {8, 16, 32, 64}:
        kind = np.dtype(page.dtype)
        return np.frombuffer(data, kind.newbyteorder(order)).astype(kind, copy=False)
    kind = np.dtype(np.uint8 if bits < 8 else np.uint16)
    return np.asarray(imagecodecs.packints_decode(data, kind, bits, runlen=row))


def _segment_rows(page: TiffPage, tables: jpeg_in_tiff.Tables | None, block: _Block) -> Pixels:
    """Return the samples (n, W, all samples) of decompressed strips or tiles."""
    kind = np.uint8 if page.bitspersample == 1 else page.dtype
    rows: Pixels = np.empty((block.rows, page.imagewidth, page.samplesperpixel), kind)
    for number, data in block.parts:
        if _is_in_units(page):
            piece, top, left = _piece_of_units(page, number, data)
            rows[top - block.top : top - block.top + len(piece), left : left + piece.shape[1]] = (
                piece
            )
            continue
        if page.compression == COMPRESSION.OJPEG:
            piece = _piece_of_old_jpeg(page, tables, number, data)
            plane, top, left = 0, number * _segment_shape(page)[0], 0
        else:
            piece, plane, top, left = _piece(page, number, data)
        if piece.shape == rows.shape:
            return np.asarray(piece)  # the usual strip: nothing to put together
        tall, wide, samples = piece.shape
        at = top - block.top
        rows[at : at + tall, left : left + wide, plane : plane + samples] = piece
    return rows


def _piece(page: TiffPage, number: int, data: bytes) -> tuple[Pixels, int, int, int]:
    """Decode a strip or tile: its samples, its plane, its first row and column."""
    if page.compression in PICTURES:
        data = _checked_picture(page, data)
    if page.compression == COMPRESSION.PACKBITS:
        data = _without_padding(data, _size_of(page, number))
    decoded, (plane, _, top, left, _), _shape = page.decode(
        data, number, jpegtables=page.jpegtables
    )
    if decoded is None:
        raise IncompleteError(f"strip or tile {number + 1} is missing from the TIFF")
    return decoded[0, : page.imagelength - top, : page.imagewidth - left], plane, top, left


def _size_of(page: TiffPage, number: int) -> int:
    """Return the uncompressed size of a strip or tile, in bytes."""
    tall, wide = _segment_shape(page)
    rows = tall if page.is_tiled else _rows_of(page, number % _down(page))
    bits = wide * (page.samplesperpixel // _planes(page)) * int(page.bitspersample)
    return rows * -(-bits // 8)


def _without_padding(data: bytes, size: int) -> bytes:
    """Return PackBits codes of so many bytes without trailing data, which its decoder refuses."""
    try:
        imagecodecs.packbits_decode(data, out=size)
    except imagecodecs.PackbitsError:
        at = made = 0
        while made < size and at < len(data):
            code = data[at]
            if code < 128:  # so many bytes and one follow
                made, at = made + code + 1, at + code + 2
            elif code > 128:  # one byte follows, so many times less
                made, at = made + 257 - code, at + 2
            else:  # nothing
                at += 1
        return data[:at]
    return data


def _piece_of_old_jpeg(
    page: TiffPage, tables: jpeg_in_tiff.Tables | None, number: int, data: bytes
) -> Pixels:
    """Return the samples of a strip of old-style JPEG."""
    rows = _rows_of(page, number)
    stream = jpeg_in_tiff.assembled(tables, data, rows) if tables else data
    piece = jpeg_in_tiff.decoded(_checked_picture(page, stream), page.samplesperpixel)
    piece = piece[:rows, : page.imagewidth]
    if piece.shape != (rows, page.imagewidth, page.samplesperpixel):
        raise IncompleteError(f"strip {number + 1} of the TIFF's old-style JPEG has the wrong size")
    return piece


def _piece_of_units(page: TiffPage, number: int, data: bytes) -> tuple[Pixels, int, int]:
    """Return the samples of a strip or tile of subsampled YCbCr, its first row and column."""
    tall, wide = _segment_shape(page)
    down, across = divmod(number, _across(page))
    rows = tall if page.is_tiled else _rows_of(page, down)
    steps = tiff_samples.chroma_steps(page)
    units = bytes(imagecodecs.bitorder_decode(data)) if page.fillorder == 2 else data
    if page.compression != COMPRESSION.NONE:
        most = 3 * (tall + steps[1]) * (wide + steps[0])
        units = bytes(TIFF.DECOMPRESSORS[page.compression](units, out=most))
    piece = color_models.pixels_of_units(units, rows, wide, steps)
    top, left = down * tall, across * wide
    return piece[: page.imagelength - top, : page.imagewidth - left], top, left


def _checked_picture(page: TiffPage, data: bytes) -> bytes:
    """Return an embedded image without padding; refuse it if truncated or too large."""
    if page.compression in JPEGS:
        data, (width, height, *_) = jpeg_in_tiff.whole(data)
    else:
        with Image.open(io.BytesIO(data), formats=(PICTURES[page.compression],)) as picture:
            width, height = picture.size
    tall, wide = _segment_shape(page)
    if width > wide or height > tall + 16:
        raise IncompleteError(
            f"a strip or tile of the TIFF has room for {wide} x {tall} pixels but holds "
            f"{width} x {height}; the file is damaged"
        )
    return data
