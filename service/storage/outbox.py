"""How a colored photo reaches the outbox: whole and lasting under its name, or not at all."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Generic, NamedTuple, Protocol, TypeVar

from service.filesystem.durable import (
    fitting_name,
    part_path,
    rename_without_overwriting,
    renamed_at_once,
)
from service.filesystem.permissions import file_made
from service.filesystem.safe_open import ObstructedError, open_dir_beneath
from service.filesystem.safe_open import digest as digest_of_file
from worker.atomic import sync_folder
from worker.errors import DeviceError, ScanError
from worker.formats.registry import BY_SUFFIX, result_format

_NO_PLACE = {errno.EISDIR, errno.ENAMETOOLONG}
CHUNK = 1 << 20  # bytes read back at a time

T = TypeVar("T")


class TakenError(FileExistsError):
    """Another file has the name that a photo was to get; photochrom did not write it."""


class Replaceable(Protocol):
    """What may lie under a name already and be replaced; see `service.storage.deliveries.Own`."""

    def note(self, sha256: str) -> None:
        """Note a file just before it gets its name."""

    def has(self, path: Path) -> bool:
        """Tell whether a file may be replaced."""


class Delivered(NamedTuple, Generic[T]):
    """A file that is safely in the outbox.

    Attributes:
        path: the file.
        sha256: of what lies on the disk, hexadecimal.
        size: of what was written, in bytes.
        result: what the function returned that wrote it.
    """

    path: Path
    sha256: str
    size: int
    result: T


def output_name(relative: PurePosixPath, output_format: str) -> PurePosixPath:
    """Name the colored photo of a scan.

    Args:
        relative: the scan's path in the inbox.
        output_format: the container of the result; "same" is the scan's own, or the nearest that
            can hold the label.

    Returns:
        A path in the outbox: the same where the container stays, else with the new suffix added
        (`a/scan.tif` becomes `a/scan.tif.jpg`), so that two scans never share one.
    """
    suffix = relative.suffix.lower()
    suffixes = result_format(BY_SUFFIX[suffix], output_format).suffixes
    if suffix in suffixes:
        return relative
    return relative.with_name(fitting_name(relative.name, suffixes[0]))


def alternative_name(name: PurePosixPath, digest: str) -> PurePosixPath:
    """Name a colored photo whose own name belongs to another job.

    Args:
        name: the path in the outbox that is taken.
        digest: SHA-256 of the scan, hexadecimal.

    Returns:
        `NAME.<first 8 digits>.ext` in the same folder.
    """
    return name.with_name(fitting_name(name.stem, f".{digest[:8]}{name.suffix}"))


def deliver(
    outbox: Path,
    name: PurePosixPath,
    write: Callable[[BinaryIO], T],
    *,
    check: Callable[[], None] = lambda: None,
    confirm: Callable[[], None] = lambda: None,
    own: Replaceable | None = None,
) -> Delivered[T]:
    """Put a photo in the outbox in one step, and make it survive a power cut.

    What bore the name before stays until the new photo is complete; for good, if others wrote it.

    Args:
        outbox: the outbox's folder, which exists.
        name: path in it; missing sub-folders are made.
        write: is called once with the open file, empty and also readable, and writes the photo.
        check: raises where the outbox is away; called just before anything is made there, and just
            before the photo gets its name.
        confirm: raises where the photo is not wanted after all; called when it is complete, before
            it gets its name.
        own: knows what may be replaced; None: nothing may.

    Returns:
        The delivered file, with its digest as read back from the disk, and what `write` returned.

    Raises:
        ScanError: there is no place for it, which only a person can change: a symlink or a file
            stands where its sub-folder should be, a folder where it should, or its name is longer
            than the disk takes.
        TakenError: a file has the name that is not to be replaced; it stays as it is.
        OSError: the disk is full, cannot be written or read, or failed; nothing unfinished is left.
    """
    check()
    try:
        with open_dir_beneath(outbox, name.parent, make=True) as folder:
            digest, size, result = _put(folder / name.name, write, check, confirm, own)
    except OSError as error:
        if isinstance(error, ObstructedError) or error.errno in _NO_PLACE:
            raise ScanError(
                f"there is no place for its result {outbox / name}: {error.strerror}"
                f" ({error.filename2 or error.filename}); make room for it there, then"
                " `photochrom retry`"
            ) from error
        error.filename = error.filename or str(outbox / name)  # a full disk names no file
        raise
    return Delivered(outbox / name, digest, size, result)


def _put(
    target: Path,
    write: Callable[[BinaryIO], T],
    check: Callable[[], None],
    confirm: Callable[[], None],
    own: Replaceable | None,
) -> tuple[str, int, T]:
    """Write a file in one step; return its digest as read back, size, and what `write` gave."""
    part = part_path(target.parent)
    try:
        with part.open("x+b") as file:
            file_made(file.fileno(), target.parent)
            result = write(file)
            file.flush()
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        digest = _digest_on_disk(part)
        confirm()
        check()
        if own:
            own.note(digest)
        _name(part, target, own)
    except BaseException:  # whatever ended it, nothing unfinished may stay; it goes on up
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return digest, size, result


def _name(part: Path, target: Path, own: Replaceable | None) -> None:
    """Give a complete file its name, which another file may have only if it may be replaced."""
    try:
        if not renamed_at_once(part, target):
            rename_without_overwriting(part, target)
    except FileExistsError:
        if target.is_dir() and not target.is_symlink():
            raise IsADirectoryError(
                errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(target)
            ) from None
        if own is None or not own.has(target):
            words = "another file has this name in the outbox"
            raise TakenError(errno.EEXIST, words, os.fspath(target)) from None
        os.replace(part, target)  # noqa: PTH105 - beside os.fsync


def _digest_on_disk(path: Path) -> str:
    """Compute the SHA-256 of a file that was just synced, from the disk and not from memory."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        # The pages are on the disk by now, so the kernel can forget them, where it knows how.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def withdraw(outbox: Path, name: PurePosixPath, sidecar: PurePosixPath, digest: str | None) -> None:
    """Remove a photo and its sidecar, if the photo is still what was delivered.

    Args:
        outbox: the outbox's folder.
        name: the photo's path in it; it may be gone.
        sidecar: the path of its sidecar.
        digest: SHA-256 of what was delivered, hexadecimal; None: nobody knows, and it stays.

    Raises:
        DeviceError: it cannot be removed now.
    """
    try:
        with open_dir_beneath(outbox, name.parent) as folder:
            photo = folder / name.name
            if digest and digest_of_file(photo) == digest:
                photo.unlink()
                (folder / sidecar.name).unlink(missing_ok=True)
                sync_folder(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DeviceError(f"cannot remove {outbox / name}: {error.strerror}") from error
