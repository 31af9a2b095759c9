"""The canary: synthetic pictures that a generator must color plausibly before it serves.

In a second it detects a broken generator (NaN, gray, a single tone); `photochrom evaluate` measures
how good a working one is. Measured on the colored probes, for squares of 64 to 512 pixels (chroma:
mean; color: RMS of what no single tone explains; CIE units):

    generator                                        chroma       color
    built-in                                         20 to 32     22 to 28
    built-in without consensus, undecided (T 2)      16           10
    untrained, plain decoding                        15 to 20     3.8 to 8.3
    collapsed to gray                                0 to 1.2     0 to 2
    collapsed to sepia                               21           2.2 to 2.6

An untrained one sharpened as for serving (T 0.6) reaches 6.5 to 17 and may pass: its colors are
varied, only meaningless.
"""

import cv2
import numpy as np

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.errors import ModelError, ScanError
from worker.inference.predictor import PagePredictor
from worker.models.decoding import CHROMA_GAIN, color_grid
from worker.scan import Page
from worker.untoning import tone_spread

SIDE = 256  # pixels of a probe
LEAST_CHROMA = 4.0  # both in CIE units, from the table above
LEAST_COLOR = 9.0
MOST_LIGHTNESS_LOST = 1.0  # CIE L*, of any pixel; rounding to 8 bits costs 0.4
BESIDE_HULL = 0.1  # CIE units, for the rounding of a sum of 224 products


def check(predictor: PagePredictor) -> None:
    """Color the probes and check the result as a whole.

    Args:
        predictor: a loaded generator.

    Raises:
        ModelError: the generator must not serve; says which probe came out wrong and how.
        DeviceError: the machine cannot color them now.
    """
    named = probes()
    results = predictor.predict([Page.of(gray) for gray in named.values()])
    painted = []
    for (name, gray), ab in zip(named.items(), results, strict=True):
        fault = _fault_of_chroma(ab)
        if fault or isinstance(ab, ScanError):  # the second for the type checker
            raise _refusal(predictor, f"the probe '{name}' {fault}")
        painted.append(cielab.merge(gray, ab))
        lost = _lightness_lost(gray, painted[-1])
        if lost > MOST_LIGHTNESS_LOST:
            raise _refusal(predictor, f"the probe '{name}' lost {lost:.1f} of its lightness (L*)")
    together = np.concatenate(painted)
    chroma = float(np.hypot(*np.moveaxis(cielab.lab_of_rgb(together)[..., 1:], -1, 0)).mean())
    if chroma < LEAST_CHROMA:
        raise _refusal(
            predictor, f"all probes are nearly gray (mean chroma {chroma:.1f}, not {LEAST_CHROMA})"
        )
    spread = tone_spread(together)
    if spread < LEAST_COLOR:
        raise _refusal(
            predictor,
            f"all probes have nearly one tone (chroma {spread:.1f} beside it, not {LEAST_COLOR})",
        )


def probes() -> dict[str, Pixels]:
    """Paint the probes; they are always the same.

    Returns:
        by name: (SIDE, SIDE) uint8 gray pictures: a ramp, a flat, noise, a landscape, disks, and
        something like a portrait.
    """
    dice = np.random.default_rng(1839)
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    pictures = {
        "ramp": x,
        "flat": np.full_like(x, 0.5),
        "noise": 0.5 + dice.normal(0, 0.15, x.shape),
        "landscape": _landscape(x, y, dice),
        "disks": _disks(x, y, dice),
        "portrait": _portrait(x, y, dice),
    }
    return {
        name: np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)
        for name, light in pictures.items()
    }


def _grain(cells: int, dice: np.random.Generator) -> Floats:
    """Give noise of unit variance with so many cells to a side, (SIDE, SIDE)."""
    return np.asarray(
        cv2.resize(dice.normal(0, 1, (cells, cells)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    )


def _landscape(x: Floats, y: Floats, dice: np.random.Generator) -> Floats:
    """A sky that pales to the horizon, clouds, a meadow that coarsens to the front, a tree."""
    horizon = 0.45 + 0.03 * np.sin(9 * x)
    sky = 0.95 - 0.7 * (horizon - y) + 0.1 * np.clip(_grain(9, dice), 0, None)
    meadow = 0.35 + 0.1 * (y - horizon)
    meadow += (0.05 * _grain(64, dice) + 0.09 * _grain(SIDE, dice)) * (0.4 + y)
    tree = np.hypot(x - 0.25, 1.1 * (y - 0.42)) + 0.02 * _grain(40, dice) < 0.16
    return np.where(tree, 0.25 + 0.08 * _grain(128, dice), np.where(y < horizon, sky, meadow))


def _disks(x: Floats, y: Floats, dice: np.random.Generator) -> Floats:
    """Nine balls of different grays on a pale table."""
    light = 0.8 + 0.02 * _grain(64, dice)
    for number in range(9):
        radius = dice.uniform(0.06, 0.16)
        away = np.hypot(x - dice.uniform(0.1, 0.9), y - dice.uniform(0.1, 0.9)) / radius
        light = np.where(away < 1, 0.2 + 0.07 * number + 0.2 * (1 - away), light)
    return light


def _portrait(x: Floats, y: Floats, dice: np.random.Generator) -> Floats:
    """Head and shoulders before a plain wall: hair, face, eyes, mouth, dark clothes."""

    def oval(at_x: float, at_y: float, width: float, height: float) -> Floats:
        return ((x - at_x) / width) ** 2 + ((y - at_y) / height) ** 2

    light = 0.45 + 0.1 * y
    light = np.where(oval(0.5, 1.05, 0.42, 0.42) < 1, 0.22 + 0.03 * _grain(64, dice), light)
    light = np.where(oval(0.5, 0.34, 0.21, 0.25) < 1, 0.15 + 0.03 * _grain(128, dice), light)
    face = oval(0.5, 0.4, 0.17, 0.23)
    light = np.where(face < 1, 0.72 - 0.18 * face + 0.1 * (x - 0.5), light)
    for at_x in (0.43, 0.57):
        light = np.where(oval(at_x, 0.37, 0.03, 0.012) < 1, 0.2, light)
    light = np.where(oval(0.5, 0.51, 0.055, 0.012) < 1, 0.4, light)
    return np.asarray(cv2.GaussianBlur(light, (0, 0), 1))


def _fault_of_chroma(ab: Floats | ScanError) -> str:
    """Return what is impossible about chroma, or ""."""
    if isinstance(ab, ScanError):
        return f"was refused: {ab}"
    if not np.isfinite(ab).all():
        return "has colors that are no numbers"
    hull = cv2.convexHull(CHROMA_GAIN * color_grid())[:, 0]  # (n, 2), in one direction around
    edges = np.roll(hull, -1, axis=0) - hull
    outward = np.stack([edges[:, 1], -edges[:, 0]], axis=-1)
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    if ((hull.mean(axis=0) - hull) * outward).sum(axis=-1).max() > 0:  # the other way around
        outward = -outward
    beyond = float((ab.reshape(-1, 2) @ outward.T - (hull * outward).sum(axis=-1)).max())
    return f"has colors {beyond:.1f} outside the gamut's hull" if beyond > BESIDE_HULL else ""


def _lightness_lost(gray: Pixels, rgb: Pixels) -> float:
    before = cielab.lightness(gray) * 100
    return float(np.abs(cielab.lab_of_rgb(rgb)[..., 0] - before).max())


def _refusal(predictor: PagePredictor, fault: str) -> ModelError:
    return ModelError(
        f"model version {predictor.model} is not fit to serve: {fault}; choose another version"
    )
