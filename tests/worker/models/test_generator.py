"""Promises of worker.models.generator."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from tests.worker.conftest import SMALL
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import (
    SMOOTH_BELOW,
    WINDOW,
    build_generator,
    deep_encoder_layers,
    encoder_layers,
    load_imagenet_encoder,
    with_consensus,
    without_decoding,
)

# Of the built-in's shape. The encoder is EfficientNet-Lite0's with its batch norms folded in, one
# channel in, no classifier.
PARAMETERS = {
    "encoder_stem": 320,
    "encoder": 2_938_224,
    "bottom": 82_944,
    "context": 65_792,
    "decode16": 848_896,
    "refine16": 590_848,
    "decode8": 341_504,
    "refine8": 147_968,
    "decode4": 87_808,
    "logits": 14_560,
}


def group_of(layer: keras.Layer) -> str:
    """Return the row of PARAMETERS that a layer belongs to."""
    if layer.name.startswith("encoder_") and layer.name != "encoder_stem":
        return "encoder"
    return layer.name.removesuffix("_norm")


@pytest.fixture(scope="module")
def full_generator() -> keras.Model:
    """Build the generator in the shape of the built-in one."""
    return build_generator()


def numbers(tensor: Any) -> np.ndarray:
    """Return a tensor as an array."""
    return np.asarray(ops.convert_to_numpy(tensor))


def test_the_parameters_are_all_accounted_for(full_generator: keras.Model) -> None:
    """The table names every group of layers with weights and its size: none missing, none extra."""
    counted: dict[str, int] = {}
    for layer in full_generator.layers:
        if layer.weights:
            counted[group_of(layer)] = counted.get(group_of(layer), 0) + layer.count_params()

    assert PARAMETERS == counted
    assert sum(PARAMETERS.values()) == full_generator.count_params()


@pytest.mark.parametrize("side", [64, 96])
def test_chroma_is_a_quarter_of_the_size(small_generator: keras.Model, side: int) -> None:
    """Any multiple of 32 goes in; float32 scores of all colors come out at a quarter of it."""
    logits = numbers(small_generator(np.full((2, side, side, 1), 0.5, np.float32), training=False))

    assert (2, side // 4, side // 4, len(color_grid())) == logits.shape
    assert np.float32 == logits.dtype
    assert np.isfinite(logits).all()


def test_one_surface_agrees_on_its_color(small_generator: keras.Model) -> None:
    """With consensus, the scores of a noisy flat vary less, and edges hold."""
    rng = np.random.default_rng(3)
    picture = np.full((1, 128, 128, 1), 0.25, np.float32)
    picture[:, :, 64:] = 0.75
    picture += rng.normal(0, 0.01, picture.shape).astype(np.float32)
    before = numbers(small_generator(picture, training=False))[0]
    after = numbers(with_consensus(small_generator)(picture, training=False))[0]
    left, right = np.s_[4:-4, 4:12], np.s_[4:-4, 20:28]
    gap = np.abs(before[left].mean(axis=(0, 1)) - before[right].mean(axis=(0, 1))).max()
    gap_after = np.abs(after[left].mean(axis=(0, 1)) - after[right].mean(axis=(0, 1))).max()

    for side in (left, right):
        assert after[side].std(axis=(0, 1)).mean() < 0.75 * before[side].std(axis=(0, 1)).mean()
    assert gap_after > 0.8 * gap


def test_consensus_filters_the_scores_themselves(small_generator: keras.Model) -> None:
    """Filtering features is filtering logits: half the plain ones, half a guided filter of them."""
    picture = np.random.default_rng(4).random((1, 128, 128, 1), np.float32)
    plain = numbers(small_generator(picture, training=False))[0].astype(np.float64)
    guide = picture[0, ..., 0].reshape(32, 4, 32, 4).mean(axis=(1, 3))[..., None].astype(np.float64)

    def around(x: np.ndarray) -> np.ndarray:
        reach = WINDOW // 2
        rows = np.stack([x[max(0, at - reach) : at + reach + 1].mean(axis=0) for at in range(32)])
        columns = [rows[:, max(0, at - reach) : at + reach + 1].mean(axis=1) for at in range(32)]
        return np.stack(columns, axis=1)

    covariance = around(guide * plain) - around(guide) * around(plain)
    slope = covariance / (around(guide**2) - around(guide) ** 2 + SMOOTH_BELOW**2)
    filtered = around(slope) * guide + around(around(plain) - slope * around(guide))
    given = numbers(with_consensus(small_generator)(picture, training=False))[0]

    assert (plain + filtered) / 2 == pytest.approx(given, abs=0.02)


def test_consensus_comes_off_again(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """Training goes on from the plain scores, and the generator that was given stays as it was."""
    before = numbers(small_generator(some_lightness, training=False))
    served = with_decoding(with_consensus(small_generator), np.ones(len(color_grid())), 0.5)
    bare = without_decoding(served)

    assert np.array_equal(before, numbers(bare(some_lightness, training=False)))
    assert np.array_equal(before, numbers(small_generator(some_lightness, training=False)))
    assert not np.allclose(before, numbers(with_consensus(bare)(some_lightness, training=False)))


def test_the_deep_half_is_the_end_of_the_encoder(small_generator: keras.Model) -> None:
    """The deep half is the last eight blocks: 24 layers with most of the encoder's weights."""
    every, deep = encoder_layers(small_generator), deep_encoder_layers(small_generator)
    share = sum(layer.count_params() for layer in deep) / 2_938_544

    assert every[-len(deep) :] == deep
    assert 24 == len(deep)
    assert share > 0.8


def test_every_encoder_layer_gets_its_weights() -> None:
    """Every layer of the encoder, and no other, gets finite values that are not all alike."""
    keras.utils.set_random_seed(1)
    generator = build_generator(SMALL)
    before = {weight.path: numbers(weight).copy() for weight in generator.weights}
    load_imagenet_encoder(generator)
    encoder = {weight.path for layer in encoder_layers(generator) for weight in layer.weights}

    assert 48 == len(encoder_layers(generator))
    for weight in generator.weights:
        value = numbers(weight)
        if weight.path in encoder:
            assert not np.array_equal(before[weight.path], value), weight.path
            assert np.isfinite(value).all(), weight.path
            assert value.std() > 0, weight.path
        else:
            assert np.array_equal(before[weight.path], value), weight.path


def test_the_encoder_is_blind_to_nothing(small_generator: keras.Model) -> None:
    """Different pictures give different scores, and one picture the same in any company."""
    rng = np.random.default_rng(0)
    pictures = rng.random((3, 64, 64, 1), np.float32)
    together = numbers(small_generator(pictures, training=False))
    alone = numbers(small_generator(pictures[1:2], training=False))

    assert np.abs(together[0] - together[1]).max() > 1e-3
    assert alone[0] == pytest.approx(together[1], abs=1e-4)


def test_another_shape_refuses_the_pretrained_weights(small_generator: keras.Model) -> None:
    """Weights of another encoder are refused, not half loaded."""
    other = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(7, 3, name="encoder_stem")]
    )

    with pytest.raises(ValueError, match="shape"):
        load_imagenet_encoder(other)
    assert small_generator.get_layer("encoder_stem").get_weights()[0].shape == (3, 3, 1, 32)


def test_layers_are_keras_own(
    small_generator: keras.Model, tmp_path: Path, some_lightness: np.ndarray
) -> None:
    """A saved generator loads in safe mode without photochrom's code and computes the same."""
    generator = with_decoding(small_generator, np.linspace(-1, 1, len(color_grid())), 0.5)
    for layer in generator.layers:
        assert type(layer).__module__.startswith("keras."), layer.name
    generator.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras", compile=False, safe_mode=True)

    assert numbers(generator(some_lightness)) == pytest.approx(
        numbers(loaded(some_lightness)), abs=1e-4
    )
