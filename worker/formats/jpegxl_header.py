"""Reads the header of a JPEG XL codestream: size, depth, channels, color space.

Source: ISO/IEC 18181-1:2024, clause 9 (reading bits) and annex D (image header).
"""

from dataclasses import dataclass

from worker.errors import DamagedError, ScanError

Choice = tuple[int, int]  # an offset, and how many bits are added to it
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height
SIZES: tuple[Choice, ...] = ((1, 9), (1, 13), (1, 18), (1, 30))
ENUMERATED: tuple[Choice, ...] = ((0, 0), (1, 0), (2, 4), (18, 6))
GRAY, D65, ALPHA = 1, 1, 0
SRGB, P3 = 1, 11  # primaries
LINEAR_CURVE, SRGB_CURVE = 8, 13


@dataclass(frozen=True)
class Header:
    """The header's contents.

    Attributes:
        width: columns as stored.
        height: rows as stored.
        orientation: 1 to 8, as EXIF has it.
        bits: of each sample, 1 to 16.
        samples: 1 for gray, 3 for RGB.
        alpha: whether each pixel has one sample more, its opacity.
        lossless: whether samples are stored as they were and not as XYB; the best guess there is.
        gamma: exponent of the light that codes stand for; 0.0 is sRGB's own curve.
        wide: whether RGB has the primaries of Display P3 and not those of sRGB.
    """

    width: int
    height: int
    orientation: int
    bits: int
    samples: int
    alpha: bool
    lossless: bool
    gamma: float = 0.0
    wide: bool = False


class _Bits:
    """Reads bits, lowest first."""

    def __init__(self, data: bytes) -> None:
        self._data = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an integer of so many bits."""
        if count > self._left:
            raise DamagedError("the header is cut short")
        value = self._data & ((1 << count) - 1)
        self._data >>= count
        self._left -= count
        return value

    def one_of(self, choices: tuple[Choice, ...]) -> int:
        """Read a number coded in one of four ways, chosen by two bits."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


def header_of(codestream: bytes) -> Header:
    """Read the header.

    Args:
        codestream: its beginning, without the signature 0xff 0x0a; 4,096 bytes are enough.

    Raises:
        ScanError: with the reason, for what is refused.
        DamagedError: cut short.
    """
    bits = _Bits(codestream)
    width, height = _size(bits)
    if bits.take(1):  # all is as usual: 8 bits, sRGB, stored as XYB
        return Header(width, height, 1, 8, 3, alpha=False, lossless=False)
    orientation, more = 1, bits.take(1)
    if more:
        orientation = 1 + bits.take(3)
        if bits.take(1):
            _size(bits)  # at which to show it
        if bits.take(1):
            raise ScanError("the JPEG XL contains a preview; save it without one")
        if bits.take(1):
            raise ScanError("the JPEG XL is animated; photochrom colors still images only")
    depth = _depth(bits)
    bits.take(1)  # whether 16 bits are enough to decode it
    extra = [_extra_channel(bits) for _ in range(bits.one_of(((0, 0), (1, 0), (2, 4), (1, 12))))]
    if extra not in ([], [ALPHA]):
        raise ScanError(
            "the JPEG XL has channels besides color and plain opacity; save it without them"
        )
    lossless = not bits.take(1)
    samples, gamma, wide = (3, 0.0, False) if bits.take(1) else _color(bits)
    return Header(width, height, orientation, depth, samples, bool(extra), lossless, gamma, wide)


def _size(bits: _Bits) -> tuple[int, int]:
    """Return width and height."""
    small = bits.take(1)
    height = 8 * (1 + bits.take(5)) if small else bits.one_of(SIZES)
    ratio = bits.take(3)
    if ratio:
        across, down = RATIOS[ratio - 1]
        return height * across // down, height
    return (8 * (1 + bits.take(5)) if small else bits.one_of(SIZES)), height


def _depth(bits: _Bits) -> int:
    if bits.take(1):
        raise ScanError("the JPEG XL's samples are floating point; save it with 16 bits")
    depth = bits.one_of(((8, 0), (10, 0), (12, 0), (1, 6)))
    if depth > 16:
        raise ScanError(f"the JPEG XL's samples have {depth} bits; photochrom reads up to 16")
    return depth


def _extra_channel(bits: _Bits) -> int:
    """Return the type of an extra channel; -1 for all but plain opacity."""
    if bits.take(1):
        return ALPHA
    kind = bits.one_of(ENUMERATED)
    _depth(bits)
    smaller = bits.one_of(((0, 0), (3, 0), (4, 0), (1, 3)))
    for _ in range(bits.one_of(((0, 0), (0, 4), (16, 5), (48, 10)))):
        bits.take(8)  # its name
    if kind != ALPHA or smaller:
        return -1
    return -1 if bits.take(1) else ALPHA  # premultiplied


def _color(bits: _Bits) -> tuple[int, float, bool]:
    """Return samples, gamma and wide of a Header; refuse other color spaces."""
    icc = bits.take(1)
    space = bits.one_of(ENUMERATED)
    if not icc and space <= GRAY and bits.one_of(ENUMERATED) == D65:
        primaries = SRGB if space == GRAY else bits.one_of(ENUMERATED)
        gamma = _gamma(bits) if primaries in {SRGB, P3} else None
        if gamma is not None and (primaries == SRGB or not gamma):
            return (1 if space == GRAY else 3), gamma, primaries == P3
    raise ScanError(
        "the color space of the JPEG XL cannot be read; save it as TIFF or PNG with its profile"
    )


def _gamma(bits: _Bits) -> float | None:
    """Return the exponent of a curve, 0.0 for sRGB's; None if it is not supported."""
    if bits.take(1):
        exponent = bits.take(24) / 1e7  # from light to codes
        return 1 / exponent if 0.1 <= exponent <= 1 else None
    return {LINEAR_CURVE: 1.0, SRGB_CURVE: 0.0}.get(bits.one_of(ENUMERATED))
