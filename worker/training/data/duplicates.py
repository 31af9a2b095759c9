"""Photographs that show the same picture, and which side of the split each photograph is on.

What holds for `divide`, whatever is added to a collection:

- A photograph's side follows from its own content alone, so it never moves to the other side. It
  can only be left out, when a near-duplicate that goes before it is added.
- No photograph that is learned from is a near-duplicate of one that is held back, not even of one
  that is itself left out for a larger near-duplicate.
- No two photographs that are kept are near-duplicates of each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels

NEAR = 8  # bits of 64 in which near-duplicates may differ; measured, see docs/decisions.md
BLOCK = 64  # photos compared at once with all others; 50 MB for 100,000 others
KEPT = -1

Hashes = NDArray[np.uint64]
Indices = NDArray[np.intp]


class Division(NamedTuple):
    """What becomes of each of N photographs.

    Attributes:
        held_back: (N,) bool, the side: for validation, never learned from.
        twin: (N,) index of the near-duplicate for which a photo is left out; KEPT where it is kept.
    """

    held_back: NDArray[np.bool_]
    twin: Indices


def perceptual_hash(rgb: Pixels) -> int:
    """Give 64 bits that stay nearly the same when a photo is resized, compressed or toned.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
    (2010): the 8 x 8 lowest frequencies but the mean of 32 x 32 gray pixels, above their median or
    not.

    Args:
        rgb: (H, W, 3) uint8 sRGB.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA), np.float32)
    low = np.asarray(cv2.dct(small))[1:9, 1:9].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def divide(
    digests: Sequence[str], hashes: Hashes, pixels: NDArray[np.int64], validation_share: float
) -> Division:
    """Give each photograph its side, and leave out near-duplicates; the larger is kept.

    Args:
        digests: SHA-256 of each photo's file, hexadecimal, all different.
        hashes: (N,) perceptual hashes.
        pixels: (N,) width x height; among near-duplicates of one side the most pixels win, then
            the lowest digest.
        validation_share: 0..1; the chance of a photo to be held back. Near-duplicates make the
            share of those kept a little larger: one that is held back costs the others their place.
    """
    held_back = np.array(
        [int(digest[:8], 16) / 2**32 < validation_share for digest in digests], np.bool_
    )
    order = np.array(
        sorted(range(len(digests)), key=lambda i: (-pixels[i], digests[i])), dtype=np.intp
    )
    twin = np.full(len(digests), KEPT, np.intp)
    nothing = np.empty(0, np.intp)
    _leave_out_near(hashes, order[held_back[order]], nothing, twin)
    _leave_out_near(hashes, order[~held_back[order]], np.flatnonzero(held_back), twin)
    return Division(held_back, twin)


def _leave_out_near(hashes: Hashes, order: Indices, rivals: Indices, twin: Indices) -> None:
    """Go through `order` and note in `twin` whoever is near a rival or one kept before."""
    before = np.concatenate([rivals, np.empty_like(order)])
    count = len(rivals)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        known = count
        nearest, distance = _nearest(hashes[block], hashes[before[:known]])
        for index, near, apart in zip(block, nearest, distance, strict=True):
            place, bits = near, apart
            if bits > NEAR and count > known:  # those of this very block were not asked
                (place,), (bits,) = _nearest(hashes[[index]], hashes[before[known:count]])
                place += known
            if bits <= NEAR:
                twin[index] = before[place]
            else:
                before[count] = index
                count += 1


def _nearest(hashes: Hashes, others: Hashes) -> tuple[Indices, NDArray[np.uint8]]:
    """Find for each hash the nearest other: its index and the bits that differ (255: no other)."""
    if not len(others):
        return np.zeros(len(hashes), np.intp), np.full(len(hashes), 255, np.uint8)
    bits = np.bitwise_count(hashes[:, None] ^ others[None])
    nearest = bits.argmin(axis=1)
    return nearest, bits[np.arange(len(hashes)), nearest]
