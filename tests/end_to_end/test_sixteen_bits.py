"""16 bits stay 16 bits, file to file, through the built-in generator; decoded by OpenCV."""

from pathlib import Path

import numpy as np
import pytest

from tests.support import independent_decoders
from tests.support.color_formulas import ADOBE, P3, SRGB
from tests.support.synthetic_photos import Array, gray_scene, origin, save
from worker import render, scan
from worker.errors import ScanError
from worker.inference.colorizer import Colorizer
from worker.inference.device import set_up_device
from worker.models.store import built_in
from worker.settings import ColorSettings, OutputSpace, ReadSettings, WriteSettings

pytestmark = pytest.mark.slow

SPACES = {"srgb": SRGB, "adobe-rgb": ADOBE, "display-p3": P3}
RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
each_file = pytest.mark.parametrize("suffix", [".tif", ".png"])
each_space = pytest.mark.parametrize("space", SPACES)


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """Load the built-in generator."""
    settings = ColorSettings(render_size=64, batch_size=1)
    return Colorizer(built_in(), settings, set_up_device())


def colored(
    colorizer: Colorizer, gray: Array, suffix: str, space: OutputSpace, folder: Path
) -> Array:
    """Color a picture (H, W) uint16 from file to file; return what lies there, (H, W, 3) uint16."""
    photo = scan.read(save(folder / f"scan{suffix}", gray), ReadSettings())
    (chroma,) = colorizer.predict(photo.pages)
    assert not isinstance(chroma, ScanError)
    path = folder / f"result{suffix}"
    with path.open("w+b") as file:
        render.write(photo, [chroma], origin(), WriteSettings(space=space), file)
    (rgb,) = independent_decoders.pages(path)

    assert "OpenCV" == independent_decoders.decoder(path)
    assert ((*gray.shape, 3), np.uint16) == (rgb.shape, rgb.dtype)
    assert np.ptp(rgb, axis=-1).max() > 2500  # it is in color
    return rgb


@each_space
@each_file
def test_all_levels_of_a_ramp_are_kept(
    colorizer: Colorizer, tmp_path: Path, suffix: str, space: OutputSpace
) -> None:
    """L* within 0.1 over the whole range; at 99 % of the 65,535 steps the next level is lighter."""
    rgb = colored(colorizer, RAMP, suffix, space, tmp_path)
    lightness = SPACES[space].lightness(rgb)
    steps = np.diff(lightness.ravel())  # of neighbors with colors of their own

    assert np.abs(lightness - SRGB.lightness(RAMP)).max() < 0.1
    assert (steps > 0).mean() >= 0.99


@each_space
@each_file
def test_a_scene_keeps_its_lightness(
    colorizer: Colorizer, tmp_path: Path, suffix: str, space: OutputSpace
) -> None:
    """L* within 0.1 at every pixel; 99 % of its levels are lighter than the next darker one."""
    gray = gray_scene(211, 307, 16)
    rgb = colored(colorizer, gray, suffix, space, tmp_path)
    lightness = SPACES[space].lightness(rgb)
    levels, places, counts = np.unique(gray, return_inverse=True, return_counts=True)
    steps = np.diff(np.bincount(places.ravel(), lightness.ravel()) / counts)

    assert np.abs(lightness - SRGB.lightness(gray)).max() < 0.1
    assert len(levels) > 20_000
    assert (steps > 0).mean() >= 0.99
