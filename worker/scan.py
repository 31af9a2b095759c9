"""Files to scans, colored photos to files: JPEG, PNG, TIFF and WebP, upright, at their own depth.

Refuses, with a reason for the archivist: what is not an image, what is damaged, what its name lies
about, what is too large, and what is in color already.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import BinaryIO, Literal

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageCms

from worker import color
from worker.color import Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings, WriteSettings

Kind = Literal["jpeg", "png", "tiff", "webp"]
Resolution = tuple[float, float]

KIND_OF_SUFFIX: dict[str, Kind] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".webp": "webp",
}
SIGNATURES: list[tuple[bytes, str]] = [
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"RIFF", "webp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF8", "gif"),
    (b"%PDF", "pdf"),
    (b"BM", "bmp"),
]
TONE_LIMIT = 2.5  # RMS chroma (CIE units) beside the print's own tone; above it a photo is in color
JPEG_QUALITY = 95
SMALL_SIDE = 512  # pixels; no render size is larger
DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
XMP_LABEL = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"
 xmp:CreatorTool="photochrom"/>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()

# What decoders raise on damaged data, as their documentation and their fuzzers show. The file is in
# memory by then, so an
# OSError is the decoder's complaint, not the disk's.
DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, RuntimeError,
    ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
TEXT_TAGS = (
    269,
    270,
    271,
    272,
    285,
    306,
    315,
    33432,
)  # DocumentName .. PageName, DateTime, Artist, Copyright


@dataclass(frozen=True)
class Scan:
    """A black-and-white photograph in memory.

    Attributes:
        gray: (H, W) uint8 or uint16, upright, sRGB gray codes; its L* is the photograph's.
        kind: the container it came in.
        lossless: whether that container kept every pixel.
        exif: EXIF block to carry over, orientation normalized; empty if none.
        dpi: horizontal and vertical resolution in dots per inch, if the file states one.
        texts: TIFF text tags to carry over, by tag number.
    """

    gray: Pixels
    kind: Kind
    lossless: bool = True
    exif: bytes = b""
    dpi: Resolution | None = None
    texts: dict[int, str] = field(default_factory=dict)

    @cached_property
    def small(self) -> Pixels:
        """The scan at 512 pixels or less: all that the generator and the chroma's fit look at."""
        height, width = self.gray.shape
        scale = min(1.0, SMALL_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(self.gray, size, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class _Decoded:
    """Pixels as stored, (H, W) or (H, W, 3), not yet upright; and what travels with them."""

    pixels: Pixels
    lossless: bool
    orientation: int = 1
    exif: bytes = b""
    dpi: Resolution | None = None
    texts: dict[int, str] = field(default_factory=dict)


def read(path: Path, settings: ReadSettings) -> Scan:
    """Read a black-and-white photograph; also gray stored as RGB, and toned prints, untoned.

    Raises:
        ScanError: with the reason, when the file is not such a photograph.
        FileNotFoundError: when it is gone.
        OSError: when the disk fails.
    """
    kind, decoded = _decode(path, settings)
    pixels = decoded.pixels
    if pixels.ndim == 3:
        pixels = _gray_of_toned(pixels)
    upright = np.ascontiguousarray(_upright(pixels, decoded.orientation))
    photo = Scan(upright, kind, decoded.lossless, decoded.exif, decoded.dpi, decoded.texts)
    _ = photo.small  # now, in the thread that reads, so that the device need not wait for it
    return photo


def read_color(path: Path, settings: ReadSettings) -> Pixels:
    """Read a color photograph for training: (H, W, 3) uint8 sRGB, upright; gray as equal channels.

    Raises:
        ScanError, FileNotFoundError, OSError: as `read`.
    """
    _kind, decoded = _decode(path, settings)
    pixels = np.ascontiguousarray(to_8_bit(_upright(decoded.pixels, decoded.orientation)))
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _decode(path: Path, settings: ReadSettings) -> tuple[Kind, _Decoded]:
    kind = KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise ScanError(
            f"{path.suffix or 'a name without suffix'} is not a kind of image photochrom reads"
        )
    try:
        data = path.read_bytes()
    except PermissionError as error:
        raise ScanError("the file may not be read: its permissions refuse it") from error
    if not data:
        raise ScanError("the file is empty (0 bytes)")
    found = next((name for signature, name in SIGNATURES if data.startswith(signature)), None)
    if found is None:
        raise ScanError(
            f"this is not an image: its content is not {kind.upper()} nor any kind known"
        )
    if found != kind:
        raise ScanError(
            f"the name says {kind.upper()} but the content is {found.upper()}; "
            "rename the file and drop it again"
        )
    with _damage_is_the_files_fault():
        return kind, _DECODERS[kind](data, settings)


@contextmanager
def _damage_is_the_files_fault() -> Iterator[None]:
    try:
        yield
    except DECODER_ERRORS as error:
        what = str(error) or type(error).__name__
        raise ScanError(
            f"the image is damaged or cut short and cannot be decoded ({what})"
        ) from error


def _check_size(width: int, height: int, settings: ReadSettings) -> None:
    if width < 1 or height < 1:
        raise ScanError(f"the image has no pixels ({width} x {height})")
    if width * height > settings.megapixels * 1e6:
        raise ScanError(
            f"the image is {width} x {height} = {width * height / 1e6:.0f} megapixels; "
            f"limits.megapixels allows {settings.megapixels:g}"
        )


def _decode_with_pillow(data: bytes, settings: ReadSettings) -> _Decoded:
    with Image.open(io.BytesIO(data)) as image:
        _check_size(*image.size, settings)
        image.load()
        lossless = image.format == "PNG" or (image.format == "WEBP" and b"VP8L" in data[:64])
        exif, orientation = _carried_exif(image)
        dpi = image.info.get("dpi")
        return _Decoded(
            _pixels_of(image, data),
            lossless,
            orientation,
            exif,
            dpi and (float(dpi[0]), float(dpi[1])),
        )


def _pixels_of(image: Image.Image, data: bytes) -> Pixels:
    if image.format == "PNG" and data[24] == 16:
        return _without_alpha(imagecodecs.png_decode(data))
    if image.mode in {"1", "L"}:
        return np.asarray(image.convert("L"))
    if image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info:
        return _without_alpha(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _without_alpha(pixels: Pixels) -> Pixels:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels in {2, 4}:
        if (pixels[..., -1] != np.iinfo(pixels.dtype).max).any():
            raise ScanError("the image has transparent parts; flatten it before dropping it in")
        pixels = pixels[..., :-1]
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def _carried_exif(image: Image.Image) -> tuple[bytes, int]:
    """Return the EXIF block to carry over, upright, no thumbnail; and the orientation it had."""
    exif = image.getexif()
    orientation = int(exif.get(ExifTags.Base.Orientation, 1))
    if not exif:
        return b"", 1
    exif.pop(ExifTags.Base.Orientation, None)
    exif.get_ifd(ExifTags.IFD.IFD1).clear()
    return exif.tobytes(), orientation


def _decode_tiff(data: bytes, settings: ReadSettings) -> _Decoded:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if len(tiff.pages) > 1:
            raise ScanError(
                f"the TIFF has {len(tiff.pages)} pages; split it into single photographs"
            )
        page = tiff.pages.first
        _check_size(page.imagewidth, page.imagelength, settings)
        if page.dtype is None or page.dtype.name not in {"bool", "uint8", "uint16"}:
            raise ScanError(
                f"the TIFF's samples are {page.dtype}; photochrom reads 1, 8 and 16 bits"
            )
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.colormap is not None:
            pixels = np.moveaxis(page.colormap, 0, -1)[pixels]
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = ~pixels
        tags = {code: page.tags[code].value for code in TEXT_TAGS if code in page.tags}
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        lossless = page.compression not in {tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG}
        return _Decoded(
            _without_alpha(pixels), lossless, orientation, dpi=_tiff_dpi(page),
            texts={code: value for code, value in tags.items() if isinstance(value, str) and value},
        )  # fmt: skip


def _tiff_dpi(page: tifffile.TiffPage) -> Resolution | None:
    unit = {2: 1.0, 3: 2.54}.get(int(page.resolutionunit))  # inch, centimeter
    horizontal, vertical = page.resolution
    return (
        (horizontal * unit, vertical * unit) if unit and horizontal > 0 and vertical > 0 else None
    )


_DECODERS = {
    "jpeg": _decode_with_pillow,
    "png": _decode_with_pillow,
    "webp": _decode_with_pillow,
    "tiff": _decode_tiff,
}


def _gray_of_toned(rgb: Pixels) -> Pixels:
    """Give the gray of gray-as-RGB or of a toned print, (H, W); refuse a color photograph."""
    if all((rgb[rows, :, :1] == rgb[rows, :, 1:]).all() for rows in color.strips(*rgb.shape[:2])):
        return rgb[..., 0]
    spread = tone_spread(to_8_bit(rgb))
    if spread > TONE_LIMIT:
        raise ScanError(
            f"the photograph is in color already (chroma {spread:.1f} beside any tone of the print)"
        )
    return color.gray_of_rgb(rgb)


def tone_spread(rgb: Pixels) -> float:
    """Measure how far a photograph is from one tone: 0 for gray and even sepia, > 2.5 for color.

    A toned print's chroma follows from its lightness alone; what a cubic in lightness cannot
    explain is color.

    Args:
        rgb: (H, W, 3) uint8 sRGB.

    Returns:
        root mean square of the unexplained chroma, CIE units.
    """
    scale = min(1.0, 128 / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
    lab = color.lab_of_rgb(small).reshape(-1, 3)
    powers = np.vander(lab[:, 0] / 100, 4)
    fit, *_ = np.linalg.lstsq(powers, lab[:, 1:], rcond=None)
    unexplained = lab[:, 1:] - powers @ fit
    return float(np.sqrt((unexplained**2).sum(axis=1).mean()))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Apply an EXIF/TIFF orientation (1 to 8)."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels


def to_8_bit(pixels: Pixels) -> Pixels:
    """Scale (never clip) 16-bit codes to 8 bits; 8-bit ones come back as they are."""
    return (
        pixels
        if pixels.dtype == np.uint8
        else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    )


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
    extra += [(code, 2, 0, text, True) for code, text in scan.texts.items()]
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


Image.MAX_IMAGE_PIXELS = None  # `_check_size` enforces limits.megapixels before anything is decoded
