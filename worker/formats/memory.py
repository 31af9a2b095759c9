"""Was a photo too large for the memory that this machine can give now?

Measured with a limit on the address space: on a file that is sound, the decoders of WebP, JPEG
2000, JPEG XL and progressive JPEG then complain of damage, in the words they have for damage.
"""

import errno
import mmap

BYTES_PER_SAMPLE = 16  # what a decoder may need at the most; 6.5 to 13 were measured


def suffices_for(samples: int) -> bool:
    """Tell whether a decoder could have the memory now for so many samples.

    Only addresses are asked for, and given back untouched: it takes microseconds, whatever the
    size. Where the system promises more than it has (and ends processes later) it is always so.
    """
    try:
        mmap.mmap(-1, max(1, samples) * BYTES_PER_SAMPLE).close()
    except (OSError, MemoryError, OverflowError):
        return False
    return True


def is_short(error: BaseException) -> bool:
    """Tell whether an error says that memory was refused: Python's, or the system's ENOMEM."""
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )
