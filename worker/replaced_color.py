"""Finds a scan's own color that is replaced: ink, stamps, hand-tinting."""

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Floats
from worker.metadata.provenance import ReplacedColor

SMALLEST = 6  # pixels of the look; fewer are dust
MOST_REGIONS = 8  # of a page; more are joined with their neighbors


def find_replaced(chroma: Floats, height: int, width: int) -> tuple[ReplacedColor, ...]:
    """Find the regions of a page that have a color of their own.

    Args:
        chroma: (h, w) of ink beside the print's tone, CIE units, of the page made small, upright; 0
            where there is none.
        height: rows of the page.
        width: its columns.

    Returns:
        The regions, the largest first, at most eight. Their boxes are right to one pixel of
        `chroma`.
    """
    ink = _without_dust(chroma > 0)
    if not ink.any():
        return ()
    labels = _joined(ink)
    down, across = height / ink.shape[0], width / ink.shape[1]
    found = []
    for label in range(1, int(labels.max()) + 1):
        rows, columns = np.nonzero(ink & (labels == label))
        x, y = int(columns.min() * across), int(rows.min() * down)
        found.append(
            ReplacedColor(
                x,
                y,
                min(width, int(np.ceil((columns.max() + 1) * across))) - x,
                min(height, int(np.ceil((rows.max() + 1) * down))) - y,
                round(len(rows) / ink.size, 5),
                round(float(chroma[rows, columns].mean()), 1),
            )
        )
    return tuple(sorted(found, key=lambda region: (-region.share, region.y, region.x)))


def _without_dust(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8))
    large = stats[:, cv2.CC_STAT_AREA] >= SMALLEST
    large[0] = False  # the background
    return np.asarray(large[labels]) if count > 1 else np.zeros_like(ink)


def _joined(ink: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Label the regions; nearby ones are merged, the more there are the farther apart.

    Returns:
        labels (h, w), 1 and up on the ink; some may have no ink of their own around it.
    """
    reach = 1
    while True:
        side = 2 * reach + 1
        grown = cv2.dilate(ink.astype(np.uint8), np.ones((side, side), np.uint8))
        count, labels = cv2.connectedComponents(grown)
        if count - 1 <= MOST_REGIONS:
            return np.asarray(labels)
        reach *= 2
