"""Promises of worker.training.evaluate."""

from typing import Any

import keras
import numpy as np
import pytest

from tests.images import as_rgb, color_scene, gray_scene
from worker import color
from worker.generator import color_grid
from worker.training import evaluate
from worker.training.dataset import label_of
from worker.training.evaluate import Decoding, Examination, colorfulness

K = len(color_grid())
FLAT = np.zeros(K, np.float32)
PLAIN = Decoding(0.0, 1.0)


class Oracle:
    """A generator that looks at no picture and gives logits fixed beforehand."""

    def __init__(self, logits: np.ndarray) -> None:
        """Take the logits (P, s, s, K), handed out in order."""
        self._logits = logits
        self._next = 0

    def __call__(self, squares: np.ndarray, *, training: bool) -> Any:
        """Give the next batch of logits, the last one repeated into places left over."""
        assert not training
        rows = np.minimum(np.arange(self._next, self._next + len(squares)), len(self._logits) - 1)
        self._next += len(squares)
        return keras.ops.convert_to_tensor(self._logits[rows])


def logits_of(ab: np.ndarray, sharpness: float = 60.0) -> np.ndarray:
    """Return logits that are all but sure of `ab`, where that is a color of the grid."""
    logits = np.zeros((*ab.shape[:-1], K), np.float32)
    label = label_of(ab, np.random.default_rng(0))
    np.put_along_axis(logits, label[..., None], sharpness, axis=-1)
    return logits


def paper_colorfulness(rgb: np.ndarray) -> float:
    """Compute M3 of Hasler and Suesstrunk (2003) in the words of the paper, in float64."""
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = r - g, 0.5 * (r + g) - b
    sigma = np.sqrt(rg.var() + yb.var())
    mu = np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    return float(sigma + 0.3 * mu)


@pytest.mark.parametrize("seed", range(5))
def test_colorfulness_is_the_papers(seed: int) -> None:
    """Colorfulness is M3 of the paper on any picture."""
    rgb = np.random.default_rng(seed).integers(0, 256, (20, 30, 3)).astype(np.uint8)

    assert paper_colorfulness(rgb) == pytest.approx(colorfulness(rgb), rel=1e-4)
    assert paper_colorfulness(color_scene(40, 50, seed)) == pytest.approx(
        colorfulness(color_scene(40, 50, seed)), rel=1e-4
    )


def test_colorfulness_of_simple_pictures() -> None:
    """Gray has none; one pure color has 0.3 of its opponents' length; two make it large."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    two = red.copy()
    two[:, :4] = (0, 0, 255)

    assert 0 == colorfulness(as_rgb(gray_scene(8, 8)))
    assert 0.3 * np.hypot(255, 127.5) == pytest.approx(colorfulness(red), rel=1e-6)
    assert colorfulness(two) > 2 * colorfulness(red)


def flat_photos(count: int) -> list[np.ndarray]:
    """Make photos of one color each, a color of the grid, with a slope of light."""
    gray = np.tile(np.linspace(90, 160, 64).astype(np.uint8), (64, 1))
    colors = [(20.0, 20.0), (-20.0, 20.0), (0.0, -20.0), (20.0, -10.0)]
    return [color.merge(gray, np.full((4, 4, 2), colors[n % 4], np.float32)) for n in range(count)]


def examination(photos: list[np.ndarray], logits: np.ndarray) -> Examination:
    """Examine fixed logits."""
    return Examination(Oracle(logits), photos, 32)


def true_logits(photos: list[np.ndarray]) -> np.ndarray:
    """Return logits that say the mean color of each photo."""
    means = np.stack(
        [color.lab_of_rgb(photo)[..., 1:].mean(axis=(0, 1)).round(-1) for photo in photos]
    )
    return logits_of(
        np.broadcast_to(means[:, None, None], (len(photos), 8, 8, 2)).astype(np.float32)
    )


def test_gray_gains_nothing() -> None:
    """Gray has gain 0 and colorfulness 0, and its error is the chroma of the photos."""
    photos = flat_photos(3)
    gray = logits_of(np.zeros((3, 8, 8, 2), np.float32))
    scores = examination(photos, gray).score(FLAT, PLAIN)
    chroma = [color.lab_of_rgb(photo)[..., 1:] for photo in photos]
    rmse = np.mean([np.sqrt((one**2).mean()) for one in chroma])

    assert 0 == pytest.approx(scores.psnr_gain, abs=1e-6)
    assert 0 == scores.colorfulness_ratio
    assert rmse == pytest.approx(scores.ab_rmse, abs=0.02)


def test_the_truth_gains_much() -> None:
    """The true colors gain many decibels, err hardly, and are as colorful as life."""
    photos = flat_photos(4)
    scores = examination(photos, true_logits(photos)).score(FLAT, PLAIN)

    assert scores.psnr_gain > 15
    assert scores.ab_rmse < 1
    assert 1 == pytest.approx(scores.colorfulness_ratio, abs=0.02)


def test_false_colors_cost() -> None:
    """The colors of other photos lose against gray."""
    photos = flat_photos(4)
    scores = examination(photos, true_logits(photos)[::-1]).score(FLAT, PLAIN)

    assert scores.psnr_gain < 0
    assert scores.ab_rmse > 20


def test_more_photos_than_a_batch_are_each_met_once() -> None:
    """Batches that are not full, or more than one, change nothing."""
    photos = flat_photos(2 * evaluate.BATCH + 3)
    scores = examination(photos, true_logits(photos)).score(FLAT, PLAIN)

    assert scores.ab_rmse < 1


def test_the_chosen_decoding_is_the_calmest_that_is_colorful_enough() -> None:
    """Shares of the prior are tried from none to all, and no more is taken than is needed."""
    photos = flat_photos(4)
    hesitant = true_logits(photos) / 10  # the truth is likeliest, but only just
    exam = examination(photos, hesitant + 7 * (color_grid() == 0).all(axis=1))
    prior = np.where((color_grid() == 0).all(axis=1), -1.0, -6.0).astype(np.float32)
    decoding, scores = exam.choose(prior)
    calmer = [
        exam.score(prior, Decoding(shift, evaluate.TEMPERATURE)).colorfulness_ratio
        for shift in evaluate.SHIFTS
        if shift < decoding.shift
    ]

    assert scores == exam.score(prior, decoding)
    assert scores.colorfulness_ratio >= evaluate.COLORFUL_ENOUGH
    assert calmer
    assert max(calmer) < evaluate.COLORFUL_ENOUGH


def test_where_nothing_is_colorful_the_boldest_is_chosen() -> None:
    """A generator that learned nothing still gets a decoding: the boldest there is."""
    photos = flat_photos(2)
    exam = examination(photos, logits_of(np.zeros((2, 8, 8, 2), np.float32), 20.0))
    decoding, scores = exam.choose(FLAT)

    assert evaluate.SHIFTS[-1] == decoding.shift
    assert scores.colorfulness_ratio < evaluate.COLORFUL_ENOUGH
