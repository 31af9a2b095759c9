"""The metadata of a photograph, as every format reads and writes it."""

from dataclasses import dataclass
from typing import Literal

Resolution = tuple[float, float]  # dots per inch, horizontal and vertical
CENTIMETERS = 2.54  # in an inch
Texts = Literal["none", "comments", "all"]  # which of them a format can hold


@dataclass(frozen=True)
class Metadata:
    r"""A photograph's metadata; fields are empty where a file has none.

    Attributes:
        exif: the EXIF block: `Exif\0\0` and a TIFF structure, whose first directory also holds a
            TIFF's own tags (artist, copyright, dates, document and page name).
        iptc: IPTC-IIM datasets, without Photoshop's wrapping.
        xmp: the XMP packet.
        profile: the ICC profile.
        dpi: resolution, if the file states one.
        lost: what could not be read or carried over, in plain words.
        metric: whether the resolution is stated per centimeter, also in the result.
        photoshop: Photoshop's image resources other than IPTC that a result can carry.
        texts: keyword and text of comments and the like, UTF-8 if known.
    """

    exif: bytes = b""
    iptc: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    dpi: Resolution | None = None
    lost: tuple[str, ...] = ()
    metric: bool = False
    photoshop: bytes = b""
    texts: tuple[tuple[str, bytes], ...] = ()
