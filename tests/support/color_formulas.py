"""What codes stand for, by hand: curves and primaries as formulas, beside the profiles that say so.

Neither photochrom's own color code nor LittleCMS is used here, so that they can be held against it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.support import icc_profiles
from tests.support.synthetic_photos import Array

P3_PLACES = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))


@dataclass(frozen=True)
class Light:
    """What codes stand for: an ICC profile to embed, and the same as a formula.

    Attributes:
        profile: to embed; empty for none.
        linear: from codes in 0..1 to light in 0..1.
        weights: what red, green and blue light give to luminance under D65.
    """

    profile: bytes
    linear: Callable[[Array], Array]
    weights: Sequence[float] = (0.2126, 0.7152, 0.0722)  # IEC 61966-2-1

    def lightness(self, codes: Array) -> Array:
        """Give CIE L* of codes (H, W) or (H, W, 3) uint8 or uint16, or floats in 0..1: (H, W)."""
        top = 1 if codes.dtype.kind == "f" else np.iinfo(codes.dtype).max
        light = self.linear(np.clip(codes / top, 0, 1))
        luminance = light if codes.ndim == 2 else light @ np.asarray(self.weights)
        dark = luminance <= 216 / 24389
        return np.where(dark, luminance * 24389 / 27, 116 * np.cbrt(luminance) - 16)


def srgb_light(codes: Array) -> Array:
    """Undo sRGB's curve (IEC 61966-2-1)."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


SRGB = Light(b"", srgb_light)


def of_gray(curve: icc_profiles.Curve, version: int = 2) -> Light:
    """Return the light of a gray profile."""
    return Light(icc_profiles.gray_profile(curve, version), _formula(curve, version))


def of_rgb(
    curve: icc_profiles.Curve,
    places: tuple[icc_profiles.Place, ...] = icc_profiles.ADOBE_PLACES,
    white: icc_profiles.Place = icc_profiles.D65_PLACE,
) -> Light:
    """Return the light of an RGB profile."""
    back = icc_profiles.adapted(icc_profiles.D50, icc_profiles.xyz_of_place(icc_profiles.D65_PLACE))
    weights = (back @ icc_profiles.d50_from_rgb(places, white))[1]
    weights /= weights.sum()  # white is 1, whatever was rounded on the way
    data = icc_profiles.rgb_profile(curve, places, white)
    return Light(data, _formula(curve, 2), tuple(weights))


def _formula(curve: icc_profiles.Curve, version: int) -> Callable[[Array], Array]:
    if isinstance(curve, float):
        steps = 65536 if version >= 4 else 256  # in which the profile holds the power
        return lambda codes: codes ** (round(curve * steps) / steps)
    table = np.rint(curve * 65535) / 65535
    return lambda codes: np.interp(codes, np.linspace(0, 1, len(table)), table)


GAMMA = of_gray(2.2)
DOT_GAIN = of_gray(icc_profiles.dot_gain_curve())
GRAYS = {
    "gamma22": GAMMA,
    "gamma22-v4": of_gray(2.2, 4),
    "linear": of_gray(1.0),
    "dotgain20": DOT_GAIN,
    "gray-srgb": of_gray(icc_profiles.srgb_curve()),
}
ADOBE = of_rgb(563 / 256)
PROPHOTO = of_rgb(1.8, icc_profiles.PROPHOTO_PLACES, icc_profiles.D50_PLACE)
RGBS = {
    "adobe": ADOBE,
    "eci": of_rgb(icc_profiles.l_star_curve(), icc_profiles.ECI_PLACES, icc_profiles.D50_PLACE),
    "prophoto": PROPHOTO,
}
P3 = replace(of_rgb(2.2, P3_PLACES), linear=srgb_light)
