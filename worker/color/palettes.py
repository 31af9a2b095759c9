"""Distinct likely colors: of one place, and of whole things that could as well be otherwise; pure.

A distribution over colors has several peaks where a thing could have several colors. A variant of
a photograph takes another peak for all that looks alike in it, not pixel by pixel.
"""

from typing import NamedTuple

import cv2
import numpy as np

from worker.color.upsampling import Floats

PEAK_WIDTH = 8.0  # ab units; peaks narrower than that are one
BASIN = 18.0  # ab units around a peak that are the same color to the eye
SAME = 14.0  # ab units between two colors that are still called one
LEAST_LIKELY = 0.03
MOST_SWATCHES = 6

KINDS = 6  # of things told apart in a photograph, at most
ROUNDS = 12  # of looking for them
COARSE = 20.0  # ab units between the colors by which things are told apart
ALIKE = 0.02  # squared distance of looks below which things are of one kind
LIGHT_WEIGHT = 0.3  # of lightness, beside those
LEAST_SHARE = 0.3  # that some place must have in a kind
BLUR = 5  # places; things have no frayed edges
LEAST_CHANGE = 2.5  # mean ab units over the picture; less is not another picture
MOST_TILT = 0.6  # per ab unit


class Swatch(NamedTuple):
    """A color that a place may have.

    Attributes:
        ab: (2,) CIE units.
        probability: of this color or one like it.
    """

    ab: Floats
    probability: float


class Variant(NamedTuple):
    """Another coloring of a photograph.

    Attributes:
        tilt: (s, s, 2); its product with a color is added to that color's logit.
        likelihood: relative to the likeliest coloring, which has 1.
    """

    tilt: Floats
    likelihood: float


def swatches(p: Floats, grid: Floats) -> list[Swatch]:
    """Find the distinct colors of a distribution, the likeliest first.

    Args:
        p: (K,) probabilities.
        grid: (K, 2) their colors.

    Returns:
        At most six; their probabilities sum up to 1 at most.
    """
    apart = np.linalg.norm(grid[:, None] - grid, axis=-1)  # (K, K)
    around = np.exp(-(apart**2) / (2 * PEAK_WIDTH**2))
    left = p.astype(np.float64)
    found: list[Swatch] = []
    while len(found) < MOST_SWATCHES:
        peak = int(np.argmax(left @ around))
        members = np.where(apart[peak] <= BASIN, left, 0)
        mass = float(members.sum())
        if mass < LEAST_LIKELY:
            break
        found = _with(found, Swatch(members @ grid / mass, mass))
        left = np.where(apart[peak] <= BASIN, 0, left)
    return sorted(found, key=lambda one: -one.probability)


def _with(found: list[Swatch], new: Swatch) -> list[Swatch]:
    """Add a color, or merge it with one that looks the same."""
    for place, old in enumerate(found):
        if np.linalg.norm(old.ab - new.ab) < SAME:
            mass = old.probability + new.probability
            ab = (old.ab * old.probability + new.ab * new.probability) / mass
            return [*found[:place], Swatch(ab, mass), *found[place + 1 :]]
    return [*found, new]


def variants(
    logits: Floats, plain: Floats, lightness: Floats, grid: Floats, most: int
) -> list[Variant]:
    """Find colorings that differ as a whole from the likeliest one and from each other.

    Args:
        logits: (s, s, K) as they are decoded.
        plain: (s, s, K) probabilities, without sharpening.
        lightness: (s, s) in 0..1.
        grid: (K, 2) colors.
        most: how many to find at most.

    Returns:
        The likeliest first; none for a photograph of which there is no doubt.
    """
    p = softmax(logits)
    kinds = _kinds(plain, lightness, grid)  # (s, s, C)
    given = p @ grid
    candidates = []
    for kind in np.moveaxis(kinds, -1, 0):
        if kind.max() < LEAST_SHARE:  # there are fewer kinds of things
            continue
        weight = kind / kind.sum()
        usual = np.tensordot(weight, given, 2)
        own, *others = sorted(
            swatches(np.tensordot(weight, plain, 2), grid),
            key=lambda one, usual=usual: np.linalg.norm(one.ab - usual),  # type: ignore[misc]
        )
        for other in others:
            if np.linalg.norm(other.ab - usual) >= SAME:
                share = other.probability / max(own.probability, other.probability)
                candidates.append((share, kind, other.ab - usual))
    candidates.sort(key=lambda one: -one[0])
    found: list[Variant] = []
    colorings = [given]
    for share, kind, way in candidates:
        tilt = kind[..., None] * _tilt(logits, kind, way, grid)
        coloring = softmax(logits + tilt @ grid.T) @ grid
        if all(_change(coloring, other) >= LEAST_CHANGE for other in colorings):
            found.append(Variant(tilt, share))
            colorings.append(coloring)
        if len(found) == most:
            break
    return found


def softmax(logits: Floats) -> Floats:
    """Give probabilities of logits (..., K)."""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return np.asarray(p)


def _change(one: Floats, other: Floats) -> float:
    return float(np.linalg.norm(one - other, axis=-1).mean())


def _tilt(logits: Floats, kind: Floats, way: Floats, grid: Floats) -> Floats:
    """Find how far logits must be tilted so that a kind of things goes another way, (2,)."""
    core = kind > 0.5 * kind.max()
    some = logits[core][:: max(1, int(core.sum()) // 256)]
    length = float(np.linalg.norm(way))
    along = grid @ (way / length)  # (K,)
    before = float((softmax(some) @ along).mean())
    low, high = 0.0, MOST_TILT
    for _ in range(8):
        middle = (low + high) / 2
        gone = float((softmax(some + middle * along) @ along).mean()) - before
        low, high = (middle, high) if gone < 0.9 * length else (low, middle)
    return np.asarray(high * way / length)


def _kinds(plain: Floats, lightness: Floats, grid: Floats) -> Floats:
    """Tell things apart by what colors they may have, and by their lightness; soft shares.

    Returns:
        (s, s, C) in 0..1, C up to KINDS.
    """
    coarse = np.unique(np.rint(grid / COARSE), axis=0) * COARSE
    near = np.argmin(np.linalg.norm(grid[:, None] - coarse, axis=-1), axis=1)
    parts = np.eye(len(coarse))[near]  # (K, coarse)
    looks = np.sqrt(plain @ parts)
    looks = np.concatenate([looks, LIGHT_WEIGHT * lightness[..., None]], axis=-1)
    some = looks[1::2, 1::2].reshape(-1, looks.shape[-1])
    centers = _centers(some)
    distance = ((looks[..., None, :] - centers) ** 2).sum(axis=-1)  # (s, s, C)
    spread = max(float(distance.min(axis=-1).mean()), ALIKE / 10)
    shares = softmax(-distance / spread)
    return np.asarray(cv2.blur(shares, (BLUR, BLUR))).reshape(shares.shape)


def _centers(looks: Floats) -> Floats:
    """Cluster (M, D) into KINDS at most; the first centers are as far apart as can be."""
    centers = [looks[0]]
    while len(centers) < KINDS:
        distance = np.min([((looks - one) ** 2).sum(axis=-1) for one in centers], axis=0)
        if distance.max() < ALIKE:
            break
        centers.append(looks[int(np.argmax(distance))])
    found = np.stack(centers)
    for _ in range(ROUNDS):
        nearest = np.argmin(((looks[:, None] - found) ** 2).sum(axis=-1), axis=1)
        for kind in range(len(found)):
            if (nearest == kind).any():
                found[kind] = looks[nearest == kind].mean(axis=0)
    return found
