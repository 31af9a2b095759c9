"""Writing TIFFs: what other programs read back is what was given, and memory stays bounded."""

import errno
import io
import itertools
import json
import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import synthetic_photos, tiff_files
from tests.support.tiff_files import codes_of, pages_of
from worker.color import cielab, icc
from worker.formats.image import Encoding, OutputPage
from worker.formats.tiff import writer
from worker.metadata import exif, ifd
from worker.metadata.block import Metadata

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool (Debian: libimage-exiftool-perl) is not installed",
)
COMPRESSIONS = ["none", "deflate", "lzw", "packbits", "zstd", "jpeg"]
RGB8 = synthetic_photos.color_scene(61, 83)
RGB16 = RGB8.astype(np.uint16) * 257 - 3
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta '
    b'xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmp:CreatorTool="photochrom"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
IPTC = b"\x1c\x02\x00\x00\x02\x00\x04\x1c\x02\x78\x00\x03abc"


def page_of(
    pixels: synthetic_photos.Array, step: int = 7, metadata: Metadata | None = None, **encoding: Any
) -> OutputPage:
    """Make a page whose strips have `step` rows."""
    height, width, samples = pixels.shape
    return OutputPage(
        height,
        width,
        8 * pixels.itemsize,
        samples == 4,
        lambda: (pixels[top : top + step] for top in range(0, height, step)),
        Encoding(**{"bits": 8 * pixels.itemsize, **encoding}),
        metadata or Metadata(),
    )


def stored(*pages: OutputPage) -> bytes:
    """Write pages; return the file."""
    file = io.BytesIO()
    writer.write(file, pages)
    return file.getvalue()


def rich(order: str = "<") -> Metadata:
    """Return one of each kind of metadata."""
    block = exif.Block(order)  # type: ignore[arg-type]
    block.main = {
        269: exif.text("Album 4"),
        270: exif.text("Straße in Łódź"),
        305: exif.text("photochrom 1"),
        306: exif.text("1931:05:17 12:00:00"),
        315: exif.text("Jürgen"),
        297: ifd.Value(ifd.SHORT, struct.pack(f"{order}HH", 1, 3)),
        33432: exif.text("nobody"),
        40091: ifd.Value(1, "Titel".encode("utf-16le") + b"\0\0"),
        513: block.long(7),  # of a thumbnail: not to be carried
    }
    block.exif = {
        0x9000: ifd.Value(ifd.UNDEFINED, b"0232"),
        0x9003: exif.text("1931:05:17 12:00:00"),
        0x829A: block.rational(0.01),
        0xA001: block.short(1),
        0xA434: exif.text("Tessar"),
    }
    block.gps = {
        1: ifd.Value(ifd.ASCII, b"N\0"),
        2: ifd.Value(ifd.RATIONAL, b"".join(block.rational(n).data for n in (52, 30, 1.25))),
    }
    block.interop = {1: ifd.Value(ifd.ASCII, b"R98\0")}
    profile = icc.output_profile(cielab.SRGB)
    return Metadata(exif.write(block), IPTC, XMP, profile, (300.0, 299.5))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", COMPRESSIONS[:-1])
@pytest.mark.parametrize("pixels", [RGB8, RGB16])
def test_other_programs_read_what_was_given(
    pixels: synthetic_photos.Array, compression: str, order: str, *, big: bool
) -> None:
    """Every class, depth, byte order and offset size, with and without opacity: equal pixels."""
    opacity = np.full((61, 83, 1), 77, pixels.dtype)
    for given_pixels in (pixels, np.dstack([pixels, opacity])):
        data = stored(
            page_of(given_pixels, compression=compression, big_endian=order == ">", big_tiff=big)
        )
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first

            assert np.array_equal(given_pixels, page.asarray())
            assert writer.CODES[compression] == page.compression
            assert (order, big) == (file.byteorder, file.is_bigtiff)
            assert 0 == page.offset % 2  # TIFF 6.0: a directory begins on a word
        if pixels.dtype == np.uint8 and not (big and order == ">"):  # Pillow 13 cannot open those
            with Image.open(io.BytesIO(data)) as picture:
                assert np.array_equal(given_pixels, np.asarray(picture))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", COMPRESSIONS[:-1])
def test_a_scan_in_floating_point_comes_back_so(compression: str, order: str) -> None:
    """16-bit codes are written as 0 to 1 in 32 bits; rounded, they are the codes again."""
    page = page_of(RGB16, bits=32, floating=True, compression=compression, big_endian=order == ">")

    found = tifffile.imread(io.BytesIO(stored(page)))

    assert np.float32 == found.dtype
    assert np.array_equal(RGB16, np.rint(found.astype(np.float64) * 65535))


@pytest.mark.parametrize("order", ["<", ">"])
def test_jpeg_inside_keeps_color_at_full_resolution(order: str) -> None:
    """JPEG scans come back as JPEG, 4:4:4 at quality 95, close to what was given."""
    smooth = synthetic_photos.sepia(synthetic_photos.gray_scene(200, 900))
    data = stored(page_of(smooth, compression="jpeg", big_endian=order == ">"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        found = page.asarray()

        assert tifffile.COMPRESSION.JPEG == page.compression
        assert (1, 1) == tuple(page.tags[530].value)
        assert 0 == page.rowsperstrip % 8  # whole blocks: no seam between strips
    with Image.open(io.BytesIO(data)) as picture:
        by_pillow = np.asarray(picture.convert("RGB"))

    assert np.abs(found.astype(int) - smooth).mean() < 2
    assert np.abs(by_pillow.astype(int) - found).max() <= 2


@pytest.mark.parametrize("pixels", [RGB16, np.dstack([RGB8, RGB8[..., 0]])])
def test_what_jpeg_cannot_hold_is_deflated(pixels: synthetic_photos.Array) -> None:
    """16 bits and opacity keep every pixel, although the scan was JPEG."""
    data = stored(page_of(pixels, compression="jpeg"))

    assert np.array_equal(pixels, tifffile.imread(io.BytesIO(data)))


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    step=st.integers(1, 50),
    strip=st.integers(1, 4000),
    compression=st.sampled_from(COMPRESSIONS[:-1]),
)
def test_any_cut_of_the_rows_gives_the_same_page(
    height: int, width: int, step: int, strip: int, compression: str
) -> None:
    """However many rows come at once, and however many a strip has, the page is the same."""
    pixels = synthetic_photos.color_scene(height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "STRIP_BYTES", strip)
        data = stored(page_of(pixels, step, compression=compression))

    assert np.array_equal(pixels, tifffile.imread(io.BytesIO(data)).reshape(pixels.shape))


@pytest.mark.parametrize("compression", ["deflate", "none"])
@pytest.mark.parametrize("rows", [60, 62])
def test_wrong_numbers_of_rows_are_a_fault(rows: int, compression: str) -> None:
    """A page that gives fewer or more rows than it says is never written as if whole."""
    page = page_of(np.resize(RGB8, (rows, 83, 3)), compression=compression)
    wrong = OutputPage(61, 83, 8, False, page.strips, page.encoding, page.metadata)  # noqa: FBT003

    with pytest.raises(ValueError, match="rows were given for a page of 61"):
        stored(wrong)


@pytest.mark.parametrize(("order", "big"), list(itertools.product("<>", [False, True])))
def test_metadata_comes_back_as_it_was_given(order: str, *, big: bool) -> None:
    """EXIF, GPS, IPTC, XMP, profile and resolution survive writing and reading, in any order."""
    for source in "<>":
        given_metadata = rich(source)
        data = stored(page_of(RGB8, metadata=given_metadata, big_endian=order == ">", big_tiff=big))
        (page,) = pages_of(data)
        before, after = exif.read(given_metadata.exif), exif.read(page.metadata.exif)
        del before.main[513]

        assert _plain(before) == _plain(after)
        assert given_metadata.iptc == page.metadata.iptc
        assert given_metadata.xmp == page.metadata.xmp
        assert given_metadata.profile == page.metadata.profile
        assert given_metadata.dpi == page.metadata.dpi
        assert () == page.metadata.lost


def _plain(block: exif.Block) -> list[dict[int, tuple[int, bytes]]]:
    """Return a block's directories with every value in one byte order."""
    return [
        {
            tag: (value.kind, ifd.reordered(*value[::-1], block.order, "<"))
            for tag, value in found.items()
        }
        for found in (block.main, block.exif, block.gps, block.interop)
    ]


def _exiftool(path: Path) -> dict[str, Any]:
    """Return what exiftool finds in a file, by group and name."""
    run = subprocess.run(
        ["exiftool", "-json", "-G1", "-n", path], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(run.stdout)
    return dict(found)


@needs_exiftool
@pytest.mark.parametrize("order", ["<", ">"])
def test_exiftool_reads_every_page_and_finds_no_error(order: str, tmp_path: Path) -> None:
    """Exiftool sees texts in UTF-8, EXIF, GPS, IPTC, XMP, profile and resolution on each page."""
    path = tmp_path / "album.tif"
    pages = [page_of(RGB8, metadata=rich(), big_endian=order == ">") for _ in range(2)]
    path.write_bytes(stored(*pages))

    found = _exiftool(path)
    problems = subprocess.run(
        ["exiftool", "-validate", "-error", "-warning", "-a", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    expected = {
        "IFD0:DocumentName": "Album 4",
        "IFD0:ImageDescription": "Straße in Łódź",
        "IFD0:Artist": "Jürgen",
        "IFD0:Copyright": "nobody",
        "IFD0:Software": "photochrom 1",
        "IFD0:ModifyDate": "1931:05:17 12:00:00",
        "IFD0:PageNumber": "1 3",
        "IFD0:XPTitle": "Titel",
        "IFD0:XResolution": 300,
        "IFD0:YResolution": 299.5,
        "IFD0:ResolutionUnit": 2,
        "IFD1:Artist": "Jürgen",
        "ExifIFD:DateTimeOriginal": "1931:05:17 12:00:00",
        "ExifIFD:ExposureTime": 0.01,
        "ExifIFD:LensModel": "Tessar",
        "GPS:GPSLatitudeRef": "N",
        "InteropIFD:InteropIndex": "R98",
        "IPTC:Caption-Abstract": "abc",
        "XMP-xmp:CreatorTool": "photochrom",
        "ICC-header:ColorSpaceData": "RGB ",
    }
    assert expected == {name: found.get(name) for name in expected}
    assert found["GPS:GPSLatitude"] == pytest.approx(52 + 30 / 60 + 1.25 / 3600)
    assert "Error" not in problems, problems
    for word in (
        "offset",
        "overlap",
        "order",
        "truncated",
        "Bad",
        "Illegal",
        "Undersized",
    ):
        assert word not in problems, problems


@needs_exiftool
def test_what_exiftool_wrote_into_a_scan_is_read(tmp_path: Path) -> None:
    """Tags, EXIF, GPS, IPTC, XMP and profile that another program wrote come with the page."""
    path = tmp_path / "scan.tif"
    for order in ("<", ">"):
        path.write_bytes(tiff_files.written(synthetic_photos.gray_scene(20, 30), byteorder=order))
        subprocess.run(
            [
                "exiftool",
                "-q",
                "-overwrite_original",
                "-IFD0:Artist=Jürgen",
                "-IFD0:PageName=12 recto",
                "-ExifIFD:LensModel=Tessar",
                "-ExifIFD:UserComment=Łódź",
                "-GPS:GPSLatitude=52.5",
                "-GPS:GPSLatitudeRef=N",
                "-IPTC:Caption-Abstract=abc",
                "-XMP-dc:Title=Street",
                "-XResolution=118.11",
                "-YResolution=118.11",
                "-ResolutionUnit=3",
                "-Orientation=6",
                "-n",
                str(path),
            ],
            check=True,
        )

        (page,) = pages_of(path.read_bytes())
        block = exif.read(page.metadata.exif)

        assert "Jürgen" == exif.text_of(block.main[315])
        assert "12 recto" == exif.text_of(block.main[285])
        assert "Tessar" == exif.text_of(block.exif[0xA434])
        assert {1, 2} <= block.gps.keys()
        assert b"\x1c\x02\x78\x00\x03abc" in page.metadata.iptc
        assert b"Street" in page.metadata.xmp
        assert b"\x1c" == page.metadata.iptc[:1]
        assert (300, 300) == tuple(round(side) for side in page.metadata.dpi or ())
        assert 6 == page.orientation
        assert () == page.metadata.lost


def test_pages_keep_their_own_form_and_metadata() -> None:
    """Several pages: each has its size, depth, compression, texts; in order."""
    first = page_of(RGB8, metadata=Metadata(xmp=b"<one/>", dpi=(72.0, 72.0)), compression="lzw")
    second = page_of(RGB16[:30], metadata=Metadata(xmp=b"<two/>"), compression="zstd")

    found = pages_of(stored(first, second, first))

    assert [(61, 83), (30, 83), (61, 83)] == [(page.height, page.width) for page in found]
    assert [b"<one/>", b"<two/>", b"<one/>"] == [page.metadata.xmp for page in found]
    assert ["lzw", "zstd", "lzw"] == [page.encoding.compression for page in found]
    assert [(72, 72), None, (72, 72)] == [page.metadata.dpi for page in found]
    assert np.array_equal(RGB16[:30], codes_of(found[1]))


@pytest.mark.parametrize(("count", "expected"), [(1, 0), (3, 2)])
def test_pages_of_several_say_so(count: int, expected: int) -> None:
    """NewSubfileType marks one page of several, and only then."""
    data = stored(*[page_of(RGB8)] * count)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = [page.tags.valueof(254, 0) for page in file.pages]

    assert [expected] * count == found


def test_pages_too_large_for_32_bits_get_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past what 32-bit offsets reach the file is a BigTIFF, though the scan was none."""
    monkeypatch.setattr(writer, "CLASSIC_BYTES", RGB8.nbytes * 1.5)

    assert not pages_of(stored(page_of(RGB8)))[0].encoding.big_tiff
    assert all(p.encoding.big_tiff for p in pages_of(stored(page_of(RGB8), page_of(RGB8))))


def test_memory_does_not_grow_with_the_page(tmp_path: Path) -> None:
    """A page of 72 MB made of strips is written with a fraction of it in memory."""
    strip = np.tile(synthetic_photos.color_scene(30, 500), (1, 8, 1)).astype(np.uint16) * 257
    count = 100

    def strips() -> Iterator[synthetic_photos.Array]:
        for _ in range(count):
            yield strip.copy()

    page = OutputPage(30 * count, 4000, 16, False, strips, Encoding(16), Metadata())  # noqa: FBT003
    with (tmp_path / "large.tif").open("w+b") as file:
        tracemalloc.start()
        writer.write(file, [page])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 24e6, f"{peak / 1e6:.0f} MB"


def test_a_full_disk_is_the_disks_fault() -> None:
    """The disk's own error comes through, so that the job waits and the photo is not blamed."""

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 3000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space left"):
        writer.write(Full(), [page_of(RGB16, compression="none")])


def test_a_resolution_per_centimeter_stays_per_centimeter() -> None:
    """For programs that show the numbers as they stand."""
    metric = Metadata(dpi=(300 * 2.54, 150 * 2.54), metric=True)
    (page,) = pages_of(data := stored(page_of(RGB8, metadata=metric)))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        first = file.pages.first
        told = (first.resolution, int(first.resolutionunit))

    assert ((300.0, 150.0), 3) == told
    assert page.metadata.metric
    assert metric.dpi == pytest.approx(page.metadata.dpi)
