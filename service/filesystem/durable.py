"""Durable and non-overwriting changes on disk: fsync, atomic writes and renames, free names."""

import contextlib
import ctypes
import errno
import filecmp
import itertools
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from service.filesystem.permissions import file_made
from worker.atomic import replacing, sync_folder

PART_PREFIX = ".photochrom-"
PART_SUFFIX = ".part"
LONGEST_NAME = 255  # bytes, on every Linux file system in use

_SAME_TIME = 1000  # nanoseconds; SMB shares store times in steps of a hundred

_NO_HARD_LINKS = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EINVAL,
}
_NOT_AT_ONCE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
_FROM_WORKING_FOLDER = -100  # AT_FDCWD of <fcntl.h>
_NO_REPLACE = 1  # RENAME_NOREPLACE of <linux/fs.h>
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


class ReplacedError(OSError):
    """Another file took this name just before the move; it is still there."""


def part_path(folder: Path) -> Path:
    """Return a unique, short, hidden name for a temporary file in a folder."""
    return folder / f"{PART_PREFIX}{os.getpid()}-{secrets.token_hex(8)}{PART_SUFFIX}"


def staging_name(job: int, attempt: int) -> str:
    """Name the staging file of an attempt at a job, unlike any other; `sweep` knows the pattern."""
    return f"{PART_PREFIX}{job}-{attempt}-{secrets.token_hex(8)}{PART_SUFFIX}"


def fitting_name(stem: str, ending: str) -> str:
    """Join a stem and an ending, shortening the stem so that the name has at most 255 bytes."""
    while stem and len(os.fsencode(stem + ending)) > LONGEST_NAME:
        stem = stem[:-1]
    return stem + ending


def numbered_names(target: Path, room: str = "") -> Iterator[Path]:
    """Yield a path, then numbered ones, shortened if `room` would not fit after them."""
    for number in itertools.count(1):
        yield numbered_name(target, number, room)


def numbered_name(target: Path, number: int, room: str = "") -> Path:
    """Return the n-th of `numbered_names`; the first is the path itself."""
    ending = target.suffix if number == 1 else f" ({number}){target.suffix}"
    name = fitting_name(target.stem, ending + room)
    return target.with_name(name.removesuffix(room))


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents durably.

    Raises:
        OSError: it cannot be created, or its name belongs to something else.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir()
        sync_folder(each.parent)
        sync_folder(each)  # raises NotADirectoryError if the name belongs to a file


def is_copy(source: Path, target: Path) -> bool:
    """Tell whether a file is a copy left by an interrupted move: same mtime, same bytes.

    Returns:
        False also if the source may not be read, because then nobody copied it.

    Raises:
        OSError: one of them is not accessible, or the disk failed.
    """
    one, two = os.lstat(source), os.lstat(target)
    plain = stat.S_ISREG(one.st_mode) and stat.S_ISREG(two.st_mode)
    same_time = abs(one.st_mtime_ns - two.st_mtime_ns) < _SAME_TIME
    try:
        return plain and same_time and filecmp.cmp(source, target, shallow=False)
    except PermissionError:
        return False


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Rename a file within a file system without replacing another.

    At once where the file system can do that, or else by way of a second name.

    Raises:
        FileExistsError: the name is taken by another file.
        OSError: EXDEV if the two are on different file systems, or another error of the system.
    """
    try:
        if renamed_at_once(source, target):
            return
        before = os.lstat(source)
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        before = os.lstat(source)
        if not os.path.samestat(before, os.lstat(target)):
            raise
        # An earlier call was interrupted between the two steps.
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_to_claimed_name(source, target)
        return
    if _numbers_each_name(before, source, target):
        target.unlink()
        _rename_to_claimed_name(source, target)
    else:
        unlink_unless_replaced(source, os.lstat(target))


def _numbers_each_name(before: os.stat_result, source: Path, target: Path) -> bool:
    """Tell whether hard links have different inodes, as on sshfs.

    There the inode cannot tell that a name was left over by an interrupted move.
    """
    try:
        unchanged = os.path.samestat(before, os.lstat(source))
    except FileNotFoundError:
        return False
    return unchanged and not os.path.samestat(before, os.lstat(target))


def _rename_to_claimed_name(source: Path, target: Path) -> None:
    """Claim the name with an empty file, then replace that; the last resort.

    A process killed in between leaves the empty file behind.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        os.rename(source, target)  # noqa: PTH104 - beside os.link
    except OSError:
        target.unlink()
        raise


def unlink_unless_replaced(path: Path, moved: os.stat_result) -> None:
    """Remove the old name of a moved file, unless another file was saved under it meanwhile.

    Args:
        path: the old name; it may be gone.
        moved: stat of the file that was moved or copied.
    """
    with contextlib.suppress(FileNotFoundError):
        now = os.lstat(path)
        as_it_was = (now.st_size, now.st_mtime_ns) == (moved.st_size, moved.st_mtime_ns)
        if os.path.samestat(now, moved) and as_it_was:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file durably and atomically, replacing any other.

    Raises:
        OSError: from the system; no temporary file is left.
    """
    with replacing(path, durable=True, part=part_path(path.parent)) as file:
        file_made(file.fileno(), path.parent)
        file.write(text.encode(errors="backslashreplace"))


def sync_file_system(folder: Path) -> None:
    """Write what is in a folder, and all else on its file system, to disk (syncfs(2)).

    For many small files at once, where syncing each would take much longer.

    Raises:
        OSError: the disk failed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if library.syncfs(descriptor):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)


def renamed_at_once(source: Path, target: Path) -> bool:
    """Rename a file atomically without replacing another, with renameat2(RENAME_NOREPLACE).

    For moves that another process may undo: it never sees two names, of which each process might
    remove one.

    Returns:
        False, with nothing changed, if that is impossible: on different file systems, or without
        support by the file system (such as NFS) or the C library.

    Raises:
        FileExistsError: the name is taken, even by the same file.
        OSError: from the system.
    """
    if _renameat2 is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    folder = _FROM_WORKING_FOLDER
    if _renameat2(folder, names[0], folder, names[1], _NO_REPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_AT_ONCE:
        return False
    raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))
