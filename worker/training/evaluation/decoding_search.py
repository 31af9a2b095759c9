"""Chooses how a generator's distribution becomes color, by trying decodings on photographs."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.inference import batches
from worker.models.decoding import CHROMA_GAIN, TEMPERATURE, decode, share_of_shift
from worker.training.evaluation.metrics import colorfulness

BATCH = 8  # photographs in one call
SHIFTS = tuple(number / 40 for number in range(65))  # multiples of the log-prior: calm to bold
COLORFUL_ENOUGH = 0.7  # of the truth; less looks dull, more shows false colors


class Decoding(NamedTuple):
    """The arguments of `with_decoding`; the shift is a multiple of the log-prior."""

    shift: float
    temperature: float
    gain: float = 1.0  # as in versions that were published before there was one


class DecodingSearch:
    """Tries decodings on some photographs, whose logits are computed once.

    Args:
        generator: from lightness to logits, without decoding.
        photos: (H, W, 3) uint8 sRGB, at least one; few and small, since all are kept in memory.
        render_size: side of the generator's input, pixels.
    """

    def __init__(self, generator: keras.Model, photos: Sequence[Pixels], render_size: int) -> None:
        """Run the generator on the grayscale version of each photograph."""
        self._photos = photos
        self._grays = [cielab.gray_of_rgb(photo) for photo in photos]
        self._colorfulness = max(float(np.mean([colorfulness(photo) for photo in photos])), 1e-6)
        self._logits: list[NDArray[np.float16]] = []
        self._shares: list[Floats] = []  # of the shift, at each place
        for start in range(0, len(photos), BATCH):
            some = self._grays[start : start + BATCH]
            squares = batches.fit(some, render_size, BATCH)
            logits = generator.predict_on_batch(squares)
            shares = keras.ops.convert_to_numpy(share_of_shift(squares, logits))
            self._logits += list(np.asarray(logits[: len(some)], np.float16))
            self._shares += list(shares[: len(some)])

    def paint(self, log_prior: NDArray[np.float32], decoding: Decoding) -> list[Pixels]:
        """Color every photograph with a decoding, as the colorizer does."""
        outputs = []
        shift = decoding.shift * log_prior
        for gray, logits, share in zip(self._grays, self._logits, self._shares, strict=True):
            calibrated = (logits.astype(np.float32) - share * shift) / decoding.temperature
            outputs.append(cielab.merge(gray, chroma_of(calibrated[None], 1, decoding.gain)[0][0]))
        return outputs

    def colorfulness_ratio(self, log_prior: NDArray[np.float32], decoding: Decoding) -> float:
        """Return the mean colorfulness of the outputs over that of the true photographs."""
        outputs = self.paint(log_prior, decoding)
        return float(np.mean([colorfulness(one) for one in outputs])) / self._colorfulness

    def choose(
        self, log_prior: NDArray[np.float32], colorful_enough: float = COLORFUL_ENOUGH
    ) -> Decoding:
        """Return the decoding that comes closest to a colorfulness; the boldest if none reaches it.

        Closest from either side: if it always were a little above, each version would be more
        colorful than the one before. Colorfulness grows with the shift, so bisection finds it. None
        reaches it, as a rule, after a very short training.

        Args:
            log_prior: (K,) that the generator learned.
            colorful_enough: colorfulness ratio of the outputs to look for.
        """

        @cache
        def ratio(place: int) -> float:
            return self.colorfulness_ratio(log_prior, decodings[place])

        decodings = [Decoding(shift, TEMPERATURE, CHROMA_GAIN) for shift in SHIFTS]
        above = bisect_left(range(len(decodings)), colorful_enough, key=ratio)
        if above == len(decodings):
            return decodings[-1]
        beside = range(max(above - 1, 0), above + 1)
        return decodings[min(beside, key=lambda place: abs(ratio(place) - colorful_enough))]


def chroma_of(logits: Floats, count: int, gain: float) -> tuple[Floats, Floats]:
    """Decode the first of (N, s, s, K) logits to ab (count, s, s, 2) and spread (count, s, s)."""
    ab, spread = decode(logits, gain)
    return (
        np.asarray(keras.ops.convert_to_numpy(ab))[:count],
        np.asarray(keras.ops.convert_to_numpy(spread))[:count, ..., 0],
    )
