"""How a generator's distribution over colors becomes one color: the grid, the shift, the mean.

The grid and the mean are those of Zhang et al. 2016, "Colorful Image Colorization".
"""

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from numpy.typing import NDArray

from worker.color.cielab import in_gamut_ab

BIN_STEP = 10.0  # ab units between neighboring colors of the grid
CHROMA_STRIDE = 4  # the output of a generator has a quarter of the input's size
DECODING = "decoding"  # the last layer, and what the names of those before it begin with
SHIFT = f"{DECODING}_shift"  # the layer that holds what is subtracted
SHIFTED = f"{DECODING}_shifted"  # the layer that subtracts it
GAIN = f"{DECODING}_gain"  # the layer that holds how many times the mean color is given
TEMPERATURE = 0.45  # of what is published; lower ones unify a surface, but break it into patches
CHROMA_GAIN = 1.15  # of what is published: a mean is duller than what it is the mean of
DARK, LIGHT = 0.1, 0.6  # lightness (0..1): nothing is subtracted at one, all at the other
DOUBTED, SURE = 0.1, 0.4  # probability of gray: all is subtracted at one, nothing at the other
LATTICE = 8  # confidence is measured on every eighth place of the chroma plane, both ways
DOUBTFUL = 20.0  # ab units of error; it makes a confidence of 0.37


def color_grid() -> NDArray[np.float32]:
    """Return the colors of the head: a grid of step 10 in ab over the sRGB gamut.

    Returns:
        (K, 2) float32, CIE a* and b*, row-major in a then b.
    """
    axis = np.arange(-110.0, 111.0, BIN_STEP)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return grid[in_gamut_ab(grid)].astype(np.float32)


def with_decoding(
    generator: keras.Model, shift: NDArray[np.floating], temperature: float, gain: float = 1.0
) -> keras.Model:
    """Add the last layers of a published generator: (logits - share * shift) / temperature.

    Common colors, above all gray, are likely everywhere, so the most likely color is dull.
    Subtracting a part of their log-probability (Menon et al. 2021, "Long-tail learning via logit
    adjustment") and sharpening the rest gives vivid color, and the generator still learns true
    probabilities. `share_of_shift` tells where less is subtracted.

    Args:
        generator: as `build_generator` makes it; a decoding that it already has is replaced.
        shift: (K,) to subtract from the logits: a multiple of the log-probability of each color.
        temperature: above 1 flattens, below 1 sharpens.
        gain: for `decode`, which multiplies the mean color by it. It is kept as a number added to
            all logits, which changes no probability.

    Returns:
        a model that shares its layers with `generator`.
    """
    logits = plain_logits(generator)
    small = _layer(layers.AveragePooling2D, "lightness", CHROMA_STRIDE)(generator.input)
    light = _ramp("light", small, np.ones(1), DARK, LIGHT)
    probability = _layer(layers.Softmax, "probability")(logits)
    unsure = _ramp("unsure", probability, is_gray(), SURE, DOUBTED)
    share = _layer(layers.Multiply, "share")([light, unsure])
    subtract = _layer(layers.Conv2D, "shift", len(shift), 1, use_bias=False)
    shifted = _layer(layers.Subtract, "shifted")([logits, subtract(share)])
    subtract.set_weights([np.asarray(shift, np.float32).reshape(1, 1, 1, -1)])
    keep = _layer(layers.Rescaling, "gain", 1.0, offset=gain)
    sharpen = layers.Normalization(
        axis=None, mean=0.0, variance=temperature**2, dtype="float32", name=DECODING
    )
    return keras.Model(generator.input, sharpen(keep(shifted)), name="generator")


def is_gray() -> NDArray[np.float32]:
    """Return 1 for the color of the grid that is gray, 0 for all others; (K,) float32."""
    return (color_grid() == 0).all(axis=1).astype(np.float32)


def share_of_shift(lightness: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Tell which share of the shift is subtracted where, as the layers of `with_decoding` do.

    In the dark, gray and dark red are near ties, so a shift makes black cloth red. And where gray
    is likely by itself, a shift gives tints to stone, snow and white rooms.

    Args:
        lightness: (N, S, S, 1) in 0..1.
        logits: (N, S/4, S/4, K), as learned.

    Returns:
        (N, S/4, S/4, 1) float32 in 0..1.
    """
    small = ops.average_pool(ops.cast(lightness, "float32"), CHROMA_STRIDE, strides=CHROMA_STRIDE)
    p = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    gray = ops.matmul(p, ops.convert_to_tensor(is_gray()[:, None]))
    light = ops.clip((small - DARK) / (LIGHT - DARK), 0, 1)
    return light * ops.clip((SURE - gray) / (SURE - DOUBTED), 0, 1)


def plain_logits(generator: keras.Model) -> KerasTensor:
    """Return the output of a generator before its decoding, if it has one."""
    named = {layer.name: layer for layer in generator.layers}
    if SHIFTED in named:
        return named[SHIFTED].input[0]
    return named[DECODING].input if DECODING in named else generator.output


def with_plain_logits(generator: keras.Model) -> keras.Model:
    """Return a model of two outputs that shares its layers: the logits, and those as learned."""
    return keras.Model(generator.input, [generator.output, plain_logits(generator)])


def shift_of(generator: keras.Model) -> NDArray[np.float32] | None:
    """Return the shift (K,) of a generator's decoding; None without one of this form."""
    layer = next((one for one in generator.layers if one.name == SHIFT), None)
    return None if layer is None else np.asarray(layer.get_weights()[0], np.float32).ravel()


def temperature_of(generator: keras.Model) -> float:
    """Return the temperature of a generator's decoding; 1 without one."""
    layer = next((one for one in generator.layers if one.name == DECODING), None)
    if layer is None:
        return 1.0
    return float(np.sqrt(np.asarray(ops.convert_to_numpy(layer.variance)).ravel()[0]))


def gain_of(generator: keras.Model) -> float:
    """Return the gain of a generator's decoding; 1 without one."""
    layer = next((one for one in generator.layers if one.name == GAIN), None)
    return 1.0 if layer is None else float(layer.offset)


def _layer(kind: type[keras.Layer], name: str, *args: Any, **settings: Any) -> keras.Layer:
    """Make a layer of the decoding; float32 under every precision policy."""
    return kind(*args, dtype="float32", name=f"{DECODING}_{name}", **settings)


def _ramp(
    name: str, x: KerasTensor, weights: NDArray[np.floating], zero: float, one: float
) -> KerasTensor:
    """Let a weighted sum (N, s, s, 1) of channels rise from 0 at one value to 1 at another."""
    combine = _layer(layers.Conv2D, name, 1, 1)
    risen = _layer(layers.ReLU, f"{name}_share", max_value=1.0)(combine(x))
    kernel = weights.reshape(1, 1, -1, 1) / (one - zero)
    combine.set_weights([kernel, np.array([-zero / (one - zero)])])
    return risen


def decode(logits: KerasTensor, gain: float = 1.0) -> tuple[KerasTensor, KerasTensor]:
    """Reduce the distribution to its mean color (the annealed mean of Zhang et al. 2016).

    Args:
        logits: (N, s, s, K), calibrated as by `with_decoding`.
        gain: what `gain_of` tells of their generator.

    Returns:
        ab (N, s, s, 2) float32 in CIE units, `gain` times a color in the convex hull of the grid;
        and spread (N, s, s, 1) float32, the standard deviation of the distribution in ab units; 0
        is certain.
    """
    grid = ops.convert_to_tensor(color_grid())  # (K, 2)
    p = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    ab = ops.matmul(p, grid)
    second_moment = ops.matmul(p, ops.sum(grid * grid, axis=-1, keepdims=True))
    variance = second_moment - ops.sum(ab * ab, axis=-1, keepdims=True)
    return gain * ab, ops.sqrt(ops.maximum(variance, 0.0))


def expected_error(plain: KerasTensor, ab: KerasTensor) -> KerasTensor:
    """Tell how far the color that is given is expected to be from the true one.

    Args:
        plain: (..., K) logits as learned, without decoding.
        ab: (..., 2) the color given.

    Returns:
        (...) float32, ab units: the mean distance under the distribution.
    """
    grid = ops.convert_to_tensor(color_grid())  # (K, 2)
    p = ops.softmax(ops.cast(plain, "float32"), axis=-1)
    # |c - ab|^2 in three terms: the differences themselves would take twice the memory.
    squares = ops.sum(ab * ab, axis=-1, keepdims=True) - 2 * ops.matmul(ab, ops.transpose(grid))
    squares += ops.sum(grid * grid, axis=-1)  # (..., K)
    return ops.sum(p * ops.sqrt(ops.maximum(squares, 0.0)), axis=-1)


def doubt(plain: KerasTensor, ab: KerasTensor) -> KerasTensor:
    """Return the error expected of each photograph, on a lattice of its places.

    Args:
        plain: (N, s, s, K) logits as learned, for sharpened ones overstate.
        ab: (N, s, s, 2) the color given.

    Returns:
        (N,) float32, ab units.
    """
    first = LATTICE // 2
    places = (slice(None), slice(first, None, LATTICE), slice(first, None, LATTICE))
    return ops.mean(expected_error(plain[places], ab[places]), axis=(1, 2))


def confidence(error: float) -> float:
    """Return exp(-error / 20 ab units), 0 to 1, for a photograph's `doubt`; 1 is certain.

    Not in the graph: there the last bit of exp depends on how many photographs come with it.
    """
    return math.exp(-error / DOUBTFUL)
