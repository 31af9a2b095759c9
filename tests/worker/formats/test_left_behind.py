"""What a scan's file carries is kept or named: chunks, boxes, comments, thumbnails, trailers."""

import importlib
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import pytest
from PIL import Image

from tests.support import output_pages, synthetic_photos
from tests.support.colored_files import colored
from tests.support.segments_and_chunks import chunk, small_png, with_segments
from worker.errors import IncompleteError, ScanError, plain
from worker.formats import bmp_pnm, jpeg2000, jpegxl, png, webp
from worker.formats.isobmff import box
from worker.formats.open_image import opened
from worker.formats.registry import FORMATS
from worker.metadata import result as metadata
from worker.metadata import xmp
from worker.metadata.block import Metadata
from worker.settings import ReadSettings, WriteSettings

GRAY = synthetic_photos.gray_scene(40, 48)
JP2 = synthetic_photos.in_each_kind(GRAY)[".jp2"]
WEBP = synthetic_photos.encoded("WEBP", synthetic_photos.as_rgb(GRAY), lossless=True)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (b"tIME", b"\x07\xe8\5\1\x0a\x0b\x0c", "the chunk tIME (the time of its last change), 7"),
        (b"bKGD", b"\0\xff", "the chunk bKGD (the background color), 2 bytes"),
        (b"sBIT", b"\5", "the chunk sBIT (how many bits are significant), 1 bytes"),
        (b"oFFs", bytes(9), "the chunk oFFs (its place on the page), 9 bytes"),
        (b"caBX", b"jumb", "the chunk caBX (content credentials), 4 bytes"),
        (b"zzZz", b"abc", "the chunk zzZz (which nobody knows), 3 bytes"),
        (b"pHYs", struct.pack(">IIB", 2, 1, 0), "the shape of its pixels, 2 to 1 (chunk pHYs)"),
        (b"cICP", b"\x09\x10\0\1", "a cICP chunk with another color space than sRGB"),
        (b"zTXt", b"Comment\0\0damaged", "the chunk zTXt: it is damaged"),
        (b"iTXt", b"Comment\0\0", "the chunk iTXt: it is damaged"),
        (b"tEXt", b"no end of the keyword", "the chunk tEXt: it is damaged"),
        (b"eXIf", b"II*\0" + bytes(4), ""),
    ],
)
def test_a_chunk_of_a_png_is_named(name: bytes, body: bytes, words: str) -> None:
    """By what it holds, and in plain words where it cannot be read."""
    lost = output_pages.picture(png.read, small_png(chunk(name, body))).metadata.lost

    assert [bool(words)] * bool(words) == [what.startswith(words) for what in lost]


def test_what_stands_behind_a_png_is_named() -> None:
    """As a screenshot that was cut and saved over a larger one has it."""
    assert ("9 bytes behind the picture's end",) == output_pages.picture(
        png.read, small_png() + b"left over"
    ).metadata.lost


def test_all_texts_of_a_png_stay_texts(tmp_path: Path) -> None:
    """Each keyword, also twice, in every script; the four that EXIF has a place for go there."""
    texts = [
        chunk(b"tEXt", b"Comment\0from the attic"),
        chunk(b"tEXt", b"Comment\0and the cellar"),
        chunk(b"zTXt", b"Source\0\0" + zlib.compress("Nachlaß".encode("latin-1"))),
        chunk(b"iTXt", "Inventory number\0\0\0\0\0東京 12".encode()),
        chunk(b"tEXt", b"Author\0Ann"),
        chunk(b"tEXt", b"exif:Artist\0as ImageMagick repeats it"),
    ]
    whole = synthetic_photos.encoded("PNG", GRAY)
    result, record = colored(tmp_path, "a.png", whole[:33] + b"".join(texts) + whole[33:])
    expected = (
        ("Comment", b"from the attic"),
        ("Comment", b"and the cellar"),
        ("Source", "Nachlaß".encode()),
        ("Inventory number", "東京 12".encode()),
    )

    assert () == record.lost
    assert expected == output_pages.picture(png.read, result.read_bytes()).metadata.texts
    with Image.open(result) as image:
        assert "東京 12" == image.info["Inventory number"]


@pytest.mark.parametrize(
    ("kind", "kept", "lost"),
    [
        ("png", ["Comment", "Source"], []),
        ("jpeg", ["Comment"], ["the text Source: Köln"]),
        ("webp", [], ["a comment: attic", "the text Source: Köln"]),
        ("tiff", [], ["a comment: attic", "the text Source: Köln"]),
    ],
)
def test_texts_that_a_container_has_no_place_for_are_named(
    kind: str, kept: list[str], lost: list[str]
) -> None:
    """With what they say."""
    texts = (("Comment", b"attic"), ("Source", "Köln".encode()))
    fitted = metadata.fitting(Metadata(texts=texts), held=FORMATS[kind].texts, photoshop_held=True)

    assert kept == [keyword for keyword, _text in fitted.texts]
    assert tuple(lost) == fitted.lost


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (box(b"xml ", b"<a/>"), "a box of XML other than XMP"),
        (box(b"uuid", b"\xb1\x4b\xf8\xbd" * 4, b"GeoTIFF"), "the box uuid b14bf8bd"),
        (box(b"jp2i", b"rights"), "the box jp2i, 6 bytes"),
        (box(b"uinf", box(b"ulst", b"\0\0")), "the box uinf, 10 bytes"),
        (box(b"a\x1b\x9bz", b"1"), "the box a??z, 1 bytes"),
        (box(b"uuid", jpeg2000.XMP, output_pages.xmp()), ""),
        (box(b"free", bytes(20)), ""),
    ],
)
def test_a_box_of_a_jpeg_2000_is_named(more: bytes, words: str) -> None:
    """Other than those of the picture and of metadata that is kept."""
    lost = output_pages.picture(jpeg2000.read, JP2 + more).metadata.lost

    assert [True] * bool(words) == [what.startswith(words) for what in lost]


@pytest.mark.parametrize(("text", "named"), [(b"from the attic", 1), (b"Kakadu-v7.10", 0)])
def test_a_comment_in_a_codestream_is_named(text: bytes, named: int) -> None:
    """But not the name of the program that wrote it."""
    data = bytes(imagecodecs.jpeg2k_encode(GRAY, codecformat="j2k"))
    at = data.index(b"\xff\x90")
    segment = b"\xff\x64" + struct.pack(">HH", len(text) + 4, 1) + text
    lost = output_pages.picture(jpeg2000.read, data[:at] + segment + data[at:]).metadata.lost

    assert ("a comment: from the attic",) * named == lost


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [(b"junk", b"abcd", "the chunk junk, 4 bytes"), (b"a\x9b\x1bz", b"ab", "the chunk a??z, 2")],
)
def test_a_chunk_of_a_webp_is_named(name: bytes, body: bytes, words: str) -> None:
    """One that nobody knows."""
    data = WEBP + name + struct.pack("<I", len(body)) + body
    whole = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    (lost,) = output_pages.picture(webp.read, whole).metadata.lost

    assert lost.startswith(words)
    assert ("3 bytes behind the picture's end",) == output_pages.picture(
        webp.read, WEBP + b"abc"
    ).metadata.lost


def test_a_box_of_a_jpeg_xl_is_named() -> None:
    """Content credentials, say; not what only says how the picture is stored."""
    codestream = bytes(imagecodecs.jpegxl_encode(GRAY, usecontainer=False))
    head = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    data = head + box(b"jxll", b"\5") + box(b"jumb", b"c2pa") + box(b"jxlc", codestream)

    assert ("the box jumb, 4 bytes",) == output_pages.picture(jpegxl.read, data).metadata.lost


def test_comments_of_a_pgm_become_those_of_the_png(tmp_path: Path) -> None:
    """All of its header."""
    data = b"P5\n# Scanned by Ann\n48 40\n#attic\n255\n" + GRAY.tobytes()
    result, record = colored(tmp_path, "a.pgm", data, WriteSettings())
    texts = output_pages.picture(bmp_pnm.read_pnm, data).metadata.texts

    assert () == record.lost
    assert (("Comment", b"Scanned by Ann"), ("Comment", b"attic")) == texts
    assert texts == output_pages.picture(png.read, result.read_bytes()).metadata.texts


def test_a_bmp_that_few_read_is_no_damage() -> None:
    """A JPEG in a BMP's clothes is refused in words; a cut one is incomplete."""
    data = bytearray(synthetic_photos.encoded("BMP", GRAY))
    data[30] = 4  # compression: JPEG

    with pytest.raises(ScanError, match="BMP encoding is not supported"):
        output_pages.picture(bmp_pnm.read_bmp, bytes(data))


def test_a_profile_in_another_file_is_named() -> None:
    """A BMP of version 5 may point to one."""
    plain_bmp = synthetic_photos.encoded("BMP", synthetic_photos.as_rgb(GRAY))
    head = struct.pack("<IiiHHIIiiII", 124, 48, 40, 1, 24, 0, 0, 2835, 2835, 0, 0)
    head += bytes(16) + b"KNIL" + bytes(124 - 40 - 20)
    pixels = plain_bmp[struct.unpack_from("<I", plain_bmp, 10)[0] :]
    data = b"BM" + struct.pack("<IHHI", 138 + len(pixels), 0, 0, 138) + head + pixels

    assert ("a color profile in another file",) == output_pages.picture(
        bmp_pnm.read_bmp, data
    ).metadata.lost


def test_what_stands_beside_a_heics_picture_is_named() -> None:
    """Thumbnails, depths, gain maps and blocks of metadata; the decoder's process says them."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    process = importlib.import_module("worker.formats.heic_process")
    block = {"type": "mime", "content_type": "image/x", "data": b"1234"}
    info = {
        "bit_depth": 8,
        "thumbnails": [256],
        "depth_images": [object()],
        "aux": {"urn:com:apple:photo:2020:aux:hdrgainmap": [3]},
        "metadata": [block],
    }
    told = process.header_of(SimpleNamespace(info=info, size=(4, 3), mode="L"), 1)

    assert [
        "a thumbnail",
        "a picture of depths",
        "an auxiliary picture (urn:com:apple:photo:2020:aux:hdrgainmap)",
        "a block of metadata (image/x), 4 bytes",
    ] == told["beside"]


@pytest.mark.parametrize("small_copy", [False, True])
def test_the_thumbnail_of_an_exif_block_is_named(tmp_path: Path, *, small_copy: bool) -> None:
    """It shows the scan, so the result has none."""
    block = output_pages.exif_block()
    first = 6 + 8
    (count,) = struct.unpack_from(">H", block, first)
    link = first + 2 + 12 * count
    if small_copy:
        block = block[:link] + struct.pack(">I", len(block) - 6) + block[link + 4 :] + bytes(6)
    data = with_segments(synthetic_photos.encoded("JPEG", GRAY), (0xE1, block))
    _result, record = colored(tmp_path, "a.jpg", data)

    assert ("the EXIF block's thumbnail, which shows the scan",) * small_copy == record.lost


W1 = {  # found with real files; their reasons were those of Python's struct
    "codestream_of_four_bytes.jp2": JP2[: JP2.index(b"jp2c") - 4]
    + box(b"jp2c", b"\xff\x4f\xff\x51"),
    "j2k_without_components.j2k": b"\xff\x4f\xff\x51\0\x26\0\0"
    + struct.pack(">8IH", 8, 8, 0, 0, 8, 8, 0, 0, 0),
}


@pytest.mark.parametrize("name", W1)
def test_damage_is_told_in_the_fields_words(tmp_path: Path, name: str) -> None:
    """What kind of file it is and what is wrong; nothing of bytes, buffers or arguments."""
    path = tmp_path / name
    path.write_bytes(W1[name])
    with pytest.raises(IncompleteError) as caught, opened(path, ReadSettings()):
        pass

    assert str(caught.value).startswith(
        "the JPEG 2000 is damaged or cut short and cannot be decoded"
    )
    assert "unpack" not in str(caught.value)


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (b"<x:xmpmeta>\n</b>", "it is not well-formed in line "),
        (b"\xff\xfe\0", "its characters are not Unicode"),
        (b"<a>\xe9</a>", "its characters are not Unicode"),
        (b"<a/>", "it holds no RDF"),
    ],
)
def test_a_damaged_packet_is_told_in_plain_words(packet: bytes, words: str) -> None:
    """And not in those of the library that reads it."""
    facts = xmp.Facts(1, 1, 1, "")
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are looked at below
        xmp.merge(packet, synthetic_photos.origin(), facts, label=True, credit="")

    assert plain(caught.value, "").startswith(words)


def test_an_error_of_python_is_not_for_people() -> None:
    """`plain` says only what was written for people."""
    assert "it is damaged" == plain(ValueError("invalid literal for int() with base 10"))
    assert "cut" == plain(ScanError("cut"))
    assert "" == plain(OSError(22, "Invalid argument"), "")
