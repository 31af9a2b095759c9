"""ICC profiles: interprets those of scans, and builds those of results (LittleCMS).

Relative colorimetric, without black point compensation. Profiles use a D50 white, photochrom D65:
luminance is converted back by the Bradford matrix, which leaves neutrals unchanged.
"""

import io
import struct
from functools import cache, lru_cache
from typing import Any

import imagecodecs
import numpy as np
from PIL import ImageCms

from worker.color import cielab
from worker.color.cielab import Floats, Pixels, Space, Tone

LARGEST = 1 << 24  # bytes; the largest printer profiles have a quarter
QUANTUM = 1 / 65535  # LittleCMS computes curves that are tables in whole steps of this
ADDITIVE = 1e-6  # of Y: a profile that adds up its channels does so within a tenth of this
RELATIVE = 1  # relative colorimetric
TESTED = 4096  # colors on which a shorter way is checked against LittleCMS
CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}  # those that say what a picture's codes stand for
MODELS = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
TITLES = {
    "srgb": "sRGB",
    "adobe-rgb": "Adobe RGB (compatible)",
    "display-p3": "Display P3",
}
D50 = np.array([63190, 65536, 54061]) / 65536  # ICC.1:2022, 7.2.16
CONES = np.array(  # Bradford's, ICC.1:2022, annex E
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
D50_FROM_D65 = np.linalg.solve(CONES, np.diag(CONES @ D50 / (CONES @ cielab.WHITE)) @ CONES)
LUMINANCE_OF_D50 = np.linalg.inv(D50_FROM_D65)[1]  # Y under D65 of XYZ under D50


class ProfileError(ValueError):
    """A color profile is unusable; the text says why."""


def color_model(profile: bytes) -> str:
    """Return a profile's color model: "gray", "rgb", "cmyk", or ICC's name of another.

    Raises:
        ProfileError: it is no image profile.
    """
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("it is not an ICC profile")
    if len(profile) > LARGEST:
        raise ProfileError(f"it is too large ({len(profile)} bytes)")
    if profile[12:16] not in CLASSES:
        raise ProfileError(f"it is of class {_word(profile[12:16])} and describes no image")
    return MODELS.get(profile[16:20]) or _word(profile[16:20])


def _word(signature: bytes) -> str:
    return "".join(chr(code) if 32 < code < 127 else " " for code in signature).strip() or "(none)"


def describe(profile: bytes) -> str:
    """Return a profile's name, in one line.

    Raises:
        ProfileError: it is damaged.
    """
    model = color_model(profile)
    try:
        name = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.profile_description or ""
    except (OSError, ValueError) as error:
        raise ProfileError("it is damaged") from error
    plain = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return plain[:200] or f"unnamed {model} profile"


@lru_cache(maxsize=8)
def neutral_tone(profile: bytes, depth: int) -> Tone:
    """Return the tone of a profile's gray codes.

    Args:
        profile: gray, or RGB for three equal channels.
        depth: of the codes, 8 or 16 bits.

    Raises:
        ProfileError: it is damaged, of another color model, or its tones do not rise.
    """
    model = color_model(profile)
    if model not in {"gray", "rgb"}:
        raise ProfileError(f"it is for {model} images")
    ramp = np.arange(2**depth).astype(cielab.pixel_type(depth))[:, None]
    xyz = _xyz(ramp if model == "gray" else np.repeat(ramp, 3, axis=1), profile)
    tone = cielab.tone_of_luminance(_without_steps(np.clip(xyz @ LUMINANCE_OF_D50, 0, 1), QUANTUM))
    falls = np.minimum(np.diff(tone.lightness), 0).sum()
    low, high = tone.lightness[[2**depth // 4, 2**depth * 3 // 4]]
    if high - low < 0.1 or falls < -0.02:
        raise ProfileError("its tones do not rise from dark to light")
    return tone


def _without_steps(curve: Floats, quantum: float) -> Floats:
    """Undo the rounding of a rising curve (N,) to steps of `quantum`, by half a step at most.

    Otherwise dozens of 16-bit shadows would share a luminance.
    """
    last = len(curve) - 1
    starts = np.flatnonzero(np.diff(curve, prepend=-1.0))
    middles = (starts + np.append(starts[1:] - 1, last)) / 2
    middles[0], middles[-1] = 0, last
    smooth = np.interp(np.arange(last + 1), middles, curve[starts])
    return np.clip(smooth, curve - quantum / 2, curve + quantum / 2)


def luminance(band: Pixels, profile: bytes) -> Floats:
    """Return the luminance of RGB pixels under D65.

    Args:
        band: (n, W, 3) uint8 or uint16.
        profile: of RGB.

    Returns:
        (n, W) float32 in 0..1.

    Raises:
        ProfileError: it is damaged, or of another color model.
    """
    tables = _luminance_tables(profile, cielab.bit_depth(band))
    if tables is None:
        return np.clip(_xyz(band, profile) @ LUMINANCE_OF_D50, 0, 1).astype(np.float32)
    total = tables[0][band[..., 0]]
    total += tables[1][band[..., 1]]
    total += tables[2][band[..., 2]]
    return np.clip(total, 0, 1, out=total)


@lru_cache(maxsize=8)
def _luminance_tables(profile: bytes, depth: int) -> Floats | None:
    """Return what each channel's codes add to luminance, (3, 2 ** depth) float32.

    None if luminance is not such a sum, that is, for profiles with color tables instead of curves
    and a matrix.
    """
    kind = cielab.pixel_type(depth)
    ramps = np.zeros((3, 2**depth, 3), kind)
    for channel in range(3):
        ramps[channel, :, channel] = np.arange(2**depth)
    tables = _xyz(ramps, profile) @ LUMINANCE_OF_D50
    tables[1:] -= tables[1:, :1]
    some = np.random.default_rng(0).integers(0, 2**depth, (TESTED, 3)).astype(kind)
    sums = sum(tables[channel, some[:, channel]] for channel in range(3))
    if np.abs(sums - _xyz(some, profile) @ LUMINANCE_OF_D50).max() > ADDITIVE:
        return None
    smooth = [_without_steps(table, QUANTUM * np.ptp(table)) for table in tables]
    return np.array(smooth, np.float32)


def to_srgb(band: Pixels, profile: bytes) -> Pixels:
    """Convert RGB pixels (n, W, 3) uint8 or uint16 of a profile to sRGB, uint8.

    Raises:
        ProfileError: it is damaged, or of another color model.
    """
    return _transform(band, profile, output_profile(cielab.SRGB), "rgb", np.uint8)


def cmyk_to_srgb(band: Pixels, profile: bytes | None) -> Pixels:
    """Convert CMYK pixels to sRGB; without a profile, by (1 - ink) (1 - black).

    Args:
        band: (n, W, 4) uint8 or uint16; 0 is no ink.
        profile: of CMYK.

    Returns:
        (n, W, 3) uint8.

    Raises:
        ProfileError: it is damaged, or of another color model.
    """
    if profile is not None:
        return _transform(band, profile, output_profile(cielab.SRGB), "rgb", np.uint8)
    paper = 1 - band.astype(np.float32) / np.float32(np.iinfo(band.dtype).max)
    return np.rint(paper[..., :3] * paper[..., 3:] * np.float32(255)).astype(np.uint8)


def _xyz(codes: Pixels, profile: bytes) -> Floats:
    """Return the XYZ (D50) of codes (..., samples): (..., 3) float64, white at Y = 1."""
    xyz = _transform(codes, profile, _xyz_profile(), "xyz", np.float64)
    if not np.isfinite(xyz).all():
        raise ProfileError("it gives no color for some values")
    return xyz


@cache
def _xyz_profile() -> bytes:
    return imagecodecs.cms_profile("xyz")


def _transform(codes: Pixels, profile: bytes, to: bytes, to_model: str, kind: Any) -> Pixels:
    """Convert codes (..., samples) by LittleCMS to (..., samples) of dtype `kind`."""
    model = color_model(profile)
    samples = codes.shape[-1]
    if {"gray": 1, "rgb": 3, "cmyk": 4}.get(model) != samples:
        raise ProfileError(f"it is for {model} images")
    try:
        result = imagecodecs.cms_transform(
            np.ascontiguousarray(codes.reshape(-1, 1, samples)),
            profile,
            to,
            colorspace=model,
            outcolorspace=to_model,
            outdtype=kind,
            intent=RELATIVE,
        )
    except (imagecodecs.CmsError, ValueError) as error:
        raise ProfileError("it is damaged") from error
    return np.asarray(result).reshape(*codes.shape[:-1], -1)


@cache
def output_profile(space: Space) -> bytes:
    """Build the ICC profile (version 4) of an output space; the same bytes each time."""
    primaries = np.rint(D50_FROM_D65 @ space.xyz_from_rgb * 65536)
    primaries[:, 1] += np.rint(D50 * 65536) - primaries.sum(axis=1)  # equal codes stay neutral
    curve = _curve(space.gamma)
    tags = {
        b"desc": _text(TITLES[space.name]),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": _xyz_tag(D50 * 65536),
        b"chad": b"sf32" + bytes(4) + _fixed(D50_FROM_D65 * 65536),
        b"rXYZ": _xyz_tag(primaries[:, 0]),
        b"gXYZ": _xyz_tag(primaries[:, 1]),
        b"bXYZ": _xyz_tag(primaries[:, 2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _packed(tags)


def _packed(tags: dict[bytes, bytes]) -> bytes:
    """Lay out header, tag table and tags (ICC.1:2022, 7.2 and 7.3)."""
    start = 128 + 4 + 12 * len(tags)
    body, table, places = b"", struct.pack(">I", len(tags)), {}
    for name, tag in tags.items():
        if tag not in places:  # the three curves are one
            places[tag] = start + len(body)
            body += tag + bytes(-len(tag) % 4)
        table += struct.pack(">4sII", name, places[tag], len(tag))
    header = struct.pack(">I4sI", start + len(body), bytes(4), 0x04400000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(D50 * 65536)
    return header.ljust(128, b"\0") + table + body


def _fixed(numbers: Floats) -> bytes:
    """Write numbers, in 65,536ths, as ICC's s15Fixed16."""
    return np.rint(numbers).astype(">i4").tobytes()


def _xyz_tag(numbers: Floats) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(numbers)


def _text(text: str) -> bytes:
    """Write a multiLocalizedUnicodeType of American English."""
    words = text.encode("utf-16-be")
    return struct.pack(">4s4xII2s2sII", b"mluc", 1, 12, b"en", b"US", len(words), 28) + words


def _curve(gamma: float | None) -> bytes:
    """Write a parametricCurveType: a power, or sRGB's curve (IEC 61966-2-1)."""
    if gamma is not None:
        return struct.pack(">4s4xHH", b"para", 0, 0) + _fixed(np.array([gamma * 65536]))
    numbers = np.array([2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045])
    return struct.pack(">4s4xHH", b"para", 3, 0) + _fixed(numbers * 65536)
