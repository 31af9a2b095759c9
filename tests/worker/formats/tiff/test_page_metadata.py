"""What a TIFF carries beside its pixels: found where programs put it, named where it is lost."""

import struct

import pytest

from tests.support import synthetic_photos, tiff_files
from tests.support.tiff_files import gray_fields, pages_of, plain, written
from worker.errors import ScanError
from worker.formats.tiff import page_metadata, reader
from worker.metadata import exif, ifd, photoshop

DATASETS = b"\x1c\x02\x00\x00\x02\x00\x04\x1c\x02\x78\x00\x06abcdef"
EXTENDED = b"\x1c\x02\x78\x80\x04\x00\x00\x00\x03abc"
STRIP = [bytes(range(16))]


def metadata_of(*fields: tuple[int, int, object], order: str = "<") -> reader.Metadata:
    """Read the metadata of a page of 4 x 4 with these fields."""
    (page,) = pages_of(plain([*gray_fields(4, 4, 8), *fields], STRIP, order=order))
    return page.metadata


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_iptc_is_found_whatever_its_type(order: str, padding: int) -> None:
    """IPTC typed BYTE, UNDEFINED or LONG, in the file's byte order or not, without its padding."""
    padded = DATASETS + bytes(-len(DATASETS) % 4) + bytes(4 * padding)
    words = struct.unpack(f">{len(padded) // 4}I", padded)
    swapped = struct.pack(f"<{len(words)}I", *words)
    for kind, data in ((1, padded), (7, padded), (4, padded), (4, swapped)):
        assert DATASETS == metadata_of((33723, kind, data), order=order).iptc


def test_extended_datasets_of_iptc_are_kept_whole() -> None:
    """A dataset whose length has a length of its own ends where it says."""
    found = metadata_of((33723, 7, DATASETS + EXTENDED + bytes(5))).iptc

    assert DATASETS + EXTENDED == found


def test_iptc_among_photoshops_resources_is_found() -> None:
    """Without a tag of its own, IPTC comes from tag 34377; with one, that one counts."""
    resources = photoshop.wrapped(DATASETS)

    assert DATASETS == metadata_of((34377, 1, resources)).iptc
    assert EXTENDED == metadata_of((34377, 1, resources), (33723, 7, EXTENDED)).iptc
    assert metadata_of((34377, 1, resources[:-4])).lost


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([(282, 5, (300, 1)), (283, 5, (600, 2)), (296, 3, 2)], (300.0, 300.0)),
        ([(282, 5, (100, 1)), (283, 5, (200, 1)), (296, 3, 3)], (254.0, 508.0)),
        ([(282, 5, (300, 1)), (283, 5, (300, 1))], (300.0, 300.0)),
        ([(282, 5, (300, 1)), (283, 5, (300, 1)), (296, 3, 1)], None),
        ([(282, 5, (300, 0)), (283, 5, (300, 1)), (296, 3, 2)], None),
        ([(282, 5, (300, 1)), (296, 3, 2)], None),
        ([], None),
    ],
)
def test_resolution_is_in_inches(
    fields: list[tuple[int, int, object]], expected: tuple[float, float] | None
) -> None:
    """Inches are the default, centimeters are turned to inches, a bare ratio is no resolution."""
    found = metadata_of(*fields).dpi

    assert expected == (found and pytest.approx(expected))


def test_texts_keep_their_bytes() -> None:
    """Texts in any encoding come over byte for byte; structure does not come into the block."""
    latin = "Straße".encode("latin-1") + b"\0"
    block = exif.read(metadata_of((315, 2, latin), (270, 2, b"page\0"), (317, 3, 1)).exif)

    assert {315: ifd.Value(2, latin), 270: ifd.Value(2, b"page\0")} == block.main
    assert {} == block.exif


def test_a_page_that_says_nothing_carries_nothing() -> None:
    """No empty block, no loss."""
    (page,) = pages_of(written(synthetic_photos.gray_scene(9, 9), software=False))

    assert reader.Metadata() == page.metadata


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ((34665, 4, 1 << 30), "EXIF directory"),
        ((34853, 4, 9_999_999), "GPS directory"),
        ((50000, 4, 7), "50000"),
        ((37724, 7, b"layers"), "ImageSourceData"),
    ],
)
def test_what_cannot_come_along_is_named_and_costs_no_photo(
    field: tuple[int, int, object], named: str
) -> None:
    """A pointer to nowhere, a private tag, Photoshop's layers: said, and the page is read."""
    assert any(named in lost for lost in metadata_of(field).lost)


def test_what_a_scanner_says_of_its_page_is_kept() -> None:
    """Its name, number and place: XPosition and YPosition come along as they are."""
    found = metadata_of(
        (285, 2, b"Recto\0"), (286, 5, (21, 10)), (287, 5, (35, 10)), (297, 3, [3, 12])
    )
    block = exif.read(found.exif)

    assert {285, 286, 287, 297} == block.main.keys()
    assert struct.pack("<II", 35, 10) == block.main[287].data
    assert () == found.lost


@pytest.mark.parametrize(
    ("tag", "value", "name"),
    [
        (291, list(range(256)), "gray response curve"),
        (301, [0] * 256, "transfer function"),
        (318, (3457, 10_000, 3585, 10_000), "white point"),
        (319, (64, 100, 33, 100) * 3, "primary chromaticities"),
    ],
)
def test_tones_that_are_not_honored_are_named(tag: int, value: object, name: str) -> None:
    """Curves and primaries beside no profile change nothing, and that is said; a profile counts."""
    kind = 3 if tag in {291, 301} else 5
    profile = (34675, 7, b"profile")

    assert any(name in lost for lost in metadata_of((tag, kind, value)).lost)
    assert not any(name in lost for lost in metadata_of((tag, kind, value), profile).lost)


def test_the_usual_white_and_primaries_are_honored() -> None:
    """Those of sRGB, as ImageMagick writes them, say what is taken anyway."""
    white = (318, 5, (3127, 10_000, 329, 1000))
    primaries = (319, 5, (64, 100, 33, 100, 3, 10, 6, 10, 15, 100, 6, 100))

    assert () == metadata_of(white, primaries).lost


def test_a_value_beyond_the_end_is_named() -> None:
    """XMP that lies outside the file is missing and said so."""
    data = bytearray(plain([*gray_fields(4, 4, 8), (700, 1, b"<x>" * 9)], STRIP))
    at = data.index(struct.pack("<HH", 700, 1))
    data[at + 8 : at + 12] = struct.pack("<I", len(data))
    (page,) = pages_of(bytes(data))

    assert b"" == page.metadata.xmp
    assert any("XMP" in lost for lost in page.metadata.lost)


def test_tags_that_share_a_huge_text_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of EXIF tags that point to the same megabytes do not fill the memory."""
    monkeypatch.setattr(page_metadata, "LARGEST", 1000)

    found = metadata_of(*[(tag, 2, b"x" * 400) for tag in (269, 270, 271, 272)])

    assert {269, 270} == exif.read(found.exif).main.keys()
    assert ["tag 271", "tag 272"] == [lost.split(" of ")[0] for lost in found.lost]


def test_pages_that_share_a_huge_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of pages that point to the same megabytes do not fill the memory."""
    monkeypatch.setattr(reader, "MOST_METADATA", 10_000)
    text = b"x" * 3000
    data = bytearray(b"II*\0") + struct.pack("<I", 8 + 16 + len(text)) + STRIP[0] + text
    fields = {tag: (kind, value) for tag, kind, value in gray_fields(4, 4, 8)}
    fields |= {273: (4, 8), 279: (4, 16), 700: (1, b"\0" * 8)}
    for number in range(5):
        at = len(data)
        page = bytearray(tiff_files.directory(fields, at, following=0))
        row = page.index(struct.pack("<HH", 700, 1))
        page[row + 4 : row + 12] = struct.pack("<II", len(text), 24)
        link = 2 + 12 * len(fields)
        page[link : link + 4] = struct.pack("<I", at + len(page) if number < 4 else 0)
        data += page

    with pytest.raises(ScanError, match="carry more than"):
        pages_of(bytes(data))


@pytest.mark.parametrize(("said", "kept"), [('{"shape": [9, 7]}', False), ("A street", True)])
def test_a_description_of_how_pixels_are_stored_stays_behind(said: str, *, kept: bool) -> None:
    """The programs that wrote it would believe it of the result, which is stored otherwise."""
    found = metadata_of((270, 2, said.encode() + b"\0"))

    assert kept == (said.encode() in found.exif)
    assert () == found.lost
