"""Keeps the settings of the inbox's folders at hand, and scans waiting for those with mistakes.

While a file has mistakes or is being written, the scans beneath it wait; they are neither colored
with other settings nor rejected.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import structlog

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.durable import write_text
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import open_dir_beneath
from service.watch.settings_file import (
    NAME,
    FolderSettingsError,
    folders_of,
    parsed,
    place_of,
    read_settings,
    stat_of,
)

PROBLEMS = f"{NAME}.problems.txt"
OURS = f"photochrom cannot use the file {NAME} in this folder"  # starts each problems file
CHECK_EVERY = 1.0  # seconds, for files that have mistakes
FOLDERS_KNOWN = 1_000  # whose settings, or lack of them, are remembered

log = structlog.get_logger()


class _Read(NamedTuple):
    """A settings file as last read, or why it cannot be used; stat None: there is no file.

    Also the reference that it names, and how that looked.
    """

    stat: FileStat | None
    settings: FolderSettings
    error: FolderSettingsError | None
    like: Path | None = None
    like_stat: FileStat | None = None

    def is_as(self, stat: FileStat | None) -> bool:
        """Tell whether the file looks so, and its reference as it did."""
        same = self.like is None or safe_open.file_stat(self.like) == self.like_stat
        return self.stat == stat and same


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
        for folder in folders_of(scan):
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
        stat = stat_of(self._config.inbox, folder / NAME)
        known = self._read.get(folder)
        if known is None or not known.is_as(stat) or (known.error and again):
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
        like = self._like(folder)
        looks = safe_open.file_stat(like) if like else None
        try:
            read = _Read(stat, read_settings(self._config, folder), None, like, looks)
        except FolderSettingsError as error:
            read = _Read(stat, AS_USUAL, error, like, looks)
        self._read[folder] = read
        self._forget_some()
        problems = read.error.problems if read.error else ()
        if problems != (known.error.problems if known and known.error else ()):
            self._report(folder, problems)
        elif known is None:  # it may have been fixed while no daemon was running
            self._write_problems(folder, ())
        return read

    def _forget_some(self) -> None:
        """Forget the folders read first, of the many that come and go in years."""
        if len(self._read) > FOLDERS_KNOWN:
            usable = [folder for folder, known in self._read.items() if not known.error]
            for folder in usable[: FOLDERS_KNOWN // 2]:
                del self._read[folder]

    def _like(self, folder: PurePosixPath) -> Path | None:
        """Return the path of the reference that a folder's file names, if it names one."""
        with suppress(FolderSettingsError):
            like = parsed(self._config.inbox, folder)[0].color.like
            return place_of(self._config, folder, like) if like else None
        return None

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
