"""WebP, lossy and lossless, 8 bits, with opacity; lossless stays lossless. Refuses animations.

WebP has no place for IPTC, which goes into the EXIF block, where exiftool finds it. Sources: WebP
Container Specification; RFC 6386 section 9.1 and RFC 9649 section 3.4 (frame headers).
"""

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image

from worker.color.cielab import Pixels, to_8_bit
from worker.errors import DamagedError, ScanError
from worker.formats.full_image import decoded_whole, gathered, only_page
from worker.formats.image import DecodedImage, Encoding, OutputPage, check_size
from worker.metadata import exif_tags
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

LONGEST_SIDE = 16_383
QUALITY = 95
LOSSLESS_EFFORT = 50  # of 100; more takes three times as long and saves nothing
ANIMATED, OPACITY = 0x02, 0x10  # flags of VP8X
MOST_CHUNKS = 10_000  # no honest file comes near it
# A preallocated file ends in zeros until it is complete. Lossless images end in at most two zeros,
# but lossy ones of blank paper in thousands.
MOST_ZEROS = 16  # bytes at an end that is not looked at further
SLACK = 8  # bytes; what an encoder writes behind the last sample was at most 4


@dataclass
class _Chunks:
    """What the chunks say."""

    width: int = 0
    height: int = 0
    lossless: bool | None = None
    alpha: bool = False
    picture: slice = field(default_factory=lambda: slice(0, 0))
    told: dict[bytes, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a WebP's chunks; see `ImageFormat.read`."""
    chunks = _chunks(file)
    check_size(chunks.width, chunks.height, settings)
    if chunks.told.get(b"XMP ", b"").endswith(bytes(MOST_ZEROS)):
        raise DamagedError("the file ends within its XMP packet")

    def decode() -> Pixels:
        file.seek(0)
        data = file.read()
        pixels = imagecodecs.webp_decode(data, hasalpha=chunks.alpha)
        _check_end(data, chunks)
        return np.asarray(pixels)

    exif, iptc = exif_tags.without_iptc(chunks.told.get(b"EXIF", b""))
    exif = exif_tags.prefixed(exif)
    metadata = Metadata(
        exif=exif,
        iptc=iptc,
        xmp=chunks.told.get(b"XMP ", b""),
        profile=chunks.told.get(b"ICCP", b""),
        dpi=exif_tags.resolution(exif),
        lost=tuple(chunks.lost),
    )
    return decoded_whole(
        decode,
        (chunks.width, chunks.height, 3, chunks.alpha),
        Encoding(lossless=bool(chunks.lossless)),
        metadata,
        exif_tags.orientation(exif),
    )


def _chunks(file: BinaryIO) -> _Chunks:
    end = file.seek(0, os.SEEK_END)
    length = _length(file)
    chunks = _Chunks()
    at = 12
    for _ in range(MOST_CHUNKS):
        if at >= length:
            break
        file.seek(at)
        name, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if at + 8 + size > end or not name.strip(b"\0"):
            raise DamagedError("a chunk is cut short")
        if name in {b"VP8 ", b"VP8L"}:
            chunks.picture = slice(at + 8, at + 8 + size)
        if name in {b"ICCP", b"EXIF", b"XMP "}:
            chunks.told.setdefault(name, file.read(size))
        elif name in {b"VP8X", b"VP8 ", b"VP8L"}:
            _take_header(chunks, name, file.read(min(size, 10)))
        elif name != b"ALPH":
            shown = "".join(sign if sign.isprintable() else "?" for sign in name.decode("latin-1"))
            chunks.lost.append(f"the chunk {shown.strip()}, {size:,} bytes")
        at += 8 + size + size % 2
    if chunks.lossless is None:
        raise DamagedError("it contains no image")
    if end > at:
        chunks.lost.append(f"{end - at:,} bytes behind the picture's end")
    return chunks


def _length(file: BinaryIO) -> int:
    """Return the offset after the last chunk."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    riff, length, webp = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if riff != b"RIFF" or webp != b"WEBP":
        raise DamagedError("it does not start with a WebP header")
    if end < length + 8:
        raise DamagedError("the file ends before the image data does")
    return int(length)


def _check_end(data: bytes, chunks: _Chunks) -> None:
    """Check that zeros at the end belong to the image: decoders fill missing pixels with gray.

    If they do, the image cannot be decoded without its last bytes.

    Raises:
        DamagedError: the end is missing.
    """
    end = chunks.picture.stop
    if chunks.picture.stop - chunks.picture.start < MOST_ZEROS or data[
        end - MOST_ZEROS : end
    ].strip(b"\0"):
        return
    if not chunks.lossless:
        picture = data[chunks.picture.start : end - SLACK]
        head = struct.pack("<4sI4s4sI", b"RIFF", len(picture) + 12, b"WEBP", b"VP8 ", len(picture))
        try:
            imagecodecs.webp_decode(head + picture, hasalpha=False)
        except imagecodecs.WebpError:
            return
    raise DamagedError("the file ends before the image data does")


def _take_header(chunks: _Chunks, name: bytes, header: bytes) -> None:
    if name == b"VP8X":
        if header[0] & ANIMATED:
            raise ScanError("the WebP is animated; photochrom colors still images only")
        chunks.alpha = bool(header[0] & OPACITY)
        chunks.width = 1 + int.from_bytes(header[4:7], "little")
        chunks.height = 1 + int.from_bytes(header[7:10], "little")
        return
    chunks.lossless = name == b"VP8L"
    alpha = False
    if chunks.lossless:
        (packed,) = struct.unpack_from("<I", header, 1)
        width, height = 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        alpha = bool(packed >> 28 & 1)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", header, 6))
    if not chunks.width:  # not told by VP8X
        chunks.width, chunks.height, chunks.alpha = width, height, alpha
    elif (width, height) != (chunks.width, chunks.height):
        raise DamagedError("it states two different sizes")


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write a WebP of 8 bits: lossless if the scan was, else of quality 95.

    Raises:
        ScanError: what the format cannot hold.
        OSError: when the disk fails.
    """
    page = only_page(pages, "WebP", LONGEST_SIDE)
    metadata = page.metadata
    exif = exif_tags.with_resolution(metadata.exif, metadata.dpi)
    image = Image.fromarray(gathered(page, (to_8_bit(strip) for strip in page.strips())))
    lossless = page.encoding.lossless
    image.save(
        file,
        "WEBP",
        lossless=lossless,
        quality=LOSSLESS_EFFORT if lossless else QUALITY,
        exact=True,  # keep the color of transparent pixels
        use_sharp_yuv=not lossless,  # chroma has half the size; keep edges sharp
        exif=exif_tags.with_iptc(exif, metadata.iptc),
        xmp=metadata.xmp,
        icc_profile=metadata.profile,
    )
