"""Lightness and chroma to RGB and back, in CIE L*a*b* (D65) and sRGB; pure functions of arrays.

Lightness is sacred: where a color does not fit into the gamut, its chroma gives way. Full-size work
goes by strips, so that
no full-size float copy is ever held.
"""

from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

# cv2's and numpy's stubs lose the dtype at every step, so it is promised here and in docstrings,
# and held by tests.
Floats = NDArray[Any]  # float32
Pixels = NDArray[Any]  # uint8 or uint16

# sRGB (IEC 61966-2-1) with its D65 white divided out: linear RGB = Y + RGB_FROM_XZ @ (x - Y, z -
# Y),
# where x = X / Xn and z = Z / Zn. The rows of the full matrix sum to one, so Y needs no column of
# its own.
XYZ_FROM_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = XYZ_FROM_RGB.sum(axis=1)
RGB_FROM_XZ = (np.linalg.inv(XYZ_FROM_RGB) * WHITE)[:, [0, 2]]
LUMINANCE = XYZ_FROM_RGB[1]

STRIP_PIXELS = 1 << 16  # small enough for the processor's cache, large enough to hide Python
GUIDE_SIDE = 256  # long side, in pixels, at which chroma is fitted to the scan's edges
GUIDE_RADIUS = 5  # of the fit's window, in guide pixels: a little over a chroma cell
GUIDE_EPSILON = 2e-4  # variance of lightness (0..1) below which an edge is taken for noise
LEVELS = np.float32(65535)  # of linear light, in tables
CHROMA_LIMIT = 110.0  # of the generator's grid; nothing beyond it is believable


class ChromaFit(NamedTuple):
    """Chroma as slope * lightness + offset at each place; both (h, w, 2) float32."""

    slope: Floats
    offset: Floats


def srgb_to_linear(encoded: Floats) -> Floats:
    """Undo the sRGB transfer curve; 0..1 to 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lightness_of_luminance(luminance: Floats) -> Floats:
    """Give CIE L* (0..100) of relative luminance Y (0..1)."""
    return 116.0 * _f(luminance) - 16.0


def _f(t: Floats) -> Floats:
    return np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)


@cache
def _tables(depth: int) -> tuple[Floats, Floats]:
    """Luminance (0..1) and lightness (0..1) of each sRGB gray code of `depth` bits."""
    luminance = srgb_to_linear(np.arange(2**depth) / (2**depth - 1))
    return luminance.astype(np.float32), (lightness_of_luminance(luminance) / 100).astype(
        np.float32
    )


def bit_depth(pixels: Pixels) -> int:
    """Return 8 or 16, the bits of each sample of `pixels`."""
    return pixels.dtype.itemsize * 8


def lightness(gray: Pixels) -> Floats:
    """Give CIE L* / 100 of sRGB gray codes.

    Args:
        gray: any shape, uint8 or uint16.

    Returns:
        the same shape, float32 in 0..1.
    """
    return _tables(bit_depth(gray))[1][gray]


def linear_of_codes(codes: Pixels) -> Floats:
    """Undo the sRGB transfer curve of codes of any shape; float32 in 0..1."""
    return _tables(bit_depth(codes))[0][codes]


def gray_of_rgb(rgb: Pixels) -> Pixels:
    """Give the sRGB gray code with the same luminance as each pixel, at the same depth.

    Args:
        rgb: (H, W, 3) uint8 or uint16, sRGB.

    Returns:
        (H, W), dtype of `rgb`.
    """
    depth = bit_depth(rgb)
    gray = np.empty(rgb.shape[:2], rgb.dtype)
    for rows in strips(*rgb.shape[:2]):
        gray[rows] = encode(linear_of_codes(rgb[rows]) @ LUMINANCE.astype(np.float32), depth)
    return gray


def lab_of_rgb(rgb: Pixels) -> Floats:
    """Give CIE L*a*b* (D65) of sRGB.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) float32: L* in 0..100, a* and b* in CIE units.
    """
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB))


def in_gamut_ab(ab: Floats) -> NDArray[np.bool_]:
    """Tell which ab colors exist in sRGB at some lightness.

    Args:
        ab: (K, 2), CIE units.

    Returns:
        (K,) bool.
    """
    fy = (np.linspace(0.5, 99.5, 100)[:, None] + 16) / 116
    luminance = _f_inverse(fy)  # (100, 1)
    dx = _f_inverse(fy + ab[:, 0] / 500) - luminance  # (100, K)
    dz = _f_inverse(fy - ab[:, 1] / 200) - luminance
    rgb = luminance + np.stack([to_x * dx + to_z * dz for to_x, to_z in RGB_FROM_XZ])
    return np.asarray(((rgb >= 0) & (rgb <= 1)).all(axis=0).any(axis=0))


def fit_chroma(guide: Floats, ab: Floats) -> ChromaFit:
    """Fit chroma to lightness around each pixel, to enlarge it along the scan's own edges.

    The fast guided filter of He and Sun (2015), arXiv:1505.00996: within a window, ab = slope *
    lightness + offset. What it smoothed away beside the edges is put back into the offset, so that
    the fit, made small again, is the chroma it was given (back-projection, Irani and Peleg 1991).

    Args:
        guide: (h, w) float32 lightness in 0..1, the scan made small.
        ab: (s, t, 2) float32, CIE units, of any size; it covers the same picture as `guide`.

    Returns:
        the fit, at the size of `guide`.
    """
    height, width = guide.shape
    large = np.asarray(cv2.resize(ab, (width, height), interpolation=cv2.INTER_LINEAR))
    mean_l = _box(guide)
    mean_ab = _box(large)
    variance = _box(guide * guide) - mean_l * mean_l
    covariance = _box(large * guide[..., None]) - mean_ab * mean_l[..., None]
    slope = covariance / (np.maximum(variance, 0.0) + GUIDE_EPSILON)[..., None]
    slope, offset = _box(slope), _box(mean_ab - slope * mean_l[..., None])
    fitted = slope * guide[..., None] + offset
    lost = ab - cv2.resize(fitted, ab.shape[1::-1], interpolation=cv2.INTER_AREA)
    offset += cv2.resize(lost, (width, height), interpolation=cv2.INTER_LINEAR)
    return ChromaFit(slope, offset)


def _box(plane: Floats) -> Floats:
    side = 2 * GUIDE_RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT_101))


def guide_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) at which chroma is fitted; never larger than the scan."""
    scale = min(1.0, GUIDE_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def merge(gray: Pixels, ab: Floats, small: Pixels | None = None) -> Pixels:
    """Lay chroma over a scan's own lightness, at the scan's full size and depth.

    Args:
        gray: (H, W) uint8 or uint16 sRGB gray codes.
        ab: (s, t, 2) float32 chroma in CIE units, of any size, covering the same picture.
        small: `gray` made smaller, if the caller has it: shrinking a large scan takes as long as
            coloring it.

    Returns:
        (H, W, 3) sRGB, dtype of `gray`. Its L* is the scan's but for the rounding to whole codes;
        where the color would leave the gamut it is desaturated at constant luminance until it fits.
    """
    height, width = gray.shape
    h, w = guide_size(height, width)
    guide = cv2.resize(gray if small is None else small, (w, h), interpolation=cv2.INTER_AREA)
    fit = fit_chroma(lightness(np.asarray(guide)), ab)
    # From here on in CIE's f(Y) instead of lightness, and in its offsets a/500 and -b/200 instead
    # of ab.
    scale = np.array([1 / 500, -1 / 200], np.float32)
    slope = fit.slope * scale * np.float32(1.16)
    offset = fit.offset * scale - slope * np.float32(16 / 116)
    planes = np.concatenate([slope, offset], axis=-1)  # (h, w, 4)
    wide = cv2.split(cv2.resize(planes, (width, h), interpolation=cv2.INTER_LINEAR))  # (h, W) each
    rgb = np.empty((height, width, 3), gray.dtype)
    for rows in strips(height, width):
        rgb[rows] = _merge_strip(
            gray[rows], *(_rows_of(np.asarray(plane), rows, height) for plane in wide)
        )
    return rgb


def strips(height: int, width: int) -> list[slice]:
    """Cut `height` rows of `width` pixels into slices of about STRIP_PIXELS pixels."""
    step = max(1, STRIP_PIXELS // width)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _rows_of(plane: Floats, rows: slice, height: int) -> Floats:
    """Enlarge a plane (h, W) bilinearly to (height, W), but only `rows` of it."""
    h = len(plane)
    at = np.clip((np.arange(rows.start, rows.stop) + 0.5) * h / height - 0.5, 0, h - 1)
    above = np.minimum(at.astype(np.intp), max(h - 2, 0))
    upper, lower = plane[above], plane[np.minimum(above + 1, h - 1)]
    np.subtract(lower, upper, out=lower)
    np.multiply(lower, (at - above).astype(np.float32)[:, None], out=lower)
    return np.asarray(np.add(upper, lower, out=upper))


def _merge_strip(
    gray: Pixels, slope_a: Floats, slope_b: Floats, offset_a: Floats, offset_b: Floats
) -> Floats:
    """Give RGB codes (n, W, 3) of a strip (n, W); in place, for memory takes the time."""
    depth = bit_depth(gray)
    luminances, lights = _tables(depth)
    y = np.asarray(cv2.LUT(gray, luminances))
    fy = np.asarray(cv2.LUT(gray, lights)) * np.float32(100 / 116) + np.float32(16 / 116)
    dx = _cube_offset(fy, slope_a, offset_a, CHROMA_LIMIT / 500)
    dz = _cube_offset(fy, slope_b, offset_b, CHROMA_LIMIT / 200)
    channels = [cv2.addWeighted(dx, to_x, dz, to_z, 0.0) for to_x, to_z in RGB_FROM_XZ]
    # They have no luminance, so one of them is >= 0 and one <= 0; scaling all three moves along
    # constant Y.
    tiny = np.float32(1e-12)
    highest = np.maximum(np.maximum(channels[0], channels[1], out=dx), channels[2], out=dx)
    lowest = np.minimum(np.minimum(channels[0], channels[1], out=dz), channels[2], out=dz)
    room_up = np.divide(1 - y, np.add(highest, tiny, out=highest), out=highest)
    room_down = np.divide(y, np.subtract(tiny, lowest, out=lowest), out=lowest)
    keep = np.minimum(np.minimum(room_up, room_down, out=room_up), np.float32(1), out=room_up)
    np.multiply(keep, LEVELS, out=keep)
    np.multiply(y, LEVELS, out=y)
    for channel in channels:
        np.multiply(channel, keep, out=channel)
        np.add(channel, y, out=channel)
    return np.asarray(cv2.merge([_codes_of_levels(channel, depth) for channel in channels]))


def _cube_offset(fy: Floats, slope: Floats, offset: Floats, limit: float) -> Floats:
    """Give (fy + d)^3 - fy^3 for d = slope * fy + offset within the limit; overwrites `slope`.

    Below L* 8 CIE's f is a straight line and not a cube root; there this errs in chroma that no eye
    sees, never in luminance.
    """
    d = np.multiply(slope, fy, out=slope)
    np.add(d, offset, out=d)
    np.clip(d, -limit, limit, out=d)
    thrice = fy * np.float32(3)
    result = d + thrice
    np.multiply(result, d, out=result)
    np.add(result, np.multiply(thrice, fy, out=thrice), out=result)
    return np.multiply(result, d, out=result)


def _f_inverse(f: Floats) -> Floats:
    """Undo CIE's f: f cubed, continued below 6/29 by its tangent, without a branch."""
    knee = f.dtype.type(6 / 29)
    above = np.maximum(f, knee)
    return above * above * above + f.dtype.type(3 * (6 / 29) ** 2) * np.minimum(f - knee, 0)


@cache
def _codes_of_linear() -> NDArray[np.uint8]:
    """8-bit sRGB codes of linear light quantized to 16 bits; finer than a code everywhere."""
    return np.rint(_curve(np.arange(65536, dtype=np.float32) / 65535) * 255).astype(np.uint8)


def _curve(linear: Floats) -> Floats:
    bent = cv2.pow(linear, 1 / 2.4).reshape(linear.shape) * np.float32(1.055) - np.float32(0.055)
    return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), bent)


def encode(linear: Floats, depth: int) -> Pixels:
    """Apply the sRGB transfer curve and round to whole codes.

    Args:
        linear: 0..1 (a rounding error beyond is clipped).
        depth: 8 or 16 bits.

    Returns:
        the same shape, uint8 or uint16.
    """
    return _codes_of_levels(np.clip(linear, 0, 1) * LEVELS, depth)


def _codes_of_levels(levels: Floats, depth: int) -> Pixels:
    """Encode as `encode` does; levels are linear light in 0..65535, and are overwritten."""
    if depth == 8:
        rounded = np.add(levels, np.float32(0.5), out=levels).astype(np.uint16)
        return np.asarray(cv2.LUT(rounded, _codes_of_linear()))
    linear = np.clip(np.divide(levels, LEVELS, out=levels), 0, 1, out=levels)
    return np.rint(_curve(linear) * LEVELS).astype(np.uint16)
