"""How a file leaves the inbox: archived, rejected, or restored to it; only here is one moved.

Nothing is ever overwritten. A move is over only when the file was at rest for another settle time:
what a writer that had it open adds meanwhile brings the whole file back to the inbox. To another
file system a file is copied under a hidden name, and that is removed last.
"""

import contextlib
import errno
import os
import secrets
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
    sync_folder,
    unlink_unless_replaced,
    write_text,
)
from service.filesystem.safe_open import digest as digest_at
from service.filesystem.safe_open import open_dir_beneath, snapshot, snapshot_of_status
from service.filesystem.snapshot import FileStat
from service.storage.copies import copy_file, replaced
from service.terminal import printable

HIDDEN_PREFIX = ".photochrom-leaving-"  # of a file that is copied to another file system
REASON_SUFFIX = ".reason.txt"


class Departure(NamedTuple):
    """A file that left the inbox; the move is over when `settle` says so.

    Attributes:
        source: its path in the inbox, relative to it.
        place: where it is now.
        looks: how the file looks that a writer may still have open.
        hidden: to another file system: the hidden name that file has beside its old one; else "".
        digest: SHA-256 of what was moved, hexadecimal; None where nobody knows.
    """

    source: PurePath
    place: Path
    looks: FileStat
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
    """Move an original that is done to the same sub-folder of the originals.

    Args:
        path: the original, in the inbox.
        inbox: the inbox's folder.
        originals: the folder it goes to, on any file system.
        expected: how the file to be moved looks; None moves whatever is there.
        digest: SHA-256 of its content, hexadecimal; where it is copied, its copy must have it.
        name: the name it gets; its own without it.

    Returns:
        Where it is now: under that name, or `NAME (2).ext` and so on where that is taken.

    Raises:
        ReplacedError: it is another file by now.
        OSError: it cannot be moved, and is still in the inbox.
    """
    inside = path.relative_to(inbox)
    with (
        open_dir_beneath(inbox, inside.parent) as home,
        open_dir_beneath(originals, inside.parent, make=True) as folder,
    ):
        for target in numbered_names(folder / (name or inside.name)):
            with contextlib.suppress(FileExistsError):
                looks, hidden = _move(home / inside.name, target, expected, digest)
                place = originals / inside.with_name(target.name)
                return Departure(inside, place, looks, hidden, digest)
    raise AssertionError  # the names never end


def reject(
    path: Path,
    inbox: Path,
    rejected: Path,
    reason: str,
    expected: FileStat | None = None,
    *,
    digest: str | None = None,
) -> Departure:
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
        digest: SHA-256 of its content, hexadecimal; where it is copied, its copy must have it.

    Returns:
        Where it is now: under its own name, or `NAME (2).ext` and so on where that is taken.

    Raises:
        ReplacedError: it is another file by now.
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
                    looks, hidden = _move(source, target, expected, digest)
                except FileExistsError:
                    note.unlink(missing_ok=True)
                except ReplacedError:
                    note.unlink(missing_ok=True)
                    raise
                else:
                    place = rejected / inside.with_name(target.name)
                    return Departure(inside, place, looks, hidden, digest)
    raise AssertionError  # the names never end


def settle(departure: Departure, inbox: Path) -> bool:
    """End a move when the file was at rest since; else undo it, for a writer had it open.

    Args:
        departure: the move.
        inbox: the inbox's folder.

    Returns:
        False when the file is in the inbox again, under its own name or a numbered one, with what
        was written to it.

    Raises:
        OSError: it can neither be ended nor undone now; call it again.
    """
    source, place = departure.source, departure.place
    with open_dir_beneath(place.parent, PurePath()) as folder:
        target, note = folder / place.name, folder / (place.name + REASON_SUFFIX)
        with open_dir_beneath(inbox, source.parent, make=not departure.hidden) as home:
            open_yet = home / departure.hidden if departure.hidden else target
            if _at_rest(open_yet, departure):
                if departure.hidden:
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


def _at_rest(path: Path, departure: Departure) -> bool:
    """Tell whether a file is as it was when it was moved, or is gone."""
    now, looks = snapshot(path), departure.looks
    if now is None or now == looks:
        return True
    if not now.same_as(looks):
        return False
    # Only its ctime is another: its permissions were changed, or its writer set its time back.
    return departure.digest is None or digest_at(path) == departure.digest


def set_aside(root: Path, inside: PurePath, name: str) -> PurePath:
    """Give a file another name in its folder, or that with a number where it is taken.

    Args:
        root: a folder.
        inside: the file's path in it.
        name: the name it gets.

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
    raise AssertionError  # the names never end


def restore_hidden(inbox: Path) -> int:
    """Give the files whose move a crash cut off their names again; return how many.

    Call it while nothing is moved. They are found again then, and moved once more.

    Raises:
        OSError: one cannot be renamed.
    """
    restored = 0
    for parent, _folders, names in os.walk(inbox):
        for name in names:
            if name.startswith(HIDDEN_PREFIX):
                inside = PurePath(os.path.relpath(parent, inbox))
                own = name.removeprefix(HIDDEN_PREFIX).partition("-")[2]
                with open_dir_beneath(inbox, inside) as home:
                    _put_back(home / name, home / own)
                restored += 1
    return restored


def restore(path: Path, rejected: Path, target: Path, inbox: Path) -> None:
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
    """Move a plain file; the folders of both are held.

    Whether it is the expected one is asked of what has arrived: before, it may still be replaced.

    Returns:
        How the file looks that was moved, and the name under which it stays hidden for a while when
        the target is a copy of it; see `settle`.
    """
    if snapshot(path) is None:  # gone, or a symlink in its place
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
    hidden = ""
    try:
        rename_without_overwriting(path, target)
    except FileExistsError:
        if not is_copy(path, target):
            raise
        hidden = _hide(path)  # an earlier call was cut off when it had copied the file
        looks = (path.with_name(hidden)).lstat()
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        hidden, looks = _copy_hidden(path, target, expected, digest)
    else:
        looks = target.lstat()
        if not _is(looks, expected):
            _put_back(target, path)
            raise replaced(path)
    sync_folder(target.parent)
    sync_folder(path.parent)
    return snapshot_of_status(looks), hidden


def _copy_hidden(
    path: Path, target: Path, expected: FileStat | None, digest: str | None
) -> tuple[str, os.stat_result]:
    """Copy a file under a hidden name; without a copy it has its own name again."""
    hidden = _hide(path)
    source = path.with_name(hidden)
    try:
        looks = copy_file(source, target, digest, path)
        if not _is(looks, expected):
            target.unlink()
            raise replaced(path)
    except OSError:
        if source != path:
            _put_back(source, path)
        raise
    return hidden, looks


def _hide(path: Path) -> str:
    """Give a file a hidden name in its folder; one whose name would be too long keeps its own."""
    hidden = path.with_name(f"{HIDDEN_PREFIX}{secrets.token_hex(4)}-{path.name}")
    if len(os.fsencode(hidden.name)) > LONGEST_NAME:
        return path.name
    rename_without_overwriting(path, hidden)
    return hidden.name


def _is(looks: os.stat_result, expected: FileStat | None) -> bool:
    return expected is None or snapshot_of_status(looks).same_as(expected)


def _put_back(target: Path, path: Path) -> None:
    """Move a file back; beside the one that may have been saved under its name meanwhile."""
    for free in numbered_names(path):
        with contextlib.suppress(FileExistsError):
            rename_without_overwriting(target, free)
            return
