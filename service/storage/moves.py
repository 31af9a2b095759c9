"""Moves files out of the inbox and back: archive, reject, settle, restore.

Nothing is ever overwritten. A move is complete only if the file is unchanged after another settle
time; if a writer had it open and changed it, the whole file goes back to the inbox. A file bound
for another file system is hidden, copied, and removed when the move settles.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from service.filesystem.durable import (
    LONGEST_NAME,
    ReplacedError,
    is_copy,
    numbered_names,
    part_path,
    rename_without_overwriting,
    renamed_at_once,
    unlink_unless_replaced,
    write_text,
)
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import digest as digest_at
from service.filesystem.safe_open import digest_of, file_stat, open_dir_beneath, open_regular
from service.terminal import printable
from worker.atomic import sync_folder

HIDDEN_PREFIX = ".photochrom-leaving-"  # of a file being copied to another file system
REASON_SUFFIX = ".reason.txt"


class Departure(NamedTuple):
    """A file that left the inbox; its move is complete when `settle` says so.

    Attributes:
        source: its path in the inbox, relative to it.
        place: its new path.
        stat: of the file that a writer may still have open.
        hidden: its hidden name in the inbox, if it was copied to another file system; or "".
        digest: SHA-256 of what was moved, hexadecimal; None: unknown.
    """

    source: PurePath
    place: Path
    stat: FileStat
    hidden: str = ""
    digest: str | None = None


def archive(
    path: Path,
    inbox: Path,
    originals: Path,
    expected: FileStat | None = None,
    *,
    digest: str | None = None,
    name: str | None = None,
) -> Departure:
    """Move the original of a finished job to the same sub-folder of the originals.

    Args:
        path: the original, in the inbox.
        inbox: the inbox's folder.
        originals: the target folder, on any file system.
        expected: the file's stat; None moves whatever is there.
        digest: SHA-256 of its content, hexadecimal, that a copy must have.
        name: its new name; by default its own.

    Returns:
        The move, for `sync_folders`; its place has that name, or `NAME (2).ext` and so on if that
        is taken.

    Raises:
        ReplacedError: another file has taken its place.
        OSError: it cannot be moved, and is still in the inbox.
    """
    inside = path.relative_to(inbox)
    with (
        open_dir_beneath(inbox, inside.parent) as home,
        open_dir_beneath(originals, inside.parent, make=True) as folder,
    ):
        for target in numbered_names(folder / (name or inside.name)):
            with contextlib.suppress(FileExistsError):
                stat, hidden = _move(home / inside.name, target, expected, digest)
                place = originals / inside.with_name(target.name)
                return Departure(inside, place, stat, hidden, digest)
    raise AssertionError  # the names never run out


def reject(
    path: Path,
    inbox: Path,
    rejected: Path,
    reason: str,
    expected: FileStat | None = None,
    *,
    digest: str | None = None,
) -> Departure:
    """Move the original of a failed job to the same sub-folder of the rejected scans.

    The reason is written first, as `NAME.reason.txt` in UTF-8, so that no crash leaves a rejected
    scan without one; the call may be repeated after a crash. Names too long to add that suffix are
    shortened.

    Args:
        path: the original, in the inbox; it need not be readable.
        inbox: the inbox's folder.
        rejected: the target folder, on any file system.
        reason: for the archivist.
        expected: the file's stat; None moves whatever is there.
        digest: SHA-256 of its content, hexadecimal, that a copy must have.

    Returns:
        The move, for `sync_folders`; its place has the same name, or `NAME (2).ext` and so on if
        that is taken.

    Raises:
        ReplacedError: another file has taken its place.
        OSError: it cannot be moved, and is still in the inbox.
    """
    inside = path.relative_to(inbox)
    with open_dir_beneath(inbox, inside.parent) as home:
        source = home / inside.name
        identity = source.lstat()
        with open_dir_beneath(rejected, inside.parent, make=True) as folder:
            for target in numbered_names(folder / inside.name, REASON_SUFFIX):
                taken = os.path.lexists(target)
                is_another = taken and not os.path.samestat(identity, target.lstat())
                if is_another and not is_copy(source, target):
                    continue
                note = target.with_name(target.name + REASON_SUFFIX)
                write_text(note, f"{printable(reason)}\n")
                try:
                    stat, hidden = _move(source, target, expected, digest)
                except FileExistsError:
                    note.unlink(missing_ok=True)
                except ReplacedError:
                    note.unlink(missing_ok=True)
                    raise
                else:
                    place = rejected / inside.with_name(target.name)
                    return Departure(inside, place, stat, hidden, digest)
    raise AssertionError  # the names never run out


def sync_folders(departures: Iterable[Departure], inbox: Path) -> dict[Path, OSError]:
    """Make moves durable: sync each folder that files left or entered, once.

    Returns:
        The folders that could not be synced, and why; the moves stand all the same.
    """
    folders = dict.fromkeys(
        folder for one in departures for folder in (one.place.parent, inbox / one.source.parent)
    )
    failed = {}
    for folder in folders:
        try:
            sync_folder(folder)
        except FileNotFoundError:  # removed after the last file left it
            continue
        except OSError as error:
            failed[folder] = error
    return failed


def settle(departure: Departure, inbox: Path) -> bool:
    """Complete a move if the file is unchanged since; otherwise undo it.

    Args:
        departure: the move.
        inbox: the inbox's folder.

    Returns:
        False if the file was changed, and is back in the inbox under its own or a numbered name.

    Raises:
        OSError: neither is possible now; the call may be repeated.
    """
    source, place = departure.source, departure.place
    if not departure.hidden and _unchanged(place, departure):
        return True
    with open_dir_beneath(place.parent, PurePath()) as folder:
        target, note = folder / place.name, folder / (place.name + REASON_SUFFIX)
        with open_dir_beneath(inbox, source.parent, make=not departure.hidden) as home:
            open_yet = home / departure.hidden if departure.hidden else target
            if departure.hidden and _unchanged(open_yet, departure):
                open_yet.unlink(missing_ok=True)
                sync_folder(home)
                return True
            if departure.hidden:
                target.unlink(missing_ok=True)
            _put_back(open_yet, home / source.name)
            note.unlink(missing_ok=True)
            sync_folder(home)
            sync_folder(folder)
    return False


def _unchanged(path: Path, departure: Departure) -> bool:
    """Tell whether a file is as it was when it was moved, or is gone."""
    now, stat = file_stat(path), departure.stat
    if now is None or now == stat:
        return True
    if not now.same_as(stat):
        return False
    # Only its ctime changed: by a chmod, or by a writer that reset the mtime.
    return departure.digest is None or digest_at(path) == departure.digest


def set_aside(root: Path, inside: PurePath, name: str) -> PurePath:
    """Rename a file in its folder, numbering the new name if it is taken.

    Args:
        root: a folder.
        inside: the file's path in it.
        name: its new name.

    Returns:
        Its new path in `root`.

    Raises:
        OSError: it cannot be renamed.
    """
    with open_dir_beneath(root, inside.parent) as folder:
        for target in numbered_names(folder / name):
            with contextlib.suppress(FileExistsError):
                rename_without_overwriting(folder / inside.name, target)
                sync_folder(folder)
                return inside.with_name(target.name)
    raise AssertionError  # the names never run out


def is_hidden(name: str) -> bool:
    """Tell whether a file's name is one that `archive` or `reject` hides a file under."""
    return name.startswith(HIDDEN_PREFIX)


def unhide(folder: Path, name: str) -> None:
    """Give a hidden file, whose move was interrupted, its own name back.

    Raises:
        OSError: it cannot be renamed.
    """
    own = name.removeprefix(HIDDEN_PREFIX).partition("-")[2]
    _put_back(folder / name, folder / own)


def restore(path: Path, rejected: Path, target: Path, inbox: Path) -> None:
    """Move a rejected scan back to the inbox, and remove its reason.

    The reason goes first, while no daemon can see the scan, which is then renamed; the call may be
    repeated after a crash. If it must be copied to another file system, no daemon may take it up
    meanwhile, and a crash may leave both copies.

    Args:
        path: the scan, in the rejected folder; it need not be readable to be renamed.
        rejected: that folder.
        target: its new path, in the inbox; missing sub-folders are created.
        inbox: the inbox's folder.

    Raises:
        FileExistsError: the name is taken in the inbox.
        OSError: it cannot be moved, and is where it was, with its reason.
    """
    name, wanted = path.relative_to(rejected), target.relative_to(inbox)
    with (
        open_dir_beneath(inbox, wanted.parent, make=True) as inside,
        open_dir_beneath(rejected, name.parent) as home,
    ):
        _restore(home / name.name, inside / wanted.name)


def _restore(path: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    note, hidden = path.with_name(path.name + REASON_SUFFIX), part_path(path.parent)
    with contextlib.suppress(FileNotFoundError):
        note.rename(hidden)
    try:
        if not renamed_at_once(path, target):
            unlink_unless_replaced(path, copy_file(path, target, None, path))
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            hidden.rename(note)
        raise
    hidden.unlink(missing_ok=True)
    sync_folder(target.parent)
    sync_folder(path.parent)


def _move(
    path: Path, target: Path, expected: FileStat | None, digest: str | None
) -> tuple[FileStat, str]:
    """Move a regular file between two open folders.

    Its stat is compared with the expected one after the move, when nobody can replace it any more.

    Returns:
        The stat of the moved file, and its hidden name until `settle` if the target is a copy.
    """
    if file_stat(path) is None:  # gone, or replaced by a symlink
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    hidden = ""
    try:
        rename_without_overwriting(path, target)
    except FileExistsError:
        if not is_copy(path, target):
            raise
        hidden = _hide(path)  # an earlier call was interrupted after the copy
        stat = (path.with_name(hidden)).lstat()
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        hidden, stat = _copy_hidden(path, target, expected, digest)
    else:
        stat = target.lstat()
        if not _is(stat, expected):
            _put_back(target, path)
            raise replaced(path)
    return FileStat.of(stat), hidden


def _copy_hidden(
    path: Path, target: Path, expected: FileStat | None, digest: str | None
) -> tuple[str, os.stat_result]:
    """Hide a file and copy it; if that fails, it gets its own name back."""
    hidden = _hide(path)
    source = path.with_name(hidden)
    try:
        stat = copy_file(source, target, digest, path)
        if not _is(stat, expected):
            target.unlink()
            raise replaced(path)
    except OSError:
        if source != path:
            _put_back(source, path)
        raise
    return hidden, stat


def _hide(path: Path) -> str:
    """Rename a file to a hidden name, unless that would be too long."""
    hidden = path.with_name(f"{HIDDEN_PREFIX}{secrets.token_hex(4)}-{path.name}")
    if len(os.fsencode(hidden.name)) > LONGEST_NAME:
        return path.name
    rename_without_overwriting(path, hidden)
    return hidden.name


def _is(stat: os.stat_result, expected: FileStat | None) -> bool:
    return expected is None or FileStat.of(stat).same_as(expected)


def _put_back(target: Path, path: Path) -> None:
    """Move a file back, under a numbered name if another was saved under its own."""
    for free in numbered_names(path):
        with contextlib.suppress(FileExistsError):
            rename_without_overwriting(target, free)
            return


def copy_file(path: Path, target: Path, wanted: str | None, name: Path) -> os.stat_result:
    """Copy a file to a free name durably, verified and with its times; return its stat.

    Args:
        path: the file.
        target: the free name.
        wanted: SHA-256 that the copy must have; None: that of the file.
        name: the file's name in errors.
    """
    part = part_path(target.parent)
    try:
        with open_regular(path) as source:
            stat = os.fstat(source.fileno())
            with part.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            shutil.copystat(f"/proc/self/fd/{source.fileno()}", part)
            copied = digest_at(part)
            if wanted is not None and copied != wanted:
                raise replaced(name)
            if wanted is None and copied != digest_of(source):
                raise OSError(errno.EIO, "the copy differs from the original", os.fspath(name))
        rename_without_overwriting(part, target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return stat


def replaced(path: Path) -> ReplacedError:
    """Return the error that another file has taken this name."""
    return ReplacedError(errno.ESTALE, "another file was saved under this name", os.fspath(path))
