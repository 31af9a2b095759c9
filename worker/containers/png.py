"""PNG: gray, palette and color of 1 to 16 bits, with opacity, and all that its chunks tell.

Source: W3C, Portable Network Graphics, 3rd edition. What ImageMagick and exiftool hide in texts
("Raw profile type ...") is found too. Refuses animations.
"""

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import imagecodecs

from worker.color import Pixels
from worker.containers import exif_tags, photoshop
from worker.containers.picture import (
    Coding,
    Metadata,
    Picture,
    Resolution,
    check_size,
)
from worker.errors import ScanError
from worker.settings import ReadSettings

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by color type, without opacity
LONGEST_TRANSPARENCY = {0: 2, 2: 6, 3: 256, 4: 0, 6: 0}  # bytes, by color type
LONGEST_BODY = 64 << 20  # of a chunk that is read, packed or not; more is a bomb
MOST_TOLD = 128 << 20  # of all that chunks unpack to, together
MOST_CHUNKS = 1_000_000
XMP_KEYWORD = "XML:com.adobe.xmp"
RAW_PROFILE = "raw profile type "
XMP_SIGNATURE = b"http://ns.adobe.com/xap/1.0/\0"
INCH = 0.0254  # meters
SRGB_GAMMA = range(44_900, 46_001)  # of the gAMA chunk; what is meant is sRGB
SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
TEXTS = {
    "Title": exif_tags.DOCUMENT_NAME,
    "Description": exif_tags.DESCRIPTION,
    "Author": exif_tags.ARTIST,
    "Copyright": exif_tags.COPYRIGHT,
}
OF_NO_WORTH = ("software", "date:", "exif:", "icc:", "png:", "jpeg:", "tiff:", "xmp:", "signature")
DECODED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
TOLD = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt"}


# What libpng warns of is what is damaged, which is raised, or of no weight.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)


@dataclass
class _Chunks:
    """What the chunks tell."""

    header: bytes = b""
    transparent: int = 0  # bytes that say which colors are
    profile: bytes = b""
    is_srgb: bool = False
    gamma: int = 0
    primaries: tuple[int, ...] = ()
    dpi: Resolution | None = None
    exif: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    room: int = MOST_TOLD


def read(file: BinaryIO, settings: ReadSettings) -> list[Picture]:
    """Read a PNG's chunks; its pixels are decoded whole when their one band is asked for.

    Args:
        file: open for reading, from its beginning; stays open while bands are read.
        settings: the limit.

    Raises:
        ScanError: with the reason, for what is refused.
        OSError, ValueError, struct.error: damaged.
    """
    chunks = _chunks(file, settings)
    width, height, bits, color_type = struct.unpack_from(">IIBB", chunks.header)
    if color_type not in CHANNELS:
        raise ValueError(f"there is no color type {color_type}")
    samples = CHANNELS[color_type]
    alpha = chunks.transparent > 0 or color_type in {4, 6}
    if chunks.transparent > LONGEST_TRANSPARENCY[color_type]:
        raise ValueError("what it says of transparent colors does not fit its own colors")

    def bands() -> Iterator[Pixels]:
        pixels = imagecodecs.png_decode(_bare(file))
        yield pixels.reshape(height, width, samples + alpha)

    metadata = _metadata(chunks, samples)
    return [
        Picture(
            height=height,
            width=width,
            samples=samples,
            alpha=alpha,
            bands=bands,
            orientation=exif_tags.orientation(metadata.exif),
            coding=Coding(bits=8 if color_type == 3 else bits),
            metadata=metadata,
        )
    ]


def _chunks(file: BinaryIO, settings: ReadSettings) -> _Chunks:
    file.seek(0)
    if file.read(8) != SIGNATURE:
        raise ValueError("it does not begin as a PNG does")
    chunks = _Chunks()
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("the file ends before its last chunk")
        length, name = struct.unpack(">I4s", head)
        if name == b"IHDR":
            chunks.header = _body(file, name, length)
            width, height = struct.unpack_from(">II", chunks.header)
            check_size(width, height, settings)
        elif name == b"acTL" and struct.unpack_from(">I", _body(file, name, length))[0] > 1:
            raise ScanError("the PNG is animated; photochrom colors photographs")
        elif name in TOLD and length <= LONGEST_BODY:
            _listen(chunks, name, file, length)
        elif name != b"acTL":
            chunks.transparent += length * (name == b"tRNS")
            file.seek(length + 4, os.SEEK_CUR)
        if name == b"IEND":
            if file.tell() > file.seek(0, os.SEEK_END):
                raise ValueError("the file ends within its last chunk")
            return chunks
    raise ValueError(f"there are more than {MOST_CHUNKS:,} chunks")


def _bare(file: BinaryIO) -> bytes:
    """Return the file without its metadata, of which libpng would complain on standard error.

    Checksums are looked at here: libpng does not say in words what is damaged.
    """
    file.seek(0)
    kept = [file.read(8)]
    name = b""
    while name != b"IEND":
        head = file.read(8)
        length, name = struct.unpack(">I4s", head)
        if name in DECODED:
            body = _body(file, name, length)
            kept += head, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return b"".join(kept)


def _body(file: BinaryIO, name: bytes, length: int) -> bytes:
    """Read a chunk's body, and hold it against its checksum."""
    body, check = file.read(length), file.read(4)
    if len(body) < length or check != struct.pack(">I", zlib.crc32(body, zlib.crc32(name))):
        raise ValueError(f"the chunk {name.decode('latin-1')} is damaged")
    return body


def _listen(chunks: _Chunks, name: bytes, file: BinaryIO, length: int) -> None:
    """Take what a chunk tells; one that is damaged does not cost the photo."""
    after = file.tell() + length + 4
    try:
        _take(chunks, name, _body(file, name, length))
    except (ValueError, struct.error, zlib.error, IndexError) as error:
        chunks.lost.append(f"the chunk {name.decode('latin-1')}: {error}")
    file.seek(after)


def _take(chunks: _Chunks, name: bytes, body: bytes) -> None:
    if name == b"iCCP":
        chunks.profile = _unpacked(chunks, body[body.index(b"\0") + 2 :])
    elif name == b"sRGB":
        chunks.is_srgb = True
    elif name == b"cICP" and body[:2] not in {b"\1\x0d", b"\1\1"}:
        chunks.lost.append("a cICP chunk with another color space than sRGB")
    elif name == b"gAMA":
        (chunks.gamma,) = struct.unpack(">I", body)
    elif name == b"cHRM":
        chunks.primaries = struct.unpack(">8I", body)
    elif name == b"pHYs":
        x, y, unit = struct.unpack(">IIB", body)
        if unit == 1 and x and y:
            chunks.dpi = (_dpi(x), _dpi(y))
    elif name == b"eXIf":
        chunks.exif = body
    elif name in {b"tEXt", b"zTXt", b"iTXt"}:
        _take_text(chunks, *_text(chunks, name, body))


def _take_text(chunks: _Chunks, keyword: str, text: str) -> None:
    if keyword.lower().startswith(RAW_PROFILE):
        kind = keyword[len(RAW_PROFILE) :].lower()
        _name, _length, digits = text.strip().split("\n", 2)
        chunks.raw[kind] = bytes.fromhex(digits)
    else:
        chunks.texts.setdefault(keyword, text)


def _dpi(per_meter: int) -> float:
    """Give dots per inch: the whole number that was meant, if there is one."""
    dpi = per_meter * INCH
    return float(round(dpi)) if round(round(dpi) / INCH) == per_meter else dpi


def _text(chunks: _Chunks, name: bytes, body: bytes) -> tuple[str, str]:
    """Return keyword and text of a text chunk."""
    keyword, rest = body.split(b"\0", 1)
    if name == b"tEXt":
        return keyword.decode("latin-1"), rest.decode("latin-1")
    if name == b"zTXt":
        return keyword.decode("latin-1"), _unpacked(chunks, rest[1:]).decode("latin-1")
    packed = rest[0]
    _language, _translated, text = rest[2:].split(b"\0", 2)
    return keyword.decode("latin-1"), (_unpacked(chunks, text) if packed else text).decode()


def _unpacked(chunks: _Chunks, data: bytes) -> bytes:
    if chunks.room <= 0:
        raise ValueError("there is too much packed text")
    stream = zlib.decompressobj()
    body = stream.decompress(data, min(LONGEST_BODY, chunks.room))
    chunks.room -= len(body)
    if not stream.eof:
        raise ValueError("it is cut short, or unpacks to too much")
    return body


def _metadata(chunks: _Chunks, samples: int) -> Metadata:
    raw = chunks.raw
    app1 = raw.get("app1", b"")
    exif = chunks.exif or raw.get("exif") or (app1 if app1.startswith(b"Exif\0\0") else b"")
    xmp = chunks.texts.pop(XMP_KEYWORD, "").encode() or raw.get("xmp", b"")
    if not xmp and app1.startswith(XMP_SIGNATURE):
        xmp = app1.removeprefix(XMP_SIGNATURE)
    if exif and not exif.startswith(b"Exif\0\0"):
        exif = b"Exif\0\0" + exif
    lost = chunks.lost
    profile = chunks.profile or raw.get("icc", b"") or raw.get("icm", b"")
    try:
        profile = profile or _profile_of_gamma(chunks, samples)
    except (ValueError, RuntimeError) as error:
        lost.append(f"gAMA and cHRM: {error}")
    iptc = b""
    try:
        iptc = _iptc(raw)
    except ValueError as error:
        lost.append(f"IPTC: {error}")
    try:
        exif = _with_texts(exif, chunks)
    except ValueError as error:
        lost.append(f"texts of author, copyright, title or description: {error}")
    dpi = chunks.dpi or exif_tags.resolution(exif)
    return Metadata(exif, iptc, xmp, profile, dpi, tuple(lost))


def _iptc(raw: dict[str, bytes]) -> bytes:
    """Return IPTC from a raw profile, which may be in Photoshop's wrapping."""
    for found in (raw.get("iptc", b""), raw.get("8bim", b"")):
        if found.startswith(b"8BIM"):
            return photoshop.iptc_of(found)
        if found.startswith(b"\x1c"):
            return found
    return b""


def _with_texts(exif: bytes, chunks: _Chunks) -> bytes:
    """Move PNG's texts to where EXIF has them; say which have no place there."""
    wanted = {tag: chunks.texts.get(keyword, "") for keyword, tag in TEXTS.items()}
    held = exif_tags.texts(exif)
    for keyword, text in chunks.texts.items():
        tag = TEXTS.get(keyword)
        taken = tag is None or held.get(tag, text) != text
        if taken and text and not keyword.lower().startswith(OF_NO_WORTH):
            chunks.lost.append(f"the PNG text {keyword}: {text[:200]}")
    return exif_tags.with_texts(exif, wanted)


def _profile_of_gamma(chunks: _Chunks, samples: int) -> bytes:
    """Build a profile of gAMA and cHRM; b"" where they say sRGB or nothing."""
    primaries = chunks.primaries or SRGB_PRIMARIES
    near = all(abs(a - b) <= 100 for a, b in zip(primaries, SRGB_PRIMARIES, strict=True))
    if chunks.is_srgb or not chunks.gamma or (chunks.gamma in SRGB_GAMMA and (near or samples < 3)):
        return b""
    exponent = 100_000 / chunks.gamma
    if samples == 1:
        return bytes(imagecodecs.cms_profile("gray", gamma=exponent))
    white, *colors = ((x / 1e5, y / 1e5, 1.0) for x, y in zip(*[iter(primaries)] * 2, strict=True))
    return bytes(
        imagecodecs.cms_profile(
            "rgb", whitepoint=white, primaries=list(chain(*colors)), gamma=exponent
        )
    )
