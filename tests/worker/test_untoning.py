"""Gray stays as it is, a tone goes, color is refused; band by band."""

import hashlib
import tracemalloc
from collections.abc import Iterator

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import icc_profiles as made
from tests.support.synthetic_photos import Array, as_rgb, color_scene, dtype_of, gray_scene, sepia
from worker.color import cielab, icc
from worker.color.cielab import Tone
from worker.errors import ScanError
from worker.formats.image import DecodedImage
from worker.metadata.block import Metadata
from worker.untoning import TONE_LIMIT, tone_spread, untoned

SIZE = (61, 83)
ADOBE = icc.output_profile(cielab.ADOBE_RGB)
GAMMA = imagecodecs.cms_profile("gray", gamma=2.2)
# Of the luminance: IEC 61966-2-1, and Adobe RGB (1998) Color Image Encoding, 4.3.5.3.
SRGB_WEIGHTS, ADOBE_WEIGHTS = (0.2126, 0.7152, 0.0722), (0.29734, 0.62736, 0.07529)


def picture(pixels: Array, *, cuts: tuple[int, ...] = (), profile: bytes = b"") -> DecodedImage:
    """Make a picture of pixels (H, W, 1 to 4) that comes in bands, cut at these rows."""
    height, width, channels = pixels.shape
    alpha = channels in {2, 4}

    def bands() -> Iterator[Array]:
        yield from (band for band in np.split(pixels, cuts) if len(band))

    metadata = Metadata(profile=profile)
    return DecodedImage(height, width, channels - alpha, alpha, bands, metadata=metadata)


def lightness(tone: Tone, gray: Array) -> Array:
    """Give L* (0..100) of gray codes of a tone."""
    return np.asarray(100 * tone.lightness[gray])


def lightness_by_formula(rgb: Array, profile: bytes) -> Array:
    """Give L* (0..100) of codes (H, W, 3), sRGB or Adobe RGB, by their standards' formulas."""
    codes = rgb / np.iinfo(rgb.dtype).max
    if profile:
        return np.asarray(cielab.lightness_of_luminance(codes ** (563 / 256) @ ADOBE_WEIGHTS))
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return np.asarray(cielab.lightness_of_luminance(linear @ SRGB_WEIGHTS))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("profile", [b"", GAMMA, ADOBE], ids=["none", "gray", "rgb"])
def test_gray_keeps_its_codes_and_its_profiles_tone(depth: int, profile: bytes) -> None:
    """Codes are never touched; what they stand for is the profile's word, or sRGB's."""
    gray = gray_scene(*SIZE, depth)
    plane = untoned(picture(gray[..., None], cuts=(20, 21), profile=profile))
    expected = icc.neutral_tone(profile, depth) if profile else cielab.srgb_tone(depth)

    assert gray.dtype == plane.gray.dtype
    assert np.array_equal(gray, plane.gray)
    assert expected is plane.tone
    assert (icc.describe(profile) if profile else "") == plane.profile
    assert plane.alpha is None
    assert () == plane.lost


def test_a_profile_changes_what_codes_stand_for() -> None:
    """Middle gray of gamma 2.2 is L* of 0.5 to the power 2.2, and of a linear profile L* of 0.5."""
    middle = np.full((4, 4, 1), 32768, np.uint16)
    for gamma in (2.2, 1.0):
        profile = imagecodecs.cms_profile("gray", gamma=gamma)
        plane = untoned(picture(middle, profile=profile))
        expected = cielab.lightness_of_luminance(np.array((32768 / 65535) ** gamma))

        assert float(expected) == pytest.approx(lightness(plane.tone, plane.gray)[0, 0], abs=0.02)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("profile", [b"", ADOBE], ids=["none", "rgb"])
def test_gray_saved_as_rgb_keeps_its_codes(depth: int, profile: bytes) -> None:
    """Three equal channels are one; the profile's tone stays with them."""
    gray = gray_scene(*SIZE, depth)
    plane = untoned(picture(as_rgb(gray), cuts=(1, 40), profile=profile))

    assert np.array_equal(gray, plane.gray)
    assert (icc.neutral_tone(ADOBE, depth) if profile else cielab.srgb_tone(depth)) is (plane.tone)


@pytest.mark.parametrize(("depth", "limit"), [(8, 0.5), (16, 0.02)])
@pytest.mark.parametrize("profile", [b"", ADOBE], ids=["none", "rgb"])
def test_a_tone_goes_and_lightness_stays(depth: int, limit: float, profile: bytes) -> None:
    """A sepia print becomes gray of the same depth, with the print's L* at every pixel."""
    toned = sepia(gray_scene(*SIZE, depth))
    plane = untoned(picture(toned, cuts=(30,), profile=profile))

    assert toned.dtype == plane.gray.dtype
    assert cielab.srgb_tone(depth) is plane.tone
    assert lightness_by_formula(toned, profile) == pytest.approx(
        lightness(plane.tone, plane.gray), abs=limit
    )


@given(
    cuts=st.lists(st.integers(0, 61), max_size=6),
    equal_rows=st.integers(0, 61),
    depth=st.sampled_from([8, 16]),
    has_profile=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_tone_may_begin_anywhere(
    cuts: list[int], equal_rows: int, depth: int, *, has_profile: bool
) -> None:
    """A faintly toned print whose upper rows are neutral keeps L* over all of it.

    It does so wherever the tone begins and however the file cuts its rows into bands.
    """
    gray = gray_scene(*SIZE, depth)
    toned = sepia(gray) // 6 + as_rgb(gray - gray // 6)
    toned[:equal_rows] = as_rgb(gray_scene(*SIZE, depth, seed=3))[:equal_rows]
    profile = ADOBE if has_profile else b""
    plane = untoned(picture(toned, cuts=tuple(sorted(cuts)), profile=profile))

    assert lightness_by_formula(toned, profile) == pytest.approx(
        lightness(plane.tone, plane.gray), abs=0.5 if depth == 8 else 0.02
    )


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("profile", [b"", ADOBE], ids=["none", "rgb"])
def test_color_is_refused_with_its_measure(depth: int, profile: bytes) -> None:
    """A photograph in color is not colored again, at any depth and in any space."""
    scene = color_scene(*SIZE)
    pixels = scene if depth == 8 else scene.astype(np.uint16) * 257

    with pytest.raises(ScanError, match=r"in color already \(chroma \d+\.\d beyond any"):
        untoned(picture(pixels, cuts=(17,), profile=profile))


def test_colors_are_measured_through_the_profile() -> None:
    """The same codes are stronger colors in a wider space."""
    measured = []
    for profile in (b"", ADOBE):
        with pytest.raises(ScanError) as refused:
            untoned(picture(color_scene(*SIZE), profile=profile))
        measured.append(float(str(refused.value).split("chroma ")[1].split()[0]))
    in_srgb, in_adobe_rgb = measured

    assert in_adobe_rgb > 1.1 * in_srgb


@pytest.mark.parametrize("seed", range(4))
def test_color_is_told_from_tone(seed: int) -> None:
    """Color scenes lie well above the limit, toned and gray ones well below."""
    gray = gray_scene(120, 160, seed=seed)

    assert tone_spread(color_scene(120, 160, seed)) > 3 * TONE_LIMIT
    assert tone_spread(as_rgb(gray)) < 0.3 * TONE_LIMIT
    assert tone_spread(sepia(gray)) < 0.5 * TONE_LIMIT


@pytest.mark.parametrize(("share", "is_color"), [(0.01, False), (0.25, True)])
def test_a_stain_is_no_color_and_a_quarter_is(share: float, *, is_color: bool) -> None:
    """A library's red stamp does not make a photograph colored; a colored quarter does."""
    pixels = as_rgb(gray_scene(200, 200) // 2 + 60)
    side = round(200 * share**0.5)
    pixels[:side, :side] = (170, 110, 110)
    refused = False
    try:
        untoned(picture(pixels))
    except ScanError:
        refused = True

    assert is_color == refused


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("toned", [False, True])
def test_opacity_comes_along(depth: int, channels: int, *, toned: bool) -> None:
    """Alpha is kept as stored, and what lies beside it is read as if there were none."""
    gray = gray_scene(*SIZE, depth)
    colors = sepia(gray) if toned else as_rgb(gray)
    colors = colors if channels == 4 else gray[..., None]
    alpha = gray_scene(*SIZE, depth, seed=5)
    with_alpha = untoned(picture(np.dstack([colors, alpha]), cuts=(9, 33)))
    without = untoned(picture(colors, cuts=(9, 33)))

    assert with_alpha.alpha is not None
    assert alpha.dtype == with_alpha.alpha.dtype
    assert np.array_equal(alpha, with_alpha.alpha)
    assert np.array_equal(without.gray, with_alpha.gray)


@pytest.mark.parametrize("rows", [0, 1, 60])
def test_too_few_rows_are_damage(rows: int) -> None:
    """A decoder that ends early without a word gives no half photo; the rows are counted."""
    gray = gray_scene(*SIZE)[..., None]
    whole = picture(gray)
    short = DecodedImage(*SIZE, 1, alpha=False, bands=picture(gray[:rows]).bands)

    assert np.array_equal(gray[..., 0], untoned(whole).gray)
    with pytest.raises(ScanError, match=f"cut short: {rows} of 61 rows"):
        untoned(short)


@pytest.mark.parametrize(
    ("profile", "channels", "words"),
    [
        (b"no profile at all" * 20, 1, "not an ICC profile"),
        (GAMMA[:200], 1, "damaged"),
        (GAMMA, 3, "for gray images"),
        (made.packed("CMYK", {}, 2, "inks"), 1, "for cmyk images"),
        (made.packed("CMYK", {}, 2, "inks"), 3, "for cmyk images"),
        (made.packed("GRAY", {}, 2, "empty"), 1, "color profile"),
    ],
)
def test_a_profile_that_cannot_be_honored_is_named(
    profile: bytes, channels: int, words: str
) -> None:
    """It never costs the photo: sRGB is taken instead, and that is said."""
    gray = gray_scene(*SIZE)
    plane = untoned(picture(np.repeat(gray[..., None], channels, axis=-1), profile=profile))
    (lost,) = plane.lost

    assert words in lost
    assert lost.endswith("; sRGB was taken instead")
    assert "" == plane.profile
    assert cielab.srgb_tone(8) is plane.tone
    assert np.array_equal(gray, plane.gray)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    depth=st.sampled_from([8, 16]),
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_the_digest_is_that_of_the_samples(
    height: int, width: int, channels: int, depth: int, cuts: list[int]
) -> None:
    """SHA-256 of all samples, rows from the top, little-endian; bands make no difference."""
    pixels = np.repeat(gray_scene(height, width, depth)[..., None], channels, axis=-1)
    plane = untoned(picture(pixels, cuts=tuple(sorted(min(cut, height) for cut in cuts))))
    little = pixels.astype("<u2" if depth == 16 else "u1")

    assert hashlib.sha256(little.tobytes()).hexdigest() == plane.sha256


def test_untoning_holds_no_copy_in_rgb() -> None:
    """A 16-bit sepia print takes the memory of its gray and a few bands, though RGB is thrice."""
    height, width = 1536, 2048
    band = sepia(gray_scene(64, width, 16))

    def bands() -> Iterator[Array]:
        for _ in range(height // 64):
            yield band.copy()

    page = DecodedImage(
        height, width, 3, alpha=False, bands=bands, metadata=Metadata(profile=ADOBE)
    )
    untoned(picture(band, profile=ADOBE))  # the profile's tables, made once
    tracemalloc.start()
    plane = untoned(page)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert dtype_of(16) == plane.gray.dtype
    assert peak < plane.gray.nbytes + 6e6, f"{peak / 1e6:.0f} MB for {plane.gray.nbytes / 1e6:.0f}"


def test_a_picture_is_looked_at_in_small() -> None:
    """Colors are judged on the whole picture made small: the last row counts as the first."""
    tall = as_rgb(gray_scene(400, 30) // 2 + 60)
    for rows in (slice(0, 150), slice(250, 400)):
        stained = tall.copy()
        stained[rows, :, 0] += 70

        with pytest.raises(ScanError, match="in color already"):
            untoned(picture(stained, cuts=(100, 300)))
