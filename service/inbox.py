"""Which files in the inbox count, and where an original goes afterwards; only here is one moved.

Refuses everything that is not a plain file with a photo's name: links, FIFOs, sockets, devices,
hidden and unfinished files, and what file managers leave behind. Nothing is ever overwritten.
"""

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from service.beneath import digest, digest_of, held, open_plain, snapshot
from service.disk import (
    ReplacedError,
    fitting_name,
    is_copy,
    part_path,
    rename_without_overwriting,
    renamed_at_once,
    sync_folder,
    unlink_unless_replaced,
    write_text,
)
from service.ignored import Ignored, ignored
from service.printable import printable
from service.stability import Snapshot
from worker.kinds import KIND_OF_SUFFIX

REASON_SUFFIX = ".reason.txt"

log = structlog.get_logger()


def eligible(path: Path, inbox: Path, ignore: Ignored | None = None) -> bool:
    """Tell whether a file is one to color, by its name and kind; its content is not looked at.

    Args:
        path: a path below the inbox, from anywhere.
        inbox: the inbox's folder; it may itself be a symlink.
        ignore: which names are ignored; None: those of the table in `service.ignored`.

    Returns:
        True for a plain file with a photo's suffix that is really inside the inbox: not a symlink,
        nor reached through one, nor in a folder that is left alone.
    """
    if not path.is_relative_to(inbox):
        return False
    relative, ignore = path.relative_to(inbox), ignore or ignored()
    if not relative.parts or any(ignore.folder(part) for part in relative.parts[:-1]):
        return False
    if ignore.file(path.name) or path.suffix.lower() not in KIND_OF_SUFFIX:
        return False
    # Without a symlink on the way, the real path is the inbox's own plus the same names.
    if Path(os.path.realpath(path)) != Path(os.path.realpath(inbox)) / relative:
        return False
    return snapshot(path) is not None


def say_unreadable(folder: str, reason: str) -> None:
    """Log that a sub-folder cannot be read, and why."""
    log.warning("inbox.unreadable", folder=folder, reason=reason)


def find(
    folder: Path,
    unreadable: Callable[[str, str], None] = say_unreadable,
    ignore: Ignored | None = None,
) -> Iterator[Path]:
    """Walk a folder and those in it for eligible files, in the order of their names.

    Sub-folders that vanish meanwhile are skipped, and so are those that cannot be read.

    Args:
        folder: the inbox, or a folder in it that is not left alone.
        unreadable: told of each sub-folder that cannot be read, and the system's reason.
        ignore: which names are ignored; None: those of the table in `service.ignored`.

    Yields:
        The folder's path joined with that of each file.

    Raises:
        OSError: the folder itself cannot be read, so nothing can be said about its files.
    """
    for entry in _walk(folder, unreadable, ignore or ignored()):
        plain = entry.is_file(follow_symlinks=False)
        if plain and Path(entry.name).suffix.lower() in KIND_OF_SUFFIX:
            yield Path(entry.path)


def find_left_alone(folder: Path, ignore: Ignored | None = None) -> Iterator[Path]:
    """Walk a folder for what stays in the inbox because it is no photo, such as notes.txt.

    Args:
        folder: the inbox.
        ignore: which names are ignored; None: those of the table in `service.ignored`.

    Yields:
        Files of unknown suffix, symlinks, and FIFOs and the like; not hidden or unfinished files.

    Raises:
        OSError: the folder itself cannot be read.
    """
    for entry in _walk(folder, say_unreadable, ignore or ignored()):
        plain = entry.is_file(follow_symlinks=False)
        if not plain or Path(entry.name).suffix.lower() not in KIND_OF_SUFFIX:
            yield Path(entry.path)


def archive(path: Path, inbox: Path, originals: Path, expected: Snapshot | None = None) -> Path:
    """Move an original that is done to the same sub-folder of the originals.

    Args:
        path: the original, in the inbox.
        inbox: the inbox's folder.
        originals: the folder it goes to, on any file system.
        expected: how the file to be moved looks; None moves whatever is there.

    Returns:
        Where it is now: under its own name, or `NAME (2).ext` and so on where that is taken.

    Raises:
        ReplacedError: it is another file by now.
        OSError: it cannot be moved, and is still in the inbox.
    """
    inside = path.relative_to(inbox)
    with (
        held(inbox, inside.parent) as home,
        held(originals, inside.parent, make=True) as folder,
    ):
        for target in numbered_names(folder / inside.name):
            with contextlib.suppress(FileExistsError):
                _move(home / inside.name, target, expected)
                return originals / inside.with_name(target.name)
    raise AssertionError  # the names never end


def reject(
    path: Path, inbox: Path, rejected: Path, reason: str, expected: Snapshot | None = None
) -> Path:
    """Move an original that cannot be colored to the same sub-folder of the rejected ones.

    The reason is written first, as `NAME.reason.txt` in UTF-8, so that no crash leaves a rejected
    photo without one; calling again after a crash is safe. A name so long that its reason's would
    not fit is shortened.

    Args:
        path: the original, in the inbox; it need not be readable.
        inbox: the inbox's folder.
        rejected: the folder it goes to, on any file system.
        reason: plain words for the archivist.
        expected: how the file to be moved looks; None moves whatever is there.

    Returns:
        Where it is now: under its own name, or `NAME (2).ext` and so on where that is taken.

    Raises:
        ReplacedError: it is another file by now.
        OSError: it cannot be moved, and is still in the inbox.
    """
    inside = path.relative_to(inbox)
    with held(inbox, inside.parent) as home:
        source = home / inside.name
        identity = source.lstat()
        with held(rejected, inside.parent, make=True) as folder:
            for target in numbered_names(folder / inside.name, REASON_SUFFIX):
                taken = os.path.lexists(target)
                is_another = taken and not os.path.samestat(identity, target.lstat())
                if is_another and not is_copy(source, target):
                    continue
                note = target.with_name(target.name + REASON_SUFFIX)
                write_text(note, f"{printable(reason)}\n")
                try:
                    _move(source, target, expected)
                except FileExistsError:
                    note.unlink(missing_ok=True)
                except ReplacedError:
                    note.unlink(missing_ok=True)
                    raise
                else:
                    return rejected / inside.with_name(target.name)
    raise AssertionError  # the names never end


def take_back(path: Path, rejected: Path, target: Path, inbox: Path) -> None:
    """Move a rejected original back into the inbox, and remove the reason beside it.

    The reason goes first, while no daemon has to do with the photo, which then moves in one step.
    After a crash in between it may be called again. To another file system the photo is copied,
    verified and then removed: no daemon may take it up meanwhile, and a crash may leave both.

    Args:
        path: the original, among the rejected ones; it need not be readable where a move will do.
        rejected: their folder.
        target: where it goes, below the inbox; missing sub-folders are made.
        inbox: the inbox's folder.

    Raises:
        FileExistsError: there is something of that name in the inbox.
        OSError: it cannot be moved, and is where it was, with its reason.
    """
    name, wanted = path.relative_to(rejected), target.relative_to(inbox)
    with held(inbox, wanted.parent, make=True) as inside, held(rejected, name.parent) as home:
        _take_back(home / name.name, inside / wanted.name)


def _take_back(path: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    note, hidden = path.with_name(path.name + REASON_SUFFIX), part_path(path.parent)
    with contextlib.suppress(FileNotFoundError):
        note.rename(hidden)
    try:
        if not renamed_at_once(path, target):
            unlink_unless_replaced(path, _copy(path, target))
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            hidden.rename(note)
        raise
    hidden.unlink(missing_ok=True)
    sync_folder(target.parent)
    sync_folder(path.parent)


def _walk(
    folder: Path, unreadable: Callable[[str, str], None], ignore: Ignored
) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder and its sub-folders, except what is left alone without a word."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if not entry.is_dir(follow_symlinks=False):
            if not ignore.file(entry.name):
                yield entry
        elif not ignore.folder(entry.name):
            try:
                yield from _walk(Path(entry.path), unreadable, ignore)
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable(entry.path, str(error.strerror))


def numbered_names(target: Path, room: str = "") -> Iterator[Path]:
    """Yield a path, then numbered ones; shortened where `room` would not fit behind them."""
    for number in itertools.count(1):
        yield numbered_name(target, number, room)


def numbered_name(target: Path, number: int, room: str = "") -> Path:
    """Return the n-th of `numbered_names`; the first is the path's own."""
    ending = target.suffix if number == 1 else f" ({number}){target.suffix}"
    name = fitting_name(target.stem, ending + room)
    return target.with_name(name.removesuffix(room))


def _move(path: Path, target: Path, expected: Snapshot | None) -> None:
    """Move a plain file; the folders of both are held.

    Whether it is the expected one is asked of what has arrived: before, it may still be replaced.
    """
    if snapshot(path) is None:  # gone, or a symlink in its place
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    looks = path.lstat()
    try:
        rename_without_overwriting(path, target)
    except FileExistsError:
        if not is_copy(path, target):
            raise
        sync_folder(target.parent)  # an earlier call was cut off when it had copied the file
        unlink_unless_replaced(path, looks)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copied = _copy(path, target)
        if not _is(copied, expected):
            target.unlink()
            raise _replaced(path) from None
        unlink_unless_replaced(path, copied)
    else:
        if not _is(target.lstat(), expected):
            _put_back(target, path)
            raise _replaced(path)
    sync_folder(target.parent)
    sync_folder(path.parent)


def _is(looks: os.stat_result, expected: Snapshot | None) -> bool:
    now = Snapshot(looks.st_size, looks.st_mtime_ns, looks.st_ino, looks.st_dev)
    return expected is None or now.same_as(expected)


def _replaced(path: Path) -> ReplacedError:
    return ReplacedError(errno.ESTALE, "another file was saved under this name", os.fspath(path))


def _put_back(target: Path, path: Path) -> None:
    """Move a file back; beside the one that may have been saved under its name meanwhile."""
    for free in numbered_names(path):
        with contextlib.suppress(FileExistsError):
            rename_without_overwriting(target, free)
            return


def _copy(path: Path, target: Path) -> os.stat_result:
    """Copy a file to a free name; return how it looked, for it may be another by now."""
    part = part_path(target.parent)
    try:
        with open_plain(path) as source:
            looks = os.fstat(source.fileno())
            with part.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            shutil.copystat(f"/proc/self/fd/{source.fileno()}", part)
            if digest(part) != digest_of(source):
                raise OSError(errno.EIO, "the copy differs from the original", os.fspath(path))
        rename_without_overwriting(part, target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return looks
