"""Which files in the inbox count.

Refuses everything that is not a plain file with a photo's name: links, FIFOs, sockets, devices,
hidden and unfinished files, and what file managers leave behind.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from service.filesystem.ignored import Ignored, ignored
from service.filesystem.safe_open import snapshot
from worker.formats.registry import format_of

log = structlog.get_logger()


def eligible(path: Path, inbox: Path, ignore: Ignored | None = None) -> bool:
    """Tell whether a file is one to color, by its name and kind; its content is not looked at.

    Args:
        path: a path below the inbox, from anywhere.
        inbox: the inbox's folder; it may itself be a symlink.
        ignore: which names are ignored; None: those of the table in `service.filesystem.ignored`.

    Returns:
        True for a plain file with a photo's suffix that is really inside the inbox: not a symlink,
        nor reached through one, nor in a folder that is left alone.
    """
    if not path.is_relative_to(inbox):
        return False
    relative, ignore = path.relative_to(inbox), ignore or ignored()
    if not relative.parts or any(ignore.folder(part) for part in relative.parts[:-1]):
        return False
    if ignore.file(path.name) or format_of(path) is None:
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
        ignore: which names are ignored; None: those of the table in `service.filesystem.ignored`.

    Yields:
        The folder's path joined with that of each file.

    Raises:
        OSError: the folder itself cannot be read, so nothing can be said about its files.
    """
    for entry in _walk(folder, unreadable, ignore or ignored()):
        plain = entry.is_file(follow_symlinks=False)
        if plain and format_of(Path(entry.name)):
            yield Path(entry.path)


def find_left_alone(folder: Path, ignore: Ignored | None = None) -> Iterator[Path]:
    """Walk a folder for what stays in the inbox because it is no photo, such as notes.txt.

    Args:
        folder: the inbox.
        ignore: which names are ignored; None: those of the table in `service.filesystem.ignored`.

    Yields:
        Files of unknown suffix, symlinks, and FIFOs and the like; not hidden or unfinished files.

    Raises:
        OSError: the folder itself cannot be read.
    """
    for entry in _walk(folder, say_unreadable, ignore or ignored()):
        plain = entry.is_file(follow_symlinks=False)
        if not plain or format_of(Path(entry.name)) is None:
            yield Path(entry.path)


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
