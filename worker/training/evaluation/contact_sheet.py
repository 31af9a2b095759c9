"""Contact sheets: photographs side by side in titled columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from worker.atomic import write_atomically
from worker.color.cielab import Pixels

if TYPE_CHECKING:  # it loads Keras, which a sheet does not need
    from worker.training.evaluation.evaluate import Colored

CELL = 256  # longer side of each photograph, pixels
GAP = 6  # white between cells, pixels
TITLE = 26  # height of the line of titles, pixels
ROWS = 12  # of a `SheetSampler`
INK = (32, 32, 32)


def contact_sheet(rows: Sequence[Sequence[Pixels]], titles: Sequence[str]) -> Pixels:
    """Lay photographs out, a row for each subject and a titled column for each version of it.

    Args:
        rows: of (H, W, 3) uint8 sRGB photographs of any size; aspect ratios are kept.
        titles: one for each column.

    Returns:
        (height, width, 3) uint8 sRGB on white.

    Raises:
        ValueError: a row does not have one photograph for each title.
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
    """Resize a photograph (H, W, 3) to fit a cell, keeping its aspect ratio."""
    height, width = photo.shape[:2]
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size, interpolation=method))


def save_sheet(path: Path, sheet: Pixels) -> None:
    """Write a sheet as PNG or JPEG, by the suffix.

    Raises:
        ValueError: another suffix.
        OSError: the disk failed.
    """
    kind = path.suffix.lower()
    if kind not in {".png", ".jpg", ".jpeg"}:
        raise ValueError(f"a contact sheet must be a .png or .jpg file, not {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(kind, sheet[..., ::-1])
    write_atomically(path, encoded.tobytes())


class SheetSampler:
    """Keeps the first photographs of an evaluation for a sheet; pass its `watch` to `evaluate`."""

    def __init__(self) -> None:
        """Begin with an empty sheet."""
        self._rows: list[tuple[dict[str, Pixels], Pixels]] = []  # outputs by name, and the truth

    def watch(self, colored: "Colored") -> None:
        """Keep one more photograph, if there is room on the sheet."""
        if len(self._rows) < ROWS:
            outputs = {name: shrunk(output) for name, output in colored.outputs.items()}
            self._rows.append((outputs, shrunk(colored.truth)))

    def sheet(self, titles: Mapping[str, str]) -> Pixels:
        """Lay out before | after | truth.

        Args:
            titles: of the columns, by the name of the generator (or "gray") to show, in order.
        """
        rows = [[*(outputs[name] for name in titles), truth] for outputs, truth in self._rows]
        return contact_sheet(rows, [*titles.values(), "truth"])
