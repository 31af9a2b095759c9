"""JPEG: reads 8-bit gray, color and CMYK, 12-bit gray and color; writes quality 95 at 4:4:4.

Refuses all but baseline, extended and progressive. Metadata is in jpeg_segments.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import JpegImagePlugin

from worker.color import icc
from worker.color.cielab import Pixels, to_8_bit
from worker.errors import DamagedError, ScanError
from worker.formats import jpeg_segments
from worker.formats.full_image import decoded_whole, gathered, on_white, only_page, scaled
from worker.formats.image import DecodedImage, Encoding, OutputPage, check_size
from worker.formats.jpeg_segments import (
    APP0,
    APP1,
    APP2,
    APP13,
    COMMENT,
    EXIF,
    ICC,
    MORE_XMP,
    PHOTOSHOP,
    XMP,
    Header,
)
from worker.metadata import exif_tags, extended_xmp, photoshop
from worker.metadata.block import CENTIMETERS, Metadata, Resolution
from worker.settings import ReadSettings

QUALITY = 95
LONGEST_SIDE = 65_500  # of libjpeg
LONGEST_BODY = 65_533  # of a segment
MOST_SCANS = 100  # of a progressive image; usual ones have up to about 20
MOST_PICTURES = 100  # in one file that are counted
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xef\xfe]")  # of a segment, or the end
END = b"\xff\xd9"
NO_CODES = b"\xff\0" * 8  # as many bits as a decoder looks ahead, all ones


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a JPEG's header; see `ImageFormat.read`."""
    header = jpeg_segments.header(file)
    check_size(header.width, header.height, settings)
    if header.channels not in {1, 3, 4} or (header.bits, header.channels) == (12, 4):
        raise ScanError(
            f"the JPEG has {header.channels} channels of {header.bits} bits; photochrom reads "
            "gray, color and, of 8 bits, CMYK"
        )
    more = _behind(file, header)
    metadata = jpeg_segments.metadata(header, more)
    inks = b""
    if header.channels == 4:
        inks, metadata = _profile_of_inks(metadata)
    decode = partial(_pixels, file, header, inks)
    (image,) = decoded_whole(
        decode,
        (header.width, header.height, 1 if header.channels == 1 else 3, False),
        Encoding(bits=16 if header.bits == 12 else 8, lossless=False),
        metadata,
        exif_tags.orientation(metadata.exif),
    )
    return [replace(image, reduced=None if header.bits == 12 else decode)]


def _profile_of_inks(metadata: Metadata) -> tuple[bytes, Metadata]:
    """Return the profile for converting CMYK to RGB, and the metadata without it."""
    profile, lost = metadata.profile, metadata.lost
    try:
        if profile:
            icc.cmyk_to_srgb(np.zeros((1, 1, 4), np.uint8), profile)
    except icc.ProfileError as error:
        profile, lost = b"", (*lost, f"the color profile: {error}; plain inks were taken instead")
    return profile, replace(metadata, profile=b"", lost=lost)


def _behind(file: BinaryIO, header: Header) -> tuple[str, ...]:
    """Name what follows the image.

    Raises:
        DamagedError: the image, or the last one of an MPO, has no end marker.
        ScanError: it has too many scans.
    """
    file.seek(header.pixels_at)
    data = file.read()
    end = check_scans(data, 0)
    if not end:
        raise DamagedError("the file ends before the image data does")
    named, whole = _named_behind(data[end:])
    if header.multiple and not whole:
        raise DamagedError("the file ends within its last image")
    return named


def _pixels(file: BinaryIO, header: Header, inks: bytes, part: int = 1) -> Pixels:
    """Decode to (H, W, 1 or 3) uint8, or uint16 of 12 bits; of 8 bits also at 1 / `part`.

    The decoder gets no metadata, because it refuses valid images with short segments. Instead of
    the end marker of a sequential image it gets bits that no Huffman table contains: otherwise it
    would fill missing rows with gray.
    """
    file.seek(header.pixels_at)
    coded = file.read()
    end = check_scans(coded, 0)
    pixels: tuple[bytes | memoryview, ...] = (memoryview(coded)[:end],)
    if header.sequential and header.bits == 8 and coded.find(b"\xff\xda", 0, end) < 0:
        pixels = (memoryview(coded)[: end - len(END)], NO_CODES)
    data = b"".join((b"\xff\xd8", *header.decoded, b"\xff\xda", *pixels))
    if header.bits == 12:
        codes = scaled(imagecodecs.jpeg8_decode(data), 4095)
        return codes.reshape(header.height, header.width, header.channels)
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        if image.size != (header.width, header.height):
            raise DamagedError("it states two different sizes")
        if part > 1:  # libjpeg then computes fewer cosines
            image.draft(None, (header.width // part, header.height // part))
        codes = np.asarray(image).reshape(*image.size[::-1], header.channels)
    if header.channels < 4:
        return codes
    # Pillow assumes inverted CMYK, as Adobe writes it; others do not invert.
    return icc.cmyk_to_srgb(codes if header.adobe else 255 - codes, inks or None)


def check_scans(data: bytes, at: int = 2) -> int:
    """Refuse images with so many scans that decoding would take hours; find the image's end.

    Args:
        data: a JPEG.
        at: where the first of its segments begins, or its first scan's pixels.

    Returns:
        The offset after the end marker; 0 if there is none.

    Raises:
        ScanError: it has too many scans.
    """
    first, scans = at, 0
    while found := MARKER.search(data, at):
        marker = data[found.start() + 1]
        if marker == END[1]:
            return found.end()
        scans += marker == 0xDA
        at = found.end() + max(2, int.from_bytes(data[found.end() : found.end() + 2]))
        if scans > MOST_SCANS:
            raise ScanError(
                f"the JPEG has more than {MOST_SCANS} progressive scans, which no regular file "
                "has; save it again"
            )
    # Damaged pixels may look like a segment, but not like the end marker.
    return data.find(END, first) + len(END) if END in data[first:] else 0


def _named_behind(rest: bytes) -> tuple[tuple[str, ...], bool]:
    """Name what follows the image, and tell whether further images are complete."""
    rest = rest.strip(b"\0")
    pictures, whole = 0, True
    while rest.startswith(b"\xff\xd8\xff") and pictures < MOST_PICTURES:
        pictures += 1
        try:
            end = check_scans(rest, jpeg_segments.header(io.BytesIO(rest)).pixels_at)
        except (DamagedError, ScanError):
            end = 0
        whole = end > 0
        rest = rest[end or len(rest) :].lstrip(b"\0")
    named = []
    if pictures:
        named.append(f"{pictures} more {'pictures' if pictures > 1 else 'picture'} in the file")
    if rest:
        named.append(f"{len(rest):,} bytes behind the picture's end")
    return tuple(named), whole


def reread(file: BinaryIO) -> Pixels:
    """Decode a JPEG that `write` wrote to (H, W, 3) uint8, the same as `read` would.

    imagecodecs takes two thirds of Pillow's time, but fills what is missing with gray; of a file
    that was written here from beginning to end, the end marker tells that nothing is.

    Raises:
        DamagedError: it is not whole.
    """
    data = file.read()
    if not data.endswith(END):
        raise DamagedError("the file ends before the image data does")
    return np.asarray(imagecodecs.jpeg8_decode(data))


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write an 8-bit JPEG, quality 95, 4:4:4; opacity is composited over white.

    Raises:
        ScanError: what the format cannot hold.
        OSError: when the disk fails.
    """
    page = only_page(pages, "JPEG", LONGEST_SIDE)
    eight_bits = (to_8_bit(strip) for strip in page.strips())
    strips = (on_white(strip) for strip in eight_bits) if page.alpha else eight_bits
    encoded = imagecodecs.jpeg8_encode(gathered(page, strips), QUALITY, subsampling="444")
    (jfif,) = struct.unpack_from(">H", encoded, 4)
    file.write(encoded[:2])
    for marker, body in _segments(page.metadata):
        if len(body) > LONGEST_BODY:
            raise ScanError(
                f"the EXIF block has {len(body):,} bytes but a JPEG holds at most "
                f"{LONGEST_BODY:,}; set output.format to tiff"
            )
        file.write(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    file.write(memoryview(encoded)[4 + jfif :])


def _segments(metadata: Metadata) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and body of each segment, in the order readers expect."""
    yield APP0, _jfif(metadata.dpi, metric=metadata.metric)
    if metadata.exif:
        yield APP1, EXIF + metadata.exif.removeprefix(EXIF)
    if metadata.xmp:
        try:
            main, extended = extended_xmp.split(metadata.xmp, LONGEST_BODY - len(XMP))
        except ValueError as error:
            raise ScanError(f"{error} for a JPEG; set output.format to tiff") from error
        yield APP1, XMP + main
        guid = extended_xmp.digest(extended).encode()
        for at, part in _cut(extended, LONGEST_BODY - len(MORE_XMP) - 40):
            yield APP1, MORE_XMP + struct.pack(">32sII", guid, len(extended), at) + part
    parts = list(_cut(metadata.profile, LONGEST_BODY - len(ICC) - 2))
    for number, (_at, part) in enumerate(parts, 1):
        yield APP2, ICC + bytes([number, len(parts)]) + part
    resources = photoshop.wrapped(metadata.iptc, metadata.photoshop)
    for _at, part in _cut(resources, LONGEST_BODY - len(PHOTOSHOP)):
        yield APP13, PHOTOSHOP + part
    for _keyword, text in metadata.texts:
        for _at, part in _cut(text, LONGEST_BODY):
            yield COMMENT, part


def _cut(data: bytes, longest: int) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data), longest):
        yield at, data[at : at + longest]


def _jfif(dpi: Resolution | None, *, metric: bool) -> bytes:
    unit, inches = (2, CENTIMETERS) if metric else (1, 1.0)
    x, y = (round(side / inches) for side in dpi) if dpi else (0, 0)
    if not (0 < x < 65536 and 0 < y < 65536):
        return b"JFIF\0\1\1" + struct.pack(">BHHBB", 0, 1, 1, 0, 0)
    return b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0)
