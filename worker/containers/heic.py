"""HEIC and HEIF, read only, with the extra `heif`: results are JPEG. Refuses HDR and bursts.

pi-heif decodes (libheif and libde265, LGPL). It turns the picture upright as the file says, so the
EXIF block's orientation does not count (ISO/IEC 23008-12 clause A.2.3).
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from worker import color, profiles
from worker.color import Pixels
from worker.containers import exif_tags
from worker.containers.picture import Coding, Metadata, Picture, check_size
from worker.containers.whole import scaled
from worker.errors import ScanError
from worker.settings import ReadSettings

try:
    import pi_heif
except ImportError:  # an extra
    pi_heif = None

MODES = {  # samples, opacity, bits
    "L": (1, False, 8),
    "LA": (1, True, 8),
    "RGB": (3, False, 8),
    "RGBA": (3, True, 8),
    "I;16": (1, False, 16),
    "I;16L": (1, False, 16),
    "LA;16": (1, True, 16),
    "RGB;16": (3, False, 16),
    "RGBA;16": (3, True, 16),
}
HDR = {16, 18}  # transfer characteristics: PQ and HLG (ITU-T H.273)
P3 = 12  # primaries of Display P3


def read(file: BinaryIO, settings: ReadSettings) -> list[Picture]:
    """Read a HEIC's header; its pixels are decoded whole when their one band is asked for.

    Args:
        file: open for reading, from its beginning; stays open while bands are read.
        settings: the limit.

    Raises:
        ScanError: with the reason, for what is refused; or the extra is not installed.
        OSError, ValueError, EOFError, SyntaxError, RuntimeError: damaged.
    """
    if pi_heif is None:
        raise ScanError(
            "HEIC is read with the extra heif: pip install 'photochrom[heif]', then retry"
        )
    opened = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
    if len(opened) != 1:
        raise ScanError(f"the HEIC holds {len(opened)} pictures; save each as a file of its own")
    (image,) = opened
    width, height = image.size
    check_size(width, height, settings)
    if image.mode not in MODES:
        raise ScanError(f"the HEIC's pixels are {image.mode}; photochrom reads gray and RGB")
    samples, alpha, bits = MODES[image.mode]
    depth = image.info["bit_depth"] if bits == 16 else 8

    def bands() -> Iterator[Pixels]:
        (again,) = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
        codes = np.asarray(again).reshape(height, width, samples + alpha)
        # What has more than 8 bits comes shifted up to 16, which leaves white below 65535.
        yield scaled(codes >> (bits - depth), 2**depth - 1)

    exif, iptc = exif_tags.without_iptc(image.info.get("exif") or b"")
    return [
        Picture(
            height=height,
            width=width,
            samples=samples,
            alpha=alpha,
            bands=bands,
            coding=Coding(bits=bits, lossless=False),
            metadata=Metadata(
                exif=exif,
                iptc=iptc,
                xmp=image.info.get("xmp") or b"",
                profile=_profile(image.info),
                dpi=exif_tags.resolution(exif),
            ),
        )
    ]


def _profile(info: dict[str, object]) -> bytes:
    if profile := info.get("icc_profile"):
        return bytes(profile)  # type: ignore[call-overload]
    named = info.get("nclx_profile")
    if not isinstance(named, dict):
        return b""
    if named.get("transfer_characteristics") in HDR:
        raise ScanError("the HEIC's light is HDR (PQ or HLG); export it as an ordinary picture")
    return profiles.output_profile(color.DISPLAY_P3) if named.get("color_primaries") == P3 else b""
