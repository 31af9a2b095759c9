"""Promises of worker.color.cielab; the reference is CIE 15 and IEC 61966-2-1 in float64, below."""

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.synthetic_photos import as_rgb, color_scene, dtype_of, gray_scene
from worker.color import cielab, upsampling
from worker.scan import Page

LIMIT = {8: 1.0, 16: 0.01}  # L* units that merge may be off at each depth
MATRIX = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ],
)  # sRGB to XYZ, D65 (IEC 61966-2-1)


# Published: Adobe RGB (1998) Color Image Encoding, 4.3.5.3; Display P3 by SMPTE EG 432-1, annex D,
# with D65.
MATRICES = {
    "srgb": MATRIX,
    "adobe-rgb": np.array(
        [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    ),
    "display-p3": np.array(
        [[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]]
    ),
}
SPACES = pytest.mark.parametrize("space", cielab.SPACES.values(), ids=cielab.SPACES)
RAMP = np.arange(65536) / 65535
TONES = {
    "sRGB": cielab.srgb_tone(16),
    "gamma 2.2": cielab.tone_of_luminance(RAMP**2.2),
    "linear": cielab.tone_of_luminance(RAMP),
    "L*": cielab.tone_of_luminance(
        np.where(RAMP > 0.08, ((100 * RAMP + 16) / 116) ** 3, RAMP * 2700 / 24389)
    ),
}
CHROMAS = [(0.0, 0.0), (3.0, 3.0), (25.0, 30.0), (-70.0, 60.0), (90.0, -100.0), (-110.0, -110.0)]


def linear_of(codes: NDArray[np.integer], name: str) -> NDArray[np.float64]:
    """Undo the transfer curve of a space, by the book and in float64."""
    encoded = codes.astype(np.float64) / np.iinfo(codes.dtype).max
    if name == "adobe-rgb":
        return encoded ** (563 / 256)
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab_in(codes: NDArray[np.integer], name: str) -> NDArray[np.float64]:
    """Give CIE L*a*b* (D65) of codes (..., 3) of a space, by the book and in float64."""
    ratio = linear_of(codes, name) @ MATRICES[name].T / MATRICES[name].sum(axis=1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def painted(
    gray: NDArray[np.integer],
    ab: tuple[float, float],
    tone: cielab.Tone,
    space: cielab.Space,
) -> NDArray[np.integer]:
    """Lay one chroma over a scan: (H, W, 3)."""
    chroma_plane = np.full((1, 1, 2), ab, np.float32)
    return np.concatenate(list(cielab.merge_strips(gray, chroma_plane, tone, space)))


def reference_lab(rgb: NDArray[np.integer]) -> NDArray[np.float64]:
    """Give CIE L*a*b* of sRGB codes (..., 3), by the book and in float64."""
    return lab_in(rgb, "srgb")


def lightness_error(gray: NDArray[np.integer], rgb: NDArray[np.integer]) -> float:
    """Return the largest difference of L* between a scan and its colored photo."""
    return float(np.abs(reference_lab(as_rgb(gray))[..., 0] - reference_lab(rgb)[..., 0]).max())


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    depth=st.sampled_from([8, 16]),
    grid=st.integers(1, 9),
    reach=st.sampled_from([0.0, 20.0, 60.0, 110.0, 500.0]),
    noise=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    power=st.floats(0.8, 2.6),
    name=st.sampled_from(sorted(cielab.SPACES)),
)
@example(
    height=1, width=1, depth=8, grid=1, reach=110.0, noise=True, seed=0, power=2.2, name="srgb"
)
@example(
    height=1, width=47, depth=16, grid=8, reach=110.0, noise=True, seed=1, power=2.2, name="srgb"
)
@example(
    height=3000, width=7, depth=8, grid=8, reach=60.0, noise=False, seed=2, power=2.2, name="srgb"
)
@example(
    height=2, width=9000, depth=16, grid=8, reach=60.0, noise=True, seed=3, power=2.2, name="srgb"
)
@settings(max_examples=120, deadline=None)
def test_lightness_is_sacred(
    *,
    height: int,
    width: int,
    depth: int,
    grid: int,
    reach: float,
    seed: int,
    noise: bool,
    power: float,
    name: str,
) -> None:
    """For any gray, tone, space and chroma the photo has the scan's size, depth and L*."""
    rng = np.random.default_rng(seed)
    gray = gray_scene(height, width, depth, seed % 1000)
    if noise:
        gray = rng.integers(0, 2**depth, (height, width)).astype(dtype_of(depth))
    ab = rng.uniform(-reach, reach, (grid, grid, 2)).astype(np.float32)
    tone = cielab.tone_of_luminance((np.arange(2**depth) / (2**depth - 1)) ** power)
    rgb = np.concatenate(list(cielab.merge_strips(gray, ab, tone, cielab.SPACES[name])))
    lights = lab_in(rgb, name)[..., 0]

    assert ((height, width, 3), gray.dtype) == (rgb.shape, rgb.dtype)
    assert np.abs(100 * tone.lightness[gray].astype(float) - lights).max() <= LIMIT[depth]


@pytest.mark.parametrize("depth", [8, 16])
def test_lightness_is_sacred_at_every_code_and_hue(depth: int) -> None:
    """Every gray code keeps its L* beside the most extreme chroma of every hue."""
    codes = np.arange(0, 2**depth, 1 if depth == 8 else 37).astype(dtype_of(depth))
    for hue in np.arange(0, 2 * np.pi, np.pi / 8):
        ab = np.full((1, 1, 2), 1e4 * np.array([np.cos(hue), np.sin(hue)]), np.float32)
        gray = np.repeat(codes[None], 2, axis=0)
        rgb = cielab.merge(gray, ab)

        assert lightness_error(gray, rgb) <= LIMIT[depth]


@SPACES
@pytest.mark.parametrize("tone", TONES.values(), ids=TONES)
@pytest.mark.parametrize("ab", CHROMAS)
def test_sixteen_bits_are_true_in_every_space(
    space: cielab.Space, tone: cielab.Tone, ab: tuple[float, float]
) -> None:
    """Over all 65,536 codes L* is the scan's within 0.01, no code is lost, none overtakes another.

    At the very black, where the steps of a power are below all that sRGB can say, one code in a
    hundred may meet its neighbor.
    """
    gray = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    lights = lab_in(painted(gray, ab, tone, space), space.name)[..., 0].ravel()

    assert np.abs(100 * tone.lightness.astype(float) - lights).max() <= 0.01
    assert len(np.unique(lights)) >= 0.99 * 65536
    assert np.diff(lights).min() > -0.0005


@SPACES
@pytest.mark.parametrize("power", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("ab", CHROMAS)
def test_eight_bits_are_true_in_every_space(
    space: cielab.Space, power: float, ab: tuple[float, float]
) -> None:
    """Over all 256 codes L* is the scan's within half a code of the result."""
    tone = cielab.tone_of_luminance((np.arange(256) / 255) ** power)
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    lights = lab_in(painted(gray, ab, tone, space), space.name)[..., 0].ravel()
    codes = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    step = np.diff(lab_in(codes, space.name)[:, 0]).max()

    assert 100 * tone.lightness.astype(float) == pytest.approx(lights, abs=0.6 * step)


@SPACES
@pytest.mark.parametrize("depth", [8, 16])
def test_neutral_stays_neutral_in_every_space(space: cielab.Space, depth: int) -> None:
    """Without chroma the three codes are equal; of 65,536 they may be two apart, by rounding."""
    gray = np.arange(2**depth, dtype=dtype_of(depth)).reshape(2 ** (depth // 2), -1)
    tone = cielab.tone_of_luminance((np.arange(2**depth) / (2**depth - 1)) ** 2.2)
    spread = np.ptp(painted(gray, (0.0, 0.0), tone, space).astype(int), axis=-1)

    assert spread.max() <= (0 if depth == 8 else 2)


@SPACES
def test_each_space_has_its_published_matrix(space: cielab.Space) -> None:
    """Light, white and the offsets of X and Z are those of the space's standard."""
    white = space.xyz_from_rgb.sum(axis=1)
    back = np.insert(space.rgb_from_xz, 1, 1 - space.rgb_from_xz.sum(axis=1), axis=1) / white

    assert MATRICES[space.name] == pytest.approx(space.xyz_from_rgb, abs=3e-4)
    assert np.linalg.inv(space.xyz_from_rgb) == pytest.approx(back, abs=1e-5)
    assert space.name == next(name for name, other in cielab.SPACES.items() if other is space)


@SPACES
def test_each_space_undoes_its_own_curve(space: cielab.Space) -> None:
    """Every 16-bit code comes back from linear light as itself; the curve is the standard's."""
    codes = np.arange(65536, dtype=np.uint16)
    linear = space.linear(codes / 65535)

    assert np.abs(linear_of(codes, space.name) - linear).max() <= 1e-12
    assert np.abs(codes - space.encoded(linear.astype(np.float32)) * 65535).max() <= 0.05


def test_a_wider_space_holds_wider_colors() -> None:
    """A green that sRGB lacks comes out whole in Adobe RGB and Display P3, and paler in sRGB."""
    gray = np.full((4, 4), 45000, np.uint16)
    asked = np.array([-78.0, 60.0])
    seen = {
        name: lab_in(painted(gray, (-78.0, 60.0), cielab.srgb_tone(16), space), name)[0, 0, 1:]
        for name, space in cielab.SPACES.items()
    }

    assert asked == pytest.approx(seen["adobe-rgb"], abs=0.3)
    assert asked == pytest.approx(seen["display-p3"], abs=0.3)
    assert np.hypot(*seen["srgb"]) < 0.95 * np.hypot(*asked)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_photo_never_lies_in_memory_whole(depth: int) -> None:
    """A photo comes in strips from the top that together are it, each of bounded size."""
    gray = gray_scene(700, 500, depth)
    ab = np.random.default_rng(1).uniform(-40, 40, (16, 16, 2)).astype(np.float32)
    parts = list(cielab.merge_strips(gray, ab, cielab.srgb_tone(depth), cielab.SRGB))

    assert max(part.shape[0] * part.shape[1] for part in parts) <= cielab.STRIP_PIXELS
    assert np.array_equal(cielab.merge(gray, ab), np.concatenate(parts))


def test_a_scans_own_tone_guides_its_chroma() -> None:
    """The same scene in another tone gets the same colors."""
    gray = gray_scene(300, 400, 16)
    ab = np.random.default_rng(2).uniform(-25, 25, (16, 16, 2)).astype(np.float32)
    linear_codes = np.rint(TONES["sRGB"].luminance[gray].astype(float) * 65535).astype(np.uint16)
    one, other = (
        lab_in(np.concatenate(list(cielab.merge_strips(codes, ab, tone, cielab.SRGB))), "srgb")
        for codes, tone in ((gray, TONES["sRGB"]), (linear_codes, TONES["linear"]))
    )

    assert np.abs(one[..., 0] - other[..., 0]).max() <= 0.05
    assert np.abs(one - other).mean() < 0.3


@pytest.mark.parametrize("depth", [8, 16])
def test_sixteen_bits_are_scaled_to_eight(depth: int) -> None:
    """8-bit codes repeated to 16 bits come back; none is clipped."""
    codes = np.arange(256).astype(np.uint8)
    wide = codes if depth == 8 else codes.astype(np.uint16) * np.uint16(257)

    assert cielab.pixel_type(depth) is wide.dtype.type
    assert np.array_equal(codes, cielab.to_8_bit(wide))


@pytest.mark.parametrize("depth", [8, 16])
def test_no_chroma_gives_the_scan_itself(depth: int) -> None:
    """Without chroma every gray code comes back as three equal codes: itself."""
    gray = np.arange(2**depth, dtype=dtype_of(depth)).reshape(2 ** (depth // 2), -1)
    rgb = cielab.merge(gray, np.zeros((5, 5, 2), np.float32))

    assert np.array_equal(as_rgb(gray), rgb)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("rows", [1, 2, 7, 10**6])
@pytest.mark.parametrize("size", [(98, 131), (1, 40), (40, 1), (700, 530)])
def test_strips_leave_no_trace(
    monkeypatch: pytest.MonkeyPatch, depth: int, rows: int, size: tuple[int, int]
) -> None:
    """The photo is the same whatever its strips, but for the last bit in strips of one row."""
    gray = gray_scene(*size, depth)
    ab = np.random.default_rng(1).uniform(-60, 60, (16, 16, 2)).astype(np.float32)
    usual = cielab.merge(gray, ab)
    monkeypatch.setattr(cielab, "STRIP_PIXELS", rows * size[1])
    other = cielab.merge(gray, ab)
    difference = np.abs(usual.astype(np.int64) - other)

    assert difference.max() <= (1 if rows == 1 else 0)
    assert (difference > 0).mean() < 0.01


@given(st.integers(1, 5000), st.integers(1, 300_000))
def test_strips_cover_every_row_once(height: int, width: int) -> None:
    """Strips follow each other without gap or overlap."""
    rows = [row for part in cielab.strips(height, width) for row in range(part.start, part.stop)]

    assert list(range(height)) == rows


def test_possible_chroma_arrives() -> None:
    """A color that fits into the gamut comes out as it was asked for, over the whole picture."""
    gray = np.full((300, 200), 128, np.uint8)
    wanted = np.array([25.0, -30.0])
    rgb = cielab.merge(gray, np.full((8, 8, 2), wanted, np.float32))

    assert wanted == pytest.approx(reference_lab(rgb)[..., 1:].mean(axis=(0, 1)), abs=0.6)
    assert (rgb == rgb[0, 0]).all()


def test_impossible_chroma_keeps_its_hue() -> None:
    """A color that leaves the gamut is drawn straight toward gray: red does not turn yellow."""
    gray = np.full((20, 20), 60, np.uint8)
    rgb = cielab.merge(gray, np.full((1, 1, 2), (100.0, 0.0), np.float32))
    a, b = reference_lab(rgb)[0, 0, 1:]

    assert a > 20
    assert abs(b) < a / 2


def test_black_and_white_take_no_color() -> None:
    """Pure black and pure white have no room for chroma and stay."""
    for code in (0, 255):
        rgb = cielab.merge(np.full((9, 9), code, np.uint8), np.full((3, 3, 2), 80.0, np.float32))

        assert (code == rgb).all()


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("size", [(700, 530), (1, 9), (40, 900)])
def test_a_small_copy_serves_as_the_guide(depth: int, size: tuple[int, int]) -> None:
    """With the scan's small copy at hand the photo has the same L* and nearly the same color."""
    gray = gray_scene(*size, depth)
    ab = np.random.default_rng(1).uniform(-30, 30, (16, 16, 2)).astype(np.float32)
    without = cielab.merge(gray, ab)
    rgb = cielab.merge(gray, ab, Page.of(gray).small)

    assert lightness_error(gray, rgb) <= LIMIT[depth]
    assert np.abs(reference_lab(without) - reference_lab(rgb)).mean() < 1.0


def chroma_leak(enlarged: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Return the root mean square of wrong chroma in CIE units."""
    return float(np.sqrt(((enlarged - truth) ** 2).sum(axis=-1).mean()))


@pytest.mark.parametrize("edge", [403, 410, 419])
@pytest.mark.parametrize("slant", [0.0, 0.4])
def test_chroma_is_not_blurred_across_an_edge(edge: int, slant: float) -> None:
    """At a strong edge, off the chroma grid, half of plain bilinear's wrong color is gone."""
    height, width = 600, 800
    y, x = np.mgrid[0:height, 0:width]
    right = x + slant * (y - height / 2) > edge
    gray = np.where(right, 170, 90).astype(np.uint8)
    gray = np.clip(gray + np.random.default_rng(0).normal(0, 1.5, gray.shape), 0, 255).astype(
        np.uint8
    )
    truth = np.where(right[..., None], (18.0, 22.0), (-14.0, -12.0)).astype(np.float32)
    coarse = cv2.resize(truth, (64, 64), interpolation=cv2.INTER_AREA)
    bilinear = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    merged = reference_lab(cielab.merge(gray, coarse))[..., 1:]
    near = np.abs(x + slant * (y - height / 2) - edge) < 13

    assert chroma_leak(merged[near], truth[near]) < 0.5 * chroma_leak(bilinear[near], truth[near])


def test_chroma_far_from_an_edge_is_left_alone() -> None:
    """Edges do not stain the even surfaces on their two sides."""
    gray = np.full((400, 400), 90, np.uint8)
    gray[:, 200:] = 170
    truth = np.where(np.arange(400)[None, :, None] >= 200, (18.0, 22.0), (-14.0, -12.0)) * np.ones(
        (400, 1, 1)
    )
    coarse = cv2.resize(truth.astype(np.float32), (50, 50), interpolation=cv2.INTER_AREA)
    merged = reference_lab(cielab.merge(gray, coarse))[..., 1:]

    for side in (slice(0, 150), slice(250, 400)):
        assert truth[:, side] == pytest.approx(merged[:, side], abs=1.5)


def test_chroma_without_edges_is_smooth() -> None:
    """Over an even lightness the chroma grid leaves no steps."""
    gray = np.full((512, 512), 128, np.uint16) * np.uint16(257)
    ramp = np.linspace(-20, 20, 16, dtype=np.float32)
    coarse = np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None]), axis=-1)
    merged = reference_lab(cielab.merge(gray, np.ascontiguousarray(coarse)))[..., 1:]

    assert np.abs(np.diff(merged, axis=1)).max() < 0.3


def test_small_colored_things_keep_their_color() -> None:
    """A thing of one chroma cell on an even surface keeps more than half of its chroma."""
    coarse = np.zeros((32, 32, 2), np.float32)
    coarse[10, 12] = (40.0, 20.0)
    merged = reference_lab(cielab.merge(np.full((640, 640), 128, np.uint8), coarse))[..., 1:]
    cells = cv2.resize(merged, (32, 32), interpolation=cv2.INTER_AREA)

    assert (coarse[10, 12] / 2 < cells[10, 12]).all()


@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_the_guide_is_never_larger_than_the_scan(height: int, width: int) -> None:
    """The guide keeps the proportions, at most at GUIDE_SIDE, and has at least one pixel."""
    h, w = upsampling.guide_size(height, width)

    assert 1 <= h <= min(height, upsampling.GUIDE_SIDE)
    assert 1 <= w <= min(width, upsampling.GUIDE_SIDE)


def test_lab_agrees_with_the_book() -> None:
    """lab_of_rgb is CIE L*a*b* (D65) of sRGB, within OpenCV's half a unit."""
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    corners = np.array(np.meshgrid([0, 255], [0, 255], [0, 255])).reshape(3, 8).T.astype(np.uint8)
    rgb[0, :8] = corners

    assert reference_lab(rgb) == pytest.approx(cielab.lab_of_rgb(rgb), abs=0.5)


@pytest.mark.parametrize("depth", [8, 16])
def test_lightness_agrees_with_the_book(depth: int) -> None:
    """The lightness of every gray code is its CIE L* / 100."""
    codes = np.arange(2**depth, dtype=dtype_of(depth))

    assert reference_lab(as_rgb(codes))[:, 0] / 100 == pytest.approx(
        cielab.lightness(codes), abs=1e-5
    )


@pytest.mark.parametrize("depth", [8, 16])
def test_codes_survive_linear_light(depth: int) -> None:
    """Every code comes back from linear light as itself."""
    codes = np.arange(2**depth, dtype=dtype_of(depth)).reshape(16, -1)
    back = cielab.encode(cielab.linear_of_codes(codes), depth)

    assert codes.dtype == back.dtype
    assert np.array_equal(codes, back)


@pytest.mark.parametrize("depth", [8, 16])
def test_light_beyond_the_range_is_clipped(depth: int) -> None:
    """A rounding error below black or above white does not wrap around."""
    codes = cielab.encode(np.array([[-1e-3, 1.001]], np.float32), depth)

    assert [0, 2**depth - 1] == codes[0].tolist()


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_of_rgb_keeps_luminance(depth: int) -> None:
    """The gray of a color has its L*, but for rounding to a code."""
    rgb = color_scene(50, 70).astype(dtype_of(depth)) * dtype_of(depth)(1 if depth == 8 else 257)
    gray = cielab.gray_of_rgb(rgb)

    assert rgb.dtype == gray.dtype
    assert lightness_error(gray, rgb) <= {8: 0.3, 16: 0.01}[depth]


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_of_gray_is_itself(depth: int) -> None:
    """Three equal codes have that code as their gray."""
    codes = np.arange(2**depth, dtype=dtype_of(depth)).reshape(16, -1)

    assert np.array_equal(codes, cielab.gray_of_rgb(as_rgb(codes)))


@given(st.tuples(*[st.integers(10, 245)] * 3))
@settings(deadline=None)
def test_every_color_of_srgb_is_in_gamut(rgb: tuple[int, int, int]) -> None:
    """No ab that an sRGB color has is refused."""
    ab = reference_lab(np.array([rgb], np.uint8))[:, 1:]

    assert cielab.in_gamut_ab(ab).all()


def test_colors_beyond_srgb_are_out_of_gamut() -> None:
    """Colors that nothing in sRGB comes near are refused; neutral gray is not."""
    far = np.array([[110.0, -110.0], [-110.0, 0.0], [0.0, 110.0], [-60.0, -60.0], [0.0, -120.0]])

    assert not cielab.in_gamut_ab(far).any()
    assert cielab.in_gamut_ab(np.zeros((1, 2))).all()
