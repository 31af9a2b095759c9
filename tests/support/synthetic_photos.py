"""Photographs made for tests: scenes in gray, one tone and color, in files honest and hostile.

Nothing here is a real photograph, so nothing here has a license.
"""

import io
import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from worker.metadata.provenance import Origin
from worker.scan import Page, Scan

Array = NDArray[Any]


def gray_scene(height: int, width: int, depth: int = 8, seed: int = 0) -> Array:
    """Paint a black-and-white scene (H, W) with slopes, edges and grain, over all codes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = 0.5 + 0.4 * np.sin(7 * x + 3 * y + seed) + 0.2 * (np.hypot(x - 0.4, y - 0.3) < 0.2)
    light = light - 0.25 * ((x > 0.6) & (y > 0.3)) + rng.normal(0, 0.02, (height, width))
    low, high = light.min(), light.max()
    light = (light - low) / (high - low) if high > low else np.full_like(light, 0.5)
    return np.rint(light * (2**depth - 1)).astype(dtype_of(depth))


def color_scene(height: int, width: int, seed: int = 0) -> Array:
    """Paint a colored scene (H, W, 3) uint8 that no single tone explains: sky, meadow, things."""
    rng = np.random.default_rng(seed)
    rgb = np.empty((height, width, 3), np.uint8)
    horizon = round(height * rng.uniform(0.3, 0.7))
    rgb[:horizon] = (90, 140, 220)
    rgb[horizon:] = (80, 150, 60)
    for _ in range(6):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(rng.integers(max(2, height // 10), max(3, height // 4)))
        rgb = cv2.circle(rgb, center, radius, tuple(int(c) for c in rng.integers(0, 256, 3)), -1)
    return np.clip(rgb + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)


def sepia(gray: Array) -> Array:
    """Tone a gray picture (H, W) brown, as an album print; (H, W, 3) of the same depth."""
    top = np.iinfo(gray.dtype).max
    light = gray / top
    brown = np.stack([light**0.8, light, light**1.3], axis=-1)
    return np.rint(brown * top).astype(gray.dtype)


def as_rgb(gray: Array) -> Array:
    """Repeat a gray picture into three equal channels."""
    return np.repeat(gray[..., None], 3, axis=-1)


def dtype_of(depth: int) -> type[np.uint8 | np.uint16]:
    """Return the type of samples of 8 or 16 bits."""
    return np.uint8 if depth == 8 else np.uint16


def one_page(gray: Array, kind: str = "png", **page: Any) -> Scan:
    """Return a scan in memory, of sRGB gray codes, as if it had come from a file of a kind."""
    return Scan((replace(Page.of(gray), **page),), kind)


def origin(name: str = "harbor.tif") -> Origin:
    """Return where a result comes from, made up."""
    event = "6d9c4f0e-6ef2-4a5c-9d0b-3a4f5b6c7d8e"
    when = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
    return Origin(name, "a" * 64, "7", "b" * 64, "photochrom 0.1.0", event, when)


def save(path: Path, pixels: Array, **options: Any) -> Path:
    """Write pixels (H, W) or (H, W, 3) in the kind the suffix says; options go to the encoder."""
    if path.suffix in {".tif", ".tiff"}:
        tifffile.imwrite(
            path, pixels, **{"photometric": "rgb" if pixels.ndim == 3 else "minisblack", **options}
        )
    elif pixels.dtype == np.uint16:
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        Image.fromarray(pixels).save(path, **options)
    return path


def encoded(kind: str, pixels: Array, **options: Any) -> bytes:
    """Return the bytes of a picture in Pillow's format `kind`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def in_each_kind(gray: Array) -> dict[str, bytes]:
    """Return files of a gray picture (H, W), by suffix, as other programs write them.

    All are lossless but the JPEG; 8-bit kinds hold 8 bits. HEIC is missing: nothing here writes it.
    """
    coarse = gray if gray.dtype == np.uint8 else np.rint(gray / 257).astype(np.uint8)
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, gray, photometric="minisblack", compression="zlib", rowsperstrip=16)
    pgm = b"P5 %d %d %d\n" % (*gray.shape[::-1], np.iinfo(gray.dtype).max)
    return {
        ".tif": tiff.getvalue(),
        ".jpg": encoded("JPEG", coarse, quality=95),
        ".png": bytes(imagecodecs.png_encode(gray)),
        ".webp": encoded("WEBP", as_rgb(coarse), lossless=True),
        ".jp2": bytes(imagecodecs.jpeg2k_encode(gray, codecformat="jp2", reversible=True)),
        ".bmp": encoded("BMP", coarse),
        ".pgm": pgm + gray.astype(gray.dtype.newbyteorder(">")).tobytes(),
        ".jxl": bytes(imagecodecs.jpegxl_encode(gray, lossless=True)),
    }


def exif_block(orientation: int, artist: str = "A. Nonymous") -> bytes:
    """Return an EXIF block with an orientation, an artist and a date."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x013B] = artist
    exif.get_ifd(0x8769)[0x9003] = "1931:05:17 12:00:00"
    return exif.tobytes()


def turned(upright: Array, orientation: int) -> Array:
    """Lay an upright picture down as a camera held that way (EXIF 1 to 8) would have stored it."""
    stored = {
        1: lambda p: p,
        2: np.fliplr,
        3: lambda p: np.rot90(p, 2),
        4: np.flipud,
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: np.rot90(p.swapaxes(0, 1), 2),
        8: lambda p: np.rot90(p, -1),
    }[orientation](upright)
    return np.ascontiguousarray(stored)


def png_bomb(width: int, height: int) -> bytes:
    """Return a small PNG whose header claims a huge picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, body) for name, body in chunks)


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def plain_tiff(
    width: int, height: int, bits: int, photometric: int, strip: bytes, *, samples: int = 1
) -> bytes:
    """Write a TIFF of one plain strip by hand, for headers that no honest encoder writes."""
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, bits),  # replaced by a place below when there are several samples
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 0),  # replaced by the strip's place
        (277, 3, samples),
        (278, 4, height),
        (279, 4, len(strip)),
    ]
    directory_size = 2 + 12 * len(entries) + 4
    bits_at = 8 + directory_size
    strip_at = bits_at + 2 * samples
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        if tag == 258 and samples > 2:
            directory += struct.pack("<HHII", tag, kind, samples, bits_at)
        else:
            directory += struct.pack("<HHII", tag, kind, 1, strip_at if tag == 273 else value)
    directory += struct.pack("<I", 0)
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + directory
        + struct.pack(f"<{samples}H", *[bits] * samples)
        + strip
    )
