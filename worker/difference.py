"""Tells how far two colorings of one scan are apart, from their files."""

import io
from itertools import zip_longest
from pathlib import Path

import numpy as np

from worker.display import small_lab
from worker.errors import ScanError
from worker.formats.image import DecodedImage
from worker.formats.open_image import opened
from worker.settings import ReadSettings

SIDE = 256  # pixels of the long side; color is not predicted finer than that


def change(earlier: io.FileIO, present: io.FileIO, settings: ReadSettings) -> float:
    """Return the root mean square distance of the colors of two results, in CIE ab units.

    The square makes it the measure for finding what needs another look: a dress of 4 % of the
    picture that turned from blue to red (70 units) gives 14, as does everything moved by 14. The
    mean would call that 3, less than a warmer cast that nobody minds, and a percentile sees only
    what is larger than its share. It is also the unit in which `photochrom evaluate` counts errors
    (ab RMSE). Lightness is the scan's in both, and is left out. At this size grain and the codec
    average out: equal colors written twice as JPEG are 0.4 apart, as WebP 0.7.

    Args:
        earlier: one result; its name says which format both have.
        present: the other.
        settings: the limits of what is read.

    Returns:
        0 for equal colors; below 2 is hardly seen. Of several pages that of the largest change.

    Raises:
        ScanError: one cannot be read, or they are not of one scan; says why.
        DeviceError: the disk fails.
        MemoryError: out of memory.
        OSError: one cannot be opened.
    """
    path = Path(str(earlier.name))
    with (
        opened(path, settings, earlier) as (_, before),
        opened(path, settings, present) as (_, after),
    ):
        return max(_distance(one, other) for one, other in zip_longest(before, after))


def _distance(before: DecodedImage | None, after: DecodedImage | None) -> float:
    if before is None or after is None:
        raise ScanError("the earlier result has another number of pages")
    if (before.height, before.width) != (after.height, after.width):
        sizes = f"{before.width} x {before.height}, not {after.width} x {after.height}"
        raise ScanError(f"the earlier result has another size: {sizes} pixels")
    apart = small_lab(before, SIDE)[..., 1:] - small_lab(after, SIDE)[..., 1:]
    return float(np.sqrt((apart * apart).sum(axis=-1).mean()))
