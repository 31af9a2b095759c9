"""What old cameras and a century do, each on some of the prints.

Effects are looked for where they show: grain, corners and dust on an even gray card.
"""

from collections.abc import Callable

import numpy as np
import pytest

from tests.support.synthetic_photos import color_scene
from worker.color import cielab
from worker.training.data import degradation
from worker.training.data.degradation import degrade, emulsion

SHOTS = 400
RED, SKY, GRASS = (200, 30, 40), (110, 160, 230), (90, 150, 50)


def card(rgb: tuple[int, int, int] = (128, 128, 128), side: int = 48) -> np.ndarray:
    """Paint a card of one color."""
    return np.full((side, side, 3), rgb, np.uint8)


def true_lightness(rgb: tuple[int, int, int]) -> float:
    """Return the CIE lightness of a color, 0..1."""
    return float(cielab.lightness(cielab.gray_of_rgb(card(rgb, 1)))[0, 0])


@pytest.fixture(scope="module")
def cards() -> np.ndarray:
    """Photograph a gray card with many cameras, (SHOTS, 48, 48)."""
    return np.stack([degrade(card(), np.random.default_rng(seed)) for seed in range(SHOTS)])


@pytest.mark.parametrize("seed", range(30))
def test_old_cameras_stay_in_range(seed: int) -> None:
    """Whatever the camera, lightness is float32 within 0..1 and still a picture."""
    light = degrade(color_scene(48, 40, seed), np.random.default_rng(seed))

    assert ((48, 40), np.float32) == (light.shape, light.dtype)
    assert 0 <= light.min() < light.max() <= 1
    assert np.isfinite(light).all()


@pytest.mark.parametrize("rgb", [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)])
def test_the_ends_of_the_scale_are_no_trouble(rgb: tuple[int, int, int]) -> None:
    """Black, white and pure colors come out finite and within 0..1 of every camera."""
    shots = [degrade(card(rgb, 32), np.random.default_rng(seed)) for seed in range(60)]

    assert all(np.isfinite(shot).all() and 0 <= shot.min() <= shot.max() <= 1 for shot in shots)


def test_the_photograph_is_left_as_it_is() -> None:
    """The target's colors are read from the same pixels afterwards, so no camera changes them."""
    photo = color_scene(48, 48, 1)
    before = photo.copy()
    for seed in range(40):
        degrade(photo, np.random.default_rng(seed))

    assert np.array_equal(before, photo)


def test_old_cameras_differ_but_show_the_scene() -> None:
    """Throws of the dice give different pictures that resemble the true lightness."""
    picture = color_scene(64, 64, 3)
    truth = cielab.lightness(cielab.gray_of_rgb(picture))
    rng = np.random.default_rng(1)
    shots = [degrade(picture, rng) for _ in range(40)]
    alike = [np.corrcoef(truth.ravel(), shot.ravel())[0, 1] for shot in shots]

    assert 40 == len({shot.tobytes() for shot in shots})
    assert np.median(alike) > 0.8


def test_the_same_dice_give_the_same_print() -> None:
    """A camera depends on its dice alone, so a training can be resumed."""
    photo = color_scene(48, 48, 2)
    first, again = (degrade(photo, np.random.default_rng(9)) for _ in range(2))

    assert np.array_equal(first, again)


def test_an_emulsion_shares_out_all_light() -> None:
    """No emulsion makes light or gray cards darker: weights are positive and their sum is one."""
    plates = np.stack([emulsion(np.random.default_rng(seed)) for seed in range(SHOTS)])

    assert (plates >= 0).all()
    assert np.ones(SHOTS) == pytest.approx(plates.sum(axis=1))


def test_half_the_plates_see_as_the_eye_does() -> None:
    """Half keep true luminance; of all, about one in seven is nearly blind to red."""
    plates = np.stack([emulsion(np.random.default_rng(seed)) for seed in range(SHOTS)])
    true = (np.abs(plates - cielab.LUMINANCE) < 1e-6).all(axis=1)
    blind = plates[:, 0] <= 0.08

    assert 0.5 == pytest.approx(true.mean(), abs=0.1)
    assert 0.15 == pytest.approx(blind.mean(), abs=0.06)


def test_plates_blind_to_red_see_it_dark_and_the_sky_light() -> None:
    """On orthochromatic and blue-sensitive plates red is darker than to the eye, sky lighter."""
    plates = [emulsion(np.random.default_rng(seed)) for seed in range(SHOTS)]
    blind = np.stack([plate for plate in plates if plate[0] <= 0.08])
    red, sky = (cielab.linear_of_codes(np.array(rgb, np.uint8)) for rgb in (RED, SKY))

    assert len(blind) > 20
    assert (blind @ red < 0.6 * (cielab.LUMINANCE @ red)).all()
    assert (blind @ sky > cielab.LUMINANCE @ sky).all()


def test_some_prints_show_red_dark_and_skies_white() -> None:
    """In finished prints too: in some a red dress is far darker beside the sky."""
    photo = np.concatenate([card(SKY, 24), card(GRASS, 24), card(RED, 24)])
    sky, grass, red = (true_lightness(rgb) for rgb in (SKY, GRASS, RED))
    prints = [degrade(photo, np.random.default_rng(seed)) for seed in range(200)]
    thirds = np.array([[part.mean() for part in np.split(shot, 3)] for shot in prints])
    far_apart = thirds[:, 0] - thirds[:, 2] > 1.3 * (sky - red)

    assert red < grass < sky
    assert 0.03 < far_apart.mean() < 0.4


def test_tones_bend_both_ways(cards: np.ndarray) -> None:
    """The tone curve makes some prints lighter and some darker than the scene."""
    truth = true_lightness((128, 128, 128))
    means = cards.mean(axis=(1, 2))

    assert (means > truth + 0.05).mean() > 0.1
    assert (means < truth - 0.05).mean() > 0.1


def test_prints_fade() -> None:
    """Black is seldom black any more, and white seldom white, but never by a tenth."""
    seeds = range(100)
    blacks = [np.median(degrade(card((0,) * 3), np.random.default_rng(s))) for s in seeds]
    whites = [np.median(degrade(card((255,) * 3), np.random.default_rng(s))) for s in seeds]

    assert 0.02 < np.mean(blacks) < 0.06
    assert 0.08 + 0.02 > max(blacks)
    assert np.mean(whites) < 0.97


def test_about_half_the_prints_have_grain(cards: np.ndarray) -> None:
    """Neighboring pixels of an even card differ on about half of the prints, by up to 4 %."""
    rough = np.diff(cards, axis=2).std(axis=(1, 2))

    assert 0.3 < (rough > 0.004).mean() < 0.75
    assert np.percentile(rough, 95) < 0.12


def test_some_corners_are_dark(cards: np.ndarray) -> None:
    """On about a fifth of the prints all four corners are darker than the middle."""
    middle = np.median(cards[:, 18:30, 18:30], axis=(1, 2))
    corners = np.stack(
        [
            np.median(cards[:, rows, columns], axis=(1, 2))
            for rows in (slice(0, 6), slice(-6, None))
            for columns in (slice(0, 6), slice(-6, None))
        ]
    )

    assert 0.1 < (corners.max(axis=0) < middle - 0.02).mean() < 0.3


def test_some_prints_are_unsharp() -> None:
    """About a quarter of the prints lose the edge between black and white squares."""
    squares = np.kron(np.indices((6, 6)).sum(axis=0) % 2 * 255, np.ones((8, 8)))
    photo = np.repeat(squares[..., None], 3, axis=-1).astype(np.uint8)
    steps = np.array(
        [
            np.abs(np.diff(degrade(photo, np.random.default_rng(seed)), axis=1))[:, 7::8].mean()
            for seed in range(200)
        ]
    )

    assert 0.1 < (steps < 0.7).mean() < 0.4


def test_some_prints_are_worn(cards: np.ndarray) -> None:
    """On some prints specks or scratches stand out from all around them."""
    apart = cards.max(axis=(1, 2)) - np.median(cards, axis=(1, 2))

    assert 0.04 < (apart > 0.25).mean() < 0.25


def test_wear_is_light_or_dark() -> None:
    """Dust and scratches are white on most worn prints and black on others."""
    light = np.full((96, 96), 0.5, np.float32)
    worn = [degradation._worn(light, np.random.default_rng(seed)) for seed in range(60)]
    white = sum(bool(one.max() > 0.7) for one in worn)
    black = sum(bool(one.min() < 0.3) for one in worn)

    assert white > black > 5


def test_wear_covers_little() -> None:
    """Dust and scratches leave most of a print as it was."""
    light = np.full((96, 96), 0.5, np.float32)
    for seed in range(50):
        worn = degradation._worn(light, np.random.default_rng(seed))

        assert (worn == 0.5).mean() > 0.9


def test_jpeg_changes_little_but_something() -> None:
    """JPEG at its worst quality here is still the picture, and never the very same."""
    light = cielab.lightness(cielab.gray_of_rgb(color_scene(64, 64, 4)))
    pressed = [degradation._through_jpeg(light, np.random.default_rng(seed)) for seed in range(20)]

    assert all(0 < np.abs(one - light).mean() < 0.05 for one in pressed)
    assert {np.dtype(np.float32)} == {one.dtype for one in pressed}


@pytest.mark.parametrize(
    "effect", ["_vignette", "_grain", "_worn", "_through_jpeg"], ids=lambda name: name.strip("_")
)
def test_every_effect_is_on_some_prints_and_not_on_all(
    effect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each effect is thrown anew for each print: some have it, some do not."""
    calls: list[int] = []
    real: Callable[..., np.ndarray] = getattr(degradation, effect)

    def counted(*arguments: object) -> np.ndarray:
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(degradation, effect, counted)
    for seed in range(100):
        degrade(card(side=32), np.random.default_rng(seed))

    assert 5 < len(calls) < 65
