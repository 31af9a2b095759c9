"""JPEG segments: the header and the metadata.

A broken metadata segment does not cost the photograph. `lost` names what results do not carry.
Sources: ITU-T T.81 annex B (markers), T.871 (JFIF), T.872 (Adobe's segment), Exif 3.0 section 4.7,
ICC.1 annex B.4, XMP part 3, CIPA DC-007 (several pictures).
"""

import re
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from worker.errors import DamagedError, ScanError, plain
from worker.metadata import exif_tags, extended_xmp, photoshop
from worker.metadata.block import Metadata, Resolution

MOST_JUNK = 1 << 20  # bytes between segments; what others pass over in silence
JFIF, JFIF_BYTES = b"JFIF\0", 14
ADOBE, ADOBE_BYTES = b"Adobe", 12
EXIF = b"Exif\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"
ICC = b"ICC_PROFILE\0"
APP0, APP1, APP2, APP12, APP13, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEC, 0xED, 0xEE, 0xEF
COMMENT = 0xFE
FRAMES = {  # by marker: whether it is one of those that are read
    0xC0: True,  # baseline
    0xC1: True,  # extended
    0xC2: True,  # progressive
    0xC9: True,  # extended, arithmetic coding
    0xCA: True,  # progressive, arithmetic coding
    **dict.fromkeys((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7), False),  # 0xF7: LS
}
KNOWN = {  # how segments begin that are named by what they hold
    b"JFXX\0": "a thumbnail in its JFIF extension",
    b"FPXR\0": "FlashPix data",
    b"JP": "content credentials or other boxes (JUMBF)",
    b"Adobe_CM": "Adobe's color management data",
}
MPF = b"MPF\0"  # where further pictures stand, which are counted themselves
DUCKY = {2: "a comment", 3: "a copyright notice"}  # of Photoshop's "Save for Web"


@dataclass
class Header:
    """Everything before the pixels.

    Attributes:
        bits: of each sample.
        height: rows.
        width: columns.
        channels: samples of each pixel.
        sequential: whether it is stored from the top in Huffman's codes.
        multiple: whether it says where further pictures stand behind it.
        adobe: whether Adobe's segment is there, so that CMYK is stored inverted.
        decoded: the segments that a decoder needs, in order; not those of metadata.
        pixels_at: where the first scan begins, behind its marker.
    """

    bits: int = 0
    height: int = 0
    width: int = 0
    channels: int = 0
    sequential: bool = False
    multiple: bool = False
    adobe: bool = False
    decoded: list[bytes] = field(default_factory=list)
    pixels_at: int = 0
    dpi: Resolution | None = None
    metric: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    more_xmp: dict[tuple[bytes, int], bytes] = field(default_factory=dict)
    photoshop: bytes = b""
    icc: dict[int, bytes] = field(default_factory=dict)
    comments: list[bytes] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def header(file: BinaryIO) -> Header:
    """Read a JPEG up to its first scan.

    Raises:
        DamagedError: it is truncated, or contains no image.
        ScanError: its type is not supported.
    """
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        raise DamagedError("it does not start with a JPEG marker")
    found = Header()
    while True:
        marker = _next_marker(file)
        if marker == 0xDA:
            found.pixels_at = file.tell()
            break
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a body
            continue
        head = file.read(2)
        length = int.from_bytes(head)
        body = file.read(length - 2) if length >= 2 else b""
        if len(head) < 2 or length < 2 or len(body) != length - 2:
            raise DamagedError("a segment is cut short")
        _take(found, marker, body)
    if not found.channels or not found.pixels_at:
        raise DamagedError("it contains no image")
    return found


def _next_marker(file: BinaryIO) -> int:
    """Skip to the next marker, over fill bytes and, as all readers do, over junk."""
    before = b""
    for _ in range(MOST_JUNK):
        byte = file.read(1)
        if before == b"\xff" and byte not in {b"\xff", b"\0", b""}:
            return byte[0]
        if not byte:
            break
        before = byte
    raise DamagedError("the file ends within its header")


def _take(found: Header, marker: int, body: bytes) -> None:
    """Store what a segment says."""
    if FRAMES.get(marker) is False:
        raise ScanError("lossless and hierarchical JPEG are not supported; save it as TIFF")
    if marker in FRAMES:
        if len(body) < 6:
            raise DamagedError("its size is cut short")
        found.bits, found.height, found.width, found.channels = struct.unpack_from(">BHHB", body)
        found.sequential = marker in {0xC0, 0xC1}
    if marker == COMMENT:
        if body.strip(b"\0 "):
            found.comments.append(body)
    elif not APP0 <= marker <= APP15 or _is_decoded(marker, body):
        found.decoded.append(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)
    found.adobe |= marker == APP14 and body.startswith(ADOBE)
    found.multiple |= marker == APP2 and body.startswith(MPF)
    if APP0 <= marker <= APP15:
        _take_application(found, marker, body)


def _is_decoded(marker: int, body: bytes) -> bool:
    """Tell whether the decoder needs an application segment, and it is long enough."""
    if marker == APP14:
        return body.startswith(ADOBE) and len(body) >= ADOBE_BYTES
    return marker == APP0 and body.startswith(JFIF) and len(body) >= JFIF_BYTES


def _take_application(found: Header, marker: int, body: bytes) -> None:
    """Store what an application segment says, or name it as lost."""
    if marker == APP0 and body.startswith(JFIF):
        _take_jfif(found, body)
    elif marker == APP1 and body.startswith((EXIF, XMP, MORE_XMP)):
        _take_app1(found, body)
    elif marker == APP2 and body.startswith(ICC):
        number, part = body[len(ICC) : len(ICC) + 1], body[len(ICC) + 2 :]
        if part and found.icc.setdefault(number[0], part) != part:
            found.lost.append("a second color profile")
    elif marker == APP12 and body.startswith(b"Ducky"):
        _take_ducky(found, body)
    elif marker == APP13 and body.startswith(PHOTOSHOP):
        found.photoshop += body.removeprefix(PHOTOSHOP)
    elif not _says_nothing(marker, body):
        known = next((words for sign, words in KNOWN.items() if body.startswith(sign)), "")
        sign = re.match(rb"[ -~]{0,40}", body)
        told = f" ({sign[0].decode()})" if sign and len(sign[0]) > 1 else ""
        segment = f"the segment APP{marker - APP0}{told} of {len(body):,} bytes"
        found.lost.append(f"{known}: {segment}" if known else segment)


def _says_nothing(marker: int, body: bytes) -> bool:
    """Tell whether dropping an application segment loses nothing."""
    of_the_file = body.startswith(MPF) or (marker == APP14 and body.startswith(ADOBE))
    return of_the_file or body.strip(b"\0 ") in {b"", b"JFXX", b"JFIF", b"Exif"}


def _take_jfif(found: Header, body: bytes) -> None:
    if len(body) < JFIF_BYTES - 2:
        return
    unit, x, y = struct.unpack_from(">BHH", body, 7)
    inches = {1: 1.0, 2: 2.54}.get(unit)
    if inches and x and y and not found.dpi:
        found.dpi, found.metric = (x * inches, y * inches), unit == 2
    if len(body) > JFIF_BYTES and body[12] and body[13]:
        found.lost.append("the thumbnail in its JFIF segment")


def _take_app1(found: Header, body: bytes) -> None:
    if body.startswith(EXIF):
        if found.exif and body != found.exif:
            found.lost.append("a second EXIF block")
        elif body.removeprefix(EXIF).strip(b"\0"):
            found.exif = body
    elif body.startswith(XMP):
        packet = body.removeprefix(XMP)
        if found.xmp and packet != found.xmp:
            found.lost.append("a second XMP packet")
        found.xmp = found.xmp or packet
    elif len(body) >= len(MORE_XMP) + 40:
        guid, _whole, at = struct.unpack_from(">32sII", body, len(MORE_XMP))
        found.more_xmp[guid, at] = body[len(MORE_XMP) + 40 :]


def _take_ducky(found: Header, body: bytes) -> None:
    """Name the texts of Photoshop's "Save for Web"; its quality setting is irrelevant."""
    at = len(b"Ducky")
    while at + 4 <= len(body):
        kind, length = struct.unpack_from(">HH", body, at)
        text = body[at + 8 : at + 4 + length].decode("utf-16-be", "replace").strip("\0 ")
        if kind in DUCKY and text:
            found.lost.append(f"{DUCKY[kind]} of Save for Web: {text[:200]}")
        at += 4 + length


def metadata(found: Header, more: tuple[str, ...] = ()) -> Metadata:
    """Return the header's metadata.

    Args:
        found: the header.
        more: what else is lost.
    """
    resources = photoshop.taken(found.photoshop)
    lost = found.lost
    lost += resources.lost
    xmp = found.xmp
    try:
        xmp = _joined_xmp(found)
    except ValueError as error:
        lost.append(f"the longer part of the XMP: {plain(error)}")
    lost += resources.unused(exif=found.exif, xmp=xmp)
    exif = found.exif or resources.exif
    return Metadata(
        exif=exif,
        iptc=resources.iptc,
        xmp=xmp or resources.xmp,
        profile=b"".join(part for _, part in sorted(found.icc.items())) or resources.profile,
        dpi=found.dpi or exif_tags.resolution(exif) or resources.dpi,
        metric=found.metric,
        lost=(*lost, *more),
        photoshop=resources.kept,
        texts=tuple(("Comment", comment.rstrip(b"\0")) for comment in found.comments),
    )


def _joined_xmp(found: Header) -> bytes:
    guid = extended_xmp.named_in(found.xmp).encode()
    if any(name != guid for name, _at in found.more_xmp):
        found.lost.append("an extension of XMP that the packet does not name")
    if not guid:
        return found.xmp
    parts = sorted((at, part) for (name, at), part in found.more_xmp.items() if name == guid)
    extended = b"".join(part for _at, part in parts)
    if extended_xmp.digest(extended).encode() != guid:
        raise DamagedError("it is missing or damaged")
    return extended_xmp.join(found.xmp, extended)
