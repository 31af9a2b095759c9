"""Promises of worker.difference: how far two colorings of one scan are apart."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.support.synthetic_photos import Array, gray_scene, save
from worker.color import cielab
from worker.difference import change
from worker.errors import ScanError
from worker.formats.registry import FORMATS
from worker.settings import ReadSettings


def colored(gray: Array, ab: tuple[float, float], part: slice = slice(None)) -> Array:
    """Give some columns of a gray picture a color."""
    plane = np.zeros((*gray.shape, 2), np.float32)
    plane[:, part] = ab
    return cielab.merge(gray, plane)


def between(one: Path, other: Path) -> float:
    """Compare two files."""
    with io.FileIO(one) as before, io.FileIO(other) as after:
        return change(before, after, ReadSettings())


@pytest.fixture
def gray() -> Array:
    """Make a scan of middle tones, where every color has room."""
    return (gray_scene(300, 400) // 4 + 96).astype(np.uint8)


def test_equal_colors_are_no_change(gray: Array, tmp_path: Path) -> None:
    """Exactly none where the files are the same."""
    path = save(tmp_path / "a.png", colored(gray, (5, 10)))

    assert 0.0 == between(path, path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "jp2"])
def test_the_change_of_a_whole_picture_is_its_distance(
    gray: Array, tmp_path: Path, suffix: str
) -> None:
    """In ab units, to one unit in any format of results."""
    one = save(tmp_path / f"a.{suffix}", colored(gray, (0, 0)))
    other = save(tmp_path / f"b.{suffix}", colored(gray, (6, 8)))

    assert between(one, other) == pytest.approx(10, abs=1)
    assert between(other, one) == pytest.approx(between(one, other))


def test_a_small_thing_that_turned_counts_as_much_as_a_slight_cast(
    gray: Array, tmp_path: Path
) -> None:
    """A twenty-fifth that moved by 50 units, and all of it that moved by 10."""
    plain = save(tmp_path / "a.png", colored(gray, (0, 0)))
    thing = save(tmp_path / "b.png", colored(gray, (30, 40), slice(16)))
    cast = save(tmp_path / "c.png", colored(gray, (6, 8)))

    assert between(plain, thing) == pytest.approx(between(plain, cast), rel=0.15)


def test_sixteen_bits_are_compared_like_eight(gray: Array, tmp_path: Path) -> None:
    """A result of another depth is the same picture."""
    one = save(tmp_path / "a.tif", colored(gray, (5, 5)))
    other = save(tmp_path / "b.tif", colored(gray.astype(np.uint16) * 257, (5, 5)))

    assert between(one, other) < 0.5


def test_of_several_pages_the_most_changed_counts(gray: Array, tmp_path: Path) -> None:
    """Wherever it is."""
    one, other = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(one, np.stack([colored(gray, (0, 0))] * 3), photometric="rgb")
    pages = [colored(gray, ab) for ab in ((0, 0), (6, 8), (0, 3))]
    tifffile.imwrite(other, np.stack(pages), photometric="rgb")

    assert between(one, other) == pytest.approx(10, abs=1)


@pytest.mark.parametrize("fault", ["size", "pages", "damage"])
def test_what_cannot_be_compared_says_why(gray: Array, tmp_path: Path, fault: str) -> None:
    """Never a number that means nothing."""
    one, other = tmp_path / "a.tif", tmp_path / "b.tif"
    pages = np.stack([colored(gray, (0, 0))] * 2)
    tifffile.imwrite(one, pages, photometric="rgb")
    if fault == "size":
        tifffile.imwrite(other, pages[:, :-1], photometric="rgb")
    elif fault == "pages":
        tifffile.imwrite(other, pages[:1], photometric="rgb")
    else:
        other.write_bytes(one.read_bytes()[:-1000])
    words = {"size": "another size", "pages": "number of pages", "damage": "cut short"}
    with pytest.raises(ScanError, match=words[fault]):
        between(one, other)


def test_results_of_every_format_can_be_compared() -> None:
    """The parameters above are those that photochrom writes."""
    written = {one.name for one in FORMATS.values() if one.writer}

    assert {"png", "jpeg", "webp", "tiff", "jp2"} == written
