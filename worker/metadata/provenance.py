"""Provenance values, for the label in the file and for the sidecar."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Origin:
    """Where a result comes from, known before it is written.

    Attributes:
        name: the scan's file name, as text.
        sha256: of the scan's file, hexadecimal.
        model: version of the generator.
        weights_sha256: of the generator's file, hexadecimal.
        software: name and version of this program.
        event: UUID of this coloring.
        when: it took place; UTC, whole seconds.
        said: what a person said of its colors, in words; "" for nothing.
    """

    name: str
    sha256: str
    model: str
    weights_sha256: str
    software: str
    event: str
    when: datetime
    said: str = ""


@dataclass(frozen=True)
class ReplacedColor:
    """A region of a page whose own color was replaced.

    Attributes:
        x: its left edge in the upright page, in pixels.
        y: its upper edge.
        width: of the box around it, in pixels.
        height: of that box.
        share: of the page's area that it covers; 0 to 1.
        chroma: its mean chroma beside the print's own tone, CIE units.
    """

    x: int
    y: int
    width: int
    height: int
    share: float
    chroma: float


@dataclass(frozen=True)
class XmpFile:
    """An XMP file beside a scan, as written by programs that do not modify the scan.

    Attributes:
        name: its file name, as text.
        content: b"" where it could not be read.
        sha256: of the file, hexadecimal; "" where it could not be read.
        size: of the file, in bytes.
        fault: why it could not be read, in plain words; or "".
    """

    name: str
    content: bytes = b""
    sha256: str = ""
    size: int = 0
    fault: str = ""


@dataclass(frozen=True)
class PageRecord:
    """What became of one page.

    Attributes:
        width: columns of the result.
        height: rows of the result.
        scan_bits: of each sample of the scan: 1 to 32.
        bits: of each sample of the result.
        scan_profile: name of the scan's color profile, or "" if it had none (sRGB was taken).
        profile: name of the result's color profile.
        scan_pixels_sha256: of the scan's decoded samples, rows from the top as stored,
            little-endian.
        pixels_sha256: of the result's decoded samples, likewise.
        replaced_color: where the scan had color of its own, which the result does not have.
    """

    width: int
    height: int
    scan_bits: int
    bits: int
    scan_profile: str
    profile: str
    scan_pixels_sha256: str
    pixels_sha256: str
    replaced_color: tuple[ReplacedColor, ...] = ()


@dataclass(frozen=True)
class Record:
    """What was written, for the sidecar.

    Attributes:
        kind: container of the result.
        pages: one for each page, in order.
        settings: how it was colored and written, by name.
        digital_source_type: IPTC's URI of how the image came to be.
        lost: what of the scan's metadata stayed behind, in plain words.
        xmp_files: those beside the scan, those that count more last.
    """

    kind: str
    pages: tuple[PageRecord, ...]
    settings: dict[str, str | int | float | bool]
    digital_source_type: str
    lost: tuple[str, ...] = field(default=())
    xmp_files: tuple[XmpFile, ...] = ()
