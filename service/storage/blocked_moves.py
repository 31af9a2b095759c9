"""Moves blocked by the permissions of a folder: logged once per folder, counted, rarely retried.

A folder created by Samba or scp with mode 0755 may contain thousands of originals. So one of them
is tried for all, with exponential backoff; when it moves, all may.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from service.backoff import Backoff
from service.config.sections import Retry
from service.filesystem.access import may_not_write

M = TypeVar("M")  # a move; see `service.storage.departures`

log = structlog.get_logger()


@dataclass
class _Folder(Generic[M]):
    verb: str
    backoff: Backoff
    moves: deque[M] = field(default_factory=deque)


class BlockedMoves(Generic[M]):
    """The moves that wait for someone to change the permissions of a folder."""

    def __init__(self, retry: Retry) -> None:
        """Nothing is waiting."""
        self._retry = retry
        self._folders: dict[Path, _Folder[M]] = {}

    def __len__(self) -> int:
        """Count them."""
        return sum(len(one.moves) for one in self._folders.values())

    def folders(self) -> list[tuple[Path, int, str]]:
        """List the folders with their number of originals and the fix, most originals first."""
        found = [
            (folder, len(one.moves), one.backoff.reason) for folder, one in self._folders.items()
        ]
        return sorted(found, key=lambda one: -one[1])

    def words(self, shown: int = 5) -> Iterator[str]:
        """Yield the same as lines for people, with at most so many folders named."""
        folders = self.folders()
        for folder, count, reason in folders[:shown]:
            photos = f"{count} original{'s' * (count > 1)}"
            yield f"{photos} cannot {self._folders[folder].verb} {folder}: {reason}"
        if more := folders[shown:]:
            rest = sum(count for _folder, count, _reason in more)
            yield f"{rest} originals cannot leave or enter {len(more)} more folders"

    def add(self, folder: Path, move: M, now: float, *, leaves: bool) -> None:
        """Add a move that could not leave or enter a folder; the first per folder is logged."""
        one = self._folders.get(folder)
        if one is None:
            backoff = Backoff().after_failure(now, may_not_write(folder), self._retry)
            one = self._folders[folder] = _Folder("leave" if leaves else "enter", backoff)
            log.warning("originals.blocked", folder=folder, reason=backoff.reason)
        one.moves.append(move)

    def probes(self, now: float) -> list[M]:
        """Remove and return one move of each folder that is due."""
        taken = []
        # The originals of folders without moves were taken away.
        self._folders = {folder: one for folder, one in self._folders.items() if one.moves}
        for one in self._folders.values():
            if not one.backoff.waits(now):
                one.backoff = one.backoff.after_failure(now, one.backoff.reason, self._retry)
                taken.append(one.moves.popleft())
        return taken

    def opened(self, *folders: Path) -> list[M]:
        """Remove and return all moves of these folders, after one of them succeeded; log it."""
        taken: list[M] = []
        for folder in folders:
            one = self._folders.pop(folder, None)
            if one is not None:
                log.info("originals.unblocked", folder=folder, photos=len(one.moves) + 1)
                taken.extend(one.moves)
        return taken

    def expedite(self, now: float) -> None:
        """Make all folders due."""
        for one in self._folders.values():
            one.backoff = one.backoff.ended(now)

    def dues(self) -> Iterator[float]:
        """Yield when each folder is due, in monotonic seconds."""
        yield from (one.backoff.until for one in self._folders.values())
