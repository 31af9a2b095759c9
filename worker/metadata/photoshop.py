"""Photoshop's image resources, which hold IPTC and more in JPEG, PNG, TIFF and JPEG 2000.

Resources that also hold for the result are kept byte for byte, unknown ones too. Those that show
the scan or parts of it are dropped and named as lost.
Sources: Adobe Photoshop File Formats Specification, "Image Resource Blocks"; MWG Guidelines for
Handling Image Metadata, section 3.3 (the digest).
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from worker.errors import DamagedError
from worker.metadata.block import Resolution

SIGNATURES = {b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"}
MOST = 10_000  # resources; Photoshop writes some dozens
IPTC, RESOLUTION, PROFILE, EXIF, XMP, DIGEST = 0x0404, 0x03ED, 0x040F, 0x0422, 0x0424, 0x0425
FIXED = 65536.0  # of a number with 16 bits behind the point
# Of the scan's file, and said by the result in its own way: mode, quality, untagged, more EXIF.
OF_THE_FILE = {0x03E8, 0x0406, 0x0411, 0x0423, IPTC, RESOLUTION, PROFILE, EXIF, XMP}
OF_THE_SCAN = {  # its pixels, channels and layers, which the result has not
    0x03EB: "the color table",
    0x03EE: "the names of further channels",
    0x03EF: "how further channels are shown",
    0x0400: "the layers' state",
    0x0402: "the layers' groups",
    0x0403: "the color table",
    0x0409: "the thumbnail",
    0x040C: "the thumbnail",
    0x0415: "the names of further channels",
    0x0416: "the color table",
    0x0417: "the transparent color",
    0x041D: "the numbers of further channels",
    0x0435: "how further channels are shown",
    0x0436: "the layers' selection",
}
PLACES = {  # in the picture as it lay; paths are named by themselves
    0x0408: "guides",
    0x041A: "slices",
    0x0BB7: "the clipping path",
    **dict.fromkeys(range(2000, 2998), "a path"),
}
NO_GUIDES = 16  # bytes of guides that are none
NAMES = {
    0x03F0: "a caption",
    0x040A: "the copyright flag",
    0x040B: "a URL",
    0x041E: "a list of URLs",
    DIGEST: "the digest of the IPTC block",
}


class Resource(NamedTuple):
    """One resource: its number, what it holds, and all its bytes, which are even in number."""

    number: int
    data: bytes
    whole: bytes


@dataclass(frozen=True)
class Found:
    """What image resources say.

    Attributes:
        kept: the resources that a result can carry, as they stand, without those named below.
        iptc: IPTC datasets.
        exif: an EXIF block.
        xmp: an XMP packet.
        profile: an ICC profile.
        dpi: resolution.
        lost: what is left behind, in plain words.
    """

    kept: bytes = b""
    iptc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    dpi: Resolution | None = None
    lost: tuple[str, ...] = ()

    def unused(self, iptc: bytes = b"", exif: bytes = b"", xmp: bytes = b"") -> tuple[str, ...]:
        """Name the blocks that the given ones from elsewhere in the file override."""
        pairs = (("IPTC", self.iptc, iptc), ("EXIF", self.exif, exif), ("XMP", self.xmp, xmp))
        return tuple(
            f"Photoshop's resources: a second block of {name}"
            for name, ours, theirs in pairs
            if ours and theirs and ours.rstrip(b"\0") not in theirs
        )


def taken(resources: bytes) -> Found:
    """Parse image resources; damaged ones are dropped and named as lost."""
    kept: list[bytes] = []
    first: dict[int, bytes] = {}
    lost: dict[str, None] = {}
    try:
        for one in _resources(resources):
            if one.number in OF_THE_FILE:
                first.setdefault(one.number, one.data)
            elif one.number in OF_THE_SCAN:
                lost[f"Photoshop's resources: {OF_THE_SCAN[one.number]}"] = None
            else:
                kept.append(one.whole)
    except DamagedError as error:
        lost[f"Photoshop's resources from one on: {error}"] = None
    return Found(
        kept=b"".join(kept),
        iptc=first.get(IPTC, b""),
        exif=_as_exif(first.get(EXIF, b"")),
        xmp=first.get(XMP, b""),
        profile=first.get(PROFILE, b""),
        dpi=_dpi(first.get(RESOLUTION, b"")),
        lost=tuple(lost),
    )


def _as_exif(data: bytes) -> bytes:
    return data if not data or data.startswith(b"Exif\0\0") else b"Exif\0\0" + data


def _resources(data: bytes) -> Iterator[Resource]:
    """Split resources; some writers add padding after the last one.

    Raises:
        DamagedError: one is cut short, or there are too many.
    """
    at = 0
    for _ in range(MOST):
        if data[at : at + 4] not in SIGNATURES:
            return
        if at + 12 > len(data):
            raise DamagedError("a resource is cut short")
        number, name_length = struct.unpack_from(">HB", data, at + 4)
        body = at + 6 + name_length + 1 + (name_length + 1) % 2
        what = "the IPTC resource" if number == IPTC else named(number)
        if body + 4 > len(data):
            raise DamagedError(f"{what} is cut short")
        (length,) = struct.unpack_from(">I", data, body)
        end = body + 4 + length
        if end > len(data):
            raise DamagedError(f"{what} is cut short")
        whole = data[at:end] + bytes(length % 2)
        yield Resource(number, data[body + 4 : end], whole)
        at = end + length % 2
    raise DamagedError(f"there are more than {MOST:,}")


def named(number: int) -> str:
    """Describe a resource to people."""
    known = NAMES.get(number) or PLACES.get(number) or OF_THE_SCAN.get(number)
    return known or f"the resource 0x{number:04X}"


def names(kept: bytes) -> tuple[str, ...]:
    """Name the resources that `taken` kept, each kind once."""
    return tuple(dict.fromkeys(named(one.number) for one in _resources(kept)))


def without_places(kept: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Drop resources with coordinates, for a rotated image; return the rest, and the dropped names.

    Args:
        kept: as `taken` gives them.
    """
    rest, gone = [], []
    for one in _resources(kept):
        if one.number not in PLACES:
            rest.append(one.whole)
        elif one.number != 0x0408 or len(one.data) > NO_GUIDES:
            gone.append(PLACES[one.number])
    return b"".join(rest), tuple(dict.fromkeys(gone))


def with_digest(kept: bytes, before: bytes, after: bytes) -> bytes:
    """Update the digest of IPTC datasets that have changed, if it was valid.

    One that was not says that a program that knows no XMP has changed them, and still says so.

    Args:
        kept: as `taken` gives them.
        before: the datasets that the scan had.
        after: those that the result has.
    """
    parts = []
    for one in _resources(kept):
        if one.number == DIGEST and one.data == _digest(before):
            parts.append(_whole(DIGEST, _digest(after)))
        else:
            parts.append(one.whole)
    return b"".join(parts)


def _digest(iptc: bytes) -> bytes:
    return hashlib.md5(iptc, usedforsecurity=False).digest()


def wrapped(iptc: bytes, kept: bytes = b"") -> bytes:
    """Put IPTC datasets, as an unnamed resource, before other resources; b"" for none."""
    return (_whole(IPTC, iptc) if iptc else b"") + kept


def _whole(number: int, data: bytes) -> bytes:
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)


def _dpi(data: bytes) -> Resolution | None:
    """Read the resolution: dots per inch, whatever the display unit."""
    if len(data) < 16:
        return None
    across, _unit, _width_unit, down = struct.unpack_from(">IHHI", data)
    return (across / FIXED, down / FIXED) if across and down else None
