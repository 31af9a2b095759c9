"""Finds which samples of a TIFF are black and white where only the samples can tell.

Signed integers come in three ways: from the lowest number up, from zero up, and as unsigned numbers
of the wrong type, as most readers take them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tifffile import SAMPLEFORMAT, TiffPage

from worker.color.cielab import Floats, Pixels
from worker.errors import ScanError

DARKEST = 256  # times black's distance from white by which a whole page of 32 bits may be dark


class Span(NamedTuple):
    """The samples of black and white as they are stored.

    Attributes:
        black: of these numbers.
        white: likewise.
        turn: is added to numbers below zero, which are unsigned ones under the wrong name; or 0.
    """

    black: int
    white: int
    turn: int = 0

    def stretched(self, stored: Pixels, limit: int) -> Floats:
        """Scale samples to 0 to a limit; float64, rounded."""
        light = stored.astype(np.float64)
        if self.turn:
            light[light < 0] += self.turn
        light = (light - self.black) * (limit / (self.white - self.black))
        return np.rint(np.clip(light, 0, limit))


def is_needed(page: TiffPage) -> bool:
    """Tell whether the samples must be examined to find black and white."""
    whole = page.sampleformat != SAMPLEFORMAT.IEEEFP
    return bool(whole and (page.sampleformat == SAMPLEFORMAT.INT or page.bitspersample == 32))


def find(page: TiffPage, stored: Iterator[Pixels]) -> Span:
    """Find black and white by examining all samples.

    Args:
        page: checked; `is_needed`.
        stored: its samples of colors (n, W, samples), signed ones as such.

    Raises:
        ScanError: samples of 32 bits that are all but black, as of a program that counts otherwise.
    """
    bits, signed = int(page.bitspersample), page.sampleformat == SAMPLEFORMAT.INT
    lowest, highest, steps, other_steps = 1 << bits, -(1 << bits), 0.0, 0.0
    for part in stored:
        lowest, highest = min(lowest, int(part.min())), max(highest, int(part.max()))
        if signed:
            steps += _steps(part)
            other_steps += _steps(np.ascontiguousarray(part).view(f"u{part.itemsize}"))
    if not signed:
        found = Span(0, (1 << bits) - 1)
    elif lowest < 0 and other_steps < steps:  # neighbors in a photograph differ little
        return Span(0, (1 << bits) - 1, 1 << bits)
    else:
        found = Span(-(1 << (bits - 1)) if lowest < 0 else 0, (1 << (bits - 1)) - 1)
    if bits == 32 and (highest - found.black) * DARKEST < found.white - found.black:
        raise ScanError(
            f"the TIFF's samples of 32 bits reach from {lowest:,} to {highest:,}; photochrom takes "
            f"{found.black:,} for black and {found.white:,} for white: scale them before dropping "
            "the file in"
        )
    return found


def _steps(part: Pixels) -> float:
    """Sum the differences of neighbors in a row."""
    return float(np.abs(np.diff(part.astype(np.float64), axis=1)).sum())
