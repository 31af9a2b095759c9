"""Folders and files below a folder, reached without following a symlink; and opened once.

Whoever may write there can put a symlink in the place of a sub-folder, or another file in that of a
file, at any moment. So a folder is walked to from its root, name by name, and held open while
something is done in it; and what is known of a file, and all its bytes, come from one descriptor
(openat(2): O_NOFOLLOW, O_NONBLOCK). The root itself is the operator's, and may be a symlink.
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
from pathlib import Path, PurePath, PurePosixPath

from service.filesystem.durable import sync_folder
from service.filesystem.ignored import ignored
from service.filesystem.permissions import folder_made
from service.filesystem.snapshot import FileStat

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NO_FILE = {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR}  # symlink, socket, dead device


class ObstructedError(NotADirectoryError):
    """A symlink, or something else that is no folder, stands where a sub-folder should be."""


@contextmanager
def open_dir_beneath(root: Path, inside: PurePath, *, make: bool = False) -> Iterator[Path]:
    """Hold a sub-folder open: nobody can put another in its place while it is worked in.

    Args:
        root: a folder; the way to it may lead over symlinks.
        inside: the sub-folder's path in it; `.` is the root.
        make: make what is missing below the root, to survive a power cut.

    Yields:
        A path to it that stays right whatever happens to its name, and is short however deep it
        lies; for as long as it is held. An OSError that names it is given the folder's own name.

    Raises:
        ObstructedError: there is something else on the way.
        OSError: the disk's own.
    """
    descriptor = _descend(root, inside, make=make)
    place = f"/proc/self/fd/{descriptor}"
    try:
        yield Path(place)
    except OSError as error:
        for attribute in ("filename", "filename2"):
            name = getattr(error, attribute)
            if isinstance(name, str | os.PathLike) and Path(name).is_relative_to(place):
                setattr(error, attribute, str(root / inside / Path(name).relative_to(place)))
        raise
    finally:
        os.close(descriptor)


def open_beneath(root: Path, name: PurePath) -> io.FileIO:
    """Open a plain file for reading; never waits, whatever it is.

    Args:
        root: a folder; the way to it may lead over symlinks.
        name: the file's path in it.

    Returns:
        The file, unbuffered; its `name` is its path.

    Raises:
        FileNotFoundError: there is none, or no plain one: a symlink, there or on the way, a FIFO,
            a device, a socket, a folder.
        BlockingIOError: another process has leased it, and was asked to give it back.
        OSError: it may not be read, or the disk failed.
    """
    path = root / name
    try:
        with open_dir_beneath(root, name.parent) as folder:
            descriptor = os.open(folder / name.name, _FILE)
    except ObstructedError as error:
        raise FileNotFoundError(errno.ENOENT, str(error.strerror), str(path)) from error
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _no_plain_file(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_plain_file(path)
    return io.FileIO(str(path), opener=lambda _path, _flags: descriptor)


def open_regular(path: Path) -> io.FileIO:
    """Open a plain file by its path, of which only the last name may be no symlink.

    Raises:
        OSError: as `open_beneath`.
    """
    return open_beneath(path.parent, PurePath(path.name))


def snapshot(path: Path) -> FileStat | None:
    """Look at a file without opening it or following a symlink.

    Returns:
        None when it is gone, cannot be looked at now, or is not a plain file.
    """
    try:
        status = path.lstat()
    except OSError:
        return None
    return snapshot_of_status(status) if stat.S_ISREG(status.st_mode) else None


def snapshot_of(file: io.FileIO) -> FileStat:
    """Look at an open file.

    Raises:
        OSError: the disk failed.
    """
    return snapshot_of_status(os.fstat(file.fileno()))


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file's content, as 64 hexadecimal digits.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return digest_of(file)


def digest_of(file: io.FileIO) -> str:
    """Compute the SHA-256 of an open file from its beginning, and go back there.

    Raises:
        OSError: the disk failed.
    """
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return found


def has_writer(root: Path, name: PurePath) -> bool | None:
    """Tell whether a process of this machine holds a file open for writing.

    The kernel refuses a read lease on such a file. The lease is given back at once.

    Args:
        root: a folder.
        name: the file's path in it.

    Returns:
        None where the question cannot be asked: no permission, a file of another user (without
        CAP_LEASE), a file system without leases.
    """
    try:
        file = open_beneath(root, name)
    except OSError as error:
        return True if isinstance(error, BlockingIOError) else None
    with file:
        try:
            # A writer that comes just now breaks the lease with a signal. The usual one (SIGIO)
            # would end this process; SIGURG is ignored by default.
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return True if error.errno == errno.EAGAIN else None
    return False


def plain_files(root: Path, refused: Callable[[Path, str], None]) -> Iterator[PurePosixPath]:
    """Walk a folder for its plain files, however deep; hidden ones and litter are left out.

    Args:
        root: the folder.
        refused: told of each folder that cannot be read and each other file, and why.

    Yields:
        Their paths in the folder, in the order of their names, those of sub-folders last.
    """
    left = [PurePosixPath()]
    while left:
        inside = left.pop()
        try:
            with open_dir_beneath(root, inside) as folder, os.scandir(folder) as entries:
                found = sorted(
                    (
                        one.name,
                        one.is_dir(follow_symlinks=False),
                        one.is_file(follow_symlinks=False),
                    )
                    for one in entries
                )
        except OSError as error:
            refused(root / inside, f"the folder cannot be read: {error.strerror}")
            continue
        below = []
        for name, is_folder, is_plain in found:
            if ignored().folder(name) if is_folder else ignored().file(name):
                continue
            if is_folder:
                below.append(inside / name)
            elif is_plain:
                yield inside / name
            else:
                refused(root / inside / name, "it is no plain file")
        left += reversed(below)


def _descend(root: Path, inside: PurePath, *, make: bool) -> int:
    """Return a descriptor of a sub-folder."""
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
    except BaseException:  # whatever ended it, nothing may stay open; it goes on up
        os.close(descriptor)
        raise
    return descriptor


def _open_folder(name: str, above: int, *, make: bool) -> int:
    """Open a sub-folder of an open folder; where it is missing, make it survive a power cut."""
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=above)
    folder = os.open(name, _FOLDER, dir_fd=above)
    folder_made(Path(f"/proc/self/fd/{folder}"))
    sync_folder(Path(f"/proc/self/fd/{above}"))
    sync_folder(Path(f"/proc/self/fd/{folder}"))
    return folder


def snapshot_of_status(status: os.stat_result) -> FileStat:
    """Give how a file looked from what `stat` told of it."""
    return FileStat(
        status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev, status.st_ctime_ns
    )


def _no_plain_file(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "it is no plain file", str(path))
