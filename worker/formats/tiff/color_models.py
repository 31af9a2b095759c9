"""Converts CIE L*a*b* and YCbCr of TIFF to sRGB.

Neutral colors stay exactly neutral. Source: TIFF 6.0 sections 21 and 23; Adobe's TIFF
technical notes (ICCLAB).
"""

from collections.abc import Sequence

import numpy as np
from tifffile import PHOTOMETRIC, TiffPage

from worker.color import cielab, icc
from worker.color.cielab import Floats, Pixels
from worker.errors import IncompleteError

LABS = {PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB}
COEFFICIENTS, REFERENCES = 529, 532  # YCbCrCoefficients, ReferenceBlackWhite
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, where a file says nothing else
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
PIXELS = 1 << 18  # that are turned at once, for floating point takes eight times the room
_RGB_FROM_D50 = (
    np.linalg.inv(icc.D50_FROM_D65 @ cielab.SRGB.xyz_from_rgb) * icc.D50  # of X / Xn...
)


def codes_of_lab(page: TiffPage, stored: Pixels) -> Pixels:
    """Convert L*a*b* (D50) to 16-bit sRGB, clipped to its gamut.

    Args:
        page: checked, CIELAB or ICCLAB.
        stored: (n, W, 1 or 3) uint8 or uint16; one sample is L* alone.

    Returns:
        (n, W, 1 or 3) uint16.
    """
    found = np.empty(stored.shape, np.uint16)
    rows = max(1, PIXELS // stored.shape[1])
    for top in range(0, len(stored), rows):
        part = slice(top, top + rows)
        found[part] = _codes_of_lab(page, stored[part])
    return found


def _codes_of_lab(page: TiffPage, stored: Pixels) -> Pixels:
    encoded = page.photometric == PHOTOMETRIC.ICCLAB  # as ICC profiles of version 2 do
    wide = stored.dtype == np.uint16
    white = (65280 if encoded else 65535) if wide else 255
    height = (stored[..., 0] / white * 100 + 16) / 116
    light = _light(height)
    if stored.shape[-1] == 1:
        linear = light[..., None]
    else:
        if encoded:
            chroma = stored[..., 1:] / (256 if wide else 1) - 128
        else:
            signed = np.ascontiguousarray(stored[..., 1:]).view(np.int16 if wide else np.int8)
            chroma = signed.astype(np.float64) / (256 if wide else 1)
        x = _light(height + chroma[..., 0] / 500)
        z = _light(height - chroma[..., 1] / 200)
        # The rows of the matrix sum to one: a neutral has nothing but its light.
        beside = np.stack([x - light, z - light], axis=-1) @ _RGB_FROM_D50[:, [0, 2]].T
        linear = light[..., None] + beside
    return cielab.encode(np.clip(linear, 0, 1).astype(np.float32), 16)


def _light(f: Floats) -> Floats:
    """Undo the function of L*a*b* that the eye's answer to light is."""
    return np.where(f > 6 / 29, f**3, (f - 4 / 29) * (3 * (6 / 29) ** 2))


def codes_of_ycbcr(page: TiffPage, stored: Pixels) -> Pixels:
    """Turn YCbCr into RGB, as the file's own coefficients and ends of its range have it.

    Args:
        page: checked.
        stored: (n, W, 3) uint8, each pixel with its chroma.

    Returns:
        (n, W, 3) uint8.
    """
    red, green, blue = _numbers(page, COEFFICIENTS, LUMA)
    ends = _numbers(page, REFERENCES, FULL_RANGE)
    if min(red, green, blue) <= 0 or min(ends[1] - ends[0], *ends[3::2]) <= 0:
        red, green, blue, ends = *LUMA, FULL_RANGE
    light = (stored[..., 0] - ends[0]) * (255 / (ends[1] - ends[0]))
    cb, cr = (
        (stored[..., at] - ends[2 * at]) * (127 / max(1.0, ends[2 * at + 1] - ends[2 * at]))
        for at in (1, 2)
    )
    r = light + cr * (2 - 2 * red)
    b = light + cb * (2 - 2 * blue)
    g = (light - blue * b - red * r) / green
    neutral = (cb == 0) & (cr == 0)
    g[neutral] = light[neutral]  # to the last code
    return np.rint(np.clip(np.stack([r, g, b], axis=-1), 0, 255)).astype(np.uint8)


def _numbers(page: TiffPage, tag: int, usual: Sequence[float]) -> tuple[float, ...]:
    """Return a tag's fractions; the usual ones where it has none that can be."""
    found = page.tags.valueof(tag)
    if not isinstance(found, tuple) or len(found) != 2 * len(usual):
        return tuple(usual)
    if not all(isinstance(number, int) for number in found) or 0 in found[1::2]:
        return tuple(usual)
    return tuple(above / below for above, below in zip(found[::2], found[1::2], strict=True))


def pixels_of_units(data: bytes, rows: int, width: int, steps: tuple[int, int]) -> Pixels:
    """Expand subsampled YCbCr to one chroma per pixel.

    Args:
        data: units of `steps` light samples and two of chroma, from the top left.
        rows: that they cover.
        width: in pixels, likewise.
        steps: pixels of a unit, across and down.

    Returns:
        (rows, width, 3) uint8.

    Raises:
        IncompleteError: there is not enough data.
    """
    across, down = steps
    shape = (-(-rows // down), -(-width // across), across * down + 2)
    size = shape[0] * shape[1] * shape[2]
    if len(data) < size:
        raise IncompleteError(
            f"a strip or tile of the TIFF has {len(data):,} bytes of the {size:,} that it needs"
        )
    units = np.frombuffer(data, np.uint8, size).reshape(shape)
    light = units[..., :-2].reshape(*shape[:2], down, across).transpose(0, 2, 1, 3)
    chroma = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    whole = np.dstack([light.reshape(shape[0] * down, shape[1] * across), chroma])
    return np.asarray(whole[:rows, :width])
