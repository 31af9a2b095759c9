"""Training batches from a collection, with a new crop and degradation in every epoch."""

import os
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.models.decoding import BIN_STEP, CHROMA_STRIDE, color_grid
from worker.training.data.cache import SIDE
from worker.training.data.collection import Collection
from worker.training.data.degradation import degrade

AXIS_START, AXIS_BINS = -110, 23  # of the color grid's square
WORKERS = max(2, (os.cpu_count() or 2) - 2)  # threads that make batches
PRIOR_PHOTOS = 1000  # enough to measure how common each color is
RAREST = 0.005  # added to the probability of each color: a smaller shift for rare ones, no blotches
AHEAD = 2 * WORKERS  # batches made in advance


class Batch(NamedTuple):
    """What one training step sees.

    Attributes:
        lightness: (N, S, S, 1) float32 in 0..1, degraded as in old photographs.
        ab: (N, S/4, S/4, 2) float32, true chroma in CIE units.
        label: (N, S/4, S/4) int32, index into `color_grid()`; `ab` rounded randomly so that the
            mean is exact.
    """

    lightness: Floats
    ab: Floats
    label: NDArray[Any]


def log_prior(collection: Collection) -> Floats:
    """Measure how common each color of the grid is in what training sees.

    On a fixed sample of the photographs, each as often as training draws it.

    Returns:
        (K,) float32 log-probabilities, smoothed for rare colors.
    """
    rng = np.random.default_rng(0)
    side = SIDE // 8
    count = np.zeros(len(color_grid()))
    order = _order(len(collection.training), collection.draw_weights, rng)
    for index in collection.training[order[:PRIOR_PHOTOS]]:
        photo = cv2.resize(collection.photos[index], (side, side), interpolation=cv2.INTER_AREA)
        lab = cielab.lab_of_rgb(np.asarray(photo))
        count += np.bincount(label_of(lab[..., 1:], rng).ravel(), minlength=len(count))
    return np.log(count / count.sum() + RAREST).astype(np.float32)


def batches(
    collection: Collection, crop: int, size: int, seed: int, first_step: int
) -> Generator[Batch]:
    """Yield training batches forever; batch k depends only on `seed` and k, so runs can resume.

    Args:
        collection: the photographs.
        crop: side S of the squares, pixels.
        size: photographs in a batch, N.
        seed: of the training.
        first_step: number k of the first batch.
    """
    with ThreadPoolExecutor(WORKERS) as workers:
        waiting: deque[Future[Batch]] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(workers.submit(make_batch, collection, crop, size, seed, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def make_batch(collection: Collection, crop: int, size: int, seed: int, step: int) -> Batch:
    """Make one batch: drawn anew every epoch, cropped and degraded at random."""
    rng = np.random.default_rng([seed, step])
    count = len(collection.training)
    places = np.arange(step * size, (step + 1) * size)
    orders = {
        epoch: _order(count, collection.draw_weights, np.random.default_rng([seed, epoch, 1]))
        for epoch in np.unique(places // count)
    }
    chosen = [collection.training[orders[place // count][place % count]] for place in places]
    samples = [_sample(collection.photos[index], crop, rng) for index in chosen]
    return Batch(*(np.stack(parts) for parts in zip(*samples, strict=True)))


def _order(
    count: int, weights: NDArray[np.float64] | None, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Shuffle the photographs of an epoch; with weights, some come several times, others seldom.

    How often each comes differs from its share by less than one (systematic sampling).
    """
    if weights is None:
        return np.asarray(rng.permutation(count), np.intp)
    ends = np.cumsum(weights) / weights.sum()
    drawn = np.searchsorted(ends, (np.arange(count) + rng.random()) / count)
    return np.asarray(rng.permutation(np.minimum(drawn, count - 1)), np.intp)


def _sample(
    photo: Pixels, crop: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[Any]]:
    rgb = _random_square(photo, crop, rng)
    lab = cielab.lab_of_rgb(rgb)
    side = crop // CHROMA_STRIDE
    ab = np.asarray(cv2.resize(lab[..., 1:], (side, side), interpolation=cv2.INTER_AREA))
    return degrade(rgb, rng)[..., None], ab, label_of(ab, rng)


def _random_square(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """Crop 60 to 100 % of each side at random, resize to a square, and mirror half of them."""
    height, width = (rng.uniform(0.6, 1.0, 2) * photo.shape[:2]).astype(int)
    top, left = rng.integers(0, (photo.shape[0] - height + 1, photo.shape[1] - width + 1))
    part = np.ascontiguousarray(photo[top : top + height, left : left + width])
    method = cv2.INTER_AREA if side < height else cv2.INTER_LINEAR
    square = np.asarray(cv2.resize(part, (side, side), interpolation=method))
    return square[:, ::-1] if rng.random() < 0.5 else square


def label_of(ab: Floats, rng: np.random.Generator) -> NDArray[Any]:
    """Round chroma to the color grid, up or down at random, so that the expected color is exact.

    Args:
        ab: (..., 2) float32 CIE units.
        rng: source of randomness.

    Returns:
        (...) int32 index into `color_grid()`.
    """
    place = np.floor(
        (ab - AXIS_START) / np.float32(BIN_STEP) + rng.random(ab.shape, np.float32)
    ).astype(np.intp)
    place = np.clip(place, 0, AXIS_BINS - 1)
    return np.asarray(_nearest_bin()[place[..., 0], place[..., 1]])


@cache
def _nearest_bin() -> NDArray[Any]:
    axis = AXIS_START + BIN_STEP * np.arange(AXIS_BINS)
    square = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)[:, :, None]
    return np.asarray(((square - color_grid()) ** 2).sum(axis=-1).argmin(axis=-1).astype(np.int32))
