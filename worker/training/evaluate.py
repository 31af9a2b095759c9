"""How good is a generator: chroma error, gain over gray, colorfulness, on photographs whose true color is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from worker import batches, color
from worker.generator import decode

BATCH = 8
TEMPERATURES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)  # from calm to vivid
COLORFUL_ENOUGH = 0.85  # of the truth's colorfulness; calmer looks dull, more shows false color


@dataclass(frozen=True)
class Scores:
    """Means over a set of photographs.

    Attributes:
        psnr_gain: decibels of PSNR (RGB, 8 bits) above that of the gray photograph itself.
        ab_rmse: root mean square error of (a*, b*), CIE units.
        colorfulness_ratio: mean colorfulness of outputs over mean colorfulness of truths; 1 is as colorful as life.
    """

    psnr_gain: float
    ab_rmse: float
    colorfulness_ratio: float


def score(generator: keras.Model, photos: Sequence[NDArray[np.uint8]], render_size: int, temperature: float) -> Scores:
    """Color the gray of each photo, by the road that serving takes, and compare it with the photo.

    Args:
        generator: logits from lightness.
        photos: (H, W, 3) uint8 sRGB, at least one.
        render_size: side of the square the generator sees, pixels.
        temperature: of decoding.
    """
    gains, errors, outputs, truths = [], [], [], []
    for start in range(0, len(photos), BATCH):
        some = photos[start : start + BATCH]
        grays = [color.gray_of_rgb(photo) for photo in some]
        logits = generator(batches.fit(grays, render_size, BATCH), training=False)
        chroma = np.asarray(keras.ops.convert_to_numpy(decode(logits, temperature)[0]))
        for photo, gray, ab in zip(some, grays, batches.unfit(chroma, len(some)), strict=True):
            colored = color.merge(gray, ab)
            gains.append(_psnr(photo, colored) - _psnr(photo, np.repeat(gray[..., None], 3, axis=-1)))
            difference = color.lab_of_rgb(photo)[..., 1:] - color.lab_of_rgb(colored)[..., 1:]
            errors.append(np.mean(difference.astype(np.float64) ** 2))
            outputs.append(colorfulness(colored))
            truths.append(colorfulness(photo))
    return Scores(
        round(float(np.mean(gains)), 3), round(float(np.sqrt(np.mean(errors) )), 3),
        round(float(np.mean(outputs) / np.mean(truths)), 3),
    )  # fmt: skip


def choose_temperature(
    generator: keras.Model, photos: Sequence[NDArray[np.uint8]], render_size: int
) -> tuple[float, Scores]:
    """Return the calmest temperature that is colorful enough, and the scores at it."""
    for temperature in TEMPERATURES:
        scores = score(generator, photos, render_size, temperature)
        if scores.colorfulness_ratio >= COLORFUL_ENOUGH:
            break
    return temperature, scores


def _psnr(truth: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in dB over all samples of 8-bit RGB."""
    error = np.mean((truth.astype(np.float32) - other.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def colorfulness(rgb: NDArray[np.uint8]) -> float:
    """Measure M3 of Hasler and Suesstrunk (2003), with signed opponents as in the paper.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
