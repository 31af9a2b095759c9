"""How near a colored photograph comes to the true one; pure functions, each with its source.

Full-size photographs are compared strip by strip, so that no full-size float copy is ever held.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels

LEAST_ERROR = 1e-6  # mean squared error below which PSNR stops growing: equal photos have 108 dB
BINS = 10  # of equal count, in `calibration`
BLOCK = 1024  # rows of a kernel matrix held at once


class Comparison(NamedTuple):
    """One colored photograph beside the true one and the scan it was made from.

    Attributes:
        psnr: decibels, over all samples of 8-bit RGB.
        ab_rmse: root mean square error over a* and b* of all pixels, CIE units.
        lightness_mean: mean |L* of the output - L* of the scan|, CIE units (0..100).
        lightness_max: the largest of them.
    """

    psnr: float
    ab_rmse: float
    lightness_mean: float
    lightness_max: float


def compare(truth: Pixels, output: Pixels, gray: Pixels) -> Comparison:
    """Compare a colored photograph with the truth and with its scan, at its own size.

    Args:
        truth: (H, W, 3) uint8 sRGB.
        output: (H, W, 3) uint8 sRGB.
        gray: (H, W) uint8 sRGB gray codes, what was colored.
    """
    rgb_error = ab_error = light_error = worst = 0.0
    for rows in cielab.strips(*gray.shape):
        difference = truth[rows].astype(np.int32) - output[rows]
        rgb_error += float((difference * difference).sum())
        lab = cielab.lab_of_rgb(output[rows])
        chroma = (cielab.lab_of_rgb(truth[rows]) - lab)[..., 1:].astype(np.float64)
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
    )


def colorfulness(rgb: Pixels) -> float:
    """Measure M3 of Hasler and Suesstrunk (2003), with signed opponents as in the paper.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    sums = np.zeros(4, np.int64)  # of rg, 2 yb and their squares: whole numbers, so nothing is lost
    for rows in cielab.strips(*rgb.shape[:2]):
        red, green, blue = (rgb[rows, :, channel].astype(np.int32) for channel in range(3))
        rg, twice_yb = red - green, red + green - 2 * blue
        sums += [one.sum(dtype=np.int64) for one in (rg, twice_yb, rg * rg, twice_yb * twice_yb)]
    rg_mean, yb_mean, rg_power, yb_power = sums / (rgb[..., 0].size * np.array([1, 2, 1, 4]))
    variance = rg_power - rg_mean**2 + yb_power - yb_mean**2
    return float(np.sqrt(max(variance, 0.0)) + 0.3 * np.hypot(rg_mean, yb_mean))


def kernel_distance(real: Floats, fake: Floats) -> float:
    """Measure the kernel distance (KID) of Binkowski et al. (2018) between two sets of features.

    The squared maximum mean discrepancy under k(x, y) = (x.y / d + 1)^3, unbiased, so that it may
    be a little below zero. `fake[i]` is made from `real[i]`, so their pairs are left out of the
    mixed term as well (Gretton et al. 2012, eq. 4); else a set would seem near itself by the pairs.

    Args:
        real: (P, d) features of true photographs.
        fake: (P, d) features of their colored versions, in the same order.

    Returns:
        the distance; nan with fewer than two photographs.
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
    """How much the generator's own doubt is worth.

    Attributes:
        error: mean over the bins of |RMS error - RMS spread|, CIE ab units; 0 is honest.
        rank: Spearman's correlation of spread and error; 1 when it doubts where it errs.
    """

    error: float
    rank: float


def calibration(spread: Floats, error: Floats) -> Calibration:
    """Hold the predicted standard deviation of colors against how far off they really are.

    Places are put into ten bins of equal count by their spread; in each the RMS error should be the
    RMS spread (Levi et al. 2022, "Evaluating and Calibrating Uncertainty Prediction in Regression
    Tasks", whose bins these are; here in units, not divided by the spread).

    Args:
        spread: (M,) standard deviation that the generator gave, ab units.
        error: (M,) distance of its color from the true one, ab units.

    Returns:
        nan twice with fewer places than bins; rank is nan where spread or error is everywhere one.
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
    """Correlate the ranks of two rows of numbers (Spearman 1904); nan where one is constant."""
    first, second = _ranks(one), _ranks(other)
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / size) if size else float("nan")


def _ranks(values: Floats) -> NDArray[np.float64]:
    """Rank from 1; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])
