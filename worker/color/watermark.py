"""A small visible watermark that says that the color is machine-made: white on a dark plate.

Off by default, because it covers pixels of the scan.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from worker.color.cielab import Floats, Pixels, bit_depth
from worker.settings import MarkSettings

TEXT = "AI color"
PLATE = 0.08  # how light the plate is behind the white letters
SMALLEST = 7  # pixels; smaller letters cannot be read
PADDING = 0.35  # around the letters, as a share of their size
MARGIN = 0.5  # between plate and border, likewise
LARGEST_SHARE = 0.9  # of the picture's sides that the plate may take


def draw(strips: Iterator[Pixels], height: int, width: int, mark: MarkSettings) -> Iterator[Pixels]:
    """Draw the mark on an image in strips; copies only the strips it touches.

    Args:
        strips: rows from the top, (n, width, 3 or 4) uint8 or uint16; opacity is left as it is.
        height: rows of the picture.
        width: columns of the picture.
        mark: where, how large and how opaque.

    Yields:
        the same strips. A picture too small for letters that can be read stays without mark.
    """
    plate = None if mark.corner == "none" else _plate(height, width, mark.size)
    if plate is None:
        yield from strips
        return
    rows, columns = plate.shape
    margin = round(MARGIN * rows / (1 + 2 * PADDING))
    top = min(margin, height - rows)
    left = min(margin, width - columns)
    if mark.corner.startswith("bottom"):
        top = height - rows - top
    if mark.corner.endswith("right"):
        left = width - columns - left
    row = 0
    for strip in strips:
        begin, end = max(row, top), min(row + len(strip), top + rows)
        marked = strip
        if begin < end:
            marked = strip.copy()
            place = marked[begin - row : end - row, left : left + columns, :3]
            place[...] = _blended(place, plate[begin - top : end - top], mark.opacity)
        yield marked
        row += len(strip)


def _plate(height: int, width: int, share: float) -> Floats | None:
    """Render the plate for an image: (h, w) float32 lightness; None if it does not fit."""
    size = share * min(height, width)
    unit = ImageFont.load_default(100).getbbox(TEXT)
    room_across = LARGEST_SHARE * width / ((unit[2] - unit[0]) / 100 + 2 * PADDING)
    room_down = LARGEST_SHARE * height / (1 + 2 * PADDING)
    size = min(max(size, SMALLEST), room_across, room_down)
    if size < SMALLEST:
        return None
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(TEXT)
    padding = round(PADDING * size)
    plate = Image.new(
        "L", (int(right - left) + 2 * padding, int(bottom - top) + 2 * padding), round(255 * PLATE)
    )
    ImageDraw.Draw(plate).text((padding - left, padding - top), TEXT, fill=255, font=font)
    return np.asarray(plate, np.float32) / np.float32(255)


def _blended(pixels: Pixels, plate: Floats, opacity: float) -> Pixels:
    white = np.float32(2 ** bit_depth(pixels) - 1)
    mixed = pixels + (plate[..., None] * white - pixels) * np.float32(opacity)
    return np.rint(mixed).astype(pixels.dtype)
