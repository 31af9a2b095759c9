"""Near-duplicates, and the split into training and validation photographs.

`divide` guarantees, whatever is added to a collection:

- A photograph's side depends only on its own content, so it never changes sides. It can only be
  left out, when a near-duplicate with precedence is added.
- No training photograph is a near-duplicate of a validation photograph, not even of one that is
  itself left out for a larger near-duplicate.
- No two photographs that are kept are near-duplicates.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels

NEAR = 8  # of 64 bits may differ between near-duplicates; measured in docs/decisions.md
BLOCK = 64  # photographs compared with all others at once; 50 MB for 100,000 others
KEPT = -1

Hashes = NDArray[np.uint64]
Indices = NDArray[np.intp]


class Division(NamedTuple):
    """The split of N photographs.

    Attributes:
        held_back: (N,) bool, whether for validation.
        twin: (N,) index of the near-duplicate for which one is left out; KEPT if it is kept.
    """

    held_back: NDArray[np.bool_]
    twin: Indices


def perceptual_hash(rgb: Pixels) -> int:
    """Return 64 bits that hardly change when a photograph is resized, compressed or toned.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions"
    (2010): whether each of the 8 x 8 lowest frequencies of 32 x 32 gray pixels, without the mean,
    is above their median.

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
    """Split photographs, and leave out near-duplicates; the larger one is kept.

    Args:
        digests: SHA-256 of each file, hexadecimal, all different.
        hashes: (N,) perceptual hashes.
        pixels: (N,) width x height; of near-duplicates on one side, the one with most pixels is
            kept, then the one with the lowest digest.
        validation_share: 0..1, the probability of being held back. The share among those kept is
            a little larger, since near-duplicates of held-back photographs are left out.
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
    """Go through `order`, and mark in `twin` what is near a rival or one kept before."""
    before = np.concatenate([rivals, np.empty_like(order)])
    count = len(rivals)
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        known = count
        nearest, distance = _nearest(hashes[block], hashes[before[:known]])
        for index, near, apart in zip(block, nearest, distance, strict=True):
            place, bits = near, apart
            if bits > NEAR and count > known:  # not compared yet: those of this block
                (place,), (bits,) = _nearest(hashes[[index]], hashes[before[known:count]])
                place += known
            if bits <= NEAR:
                twin[index] = before[place]
            else:
                before[count] = index
                count += 1


def _nearest(hashes: Hashes, others: Hashes) -> tuple[Indices, NDArray[np.uint8]]:
    """Find for each hash the nearest other: its index, and how many bits differ (255: none)."""
    if not len(others):
        return np.zeros(len(hashes), np.intp), np.full(len(hashes), 255, np.uint8)
    bits = np.bitwise_count(hashes[:, None] ^ others[None])
    nearest = bits.argmin(axis=1)
    return nearest, bits[np.arange(len(hashes)), nearest]
