"""Opening files and folders beneath a root without following symlinks.

Anyone who can write there may replace a sub-folder with a symlink, or a file with another one, at
any moment. So a folder is opened from its root, one component at a time, and kept open while it is
used; and a file's stat and all its bytes come from one descriptor (openat(2): O_NOFOLLOW,
O_NONBLOCK). The root itself belongs to the operator and may be a symlink.
"""

import errno
import fcntl
import hashlib
import io
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from service.filesystem.file_stat import FileStat
from service.filesystem.ignored import ignored
from service.filesystem.permissions import folder_made
from worker.atomic import sync_folder

_DIR_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NOT_REGULAR = {
    errno.ELOOP,
    errno.ENXIO,
    errno.ENODEV,
    errno.EISDIR,
}  # or a symlink


class ObstructedError(NotADirectoryError):
    """A symlink, or anything else that is not a folder, is in the place of a sub-folder."""


@contextmanager
def open_dir_beneath(root: Path, inside: PurePath, *, make: bool = False) -> Iterator[Path]:
    """Open a sub-folder, so that nobody can replace it while it is in use.

    Args:
        root: a folder; its own path may contain symlinks.
        inside: the sub-folder's path in it; `.` is the root.
        make: create missing folders below the root, durably.

    Yields:
        A path through /proc, short and valid until the folder is closed, even if it is renamed. In
        an OSError it is replaced by the real path.

    Raises:
        ObstructedError: a component is not a folder.
        OSError: from the system.
    """
    descriptor = _descend(root, inside, make=make)
    place = _place_of(descriptor)
    try:
        yield place
    except OSError as error:
        for attribute in ("filename", "filename2"):
            name = getattr(error, attribute)
            if isinstance(name, str | os.PathLike) and Path(name).is_relative_to(place):
                setattr(error, attribute, str(root / inside / Path(name).relative_to(place)))
        raise
    finally:
        os.close(descriptor)


@lru_cache(1000)  # the same few numbers, again and again
def _place_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


def open_beneath(root: Path, name: PurePath) -> io.FileIO:
    """Open a regular file for reading; never blocks, whatever is there.

    Args:
        root: a folder; its own path may contain symlinks.
        name: the file's path in it.

    Returns:
        The file, unbuffered; its `name` is its path.

    Raises:
        FileNotFoundError: it is missing or not a regular file, or a component is a symlink.
        BlockingIOError: another process holds a lease on it, and was asked to release it.
        OSError: it may not be read, or the disk failed.
    """
    path = root / name
    try:
        descriptor = _open_beneath(root, name)
    except ObstructedError as error:
        raise FileNotFoundError(errno.ENOENT, str(error.strerror), str(path)) from error
    except OSError as error:
        if error.errno in _NOT_REGULAR:
            raise _not_regular(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular(path)
    return io.FileIO(str(path), opener=lambda _path, _flags: descriptor)


def _open_beneath(root: Path, name: PurePath) -> int:
    folder = _descend(root, name.parent, make=False)
    try:
        return os.open(name.name, _FILE_FLAGS, dir_fd=folder)
    except OSError as error:
        error.filename = str(root / name)
        raise
    finally:
        os.close(folder)


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file by its path; only the last component must not be a symlink.

    Raises:
        OSError: as `open_beneath`.
    """
    return open_beneath(path.parent, PurePath(path.name))


def file_stat(path: Path | str) -> FileStat | None:
    """Stat a regular file without opening it or following a symlink.

    Returns:
        None if it is missing, not accessible, or not a regular file.
    """
    try:
        result = os.lstat(path)
    except OSError:
        return None
    return FileStat.of(result) if stat.S_ISREG(result.st_mode) else None


def file_stat_of(file: io.FileIO) -> FileStat:
    """Stat an open file.

    Raises:
        OSError: the disk failed.
    """
    return FileStat.of(os.fstat(file.fileno()))


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return digest_of(file)


def digest_of(file: io.FileIO) -> str:
    """Compute the SHA-256 of an open file, and rewind it.

    Raises:
        OSError: the disk failed.
    """
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return found


def has_writer(root: Path, name: PurePath) -> bool | None:
    """Tell whether a process on this machine has a file open for writing.

    The kernel refuses a read lease on such a file; a granted one is released at once.

    Args:
        root: a folder.
        name: the file's path in it.

    Returns:
        None if unknown: no permission, another user's file (without CAP_LEASE), or a file system
        without leases.
    """
    try:
        file = open_beneath(root, name)
    except OSError as error:
        return True if isinstance(error, BlockingIOError) else None
    with file:
        try:
            # A writer arriving now breaks the lease with a signal. The default, SIGIO, would kill
            # this process; SIGURG is ignored by default.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return True if error.errno == errno.EAGAIN else None
    return False


class FolderListing(NamedTuple):
    """One folder of a walk, open until the walk goes on.

    Attributes:
        inside: its path in the root.
        folder: a path to it as from `open_dir_beneath`.
        folders: the names of its sub-folders, sorted; remove those not to be entered.
        files: the names of everything else, sorted.
        irregular: those of the files that are symlinks, FIFOs, sockets or devices.
    """

    inside: PurePosixPath
    folder: Path
    folders: list[str]
    files: list[str]
    irregular: frozenset[str]


def walk(
    root: Path, on_error: Callable[[Path, OSError], None] = lambda _path, _error: None
) -> Iterator[FolderListing]:
    """Walk a folder top-down without following symlinks; iterative, so any depth will do.

    Args:
        root: the folder.
        on_error: called for each folder that cannot be read, with its path; may raise.
    """
    left = [PurePosixPath()]
    while left:
        inside = left.pop()
        try:
            with open_dir_beneath(root, inside) as folder:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
                folders = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
                files = [one.name for one in entries if not one.is_dir(follow_symlinks=False)]
                regular = {one.name for one in entries if one.is_file(follow_symlinks=False)}
                irregular = frozenset(files) - regular
                yield FolderListing(inside, folder, folders, files, irregular)
        except OSError as error:
            on_error(root / inside, error)
        else:
            left += [inside / name for name in reversed(folders)]


def files_beneath(
    root: Path, on_error: Callable[[Path, OSError], None]
) -> Iterator[tuple[PurePosixPath, bool]]:
    """List the files beneath a folder, except ignored ones, sorted, those of sub-folders last.

    Args:
        root: the folder.
        on_error: as for `walk`.

    Yields:
        Each file's path in the folder, and whether it is a regular file.
    """
    for listing in walk(root, on_error):
        listing.folders[:] = [name for name in listing.folders if not ignored().folder(name)]
        for name in listing.files:
            if not ignored().file(name):
                yield listing.inside / name, name not in listing.irregular


def _descend(root: Path, inside: PurePath, *, make: bool) -> int:
    """Open a sub-folder, one component at a time."""
    if inside.is_absolute() or os.pardir in inside.parts:
        raise ObstructedError(errno.ENOTDIR, "it leads out of its folder", str(root / inside))
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(inside.parts, 1):
            try:
                deeper = _open_folder(part, descriptor, make=make)
            except FileNotFoundError as error:
                error.filename = str(root.joinpath(*inside.parts[:depth]))
                raise
            except NotADirectoryError as error:
                words = "a symlink or a file is in the place of a folder"
                where = root.joinpath(*inside.parts[:depth])
                raise ObstructedError(errno.ENOTDIR, words, str(where)) from error
            os.close(descriptor)
            descriptor = deeper
    except BaseException:  # even Ctrl-C must not leave a folder open
        os.close(descriptor)
        raise
    return descriptor


def _open_folder(name: str, above: int, *, make: bool) -> int:
    """Open a sub-folder of an open folder; with `make`, create it durably if it is missing."""
    try:
        return os.open(name, _DIR_FLAGS, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
    folder = os.open(name, _DIR_FLAGS, dir_fd=above)
    folder_made(Path(f"/proc/self/fd/{folder}"))
    sync_folder(Path(f"/proc/self/fd/{above}"))
    sync_folder(Path(f"/proc/self/fd/{folder}"))
    return folder


def _not_regular(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
