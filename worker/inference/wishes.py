"""Decodes a generator's distribution as the archivist wishes, and tells what else it holds; pure.

1. the variant: another color for all things of one kind
2. the reference: its colors become likelier; never on what is neutral or dark
3. vividness: less of the prior where it is light, and more chroma; never on what is neutral
4. warmth: along the axis of daylight, in proportion to chroma
5. color points: where a place belongs to the surface of a point, its color is the one known there
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from worker.color import cielab, palettes, spreading
from worker.color.cielab import Floats, Pixels
from worker.color.palettes import Swatch, Variant, softmax
from worker.color.prior_shift import shift_towards
from worker.color.spreading import Place
from worker.color.upsampling import fit_chroma
from worker.settings import VARIANTS, ColorPoint, ColorWishes, Reference

MORE_SHIFT = 0.5  # of what the decoding takes off the logits, once more at vividness 100
MORE_CHROMA = 0.3  # times the chroma, at vividness 100
NEUTRAL, COLORFUL = 3.0, 14.0  # chroma that is never enhanced, and that is fully
DARK, LIGHT = 0.1, 0.5  # lightness (0..1) likewise: dark gray is never enhanced
DAYLIGHT = (0.13, 0.99)  # direction in ab from blue to yellow daylight, D65 to D50
WARMEST = 12.0  # ab units at warmth 50, of a strong color
HALF_WARM = 10.0  # chroma that is moved half as far
DIMMEST, BRIGHTEST = 0.5, 1.4  # how far shading changes the chroma of a known color
AROUND = 1  # places on each side that a swatch looks at


class Thought(NamedTuple):
    """What a generator thinks of a page.

    Attributes:
        logits: (s, s, K) float32, calibrated.
        plain: (s, s, K) float32, as learned.
        temperature: of its decoding.
        gain: of its decoding.
        grid: (K, 2) colors.
        guide: (g, g) float32 lightness in 0..1, the page stretched to a square.
        size: height and width of the page.
    """

    logits: Floats
    plain: Floats
    temperature: float
    gain: float
    grid: Floats
    guide: Floats
    size: tuple[int, int]


def guide_of(small: Pixels) -> Floats:
    """Stretch gray codes to the guide of a `Thought`."""
    side = spreading.SIDE
    return cielab.lightness(
        np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA))
    )


def grant(thought: Thought, wishes: ColorWishes, known: Sequence[Variant] = ()) -> Floats:
    """Decode with wishes.

    Args:
        thought: of the generator.
        wishes: for this page.
        known: what `find_variants` found, if the caller has it.

    Returns:
        (s, s, 2) float32 chroma in CIE units; with color points (g, g, 2).
    """
    logits = thought.logits
    if wishes.variant:
        others = (known or find_variants(thought, wishes.variant))[: wishes.variant]
        if others:
            logits = logits + others[-1].tilt @ thought.grid.T
    lightness = _at(thought.guide, len(logits))
    if wishes.reference:
        logits = _referred(logits, lightness, thought.grid, wishes.reference)
    ab = thought.gain * (softmax(logits) @ thought.grid)
    ab = _vivid(ab, logits, lightness, thought, (wishes.vividness - 50) / 50)
    ab = _warm(ab, lightness, wishes.warmth / 50)
    if wishes.points:
        ab = _with_points(ab, thought, wishes.points)
    return np.asarray(ab, np.float32)


def find_variants(thought: Thought, most: int = VARIANTS - 1) -> list[Variant]:
    """Find up to three colorings other than the likeliest; see `palettes.variants`."""
    lightness = _at(thought.guide, len(thought.logits))
    plain = softmax(thought.plain)
    return palettes.variants(thought.logits, plain, lightness, thought.grid, most)


def swatches_at(thought: Thought, x: float, y: float) -> list[Swatch]:
    """Return the likely colors at a place, in 0..1; see `palettes.swatches`."""
    side = len(thought.plain)
    column, row = (min(int(one * side), side - 1) for one in (x, y))
    near = np.s_[max(row - AROUND, 0) : row + AROUND + 1, max(column - AROUND, 0) : column + 2]
    p = softmax(thought.plain[near]).mean(axis=(0, 1))
    return palettes.swatches(p, thought.grid)


def expected_errors(thought: Thought) -> Floats:
    """Return how far each color is expected to be from the true one, (s, s), ab units.

    As `worker.models.decoding.expected_error`, which needs Keras.
    """
    ab = thought.gain * (softmax(thought.logits) @ thought.grid)
    apart = np.linalg.norm(ab[..., None, :] - thought.grid, axis=-1)  # (s, s, K)
    return np.asarray((softmax(thought.plain) * apart).sum(axis=-1))


def ab_of(color: str) -> Floats:
    """Return the chroma (2,) of #rrggbb."""
    rgb = np.array([[[int(color[at : at + 2], 16) for at in (1, 3, 5)]]], np.uint8)
    return cielab.lab_of_rgb(rgb)[0, 0, 1:]


def color_of(ab: Floats, lightness: float) -> str:
    """Return #rrggbb of chroma (2,) at a lightness in 0..1; less colorful if there is no such."""
    code = cielab.encode(np.array([[_luminance(lightness)]], np.float32), 8)
    rgb = cielab.merge(np.repeat(code, 2, axis=0), np.tile(ab.astype(np.float32), (1, 1, 1)))
    return "#" + "".join(f"{channel:02x}" for channel in rgb[0, 0])


def _luminance(lightness: float) -> float:
    f = (100 * lightness + 16) / 116
    return float(f**3 if f > 6 / 29 else 3 * (6 / 29) ** 2 * (f - 4 / 29))


def _at(guide: Floats, side: int) -> Floats:
    return np.asarray(cv2.resize(guide, (side, side), interpolation=cv2.INTER_AREA))


def _rising(value: Floats, low: float, high: float) -> Floats:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _referred(logits: Floats, lightness: Floats, grid: Floats, reference: Reference) -> Floats:
    """Make the colors of a reference likelier, where there is color and light."""
    p = softmax(logits)
    shift = shift_towards(reference.colors, p.mean(axis=(0, 1)), grid).astype(p.dtype)
    chroma = np.linalg.norm(p @ grid, axis=-1)
    share = _rising(chroma, NEUTRAL, COLORFUL) * _rising(lightness, DARK, LIGHT)
    return np.asarray(logits + share[..., None] * shift)


def _vivid(ab: Floats, logits: Floats, lightness: Floats, thought: Thought, by: float) -> Floats:
    """Make colors duller (`by` -1 to 0) or more vivid (0 to 1)."""
    if by <= 0:
        return ab * (1 + by)
    light = _rising(lightness, DARK, LIGHT)[..., None]
    taken_off = thought.plain / thought.temperature - thought.logits
    bolder = softmax(logits - MORE_SHIFT * by * taken_off) @ thought.grid
    more = thought.gain * bolder * (1 + MORE_CHROMA * by * light)
    chroma = np.linalg.norm(ab, axis=-1, keepdims=True)
    return np.asarray(ab + _rising(chroma, NEUTRAL, COLORFUL) * (more - ab))


def _warm(ab: Floats, lightness: Floats, by: float) -> Floats:
    """Make colors warmer, or with `by` below 0 cooler; -1 to 1."""
    power = (ab * ab).sum(axis=-1, keepdims=True)
    colorful = power / (power + HALF_WARM**2)
    seen = _rising(lightness, 0, 0.3) * _rising(1 - lightness, 0, 0.1)
    return np.asarray(ab + by * WARMEST * colorful * seen[..., None] * np.array(DAYLIGHT))


def _with_points(ab: Floats, thought: Thought, points: Sequence[ColorPoint]) -> Floats:
    """Give surfaces their known colors.

    With the probability that a place belongs to the surface, its color is that of the point, else
    as decoded: the mean of the two distributions. What is known of a color is its chroma at the
    place; over the surface it follows the shading, as that of any matt thing does.
    """
    guide = thought.guide
    fit = fit_chroma(guide, ab.astype(np.float32))
    large = np.stack(list(fit.slope * guide + fit.offset), axis=-1)  # (g, g, 2)
    places = [Place(point.x, point.y, point.radius) for point in points]
    shares = spreading.shares(spreading.belonging(guide, large, places, thought.size))
    result = large * (1 - shares.sum(axis=0))[..., None]
    side = len(guide)
    for point, share in zip(points, shares, strict=True):
        row, column = (min(int(one * side), side - 1) for one in (point.y, point.x))
        shade = (guide + 0.16) / (guide[row, column] + 0.16)
        known = ab_of(point.color) * np.clip(shade, DIMMEST, BRIGHTEST)[..., None]
        result = result + share[..., None] * known
    return np.asarray(result)
