"""WebP in and out: lossy, lossless, with opacity, its metadata, and files that are damaged."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import output_pages, synthetic_photos
from worker.color import cielab
from worker.errors import ScanError
from worker.formats import webp
from worker.formats.image import DecodedImage
from worker.metadata.block import Metadata


def read(data: bytes) -> DecodedImage:
    """Read a WebP."""
    return output_pages.picture(webp.read, data)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("told", [True, False])
def test_all_kinds_are_read(channels: int, *, lossless: bool, told: bool) -> None:
    """Lossy and lossless, with and without opacity, plain and extended, as Pillow reads them."""
    scene = output_pages.smooth(23, 31, channels=channels)
    more = {"exif": output_pages.exif_block(orientation=3)} if told else {}
    data = synthetic_photos.encoded(
        "WEBP", scene, lossless=lossless, quality=90, exact=True, **more
    )
    found = read(data)

    assert (23, 31, 3, channels == 4) == (found.height, found.width, found.samples, found.alpha)
    assert (8, lossless) == (found.encoding.bits, found.encoding.lossless)
    assert (3 if told else 1) == found.orientation
    expected = scene if lossless else np.asarray(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(expected, output_pages.pixels(found))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int, *, lossless: bool) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = synthetic_photos.encoded(
        "WEBP", synthetic_photos.color_scene(64, 64), lossless=lossless
    )
    with pytest.raises((ValueError, RuntimeError, struct.error)):
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16]))


def test_animations_are_refused() -> None:
    """Several frames are no photograph."""
    frames = [Image.fromarray(synthetic_photos.color_scene(9, 9, seed)) for seed in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(ScanError, match="animated"):
        read(buffer.getvalue())


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    data = imagecodecs.webp_encode(synthetic_photos.color_scene(300, 300), lossless=True)
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        output_pages.picture(webp.read, data, megapixels=0.01)


@given(data=st.binary(max_size=200))
def test_noise_is_damage(data: bytes) -> None:
    """What only begins as a WebP does raises what means damage, and nothing else."""
    whole = b"RIFF" + struct.pack("<I", len(data) + 4) + b"WEBP" + data
    try:
        output_pages.pixels(read(whole))
    except (ValueError, RuntimeError, struct.error, LookupError, ScanError):
        return
    pytest.fail("noise was read as a picture")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_stays_lossless(depth: int, channels: int) -> None:
    """Pillow reads every color as it was given, also where nothing is opaque; 16 bits made 8."""
    rgb = np.stack(
        [synthetic_photos.gray_scene(33, 21, depth, seed) for seed in range(channels)], -1
    )
    rgb[:5, :5, 3:] = 0
    data = output_pages.stored(webp.write, output_pages.page(rgb))

    np.testing.assert_array_equal(cielab.to_8_bit(rgb), np.asarray(Image.open(io.BytesIO(data))))
    assert read(data).encoding.lossless


def test_lossy_stays_lossy_and_near() -> None:
    """A lossy scan comes back lossy, near to what was given."""
    rgb = output_pages.smooth(40, 50)
    data = output_pages.stored(webp.write, output_pages.page(rgb, lossless=False))
    got = output_pages.pixels(read(data))

    assert not read(data).encoding.lossless
    assert np.abs(got.astype(int) - rgb).mean() < 1.5


@output_pages.needs_exiftool
def test_all_metadata_is_read_back_by_exiftool(tmp_path: Path) -> None:
    """Label, EXIF, IPTC within it, and profile are where others look for them."""
    path = tmp_path / "result.webp"
    path.write_bytes(
        output_pages.stored(
            webp.write, output_pages.page(output_pages.smooth(8, 9), output_pages.rich())
        )
    )

    output_pages.assert_rich(path)


def test_metadata_goes_round() -> None:
    """What was written is what is read."""
    metadata = output_pages.rich()
    data = output_pages.stored(webp.write, output_pages.page(output_pages.smooth(8, 9), metadata))

    assert metadata == read(data).metadata
    plain = output_pages.stored(webp.write, output_pages.page(output_pages.smooth(8, 9)))
    assert Metadata() == read(plain).metadata


def test_a_resolution_without_exif_is_kept() -> None:
    """WebP tells a resolution only in EXIF, so there is one then."""
    metadata = Metadata(dpi=(600.0, 600.0))
    data = output_pages.stored(webp.write, output_pages.page(output_pages.smooth(8, 9), metadata))

    assert (600.0, 600.0) == read(data).metadata.dpi


def test_what_a_webp_cannot_hold_is_refused_in_words() -> None:
    """Several pages, too long a side: each names the setting that helps."""
    page = output_pages.page(output_pages.smooth(3, 3))
    wide = output_pages.page(np.zeros((1, 16_384, 3), np.uint8))
    for given_ in ((page, page), (wide,)):
        with pytest.raises(ScanError, match=r"set output\.format to tiff"):
            output_pages.stored(webp.write, *given_)
