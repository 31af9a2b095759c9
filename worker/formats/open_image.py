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
from worker.formats import registry
from worker.formats.image import Bands, DecodedImage
from worker.formats.memory import is_short, suffices_for
from worker.formats.registry import HEAD, ImageFormat
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Pillow reads EXIF of its own accord; what cannot be read of it is named in `Metadata.lost`.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # limits.megapixels is the limit, and its reason is in plain words

registry.load_code()

TELLING = 12  # bytes by which every format is recognized
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
) -> Iterator[tuple[ImageFormat, list[DecodedImage]]]:
    """Open an image file; its pictures can be read as long as it is open.

    Args:
        path: of the file.
        settings: the limit.
        file: the file, if it is open already: what lies at its path then does not matter.

    Yields:
        its format, and its images, one or more. Their `bands` raise ScanError too.

    Raises:
        IncompleteError: when it is empty, cut short or damaged, or may not be read (yet).
        ScanError: with the reason, when the file is not such an image.
        DeviceError: when the disk fails while it is read.
        MemoryError: when there is too little memory to tell whether it can be decoded.
        FileNotFoundError: when it is gone.
        OSError: when it cannot be opened.
    """
    image_format = registry.format_of(path)
    if image_format is None:
        raise ScanError(f"photochrom does not read {path.suffix or 'files without a suffix'}")
    try:
        disk = _Disk(path, opener=None if file is None else _again(file))
    except PermissionError as error:
        raise IncompleteError("the file may not be read: its permissions refuse it") from error
    with _Buffered(disk) as image:
        _check_content(image, image_format)
        with _damage_is_the_files_fault(image_format, SAMPLES_OF_A_HEADER):
            found = image_format.read(image, settings)
        yield (
            image_format,
            [
                replace(one, bands=_guarded(one, image_format), metadata=_bounded(one.metadata))
                for one in found
            ],
        )


def _again(file: io.FileIO) -> Callable[[str, int], int]:
    """Return what `open` calls to get a file that is open already, from its beginning."""

    def opener(_path: str, _flags: int) -> int:
        file.seek(0)
        return os.dup(file.fileno())

    return opener


def _check_content(file: BinaryIO, named: ImageFormat) -> None:
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise IncompleteError("the file is empty (0 bytes)")
    if not head.strip(b"\0"):  # as where a writer sets the size first and fills it afterwards
        raise IncompleteError(
            "the file begins with nothing but zeros: it is damaged, or was not written to its end"
        )
    found = registry.recognized(head)
    if found is None:
        # Of a few bytes nobody can tell what they are going to be.
        raise (ScanError if len(head.rstrip(b"\0")) >= TELLING else IncompleteError)(
            f"not an image: the content is neither {named.title} nor any other known format"
        )
    if found is not named:
        raise ScanError(
            f"the name says {named.title} but the content is {found.title}; "
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


def _guarded(picture: DecodedImage, image_format: ImageFormat) -> Bands:
    samples = picture.height * picture.width * (picture.samples + picture.alpha)

    def guarded() -> Iterator[Pixels]:
        with _damage_is_the_files_fault(image_format, samples):
            yield from picture.bands()

    return guarded


@contextmanager
def _damage_is_the_files_fault(image_format: ImageFormat, samples: int) -> Iterator[None]:
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
            f"the {image_format.title} is damaged or cut short and cannot be decoded{said}"
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
