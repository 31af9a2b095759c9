"""Promises of worker.color.prior_shift: a short list of colors, and the shift towards them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.color.cielab import Floats
from worker.color.palettes import softmax
from worker.color.prior_shift import BOUND, MOST, frequent_colors, shift_towards
from worker.models.decoding import color_grid

GRID = color_grid()
WARM, COLD = ((20, 40, 700), (0, 0, 300)), ((-10, -30, 700), (0, 0, 300))


def distribution(*peaks: tuple[float, float, float], width: float = 12.0) -> Floats:
    """Give some colors (a, b, weight) a share each, (K,)."""
    p = sum(
        weight * np.exp(-(((GRID - [a, b]) ** 2).sum(axis=-1)) / (2 * width**2))
        for a, b, weight in peaks
    )
    return np.asarray(p / np.sum(p))


def test_the_most_frequent_colors_come_first_with_their_shares() -> None:
    """In thousandths, on a grid of step 10; what is rarer than one is left out."""
    ab = np.zeros((10_000, 2), np.float32)
    ab[:3000] = (12, 38)
    ab[3000:3500] = (-26, -4)
    ab[3500:3504] = (50, 50)

    assert ((0, 0, 650), (10, 40, 300), (-30, 0, 50)) == frequent_colors(ab)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5000))
def test_any_picture_has_a_short_list(seed: int, size: int) -> None:
    """Never empty, never long; no color twice, and nothing but whole numbers."""
    ab = np.random.default_rng(seed).normal(0, 40, (size, 2)).astype(np.float32)
    found = frequent_colors(ab)

    assert 1 <= len(found) <= MOST
    assert len({(a, b) for a, b, _share in found}) == len(found)
    assert all(type(one) is int for color in found for one in color)
    assert sorted((share for *_ab, share in found), reverse=True) == [one[2] for one in found]


def test_a_photograph_that_has_the_colors_is_left_as_it_is() -> None:
    """Its own colors as reference shift hardly anything."""
    own = distribution((20, 40, 0.5), (0, 0, 0.5))
    ab = np.random.default_rng(0).choice(len(GRID), 20_000, p=own)
    shift = shift_towards(frequent_colors(GRID[ab]), own, GRID)

    assert np.abs(shift[own > 0.002]).max() < 0.3


@pytest.mark.parametrize(("colors", "way"), [(WARM, 1), (COLD, -1)])
def test_what_may_be_either_becomes_what_the_reference_has(
    colors: tuple[tuple[int, int, int], ...], way: int
) -> None:
    """A place of which warm and cold are as likely goes its way."""
    own = distribution((20, 40, 0.5), (-10, -30, 0.5))
    shift = shift_towards(colors, own, GRID)
    before = own @ GRID
    after = softmax(np.log(own) + shift) @ GRID

    assert way * (after[1] - before[1]) > 15


def test_what_is_sure_stays_what_it_is() -> None:
    """No color wins of which there is no trace, however much of it the reference has."""
    own = distribution((0, 0, 0.5), (-30, 30, 0.5))
    shift = shift_towards(((50, 50, 1000),), own, GRID)
    grass = distribution((-30, 30, 1), width=8)
    after = softmax(np.log(grass + 1e-9) + shift) @ GRID

    assert np.linalg.norm(after - grass @ GRID) < 8


@given(st.integers(0, 2**32 - 1))
def test_the_shift_is_bounded(seed: int) -> None:
    """Whatever the colors are, also such as no screen can show."""
    dice = np.random.default_rng(seed)
    colors = tuple((int(a), int(b), 10) for a, b in dice.integers(-128, 129, (20, 2)))
    own = dice.dirichlet(np.full(len(GRID), 0.01))
    shift = shift_towards(colors, own, GRID)

    assert np.isfinite(shift).all()
    assert np.abs(shift).max() <= BOUND
