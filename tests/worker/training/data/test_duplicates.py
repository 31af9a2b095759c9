"""What is the same picture, and who is on which side."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.synthetic_photos import color_scene
from worker.training.data.duplicates import KEPT, NEAR, Division, divide, perceptual_hash

Photo = tuple[str, int, int]  # digest, perceptual hash, pixels

CENTERS = (0x0123456789ABCDEF, 0xFFFF0000FFFF0000, 0x5A5A5A5A5A5A5A5A)


@st.composite
def photos(draw: st.DrawFn) -> Photo:
    """Draw a photograph; its hash is near one of three, so that near-duplicates are common."""
    flips = draw(st.sets(st.integers(0, 63), max_size=8))
    picture = draw(st.sampled_from(CENTERS)) ^ sum(1 << bit for bit in flips)
    return f"{draw(st.integers(0, 2**64 - 1)):016x}", picture, draw(st.integers(1, 4))


COLLECTIONS = st.lists(photos(), min_size=1, max_size=24, unique_by=lambda photo: photo[0])
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9])


def divided(some: list[Photo], share: float) -> Division:
    """Divide photographs."""
    digests, hashes, pixels = zip(*some, strict=True)
    return divide(digests, np.array(hashes, np.uint64), np.array(pixels, np.int64), share)


def sides(some: list[Photo], share: float) -> dict[str, str]:
    """Tell what becomes of each digest."""
    division = divided(some, share)
    return {
        digest: ("held back" if held else "learned") + ("" if twin == KEPT else ", left out")
        for (digest, _, _), held, twin in zip(some, *division, strict=True)
    }


def apart(one: Photo, other: Photo) -> int:
    """Count the bits in which two hashes differ."""
    return (one[1] ^ other[1]).bit_count()


@settings(deadline=None)
@given(COLLECTIONS, COLLECTIONS, SHARES)
def test_adding_photos_never_moves_one_to_the_other_side(
    old: list[Photo], new: list[Photo], share: float
) -> None:
    """Whatever is added, a photo that was held back is never learned from, and the reverse."""
    known = {digest for digest, _, _ in old}
    grown = old + [photo for photo in new if photo[0] not in known]
    before, after = sides(old, share), sides(grown, share)

    assert {digest: before[digest].split(",")[0] for digest in known} == {
        digest: after[digest].split(",")[0] for digest in known
    }


@settings(deadline=None)
@given(COLLECTIONS, COLLECTIONS, SHARES)
def test_a_near_duplicate_of_a_held_back_photo_is_never_learned_from(
    old: list[Photo], new: list[Photo], share: float
) -> None:
    """Not today, and not when either of them comes to a collection that has the other already."""
    known = {digest for digest, _, _ in old}
    grown = old + [photo for photo in new if photo[0] not in known]
    division = divided(grown, share)
    held = [photo for photo, held in zip(grown, division.held_back, strict=True) if held]
    learned = [
        photo
        for photo, held, twin in zip(grown, *division, strict=True)
        if not held and twin == KEPT
    ]

    assert all(apart(one, other) > NEAR for one in learned for other in held)


@settings(deadline=None)
@given(COLLECTIONS, SHARES)
def test_no_two_that_are_kept_are_near_duplicates(some: list[Photo], share: float) -> None:
    """Each picture is in the collection once."""
    kept = [
        photo for photo, twin in zip(some, divided(some, share).twin, strict=True) if twin == KEPT
    ]

    assert kept
    assert all(apart(one, other) > NEAR for i, one in enumerate(kept) for other in kept[:i])


@settings(deadline=None)
@given(COLLECTIONS, SHARES)
def test_who_is_left_out_has_a_better_twin(some: list[Photo], share: float) -> None:
    """The twin is near, and it is held back or of the same side and not smaller."""
    held_back, twins = divided(some, share)
    for index, twin in enumerate(twins):
        if twin != KEPT:
            assert apart(some[index], some[twin]) <= NEAR
            assert held_back[twin] >= held_back[index]
            assert held_back[twin] > held_back[index] or some[twin][2] >= some[index][2]


@settings(deadline=None)
@given(COLLECTIONS, SHARES, st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(
    some: list[Photo], share: float, random: object
) -> None:
    """The same photographs in another order are divided the same."""
    other = list(some)
    random.shuffle(other)  # type: ignore[attr-defined]

    assert sides(some, share) == sides(other, share)


def test_many_photos_are_divided_as_one_by_one() -> None:
    """Going by blocks gives what asking each photo about all before it would give."""
    rng = np.random.default_rng(4)
    some: list[Photo] = []
    for number in range(400):
        flips = sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 7), replace=False))
        picture = CENTERS[number % 3] ^ flips if number % 2 else int(rng.integers(2**63))
        some.append((f"{rng.integers(2**63):016x}", picture, int(rng.integers(1, 9))))
    expected: list[Photo] = []
    for photo in sorted(some, key=lambda photo: (-photo[2], photo[0])):
        if all(apart(photo, other) > NEAR for other in expected):
            expected.append(photo)
    twins = divided(some, 0.0).twin
    kept = [photo for photo, twin in zip(some, twins, strict=True) if twin == KEPT]

    assert sorted(expected) == sorted(kept)
    assert 200 < len(kept) < 390


def test_the_share_is_kept() -> None:
    """About the share that is asked for is held back; none at 0, all at 1."""
    rng = np.random.default_rng(0)
    some = [
        (f"{rng.integers(2**32):08x}{rng.integers(2**32):08x}", int(rng.integers(2**63)), 1)
        for _ in range(2000)
    ]

    assert 0 == divided(some, 0.0).held_back.sum()
    assert 0.1 == pytest.approx(divided(some, 0.1).held_back.mean(), abs=0.02)
    assert 2000 == divided(some, 1.0).held_back.sum()


def pressed(rgb: np.ndarray) -> np.ndarray:
    """Send a photograph through a poor JPEG."""
    _, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


@pytest.mark.parametrize(
    "changed",
    [
        pressed,
        lambda rgb: cv2.resize(rgb, (120, 90), interpolation=cv2.INTER_AREA),
        lambda rgb: np.rint(255 * (rgb / 255) ** 1.3).astype(np.uint8),
        lambda rgb: rgb[2:-2, 2:-2],
    ],
    ids=["JPEG", "smaller", "darker", "cropped by 1 %"],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_copy_is_near(changed: object, seed: int) -> None:
    """Compressed, resized, darkened or cropped a little, a picture is a near-duplicate."""
    rgb = color_scene(240, 320, seed)
    copy = perceptual_hash(changed(rgb))  # type: ignore[operator]

    assert (perceptual_hash(rgb) ^ copy).bit_count() <= NEAR


def test_other_pictures_are_far() -> None:
    """Scenes that merely resemble each other (sky over meadow) are not near-duplicates."""
    hashes = [perceptual_hash(color_scene(200, 200, seed)) for seed in range(12)]
    distances = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]

    assert min(distances) > NEAR
    assert all(0 <= one < 2**64 for one in hashes)
