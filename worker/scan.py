"""Reads files as scans: black-and-white photographs, upright, at their own depth, without tone.

Refuses photographs in color and all that `formats` refuses; records where color is replaced.
"""

import io
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self, TypeVar

import cv2
import numpy as np

from worker.color import cielab, icc
from worker.color.cielab import Pixels, Tone
from worker.errors import ScanError
from worker.formats.image import DecodedImage, Encoding
from worker.formats.open_image import opened
from worker.metadata.block import Metadata
from worker.metadata.provenance import ReplacedColor, XmpFile
from worker.metadata.result import with_xmp_files
from worker.replaced_color import find_replaced
from worker.settings import ReadSettings
from worker.untoning import untoned, usable_profile

SIDEWAYS = {5, 6, 7, 8}  # orientations that swap the sides
SMALL_SIDE = 512  # pixels; no render size is larger
LARGE = 64_000_000  # pixels; larger scans are decoded one at a time, to limit memory
OUT_OF_MEMORY = -4  # as OpenCV says it (cv::Error::StsNoMem)
_ONE_LARGE = threading.Lock()

T = TypeVar("T")


@dataclass(frozen=True)
class Page:
    """A black-and-white photograph in memory.

    Attributes:
        gray: (H, W) uint8 or uint16, upright, codes of `tone`.
        tone: luminance and lightness of each code.
        alpha: (H, W) like `gray`, upright, opacity; None if the page has none.
        turned: whether its sides were swapped to make it upright.
        encoding: how it was stored.
        metadata: as stored.
        profile: name of its color profile; "" if it has none that is usable.
        sha256: of its decoded samples, as `PageRecord.scan_pixels_sha256` has it.
        replaced: regions whose own color was dropped.
        xmp_files: those beside the scan, already merged into `metadata`.
    """

    gray: Pixels
    tone: Tone
    alpha: Pixels | None = None
    turned: bool = False
    encoding: Encoding = field(default_factory=Encoding)
    metadata: Metadata = field(default_factory=Metadata)
    profile: str = ""
    sha256: str = ""
    replaced: tuple[ReplacedColor, ...] = ()
    xmp_files: tuple[XmpFile, ...] = ()

    @classmethod
    def of(cls, gray: Pixels) -> Self:
        """Make a page of sRGB gray codes (H, W), uint8 or uint16."""
        return cls(gray, cielab.srgb_tone(cielab.bit_depth(gray)))

    @cached_property
    def small(self) -> Pixels:
        """Its sRGB gray codes at 512 pixels or less, as the generator and the upsampling see it."""
        height, width = self.gray.shape
        scale = min(1.0, SMALL_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.asarray(cv2.resize(self.gray, size, interpolation=cv2.INTER_AREA))
        depth = cielab.bit_depth(small)
        if self.tone is cielab.srgb_tone(depth):
            return small
        return cielab.encode(self.tone.luminance[small], depth)


@dataclass(frozen=True)
class Scan:
    """A file of one or more black-and-white photographs.

    Attributes:
        pages: in their order.
        kind: name of the file's format.
        path: of the file; None for a scan that was made in memory.
    """

    pages: tuple[Page, ...]
    kind: str
    path: Path | None = None

    @property
    def size(self) -> int:
        """The number of pixels of all pages."""
        return sum(page.gray.size for page in self.pages)


def read(
    path: Path,
    settings: ReadSettings,
    file: io.FileIO | None = None,
    xmp_files: Sequence[XmpFile] = (),
) -> Scan:
    """Read black-and-white photographs, including gray stored as RGB and toned prints.

    Args:
        path: of the file.
        settings: what to accept.
        file: the file, if it is already open.
        xmp_files: those beside it; they belong to the first page.

    Raises:
        IncompleteError: the file is empty, truncated, damaged, or not readable (yet).
        InColorError: a page is in color, and `settings` do not allow it.
        ScanError: the file, or one of its pages, is refused; says why.
        DeviceError: the disk fails while pixels are read.
        MemoryError: out of memory; the text states the image's size.
        FileNotFoundError: the file is gone.
        OSError: the file cannot be opened.
    """
    with opened(path, settings, file) as (image_format, images):
        size = sum(image.height * image.width for image in images)
        try:
            with _ONE_LARGE if size > LARGE else nullcontext():
                pages = tuple(
                    _page(images, number, settings, () if number else xmp_files)
                    for number in range(len(images))
                )
        except (MemoryError, cv2.error) as error:
            if isinstance(error, cv2.error) and error.code != OUT_OF_MEMORY:
                raise
            raise MemoryError(f"{size / 1e6:,.1f} megapixels") from error
    return Scan(pages, image_format.name, path)


def upright_sizes(path: Path, settings: ReadSettings) -> list[tuple[int, int]]:
    """Return height and width of each page as it will be upright, without decoding any.

    Raises:
        ScanError, DeviceError, FileNotFoundError, OSError: as `read`.
    """
    with opened(path, settings) as (_format, images):
        return [
            (image.width, image.height)
            if image.orientation in SIDEWAYS
            else (image.height, image.width)
            for image in images
        ]


def read_color(path: Path, settings: ReadSettings) -> Pixels:
    """Read a color photograph for training: (H, W, 3) uint8 sRGB, upright; gray as equal channels.

    Reads only the first page.

    Raises:
        ScanError, DeviceError, FileNotFoundError, OSError: as `read`.
    """
    with opened(path, settings) as (_format, images):
        image = images[0]
        profile, _lost = usable_profile(image)
        bands = [_srgb(band, image, profile) for band in image.bands()]
    return np.ascontiguousarray(upright(np.concatenate(bands), image.orientation))


def predict_scans(
    predict: Callable[[Sequence[Page]], Sequence[T | ScanError]], scans: Sequence[Scan]
) -> list[list[T] | ScanError]:
    """Predict colors for scans of any number of pages.

    Args:
        predict: returns the colors, or a ScanError, for each page.
        scans: photographs.

    Returns:
        For each scan: the colors of each page, or why one cannot be colored.
    """
    results = iter(predict([page for scan in scans for page in scan.pages]))
    together: list[list[T] | ScanError] = []
    for scan in scans:
        pages = [next(results) for _ in scan.pages]
        fault = next((page for page in pages if isinstance(page, ScanError)), None)
        together.append(fault or [page for page in pages if not isinstance(page, ScanError)])
    return together


def _page(
    images: Sequence[DecodedImage],
    number: int,
    settings: ReadSettings,
    xmp_files: Sequence[XmpFile],
) -> Page:
    image = images[number]
    try:
        plane = untoned(image, even_if_colored=settings.even_if_colored)
    except ScanError as error:
        if len(images) == 1:
            raise
        raise type(error)(f"page {number + 1} of {len(images)}: {error}") from error
    metadata = replace(image.metadata, lost=image.metadata.lost + plane.lost)
    metadata = with_xmp_files(metadata, xmp_files, image.orientation)
    gray = np.ascontiguousarray(upright(plane.gray, image.orientation))
    page = Page(
        gray,
        plane.tone,
        None
        if plane.alpha is None
        else np.ascontiguousarray(upright(plane.alpha, image.orientation)),
        image.orientation in SIDEWAYS,
        image.encoding,
        metadata,
        plane.profile,
        plane.sha256,
        ()
        if plane.ink is None
        else find_replaced(upright(plane.ink, image.orientation), *gray.shape),
        tuple(xmp_files),
    )
    _ = page.small  # computed in the reading thread, so that the device need not wait
    return page


def _srgb(band: Pixels, image: DecodedImage, profile: bytes) -> Pixels:
    if image.alpha and (band[..., -1] != np.iinfo(band.dtype).max).any():
        raise ScanError("the image has transparent parts; flatten it before training on it")
    band = band[..., : image.samples]
    if image.samples == 1:
        gray, depth = band[..., 0], cielab.bit_depth(band)
        if profile:
            gray = cielab.encode(icc.neutral_tone(profile, depth).luminance[gray], depth)
        return np.repeat(cielab.to_8_bit(gray)[..., None], 3, axis=-1)
    return icc.to_srgb(band, profile) if profile else cielab.to_8_bit(band)


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Return a view of pixels (H, W, ...) with an EXIF/TIFF orientation (1 to 8) applied."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels
