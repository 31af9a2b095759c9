"""Reads BMP, PBM, PGM and PPM; results are PNG.

Sources: Microsoft, "Bitmap Header Types"; the netpbm manual pages pbm(5), pgm(5), ppm(5).
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from PIL import BmpImagePlugin

from worker.color.cielab import Pixels
from worker.errors import DamagedError, ScanError
from worker.formats.full_image import decoded_whole, scaled
from worker.formats.image import DecodedImage, Encoding, check_size
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

HEADER = re.compile(  # type, width, height; comments between them
    rb"P([1-6])((?:\s|#[^\n]*\n)+)(\d+)((?:\s|#[^\n]*\n)+)(\d+)"
)
COMMENT = re.compile(rb"#([^\n]*)")
WHITE = re.compile(rb"(?:\s|#[^\n]*\n)+(\d+)")
LONGEST_HEADER = 1 << 16
BAND_BYTES = 8 << 20
CHUNK = 1 << 20  # bytes of text read at a time
BMP_HEADERS = {40, 52, 56, 64, 108, 124}  # bytes of those that tell a compression
RUN_LENGTHS = {1, 2}  # compressions
END_OF_RUNS, MOST_ZEROS = b"\0\1", 4
PROFILE_LINKED = b"KNIL"
PROFILE_EMBEDDED = b"DEBM"  # "MBED" as a little-endian number


def read_bmp(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a BMP's header; see `ImageFormat.read`."""
    file.seek(0)
    try:
        with BmpImagePlugin.BmpImageFile(file) as image:
            width, height = image.size
            mode, dpi = image.mode, image.info.get("dpi")
            runs = image.info.get("compression") in RUN_LENGTHS
    except OSError:
        _refuse_others(file)
        raise
    check_size(width, height, settings)
    if runs:
        _check_end(file)
    as_mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(mode, "RGB")

    def decode() -> Pixels:
        file.seek(0)
        with BmpImagePlugin.BmpImageFile(file) as image:
            return np.asarray(image.convert(as_mode))

    metadata = Metadata(
        profile=_bmp_profile(file),
        dpi=(round(dpi[0], 2), round(dpi[1], 2)) if dpi and min(dpi) > 0 else None,
        lost=_bmp_lost(file),
    )
    size = (width, height, 1 if as_mode == "L" else 3, as_mode == "RGBA")
    return decoded_whole(decode, size, Encoding(bits=1 if mode == "1" else 8), metadata)


def _check_end(file: BinaryIO) -> None:
    """Check that run-length data is complete: zeros in place of its end decode as black rows.

    Raises:
        DamagedError: it ends in more zeros than a row's end, without an end-of-bitmap marker.
    """
    file.seek(0)
    data = file.read()
    runs = data.rstrip(b"\0")
    if len(data) - len(runs) > MOST_ZEROS and not runs.endswith(END_OF_RUNS):
        raise DamagedError("the file ends before the image data does")


def _refuse_others(file: BinaryIO) -> None:
    """Refuse an undamaged BMP whose encoding Pillow does not support.

    Raises:
        ScanError: it is one.
    """
    file.seek(0)
    head = file.read(34)
    size = file.seek(0, os.SEEK_END)
    if len(head) < 34 or struct.unpack_from("<I", head, 10)[0] > size:
        return
    kind, bits, compression = struct.unpack_from("<I10xHI", head, 14)
    if kind in BMP_HEADERS and (compression or bits not in {1, 4, 8, 16, 24, 32}):
        raise ScanError(
            f"this BMP encoding is not supported ({bits} bits, compression {compression}); "
            "save it as TIFF or PNG"
        )


def _bmp_profile(file: BinaryIO) -> bytes:
    """Return the profile embedded in a version 5 BMP; b"" if none."""
    file.seek(14)
    header = file.read(124)
    if len(header) < 124 or struct.unpack_from("<I", header)[0] != 124:
        return b""
    if header[56:60] != PROFILE_EMBEDDED:
        return b""
    start, length = struct.unpack_from("<II", header, 112)
    file.seek(14 + start)
    return file.read(length)


def _bmp_lost(file: BinaryIO) -> tuple[str, ...]:
    """Name a profile that is only linked."""
    file.seek(14 + 56)
    linked = file.read(4) == PROFILE_LINKED
    file.seek(14)
    return ("a color profile in another file",) if linked and file.read(1) == b"\x7c" else ()


def read_pnm(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a PBM, PGM or PPM, ASCII or raw; see `ImageFormat.read`. Raw rows come in bands."""
    file.seek(0)
    start = file.read(LONGEST_HEADER)
    header = HEADER.match(start)
    if header is None:
        raise DamagedError("its header lacks width and height")
    kind, width, height = int(header[1]), int(header[3]), int(header[5])
    check_size(width, height, settings)
    white, at = 1, header.end()
    if kind not in {1, 4}:
        found = WHITE.match(start, at)
        if found is None or not 1 <= int(found[1]) <= 65535:
            raise DamagedError("its header lacks a maximum value from 1 to 65535")
        white, at = int(found[1]), found.end()
    samples = 3 if kind in {3, 6} else 1

    def bands() -> Iterator[Pixels]:
        for codes in STORED[kind](file, at + 1, (height, width, samples), white):
            if codes.max(initial=0) > white:
                raise DamagedError(f"a sample exceeds the maximum, {white}")
            yield scaled(1 - codes if kind in {1, 4} else codes, white)

    return [
        DecodedImage(
            height=height,
            width=width,
            samples=samples,
            alpha=False,
            bands=bands,
            encoding=Encoding(bits=1 if kind in {1, 4} else 8 if white < 256 else 16),
            metadata=Metadata(texts=_comments(start[:at])),
        )
    ]


def _comments(header: bytes) -> tuple[tuple[str, bytes], ...]:
    lines = (line.strip() for line in COMMENT.findall(header))
    return tuple(("Comment", line) for line in lines if line)


Shape = tuple[int, int, int]  # rows, columns, samples


def _raw(file: BinaryIO, at: int, shape: Shape, white: int) -> Iterator[Pixels]:
    kind = np.dtype(">u1" if white < 256 else ">u2")
    for rows, data in _rows(file, at, shape[0], shape[1] * shape[2] * kind.itemsize):
        codes = np.frombuffer(data, kind).reshape(rows, *shape[1:])
        yield codes.astype(kind.newbyteorder("="), copy=False)


def _bits(file: BinaryIO, at: int, shape: Shape, _white: int) -> Iterator[Pixels]:
    for rows, data in _rows(file, at, shape[0], (shape[1] + 7) // 8):
        packed = np.frombuffer(data, np.uint8).reshape(rows, -1)
        yield np.unpackbits(packed, axis=1, count=shape[1])[..., None]


def _rows(file: BinaryIO, at: int, height: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the number of rows and their bytes, several rows at a time."""
    file.seek(at)
    step = max(1, BAND_BYTES // size)
    for top in range(0, height, step):
        rows = min(step, height - top)
        data = file.read(rows * size)
        if len(data) < rows * size:
            raise DamagedError(f"the file ends after {top + len(data) // size} of {height} rows")
        yield rows, data


def _plain(file: BinaryIO, at: int, shape: Shape, white: int) -> Iterator[Pixels]:
    """Read samples written as decimal numbers."""
    codes = np.empty(shape, np.uint8 if white < 256 else np.uint16)
    flat, filled = codes.reshape(-1), 0
    file.seek(at)
    rest = b""
    while filled < flat.size:
        chunk = file.read(CHUNK)
        text = rest + chunk
        end = (
            max(text.rfind(space) for space in (b" ", b"\n", b"\r", b"\t")) if chunk else len(text)
        )
        if end < 0 or not text:
            raise DamagedError(f"the file has {filled} of {flat.size} samples")
        numbers = np.array(text[:end].split(), np.int64)[: flat.size - filled]
        if numbers.size and not 0 <= numbers.min() <= numbers.max() <= white:
            raise DamagedError(f"a sample lies outside 0 to {white}")
        flat[filled : filled + numbers.size] = numbers
        filled += numbers.size
        rest = text[end:]
    yield codes


def _plain_bits(file: BinaryIO, at: int, shape: Shape, _white: int) -> Iterator[Pixels]:
    """Read zeros and ones, with or without spaces between them."""
    codes = np.empty(shape, np.uint8)
    flat, filled = codes.reshape(-1), 0
    file.seek(at)
    while filled < flat.size:
        text = file.read(CHUNK)
        if not text:
            raise DamagedError(f"the file has {filled} of {flat.size} samples")
        bits = np.frombuffer(text.translate(None, b" \n\r\t\v\f"), np.uint8)[: flat.size - filled]
        flat[filled : filled + bits.size] = bits - ord("0")  # what is no digit is above 1
        filled += bits.size
    yield codes


STORED = {1: _plain_bits, 2: _plain, 3: _plain, 4: _bits, 5: _raw, 6: _raw}
