"""Promises of worker.settings: wishes that no photograph can have are refused in plain words."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from worker.settings import (
    AS_GENERATED,
    MOST_POINTS,
    ColorPoint,
    ColorWishes,
    Reference,
    wishes_of,
)

SUNSET = Reference("sunset.jpg", "0" * 64, ((20, 40, 900), (0, 0, 100)), "Ada", "an autochrome")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ColorWishes(vividness=101), "vividness must be a number from 0 to 100, not 101"),
        (lambda: ColorWishes(vividness=float("nan")), "vividness must be .* not nan"),
        (lambda: ColorWishes(warmth=-51), "warmth must be a number from -50 to 50, not -51"),
        (lambda: ColorWishes(variant=4), "variant must be a number from 0 to 3, not 4"),
        (
            lambda: ColorPoint(1.5, 0, "#000000"),
            "x of a color point must be a number from 0 to 1, not 1.5",
        ),
        (
            lambda: ColorPoint(0, -1, "#000000"),
            "y of a color point must be a number from 0 to 1, not -1",
        ),
        (lambda: ColorPoint(0, 0, "red"), "a color must be written as #rrggbb, not red"),
        (lambda: ColorPoint(0, 0, "#000000", radius=0), "radius .* from 0.01 to 1, not 0"),
        (lambda: ColorPoint(0, 0, "#000000", page=-1), "page .* must be 0 or more, not -1"),
        (lambda: ColorPoint(0, 0, "#000000", who="x" * 501), "who .* more than 500 characters"),
        (
            lambda: ColorWishes(points=(ColorPoint(0, 0, "#000000"),) * (MOST_POINTS + 1)),
            "more than 64 color points",
        ),
        (lambda: Reference("a", "0" * 64, ()), "a reference must have 1 to 64 colors"),
        (lambda: Reference("a", "0" * 64, ((0, 0, 1),) * 65), "must have 1 to 64 colors"),
        (lambda: Reference("a", "0" * 64, ((200, 0, 1),)), "a\\* .* from -128 to 128, not 200"),
        (lambda: Reference("a", "0" * 64, ((0, -200, 1),)), "b\\* .* from -128 to 128, not -200"),
        (lambda: Reference("a", "0" * 64, ((0, 0, 0),)), "share .* from 1 to 1000, not 0"),
        (lambda: Reference("a", "0", ((0, 0, 1),)), "sha256 .* must be 64 hexadecimal digits"),
        (lambda: replace(SUNSET, name="x" * 501), "name of a reference .* more than 500"),
    ],
)
def test_impossible_wishes_are_refused(make: Callable[[], object], words: str) -> None:
    """Each with what it may be."""
    with pytest.raises(ValueError, match=words):
        make()


def test_each_page_has_the_points_that_are_on_it() -> None:
    """And all other wishes."""
    points = tuple(ColorPoint(0.5, 0.5, "#7a1f2b", page=page) for page in (0, 2))
    wishes = ColorWishes(vividness=60, points=points)

    assert points[:1] == wishes.of_page(0).points
    assert ColorWishes(vividness=60) == wishes.of_page(1)
    assert not ColorWishes(points=points).of_page(1).has_any
    assert not AS_GENERATED.has_any


def test_wishes_come_back_from_plain_data() -> None:
    """As JSON has them, whatever was wished."""
    point = ColorPoint(0.5, 0.5, "#7a1f2b", page=1, who="Ada")
    for wishes in (AS_GENERATED, ColorWishes(60, -5, (point,), 2, SUNSET)):
        assert wishes == wishes_of(json.loads(json.dumps(asdict(wishes))))


def test_a_reference_is_told_in_words_with_who_chose_it() -> None:
    """For the history in a result; all pages have it."""
    wishes = ColorWishes(warmth=5, reference=SUNSET)

    assert "warmth 5, colors like those of sunset.jpg (chosen by Ada)" == wishes.in_words
    assert wishes == wishes.of_page(3)
