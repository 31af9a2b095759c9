"""The visible mark stands where it was asked for, can be read, and touches nothing else."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.synthetic_photos import Array, dtype_of
from worker.color import watermark
from worker.settings import Corner, MarkSettings

CORNERS: list[Corner] = ["top-left", "top-right", "bottom-left", "bottom-right"]


def marked(picture: Array, settings: MarkSettings, rows: int = 7) -> Array:
    """Mark a picture that comes in strips of so many rows."""
    height, width = picture.shape[:2]
    strips = (picture[top : top + rows] for top in range(0, height, rows))
    return np.concatenate(list(watermark.draw(strips, height, width, settings)))


def flat(height: int, width: int, code: int, depth: int = 8, samples: int = 3) -> Array:
    """Make a picture of one code."""
    return np.full((height, width, samples), code, dtype_of(depth))


def box(changed: Array) -> tuple[int, int, int, int]:
    """Return the first and last row and column that changed."""
    rows, columns = np.nonzero(changed.any(axis=-1))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


@pytest.mark.parametrize("corner", CORNERS)
def test_it_stands_in_its_corner(corner: Corner) -> None:
    """With a margin to the border, and nothing else changed."""
    picture = flat(300, 400, 200)
    top, bottom, left, right = box(marked(picture, MarkSettings(corner, 0.1)) != picture)
    vertical, horizontal = corner.split("-")

    assert 0 < (top if vertical == "top" else 299 - bottom) < 30
    assert 0 < (left if horizontal == "left" else 399 - right) < 30
    assert bottom - top < 60
    assert right - left < 200


def test_none_leaves_every_pixel() -> None:
    """And hands the strips through as they are, not copied."""
    strips = [flat(4, 90, 9), flat(4, 90, 8)]

    assert [id(strip) for strip in strips] == [
        id(strip) for strip in watermark.draw(iter(strips), 8, 90, MarkSettings("none"))
    ]


@pytest.mark.parametrize("code", [0, 60, 128, 200, 255])
def test_it_can_be_read_on_any_ground(code: int) -> None:
    """Its letters are well lighter than its plate."""
    plate = marked(flat(300, 400, code), MarkSettings("top-left", 0.1))[14:50, 14:130, 0]

    assert int(plate.max()) - int(plate.min()) > 100


def test_16_bits_are_marked_as_8_are() -> None:
    """To the rounding of 8 bits."""
    settings = MarkSettings("bottom-right", 0.1)
    fine = marked(flat(200, 300, 100 * 257, 16), settings)
    coarse = marked(flat(200, 300, 100), settings)

    assert np.uint16 == fine.dtype
    assert np.abs(fine / 257 - coarse).max() <= 0.5


def test_opacity_is_left_as_it_is() -> None:
    """The fourth sample of a pixel is no color."""
    picture = flat(200, 300, 77, samples=4)
    result = marked(picture, MarkSettings("top-left", 0.1))

    assert (77 == result[..., 3]).all()
    assert (result[..., :3] != 77).any()


def test_only_the_strips_it_touches_are_copied() -> None:
    """The others are handed through; none that came in is changed."""
    strips = [flat(10, 300, 50) for _ in range(20)]
    results = list(watermark.draw(iter(strips), 200, 300, MarkSettings("top-left", 0.1)))
    same = [given is result for given, result in zip(strips, results, strict=True)]

    assert not same[1]
    assert all(same[8:])
    assert all((strip == 50).all() for strip in strips)


def test_a_picture_too_small_for_letters_stays_without() -> None:
    """What cannot be read would only be dirt."""
    picture = flat(20, 20, 90)

    assert (picture == marked(picture, MarkSettings("top-left"))).all()


@given(
    st.integers(1, 120), st.integers(1, 300), st.integers(1, 130), st.sampled_from(CORNERS),
    st.floats(0.001, 0.5),
)  # fmt: skip
def test_it_never_depends_on_how_the_picture_is_cut(
    height: int, width: int, rows: int, corner: Corner, size: float
) -> None:
    """Strips of any height give the same picture, at any size, within its borders."""
    picture = flat(height, width, 200)
    settings = MarkSettings(corner, size)

    assert (marked(picture, settings, height) == marked(picture, settings, rows)).all()


def test_strips_are_taken_one_by_one() -> None:
    """A large picture is never held whole."""
    taken = 0

    def strips() -> Iterator[Array]:
        nonlocal taken
        for _ in range(10):
            taken += 1
            yield flat(20, 300, 50)

    results = watermark.draw(strips(), 200, 300, MarkSettings("top-left"))
    next(results)

    assert 1 == taken
