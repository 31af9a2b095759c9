"""The colors of a photograph as a short list, and the shift of a distribution towards them; pure.

Prior shift (Saerens et al. 2002): where a place may have several colors, those that the reference
has more of than this photograph become likelier by the ratio of their frequencies, and the others
less so. Both frequencies are smoothed and the shift is bounded, so that no color of which there is
no trace at a place can win there. Without the bound an orange sunset as reference makes orange
patches of sand, trees and walls; with it, it warms them.
"""

from collections.abc import Sequence

import numpy as np

from worker.color.upsampling import Floats

STEP = 10  # ab units between the colors of the list
MOST = 64
THOUSANDTHS = 1000
WIDTH = 8.0  # ab units; colors that near are alike
RARE = 0.01  # share that every color has at least, times what this photograph has of it
BOUND = 2.0  # natural logarithm of the ratio


def frequent_colors(ab: Floats) -> tuple[tuple[int, int, int], ...]:
    """List the most frequent colors of a picture, the most frequent first.

    Args:
        ab: (N, 2) float32, CIE units; N at least 1.

    Returns:
        At most 64 of (a*, b*, thousandths of the picture), on a grid of step 10.
    """
    cells, counts = np.unique(np.rint(ab / STEP).astype(int), axis=0, return_counts=True)
    shares = np.rint(counts * THOUSANDTHS / len(ab)).astype(int)
    order = np.lexsort((cells[:, 1], cells[:, 0], -shares))[:MOST]
    found = [
        (int(cells[at, 0]) * STEP, int(cells[at, 1]) * STEP, int(shares[at]))
        for at in order
        if shares[at]
    ]
    return tuple(found) or ((0, 0, THOUSANDTHS),)


def shift_towards(colors: Sequence[tuple[int, int, int]], own: Floats, grid: Floats) -> Floats:
    """Return what is to be added to the logits of a photograph.

    Args:
        colors: of the reference, as `frequent_colors` lists them.
        own: (K,) mean distribution of the photograph over the grid.
        grid: (K, 2) its colors.

    Returns:
        (K,) between -2 and 2.
    """
    listed = np.array(colors, np.float64)
    wanted = _spread(listed[:, :2], listed[:, 2] / listed[:, 2].sum(), grid)
    present = _spread(grid, own.astype(np.float64), grid)
    wanted = (1 - RARE) * wanted + RARE * present
    return np.asarray(BOUND * np.tanh(np.log(wanted / present) / BOUND))


def _spread(colors: Floats, shares: Floats, grid: Floats) -> Floats:
    """Smooth shares of colors (N, 2) over the grid: (K,), of sum 1, nowhere 0."""
    squares = ((colors[:, None] - grid) ** 2).sum(axis=-1)  # (N, K)
    near = np.exp((squares.min(axis=1, keepdims=True) - squares) / (2 * WIDTH**2))
    spread = shares @ (near / near.sum(axis=1, keepdims=True))
    return np.asarray(spread + 1e-12)
