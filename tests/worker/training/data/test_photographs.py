"""Promises of worker.training.data.photographs."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene, save, sepia
from worker.settings import ReadSettings
from worker.training.data import photographs
from worker.training.data.photographs import fit_photos, in_fixed_order

names = st.sets(st.text("abcdef0123456789", min_size=1, max_size=6), min_size=1, max_size=12)


@given(names, names)
def test_photographs_that_are_added_change_the_place_of_none(
    some: set[str], more: set[str]
) -> None:
    """The order of two photographs follows from their names alone; none is lost."""
    home = Path("photos")

    def ordered(those: set[str]) -> list[Path]:
        with pytest.MonkeyPatch.context() as patch:
            found = sorted(home / f"{name}.jpg" for name in those)
            patch.setattr(photographs, "find_photos", lambda _: found)
            return in_fixed_order(home)

    before, after = ordered(some), ordered(some | more)

    assert before == [path for path in after if path in before]
    assert len(some | more) == len(after)


def test_the_order_does_not_depend_on_where_the_folder_lies(tmp_path: Path) -> None:
    """A copy elsewhere gives the same sample; it is not the order of the names."""
    for folder in ("one", "two/deeper"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(12):
            (tmp_path / folder / f"{number:02}.jpg").write_bytes(b"")
    one, two = (
        [path.name for path in in_fixed_order(tmp_path / folder)]
        for folder in ("one", "two/deeper")
    )

    assert one == two != sorted(one)
    assert 12 == len(set(one))


def test_unfit_photographs_are_left_out_and_counted(tmp_path: Path) -> None:
    """Those without color to compare with, too small ones, and what cannot be read."""
    scene, gray = color_scene(100, 120), gray_scene(100, 120)
    paths = [
        save(tmp_path / "0.png", scene),
        save(tmp_path / "1.png", gray),
        save(tmp_path / "2.png", sepia(as_rgb(gray)[..., 0])),
        save(tmp_path / "3.png", color_scene(50, 120)),
        tmp_path / "4.jpg",
        save(tmp_path / "5.png", scene[:, ::-1].copy()),
    ]
    paths[4].write_bytes(b"not a photograph")
    left_out: Counter[str] = Counter()
    found = list(fit_photos(paths, ReadSettings(), left_out))

    assert 2 == len(found)
    assert np.array_equal(scene, found[0])
    assert np.array_equal(scene[:, ::-1], found[1])
    assert {"gray": 1, "one tone": 1, "too small": 1, "unreadable": 1} == left_out
