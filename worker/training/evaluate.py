"""How good is a generator, on photographs whose true color is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from worker import batches, color
from worker.color import Pixels
from worker.generator import decode

BATCH = 8
SHIFTS = tuple(number / 20 for number in range(21))  # of the log-prior; from calm to bold
TEMPERATURE = 0.6  # below 1 surfaces get one color, much below they break into several
COLORFUL_ENOUGH = 0.75  # of the truth; calmer looks dull, vivider shows more false color


@dataclass(frozen=True)
class Scores:
    """Means over a set of photographs.

    Attributes:
        psnr_gain: decibels of PSNR (RGB, 8 bits) above that of the gray photograph itself.
        ab_rmse: root mean square error of a* and b* within each photograph, CIE units.
        colorfulness_ratio: mean colorfulness of outputs over mean colorfulness of truths; 1 is as
            colorful as life.
    """

    psnr_gain: float
    ab_rmse: float
    colorfulness_ratio: float


class Decoding(NamedTuple):
    """How logits become colors: `with_decoding`, its shift as a share of the log-prior."""

    shift: float
    temperature: float


class Examination:
    """A generator's logits for some photographs, kept so that many decodings can be tried.

    Args:
        generator: plain logits from lightness.
        photos: (H, W, 3) uint8 sRGB, at least one.
        render_size: side of the square the generator sees, pixels.
    """

    def __init__(self, generator: keras.Model, photos: Sequence[Pixels], render_size: int) -> None:
        """Run the generator over the gray of each photo."""
        self._photos = photos
        self._grays = [color.gray_of_rgb(photo) for photo in photos]
        self._logits: list[NDArray[np.float16]] = []
        for start in range(0, len(photos), BATCH):
            some = self._grays[start : start + BATCH]
            logits = keras.ops.convert_to_numpy(
                generator(batches.fit(some, render_size, BATCH), training=False)
            )
            self._logits += list(np.asarray(logits[: len(some)], np.float16))

    def score(self, log_prior: NDArray[np.float32], decoding: Decoding) -> Scores:
        """Color every photo, by the road that serving takes, and compare it with the truth."""
        gains, errors, outputs, truths = [], [], [], []
        for photo, gray, logits in zip(self._photos, self._grays, self._logits, strict=True):
            calibrated = (
                logits.astype(np.float32) - decoding.shift * log_prior
            ) / decoding.temperature
            ab = np.asarray(keras.ops.convert_to_numpy(decode(calibrated[None])[0]))[0]
            colored = color.merge(gray, ab)
            gains.append(
                _psnr(photo, colored) - _psnr(photo, np.repeat(gray[..., None], 3, axis=-1))
            )
            difference = color.lab_of_rgb(photo)[..., 1:] - color.lab_of_rgb(colored)[..., 1:]
            errors.append(np.sqrt(np.mean(difference.astype(np.float64) ** 2)))
            outputs.append(colorfulness(colored))
            truths.append(colorfulness(photo))
        ratio = np.mean(outputs) / max(float(np.mean(truths)), 1e-6)
        return Scores(
            *(round(float(value), 3) for value in (np.mean(gains), np.mean(errors), ratio))
        )

    def choose(self, log_prior: NDArray[np.float32]) -> tuple[Decoding, Scores]:
        """Return the calmest decoding that is colorful enough, and its scores.

        Where none is colorful enough, as in very short trainings, the boldest is taken.
        """
        for shift in SHIFTS:
            decoding = Decoding(shift, TEMPERATURE)
            scores = self.score(log_prior, decoding)
            if scores.colorfulness_ratio >= COLORFUL_ENOUGH:
                break
        return decoding, scores


def _psnr(truth: Pixels, other: Pixels) -> float:
    """Peak signal-to-noise ratio in dB over all samples of 8-bit RGB."""
    error = np.mean((truth.astype(np.float32) - other.astype(np.float32)) ** 2, dtype=np.float64)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def colorfulness(rgb: Pixels) -> float:
    """Measure M3 of Hasler and Suesstrunk (2003), with signed opponents as in the paper.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
