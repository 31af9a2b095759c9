"""Has a file stopped changing? Pure: what was seen and when are arguments.

A file is stable when it has looked the same for the settle time. A file that changes, or is gone
and comes back, starts again.
"""

import heapq
import itertools
from pathlib import Path
from typing import NamedTuple

from service.filesystem.file_stat import FileStat


class _Watched(NamedTuple):
    stat: FileStat
    since: float
    due: float
    entry: int  # of the heap; older entries of the same file count no more


class StabilityTracker:
    """The files that are still watched for changes.

    Times are seconds of a clock that never goes back (`time.monotonic`).
    """

    def __init__(self, settle: float) -> None:
        """Start with no file; `settle` is the seconds a file must stay the same."""
        self._settle = settle
        self._watched: dict[Path, _Watched] = {}
        self._heap: list[tuple[float, int, Path]] = []  # by when each is due
        self._entries = itertools.count()

    def observe(self, path: Path, stat: FileStat | None, now: float) -> bool:
        """Note how a file looks now.

        Args:
            path: the file.
            snapshot: how it looks; None when it is gone, and then it is forgotten.
            now: seconds.

        Returns:
            True when it has looked like this for the settle time, until it is forgotten.
        """
        if stat is None:
            self.forget(path)
            return False
        before = self._watched.get(path)
        if before is None or before.stat != stat:
            self.restart(path, stat, now)
        return now >= self._watched[path].since + self._settle

    def restart(self, path: Path, stat: FileStat, now: float) -> None:
        """Count the settle time of a file from now, whatever was seen before."""
        self._push(path, stat, now, now + self._settle)

    def postpone(self, path: Path, due: float) -> None:
        """Have a watched file due at another moment; since when it is unchanged stays known."""
        watched = self._watched[path]
        self._push(path, watched.stat, watched.since, due)

    def since(self, path: Path) -> float | None:
        """Return since when a file has not been seen to change; None: it is not watched."""
        watched = self._watched.get(path)
        return watched and watched.since

    def forget(self, path: Path) -> None:
        """Stop watching a file; one that is not watched is no error."""
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
        """List files that are due, the longest first, at most `limit`; they stay watched."""
        found: list[tuple[float, int, Path]] = []
        while len(found) < limit and self._head() is not None and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap))
        for entry in found:
            heapq.heappush(self._heap, entry)
        return [path for _due, _entry, path in found]

    def next_due(self, now: float) -> float | None:
        """Seconds until a file is due: 0 when one is now, None when none is watched."""
        due = self._head()
        return None if due is None else max(0.0, due - now)

    def _push(self, path: Path, stat: FileStat, since: float, due: float) -> None:
        entry = next(self._entries)
        self._watched[path] = _Watched(stat, since, due, entry)
        heapq.heappush(self._heap, (due, entry, path))

    def _head(self) -> float | None:
        """Return when the first file is due, with what counts no more removed before it."""
        while self._heap:
            due, entry, path = self._heap[0]
            watched = self._watched.get(path)
            if watched is not None and watched.entry == entry:
                return due
            heapq.heappop(self._heap)
        return None
