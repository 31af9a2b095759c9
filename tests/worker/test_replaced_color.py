"""Promises of worker.replaced_color and what leads to it: ink is found, and nothing else."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.synthetic_photos import Array, as_rgb, color_scene, gray_scene, save, sepia
from worker import scan
from worker.errors import InColorError
from worker.metadata.provenance import ReplacedColor
from worker.replaced_color import MOST_REGIONS, find_replaced
from worker.scan import Page
from worker.settings import ReadSettings

HEIGHT, WIDTH = 480, 640
ALL_THE_SAME = ReadSettings(even_if_colored=True)
RED = (190, 30, 40)
PATCHES = [(115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177)]
PATCHES += [(103, 189, 170), (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108)]
CELL = WIDTH / 256 * 2.5  # pixels: how exact a box is; ink is looked for at 256, and smoothed


def print_(*, toned: bool = False, depth: int = 8) -> Array:
    """Make a gray or brown print in RGB."""
    gray = gray_scene(HEIGHT, WIDTH, depth) // 2 + 60
    return sepia(gray) if toned else as_rgb(gray)


def stamped(pixels: Array) -> Array:
    """Put a red ring on it, around (560, 400)."""
    top = np.iinfo(pixels.dtype).max
    ring = cv2.circle(np.zeros(pixels.shape[:2], np.uint8), (560, 400), 36, 1, 7)
    return np.where(ring[..., None] > 0, np.array(RED) * (top // 255), pixels).astype(pixels.dtype)


def page(tmp_path: Path, pixels: Array, settings: ReadSettings = ALL_THE_SAME) -> Page:
    """Read a TIFF of them."""
    return scan.read(save(tmp_path / "a.tif", pixels), settings).pages[0]


def near(box: ReplacedColor, x: int, y: int, width: int, height: int) -> bool:
    """Tell whether a box lies where it should."""
    wanted = (x, y, x + width, y + height)
    found = (box.x, box.y, box.x + box.width, box.y + box.height)
    return all(abs(one - two) <= CELL for one, two in zip(found, wanted, strict=True))


@pytest.mark.parametrize("toned", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_stamp_is_named_where_it_is(tmp_path: Path, depth: int, *, toned: bool) -> None:
    """On gray and on brown prints, of 8 and 16 bits: its box, share and chroma."""
    (stamp,) = page(tmp_path, stamped(print_(toned=toned, depth=depth))).replaced

    assert near(stamp, 521, 361, 79, 79)
    assert 0.004 < stamp.share < 0.012
    assert 20 < stamp.chroma < 90


def test_a_color_target_is_one_region(tmp_path: Path) -> None:
    """Though it has ten patches, of which some touch."""
    pixels = print_()
    for number, patch in enumerate(PATCHES):
        pixels[440:, 64 * number : 64 * (number + 1)] = patch
    (target,) = page(tmp_path, pixels).replaced

    assert near(target, 0, 440, WIDTH, 40)
    assert target.share == pytest.approx(40 / HEIGHT, abs=0.02)


@pytest.mark.parametrize("share", [0.02, 0.25])
def test_color_rejects_unless_it_is_allowed(tmp_path: Path, share: float) -> None:
    """What is allowed comes out as the gray of its lightness; the rest keeps its codes."""
    pixels = print_()
    pixels[: round(HEIGHT * share)] = RED
    with pytest.raises(InColorError, match="in color already"):
        page(tmp_path, pixels, ReadSettings())
    gray = page(tmp_path, pixels).gray

    assert 1 == len(np.unique(gray[: round(HEIGHT * share)]))
    assert np.array_equal(pixels[200:, :, 0], gray[200:])


def test_a_small_stamp_is_named_though_nobody_had_to_allow_it(tmp_path: Path) -> None:
    """It does not make a print colored, but the result does not have it."""
    pixels = print_()
    pixels[20:30, 30:60] = RED
    (stamp,) = page(tmp_path, pixels, ReadSettings()).replaced

    assert near(stamp, 30, 20, 30, 10)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_are_those_of_the_upright_page(tmp_path: Path, orientation: int) -> None:
    """However the scan lies in its file."""
    pixels = print_()
    pixels[20:60, 30:130] = RED
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    path = save(tmp_path / "a.tif", pixels, extratags=[(274, 3, 1, orientation, True)])
    (stamp,) = scan.read(path, ALL_THE_SAME).pages[0].replaced
    rows, columns = np.nonzero(np.rot90((pixels == RED).all(axis=-1), turns))
    box = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)

    assert near(stamp, *(int(one) for one in box))


@pytest.mark.parametrize("noise", [0, 4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_a_tone_and_noise_are_no_ink(tmp_path: Path, seed: int, noise: int) -> None:
    """Not even a strong brown one whose scanner's channels have grain of their own."""
    pixels = sepia(gray_scene(HEIGHT, WIDTH, seed=seed)).astype(float)
    pixels += np.random.default_rng(seed).normal(0, noise, pixels.shape)

    assert () == page(tmp_path, np.clip(pixels, 0, 255).astype(np.uint8), ReadSettings()).replaced


def test_gray_has_no_ink(tmp_path: Path) -> None:
    """Whether it has one channel or three."""
    gray = gray_scene(HEIGHT, WIDTH)

    assert () == page(tmp_path, gray).replaced == page(tmp_path, as_rgb(gray)).replaced


def test_a_color_photograph_is_named_as_a_whole(tmp_path: Path) -> None:
    """Whoever insists is told how much color is gone."""
    regions = page(tmp_path, color_scene(HEIGHT, WIDTH)).replaced

    assert 1 <= len(regions) <= MOST_REGIONS
    assert sum(region.share for region in regions) > 0.3


def test_many_regions_are_joined_and_none_is_left_out() -> None:
    """A tinted lawn of a thousand dots comes as eight boxes at most, and all of its share."""
    ink = np.zeros((192, 256), np.float32)
    for y in range(4, 190, 6):
        for x in range(4, 250, 6):
            ink[y : y + 3, x : x + 3] = 30.0
    regions = find_replaced(ink, HEIGHT, WIDTH)

    assert 1 <= len(regions) <= MOST_REGIONS
    assert sum(one.share for one in regions) == pytest.approx((ink > 0).mean(), abs=1e-3)
    assert {30.0} == {one.chroma for one in regions}


def test_boxes_never_leave_the_page() -> None:
    """Also of pages that are no multiple of what is looked at."""
    ink = np.full((183, 256), 20.0, np.float32)
    (all_of_it,) = find_replaced(ink, 4321, 6007)

    assert ReplacedColor(0, 0, 6007, 4321, 1.0, 20.0) == replace(all_of_it)
