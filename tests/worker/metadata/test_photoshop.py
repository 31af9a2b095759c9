"""Photoshop's image resources: kept byte for byte, or named where no result carries them."""

import hashlib
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import output_pages, synthetic_photos, tiff_files
from tests.support.colored_files import colored
from tests.support.output_pages import resource
from tests.support.segments_and_chunks import chunk, with_segments
from worker import scan
from worker.formats import jpeg
from worker.formats.isobmff import box
from worker.formats.jpeg2000 import RESOURCES
from worker.metadata import photoshop
from worker.settings import ReadSettings, WriteSettings

IPTC = output_pages.iptc()
DIGEST = hashlib.md5(IPTC, usedforsecurity=False).digest()
RIGHTS = b"https://archive.example/rights/0042"
SAID = {  # what stands beside IPTC in real scans: flag, URL, digest, caption, angle, unknown
    0x040A: b"\1",
    0x040B: RIGHTS,
    0x0425: DIGEST,
    0x03F0: b"\x0fMarket square 2",
    0x040D: b"\0\0\0\x1e",
    0x7FFE: b"nobody knows",
}
KEPT = b"".join(resource(number, data) for number, data in SAID.items())
RESOURCES_OF_A_SCAN = resource(0x0404, IPTC) + KEPT
GRAY = synthetic_photos.gray_scene(40, 48)


def in_a_jpeg(resources: bytes) -> bytes:
    """Return a scan as JPEG with image resources."""
    return with_segments(synthetic_photos.encoded("JPEG", GRAY), (0xED, jpeg.PHOTOSHOP + resources))


def in_a_tiff(resources: bytes) -> bytes:
    """Return a scan as TIFF with image resources."""
    return tiff_files.written(GRAY, extratags=[(34377, 1, len(resources), resources, True)])


def in_a_png(resources: bytes) -> bytes:
    """Return a scan as PNG with image resources, as ImageMagick and exiftool hide them."""
    text = f"Raw profile type 8bim\0\n8bim\n{len(resources):8d}\n{resources.hex()}\n".encode()
    whole = synthetic_photos.encoded("PNG", GRAY)
    return whole[:33] + chunk(b"tEXt", text) + whole[33:]


def in_a_jp2(resources: bytes) -> bytes:
    """Return a scan as JP2 with image resources."""
    return synthetic_photos.in_each_kind(GRAY)[".jp2"] + box(b"uuid", RESOURCES, resources)


SCANS: dict[str, Callable[[bytes], bytes]] = {
    ".jpg": in_a_jpeg,
    ".tif": in_a_tiff,
    ".png": in_a_png,
    ".jp2": in_a_jp2,
}


@pytest.mark.parametrize("suffix", SCANS)
def test_resources_beside_iptc_are_in_the_result(tmp_path: Path, suffix: str) -> None:
    """Copyright flag, URL, digest, caption and what nobody knows, byte for byte; IPTC too."""
    result, record = colored(tmp_path, f"a{suffix}", SCANS[suffix](RESOURCES_OF_A_SCAN))
    (page,) = scan.read(result.rename(tmp_path / f"again{suffix}"), READ_ANY).pages

    assert () == record.lost
    assert KEPT == page.metadata.photoshop
    assert IPTC == page.metadata.iptc


@output_pages.needs_exiftool
@pytest.mark.parametrize("suffix", SCANS)
def test_another_reader_finds_them(tmp_path: Path, suffix: str) -> None:
    """Exiftool reads flag and URL in the result, and warns of nothing."""
    result, _record = colored(tmp_path, f"a{suffix}", SCANS[suffix](RESOURCES_OF_A_SCAN))
    told = output_pages.exiftool(result)

    assert told["Photoshop:CopyrightFlag"]
    assert RIGHTS.decode() == told["Photoshop:URL"]
    assert "Zoë" == told["IPTC:By-line"]
    assert "ExifTool:Warning" not in told


@output_pages.needs_exiftool
def test_what_exiftool_writes_is_kept(tmp_path: Path) -> None:
    """A copyright flag and a URL from another hand arrive."""
    path = synthetic_photos.save(tmp_path / "scan.jpg", GRAY)
    said = ["-Photoshop:CopyrightFlag=1", "-Photoshop:URL=https://a.example", "-IPTC:City=Köln"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *said, path], check=True, timeout=60)
    result, record = colored(tmp_path, "again.jpg", path.read_bytes())

    assert () == record.lost
    assert "https://a.example" == output_pages.exiftool(result)["Photoshop:URL"]


READ_ANY = ReadSettings()


@pytest.fixture(autouse=True)
def in_color_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let results be read again, which no inbox does."""
    monkeypatch.setattr("worker.untoning.TONE_LIMIT", 1e9)


def test_a_container_without_a_place_names_them(tmp_path: Path) -> None:
    """As WebP each kind of resource is named once."""
    settings = WriteSettings(format="webp")
    _result, record = colored(tmp_path, "a.jpg", in_a_jpeg(RESOURCES_OF_A_SCAN), settings)

    assert (
        "Photoshop's resources: the copyright flag",
        "Photoshop's resources: a URL",
        "Photoshop's resources: the digest of the IPTC block",
        "Photoshop's resources: a caption",
        "Photoshop's resources: the resource 0x040D",
        "Photoshop's resources: the resource 0x7FFE",
    ) == record.lost


def test_what_shows_the_scan_is_named() -> None:
    """Thumbnail, channels and layers stay behind by name; what the file says itself, in silence."""
    resources = b"".join(
        resource(number, b"\0" * 16) for number in (0x040C, 0x0400, 0x0435, 0x03E8, 0x0406, 0x0411)
    )
    found = photoshop.taken(resources)

    assert b"" == found.kept
    assert (
        "Photoshop's resources: the thumbnail",
        "Photoshop's resources: the layers' state",
        "Photoshop's resources: how further channels are shown",
    ) == found.lost


def test_blocks_among_resources_count_where_there_are_no_others() -> None:
    """EXIF, XMP, a profile and the resolution are used; a second block that differs is named."""
    found = photoshop.taken(
        resource(0x0422, output_pages.exif_block()[6:])
        + resource(0x0424, output_pages.xmp())
        + resource(0x040F, b"profile")
        + resource(0x03ED, struct.pack(">IHHIHH", 300 << 16, 1, 1, 400 << 16, 1, 1))
    )

    assert output_pages.exif_block() == found.exif
    assert (output_pages.xmp(), b"profile", (300.0, 400.0)) == (found.xmp, found.profile, found.dpi)
    assert () == found.unused()
    assert () == found.unused(exif=output_pages.exif_block())
    assert ("Photoshop's resources: a second block of EXIF",) == found.unused(exif=b"another")


def test_a_resolution_that_stands_only_there_is_read() -> None:
    """A JPEG without JFIF's and EXIF's still has its dots per inch."""
    resolution = struct.pack(">IHHIHH", 600 << 16, 1, 1, 600 << 16, 1, 1)
    found = output_pages.picture(jpeg.read, in_a_jpeg(resource(0x03ED, resolution)))

    assert (600.0, 600.0) == found.metadata.dpi


@pytest.mark.parametrize("credit", ["", "City archive"])
def test_the_digest_is_true_of_the_results_iptc(tmp_path: Path, credit: str) -> None:
    """A credit line changes IPTC, and the digest with it; one that was wrong stays wrong."""
    settings = WriteSettings(credit=credit)
    result, _ = colored(tmp_path, "a.jpg", in_a_jpeg(RESOURCES_OF_A_SCAN), settings)
    metadata = output_pages.picture(jpeg.read, result.read_bytes()).metadata
    digest = hashlib.md5(metadata.iptc, usedforsecurity=False).digest()

    assert resource(0x0425, digest) in metadata.photoshop
    assert bool(credit) == (digest != DIGEST)

    wrong = resource(0x0404, IPTC) + resource(0x0425, b"w" * 16)
    result, _ = colored(tmp_path, "b.jpg", in_a_jpeg(wrong), settings)
    metadata = output_pages.picture(jpeg.read, result.read_bytes()).metadata
    assert resource(0x0425, b"w" * 16) == metadata.photoshop


def test_places_are_left_behind_where_the_picture_is_turned(tmp_path: Path) -> None:
    """Guides, slices and paths lie as the scan lay; no guides are none."""
    none = struct.pack(">IIII", 1, 576, 576, 0)
    places = (
        resource(0x0408, none + b"\0\0\1\0\0")
        + resource(0x041A, b"slices")
        + resource(2000, b"path", b"Outline")
    )
    resources = places + resource(0x0408, none) + resource(0x040A, b"\1")
    data = in_a_jpeg(resources)
    turned = with_segments(data, (0xE1, output_pages.exif_block(orientation=6)))
    upright, record = colored(tmp_path, "a.jpg", data)
    assert resources == output_pages.picture(jpeg.read, upright.read_bytes()).metadata.photoshop
    assert () == record.lost

    result, record = colored(tmp_path, "b.jpg", turned)
    assert (
        resource(0x040A, b"\1")
        == output_pages.picture(jpeg.read, result.read_bytes()).metadata.photoshop
    )
    assert (
        tuple(
            f"Photoshop's resources: {what}, as the scan lay"
            for what in ("guides", "slices", "a path")
        )
        == record.lost
    )


@pytest.mark.parametrize("end", range(1, 40))
def test_what_is_cut_short_is_named_and_the_rest_kept(end: int) -> None:
    """Whole resources before it are taken."""
    last = resource(0x040B, b"https://archive.example/a")
    found = photoshop.taken(resource(0x040A, b"\1") + last[: min(end, len(last) - 2)])

    assert resource(0x040A, b"\1") == found.kept
    if end >= 4:
        (lost,) = found.lost
        assert lost.startswith("Photoshop's resources from one on: ")
        assert lost.endswith("is cut short")


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_are_taken_or_named(noise: bytes, at: int) -> None:
    """Nothing is raised, and what is kept can be taken apart again."""
    spoiled = RESOURCES_OF_A_SCAN[:at] + noise + RESOURCES_OF_A_SCAN[at + len(noise) :]
    found = photoshop.taken(spoiled)
    again = photoshop.taken(found.kept)

    assert found.kept == again.kept
    assert () == again.lost
