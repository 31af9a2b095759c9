"""A colored page carries what its scan carried, made true of it; exiftool is asked."""

import json
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from worker.color import cielab, icc
from worker.metadata import exif, ifd
from worker.metadata import result as metadata
from worker.metadata.block import Metadata
from worker.metadata.provenance import Origin
from worker.metadata.xmp import DIGITAL_SOURCE_TYPE
from worker.settings import OutputSpace, WriteSettings

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool (Debian's libimage-exiftool-perl) is not installed",
)
ORIGIN = Origin(
    name="0042.jpg",
    sha256="ab" * 32,
    model="7",
    weights_sha256="cd" * 32,
    software="photochrom 0.1.0",
    event="0b8cf8b3-7a0e-4f7e-9a43-6d1d8d6f3c11",
    when=datetime(2026, 5, 17, 12, 0, 0, tzinfo=UTC),
)
PROFILE = icc.output_profile(cielab.SRGB)
KEPT = """\
-IFD0:Artist=José Ærø 東京
-IFD0:Copyright=© Stadtarchiv Köln
-IFD0:ImageDescription=Straße
-IFD0:DocumentName=Box 4
-IFD0:PageName=7
-IFD0:ModifyDate=1999:01:02 03:04:05
-IFD0:XPTitle=Großmutter
-ExifIFD:DateTimeOriginal=1931:05:17 12:00:00
-ExifIFD:SubSecTimeOriginal=42
-ExifIFD:OffsetTimeOriginal=+01:00
-ExifIFD:LensModel=Apo-Ronar
-ExifIFD:LensInfo=24 70 2.8 2.8
-ExifIFD:UserComment=Küche 東京
-ExifIFD:ExposureTime=1/125
-ExifIFD:ExposureCompensation=-1/3
-ExifIFD:BrightnessValue=-2.5
-ExifIFD:FocalPlaneXResolution=4444.44444
-ExifIFD:TimeZoneOffset=1 2
-ExifIFD:CFAPattern=2 2 0 1 1 2
-GPS:GPSLatitude=48.2082
-GPS:GPSLatitudeRef=N
-GPS:GPSLongitude=16.3738
-GPS:GPSLongitudeRef=E
-GPS:GPSAltitude=171.3
-GPS:GPSTimeStamp=12:34:56.78
-GPS:GPSProcessingMethod=MANUAL"""
CHANGED = """\
-IFD0:Software=Epson Scan 3
-IFD0:Orientation=6
-IFD0:XResolution=300
-IFD0:YResolution=400
-IFD0:YCbCrPositioning=2
-InteropIFD:InteropIndex=R98
-InteropIFD:RelatedImageWidth=48
-ExifIFD:ColorSpace=65535
-ExifIFD:ExifImageWidth=48
-ExifIFD:ExifImageHeight=64
-ExifIFD:ComponentsConfiguration=1 0 0 0
-ExifIFD:SubjectArea=10 10 5"""
TEXTS = """\
-IPTC:CodedCharacterSet=UTF8
-IPTC:Headline=Straße am Rhein
-IPTC:Credit=Somebody
-IPTC:Keywords=Köln
-IPTC:Keywords=Rhein
-XMP-dc:Title=Straße
-XMP-dc:Format=image/jpeg
-XMP-photoshop:City=Köln
-XMP-tiff:Orientation=6
-XMP-xmpMM:DocumentID=xmp.did:1
-XMP-xmpMM:InstanceID=xmp.iid:2
-XMP-iptcExt:DigitalSourceType=http://cv.iptc.org/newscodes/digitalsourcetype/print"""


def exiftool(*arguments: str | Path) -> str:
    """Run exiftool and return what it says; it must not complain."""
    done = subprocess.run(
        ["exiftool", "-config", "", *arguments], check=True, capture_output=True, timeout=60
    )

    assert b"" == done.stderr

    return done.stdout.decode()


def told(path: Path) -> dict[str, Any]:
    """Return all that exiftool reads, by group and name; values as they are stored."""
    (found,) = json.loads(exiftool("-j", "-G1", "-a", "-n", "-struct", path))
    return dict(found)


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a scan with all that an archive writes into one; nobody changes it."""
    folder = tmp_path_factory.mktemp("scan")
    path = folder / "0042.jpg"
    Image.new("L", (64, 48), 128).save(folder / "thumbnail.jpg")
    Image.new("L", (64, 48), 128).save(path, dpi=(300, 400))
    arguments = [*KEPT.splitlines(), *CHANGED.splitlines(), *TEXTS.splitlines()]
    exiftool("-q", "-n", "-overwrite_original", *arguments, path)
    exiftool("-q", "-overwrite_original", f"-ThumbnailImage<={folder}/thumbnail.jpg", path)
    return path


def carried(path: Path) -> Metadata:
    """Read what a JPEG carries."""
    with Image.open(path) as image:
        return Metadata(
            exif=image.info.get("exif", b""),
            iptc=iptc_of(path),
            xmp=image.info.get("xmp", b""),
            dpi=image.info.get("dpi"),
        )


def iptc_of(path: Path) -> bytes:
    """Let exiftool cut the IPTC datasets out of a file."""
    done = subprocess.run(
        ["exiftool", "-b", "-IPTC", path], check=True, capture_output=True, timeout=60
    )
    return done.stdout


def result(
    given: Metadata,
    settings: WriteSettings | None = None,
    *,
    turned: bool = False,
) -> Metadata:
    """Return what the colored page carries."""
    return metadata.for_result(
        given,
        origin=ORIGIN,
        width=640,
        height=480,
        profile=PROFILE,
        settings=settings or WriteSettings(),
        turned=turned,
    )


def saved(page: Metadata, path: Path) -> Path:
    """Write a JPEG that carries a page's metadata."""
    Image.new("RGB", (64, 48)).save(path, exif=page.exif, xmp=page.xmp)
    if page.iptc:
        block = path.with_suffix(".iptc")
        block.write_bytes(page.iptc)
        exiftool("-q", "-overwrite_original", f"-IPTC<={block}", path)
    return path


@needs_exiftool
def test_every_value_of_a_rich_exif_block_is_kept(scan: Path, tmp_path: Path) -> None:
    """Names in any script, fractions, places, dates; as exiftool reads them."""
    before = told(scan)
    after = told(saved(result(carried(scan), turned=True), tmp_path / "a.jpg"))
    names = [argument[1:].partition("=")[0] for argument in KEPT.splitlines()]

    assert {name: before[name] for name in names} == {name: after.get(name) for name in names}


@needs_exiftool
def test_exif_is_true_of_the_result(scan: Path, tmp_path: Path) -> None:
    """Upright, its own size, color space, resolution and software; no gray thumbnail."""
    after = told(saved(result(carried(scan), turned=True), tmp_path / "a.jpg"))

    assert 1 == after["IFD0:Orientation"]
    assert "photochrom 0.1.0" == after["IFD0:Software"]
    assert (400, 300, 2) == tuple(
        after[f"IFD0:{name}"] for name in ("XResolution", "YResolution", "ResolutionUnit")
    )
    assert (640, 480) == (after["ExifIFD:ExifImageWidth"], after["ExifIFD:ExifImageHeight"])
    assert 1 == after["ExifIFD:ColorSpace"]
    assert ("R98", 640) == (
        after["InteropIFD:InteropIndex"],
        after["InteropIFD:RelatedImageWidth"],
    )
    assert not {name for name in after if name.startswith("IFD1:")}
    assert "1 2 3 0" == after["ExifIFD:ComponentsConfiguration"]
    assert 1 == after["IFD0:YCbCrPositioning"]
    assert "ExifIFD:SubjectArea" not in after


@needs_exiftool
@pytest.mark.parametrize(
    ("space", "color_space", "interop"),
    [("srgb", 1, None), ("adobe-rgb", 65535, "R03"), ("display-p3", 65535, None)],
)
def test_exif_names_the_color_space(
    tmp_path: Path, space: OutputSpace, color_space: int, interop: str | None
) -> None:
    """As DCF has it: 1 is sRGB, R03 is Adobe RGB; also where the scan had no EXIF."""
    page = result(Metadata(), WriteSettings(space=space))
    after = told(saved(page, tmp_path / "a.jpg"))

    assert color_space == after["ExifIFD:ColorSpace"]
    assert interop == after.get("InteropIFD:InteropIndex")


@needs_exiftool
def test_the_label_is_found_by_exiftool(scan: Path, tmp_path: Path) -> None:
    """With what the scan's packet said, and where the result comes from."""
    after = told(saved(result(carried(scan), turned=True), tmp_path / "a.jpg"))

    assert DIGITAL_SOURCE_TYPE == after["XMP-iptcExt:DigitalSourceType"]
    assert "Straße" == after["XMP-dc:Title"]
    assert "Köln" == after["XMP-photoshop:City"]
    assert 1 == after["XMP-tiff:Orientation"]
    assert "XMP-dc:Format" not in after
    assert {
        "DocumentID": "xmp.did:1",
        "InstanceID": "xmp.iid:2",
        "FilePath": "0042.jpg",
        "HasMessageDigest": f"urn:sha256:{'ab' * 32}",
    } == after["XMP-xmpMM:DerivedFrom"]
    (event,) = after["XMP-xmpMM:History"]
    assert "edited" == event["Action"]
    assert "photochrom 0.1.0" == event["SoftwareAgent"]
    assert "Epson Scan 3" in event["Parameters"]


@needs_exiftool
def test_exiftool_finds_nothing_wrong_with_a_result(scan: Path, tmp_path: Path) -> None:
    """Its own validation complains of no more than tags of the scan that Exif does not know."""
    path = saved(result(carried(scan), turned=True), tmp_path / "a.jpg")
    said = exiftool("-validate", "-warning", "-a", path).splitlines()
    problems = [line for line in said if line.startswith("Warning")]

    assert not [line for line in problems if "[minor]" not in line]


@needs_exiftool
def test_iptc_is_kept_byte_for_byte(scan: Path) -> None:
    """Where no credit is set."""
    given = carried(scan)

    assert len(given.iptc) > 50
    assert given.iptc == result(given).iptc


@needs_exiftool
def test_a_credit_takes_the_place_of_the_scans_in_iptc_and_xmp(scan: Path, tmp_path: Path) -> None:
    """And of nothing else; the characters stay UTF-8."""
    settings = WriteSettings(credit="Köln, colored by a machine")
    before, after = told(scan), told(saved(result(carried(scan), settings), tmp_path / "a.jpg"))
    texts = {name: value for name, value in before.items() if name.startswith("IPTC:")}

    assert texts | {"IPTC:Credit": settings.credit} == {name: after[name] for name in texts}
    assert settings.credit == after["XMP-photoshop:Credit"]


@needs_exiftool
def test_a_maker_note_is_still_understood(tmp_path: Path) -> None:
    """Canon's points into the block; it stands where it stood."""
    block = exif.Block("<", main={0x010F: exif.text("Canon"), 0x0110: exif.text("EOS R5")})
    block.maker_note_at = 500
    block.exif[exif.MAKER_NOTE] = ifd.Value(ifd.UNDEFINED, canon_note(500))
    page = result(Metadata(exif=exif.write(block)))
    after = told(saved(page, tmp_path / "a.jpg"))

    assert "EOS R5 of the archive" == after["Canon:CanonImageType"]


def canon_note(at: int) -> bytes:
    """Write a Canon maker note that stands at `at`: one text, by its place in the whole block."""
    text = b"EOS R5 of the archive\0"
    table = b"\x01\0" + b"\x06\0\x02\0" + len(text).to_bytes(4, "little")
    return table + (at + 2 + 12 + 4).to_bytes(4, "little") + bytes(4) + text


def test_blocks_that_cannot_be_read_are_named_and_cost_nothing() -> None:
    """The label is there all the same."""
    page = result(
        Metadata(
            exif=b"Exif\0\0broken",
            xmp=b"<broken",
            iptc=b"broken",
            lost=("the reader's",),
        ),
        WriteSettings(credit="Archive"),
    )

    assert "the reader's" == page.lost[0]
    assert [
        "the EXIF block cannot be read",
        "the XMP packet cannot be read",
        "the credit line is in XMP only",
    ] == sorted((text.split(" (")[0].split(":")[0] for text in page.lost[1:]), key=len)
    assert DIGITAL_SOURCE_TYPE.encode() in page.xmp
    assert "photochrom 0.1.0" == exif.text_of(exif.read(page.exif).main[0x0131])
    assert b"broken" == page.iptc


def test_single_values_that_cannot_be_read_are_counted() -> None:
    """The block is kept but for them."""
    block = exif.write(exif.Block(main={1: exif.text("here"), 2: exif.text("beyond the end")}))
    page = result(Metadata(exif=block[:-4]))

    assert ("1 values of the EXIF block cannot be read",) == page.lost
    assert "here" == exif.text_of(exif.read(page.exif).main[1])


def test_how_the_scan_was_stored_is_left_out() -> None:
    """Sizes, places of strips, a DNG's sign, and blocks that travel apart; the artist stays."""
    block = exif.Block()
    wrong = (256, 257, 258, 259, 262, 273, 277, 279, 330, 700, 33723, 34675, 50706)
    block.main = {tag: block.long(8) for tag in wrong} | {315: exif.text("A. Nonymous")}
    block.main[65000] = ifd.Value(ifd.DIRECTORY, bytes(4))
    page = exif.read(result(Metadata(exif=exif.write(block))).exif)

    assert {0x0112, 0x0131, 315} == set(page.main)


def test_a_scans_sign_of_another_color_space_is_taken_out() -> None:
    """R98 says sRGB, and the result is Display P3."""
    block = exif.Block(interop={1: exif.text("R98"), 2: ifd.Value(ifd.UNDEFINED, b"0100")})
    given = Metadata(exif=exif.write(block))

    assert {2} == set(exif.read(result(given, WriteSettings(space="display-p3")).exif).interop)
    assert {1, 2} == set(exif.read(result(given).exif).interop)


def test_resolution_turns_with_the_picture() -> None:
    """What lay across stands upright."""
    given = Metadata(dpi=(300.0, 600.0))

    assert (600.0, 300.0) == result(given, turned=True).dpi
    assert (300.0, 600.0) == result(given).dpi


def test_the_profile_is_the_results() -> None:
    """Never the scan's."""
    assert PROFILE == result(Metadata(profile=b"gray")).profile


def test_regions_of_a_turned_picture_are_named_as_lost() -> None:
    """Names of faces are kept, but they lie elsewhere now."""
    packet = (
        b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description '
        b'xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/" m:Regions="x"/></r:RDF>'
    )

    assert () == result(Metadata(xmp=packet)).lost
    assert "regions" in result(Metadata(xmp=packet), turned=True).lost[0]


def test_where_a_scan_lies_on_its_page_is_kept_unless_it_was_turned() -> None:
    """XPosition and YPosition are places of the scan as it lay; then they are named as lost."""
    place = {286: ifd.Value(ifd.RATIONAL, struct.pack("<II", 21, 10))}
    scan = Metadata(exif=exif.write(exif.Block(order="<", main=place)))

    assert place[286] == exif.read(result(scan).exif).main[286]
    assert () == result(scan).lost
    assert 286 not in exif.read(result(scan, turned=True).exif).main
    assert "XPosition" in result(scan, turned=True).lost[0]


def test_the_label_can_be_turned_off() -> None:
    """Then only the history says who made the color."""
    page = result(Metadata(), WriteSettings(label=False))

    assert DIGITAL_SOURCE_TYPE.encode() not in page.xmp
    assert b"color invented by a model" in page.xmp


@pytest.mark.parametrize("length", [3, 40_000])
def test_datasets_around_the_credit_are_kept(length: int) -> None:
    """Of any length, in their order; a record above the credit's too."""
    headline = dataset(2, 105, b"h" * length)
    caption, photo = dataset(2, 120, b"caption"), dataset(7, 10, b"x")
    given = headline + dataset(2, 110, b"old") + caption + photo + bytes(3)
    page = result(Metadata(iptc=given), WriteSettings(credit="new"))

    assert headline + dataset(2, 110, b"new") + caption + photo == page.iptc
    assert () == page.lost


def test_a_credit_that_latin_iptc_cannot_hold_is_in_xmp_only() -> None:
    """And the old one does not contradict it."""
    given = dataset(2, 105, b"Stra\xdfe") + dataset(2, 110, b"old")
    page = result(Metadata(iptc=given), WriteSettings(credit="東京"))

    assert dataset(2, 105, b"Stra\xdfe") == page.iptc
    assert "the credit line is in XMP only" in page.lost[0]
    assert "東京".encode() in page.xmp


def test_a_long_credit_is_cut_at_a_letter_in_iptc() -> None:
    """It holds 32 bytes; XMP has it whole."""
    given = dataset(1, 90, b"\x1b%G") + dataset(2, 105, b"h")
    page = result(Metadata(iptc=given), WriteSettings(credit="ö" * 40))

    assert given + dataset(2, 110, ("ö" * 16).encode()) == page.iptc
    assert ("ö" * 40).encode() in page.xmp


def dataset(record: int, number: int, data: bytes) -> bytes:
    """Write one dataset of IPTC-IIM 4.2, extended where it must be."""
    size = len(data).to_bytes(2, "big")
    if len(data) > 32767:
        size = b"\x80\x04" + len(data).to_bytes(4, "big")
    return bytes((0x1C, record, number)) + size + data


@given(
    exif_block=st.binary(max_size=60),
    iptc=st.binary(max_size=60),
    packet=st.binary(max_size=60),
    credit=st.text(max_size=40),
    turned=st.booleans(),
)
def test_nothing_that_a_scan_carries_costs_the_photograph(
    exif_block: bytes, iptc: bytes, packet: bytes, credit: str, *, turned: bool
) -> None:
    """Whatever bytes stand there."""
    given = Metadata(exif=b"II*\0\x08\0\0\0" + exif_block, iptc=b"\x1c" + iptc, xmp=packet)
    page = result(given, WriteSettings(credit=credit), turned=turned)

    assert DIGITAL_SOURCE_TYPE.encode() in page.xmp
    assert 1 == exif.read(page.exif).number(exif.read(page.exif).main[0x0112])


@pytest.mark.parametrize("in_exif", [False, True])
def test_a_resolution_per_centimeter_stays_per_centimeter(*, in_exif: bool) -> None:
    """Whether the file or its EXIF block says so; the numbers are those that were given."""
    said = exif.Block()
    said.main[0x0128] = said.short(3)
    block = exif.write(said) if in_exif else b""
    found = result(Metadata(exif=block, dpi=(762.0, 381.0), metric=not in_exif))
    main = exif.read(found.exif).main
    sides = [struct.unpack(f"{said.order}II", main[tag].data) for tag in (0x011A, 0x011B)]

    assert found.metric
    assert 3 == exif.Block().number(main[0x0128])
    assert [300.0, 150.0] == [above / below for above, below in sides]
