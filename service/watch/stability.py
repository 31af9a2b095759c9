"""Decides when a file has stopped changing. Pure: observations and times are arguments.

A file is stable when its stat has not changed for the settle time; a file that changes, or
disappears and returns, starts over.
"""

import heapq
import itertools
from pathlib import Path
from typing import NamedTuple

from service.filesystem.file_stat import FileStat


class Rest(NamedTuple):
    """How long a file has been unchanged.

    Attributes:
        seconds: since its last observed change.
        closed: whether it is known that no writer has it open.
    """

    seconds: float
    closed: bool


class StableFile(NamedTuple):
    """A file that is reported: its path and state, and how long it has not changed."""

    path: Path
    stat: FileStat
    rest: Rest


class _Watched(NamedTuple):
    stat: FileStat
    since: float
    due: float
    entry: int  # its entry in the heap; older ones are obsolete


class StabilityTracker:
    """The files being watched for changes.

    Times are monotonic seconds.
    """

    def __init__(self, settle: float) -> None:
        """Start with no file; `settle` is in seconds."""
        self._settle = settle
        self._watched: dict[Path, _Watched] = {}
        self._heap: list[tuple[float, int, Path]] = []  # by due time
        self._entries = itertools.count()

    def observe(self, path: Path, stat: FileStat | None, now: float) -> bool:
        """Record a file's current stat.

        Args:
            path: the file.
            stat: its stat; None if it is gone, which makes the tracker forget it.
            now: seconds.

        Returns:
            Whether it has been unchanged for the settle time.
        """
        if stat is None:
            self.forget(path)
            return False
        before = self._watched.get(path)
        if before is None or before.stat != stat:
            self.restart(path, stat, now)
        return now >= self._watched[path].since + self._settle

    def restart(self, path: Path, stat: FileStat, now: float) -> None:
        """Restart the settle time of a file now, whatever was observed before."""
        self._push(path, stat, now, now + self._settle)

    def postpone(self, path: Path, due: float) -> None:
        """Change when a watched file is due, without restarting its settle time."""
        watched = self._watched[path]
        self._push(path, watched.stat, watched.since, due)

    def since(self, path: Path) -> float | None:
        """Return since when a file has been unchanged; None: it is not watched."""
        watched = self._watched.get(path)
        return watched and watched.since

    def forget(self, path: Path) -> None:
        """Stop watching a file, if it is watched."""
        self._watched.pop(path, None)

    @property
    def waiting(self) -> int:
        """How many files are watched."""
        return len(self._watched)

    @property
    def paths(self) -> frozenset[Path]:
        """The files that are watched."""
        return frozenset(self._watched)

    def due(self, now: float, limit: int) -> list[Path]:
        """List at most `limit` due files, longest first; they stay watched."""
        found: list[tuple[float, int, Path]] = []
        while len(found) < limit and self._head() is not None and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap))
        for entry in found:
            heapq.heappush(self._heap, entry)
        return [path for _due, _entry, path in found]

    def next_due(self, now: float) -> float | None:
        """Return the seconds until a file is due: 0: one is; None: none is watched."""
        due = self._head()
        return None if due is None else max(0.0, due - now)

    def _push(self, path: Path, stat: FileStat, since: float, due: float) -> None:
        entry = next(self._entries)
        self._watched[path] = _Watched(stat, since, due, entry)
        heapq.heappush(self._heap, (due, entry, path))

    def _head(self) -> float | None:
        """Return when the first file is due, after dropping obsolete entries."""
        while self._heap:
            due, entry, path = self._heap[0]
            watched = self._watched.get(path)
            if watched is not None and watched.entry == entry:
                return due
            heapq.heappop(self._heap)
        return None
