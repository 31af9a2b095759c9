"""What travels with a photograph beside its pixels: one value that every format gives and takes."""

from dataclasses import dataclass
from typing import Literal

Resolution = tuple[float, float]  # dots per inch, horizontal and vertical
CENTIMETERS = 2.54  # in an inch
Texts = Literal["none", "comments", "all"]  # which of them a format can hold


@dataclass(frozen=True)
class Metadata:
    r"""What travels with a photograph beside its pixels; empty where a file has none.

    Attributes:
        exif: the EXIF block: `Exif\0\0` and a TIFF structure, whose first directory also holds
            what a TIFF says in its own (artist, copyright, dates, document and page name).
        iptc: IPTC-IIM datasets, without Photoshop's wrapping.
        xmp: the XMP packet.
        profile: the ICC profile.
        dpi: resolution, if the file states one.
        lost: what could not be read and stays behind, in plain words.
        metric: whether the resolution is stated per centimeter, as the result then does.
        photoshop: Photoshop's image resources beside IPTC, as far as a result can carry them.
        texts: keyword and text of comments and the like, in UTF-8 where that is known.
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
