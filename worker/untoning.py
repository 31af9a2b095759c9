"""Decodes images to one gray plane, band by band; removes the tone of RGB scans and toned prints.

Refuses photographs in color, unless even_if_colored is set, and finds color that the tone does not
explain. Never holds a full-size RGB copy.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from worker.color import cielab, icc
from worker.color.cielab import Floats, Pixels, Tone
from worker.errors import InColorError, IncompleteError
from worker.formats.image import DecodedImage

TONE_LIMIT = 2.5  # RMS chroma (CIE units) beside the print's own tone; above it a photo is in color
JUDGED_SIDE = 128  # pixels of the long side at which a photo is judged to be in color or not
INK_SIDE = 256  # and at which ink is looked for
FITS = 6  # times a tone is fitted, each time to what the one before explains
INK = 10.0  # CIE units of chroma beside the print's tone, from which on it is ink or a tint
UNEVENNESS = 0.6  # of a tone, as a share of its chroma: a strong one strays further


@dataclass(frozen=True)
class Plane:
    """A page's gray as stored, not yet upright.

    Attributes:
        gray: (H, W) uint8 or uint16, codes of `tone`.
        tone: luminance and lightness of each code.
        alpha: (H, W) like `gray`, opacity; None if the page has none.
        profile: name of the color profile used; "" if none.
        lost: names an unusable profile.
        sha256: of the decoded samples, rows from the top as stored, little-endian.
        ink: (h, w) float32, chroma of ink and tints beside the print's tone, CIE units, of the page
            made small; 0 where there is none. None for a page without any color.
    """

    gray: Pixels
    tone: Tone
    alpha: Pixels | None
    profile: str
    lost: tuple[str, ...]
    sha256: str
    ink: Floats | None = None


def untoned(image: DecodedImage, *, even_if_colored: bool = False) -> Plane:
    """Decode an image to gray.

    Args:
        image: the page.
        even_if_colored: accept it even if it is in color.

    Raises:
        IncompleteError: it is truncated, or cannot be decoded.
        InColorError: it is in color.
    """
    profile, lost = usable_profile(image)
    digest = hashlib.sha256()
    plane: _Gray | None = None
    alpha: Pixels | None = None
    top = 0
    for band in image.bands():
        add_samples(digest, band)
        rows = slice(top, top + len(band))
        top = rows.stop
        if plane is None:
            plane = _Gray(image, cielab.bit_depth(band), profile)
            if image.alpha:
                alpha = np.empty((image.height, image.width), band.dtype)
        if alpha is not None:
            alpha[rows] = band[..., -1]
        plane.take(band[..., : image.samples], rows)
    if plane is None or top != image.height:
        raise IncompleteError(
            f"the image is cut short: {top} of {image.height} rows can be decoded"
        )
    ink = plane.check_colors(even_if_colored=even_if_colored)
    name = icc.describe(profile) if profile else ""
    return Plane(plane.gray, plane.tone, alpha, name, lost, digest.hexdigest(), ink)


def add_samples(digest: "hashlib._Hash", band: Pixels) -> None:
    """Add a band's samples (n, W, ...) to a digest: rows from the top, little-endian."""
    ordered = band.astype(band.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(ordered).data)


def usable_profile(image: DecodedImage) -> tuple[bytes, tuple[str, ...]]:
    """Return the image's profile, or b"" (for sRGB) and why it is unusable."""
    profile = image.metadata.profile
    if not profile:
        return b"", ()
    try:
        model = icc.color_model(profile)
        if model == "rgb" or (model == "gray" and image.samples == 1):
            icc.neutral_tone(profile, 8)
            return profile, ()
    except icc.ProfileError as error:
        return b"", (f"the color profile: {error}; sRGB was taken instead",)
    return b"", (f"the color profile: it is for {model} images; sRGB was taken instead",)


class _Gray:
    """A gray plane that is filled band by band.

    Codes are kept while all channels are equal; from the first toned band on, the plane is
    converted to the sRGB gray codes of its luminance.
    """

    def __init__(self, image: DecodedImage, depth: int, profile: bytes) -> None:
        self.gray = np.empty((image.height, image.width), cielab.pixel_type(depth))
        self.tone = icc.neutral_tone(profile, depth) if profile else cielab.srgb_tone(depth)
        self._depth = depth
        self._profile = profile
        self._toned = False
        self._looks = [
            _Look(image.height, image.width, side)
            for side in (JUDGED_SIDE, INK_SIDE)
            if image.samples == 3
        ]

    def take(self, band: Pixels, rows: slice) -> None:
        """Fill rows from a band (n, W, 1 or 3)."""
        for look in self._looks:
            look.take(band, rows)
        if self._looks and not self._toned and (band[..., :1] != band[..., 1:]).any():
            self._turn_to_srgb(rows.start)
        if self._toned:
            for part in cielab.strips(*band.shape[:2]):
                light = self._luminance(band[part])
                self.gray[rows][part] = cielab.encode(light, self._depth)
        else:
            self.gray[rows] = band[..., 0]

    def check_colors(self, *, even_if_colored: bool) -> Floats | None:
        """Refuse an image that no single tone explains; return where it has ink, or None."""
        if not self._toned:
            return None
        judged, rgb = (look.rgb(self._profile, self._depth) for look in self._looks)
        spread = tone_spread(judged)
        if spread > TONE_LIMIT and not even_if_colored:
            raise InColorError(
                f"the photograph is in color already (chroma {spread:.1f} beyond any single tone)"
            )
        return ink_of(rgb)

    def _turn_to_srgb(self, filled: int) -> None:
        self._toned = True
        if self._profile:
            above = self.gray[:filled]
            for part in cielab.strips(*above.shape) if filled else ():
                above[part] = cielab.encode(self.tone.luminance[above[part]], self._depth)
        self.tone = cielab.srgb_tone(self._depth)

    def _luminance(self, band: Pixels) -> Floats:
        if self._profile:
            return icc.luminance(band, self._profile)
        return cielab.linear_of_codes(band) @ cielab.LUMINANCE.astype(np.float32)


class _Look:
    """A small RGB copy, averaged from bands."""

    def __init__(self, height: int, width: int, side: int) -> None:
        scale = min(1.0, side / max(height, width))
        self._height = height
        self._size = (max(1, round(height * scale)), max(1, round(width * scale)))
        self._sum = np.zeros((*self._size, 3))
        self._rows = np.zeros(self._size[0])

    def take(self, band: Pixels, rows: slice) -> None:
        """Add a band (n, W, 3)."""
        height, width = self._size
        narrow = np.asarray(cv2.resize(band, (width, len(band)), interpolation=cv2.INTER_AREA))
        places = np.arange(rows.start, rows.stop) * height // self._height
        np.add.at(self._sum, places, narrow)
        np.add.at(self._rows, places, 1)

    def rgb(self, profile: bytes, depth: int) -> Pixels:
        """Return (h, w, 3) uint8 sRGB."""
        codes = np.rint(self._sum / self._rows[:, None, None]).astype(cielab.pixel_type(depth))
        return icc.to_srgb(codes, profile) if profile else cielab.to_8_bit(codes)


def tone_spread(rgb: Pixels) -> float:
    """Measure how far a photograph is from one tone: 0 for gray and even sepia, > 2.5 for color.

    A toned print's chroma follows from its lightness alone; what a cubic in lightness cannot
    explain is color.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Returns:
        root mean square of the unexplained chroma, CIE units.
    """
    lab = _lab_small(rgb)
    return float(np.sqrt((_beside(lab, _tone(lab, fits=1)) ** 2).mean()))


def ink_of(rgb: Pixels) -> Floats:
    """Find ink, stamps and tints: color that the print's tone does not explain.

    The tone is that of most of the image: what lies far from it is left out when it is fitted.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Returns:
        (H, W) float32: its chroma beside the tone, CIE units; 0 where there is none.
    """
    smooth = np.asarray(cv2.blur(rgb, (3, 3)))  # a scanner's noise has chroma too
    tone = _tone(_lab_small(rgb), fits=FITS)
    ink = np.zeros(rgb.shape[:2], np.float32)
    for row, pixels in enumerate(smooth):
        lab = cielab.lab_of_rgb(pixels[None])[0]
        beside = _beside(lab, tone)
        strays = INK + UNEVENNESS * np.hypot(*_ab(lab, tone).T)
        ink[row] = np.where(beside > strays, beside, 0)
    return ink


class _Tone(NamedTuple):
    """The a and b of a print as cubics in lightness (4, 2), between the lightest and darkest."""

    cubics: Floats
    darkest: float
    lightest: float


def _lab_small(rgb: Pixels) -> Floats:
    """Return the L*, a* and b* (n, 3) of an image at JUDGED_SIDE."""
    scale = min(1.0, JUDGED_SIDE / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    return cielab.lab_of_rgb(small).reshape(-1, 3)


def _tone(lab: Floats, *, fits: int) -> _Tone:
    """Fit a tone to pixels (n, 3), repeatedly to those near the last fit."""
    near = np.ones(len(lab), bool)
    for _ in range(fits):
        light = lab[near, 0] / 100
        cubics, *_ = np.linalg.lstsq(np.vander(light, 4), lab[near, 1:], rcond=None)
        tone = _Tone(cubics, float(light.min()), float(light.max()))
        beside = _beside(lab, tone)
        near = beside <= max(1.0, 2 * float(np.median(beside)))
    return tone


def _ab(lab: Floats, tone: _Tone) -> Floats:
    """Return the a and b (n, 2) that a tone has at the lightness of pixels (n, 3)."""
    # The tone is undefined beyond the print's own lights and shadows.
    light = np.clip(lab[:, 0] / 100, tone.darkest, tone.lightest)
    return np.asarray(np.vander(light, 4) @ tone.cubics)


def _beside(lab: Floats, tone: _Tone) -> Floats:
    """Return the chroma (n,) of pixels (n, 3) relative to a tone."""
    return np.asarray(np.hypot(*(lab[:, 1:] - _ab(lab, tone)).T))
