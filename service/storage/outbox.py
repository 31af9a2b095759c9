"""Delivers results to a folder: complete and durable under their names, or not at all."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Generic, NamedTuple, Protocol, TypeVar

from service.filesystem.durable import (
    fitting_name,
    part_path,
    rename_without_overwriting,
)
from service.filesystem.permissions import file_made
from service.filesystem.safe_open import ObstructedError, open_dir_beneath
from service.filesystem.safe_open import digest as digest_of_file
from worker.atomic import sync_folder
from worker.errors import DeviceError, ScanError
from worker.formats.registry import BY_SUFFIX, result_format

_NO_PLACE = {errno.EISDIR, errno.ENAMETOOLONG}

T = TypeVar("T")


class TakenError(FileExistsError):
    """Another file, not written by photochrom, has the name of a result."""


class Replaceable(Protocol):
    """Which existing files may be replaced; see `service.storage.deliveries.Own`."""

    def has(self, path: Path) -> bool:
        """Tell whether a file may be replaced."""


class Delivered(NamedTuple, Generic[T]):
    """A file that was delivered to the outbox.

    Attributes:
        path: the file.
        sha256: as read back from disk, hexadecimal.
        size: bytes.
        result: the return value of the function that wrote it.
    """

    path: Path
    sha256: str
    size: int
    result: T


def output_name(relative: PurePosixPath, output_format: str) -> PurePosixPath:
    """Name the result of a scan.

    Args:
        relative: the scan's path in the inbox.
        output_format: the result's format; "same": the scan's own, or the nearest that can hold the
            label.

    Returns:
        A path in the outbox: the same if the format stays; otherwise with the new suffix appended
        (`a/scan.tif` becomes `a/scan.tif.jpg`), so that no two scans share one.
    """
    suffix = relative.suffix.lower()
    suffixes = result_format(BY_SUFFIX[suffix], output_format).suffixes
    if suffix in suffixes:
        return relative
    return relative.with_name(fitting_name(relative.name, suffixes[0]))


def alternative_name(name: PurePosixPath, digest: str) -> PurePosixPath:
    """Name a result whose own name belongs to another job.

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
    """Create a staging file in the outbox; it is removed if the block raises.

    Args:
        outbox: the outbox's folder, which exists.
        name: path of the staging file in it; missing sub-folders are created.
        check: raises if the outbox is unavailable; called before anything is created.

    Yields:
        The file, empty, open for reading and writing, with the permissions of a result. Its path
        goes through its open folder, so that no symlink swapped in meanwhile is followed.

    Raises:
        ScanError: there is no place for it; a person must make room.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    check()
    with _explained(outbox / name), _new_file(outbox, name) as (folder, file):
        try:
            file_made(file.fileno(), folder)
            yield file
        except BaseException:  # even Ctrl-C must not leave a staging file
            (folder / name.name).unlink(missing_ok=True)
            raise


@contextmanager
def _new_file(root: Path, name: PurePosixPath) -> Iterator[tuple[Path, BufferedRandom]]:
    """Create a file; yield its open folder and the file."""
    for again in (True, False):
        with open_dir_beneath(root, name.parent, make=True) as folder:
            try:
                file = (folder / name.name).open("x+b")
            except FileNotFoundError:  # the folder was removed as empty at this very moment
                if again:
                    continue
                raise
            with file:
                yield folder, file
            return


def stage(
    outbox: Path,
    name: PurePosixPath,
    write: Callable[[BinaryIO], T],
    check: Callable[[], None] = lambda: None,
) -> tuple[PurePosixPath, T]:
    """Write a synced staging file for `publish`; arguments and errors as for `staging_file`.

    Args:
        outbox: the outbox's folder, which exists.
        name: path in it that the file will have.
        write: called once with the open file, which is empty and readable.
        check: raises if the outbox is unavailable.

    Returns:
        The path of the staging file in the outbox, and what `write` returned.
    """
    staging = name.with_name(part_path(outbox).name)
    with staging_file(outbox, staging, check) as file:
        result = write(file)
        file.flush()
        os.fsync(file.fileno())
    return staging, result


def publish(
    outbox: Path,
    files: Mapping[PurePosixPath, PurePosixPath],
    *,
    check: Callable[[], None] = lambda: None,
    confirm: Callable[[], None] = lambda: None,
    own: Replaceable | None = None,
) -> None:
    """Give staging files of one folder their names, each atomically, then sync the folder.

    An earlier file with a name stays until then, or for good if it may not be replaced. After an
    error no staging file is left.

    Args:
        outbox: the outbox's folder.
        files: new path of each staging file in it, in this order; complete and synced.
        check: raises if the outbox is unavailable; called just before the first rename.
        confirm: raises if the files are not wanted after all; called before that.
        own: which files may be replaced; None: none.

    Raises:
        ScanError: there is no place for one; a person must make room.
        TakenError: another file has a name, and stays.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    place = next(iter(files.values()))
    with _explained(outbox / place), open_dir_beneath(outbox, place.parent) as folder:
        try:
            confirm()
            check()
            for staging, name in files.items():
                _name(folder / staging.name, folder / name.name, own)
        except BaseException:  # even Ctrl-C must not leave a staging file
            for staging in files:
                (folder / staging.name).unlink(missing_ok=True)
            raise
        sync_folder(folder)


def size_of(outbox: Path, staging: PurePosixPath) -> int:
    """Return the size of a staging file, in bytes.

    Raises:
        OSError: it is not there, or the disk failed.
    """
    with open_dir_beneath(outbox, staging.parent) as folder:
        return (folder / staging.name).lstat().st_size


def discard(outbox: Path, staging: PurePosixPath) -> None:
    """Delete a staging file that is not to be delivered after all.

    Raises:
        OSError: the disk failed.
    """
    with open_dir_beneath(outbox, staging.parent) as folder:
        (folder / staging.name).unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors that only a person can fix into a ScanError with the path."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ObstructedError) or error.errno in _NO_PLACE:
            raise ScanError(
                f"there is no place for its result: {error.strerror}"
                f" ({error.filename2 or error.filename}); make room for it there, then"
                " `photochrom retry`"
            ) from error
        error.filename = error.filename or str(path)  # ENOSPC names no file
        raise


def _name(part: Path, target: Path, own: Replaceable | None) -> None:
    """Rename a complete file, replacing another only if that is allowed."""
    try:
        rename_without_overwriting(part, target)
    except FileExistsError:
        if target.is_dir() and not target.is_symlink():
            raise IsADirectoryError(
                errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(target)
            ) from None
        if own is None or not own.has(target):
            words = "another file has this name"
            raise TakenError(errno.EEXIST, words, os.fspath(target)) from None
        os.replace(part, target)  # noqa: PTH105 - beside os.fsync


def withdraw(outbox: Path, name: PurePosixPath, sidecar: PurePosixPath, digest: str | None) -> None:
    """Remove a result and its sidecar, if the result is still what was delivered.

    Args:
        outbox: the outbox's folder.
        name: the result's path in it; it may be gone.
        sidecar: the path of its sidecar.
        digest: SHA-256 of what was delivered, hexadecimal; None: unknown, and it stays.

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
