"""How far a color that is known at one place spreads over the thing that lies there; pure.

A place belongs to the same surface as far as one can walk to it without a step in lightness. The
cheapest walk is found by passes along rows and columns, each exact in one direction.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from worker.color.upsampling import Floats

SIDE = 128  # of the square guide, pixels
GRAIN = 0.015  # steps in lightness that are no edge, as a share of the page's range
EDGE = 0.11  # what may be climbed in all on the way before the surface ends, likewise
TINT_EDGE = 25.0  # the same in ab units of the color predicted
FAINTEST = 0.4  # range of lightness; a page with less has grain for edges
BLUNTNESS = 4  # power; how suddenly it ends
SEED = 0.008  # radius around the place that is the thing beyond doubt, as a share of the long side
MOST_ROUNDS = 40  # of passes; walks with more turns are too long to matter
SETTLED = 1e-3  # change of a walk's cost in one round that ends it


class Place(NamedTuple):
    """Where a color is known.

    Attributes:
        x: 0 (left edge) to 1.
        y: 0 (upper edge) to 1.
        radius: how far it may spread, as a share of the page's long side.
    """

    x: float
    y: float
    radius: float


def belonging(
    guide: Floats, tint: Floats, places: Sequence[Place], size: tuple[int, int]
) -> Floats:
    """Tell how far each pixel belongs to the surface at each place.

    Args:
        guide: (h, w) float32 lightness in 0..1.
        tint: (h, w, 2) float32 chroma as predicted, in CIE units.
        places: P of them.
        size: height and width of the page itself, for its proportions.

    Returns:
        (P, h, w) float64 in 0..1; 1 at the place itself.
    """
    h, w = guide.shape
    height, width = (side / max(size) for side in size)
    y, x = ((np.arange(n) + 0.5) / n for n in (h, w))
    right = np.array([place.x for place in places])[:, None, None]
    down = np.array([place.y for place in places])[:, None, None]
    radius = np.array([place.radius for place in places])[:, None, None]
    far = np.hypot((x - right) * width, (y[:, None] - down) * height)  # (P, h, w)
    seed = far <= np.maximum(SEED, far.min(axis=(1, 2), keepdims=True))
    climb = _cheapest_walks(seed, *_steps(guide, tint))
    beyond = np.maximum(far - SEED, 0) / radius
    return np.asarray(np.exp(-(climb**BLUNTNESS) - beyond**BLUNTNESS))


def shares(belongings: Floats) -> Floats:
    """Divide each pixel among the places whose surfaces it may belong to.

    Args:
        belongings: (P, h, w) in 0..1.

    Returns:
        (P, h, w) in 0..1, whose sum over P is that of the nearest surface alone: several points on
        one thing share it, and none outdoes another at the other's own place.
    """
    odds = belongings / np.maximum(1 - belongings, 1e-6)
    sharp = odds**2
    total = sharp.sum(axis=0)
    part = np.divide(sharp, total, out=np.zeros_like(sharp), where=total > 0)
    return np.asarray(part * belongings.max(axis=0))


def _steps(guide: Floats, tint: Floats) -> tuple[Floats, Floats]:
    """Give the cost of each step to the right (h, w - 1) and down (h - 1, w)."""
    dark, light = np.quantile(guide, [0.02, 0.98])
    even = guide / np.float32(max(light - dark, FAINTEST))
    calm = np.asarray(cv2.bilateralFilter(even, 5, 0.08, 2.0)).astype(np.float64)
    costs = []
    for axis in (1, 0):
        climb = np.maximum(np.abs(np.diff(calm, axis=axis)) - GRAIN, 0) / EDGE
        turn = np.linalg.norm(np.diff(tint, axis=axis), axis=-1) / TINT_EDGE
        costs.append(climb + turn)
    return costs[0], costs[1]


def _cheapest_walks(seed: Floats, right: Floats, down: Floats) -> Floats:
    """Return the cost of the cheapest walk from a seed (P, h, w) to each pixel, (P, h, w)."""
    cost = np.where(seed, 0.0, 1e6)
    along = np.zeros(seed.shape[1:])
    across = np.zeros(seed.shape[1:])
    np.cumsum(right, axis=1, out=along[:, 1:])
    np.cumsum(down, axis=0, out=across[1:])
    for _ in range(MOST_ROUNDS):
        before = cost
        for way, axis in ((along, 2), (across, 1)):
            forward = np.minimum.accumulate(cost - way, axis=axis) + way
            turned = np.flip(np.minimum(cost, forward) + way, axis)
            back = np.flip(np.minimum.accumulate(turned, axis=axis), axis) - way
            cost = np.minimum(forward, back)
        if np.max(np.minimum(before, 3) - np.minimum(cost, 3)) < SETTLED:
            break
    return np.asarray(np.maximum(cost, 0))
