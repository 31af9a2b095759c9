"""photochrom.yaml in a folder of the inbox: settings for the scans in it and its sub-folders.

The nearest file takes precedence, key by key. While a file has mistakes or is being written, the
scans beneath it wait; they are neither colored with other settings nor rejected. Anyone with write
access to the inbox can write it, so no symlink is followed, and a huge file is just a mistake.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import structlog

from service.config.loader import Config
from service.config.sections import AS_USUAL, FolderFile, FolderSettings
from service.config.yaml_text import Problem, parse
from service.filesystem import safe_open
from service.filesystem.durable import write_text
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import ObstructedError, open_beneath, open_dir_beneath
from service.terminal import printable
from worker.errors import PhotochromError

NAME = "photochrom.yaml"
PROBLEMS = f"{NAME}.problems.txt"
OURS = f"photochrom cannot use the file {NAME} in this folder"  # starts each problems file
LARGEST = 1 << 16  # bytes
CHECK_EVERY = 1.0  # seconds, for files that have mistakes

log = structlog.get_logger()


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


def settings_of(inbox: Path, scan: PurePosixPath) -> FolderSettings:
    """Return the settings that apply to a scan now.

    Args:
        inbox: the inbox.
        scan: its path in the inbox.

    Raises:
        FolderSettingsError: a file in its folder, or one above, has mistakes or cannot be read.
    """
    settings = AS_USUAL
    for folder in _folders(scan):
        settings = read_settings(inbox, folder).over(settings)
    return settings


def read_settings(inbox: Path, folder: PurePosixPath) -> FolderSettings:
    """Read the settings file of one folder; if there is none, return the defaults.

    Args:
        inbox: the inbox.
        folder: its path in the inbox.

    Raises:
        FolderSettingsError: it has mistakes, or cannot be read.
    """
    file = folder / NAME
    if _stat(inbox, file) is None:
        return AS_USUAL
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
    given, problems, _ = parse(text, FolderFile, aliases=False)
    if problems:
        raise FolderSettingsError(file, tuple(map(_in_words, sorted(set(problems)))))
    return FolderSettings.model_validate_json(given.model_dump_json(exclude_unset=True))


def _in_words(problem: Problem) -> str:
    line = f"line {problem.line}" if problem.line else ""
    return printable(": ".join(filter(None, (line, problem.key, problem.text))))


class _Read(NamedTuple):
    """A settings file as last read, or why it cannot be used; stat None: there is no file."""

    stat: FileStat | None
    settings: FolderSettings
    error: FolderSettingsError | None


class FolderSettingsWatch:
    """The settings of the inbox's folders, and the scans that wait for a file to be fixed.

    Args:
        config: the inbox.
        revisit: called for each scan that need not wait any longer.
    """

    def __init__(self, config: Config, revisit: Callable[[Path], None]) -> None:
        """Nothing has been read yet."""
        self._config = config
        self._revisit = revisit
        self._read: dict[PurePosixPath, _Read] = {}
        self._young: dict[
            PurePosixPath, tuple[FileStat, float]
        ] = {}  # and since when it is unchanged
        self._waiting: dict[PurePosixPath, dict[Path, None]] = {}  # scans, by settings file
        self._check_at = 0.0

    def settings_of(self, scan: PurePosixPath) -> FolderSettings:
        """Return the settings that apply to a scan now.

        Args:
            scan: its path in the inbox.

        Raises:
            FolderSettingsError: a file has mistakes (which are logged) or is being written; the
                scan is revisited when it can be used.
        """
        settings = AS_USUAL
        for folder in _folders(scan):
            try:
                settings = self._of_folder(folder).over(settings)
            except FolderSettingsError as error:
                waiting = self._waiting.setdefault(error.file, {})
                waiting[self._config.inbox / scan] = None
                raise
        return settings

    @property
    def waiting(self) -> int:
        """How many scans are waiting for a settings file."""
        return sum(map(len, self._waiting.values()))

    @property
    def refused(self) -> dict[PurePosixPath, int]:
        """How many scans wait for each settings file with mistakes, by its path in the inbox."""
        read = {file: self._read.get(file.parent) for file in self._waiting}
        return {
            file: len(self._waiting[file]) for file, known in read.items() if known and known.error
        }

    def step(self, now: float) -> None:
        """Check again, once a second, the files that cannot be used.

        Args:
            now: monotonic seconds.
        """
        if not self._waiting or now < self._check_at:
            return
        self._check_at = now + CHECK_EVERY
        for file in list(self._waiting):
            with suppress(FolderSettingsError):  # logged already
                self._of_folder(file.parent, again=True)
                for scan in self._waiting.pop(file):
                    self._revisit(scan)

    def _of_folder(self, folder: PurePosixPath, *, again: bool = False) -> FolderSettings:
        """Return the settings of a folder; with `again`, read a file with mistakes again."""
        stat = _stat(self._config.inbox, folder / NAME)
        known = self._read.get(folder)
        if known is None or known.stat != stat or (known.error and again):
            if stat is not None and self._is_young(folder, stat):
                raise FolderSettingsError(folder / NAME, ())
            known = self._reload(folder, stat, known)
        if known.error:
            raise known.error
        return known.settings

    def _is_young(self, folder: PurePosixPath, stat: FileStat) -> bool:
        """Tell whether a file may still be being written."""
        settle = self._config.watch.settle
        if 0 <= settle <= time.time() - stat.mtime_ns / 1e9:
            return False
        before, since = self._young.get(folder, (None, 0.0))
        if before != stat:
            since = time.monotonic()
            self._young[folder] = (stat, since)
        return time.monotonic() - since < settle

    def _reload(self, folder: PurePosixPath, stat: FileStat | None, known: _Read | None) -> _Read:
        self._young.pop(folder, None)
        try:
            read = _Read(stat, read_settings(self._config.inbox, folder), None)
        except FolderSettingsError as error:
            read = _Read(stat, AS_USUAL, error)
        self._read[folder] = read
        problems = read.error.problems if read.error else ()
        if problems != (known.error.problems if known and known.error else ()):
            self._report(folder, problems)
        elif known is None:  # it may have been fixed while no daemon was running
            self._write_problems(folder, ())
        return read

    def _report(self, folder: PurePosixPath, problems: tuple[str, ...]) -> None:
        if problems:
            log.error("folder_settings.refused", file=folder / NAME, problems=list(problems))
        else:
            log.info("folder_settings.mended", file=folder / NAME)
        self._write_problems(folder, problems)

    def _write_problems(self, folder: PurePosixPath, problems: tuple[str, ...]) -> None:
        """Write the problems to a file beside it, or delete that, where permitted."""
        if self._config.originals.after == "keep":  # nothing is written there
            return
        try:
            with open_dir_beneath(self._config.inbox, folder) as home:
                page = home / PROBLEMS
                if os.path.lexists(page) and not _is_ours(page):
                    return
                if problems:
                    write_text(page, _page(problems))
                else:
                    page.unlink(missing_ok=True)
        except OSError as error:  # the log and `photochrom status` have them, too
            reason = str(error)
            log.warning("folder_settings.not_told", file=folder / PROBLEMS, reason=reason)


def _folders(scan: PurePosixPath) -> list[PurePosixPath]:
    """List the folders of a scan, outermost first."""
    return list(scan.parents)[::-1]


def _stat(inbox: Path, file: PurePosixPath) -> FileStat | None:
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


def _is_ours(path: Path) -> bool:
    with suppress(FileNotFoundError), safe_open.open_regular(path) as file:
        return file.read(len(OURS)) == OURS.encode()
    return False


def _page(problems: tuple[str, ...]) -> str:
    return (
        f"{OURS}, so the scans in it and in its sub-folders wait.\n"
        "Fix the file and save it; photochrom then colors them and deletes this text.\n\n"
        + "".join(f"{problem}\n" for problem in problems)
    )
