"""What an old camera and a century would have made of a color photograph."""

import cv2
import numpy as np

from worker import color
from worker.color import Floats, Pixels


def old_camera(rgb: Pixels, rng: np.random.Generator) -> Floats:
    """Photograph `rgb` (S, S, 3) with an old camera: lightness (S, S) float32 in 0..1.

    Half the time with true luminance; else through a random emulsion: panchromatic (any mix),
    orthochromatic (blind to red) or blue-sensitive. Then a tone curve and fading; and, each on some
    of the prints, a lens dark at its corners, blur, grain, dust and scratches, JPEG.
    """
    weights = color.LUMINANCE
    if rng.random() < 0.5:
        red = rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.08)], p=[0.7, 0.3])
        blue = rng.uniform(0.05, 0.35) if red > 0.08 else rng.uniform(0.2, 0.9)
        weights = np.array([red, (1 - red) * (1 - blue), (1 - red) * blue])
    gray = color.encode(color.linear_of_codes(rgb) @ weights.astype(np.float32), 16)
    light = color.lightness(gray)
    light = light ** np.float32(np.exp(rng.normal(0, 0.18)))
    if rng.random() < 0.2:
        light = light * _vignette(light.shape, rng)
    if rng.random() < 0.25:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.4)))
    if rng.random() < 0.5:
        grain = rng.standard_normal(light.shape, np.float32) * np.float32(rng.uniform(0.005, 0.04))
        light = light + (grain if rng.random() < 0.5 else cv2.GaussianBlur(grain, (0, 0), 0.8) * 2)
    black, white = rng.uniform(0, 0.08), 1 - rng.uniform(0, 0.08)
    light = black + (white - black) * light
    if rng.random() < 0.15:
        light = _worn(light, rng)
    light = np.clip(light, 0, 1, dtype=np.float32)
    return _through_jpeg(light, rng) if rng.random() < 0.2 else light


def _vignette(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Fall off toward the corners, as the fourth power of the cosine does; (H, W) in 0..1."""
    height, width = shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] + np.float32(rng.normal(0, 0.1))
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :] + np.float32(rng.normal(0, 0.1))
    return np.asarray(1 / (1 + np.float32(rng.uniform(0.05, 0.35)) * (x * x + y * y)) ** 2)


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
    codes = np.rint(light * 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))]
    _written, file = cv2.imencode(".jpg", codes, quality)
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_GRAYSCALE), np.float32)
    return decoded / np.float32(255)
