"""Color photographs at their own size: which are fit for training, and in which order to sample."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from worker import scan, untoning
from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data.files import find_photos

RejectReason = Literal["too small", "gray", "tint only", "one tone"]

SMALLEST_SIDE = 96  # pixels
MEASURED_AT = 128  # pixels of the long side at which colors are measured, as in `untoning`


def in_fixed_order(folder: Path) -> list[Path]:
    """List the photographs under a folder, shuffled by a hash of their paths.

    Any first part of the list is a fair sample and always the same one; an added photograph does
    not change the order of the others.
    """
    names = {path: str(path.relative_to(folder)).encode() for path in find_photos([folder])}
    return sorted(names, key=lambda path: hashlib.sha256(names[path]).digest())


def fit_photos(
    paths: Iterable[Path], settings: ReadSettings, left_out: Counter[str]
) -> Iterator[Pixels]:
    """Read photographs and yield the fit ones, (H, W, 3) uint8 sRGB.

    Args:
        paths: of photographs.
        settings: which photographs are accepted.
        left_out: counts the others, by reason.

    Raises:
        OSError: the disk failed.
    """
    for path in paths:
        try:
            photo = scan.read_color(path, settings)
        except ScanError:
            left_out["unreadable"] += 1
            continue
        if reason := reject_reason(photo):
            left_out[reason] += 1
        else:
            yield photo


def reject_reason(rgb: Pixels) -> RejectReason | None:
    """Return why a photograph has no color to teach, or None if it is fit.

    The limit is the one by which the colorizer recognizes black-and-white photographs
    (`untoning.TONE_LIMIT`, RMS in CIE units). "too small": a side below 96 pixels. "gray": chroma
    within the limit. "tint only": within the limit once the mean color is taken off. "one tone":
    chroma follows from lightness, as in sepia or a cyanotype.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    if min(rgb.shape[:2]) < SMALLEST_SIDE:
        return "too small"
    if untoning.tone_spread(rgb) > untoning.TONE_LIMIT:
        return None
    scale = MEASURED_AT / max(rgb.shape[:2])
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
