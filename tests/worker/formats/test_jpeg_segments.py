"""A JPEG's segments: sound ones that say too little, and what no result carries, by name."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import output_pages, synthetic_photos
from tests.support.colored_files import colored
from tests.support.segments_and_chunks import with_segments
from worker import scan
from worker.color import cielab
from worker.color import icc as profiles
from worker.errors import IncompleteError
from worker.formats import jpeg
from worker.formats.registry import FORMATS
from worker.settings import ReadSettings, WriteSettings

GRAY = synthetic_photos.gray_scene(40, 48)
PLAIN = synthetic_photos.encoded("JPEG", GRAY, quality=90)
BARE = PLAIN[:2] + PLAIN[2 + 18 :]  # without JFIF's segment
SHORT = {  # segments that real programs write, which hold less than their kind should
    "adobe_short": (0xEE, b"Adobe\0"),
    "adobe_11_bytes": (0xEE, b"Adobe\0\x64\0\0\0\0"),
    "adobe_name_only": (0xEE, b"Adobe"),
    "empty_app14": (0xEE, b""),
    "empty_jfif": (0xE0, b"JFIF\0"),
    "jfif_7_bytes": (0xE0, b"JFIF\0\1\1"),
    "jfif_13_bytes": (0xE0, b"JFIF\0\1\1\1\0\x48\0\x48\0"),
    "empty_app0": (0xE0, b""),
    "jfxx_empty": (0xE0, b"JFXX\0"),
    "exif_empty": (0xE1, b"Exif\0\0"),
    "exif_without_a_zero": (0xE1, b"Exif\0"),
    "exif_padded": (0xE1, b"Exif\0\0" + bytes(20)),
    "xmp_empty": (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
    "more_xmp_short": (0xE1, b"http://ns.adobe.com/xmp/extension/\0abc"),
    "icc_short": (0xE2, b"ICC_PROFILE\0"),
    "icc_number_only": (0xE2, b"ICC_PROFILE\0\1"),
    "icc_empty": (0xE2, b"ICC_PROFILE\0\1\1"),
    "mpf_short": (0xE2, b"MPF\0II*\0"),
    "mpf_empty": (0xE2, b"MPF\0"),
    "ducky_short": (0xEC, b"Ducky\0\1"),
    "photoshop_empty": (0xED, b"Photoshop 3.0\0"),
    "photoshop_name_only": (0xED, b"Photoshop 3.0"),
    "photoshop_short": (0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\x6d\x1c\2"),
    "com_empty": (0xFE, b""),
    "com_of_zeros": (0xFE, b"\0\0"),
    **{f"empty_app{number}": (0xE0 + number, b"") for number in range(1, 16)},
}


def codes(data: bytes) -> synthetic_photos.Array:
    """Decode a JPEG."""
    return output_pages.pixels(output_pages.picture(jpeg.read, data))


@pytest.mark.parametrize("after", [False, True], ids=["in place of JFIF", "beside JFIF"])
@pytest.mark.parametrize("name", SHORT)
def test_a_short_segment_costs_no_photograph(name: str, *, after: bool) -> None:
    """The same pixels come out as without it, and what is not there is not called lost."""
    data = with_segments(PLAIN if after else BARE, SHORT[name])
    found = output_pages.picture(jpeg.read, data)

    np.testing.assert_array_equal(codes(PLAIN), output_pages.pixels(found))
    said = ("Photoshop",) if name.startswith("photoshop_") and name != "photoshop_empty" else ()
    assert all(any(one in what for one in said) for what in found.metadata.lost)


def test_a_second_jfif_that_says_nothing_takes_nothing_away() -> None:
    """The first one's resolution counts."""
    with_dpi = synthetic_photos.encoded("JPEG", GRAY, quality=90, dpi=(300, 300))
    data = with_dpi[:20] + with_segments(with_dpi[:2] + with_dpi[20:], (0xE0, b"JFIF\0"))[2:]
    metadata = output_pages.picture(jpeg.read, data).metadata

    assert (300, 300) == metadata.dpi


@pytest.mark.parametrize("name", SHORT)
def test_a_color_jpeg_with_one_keeps_its_colors(name: str) -> None:
    """A decoder goes by JFIF's and Adobe's segments; a short one changes nothing."""
    data = synthetic_photos.encoded("JPEG", synthetic_photos.color_scene(40, 48), quality=90)

    np.testing.assert_array_equal(codes(data), codes(with_segments(data, SHORT[name])))


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ((0xE0, b"JFXX\0\x10" + b"t" * 90), "a thumbnail in its JFIF extension: the segment APP0"),
        ((0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1abc"), "the thumbnail in its JFIF segment"),
        ((0xE1, b"FLIR\0" + b"f" * 20), "the segment APP1 (FLIR) of 25 bytes"),
        ((0xE2, b"FPXR\0" + b"f" * 20), "FlashPix data: the segment APP2 (FPXR) of 25 bytes"),
        ((0xE3, b"Meta\0\0" + b"m" * 20), "the segment APP3 (Meta) of 26 bytes"),
        ((0xEB, b"JP\0\1" + b"j" * 20), "content credentials or other boxes (JUMBF)"),
        ((0xEC, b"[picture info]\r\nScanner=7"), "the segment APP12 ([picture info]) of 25 bytes"),
        ((0xEC, b"Ducky\0\2\0\x0c\0\0\0\4\0W\0e\0l\0l\0\0"), "a comment of Save for Web: Well"),
        ((0xED, b"Adobe_Photoshop2.5:abc"), "the segment APP13 (Adobe_Photoshop2.5:abc)"),
        ((0xEF, b"\1\2\3\4"), "the segment APP15 of 4 bytes"),
        ((0xEE, b"not Adobe at all"), "the segment APP14 (not Adobe at all) of 16 bytes"),
    ],
)
def test_what_no_result_carries_is_named(segment: tuple[int, bytes], words: str) -> None:
    """Whatever a scan's segments hold that is not kept stands in `lost`, and costs no pixel."""
    found = output_pages.picture(jpeg.read, with_segments(PLAIN, segment))

    (lost,) = found.metadata.lost
    assert lost.startswith(words)
    np.testing.assert_array_equal(codes(PLAIN), output_pages.pixels(found))


def test_second_blocks_are_named() -> None:
    """The first EXIF block and the first packet count; others that differ are told."""
    ann, ben = output_pages.exif_block("Ann"), output_pages.exif_block("Ben")
    packets = [(0xE1, jpeg.XMP + output_pages.xmp(title)) for title in ("One", "Two", "Two")]
    metadata = output_pages.picture(
        jpeg.read, with_segments(PLAIN, (0xE1, ann), (0xE1, ann), (0xE1, ben), *packets)
    ).metadata

    assert (ann, output_pages.xmp("One")) == (metadata.exif, metadata.xmp)
    assert ("a second EXIF block", "a second XMP packet", "a second XMP packet") == metadata.lost


def test_a_second_profile_and_an_extension_that_nothing_names_are_told() -> None:
    """The first profile counts, whole or not; an extension belongs to its packet alone."""
    icc = b"ICC_PROFILE\0\1\1"
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<a/>"
    data = with_segments(PLAIN, (0xE2, icc + b"one"), (0xE2, icc + b"two"), (0xE1, extension))
    metadata = output_pages.picture(jpeg.read, data).metadata

    assert b"one" == metadata.profile
    assert (
        "a second color profile",
        "an extension of XMP that the packet does not name",
    ) == metadata.lost


def test_comments_stay_comments(tmp_path: Path) -> None:
    """All of them, byte for byte whatever their characters, in a JPEG; named in a TIFF."""
    comments = (b"from the attic", "Köln".encode("latin-1"), "Kiew, Київ".encode("cp1251"))
    data = with_segments(PLAIN, *((0xFE, comment) for comment in comments))
    result, record = colored(tmp_path, "a.jpg", data)
    metadata = output_pages.picture(jpeg.read, result.read_bytes()).metadata

    assert () == record.lost
    assert comments == tuple(text for _keyword, text in metadata.texts)

    data = with_segments(PLAIN, (0xFE, b"attic"))
    _result, record = colored(tmp_path, "b.jpg", data, WriteSettings(format="tiff"))
    assert ("a comment: attic",) == record.lost


def multi_picture(*more: synthetic_photos.Array) -> bytes:
    """Return an MPO as Pillow writes it."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(one) for one in (GRAY, *more))
    first.save(file, "MPO", save_all=True, append_images=others)
    return file.getvalue()


@pytest.mark.parametrize("more", [1, 3])
def test_further_pictures_are_named(more: int) -> None:
    """The first one of an MPO is the photograph; how many follow is told."""
    data = multi_picture(*[synthetic_photos.gray_scene(20, 24)] * more)
    found = output_pages.picture(jpeg.read, data)

    assert GRAY.shape == (found.height, found.width)
    assert (f"{more} more picture{'s' if more > 1 else ''} in the file",) == found.metadata.lost
    assert GRAY.shape == output_pages.pixels(found).shape[:2]


@pytest.mark.parametrize("zeros", [False, True], ids=["cut", "zeros"])
def test_an_mpo_that_is_not_whole_is_incomplete(tmp_path: Path, *, zeros: bool) -> None:
    """Its first picture is there already, the second one still being written."""
    whole = multi_picture(synthetic_photos.gray_scene(60, 60))
    path = tmp_path / "a.mpo"
    first = whole.index(b"\xff\xd9") + 2
    for end in range(first + 20, len(whole) - 1, 61):
        path.write_bytes(whole[:end].ljust(len(whole) if zeros else 0, b"\0"))
        with pytest.raises(IncompleteError):
            scan.read(path, ReadSettings())


@pytest.mark.parametrize(
    ("behind", "words"),
    [(bytes(5000), ()), (b"SEFH" + b"s" * 96, ("100 bytes behind the picture's end",))],
)
def test_what_stands_behind_the_picture_is_named(behind: bytes, words: tuple[str, ...]) -> None:
    """A trailer of a phone is told, padding is not."""
    found = output_pages.picture(jpeg.read, PLAIN + behind)

    assert words == found.metadata.lost
    np.testing.assert_array_equal(codes(PLAIN), output_pages.pixels(found))


@pytest.mark.parametrize("suffix", FORMATS["jpeg"].suffixes + FORMATS["jpeg"].scan_suffixes)
def test_every_suffix_of_a_jpeg_is_read(tmp_path: Path, suffix: str) -> None:
    """Windows saves .jfif, older programs .jpe, .jfi and .jif, cameras .mpo."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PLAIN)

    assert "jpeg" == scan.read(path, ReadSettings()).kind


def test_gray_with_an_rgb_profile_is_read(tmp_path: Path) -> None:
    """As scanner programs write it: the profile's neutral tone counts, and nothing is lost."""
    profile = profiles.output_profile(cielab.ADOBE_RGB)
    data = with_segments(PLAIN, (0xE2, b"ICC_PROFILE\0\1\1" + profile))
    _result, record = colored(tmp_path, "a.jpg", data)
    (page,) = scan.read(tmp_path / "a.jpg", ReadSettings()).pages

    np.testing.assert_array_equal(codes(PLAIN)[..., 0], page.gray)
    assert profiles.describe(profile) == page.profile
    assert () == record.lost


STORED = {
    "gray": PLAIN,
    "color": synthetic_photos.encoded("JPEG", synthetic_photos.as_rgb(GRAY), quality=90),
    "restarts": synthetic_photos.encoded("JPEG", GRAY, quality=90, restart_marker_blocks=4),
    "progressive": synthetic_photos.encoded("JPEG", GRAY, quality=90, progressive=True),
    "thumbnail": with_segments(PLAIN, (0xE1, output_pages.exif_block() + PLAIN)),
}


@pytest.mark.parametrize("zeros", [False, True], ids=["cut", "zeros"])
@pytest.mark.parametrize("name", STORED)
def test_a_jpeg_that_is_not_whole_is_incomplete(tmp_path: Path, name: str, *, zeros: bool) -> None:
    """Cut anywhere, with zeros behind or without: never a picture with a gray rest."""
    whole = STORED[name]
    path = tmp_path / "a.jpg"
    for end in range(40, len(whole) - 1, 41):
        path.write_bytes(whole[:end].ljust(len(whole) if zeros else 0, b"\0"))
        with pytest.raises(IncompleteError):
            scan.read(path, ReadSettings())


@pytest.mark.parametrize("name", ["gray", "color", "restarts"])
def test_a_picture_that_ends_too_early_is_incomplete(tmp_path: Path, name: str) -> None:
    """Where a program put an end behind half a picture, no gray rest is colored."""
    whole = STORED[name]
    path = tmp_path / "a.jpg"
    first = whole.index(b"\xff\xda") + 20
    for end in range(first, len(whole) - 100, 97):
        path.write_bytes(whole[:end] + b"\xff\xd9")
        with pytest.raises(IncompleteError):
            scan.read(path, ReadSettings())


def test_what_looks_like_a_segment_in_damaged_pixels_hides_no_end() -> None:
    """Bad bytes among the pixels cost at most their surroundings, and never the whole picture."""
    at = PLAIN.index(b"\xff\xda") + 400
    spoiled = PLAIN[:at] + b"\xff\xe5\xff\xf0" + PLAIN[at + 4 :]

    assert len(PLAIN) == jpeg.check_scans(spoiled)
    assert 0 == jpeg.check_scans(spoiled[:-2])
