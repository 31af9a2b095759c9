"""A file that is still being written, of every compressed kind: no gray rest is ever colored."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests.support import hostile_files, output_pages, synthetic_photos
from tests.support.heic_files import LYING, TEN_BITS, data_of
from tests.support.synthetic_photos import encoded, gray_scene
from worker import scan
from worker.errors import IncompleteError
from worker.formats import webp
from worker.settings import ReadSettings

SETTINGS = ReadSettings()
GRAY = gray_scene(240, 320)
RGB = synthetic_photos.as_rgb(GRAY)
UNCOMPRESSED = {".bmp", ".pgm"}  # whose black border may be a file's end: the service waits for it
FILES = {
    **{f"plain{suffix}": data for suffix, data in synthetic_photos.in_each_kind(GRAY).items()},
    "progressive.jpg": encoded("JPEG", RGB, progressive=True, quality=90),
    "twelve.jpg": imagecodecs.jpeg8_encode(gray_scene(80, 90, 16) >> 4, 95, bitspersample=12),
    "interlaced.png": hostile_files.honest()["letters.png"],
    "lossy.webp": encoded("WEBP", RGB, quality=90),
    "lossy.jp2": bytes(imagecodecs.jpeg2k_encode(GRAY, 40, codecformat="jp2")),
    "bare.j2k": bytes(imagecodecs.jpeg2k_encode(GRAY, 40, codecformat="j2k")),
    "lossy.jxl": bytes(imagecodecs.jpegxl_encode(GRAY, level=90)),
    "ten.heic": data_of(TEN_BITS),
    "lying.heic": data_of(LYING),
}
COMPRESSED = sorted(name for name in FILES if Path(name).suffix not in {*UNCOMPRESSED, ".tif"})


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"plain.tif"}))
def test_a_whole_file_is_read(tmp_path: Path, name: str) -> None:
    """Each of them is sound: what follows is because of what is missing."""
    path = tmp_path / name
    path.write_bytes(FILES[name])

    assert scan.read(path, SETTINGS).pages


@pytest.mark.parametrize("sixteenth", range(1, 16))
@pytest.mark.parametrize("name", sorted(FILES.keys() - {"plain.tif"}))
def test_a_cut_file_is_incomplete(tmp_path: Path, name: str, sixteenth: int) -> None:
    """Cut anywhere, it may still be being written."""
    path = tmp_path / name
    path.write_bytes(FILES[name][: len(FILES[name]) * sixteenth // 16])

    with pytest.raises(IncompleteError):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("sixteenth", range(1, 16))
@pytest.mark.parametrize("name", COMPRESSED)
def test_a_file_that_is_still_being_filled_is_incomplete(
    tmp_path: Path, name: str, sixteenth: int
) -> None:
    """A writer set the size first: the rest is zeros, of which decoders would make gray."""
    whole = FILES[name]
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) * sixteenth // 16].ljust(len(whole), b"\0"))

    try:
        pixels = [page.gray for page in scan.read(path, SETTINGS).pages]
    except IncompleteError:
        return
    # Only of what stands behind the picture may something be missing.
    assert name == "lying.heic"
    path.write_bytes(whole)
    np.testing.assert_array_equal(scan.read(path, SETTINGS).pages[0].gray, pixels[0])


@pytest.mark.parametrize("paper", [0, 255])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9])
@pytest.mark.parametrize("options", [{"quality": 100, "method": 0}, {"quality": 50, "method": 4}])
def test_a_lossy_webp_of_blank_paper_is_whole(
    share: float, paper: int, options: dict[str, int]
) -> None:
    """It ends in zeros of its own, of which none is too many."""
    gray = GRAY.copy()
    gray[round(240 * share) :] = paper
    data = encoded("WEBP", synthetic_photos.as_rgb(gray), **options)

    assert gray.shape == output_pages.pixels(output_pages.picture(webp.read, data)).shape[:2]
