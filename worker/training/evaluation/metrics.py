"""Metrics that compare colored photographs with the true ones; pure functions with references.

Full-size photographs are compared strip by strip, without a full-size float copy.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.training.evaluation import false_color
from worker.training.evaluation.false_color import FalseColor

LEAST_ERROR = 1e-6  # mean squared error at which PSNR is capped: identical photographs have 108 dB
BINS = 10  # of equal count, in `calibration`
BLOCK = 1024  # rows of a kernel matrix in memory at once


class Comparison(NamedTuple):
    """One colored photograph compared with the true one and with its scan.

    Attributes:
        psnr: decibels, over all samples of 8-bit RGB.
        ab_rmse: root mean square error over a* and b* of all pixels, CIE units.
        lightness_mean: mean |L* of the output - L* of the scan|, CIE units (0..100).
        lightness_max: the largest such difference.
        false_color: red, tinted and brown pixels, and the spread of color within surfaces.
    """

    psnr: float
    ab_rmse: float
    lightness_mean: float
    lightness_max: float
    false_color: FalseColor


def compare(truth: Pixels, output: Pixels, gray: Pixels) -> Comparison:
    """Compare a colored photograph with the truth and with its scan, at full size.

    Args:
        truth: (H, W, 3) uint8 sRGB.
        output: (H, W, 3) uint8 sRGB.
        gray: (H, W) uint8 sRGB gray codes, the input.
    """
    rgb_error = ab_error = light_error = worst = 0.0
    false = false_color.of_surfaces(truth, output)
    for rows in cielab.strips(*gray.shape):
        difference = truth[rows].astype(np.int32) - output[rows]
        rgb_error += float((difference * difference).sum())
        lab = cielab.lab_of_rgb(output[rows])
        true_lab = cielab.lab_of_rgb(truth[rows])
        false = false.plus(false_color.of_pixels(true_lab, lab))
        chroma = (true_lab - lab)[..., 1:].astype(np.float64)
        ab_error += float((chroma * chroma).sum())
        light = np.abs(lab[..., 0] - 100 * cielab.lightness(gray[rows]))
        light_error += float(light.sum(dtype=np.float64))
        worst = max(worst, float(light.max()))
    mean = rgb_error / truth.size
    return Comparison(
        float(10 * np.log10(255**2 / max(mean, LEAST_ERROR))),
        float(np.sqrt(ab_error / (2 * gray.size))),
        light_error / gray.size,
        worst,
        false,
    )


def colorfulness(rgb: Pixels) -> float:
    """Compute M3 of Hasler and Suesstrunk (2003), with signed opponents as in the paper.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    sums = np.zeros(4, np.int64)  # of rg, 2 yb and their squares: integers are exact
    for rows in cielab.strips(*rgb.shape[:2]):
        red, green, blue = (rgb[rows, :, channel].astype(np.int32) for channel in range(3))
        rg, twice_yb = red - green, red + green - 2 * blue
        sums += [one.sum(dtype=np.int64) for one in (rg, twice_yb, rg * rg, twice_yb * twice_yb)]
    rg_mean, yb_mean, rg_power, yb_power = sums / (rgb[..., 0].size * np.array([1, 2, 1, 4]))
    variance = rg_power - rg_mean**2 + yb_power - yb_mean**2
    return float(np.sqrt(max(variance, 0.0)) + 0.3 * np.hypot(rg_mean, yb_mean))


def kernel_distance(real: Floats, fake: Floats) -> float:
    """Compute the kernel distance (KID) of Binkowski et al. (2018) between two sets of features.

    The squared maximum mean discrepancy under k(x, y) = (x.y / d + 1)^3, unbiased, so it may be
    slightly negative. `fake[i]` is made from `real[i]`, so these pairs are left out of the mixed
    term too (Gretton et al. 2012, eq. 4), or they would make the distance too small.

    Args:
        real: (P, d) features of true photographs.
        fake: (P, d) features of their colored versions, in the same order.

    Returns:
        the distance; NaN for fewer than two photographs.
    """
    count = len(real)
    if count < 2:
        return float("nan")
    total = 0.0
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        within = _kernel(real[rows], real) + _kernel(fake[rows], fake)
        across = _kernel(real[rows], fake) + _kernel(fake[rows], real)
        within -= across
        total += float(within.sum() - np.trace(within, offset=start))
    return total / (count * (count - 1))


def _kernel(one: Floats, other: Floats) -> NDArray[np.float64]:
    product = one.astype(np.float64) @ other.T.astype(np.float64)
    return np.asarray((product / one.shape[1] + 1) ** 3)


class Calibration(NamedTuple):
    """How well the predicted spread matches the actual error.

    Attributes:
        error: mean over the bins of |RMS error - RMS spread|, CIE ab units; 0 is calibrated.
        rank: Spearman's correlation of spread and error; 1 if it is uncertain where it errs.
    """

    error: float
    rank: float


def calibration(spread: Floats, error: Floats) -> Calibration:
    """Compare the predicted standard deviation of colors with their actual error.

    Pixels are sorted by spread into ten bins of equal count; in each, the RMS error should equal
    the RMS spread (Levi et al. 2022, "Evaluating and Calibrating Uncertainty Prediction in
    Regression Tasks"; here in ab units, not relative to the spread).

    Args:
        spread: (M,) predicted standard deviation, ab units.
        error: (M,) distance from the true color, ab units.

    Returns:
        NaN for fewer pixels than bins; `rank` is NaN if spread or error is constant.
    """
    if len(spread) < BINS:
        return Calibration(float("nan"), float("nan"))
    order = np.argsort(spread, kind="stable")
    gaps = [
        abs(_rms(error[places]) - _rms(spread[places])) for places in np.array_split(order, BINS)
    ]
    return Calibration(float(np.mean(gaps)), spearman(spread, error))


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def spearman(one: Floats, other: Floats) -> float:
    """Compute the rank correlation of two samples (Spearman 1904); NaN if one is constant."""
    first, second = _ranks(one), _ranks(other)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / size) if size else float("nan")


def _ranks(values: Floats) -> NDArray[np.float64]:
    """Rank from 1; equal values get the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])
