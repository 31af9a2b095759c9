"""Promises of worker.models.decoding."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from worker.color.cielab import in_gamut_ab
from worker.models.decoding import (
    BIN_STEP,
    DECODING,
    color_grid,
    confidence,
    decode,
    doubt,
    expected_error,
    gain_of,
    is_gray,
    share_of_shift,
    shift_of,
    temperature_of,
    with_decoding,
    with_plain_logits,
)
from worker.models.generator import LOGITS, without_decoding
from worker.models.serialization import in_precision


def numbers(tensor: Any) -> np.ndarray:
    """Return a tensor as an array."""
    return np.asarray(ops.convert_to_numpy(tensor))


def test_the_grid_spans_the_gamut() -> None:
    """The colors are distinct, BIN_STEP apart, all possible in sRGB, and gray is among them."""
    grid = color_grid()

    assert 224 == len(grid)
    assert len(grid) == len(np.unique(grid, axis=0))
    assert np.array_equal(np.zeros_like(grid), grid % BIN_STEP)
    assert in_gamut_ab(grid.astype(np.float64)).all()
    assert [0, 0] in grid.tolist()


def a_distribution(seed: int = 0, sharpness: float = 3.0) -> np.ndarray:
    """Return random logits (2, 3, 4, K)."""
    return (
        np.random.default_rng(seed)
        .normal(0, sharpness, (2, 3, 4, len(color_grid())))
        .astype(np.float32)
    )


def test_decode_gives_the_mean_and_its_spread() -> None:
    """Ab is the mean of the distribution and spread its standard deviation, as defined."""
    logits = a_distribution()
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=-1, keepdims=True)
    mean = p @ color_grid()
    variance = (p[..., None] * (color_grid() - mean[..., None, :]) ** 2).sum(axis=(-2, -1))
    ab, spread = map(numbers, decode(logits))

    assert mean == pytest.approx(ab, abs=1e-2)
    assert np.sqrt(variance)[..., None] == pytest.approx(spread, abs=1e-2)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 30.0, 1e4])
def test_decoded_colors_stay_inside_the_hull(sharpness: float) -> None:
    """Whatever the scores, the color lies in the grid's hull; spread is at least 0 and finite."""
    ab, spread = map(numbers, decode(a_distribution(1, sharpness)))
    directions = np.stack([np.cos(np.arange(0, 6.3, 0.1)), np.sin(np.arange(0, 6.3, 0.1))])

    assert (ab @ directions <= (color_grid() @ directions).max(axis=0) + 0.01).all()
    assert (spread >= 0).all()
    assert np.isfinite(spread).all()


@pytest.mark.parametrize("color", [0, 100, 223])
def test_certainty_has_no_spread(color: int) -> None:
    """A distribution on one single color gives that color, and a spread of 0."""
    logits = np.full((1, 1, 1, len(color_grid())), -1e4, np.float32)
    logits[..., color] = 1e4
    ab, spread = map(numbers, decode(logits))

    assert color_grid()[color] == pytest.approx(ab[0, 0, 0], abs=1e-3)
    assert 0 == pytest.approx(spread.item(), abs=0.1)


def decoded(
    generator: keras.Model, shift: np.ndarray, temperature: float, picture: np.ndarray
) -> Any:
    """Return ab and spread of a picture under a decoding."""
    return map(
        numbers, decode(with_decoding(generator, shift, temperature)(picture, training=False))
    )


def test_temperature_goes_from_calm_to_the_likeliest(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """Very cold is the likeliest color, very hot the mean of the grid; cold has less spread."""
    still = np.zeros(len(color_grid()))
    logits = numbers(small_generator(some_lightness, training=False))
    cold, cold_spread = decoded(small_generator, still, 1e-5, some_lightness)
    plain, plain_spread = decoded(small_generator, still, 1.0, some_lightness)
    hot, _ = decoded(small_generator, still, 1e5, some_lightness)

    likeliest = color_grid()[logits.argmax(axis=-1)]
    assert np.isclose(likeliest, cold, atol=0.5).mean() > 0.99  # a tie is broken by the last bit
    assert numbers(decode(logits)[0]) == pytest.approx(plain, abs=1e-2)
    assert np.broadcast_to(color_grid().mean(axis=0), hot.shape) == pytest.approx(hot, abs=0.05)
    assert (cold_spread <= plain_spread + 0.1).all()


def test_decoding_is_shift_then_temperature(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """The served layers are (logits - share * shift) / temperature; given again, replaced."""
    shift = np.random.default_rng(3).normal(size=len(color_grid())).astype(np.float32)
    once = with_decoding(small_generator, shift, 0.4, 1.2)
    twice = with_decoding(with_decoding(small_generator, shift * 2, 3.0, 1.1), shift, 0.4, 1.2)
    logits = numbers(small_generator(some_lightness, training=False))
    share = numbers(share_of_shift(some_lightness, logits))

    assert share.min() < share.max()
    for generator in (once, twice):
        expected = (logits - share * shift + 1.2) / 0.4
        assert expected == pytest.approx(
            numbers(generator(some_lightness, training=False)), rel=1e-3, abs=1e-3
        )
        assert DECODING == generator.layers[-1].name
        assert shift == pytest.approx(shift_of(generator))
        assert 0.4 == pytest.approx(temperature_of(generator))
        assert 1.2 == gain_of(generator)


@pytest.mark.parametrize(
    ("lightness", "gray", "share"),
    [
        *[(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.35, 0.0, 0.5), (0.6, 0.0, 1.0), (1.0, 0.0, 1.0)],
        *[(1.0, 0.1, 1.0), (1.0, 0.25, 0.5), (1.0, 0.4, 0.0), (1.0, 1.0, 0.0)],
        *[(0.35, 0.25, 0.25)],
    ],
)
def test_less_is_shifted_in_the_dark_and_where_gray_is_likely(
    lightness: float, gray: float, share: float
) -> None:
    """From lightness 0.1 to 0.6 more and more; from 10 % of gray to 40 % less and less."""
    p = np.where(is_gray() == 1, gray, (1 - gray) / (len(color_grid()) - 1))
    logits = np.broadcast_to(np.log(p + 1e-30).astype(np.float32), (1, 2, 2, len(p)))
    square = np.full((1, 8, 8, 1), lightness, np.float32)

    assert share == pytest.approx(float(numbers(share_of_shift(square, logits)).mean()), abs=1e-4)


def test_a_version_of_the_first_form_still_serves(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """Its only layer of decoding was (logits - shift) / temperature; its plain logits are found."""
    shift = np.linspace(-1, 1, len(color_grid()))
    layer = keras.layers.Normalization(mean=shift, variance=[0.25] * len(shift), name=DECODING)
    old = keras.Model(small_generator.input, layer(small_generator.output))
    plain = numbers(small_generator(some_lightness, training=False))
    logits, found = map(numbers, with_plain_logits(old)(some_lightness, training=False))

    assert (plain - shift) / 0.5 == pytest.approx(logits, rel=1e-3, abs=1e-3)
    assert np.array_equal(plain, found)
    assert 0.5 == temperature_of(old)
    assert shift_of(old) is None
    assert 1.0 == gain_of(old)


def test_training_takes_the_decoding_off(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """without_decoding gives back the plain scores, with or without a decoding on."""
    shift = np.ones(len(color_grid()))
    plain = numbers(small_generator(some_lightness, training=False))

    for generator in (small_generator, with_decoding(small_generator, shift, 0.3)):
        bare = without_decoding(generator)

        assert LOGITS == bare.layers[-1].name
        assert np.array_equal(plain, numbers(bare(some_lightness, training=False)))


def test_the_logits_as_learned_are_kept(small_generator: keras.Model) -> None:
    """They come beside those that are decoded; without a decoding both are the same."""
    shift = np.linspace(-1, 2, len(color_grid()))
    squares = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    plain = numbers(small_generator(squares, training=False))
    decoded = with_decoding(small_generator, shift, 0.5)

    assert np.array_equal(plain, numbers(with_plain_logits(decoded)(squares, training=False)[1]))
    for output in with_plain_logits(small_generator)(squares, training=False):
        assert np.array_equal(plain, numbers(output))
    assert 1.0 == temperature_of(small_generator)


def test_the_error_expected_is_the_mean_distance() -> None:
    """0 where the color given is certain; half the way to another color that is as likely."""
    grid = color_grid()
    gray = np.flatnonzero((grid == 0).all(axis=1))[0]
    near, far = (np.flatnonzero((grid == [0, b]).all(axis=1))[0] for b in (10, 60))
    logits = np.full((3, len(grid)), -60, np.float32)
    logits[:, gray] = 0
    logits[1, near] = logits[2, far] = 0

    assert [0, 5, 30] == pytest.approx(
        numbers(expected_error(logits, np.zeros((3, 2), np.float32))), abs=1e-3
    )


def test_confidence_falls_with_the_error_expected() -> None:
    """From 1 for certainty towards 0."""
    grid = color_grid()
    certain = np.where((grid == 0).all(axis=1), 0, -60).astype(np.float32)
    logits = np.stack([certain, certain / 60, 0 * certain])[:, None, None].repeat(8, 1).repeat(8, 2)
    doubts = numbers(doubt(logits, np.zeros((3, 8, 8, 2), np.float32)))
    sure, doubtful, lost = map(confidence, doubts)

    assert 1 == pytest.approx(sure, abs=1e-3)
    assert sure > doubtful > lost > 0


def test_a_gain_multiplies_the_mean_alone(small_generator: keras.Model) -> None:
    """It is kept in the layers, which a copy has too, and changes the spread by nothing."""
    shift = np.linspace(-1, 1, len(color_grid()))
    squares = np.random.default_rng(0).random((1, 64, 64, 1), np.float32)
    kept = in_precision(with_decoding(small_generator, shift, 0.5, 1.15), "float32")
    plain = with_decoding(small_generator, shift, 0.5)
    ab, spread = map(numbers, decode(kept(squares, training=False), gain_of(kept)))
    mean, same = map(numbers, decode(plain(squares, training=False)))

    assert 1.15 == gain_of(kept)
    assert 1.0 == gain_of(plain) == gain_of(small_generator)
    assert 1.15 * mean == pytest.approx(ab, abs=0.05)
    assert same == pytest.approx(spread, abs=0.05)
