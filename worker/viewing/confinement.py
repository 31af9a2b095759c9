"""Takes from a process what a decoder never needs: the network, and more time and memory than fit.

A file may be hostile and a decoder may have a hole, so pages are decoded in a process that could
tell nobody.
"""

import ctypes
import math
import platform
import resource
import struct
import time
from pathlib import Path

MEMORY = 1 << 30  # bytes of address space beside what the process has when it begins
BYTES_PER_SAMPLE = 24  # more of it; decoders take up to 13, and 16 must be free to tell damage
SECONDS = 60  # of the processor, for a page of any size
SECONDS_PER_MEGAPIXEL = 2  # more; the slowest measured, JPEG 2000 in color, takes half of it
LARGEST_FILE = 1 << 28  # bytes

_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # of <linux/prctl.h> and <linux/seccomp.h>
_CALLS = {  # by machine: AUDIT_ARCH_*, and the numbers of socket and io_uring_setup
    "x86_64": (0xC000003E, 41, 425),
    "aarch64": (0xC00000B7, 198, 425),
}
_OTHER_TABLE = 0x40000000  # from here on x86_64 counts the same calls again (x32)
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # of BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x0005000D  # SECCOMP_RET_ERRNO with EACCES


def cut_off_network() -> bool:
    """Refuse this process, and all it starts, every new socket; open ones stay open.

    Needs no privileges (seccomp); it cannot be undone.

    Returns:
        False if the kernel or the machine does not allow it.
    """
    if platform.machine() not in _CALLS:
        return False
    architecture, make_socket, make_ring = _CALLS[platform.machine()]
    program = (
        (_LOAD, 0, 0, 4),  # seccomp_data.arch
        (_IF_EQUAL, 0, 5, architecture),  # how many lines to skip if so, and if not
        (_LOAD, 0, 0, 0),  # seccomp_data.nr
        (_IF_AT_LEAST, 3, 0, _OTHER_TABLE),
        (_IF_EQUAL, 2, 0, make_socket),
        (_IF_EQUAL, 1, 0, make_ring),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    private = prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    return private and prctl(_SECCOMP, _FILTER, ctypes.addressof(head), 0, 0) == 0


def limit_resources(memory: int, *, pixels: int = 0, samples: int = 0) -> None:
    """Limit this process's memory and further processor time, for a page of this size.

    Called first for reading a header, then for what the header says; and again for the next page.

    Args:
        memory: bytes of address space it had when it began, from `address_space`.
        pixels: of the page.
        samples: of the page, opacity included.
    """
    space = memory + MEMORY + BYTES_PER_SAMPLE * samples
    seconds = math.ceil(time.process_time()) + SECONDS
    seconds += SECONDS_PER_MEGAPIXEL * pixels // 1_000_000
    for kind, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        _soft, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def address_space() -> int:
    """Return the bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
