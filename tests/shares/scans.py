"""Scans that are worth being interrupted: each its own picture, in each kind of file."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

from tests.shares.local_writer import write_pages
from tests.support.independent_decoders import pages as decoded
from tests.support.synthetic_photos import Array, encoded, gray_scene

SIDE = 720  # pixels: large enough that every client sends it in many pieces
_CLOSE_ENOUGH = 6.0  # of 255; JPEG and the rounding of a few colors


@dataclass(frozen=True)
class DecodedImage:
    """A scan: its file as the client has it, and what is to be seen on each page."""

    suffix: str
    data: bytes
    pages: tuple[Array, ...]

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.data).hexdigest()

    def differs_from(self, result: Path) -> str:
        """Say in what a result does not show all of this scan, or ""."""
        found = decoded(result)
        if len(found) != len(self.pages):
            return f"it has {len(found)} of {len(self.pages)} pages"
        for number, (page, result_page) in enumerate(zip(self.pages, found, strict=True), 1):
            if page.shape != result_page.shape[:2]:
                return f"page {number} is of {result_page.shape[:2]}, not {page.shape}"
            apart = np.abs(_light(page) - _light(result_page)).mean(axis=1)  # (H,)
            if apart.max() > _CLOSE_ENOUGH:
                return f"page {number} is another picture from row {int(apart.argmax())} on"
        return ""


def raw(seed: int) -> DecodedImage:
    """Make an uncompressed TIFF, its directory first: cut anywhere, it opens."""
    return _tiff(_scene(seed))


def raw_16(seed: int) -> DecodedImage:
    """Make one of 16 bits."""
    return _tiff(_scene(seed)[: SIDE // 2].astype(np.uint16) * 257)


def directory_last(seed: int) -> DecodedImage:
    """Make a compressed TIFF as libtiff writes it: what is in it is said at its end."""
    page = _scene(seed)
    return DecodedImage(".tif", encoded("TIFF", page, compression="tiff_lzw"), (page,))


def jpeg(seed: int) -> DecodedImage:
    """Make a JPEG."""
    page = _scene(seed)
    return DecodedImage(".jpg", encoded("JPEG", page, quality=98), (page,))


def png(seed: int) -> DecodedImage:
    """Make a PNG."""
    page = _scene(seed)[: SIDE // 2]
    return DecodedImage(".png", bytes(imagecodecs.png_encode(page, level=1)), (page,))


def three_pages(seed: int, folder: Path) -> DecodedImage:
    """Make a TIFF of three pages, as `local_writer.write_pages` does without a pause."""
    scene = _scene(seed)
    pages = tuple(np.ascontiguousarray(scene[top : top + 240]) for top in (0, 240, 480))
    path = folder / f"{seed}.tif"
    write_pages(path, pages, lambda: None)
    data = path.read_bytes()
    path.unlink()
    return DecodedImage(".tif", data, pages)


KINDS: tuple[Callable[[int], DecodedImage], ...] = (raw, jpeg, directory_last, raw_16, png)


@cache
def _base() -> Array:
    return gray_scene(SIDE, SIDE)


def _scene(seed: int) -> Array:
    """Give another picture for each number, quickly."""
    turned = np.roll(_base(), (seed * 29, seed * 131), axis=(0, 1))
    return np.ascontiguousarray(turned // 2 + seed % 100)


def _tiff(page: Array) -> DecodedImage:
    file = io.BytesIO()
    tifffile.imwrite(file, page, photometric="minisblack", metadata=None)
    return DecodedImage(".tif", file.getvalue(), (page,))


def _light(page: Array) -> Array:
    """Return the lightness of a page, 0..255 (H, W) float32; 8 bits are enough to see it."""
    coarse = page if page.dtype == np.uint8 else (page >> 8).astype(np.uint8)
    rgb = coarse[..., :3] if coarse.ndim == 3 else np.repeat(coarse[..., None], 3, axis=-1)
    lab: Array = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2LAB)
    return lab[..., 0].astype(np.float32)
