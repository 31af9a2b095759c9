"""Reads photochrom.yaml in a folder of the inbox: settings for the scans in it and below.

The nearest file takes precedence, key by key. Anyone with write access to the inbox can write it,
so no symlink is followed, a huge file is just a mistake, and `color.like` may name no file but
results and what lies in the inbox.
"""

import os
from pathlib import Path, PurePath, PurePosixPath

from service.config.folder_sections import AS_USUAL, FolderFile, FolderSettings
from service.config.loader import Config
from service.config.yaml_text import Problem, line_of, parse
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import ObstructedError, open_beneath, open_dir_beneath
from service.storage.reference_files import reference_in
from service.terminal import printable
from service.watch.selection import eligible
from worker.errors import PhotochromError, ScanError
from worker.settings import Reference

NAME = "photochrom.yaml"
LARGEST = 1 << 16  # bytes


class FolderSettingsError(PhotochromError):
    """A settings file cannot be used.

    Attributes:
        file: its path in the inbox.
        problems: its mistakes; empty while it is being written.
    """

    def __init__(self, file: PurePosixPath, problems: tuple[str, ...]) -> None:
        """Put everything into one line."""
        super().__init__(f"{file} cannot be used: {'; '.join(problems) or 'it is being written'}")
        self.file = file
        self.problems = problems


def settings_of(config: Config, scan: PurePosixPath) -> FolderSettings:
    """Return the settings that apply to a scan now.

    Args:
        config: the folders.
        scan: its path in the inbox.

    Raises:
        FolderSettingsError: a file in its folder, or one above, has mistakes or cannot be read.
    """
    settings = AS_USUAL
    for folder in folders_of(scan):
        settings = read_settings(config, folder).over(settings)
    return settings


def read_settings(config: Config, folder: PurePosixPath) -> FolderSettings:
    """Read the settings file of one folder; if there is none, return the defaults.

    Args:
        config: the folders.
        folder: its path in the inbox.

    Raises:
        FolderSettingsError: it has mistakes, or cannot be read.
    """
    given, line = parsed(config.inbox, folder)
    if not given.color.like:
        return given.settings(None)
    try:
        reference = _reference(config, folder, given.color.like)
    except (PhotochromError, OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "out of memory"
        problem = Problem(line, "color.like", reason)
        raise FolderSettingsError(folder / NAME, (_in_words(problem),)) from error
    return given.settings(reference)


def parsed(inbox: Path, folder: PurePosixPath) -> tuple[FolderFile, int]:
    """Return what a folder's settings file says, and the line of `color.like` in it.

    Raises:
        FolderSettingsError: it has mistakes, or cannot be read.
    """
    file = folder / NAME
    if stat_of(inbox, file) is None:
        return FolderFile(), 0
    try:
        with open_beneath(inbox, file) as opened:
            text = opened.read(LARGEST + 1)
    except FileNotFoundError as error:
        words = "not a regular file; replace it with a text file"
        raise FolderSettingsError(file, (words,)) from error
    except OSError as error:
        raise FolderSettingsError(file, (f"cannot be read: {error.strerror}",)) from error
    if len(text) > LARGEST:
        raise FolderSettingsError(file, (f"larger than {LARGEST:,} bytes",))
    given, problems, keys = parse(text, FolderFile, aliases=False)
    if problems:
        raise FolderSettingsError(file, tuple(map(_in_words, sorted(set(problems)))))
    return given, line_of("color.like", keys)


def _reference(config: Config, folder: PurePosixPath, like: str) -> Reference:
    """Read the photograph that the scans of a folder are to be colored like.

    Raises:
        ScanError: it lies elsewhere, would be colored itself, or as `reference_in`.
        DeviceError, MemoryError, OSError: as `reference_in`.
    """
    path = place_of(config, folder, like)
    for root in (config.outbox, config.inbox):
        if path.is_relative_to(root):
            break
    else:
        raise ScanError(f"must be in the outbox or in the inbox, not {path}")
    if eligible(path, config.inbox, config.watch.ignored):
        raise ScanError(
            f"would be taken for a scan; rename it, so that its name begins with a dot ({path})"
        )
    return reference_in(root, path.relative_to(root), config.limits.megapixels)


def place_of(config: Config, folder: PurePosixPath, like: str) -> Path:
    """Return the path that `color.like` of a folder means, from where its file lies."""
    return Path(os.path.normpath(config.inbox / folder / like))


def _in_words(problem: Problem) -> str:
    line = f"line {problem.line}" if problem.line else ""
    return printable(": ".join(filter(None, (line, problem.key, problem.text))))


def folders_of(scan: PurePosixPath) -> list[PurePosixPath]:
    """List the folders of a scan, outermost first."""
    return list(scan.parents)[::-1]


def stat_of(inbox: Path, file: PurePosixPath) -> FileStat | None:
    """Stat whatever has this name in the inbox, even a symlink; None: nothing has.

    Raises:
        FolderSettingsError: it is not accessible.
    """
    try:
        with open_dir_beneath(inbox, PurePath(file.parent)) as folder:
            return FileStat.of((folder / file.name).lstat())
    except (FileNotFoundError, ObstructedError):
        return None
    except OSError as error:
        raise FolderSettingsError(file, (f"cannot be read: {error.strerror}",)) from error
