"""Fit scans into batches of squares for the generator, and split its chroma up again; pure."""

from collections.abc import Sequence

import cv2
import numpy as np

from worker.color.cielab import Floats, Pixels, lightness


def size_for(count: int, least: int, most: int) -> int:
    """Return the size of the batch for so many scans: `least`, doubled until they fit, or `most`.

    So there are few sizes, each of which the device prepares once, and one scan does not pay for a
    full batch.
    """
    size = least
    while size < count:
        size *= 2
    return min(size, most)


def fit(grays: Sequence[Pixels], side: int, batch: int) -> Floats:
    """Shrink scans to one batch of fixed shape, stretched to squares as in training.

    Args:
        grays: at most `batch` arrays (H, W), uint8 or uint16.
        side: of the square, pixels.
        batch: its size; unused places are zero.

    Returns:
        (batch, side, side, 1) float32 lightness in 0..1.

    Raises:
        ValueError: there are more scans than places.
    """
    if len(grays) > batch:
        raise ValueError(f"{len(grays)} scans do not fit into a batch of {batch}")
    squares = np.zeros((batch, side, side, 1), np.float32)
    for place, gray in enumerate(grays):
        squares[place, :, :, 0] = lightness(
            np.asarray(cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA))
        )
    return squares


def unfit(chroma: Floats, count: int) -> list[Floats]:
    """Copy the first `count` chroma planes (s, s, 2) out of a batch (N, s, s, 2)."""
    return [np.array(chroma[place]) for place in range(count)]
