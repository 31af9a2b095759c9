"""Values that image formats read and write: decoded images and output pages.

Pixels travel in bands of rows, so that no format needs a full-size copy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from worker.color.cielab import Pixels
from worker.errors import IncompleteError, ScanError
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

Compression = Literal["none", "deflate", "lzw", "packbits", "zstd", "jpeg"]  # of a TIFF
Bands = Callable[[], Iterator[Pixels]]  # from the top; (n, W, samples) each, n as it comes


@dataclass(frozen=True)
class Encoding:
    """How a page is stored, as far as its result follows it.

    Attributes:
        bits: of each sample, as stored: 1 to 64.
        lossless: whether the file kept every pixel.
        compression: of a TIFF page; other formats have one way only.
        floating: whether samples are floating point; the result's then are, of 32 bits.
        big_endian: byte order of a TIFF.
        big_tiff: whether a TIFF has 64-bit offsets.
    """

    bits: int = 8
    lossless: bool = True
    compression: Compression = "deflate"
    floating: bool = False
    big_endian: bool = False
    big_tiff: bool = False


@dataclass(frozen=True)
class DecodedImage:
    """One page as stored in its file: not rotated, in its own color profile.

    Attributes:
        height: rows as stored.
        width: columns as stored.
        samples: 1 for gray, 3 for RGB.
        alpha: whether each pixel has one sample more, its opacity, which is not premultiplied.
        bands: yields the rows from the top, uint8 or uint16, white high; may be called again.
        orientation: 1 to 8, as EXIF has it.
        encoding: how it is stored.
        metadata: what travels with it.
        reduced: decodes it at 1/2, 1/4 or 1/8 of its sides, rounded up, from that denominator to
            one band; None if its format takes as long as for all of it.
    """

    height: int
    width: int
    samples: int
    alpha: bool
    bands: Bands
    orientation: int = 1
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    reduced: Callable[[int], Pixels] | None = None


@dataclass(frozen=True)
class OutputPage:
    """One colored page to write: upright, with the result's metadata.

    Attributes:
        height: rows.
        width: columns.
        depth: bits of each sample that `strips` yields, 8 or 16.
        alpha: whether each pixel has a fourth sample, its opacity.
        strips: yields the rows from the top, (n, W, 3 or 4) uint8 or uint16; called once.
        encoding: how the scan was stored.
        metadata: to write; the profile is the result's.
    """

    height: int
    width: int
    depth: int
    alpha: bool
    strips: Bands
    encoding: Encoding
    metadata: Metadata


def check_size(width: int, height: int, settings: ReadSettings, others: int = 0) -> None:
    """Refuse an empty or too large image before it is decoded.

    Args:
        width: columns.
        height: rows.
        settings: the limit.
        others: pixels of the preceding pages in the file.

    Raises:
        IncompleteError: it has no pixels, as while its header is being written.
        ScanError: it exceeds limits.megapixels.
    """
    if width < 1 or height < 1:
        raise IncompleteError(f"the image has no pixels ({width} x {height})")
    if width * height + others > settings.megapixels * 1e6:
        total = (width * height + others) / 1e6
        pages = " with the pages before it" if others else ""
        raise ScanError(
            f"the image is {width} x {height}{pages} = {total:.0f} megapixels; "
            f"limits.megapixels allows {settings.megapixels:g}"
        )
