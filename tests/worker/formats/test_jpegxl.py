"""JPEG XL in: depths, headers, boxes, and files that are damaged."""

import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import output_pages, synthetic_photos
from tests.support.synthetic_photos import Array
from worker.color import icc
from worker.errors import ScanError
from worker.formats import isobmff, jpegxl, jpegxl_header
from worker.formats.image import DecodedImage
from worker.metadata import exif_tags

USUAL = [(0, 2), (0, 1), (0, 2), (1, 1)]  # 8 bits, no extra channel, stored as XYB


def read(data: bytes) -> DecodedImage:
    """Read a JPEG XL."""
    return output_pages.picture(jpegxl.read, data)


def encoded(pixels: Array, **options: object) -> bytes:
    """Return a JPEG XL in boxes, lossless if nothing else is asked for."""
    options = options or {"lossless": True}
    return bytes(imagecodecs.jpegxl_encode(pixels, usecontainer=True, **options))


def header(*numbers: tuple[int, int]) -> bytes:
    """Write numbers of so many bits each, the lowest bit first, and some room."""
    bits = "".join(format(value, f"0{count}b")[::-1] if count else "" for value, count in numbers)
    bits += "0" * (400 - len(bits))
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, 400, 8))


def colors(*numbers: tuple[int, int]) -> bytes:
    """Write a header of 8 x 8 pixels whose color space is told by these numbers."""
    small = [(1, 1), (0, 5), (1, 3)]  # 8 rows, as wide as high
    return header(*small, (0, 1), (0, 1), (0, 1), *USUAL, *numbers)


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("shape", [(20, 30), (600, 80), (8, 8, 3), (512, 512, 3), (33, 21, 4)])
def test_every_channel_comes_as_stored(
    shape: tuple[int, ...], depth: int, *, lossless: bool
) -> None:
    """Sizes, depths, gray, color and opacity are told before decoding, and rightly."""
    scene = output_pages.smooth(shape[0], shape[1], depth, (*shape, 1)[2]).reshape(shape)
    found = read(encoded(scene, **({"lossless": True} if lossless else {"distance": 0.5})))
    got = output_pages.pixels(found).reshape(shape)

    assert shape[:2] == (found.height, found.width)
    assert (depth, lossless) == (found.encoding.bits, found.encoding.lossless)
    if lossless:
        np.testing.assert_array_equal(scene, got)
    else:
        assert np.abs(scene / 2**depth - got / 2**depth).mean() < 0.02


@pytest.mark.parametrize("bits", [1, 4, 10, 12])
def test_white_is_white_at_every_depth(bits: int) -> None:
    """Codes of fewer bits are stretched to all of 8 or 16."""
    codes = synthetic_photos.gray_scene(17, 29, 16) >> (16 - bits)
    data = encoded(codes if bits > 8 else codes.astype(np.uint8), lossless=True, bitspersample=bits)
    got = output_pages.pixels(read(data))

    assert (0, 255 if bits <= 8 else 65535) == (got.min(), got.max())


def test_linear_light_becomes_a_profile() -> None:
    """Imagecodecs calls lossless 16 bits linear, and that is what they are taken for."""
    profile = read(encoded(synthetic_photos.gray_scene(9, 9, 16))).metadata.profile

    tone = icc.neutral_tone(profile, 8).luminance
    np.testing.assert_allclose(np.arange(256) / 255, tone, atol=1e-4)
    assert b"" == read(encoded(synthetic_photos.gray_scene(9, 9))).metadata.profile


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([(1, 1)], (3, 0.0, False)),
        ([(0, 1), (0, 1), (0, 2), (1, 2), (1, 2), (0, 1), (2, 2), (11, 4)], (3, 0.0, False)),
        ([(0, 1), (0, 1), (1, 2), (1, 2), (0, 1), (2, 2), (11, 4)], (1, 0.0, False)),
        ([(0, 1), (0, 1), (1, 2), (1, 2), (1, 1), (5_000_000, 24)], (1, 2.0, False)),
        ([(0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (9, 4), (0, 1), (2, 2), (11, 4)], (3, 0.0, True)),
    ],
    ids=["sRGB by default", "sRGB in full", "gray", "gray of gamma 2", "Display P3"],
)
def test_color_spaces_are_told(
    numbers: list[tuple[int, int]], expected: tuple[int, float, bool]
) -> None:
    """Those that are told in numbers are read off the header."""
    found = jpegxl_header.header_of(colors(*numbers))

    assert (8, 8, False, False) == (found.width, found.height, found.alpha, found.lossless)
    assert expected == (found.samples, pytest.approx(found.gamma), found.wide)


@pytest.mark.parametrize(
    "numbers",
    [
        [(0, 1), (1, 1), (0, 2)],
        [(0, 1), (0, 1), (1, 2), (1, 2), (0, 1), (2, 2), (14, 4)],
        [(0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (7, 4)],
    ],
    ids=["a profile", "PQ", "BT.2100"],
)
def test_other_color_spaces_are_refused_in_words(numbers: list[tuple[int, int]]) -> None:
    """A profile that cannot be read is never taken for sRGB."""
    with pytest.raises(ScanError, match="save it as TIFF or PNG with its profile"):
        jpegxl_header.header_of(colors(*numbers))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_told_by_the_header(orientation: int) -> None:
    """The header's orientation counts."""
    small = [(1, 1), (1, 5), (1, 3)]
    more = [(0, 1), (1, 1), (orientation - 1, 3), (0, 3), (0, 1)]
    found = jpegxl_header.header_of(header(*small, *more, *USUAL, (1, 1)))

    assert (16, 16, orientation) == (found.width, found.height, found.orientation)


@pytest.mark.parametrize(
    ("at", "reason"), [(1, "preview"), (2, "animated")], ids=["preview", "animated"]
)
def test_more_than_one_picture_is_refused(at: int, reason: str) -> None:
    """Previews and animations are refused in words."""
    flags = [(int(place == at), 1) for place in range(3)]
    small = [(1, 1), (1, 5), (1, 3), (0, 1), (1, 1), (0, 3)]
    with pytest.raises(ScanError, match=reason):
        jpegxl_header.header_of(header(*small, *flags))


@pytest.mark.parametrize("packed", [False, True])
def test_boxes_are_read(*, packed: bool) -> None:
    """EXIF with IPTC in it and XMP, plain or packed with brotli, are found."""
    exif = exif_tags.with_iptc(output_pages.exif_block(), output_pages.iptc())
    told = {b"Exif": bytes(4) + exif.removeprefix(b"Exif\0\0"), b"xml ": output_pages.xmp()}
    data = encoded(synthetic_photos.gray_scene(9, 9))
    for name, body in told.items():
        smaller = imagecodecs.brotli_encode(body)
        data += isobmff.box(b"brob", name, smaller) if packed else isobmff.box(name, body)
    metadata = read(data).metadata

    assert output_pages.exif_block() == metadata.exif
    assert output_pages.iptc() == metadata.iptc
    assert output_pages.xmp() == metadata.xmp
    assert (300.0, 300.0) == metadata.dpi


def test_packed_damage_does_not_cost_the_photo() -> None:
    """Metadata that cannot be unpacked is named, and the photo is read."""
    data = encoded(synthetic_photos.gray_scene(9, 9)) + isobmff.box(b"brob", b"xml garbage")
    found = read(data)

    assert "packed metadata" in found.metadata.lost[0]
    assert (9, 9, 1) == output_pages.pixels(found).shape


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = encoded(synthetic_photos.gray_scene(50, 60))
    with pytest.raises((ValueError, RuntimeError, struct.error)):
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16]))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    size = [(0, 1), (3, 2), (99_999, 30), (1, 3), (1, 1)]
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        read(jpegxl.BARE + header(*size))


@given(data=st.binary(max_size=80))
def test_noise_is_damage(data: bytes) -> None:
    """Any bits are a header, a reason or damage; none crash."""
    try:
        found = jpegxl_header.header_of(data)
    except (ValueError, ScanError):
        return

    assert found.samples in {1, 3}
    assert 1 <= found.bits <= 16


def test_bare_codestreams_are_read() -> None:
    """Without boxes there is no metadata, but a picture."""
    scene = synthetic_photos.gray_scene(9, 12)
    data = imagecodecs.jpegxl_encode(scene, lossless=True, usecontainer=False)

    assert data.startswith(jpegxl.BARE)
    np.testing.assert_array_equal(scene[..., None], output_pages.pixels(read(data)))
