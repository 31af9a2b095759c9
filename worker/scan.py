"""Files to scans: black-and-white photographs, upright, at their own depth, without their tone.

Refuses, with a reason for the archivist, what is in color already, and all that `formats` refuses.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from worker import color
from worker.color import Pixels
from worker.errors import ScanError
from worker.formats import Kind, Resolution, decode
from worker.settings import ReadSettings

TONE_LIMIT = 2.5  # RMS chroma (CIE units) beside the print's own tone; above it a photo is in color
SMALL_SIDE = 512  # pixels; no render size is larger


@dataclass(frozen=True)
class Scan:
    """A black-and-white photograph in memory.

    Attributes:
        gray: (H, W) uint8 or uint16, upright, sRGB gray codes; its L* is the photograph's.
        kind: the container it came in.
        lossless: whether that container kept every pixel.
        exif: EXIF block to carry over, orientation normalized; empty if none.
        dpi: horizontal and vertical resolution in dots per inch, if the file states one.
        texts: TIFF text tags to carry over, by tag number.
    """

    gray: Pixels
    kind: Kind
    lossless: bool = True
    exif: bytes = b""
    dpi: Resolution | None = None
    texts: dict[int, str] = field(default_factory=dict)

    @cached_property
    def small(self) -> Pixels:
        """The scan at 512 pixels or less: all that the generator and the chroma's fit look at."""
        height, width = self.gray.shape
        scale = min(1.0, SMALL_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(self.gray, size, interpolation=cv2.INTER_AREA))


def read(path: Path, settings: ReadSettings) -> Scan:
    """Read a black-and-white photograph; also gray stored as RGB, and toned prints, untoned.

    Raises:
        ScanError: with the reason, when the file is not such a photograph.
        FileNotFoundError: when it is gone.
        OSError: when the disk fails.
    """
    kind, decoded = decode(path, settings)
    pixels = decoded.pixels
    if pixels.ndim == 3:
        pixels = _gray_of_toned(pixels)
    upright = np.ascontiguousarray(_upright(pixels, decoded.orientation))
    photo = Scan(upright, kind, decoded.lossless, decoded.exif, decoded.dpi, decoded.texts)
    _ = photo.small  # now, in the thread that reads, so that the device need not wait for it
    return photo


def read_color(path: Path, settings: ReadSettings) -> Pixels:
    """Read a color photograph for training: (H, W, 3) uint8 sRGB, upright; gray as equal channels.

    Raises:
        ScanError, FileNotFoundError, OSError: as `read`.
    """
    _kind, decoded = decode(path, settings)
    pixels = np.ascontiguousarray(to_8_bit(_upright(decoded.pixels, decoded.orientation)))
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _gray_of_toned(rgb: Pixels) -> Pixels:
    """Give the gray of gray-as-RGB or of a toned print, (H, W); refuse a color photograph."""
    if all((rgb[rows, :, :1] == rgb[rows, :, 1:]).all() for rows in color.strips(*rgb.shape[:2])):
        return rgb[..., 0]
    spread = tone_spread(to_8_bit(rgb))
    if spread > TONE_LIMIT:
        raise ScanError(
            f"the photograph is in color already (chroma {spread:.1f} beside any tone of the print)"
        )
    return color.gray_of_rgb(rgb)


def tone_spread(rgb: Pixels) -> float:
    """Measure how far a photograph is from one tone: 0 for gray and even sepia, > 2.5 for color.

    A toned print's chroma follows from its lightness alone; what a cubic in lightness cannot
    explain is color.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Returns:
        root mean square of the unexplained chroma, CIE units.
    """
    scale = min(1.0, 128 / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    lab = color.lab_of_rgb(small).reshape(-1, 3)
    powers = np.vander(lab[:, 0] / 100, 4)
    fit, *_ = np.linalg.lstsq(powers, lab[:, 1:], rcond=None)
    unexplained = lab[:, 1:] - powers @ fit
    return float(np.sqrt((unexplained**2).sum(axis=1).mean()))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF/TIFF orientation (1 to 8)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def to_8_bit(pixels: Pixels) -> Pixels:
    """Scale (never clip) 16-bit codes to 8 bits; 8-bit ones come back as they are."""
    return (
        pixels
        if pixels.dtype == np.uint8
        else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    )
