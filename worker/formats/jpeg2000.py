"""JPEG 2000: gray, palette and color of 1 to 16 bits, with opacity, as JP2 or a bare codestream.

Refuses signed samples, subsampled channels, CMYK and Lab. Sources: ISO/IEC 15444-1 annex A
(codestream) and I (boxes); uuids of XMP (part 3), EXIF and IPTC as exiftool writes them.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

import imagecodecs

from worker.color.cielab import Pixels
from worker.errors import DamagedError, ScanError
from worker.formats.full_image import decoded_whole, gathered, only_page, scaled
from worker.formats.image import DecodedImage, Encoding, OutputPage, check_size
from worker.formats.isobmff import Box, body, box, named, read_at, start, walk
from worker.metadata import exif_tags, photoshop
from worker.metadata.block import Metadata, Resolution
from worker.settings import ReadSettings

PSNR = 50  # decibels asked of what is not reversible; 48 to 50 come out, nobody sees a difference
CODESTREAM = b"\xff\x4f\xff\x51"
SIGNATURE = box(b"jP  ", b"\r\n\x87\n")
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
EXIF = b"JpgTiffExif->JP2"
EXIF_OF_PHOTOSHOP = bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e")
IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
RESOURCES = bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb")
CODED, SIZE, CODING_STYLE, COMMENT, END = 0xFF90, 0xFF51, 0xFF52, 0xFF64, 0xFFD9
MARKER_BYTES = 2
# Boxes that say how the image is stored; `lost` names all others.
OF_THE_FILE = {b"jP  ", b"ftyp", b"rreq", b"jp2c", b"free", b"skip"}
OF_THE_PICTURE = {b"ihdr", b"bpcc", b"colr", b"pclr", b"cmap", b"cdef", b"res ", b"free"}
UUIDS = {XMP, EXIF, EXIF_OF_PHOTOSHOP, IPTC, RESOURCES}
ENCODERS = ("Kakadu", "Kdu-", "Created by OpenJPEG", "LEAD", "Created by JasPer", "JasPer")
RGB, GRAY, YCC = 16, 17, 18  # enumerated color spaces
INCH = 0.0254  # meters
CORES = min(4, os.cpu_count() or 1)


@dataclass
class _Header:
    """What the boxes and the codestream say."""

    width: int = 0
    height: int = 0
    bits: int = 0
    channels: int = 0
    reversible: bool = False
    space: int | None = None
    profile: bytes = b""
    dpi: Resolution | None = None
    opacity: int | None = None  # kind of the last channel, as the box cdef says
    tiles_at: int = 0  # where the codestream's main header ends
    told: dict[bytes, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a JPEG 2000's header; see `ImageFormat.read`."""
    header = _Header()
    if read_at(file, 0, 4) == CODESTREAM:
        _take_codestream(file, 0, header)
        _check_end(file, header.tiles_at, file.seek(0, os.SEEK_END))
    else:
        _take_boxes(file, header)
    check_size(header.width, header.height, settings)
    samples, alpha = _channels(header)

    def decode() -> Pixels:
        codes = imagecodecs.jpeg2k_decode(_without_profile(file, header), numthreads=CORES)
        return scaled(codes, 2**header.bits - 1)

    return decoded_whole(
        decode,
        (header.width, header.height, samples, alpha),
        Encoding(bits=8 if header.bits <= 8 else 16, lossless=header.reversible),
        _metadata(header),
        exif_tags.orientation(header.told.get(EXIF, b"")),
    )


def _without_profile(file: BinaryIO, header: _Header) -> bytearray:
    """Return the file with its color boxes hidden, or imagecodecs would convert to sRGB."""
    file.seek(0)
    data = bytearray(file.read())
    heads = [found for found in walk(file) if found.name == b"jp2h"] if header.profile else []
    for head in heads:
        for found in walk(file, head.start, head.start + head.length):
            if found.name == b"colr":
                name_at = data.rindex(b"colr", 0, found.start)
                data[name_at : name_at + 4] = b"free"
    return data


def _channels(header: _Header) -> tuple[int, bool]:
    """Return the samples per pixel, and whether opacity follows them."""
    if header.space not in {None, RGB, GRAY, YCC}:
        raise ScanError(
            f"color space {header.space} of the JPEG 2000 is not supported; photochrom reads gray, "
            "sRGB, sYCC and images with an RGB or gray profile"
        )
    if header.channels not in {1, 2, 3, 4} or not 1 <= header.bits <= 16:
        raise ScanError(
            f"the JPEG 2000 has {header.channels} channels of {header.bits} bits; photochrom "
            "reads gray and color of 1 to 16 bits"
        )
    alpha = header.channels in {2, 4}
    if alpha and header.opacity not in {None, 1}:
        raise ScanError(
            "the last channel of the JPEG 2000 is not plain opacity; save it without that channel"
        )
    return header.channels - alpha, alpha


def _take_boxes(file: BinaryIO, header: _Header) -> None:
    pictures = [found for found in walk(file) if _take_outer(file, found, header)]
    if not pictures:
        raise DamagedError("it contains no image")
    if len(pictures) > 1:
        raise ScanError(f"the JPEG 2000 holds {len(pictures)} images; save each as a separate file")
    bits, channels = header.bits, header.channels  # of the palette, if there is one
    _take_codestream(file, pictures[0].start, header)
    _check_end(file, header.tiles_at, pictures[0].start + pictures[0].length)
    if channels:
        header.bits, header.channels = bits, channels


def _take_outer(file: BinaryIO, found: Box, header: _Header) -> bool:
    """Store what a top-level box says; true if it is a codestream."""
    if found.name == b"jp2h":
        for inner in walk(file, found.start, found.start + found.length):
            _take_inner(file, inner, header)
    elif found.name == b"uuid" and found.length >= 16:
        data = body(file, found)
        if data[:16] in UUIDS:
            header.told.setdefault(data[:16], data[16:])
        else:
            header.lost.append(f"the box uuid {data[:16].hex()}, {found.length:,} bytes")
    elif found.name == b"xml ":
        header.lost.append("a box of XML other than XMP")
    elif found.name not in OF_THE_FILE:
        header.lost.append(named(found))
    return found.name == b"jp2c"


def _take_inner(file: BinaryIO, found: Box, header: _Header) -> None:
    if found.name == b"res ":
        for inner in walk(file, found.start, found.start + found.length):
            if inner.name == b"resc" or not header.dpi:  # as captured, before as displayed
                header.dpi = _dpi(body(file, inner)) or header.dpi
        return
    if found.name not in OF_THE_PICTURE:
        header.lost.append(named(found))
        return
    data = body(file, found)
    if found.name == b"colr":
        _take_color(data, header)
    elif found.name == b"pclr":
        header.channels, header.bits = data[2], (data[3] & 0x7F) + 1
    elif found.name == b"cdef":
        kinds = [struct.unpack_from(">HHH", data, at) for at in range(2, len(data) - 5, 6)]
        header.opacity = max((kind for _channel, kind, _color in kinds if kind), default=None)


def _take_color(data: bytes, header: _Header) -> None:
    """Store the color space or profile of the first usable color box."""
    if header.profile or header.space is not None:
        return
    if data[0] == 1:
        (header.space,) = struct.unpack_from(">I", data, 3)
    elif data[0] in {2, 3}:
        header.profile = data[3:]


def _dpi(data: bytes) -> Resolution | None:
    """Read a resolution box: samples per meter, each as a fraction times a power of ten."""
    up, up_by, across, across_by, up_power, across_power = struct.unpack(">HHHHbb", data)
    if not (up and up_by and across and across_by):
        return None
    vertical, horizontal = up / up_by * 10.0**up_power, across / across_by * 10.0**across_power
    return horizontal * INCH, vertical * INCH


def _take_codestream(file: BinaryIO, start: int, header: _Header) -> None:
    """Read the codestream's main header, up to its first tile."""
    at = start + 2
    while True:
        marker, length = struct.unpack(">HH", read_at(file, at, 4))
        if marker == CODED:
            break
        if marker >> 8 != 0xFF or length < 2:
            raise DamagedError("its codestream has no header")
        data = read_at(file, at + 4, length - 2)
        if len(data) < length - 2:
            raise DamagedError("the file ends within its header")
        if marker == SIZE:
            _take_size(data, header)
        elif marker == CODING_STYLE:
            header.reversible = data[9] == 1
        elif marker == COMMENT:
            text = data[2:].decode("utf-8", "replace").strip("\0 ")
            if text and data[:2] == b"\0\1" and not text.startswith(ENCODERS):
                header.lost.append(f"a comment: {text[:200]}")
        at += 2 + length
    header.tiles_at = at
    if not header.channels:
        raise DamagedError("its codestream states no size")


def _take_size(data: bytes, header: _Header) -> None:
    """Store the SIZ segment: the size, and how samples are stored."""
    if len(data) < 36:
        raise DamagedError("its codestream states no size")
    _, right, bottom, left, top = struct.unpack_from(">HIIII", data)
    header.width, header.height = right - left, bottom - top
    (header.channels,) = struct.unpack_from(">H", data, 34)
    kinds = {data[at : at + 3] for at in range(36, 36 + 3 * header.channels, 3)}
    if not kinds or len(data) < 36 + 3 * header.channels:
        raise DamagedError("its codestream has no channels")
    if any(0 in kind[1:] for kind in kinds):  # as before it is written
        raise DamagedError("its codestream does not say how its channels are stored")
    depth, *steps = kinds.pop()
    if kinds or depth & 0x80 or steps != [1, 1]:
        raise ScanError(
            "the JPEG 2000's channels are signed, subsampled or of different depths; save it as "
            "TIFF"
        )
    header.bits = depth + 1


def _check_end(file: BinaryIO, at: int, end: int) -> None:
    """Check that the codestream is complete, because decoders fill missing tiles with gray.

    Raises:
        DamagedError: it has no end marker.
    """
    while at < end:
        head = read_at(file, at, 12).ljust(12, b"\0")
        marker, _length, _tile, size = struct.unpack_from(">HHHI", head)
        if marker == END:
            return
        if marker == CODED and size == 0:  # the last one, up to the end
            size = end - MARKER_BYTES - at
        if marker != CODED or size < len(head):
            break
        at += size
    raise DamagedError("the file ends before the image data does")


def _metadata(header: _Header) -> Metadata:
    told = header.told
    exif = exif_tags.prefixed(told.get(EXIF) or told.get(EXIF_OF_PHOTOSHOP) or b"")
    resources = photoshop.taken(told.get(RESOURCES, b""))
    unused = resources.unused(told.get(IPTC, b""), exif, told.get(XMP, b""))
    return Metadata(
        exif=exif or resources.exif,
        iptc=told.get(IPTC, b"") or resources.iptc,
        xmp=told.get(XMP, b"") or resources.xmp,
        profile=header.profile,
        dpi=header.dpi or exif_tags.resolution(exif) or resources.dpi,
        lost=(*header.lost, *resources.lost, *unused),
        photoshop=resources.kept,
    )


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write a JP2 at the page's depth: reversible if the scan was, else of at least 45 dB.

    Results of bare codestreams are JP2 too, because only boxes can hold the label.

    Raises:
        ScanError: what the format cannot hold.
        OSError: when the disk fails.
    """
    page = only_page(pages, "JPEG 2000", 2**31 - 1)
    lossless = page.encoding.lossless
    codestream = imagecodecs.jpeg2k_encode(
        gathered(page),
        0 if lossless else PSNR,
        codecformat="j2k",
        reversible=lossless,
        numthreads=CORES,
    )
    file.write(SIGNATURE + box(b"ftyp", b"jp2 \0\0\0\0jp2 "))
    file.write(box(b"jp2h", *_picture_boxes(page)))
    metadata = page.metadata
    for uuid, data in (
        (XMP, metadata.xmp),
        (EXIF, metadata.exif.removeprefix(b"Exif\0\0")),
        (IPTC, metadata.iptc),
        (RESOURCES, metadata.photoshop),
    ):
        if data:
            file.write(box(b"uuid", uuid, data))
    file.write(start(b"jp2c", len(codestream)))
    file.write(codestream)


def _picture_boxes(page: OutputPage) -> Iterator[bytes]:
    channels = 4 if page.alpha else 3
    head = struct.pack(">IIHBBBB", page.height, page.width, channels, page.depth - 1, 7, 0, 0)
    yield box(b"ihdr", head)
    if page.metadata.profile:
        yield box(b"colr", b"\2\0\0", page.metadata.profile)
    else:
        yield box(b"colr", b"\1\0\0", struct.pack(">I", RGB))
    if page.alpha:
        roles = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 1, 0)]  # channel, opacity?, which color
        yield box(b"cdef", struct.pack(">H12H", 4, *sum(roles, ())))
    if page.metadata.dpi:
        across, up = (_fraction(side / INCH) for side in page.metadata.dpi)
        numbers = (*up[:2], *across[:2], up[2], across[2])
        yield box(b"res ", box(b"resc", struct.pack(">HHHHbb", *numbers)))


def _fraction(per_meter: float) -> tuple[int, int, int]:
    """Return the nearest fraction of two 16-bit numbers and a power of ten; 1e-4 to 6e8."""
    tries = []
    for power in range(5):
        value = per_meter / 10**power
        if value < 65_535:
            near = Fraction(value).limit_denominator(int(65_535 / max(value, 1.0)))
            above = max(near.numerator, 1)
            error = abs(above / near.denominator * 10**power - per_meter)
            tries.append((error, power, above, near.denominator))
    if not tries:
        return 65_535, 1, 4
    _error, power, above, below = min(tries)
    return above, below, power
