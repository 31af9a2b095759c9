"""Colored photographs to files: the scan's container, depth and metadata, and the label.

The label says, where machines look for it, that a model made the color (IPTC DigitalSourceType).
"""

import struct
import zlib
from functools import cache
from typing import BinaryIO

import imagecodecs
import tifffile
from PIL import Image, ImageCms

from worker.color import Pixels
from worker.scan import Scan, to_8_bit
from worker.settings import WriteSettings

JPEG_QUALITY = 95
DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
XMP_LABEL = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"
 xmp:CreatorTool="photochrom"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def write(rgb: Pixels, scan: Scan, settings: WriteSettings, file: BinaryIO) -> None:
    """Encode a colored photograph, with what the scan carried and the label of its origin.

    Args:
        rgb: (H, W, 3) uint8 or uint16 sRGB.
        scan: where it came from.
        settings: container and label.
        file: open for writing, seekable.

    Raises:
        OSError: when the disk fails.
    """
    kind = scan.kind if settings.format == "same" else settings.format
    xmp = XMP_LABEL if settings.label else b""
    if kind == "tiff":
        _write_tiff(rgb, scan, xmp, file)
    elif kind == "png":
        file.write(_png(rgb, scan, xmp))
    else:
        image = Image.fromarray(to_8_bit(rgb))
        dpi = {} if scan.dpi is None else {"dpi": (round(scan.dpi[0]), round(scan.dpi[1]))}
        common = {
            "exif": scan.exif,
            "xmp": xmp,
            "icc_profile": _srgb_profile(),
            "quality": JPEG_QUALITY,
        }
        if kind == "jpeg":
            image.save(file, "JPEG", subsampling=0, **common, **dpi)
        else:
            image.save(file, "WEBP", lossless=scan.lossless, **common)


def _write_tiff(rgb: Pixels, scan: Scan, xmp: bytes, file: BinaryIO) -> None:
    extra: list[tuple[int, int, int, object, bool]] = [
        (34675, 7, len(_srgb_profile()), _srgb_profile(), True)
    ]
    if xmp:
        extra.append((700, 1, len(xmp), xmp, True))
    texts = {code: text.encode() + b"\0" for code, text in scan.texts.items()}
    extra += [(code, 2, len(text), text, True) for code, text in texts.items()]
    tifffile.imwrite(
        file,
        rgb,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        metadata=None,
        software="photochrom",
        resolution=scan.dpi,
        resolutionunit="INCH" if scan.dpi else None,
        extratags=extra,
    )


def _png(rgb: Pixels, scan: Scan, xmp: bytes) -> bytes:
    """Encode a PNG of 8 or 16 bits, its metadata chunks behind the header (PNG, 3rd edition)."""
    encoded = imagecodecs.png_encode(rgb, level=6)
    chunks = _chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(_srgb_profile()))
    if scan.dpi:
        chunks += _chunk(
            b"pHYs",
            struct.pack(">IIB", round(scan.dpi[0] / 0.0254), round(scan.dpi[1] / 0.0254), 1),
        )
    if scan.exif:
        chunks += _chunk(b"eXIf", scan.exif.removeprefix(b"Exif\0\0"))
    if xmp:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    header = 8 + 25  # signature, IHDR
    return bytes(encoded[:header]) + chunks + bytes(encoded[header:])


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@cache
def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
