"""Checks a generator in training on photographs that it never learns from.

They are not augmented: whole pictures, true lightness, fixed labels. The averaged weights are
checked, since they are what gets published and lack the noise of the last steps; the network
borrows them, which costs neither a second network nor a compilation.
"""

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.inference import batches
from worker.models.decoding import (
    CHROMA_GAIN,
    CHROMA_STRIDE,
    TEMPERATURE,
    decode,
    share_of_shift,
)
from worker.training.data.collection import Collection
from worker.training.data.dataset import label_of
from worker.training.gan import TRAINING_SHIFT, ColorizationGAN
from worker.training.losses import class_loss
from worker.training.run import Check, Progress

PHOTOS = 120  # at most, in a check
SAMPLES = 7  # at most, in `samples`


class Validation:
    """The validation photographs, prepared for the generator.

    Args:
        photos: the collection; if it has no validation photographs, training photographs show
            whether color has collapsed, and checks have no loss.
        side: of the generator's input, pixels, as it serves: on smaller pictures things are
            smaller, and a generator that learns those may get worse at its own size.
        batch: photographs in one call.
        log_prior: (K,) log-probability of each color, for decoding.
    """

    def __init__(
        self, photos: Collection, side: int, batch: int, log_prior: NDArray[np.float32]
    ) -> None:
        """Resize the photographs and compute their labels."""
        self.held_back = len(photos.validation) > 0
        chosen = photos.validation if self.held_back else photos.training
        self._photos = [np.asarray(photos.photos[index]) for index in chosen[:PHOTOS]]
        self._grays = [cielab.gray_of_rgb(photo) for photo in self._photos]
        self._side, self._batch, self._shift = side, batch, TRAINING_SHIFT * log_prior
        small = side // CHROMA_STRIDE
        self._truth = np.stack([_chroma(photo, small) for photo in self._photos])
        self._label = label_of(self._truth, np.random.default_rng(0))
        self._colors = np.zeros_like(self._truth)
        probability = np.exp(log_prior) / np.exp(log_prior).sum()
        self._loss_of_guessing = -float(np.log(probability)[self._label].mean())

    def check(self, gan: ColorizationGAN, progress: Progress) -> Check:
        """Color all of them with the averaged weights and compare; takes 2.5 s on a CPU."""
        total = 0.0
        with gan.averaged(adversarial=progress.adversarial) as generator:
            for start in range(0, len(self._grays), self._batch):
                some = slice(start, start + self._batch)
                count = len(self._grays[some])
                lightness = batches.fit(self._grays[some], self._side, self._batch)
                logits = generator.predict_on_batch(lightness)[:count]
                total += count * float(class_loss(self._label[some], logits))
                share = share_of_shift(lightness[:count], logits)
                calibrated = (logits - share * self._shift) / TEMPERATURE
                self._colors[some] = keras.ops.convert_to_numpy(decode(calibrated, CHROMA_GAIN)[0])
        loss = total / len(self._grays)
        return Check(
            progress.step,
            round(progress.seconds, 1),
            progress.adversarial,
            round(loss, 5) if self.held_back else None,
            round(mean_chroma(self._colors) / max(mean_chroma(self._truth), 1e-6), 4),
            round(variety(self._colors) / max(variety(self._truth), 1e-6), 4),
            loss < self._loss_of_guessing,
        )

    def samples(self) -> list[tuple[Pixels, Pixels, Pixels]]:
        """Apply the colors of the last check to some photographs, always the same ones.

        Returns:
            gray, colored and true, each (H, W, 3) uint8 sRGB.
        """
        count = min(SAMPLES, len(self._photos))
        chosen = np.linspace(0, len(self._photos) - 1, count).astype(int)
        return [
            (
                np.repeat(self._grays[index][..., None], 3, axis=-1),
                cielab.merge(self._grays[index], self._colors[index]),
                self._photos[index],
            )
            for index in chosen
        ]


def mean_chroma(ab: Floats) -> float:
    """Return the mean distance from gray of (N, s, s, 2) chroma, CIE units."""
    return float(np.hypot(ab[..., 0], ab[..., 1]).mean())


def variety(ab: Floats) -> float:
    """Return how far the colors of (N, s, s, 2) are from the mean color of their photograph.

    Root mean square in each photograph, mean over photographs, CIE units. It is 0 if each is gray
    or of a single tint, which is how color collapses.
    """
    apart = ab - ab.mean(axis=(1, 2), keepdims=True)
    return float(np.sqrt((apart**2).sum(axis=-1).mean(axis=(1, 2))).mean())


def _chroma(photo: Pixels, side: int) -> Floats:
    ab = cielab.lab_of_rgb(photo)[..., 1:]
    return np.asarray(cv2.resize(ab, (side, side), interpolation=cv2.INTER_AREA))
