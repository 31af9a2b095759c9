"""TIFFs made for tests: by tifffile, by Pillow, and by hand for what no honest encoder writes."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from worker.formats.image import DecodedImage
from worker.formats.tiff import reader
from worker.settings import ReadSettings

Array = NDArray[Any]
SETTINGS = ReadSettings()
TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "I", 7: "B", 11: "f", 16: "Q"}
COUNTS = {5: 2}  # numbers in one value


def written(pixels: Array, **options: Any) -> bytes:
    """Return a TIFF of one page as tifffile writes it."""
    file = io.BytesIO()
    options.setdefault("photometric", "minisblack" if pixels.ndim == 2 else "rgb")
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def pillows(picture: Image.Image, **options: Any) -> bytes:
    """Return a TIFF of one page as Pillow (libtiff) writes it."""
    file = io.BytesIO()
    picture.save(file, "TIFF", **options)
    return file.getvalue()


def plain(
    fields: Sequence[tuple[int, int, object]], strips: Sequence[bytes], *, order: str = "<"
) -> bytes:
    """Write a TIFF of one page by hand.

    Args:
        fields: (tag, type, value or values); strips' places and sizes are added.
        strips: as they are stored.
        order: of bytes.
    """
    at = 8
    places = []
    for strip in strips:
        places.append(at)
        at += len(strip)
    given = {tag: (kind, value) for tag, kind, value in fields}
    given = {273: (4, places), 279: (4, [len(strip) for strip in strips])} | given
    body = b"".join(strips)
    at += at % 2
    return (
        (b"II*\0" if order == "<" else b"MM\0*")
        + struct.pack(f"{order}I", at)
        + body
        + bytes(len(body) % 2)
        + directory(given, at, order)
    )


def directory(
    fields: dict[int, tuple[int, object]], at: int, order: str = "<", following: int = 0
) -> bytes:
    """Write a directory for its place in a file, its values behind it."""
    end = at + 2 + 12 * len(fields) + 4
    rows = struct.pack(f"{order}H", len(fields))
    behind = b""
    for tag, (kind, value) in sorted(fields.items()):
        if isinstance(value, bytes):
            data, number = value, len(value) // struct.calcsize(TYPES[kind])
        else:
            values = list(value) if isinstance(value, list | tuple) else [value]
            data = struct.pack(f"{order}{len(values)}{TYPES[kind]}", *values)
            number = len(values) // COUNTS.get(kind, 1)
        rows += struct.pack(f"{order}HHI", tag, kind, number)
        if len(data) <= 4:
            rows += data.ljust(4, b"\0")
        else:
            rows += struct.pack(f"{order}I", end + len(behind))
            behind += data + bytes(len(data) % 2)
    return rows + struct.pack(f"{order}I", following) + behind


def gray_fields(width: int, height: int, bits: int, **others: object) -> list[tuple[int, int, Any]]:
    """Return the fields of a gray page; `others` like t317=2 stand beside or instead of them."""
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: height}
    fields |= {int(name[1:]): value for name, value in others.items()}  # type: ignore[dict-item]
    return [(tag, 4 if tag in {256, 257, 278} else 3, value) for tag, value in fields.items()]


def pages_of(data: bytes, settings: ReadSettings = SETTINGS) -> list[DecodedImage]:
    """Read a TIFF's pages."""
    return reader.read(io.BytesIO(data), settings)


def codes_of(picture: DecodedImage) -> Array:
    """Put a page's bands together: (H, W, samples); each is checked for its promised form."""
    samples = picture.samples + picture.alpha
    bands = list(picture.bands())
    assert all(band.shape[1:] == (picture.width, samples) for band in bands)
    return np.concatenate(bands)


def only(data: bytes) -> tuple[DecodedImage, Array]:
    """Read a TIFF of one page: the page and its codes."""
    (picture,) = pages_of(data)
    return picture, codes_of(picture)


def units(gray: NDArray[Any], steps: tuple[int, int]) -> bytes:
    """Lay out gray as YCbCr in units of several pixels and one color, which is none."""
    across, down = steps
    tall, wide = -(-gray.shape[0] // down), -(-gray.shape[1] // across)
    padding = ((0, tall * down - gray.shape[0]), (0, wide * across - gray.shape[1]))
    light = np.pad(gray, padding, mode="edge").reshape(tall, down, wide, across)
    light = light.transpose(0, 2, 1, 3).reshape(tall, wide, down * across)
    return np.dstack([light, np.full((tall, wide, 2), 128, np.uint8)]).tobytes()
