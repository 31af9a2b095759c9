"""Colored pages to store, the metadata they carry, and what exiftool says of the files."""

import io
import json
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from tests.support import synthetic_photos
from tests.support.synthetic_photos import Array
from worker.color import cielab, icc
from worker.formats.image import DecodedImage, Encoding, OutputPage
from worker.metadata import exif
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

Reader = Callable[[BinaryIO, ReadSettings], list[DecodedImage]]
Writer = Callable[[BinaryIO, Sequence[OutputPage]], None]

needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool, the independent oracle, is not installed (libimage-exiftool-perl)",
)
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def xmp(title: str = "Harbor", more: str = "") -> bytes:
    """Return an XMP packet with the label, a title and `more` properties."""
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
<photoshop:Headline>{title}</photoshop:Headline>{more}</rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def iptc(byline: str = "Zoë", caption: str = "") -> bytes:
    """Return IPTC datasets in UTF-8: who made the photograph, and a caption of any length."""
    sets = [(1, 90, b"\x1b%G"), (2, 80, byline.encode())]
    sets += [(2, 25, caption[at : at + 1000].encode()) for at in range(0, len(caption), 1000)]
    return b"".join(
        struct.pack(">BBBH", 0x1C, record, number, len(text)) + text
        for record, number, text in sets
    )


def exif_block(artist: str = "Zoë Straße", orientation: int = 1) -> bytes:
    """Return an EXIF block with an artist, an orientation, a resolution and a date."""
    block = exif.Block()
    block.main = {
        0x0112: block.short(orientation),
        0x011A: block.rational(300),
        0x011B: block.rational(300),
        0x0128: block.short(2),
        0x013B: exif.text(artist),
    }
    block.exif = {0x9003: exif.text("1931:05:17 12:00:00")}
    return exif.write(block)


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    """Return one of Photoshop's image resources, with a name or without."""
    named = bytes([len(name)]) + name
    named += bytes(len(named) % 2)
    head = b"8BIM" + struct.pack(">H", number) + named + struct.pack(">I", len(data))
    return head + data + bytes(len(data) % 2)


def rich() -> Metadata:
    """Return metadata with all that every kind of result holds."""
    return Metadata(
        exif=exif_block(),
        iptc=iptc(),
        xmp=xmp(),
        profile=icc.output_profile(cielab.ADOBE_RGB),
        dpi=(300.0, 300.0),
    )


def page(
    rgb: Array, metadata: Metadata | None = None, *, lossless: bool = True, rows: int = 7
) -> OutputPage:
    """Make a page of pixels (H, W, 3 or 4), given in strips of some rows."""
    height, width, channels = rgb.shape
    return OutputPage(
        height=height,
        width=width,
        depth=rgb.dtype.itemsize * 8,
        alpha=channels == 4,
        strips=lambda: (rgb[top : top + rows] for top in range(0, height, rows)),
        encoding=Encoding(bits=rgb.dtype.itemsize * 8, lossless=lossless),
        metadata=metadata or Metadata(),
    )


def smooth(height: int, width: int, depth: int = 8, channels: int = 3) -> Array:
    """Paint slopes in color (H, W, channels) that lossy codecs keep well."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = np.stack([x, y, (x + y) / 2, 1 - x / 2][:channels], axis=-1)
    return np.rint(light * (2**depth - 1)).astype(synthetic_photos.dtype_of(depth))


def stored(write: Writer, *pages: OutputPage) -> bytes:
    """Return the bytes of a file with these pages."""
    file = io.BytesIO()
    write(file, pages)
    return file.getvalue()


def picture(read: Reader, data: bytes, **settings: float) -> DecodedImage:
    """Read the one picture in a file's bytes."""
    (found,) = read(io.BytesIO(data), ReadSettings(**settings))
    return found


def pixels(found: DecodedImage) -> Array:
    """Decode a picture; all bands, as promised of shape (H, W, samples and opacity)."""
    bands = list(found.bands())
    assert {(found.width, found.samples + found.alpha)} == {band.shape[1:] for band in bands}
    return np.concatenate(bands)


def exiftool(path: Path, *options: str) -> dict[str, Any]:
    """Return what exiftool reads in a file, by group and tag, and what it warns of."""
    answer = subprocess.run(
        ["exiftool", "-j", "-G", "-n", *options, str(path)],
        capture_output=True,
        check=True,
        timeout=60,
    )
    (told,) = json.loads(answer.stdout)
    assert isinstance(told, dict)
    return told


def assert_rich(path: Path) -> None:
    """Hold what exiftool reads in a file against `rich`."""
    told = exiftool(path)

    assert "Zoë Straße" == told["EXIF:Artist"]
    assert "1931:05:17 12:00:00" == told["EXIF:DateTimeOriginal"]
    assert "Zoë" == told["IPTC:By-line"]
    assert SOURCE_TYPE == told["XMP:DigitalSourceType"]
    assert "Harbor" == told["XMP:Headline"]
    assert "Adobe RGB (compatible)" == told["ICC_Profile:ProfileDescription"]
    assert "ExifTool:Warning" not in told, told["ExifTool:Warning"]
    assert "ExifTool:Error" not in told
