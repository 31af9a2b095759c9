"""Samples of TIFFs to codes: every depth, sign and color model, black and white where they are."""

import io
import itertools

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.support import synthetic_photos, tiff_files
from tests.support.format_matrix_cases import packed
from tests.support.tiff_files import gray_fields, only, pages_of, plain, units, written
from worker.errors import ScanError

G8, G16 = synthetic_photos.gray_scene(67, 83), synthetic_photos.gray_scene(67, 83, 16)
RGB8 = synthetic_photos.color_scene(67, 83)
RGB16 = RGB8.astype(np.uint16) * 257 - 3
STEPS = list(itertools.product((1, 2, 4), (1, 2, 4)))
LAYOUTS = {"strip": {}, "strips": {"rowsperstrip": 16}, "tiles": {"tile": (32, 48)}}


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_of_any_bits_fill_the_range(bits: int, compression: str, order: str) -> None:
    """Packed, rows padded to bytes: black is 0 and white 255 or 65535, all between is rounded."""
    codes, top = G16 >> (16 - bits), (1 << bits) - 1
    limit = 255 if bits <= 8 else 65535
    data = packed(codes, bits)
    if bits == 16:
        data = codes.astype(f"{order}u2").tobytes()
    stored = {
        "none": data,
        "lzw": bytes(imagecodecs.lzw_encode(data)),
        "deflate": bytes(imagecodecs.zlib_encode(data)),
    }[compression]
    fields = gray_fields(83, 67, bits, t259={"none": 1, "lzw": 5, "deflate": 8}[compression])

    page, found = only(plain(fields, [stored], order=order))

    assert np.array_equal(np.rint(codes / top * limit), found[..., 0])
    assert (bits, np.uint8 if bits <= 8 else np.uint16) == (page.encoding.bits, found.dtype)
    assert () == page.metadata.lost


def test_twelve_bits_of_rgb_are_unpacked() -> None:
    """As scanners of 36 bits write them."""
    codes = RGB16 >> 4
    data = plain(gray_fields(83, 67, 12, t262=2, t277=3, t258=[12] * 3), [packed(codes, 12)])

    assert np.array_equal(np.rint(codes / 4095 * 65535), only(data)[1])


def test_jpeg_of_twelve_bits_is_read() -> None:
    """As microfilm scanners write it; it comes out in 16 bits."""
    codes = G16 >> 4
    stream = bytes(imagecodecs.jpeg8_encode(codes, 95, bitspersample=12))
    shown = imagecodecs.jpeg8_decode(stream)

    page, found = only(plain(gray_fields(83, 67, 12, t259=7), [stream]))

    assert np.array_equal(np.rint(shown / 4095 * 65535), found[..., 0])
    assert (12, False) == (page.encoding.bits, page.encoding.lossless)


@pytest.mark.parametrize(
    "options", [{}, {"compression": "lzw", "predictor": 2}, {"tile": (16, 16)}]
)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("half", [False, True])
def test_signed_samples_are_read_in_both_ways_of_writing(
    kind: type[np.signedinteger], photometric: str, options: dict[str, object], *, half: bool
) -> None:
    """Black is the lowest number where any is below zero, else it is zero; white is the highest."""
    depth = np.iinfo(kind)
    codes = np.linspace(0 if half else depth.min, depth.max, 67 * 83).reshape(67, 83)
    low = codes.min()
    limit = 255 if kind is np.int8 else 65535
    exact = np.floor(codes).astype(kind)
    shown = np.rint((exact.astype(np.float64) - low) / (depth.max - low) * limit)

    page, found = only(written(exact, photometric=photometric, **options))

    assert np.array_equal(
        shown if photometric == "minisblack" else limit - shown, found[..., 0].astype(float)
    )
    assert (depth.bits, False) == (page.encoding.bits, page.encoding.floating)
    assert ("32-bit" in str(page.metadata.lost)) == (kind is np.int32)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize("rgb", [False, True])
def test_unsigned_samples_that_are_called_signed_are_unsigned(
    kind: type[np.signedinteger], *, rgb: bool
) -> None:
    """As ImageMagick writes them, and libtiff and Pillow read them: what is smooth is true."""
    bits = 8 * np.dtype(kind).itemsize
    gray = {8: G8, 16: G16, 32: G16.astype(np.uint32) * 65537}[bits]
    scene = np.dstack([gray] * 3) if rgb else gray

    found = only(written(scene.view(kind)))[1]

    shown = np.dstack([G8 if bits == 8 else G16] * (3 if rgb else 1))
    assert np.array_equal(shown, found)


def test_a_dark_photograph_in_signed_samples_stays_dark() -> None:
    """Where all are below zero both ways are as smooth, and the sign counts."""
    dark = (G16 // 4).astype(np.int32) - 32768

    assert np.array_equal(G16 // 4, only(written(dark.astype(np.int16)))[1][..., 0])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": 2}])
def test_thirty_two_bits_are_rounded_to_sixteen(order: str, options: dict[str, object]) -> None:
    """0 is black, 4,294,967,295 is white; what is lost by it is named."""
    exact = G16.astype(np.uint32) * 65537 + np.uint32(30_000)
    exact[G16 == 65535] = 2**32 - 1
    data = written(exact, byteorder=order, **options)

    page, found = only(data)

    assert np.array_equal(G16, found[..., 0])
    assert ("the precision of its 32-bit samples beyond 16 bits",) == page.metadata.lost
    assert (32, False) == (page.encoding.bits, page.encoding.floating)


@pytest.mark.parametrize("kind", [np.uint32, np.int32])
def test_thirty_two_bits_that_count_otherwise_are_refused(kind: type[np.integer]) -> None:
    """Sixteen bits stored in thirty-two would be black: refused with the range, not delivered."""
    (page,) = pages_of(written(G16.astype(kind)))

    with pytest.raises(ScanError, match=r"reach from 0 to 65,535; .*scale them"):
        list(page.bands())


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "predictor": 3}, {"byteorder": ">"}]
)
@pytest.mark.parametrize("model", ["minisblack", "miniswhite", "rgb"])
def test_floating_point_of_any_bits_is_read(
    kind: type[np.floating], options: dict[str, object], model: str
) -> None:
    """Half, single and double, gray and RGB: 0 to 1 in 65,536 steps; what is lost is named."""
    codes = RGB16 if model == "rgb" else G16
    real = (codes / 65535).astype(kind)
    shown = np.rint(real.astype(np.float64) * 65535)
    shown = 65535 - shown if model == "miniswhite" else shown

    page, found = only(written(real, photometric=model, **options))

    assert np.array_equal(shown.reshape(found.shape), found.astype(float))
    assert (kind(0).itemsize * 8, True) == (page.encoding.bits, page.encoding.floating)
    assert any("floating point" in lost for lost in page.metadata.lost)


def test_floating_point_of_24_bits_is_read() -> None:
    """As Photoshop writes it."""
    real = (G16 / 65535).astype(np.float32)
    data = bytes(imagecodecs.float24_encode(real, byteorder="<"))
    shown = imagecodecs.float24_decode(data, byteorder="<").reshape(67, 83)

    found = only(plain(gray_fields(83, 67, 24, t339=3), [data]))[1]

    assert np.array_equal(np.rint(shown * 65535), found[..., 0])
    assert np.abs(found[..., 0].astype(int) - G16).max() <= 1


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("model", ["cielab", "icclab"])
@pytest.mark.parametrize("options", [{}, {"compression": "lzw", "predictor": 2, "tile": (16, 16)}])
def test_lightness_of_lab_is_kept_and_a_neutral_stays_one(
    model: str, options: dict[str, object], *, wide: bool
) -> None:
    """L* alone or with a neutral a* and b*: equal codes of 16 bits, within 0.01 of that L*."""
    kind, white = (np.uint16, 65280 if model == "icclab" else 65535) if wide else (np.uint8, 255)
    light = np.tile(np.linspace(0, white, 96).astype(kind), (16, 1))
    neutral = {"cielab": 0, "icclab": 32768 if wide else 128}[model]
    lab = np.dstack([light, *[np.full_like(light, neutral)] * 2])

    page, found = only(written(lab, photometric=model, **options))

    assert (3, np.uint16) == (page.samples, found.dtype)
    assert (found[..., :1] == found).all()
    shown = _lightness(found[..., 0] / 65535)
    assert np.abs(shown - light / white * 100).max() < 0.01
    fields = gray_fields(96, 16, 16 if wide else 8, t262=8 if model == "cielab" else 9)
    page, alone = only(plain(fields, [light.tobytes()]))

    assert page.samples == 1
    assert np.array_equal(found[..., :1], alone)


def _lightness(encoded: synthetic_photos.Array) -> synthetic_photos.Array:
    """Give L* of sRGB in 0..1, by IEC 61966-2-1 and CIE 15."""
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    root = np.where(linear > (6 / 29) ** 3, np.cbrt(linear), linear * 841 / 108 + 4 / 29)
    return np.asarray(116 * root - 16)


@pytest.mark.parametrize("model", ["cielab", "icclab"])
def test_colors_of_lab_are_as_littlecms_sees_them(model: str) -> None:
    """A color scene, turned to L*a*b* by LittleCMS, comes back within a code of 8 bits."""
    lab = imagecodecs.cms_transform(
        np.ascontiguousarray(RGB8[::4, ::4], np.uint8),
        imagecodecs.cms_profile("srgb"),
        imagecodecs.cms_profile("lab4"),
        colorspace="rgb",
        outcolorspace="lab",
        outdtype=np.float64,
        intent=1,
    )
    chroma = lab[..., 1:] * 256 + (0 if model == "cielab" else 32768)
    white = 65535 if model == "cielab" else 65280
    stored = np.dstack([lab[..., :1] / 100 * white, chroma % 65536]).round().astype(np.uint16)

    found = only(written(stored, photometric=model))[1]

    assert np.abs(found / 257 - RGB8[::4, ::4]).max() < 1


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("rows", [67, 16])
def test_gray_in_subsampled_ycbcr_is_its_light(
    steps: tuple[int, int], compression: str, rows: int
) -> None:
    """One color for 1 to 16 pixels, without JPEG: where there is none, the light is the code."""
    encode = {"none": bytes, "lzw": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode}
    strips = [
        bytes(encode[compression](units(G8[top : top + rows], steps)))  # type: ignore[operator]
        for top in range(0, 67, rows)
    ]
    number = {"none": 1, "lzw": 5, "deflate": 8}[compression]
    fields = gray_fields(83, 67, 8, t262=6, t277=3, t259=number, t278=rows)

    page, found = only(plain([*fields, (530, 3, list(steps))], strips))

    assert np.array_equal(np.dstack([G8] * 3), found)
    assert (8, True) == (page.encoding.bits, page.encoding.lossless)


def test_the_usual_subsampling_of_ycbcr_is_two_by_two() -> None:
    """Where the tag is missing, as TIFF 6.0 has it."""
    data = plain(gray_fields(83, 67, 8, t262=6, t277=3), [units(G8, (2, 2))])

    assert np.array_equal(np.dstack([G8] * 3), only(data)[1])


def test_tiles_of_subsampled_ycbcr_are_put_together() -> None:
    """Tiles that reach over the page's edges, in units of two by two."""
    padded = np.pad(G8, ((0, 96 - 67), (0, 96 - 83)), mode="edge")
    tiles = [
        units(padded[top : top + 32, left : left + 48], (2, 2))
        for top in range(0, 96, 32)
        for left in range(0, 96, 48)
    ]
    data = bytearray(plain([(1, 4, 0)], tiles))
    places = [8 + sum(map(len, tiles[:n])) for n in range(len(tiles))]
    fields = [f for f in gray_fields(83, 67, 8, t262=6, t277=3) if f[0] != 278]
    fields += [(322, 3, 48), (323, 3, 32), (324, 4, places), (325, 4, [len(t) for t in tiles])]
    at = len(data) + len(data) % 2
    whole = data.ljust(at, b"\0") + tiff_files.directory({t: (k, v) for t, k, v in fields}, at)
    whole[4:8] = at.to_bytes(4, "little")

    assert np.array_equal(np.dstack([G8] * 3), only(bytes(whole))[1])


def test_colors_of_ycbcr_are_as_libjpeg_sees_them() -> None:
    """Not subsampled, by the usual coefficients: within a code of Pillow's colors."""
    ycbcr = Image.fromarray(RGB8).convert("YCbCr")
    fields = [*gray_fields(83, 67, 8, t262=6, t277=3), (530, 3, [1, 1])]

    found = only(plain(fields, [np.asarray(ycbcr).tobytes()]))[1]

    assert np.abs(found.astype(int) - np.asarray(ycbcr.convert("RGB"))).max() <= 1


def test_the_ends_of_a_range_of_ycbcr_are_honored() -> None:
    """As video has them: 15 is black and 235 white; coefficients that cannot be are left."""
    light = np.tile(np.arange(15, 236, dtype=np.uint8), (2, 1))
    stored = np.dstack([light, *[np.full_like(light, 128)] * 2]).tobytes()
    ends = [n for end in (15, 235, 128, 240, 128, 240) for n in (end, 1)]
    fields = [*gray_fields(221, 2, 8, t262=6, t277=3), (530, 3, [1, 1])]

    found = only(plain([*fields, (532, 5, ends)], [stored]))[1]

    assert np.array_equal(np.rint((light - 15.0) * 255 / 220), found[..., 0])
    broken = [*fields, (532, 5, [0, 0] * 6), (529, 5, [0, 1] * 3)]
    assert np.array_equal(light, only(plain(broken, [stored]))[1][..., 1])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (written(G16.astype(np.uint64)), "unsigned whole numbers of 64 bits"),
        (
            plain([*gray_fields(4, 4, 8, t262=8, t277=3), (339, 3, [1, 2, 2])], [bytes(48)]),
            "several formats",
        ),
        (
            plain([*gray_fields(4, 4, 8), (339, 3, b"")], [bytes(16)]),
            "tag 339 is not whole numbers",
        ),
        (plain(gray_fields(4, 4, 8, t259=8, t317=9), [bytes(16)]), "predictor is number 9"),
        (written(G16.astype(np.complex64)), "complex numbers of 64 bits"),
        (plain(gray_fields(4, 4, 24), [bytes(48)]), "unsigned whole numbers of 24 bits"),
        (plain(gray_fields(4, 4, 8, t258=[5, 6, 5], t262=2, t277=3), [bytes(32)]), "5, 6, 5 bits"),
        (plain(gray_fields(4, 4, 12, t262=5, t277=4), [bytes(96)]), "12 bits in CMYK"),
        (plain(gray_fields(4, 4, 16, t262=6, t277=3), [bytes(96)]), "16 bits in YCbCr"),
        (plain(gray_fields(4, 4, 8, t262=32803), [bytes(16)]), "camera's raw data"),
        (plain(gray_fields(4, 4, 16, t262=34892), [bytes(32)]), "raw data"),
        (plain(gray_fields(4, 4, 8, t262=10, t277=3), [bytes(48)]), "ITULab"),
        (plain(gray_fields(4, 4, 8, t262=8, t277=3, t259=7), [bytes(48)]), "lossy"),
        (
            plain([*gray_fields(4, 4, 8, t262=6, t277=3), (530, 3, [3, 1])], [bytes(48)]),
            "rare|no writer",
        ),
        (plain(gray_fields(4, 4, 8, t262=6, t277=3, t284=2), [bytes(16)] * 3), "rare"),
        (plain(gray_fields(4, 4, 8, t262=6, t277=3, t259=50001), [bytes(48)]), "rare"),
    ],
)
def test_samples_that_are_not_read_are_refused_in_words(data: bytes, reason: str) -> None:
    """What they are, and what can be done; nothing is decoded."""
    with pytest.raises(ScanError, match=reason):
        pages_of(data)


def test_units_that_are_cut_short_are_damage() -> None:
    """A strip of subsampled YCbCr with half of its bytes is no photograph."""
    data = plain(gray_fields(83, 67, 8, t262=6, t277=3), [units(G8, (2, 2))[:4000]])
    (page,) = pages_of(data)

    with pytest.raises(ScanError, match=r"has 4,000 bytes of the 8,\d\d\d"):
        list(page.bands())


def test_pillows_ycbcr_is_read() -> None:
    """A gray picture that Pillow saved in that model."""
    data = io.BytesIO()
    Image.fromarray(G8).convert("YCbCr").save(data, "TIFF")

    assert np.array_equal(np.dstack([G8] * 3), only(data.getvalue())[1])
