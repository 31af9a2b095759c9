"""Reads a TIFF page's metadata. `lost` names what cannot be read.

Sources: TIFF 6.0; Exif 3.0 section 4.6; XMP part 3 (tags 700, 33723, 34377, 34675).
"""

import struct
from typing import BinaryIO, NamedTuple

from tifffile import TIFF

from worker.errors import ScanError, plain
from worker.formats.tiff import directory
from worker.metadata import exif, ifd, photoshop
from worker.metadata.block import Metadata, Resolution
from worker.metadata.ifd import Field, Form

XMP, IPTC, PHOTOSHOP, PROFILE = 700, 33723, 34377, 34675
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
INCHES = {2: 1.0, 3: 2.54}  # dots for each unit to dots for each inch
# DocumentName, ImageDescription, Make, Model, PageName, XPosition, YPosition, PageNumber, Software,
# DateTime, Artist, HostComputer, Copyright, Rating, RatingPercent, XPTitle to XPSubject.
DESCRIPTIVE = {269, 270, 271, 272, 285, 286, 287, 297, 305, 306, 315, 316, 33432, 18246, 18249}
DESCRIPTIVE |= set(range(40091, 40096))
# Says how pixels are stored, which a result says of its own.
STRUCTURAL = {*range(254, 267), 273, 274, *range(277, 285), *range(288, 294), 296}
STRUCTURAL |= {301, *range(317, 349), 351, *range(512, 522), *range(529, 533), 559, 32996, 32997}
STRUCTURAL |= {32998, 34232, 34016, 37439, 42112, 42113, 50674, 65000}
NOT_HONORED = {
    291: "the gray response curve (tag 291)",
    301: "the transfer function (tag 301)",
    318: "the white point (tag 318)",
    319: "the primary chromaticities (tag 319)",
}
USUAL = {318: (0.3127, 0.3290), 319: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)}  # of sRGB
NEAR = 0.002
# So does a description that tifffile or ImageJ wrote; they would believe it of the result.
DESCRIPTION = 270
STRUCTURAL_DESCRIPTIONS = (b'{"shape": ', b"ImageJ=")
LARGEST_IPTC = 1 << 22  # bytes
LARGEST = 1 << 26  # bytes of one value; a profile with large tables has some megabytes


class _Reader(NamedTuple):
    file: BinaryIO
    form: Form
    lost: list[str]

    def value(self, fields: dict[int, Field], tag: int, what: str, most: int = LARGEST) -> bytes:
        """Return a field's bytes, b"" if there is none; name it as lost if unreadable."""
        if tag not in fields:
            return b""
        try:
            return directory.value(self.file, fields[tag], most)
        except (ValueError, OverflowError) as error:
            self.lost.append(f"{what}, which cannot be read ({plain(error)})")
            return b""

    def values(self, fields: dict[int, Field], where: str) -> ifd.Directory:
        """Return the values of fields, without those of types that EXIF lacks."""
        found: ifd.Directory = {}
        held = 0
        for tag, field in fields.items():
            held += field.size  # many tags may share their bytes, and would be a bomb
            if field.kind not in ifd.SIZES:
                self.lost.append(f"tag {tag} of {where}, whose type {field.kind} is unknown")
            elif held > LARGEST:
                self.lost.append(f"tag {tag} of {where}, which says too much")
            elif data := self.value(fields, tag, f"tag {tag} of {where}"):
                found[tag] = ifd.Value(field.kind, data)
        return found

    def below(self, fields: dict[int, Field], pointer: int, where: str) -> dict[int, Field]:
        """Return the fields of a directory that another one points to."""
        at = directory.whole_number(self.file, fields.pop(pointer, None), self.form)
        if not at:
            return {}
        try:
            return directory.read(self.file, at, self.form)[0]
        except (ScanError, OverflowError):
            self.lost.append(f"{where}, which cannot be read")
            return {}


def read(file: BinaryIO, form: Form, fields: dict[int, Field]) -> Metadata:
    """Read a page's metadata.

    Args:
        file: the TIFF.
        form: of the TIFF.
        fields: of its directory.
    """
    reader = _Reader(file, form, [])
    block = _exif(reader, fields)
    resources = photoshop.taken(reader.value(fields, PHOTOSHOP, "Photoshop's image resources"))
    iptc = _iptc(reader, fields)
    xmp = reader.value(fields, XMP, "the XMP packet").rstrip(b"\0")
    reader.lost.extend((*resources.lost, *resources.unused(iptc, block, xmp)))
    iptc = iptc or resources.iptc
    known = DESCRIPTIVE | STRUCTURAL | {XMP, IPTC, PHOTOSHOP, PROFILE}
    known |= {exif.EXIF_POINTER, exif.GPS_POINTER}
    other = [TIFF.TAGS.get(tag, f"{tag}") for tag in fields if tag not in known]
    if PROFILE not in fields:  # a profile says the same, and better
        reader.lost.extend(
            f"{name}, which is not honored"
            for tag, name in NOT_HONORED.items()
            if tag in fields and not _is_usual(reader, fields[tag], tag)
        )
    if other:
        more = f" and {len(other) - 10} more" if len(other) > 10 else ""
        reader.lost.append(f"what the TIFF says in its tags {', '.join(other[:10])}{more}")
    return Metadata(
        exif=block or resources.exif,
        iptc=iptc[: _end_of_datasets(iptc)],
        xmp=xmp or resources.xmp,
        profile=reader.value(fields, PROFILE, "the color profile") or resources.profile,
        dpi=_resolution(file, form, fields) or resources.dpi,
        metric=directory.whole_number(file, fields.get(RESOLUTION_UNIT), form) == 3,
        lost=tuple(reader.lost),
        photoshop=resources.kept,
    )


def _exif(reader: _Reader, fields: dict[int, Field]) -> bytes:
    r"""Join the descriptive tags and the EXIF directories into one block; b"" if there are none."""
    tops = {tag: field for tag, field in fields.items() if tag in DESCRIPTIVE}
    pointers = {t: fields[t] for t in (exif.EXIF_POINTER, exif.GPS_POINTER) if t in fields}
    photo = reader.below(pointers, exif.EXIF_POINTER, "the EXIF directory")
    place = reader.below(pointers, exif.GPS_POINTER, "the GPS directory")
    interop = reader.below(photo, exif.INTEROP_POINTER, "the EXIF interoperability directory")
    main = reader.values(tops, "the TIFF")
    if DESCRIPTION in main and main[DESCRIPTION].data.startswith(STRUCTURAL_DESCRIPTIONS):
        del main[DESCRIPTION]
    block = exif.Block(
        order=reader.form.order,
        main=main,
        exif=reader.values(photo, "EXIF"),
        gps=reader.values(place, "GPS"),
        interop=reader.values(interop, "EXIF interoperability"),
    )
    return exif.write(block) if block.main or block.exif or block.gps or block.interop else b""


def _iptc(reader: _Reader, fields: dict[int, Field]) -> bytes:
    """Return the IPTC datasets, possibly with padding."""
    data = reader.value(fields, IPTC, "the IPTC data", LARGEST_IPTC)
    # Some type it LONG, and then swap its bytes.
    if data[:1] != b"\x1c" and data[3:4] == b"\x1c" and len(data) % 4 == 0:
        data = ifd.reordered(data, ifd.LONG, "<", ">")
    return data


def _end_of_datasets(iptc: bytes) -> int:
    """Find where the datasets end and padding begins (IPTC-IIM 4.2 section 1.5)."""
    at = 0
    while iptc[at : at + 1] == b"\x1c" and at + 5 <= len(iptc):
        (length,) = struct.unpack_from(">H", iptc, at + 3)
        at += 5
        if length & 0x8000:  # an extended dataset: so many bytes hold the length
            bytes_of_length = length & 0x7FFF
            length = int.from_bytes(iptc[at : at + bytes_of_length])
            at += bytes_of_length
        at += length
    return min(at, len(iptc))


def _resolution(file: BinaryIO, form: Form, fields: dict[int, Field]) -> Resolution | None:
    unit = directory.whole_number(file, fields.get(RESOLUTION_UNIT), form) or 2
    sides = [_rational(file, form, fields.get(tag)) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    if unit not in INCHES or not all(sides):
        return None
    return sides[0] * INCHES[unit], sides[1] * INCHES[unit]


def _is_usual(reader: _Reader, field: Field, tag: int) -> bool:
    """Tell whether a white point or primaries are those of sRGB, the default."""
    usual = USUAL.get(tag, ())
    if field.kind != ifd.RATIONAL or not 0 < field.values == len(usual):
        return False
    places = (field._replace(values=1, at=field.at + 8 * n) for n in range(len(usual)))
    said = [_rational(reader.file, reader.form, place) for place in places]
    return all(abs(a - b) <= NEAR for a, b in zip(said, usual, strict=True))


def _rational(file: BinaryIO, form: Form, field: Field | None) -> float:
    if field is None or field.kind != ifd.RATIONAL or field.values < 1:
        return 0.0
    directory.seek(file, field.at)
    above, below = struct.unpack(f"{form.order}II", file.read(8).ljust(8, b"\0"))
    return float(above / below) if below else 0.0
