"""JPEG 2000 in and out: depths, palettes, boxes, and files that are damaged."""

import io
import struct
import subprocess
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import output_pages, synthetic_photos
from tests.support.synthetic_photos import Array
from worker.color import cielab, icc
from worker.errors import ScanError
from worker.formats import isobmff, jpeg2000
from worker.formats.image import DecodedImage
from worker.metadata.block import Metadata


def read(data: bytes) -> DecodedImage:
    """Read a JPEG 2000."""
    return output_pages.picture(jpeg2000.read, data)


def encoded(pixels: Array, kind: str = "jp2", bits: int | None = None) -> bytes:
    """Return a reversible JPEG 2000."""
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, 0, codecformat=kind, reversible=True, bitspersample=bits, mct=False
        )
    )


def with_header(data: bytes, *more: bytes, space: int | None = None) -> bytes:
    """Add boxes to a JP2's header box, and set its enumerated color space."""
    found = {box.name: box for box in isobmff.walk(io.BytesIO(data))}
    box = found[b"jp2h"]
    inner = data[box.start : box.start + box.length]
    if space is not None:
        at = inner.index(b"colr") + 7
        inner = inner[:at] + struct.pack(">I", space) + inner[at + 4 :]
    whole = isobmff.box(b"jp2h", inner, *more)
    return data[: box.start - 8] + whole + data[box.start + box.length :]


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_channel_comes_as_stored(channels: int, depth: int, kind: str) -> None:
    """Gray and color, with and without opacity, boxed and bare: equal codes, none clipped."""
    stored = np.stack(
        [synthetic_photos.gray_scene(19, 23, depth, seed) for seed in range(channels)], -1
    )
    found = read(encoded(stored[..., 0] if channels == 1 else stored, kind))

    assert (19, 23) == (found.height, found.width)
    assert (1 if channels < 3 else 3, channels in {2, 4}) == (found.samples, found.alpha)
    assert (depth, True) == (found.encoding.bits, found.encoding.lossless)
    np.testing.assert_array_equal(stored, output_pages.pixels(found))


@pytest.mark.parametrize("bits", [4, 10, 12, 15])
def test_white_is_white_at_every_depth(bits: int) -> None:
    """Codes of fewer bits are stretched to all of 8 or 16, exactly at both ends."""
    codes = synthetic_photos.gray_scene(17, 29, 16) >> (16 - bits)
    found = read(encoded(codes.astype(np.uint8) if bits <= 8 else codes, bits=bits))
    top = 255 if bits <= 8 else 65535
    got = output_pages.pixels(found)[..., 0]

    assert (0, top) == (got.min(), got.max())
    np.testing.assert_array_equal(np.rint(codes / (2**bits - 1) * top), got)


def test_a_lossy_one_is_known_as_lossy() -> None:
    """The irreversible wavelet is read off the codestream."""
    scene = synthetic_photos.gray_scene(40, 40)
    data = imagecodecs.jpeg2k_encode(scene, 40, codecformat="jp2", reversible=False)

    assert not read(data).encoding.lossless


def test_luma_and_chroma_become_rgb() -> None:
    """SYCC comes as the RGB that Pillow makes of it."""
    scene = synthetic_photos.color_scene(20, 20)
    data = with_header(encoded(scene), space=jpeg2000.YCC)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)

    np.testing.assert_allclose(expected, output_pages.pixels(read(data)), atol=1)


def test_palettes_become_colors() -> None:
    """A palette's colors come as RGB of its own depth."""
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [9, 9, 255]], np.uint8)
    index = np.arange(12, dtype=np.uint8).reshape(3, 4) % 4
    entries = isobmff.box(b"pclr", struct.pack(">HB", 4, 3) + b"\7\7\7" + palette.tobytes())
    mapped = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
    data = with_header(encoded(index), entries, isobmff.box(b"cmap", mapped), space=jpeg2000.RGB)
    found = read(data)

    assert (3, 8) == (found.samples, found.encoding.bits)
    np.testing.assert_array_equal(palette[index], output_pages.pixels(found))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: with_header(data, space=12), "color space 12"),
        (lambda data: data.replace(b"\7\1\1\7", b"\7\2\2\7"), "subsampled"),
        (lambda data: data.replace(b"\7\1\1\7\1\1\7", b"\x87\1\1\x87\1\1\x87"), "signed"),
        (lambda data: data + isobmff.box(b"jp2c", b"more"), "2 images"),
    ],
)
def test_what_is_not_read_is_refused_in_words(change: object, reason: str) -> None:
    """CMYK, subsampled, signed and several pictures: each is named."""
    assert callable(change)
    with pytest.raises(ScanError, match=reason):
        read(change(encoded(synthetic_photos.color_scene(9, 9))))


@pytest.mark.parametrize("kind", ["jp2", "j2k"])
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int, kind: str) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = encoded(synthetic_photos.gray_scene(50, 60), kind)
    with pytest.raises((ValueError, RuntimeError, struct.error, LookupError)):
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16]))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    data = bytearray(encoded(synthetic_photos.gray_scene(9, 9), "j2k"))
    data[8:16] = struct.pack(">II", 200_000, 200_000)
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        read(bytes(data))


@given(noise=st.binary(max_size=100), at=st.integers(0, 200))
def test_noise_is_damage(noise: bytes, at: int) -> None:
    """A header overwritten with noise raises what means damage or a reason, or is still read."""
    whole = bytearray(encoded(synthetic_photos.gray_scene(9, 9)))
    whole[at : at + len(noise)] = noise
    try:
        found = read(bytes(whole))
    except (ValueError, struct.error, LookupError, ArithmeticError, ScanError):
        return

    assert (found.height, found.width) != (0, 0)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_stays_lossless(depth: int, channels: int) -> None:
    """OpenCV reads every code as it was given, at its own depth."""
    rgb = np.stack(
        [synthetic_photos.gray_scene(33, 21, depth, seed) for seed in range(channels)], -1
    )
    data = output_pages.stored(jpeg2000.write, output_pages.page(rgb))
    found = read(data)

    np.testing.assert_array_equal(rgb, output_pages.pixels(found))
    assert (depth, True, channels == 4) == (
        found.encoding.bits,
        found.encoding.lossless,
        found.alpha,
    )
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is not None:  # some builds of OpenCV have no JPEG 2000
        np.testing.assert_array_equal(rgb[..., [2, 1, 0, 3][:channels]], bgr)


def test_pillow_reads_what_is_written() -> None:
    """8-bit color, opacity and resolution are found by another reader."""
    rgba = np.stack([synthetic_photos.gray_scene(33, 21, 8, seed) for seed in range(4)], -1)
    data = output_pages.stored(
        jpeg2000.write, output_pages.page(rgba, Metadata(dpi=(300.0, 150.0)))
    )
    with Image.open(io.BytesIO(data)) as image:
        assert "RGBA" == image.mode
        assert pytest.approx((300, 150)) == image.info["dpi"]
        np.testing.assert_array_equal(rgba, np.asarray(image))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_lossy_scan_comes_back_near(depth: int) -> None:
    """What is not reversible has more than 45 decibels, and is much smaller."""
    rgb = output_pages.smooth(120, 160, depth)
    rgb = rgb ^ (
        synthetic_photos.as_rgb(synthetic_photos.gray_scene(120, 160, depth)) >> (depth - 4)
    )  # some grain
    data = output_pages.stored(jpeg2000.write, output_pages.page(rgb, lossless=False))
    error = output_pages.pixels(read(data)).astype(float) - rgb

    assert not read(data).encoding.lossless
    assert 20 * np.log10((2**depth - 1) / np.sqrt((error**2).mean())) > 45
    assert len(data) < len(output_pages.stored(jpeg2000.write, output_pages.page(rgb))) / 1.5


@output_pages.needs_exiftool
def test_all_metadata_is_read_back_by_exiftool(tmp_path: Path) -> None:
    """Label, EXIF, IPTC, profile and resolution are where others look for them."""
    path = tmp_path / "result.jp2"
    path.write_bytes(
        output_pages.stored(
            jpeg2000.write, output_pages.page(output_pages.smooth(8, 9), output_pages.rich())
        )
    )

    output_pages.assert_rich(path)
    told = output_pages.exiftool(path)
    assert pytest.approx(300 / 2.54, abs=1e-4) == told["Jpeg2000:CaptureXResolution"]


def test_metadata_goes_round() -> None:
    """What was written is what is read."""
    metadata = output_pages.rich()
    data = output_pages.stored(
        jpeg2000.write, output_pages.page(output_pages.smooth(8, 9), metadata)
    )

    assert metadata == read(data).metadata
    plain = output_pages.stored(jpeg2000.write, output_pages.page(output_pages.smooth(8, 9)))
    assert Metadata() == read(plain).metadata


@output_pages.needs_exiftool
def test_what_exiftool_writes_is_read(tmp_path: Path) -> None:
    """EXIF, IPTC and XMP from another hand arrive."""
    path = tmp_path / "scan.jp2"
    path.write_bytes(encoded(synthetic_photos.gray_scene(16, 16)))
    said = ["-EXIF:Artist=Ann", "-IPTC:By-line=Ben", "-XMP-dc:Creator=Cay"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *said, path], check=True, timeout=60)
    metadata = read(path.read_bytes()).metadata

    assert b"Ann" in metadata.exif
    assert b"\x1c\x02\x50\0\3Ben" in metadata.iptc
    assert b"Cay" in metadata.xmp
    assert () == metadata.lost


def test_a_profile_is_found() -> None:
    """The profile in the color box is honored; enumerated sRGB needs none."""
    profile = icc.output_profile(cielab.DISPLAY_P3)
    data = encoded(synthetic_photos.color_scene(9, 9))
    at = data.index(b"colr") - 4
    box = isobmff.box(b"colr", b"\2\0\0" + profile)
    (length,) = struct.unpack_from(">I", data, at)
    header = {found.name: found for found in isobmff.walk(io.BytesIO(data))}[b"jp2h"]
    inner = data[header.start : at] + box + data[at + length : header.start + header.length]
    whole = data[: header.start - 8] + isobmff.box(b"jp2h", inner)
    whole += data[header.start + header.length :]

    assert profile == read(whole).metadata.profile
    assert b"" == read(data).metadata.profile


@given(dpi=st.floats(1, 10_000))
def test_a_resolution_is_kept_to_a_hundred_thousandth(dpi: float) -> None:
    """Its fractions are near enough for anything that a scanner says."""
    above, below, power = jpeg2000._fraction(dpi / jpeg2000.INCH)

    assert 0 < above < 65_536
    assert 0 < below < 65_536
    assert pytest.approx(dpi, rel=1e-5) == above / below * 10**power * jpeg2000.INCH


def test_common_resolutions_are_exact() -> None:
    """300 and 600 dots per inch come back as that."""
    for dpi in (72, 150, 300, 400, 600, 1200, 2400, 4800):
        above, below, power = jpeg2000._fraction(dpi / jpeg2000.INCH)

        assert pytest.approx(dpi, rel=1e-12) == above / below * 10**power * jpeg2000.INCH


@pytest.mark.parametrize("length", [0, 10, (1 << 32) - 9, (1 << 32) - 8, 1 << 40])
def test_boxes_of_any_length_are_found(length: int) -> None:
    """A box longer than 4 GB has a longer head, and is found all the same."""
    head = isobmff.start(b"jp2c", length)
    (found,) = isobmff.walk(io.BytesIO(head), 0, len(head) + length)

    assert (b"jp2c", len(head), length) == found


def test_several_pages_are_refused_in_words() -> None:
    """The reason names the setting that helps."""
    page = output_pages.page(output_pages.smooth(3, 3))
    with pytest.raises(ScanError, match=r"2; set output\.format to tiff"):
        output_pages.stored(jpeg2000.write, page, page)
