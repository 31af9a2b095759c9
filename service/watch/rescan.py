"""One look through the whole inbox, in portions; cheap for files that are as they were reported.

A known file costs one stat(2), relative to its open folder. Nothing less would do: a folder's own
times do not change when a file in it is rewritten.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from service.filesystem.file_stat import FileStat
from service.filesystem.ignored import Ignored
from service.watch.reported_files import ReportedFiles
from service.watch.selection import is_image_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Found = tuple[Path, FileStat | None]  # a file and its stat; None: it is gone


class _Run(NamedTuple):
    """Names that lie side by side in a folder, what is known of it, and the folder behind them."""

    folder: str
    names: list[str]
    known: dict[str, int]
    deeper: str = ""


class Rescan:
    """A look through the inbox.

    Args:
        inbox: the folder.
        reported: the files that need no closer look while they do not change.
        unreadable: called for each sub-folder that cannot be read, with the error.
        ignore: the ignored names.

    Attributes:
        ended: whether all was looked at.
    """

    def __init__(
        self,
        inbox: Path,
        reported: ReportedFiles,
        unreadable: Callable[[str, str], None],
        ignore: Ignored,
    ) -> None:
        """Nothing was looked at yet."""
        self._inbox = os.fspath(inbox)
        self._reported = reported
        self._unreadable = unreadable
        self._ignore = ignore
        self._runs = self._walk()
        self._run, self._at = _Run("", [], {}), 0  # in hand
        self._listed: set[str] = set()
        self.ended = False

    def portion(self, most: int) -> tuple[int, list[Found]]:
        """Look at some more files.

        Args:
            most: names.

        Returns:
            How many names were looked at, and the files that are new, changed or gone, sorted by
            name within each folder.

        Raises:
            OSError: the inbox itself cannot be read.
        """
        if self._at >= len(self._run.names):
            run = next(self._runs, None)
            if run is None:
                self.ended = True
                return 0, []
            self._run, self._at = run, 0
        names = self._run.names[self._at : self._at + most]
        self._at += len(names)
        return len(names), self._changed(self._run.folder, names, self._run.known)

    def _changed(self, folder: str, names: list[str], known: dict[str, int]) -> list[Found]:
        """Return those files of one folder that are not as they were reported."""
        found = list[Found]()
        try:
            descriptor = os.open(folder, _FOLDER)
        except OSError:  # gone just now, or no longer readable
            return [(Path(folder, name), None) for name in names if name in known]
        looks_of = os.stat
        try:
            for name in names:
                before = known.get(name)
                if before is None and not self._is_wanted(name):
                    continue
                try:
                    looks = looks_of(name, dir_fd=descriptor, follow_symlinks=False)
                except OSError:
                    found.append((Path(folder, name), None))
                    continue
                # The hash of a FileStat, which is slow to make: see `ReportedFiles.add`. With that
                # inode and change time it is the regular file that it was.
                if before != hash(
                    (
                        looks.st_size,
                        looks.st_mtime_ns,
                        looks.st_ino,
                        looks.st_dev,
                        looks.st_ctime_ns,
                    )
                ):
                    regular = stat.S_ISREG(looks.st_mode)
                    found.append((Path(folder, name), FileStat.of(looks) if regular else None))
        finally:
            os.close(descriptor)
        return found

    def _is_wanted(self, name: str) -> bool:
        return is_image_name(name) and not self._ignore.file(name)

    def _walk(self) -> Iterator[_Run]:
        """Yield folders with names that lie side by side, depth first, sorted; iterative."""
        left = [self._runs_of(self._inbox)]
        while left:
            run = next(left[-1], None)
            if run is None:
                left.pop()
                continue
            if run.names:
                yield run
            if run.deeper and not self._ignore.folder(run.deeper):
                left.append(self._runs_of(f"{run.folder}/{run.deeper}"))
        for folder in self._reported.outside(self._listed):  # gone, or no longer readable
            known = self._reported.names_in(folder)
            yield _Run(folder, list(known), known)

    def _runs_of(self, folder: str) -> Iterator[_Run]:
        """Yield the names of a folder up to each sub-folder, that last; reported ones first."""
        names, folders = list[str](), set[str]()
        try:
            with os.scandir(folder) as entries:
                for one in entries:
                    names.append(one.name)
                    if one.is_dir(follow_symlinks=False):
                        folders.add(one.name)
        except OSError as error:
            if folder == self._inbox:
                raise
            if not isinstance(error, FileNotFoundError):
                self._unreadable(folder, str(error.strerror))
            return
        self._listed.add(folder)
        names.sort()
        known = self._reported.names_in(folder)
        if gone := known.keys() - set(names):
            yield _Run(folder, sorted(gone), known)
        run: list[str] = names
        if folders:
            run = []
            for name in names:
                if name in folders:
                    yield _Run(folder, run, known, name)
                    run = []
                else:
                    run.append(name)
        yield _Run(folder, run, known)
