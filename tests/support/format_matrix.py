"""Scans of every kind, depth, compression, byte order and profile, with what each must show.

The truth of a case is the scene it was made of, or, where storing it lost something, what another
decoder than photochrom's finds in it. Light is computed by hand, from the profile's formula.
"""

import importlib.util
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from tests.support import tiff_files
from tests.support.color_formulas import ADOBE, DOT_GAIN, GAMMA, GRAYS, PROPHOTO, RGBS, SRGB
from tests.support.format_matrix_cases import HEIGHT, WIDTH, Case, opacity, packed, paletted, scene
from tests.support.format_matrix_tiffs import (
    tiff_colors,
    tiff_depths,
    tiff_layouts,
    tiff_models,
    tiff_samples,
    tiffs_of_each_coding,
    tiffs_of_pages,
)
from tests.support.heic_files import LYING, data_of, slope
from tests.support.synthetic_photos import Array, as_rgb, encoded, exif_block, sepia, turned

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
         (1, 0, 2, 1))  # fmt: skip


def all_cases() -> list[Case]:
    """Make all scans."""
    makers = (tiffs_of_each_coding, tiff_layouts, tiff_samples, tiff_depths, tiff_colors,
              tiff_models, tiffs_of_pages, profiled, jpegs, pngs, jpeg2000s, webps, plain_kinds,
              modern_kinds)  # fmt: skip
    return [case for make in makers for case in make()]


def profiled() -> Iterator[Case]:
    """Make scans with each profile, gray and RGB, of 8 and 16 bits, neutral and toned."""
    for depth, (name, light) in product((8, 16), GRAYS.items()):
        data = tiff_files.written(scene(depth), iccprofile=light.profile)
        yield Case(f"icc-{name}-{depth}.tif", data, (scene(depth),), light)
    for depth, (name, light) in product((8, 16), RGBS.items()):
        rgb = as_rgb(scene(depth))
        data = tiff_files.written(rgb, iccprofile=light.profile)
        yield Case(f"icc-{name}-{depth}.tif", data, (rgb,), light)
    for name, light in (("adobe", ADOBE), ("prophoto", PROPHOTO)):
        brown = sepia(scene(16))
        data = tiff_files.written(brown, iccprofile=light.profile)
        yield Case(f"icc-sepia-{name}.tif", data, (brown,), light, toned=True)
    data = encoded("PNG", scene(), icc_profile=DOT_GAIN.profile)
    yield Case("icc-dotgain20.png", data, (scene(),), DOT_GAIN)
    data = encoded("PNG", as_rgb(scene()), icc_profile=ADOBE.profile)
    yield Case("icc-adobe.png", data, (as_rgb(scene()),), ADOBE)
    data = encoded("JPEG", scene(), quality=95, icc_profile=GAMMA.profile)
    yield Case("icc-gamma22.jpg", data, (imagecodecs.jpeg8_decode(data),), GAMMA, lossy=True)
    data = encoded("WEBP", as_rgb(scene()), lossless=True, icc_profile=ADOBE.profile)
    yield Case("icc-adobe.webp", data, (as_rgb(scene()),), ADOBE)


def jpegs() -> Iterator[Case]:
    """Make JPEGs; their truth is what libjpeg finds by imagecodecs, photochrom's is Pillow's."""
    brown, lying = sepia(scene()), turned(scene(), 6)
    made = {
        "gray.jpg": encoded("JPEG", scene(), quality=95),
        "gray-progressive.jpeg": encoded("JPEG", scene(), quality=90, progressive=True),
        "rgb.jpg": encoded("JPEG", as_rgb(scene()), quality=95),
        "rgb-progressive.jpg": encoded("JPEG", as_rgb(scene()), quality=95, progressive=True),
        "sepia.JPG": encoded("JPEG", brown, quality=95, subsampling=0),
        "turned.jpg": encoded("JPEG", lying, quality=95, exif=exif_block(6)),
    }
    for name, data in made.items():
        codes = imagecodecs.jpeg8_decode(data)
        orientation = 6 if name == "turned.jpg" else 1
        yield Case(f"jpeg-{name}", data, (codes,), orientation=orientation, lossy=True)
    inks = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    inks[..., 3] = 255 - scene()
    file = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(file, "JPEG", quality=95)  # as Adobe does, inverted
    paper = imagecodecs.jpeg8_decode(file.getvalue(), outcolorspace="CMYK") / 255
    shown = np.rint(paper[..., :3] * paper[..., 3:] * 255).astype(np.uint8)
    yield Case("jpeg-cmyk.jpg", file.getvalue(), (shown,), lossy=True)
    fine = (scene(16) >> 4).astype(np.uint16)
    data = bytes(imagecodecs.jpeg8_encode(fine, 95, bitspersample=12))
    shown = np.rint(imagecodecs.jpeg8_decode(data) * (65535 / 4095)).astype(np.uint16)
    yield Case("jpeg-12.jpg", data, (shown,), lossy=True)


def pngs() -> Iterator[Case]:
    """Make PNGs by hand: 1 to 16 bits, gray, RGB, palette, opacity, interlaced."""
    for bits in (1, 2, 4):
        codes = scene() >> (8 - bits)
        shown = codes * np.uint8(255 // (2**bits - 1))
        yield Case(f"png-{bits}.png", png(codes, bits, 0), (shown,), tones=bits > 1)
    for depth in (8, 16):
        gray, alpha = scene(depth), opacity(depth)
        rgb = as_rgb(gray)
        yield Case(f"png-{depth}.png", png(gray, depth, 0), (gray,))
        yield Case(f"png-rgb-{depth}.png", png(rgb, depth, 2), (rgb,))
        yield Case(f"png-sepia-{depth}.png", png(sepia(gray), depth, 2), (sepia(gray),), toned=True)
        data = png(np.dstack([gray, alpha]), depth, 4)
        yield Case(f"png-alpha-{depth}.png", data, (gray,), alpha=alpha)
        data = png(np.dstack([rgb, alpha]), depth, 6)
        yield Case(f"png-rgba-{depth}.png", data, (rgb,), alpha=alpha)
        data = png(gray, depth, 0, interlaced=True)
        yield Case(f"png-interlaced-{depth}.png", data, (gray,))
    shown, indexes, palette = paletted()
    colors = (b"PLTE", palette.tobytes())
    yield Case("png-palette.png", png(indexes, 8, 3, colors), (shown,))
    clear = (b"tRNS", bytes(range(0, 256, 2)))  # the rest is opaque
    alpha = np.where(indexes < 128, indexes * 2, 255).astype(np.uint8)
    yield Case("png-palette-alpha.png", png(indexes, 8, 3, colors, clear), (shown,), alpha=alpha)
    gamma = (b"gAMA", struct.pack(">I", 55556))  # 1 / 1.8
    data = png(scene(16), 16, 0, gamma)
    yield Case("png-gamma.png", data, (scene(16),), replace(SRGB, linear=lambda v: v**1.8))


def jpeg2000s() -> Iterator[Case]:
    """Make JPEG 2000s with Pillow; the truth of lossy ones is what OpenCV finds."""
    rgb = as_rgb(scene())
    for name, pixels in (("8", scene()), ("16", scene(16)), ("rgb", rgb)):
        yield Case(f"jp2-{name}.jp2", encoded("JPEG2000", pixels), (pixels,))
    lossy = {"quality_mode": "dB", "quality_layers": [48], "irreversible": True}
    for name, pixels in (("8", scene()), ("16", scene(16))):
        data = encoded("JPEG2000", pixels, **lossy)
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        yield Case(f"jp2-lossy-{name}.jp2", data, (np.asarray(found),), lossy=True)
    data = encoded("JPEG2000", scene(), no_jp2=True)
    yield Case("jp2-bare.j2k", data, (scene(),))


def webps() -> Iterator[Case]:
    """Make WebPs with Pillow, which finds the truth of the lossy one, too."""
    rgb = as_rgb(scene())
    yield Case("webp-lossless.webp", encoded("WEBP", rgb, lossless=True), (rgb,))
    rgba = np.dstack([rgb, opacity()])
    data = encoded("WEBP", rgba, lossless=True, exact=True)
    yield Case("webp-alpha.webp", data, (rgb,), alpha=opacity())
    data = encoded("WEBP", rgb, quality=90)
    yield Case("webp-lossy.webp", data, (np.asarray(Image.open(io.BytesIO(data))),), lossy=True)


def plain_kinds() -> Iterator[Case]:
    """Make BMPs with Pillow, and PBM, PGM and PPM by hand, raw and in decimal numbers."""
    rgb, ink = as_rgb(scene()), scene() > 127
    yield Case("bmp-gray.bmp", encoded("BMP", scene()), (scene(),))
    yield Case("bmp-rgb.bmp", encoded("BMP", rgb), (rgb,))
    yield Case("bmp-1.bmp", encoded("BMP", ink), (ink * np.uint8(255),), tones=False)
    size = b"%d %d\n" % (WIDTH, HEIGHT)
    black = ~ink
    yield Case("pbm.pbm", b"P4\n" + size + np.packbits(black, axis=1).tobytes(),
               (ink * np.uint8(255),), tones=False)  # fmt: skip
    for depth in (8, 16):
        gray, white = scene(depth), b"%d\n" % (2**depth - 1)
        raw = gray.astype(gray.dtype.newbyteorder(">")).tobytes()
        yield Case(f"pgm-{depth}.pgm", b"P5\n" + size + white + raw, (gray,))
        raw = as_rgb(gray).astype(gray.dtype.newbyteorder(">")).tobytes()
        yield Case(f"ppm-{depth}.ppm", b"P6\n" + size + white + raw, (as_rgb(gray),))
    numbers = "\n".join(" ".join(map(str, row)) for row in scene(16).tolist()).encode()
    yield Case("pgm-text.pgm", b"P2\n" + size + b"65535\n" + numbers, (scene(16),))


def modern_kinds() -> Iterator[Case]:
    """Make JPEG XLs, whose 16 bits imagecodecs calls linear; a HEIC was made once, elsewhere."""
    for depth, light in ((8, SRGB), (16, replace(SRGB, linear=lambda codes: codes))):
        data = bytes(imagecodecs.jpegxl_encode(scene(depth), lossless=True))
        yield Case(f"jxl-{depth}.jxl", data, (scene(depth),), light)
    upright = np.rot90(slope().astype(np.uint8), -1)  # as decoding gives it
    if importlib.util.find_spec("pi_heif"):  # the extra heif
        yield Case("heic.heic", data_of(LYING), (upright,), lossy=True)


def png(
    codes: Array, bits: int, color_type: int, *chunks: tuple[bytes, bytes], interlaced: bool = False
) -> bytes:
    """Write a PNG by hand: codes (H, W) or (H, W, channels), never filtered."""
    height, width = codes.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlaced)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = [
        b"\0" + packed(row[None], bits)
        for top, left, down, across in passes
        for row in codes[top::down, left::across]
    ]
    body = (b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in ((b"IHDR", header), *chunks, body, (b"IEND", b""))
    )
