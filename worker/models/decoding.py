"""How a generator's distribution over colors becomes one color: the grid, the shift, the mean.

The grid and the mean are those of Zhang et al. 2016, "Colorful Image Colorization".
"""

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from numpy.typing import NDArray

from worker.color.cielab import in_gamut_ab

BIN_STEP = 10.0  # ab units between neighboring colors of the grid
DECODING = "decoding"  # the layer that is added; float32 under every precision policy


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
