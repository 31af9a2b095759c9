"""Whether a strip of CCITT fax codes is all there: its decoders take missing rows for white ones.

Source: ITU-T T.4 (end of line) and T.6 (end of block).
"""

import random
import re
from collections.abc import Callable

import imagecodecs
import numpy as np
from tifffile import COMPRESSION

from worker.color.cielab import Pixels

END_OF_LINE = re.compile(r"0{11,}1")
END_OF_BLOCK = "000000000001" * 2
TAILS = 8  # with two, one cut in some hundred passed; with eight, none of some thousands


def is_whole(
    data: bytes,
    rows: int,
    compression: int,
    decode: Callable[[bytes], Pixels | None],
    *,
    reverse: bool = False,
) -> bool:
    """Tell whether a strip's codes reach to its last row.

    Args:
        data: the strip as stored.
        rows: that it must hold.
        compression: of the TIFF: RLE, T.4 or T.6.
        decode: gives the rows of codes.
        reverse: whether each byte's lowest bit comes first (FillOrder 2).
    """
    data = data.rstrip(b"\0")  # padding, or a hole: no code ends in a byte of zeros
    plain = bytes(imagecodecs.bitorder_decode(data)) if reverse else data
    if compression == COMPRESSION.CCITT_T6 and END_OF_BLOCK in _bits(plain[-8:]):
        return True
    lines = len(END_OF_LINE.findall(_bits(plain))) if compression == COMPRESSION.CCITT_T4 else rows
    if lines < rows - 1:  # one ends before each row; some writers leave out the first
        return False
    # A decoder that had all rows does not look at what follows; one that ran out draws it.
    expected = decode(data)
    noise = random.Random(0)  # noqa: S311
    tails = (noise.randbytes(400) for _ in range(TAILS))
    return expected is not None and all(
        np.array_equal(expected, np.asarray(decode(data + tail))) for tail in tails
    )


def _bits(data: bytes) -> str:
    return f"{int.from_bytes(data):0{8 * len(data)}b}"
