"""Reads PNG: gray, palette and color of 1 to 16 bits, with opacity and metadata.

Also finds the metadata that ImageMagick and exiftool store in texts ("Raw profile type ...").
Refuses animations. Source: W3C, Portable Network Graphics, 3rd edition.
"""

import logging
import os
import struct
import zlib
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import imagecodecs

from worker.errors import DamagedError, ScanError, plain
from worker.formats.full_image import decoded_whole
from worker.formats.image import DecodedImage, Encoding, check_size
from worker.metadata import exif_tags, photoshop
from worker.metadata.block import Metadata, Resolution
from worker.settings import ReadSettings

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by color type, without opacity
LONGEST_TRANSPARENCY = {0: 2, 2: 6, 3: 256, 4: 0, 6: 0}  # bytes, by color type
HEADER_BYTES = 13
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
    "Software": exif_tags.SOFTWARE,
}
# Texts in which ImageMagick repeats other metadata.
OF_NO_WORTH = ("date:", "exif:", "icc:", "png:", "jpeg:", "tiff:", "xmp:", "signature")
DECODED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
RAW_KINDS = {"app1", "exif", "xmp", "icc", "icm", "iptc", "8bim"}
OF_THE_FILE = {b"acTL", b"fcTL", b"iDOT", b"vpAg"}  # how pixels are stored
OTHERS = {  # chunks that no result has, by what they hold
    b"bKGD": "the background color",
    b"caBX": "content credentials",
    b"cLLI": "how bright it is",
    b"hIST": "a histogram",
    b"mDCV": "the screen it was made on",
    b"oFFs": "its place on the page",
    b"pCAL": "what its codes measure",
    b"sBIT": "how many bits are significant",
    b"sCAL": "the scale of what is shown",
    b"sPLT": "a suggested palette",
    b"tIME": "the time of its last change",
}
TOLD = {b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"eXIf", b"tEXt", b"zTXt", b"iTXt"}


# Damage raises an error anyway; other warnings do not matter.
logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)


@dataclass
class _Chunks:
    """What the chunks say."""

    header: bytes = b""
    transparent: int = 0  # bytes that say which colors are
    profile: bytes = b""
    is_srgb: bool = False
    gamma: int = 0
    primaries: tuple[int, ...] = ()
    dpi: Resolution | None = None
    exif: bytes = b""
    texts: list[tuple[str, str]] = field(default_factory=list)
    raw: dict[str, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    room: int = MOST_TOLD


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a PNG's chunks; see `ImageFormat.read`."""
    chunks = _chunks(file, settings)
    if len(chunks.header) != HEADER_BYTES:
        raise DamagedError("it has no header")
    width, height, bits, color_type = struct.unpack_from(">IIBB", chunks.header)
    if color_type not in CHANNELS:
        raise DamagedError(f"color type {color_type} does not exist")
    samples = CHANNELS[color_type]
    alpha = chunks.transparent > 0 or color_type in {4, 6}
    if chunks.transparent > LONGEST_TRANSPARENCY[color_type]:
        raise DamagedError("its transparent colors do not fit its color type")
    metadata = _metadata(chunks, samples)
    return decoded_whole(
        lambda: imagecodecs.png_decode(_bare(file)),
        (width, height, samples, alpha),
        Encoding(bits=8 if color_type == 3 else bits),
        metadata,
        exif_tags.orientation(metadata.exif),
    )


def _chunks(file: BinaryIO, settings: ReadSettings) -> _Chunks:
    file.seek(0)
    if file.read(8) != SIGNATURE:
        raise DamagedError("it does not start with the PNG signature")
    chunks = _Chunks()
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            raise DamagedError("the file ends before its last chunk")
        length, name = struct.unpack(">I4s", head)
        if not (name.isalpha() and name.isascii()):
            raise DamagedError("a chunk has no valid name")
        if name == b"IHDR":
            chunks.header = _body(file, name, length).ljust(8, b"\0")
            width, height = struct.unpack_from(">II", chunks.header)
            check_size(width, height, settings)
        elif name == b"acTL":
            frames = _body(file, name, length)
            if int.from_bytes(frames[:4]) > 1:
                raise ScanError("the PNG is animated; photochrom colors still images only")
        elif name in TOLD and length <= LONGEST_BODY:
            _listen(chunks, name, file, length)
        else:
            _pass_over(chunks, name, file, length)
        if name == b"IEND":
            _look_behind(chunks, file)
            return chunks
    raise DamagedError(f"there are more than {MOST_CHUNKS:,} chunks")


def _look_behind(chunks: _Chunks, file: BinaryIO) -> None:
    """Name what follows the last chunk."""
    behind = -file.tell() + file.seek(0, os.SEEK_END)
    if behind < 0:
        raise DamagedError("the file ends within its last chunk")
    if behind:
        chunks.lost.append(f"{behind:,} bytes behind the picture's end")


def _pass_over(chunks: _Chunks, name: bytes, file: BinaryIO, length: int) -> None:
    """Skip a chunk of pixels, or one that results do not carry, which is named as lost."""
    chunks.transparent += length * (name == b"tRNS")
    file.seek(length + 4, os.SEEK_CUR)
    if name not in DECODED | OF_THE_FILE:
        what = OTHERS.get(name, "too long" if name in TOLD else "which nobody knows")
        chunks.lost.append(f"the chunk {name.decode()} ({what}), {length:,} bytes")


def _bare(file: BinaryIO) -> bytes:
    """Return the file without metadata, about which libpng would warn on standard error.

    Verifies checksums, because libpng does not name the damaged chunk.
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
    """Read a chunk's body and verify its checksum."""
    body, check = file.read(length), file.read(4)
    if len(body) < length or check != struct.pack(">I", zlib.crc32(body, zlib.crc32(name))):
        raise DamagedError(f"the chunk {name.decode('latin-1')} is damaged")
    return body


def _listen(chunks: _Chunks, name: bytes, file: BinaryIO, length: int) -> None:
    """Store what a metadata chunk says; damage costs only the chunk."""
    after = file.tell() + length + 4
    try:
        _take(chunks, name, _body(file, name, length))
    except (ValueError, struct.error, zlib.error, IndexError) as error:
        chunks.lost.append(f"the chunk {name.decode()}: {plain(error)}")
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
        _take_size(chunks, *struct.unpack(">IIB", body))
    elif name == b"eXIf":
        chunks.exif = body
    elif name in {b"tEXt", b"zTXt", b"iTXt"}:
        _take_text(chunks, *_text(chunks, name, body))


def _take_size(chunks: _Chunks, x: int, y: int, unit: int) -> None:
    """Store the pixels per meter, or name the aspect ratio of pixels as lost."""
    if unit == 1 and x and y:
        chunks.dpi = (_dpi(x), _dpi(y))
    elif x != y:
        chunks.lost.append(f"the shape of its pixels, {x} to {y} (chunk pHYs)")


def _take_text(chunks: _Chunks, keyword: str, text: str) -> None:
    if keyword.lower().startswith(RAW_PROFILE):
        kind = keyword[len(RAW_PROFILE) :].lower()
        _name, _length, digits = text.strip().split("\n", 2)
        chunks.raw[kind] = bytes.fromhex(digits)
    else:
        chunks.texts.append((keyword, text))


def _dpi(per_meter: int) -> float:
    """Return dots per inch, as a whole number if that is what was meant."""
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
        raise DamagedError("it has too much compressed text")
    stream = zlib.decompressobj()
    body = stream.decompress(data, min(LONGEST_BODY, chunks.room))
    chunks.room -= len(body)
    if not stream.eof:
        raise DamagedError("it is cut short or too large")
    return body


def _metadata(chunks: _Chunks, samples: int) -> Metadata:
    raw = chunks.raw
    app1 = raw.get("app1", b"")
    exif = chunks.exif or raw.get("exif") or (app1 if app1.startswith(b"Exif\0\0") else b"")
    packets = [text for keyword, text in chunks.texts if keyword == XMP_KEYWORD]
    xmp = packets[0].encode() if packets else raw.get("xmp", b"")
    if not xmp and app1.startswith(XMP_SIGNATURE):
        xmp = app1.removeprefix(XMP_SIGNATURE)
    exif = exif_tags.prefixed(exif)
    lost = chunks.lost
    lost += [f"a raw profile of type {kind[:40]}" for kind in raw if kind not in RAW_KINDS]
    lost += ["a second XMP packet"] * (len(set(packets)) > 1)
    profile = chunks.profile or raw.get("icc", b"") or raw.get("icm", b"")
    try:
        profile = profile or _profile_of_gamma(chunks, samples)
    except (ValueError, RuntimeError) as error:
        lost.append(f"gAMA and cHRM: {plain(error)}")
    # IPTC from a raw profile may be in Photoshop's wrapping, with other resources beside it.
    wrapped = [data for data in (raw.get("iptc", b""), raw.get("8bim", b"")) if data]
    resources = photoshop.taken(b"".join(data for data in wrapped if not data.startswith(b"\x1c")))
    iptc = next((data for data in wrapped if data.startswith(b"\x1c")), b"")
    lost += (*resources.lost, *resources.unused(iptc, exif, xmp))
    exif = exif or resources.exif
    exif, texts = _with_texts(exif, chunks)
    return Metadata(
        exif=exif,
        iptc=iptc or resources.iptc,
        xmp=xmp or resources.xmp,
        profile=profile or resources.profile,
        dpi=chunks.dpi or exif_tags.resolution(exif) or resources.dpi,
        lost=tuple(lost),
        photoshop=resources.kept,
        texts=texts,
    )


def _with_texts(exif: bytes, chunks: _Chunks) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Move PNG's standard texts to EXIF; return the others too."""
    held, wanted = exif_tags.texts(exif), dict[int, str]()
    others: dict[tuple[str, bytes], None] = {}
    for keyword, text in chunks.texts:
        tag = TEXTS.get(keyword)
        if not text or keyword == XMP_KEYWORD or keyword.lower().startswith(OF_NO_WORTH):
            continue
        if tag is None or held.get(tag, wanted.get(tag, text)) != text:
            others[keyword, text.encode()] = None
        else:
            wanted[tag] = text
    try:
        return exif_tags.with_texts(exif, wanted), tuple(others)
    except ValueError:  # of a block that cannot be read, which others report
        words = {tag: keyword for keyword, tag in TEXTS.items()}
        moved = [(words[tag], text.encode()) for tag, text in wanted.items()]
        return exif, (*moved, *others)


def _profile_of_gamma(chunks: _Chunks, samples: int) -> bytes:
    """Build a profile from gAMA and cHRM; b"" if they are absent or mean sRGB."""
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
