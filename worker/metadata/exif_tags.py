"""The EXIF tags that formats read and set."""

import struct
from collections.abc import Mapping

from worker.metadata import exif, ifd
from worker.metadata.block import Resolution

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
DOCUMENT_NAME, DESCRIPTION, ARTIST, COPYRIGHT, IPTC = 0x010D, 0x010E, 0x013B, 0x8298, 0x83BB
SOFTWARE = 0x0131
UNITS = {2: 1.0, 3: 2.54}  # dots per unit to dots per inch


def prefixed(data: bytes) -> bytes:
    r"""Put `Exif\0\0` before a block that lacks it; b"" stays."""
    return exif.PREFIX + data if data and not data.startswith(exif.PREFIX) else data


def orientation(data: bytes) -> int:
    """Return the orientation, 1 to 8; 1 if the block does not state it."""
    block = _readable(data)
    found = block.number(block.main.get(ORIENTATION)) if block else None
    return found if found is not None and 1 <= found <= 8 else 1


def resolution(data: bytes) -> Resolution | None:
    """Return dots per inch, or None if the block does not state them."""
    block = _readable(data)
    if block is None:
        return None
    unit = UNITS.get(block.number(block.main.get(RESOLUTION_UNIT)) or 2)
    sides = [_rational(block, tag) for tag in (X_RESOLUTION, Y_RESOLUTION)]
    if unit is None or not all(sides):
        return None
    return sides[0] * unit, sides[1] * unit


def texts(data: bytes) -> dict[int, str]:
    """Return the texts of the block's first directory, by tag."""
    block = _readable(data)
    found = block.main.items() if block else ()
    return {tag: exif.text_of(value) for tag, value in found if value.kind == ifd.ASCII}


def with_texts(data: bytes, texts: Mapping[int, str]) -> bytes:
    """Add texts that are missing in the block's first directory.

    Args:
        data: EXIF block; b"" for none.
        texts: by tag.

    Raises:
        ValueError: the block cannot be read.
    """
    missing = {tag: exif.text(text) for tag, text in texts.items() if text}
    if not missing:
        return data
    block = exif.read(data) if data else exif.Block()
    block.main = {**missing, **block.main}
    return exif.write(block)


def with_iptc(data: bytes, iptc: bytes) -> bytes:
    """Put IPTC into the block, as TIFF does, for formats without a place of their own.

    Raises:
        ValueError: the block cannot be read.
    """
    if not iptc:
        return data
    block = exif.read(data) if data else exif.Block()
    block.main[IPTC] = ifd.Value(ifd.UNDEFINED, iptc)
    return exif.write(block)


def with_resolution(data: bytes, dpi: Resolution | None) -> bytes:
    """Put a resolution into a block that has none, for formats that state it nowhere else.

    Raises:
        ValueError: the block cannot be read.
    """
    if dpi is None or resolution(data):
        return data
    block = exif.read(data) if data else exif.Block()
    block.main[X_RESOLUTION], block.main[Y_RESOLUTION] = map(block.rational, dpi)
    block.main[RESOLUTION_UNIT] = block.short(2)
    return exif.write(block)


def without_iptc(data: bytes) -> tuple[bytes, bytes]:
    """Undo `with_iptc`: the block and the IPTC that was in it, b"" if none."""
    block = _readable(data)
    found = block.main.pop(IPTC, None) if block else None
    return (exif.write(block), found.data) if block and found else (data, b"")


def _readable(data: bytes) -> exif.Block | None:
    """Parse a block; None if there is none, or it is damaged, which is reported elsewhere."""
    try:
        return exif.read(data) if data else None
    except ValueError:
        return None


def _rational(block: exif.Block, tag: int) -> float:
    value = block.main.get(tag)
    if value is None or value.kind != ifd.RATIONAL or len(value.data) < 8:
        return 0.0
    above, below = struct.unpack_from(f"{block.order}II", value.data)
    return float(above / below) if below else 0.0
