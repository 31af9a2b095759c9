"""Tests for worker.viewing.pyramid and display: any page of any format as tiles and thumbnail."""

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.support.color_formulas import SRGB
from tests.support.format_matrix import all_cases
from tests.support.iiif_files import assembled, present, promised, read_info, read_jpeg
from tests.support.synthetic_photos import (
    Array,
    color_scene,
    encoded,
    exif_block,
    gray_scene,
    save,
    turned,
)
from worker.color import cielab, icc
from worker.display import NEUTRAL, display_bands, shrunk
from worker.errors import IncompleteError
from worker.formats.image import DecodedImage
from worker.formats.open_image import opened
from worker.settings import ReadSettings
from worker.viewing.pyramid import Size, scale_factors, thumbnail, whole_sizes, write_pyramid

URL = "https://archive.example/iiif/1"


def pyramid(path: Path, page: int = 0) -> Path:
    """Write a file's pyramid beside it; return its folder."""
    folder = path.with_name(f"{path.name} {page}")
    folder.mkdir()
    with opened(path, ReadSettings()) as (_format, images):
        write_pyramid(images[page], folder, URL)
    return folder


def error(shown: Array, truth: Array) -> float:
    """Return the root mean square of the difference, in codes."""
    assert shown.shape == truth.shape
    return float(np.sqrt(((shown.astype(float) - truth.astype(float)) ** 2).mean()))


def halves(page: Array, factor: int) -> Array:
    """Average squares of a page, edges repeated: what a level shows."""
    below, right = -page.shape[0] % factor, -page.shape[1] % factor
    wide = np.pad(page, ((0, below), (0, right), *[(0, 0)] * (page.ndim - 2)), mode="edge")
    rows, columns = wide.shape[0] // factor, wide.shape[1] // factor
    return wide.reshape(rows, factor, columns, factor, *page.shape[2:]).mean(axis=(1, 3))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("height_width", [(1030, 1411), (1537, 600)])
def test_a_turned_page_is_tiled_upright(
    tmp_path: Path, orientation: int, height_width: tuple[int, int]
) -> None:
    """Levels show the upright page, whatever way it is stored and wherever its edges fall."""
    upright = cv2.GaussianBlur(color_scene(*height_width), (0, 0), 3)
    stored = turned(upright, orientation)
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, stored, photometric="rgb", rowsperstrip=100, metadata=None,
                     extratags=[(274, "H", 1, orientation, True)])  # fmt: skip

    folder = pyramid(path)

    info = read_info(folder)
    assert (info["height"], info["width"]) == height_width
    assert error(assembled(folder), upright) < 2
    assert error(assembled(folder, 2), halves(upright, 2)) < 2
    assert error(assembled(folder, 4), halves(upright, 4)) < 2
    assert promised(info) == present(folder)


@pytest.mark.parametrize("depth", [8, 16])
def test_gray_tiles_are_gray_and_scaled_to_8_bits(tmp_path: Path, depth: int) -> None:
    """A gray TIFF of 16 bits shows the tone of the one of 8 bits, in gray JPEGs."""
    fine = cv2.GaussianBlur(gray_scene(700, 1300, 16), (0, 0), 3)
    stored = fine if depth == 16 else cielab.to_8_bit(fine)
    path = save(tmp_path / "scan.tif", stored)

    folder = pyramid(path)

    shown = assembled(folder)
    assert shown.ndim == 2
    assert error(shown, cielab.to_8_bit(fine)) < 1.5
    assert error(read_jpeg(folder / "full/max/0/default.jpg"), cielab.to_8_bit(fine)) < 1.5


@pytest.mark.parametrize("space", cielab.SPACES.values(), ids=lambda space: space.name)
@pytest.mark.parametrize("depth", [8, 16])
def test_a_result_of_any_space_shows_its_colors(
    tmp_path: Path, space: cielab.Space, depth: int
) -> None:
    """Results in Adobe RGB and Display P3 are converted to sRGB by their profile."""
    codes = cv2.GaussianBlur(color_scene(600, 700), (0, 0), 3)
    light = space.linear(codes / 255)
    srgb = light @ space.xyz_from_rgb.T @ np.linalg.inv(cielab.SRGB.xyz_from_rgb).T
    truth = np.rint(cielab.SRGB.encoded(np.clip(srgb, 0, 1)) * 255)
    stored = codes if depth == 8 else codes.astype(np.uint16) * 257
    path = save(tmp_path / "result.tif", stored, iccprofile=icc.output_profile(space))

    assert error(assembled(pyramid(path)), truth) < 2


@pytest.mark.parametrize("depth", [8, 16])
def test_the_profile_of_results_changes_no_code(depth: int) -> None:
    """It is sRGB, so it is passed over; LittleCMS says the same, within one code."""
    page = color_scene(40, 50)
    page = page if depth == 8 else page.astype(np.uint16) * 257
    profile = icc.output_profile(cielab.SRGB)
    image = DecodedImage(40, 50, 3, alpha=False, bands=lambda: iter([page]))
    labeled = replace(image, metadata=replace(image.metadata, profile=profile))
    [shown] = display_bands(labeled)

    assert np.array_equal(next(iter(display_bands(image))), shown)
    assert 1 >= np.abs(icc.to_srgb(page, profile).astype(int) - shown).max()


@pytest.mark.parametrize("factor", [2, 3, 7])
@pytest.mark.parametrize("cuts", [(), (1, 2, 3), (5, 6, 25), (14, 21), (29,)])
def test_a_page_made_small_is_the_same_however_it_comes(factor: int, cuts: tuple[int, ...]) -> None:
    """In bands of any heights, shorter than a square or longer than many."""
    page = gray_scene(30, 41, depth=16)[..., None]
    image = DecodedImage(30, 41, 1, alpha=False, bands=lambda: iter(np.split(page, cuts)))
    [small] = shrunk(image, factor).bands()

    assert error(small, halves(page, factor)) < 1


def test_each_page_is_a_pyramid_of_its_own(tmp_path: Path) -> None:
    """Pages of a TIFF keep apart, and may differ in size, depth and colors."""
    pages = [gray_scene(300, 400), color_scene(520, 300), gray_scene(90, 80, 16)]
    pages = [cv2.GaussianBlur(page, (0, 0), 2) for page in pages]
    path = tmp_path / "album.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, photometric="rgb" if page.ndim == 3 else "minisblack", metadata=None)

    shown = [assembled(pyramid(path, number)) for number in range(3)]

    for mine, page in zip(shown, pages, strict=True):
        assert error(mine, cielab.to_8_bit(page)) < 2.5


def test_what_is_transparent_lies_on_neutral_gray(tmp_path: Path) -> None:
    """Opacity is laid over the gray of L* 50."""
    rgba = np.dstack([np.full((60, 70, 3), 200, np.uint8), np.zeros((60, 70), np.uint8)])
    rgba[:, 35:, 3] = 255
    path = tmp_path / "cut.png"
    Image.fromarray(rgba).save(path)

    shown = assembled(pyramid(path))

    assert NEUTRAL == np.rint(cielab.SRGB.encoded(np.array([0.18418652])) * 255)
    assert abs(shown[:, :30].astype(int) - NEUTRAL).max() <= 3
    assert abs(shown[:, 40:].astype(int) - 200).max() <= 3


def test_a_scan_in_color_is_shown_as_it_is(tmp_path: Path) -> None:
    """A sepia print keeps its tone: what is shown is the scan, not what photochrom makes of it."""
    brown = np.full((100, 100, 3), (150, 120, 80), np.uint8)
    path = save(tmp_path / "print.png", brown)

    assert error(assembled(pyramid(path)), brown) < 2


def laid_on_neutral(lightness: Array, alpha: Array) -> Array:
    """Return the CIE L* of gray with opacity over neutral gray."""
    f = (lightness + 16) / 116
    light = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    share = alpha / np.iinfo(alpha.dtype).max
    codes = cielab.SRGB.encoded(light) * 255 * share + NEUTRAL * (1 - share)
    return SRGB.lightness(codes / 255)


def test_every_format_shows_its_tones(tmp_path: Path) -> None:
    """Each scan of the matrix of formats has the lightness it must have, in its thumbnail."""
    for case in all_cases():
        path = tmp_path / case.name
        path.write_bytes(case.data)
        with opened(path, ReadSettings()) as (_format, images):
            assert len(case.pages) == len(images)
            for number, image in enumerate(images):
                size, coded = thumbnail(image)
                shown = SRGB.lightness(read_jpeg(coded))
                wanted = case.lightness(number)
                if case.alpha is not None:
                    wanted = laid_on_neutral(wanted, case.alpha)
                assert (size.height, size.width) == wanted.shape
                assert error(shown, wanted) < 4, case.name  # of its grain, which a JPEG blurs
                assert abs(shown.mean() - wanted.mean()) < 0.7, case.name


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_thumbnail_is_the_page_made_small(tmp_path: Path, orientation: int) -> None:
    """It has 240 pixels at its long side, is upright, and shows the same as the tiles."""
    upright = cv2.GaussianBlur(color_scene(1500, 2001), (0, 0), 4)
    path = tmp_path / "scan.jpg"
    stored = turned(upright, orientation)
    path.write_bytes(encoded("JPEG", stored, quality=95, exif=exif_block(orientation)))

    with opened(path, ReadSettings()) as (_format, (image,)):
        size, coded = thumbnail(image)

    assert Size(2001, 1500) == size
    small = cv2.resize(upright, (240, 180), interpolation=cv2.INTER_AREA)
    assert error(read_jpeg(coded), small) < 4
    (folder,) = (pyramid(path) / "full").glob("240,*")
    assert error(read_jpeg(folder / "0/default.jpg"), small) < 4


@pytest.mark.parametrize("size", [(1, 1), (7, 479), (481, 483), (961, 1923), (3900, 17)])
def test_a_jpeg_decoded_small_has_the_size_and_the_tones(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    """Whatever its sides, the thumbnail is that of the same page in a lossless file."""
    page = cv2.GaussianBlur(color_scene(*size), (0, 0), 5)
    jpeg, png = save(tmp_path / "a.jpg", page, quality=95), save(tmp_path / "a.png", page)

    shown = []
    for path in (jpeg, png):
        with opened(path, ReadSettings()) as (_format, (image,)):
            assert (path is jpeg) == (image.reduced is not None)
            shown.append(read_jpeg(thumbnail(image)[1]))

    assert error(*shown) < 4


def test_a_jpeg_cut_short_has_no_thumbnail(tmp_path: Path) -> None:
    """Decoded small, too, missing rows are an error in words."""
    data = encoded("JPEG", color_scene(2000, 2000), quality=95)
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")

    with (
        opened(path, ReadSettings()) as (_format, (image,)),
        pytest.raises(IncompleteError, match="damaged or cut short"),
    ):
        thumbnail(image)


SIDES = [1, 2, 239, 240, 241, 511, 512, 513, 1023, 1025, 1600, 1601, 2048, 2049, 3000, 4097, 8200]


@pytest.mark.parametrize("width", SIDES)
def test_what_info_says_is_there_and_no_more(tmp_path: Path, width: int) -> None:
    """For pages of any size the files are those that info.json promises."""
    for height in (1, 513, 700):
        path = save(tmp_path / f"{height}.png", np.full((height, width), 99, np.uint8))
        folder = pyramid(path)
        info = read_info(folder)

        assert promised(info) == present(folder)
        largest = max(info["sizes"], key=lambda size: size["width"] + size["height"])
        most = read_jpeg(folder / "full/max/0/default.jpg").shape
        assert (largest["height"], largest["width"]) == most
        assert max(most) <= info.get("maxWidth", max(most))


def test_sizes_are_never_taken_for_levels() -> None:
    """There are not as many sizes as levels, or they are the levels' own: viewers count them."""
    for width, height in itertools.product([*range(1, 4200, 13), 9000, 20000, 40000], [1, 300]):
        size = Size(width, height)
        sizes, factors = whole_sizes(size), scale_factors(size)
        if len(sizes) in {len(factors) - 1, len(factors)}:
            assert [size] == sizes
            assert [1] == factors


def test_memory_does_not_grow_with_the_height() -> None:
    """A page of 40 megapixels in strips takes no more than some rows of tiles."""
    rows = np.random.default_rng(0).integers(0, 65536, (16, 1000, 1)).astype(np.uint16)
    tall = DecodedImage(40_000, 1000, 1, alpha=False, bands=lambda: itertools.repeat(rows, 2500))
    for image in (tall, replace(tall, orientation=6)):
        with TemporaryDirectory() as folder:
            tracemalloc.start()
            try:
                write_pyramid(image, Path(folder), URL)
                _now, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 25e6


def test_a_page_cut_short_is_refused(tmp_path: Path) -> None:
    """Too few rows are an error in words, not a pyramid with a hole."""
    rows = np.zeros((10, 50, 1), np.uint8)
    cut = DecodedImage(100, 50, 1, alpha=False, bands=lambda: iter([rows]))

    with pytest.raises(IncompleteError, match="10 of 100 rows"):
        write_pyramid(cut, tmp_path, URL)
    with pytest.raises(IncompleteError, match="10 of 100 rows"):
        thumbnail(cut)
