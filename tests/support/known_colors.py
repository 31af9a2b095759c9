"""Photographs of known colors, and generators whose output is fixed beforehand."""

import keras
import numpy as np
import tensorflow as tf

from worker.color import cielab
from worker.models.decoding import color_grid
from worker.training.data.dataset import label_of
from worker.training.evaluation.decoding_search import BATCH

K = len(color_grid())
FLAT = np.zeros(K, np.float32)
SIDE = 64  # of photos and of the squares the generator sees


def oracle(logits: np.ndarray) -> keras.Model:
    """Make a generator that looks at no picture; logits (P, s, s, K) are handed out in order."""
    lightness = keras.Input((SIDE, SIDE, 1), name="lightness")
    return keras.Model(lightness, _Fixed(logits)(lightness), name="generator")


class _Fixed(keras.layers.Layer):
    """Gives the next batch of logits, the last one repeated into places left over."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__(dtype="float32")
        self._logits = logits.astype(np.float32)
        self._next = 0

    def call(self, squares: tf.Tensor) -> tf.Tensor:
        found = tf.numpy_function(self._rows, [squares], tf.float32)
        return tf.ensure_shape(found, (None, *self._logits.shape[1:]))

    def _rows(self, squares: np.ndarray) -> np.ndarray:
        assert (BATCH, SIDE, SIDE, 1) == squares.shape
        rows = np.minimum(np.arange(self._next, self._next + len(squares)), len(self._logits) - 1)
        self._next += len(squares)
        return self._logits[rows]


def logits_of(ab: np.ndarray, sharpness: float = 60.0) -> np.ndarray:
    """Return logits that are all but sure of `ab`, where that is a color of the grid."""
    logits = np.zeros((*ab.shape[:-1], K), np.float32)
    label = label_of(ab, np.random.default_rng(0))
    np.put_along_axis(logits, label[..., None], sharpness, axis=-1)
    return logits


def flat_photos(count: int) -> list[np.ndarray]:
    """Make photos of one color each, a color of the grid, with a slope of light."""
    gray = np.tile(np.linspace(90, 160, SIDE).astype(np.uint8), (SIDE, 1))
    colors = [(20.0, 20.0), (-20.0, 20.0), (0.0, -20.0), (20.0, -10.0)]
    return [cielab.merge(gray, np.full((4, 4, 2), colors[n % 4], np.float32)) for n in range(count)]


def mean_logits(photos: list[np.ndarray], sharpness: float = 60.0) -> np.ndarray:
    """Return logits that say the mean color of each photo."""
    means = np.stack(
        [cielab.lab_of_rgb(photo)[..., 1:].mean(axis=(0, 1)).round(-1) for photo in photos]
    )
    places = np.broadcast_to(means[:, None, None], (len(photos), SIDE // 4, SIDE // 4, 2))
    return logits_of(places.astype(np.float32), sharpness)
