"""What makes a change on disk last: folders that are synced, names that fit and are not taken."""

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

PART_PREFIX = ".photochrom-"
PART_SUFFIX = ".part"
LONGEST_NAME = 255  # bytes, on every Linux file system in use

_SAME_TIME = 1000  # nanoseconds; shares keep time in steps of a hundred

_NO_SYNC_FOR_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
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


class ReplacedError(OSError):
    """Another file was saved under a name just before the move; it is still there."""


def part_path(folder: Path) -> Path:
    """Name a hidden temporary file in a folder, unlike any other and short whatever it is for."""
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
    """Yield a path, then numbered ones; shortened where `room` would not fit behind them."""
    for number in itertools.count(1):
        yield numbered_name(target, number, room)


def numbered_name(target: Path, number: int, room: str = "") -> Path:
    """Return the n-th of `numbered_names`; the first is the path's own."""
    ending = target.suffix if number == 1 else f" ({number}){target.suffix}"
    name = fitting_name(target.stem, ending + room)
    return target.with_name(name.removesuffix(room))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut.

    Raises:
        OSError: the disk did not do it. File systems that cannot sync a folder are let off.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_opened(descriptor)
    finally:
        os.close(descriptor)


def sync_opened(folder: int) -> None:
    """Do the same for a folder that is open; for the error see `sync_folder`."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC_FOR_FOLDERS:
            raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each made to survive a power cut.

    Raises:
        OSError: it cannot be made, or something that is no folder has its name.
    """
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir()
        sync_folder(each.parent)
        sync_folder(each)  # raises NotADirectoryError when the name belongs to a file


def is_copy(source: Path, target: Path) -> bool:
    """Tell whether a file is one that an interrupted move of another left: same time, same bytes.

    Returns:
        False also where the source may not be read, since nobody has copied it then.

    Raises:
        OSError: one of them cannot be looked at, or the disk failed.
    """
    one, two = os.lstat(source), os.lstat(target)
    plain = stat.S_ISREG(one.st_mode) and stat.S_ISREG(two.st_mode)
    same_time = abs(one.st_mtime_ns - two.st_mtime_ns) < _SAME_TIME
    try:
        return plain and same_time and filecmp.cmp(source, target, shallow=False)
    except PermissionError:
        return False


def rename_without_overwriting(source: Path, target: Path) -> None:
    """Give a file another name on the same file system, never that of another file.

    Raises:
        FileExistsError: the target's name is taken by another file.
        OSError: of errno EXDEV when the two are not on one file system, else the disk's own.
    """
    before = os.lstat(source)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(os.lstat(source), os.lstat(target)):
            raise
        # An earlier call was cut off between the two steps.
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _rename_without_link(source, target)
        return
    if _numbers_each_name(before, source, target):
        target.unlink()
        _rename_without_link(source, target)
    else:
        unlink_unless_replaced(source, os.lstat(target))


def _numbers_each_name(before: os.stat_result, source: Path, target: Path) -> bool:
    """Tell whether a link is another file by its number, as on sshfs.

    There nobody can tell by the number that a name was left over by a move that was cut off.
    """
    try:
        unchanged = os.path.samestat(before, os.lstat(source))
    except FileNotFoundError:
        return False
    return unchanged and not os.path.samestat(before, os.lstat(target))


def _rename_without_link(source: Path, target: Path) -> None:
    if renamed_at_once(source, target):
        return
    # Claim the name with an empty file that nobody else can have made, then replace that. A
    # process that is killed in between leaves the empty file; hence only where all else fails.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        os.rename(source, target)  # noqa: PTH104 - beside os.link
    except OSError:
        target.unlink()
        raise


def unlink_unless_replaced(path: Path, moved: os.stat_result) -> None:
    """Remove the old name of a file that has a new one, but never another file.

    Somebody may save a scan anew while it is moved; what they saved stays.

    Args:
        path: the old name; it may be gone.
        moved: how the file looked that has the new name, or whose copy has it.
    """
    with contextlib.suppress(FileNotFoundError):
        now = os.lstat(path)
        as_it_was = (now.st_size, now.st_mtime_ns) == (moved.st_size, moved.st_mtime_ns)
        if os.path.samestat(now, moved) and as_it_was:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8, whole or not at all, in place of what has the name.

    Raises:
        OSError: the disk refuses; nothing unfinished is left.
    """
    part = part_path(path.parent)
    try:
        with part.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file_made(file.fileno(), path.parent)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def renamed_at_once(source: Path, target: Path) -> bool:
    """Give a file another name, never that of another file, with no moment at which it has both.

    For moves that another process may turn around: it never meets two names and removes one of
    them while this process removes the other.

    Returns:
        False, with nothing changed, where this cannot be done: the two are on different file
        systems, or the file system (NFS, for one) or the system's library does not know how.

    Raises:
        FileExistsError: the target's name is taken, be it by the same file.
        OSError: the disk's own.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    folder = _FROM_WORKING_FOLDER
    if renameat2(folder, names[0], folder, names[1], _NO_REPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_AT_ONCE:
        return False
    raise OSError(number, os.strerror(number), os.fspath(source), None, os.fspath(target))
