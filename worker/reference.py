"""Reads the colors of a photograph that others are to be colored like."""

import io
from pathlib import Path

import numpy as np

from worker.color.prior_shift import frequent_colors
from worker.display import small_lab
from worker.errors import ScanError
from worker.formats.open_image import opened
from worker.settings import ReadSettings

SIDE = 256  # pixels of the long side
COLORLESS = 2.0  # mean chroma of what is called gray


def colors_of(
    path: Path, settings: ReadSettings, file: io.FileIO | None = None
) -> tuple[tuple[int, int, int], ...]:
    """Return the most frequent colors of a photograph's first page; see `Reference.colors`.

    Args:
        path: of the file.
        settings: its limits.
        file: the file, if it is already open.

    Raises:
        ScanError: it is no photograph in color, or cannot be read; says why.
        DeviceError: the disk fails.
        MemoryError: out of memory.
        OSError: it cannot be opened.
    """
    with opened(path, settings, file) as (_, images):
        ab = small_lab(images[0], SIDE)[..., 1:].reshape(-1, 2)
    if np.linalg.norm(ab, axis=-1).mean() < COLORLESS:
        raise ScanError("it has no color, so nothing can be colored like it")
    return frequent_colors(ab)
