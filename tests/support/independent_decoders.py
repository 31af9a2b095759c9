"""Decoding colored photographs with other libraries than those that photochrom stored them with.

photochrom lays TIFF and PNG out itself and packs them with imagecodecs and zlib; JPEG and JPEG 2000
come from imagecodecs, WebP from Pillow. So OpenCV looks at the results with its
libtiff, libpng, OpenJPEG and libwebp, and Pillow with its libtiff and libjpeg.
"""

import io
import re
import struct
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image, JpegImagePlugin

from tests.support.synthetic_photos import Array


class Form(NamedTuple):
    """How a TIFF's pages are stored: each page's bits and compression by name, and the file."""

    bits: tuple[int, ...]
    compressions: tuple[str, ...]
    order: str
    big: bool


def decoder(path: Path) -> str:
    """Choose who decodes a photograph: not who stored it.

    One exception: ZSTD of 16 bits, which only tifffile reads; Pillow looks at that of 8 bits.
    """
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        return "Pillow"
    if path.suffix in {".tif", ".tiff"}:
        form = tiff_form(path)
        if set(form.bits) == {8}:
            return "Pillow"
        return "tifffile" if "ZSTD" in form.compressions else "OpenCV"
    return "OpenCV"


@cache
def pages(path: Path) -> tuple[Array, ...]:
    """Decode a photograph: each page (H, W, 3 or 4), as stored; uint8, uint16 or float32."""
    if decoder(path) == "Pillow":
        with Image.open(path) as image:
            return tuple(_frame(image, number) for number in range(getattr(image, "n_frames", 1)))
    if decoder(path) == "tifffile":
        with tifffile.TiffFile(path) as tiff:
            return tuple(page.asarray() for page in tiff.pages)
    whole, found = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
    assert whole, f"OpenCV cannot decode {path.name}"
    return tuple(bgr[..., [2, 1, 0, 3][: bgr.shape[2]]] for bgr in found)


def _frame(image: Image.Image, number: int) -> Array:
    image.seek(number)
    assert image.mode in {"RGB", "RGBA"}
    return np.asarray(image)


@cache
def tiff_form(path: Path) -> Form:
    """Return how a TIFF is stored, by tifffile, which photochrom does not write with."""
    with tifffile.TiffFile(path) as tiff:
        return Form(
            tuple(page.bitspersample for page in tiff.pages),
            tuple(page.compression.name for page in tiff.pages),
            tiff.byteorder,
            tiff.is_bigtiff,
        )


def is_lossless(path: Path) -> bool:
    """Tell from the stream itself whether a photograph was stored without loss."""
    data = path.read_bytes()
    match path.suffix.lower():
        case ".png":
            return True
        case ".tif" | ".tiff":
            return "JPEG" not in tiff_form(path).compressions
        case ".webp":
            return b"VP8L" in data
        case ".jp2":  # the codestream's marker COD, its last byte but for precincts
            return data[data.index(b"\xff\x52") + 13] == 1
        case _:
            return False


def jpeg_form(path: Path) -> tuple[int, dict[int, list[int]]]:
    """Return a JPEG's subsampling (0 is 4:4:4) and its quantization tables."""
    with Image.open(path) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return JpegImagePlugin.get_sampling(image), image.quantization


def tables_of_quality(quality: int) -> dict[int, list[int]]:
    """Return the quantization tables that libjpeg has for a quality."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return image.quantization


def color_profiles(path: Path) -> list[bytes]:
    """Return the ICC profiles in a file, one for each page."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return [image.info["icc_profile"]]
    data = path.read_bytes()
    starts = [found.start() - 36 for found in re.finditer(rb"acsp", data)]
    return [data[at : at + struct.unpack_from(">I", data, at)[0]] for at in starts]
