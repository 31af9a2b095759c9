"""Tells lack of memory from damage.

When memory runs out, the decoders of WebP, JPEG 2000, JPEG XL and progressive JPEG report damage
(measured with a limited address space).
"""

import errno
import mmap

BYTES_PER_SAMPLE = 16  # that a decoder needs at most; 6.5 to 13 were measured


def suffices_for(samples: int) -> bool:
    """Tell whether memory for decoding so many samples is available now.

    Maps and unmaps address space only, which takes microseconds for any size. Always true where
    the system overcommits memory.
    """
    try:
        mmap.mmap(-1, max(1, samples) * BYTES_PER_SAMPLE).close()
    except (OSError, MemoryError, OverflowError):
        return False
    return True


def is_short(error: BaseException) -> bool:
    """Tell whether an error means out of memory: MemoryError or ENOMEM."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )
