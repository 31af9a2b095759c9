"""Promises of service.config.pixel_points."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.pixel_points import PixelPoint


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("120,340=#7a1f2b", PixelPoint(0, 120, 340, "#7a1f2b")),
        (" 0,0=#FFFFFF ", PixelPoint(0, 0, 0, "#ffffff")),
        ("3:7,8=#000000", PixelPoint(2, 7, 8, "#000000")),
    ],
)
def test_a_point_is_read(text: str, point: PixelPoint) -> None:
    """Pages are counted from 1, as people do."""
    assert point == PixelPoint.parse(text)


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2=red", "1,2=#fff", "-1,2=#000000", "1.5,2=#000000", "0:1,2=#000000"]
)
def test_what_is_no_point_is_told(text: str) -> None:
    """With how it is written."""
    with pytest.raises(ValueError, match=r"must be X,Y=#rrggbb, such as 120,340=#7a1f2b"):
        PixelPoint.parse(text)


@given(height=st.integers(1, 9000), width=st.integers(1, 9000), data=st.data())
def test_a_pixel_lies_in_its_photograph(height: int, width: int, data: st.DataObject) -> None:
    """Its middle, and never on an edge."""
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    point = PixelPoint(1, x, y, "#7a1f2b").on([(1, 1), (height, width)], who="Ada")

    assert (x, y) == (int(point.x * width), int(point.y * height))
    assert 0 < point.x < 1
    assert 0 < point.y < 1
    assert (1, "Ada", "") == (point.page, point.who, point.source)


def test_what_lies_outside_is_told() -> None:
    """With the size of the photograph, or its pages."""
    for x, y in ((640, 0), (0, 480)):
        with pytest.raises(ValueError, match=f"the point {x},{y} lies outside .* 640 x 480 pixels"):
            PixelPoint(0, x, y, "#7a1f2b").on([(480, 640)])
    with pytest.raises(ValueError, match="there is no page 2; the photograph has 1 page"):
        PixelPoint(1, 0, 0, "#7a1f2b").on([(480, 640)])
