"""Opens an image file and hands its images out undecoded.

Refuses files that are no image, damaged, too large, or of another format than their suffix says.
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

# Pillow warns of EXIF it cannot read; `Metadata.lost` names such blocks.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = None  # limits.megapixels applies instead

registry.load_code()

TELLING = 12  # bytes by which every format is recognized
LARGEST_BLOCKS = {"exif": 1 << 26, "iptc": 1 << 22, "xmp": 1 << 24, "photoshop": 1 << 24}  # bytes
MOST_TEXTS, LARGEST_TEXTS = 100, 1 << 20  # of a page, and bytes of them together
MOST_LOST = 100  # things that stay behind and are named, of a page
LARGEST_READ = 1 << 26  # bytes that are taken as they are asked for
SAMPLES_OF_A_HEADER = 1 << 20  # what reading one may need memory for, at the most
# What decoders raise on damaged data, by their documentation and by fuzzing. Disk errors are
# DeviceErrors by then (`_Disk`), so an OSError comes from the decoder.
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
    """Open an image file; its images can be decoded while it is open.

    Args:
        path: of the file; only its suffix matters if `file` is given.
        settings: the limits.
        file: the file, if it is already open.

    Yields:
        Its format and its images, at least one. Their `bands` raise the same errors.

    Raises:
        IncompleteError: the file is empty, truncated, damaged, or not readable (yet).
        ScanError: the file is refused; says why.
        DeviceError: the disk fails while reading.
        MemoryError: out of memory, so that damage cannot be told from a lack of memory.
        FileNotFoundError: the file is gone.
        OSError: the file cannot be opened.
    """
    image_format = registry.format_of(path)
    if image_format is None:
        raise ScanError(f"photochrom does not read {path.suffix or 'files without a suffix'}")
    try:
        disk = _Disk(path, opener=None if file is None else _again(file))
    except PermissionError as error:
        raise IncompleteError("no permission to read the file") from error
    with _Buffered(disk) as image:
        _check_content(image, image_format)
        with _damage_is_the_files_fault(image_format, SAMPLES_OF_A_HEADER):
            found = image_format.read(image, settings)
        yield (
            image_format,
            [
                replace(
                    one,
                    bands=_guarded(one, image_format),
                    reduced=_guarded_reduced(one, image_format),
                    metadata=_bounded(one.metadata),
                )
                for one in found
            ],
        )


def _again(file: io.FileIO) -> Callable[[str, int], int]:
    """Return an opener that gives `open` a file that is already open, rewound."""

    def opener(_path: str, _flags: int) -> int:
        file.seek(0)
        return os.dup(file.fileno())

    return opener


def _check_content(file: BinaryIO, named: ImageFormat) -> None:
    head = file.read(HEAD)
    file.seek(0)
    if not head:
        raise IncompleteError("the file is empty (0 bytes)")
    if not head.strip(b"\0"):  # preallocated, not yet written
        raise IncompleteError("the file starts with nothing but zeros: it is damaged or incomplete")
    found = registry.recognized(head)
    if found is None:
        # Too few bytes to tell what is being written.
        raise (ScanError if len(head.rstrip(b"\0")) >= TELLING else IncompleteError)(
            f"not an image: the content is neither {named.title} nor any other known format"
        )
    if found is not named:
        raise ScanError(
            f"the name says {named.title} but the content is {found.title}; "
            "rename the file and drop it again"
        )


def _bounded(metadata: Metadata) -> Metadata:
    """Drop blocks larger than any photograph needs, and shorten the list of what is lost."""
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


def _guarded_reduced(
    picture: DecodedImage, image_format: ImageFormat
) -> Callable[[int], Pixels] | None:
    decode = picture.reduced
    if decode is None:
        return None
    samples = picture.height * picture.width * (picture.samples + picture.alpha)

    def guarded(part: int) -> Pixels:
        with _damage_is_the_files_fault(image_format, samples):
            return decode(part)

    return guarded


@contextmanager
def _damage_is_the_files_fault(image_format: ImageFormat, samples: int) -> Iterator[None]:
    """Turn a decoder's error into IncompleteError, unless memory or threads ran out.

    Texts that were written for people (DamagedError, IncompleteError) are kept, others dropped.
    """
    try:
        yield
    except DECODER_ERRORS as error:
        if is_short(error) or not suffices_for(samples):
            raise MemoryError from error
        if "start new thread" in str(error):
            raise DeviceError("cannot start a thread to decode the image") from error
        words = plain(error, "")
        said = f": {words}" if words else ""
        raise IncompleteError(
            f"the {image_format.title} is damaged or cut short and cannot be decoded{said}"
        ) from error


class _Buffered(io.BufferedReader):
    """A file that never allocates more than its size, whatever its header claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BufferedReader.read`."""
        if size is not None and size > LARGEST_READ:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


class _Disk(io.FileIO):
    """A file whose read errors become DeviceErrors, so that no decoder takes them for damage."""

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
