"""How a generator's distribution over colors becomes one color: the grid, the shift, the mean.

The grid and the mean are those of Zhang et al. 2016, "Colorful Image Colorization".
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from numpy.typing import NDArray

from worker.color.cielab import in_gamut_ab

BIN_STEP = 10.0  # ab units between neighboring colors of the grid
DECODING = "decoding"  # the layer that is added; float32 under every precision policy
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
    generator: keras.Model, shift: NDArray[np.floating], temperature: float
) -> keras.Model:
    """Add the last layer of a published generator: (logits - shift) / temperature.

    Common colors, above all gray, are likely everywhere, so the most likely color is dull.
    Subtracting a share of their log-probability (Menon et al. 2021, "Long-tail learning via logit
    adjustment") and sharpening the rest gives vivid color, and the generator still learns true
    probabilities.

    Args:
        generator: as `build_generator` makes it; a decoding that it already has is replaced.
        shift: (K,) to subtract from the logits: a share of the log-probability of each color.
        temperature: above 1 flattens, below 1 sharpens.

    Returns:
        a model that shares its layers with `generator`.
    """
    has_one = any(layer.name == DECODING for layer in generator.layers)
    logits = generator.get_layer(DECODING).input if has_one else generator.output
    calibrate = layers.Normalization(
        mean=shift.tolist(), variance=[temperature**2] * len(shift), dtype="float32", name=DECODING
    )
    return keras.Model(generator.input, calibrate(logits), name="generator")


def decode(logits: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Reduce the distribution to its mean color (the annealed mean of Zhang et al. 2016).

    Args:
        logits: (N, s, s, K), calibrated as by `with_decoding`.

    Returns:
        ab (N, s, s, 2) float32 in CIE units, inside the convex hull of the grid; and spread (N, s,
        s, 1) float32, the standard deviation of the distribution in ab units; 0 is certain.
    """
    grid = ops.convert_to_tensor(color_grid())  # (K, 2)
    p = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    ab = ops.matmul(p, grid)
    second_moment = ops.matmul(p, ops.sum(grid * grid, axis=-1, keepdims=True))
    variance = second_moment - ops.sum(ab * ab, axis=-1, keepdims=True)
    return ab, ops.sqrt(ops.maximum(variance, 0.0))


class Sharpening(NamedTuple):
    """What the decoding of a published generator did to its logits.

    Attributes:
        shift: (K,) float32 that was subtracted.
        temperature: that they were divided by.
    """

    shift: NDArray[np.float32]
    temperature: float

    @classmethod
    def of(cls, generator: keras.Model) -> "Sharpening":
        """Read it from a generator; nothing was done where that has no decoding."""
        layer = next((one for one in generator.layers if one.name == DECODING), None)
        if layer is None:
            return cls(np.zeros(len(color_grid()), np.float32), 1.0)
        shift, variance = (
            np.asarray(ops.convert_to_numpy(one), np.float32).ravel()
            for one in (layer.mean, layer.variance)
        )
        return cls(shift, float(np.sqrt(variance[0])))

    def undone(self, logits: KerasTensor) -> KerasTensor:
        """Return the logits (..., K) as they were learned: of true probabilities."""
        return logits * self.temperature + self.shift


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


def confidence(logits: KerasTensor, ab: KerasTensor, sharpening: Sharpening) -> KerasTensor:
    """Return one number for each photograph, from the error expected on a lattice of its places.

    Args:
        logits: (N, s, s, K), calibrated.
        ab: (N, s, s, 2) as `decode` gives it.
        sharpening: of those logits; it is undone, for it overstates.

    Returns:
        (N,) float32 in 0..1: exp(-mean expected error / 20 ab units); 1 is certain.
    """
    first = LATTICE // 2
    places = (slice(None), slice(first, None, LATTICE), slice(first, None, LATTICE))
    plain = sharpening.undone(logits[places])
    return ops.exp(-ops.mean(expected_error(plain, ab[places]), axis=(1, 2)) / DOUBTFUL)
