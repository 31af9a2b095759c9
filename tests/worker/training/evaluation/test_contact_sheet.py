"""Promises of worker.training.evaluation.contact_sheet: what people look at."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.synthetic_photos import as_rgb, color_scene
from worker.training.evaluation import contact_sheet as sheets
from worker.training.evaluation.contact_sheet import (
    CELL,
    GAP,
    TITLE,
    SheetSampler,
    contact_sheet,
    save_sheet,
    shrunk,
)
from worker.training.evaluation.evaluate import GRAY, Colored


def flat(height: int, width: int, code: int) -> np.ndarray:
    """Make a photograph of one gray."""
    return np.full((height, width, 3), code, np.uint8)


def test_each_photograph_has_its_place() -> None:
    """Rows are subjects, columns treatments; between them is white, above them a line of titles."""
    sheet = contact_sheet([[flat(50, 100, 10), flat(50, 100, 20)], [flat(9, 9, 30)] * 2], "ab")
    step = CELL + GAP
    middle = TITLE + CELL // 4

    assert (TITLE + CELL // 2 + GAP + step, GAP + 2 * step, 3) == sheet.shape
    assert [10, 20] == [sheet[middle, GAP + n * step + CELL // 2, 0] for n in (0, 1)]
    assert 30 == sheet[TITLE + CELL // 2 + GAP + 1, GAP + 1, 0]
    assert 255 == sheet[:, :GAP].min()
    assert sheet[:TITLE].min() < 100


@pytest.mark.parametrize("size", [(500, 250), (10, 20), (1, 900), (256, 256)])
def test_photographs_keep_their_proportions(size: tuple[int, int]) -> None:
    """Large ones shrink and small ones grow to the cell's longer side."""
    height, width = shrunk(flat(*size, 0)).shape[:2]

    assert CELL == max(height, width)
    assert size[0] / size[1] == pytest.approx(height / width, rel=0.01, abs=1 / CELL)


def test_a_row_without_one_for_each_title_is_refused() -> None:
    """A photograph under a wrong title would be a lie."""
    with pytest.raises(ValueError, match="argument"):
        contact_sheet([[flat(9, 9, 0)]], ["gray", "truth"])


@pytest.mark.parametrize(("suffix", "loss"), [(".png", 0), (".jpg", 12), (".JPEG", 12)])
def test_a_sheet_is_written_as_its_suffix_says(tmp_path: Path, suffix: str, loss: int) -> None:
    """In sRGB's order of channels, into a folder that is made if missing."""
    sheet = cv2.GaussianBlur(color_scene(60, 80), (0, 0), 3)
    path = tmp_path / "new" / f"sheet{suffix}"
    save_sheet(path, sheet)
    read = cv2.imread(str(path))
    assert read is not None

    assert np.abs(sheet.astype(int) - read[..., ::-1]).mean() <= loss


def test_a_sheet_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(ValueError, match=r"sheet\.gif"):
        save_sheet(tmp_path / "sheet.gif", flat(9, 9, 0))

    assert [] == list(tmp_path.iterdir())


def colored(code: int) -> Colored:
    """Pass by as a photograph with one output."""
    gray = flat(80, 100, code)
    return Colored(
        flat(80, 100, code + 2), gray[..., 0], {GRAY: gray, "it": as_rgb(gray[..., 0]) + 1}
    )


def test_a_sampler_keeps_the_first_and_keep_them_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, after and truth stand side by side under their titles; the rest is forgotten."""
    monkeypatch.setattr(sheets, "ROWS", 2)
    kept = SheetSampler()
    for code in (10, 20, 30):
        kept.watch(colored(code))
    sheet = kept.sheet({"it": "after", GRAY: "before"})
    step, height = CELL + GAP, round(CELL * 0.8)

    assert (TITLE + 2 * (height + GAP), GAP + 3 * step, 3) == sheet.shape
    for row, code in enumerate((10, 20)):
        line = sheet[TITLE + row * (height + GAP) + 5, GAP + 5 :: step, 0]
        assert [code + 1, code, code + 2] == line[:3].tolist()
