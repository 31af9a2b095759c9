"""The compiled loop gives the codes of the numpy code beside it, and refuses what does not fit."""

import shutil
from typing import Any

import cv2
import numpy as np
import pytest

from worker.color import cielab
from worker.color.cielab import ADOBE_RGB, SPACES, SRGB, Pixels, Space

if cielab.merge_loop is None and not (shutil.which("cc") or shutil.which("gcc")):
    pytest.skip("there is no C compiler", allow_module_level=True)


def scene(depth: int, height: int = 301, width: int = 517) -> tuple[Pixels, Any]:
    """Return soft gray of all codes (H, W), and chroma (64, 64, 2) that often leaves the gamut."""
    rng = np.random.default_rng(depth)
    gray = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 5)
    gray = (gray - gray.min()) / np.ptp(gray)
    chroma = cv2.GaussianBlur(rng.normal(0, 200, (64, 64, 2)).astype(np.float32), (0, 0), 2)
    return np.rint(gray * (2**depth - 1)).astype(cielab.pixel_type(depth)), chroma


def merged(gray: Pixels, chroma: Any, space: Space) -> Pixels:
    """Merge in one piece."""
    tone = cielab.srgb_tone(cielab.bit_depth(gray))
    return np.concatenate(list(cielab.merge_strips(gray, chroma, tone, space)))


def test_it_was_compiled() -> None:
    """Where there is a compiler, nobody gets the slow code by accident."""
    assert cielab.merge_loop is not None


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("depth", [8, 16])
def test_it_gives_what_numpy_gives(
    monkeypatch: pytest.MonkeyPatch, depth: int, space: Space
) -> None:
    """8 bits: rarely one code apart. 16 bits: the same lightness, and colors no eye can tell."""
    gray, chroma = scene(depth)
    compiled = merged(gray, chroma, space)
    monkeypatch.setattr(cielab, "merge_loop", None)
    plain = merged(gray, chroma, space)

    difference = np.abs(compiled.astype(int) - plain)
    if depth == 8:
        assert 1 >= difference.max()
        assert 1e-5 > (difference > 0).mean()
    else:
        assert 0.02 > (difference > 0).mean()
        assert 1e-4 > np.abs(space.linear(compiled / 65535) - space.linear(plain / 65535)).max()


@pytest.mark.parametrize("space", [SRGB, ADOBE_RGB], ids=["srgb", "adobe-rgb"])
def test_every_16_bit_code_keeps_its_lightness(space: Space) -> None:
    """To a thousandth of L*, also in black and white."""
    gray = np.tile(np.arange(65536, dtype=np.uint16), (4, 1))
    result = merged(gray, scene(16)[1], space)
    luminance = space.linear(result / 65535) @ space.luminance
    error = cielab.lightness_of_luminance(luminance) - 100 * cielab.srgb_tone(16).lightness[gray]

    assert 1e-3 > np.abs(error).max()


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (3, 257)])
def test_narrow_pictures_are_whole(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    """Rows and blocks that are not full."""
    gray, chroma = scene(8)
    part = np.resize(gray, shape)
    compiled = merged(part, chroma, SRGB)
    monkeypatch.setattr(cielab, "merge_loop", None)

    assert (*shape, 3) == compiled.shape
    assert 1 >= np.abs(compiled.astype(int) - merged(part, chroma, SRGB)).max()


def test_buffers_of_the_wrong_size_are_refused() -> None:
    """Nothing is read or written beyond them."""
    assert cielab.merge_loop is not None
    gray = np.zeros((2, 8), np.uint8)
    planes = tuple(np.zeros((4, 8), np.float32) for _ in range(4))
    lut, matrix = np.zeros(256, np.float32), np.zeros((3, 2), np.float32)
    codes = np.zeros(65536, np.uint8)

    def call(**changed: Any) -> None:
        given = {
            "out": np.zeros((2, 8, 3), np.uint8),
            "gray": gray,
            "planes": planes,
            "fy": lut,
            "luminance": lut,
            "to_rgb": matrix,
            "tables": codes,
            "step": b"",
            "shape": (2, 8, 0, 4, 4),
            "limits": (0.2, 0.5),
            "depth": 8,
        } | changed
        limits, depth = given.pop("limits"), given.pop("depth")
        cielab.merge_loop.color_strip(*given.values(), *limits, depth, True)  # noqa: FBT003

    call()
    for changed in (
        {"out": np.zeros((2, 8, 2), np.uint8)},
        {"gray": gray[:1]},
        {"planes": (*planes[:3], planes[3][:1])},
        {"fy": lut[:255]},
        {"tables": codes[:9]},
        {"step": b"x"},
        {"shape": (2, 8, 3, 4, 4)},
        {"shape": (-2, 8, 0, 4, 4)},
        {"shape": (2, 8, 0, 4, 0)},
        {"depth": 12},
    ):
        with pytest.raises(ValueError, match=r"bytes|strip|depth"):
            call(**changed)
    with pytest.raises((TypeError, BufferError)):
        call(out=b"\0" * 48)
