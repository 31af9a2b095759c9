"""The image formats: names, signatures, what files can hold, and the code that handles them.

To add a format, write a module with `read` (and `write`, if results may have it) and add a row to
FORMATS. Importing this module loads none of that code, so the service can ask it about names.
"""

import importlib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from worker.metadata.block import Texts
from worker.settings import ReadSettings

if TYPE_CHECKING:
    from worker.color.cielab import Pixels
    from worker.formats.image import DecodedImage, Encoding, OutputPage

SAME = "same"  # as output.format: the scan's own format
FLOAT_BITS = 32
HEAD = 32  # bytes in which every signature lies


def _never(_scan: "Encoding") -> bool:
    return False


def _always(_scan: "Encoding") -> bool:
    return True


def _as_the_scan(scan: "Encoding") -> bool:
    return not scan.lossless


def _if_jpeg(scan: "Encoding") -> bool:
    return scan.compression == "jpeg"


@dataclass(frozen=True)
class ImageFormat:
    r"""One image format.

    Attributes:
        name: in settings and sidecars.
        title: for people.
        signature: regular expression (`.` matches any byte) that a file's first 32 bytes match.
        suffixes: that scans and results may have, lower case; the first is appended to the name of
            a result whose scan has another format.
        scan_suffixes: that only scans may have.
        reader: `module:function`, called with the open file and ReadSettings; "" if photochrom
            only recognizes the format, to name it in a message.
        writer: `module:function`, called with an empty seekable file and OutputPages; "" if
            results cannot have the format.
        rereader: `module:function`, decodes what the writer wrote sooner than the reader; "" if
            nothing does.
        written_as: name of the format that results take instead where there is no writer.
        selectable: whether output.format accepts it.
        mime: its media type.
        lossy: tells from the scan's encoding whether a result loses samples.
        most_bits: of a sample of a result.
        floating: whether results of floating-point scans are floating-point too.
        texts: which texts it holds besides EXIF, IPTC and XMP.
        photoshop: whether it holds Photoshop's image resources.
        signable: whether it holds content credentials.
    """

    name: str
    title: str
    signature: bytes
    suffixes: tuple[str, ...] = ()
    scan_suffixes: tuple[str, ...] = ()
    reader: str = ""
    writer: str = ""
    rereader: str = ""
    written_as: str = ""
    selectable: bool = False
    mime: str = "application/octet-stream"
    lossy: "Callable[[Encoding], bool]" = _never
    most_bits: int = 16
    floating: bool = False
    texts: Texts = "none"
    photoshop: bool = False
    signable: bool = False

    def read(self, file: BinaryIO, settings: ReadSettings) -> "list[DecodedImage]":
        """Read a file's headers and metadata; pixels are decoded when `bands` are asked for.

        Args:
            file: open for reading, from its beginning; must stay open while bands are read.
            settings: the limits.

        Raises:
            ScanError: the file is refused; says why.
            IncompleteError: it is damaged or cut short, or anything of `DECODER_ERRORS`.
        """
        return _function(self.reader)(file, settings)

    def write(self, file: BinaryIO, pages: "Sequence[OutputPage]") -> None:
        """Write a file.

        Raises:
            ScanError: the format cannot hold these pages.
            OSError: the disk fails.
        """
        _function(self.writer)(file, pages)

    def reread(self, file: BinaryIO) -> "list[Iterable[Pixels]]":
        """Decode what `write` wrote: the bands of each page.

        Raises:
            IncompleteError: it is not whole, or anything of `DECODER_ERRORS`.
        """
        file.seek(0)
        if self.rereader:
            return [[_function(self.rereader)(file)]]
        return [image.bands() for image in self.read(file, ReadSettings(megapixels=math.inf))]

    def matches(self, head: bytes) -> bool:
        """Tell whether a file begins as this format's files do."""
        return re.match(self.signature, head, re.DOTALL) is not None

    def bits(self, depth: int, scan: "Encoding") -> int:
        """Return the bits of a sample of a result, whose pixels have 8 or 16."""
        return FLOAT_BITS if self.floating and scan.floating else min(depth, self.most_bits)


FORMATS: dict[str, ImageFormat] = {}  # by name
BY_SUFFIX: dict[str, ImageFormat] = {}  # the readable ones


def register(one: ImageFormat) -> None:
    """Add a format.

    Raises:
        ValueError: its name or one of its suffixes is taken.
    """
    suffixes = one.suffixes + one.scan_suffixes
    if one.name in FORMATS or not BY_SUFFIX.keys().isdisjoint(suffixes):
        message = f"the name or a suffix of the format {one.name} is taken"
        raise ValueError(message)
    FORMATS[one.name] = one
    BY_SUFFIX.update(dict.fromkeys(suffixes, one))


def load_code() -> None:
    """Import every reader and writer, so that an upgrade does not mix versions in a process."""
    for one in FORMATS.values():
        for place in filter(None, (one.reader, one.writer, one.rereader)):
            _function(place)


def format_of(name: PurePath) -> ImageFormat | None:
    """Return the format that a file's suffix names; None if photochrom reads no such files."""
    return BY_SUFFIX.get(name.suffix.lower())


def recognized(head: bytes) -> ImageFormat | None:
    """Return the format that a file's first bytes show, readable or not; None if unknown."""
    return next((one for one in FORMATS.values() if one.matches(head)), None)


def result_format(scan: ImageFormat, output_format: str) -> ImageFormat:
    """Return the format of a scan's result.

    Args:
        scan: the scan's format.
        output_format: one of `output_formats`; "same" keeps the scan's where that can be written.
    """
    return FORMATS[(scan.written_as or scan.name) if output_format == SAME else output_format]


def output_formats() -> tuple[str, ...]:
    """Return the values that output.format accepts."""
    return (SAME, *(one.name for one in FORMATS.values() if one.selectable))


def _function(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


for _row in (
    ImageFormat(
        name="tiff",
        title="TIFF",
        signature=rb"II[*+]\0|MM\0[*+]",
        suffixes=(".tif", ".tiff", ".btf", ".tf8"),  # the last two: BigTIFF
        reader="worker.formats.tiff.reader:read",
        writer="worker.formats.tiff.writer:write",
        selectable=True,
        mime="image/tiff",
        lossy=_if_jpeg,
        floating=True,
        photoshop=True,
        signable=True,
    ),
    ImageFormat(
        name="png",
        title="PNG",
        signature=rb"\x89PNG\r\n\x1a\n",
        suffixes=(".png",),
        reader="worker.formats.png:read",
        writer="worker.formats.png_writer:write",
        selectable=True,
        mime="image/png",
        texts="all",
        photoshop=True,
        signable=True,
    ),
    ImageFormat(
        name="jpeg",
        title="JPEG",
        signature=rb"\xff\xd8\xff",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif"),
        scan_suffixes=(".mpo",),  # several JPEGs (CIPA DC-007), the first is the photograph
        reader="worker.formats.jpeg:read",
        writer="worker.formats.jpeg:write",
        rereader="worker.formats.jpeg:reread",
        selectable=True,
        mime="image/jpeg",
        lossy=_always,
        most_bits=8,
        texts="comments",
        photoshop=True,
        signable=True,
    ),
    ImageFormat(
        name="webp",
        title="WebP",
        signature=rb".{8}WEBP",
        suffixes=(".webp",),
        reader="worker.formats.webp:read",
        writer="worker.formats.webp:write",
        mime="image/webp",
        lossy=_as_the_scan,
        most_bits=8,
        signable=True,
    ),
    ImageFormat(
        name="jp2",
        title="JPEG 2000",
        signature=rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        suffixes=(".jp2", ".jpf", ".jpx"),
        scan_suffixes=(".j2k",),  # without the boxes that hold the label
        reader="worker.formats.jpeg2000:read",
        writer="worker.formats.jpeg2000:write",
        mime="image/jp2",
        lossy=_as_the_scan,
        photoshop=True,
    ),
    ImageFormat(
        name="jxl",
        title="JPEG XL",
        signature=rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a",
        scan_suffixes=(".jxl",),
        reader="worker.formats.jpegxl:read",
        written_as="png",
        mime="image/jxl",
    ),
    ImageFormat(
        name="heic",
        title="HEIC",
        signature=rb".{4}ftyp(heic|heix|mif1|msf1|heim)",
        scan_suffixes=(".heic", ".heif"),
        reader="worker.formats.heic:read",
        written_as="jpeg",
        mime="image/heic",
    ),
    ImageFormat(
        name="bmp",
        title="BMP",
        signature=rb"BM",
        scan_suffixes=(".bmp",),
        reader="worker.formats.bmp_pnm:read_bmp",
        written_as="png",
        mime="image/bmp",
    ),
    ImageFormat(
        name="pnm",
        title="PBM, PGM or PPM",
        signature=rb"P[1-6]",
        scan_suffixes=(".pbm", ".pgm", ".ppm", ".pnm"),
        reader="worker.formats.bmp_pnm:read_pnm",
        written_as="png",
        mime="image/x-portable-anymap",
    ),
    ImageFormat(name="avif", title="AVIF", signature=rb".{4}ftypavif"),
    ImageFormat(name="gif", title="GIF", signature=rb"GIF8"),
    ImageFormat(name="pdf", title="PDF", signature=rb"%PDF"),
):
    register(_row)
