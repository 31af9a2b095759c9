"""Hostile files made by hand: small ones that say or unpack to much, loops, lies, garbage.

Each is named after what it does; `files` gives them all.
"""

import random
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.support import tiff_files
from tests.support.synthetic_photos import encoded, exif_block, gray_scene
from worker.formats.isobmff import box

MEGA = 1 << 20
HUGE = 0x7FFFFFFF
SIDE = 4400  # just below the limit with which these are read, of 20 megapixels
SIGNATURE = b"\x89PNG\r\n\x1a\n"
LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">%s]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>&a9;</a></x:xmpmeta>""" % b"".join(
    b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10)
)
OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><a>&e;</a></x:xmpmeta>"""
DEEP = b"<a>" * 100_000
PACKETS = {
    "laughs": LAUGHS,
    "outside": OUTSIDE,
    "deep": DEEP,
    "utf16": LAUGHS.decode().encode("utf-16"),
}


def files() -> Iterator[tuple[str, bytes]]:
    """Give all of them, with their names; a part at a time, for some are large."""
    for part in (
        *(_none, _pngs, _png_texts, _jpegs, _webps, _jpeg2000s, _bitmaps),
        *(_tiff_structures, _tiff_values, _tiff_pixels),
    ):
        yield from part().items()


def _none() -> dict[str, bytes]:
    """Nothing, or next to nothing, or something else, under each suffix."""
    noise = random.Random(1).randbytes(5000)  # noqa: S311 - the same files each time
    found: dict[str, bytes] = {}
    for suffix in ("tif", "jpg", "png", "webp", "jp2", "bmp", "pgm", "heic", "jxl"):
        found |= {f"empty.{suffix}": b"", f"noise.{suffix}": noise, f"byte.{suffix}": b"\xff"}
    starts = {"tif": b"II*\0", "jpg": b"\xff\xd8\xff", "png": SIGNATURE, "pgm": b"P5", "bmp": b"BM"}
    starts |= {"webp": b"RIFF\xff\xff\xff\xffWEBP", "jp2": b"\xff\x4f\xff\x51", "jxl": b"\xff\x0a"}
    starts |= {"heic": b"\0\0\0\x18ftypheic"}
    found |= {f"begins.{suffix}": start + noise for suffix, start in starts.items()}
    return found | {"letter.jpg": b"Dear archivist,\n", "paper.tif": b"%PDF-1.7\n" + noise}


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    *between: bytes,
    size: tuple[int, int] = (8, 8),
    form: tuple[int, ...] = (8, 0, 0, 0, 0),
    pixels: bytes = bytes(72),
) -> bytes:
    """Return a PNG with chunks between header and pixels."""
    header = chunk(b"IHDR", struct.pack(">II5B", *size, *form))
    parts = [header, *between, chunk(b"IDAT", zlib.compress(pixels, 1)), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(parts)


def _pngs() -> dict[str, bytes]:
    second = chunk(b"IHDR", struct.pack(">II5B", SIDE, SIDE, 8, 0, 0, 0, 0))
    return {
        "huge.png": png(size=(HUGE, HUGE)),
        "wide.png": png(size=(65535, 1), pixels=bytes(65536)),
        "tall.png": png(size=(1, 65535), pixels=bytes(2 * 65535)),
        "dot.png": png(size=(1, 1), pixels=bytes(2)),
        "nothing.png": png(size=(0, 8)),
        "below-limit.png": png(size=(SIDE, SIDE)),
        "inflates.png": png(pixels=bytes(100 * MEGA)),
        "two-headers.png": png(second),
        "color-type.png": png(form=(8, 5, 0, 0, 0)),
        "three-bits.png": png(form=(3, 0, 0, 0, 0)),
        "no-palette.png": png(form=(8, 3, 0, 0, 0)),
        "interlaced.png": png(form=(8, 0, 0, 0, 1)),
        "filter.png": png(pixels=b"\x09" + bytes(71)),
        "long-chunk.png": SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(50),
        "no-pixels.png": SIGNATURE
        + chunk(b"IHDR", struct.pack(">II5B", 8, 8, 8, 0, 0, 0, 0))
        + chunk(b"IEND", b""),
        "headless.png": SIGNATURE + chunk(b"IEND", b""),
        "transparent.png": png(chunk(b"tRNS", bytes(500))),
        "many-chunks.png": png(*[chunk(b"tEXt", b"a%d\0b" % n) for n in range(100_000)]),
        "many-strips.png": png(*[chunk(b"IDAT", b"")] * 100_000),
        "gamma.png": png(chunk(b"gAMA", bytes(3) + b"\1"), chunk(b"cHRM", bytes(32))),
    }


def _png_texts() -> dict[str, bytes]:
    bomb = zlib.compress(bytes(70 * MEGA), 1)
    text = zlib.compress(b"a" * 60 * MEGA, 1)
    texts = [chunk(b"zTXt", b"a%d\0\0" % number + text) for number in range(40)]
    xmp = b"XML:com.adobe.xmp\0\0\0\0\0"
    found = {f"xmp-{name}.png": png(chunk(b"iTXt", xmp + x)) for name, x in PACKETS.items()}
    return found | {
        "profile-inflates.png": png(chunk(b"iCCP", b"a\0\0" + bomb)),
        "text-inflates.png": png(chunk(b"zTXt", b"a\0\0" + bomb)),
        "texts-inflate.png": png(*texts),
        "exif-50mb.png": png(chunk(b"eXIf", b"II*\0" + b"\x08" * 50 * MEGA)),
        "raw-profile.png": png(chunk(b"tEXt", b"Raw profile type exif\0\nexif\n8\nzz")),
        "xmp-50mb.png": png(chunk(b"iTXt", xmp + b"<a>" + b"a" * 50 * MEGA + b"</a>")),
    }


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _with_segments(*segments: bytes) -> bytes:
    data = encoded("JPEG", gray_scene(16, 16))
    return data[:2] + b"".join(segments) + data[2:]


def _with_frame(height: int, width: int, **options: Any) -> bytes:
    """Return a JPEG whose header lies about its size."""
    data = bytearray(encoded("JPEG", gray_scene(16, 16), **options))
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def scans(number: int) -> bytes:
    """Return a progressive JPEG of 19 megapixels, with so many scans of nothing."""
    data = _with_frame(SIDE, SIDE, progressive=True)
    empty = _segment(0xDA, b"\1\1\0\1\x3f\0")
    return data[: data.rindex(b"\xff\xda")] + (empty + b"\0" * 60) * number + b"\xff\xd9"


def _jpegs() -> dict[str, bytes]:
    icc = b"ICC_PROFILE\0\1\1"
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    noise = random.Random(2).randbytes(4000)  # noqa: S311 - the same files each time
    looped = b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0"
    profile = bytearray(imagecodecs.cms_profile("gray", gamma=2.2))
    profile[128:132] = b"\xff\xff\xff\xff"
    found = {
        f"xmp-{n}.jpg": _with_segments(_segment(0xE1, xmp + x[:60_000])) for n, x in PACKETS.items()
    }
    return found | {
        "segments.jpg": _with_segments(*[_segment(0xE0 + n % 16, b"a" * 9) for n in range(10_000)]),
        "profiles.jpg": _with_segments(*[_segment(0xE2, icc + noise)] * 10_000),
        "comments.jpg": _with_segments(*[_segment(0xFE, b"a" * 300)] * 10_000),
        "profile-noise.jpg": _with_segments(_segment(0xE2, icc + noise)),
        "profile-tags.jpg": _with_segments(_segment(0xE2, icc + bytes(profile))),
        "exif-noise.jpg": _with_segments(_segment(0xE1, b"Exif\0\0II*\0" + noise)),
        "exif-loop.jpg": _with_segments(_segment(0xE1, looped)),
        "exif-turned.jpg": _with_segments(_segment(0xE1, exif_block(999))),
        "iptc-noise.jpg": _with_segments(_segment(0xED, b"Photoshop 3.0\0008BIM" + noise)),
        "junk.jpg": b"\xff\xd8\xff" + b"a" * 50 * MEGA,
        "fill.jpg": b"\xff\xd8" + b"\xff" * 50 * MEGA,
        "huge.jpg": _with_frame(65535, 65535),
        "below-limit.jpg": _with_frame(SIDE, SIDE),
        "below-limit-progressive.jpg": _with_frame(SIDE, SIDE, progressive=True),
        "no-height.jpg": _with_frame(0, 16),
        "scans.jpg": scans(20_000),
        "wide.jpg": encoded("JPEG", gray_scene(1, 65500)),
        "dot.jpg": encoded("JPEG", gray_scene(1, 1)),
        "headless.jpg": b"\xff\xd8\xff\xd9",
    }


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a WebP of these chunks."""
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webps() -> dict[str, bytes]:
    data = encoded("WEBP", gray_scene(16, 16), lossless=True)
    picture = (b"VP8L", data[20:])
    canvas = (b"VP8X", bytes(4) + b"\xff" * 6)
    fitting = (b"VP8X", b"\x2c\0\0\0" + b"\x0f\0\0" * 2)
    flat = encoded("WEBP", np.zeros((16383, 1300), np.uint8), lossless=True, quality=0, method=0)
    found = {f"xmp-{n}.webp": riff(fitting, picture, (b"XMP ", x)) for n, x in PACKETS.items()}
    return found | {
        "canvas.webp": riff(canvas, picture),
        "unpacks.webp": flat,
        "other-size.webp": riff((b"VP8X", bytes(4) + b"\xff\x0f\0" * 2), picture),
        "animated.webp": riff((b"VP8X", b"\2" + bytes(9)), picture),
        "short-header.webp": riff((b"VP8X", b"\0"), picture),
        "many-chunks.webp": riff(*[(b"abcd", b"")] * 2_000_000, picture),
        "long.webp": b"RIFF\xff\xff\xff\xffWEBPICCP\xff\xff\xff\xff" + data,
        "no-picture.webp": riff((b"EXIF", b"a")),
        "exif-noise.webp": riff(fitting, picture, (b"EXIF", b"MM\0*" + b"\xff" * 5000)),
        "profile-50mb.webp": riff(fitting, (b"ICCP", b"acsp" * 13 * MEGA), picture),
    }


def _codestream(width: int, height: int, tile: int, channels: int = 1) -> bytes:
    """Return the header of a codestream and one empty tile."""
    sizes = struct.pack(">H8IH", 0, width, height, 0, 0, tile, tile, 0, 0, channels)
    style = b"\0\0\xff\xff\0\0\4\4\0\1"
    start = struct.pack(">HIBB", 0, 14, 0, 1)
    return (
        b"\xff\x4f"
        + _segment(0x51, sizes + b"\7\1\1" * channels)
        + _segment(0x52, style)
        + _segment(0x5C, b"\x40\x40")
        + _segment(0x90, start)
        + b"\xff\x93\xff\xd9"
    )


def _jpeg2000s() -> dict[str, bytes]:
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    plain = bytes(imagecodecs.jpeg2k_encode(gray_scene(16, 16), codecformat="j2k", reversible=True))
    xmp = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    packed = bytes(imagecodecs.brotli_encode(bytes(60 * MEGA), level=1))
    nested = b""
    for _ in range(1000):
        nested = box(b"res ", nested)
    palette = box(b"pclr", b"\xff\xff\xff" + b"\xff" * 300)
    return {
        "huge.j2k": _codestream(HUGE, HUGE, HUGE),
        "below-limit.j2k": _codestream(SIDE, SIDE, SIDE),
        "tiles.j2k": _codestream(SIDE, SIDE, 28, 4),
        "dots.j2k": _codestream(SIDE, SIDE, 1),
        "channels.j2k": _codestream(64, 64, 64, 16384),
        "nothing.j2k": _codestream(0, 0, 1),
        "flat.j2k": bytes(
            imagecodecs.jpeg2k_encode(
                np.zeros((SIDE, SIDE), np.uint8), codecformat="j2k", reversible=True
            )
        ),
        "palette.jp2": signature + box(b"jp2h", palette) + box(b"jp2c", plain),
        "nested.jp2": signature + box(b"jp2h", nested) + box(b"jp2c", plain),
        "long-box.jp2": signature + b"\0\0\0\1jp2c" + b"\xff" * 8 + plain,
        "boxes.jp2": signature + box(b"free") * 500_000,
        "two.jp2": signature + box(b"jp2c", plain) * 2,
        "space.jp2": signature
        + box(b"jp2h", box(b"colr", b"\2\0\0" + b"\xff" * MEGA))
        + box(b"jp2c", plain),
        "xmp-laughs.jp2": signature + box(b"uuid", xmp, LAUGHS) + box(b"jp2c", plain),
        "ones.jxl": b"\xff\x0a" + b"\xff" * 4096,
        "huge.jxl": b"\xff\x0a\xf8\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(100),
        "boxes.jxl": b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"free") * 500_000,
        "unpacks.jxl": b"\0\0\0\x0cJXL \r\n\x87\n"
        + b"".join(box(b"brob", b"a%03d" % number, packed) for number in range(40))
        + box(b"jxlc", bytes(imagecodecs.jpegxl_encode(gray_scene(16, 16)))),
    }


def _bitmaps() -> dict[str, bytes]:
    def bmp(width: int, height: int, bits: int, packing: int, body: bytes) -> bytes:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, 0, 0, 0, 256, 0)
        return (
            b"BM" + struct.pack("<IHHI", 1078 + len(body), 0, 0, 1078) + info + bytes(1024) + body
        )

    return {
        "huge.bmp": bmp(HUGE, HUGE, 8, 0, b""),
        "negative.bmp": bmp(-16, -16, 8, 0, bytes(256)),
        "lowest.bmp": bmp(-(2**31), -(2**31), 8, 0, b""),
        "below-limit.bmp": bmp(SIDE, SIDE, 8, 0, bytes(100)),
        "runs.bmp": bmp(SIDE, SIDE, 8, 1, b"\xff\1" * 200_000),
        "jumps.bmp": bmp(SIDE, SIDE, 8, 1, b"\0\2\xff\xff" * 10_000),
        "jpeg.bmp": bmp(16, 16, 0, 4, bytes(256)),
        "huge.pgm": b"P5 999999999 999999999 255\n",
        "digits.pgm": b"P5 " + b"9" * 60_000 + b" 1 255\n",
        "spaces.pgm": b"P5" + b" " * 60_000 + b"x",
        "comments.pgm": b"P5" + b"#\n" * 30_000 + b"x",
        "white.pgm": b"P5 4 4 70000\n" + bytes(32),
        "no-white.pgm": b"P5 4 4 0\n" + bytes(32),
        "below-limit.pgm": b"P5 4400 4400 255\n" + bytes(100),
        "words.pgm": b"P2 4 4 255\n" + b"white " * 16,
        "minus.pgm": b"P2 4 4 255\n" + b"-1 " * 16,
        "endless.pgm": b"P2 4400 4400 255\n " + b"1" * 50 * MEGA,
        "blank.pgm": b"P2 4400 4400 255\n" + b" " * 50 * MEGA,
        "blank.pbm": b"P1 4400 4400\n" + b" " * 50 * MEGA,
        "wide.pgm": b"P5 65535 1 255\n" + bytes(65535),
        "dot.pbm": b"P4 1 1\n\x80",
    }


def _chain(*following: int) -> bytes:
    """Return a TIFF of directories at bytes 8, 1008, 2008..., each followed by a given place."""
    fields = {tag: (kind, value) for tag, kind, value in tiff_files.gray_fields(8, 8, 8)}
    fields |= {273: (4, 500), 279: (4, 64)}
    pages = (
        tiff_files.directory(fields, 8 + 1000 * number, following=after).ljust(1000, b"\0")
        for number, after in enumerate(following)
    )
    return b"II*\0\x08\0\0\0" + b"".join(pages)


def _tiff(strip: bytes = bytes(64), *, side: int = 8, bits: int = 8, **others: object) -> bytes:
    """Return a gray TIFF by hand; `others` like t317=2 stand beside or instead of its tags."""
    return tiff_files.plain(tiff_files.gray_fields(side, side, bits, **others), [strip])


def _with(tag: int, kind: int, value: object) -> bytes:
    """Return a gray TIFF with one tag more."""
    return tiff_files.plain([*tiff_files.gray_fields(8, 8, 8), (tag, kind, value)], [bytes(64)])


def _counting(tag: int, kind: int, count: int, at: int = 8) -> bytes:
    """Return a gray TIFF one of whose tags says it has so many values, at a place."""
    data = bytearray(_with(tag, 4, 1))
    (directory,) = struct.unpack_from("<I", data, 4)
    (rows,) = struct.unpack_from("<H", data, directory)
    for row in range(directory + 2, directory + 2 + 12 * rows, 12):
        if struct.unpack_from("<H", data, row)[0] == tag:
            struct.pack_into("<HHII", data, row, tag, kind, count, at)
    return bytes(data)


def _below(number: int, *, nested: bool = False) -> bytes:
    """Return a TIFF with so many directories below its page, side by side or each below another."""
    data = bytearray(b"II*\0") + bytes(4) + bytes(64)
    places: list[int] = []
    for _ in range(number):
        fields = {tag: (kind, value) for tag, kind, value in tiff_files.gray_fields(8, 8, 8)}
        fields |= {273: (4, 8), 279: (4, 64)}
        if nested and places:
            fields[330] = (4, places[-1])
        places.append(len(data))
        data += tiff_files.directory(fields, len(data))
    struct.pack_into("<I", data, 4, len(data))
    fields[330] = (4, places[-1:] if nested else places)
    return bytes(data + tiff_files.directory(fields, len(data)))


def _old_jpegs(number: int) -> bytes:
    """Return a TIFF of so many pages that are one old-style JPEG, of very many segments."""
    stream = b"\xff\xd8" + b"\xff\xfe\0\2" * 150 + encoded("JPEG", gray_scene(8, 8))[2:]
    data = bytearray(b"II*\0") + struct.pack("<I", 8 + len(stream)) + stream
    for page in range(number):
        fields = {
            tag: (kind, value) for tag, kind, value in tiff_files.gray_fields(8, 8, 8, t259=6)
        }
        fields |= {273: (4, 8), 279: (4, len(stream)), 513: (4, 8), 514: (4, len(stream))}
        size = len(tiff_files.directory(fields, 0))
        following = len(data) + size if page + 1 < number else 0
        data += tiff_files.directory(fields, len(data), following=following)
    return bytes(data)


def _tiff_structures() -> dict[str, bytes]:
    big = struct.pack("<4sHHQ", b"II+\0", 8, 0, 2**63)
    full = b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 65535 * 12
    many = _chain(*[8 + 1000 * n for n in range(1, 11_000)], 0)
    return {
        "self.tif": _chain(8),
        "circle.tif": _chain(1008, 2008, 8),
        "many-pages.tif": many,
        "beyond.tif": b"II*\0\xff\xff\xff\xff",
        "odd.tif": b"II*\0\x09\0\0\0" + bytes(100),
        "no-directory.tif": b"II*\0\0\0\0\0",
        "no-tags.tif": b"II*\0\x08\0\0\0\0\0\0\0\0\0",
        "full.tif": full,
        "far.tif": big,
        "big-count.tif": struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, 2**62) + bytes(500),
        "sub-self.tif": _with(330, 4, 264),
        "sub-many.tif": _with(330, 4, [8] * 100_000),
        "sub-pages.tif": _below(3_000),
        "sub-sub-pages.tif": _below(3_000, nested=True),
        "old-jpeg-pages.tif": _old_jpegs(300),
        "exif-self.tif": _with(34665, 4, 72),
        "gps-beyond.tif": _with(34853, 4, 0xFFFFFFF0),
        "page-two-beyond.tif": _chain(0xFFFFFFF0),
    }


def _tiff_values() -> dict[str, bytes]:
    texts = {270: 2, 305: 2, 33432: 2, 700: 1, 33723: 7, 34377: 7, 34675: 7, 37500: 7}
    numbers = {256: 4, 258: 3, 262: 3, 273: 4, 278: 4, 279: 4, 282: 5, 320: 3, 324: 4, 338: 3}
    numbers |= {339: 3, 347: 7, 530: 3, 33628: 4, 34412: 1, 42113: 2}
    found: dict[str, bytes] = {}
    for tag, kind in (texts | numbers).items():
        found[f"count-{tag}.tif"] = _counting(tag, kind, 0xFFFFFFFF)
        found[f"outside-{tag}.tif"] = _counting(tag, kind, 1000, 0xFFFFFF00)
    for tag in (256, 257, 258, 259, 262, 274, 277, 278, 284, 296, 317):
        for value in (0, 65535):
            found[f"value-{tag}-{value}.tif"] = _tiff(**{f"t{tag}": value})
    found |= {f"xmp-{name}.tif": _with(700, 1, packet) for name, packet in PACKETS.items()}
    return found | {
        "kind.tif": _counting(270, 99, 5),
        "xmp-50mb.tif": _with(700, 1, b"<a>" + b"a" * 50 * MEGA + b"</a>"),
        "profile-50mb.tif": _with(34675, 7, bytes(36) + b"acsp" + bytes(50 * MEGA)),
        "ome.tif": _with(270, 2, b'<?xml version="1.0"?><OME>' + LAUGHS + b"</OME>\0"),
        "shaped.tif": _with(270, 2, b'{"shape": [999999999, 999999999]}\0'),
        "imagej.tif": _with(270, 2, b"ImageJ=1.11a\nimages=99999999\nslices=99999999\n\0"),
    }


def _tiff_pixels() -> dict[str, bytes]:
    zeros = bytes(100 * MEGA)
    packed = {8: zlib.compress(zeros, 1), 5: bytes(imagecodecs.lzw_encode(zeros))}
    packed |= {50000: bytes(imagecodecs.zstd_encode(zeros, level=1)), 32773: b"\x81\0" * MEGA}
    packed |= {34925: bytes(imagecodecs.lzma_encode(zeros, level=1))}
    packed |= {7: encoded("JPEG", np.zeros((SIDE, SIDE), np.uint8)), 4: b"\xff" * MEGA}
    packed |= {34712: _codestream(HUGE, HUGE, HUGE), 50001: _webps()["canvas.webp"]}
    found: dict[str, bytes] = {}
    for compression, strip in packed.items():
        bits = 1 if compression == 4 else 8
        found[f"inflates-{compression}.tif"] = _tiff(strip, t259=compression, bits=bits)
        found[f"deflates-{compression}.tif"] = _tiff(
            strip[:40], t259=compression, side=SIDE, bits=bits
        )
    tiles: Iterable[tuple[int, int]] = ((0, 0), (1, 1), (16, 0), (HUGE, HUGE), (65520, 16))
    for wide, tall in tiles:
        fields = [f for f in tiff_files.gray_fields(64, 64, 8) if f[0] != 278]
        fields += [(322, 4, wide), (323, 4, tall), (324, 4, [8] * 16), (325, 4, [256] * 16)]
        found[f"tiles-{wide}-{tall}.tif"] = tiff_files.plain(fields, [bytes(64)])
    claimed = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 50) + b"\1\0\0"
    rows = [f for f in tiff_files.gray_fields(SIDE, SIDE, 8) if f[0] != 278]
    return found | {
        "claims.tif": _tiff(claimed, t259=50000),
        "samples.tif": _tiff(t277=65535, t258=[8] * 9),
        "wide.tif": tiff_files.plain(tiff_files.gray_fields(65535, 1, 8), [bytes(65535)]),
        "dot.tif": _tiff(bytes(1), side=1),
        "short.tif": _tiff(bytes(10)),
        "long.tif": _tiff(bytes(MEGA)),
        "nan.tif": _tiff(b"\xff" * 256, bits=32, t339=3),
        "no-strips.tif": tiff_files.plain(
            [*tiff_files.gray_fields(8, 8, 8), (273, 4, b""), (279, 4, b"")], [b""]
        ),
        "row-strips.tif": tiff_files.plain([*rows, (278, 4, 1)], [b""] * SIDE),
        "same-strips.tif": tiff_files.plain(
            [*rows, (278, 4, 1), (273, 4, [8] * SIDE), (279, 4, [0xFFFFFFF] * SIDE)], [bytes(8000)]
        ),
        "huge.tif": _tiff(side=HUGE),
    }
