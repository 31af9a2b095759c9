"""Converts a TIFF's samples to codes (white high, gray or RGB, separate opacity).

Refuses unsupported TIFFs. Rounds deeper samples to 16 bits, and names that in `lost`.
Source: TIFF 6.0 (photometric interpretations, extra samples), Adobe's TIFF technical notes
(floating point).
"""

from enum import IntEnum

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, SAMPLEFORMAT, TiffPage

from worker.color import icc
from worker.color.cielab import Pixels
from worker.errors import ScanError
from worker.formats.full_image import scaled
from worker.formats.image import Compression
from worker.formats.tiff import color_models
from worker.formats.tiff.color_models import LABS
from worker.formats.tiff.sample_range import Span

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
PREDICTORS = {1, 2, 3}  # none, horizontal differences, those of floating point
LOSSY_BITS: dict[int, set[int]] = {COMPRESSION.JPEG: {8, 12}, COMPRESSION.OJPEG: {8}}
# Samples of a color, by photometric interpretation.
COLORS = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
    PHOTOMETRIC.CIELAB: 3,
    PHOTOMETRIC.ICCLAB: 3,
}
WORDS: dict[int, str] = {  # for color models that have no name but their own
    PHOTOMETRIC.CFA: "CFA: a camera's raw data, which must be developed first",
    PHOTOMETRIC.LINEAR_RAW: "LinearRaw: a camera's or scanner's raw data, developed first",
}
NAMES: dict[int, str] = {  # in the words of TIFF 6.0
    PHOTOMETRIC.MINISWHITE: "gray",
    PHOTOMETRIC.MINISBLACK: "gray",
    PHOTOMETRIC.RGB: "RGB",
    PHOTOMETRIC.PALETTE: "a palette",
    PHOTOMETRIC.SEPARATED: "CMYK",
    PHOTOMETRIC.YCBCR: "YCbCr",
    PHOTOMETRIC.CIELAB: "CIELab",
    PHOTOMETRIC.ICCLAB: "ICCLab",
    PHOTOMETRIC.ITULAB: "ITULab",
} | WORDS
FORMATS: dict[int, str] = {
    SAMPLEFORMAT.UINT: "unsigned whole numbers",
    SAMPLEFORMAT.INT: "signed whole numbers",
    SAMPLEFORMAT.IEEEFP: "floating point",
    SAMPLEFORMAT.VOID: "of no stated format",
    SAMPLEFORMAT.COMPLEXINT: "complex whole numbers",
    SAMPLEFORMAT.COMPLEXIEEEFP: "complex numbers",
}
WHOLE_BITS = {*range(1, 17), 32}
SIGNED_BITS = {8, 16, 32}
REAL_BITS = {16, 24, 32, 64}
JPEGS = {COMPRESSION.JPEG, COMPRESSION.OJPEG}
GRAYS = {PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK}
MOST_SAMPLES = 16  # of a pixel
TOLERANCE = 1e-6  # by which floating point may miss 0..1


def check(page: TiffPage) -> None:
    """Refuse a page that is not supported.

    Raises:
        ScanError: in words.
    """
    if page.compression not in COMPRESSIONS:
        raise ScanError(
            f"the TIFF's compression is {_name(COMPRESSION, page.compression)}, which photochrom "
            "does not read; save it with Deflate or LZW"
        )
    if page.predictor not in PREDICTORS and page.compression not in LOSSY:
        raise ScanError(
            f"the TIFF's predictor is number {int(page.predictor)}, which is not "
            "supported; save it without one"
        )
    if page.photometric not in COLORS:
        name = NAMES.get(page.photometric) or _name(PHOTOMETRIC, page.photometric)
        raise ScanError(f"the TIFF's color model is {name}; convert it to gray or RGB")
    plain = {COMPRESSION.CCITTRLE, COMPRESSION.CCITT_T4, COMPRESSION.CCITT_T6, COMPRESSION.OJPEG}
    if 262 not in page.tags and page.compression not in plain:
        raise ScanError("the TIFF does not say whether its zeros are black or white")
    if not _is_readable(page):
        bits = page.bitspersample
        each = f"{bits} bits" if isinstance(bits, int) else f"{', '.join(map(str, bits))} bits"
        raise ScanError(
            f"the TIFF's samples are {FORMATS.get(page.sampleformat, 'of an unknown format')} of "
            f"{each} in {NAMES[page.photometric]}; photochrom reads gray and RGB in "
            "whole numbers of 1 to 16 and 32 bits and floating point of 16 to 64; other color "
            "models in 8 bits, some in 16"
        )
    _check_samples(page)


def _is_readable(page: TiffPage) -> bool:
    """Tell whether this sample format and depth is supported in this color model."""
    bits, kind, model = page.bitspersample, page.sampleformat, page.photometric
    if not isinstance(bits, int):
        return False
    if kind in {SAMPLEFORMAT.IEEEFP, SAMPLEFORMAT.INT}:
        known = REAL_BITS if kind == SAMPLEFORMAT.IEEEFP else SIGNED_BITS
        return bits in known and (model in GRAYS or model == PHOTOMETRIC.RGB)
    if kind not in {SAMPLEFORMAT.UINT, SAMPLEFORMAT.VOID} or bits not in WHOLE_BITS:
        return False
    if model == PHOTOMETRIC.YCBCR:
        return bits == 8
    if model == PHOTOMETRIC.SEPARATED or model in LABS:
        return bits in {8, 16}
    return model != PHOTOMETRIC.PALETTE or bits <= 8


def _check_samples(page: TiffPage) -> None:
    bits = page.bitspersample
    needed = colors_stored(page)
    if not needed <= page.samplesperpixel <= MOST_SAMPLES:
        raise ScanError(
            f"the TIFF has {page.samplesperpixel} samples in each pixel; "
            f"{NAMES[page.photometric]} has {needed}, and a few beside them"
        )
    if page.compression in LOSSY and bits not in LOSSY_BITS.get(page.compression, {8, 16}):
        raise ScanError(f"the TIFF has JPEG of {bits} bits, which photochrom does not read")
    if page.photometric == PHOTOMETRIC.PALETTE and (
        page.colormap is None or page.colormap.shape != (3, 1 << bits)
    ):
        raise ScanError(f"the TIFF's palette is missing or not one of {bits} bits")
    if page.imagedepth != 1:
        raise ScanError(f"the TIFF is a volume of {page.imagedepth} slices, not a photograph")
    ink_set = page.tags.valueof(332, 1)
    if page.photometric == PHOTOMETRIC.SEPARATED and ink_set != 1:
        raise ScanError("the TIFF has inks other than CMYK; convert it to gray")
    if page.photometric in LABS and page.compression in LOSSY:
        raise ScanError("the TIFF has lossy L*a*b* colors; convert it to gray or RGB")
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEGS:
        _check_ycbcr(page)


def _check_ycbcr(page: TiffPage) -> None:
    """Refuse YCbCr with unsupported subsampling."""
    steps = chroma_steps(page)
    if steps not in {(x, y) for x in (1, 2, 4) for y in (1, 2, 4)}:
        raise ScanError(f"the TIFF's YCbCr has one color for {steps} pixels, which no writer does")
    if page.compression in LOSSY or (
        steps != (1, 1)
        and (page.planarconfig != 1 or page.predictor != 1 or page.samplesperpixel != 3)
    ):
        raise ScanError("the TIFF's YCbCr is stored in a rare way; convert it to gray or RGB")


def _name(names: type[IntEnum], number: int) -> str:
    return next((name.name for name in names if name == number), f"number {number}")


def colors_stored(page: TiffPage) -> int:
    """Return the samples per color as stored; L* alone is gray."""
    if page.photometric in LABS and page.samplesperpixel < 3:
        return 1
    return COLORS[PHOTOMETRIC(page.photometric)]


def colors(page: TiffPage) -> int:
    """Return the samples per color that `codes` returns: 1 for gray, 3 for RGB."""
    if page.photometric in LABS:
        return colors_stored(page)
    return 1 if page.photometric in GRAYS else 3


def chroma_steps(page: TiffPage) -> tuple[int, int]:
    """Return the chroma subsampling, across and down (YCbCrSubSampling)."""
    if page.photometric != PHOTOMETRIC.YCBCR:
        return (1, 1)
    across, down = page.subsampling or (2, 2)  # TIFF 6.0's default
    return int(across), int(down)


def alpha_sample(page: TiffPage) -> int | None:
    """Return which sample is the opacity; None if there is none."""
    first = colors_stored(page)
    extra = page.extrasamples[: page.samplesperpixel - first]
    opacity = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
    return next((first + i for i, meaning in enumerate(extra) if meaning in opacity), None)


def depth(page: TiffPage) -> int:
    """Return the bits of the codes that `codes` returns: 8 or 16."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        return 8 * _palette(page).itemsize
    return 8 if page.bitspersample <= 8 and page.photometric not in LABS else 16


def is_real(page: TiffPage) -> bool:
    """Tell whether samples are floating point."""
    return bool(page.sampleformat == SAMPLEFORMAT.IEEEFP)


def lost(page: TiffPage) -> tuple[str, ...]:
    """Name the precision that 16 bits lose."""
    if is_real(page):
        name = f"the precision of its {page.bitspersample}-bit floating point"
        return (f"{name} beyond 65,536 even steps from black to white",)
    name = "the precision of its 32-bit samples beyond 16 bits"
    return (name,) if page.bitspersample == 32 else ()


def codes(page: TiffPage, stored: Pixels, profile: bytes | None, ends: Span | None) -> Pixels:
    """Convert stored samples to codes.

    Args:
        page: checked.
        stored: (n, W, all samples) of the page's own type; 1 to 7 bits each in a uint8.
        profile: of CMYK, if that is what they are.
        ends: black and white, where `tiff_span.is_needed`.

    Returns:
        (n, W, 1 or 3) uint8 or uint16, white high; with opacity one sample more, the others not
        multiplied by it.

    Raises:
        ScanError: floating point beyond 0..1.
    """
    color = stored[..., : colors_stored(page)]
    at = alpha_sample(page)
    alpha = None if at is None else _stretched(page, stored[..., at : at + 1], ends)
    if page.photometric == PHOTOMETRIC.PALETTE:
        color = _palette(page)[color[..., 0]]
        return color if alpha is None else np.concatenate([color, _of_type(alpha, color)], axis=-1)
    color = _stretched(page, color, ends)
    if at is not None and alpha is not None and _is_premultiplied(page, at):
        color = _divided(color, alpha)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        color = ~color
    if page.photometric == PHOTOMETRIC.SEPARATED:
        color = icc.cmyk_to_srgb(color, profile)
    if page.photometric in LABS:
        color = color_models.codes_of_lab(page, color)
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression not in JPEGS:
        color = color_models.codes_of_ycbcr(page, color)
    return color if alpha is None else np.concatenate([color, _of_type(alpha, color)], axis=-1)


def _stretched(page: TiffPage, stored: Pixels, ends: Span | None) -> Pixels:
    """Scale samples to the full range of 8 or 16 bits."""
    if stored.dtype.kind == "f":
        return _whole(stored)
    bits = int(page.bitspersample)
    if ends:
        kind, limit = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
        return np.asarray(ends.stretched(stored, limit).astype(kind))
    if bits == 1:  # whatever a decoder gives for a set bit
        return np.asarray((stored != 0) * np.uint8(255))
    if bits in {8, 16}:
        return stored
    top = (1 << bits) - 1
    return scaled(stored & stored.dtype.type(top), top)  # predicted ones may have gone round


def _whole(stored: Pixels) -> Pixels:
    """Round floating point in 0..1 to 16-bit codes."""
    low, high = float(stored.min()), float(stored.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # not-a-number fails both
        raise ScanError(
            f"the TIFF's floating point samples reach from {low:g} to {high:g}; photochrom reads "
            "0 (black) to 1 (white): scale them before dropping the file in"
        )
    exact = stored.astype(np.float64) if stored.dtype == np.float16 else stored
    return np.asarray(np.rint(np.clip(exact, 0, 1) * exact.dtype.type(65535)).astype(np.uint16))


def _is_premultiplied(page: TiffPage, at: int) -> bool:
    first = colors_stored(page)
    return bool(page.extrasamples[at - first] == EXTRASAMPLE.ASSOCALPHA)


def _divided(color: Pixels, alpha: Pixels) -> Pixels:
    """Undo premultiplication; transparent pixels are black."""
    top = np.iinfo(color.dtype).max
    opacity = np.maximum(alpha.astype(np.uint32), 1)
    plain = (color.astype(np.uint32) * top + opacity // 2) // opacity
    return np.minimum(plain, top).astype(color.dtype)


def _palette(page: TiffPage) -> Pixels:
    """Return the palette (colors, 3): 8 bits if that is exact, else 16."""
    table = np.asarray(page.colormap).T.astype(np.uint16)
    if table.max(initial=0) < 256:  # written by programs that took the field for one of 8 bits
        return table.astype(np.uint8)
    if (table % 257 == 0).all() or (table % 256 == 0).all():
        return (table >> 8).astype(np.uint8)
    return table


def _of_type(alpha: Pixels, color: Pixels) -> Pixels:
    """Return opacity in the type of the colors."""
    if alpha.dtype == color.dtype:
        return alpha
    if color.dtype == np.uint16:
        return np.asarray(alpha.astype(np.uint16) * np.uint16(257))
    return ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
