"""JPEG in and out: every kind of pixel, every segment of metadata, and files that are damaged."""

import hashlib
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
from tests.support.segments_and_chunks import with_segments
from worker.color import cielab, icc
from worker.errors import DamagedError, ScanError
from worker.formats import jpeg
from worker.formats.image import DecodedImage
from worker.metadata import extended_xmp
from worker.metadata.block import Metadata

LONG = "<photoshop:Instructions>" + "x" * 90_000 + "</photoshop:Instructions>"


def read(data: bytes) -> DecodedImage:
    """Read a JPEG."""
    return output_pages.picture(jpeg.read, data)


def gray(**options: object) -> bytes:
    """Return a small gray JPEG."""
    return synthetic_photos.encoded(
        "JPEG", output_pages.smooth(20, 30, channels=1)[..., 0], **options
    )


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_color_are_read(channels: int, *, progressive: bool) -> None:
    """Baseline and progressive, as OpenCV reads them too."""
    scene = output_pages.smooth(37, 53, channels=channels)
    scene = scene[..., 0] if channels == 1 else scene
    data = synthetic_photos.encoded("JPEG", scene, quality=95, progressive=progressive)
    found = read(data)
    other = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)

    assert other is not None
    assert (37, 53, channels, False) == (found.height, found.width, found.samples, found.alpha)
    assert (8, False) == (found.encoding.bits, found.encoding.lossless)
    expected = other[..., None] if channels == 1 else other[..., ::-1]
    np.testing.assert_allclose(expected, output_pages.pixels(found), atol=2)


@pytest.mark.parametrize("adobe", [True, False])
def test_cmyk_becomes_rgb_either_way_up(*, adobe: bool) -> None:
    """Ink that Adobe wrote inverted and ink that others wrote plainly give the same colors."""
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8, :, 0] = 200  # cyan
    ink[8:, :, 3] = 100  # black
    as_stored = 255 - ink if adobe else ink
    data = imagecodecs.jpeg8_encode(as_stored, 100, colorspace="cmyk", outcolorspace="cmyk")
    at = data.find(b"\xff\xee")
    if at > 0 and not adobe:
        data = data[:at] + data[at + 4 + 12 :]
    found = read(data)

    assert adobe == (data.find(b"\xff\xee\0\x0eAdobe") > 0)
    assert (3, False) == (found.samples, found.alpha)
    got = output_pages.pixels(found)
    np.testing.assert_allclose([55, 255, 255], got[2, 5], atol=4)
    np.testing.assert_allclose([155, 155, 155], got[13, 5], atol=4)


def test_ycck_becomes_rgb() -> None:
    """CMYK that was stored as YCCK comes out as the same colors."""
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1] = 150  # magenta
    data = imagecodecs.jpeg8_encode(255 - ink, 100, colorspace="cmyk", outcolorspace="ycck")

    np.testing.assert_allclose([255, 105, 255], output_pages.pixels(read(data))[8, 8], atol=4)


def test_a_profile_that_is_not_of_inks_is_named() -> None:
    """A CMYK picture with an RGB profile is read by plain inks, and the report says so."""
    ink = np.full((16, 16, 4), 255, np.uint8)
    data = imagecodecs.jpeg8_encode(ink, 100, colorspace="cmyk", outcolorspace="cmyk")
    profile = icc.output_profile(cielab.SRGB)
    found = read(with_segments(data, (0xE2, b"ICC_PROFILE\0\1\1" + profile)))

    assert b"" == found.metadata.profile
    assert "it is for rgb images" in found.metadata.lost[0]
    np.testing.assert_array_equal(255, output_pages.pixels(found))


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_keep_their_white(channels: int) -> None:
    """12-bit codes are stretched to 16 bits: black stays black, white becomes 65535."""
    scene = output_pages.smooth(32, 32, 16, channels) >> 4
    scene[:8, :8] = 4095
    scene[-8:, -8:] = 0
    scene = scene[..., 0] if channels == 1 else scene
    data = imagecodecs.jpeg8_encode(scene, 100, bitspersample=12, subsampling="444")
    found = read(data)
    got = output_pages.pixels(found)

    assert (16, np.uint16) == (found.encoding.bits, got.dtype)
    assert (65535, 0) == (got[0, 0, 0], got[-1, -1, 0])
    np.testing.assert_allclose(scene.reshape(got.shape) * (65535 / 4095), got, atol=16 * 12)


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int, bits: int) -> None:
    """Cut anywhere, it raises instead of giving a gray bottom."""
    scene = synthetic_photos.gray_scene(64, 64, 16) >> (16 - bits)
    scene = scene.astype(np.uint8) if bits == 8 else scene
    whole = imagecodecs.jpeg8_encode(scene, 95, bitspersample=bits)
    with pytest.raises((OSError, ValueError, RuntimeError, struct.error)):
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16]))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    data = bytearray(gray())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        read(bytes(data))


def test_lossless_jpeg_is_refused_in_words() -> None:
    """What few can read is refused with what to do."""
    data = gray().replace(b"\xff\xc0", b"\xff\xc3", 1)
    with pytest.raises(ScanError, match="save it as TIFF"):
        read(data)


def test_all_segments_are_found() -> None:
    """EXIF, XMP, IPTC and a profile over several segments each, a resolution, a comment."""
    long_iptc = output_pages.iptc(caption="y" * 70_000)
    resources = output_pages.resource(0x040B, b"u") + jpeg.photoshop.wrapped(long_iptc)
    profile = icc.output_profile(cielab.SRGB)
    found = read(
        with_segments(
            gray(),
            (0xE1, output_pages.exif_block(orientation=8)),
            (0xE1, jpeg.XMP + output_pages.xmp()),
            (0xED, jpeg.PHOTOSHOP + resources[:60_000]),
            (0xED, jpeg.PHOTOSHOP + resources[60_000:]),
            (0xE2, b"ICC_PROFILE\0\2\2" + profile[100:]),
            (0xE2, b"ICC_PROFILE\0\1\2" + profile[:100]),
            (0xFE, b"from the attic"),
        )
    )
    metadata = found.metadata

    assert 8 == found.orientation
    assert output_pages.exif_block(orientation=8) == metadata.exif
    assert output_pages.xmp() == metadata.xmp
    assert long_iptc == metadata.iptc
    assert profile == metadata.profile
    assert (("Comment", b"from the attic"),) == metadata.texts
    assert output_pages.resource(0x040B, b"u") == metadata.photoshop
    assert () == metadata.lost


@pytest.mark.parametrize(
    ("jfif", "exif", "expected"),
    [
        ((1, 300, 150), False, (300, 150)),
        ((2, 100, 100), False, (254, 254)),
        ((0, 1, 1), True, (300, 300)),
        ((0, 1, 1), False, None),
    ],
)
def test_the_resolution_is_found(
    jfif: tuple[int, int, int], *, exif: bool, expected: tuple[float, float] | None
) -> None:
    """JFIF's, in inches or centimeters, else EXIF's."""
    data = gray()
    head = b"JFIF\0\1\1" + struct.pack(">BHHBB", *jfif, 0, 0)
    bare = data[:2] + data[2 + 2 + struct.unpack_from(">H", data, 4)[0] :]
    more = [(0xE1, output_pages.exif_block())] if exif else []
    found = read(with_segments(bare, (0xE0, head), *more))

    assert (expected and pytest.approx(expected)) == found.metadata.dpi
    assert (jfif[0] == 2) == found.metadata.metric


def test_a_resolution_per_centimeter_stays_per_centimeter() -> None:
    """For programs that show the numbers as they stand."""
    metric = Metadata(dpi=(254.0, 508.0), metric=True)
    data = output_pages.stored(jpeg.write, output_pages.page(output_pages.smooth(8, 9), metric))

    assert (2, 100, 200) == struct.unpack_from(">BHH", data, data.index(b"JFIF\0") + 7)


def test_long_attributes_are_split_too() -> None:
    """A property that is said in an attribute moves as well as one in an element."""
    packet = output_pages.xmp().replace(
        b'rdf:about=""', b'rdf:about="" photoshop:City="' + b"y" * 5000 + b'"'
    )
    main, extended = extended_xmp.split(packet, 3000)

    assert b"yyy" not in main
    assert b"y" * 5000 in extended
    assert b"y" * 5000 in extended_xmp.join(main, extended)


def test_long_xmp_goes_round() -> None:
    """A packet of 90,000 bytes is split for writing, and nothing of it is lost in reading."""
    packet = output_pages.xmp(more=LONG)
    metadata = Metadata(xmp=packet)
    data = output_pages.stored(jpeg.write, output_pages.page(output_pages.smooth(8, 8), metadata))
    found = read(data).metadata

    assert found.xmp.count(b"x" * 90_000) == 1
    assert b"Harbor" in found.xmp
    assert b"HasExtendedXMP" not in found.xmp
    assert () == found.lost


@output_pages.needs_exiftool
def test_long_xmp_is_read_by_exiftool(tmp_path: Path) -> None:
    """Another reader finds the label in the first part, and the rest in the second."""
    path = tmp_path / "long.jpg"
    metadata = Metadata(xmp=output_pages.xmp(more=LONG))
    path.write_bytes(
        output_pages.stored(jpeg.write, output_pages.page(output_pages.smooth(8, 8), metadata))
    )
    told = output_pages.exiftool(path)

    assert output_pages.SOURCE_TYPE == told["XMP:DigitalSourceType"]
    assert 90_000 == len(told["XMP:Instructions"])
    assert "ExifTool:Warning" not in told


def test_a_missing_part_of_xmp_is_named() -> None:
    """Where the longer part is gone, the shorter one stays and the report says so."""
    main, _extended = extended_xmp.split(output_pages.xmp(more=LONG), 60_000)
    metadata = read(with_segments(gray(), (0xE1, jpeg.XMP + main))).metadata

    assert main == metadata.xmp
    assert ("the longer part of the XMP: it is missing or damaged",) == metadata.lost


@given(lengths=st.lists(st.integers(0, 3000), max_size=8), longest=st.integers(2000, 9000))
def test_a_split_packet_joins_to_all_it_was(lengths: list[int], longest: int) -> None:
    """Every property is there once, in the first part or in the second."""
    texts = {f"p{number}": chr(97 + number) * length for number, length in enumerate(lengths)}
    more = "".join(f"<photoshop:{name}>{text}</photoshop:{name}>" for name, text in texts.items())
    main, extended = extended_xmp.split(output_pages.xmp(more=more), longest)
    whole = extended_xmp.join(main, extended) if extended else main

    assert len(main) <= longest
    assert bool(extended) == (len(output_pages.xmp(more=more)) > longest)
    if extended:
        named = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()
        assert named == extended_xmp.named_in(main)
    assert output_pages.SOURCE_TYPE.encode() in main
    for name, text in texts.items():
        found = whole.count(f"<photoshop:{name}>{text}</photoshop:{name}>".encode())
        assert 1 == found or (not text and 1 == whole.count(f"<photoshop:{name}/>".encode()))


@pytest.mark.parametrize("depth", [8, 16])
def test_what_is_written_another_reader_reads(depth: int) -> None:
    """OpenCV finds the colors, 16 bits made 8, with color stored for every pixel."""
    rgb = output_pages.smooth(61, 47, depth)
    data = output_pages.stored(jpeg.write, output_pages.page(rgb, rows=5))
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)

    assert bgr is not None
    np.testing.assert_allclose(cielab.to_8_bit(rgb), bgr[..., ::-1], atol=5)
    at = data.index(b"\xff\xc0") + 11
    assert [0x11, 0x11, 0x11] == [data[at + 3 * channel] for channel in range(3)]


@pytest.mark.parametrize("size", [(1, 1), (61, 47), (200, 333)])
def test_what_was_written_is_decoded_again_to_the_same_samples(size: tuple[int, int]) -> None:
    """By another decoder than that of scans, noise and all metadata; only if it is whole."""
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    page = output_pages.page(rgb, output_pages.rich())
    data = output_pages.stored(jpeg.write, page)

    assert np.array_equal(output_pages.pixels(read(data)), jpeg.reread(io.BytesIO(data)))

    with pytest.raises(DamagedError, match="ends before"):
        jpeg.reread(io.BytesIO(data[:-1]))


def test_the_quality_is_95() -> None:
    """The tables are those that libjpeg has for 95."""
    data = output_pages.stored(jpeg.write, output_pages.page(output_pages.smooth(16, 16)))
    pillows = synthetic_photos.encoded("JPEG", output_pages.smooth(16, 16), quality=95)
    with Image.open(io.BytesIO(data)) as ours, Image.open(io.BytesIO(pillows)) as theirs:
        tables = [getattr(image, "quantization", None) for image in (ours, theirs)]

    assert tables[0] is not None
    assert tables[0] == tables[1]


def test_opacity_is_laid_on_white() -> None:
    """What is transparent becomes white, half transparent half white."""
    rgba = np.zeros((24, 16, 4), np.uint8)
    rgba[8:16, :, 3] = 128
    rgba[16:, :, 3] = 255
    data = output_pages.stored(jpeg.write, output_pages.page(rgba))

    column = output_pages.pixels(read(data))[:, 8, 0]
    np.testing.assert_allclose([255, 127, 0], column[[3, 11, 20]], atol=3)


@output_pages.needs_exiftool
def test_all_metadata_is_read_back_by_exiftool(tmp_path: Path) -> None:
    """Label, EXIF, IPTC, profile and resolution are where others look for them."""
    path = tmp_path / "result.jpg"
    path.write_bytes(
        output_pages.stored(
            jpeg.write, output_pages.page(output_pages.smooth(8, 9), output_pages.rich())
        )
    )

    output_pages.assert_rich(path)
    told = output_pages.exiftool(path)
    assert (300, 300, 1) == (
        told["JFIF:XResolution"],
        told["JFIF:YResolution"],
        told["JFIF:ResolutionUnit"],
    )
    assert "1 1" == told["File:YCbCrSubSampling"]


def test_metadata_goes_round() -> None:
    """What was written is what is read, long profiles and IPTC too."""
    metadata = output_pages.rich()
    long = Metadata(iptc=output_pages.iptc(caption="y" * 150_000), profile=bytes(range(256)) * 700)
    for given_ in (metadata, long):
        data = output_pages.stored(jpeg.write, output_pages.page(output_pages.smooth(8, 9), given_))

        assert given_ == read(data).metadata


@output_pages.needs_exiftool
def test_what_exiftool_writes_is_read(tmp_path: Path) -> None:
    """EXIF, IPTC and XMP from another hand arrive."""
    path = synthetic_photos.save(tmp_path / "scan.jpg", synthetic_photos.gray_scene(16, 16))
    said = ["-EXIF:Artist=Ann", "-IPTC:By-line=Ben", "-XMP-dc:Creator=Cay"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *said, path], check=True, timeout=60)
    metadata = read(path.read_bytes()).metadata

    assert b"Ann" in metadata.exif
    assert b"\x1c\x02\x50\0\3Ben" in metadata.iptc
    assert b"Cay" in metadata.xmp
    assert () == metadata.lost


def test_what_a_jpeg_cannot_hold_is_refused_in_words() -> None:
    """Several pages, too long a side, too much EXIF: each names the setting that helps."""
    page = output_pages.page(output_pages.smooth(3, 3))
    wide = output_pages.page(np.zeros((1, 65_501, 3), np.uint8))
    much = output_pages.page(
        output_pages.smooth(3, 3), Metadata(exif=output_pages.exif_block("x" * 70_000))
    )
    for given_ in ((page, page), (wide,), (much,)):
        with pytest.raises(ScanError, match=r"set output\.format to tiff"):
            output_pages.stored(jpeg.write, *given_)
