"""What the fuzz and the hostile files found in the readers, so that it stays mended."""

import logging
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import pytest

from tests.support import malicious_files, output_pages, tiff_files
from tests.support.synthetic_photos import encoded, gray_scene
from worker.errors import ScanError
from worker.formats import bmp_pnm, jpeg, jpegxl, open_image, png, webp
from worker.formats.isobmff import box
from worker.metadata import photoshop
from worker.settings import ReadSettings

SETTINGS = ReadSettings()


@contextmanager
def at_once() -> Iterator[None]:
    """Fail when what is inside takes more than a moment."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < 3


def progressive(scans: int) -> bytes:
    """Return a JPEG that draws its last scan so many times more."""
    data = encoded("JPEG", gray_scene(64, 64), progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * scans + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once() -> None:
    """Each would have the whole picture decoded anew: 20,000 of them took minutes."""
    data = malicious_files.scans(20_000)

    with at_once(), pytest.raises(ScanError, match="more than 100 progressive scans"):
        output_pages.picture(jpeg.read, data)


def test_a_jpeg_of_as_many_scans_as_there_may_be_is_read() -> None:
    """Nobody writes more than about twenty."""
    assert (64, 64, 1) == output_pages.pixels(
        output_pages.picture(jpeg.read, progressive(50))
    ).shape


def test_what_follows_a_jpeg_is_not_taken_for_scans() -> None:
    """A film, as telephones append it, holds such bytes by chance."""
    data = encoded("JPEG", gray_scene(64, 64)) + b"\xff\xda\0\2" * 1000

    assert (64, 64, 1) == output_pages.pixels(output_pages.picture(jpeg.read, data)).shape


def test_scans_within_segments_do_not_count() -> None:
    """A comment may hold any bytes."""
    data = bytearray(progressive(1))
    at = data.rindex(b"\xff\xda")
    data[at:at] = struct.pack(">BBH", 0xFF, 0xFE, 4002) + b"\xff\xda\0\2" * 1000

    assert (64, 64, 1) == output_pages.pixels(output_pages.picture(jpeg.read, bytes(data))).shape


def test_a_strip_of_thousands_of_scans_is_refused_at_once() -> None:
    """JPEG in TIFF is JPEG."""
    fields = tiff_files.gray_fields(64, 64, 8, t259=7)
    (page,) = tiff_files.pages_of(tiff_files.plain(fields, [progressive(150)]))

    with at_once(), pytest.raises(ScanError, match="more than 100 progressive scans"):
        output_pages.pixels(page)


@pytest.mark.parametrize("junk", [b"a", b"\xff"])
def test_a_jpeg_that_does_not_begin_is_given_up_soon(junk: bytes) -> None:
    """A gigabyte of anything else is not searched byte by byte."""
    with at_once(), pytest.raises(ValueError, match="ends within its header"):
        output_pages.picture(jpeg.read, b"\xff\xd8" + junk * (50 << 20))


@pytest.mark.parametrize("between", [b" ", b"#\n", b" \n\t"])
def test_blanks_do_not_hold_up_a_pgm(between: bytes) -> None:
    """The search for its header took time exponential in their number."""
    with at_once(), pytest.raises(ValueError, match="lacks width and height"):
        output_pages.picture(bmp_pnm.read_pnm, b"P5" + between * 20_000 + b"x")


def test_a_pgm_with_comments_among_blanks_is_read() -> None:
    """Anywhere between its numbers."""
    data = b"P5 \n# a\n \t#b c\n 2# no comment ends\n 1\n#d\n255\n\x07\x09"

    assert [7, 9] == output_pages.pixels(
        output_pages.picture(bmp_pnm.read_pnm, data)
    ).ravel().tolist()


def test_texts_of_a_png_unpack_to_a_bounded_size() -> None:
    """Forty of 60 MB each, from 2 MB: the first are read, the rest are named and left."""
    text = zlib.compress(b"a" * (60 << 20), 1)
    chunks = [malicious_files.chunk(b"zTXt", b"a%d\0\0" % number + text) for number in range(40)]
    with at_once():
        found = output_pages.picture(png.read, malicious_files.png(*chunks))

    assert len(found.metadata.lost) + len(found.metadata.texts) == 40
    assert any("too large" in what for what in found.metadata.lost)


def test_boxes_of_a_jpeg_xl_that_nobody_asked_for_stay_packed() -> None:
    """Whatever names they have."""
    packed = bytes(imagecodecs.brotli_encode(bytes(60 << 20), level=1))
    boxes = b"".join(box(b"brob", b"a%03d" % number, packed) for number in range(40))
    picture = box(b"jxlc", bytes(imagecodecs.jpegxl_encode(gray_scene(16, 16))))
    with at_once():
        found = output_pages.picture(jpegxl.read, b"\0\0\0\x0cJXL \r\n\x87\n" + boxes + picture)

    assert (16, 16) == (found.height, found.width)


def test_a_webp_of_endless_chunks_is_given_up() -> None:
    """No honest one has ten thousand."""
    picture = (b"VP8L", encoded("WEBP", gray_scene(16, 16), lossless=True)[20:])

    with pytest.raises(ValueError, match="no image"):
        output_pages.picture(webp.read, malicious_files.riff(*[(b"abcd", b"")] * 20_000, picture))


def test_a_webp_whose_canvas_lies_about_its_picture_is_refused_unread() -> None:
    """The limit is held against the one, and memory is taken for the other."""
    picture = (b"VP8L", encoded("WEBP", gray_scene(16, 16), lossless=True)[20:])
    canvas = (b"VP8X", bytes(4) + b"\x07\0\0" * 2)

    with pytest.raises(ValueError, match="two different sizes"):
        output_pages.picture(webp.read, malicious_files.riff(canvas, picture))


@pytest.mark.parametrize("kind", [1, 2, 5, 11])
def test_a_tiff_whose_width_is_no_whole_number_is_refused_in_words(kind: int) -> None:
    """The library would compare a text with a number."""
    value = b"\x08" if kind == 2 else [8, 1] if kind == 5 else 8
    fields = [(256, kind, value), *tiff_files.gray_fields(8, 8, 8)[1:]]

    with pytest.raises(ScanError, match="tag 256 is not one whole number"):
        tiff_files.pages_of(tiff_files.plain(fields, [bytes(64)]))


def test_a_tiff_whose_strips_lie_at_fractions_of_a_byte_is_refused_in_words() -> None:
    """The number of a type is one byte of damage away."""
    fields = [*tiff_files.gray_fields(8, 8, 8), (273, 11, 8.5)]

    with pytest.raises(ScanError, match="tag 273 is not whole numbers but 1 of type 11"):
        tiff_files.pages_of(tiff_files.plain(fields, [bytes(64)]))


@pytest.mark.parametrize("tag", [257, 262, 277, 278])
def test_a_tiff_with_a_list_for_a_number_is_refused_in_words(tag: int) -> None:
    """As after one flipped bit of a count."""
    fields = [*tiff_files.gray_fields(8, 8, 8), (tag, 4, [8, 8, 8])]

    with pytest.raises(ScanError, match=f"tag {tag} is not one whole number but 3"):
        tiff_files.pages_of(tiff_files.plain(fields, [bytes(64)]))


def test_a_damaged_chunk_of_pixels_is_named() -> None:
    """By its checksum; libpng gave no words, or broken ones."""
    data = bytearray(malicious_files.png())
    data[data.index(b"IDAT") + 6] ^= 1

    with pytest.raises(ValueError, match="the chunk IDAT is damaged"):
        output_pages.pixels(output_pages.picture(png.read, bytes(data)))


@pytest.mark.parametrize(("color_type", "length"), [(0, 500), (4, 2), (3, 257)])
def test_transparency_that_does_not_fit_is_damage(color_type: int, length: int) -> None:
    """Left out, as libpng does it, the samples would be others than promised."""
    chunk = malicious_files.chunk(b"tRNS", bytes(length))

    with pytest.raises(ValueError, match="transparent colors"):
        output_pages.picture(png.read, malicious_files.png(chunk, form=(8, color_type, 0, 0, 0)))


def test_libpng_says_nothing_beside_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Even honest interlaced pictures made it warn."""
    data = malicious_files.png(pixels=bytes(100_000))
    with caplog.at_level(logging.DEBUG, "root"):
        output_pages.pixels(output_pages.picture(png.read, data))

    assert [] == caplog.records


def test_what_is_left_behind_is_named_up_to_a_hundred_things(tmp_path: Path) -> None:
    """A hundred thousand would fill the sidecar."""
    path = tmp_path / "a.png"
    chunks = [malicious_files.chunk(b"tEXt", b"a%d\0b" % number) for number in range(5000)]
    path.write_bytes(malicious_files.png(*chunks))
    with open_image.opened(path, SETTINGS) as (_kind, (picture,)):
        lost = picture.metadata.lost

    assert 101 == len(lost)
    assert "4800 things more" == lost[-1]
    assert 100 == len(picture.metadata.texts)


def test_long_texts_are_kept_up_to_a_megabyte(tmp_path: Path) -> None:
    """The others are named."""
    path = tmp_path / "a.png"
    chunks = [
        malicious_files.chunk(b"tEXt", b"a%d\0" % number + b"b" * 400_000) for number in range(5)
    ]
    path.write_bytes(malicious_files.png(*chunks))
    with open_image.opened(path, SETTINGS) as (_kind, (picture,)):
        metadata = picture.metadata

    assert ["a0", "a1"] == [keyword for keyword, _text in metadata.texts]
    assert [f"the text a{number}, one too many" for number in (2, 3, 4)] == [*metadata.lost]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.png", malicious_files.SIGNATURE + b"\x7f\xff\xff\xffIHDR" + bytes(50)),
        ("a.webp", b"RIFF\xff\xff\xff\xffWEBPICCP\x7f\xff\xff\xff" + bytes(50)),
    ],
)
def test_no_room_is_made_for_what_is_not_there(tmp_path: Path, name: str, data: bytes) -> None:
    """A header that says gigabytes does not get them."""
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    with (
        pytest.raises(ScanError, match="damaged or cut short"),
        open_image.opened(path, SETTINGS),
    ):
        pass
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 1 << 20


def test_words_of_a_decoder_reach_nobody(tmp_path: Path) -> None:
    """What Pillow cannot open it calls by its place in memory; the reason says what the file is."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_files.plain(tiff_files.gray_fields(8, 8, 8, t259=34712), [b"a" * 64]))

    with (
        open_image.opened(path, SETTINGS) as (_kind, (picture,)),
        pytest.raises(ScanError, match=r"^the TIFF is damaged or cut short and cannot be decoded$"),
    ):
        list(picture.bands())


def test_exif_that_pillow_cannot_read_makes_it_say_nothing(tmp_path: Path) -> None:
    """Its warnings would be lines of no log; what is lost is named elsewhere."""
    path = tmp_path / "a.jpg"
    entry = struct.pack("<HHHII", 1, 0x013B, 2, 100_000, 30)  # a text beyond the end
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entry + bytes(40)
    path.write_bytes(encoded("JPEG", gray_scene(16, 16), exif=exif))
    code = (
        "import pathlib, sys; from worker import scan; from worker.settings import ReadSettings;"
        "print(scan.read(pathlib.Path(sys.argv[1]), ReadSettings()).size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )

    assert ("256\n", "") == (done.stdout, done.stderr)


def test_metadata_larger_than_any_photograph_needs_is_named_and_left_behind(tmp_path: Path) -> None:
    """Millions of properties would take gigabytes and minutes to correct; the rest is kept."""
    path = tmp_path / "a.tif"
    fields = [*tiff_files.gray_fields(8, 8, 8), (315, 2, b"Zoe\0")]
    fields += [(700, 1, b"a" * (17 << 20)), (33723, 7, b"\x1c\2\5\0\0" * 1_000_000)]
    path.write_bytes(tiff_files.plain(fields, [bytes(64)]))
    with at_once(), open_image.opened(path, SETTINGS) as (_kind, (picture,)):
        found = picture.metadata

    assert b"Zoe" in found.exif
    assert (b"", b"") == (found.xmp, found.iptc)
    assert ["IPTC", "XMP"] == sorted(
        {word for what in found.lost for word in ("IPTC", "XMP") if word in what}
    )


def test_endless_resources_of_photoshop_are_given_up() -> None:
    """Sixty megabytes of empty ones took seconds."""
    with at_once():
        found = photoshop.taken(b"8BIM\4\5\0\0\0\0\0\0" * 5_000_000)

    assert ("Photoshop's resources from one on: there are more than 10,000",) == found.lost
