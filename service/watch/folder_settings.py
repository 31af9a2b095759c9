"""A file photochrom.yaml in a folder of the inbox: how the scans in it and below are to be colored.

The file of the nearest folder counts, key by key. While one has mistakes, or is being written, the
scans below it wait: they are neither colored with other settings nor rejected. Whoever may write in
the inbox writes it: no link is followed, and a large or hostile file is a mistake as any other.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import structlog

from service.config.loader import Config
from service.config.sections import AS_USUAL, FolderSettings
from service.config.yaml_text import Problem, parse
from service.filesystem import safe_open
from service.filesystem.durable import write_text
from service.filesystem.safe_open import ObstructedError, open_beneath, open_dir_beneath
from service.filesystem.snapshot import FileStat
from service.terminal import printable
from worker.errors import PhotochromError

NAME = "photochrom.yaml"
PROBLEMS = f"{NAME}.problems.txt"
OURS = f"photochrom cannot use the file {NAME} in this folder"  # begins each text of problems
LARGEST = 1 << 16  # bytes
LOOK_EVERY = 1.0  # seconds, at files that have mistakes

log = structlog.get_logger()


class FolderSettingsError(PhotochromError):
    """A settings file cannot be used.

    Attributes:
        file: its path in the inbox.
        problems: what is wrong with it; empty while it is being written.
    """

    def __init__(self, file: PurePosixPath, problems: tuple[str, ...]) -> None:
        """Say all of it in one line."""
        super().__init__(f"{file} cannot be used: {'; '.join(problems) or 'it is being written'}")
        self.file = file
        self.problems = problems


def settings_of(inbox: Path, scan: PurePosixPath) -> FolderSettings:
    """Return the settings that apply to a scan now.

    Args:
        inbox: the inbox.
        scan: its path in the inbox.

    Raises:
        FolderSettingsError: a file of its folder, or of one above, has mistakes, or cannot be read.
    """
    settings = AS_USUAL
    for folder in _folders(scan):
        settings = read_settings(inbox, folder).over(settings)
    return settings


def read_settings(inbox: Path, folder: PurePosixPath) -> FolderSettings:
    """Read the settings file of one folder; where there is none, nothing is set.

    Args:
        inbox: the inbox.
        folder: its path in the inbox.

    Raises:
        FolderSettingsError: it has mistakes, or cannot be read.
    """
    file = folder / NAME
    if _look(inbox, file) is None:
        return AS_USUAL
    try:
        with open_beneath(inbox, file) as opened:
            text = opened.read(LARGEST + 1)
    except FileNotFoundError as error:
        words = "it is no plain file; put a text in its place"
        raise FolderSettingsError(file, (words,)) from error
    except OSError as error:
        raise FolderSettingsError(file, (f"it cannot be read: {error.strerror}",)) from error
    if len(text) > LARGEST:
        raise FolderSettingsError(file, (f"it has more than {LARGEST:,} bytes",))
    settings, problems, _ = parse(text, FolderSettings, aliases=False)
    if problems:
        raise FolderSettingsError(file, tuple(map(_in_words, sorted(set(problems)))))
    return settings


def _in_words(problem: Problem) -> str:
    line = f"line {problem.line}" if problem.line else ""
    return printable(": ".join(filter(None, (line, problem.key, problem.text))))


class _Read(NamedTuple):
    """A settings file as it was last read, or why it cannot be used; None: there is none."""

    looks: FileStat | None
    settings: FolderSettings
    error: FolderSettingsError | None


class FolderSettingsWatch:
    """Knows the settings of the inbox's folders, and the scans that wait for one to be mended.

    Args:
        config: the inbox.
        revisit: told of each scan that waited, when it need not any more.
    """

    def __init__(self, config: Config, revisit: Callable[[Path], None]) -> None:
        """Nothing is read yet."""
        self._config = config
        self._revisit = revisit
        self._read: dict[PurePosixPath, _Read] = {}
        self._young: dict[PurePosixPath, tuple[FileStat, float]] = {}  # since when it looks so
        self._waiting: dict[PurePosixPath, dict[Path, None]] = {}  # scans, by settings file
        self._look_at = 0.0

    def settings_of(self, scan: PurePosixPath) -> FolderSettings:
        """Return the settings that apply to a scan now.

        Args:
            scan: its path in the inbox.

        Raises:
            FolderSettingsError: a file has mistakes, or is being written. It is told of, and the
                scan is revisited when that is over.
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
        """How many scans wait for a settings file."""
        return sum(map(len, self._waiting.values()))

    @property
    def refused(self) -> dict[PurePosixPath, int]:
        """How many scans wait for each settings file with mistakes, by its path in the inbox."""
        read = {file: self._read.get(file.parent) for file in self._waiting}
        return {
            file: len(self._waiting[file]) for file, known in read.items() if known and known.error
        }

    def step(self, now: float) -> None:
        """Look again, now and then, at the files that cannot be used.

        Args:
            now: monotonic seconds.
        """
        if not self._waiting or now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY
        for file in list(self._waiting):
            with suppress(FolderSettingsError):  # it is told
                self._of_folder(file.parent, again=True)
                for scan in self._waiting.pop(file):
                    self._revisit(scan)

    def _of_folder(self, folder: PurePosixPath, *, again: bool = False) -> FolderSettings:
        """Return the settings of a folder; with `again`, what was refused is read again."""
        looks = _look(self._config.inbox, folder / NAME)
        known = self._read.get(folder)
        if known is None or known.looks != looks or (known.error and again):
            if looks is not None and self._is_young(folder, looks):
                raise FolderSettingsError(folder / NAME, ())
            known = self._read_anew(folder, looks, known)
        if known.error:
            raise known.error
        return known.settings

    def _is_young(self, folder: PurePosixPath, looks: FileStat) -> bool:
        """Tell whether a file may still be being written."""
        settle = self._config.watch.settle
        if 0 <= settle <= time.time() - looks.mtime_ns / 1e9:
            return False
        before, since = self._young.get(folder, (None, 0.0))
        if before != looks:
            since = time.monotonic()
            self._young[folder] = (looks, since)
        return time.monotonic() - since < settle

    def _read_anew(
        self, folder: PurePosixPath, looks: FileStat | None, known: _Read | None
    ) -> _Read:
        self._young.pop(folder, None)
        try:
            read = _Read(looks, read_settings(self._config.inbox, folder), None)
        except FolderSettingsError as error:
            read = _Read(looks, AS_USUAL, error)
        self._read[folder] = read
        problems = read.error.problems if read.error else ()
        if problems != (known.error.problems if known and known.error else ()):
            self._tell(folder, problems)
        elif known is None:  # perhaps mended while nobody looked
            self._tell_beside(folder, ())
        return read

    def _tell(self, folder: PurePosixPath, problems: tuple[str, ...]) -> None:
        if problems:
            log.error("folder_settings.refused", file=folder / NAME, problems=list(problems))
        else:
            log.info("folder_settings.mended", file=folder / NAME)
        self._tell_beside(folder, problems)

    def _tell_beside(self, folder: PurePosixPath, problems: tuple[str, ...]) -> None:
        """Write the problems into a text beside the file, or remove it; where photochrom may."""
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
        except OSError as error:  # it is in the log and in `photochrom status` too
            reason = str(error)
            log.warning("folder_settings.not_told", file=folder / PROBLEMS, reason=reason)


def _folders(scan: PurePosixPath) -> list[PurePosixPath]:
    """List the folders of a scan, from the inbox inward."""
    return list(scan.parents)[::-1]


def _look(inbox: Path, file: PurePosixPath) -> FileStat | None:
    """Look at whatever has a name in the inbox, a link too; None where nothing has.

    Raises:
        FolderSettingsError: nobody can tell.
    """
    try:
        with open_dir_beneath(inbox, PurePath(file.parent)) as folder:
            return safe_open.snapshot_of_status((folder / file.name).lstat())
    except (FileNotFoundError, ObstructedError):
        return None
    except OSError as error:
        raise FolderSettingsError(file, (f"it cannot be read: {error.strerror}",)) from error


def _is_ours(path: Path) -> bool:
    with suppress(FileNotFoundError), safe_open.open_regular(path) as file:
        return file.read(len(OURS)) == OURS.encode()
    return False


def _page(problems: tuple[str, ...]) -> str:
    return (
        f"{OURS}, so the scans in it, and in the folders below, wait.\n"
        "Mend it and save it; they are colored then, and this text goes away by itself.\n\n"
        + "".join(f"{problem}\n" for problem in problems)
    )
