"""A made-up image format: `RAWGRAY`, width and height, then samples; 1 or 3 a pixel.

`python -m tests.support.made_up_format run --once` is the command with a fake device that knows it:
all that it takes is this module and the row below.
"""

import runpy
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from worker.color.cielab import Pixels
from worker.errors import DamagedError
from worker.formats.full_image import gathered, only_page
from worker.formats.image import DecodedImage, OutputPage, check_size
from worker.formats.registry import ImageFormat, register
from worker.settings import ReadSettings

SIGNATURE = b"RAWGRAY"
HEAD = struct.Struct(">7sBII")  # signature, samples of a pixel, width, height
MADE_UP = ImageFormat(
    name="rawgray",
    title="Raw Gray",
    signature=SIGNATURE,
    suffixes=(".rgy",),
    scan_suffixes=(".rgx",),
    reader="tests.support.made_up_format:read",
    writer="tests.support.made_up_format:write",
    selectable=True,
    mime="image/x-raw-gray",
    most_bits=8,
)


def file_of(pixels: Pixels) -> bytes:
    """Return a file of pixels (H, W, 1 or 3) uint8."""
    height, width, samples = pixels.shape
    return HEAD.pack(SIGNATURE, samples, width, height) + pixels.tobytes()


def pixels_of(data: bytes) -> Pixels:
    """Return the pixels (H, W, 1 or 3) uint8 of a file."""
    _sign, samples, width, height = HEAD.unpack_from(data)
    return np.frombuffer(data, np.uint8, offset=HEAD.size).reshape(height, width, samples)


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a file."""
    file.seek(0)
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        raise DamagedError("the file ends within its header")
    _sign, samples, width, height = HEAD.unpack(head)
    check_size(width, height, settings)

    def bands() -> Iterator[Pixels]:
        file.seek(0)
        yield pixels_of(file.read())

    return [DecodedImage(height, width, samples, alpha=False, bands=bands)]


def write(file: BinaryIO, pages: Sequence[OutputPage]) -> None:
    """Write a page."""
    file.write(file_of(gathered(only_page(pages, MADE_UP.title, 1 << 16))))


if __name__ == "__main__":
    register(MADE_UP)
    runpy.run_module("tests.support.fake_device_command", run_name="__main__")
