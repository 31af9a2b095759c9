"""Contact sheets: photographs side by side in titled columns, for people to look at."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from worker.color.cielab import Pixels

CELL = 256  # longer side of each photograph, pixels
GAP = 6  # white between cells, pixels
TITLE = 26  # height of the line of titles, pixels
INK = (32, 32, 32)


def contact_sheet(rows: Sequence[Sequence[Pixels]], titles: Sequence[str]) -> Pixels:
    """Lay photographs out, one row for each subject, one titled column for each treatment.

    Args:
        rows: of (H, W, 3) uint8 sRGB photographs of any size; each keeps its proportions.
        titles: one for each column.

    Returns:
        (height, width, 3) uint8 sRGB on white.

    Raises:
        ValueError: when a row has not one photograph for each title.
    """
    step = CELL + GAP
    small = [[shrunk(photo) for photo, _title in zip(row, titles, strict=True)] for row in rows]
    heights = [max(photo.shape[0] for photo in row) + GAP for row in small]
    sheet = np.full((TITLE + sum(heights), GAP + len(titles) * step, 3), 255, np.uint8)
    for column, title in enumerate(titles):
        place = (GAP + column * step + 2, TITLE - 9)
        cv2.putText(sheet, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    top = TITLE
    for row, below in zip(small, heights, strict=True):
        for column, photo in enumerate(row):
            height, width = photo.shape[:2]
            left = GAP + column * step
            sheet[top : top + height, left : left + width] = photo
        top += below
    return sheet


def shrunk(photo: Pixels) -> Pixels:
    """Fit a photograph (H, W, 3) into a cell, its proportions kept; all that a sheet shows."""
    height, width = photo.shape[:2]
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size, interpolation=method))


def save_sheet(path: Path, sheet: Pixels) -> None:
    """Write a sheet as the kind that the suffix says, PNG or JPEG.

    Raises:
        ValueError: another suffix.
        OSError: the disk fails.
    """
    kind = path.suffix.lower()
    if kind not in {".png", ".jpg", ".jpeg"}:
        raise ValueError(f"a sheet is a .png or a .jpg, not {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(kind, sheet[..., ::-1])
    path.write_bytes(encoded.tobytes())
