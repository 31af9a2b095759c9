"""The TIFFs of the format matrix: codings, layouts, samples, colors and pages.

Most are written by tifffile, some by libtiff (Pillow), those of few bits by hand.
"""

import io
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image

from tests.support import tiff_files
from tests.support.color_formulas import SRGB
from tests.support.format_matrix_cases import (
    HEIGHT,
    WIDTH,
    Case,
    Stored,
    opacity,
    packed,
    paletted,
    scene,
)
from tests.support.old_style_jpeg import in_tags
from tests.support.synthetic_photos import Array, as_rgb, encoded, gray_scene, sepia, turned
from tests.support.tiff_files import units


def tiffs_of_each_coding() -> Iterator[Case]:
    """Make TIFFs of two depths, five compressions and both byte orders; three predict."""
    names = {None: "NONE", "lzw": "LZW", "zlib": "ADOBE_DEFLATE", "packbits": "PACKBITS",
             "zstd": "ZSTD"}  # fmt: skip
    for depth, compression, order in product((8, 16), names, "<>"):
        predictor = compression in {"lzw", "zlib", "zstd"} and depth == 16
        data = tiff_files.written(
            scene(depth), compression=compression, byteorder=order, predictor=predictor
        )
        stored = Stored(names[compression], order)
        name = f"tiff-{depth}-{compression}-{'mm' if order == '>' else 'ii'}.tif"
        yield Case(name, data, (scene(depth),), stored=stored)


def tiff_layouts() -> Iterator[Case]:
    """Make TIFFs of strips, tiles and planes, large offsets, and all ways to lie."""
    rgb = as_rgb(scene(16))
    planes = np.moveaxis(rgb, -1, 0)
    deflate = Stored("ADOBE_DEFLATE")
    ways: dict[str, tuple[Array, Stored, dict[str, Any]]] = {
        "tiles": (scene(16), deflate, {"tile": (32, 16), "compression": "zlib"}),
        "tiles-8": (scene(), Stored(), {"tile": (16, 32)}),
        "rows": (scene(16), Stored("LZW"), {"rowsperstrip": 1, "compression": "lzw"}),
        "strips": (scene(), Stored(order=">"), {"rowsperstrip": 7, "byteorder": ">"}),
        "big": (scene(16), Stored(big=True), {"bigtiff": True}),
        "big-mm": (
            scene(16),
            Stored("ADOBE_DEFLATE", ">", big=True),
            {"bigtiff": True, "byteorder": ">", "compression": "zlib"},
        ),
        "planes": (planes, Stored(), {"planarconfig": "separate"}),
        "planes-lzw": (
            planes,
            Stored("LZW"),
            {"planarconfig": "separate", "compression": "lzw", "tile": (16, 16)},
        ),
    }
    for name, (pixels, stored, options) in ways.items():
        data = tiff_files.written(pixels, photometric="rgb" if pixels is planes else "minisblack",
                             **options)  # fmt: skip
        yield Case(f"tiff-{name}.tif", data, (rgb if pixels is planes else pixels,), stored=stored)
    for orientation in range(2, 9):
        lying = turned(scene(16), orientation)
        data = tiff_files.written(lying, extratags=[(274, 3, 1, orientation, True)])
        yield Case(f"tiff-turned-{orientation}.tiff", data, (lying,), orientation=orientation)


def tiff_samples() -> Iterator[Case]:
    """Make gray TIFFs of 1 to 32 bits, with zeros black or white."""
    for depth in (8, 16):
        data = tiff_files.written(~scene(depth), photometric="miniswhite")
        yield Case(f"tiff-white-{depth}.tif", data, (scene(depth),))
    for bits, white in product((2, 4), (0, 1)):  # MinIsWhite, MinIsBlack
        codes = scene() >> (8 - bits)
        shown = codes * np.uint8(255 // (2**bits - 1))
        fields = tiff_files.gray_fields(WIDTH, HEIGHT, bits, t262=white)
        data = tiff_files.plain(fields, [packed(codes, bits)])
        pages = (shown if white else 255 - shown,)
        yield Case(f"tiff-{bits}-{'black' if white else 'white'}.tif", data, pages)
    ink = scene() > 127
    for name in ("group3", "group4", "packbits", "tiff_lzw", "raw"):
        data = tiff_files.pillows(Image.fromarray(ink), compression=name)
        kept = {"packbits": "PACKBITS", "tiff_lzw": "LZW", "raw": "NONE"}
        stored = Stored(kept.get(name, "ADOBE_DEFLATE"))
        yield Case(f"tiff-1-{name}.tif", data, (ink * np.uint8(255),), stored=stored, tones=False)
    light = (scene(16) / 65535).astype(np.float32)
    for name, stored, options in (
        ("plain", Stored(), {}),
        ("mm", Stored(order=">"), {"byteorder": ">"}),
        ("deflate", Stored("ADOBE_DEFLATE"), {"compression": "zlib", "predictor": 3}),
    ):
        data = tiff_files.written(light, **options)
        yield Case(f"tiff-float-{name}.tif", data, (scene(16),), real=True, stored=stored)


def tiff_depths() -> Iterator[Case]:
    """Make TIFFs of the depths that scanners and programs write beside 8 and 16 bits."""
    fine = scene(16)
    for bits in (3, 6, 10, 12, 14):
        codes, limit = fine >> (16 - bits), 255 if bits <= 8 else 65535
        shown = np.rint(codes / (2**bits - 1) * limit).astype(np.uint8 if bits <= 8 else np.uint16)
        data = tiff_files.plain(tiff_files.gray_fields(WIDTH, HEIGHT, bits), [packed(codes, bits)])
        yield Case(f"tiff-{bits}-bits.tif", data, (shown,))
    wide = fine.astype(np.uint32) * 65537
    stored = Stored("LZW", ">")
    data = tiff_files.written(wide, compression="lzw", predictor=2, byteorder=">")
    yield Case("tiff-32-bits.tif", data, (fine,), stored=stored)
    for kind, gray in ((np.int8, scene()), (np.int16, fine)):
        bits = 8 * gray.itemsize
        signed = (gray.astype(np.int32) + np.iinfo(kind).min).astype(kind)
        yield Case(f"tiff-signed-{bits}.tif", tiff_files.written(signed), (gray,))
        top = 2 ** (bits - 1) - 1
        half = gray >> 1
        shown = np.rint(half / top * (2**bits - 1)).astype(gray.dtype)
        yield Case(f"tiff-signed-half-{bits}.tif", tiff_files.written(half.astype(kind)), (shown,))
    for kind in (np.float16, np.float64):
        light = (fine / 65535).astype(kind)
        shown = np.rint(light.astype(np.float64) * 65535).astype(np.uint16)
        name = f"tiff-float-{8 * light.itemsize}.tif"
        yield Case(name, tiff_files.written(light), (shown,), real=True)
    rgb = as_rgb(fine / 65535).astype(np.float32)
    yield Case("tiff-float-rgb.tif", tiff_files.written(rgb), (as_rgb(fine),), real=True)


def tiff_models() -> Iterator[Case]:
    """Make TIFFs of L*a*b* and of YCbCr without JPEG, and old-style JPEG with tables in tags."""
    for depth in (8, 16):
        white = 2**depth - 1
        light = np.rint(SRGB.lightness(scene(depth)) / 100 * white).astype(scene(depth).dtype)
        lab = np.dstack([light, np.zeros_like(light), np.zeros_like(light)])
        shown = _codes_of_lightness(light / white * 100)
        for name, pixels, options in (
            ("lab", lab, {"photometric": "cielab"}),
            ("lab-lzw", lab, {"photometric": "cielab", "compression": "lzw", "predictor": 2}),
        ):
            data = tiff_files.written(pixels, **options)
            kept = Stored("LZW" if "compression" in options else "NONE")
            yield Case(f"tiff-{name}-{depth}.tif", data, (shown,), exact=False, stored=kept)
    gray = scene()
    for steps in ((1, 1), (2, 2), (4, 2)):
        fields = tiff_files.gray_fields(WIDTH, HEIGHT, 8, t262=6, t277=3)
        data = tiff_files.plain([*fields, (530, 3, list(steps))], [units(gray, steps)])
        yield Case(f"tiff-ycbcr-{steps[0]}{steps[1]}.tif", data, (as_rgb(gray),))
    stream = encoded("JPEG", gray_scene(64, 80), quality=90)
    data = in_tags([stream], 64, ended=True, gray=True)
    pages = (imagecodecs.jpeg8_decode(stream),)
    yield Case("tiff-old-jpeg.tif", data, pages, stored=Stored("JPEG"), lossy=True)


def _codes_of_lightness(light: Array) -> Array:
    """Give the 16-bit codes of sRGB nearest to some L*."""
    all_codes = np.arange(65536, dtype=np.uint16)
    lights = SRGB.lightness(all_codes[None])[0]
    found = np.interp(light, lights, all_codes.astype(np.float64))
    return np.rint(found).astype(np.uint16)


def tiff_colors() -> Iterator[Case]:
    """Make TIFFs of gray saved as RGB, toned prints, palettes, opacity, and JPEG inside."""
    for depth in (8, 16):
        gray = scene(depth)
        yield Case(f"tiff-rgb-{depth}.tif", tiff_files.written(as_rgb(gray)), (as_rgb(gray),))
        brown = sepia(gray)
        yield Case(f"tiff-sepia-{depth}.tif", tiff_files.written(brown), (brown,), toned=True)
        alpha = opacity(depth)
        both = np.dstack([gray, alpha])
        data = tiff_files.written(both, photometric="minisblack", extrasamples=["unassalpha"],
                             planarconfig="contig")  # fmt: skip
        yield Case(f"tiff-alpha-{depth}.tif", data, (gray,), alpha=alpha)
        rgba = np.dstack([as_rgb(gray), alpha])
        data = tiff_files.written(rgba, extrasamples=["unassalpha"], compression="zlib")
        stored = Stored("ADOBE_DEFLATE")
        yield Case(f"tiff-rgba-{depth}.tif", data, (as_rgb(gray),), alpha=alpha, stored=stored)
    yield _premultiplied()
    shown, indexes, palette = paletted()
    image = Image.fromarray(indexes)
    image.putpalette(palette.tobytes())
    yield Case("tiff-palette.tif", tiff_files.pillows(image, compression="tiff_lzw"), (shown,),
               stored=Stored("LZW"))  # fmt: skip
    inside = {
        "gray": tiff_files.written(scene(), compression="jpeg", compressionargs={"level": 95}),
        "pillow": tiff_files.pillows(Image.fromarray(scene()), compression="jpeg", quality=95),
        "ycbcr": tiff_files.pillows(
            Image.fromarray(as_rgb(scene())), compression="jpeg", quality=95
        ),
        "tiles": tiff_files.written(scene(), compression="jpeg", tile=(32, 32)),
    }
    for name, data in inside.items():
        pages = (np.asarray(Image.open(io.BytesIO(data))),)
        yield Case(f"tiff-jpeg-{name}.tif", data, pages, stored=Stored("JPEG"), lossy=True)


def _premultiplied() -> Case:
    alpha = np.maximum(opacity(16), 30000)
    gray = np.rint(scene(16) * (alpha / 65535)).astype(np.uint16)
    data = tiff_files.written(np.dstack([gray, alpha]), photometric="minisblack",
                         extrasamples=["assocalpha"], planarconfig="contig")  # fmt: skip
    shown = np.minimum(np.rint(gray / alpha * 65535), 65535).astype(np.uint16)
    return Case("tiff-premultiplied.tif", data, (shown,), alpha=alpha, exact=False)


def tiffs_of_pages() -> Iterator[Case]:
    """Make TIFFs of several pages: alike, of two depths and sizes, and two with a thumbnail."""
    three = tuple(scene(16, seed) for seed in range(3))
    stored = Stored("ADOBE_DEFLATE")
    yield Case("pages-3.tif", _pages(three, compression="zlib"), three, stored=stored)
    big = {"bigtiff": True, "byteorder": ">"}
    yield Case(
        "pages-big-mm.tif", _pages(three, **big), three, stored=Stored("NONE", ">", big=True)
    )
    mixed = (scene(16), gray_scene(40, 97, 8, 5))
    yield Case("pages-mixed.tif", _pages(mixed), mixed)
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(scene(16), photometric="minisblack", metadata=None)
        tiff.write(scene()[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
    yield Case("pages-thumbnail.tif", file.getvalue(), (scene(16),))
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        tiff.write(as_rgb(scene()[::4, ::4]), photometric="rgb", metadata=None, subfiletype=1,
                   subifds=1)  # fmt: skip
        tiff.write(scene(16), photometric="minisblack", metadata=None)
    yield Case("pages-below-thumbnail.tif", file.getvalue(), (scene(16),))


def _pages(pages: Sequence[Array], **options: Any) -> bytes:
    form = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **form) as tiff:
        for page in pages:
            tiff.write(page, photometric="minisblack", metadata=None, **options)
    return file.getvalue()
