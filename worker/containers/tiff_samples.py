"""A TIFF's samples to codes: white high, gray or RGB, opacity apart; and which TIFFs are read.

Source: TIFF 6.0 (photometric interpretations, extra samples), Adobe's TIFF technical notes
(floating point).
"""

from enum import IntEnum

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, SAMPLEFORMAT, TiffPage

from worker import profiles
from worker.color import Pixels
from worker.containers.picture import Compression
from worker.containers.whole import scaled
from worker.errors import ScanError

# How a result is stored whose scan is stored so; what writes only black and white cannot be kept.
COMPRESSIONS: dict[int, Compression] = {
    COMPRESSION.NONE: "none",
    COMPRESSION.CCITTRLE: "deflate",
    COMPRESSION.CCITT_T4: "deflate",
    COMPRESSION.CCITT_T6: "deflate",
    COMPRESSION.LZW: "lzw",
    COMPRESSION.OJPEG: "jpeg",
    COMPRESSION.JPEG: "jpeg",
    COMPRESSION.ADOBE_DEFLATE: "deflate",
    COMPRESSION.DEFLATE: "deflate",
    COMPRESSION.PACKBITS: "packbits",
    COMPRESSION.LZMA: "deflate",
    COMPRESSION.ZSTD: "zstd",
    COMPRESSION.JPEG2000: "deflate",
    COMPRESSION.APERIO_JP2000_RGB: "deflate",
    COMPRESSION.WEBP: "deflate",
}
LOSSY = {
    COMPRESSION.OJPEG,
    COMPRESSION.JPEG,
    COMPRESSION.JPEG2000,  # may be without loss; nothing depends on it
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.WEBP,
}
# Samples of a color, by photometric interpretation.
COLORS = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
}
GRAYS = {PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK}
MOST_SAMPLES = 16  # of a pixel
TOLERANCE = 1e-6  # by which floating point may miss 0..1


def check(page: TiffPage) -> None:
    """Refuse a page that is no photograph as this program knows them.

    Raises:
        ScanError: in words.
    """
    if page.compression not in COMPRESSIONS:
        raise ScanError(
            f"the TIFF's compression is {_name(COMPRESSION, page.compression)}, which photochrom "
            "does not read; save it with Deflate or LZW"
        )
    if page.photometric not in COLORS or (
        # The decoder makes RGB of it; without JPEG, its colors are of lower resolution.
        page.photometric == PHOTOMETRIC.YCBCR
        and page.compression not in {COMPRESSION.JPEG, COMPRESSION.OJPEG}
    ):
        raise ScanError(
            f"the TIFF's color model is {_name(PHOTOMETRIC, page.photometric)}; "
            "convert it to gray or RGB"
        )
    plain = {COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6, COMPRESSION.OJPEG}
    if 262 not in page.tags and page.compression not in plain:
        raise ScanError("the TIFF does not say whether its zeros are black or white")
    bits, kind = page.bitspersample, page.sampleformat
    whole = kind in {SAMPLEFORMAT.UINT, SAMPLEFORMAT.VOID} and bits in {1, 2, 4, 8, 16}
    real = kind == SAMPLEFORMAT.IEEEFP and bits == 32 and page.photometric in GRAYS
    if not whole and not real:
        raise ScanError(
            f"the TIFF's samples are {_name(SAMPLEFORMAT, kind)} of {bits} bits; photochrom reads "
            "unsigned whole numbers of 1, 2, 4, 8 and 16 bits, and gray in floating point of 32"
        )
    _check_samples(page)


def _check_samples(page: TiffPage) -> None:
    bits = page.bitspersample
    needed = COLORS[PHOTOMETRIC(page.photometric)]
    if not needed <= page.samplesperpixel <= MOST_SAMPLES:
        raise ScanError(
            f"the TIFF has {page.samplesperpixel} samples in each pixel; "
            f"{_name(PHOTOMETRIC, page.photometric)} has {needed}, and a few beside them"
        )
    if page.compression in LOSSY and bits != 8 and not (bits == 16 and page.compression > 7):
        raise ScanError(f"the TIFF has JPEG of {bits} bits, which photochrom does not read")
    if page.photometric == PHOTOMETRIC.PALETTE and (
        bits > 8 or page.colormap is None or page.colormap.shape != (3, 1 << bits)
    ):
        raise ScanError(f"the TIFF's palette is missing or not one of {bits} bits")
    if page.imagedepth != 1:
        raise ScanError(f"the TIFF is a body of {page.imagedepth} slices, not a photograph")
    ink_set = page.tags.valueof(332, 1)
    if page.photometric == PHOTOMETRIC.SEPARATED and (ink_set != 1 or bits not in {8, 16}):
        raise ScanError("the TIFF has other inks than CMYK of 8 or 16 bits; convert it to gray")


def _name(names: type[IntEnum], number: int) -> str:
    return next((name.name for name in names if name == number), f"number {number}")


def colors(page: TiffPage) -> int:
    """Return the samples of a color as `codes` gives it: 1 for gray, 3 for RGB."""
    return 1 if page.photometric in GRAYS else 3


def alpha_sample(page: TiffPage) -> int | None:
    """Return which sample is the opacity; None if there is none."""
    first = COLORS[PHOTOMETRIC(page.photometric)]
    extra = page.extrasamples[: page.samplesperpixel - first]
    opacity = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
    return next((first + i for i, meaning in enumerate(extra) if meaning in opacity), None)


def depth(page: TiffPage) -> int:
    """Return the bits of a code as `codes` gives it: 8 or 16."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        return 8 * _palette(page).itemsize
    return 8 if page.bitspersample <= 8 else 16


def codes(page: TiffPage, stored: Pixels, profile: bytes | None) -> Pixels:
    """Turn samples as stored into codes.

    Args:
        page: checked.
        stored: (n, W, all samples), uint8, uint16 or float32; 1 to 4 bits each in a uint8.
        profile: of CMYK, if that is what they are.

    Returns:
        (n, W, 1 or 3) uint8 or uint16, white high; with opacity one sample more, the others not
        multiplied by it.

    Raises:
        ScanError: floating point beyond 0..1.
    """
    color = stored[..., : COLORS[PHOTOMETRIC(page.photometric)]]
    at = alpha_sample(page)
    alpha = None if at is None else _stretched(page, stored[..., at : at + 1])
    if page.photometric == PHOTOMETRIC.PALETTE:
        color = _palette(page)[color[..., 0]]
        return color if alpha is None else np.concatenate([color, _of_type(alpha, color)], axis=-1)
    color = _stretched(page, color)
    if at is not None and alpha is not None and _is_premultiplied(page, at):
        color = _divided(color, alpha)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        color = ~color
    if page.photometric == PHOTOMETRIC.SEPARATED:
        color = profiles.cmyk_to_srgb(color, profile)
    return color if alpha is None else np.concatenate([color, _of_type(alpha, color)], axis=-1)


def _stretched(page: TiffPage, stored: Pixels) -> Pixels:
    """Stretch samples to all of 8 or 16 bits."""
    if stored.dtype.kind == "f":
        return _whole(stored)
    bits = int(page.bitspersample)
    if bits == 1:  # whatever a decoder gives for a set bit
        return np.asarray((stored != 0) * np.uint8(255))
    return stored if bits >= 8 else scaled(stored, (1 << bits) - 1)


def _whole(stored: Pixels) -> Pixels:
    """Round floating point in 0..1 to 16-bit codes."""
    low, high = float(stored.min()), float(stored.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # not-a-number fails both
        raise ScanError(
            f"the TIFF's floating point samples reach from {low:g} to {high:g}; photochrom reads "
            "0 (black) to 1 (white): scale them before dropping the file in"
        )
    return np.asarray(np.rint(np.clip(stored, 0, 1) * np.float32(65535)).astype(np.uint16))


def _is_premultiplied(page: TiffPage, at: int) -> bool:
    first = COLORS[PHOTOMETRIC(page.photometric)]
    return bool(page.extrasamples[at - first] == EXTRASAMPLE.ASSOCALPHA)


def _divided(color: Pixels, alpha: Pixels) -> Pixels:
    """Undo the multiplication of color by opacity; nothing is black."""
    top = np.iinfo(color.dtype).max
    opacity = np.maximum(alpha.astype(np.uint32), 1)
    plain = (color.astype(np.uint32) * top + opacity // 2) // opacity
    return np.minimum(plain, top).astype(color.dtype)


def _palette(page: TiffPage) -> Pixels:
    """Return the palette (colors, 3): 8 bits where that says all, as nearly always, else 16."""
    table = np.asarray(page.colormap).T.astype(np.uint16)
    if table.max(initial=0) < 256:  # written by programs that took the field for one of 8 bits
        return table.astype(np.uint8)
    if (table % 257 == 0).all() or (table % 256 == 0).all():
        return (table >> 8).astype(np.uint8)
    return table


def _of_type(alpha: Pixels, color: Pixels) -> Pixels:
    """Give opacity in the type of the colors beside it."""
    if alpha.dtype == color.dtype:
        return alpha
    if color.dtype == np.uint16:
        return np.asarray(alpha.astype(np.uint16) * np.uint16(257))
    return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
