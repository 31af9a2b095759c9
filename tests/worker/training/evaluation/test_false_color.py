"""The counters see what they are named after, and nothing else."""

import numpy as np
import pytest

from worker.color.cielab import Floats, Pixels
from worker.training.evaluation import false_color
from worker.training.evaluation.false_color import FalseColor


def lab(*pixels: tuple[float, float, float]) -> Floats:
    """Return a strip of these pixels, (1, n, 3)."""
    return np.array([pixels], np.float32)


def test_red_on_dark_counts_only_what_is_dark_and_colorless() -> None:
    """A red coat in the truth is no fault, nor a light thing that turned red."""
    truth = lab((20, 0, 0), (20, 2, 2), (20, 30, 10), (80, 0, 0))
    output = lab((20, 15, 3), (20, 4, 3), (20, 30, 10), (80, 40, 0))

    assert 0.5 == false_color.of_pixels(truth, output).red_on_dark
    assert false_color.of_pixels(truth[:, 2:], output[:, 2:]).red_on_dark is None


def test_chroma_of_neutral_is_the_mean_given_where_the_truth_has_none() -> None:
    """What is colored in the truth does not count."""
    truth, output = (
        lab((50, 0, 1), (50, 3, 4), (50, 30, 40)),
        lab((50, 3, 4), (50, 0, 1), (50, 9, 9)),
    )

    assert 3.0 == pytest.approx(false_color.of_pixels(truth, output).chroma_of_neutral)


def test_brown_is_compared_with_the_truth() -> None:
    """By hue and chroma: green, red and pale pixels are none."""
    truth = lab((50, 10, 15), (50, -20, 20), (50, 30, 5), (50, 2, 3))
    output = lab((50, 10, 15), (50, 12, 20), (50, 30, 5), (50, 9, 9))

    assert 3.0 == false_color.of_pixels(truth, output).brown_ratio
    assert false_color.of_pixels(truth[:, 1:], output[:, 1:]).brown_ratio is None


def scene() -> Pixels:
    """Return two plain surfaces, (128, 160, 3) uint8."""
    photo = np.full((128, 160, 3), (150, 140, 60), np.uint8)
    photo[:, 80:] = (60, 110, 170)
    rng = np.random.default_rng(1)
    return (photo + rng.integers(-6, 7, photo.shape)).astype(np.uint8)


def test_the_chroma_given_is_counted_beside_the_true_one() -> None:
    """Over all pixels, whatever their color."""
    truth = np.zeros((4, 5, 3), np.float32)
    output = truth.copy()
    truth[..., 0], output[..., 0] = 50, 50
    truth[:2, :, 1], output[2:, :, 2] = 8, -3
    found = false_color.of_pixels(truth, output)

    assert (20, 80, 30) == (found.pixels, found.chroma_truth, found.chroma)


def test_patches_within_a_surface_are_seen() -> None:
    """A blotch on a plain wall raises patchiness; the truth itself has 1."""
    truth = scene()
    blotched = truth.copy()
    blotched[40:70, 20:40] = (190, 90, 90)

    assert 1.0 == false_color.of_surfaces(truth, truth).patchiness
    patchiness = false_color.of_surfaces(truth, blotched).patchiness
    assert patchiness is not None
    assert patchiness > 1.2


def test_one_color_for_a_surface_is_not_patchy() -> None:
    """Whatever color that is: gray has no spread at all."""
    truth = scene()
    gray = np.repeat(truth.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)

    assert 0.2 > (false_color.of_surfaces(truth, gray).patchiness or 0.0)


def test_counts_of_strips_add_up() -> None:
    """So that large photographs are counted strip by strip."""
    rng = np.random.default_rng(2)
    truth, output = (rng.normal((40, 0, 0), 15, (6, 50, 3)).astype(np.float32) for _ in range(2))
    parts = [false_color.of_pixels(truth[rows], output[rows]) for rows in (slice(2), slice(2, 6))]

    assert false_color.of_pixels(truth, output) == pytest.approx(parts[0].plus(parts[1]))
    assert FalseColor() == FalseColor().plus(FalseColor())
