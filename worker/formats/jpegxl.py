"""JPEG XL, read only: gray and RGB of 1 to 16 bits, with opacity; results are PNG.

imagecodecs neither reads nor writes JPEG XL profiles, so color spaces that are not enumerated are
refused, and results cannot be JPEG XL. Source: ISO/IEC 18181-2 (boxes).
"""

import struct
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import imagecodecs

from worker.color import cielab, icc
from worker.color.cielab import Pixels
from worker.errors import DamagedError, plain
from worker.formats.full_image import decoded_whole, scaled
from worker.formats.image import DecodedImage, Encoding, check_size
from worker.formats.isobmff import Box, body, named, read_at, walk
from worker.formats.jpegxl_header import Header, header_of
from worker.metadata import exif_tags
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

BARE = b"\xff\x0a"
HEADER_BYTES = 4096
# Boxes of the picture, of where it is, and of how to make the JPEG again that it was once.
OF_THE_FILE = {b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp", b"jxli", b"jbrd", b"brob", b"free"}
LONGEST_TOLD = 64 << 20  # bytes of metadata, unpacked


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a JPEG XL's header; see `ImageFormat.read`."""
    if read_at(file, 0, 2) == BARE:
        codestream, metadata = read_at(file, 0, HEADER_BYTES), Metadata()
    else:
        boxes = list(walk(file))
        codestream, metadata = _codestream(file, boxes), _metadata(file, boxes)
    if not codestream.startswith(BARE):
        raise DamagedError("it contains no image")
    header = header_of(codestream[2:])
    check_size(header.width, header.height, settings)
    metadata = replace(metadata, profile=_profile(header))
    return decoded_whole(
        partial(_pixels, file, header),
        (header.width, header.height, header.samples, header.alpha),
        Encoding(bits=8 if header.bits <= 8 else 16, lossless=header.lossless),
        metadata,
        header.orientation,
    )


def _profile(header: Header) -> bytes:
    """Build the profile of the header's enumerated color space; b"" for sRGB."""
    if header.wide:
        return icc.output_profile(cielab.DISPLAY_P3)
    if not header.gamma:
        return b""
    model = "gray" if header.samples == 1 else "rgb"
    return bytes(imagecodecs.cms_profile(model, gamma=header.gamma))


def _pixels(file: BinaryIO, header: Header) -> Pixels:
    """Decode to uint8 or uint16, as stored."""
    file.seek(0)
    codes = imagecodecs.jpegxl_decode(file.read(), keeporientation=True)
    return scaled(codes, 2**header.bits - 1)


def _codestream(file: BinaryIO, boxes: list[Box]) -> bytes:
    """Return the start of the codestream, which may be split into numbered parts."""
    for box in boxes:
        if box.name in {b"jxlc", b"jxlp"}:
            numbered = 4 if box.name == b"jxlp" else 0
            return read_at(file, box.start + numbered, min(box.length - numbered, HEADER_BYTES))
    return b""


def _metadata(file: BinaryIO, boxes: list[Box]) -> Metadata:
    told: dict[bytes, bytes] = {}
    lost = []
    for box in boxes:
        name, data = box.name, b""
        try:
            if name in {b"Exif", b"xml "}:
                data = body(file, box)
            elif name == b"brob":
                name = read_at(file, box.start, 4)
                if name in {b"Exif", b"xml "} and name not in told:
                    data = _unpacked(body(file, box))
        except (ValueError, RuntimeError, struct.error) as error:
            lost.append(f"packed metadata: {plain(error)}")
        if name not in {*OF_THE_FILE, b"Exif", b"xml "}:
            lost.append(named(Box(name, box.start, box.length)))
        if data:
            told.setdefault(name, data)
    exif = told.get(b"Exif", b"")
    if len(exif) > 4:  # the first four bytes tell where the TIFF structure begins
        exif = b"Exif\0\0" + exif[4 + struct.unpack_from(">I", exif)[0] :]
    exif, iptc = exif_tags.without_iptc(exif)
    return Metadata(
        exif=exif,
        iptc=iptc,
        xmp=told.get(b"xml ", b""),
        dpi=exif_tags.resolution(exif),
        lost=tuple(lost),
    )


def _unpacked(data: bytes) -> bytes:
    """Decompress the body of a brotli box, which begins with the name."""
    return bytes(imagecodecs.brotli_decode(data[4:], out=LONGEST_TOLD))
