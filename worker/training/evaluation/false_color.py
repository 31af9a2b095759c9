"""Counts what people see as wrong color and mean errors hide: red, tinted gray, brown, patches.

Counts are sums over pixels, so those of strips and photographs are added before they are divided.
"""

from typing import NamedTuple, Self

import cv2
import numpy as np

from worker.color import cielab
from worker.color.cielab import Floats, Pixels

DARK, COLORLESS, RED = 35.0, 8.0, 10.0  # true L* and chroma below, a* above: red on dark
NEUTRAL = 6.0  # true chroma below which a pixel is neutral
BROWN_HUES, BROWN_CHROMA = (30.0, 85.0), 12.0  # degrees, and chroma above
SIDE = 256  # pixels of the square in which surfaces are found
CELLS = 8  # surfaces along a side, to begin with
ROUNDS = 3  # of assigning pixels to surfaces
CLOSENESS = 0.5  # weight of a pixel's distance beside a unit of color


class FalseColor(NamedTuple):
    """Sums over pixels; docs/evaluation.md defines what they give.

    Attributes:
        dark: pixels whose truth is dark and colorless.
        red: those of them that came out red.
        neutral: pixels whose truth is neutral.
        neutral_chroma: the sum of the chroma they were given.
        brown: pixels that came out brown.
        brown_truth: pixels that are.
        spread: sum over surfaces of the standard deviation of the given ab.
        spread_truth: of the true one.
        pixels: all of them.
        chroma: the sum of the chroma they were given.
        chroma_truth: the sum of the true one.
    """

    dark: float = 0.0
    red: float = 0.0
    neutral: float = 0.0
    neutral_chroma: float = 0.0
    brown: float = 0.0
    brown_truth: float = 0.0
    spread: float = 0.0
    spread_truth: float = 0.0
    pixels: float = 0.0
    chroma: float = 0.0
    chroma_truth: float = 0.0

    def plus(self, other: Self) -> Self:
        """Add the sums of other pixels."""
        return type(self)(*(one + two for one, two in zip(self, other, strict=True)))

    @property
    def red_on_dark(self) -> float | None:
        """Share of dark colorless pixels that came out red; None without any."""
        return self.red / self.dark if self.dark else None

    @property
    def chroma_of_neutral(self) -> float | None:
        """Mean chroma given to neutral pixels, CIE units; None without any."""
        return self.neutral_chroma / self.neutral if self.neutral else None

    @property
    def brown_ratio(self) -> float | None:
        """Share of brown pixels over the truth's; None if nothing is brown."""
        return self.brown / self.brown_truth if self.brown_truth else None

    @property
    def patchiness(self) -> float | None:
        """Spread of color within surfaces over the truth's; None if the truth has none."""
        return self.spread / self.spread_truth if self.spread_truth else None


def of_pixels(truth: Floats, output: Floats) -> FalseColor:
    """Count the red, tinted and brown pixels of a strip.

    Args:
        truth: (n, W, 3) float32, CIE L*a*b*.
        output: the same.
    """
    true_chroma, chroma = (np.hypot(lab[..., 1], lab[..., 2]) for lab in (truth, output))
    dark = (truth[..., 0] < DARK) & (true_chroma < COLORLESS)
    neutral = true_chroma < NEUTRAL
    return FalseColor(
        dark=float(dark.sum()),
        red=float((dark & (output[..., 1] > RED)).sum()),
        neutral=float(neutral.sum()),
        neutral_chroma=float(chroma[neutral].sum(dtype=np.float64)),
        brown=float(_is_brown(output, chroma).sum()),
        brown_truth=float(_is_brown(truth, true_chroma).sum()),
        pixels=float(chroma.size),
        chroma=float(chroma.sum(dtype=np.float64)),
        chroma_truth=float(true_chroma.sum(dtype=np.float64)),
    )


def _is_brown(lab: Floats, chroma: Floats) -> Floats:
    hue = np.degrees(np.arctan2(lab[..., 2], lab[..., 1]))
    low, high = BROWN_HUES
    return np.asarray((chroma > BROWN_CHROMA) & (hue >= low) & (hue <= high))


def of_surfaces(truth: Pixels, output: Pixels) -> FalseColor:
    """Measure how much color varies within surfaces.

    Surfaces are those of the truth, found by k-means over color and place (SLIC, Achanta et al.
    2012), each starting from its own cell and compared with the cells around it.

    Args:
        truth: (H, W, 3) uint8 sRGB.
        output: the same.
    """
    true_lab, lab = (
        cielab.lab_of_rgb(np.asarray(cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
        for photo in (truth, output)
    )
    surfaces = _surfaces(true_lab)
    return FalseColor(
        spread=_spread(lab[..., 1:], surfaces), spread_truth=_spread(true_lab[..., 1:], surfaces)
    )


def _surfaces(lab: Floats) -> Pixels:
    """Return the number of each pixel's surface, (SIDE, SIDE) int."""
    row, column = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    features = np.dstack([lab, CLOSENESS * row, CLOSENESS * column])
    own = np.mgrid[:SIDE, :SIDE] * CELLS // SIDE  # each pixel's cell
    neighbors = [
        np.ravel_multi_index(
            (np.clip(own[0] + down, 0, CELLS - 1), np.clip(own[1] + right, 0, CELLS - 1)),
            (CELLS, CELLS),
        )
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    labels = neighbors[4]
    for _ in range(ROUNDS):
        centers = _means(features, labels)
        distances = [((features - centers[each]) ** 2).sum(axis=-1) for each in neighbors]
        nearest = np.argmin(distances, axis=0)
        labels = np.take_along_axis(np.stack(neighbors), nearest[None], axis=0)[0]
    return np.asarray(labels)


def _means(values: Floats, labels: Pixels) -> Floats:
    """Return the mean of each surface's values, (CELLS², d)."""
    flat, count = labels.ravel(), CELLS * CELLS
    size = np.maximum(np.bincount(flat, minlength=count), 1)
    sums = [np.bincount(flat, values[..., each].ravel(), count) for each in range(values.shape[-1])]
    return np.asarray(np.stack(sums, axis=-1) / size[:, None], np.float32)


def _spread(ab: Floats, labels: Pixels) -> float:
    """Return the sum over surfaces of the standard deviation of ab."""
    means, squares = _means(ab, labels), _means(ab * ab, labels)
    variance = np.maximum(squares - means * means, 0.0).sum(axis=-1)
    return float(np.sqrt(variance).sum(dtype=np.float64))
