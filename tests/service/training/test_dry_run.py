"""It tells what a collection holds, shows it, and trains nothing."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from service.config.loader import Config
from service.training.dry_run import SHEET, print_dry_run
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker.errors import ScanError

PHOTOS = 5


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make some photographs, a gray one, and a name that rich would take for markup."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        save(folder / f"{number}.png", color_scene(100, 120, number))
    save(folder / "a [red] one.png", gray_scene(120, 120))
    (folder / "licenses.tsv").write_text("path\tlicense\n0.png\tCC BY [4.0]\n")
    return folder


def dry_run(state: Path, folder: Path) -> str:
    """Do a dry run and return what it tells, without line ends."""
    said = io.StringIO()
    print_dry_run(Config(state=state), [folder], Console(file=said, width=240))
    return " ".join(said.getvalue().split())


def test_counts_reasons_and_licenses_are_told(photos: Path, tmp_path: Path) -> None:
    """A person reads how many are fit, who is left out and why with an example, and licenses."""
    said = dry_run(tmp_path / "state", photos)

    assert f"for training {PHOTOS}" in said
    assert f"left out: gray 1 {photos}/a [red] one.png" in said
    assert "CC BY [4.0] 1" in said
    assert f"not stated {PHOTOS - 1}" in said
    assert "Nothing was trained" in said


def test_the_sheet_shows_photographs_and_cameras(photos: Path, tmp_path: Path) -> None:
    """A JPEG is named and written: color at the left, gray beside it; the same each time."""
    said = dry_run(tmp_path / "state", photos)
    path = tmp_path / "state" / "training" / SHEET
    first = path.read_bytes()
    dry_run(tmp_path / "state", photos)
    with Image.open(path) as sheet:
        width, height = sheet.size
        colors = [
            sheet.crop((left * width // 4, height // 2, (left + 1) * width // 4, height))
            .convert("HSV")
            .getchannel("S")
            .getextrema()[1]
            for left in range(4)
        ]

    assert str(path) in said
    assert first == path.read_bytes()
    assert colors[0] > 100
    assert max(colors[1:]) < 40


def test_nothing_is_published(photos: Path, tmp_path: Path) -> None:
    """Only the cache and the sheet are written, and TensorFlow is not loaded for it."""
    dry_run(tmp_path / "state", photos)
    question = "import sys, service.training.dry_run; print('tensorflow' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=True, timeout=60
    )

    assert ["training"] == [path.name for path in (tmp_path / "state").iterdir()]
    assert {SHEET, "photographs"} == {
        path.name for path in (tmp_path / "state" / "training").iterdir()
    }
    assert "False" == answer.stdout.strip()


def test_nothing_fit_is_said(tmp_path: Path) -> None:
    """Where no photograph is fit, the reasons are told and where each file's reason stands."""
    (tmp_path / "gray").mkdir()
    save(tmp_path / "gray" / "a.png", gray_scene(120, 120))

    with pytest.raises(ScanError, match=r"1 gray \(listed in .*\.json\)"):
        dry_run(tmp_path / "state", tmp_path / "gray")
