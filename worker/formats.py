"""Image files to pixels as they are stored: JPEG, PNG, TIFF and WebP, with what travels along.

Refuses what is not an image, what is damaged, what its name lies about, and what is too large.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image
from tifffile import COMPRESSION, PHOTOMETRIC

from worker.color import Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings

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

# What decoders raise on damaged data, as their documentation and their fuzzers show. The file is in
# memory by then, so an OSError is the decoder's complaint, not the disk's.
DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
TIFF_PHOTOMETRICS = {
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
}
# DocumentName, ImageDescription, Make, Model, PageName, DateTime, Artist, Copyright
TEXT_TAGS = (269, 270, 271, 272, 285, 306, 315, 33432)


@dataclass(frozen=True)
class Decoded:
    """Pixels as stored, (H, W) or (H, W, 3), not yet upright; and what travels with them."""

    pixels: Pixels
    lossless: bool
    orientation: int = 1
    exif: bytes = b""
    dpi: Resolution | None = None
    texts: dict[int, str] = field(default_factory=dict)


def decode(path: Path, settings: ReadSettings) -> tuple[Kind, Decoded]:
    """Decode an image file.

    Raises:
        ScanError: with the reason, when the file is not such an image.
        FileNotFoundError: when it is gone.
        OSError: when the disk fails.
    """
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


def _decode_with_pillow(data: bytes, settings: ReadSettings) -> Decoded:
    with Image.open(io.BytesIO(data)) as image:
        _check_size(*image.size, settings)
        image.load()
        lossless = image.format == "PNG" or (image.format == "WEBP" and _is_lossless_webp(data))
        exif, orientation = _carried_exif(image)
        dpi = image.info.get("dpi")
        return Decoded(
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


def _is_lossless_webp(data: bytes) -> bool:
    """Look for the chunk of lossless pixels (RIFF: name, length, body padded to even)."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name in {b"VP8L", b"VP8 "}:
            return bool(name == b"VP8L")
        at += 8 + length + length % 2
    return False


def _carried_exif(image: Image.Image) -> tuple[bytes, int]:
    """Return the EXIF block to carry over, upright, no thumbnail; and the orientation it had.

    A block that cannot be read is left behind: it does not cost the photo.
    """
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        exif.pop(ExifTags.Base.Orientation, None)
        exif.get_ifd(ExifTags.IFD.IFD1).clear()
        return (exif.tobytes() if exif else b""), orientation
    except DECODER_ERRORS:
        return b"", 1


def _decode_tiff(data: bytes, settings: ReadSettings) -> Decoded:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if len(tiff.pages) > 1:
            raise ScanError(
                f"the TIFF has {len(tiff.pages)} pages; split it into single photographs"
            )
        page = tiff.pages.first
        _check_size(page.imagewidth, page.imagelength, settings)
        _check_tiff_kind(page)
        pixels = page.asarray()
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.colormap is not None:
            pixels = np.moveaxis(page.colormap, 0, -1)[pixels]
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if page.photometric == PHOTOMETRIC.MINISWHITE:
            pixels = ~pixels
        tags = {code: page.tags[code].value for code in TEXT_TAGS if code in page.tags}
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        lossless = page.compression not in {COMPRESSION.JPEG, COMPRESSION.OJPEG}
        return Decoded(
            _without_alpha(pixels),
            lossless,
            orientation,
            dpi=_tiff_dpi(page),
            texts={code: value for code, value in tags.items() if isinstance(value, str) and value},
        )


def _check_tiff_kind(page: tifffile.TiffPage) -> None:
    if page.bitspersample not in {1, 8, 16} or page.sampleformat != tifffile.SAMPLEFORMAT.UINT:
        raise ScanError(
            f"the TIFF's samples are {page.dtype} of {page.bitspersample} bits; "
            "photochrom reads unsigned whole numbers of 1, 8 and 16 bits"
        )
    becomes_rgb = page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
    if page.photometric not in TIFF_PHOTOMETRICS and not becomes_rgb:
        kind = tifffile.PHOTOMETRIC(page.photometric).name
        raise ScanError(f"the TIFF's color model is {kind}; convert it to gray or RGB")


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

Image.MAX_IMAGE_PIXELS = None  # `_check_size` enforces limits.megapixels before anything is decoded
