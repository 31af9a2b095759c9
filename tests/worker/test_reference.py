"""Promises of worker.reference: the colors of a photograph, from its file."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.synthetic_photos import Array, color_scene, gray_scene, save
from worker.errors import ScanError
from worker.reference import colors_of
from worker.settings import ReadSettings, Reference

SETTINGS = ReadSettings()


@pytest.fixture
def photo() -> Array:
    """Make a photograph, two thirds of it orange, one third gray."""
    rgb = np.full((400, 600, 3), 128, np.uint8)
    rgb[:, :400] = (230, 120, 40)
    return rgb


def test_a_photograph_has_its_colors(photo: Array, tmp_path: Path) -> None:
    """The most frequent first, in thousandths; a reference can be made of them."""
    colors = colors_of(save(tmp_path / "a.png", photo), SETTINGS)

    assert ((40, 60), (0, 0)) == tuple(color[:2] for color in colors[:2])
    assert [667, 333] == pytest.approx([color[2] for color in colors[:2]], abs=10)
    assert colors == Reference("a.png", "0" * 64, colors).colors


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif", "jp2"])
def test_the_format_does_not_matter(photo: Array, tmp_path: Path, suffix: str) -> None:
    """Nor does the size."""
    large = np.repeat(np.repeat(photo, 3, axis=0), 3, axis=1)
    one = colors_of(save(tmp_path / "a.png", photo), SETTINGS)
    other = colors_of(save(tmp_path / f"b.{suffix}", large), SETTINGS)

    assert [color[:2] for color in one[:2]] == [color[:2] for color in other[:2]]


def test_a_gray_photograph_is_no_reference(tmp_path: Path) -> None:
    """Nothing could be colored like it; that is said."""
    with pytest.raises(ScanError, match="has no color"):
        colors_of(save(tmp_path / "a.png", gray_scene(60, 80)), SETTINGS)


def test_the_limits_count(tmp_path: Path) -> None:
    """A huge file is refused before it is decoded."""
    with pytest.raises(ScanError, match="megapixels"):
        colors_of(save(tmp_path / "a.png", color_scene(60, 80)), ReadSettings(megapixels=0.001))
