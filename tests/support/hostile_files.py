"""Hostile files for tests: honest ones cut short or scribbled over, bombs, loops, lies, garbage.

What no damage by chance finds is in `malicious_files.py`; here are the honest files it starts from.
"""

import io
import random
from collections.abc import Iterator

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.support import malicious_files, output_pages, tiff_files
from tests.support.format_matrix_cases import packed
from tests.support.heic_files import LYING, data_of
from tests.support.synthetic_photos import as_rgb, encoded, gray_scene, in_each_kind
from worker.formats import jpeg, jpeg2000, png_writer, webp
from worker.formats.tiff import writer as tiff_writer

HEIGHT, WIDTH = 40, 48
CUTS = 16
CUT = ("plain", "rich", "pages", "predicted", "progressive")  # of those files
FLIPPED = 2  # copies of each honest file, with flipped bytes: one, and one in a hundred
SEED = 4
WRONG = {".tif": ".jpg", ".jpg": ".png", ".png": ".webp", ".webp": ".jp2", ".jp2": ".jxl"}
WRONG |= {".jxl": ".bmp", ".bmp": ".pgm", ".pgm": ".heic", ".heic": ".tif"}


def honest() -> dict[str, bytes]:
    """Return small black-and-white files of every kind and many variants, by name.

    Those called rich have all metadata there is.
    """
    gray, deep = gray_scene(HEIGHT, WIDTH), gray_scene(HEIGHT, WIDTH, 16)
    rich = output_pages.page(as_rgb(gray), output_pages.rich())
    found = {f"plain{suffix}": data for suffix, data in in_each_kind(deep).items()}
    found |= {
        "rich.tif": output_pages.stored(tiff_writer.write, rich),
        "rich.jpg": output_pages.stored(jpeg.write, rich),
        "rich.png": output_pages.stored(png_writer.write, rich),
        "rich.webp": output_pages.stored(webp.write, rich),
        "rich.jp2": output_pages.stored(jpeg2000.write, rich),
        "rich.heic": data_of(LYING),
        "lossy.webp": encoded("WEBP", as_rgb(gray), quality=90),
        "progressive.jpg": encoded("JPEG", as_rgb(gray), progressive=True),
        "bare.j2k": bytes(imagecodecs.jpeg2k_encode(gray, 40, codecformat="j2k")),
        "packed.jxl": bytes(imagecodecs.jpegxl_encode(gray, level=90)),
        "ascii.pgm": b"P2 8 4 255\n" + b" ".join(b"%d" % code for code in gray.ravel()[:32]),
        "bits.png": encoded("PNG", gray > 99),
        "letters.bmp": _with_mode(gray, "P", "BMP"),
        "letters.png": _with_mode(gray, "P", "PNG"),
        "inks.jpg": _with_mode(gray, "CMYK", "JPEG"),
    }
    return found | _tiffs(gray)


def _tiffs(gray: tiff_files.Array) -> dict[str, bytes]:
    """Return TIFFs of many compressions and layouts."""
    deep = gray.astype(np.uint16) * 257
    several = io.BytesIO()
    with tifffile.TiffWriter(several, bigtiff=True, byteorder=">") as writer:
        for _ in range(3):
            writer.write(deep, photometric="minisblack", compression="lzw", metadata=None)
    bilevel = Image.fromarray(gray > 99)
    return {
        "pages.tif": several.getvalue(),
        "tiles.tif": tiff_files.written(gray, tile=(16, 16), compression="zstd"),
        "predicted.tif": tiff_files.written(deep, compression="zlib", predictor=2, rowsperstrip=8),
        "packbits.tif": tiff_files.written(gray, compression="packbits", rowsperstrip=8),
        "jpeg.tif": tiff_files.pillows(Image.fromarray(gray), compression="jpeg"),
        "fax.tif": tiff_files.pillows(bilevel, compression="group4"),
        "float.tif": tiff_files.written((gray / 255).astype(np.float32), compression="zlib"),
        "jp2k.tif": tiff_files.written(gray, compression="jpeg2000", tile=(16, 16)),
        "webp.tif": tiff_files.written(as_rgb(gray), compression="webp", rowsperstrip=16),
        "below.tif": _below_thumbnail(deep),
        "twelve.tif": tiff_files.plain(
            tiff_files.gray_fields(WIDTH, HEIGHT, 12), [packed(deep >> 4, 12)]
        ),
        "signed.tif": tiff_files.written(
            (deep >> 1).astype(np.int16), compression="lzw", predictor=2
        ),
        "wide.tif": tiff_files.written(deep.astype(np.uint32) * 65537, tile=(16, 16)),
        "half.tif": tiff_files.written((gray / 255).astype(np.float16), rowsperstrip=8),
        "lab.tif": tiff_files.written(_lab(gray), photometric="cielab", compression="lzw"),
        "ycbcr.tif": _ycbcr(gray),
        "old.tif": _old_jpeg(gray),
        "lzma.tif": tiff_files.written(gray, compression="lzma", rowsperstrip=16),
    }


def _below_thumbnail(deep: tiff_files.Array) -> bytes:
    """Return a TIFF whose photograph stands in a directory below its thumbnail's."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(deep[::4, ::4], photometric="minisblack", metadata=None, subfiletype=1,
                     subifds=1)  # fmt: skip
        writer.write(deep, photometric="minisblack", metadata=None, compression="zlib")
    return file.getvalue()


def _lab(gray: tiff_files.Array) -> tiff_files.Array:
    """Return gray as lightness of L*a*b*."""
    return np.dstack([gray, np.zeros_like(gray), np.zeros_like(gray)])


def _ycbcr(gray: tiff_files.Array) -> bytes:
    """Return a TIFF of YCbCr without JPEG, one color for four pixels."""
    light = gray.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).transpose(0, 2, 1, 3)
    none = np.full((HEIGHT // 2, WIDTH // 2, 2), 128, np.uint8)
    units = np.dstack([light.reshape(HEIGHT // 2, WIDTH // 2, 4), none])
    fields = tiff_files.gray_fields(WIDTH, HEIGHT, 8, t262=6, t277=3)
    return tiff_files.plain([*fields, (530, 3, [2, 2])], [units.tobytes()])


def _old_jpeg(gray: tiff_files.Array) -> bytes:
    """Return a TIFF of old-style JPEG: a stream, and a strip of codes within it."""
    stream = encoded("JPEG", gray)
    codes = stream.index(b"\xff\xda") + 10
    fields = tiff_files.gray_fields(WIDTH, HEIGHT, 8, t259=6)
    fields += [(513, 4, 8), (514, 4, codes), (273, 4, 8 + codes), (279, 4, len(stream) - codes)]
    return tiff_files.plain(fields, [stream])


def _with_mode(gray: tiff_files.Array, mode: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gray).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def files() -> Iterator[tuple[str, bytes]]:
    """Give all hostile files, with a name that says what was done to them."""
    sources = honest()
    yield from _cut(sources)
    yield from _flipped(sources)
    yield from _misnamed(sources)
    yield from malicious_files.files()


def _cut(sources: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Cut each file short at each sixteenth."""
    for name, data in sources.items():
        for part in range(CUTS if name.startswith(CUT) else 0):
            yield f"cut-{part:02}-{name}", data[: len(data) * part // CUTS]


def _flipped(sources: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Change some bytes: one in the header, or one in a hundred anywhere."""
    rng = random.Random(SEED)  # noqa: S311 - the same files each time
    for name, data in sources.items():
        for copy in range(FLIPPED):
            spoiled = bytearray(data)
            end = len(data) if copy % 2 else min(len(data), 200)
            for _ in range(1 + len(data) // 100 * (copy % 2)):
                spoiled[rng.randrange(end)] = rng.randrange(256)
            yield f"flipped-{copy}-{name}", bytes(spoiled)


def _misnamed(sources: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Give files the suffix of another kind."""
    for name, data in sources.items():
        stem, dot, suffix = name.rpartition(".")
        if dot + suffix in WRONG:
            yield f"misnamed-{stem}-{suffix}{WRONG[dot + suffix]}", data
