"""Pages as a screen shows them: 8 bits, sRGB, opaque; band by band, as stored, not yet upright.

Color is shown as it is: nothing here judges a scan or takes its tone away.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from worker.color import cielab, icc
from worker.color.cielab import Floats, Pixels
from worker.errors import IncompleteError
from worker.formats.image import DecodedImage
from worker.untoning import usable_profile

NEUTRAL = 119  # the sRGB code of L* 50, on which what is transparent lies
AT_ONCE = 1 << 22  # pixels; a transform of LittleCMS takes 12 milliseconds to set up


def display_bands(image: DecodedImage) -> Iterator[Pixels]:
    """Yield a page's rows from the top, as stored: (n, W, 1 or 3) uint8, sRGB.

    Raises:
        IncompleteError: it is cut short, or cannot be decoded.
    """
    profile, _lost = usable_profile(image)
    if profile == icc.output_profile(cielab.SRGB):  # as most results have it
        profile = b""
    bands = _complete(image)
    if profile and image.samples == 3:
        bands = _regrouped(bands, max(1, AT_ONCE // image.width))
    for band in bands:
        yield _shown(band, image, profile)


def shrunk(image: DecodedImage, factor: int) -> DecodedImage:
    """Return a page at about 1 / `factor` of its sides, rounded up, in one band.

    Much faster to show than the page itself: squares of codes are averaged as stored, edges
    repeated, and where a format can be decoded smaller, only that is.
    """
    decode = image.reduced
    if decode is not None and (part := max(one for one in (1, 2, 4, 8) if one <= factor)) > 1:
        height, width = -(-image.height // part), -(-image.width // part)
        image = replace(
            image, height=height, width=width, bands=lambda: iter([decode(part)]), reduced=None
        )
        return shrunk(image, factor // part)
    if factor == 1:
        return image

    def bands() -> Iterator[Pixels]:
        chunks = _in_multiples(_complete(image), factor)
        yield np.concatenate([_averaged(chunk, factor) for chunk in chunks])

    height, width = -(-image.height // factor), -(-image.width // factor)
    return replace(image, height=height, width=width, bands=bands)


def small_lab(image: DecodedImage, side: int) -> Floats:
    """Return a page's colors made small, as stored.

    Memory: a band of the page, or all of its codes where its format is decoded whole.

    Args:
        image: the page.
        side: longest side of what is returned, pixels; a smaller page keeps its size.

    Returns:
        (h, w, 3) float32: CIE L* in 0..100, a* and b* in CIE units.

    Raises:
        IncompleteError: it is cut short, or cannot be decoded.
    """
    factor = max(1, max(image.height, image.width) // (2 * side))
    page = np.concatenate(list(display_bands(shrunk(image, factor))))
    scale = min(1.0, side / max(image.height, image.width))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = np.asarray(cv2.resize(page, size, interpolation=cv2.INTER_AREA))
    return cielab.lab_of_rgb(np.broadcast_to(small.reshape(*size[::-1], -1), (*size[::-1], 3)))


def halved(rows: Pixels) -> Pixels:
    """Average squares of 2 x 2 pixels, repeating an odd last row or column.

    Args:
        rows: (n, W, channels) uint8 or uint16.

    Returns:
        (ceil(n / 2), ceil(W / 2), channels), as `rows`.
    """
    return _averaged(rows, 2)


def _averaged(rows: Pixels, factor: int) -> Pixels:
    below, right = -len(rows) % factor, -rows.shape[1] % factor
    if below or right:
        rows = np.pad(rows, ((0, below), (0, right), (0, 0)), mode="edge")
    height, width, channels = rows.shape
    size = (width // factor, height // factor)
    small = cv2.resize(np.ascontiguousarray(rows), size, interpolation=cv2.INTER_AREA)
    return np.asarray(small).reshape(size[1], size[0], channels)


def _complete(image: DecodedImage) -> Iterator[Pixels]:
    """Yield a page's bands, and raise if they are too few."""
    rows = 0
    for band in image.bands():
        yield band
        rows += len(band)
    if rows != image.height:
        raise IncompleteError(
            f"the image is cut short: {rows} of {image.height} rows can be decoded"
        )


def _regrouped(bands: Iterable[Pixels], rows: int) -> Iterator[Pixels]:
    """Cut bands into chunks of this many rows; the last has what is left."""
    waiting: list[Pixels] = []
    count = 0
    for band in bands:
        waiting.append(band)
        count += len(band)
        if count < rows:
            continue
        whole = band if len(waiting) == 1 else np.concatenate(waiting)
        full = count - count % rows
        for top in range(0, full, rows):
            yield whole[top : top + rows]
        count -= full
        waiting = [whole[full:]] if count else []
    if waiting:
        yield np.concatenate(waiting)


def _in_multiples(bands: Iterable[Pixels], factor: int) -> Iterator[Pixels]:
    """Cut bands so that each chunk but the last has a multiple of `factor` rows, copying few."""
    rest: Pixels | None = None
    for band in bands:
        start = 0
        if rest is not None:
            start = factor - len(rest)
            rest = np.concatenate((rest, band[:start]))
            if len(rest) < factor:
                continue
            yield rest
        end = len(band) - (len(band) - start) % factor
        if end > start:
            yield band[start:end]
        rest = band[end:].copy() if end < len(band) else None  # the band itself may be large
    if rest is not None:
        yield rest


def _shown(band: Pixels, image: DecodedImage, profile: bytes) -> Pixels:
    colors = band[..., : image.samples]
    depth = cielab.bit_depth(band)
    if image.samples == 1:
        table = _gray_codes(profile, depth)
        shown = np.asarray(cv2.LUT(np.ascontiguousarray(colors), table)).reshape(colors.shape)
    elif profile:
        shown = icc.to_srgb(colors, profile)
    else:
        table = _gray_codes(b"", depth)
        shown = np.asarray(cv2.LUT(np.ascontiguousarray(colors), table))
    return _on_neutral(shown, _alpha(band)) if image.alpha else shown


@lru_cache(maxsize=8)
def _gray_codes(profile: bytes, depth: int) -> Pixels:
    """Return the 8-bit sRGB code of each code of a gray profile, (2 ** depth,)."""
    if not profile:
        return cielab.to_8_bit(np.arange(2**depth).astype(cielab.pixel_type(depth)))
    return cielab.encode(icc.neutral_tone(profile, depth).luminance, 8)


def _alpha(band: Pixels) -> Pixels:
    return cielab.to_8_bit(band[..., -1:])


def _on_neutral(shown: Pixels, alpha: Pixels) -> Pixels:
    """Lay (n, W, channels) uint8 with opacity (n, W, 1) uint8 over neutral gray."""
    if (alpha == 255).all():
        return shown
    opacity = alpha.astype(np.uint16)
    mixed = shown * opacity + NEUTRAL * (255 - opacity)  # at most 255 * 255
    return ((mixed + 127) // 255).astype(np.uint8)
