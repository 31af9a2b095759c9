"""Enlarges chroma to full size along the scan's edges, strip by strip; pure.

Strips hold chroma as offsets of X and Z rather than as a and b, ready for conversion to RGB.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32

GUIDE_SIDE = 256  # long side, in pixels, at which chroma is fitted to the scan's edges
GUIDE_RADIUS = 5  # of the fit's window, in guide pixels: a little over a chroma cell
GUIDE_EPSILON = 2e-4  # variance of lightness (0..1) below which an edge is taken for noise
CHROMA_LIMIT = 110.0  # of the generator's grid; nothing beyond it is believable


class ChromaFit(NamedTuple):
    """Chroma as slope * lightness + offset at each place; both (2, h, w) float32, of a* and b*.

    Planes rather than pairs: numpy and OpenCV take a fifth of the time for them.
    """

    slope: Floats
    offset: Floats


def fit_chroma(guide: Floats, ab: Floats) -> ChromaFit:
    """Fit chroma to lightness around each pixel, to enlarge it along the scan's edges.

    The fast guided filter of He and Sun (2015), arXiv:1505.00996: within a window, ab = slope *
    lightness + offset. What it smoothed away beside the edges is put back into the offset, so that
    the fit, made small again, is the chroma it was given (back-projection, Irani and Peleg 1991).

    Args:
        guide: (h, w) float32 lightness in 0..1, the scan made small.
        ab: (s, t, 2) float32, CIE units, of any size; it covers the same picture as `guide`.

    Returns:
        the fit, at the size of `guide`.
    """
    mean_l = _box(guide)
    variance = np.maximum(_box(guide * guide) - mean_l * mean_l, 0.0) + GUIDE_EPSILON
    fits = [
        _fit_plane(np.ascontiguousarray(ab[..., channel]), guide, mean_l, variance)
        for channel in range(2)
    ]
    slopes, offsets = zip(*fits, strict=True)
    return ChromaFit(np.stack(slopes), np.stack(offsets))


def _fit_plane(
    plane: Floats, guide: Floats, mean_l: Floats, variance: Floats
) -> tuple[Floats, Floats]:
    """Fit one channel (s, t); return its slope and offset (h, w)."""
    size = guide.shape[::-1]
    large = np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR))
    mean = _box(large)
    slope = (_box(large * guide) - mean * mean_l) / variance
    offset = _box(mean - slope * mean_l)
    slope = _box(slope)
    fitted = slope * guide + offset
    lost = plane - cv2.resize(fitted, plane.shape[::-1], interpolation=cv2.INTER_AREA)
    offset += cv2.resize(lost, size, interpolation=cv2.INTER_LINEAR)
    return slope, offset


def _box(plane: Floats) -> Floats:
    side = 2 * GUIDE_RADIUS + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT_101))


def guide_size(height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) at which chroma is fitted; never larger than the scan."""
    scale = min(1.0, GUIDE_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def widen(fit: ChromaFit, width: int) -> tuple[Floats, ...]:
    """Enlarge a fit to the scan's width, for `offsets`, which enlarges its rows.

    Returns:
        four (h, W) float32: slopes and offsets of a / 500 and -b / 200 over CIE's f(Y).
    """
    scale = np.array([1 / 500, -1 / 200], np.float32)[:, None, None]
    slope = fit.slope * scale * np.float32(1.16)
    offset = fit.offset * scale - slope * np.float32(16 / 116)
    planes = (*slope, *offset)  # (h, w) each; OpenCV takes eight times as long for four in one
    size = (width, len(planes[0]))
    return tuple(
        np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR)) for plane in planes
    )


def offsets(
    wide: tuple[Floats, ...], rows: slice, height: int, fy: Floats
) -> tuple[Floats, Floats]:
    """Return what chroma adds to X / Xn and Z / Zn of gray of the same luminance.

    Args:
        wide: from `widen`.
        rows: of the scan.
        height: of the scan.
        fy: (n, W) float32, CIE's f(Y) of those rows: (L* + 16) / 116.

    Returns:
        both (n, W) float32.
    """
    slope_a, slope_b, offset_a, offset_b = (_rows_of(plane, rows, height) for plane in wide)
    return (
        _cube_offset(fy, slope_a, offset_a, CHROMA_LIMIT / 500),
        _cube_offset(fy, slope_b, offset_b, CHROMA_LIMIT / 200),
    )


def _rows_of(plane: Floats, rows: slice, height: int) -> Floats:
    """Enlarge a plane (h, W) bilinearly to (height, W), but only `rows` of it."""
    h = len(plane)
    at = np.clip((np.arange(rows.start, rows.stop) + 0.5) * h / height - 0.5, 0, h - 1)
    above = np.minimum(at.astype(np.intp), max(h - 2, 0))
    upper, lower = plane[above], plane[np.minimum(above + 1, h - 1)]
    np.subtract(lower, upper, out=lower)
    np.multiply(lower, (at - above).astype(np.float32)[:, None], out=lower)
    return np.asarray(np.add(upper, lower, out=upper))


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
