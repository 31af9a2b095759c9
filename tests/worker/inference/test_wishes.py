"""Promises of worker.inference.wishes: points, sliders, references, swatches and variants."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.inference.wishes import (
    Thought,
    ab_of,
    color_of,
    expected_errors,
    find_variants,
    grant,
    guide_of,
    swatches_at,
)
from worker.models.decoding import color_grid
from worker.settings import AS_GENERATED, ColorPoint, ColorWishes, Reference

GRID = color_grid()
S = 64  # side of the chroma plane
COAT = np.s_[60:200, 90:170]  # of the picture below, (240, 320): a dark thing on a light wall
COLORS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


def picture(shading: float = 0.1) -> Pixels:
    """Paint a light wall with a darker coat before it, which shading runs over."""
    y, _x = np.mgrid[0:240, 0:320]
    gray = np.full((240, 320), 205.0)
    gray[COAT] = (110 * (1 + shading * np.sin(y / 17)))[COAT]
    return np.rint(gray + np.random.default_rng(0).normal(0, 2, gray.shape)).astype(np.uint8)


def thought_of(
    gray: Pixels, *peaks: tuple[float, float, float], spread: float = 12.0, gain: float = 1.0
) -> Thought:
    """Think that everything has one of some colors (a, b, weight)."""
    apart = np.stack([np.linalg.norm(GRID - [a, b], axis=-1) for a, b, _weight in peaks])
    weight = np.array([weight for _a, _b, weight in peaks])
    p = (weight[:, None] * np.exp(-((apart / spread) ** 2))).sum(axis=0)
    logits = np.tile(np.log(p / p.sum() + 1e-12), (S, S, 1)).astype(np.float32)
    return Thought(logits, logits, 1.0, gain, GRID, guide_of(gray), gray.shape)


def painted(gray: Pixels, ab: Floats) -> Floats:
    """Return the chroma that a result has at full size."""
    return cielab.lab_of_rgb(cielab.merge(gray, ab))[..., 1:]


def distance(one: Floats, other: Floats) -> Floats:
    """Return distances in ab units."""
    return np.asarray(np.linalg.norm(one - other, axis=-1))


@pytest.mark.parametrize("color", ["#7a1f2b", "#2b4a7a", "#6b6b6b", "#4f6b35"])
@pytest.mark.parametrize(("shading", "gain"), [(0.0, 1.0), (0.1, 1.0), (0.1, 1.15)])
def test_a_point_colors_its_surface_and_nothing_else(
    color: str, shading: float, gain: float
) -> None:
    """Within 3 ab units there, 90 % of the change on the surface, under 1 beyond the edge."""
    gray = picture(shading)
    thought = thought_of(gray, (4, 18, 1), gain=gain)
    point = ColorPoint(130 / 320, 130 / 240, color)
    before = painted(gray, grant(thought, AS_GENERATED))
    after = painted(gray, grant(thought, ColorWishes(points=(point,))))
    change = distance(before, after)
    beyond = np.ones(gray.shape, bool)
    beyond[52:208, 82:178] = False  # the edge itself is a few pixels wide

    assert distance(after[127:134, 127:134].mean(axis=(0, 1)), ab_of(color)) < 3
    assert change[COAT].sum() > 0.9 * change.sum()
    assert change[beyond].mean() < 0.2
    assert np.quantile(change[beyond], 0.999) < 1
    assert np.median(change[COAT]) > 0.7 * distance(before[130, 130], ab_of(color))


def test_points_on_two_things_do_not_mix() -> None:
    """Each has the color of its own point; in whatever order they were said."""
    gray = picture()
    thought = thought_of(gray, (0, 0, 1))
    points = (
        ColorPoint(130 / 320, 130 / 240, "#7a1f2b", radius=1),
        ColorPoint(250 / 320, 130 / 240, "#9fb8d8", radius=1),
    )
    first = grant(thought, ColorWishes(points=points))
    second = grant(thought, ColorWishes(points=points[::-1]))
    ab = painted(gray, first)

    assert first == pytest.approx(second, abs=1e-4)
    for point, row, column in zip(points, (130, 130), (130, 250), strict=True):
        assert distance(ab[row, column], ab_of(point.color)) < 3


def test_two_points_on_one_thing_share_it() -> None:
    """Each place has its own color, and what lies between goes from one to the other."""
    gray = np.full((200, 200), 140, np.uint8)
    thought = thought_of(gray, (0, 0, 1))
    points = tuple(ColorPoint(x, 0.5, color) for x, color in ((0.2, "#b4503c"), (0.8, "#3c78b4")))
    ab = painted(gray, grant(thought, ColorWishes(points=points)))

    for point in points:
        place = ab[100, int(200 * point.x)]
        assert distance(place, ab_of(point.color)) < 3
    assert ab[100, 60, 0] > ab[100, 100, 0] > ab[100, 140, 0]


def test_the_reach_of_a_point_can_be_said() -> None:
    """Far from it a surface keeps its color."""
    gray = np.full((100, 300), 140, np.uint8)
    thought = thought_of(gray, (0, 0, 1))
    point = ColorPoint(0.1, 0.5, "#3c78b4", radius=0.2)
    ab = painted(gray, grant(thought, ColorWishes(points=(point,))))

    assert distance(ab[50, 45], ab_of(point.color)) < 4
    assert np.linalg.norm(ab[50, 150:], axis=-1).max() < 1


@given(
    vividness=st.floats(0, 100),
    warmth=st.floats(-50, 50),
)
@settings(max_examples=20, deadline=None)
def test_a_neutral_ramp_stays_neutral(vividness: float, warmth: float) -> None:
    """At every vividness and warmth, from black to white."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    thought = thought_of(ramp, (0, 0, 1), spread=9)
    ab = painted(ramp, grant(thought, ColorWishes(vividness=vividness, warmth=warmth)))

    assert np.linalg.norm(ab, axis=-1).max() < 1.5


@given(
    one=st.floats(0, 100),
    other=st.floats(0, 100),
    peak=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
@settings(max_examples=20, deadline=None)
def test_vividness_only_rises(one: float, other: float, peak: tuple[float, float]) -> None:
    """0 is gray, 50 as decoded; more is never less colorful."""
    less, more = sorted((one, other))
    thought = thought_of(picture(), (*peak, 1.0), (0, 0, 0.5))

    def chroma(vividness: float) -> float:
        ab = grant(thought, ColorWishes(vividness=vividness))
        return float(np.linalg.norm(ab, axis=-1).mean())

    assert 0 == chroma(0)
    assert chroma(less) <= chroma(more) + 1e-4


@given(warmth=st.floats(1, 50), ab=st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
@settings(max_examples=20, deadline=None)
def test_warmth_goes_along_daylight(warmth: float, ab: tuple[float, float]) -> None:
    """Warmer is yellower and cooler bluer, never by more than 12 ab units."""
    thought = thought_of(picture(), (*ab, 1))
    cool, plain, warm = (grant(thought, ColorWishes(warmth=by)) for by in (-warmth, 0, warmth))

    assert (warm[..., 1] >= plain[..., 1]).all()
    assert (cool[..., 1] <= plain[..., 1]).all()
    assert distance(warm, plain).max() <= 12.1


def test_the_same_wishes_give_the_same_bytes() -> None:
    """And other wishes others."""
    gray = picture()
    thought = thought_of(gray, (20, 30, 1), (-20, 30, 0.6), (0, -40, 0.4))
    wishes = ColorWishes(
        70, 10, (ColorPoint(0.4, 0.5, "#7a1f2b"), ColorPoint(0.9, 0.1, "#9fb8d8")), 1
    )
    again = grant(thought_of(gray, (20, 30, 1), (-20, 30, 0.6), (0, -40, 0.4)), wishes)
    first = grant(thought, wishes)

    assert first.tobytes() == again.tobytes()
    for other in (
        replace(wishes, vividness=71.0),
        replace(wishes, warmth=9.0),
        replace(wishes, variant=0),
        replace(wishes, points=wishes.points[:1]),
    ):
        assert first.tobytes() != grant(thought, other).tobytes()


@given(
    peaks=st.lists(
        st.tuples(st.floats(-70, 70), st.floats(-70, 70), st.floats(0.05, 1)),
        min_size=1,
        max_size=5,
    ),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
)
@settings(max_examples=30, deadline=None)
def test_swatches_are_likely_distinct_and_in_order(
    peaks: list[tuple[float, float, float]], x: float, y: float
) -> None:
    """One to six; their probabilities sum up to 1 at most; no two look alike."""
    found = swatches_at(thought_of(picture(), *peaks), x, y)

    assert 1 <= len(found) <= 6
    assert 0 < sum(one.probability for one in found) <= 1 + 1e-6
    assert sorted(found, key=lambda one: -one.probability) == found
    for at, one in enumerate(found):
        for other in found[:at]:
            assert np.linalg.norm(one.ab - other.ab) > 7


def test_swatches_are_the_peaks_of_the_distribution() -> None:
    """With about their shares."""
    thought = thought_of(picture(), (40, 30, 0.6), (-40, 30, 0.3), (0, -45, 0.1), spread=7)
    found = swatches_at(thought, 0.5, 0.5)

    assert 3 == len(found)
    for one, (a, b, share) in zip(
        found, ((40, 30, 0.6), (-40, 30, 0.3), (0, -45, 0.1)), strict=True
    ):
        assert np.linalg.norm(one.ab - [a, b]) < 4
        assert share == pytest.approx(one.probability, abs=0.06)


def two_things() -> tuple[Pixels, Thought]:
    """Think that the wall is surely tan, and the coat red, blue or green."""
    gray = picture()
    wall = thought_of(gray, (4, 18, 1), spread=8)
    coat = thought_of(gray, (40, 25, 0.55), (0, -35, 0.3), (-35, 25, 0.15), spread=8)
    y, x = (np.arange(S) + 0.5) / S * 240, (np.arange(S) + 0.5) / S * 320
    inside = ((y > 60) & (y < 200))[:, None] & ((x > 90) & (x < 170))
    logits = np.where(inside[..., None], coat.logits, wall.logits)
    sharp = logits / 0.5  # as decoded
    return gray, coat._replace(logits=sharp, plain=logits)


def test_variants_color_one_thing_otherwise_as_a_whole() -> None:
    """The coat is blue, then green; the likelier first; the wall stays as it is."""
    gray, thought = two_things()
    found = find_variants(thought)
    usual, *others = (
        painted(gray, grant(thought, ColorWishes(variant=number)))
        for number in range(len(found) + 1)
    )

    assert len(others) >= 2
    assert 1 >= found[0].likelihood > found[1].likelihood > 0
    assert distance(others[0], others[1])[COAT].mean() > 20
    for other in others[:2]:
        change = distance(usual, other)
        assert np.quantile(change[70:190, 100:160], 0.1) > 20
        assert np.median(change[:, 220:]) < 1


def test_a_variant_that_is_not_there_is_the_last_one() -> None:
    """And where nothing is in doubt, there is but one coloring."""
    _gray, thought = two_things()
    sure = thought_of(picture(), (4, 18, 1), spread=7)

    last = len(find_variants(thought))
    assert np.array_equal(*(grant(thought, ColorWishes(variant=number)) for number in (last, 3)))
    assert [] == find_variants(sure)
    assert np.array_equal(grant(sure, ColorWishes(variant=3)), grant(sure, ColorWishes(variant=0)))


@given(color=COLORS)
@example(color="#01ffff")
@example(color="#feff00")
@example(color="#00002d")
@settings(max_examples=50, deadline=None)
def test_a_color_comes_back_from_its_chroma(color: str) -> None:
    """Within 4 units at middle lightness; near black and white paler, never lighter or bolder."""
    lab, back = (
        cielab.lab_of_rgb(np.array([[[int(one[at : at + 2], 16) for at in (1, 3, 5)]]], np.uint8))[
            0, 0
        ]
        for one in (color, color_of(ab_of(color), lightness_of(color)))
    )

    assert abs(back[0] - lab[0]) < 1
    assert np.linalg.norm(back[1:]) < np.linalg.norm(lab[1:]) + 1
    if 10 <= lab[0] <= 85:
        assert distance(lab, back) < 4


def lightness_of(color: str) -> float:
    """Return the lightness of #rrggbb, in 0..1."""
    rgb = np.array([[[int(color[at : at + 2], 16) for at in (1, 3, 5)]]], np.uint8)
    return float(cielab.lab_of_rgb(rgb)[0, 0, 0]) / 100


SUNSET = Reference("sunset.jpg", "0" * 64, ((20, 40, 600), (30, 60, 300), (0, 0, 100)))
SNOW = Reference("snow.jpg", "1" * 64, ((0, -30, 700), (0, -10, 300)))


def test_a_reference_draws_what_is_open_towards_its_colors() -> None:
    """A warm one makes it warmer, a cold one colder; each once more with another variant."""
    gray = np.full((240, 320), 150, np.uint8)
    thought = thought_of(gray, (12, 26, 0.5), (2, -24, 0.5))
    usual = grant(thought, AS_GENERATED)
    warm = grant(thought, ColorWishes(reference=SUNSET))
    cold = grant(thought, ColorWishes(reference=SNOW))

    assert warm[..., 1].mean() > usual[..., 1].mean() + 3
    assert cold[..., 1].mean() < usual[..., 1].mean() - 3
    assert np.array_equal(warm, grant(thought, ColorWishes(reference=SUNSET)))


@pytest.mark.parametrize("vividness", [50, 100])
@pytest.mark.parametrize("reference", [SUNSET, SNOW])
def test_no_reference_colors_what_is_neutral_or_dark(
    reference: Reference, vividness: float
) -> None:
    """Gray stays gray at any lightness, and shadows have no patches."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    neutral = thought_of(ramp, (0, 0, 1), spread=10)
    shadow = thought_of(np.full((64, 64), 20, np.uint8), (10, 15, 0.6), (0, 0, 0.4))
    wishes = ColorWishes(vividness, reference=reference)

    for thought in (neutral, shadow):
        usual = grant(thought, replace(wishes, reference=None))
        assert grant(thought, wishes) == pytest.approx(usual, abs=1e-4)


def test_a_reference_does_not_reach_over_an_edge_of_color() -> None:
    """Two things side by side stay two: each goes its way from what it was."""
    gray = np.full((240, 320), 150, np.uint8)
    grass, sand = thought_of(gray, (-20, 30, 1)), thought_of(gray, (10, 25, 1))
    logits = np.concatenate([grass.logits[:, :32], sand.logits[:, 32:]], axis=1)
    thought = grass._replace(logits=logits, plain=logits)
    ab = grant(thought, ColorWishes(reference=SUNSET))
    left, right = ab[:, :32], ab[:, 32:]

    assert np.ptp(left[..., 0]) < 1
    assert np.ptp(right[..., 0]) < 1
    assert left[..., 0].mean() < 0 < right[..., 0].mean()


def test_the_gain_of_a_decoding_holds_for_wishes_too() -> None:
    """All chroma is so many times as large; the doubt is of what is given then."""
    plain, more = (thought_of(picture(), (20, 30, 1), gain=gain) for gain in (1.0, 1.25))

    for wishes in (AS_GENERATED, ColorWishes(vividness=20)):
        assert 1.25 * grant(plain, wishes) == pytest.approx(grant(more, wishes), rel=1e-4)
    assert expected_errors(plain).mean() < expected_errors(more).mean()
