"""JPEG: gray, color and CMYK of 8 bits, gray and color of 12; results of quality 95 at 4:4:4.

Sources: ITU-T T.81 annex B (markers), T.871 (JFIF), Exif 3.0 section 4.7, ICC.1 annex B.4, XMP part
3. Refuses what is not baseline, extended or progressive.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import JpegImagePlugin

from worker import profiles
from worker.color import Pixels, to_8_bit
from worker.containers import exif_tags, long_xmp, photoshop
from worker.containers.picture import (
    CENTIMETERS,
    Coding,
    ColorPage,
    Metadata,
    Picture,
    Resolution,
    check_size,
)
from worker.containers.whole import gathered, on_white, only_page, scaled
from worker.errors import ScanError
from worker.settings import ReadSettings

QUALITY = 95
LONGEST_SIDE = 65_500  # of libjpeg
LONGEST_BODY = 65_533  # of a segment
MOST_JUNK = 1 << 20  # bytes between segments; what others pass over in silence
MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]..", re.DOTALL)  # and a length, but at the end
MOST_SCANS = 100  # of a progressive picture; honest ones have up to about 20
EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"
ICC = b"ICC_PROFILE\0"
APP0, APP1, APP2, APP13, APP14, COMMENT = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
FRAMES = {  # by marker: whether it is one of those that are read
    0xC0: True,  # baseline
    0xC1: True,  # extended
    0xC2: True,  # progressive
    0xC9: True,  # extended, arithmetic coding
    0xCA: True,  # progressive, arithmetic coding
    **dict.fromkeys((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF), False),
}


@dataclass
class _Header:
    """What stands before the pixels."""

    bits: int = 0
    height: int = 0
    width: int = 0
    channels: int = 0
    adobe: bool = False
    pixels_at: int = 0
    dpi: Resolution | None = None
    metric: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    more_xmp: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    photoshop: bytes = b""
    icc: dict[int, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def read(file: BinaryIO, settings: ReadSettings) -> list[Picture]:
    """Read a JPEG's header; its pixels are decoded whole when their one band is asked for.

    Args:
        file: open for reading, from its beginning; stays open while bands are read.
        settings: the limit.

    Raises:
        ScanError: with the reason, for what is refused.
        OSError, ValueError, struct.error: damaged.
    """
    header = _header(file)
    check_size(header.width, header.height, settings)
    if header.channels not in {1, 3, 4} or (header.bits, header.channels) == (12, 4):
        raise ScanError(
            f"the JPEG has {header.channels} channels of {header.bits} bits; photochrom reads "
            "gray, color and, of 8 bits, CMYK"
        )
    metadata = _metadata(header)
    inks = b""
    if header.channels == 4:
        inks, metadata = _profile_of_inks(metadata)

    def bands() -> Iterator[Pixels]:
        yield _pixels(file, header, inks)

    return [
        Picture(
            height=header.height,
            width=header.width,
            samples=1 if header.channels == 1 else 3,
            alpha=False,
            bands=bands,
            orientation=exif_tags.orientation(metadata.exif),
            coding=Coding(bits=16 if header.bits == 12 else 8, lossless=False),
            metadata=metadata,
        )
    ]


def _profile_of_inks(metadata: Metadata) -> tuple[bytes, Metadata]:
    """Return the profile to turn CMYK to RGB by, and the metadata without it: its inks are gone."""
    profile, lost = metadata.profile, metadata.lost
    try:
        if profile:
            profiles.cmyk_to_srgb(np.zeros((1, 1, 4), np.uint8), profile)
    except profiles.ProfileError as error:
        profile, lost = b"", (*lost, f"the color profile: {error}; plain inks were taken instead")
    return profile, replace(metadata, profile=b"", lost=lost)


def _pixels(file: BinaryIO, header: _Header, inks: bytes) -> Pixels:
    """Decode to (H, W, 1 or 3) uint8, or uint16 of 12 bits."""
    file.seek(0)
    data = file.read()
    check_scans(data, header.pixels_at)
    if header.bits == 12:
        if b"\xff\xd9" not in data[header.pixels_at :]:  # libjpeg would fill up with gray
            raise ValueError("the file ends before the picture does")
        codes = scaled(imagecodecs.jpeg8_decode(data), 4095)
        return codes.reshape(header.height, header.width, header.channels)
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        if image.size != (header.width, header.height):
            raise ValueError("it says more than one size")
        codes = np.asarray(image).reshape(header.height, header.width, header.channels)
    if header.channels < 4:
        return codes
    # Pillow takes all for inverted, as Adobe writes it; who is not Adobe writes ink as ink.
    return profiles.cmyk_to_srgb(codes if header.adobe else 255 - codes, inks or None)


def check_scans(data: bytes, at: int = 2) -> None:
    """Refuse what has its whole picture decoded anew for every few bytes, and would take hours.

    Args:
        data: a JPEG.
        at: where the first of its segments begins, or its first scan's pixels.

    Raises:
        ScanError: it has more scans than any honest file.
    """
    scans = 0
    while (found := MARKER.search(data, at)) and data[found.start() + 1] != 0xD9:
        scans += data[found.start() + 1] == 0xDA
        at = found.start() + 2 + max(2, int.from_bytes(data[found.start() + 2 : found.end()]))
        if scans > MOST_SCANS:
            raise ScanError(
                f"the JPEG draws its picture in more than {MOST_SCANS} rounds, as no honest file "
                "does; save it anew"
            )


def _header(file: BinaryIO) -> _Header:
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        raise ValueError("it does not begin as a JPEG does")
    header = _Header()
    while True:
        marker = _next_marker(file)
        if marker == 0xDA:
            header.pixels_at = file.tell()
            break
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a body
            continue
        (length,) = struct.unpack(">H", file.read(2))
        body = file.read(length - 2) if length >= 2 else b""
        if length < 2 or len(body) != length - 2:
            raise ValueError("a segment is cut short")
        _take(header, marker, body)
    if not header.channels or not header.pixels_at:
        raise ValueError("there is no picture in it")
    return header


def _next_marker(file: BinaryIO) -> int:
    """Go to the next marker, over fill bytes and, as all readers do, over what else is there."""
    before = b""
    for _ in range(MOST_JUNK):
        byte = file.read(1)
        if before == b"\xff" and byte not in {b"\xff", b"\0", b""}:
            return byte[0]
        if not byte:
            break
        before = byte
    raise ValueError("the file ends within its header")


def _take(header: _Header, marker: int, body: bytes) -> None:
    """Take what a segment tells."""
    if FRAMES.get(marker) is False:
        raise ScanError("the JPEG is lossless or hierarchical, which few can read; save it as TIFF")
    if marker in FRAMES:
        header.bits, header.height, header.width, header.channels = struct.unpack_from(
            ">BHHB", body
        )
    elif marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
        unit, x, y = struct.unpack_from(">BHH", body, 7)
        inches = {1: 1.0, 2: 2.54}.get(unit)
        header.dpi = (x * inches, y * inches) if inches and x and y else None
        header.metric = unit == 2
    elif marker == APP1:
        _take_app1(header, body)
    elif marker == APP2 and body.startswith(ICC) and len(body) > len(ICC) + 2:
        header.icc[body[len(ICC)]] = body[len(ICC) + 2 :]
    elif marker == APP13:
        header.photoshop += body.removeprefix(PHOTOSHOP) if body.startswith(PHOTOSHOP) else b""
    elif marker == APP14:
        header.adobe |= body.startswith(b"Adobe")
    elif marker == COMMENT:
        header.lost.append(f"a comment: {body.decode('latin-1')[:200]}")


def _take_app1(header: _Header, body: bytes) -> None:
    if body.startswith(EXIF):
        header.exif = header.exif or body
    elif body.startswith(XMP):
        header.xmp = header.xmp or body.removeprefix(XMP)
    elif body.startswith(MORE_XMP) and len(body) >= len(MORE_XMP) + 40:
        guid, _whole, at = struct.unpack_from(">32sII", body, len(MORE_XMP))
        header.more_xmp[guid, at] = body[len(MORE_XMP) + 40 :]


def _metadata(header: _Header) -> Metadata:
    lost = header.lost
    iptc, xmp = b"", header.xmp
    try:
        iptc = photoshop.iptc_of(header.photoshop)
    except ValueError as error:
        lost.append(f"IPTC: {error}")
    try:
        xmp = _joined_xmp(header)
    except ValueError as error:
        lost.append(f"the longer part of the XMP: {error}")
    return Metadata(
        exif=header.exif,
        iptc=iptc,
        xmp=xmp,
        profile=b"".join(part for _number, part in sorted(header.icc.items())),
        dpi=header.dpi or exif_tags.resolution(header.exif),
        metric=header.metric,
        lost=tuple(lost),
    )


def _joined_xmp(header: _Header) -> bytes:
    guid = long_xmp.named_in(header.xmp).encode()
    if not guid:
        return header.xmp
    parts = sorted((at, part) for (name, at), part in header.more_xmp.items() if name == guid)
    extended = b"".join(part for _at, part in parts)
    if long_xmp.digest(extended).encode() != guid:
        raise ValueError("it is missing or damaged")
    return long_xmp.join(header.xmp, extended)


def write(file: BinaryIO, pages: Sequence[ColorPage]) -> None:
    """Write a JPEG of 8 bits, quality 95 and 4:4:4; opacity is laid on white.

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
                f"the EXIF block has {len(body):,} bytes and a JPEG holds {LONGEST_BODY:,}; "
                "set output.format to tiff"
            )
        file.write(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    file.write(memoryview(encoded)[4 + jfif :])


def _segments(metadata: Metadata) -> Iterator[tuple[int, bytes]]:
    """Give marker and body of each segment, in the order that readers expect."""
    yield APP0, _jfif(metadata.dpi, metric=metadata.metric)
    if metadata.exif:
        yield APP1, EXIF + metadata.exif.removeprefix(EXIF)
    if metadata.xmp:
        try:
            main, extended = long_xmp.split(metadata.xmp, LONGEST_BODY - len(XMP))
        except ValueError as error:
            raise ScanError(f"{error} for a JPEG; set output.format to tiff") from error
        yield APP1, XMP + main
        guid = long_xmp.digest(extended).encode()
        for at, part in _cut(extended, LONGEST_BODY - len(MORE_XMP) - 40):
            yield APP1, MORE_XMP + struct.pack(">32sII", guid, len(extended), at) + part
    parts = list(_cut(metadata.profile, LONGEST_BODY - len(ICC) - 2))
    for number, (_at, part) in enumerate(parts, 1):
        yield APP2, ICC + bytes([number, len(parts)]) + part
    if metadata.iptc:
        for _at, part in _cut(photoshop.wrapped(metadata.iptc), LONGEST_BODY - len(PHOTOSHOP)):
            yield APP13, PHOTOSHOP + part


def _cut(data: bytes, longest: int) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(data), longest):
        yield at, data[at : at + longest]


def _jfif(dpi: Resolution | None, *, metric: bool) -> bytes:
    unit, inches = (2, CENTIMETERS) if metric else (1, 1.0)
    x, y = (round(side / inches) for side in dpi) if dpi else (0, 0)
    if not (0 < x < 65536 and 0 < y < 65536):
        return b"JFIF\0\1\1" + struct.pack(">BHHBB", 0, 1, 1, 0, 0)
    return b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0)
