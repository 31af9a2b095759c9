"""Whether a color photograph is fit to learn from, and if not, why."""

from typing import Literal

import cv2
import numpy as np

from worker import untoning
from worker.color import cielab
from worker.color.cielab import Floats, Pixels

Reason = Literal["too small", "gray", "tint only", "one tone"]

SMALLEST_SIDE = 96  # pixels; below it a photo has nothing to teach
LOOKED_AT = 128  # pixels of the long side at which colors are measured, as in `untoning`


def unfit(rgb: Pixels) -> Reason | None:
    """Tell why a photograph has no color to teach, or None when it is fit.

    Limits are those by which serving knows a black-and-white photograph (`untoning.TONE_LIMIT`,
    RMS in CIE units). "gray": no chroma beyond it. "tint only": one cast lies over all of it, and
    beside that cast it is gray. "one tone": its chroma follows from lightness, as sepia's or a
    cyanotype's does. "too small": a side below 96 pixels.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    if min(rgb.shape[:2]) < SMALLEST_SIDE:
        return "too small"
    if untoning.tone_spread(rgb) > untoning.TONE_LIMIT:
        return None
    scale = LOOKED_AT / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    chroma = cielab.lab_of_rgb(small)[..., 1:].reshape(-1, 2)
    if _rms(chroma) <= untoning.TONE_LIMIT:
        return "gray"
    if _rms(chroma - chroma.mean(axis=0)) <= untoning.TONE_LIMIT:
        return "tint only"
    return "one tone"


def _rms(chroma: Floats) -> float:
    return float(np.sqrt((chroma**2).sum(axis=1).mean()))
