"""Converts lightness and chroma to RGB and back, in CIE L*a*b* (D65); pure functions of arrays.

Lightness is preserved: colors outside the gamut lose chroma. Full-size work is done in strips, so
that no full-size float copy is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color.upsampling import CHROMA_LIMIT, fit_chroma, guide_size, offsets, widen

try:
    from worker.color import merge_loop
except ImportError:  # there was no compiler; docs/operator.md
    merge_loop = None  # type: ignore[assignment]

# cv2's and numpy's stubs lose the dtype, so it is promised here and held by tests.
Floats = NDArray[Any]  # float32
Pixels = NDArray[Any]  # uint8 or uint16

WHITE = np.array([0.9504700, 1.0000001, 1.0888300])  # XYZ of D65, the sums of sRGB's rows below
STRIP_PIXELS = 1 << 16  # small enough for the processor's cache, large enough to hide Python
LEVELS = np.float32(65535)  # of linear light, in tables
CURVE_EXPONENTS, CURVE_STEPS = 40, 9  # of `merge_loop`: from 2^-40, each in 2^9 steps


class Tone(NamedTuple):
    """The luminance and lightness of each gray code; both (2 ** depth,) float32 in 0..1."""

    luminance: Floats  # relative, CIE Y
    lightness: Floats  # CIE L* / 100


@dataclass(frozen=True, eq=False)
class Space:
    """An RGB color space with D65 white; light is linear in 0..1.

    Attributes:
        name: as `output.space` has it.
        xyz_from_rgb: (3, 3), of linear light.
        gamma: its transfer curve is a power; None for sRGB's own curve.
    """

    name: str
    xyz_from_rgb: Floats
    gamma: float | None = None

    @cached_property
    def luminance(self) -> Floats:
        """The weight of each channel in Y, (3,)."""
        return self.xyz_from_rgb[1]

    @cached_property
    def rgb_from_xz(self) -> Floats:
        """With the white divided out, RGB = Y + this @ (X / Xn - Y, Z / Zn - Y); (3, 2).

        The rows of the full matrix sum to one, so that Y needs no column of its own.
        """
        return (np.linalg.inv(self.xyz_from_rgb) * WHITE)[:, [0, 2]]

    def linear(self, encoded: Floats) -> Floats:
        """Undo the transfer curve; 0..1 to 0..1."""
        return srgb_to_linear(encoded) if self.gamma is None else encoded**self.gamma

    def encoded(self, linear: Floats) -> Floats:
        """Apply the transfer curve; 0..1 to 0..1, float32."""
        if self.gamma is not None:
            return np.asarray(cv2.pow(linear, 1 / self.gamma)).reshape(linear.shape)
        bent = np.asarray(cv2.pow(linear, 1 / 2.4)).reshape(linear.shape)
        bent = bent * np.float32(1.055) - np.float32(0.055)
        return np.where(linear <= np.float32(0.0031308), linear * np.float32(12.92), bent)

    @cached_property
    def codes_of_levels(self) -> NDArray[np.uint8]:
        """8-bit codes of linear light in 65,536 levels, (65536,).

        Finer than a code everywhere, but that a power's code 1, of 0.005 L*, is never met.
        """
        levels = np.arange(65536, dtype=np.float32) / LEVELS
        return np.rint(self.encoded(levels) * 255).astype(np.uint8)

    @cached_property
    def curve(self) -> Floats:
        """The curve's power at floats whose first bits count up, for `merge_loop`."""
        first = (127 - CURVE_EXPONENTS) << CURVE_STEPS
        bits = first + np.arange((CURVE_EXPONENTS << CURVE_STEPS) + 2, dtype=np.uint32)
        floats = (bits << np.uint32(23 - CURVE_STEPS)).view(np.float32).astype(np.float64)
        return (floats ** (1 / (self.gamma or 2.4))).astype(np.float32)

    @cached_property
    def luminance_of_step(self) -> Floats:
        """The Y of one step of a channel's 16-bit code, at each code: (3, 65536)."""
        edges = self.linear(np.clip(np.arange(65537) - 0.5, 0, 65535) / 65535)
        return (self.luminance[:, None] * np.diff(edges)).astype(np.float32)


def srgb_to_linear(encoded: Floats) -> Floats:
    """Undo the sRGB transfer curve; 0..1 to 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _of_primaries(*places: tuple[float, float]) -> Floats:
    """Give XYZ of linear RGB from x and y of red, green and blue, with D65 as its white."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in places]).T
    return np.asarray(columns * np.linalg.solve(columns, WHITE))


SRGB = Space(  # IEC 61966-2-1
    "srgb",
    np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    ),
)
# Adobe RGB (1998) Color Image Encoding, 4.3; Display P3 is DCI-P3's colors with sRGB's white.
ADOBE_RGB = Space("adobe-rgb", _of_primaries((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256)
DISPLAY_P3 = Space("display-p3", _of_primaries((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)))
SPACES = {space.name: space for space in (SRGB, ADOBE_RGB, DISPLAY_P3)}
LUMINANCE = SRGB.luminance


def lightness_of_luminance(luminance: Floats) -> Floats:
    """Give CIE L* (0..100) of relative luminance Y (0..1)."""
    return 116.0 * _f(luminance) - 16.0


def _f(t: Floats) -> Floats:
    return np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)


def tone_of_luminance(luminance: Floats) -> Tone:
    """Make a tone of the luminance (0..1) of each code, (256,) or (65536,)."""
    return Tone(
        luminance.astype(np.float32), (lightness_of_luminance(luminance) / 100).astype(np.float32)
    )


@cache
def srgb_tone(depth: int) -> Tone:
    """Return the tone of sRGB gray codes of `depth` bits, 8 or 16."""
    return tone_of_luminance(srgb_to_linear(np.arange(2**depth) / (2**depth - 1)))


def bit_depth(pixels: Pixels) -> int:
    """Return 8 or 16, the bits of each sample of `pixels`."""
    return pixels.dtype.itemsize * 8


def pixel_type(depth: int) -> type[np.uint8 | np.uint16]:
    """Return the type of samples of 8 or 16 bits."""
    return np.uint8 if depth == 8 else np.uint16


def to_8_bit(pixels: Pixels) -> Pixels:
    """Scale (never clip) 16-bit codes to 8 bits; 8-bit ones come back as they are."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def lightness(gray: Pixels) -> Floats:
    """Give CIE L* / 100 of sRGB gray codes.

    Args:
        gray: any shape, uint8 or uint16.

    Returns:
        the same shape, float32 in 0..1.
    """
    return _looked_up(srgb_tone(bit_depth(gray)).lightness, gray)


def linear_of_codes(codes: Pixels) -> Floats:
    """Undo the sRGB transfer curve of codes of any shape; float32 in 0..1."""
    return _looked_up(srgb_tone(bit_depth(codes)).luminance, codes)


def _looked_up(table: Floats, codes: Pixels) -> Floats:
    """Return `table[codes]`, in a fourth of its time."""
    flat = np.ascontiguousarray(codes).reshape(1, -1)
    return np.asarray(cv2.LUT(flat, table)).reshape(codes.shape)


def gray_of_rgb(rgb: Pixels) -> Pixels:
    """Give the sRGB gray code with the same luminance as each pixel, at the same depth.

    Args:
        rgb: (H, W, 3) uint8 or uint16, sRGB.

    Returns:
        (H, W), dtype of `rgb`.
    """
    depth = bit_depth(rgb)
    gray = np.empty(rgb.shape[:2], rgb.dtype)
    for rows in strips(*rgb.shape[:2]):
        gray[rows] = encode(linear_of_codes(rgb[rows]) @ LUMINANCE.astype(np.float32), depth)
    return gray


def lab_of_rgb(rgb: Pixels) -> Floats:
    """Give CIE L*a*b* (D65) of sRGB.

    Args:
        rgb: (H, W, 3) uint8.

    Returns:
        (H, W, 3) float32: L* in 0..100, a* and b* in CIE units.
    """
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB))


def in_gamut_ab(ab: Floats) -> NDArray[np.bool_]:
    """Tell which ab colors exist in sRGB at some lightness.

    Args:
        ab: (K, 2), CIE units.

    Returns:
        (K,) bool.
    """
    fy = (np.linspace(0.5, 99.5, 100)[:, None] + 16) / 116
    luminance = _f_inverse(fy)  # (100, 1)
    dx = _f_inverse(fy + ab[:, 0] / 500) - luminance  # (100, K)
    dz = _f_inverse(fy - ab[:, 1] / 200) - luminance
    rgb = luminance + np.stack([to_x * dx + to_z * dz for to_x, to_z in SRGB.rgb_from_xz])
    return np.asarray(((rgb >= 0) & (rgb <= 1)).all(axis=0).any(axis=0))


def merge_strips(
    gray: Pixels, ab: Floats, tone: Tone, space: Space, small: Pixels | None = None
) -> Iterator[Pixels]:
    """Combine chroma with a scan's lightness, at full size and depth, strip by strip.

    Args:
        gray: (H, W) uint8 or uint16, codes of `tone`.
        ab: (s, t, 2) float32 chroma in CIE units, of any size, covering the same picture.
        tone: what each code of `gray` stands for.
        space: of the result.
        small: `gray` made smaller, in sRGB gray codes, if the caller has it: shrinking a large scan
            takes as long as coloring it.

    Yields:
        (n, W, 3) codes of `space` from the top, dtype of `gray`. Their L* is the scan's but for the
        rounding to whole codes; where the color would leave the gamut of `space` it is desaturated
        at constant luminance until it fits.
    """
    height, width = gray.shape
    h, w = guide_size(height, width)
    if small is None:
        guide = tone.lightness[cv2.resize(gray, (w, h), interpolation=cv2.INTER_AREA)]
    else:
        guide = lightness(np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA)))
    wide = widen(fit_chroma(guide, ab), width)
    fy = tone.lightness * np.float32(100 / 116) + np.float32(16 / 116)
    merge_strip = _merge_strip if merge_loop is None else _merge_strip_compiled
    for rows in strips(height, width):
        yield merge_strip(np.ascontiguousarray(gray[rows]), wide, rows, height, fy, tone, space)


def merge(gray: Pixels, ab: Floats, small: Pixels | None = None) -> Pixels:
    """Return `merge_strips` in one piece, from and to sRGB: (H, W, 3), dtype of `gray`."""
    rgb = np.empty((*gray.shape, 3), gray.dtype)
    painted = merge_strips(gray, ab, srgb_tone(bit_depth(gray)), SRGB, small)
    for rows, strip in zip(strips(*gray.shape), painted, strict=True):
        rgb[rows] = strip
    return rgb


def strips(height: int, width: int) -> list[slice]:
    """Cut `height` rows of `width` pixels into slices of about STRIP_PIXELS pixels."""
    step = max(1, STRIP_PIXELS // width)
    return [slice(top, min(top + step, height)) for top in range(0, height, step)]


def _merge_strip(
    strip: Pixels,
    wide: tuple[Floats, ...],
    rows: slice,
    height: int,
    fy: Floats,
    tone: Tone,
    space: Space,
) -> Pixels:
    """Color one strip (n, W) of `rows`; `fy` is CIE's f(Y) of each code."""
    dx, dz = offsets(wide, rows, height, np.asarray(cv2.LUT(strip, fy)))
    return _colored(np.asarray(cv2.LUT(strip, tone.luminance)), dx, dz, space, bit_depth(strip))


def _merge_strip_compiled(
    strip: Pixels,
    wide: tuple[Floats, ...],
    rows: slice,
    height: int,
    fy: Floats,
    tone: Tone,
    space: Space,
) -> Pixels:
    """Do as `_merge_strip`, in a third of its processor time."""
    depth = bit_depth(strip)
    out = np.empty((*strip.shape, 3), strip.dtype)
    merge_loop.color_strip(
        out,
        strip,
        wide,
        fy,
        tone.luminance,
        np.ascontiguousarray(space.rgb_from_xz, np.float32),
        space.codes_of_levels if depth == 8 else space.curve,
        b"" if depth == 8 else space.luminance_of_step,
        (*strip.shape, rows.start, height, len(wide[0])),
        CHROMA_LIMIT / 500,
        CHROMA_LIMIT / 200,
        depth,
        space.gamma is None,
    )
    return out


def _colored(y: Floats, dx: Floats, dz: Floats, space: Space, depth: int) -> Pixels:
    """Give codes (n, W, 3) of luminance and offsets (n, W); in place, for memory takes the time."""
    channels = [cv2.addWeighted(dx, to_x, dz, to_z, 0.0) for to_x, to_z in space.rgb_from_xz]
    # They have no luminance, so one of them is >= 0 and one <= 0; scaling all three moves along
    # constant Y.
    tiny = np.float32(1e-12)
    highest = np.maximum(np.maximum(channels[0], channels[1], out=dx), channels[2], out=dx)
    lowest = np.minimum(np.minimum(channels[0], channels[1], out=dz), channels[2], out=dz)
    room_up = np.divide(1 - y, np.add(highest, tiny, out=highest), out=highest)
    room_down = np.divide(y, np.subtract(tiny, lowest, out=lowest), out=lowest)
    keep = np.minimum(np.minimum(room_up, room_down, out=room_up), np.float32(1), out=room_up)
    np.multiply(keep, LEVELS, out=keep)
    np.multiply(y, LEVELS, out=y)
    for channel in channels:
        np.multiply(channel, keep, out=channel)
        np.add(channel, y, out=channel)
    if depth == 16:
        return _fine_codes(channels, space)
    return np.asarray(cv2.merge([_coarse_codes(channel, space) for channel in channels]))


def _f_inverse(f: Floats) -> Floats:
    """Undo CIE's f: f cubed, continued below 6/29 by its tangent, without a branch."""
    knee = f.dtype.type(6 / 29)
    above = np.maximum(f, knee)
    return above * above * above + f.dtype.type(3 * (6 / 29) ** 2) * np.minimum(f - knee, 0)


def encode(linear: Floats, depth: int) -> Pixels:
    """Apply the sRGB transfer curve and round to whole codes.

    Args:
        linear: 0..1 (a rounding error beyond is clipped), of any shape.
        depth: 8 or 16 bits, of what is returned.
    """
    levels = np.clip(linear, 0, 1) * LEVELS
    if depth == 8:
        return _coarse_codes(levels, SRGB)
    return np.rint(SRGB.encoded(levels / LEVELS) * LEVELS).astype(np.uint16)


def _coarse_codes(levels: Floats, space: Space) -> Pixels:
    """Give 8-bit codes of linear light in 0..65535, which is overwritten."""
    rounded = np.add(levels, np.float32(0.5), out=levels).astype(np.uint16)
    return np.asarray(cv2.LUT(rounded, space.codes_of_levels))


def _fine_codes(channels: list[Floats], space: Space) -> Pixels:
    """Give 16-bit codes (n, W, 3) of linear light in 0..65535, three (n, W).

    They are rounded so that luminance comes nearest: what the heaviest channel loses by it, the
    next makes up for, by one code at most.
    """
    codes = [np.empty(0)] * 3
    owed = np.zeros_like(channels[0])  # luminance
    for channel in np.argsort(-space.luminance):
        light = np.divide(channels[channel], LEVELS, out=channels[channel])
        exact = space.encoded(np.clip(light, 0, 1, out=light)) * LEVELS
        nearest = np.rint(exact).astype(np.uint16)
        step = np.asarray(cv2.LUT(nearest, space.luminance_of_step[channel]))
        code = np.rint(exact + np.clip(owed / step, -0.99, 0.99))
        code = np.clip(code, 0, LEVELS, out=code)
        codes[channel] = code.astype(np.uint16)
        owed += (exact - code) * step
    return np.asarray(cv2.merge(codes))
