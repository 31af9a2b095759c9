"""How a colored photo reaches the outbox: whole and lasting under its name, or not at all."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
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
from worker.atomic import digest_from_disk, sync_folder
from worker.errors import DeviceError, ScanError
from worker.formats.registry import BY_SUFFIX, result_format

_NO_PLACE = {errno.EISDIR, errno.ENAMETOOLONG}

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


@contextmanager
def staging_file(
    outbox: Path, name: PurePosixPath, check: Callable[[], None] = lambda: None
) -> Iterator[BufferedRandom]:
    """Make a staging file in the outbox; what ends its writing with an error removes it.

    Args:
        outbox: the outbox's folder, which exists.
        name: path of the staging file in it; missing sub-folders are made.
        check: raises where the outbox is away; called before anything is made there.

    Yields:
        the file, empty, open for reading and writing, with the permissions of a result. Its path
        is by way of its open folder, so that nothing swapped meanwhile is followed.

    Raises:
        ScanError: there is no place for it, which only a person can change.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    check()
    with (
        _explained(outbox / name),
        open_dir_beneath(outbox, name.parent, make=True) as folder,
    ):
        part = folder / name.name
        try:
            with part.open("x+b") as file:
                file_made(file.fileno(), folder)
                yield file
        except BaseException:  # whatever ended it, nothing unfinished may stay
            part.unlink(missing_ok=True)
            raise


def publish(
    outbox: Path,
    staging: PurePosixPath,
    name: PurePosixPath,
    digest: str,
    *,
    check: Callable[[], None] = lambda: None,
    confirm: Callable[[], None] = lambda: None,
    own: Replaceable | None = None,
) -> Path:
    """Give a staging file its name in one step that survives a power cut, or remove it.

    What bore the name before stays until then; for good, if others wrote it.

    Args:
        outbox: the outbox's folder.
        staging: path of the file in it: whole, and on the disk.
        name: path it gets, in the same folder.
        digest: SHA-256 of the file, hexadecimal.
        check: raises where the outbox is away; called just before the file gets its name.
        confirm: raises where the result is not wanted after all; called before that.
        own: knows what may be replaced; None: nothing may.

    Returns:
        the path it has now.

    Raises:
        ScanError: there is no place for it, which only a person can change.
        TakenError: a file has the name that is not to be replaced; it stays as it is.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    with _explained(outbox / name), open_dir_beneath(outbox, name.parent) as folder:
        part, target = folder / staging.name, folder / name.name
        try:
            confirm()
            check()
            if own:
                own.note(digest)
            _name(part, target, own)
        except BaseException:  # whatever ended it, nothing unfinished may stay
            part.unlink(missing_ok=True)
            raise
        sync_folder(folder)
    return outbox / name


def deliver(
    outbox: Path,
    name: PurePosixPath,
    write: Callable[[BinaryIO], T],
    *,
    check: Callable[[], None] = lambda: None,
    confirm: Callable[[], None] = lambda: None,
    own: Replaceable | None = None,
) -> Delivered[T]:
    """Write a file and publish it; arguments and errors as for `staging_file` and `publish`.

    Args:
        outbox: the outbox's folder, which exists.
        name: path in it.
        write: is called once with the open file, empty and also readable.
        check: raises where the outbox is away.
        confirm: raises where the file is not wanted after all.
        own: knows what may be replaced; None: nothing may.

    Returns:
        The delivered file, with its digest as read back from the disk, and what `write` returned.
    """
    staging = name.with_name(part_path(outbox).name)
    with staging_file(outbox, staging, check) as file:
        result = write(file)
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        digest = digest_from_disk(Path(file.name))
    path = publish(outbox, staging, name, digest, check=check, confirm=confirm, own=own)
    return Delivered(path, digest, size, result)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what only a person can change into a ScanError that says where there is no place."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ObstructedError) or error.errno in _NO_PLACE:
            raise ScanError(
                f"there is no place for its result: {error.strerror}"
                f" ({error.filename2 or error.filename}); make room for it there, then"
                " `photochrom retry`"
            ) from error
        error.filename = error.filename or str(path)  # a full disk names no file
        raise


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
