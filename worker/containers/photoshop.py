"""Photoshop's image resources, as far as they hold IPTC: how JPEG, PNG and TIFF carry it.

Source: Adobe Photoshop File Formats Specification, "Image Resource Blocks".
"""

import struct

IPTC = 0x0404
MOST = 10_000  # resources; Photoshop writes some dozens


def iptc_of(resources: bytes) -> bytes:
    """Return the IPTC datasets among image resources, b"" if there are none.

    Raises:
        ValueError: the resources are cut short.
    """
    at = 0
    for _ in range(MOST):
        if at + 12 > len(resources):
            break
        signature, number, name_length = struct.unpack_from(">4sHB", resources, at)
        if signature not in {b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"}:
            break  # padding of some writers
        body = at + 6 + name_length + 1 + (name_length + 1) % 2
        if body + 4 > len(resources):
            raise ValueError("a Photoshop resource is cut short")
        (length,) = struct.unpack_from(">I", resources, body)
        at = body + 4 + length + length % 2
        if number == IPTC:
            if body + 4 + length > len(resources):
                raise ValueError("the IPTC resource is cut short")
            return resources[body + 4 : body + 4 + length]
    return b""


def wrapped(iptc: bytes) -> bytes:
    """Wrap IPTC datasets as one image resource without a name."""
    return struct.pack(">4sHHI", b"8BIM", IPTC, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)
