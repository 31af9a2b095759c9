"""Each metric of the evaluation is held against its formula, written out naively."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene
from worker.color import cielab
from worker.training.evaluation import metrics
from worker.training.evaluation.metrics import (
    calibration,
    colorfulness,
    compare,
    kernel_distance,
    spearman,
)

Array = np.ndarray[Any, Any]
pictures = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
numbers = st.lists(st.integers(-9, 9), min_size=3, max_size=30)


def paper_colorfulness(rgb: Array) -> float:
    """Compute M3 of Hasler and Suesstrunk (2003) in the words of the paper, in float64."""
    r, g, b = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = r - g, 0.5 * (r + g) - b
    sigma = np.sqrt(rg.var() + yb.var())
    mu = np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    return float(sigma + 0.3 * mu)


@given(pictures)
def test_colorfulness_is_the_papers(rgb: Array) -> None:
    """Colorfulness is M3 of the paper on any picture."""
    assert paper_colorfulness(rgb) == pytest.approx(colorfulness(rgb), abs=1e-5)


def test_colorfulness_of_a_picture_of_many_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured strip by strip is what is measured at once."""
    scene = color_scene(70, 50)
    whole = colorfulness(scene)
    monkeypatch.setattr(cielab, "STRIP_PIXELS", 100)

    assert len(cielab.strips(70, 50)) > 10
    assert paper_colorfulness(scene) == pytest.approx(whole)
    assert whole == pytest.approx(colorfulness(scene))


def test_colorfulness_of_simple_pictures() -> None:
    """Gray has none; one pure color has 0.3 of its opponents' length; two make it large."""
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    two = red.copy()
    two[:, :4] = (0, 0, 255)

    assert 0 == colorfulness(as_rgb(gray_scene(8, 8)))
    assert 0.3 * np.hypot(255, 127.5) == pytest.approx(colorfulness(red), rel=1e-6)
    assert colorfulness(two) > 2 * colorfulness(red)


def naive_comparison(truth: Array, output: Array, gray: Array) -> tuple[float, ...]:
    """Compare in one piece, in float64."""
    error = np.mean((truth.astype(np.float64) - output) ** 2)
    true, mine = (
        cv2.cvtColor(one.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
        for one in (truth, output)
    )
    light = np.abs(mine[..., 0] - 100 * cielab.lightness(gray))
    return (
        10 * np.log10(255**2 / max(error, 1e-6)),
        np.sqrt(np.mean((true - mine)[..., 1:] ** 2)),
        light.mean(),
        light.max(),
    )


@pytest.mark.parametrize("strip", [1 << 16, 60])
def test_a_comparison_is_the_formulas(monkeypatch: pytest.MonkeyPatch, strip: int) -> None:
    """PSNR, ab RMSE and lightness error are those of the whole photograph, however it is cut."""
    truth, output, gray = color_scene(30, 40, 1), color_scene(30, 40, 2), gray_scene(30, 40)
    monkeypatch.setattr(cielab, "STRIP_PIXELS", strip)

    assert naive_comparison(truth, output, gray) == pytest.approx(compare(truth, output, gray)[:4])


@given(pictures)
def test_the_truth_itself_has_no_error(rgb: Array) -> None:
    """PSNR is at its limit, ab error is 0, and lightness is that of the gray but for rounding."""
    same = compare(rgb, rgb, cielab.gray_of_rgb(rgb))

    assert 10 * np.log10(255**2 / 1e-6) == pytest.approx(same.psnr)
    assert 0 == same.ab_rmse
    assert same.lightness_mean <= same.lightness_max < 0.5


def naive_kernel_distance(real: Array, fake: Array) -> float:
    """Write out the sum over pairs of different photographs."""
    count, size = real.shape
    total = 0.0
    for i in range(count):
        for j in range(count):
            if i != j:
                total += (real[i] @ real[j] / size + 1) ** 3 + (fake[i] @ fake[j] / size + 1) ** 3
                total -= (real[i] @ fake[j] / size + 1) ** 3 + (fake[i] @ real[j] / size + 1) ** 3
    return float(total / (count * (count - 1)))


@given(st.integers(2, 9), st.integers(1, 5), st.integers(0, 99), st.integers(1, 4))
def test_the_kernel_distance_is_the_formula(count: int, size: int, seed: int, block: int) -> None:
    """It is the unbiased sum of the paper, whatever blocks it is added up in."""
    real, fake = np.random.default_rng(seed).normal(size=(2, count, size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "BLOCK", block)
        found = kernel_distance(real, fake)

    assert naive_kernel_distance(real, fake) == pytest.approx(found, abs=1e-9)


def test_the_kernel_distance_is_unbiased() -> None:
    """Over many draws, sets from one distribution are 0 apart, and others are not."""
    rng = np.random.default_rng(0)
    near = [kernel_distance(*rng.normal(size=(2, 10, 4))) for _ in range(400)]
    far = [kernel_distance(one, other + 1) for one, other in rng.normal(size=(400, 2, 10, 4))]
    scatter = np.std(near) / np.sqrt(len(near))

    assert abs(np.mean(near)) < 4 * scatter
    assert np.mean(far) > 20 * scatter


def test_one_photograph_has_no_kernel_distance() -> None:
    """It takes two to compare."""
    assert np.isnan(kernel_distance(np.ones((1, 4)), np.ones((1, 4))))


@given(numbers)
def test_ranks_do_not_mind_a_bent_scale(values: list[int]) -> None:
    """Spearman is 1 for any rising curve, -1 for a falling one, and nan for a constant."""
    one = np.array(values, np.float64)
    rising, falling = spearman(one, np.exp(one)), spearman(one, -(one**3))
    expected = 1.0 if len(set(values)) > 1 else float("nan")

    assert expected == pytest.approx(rising, nan_ok=True)
    assert -expected == pytest.approx(falling, nan_ok=True)


def test_ties_share_their_rank() -> None:
    """As in the textbook: 1, 2.5, 2.5, 4 against 1, 2, 3, 4."""
    expected = np.corrcoef([1, 2.5, 2.5, 4], [1, 2, 3, 4])[0, 1]

    assert expected == pytest.approx(spearman(np.array([0, 5, 5, 9]), np.array([1, 2, 3, 4])))


def test_honest_doubt_is_calibrated() -> None:
    """Errors drawn with the spread that is told have no calibration error; half of it shows."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(2, 30, 40_000)
    error = np.hypot(*rng.normal(size=(2, spread.size))) * spread / np.sqrt(2)
    honest, bold = calibration(spread, error), calibration(spread / 2, error)

    assert 0 == pytest.approx(honest.error, abs=0.2)
    assert np.mean(spread) / 2 == pytest.approx(bold.error, rel=0.05)
    assert honest.rank == pytest.approx(bold.rank)
    assert honest.rank > 0.5


def test_doubt_that_says_nothing_has_no_rank() -> None:
    """A spread that is one everywhere, as of gray, correlates with nothing."""
    flat = calibration(np.full(50, 3.0), np.arange(50.0))

    assert np.isnan(flat.rank)
    assert np.isfinite(flat.error)
    assert np.isnan(calibration(np.ones(9), np.ones(9)).error)
