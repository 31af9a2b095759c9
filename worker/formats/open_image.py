"""Opening an image file: what kind it is, and its pictures, read as that kind's container does.

Refuses what is not an image, what is damaged, what its name lies about, and what is too large.
"""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from worker.color.cielab import Pixels
from worker.errors import DeviceError, IncompleteError, ScanError, plain
from worker.formats import bmp_pnm, heic, jpeg, jpeg2000, jpegxl, png, webp
from worker.formats.image import Bands, DecodedImage
from worker.formats.kinds import KIND_OF_SUFFIX, Kind
from worker.formats.memory import is_short, suffices_for
from worker.formats.tiff import reader
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Pillow reads EXIF of its own accord; what cannot be read of it is named in `Metadata.lost`.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # limits.megapixels is the limit, and its reason is in plain words

READERS: dict[Kind, Callable[[BinaryIO, ReadSettings], list[DecodedImage]]] = {
    "tiff": reader.read,
    "jpeg": jpeg.read,
    "png": png.read,
    "webp": webp.read,
    "jp2": jpeg2000.read,
    "bmp": bmp_pnm.read_bmp,
    "pnm": bmp_pnm.read_pnm,
    "heic": heic.read,
    "jxl": jpegxl.read,
}
NAMES: dict[Kind, str] = {
    "tiff": "TIFF",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "jp2": "JPEG 2000",
    "bmp": "BMP",
    "pnm": "PBM, PGM or PPM",
    "heic": "HEIC",
    "jxl": "JPEG XL",
}
_SIGNATURES: list[tuple[int, bytes, str]] = [  # at which byte what stands
    (0, b"\xff\xd8\xff", "jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (8, b"WEBP", "webp"),
    (0, b"II*\0", "tiff"),
    (0, b"MM\0*", "tiff"),
    (0, b"II+\0", "tiff"),
    (0, b"MM\0+", "tiff"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (0, b"\xff\x4f\xff\x51", "jp2"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (0, b"\xff\x0a", "jxl"),
    *((4, b"ftyp" + brand, "heic") for brand in (b"heic", b"heix", b"mif1", b"msf1", b"heim")),
    (4, b"ftypavif", "avif"),
    *((0, b"P%d" % number, "pnm") for number in range(1, 7)),
    (0, b"GIF8", "gif"),
    (0, b"%PDF", "pdf"),
    (0, b"BM", "bmp"),
]
HEAD = 32  # bytes; no signature ends behind them
TELLING = 12  # bytes by which each of these kinds is known
LARGEST_BLOCKS = {"exif": 1 << 26, "iptc": 1 << 22, "xmp": 1 << 24, "photoshop": 1 << 24}  # bytes
MOST_TEXTS, LARGEST_TEXTS = 100, 1 << 20  # of a page, and bytes of them together
MOST_LOST = 100  # things that stay behind and are named, of a page
LARGEST_READ = 1 << 26  # bytes that are taken as they are asked for
SAMPLES_OF_A_HEADER = 1 << 20  # what reading one may need memory for, at the most
# What decoders raise on damaged data, as their documentation and their fuzzers show. The disk's own
# faults are DeviceErrors by then (`_Disk`), so an OSError is the decoder's complaint.
DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    ArithmeticError,
    AssertionError,
    struct.error,
    zlib.error,
)


@contextmanager
def opened(
    path: Path, settings: ReadSettings, file: io.FileIO | None = None
) -> Iterator[tuple[Kind, list[DecodedImage]]]:
    """Open an image file; its pictures can be read as long as it is open.

    Args:
        path: of the file.
        settings: the limit.
        file: the file, if it is open already: what lies at its path then does not matter.

    Yields:
        its kind, and its pictures, one or more. Their `bands` raise ScanError too.

    Raises:
        IncompleteError: when it is empty, cut short or damaged, or may not be read (yet).
        ScanError: with the reason, when the file is not such an image.
        DeviceError: when the disk fails while it is read.
        MemoryError: when there is too little memory to tell whether it can be decoded.
        FileNotFoundError: when it is gone.
        OSError: when it cannot be opened.
    """
    kind = KIND_OF_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise ScanError(
            f"{path.suffix or 'a name without suffix'} is not a kind of image photochrom reads"
        )
    try:
        disk = _Disk(path, opener=None if file is None else _again(file))
    except PermissionError as error:
        raise IncompleteError("the file may not be read: its permissions refuse it") from error
    with _Buffered(disk) as image:
        _check_content(image, kind)
        with _damage_is_the_files_fault(kind, SAMPLES_OF_A_HEADER):
            pictures = READERS[kind](image, settings)
        yield (
            kind,
            [
                replace(one, bands=_guarded(one, kind), metadata=_bounded(one.metadata))
                for one in pictures
            ],
        )


def _again(file: io.FileIO) -> Callable[[str, int], int]:
    """Return what `open` calls to get a file that is open already, from its beginning."""

    def opener(_path: str, _flags: int) -> int:
        file.seek(0)
        return os.dup(file.fileno())

    return opener


def _check_content(file: BinaryIO, kind: Kind) -> None:
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise IncompleteError("the file is empty (0 bytes)")
    if not head.strip(b"\0"):  # as where a writer sets the size first and fills it afterwards
        raise IncompleteError(
            "the file begins with nothing but zeros: it is damaged, or was not written to its end"
        )
    found = next((name for at, sign, name in _SIGNATURES if head[at:].startswith(sign)), None)
    if found is None:
        # Of a few bytes nobody can tell what they are going to be.
        raise (ScanError if len(head.rstrip(b"\0")) >= TELLING else IncompleteError)(
            f"this is not an image: its content is not {kind.upper()} nor any kind known"
        )
    if found != kind:
        raise ScanError(
            f"the name says {kind.upper()} but the content is {found.upper()}; "
            "rename the file and drop it again"
        )


def _bounded(metadata: Metadata) -> Metadata:
    """Leave behind what is larger than any photograph needs, and cut the list of such things."""
    lost = list(metadata.lost)
    kept = {name: getattr(metadata, name) for name in LARGEST_BLOCKS}
    for name, most in LARGEST_BLOCKS.items():
        if len(kept[name]) > most:
            lost.append(f"{name.upper()} of {len(kept[name]):,} bytes; the limit is {most:,}")
            kept[name] = b""
    texts = metadata.texts[:MOST_TEXTS]
    while sum(len(text) for _keyword, text in texts) > LARGEST_TEXTS:
        texts = texts[:-1]
    lost += (f"the text {keyword}, one too many" for keyword, _ in metadata.texts[len(texts) :])
    if len(lost) > MOST_LOST:
        lost[MOST_LOST:] = [f"{len(lost) - MOST_LOST} things more"]
    return replace(metadata, **kept, texts=texts, lost=tuple(lost))


def _guarded(picture: DecodedImage, kind: Kind) -> Bands:
    samples = picture.height * picture.width * (picture.samples + picture.alpha)

    def guarded() -> Iterator[Pixels]:
        with _damage_is_the_files_fault(kind, samples):
            yield from picture.bands()

    return guarded


@contextmanager
def _damage_is_the_files_fault(kind: Kind, samples: int) -> Iterator[None]:
    """Call a decoder's complaint damage, unless it may be for want of memory or of threads.

    What a library or Python says is not for people: the words of readers that know what is wrong
    (DamagedError, IncompleteError) stay, all others are left out.
    """
    try:
        yield
    except DECODER_ERRORS as error:
        if is_short(error) or not suffices_for(samples):
            raise MemoryError from error
        if "start new thread" in str(error):
            raise DeviceError("no thread could be started to decode the image") from error
        words = plain(error, "")  # what decoders say is not for people
        said = f": {words}" if words else ""
        raise IncompleteError(
            f"the {NAMES[kind]} is damaged or cut short and cannot be decoded{said}"
        ) from error


class _Buffered(io.BufferedReader):
    """A file of which no more is made room for than there is, whatever its header says."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BufferedReader.read`."""
        if size is not None and size > LARGEST_READ:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


class _Disk(io.FileIO):
    """A file whose read errors are the machine's fault, and no decoder can take for damage."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        """Read as `FileIO.readinto`, raising DeviceError for OSError."""
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise DeviceError(f"{self.name} cannot be read: {error.strerror}") from error

    def readall(self) -> bytes:
        """Read as `FileIO.readall`, raising DeviceError for OSError."""
        try:
            return super().readall()
        except OSError as error:
            raise DeviceError(f"{self.name} cannot be read: {error.strerror}") from error
