"""Whole images, for formats whose decoders and encoders do not work in strips."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from worker.color.cielab import Pixels
from worker.errors import ScanError
from worker.formats.image import DecodedImage, Encoding, OutputPage
from worker.metadata.block import Metadata


def decoded_whole(
    decode: Callable[[], Pixels],
    size: tuple[int, int, int, bool],
    encoding: Encoding,
    metadata: Metadata,
    orientation: int = 1,
) -> list[DecodedImage]:
    """Describe the one image of a file, whose pixels come in one band.

    Args:
        decode: gives the pixels in any shape, uint8 or uint16, white high.
        size: width, height, samples of a pixel, and whether its opacity follows them.
        encoding: how it is stored.
        metadata: what travels with it.
        orientation: 1 to 8, as EXIF has it.
    """
    width, height, samples, alpha = size

    def bands() -> Iterator[Pixels]:
        yield decode().reshape(height, width, samples + alpha)

    return [DecodedImage(height, width, samples, alpha, bands, orientation, encoding, metadata)]


def only_page(pages: Sequence[OutputPage], name: str, longest: int) -> OutputPage:
    """Return the one page that a file of this format can hold.

    Args:
        pages: to store.
        name: of the format, for the reason.
        longest: side that the format can hold, in pixels.

    Raises:
        ScanError: there are several pages, or a side is too long; TIFF holds both.
    """
    if len(pages) != 1:
        raise ScanError(
            f"{name} holds one page, but this scan has {len(pages)}; set output.format to tiff"
        )
    (page,) = pages
    if max(page.width, page.height) > longest:
        raise ScanError(
            f"the image is {page.width} x {page.height} and {name} holds sides of at "
            f"most {longest:,} pixels; set output.format to tiff"
        )
    return page


def gathered(page: OutputPage, strips: Iterator[Pixels] | None = None) -> Pixels:
    """Assemble a page from its strips.

    Args:
        page: whose strips they are.
        strips: instead of the page's own, (n, W, channels) each, from the top.

    Returns:
        (H, W, channels) uint8 or uint16, as the strips are.
    """
    pixels: Pixels | None = None
    top = 0
    for strip in page.strips() if strips is None else strips:
        if pixels is None:
            pixels = np.empty((page.height, *strip.shape[1:]), strip.dtype)
        pixels[top : top + len(strip)] = strip
        top += len(strip)
    if pixels is None or top != page.height:
        raise ValueError(f"{top} rows of {page.height} were given to store")
    return pixels


def on_white(strip: Pixels) -> Pixels:
    """Composite a strip with opacity over white.

    Args:
        strip: (n, W, 4) uint8, not premultiplied.

    Returns:
        (n, W, 3) uint8.
    """
    opacity = strip[..., 3:].astype(np.uint32)
    mixed = strip[..., :3] * opacity + (255 - opacity) * 255
    return ((mixed + 127) // 255).astype(np.uint8)


def scaled(codes: Pixels, top: int) -> Pixels:
    """Scale codes to the full range of 8 or 16 bits.

    Args:
        codes: 0..top, whole numbers of any type.
        top: the code of white, up to 65535.

    Returns:
        the same shape: uint8 if `top` fits in it, else uint16; rounded, exact where top is 255 or
        65535.
    """
    limit, kind = (255, np.uint8) if top <= 255 else (65535, np.uint16)
    if top == limit:
        return codes.astype(kind, copy=False)
    table = (np.arange(top + 1, dtype=np.uint64) * limit + top // 2) // top
    return np.asarray(table.astype(kind)[codes])
