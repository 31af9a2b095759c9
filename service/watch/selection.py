"""Selects the files in the inbox to be colored: regular files with the suffix of an image format.

Symlinks, FIFOs, sockets, devices, hidden and temporary files, and file managers' litter are not.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from service.filesystem.ignored import Ignored, ignored
from service.filesystem.safe_open import file_stat
from worker.formats.registry import BY_SUFFIX

_SUFFIXES = tuple(BY_SUFFIX)

log = structlog.get_logger()


def eligible(path: Path, inbox: Path, ignore: Ignored | None = None) -> bool:
    """Tell whether a file is to be colored, without reading it.

    Args:
        path: any path.
        inbox: the inbox's folder; it may be a symlink.
        ignore: the ignored names; None: the built-in ones.

    Returns:
        True for a regular file with the suffix of an image format that is really inside the inbox:
        not a symlink or reached through one, and not in an ignored folder.
    """
    if not path.is_relative_to(inbox):
        return False
    relative, ignore = path.relative_to(inbox), ignore or ignored()
    if not relative.parts or any(ignore.folder(part) for part in relative.parts[:-1]):
        return False
    if ignore.file(path.name) or not is_image_name(path.name):
        return False
    # Without symlinks on the way, the real path is the inbox's plus the same names.
    if Path(os.path.realpath(path)) != Path(os.path.realpath(inbox)) / relative:
        return False
    return file_stat(path) is not None


def is_image_name(name: str) -> bool:
    """Tell whether a file's name has the suffix of an image format."""
    return name.lower().endswith(_SUFFIXES)  # for each file of a large inbox, so the quickest way


def log_unreadable(folder: str, reason: str) -> None:
    """Log that a sub-folder cannot be read."""
    log.warning("inbox.unreadable", folder=folder, reason=reason)


def find(
    folder: Path,
    unreadable: Callable[[str, str], None] = log_unreadable,
    ignore: Ignored | None = None,
) -> Iterator[Path]:
    """List the eligible files beneath a folder, sorted by name.

    Sub-folders that vanish meanwhile or cannot be read are skipped.

    Args:
        folder: the inbox, or a folder in it that is not ignored.
        unreadable: called for each sub-folder that cannot be read, with the error.
        ignore: the ignored names; None: the built-in ones.

    Yields:
        The files' paths, starting with the folder's.

    Raises:
        OSError: the folder itself cannot be read.
    """
    ignore = ignore or ignored()
    for entry in _walk(folder, unreadable, ignore):
        if _is_image(entry) and not ignore.file(entry.name):
            yield Path(entry.path)


def find_left_alone(folder: Path, ignore: Ignored | None = None) -> Iterator[Path]:
    """List what stays in the inbox because it is not an image, such as notes.txt.

    Args:
        folder: the inbox.
        ignore: the ignored names; None: the built-in ones.

    Yields:
        Files with unknown suffixes, symlinks, FIFOs and so on, but not ignored ones.

    Raises:
        OSError: the folder itself cannot be read.
    """
    ignore = ignore or ignored()
    for entry in _walk(folder, log_unreadable, ignore):
        if not (_is_image(entry) or ignore.file(entry.name)):
            yield Path(entry.path)


def _is_image(entry: os.DirEntry[str]) -> bool:
    return is_image_name(entry.name) and entry.is_file(follow_symlinks=False)


def _walk(
    folder: Path, unreadable: Callable[[str, str], None], ignore: Ignored
) -> Iterator[os.DirEntry[str]]:
    """Yield the files beneath a folder, but of ignored folders, depth first; iterative."""
    left = [iter(_entries(folder))]
    while left:
        entry = next(left[-1], None)
        if entry is None:
            left.pop()
        elif not entry.is_dir(follow_symlinks=False):
            yield entry
        elif not ignore.folder(entry.name):
            try:
                left.append(iter(_entries(entry.path)))
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable(entry.path, str(error.strerror))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
