"""Degrades color photographs to what old cameras and a century of storage would have left.

The output is lightness alone. The tint of prints and scans is not imitated: the colorizer reduces
every scan to its lightness (`worker.scan.read`), so the generator never sees a tint.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels


def degrade(rgb: Pixels, rng: np.random.Generator) -> Floats:
    """Degrade a color photograph at random.

    Always an emulsion, a tone curve and fading; sometimes vignetting, blur, grain, dust and
    scratches, or JPEG compression.

    Args:
        rgb: (S, S, 3) uint8 sRGB; not changed.
        rng: source of randomness.

    Returns:
        (S, S) float32 in 0..1, lightness (CIE L* / 100).
    """
    exposed = cielab.linear_of_codes(rgb) @ emulsion(rng).astype(np.float32)
    light = cielab.lightness(cielab.encode(exposed, 16))
    light = light ** np.float32(np.exp(rng.normal(0, 0.18)))
    if rng.random() < 0.2:
        light = light * _vignette(light.shape, rng)
    if rng.random() < 0.25:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.4)))
    if rng.random() < 0.5:
        light = light + _grain(light.shape, rng)
    black, white = rng.uniform(0, 0.08), 1 - rng.uniform(0, 0.08)
    light = black + (white - black) * light
    if rng.random() < 0.15:
        light = _worn(light, rng)
    light = np.clip(light, 0, 1, dtype=np.float32)
    return _through_jpeg(light, rng) if rng.random() < 0.2 else light


def emulsion(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the sensitivity of a plate to linear red, green and blue; (3,), the sum is 1.

    Half of them see as the eye does (luminance). Of the others, seven in ten are panchromatic with
    any mix of the three; the rest see almost no red, as orthochromatic plates, and mostly blue, as
    older ones: reds come out dark, and skies white.
    """
    if rng.random() >= 0.5:
        return cielab.LUMINANCE
    red = rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.08)], p=[0.7, 0.3])
    blue = rng.uniform(0.05, 0.35) if red > 0.08 else rng.uniform(0.2, 0.9)
    return np.array([red, (1 - red) * (1 - blue), (1 - red) * blue])


def _vignette(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return a falloff toward the corners; (H, W) in 0..1, a factor of lightness.

    A simple lens dims light by 1 / (1 + r^2)^2 (cosine fourth). On lightness that is stronger,
    as with wide-open lenses and prints burnt in at the edges. The center varies.
    """
    height, width = shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.float32(rng.normal(0, 0.1))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] + np.float32(rng.normal(0, 0.1))
    return np.asarray(1 / (1 + np.float32(rng.uniform(0.05, 0.35)) * (x * x + y * y)) ** 2)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Return grain, of single pixels or clumps; (H, W) float32 around 0."""
    grain = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(0.005, 0.04))
    return grain if rng.random() < 0.5 else np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.8)) * 2


def _worn(light: Floats, rng: np.random.Generator) -> Floats:
    """Draw dust specks and scratches, lighter or darker than all around them."""
    marks = np.zeros(light.shape, np.float32)
    height, width = light.shape
    for _ in range(rng.poisson(6)):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        cv2.ellipse(marks, at, axes, rng.uniform(0, 180), 0, 360, rng.uniform(0.3, 1), -1)
    for _ in range(rng.poisson(1)):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        end = (x + int(rng.normal(0, 0.05 * width)), y + int(rng.normal(0, 0.6 * height)))
        cv2.line(marks, (x, y), end, rng.uniform(0.2, 0.8), 1, cv2.LINE_AA)
    return light + marks * ((1.0 if rng.random() < 0.7 else 0.0) - light)


def _through_jpeg(light: Floats, rng: np.random.Generator) -> Floats:
    """Compress as JPEG with quality 30 to 90, and decode."""
    codes = np.rint(light * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))]
    _written, file = cv2.imencode(".jpg", codes, quality)
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.float32)
    return decoded / np.float32(255)
