"""Finds rejected scans on disk, including numbered, edited and replaced ones.

People work in the rejected folder, so it is read each time and nothing about it is recorded.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.durable import numbered_name
from service.ledger.jobs import Job
from service.storage.moves import REASON_SUFFIX
from service.storage.originals import still_there

_NUMBER = re.compile(r" \((\d{1,9})\)$")  # as `numbered_name` adds it
_SAME_TIME = 1000  # nanoseconds; other file systems have coarser timestamps


class Place(NamedTuple):
    """Where a rejected scan is.

    Attributes:
        path: the file, in the rejected folder or still in the inbox.
        changed: whether it was edited or replaced.
    """

    path: Path
    changed: bool


class RejectedScans:
    """Finds scans in the rejected folder; it caches listings, so make one for each question.

    Args:
        config: the folders.
        rejected_of: `LedgerQueries.rejected_of`.
    """

    def __init__(
        self, config: Config, rejected_of: Callable[[PurePosixPath], Sequence[Job]]
    ) -> None:
        """No folder is listed yet."""
        self._config = config
        self._rejected_of = rejected_of
        self._listed: dict[PurePosixPath, tuple[set[str], list[int]]] = {}

    def place_of(self, job: Job) -> Place | None:
        """Find the scan of a failed job.

        By its stat or its content; otherwise any file with its name, numbered or not, that belongs
        to no other job.

        Returns:
            None if it is neither in the rejected folder nor, unchanged, in the inbox.

        Raises:
            OSError: the folder or a file cannot be read.
        """
        named = list(self._named(job.path))
        for path in named:
            if _is_scan_of(job, path):
                return Place(path, changed=False)
        kept = self._config.inbox / job.path  # because of `originals.after: keep`, or not moved yet
        if still_there(kept, job.stat):
            return Place(kept, changed=False)
        for path in named:
            if not self._is_of_another(path, job):
                return Place(path, changed=True)
        return None

    def changed(self, name: PurePosixPath) -> None:
        """Drop the cached listing of a scan's folder, which the scan has left."""
        self._listed.pop(name.parent, None)

    def _named(self, name: PurePosixPath) -> Iterator[Path]:
        """Yield the files that may have been rejected under a name, its own first."""
        names, numbers = self._list(name.parent)
        for number in (1, *numbers):
            path = numbered_name(self._config.rejected / name, number, REASON_SUFFIX)
            if path.name in names:
                yield path

    def _is_of_another(self, path: Path, job: Job) -> bool:
        own = PurePosixPath(path.relative_to(self._config.rejected))
        others = {*self._rejected_of(job.path), *self._rejected_of(own)}
        return any(_is_scan_of(other, path) for other in others if other.id != job.id)

    def _list(self, folder: PurePosixPath) -> tuple[set[str], list[int]]:
        """Return the names of the regular files in a folder, and the numbers in them."""
        if folder not in self._listed:
            names: set[str] = set()
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                safe_open.open_dir_beneath(self._config.rejected, folder) as held,
                os.scandir(held) as entries,
            ):
                names = {one.name for one in entries if one.is_file(follow_symlinks=False)}
            found = (_NUMBER.search(Path(name).stem) for name in names)
            self._listed[folder] = names, sorted({int(one[1]) for one in found if one})
        return self._listed[folder]


def unnumbered(name: PurePosixPath) -> PurePosixPath:
    """Return a name without the number added to a taken one."""
    return name.with_name(_NUMBER.sub("", name.stem) + name.suffix)


def _is_scan_of(job: Job, path: Path) -> bool:
    stat = safe_open.file_stat(path)
    if stat is None or stat.size != job.stat.size:
        return False
    if abs(stat.mtime_ns - job.stat.mtime_ns) < _SAME_TIME:
        return True
    try:
        return safe_open.digest(path) == job.digest
    except (FileNotFoundError, PermissionError):
        return False
