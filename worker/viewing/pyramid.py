"""Writes a page as JPEG tiles for viewers that zoom: IIIF Image API 3, level 0, static files.

Rows stream through: each level holds one row of its tiles and hands the level above the half of it,
so memory does not grow with a page's height. File names are the API's canonical URIs.
"""

import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from worker.color.cielab import Pixels
from worker.display import display_bands, halved, shrunk
from worker.errors import DeviceError
from worker.formats.image import DecodedImage
from worker.scan import SIDEWAYS, upright

TILE = 512  # pixels of a tile's side
QUALITY = 85  # of JPEG, 4:4:4: colors are judged by these pixels
THUMBNAIL = 240  # pixels of the long side
FIT = 1600  # pixels of the long side of a view of the whole page
INFO = "info.json"


class Size(NamedTuple):
    """Columns and rows of an upright image."""

    width: int
    height: int

    def within(self, side: int) -> "Size":
        """Return this size made small enough for a long side, or itself."""
        scale = min(1.0, side / max(self))
        return Size(max(1, round(self.width * scale)), max(1, round(self.height * scale)))

    def reduced(self, factor: int) -> "Size":
        """Return this size at 1 / factor, as IIIF rounds it."""
        return Size(-(-self.width // factor), -(-self.height // factor))


def scale_factors(size: Size) -> list[int]:
    """Return the powers of two by which a page is reduced until one tile holds it: 1, 2, 4 ..."""
    factors = [1]
    while max(size.reduced(factors[-1])) > TILE:
        factors.append(2 * factors[-1])
    return factors


def whole_sizes(size: Size) -> list[Size]:
    """Return the sizes in which the whole page is there as one file, smallest first.

    The first is the thumbnail, the last the view that fits a window. OpenSeadragon takes a list
    that is as long as there are levels for the levels' own sizes (6.x looks closer, what Mirador
    and Universal Viewer have does not), so two sizes more go where it would be.
    """
    factors = scale_factors(size)
    sizes = {size.within(THUMBNAIL), size.reduced(factors[-1]), size.within(FIT)}
    if len(factors) in {3, 4}:
        sizes |= {size.within(640), size.within(1024)}
    return sorted(sizes, key=sum)


def info(size: Size, identifier: str) -> dict[str, Any]:
    """Return what info.json says: which files there are.

    Args:
        size: of the upright page.
        identifier: URL of the folder.
    """
    limit = {"maxWidth": FIT, "maxHeight": FIT} if max(size) > FIT else {}  # what `max` gives
    return {
        "@context": "http://iiif.io/api/image/3/context.json",
        "id": identifier,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level0",
        "width": size.width,
        "height": size.height,
        **limit,
        "sizes": [one._asdict() for one in whole_sizes(size)],
        "tiles": [{"width": TILE, "height": TILE, "scaleFactors": scale_factors(size)}],
    }


def write_pyramid(
    image: DecodedImage, folder: Path, identifier: str, widths: Sequence[int] = ()
) -> Size:
    """Write all tiles and sizes of a page, and info.json last.

    Args:
        image: the page; its bands are read once.
        folder: exists and is empty.
        identifier: URL of the folder, for info.json.
        widths: of further files of the whole page, by names of Image API 2 such as `full/90,`, for
            viewers that ask for these whatever info.json says.

    Returns:
        The upright page's size.

    Raises:
        IncompleteError: it is cut short, or cannot be decoded.
        OSError: the disk is full or failed.
    """
    pyramid = _Pyramid(image, folder)
    for top, rows in _upright_rows(image):
        pyramid.put(top, rows)
    pyramid.write_sizes(widths)
    text = json.dumps(info(pyramid.size, identifier), indent=1)
    (folder / INFO).write_text(text + "\n", encoding="utf-8")
    return pyramid.size


def thumbnail(image: DecodedImage, side: int = THUMBNAIL) -> tuple[Size, bytes]:
    """Return an upright page's size, and the page as a small JPEG; fast.

    Args:
        image: the page.
        side: pixels of the JPEG's long side; a smaller page keeps its size.

    Raises:
        IncompleteError: it is cut short, or cannot be decoded.
    """
    factor = max(1, max(image.height, image.width) // (2 * side))
    bands = list(display_bands(shrunk(image, factor)))
    page = upright(np.concatenate(bands), image.orientation)
    size = _size_of(image)
    return size, _jpeg(_resized(page, size.within(side)))


def _size_of(image: DecodedImage) -> Size:
    sides = (image.width, image.height)
    return Size(*(sides[::-1] if image.orientation in SIDEWAYS else sides))


def _upright_rows(image: DecodedImage) -> Iterator[tuple[int, Pixels]]:
    """Yield rows (n, W, channels), none across two rows of tiles, each with its place.

    Rows and columns run as in the upright page, but still are rows if the page is sideways: those
    are turned tile by tile.
    """
    sideways = image.orientation in SIDEWAYS
    to_left, to_top = image.orientation in {2, 3, 6, 7}, image.orientation in {3, 4, 7, 8}
    backward, mirrored = (to_left, to_top) if sideways else (to_top, to_left)
    done = 0
    for band in display_bands(image):
        rows = band[:, ::-1] if mirrored else band
        top = image.height - done - len(rows) if backward else done
        rows = rows[::-1] if backward else rows
        done += len(rows)
        cuts = [top, *range(top - top % TILE + TILE, top + len(rows), TILE), top + len(rows)]
        pieces = list(itertools.pairwise(cuts))
        for start, end in reversed(pieces) if backward else pieces:
            yield start, rows[start - top : end - top]


class _Level:
    """One level, of which one row of tiles is in memory."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self._height = height
        self._rows = np.empty((min(TILE, height), width, channels), np.uint8)
        self._filled = 0

    def put(self, top: int, rows: Pixels) -> tuple[int, Pixels] | None:
        """Add rows; return the row of tiles and its place once it is complete."""
        start = top - top % TILE
        self._rows[top - start : top - start + len(rows)] = rows
        self._filled += len(rows)
        if self._filled < min(TILE, self._height - start):
            return None
        complete = self._rows[: self._filled]
        self._filled = 0
        return start, complete


class _Pyramid:
    """The levels of a page, and its view of the whole."""

    def __init__(self, image: DecodedImage, folder: Path) -> None:
        self.size = _size_of(image)
        self._folder = folder
        self._sideways = image.orientation in SIDEWAYS
        self._factors = scale_factors(self.size)
        self._levels = [
            _Level(-(-image.height // factor), -(-image.width // factor), image.samples)
            for factor in self._factors
        ]
        # The smallest level from which every size can be made.
        self._viewed = max(f for f in self._factors if f == 1 or max(self.size.reduced(f)) >= FIT)
        height, width = -(-image.height // self._viewed), -(-image.width // self._viewed)
        self._view = np.empty((height, width, image.samples), np.uint8)

    def put(self, top: int, rows: Pixels, level: int = 0) -> None:
        """Add rows to a level, and what becomes complete to its tiles and to the next level."""
        complete = self._levels[level].put(top, rows)
        if complete is None:
            return
        start, tiles = complete
        factor = self._factors[level]
        if factor == self._viewed:
            self._view[start : start + len(tiles)] = tiles
        if level < len(self._levels) - 1:
            self._write_tiles(factor, start, tiles)
            self.put(start // 2, halved(tiles), level + 1)
        elif factor > 1:  # one tile, which is one of the whole sizes
            self._write("full", self._turned(tiles))

    def write_sizes(self, widths: Sequence[int]) -> None:
        """Write the whole page in each size that is no tile, and of these widths."""
        view = self._turned(self._view)
        last = self.size.reduced(self._factors[-1])
        sizes = whole_sizes(self.size)
        for size in sizes:
            if size != last or self._factors == [1]:
                self._write("full", _resized(view, size))
        for width in widths:
            height = max(1, round(self.size.height * width / self.size.width))
            small = _resized(view, Size(width, height)) if width < self.size.width else view
            self._write("full", small, f"{width},")
        largest = self._folder / "full" / f"{sizes[-1].width},{sizes[-1].height}"
        shutil.copytree(largest, largest.with_name("max"), copy_function=os.link)

    def _write_tiles(self, factor: int, top: int, rows: Pixels) -> None:
        for left in range(0, rows.shape[1], TILE):
            tile = self._turned(rows[:, left : left + TILE])
            x, y = (top, left) if self._sideways else (left, top)
            x, y = x * factor, y * factor
            width = min(TILE * factor, self.size.width - x)
            height = min(TILE * factor, self.size.height - y)
            self._write(f"{x},{y},{width},{height}", tile)

    def _turned(self, rows: Pixels) -> Pixels:
        return rows.swapaxes(0, 1) if self._sideways else rows

    def _write(self, region: str, pixels: Pixels, size: str = "") -> None:
        exact = f"{pixels.shape[1]},{pixels.shape[0]}"
        folder = self._folder / region / (size or exact) / "0"
        folder.mkdir(parents=True, exist_ok=True)  # a corner may be the same at two levels
        (folder / "default.jpg").write_bytes(_jpeg(pixels))


def _resized(page: Pixels, size: Size) -> Pixels:
    if (size.height, size.width) == page.shape[:2]:
        return page
    small = cv2.resize(np.ascontiguousarray(page), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small).reshape(size.height, size.width, page.shape[2])


def _jpeg(page: Pixels) -> bytes:
    """Encode (H, W, 1 or 3) uint8, sRGB, as a JPEG without a profile, which means sRGB."""
    stored = page if page.shape[2] == 1 else page[..., ::-1]  # OpenCV's order of channels
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, coded = cv2.imencode(".jpg", np.ascontiguousarray(stored), options)
    if not done:
        raise DeviceError("OpenCV cannot encode a JPEG")
    return coded.tobytes()
