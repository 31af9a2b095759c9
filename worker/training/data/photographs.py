"""Color photographs to measure on, at their own size, one at a time."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from worker import scan
from worker.color.cielab import Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data.files import find_photos
from worker.training.data.filters import unfit


def in_fixed_order(folder: Path) -> list[Path]:
    """List the photographs under a folder, shuffled by their names once and for all.

    The first hundred of them are a fair sample, and the same one every time; a photograph that is
    added changes the place of none.
    """
    names = {path: str(path.relative_to(folder)).encode() for path in find_photos([folder])}
    return sorted(names, key=lambda path: hashlib.sha256(names[path]).digest())


def fit_photos(
    paths: Iterable[Path], settings: ReadSettings, left_out: Counter[str]
) -> Iterator[Pixels]:
    """Yield those photographs that have colors to compare with, (H, W, 3) uint8 sRGB.

    Args:
        paths: of photographs.
        settings: what a photograph may be.
        left_out: counts those that are unfit, by reason.

    Raises:
        OSError: the disk fails.
    """
    for path in paths:
        try:
            photo = scan.read_color(path, settings)
        except ScanError:
            left_out["unreadable"] += 1
            continue
        if reason := unfit(photo):
            left_out[reason] += 1
        else:
            yield photo
