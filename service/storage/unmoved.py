"""Originals whose folder does not let them go: said once a folder, counted, and tried again rarely.

A folder made by others with mode 0755, as Samba and scp make them, may hold thousands. So one of
its originals is tried for all of them, after waits that double; when that one leaves, all may.
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

M = TypeVar("M")  # a move, as `service.storage.originals` has it

log = structlog.get_logger()


@dataclass
class _Folder(Generic[M]):
    verb: str
    backoff: Backoff
    moves: deque[M] = field(default_factory=deque)


class Unmoved(Generic[M]):
    """The moves that wait for somebody to change the permissions of a folder."""

    def __init__(self, retry: Retry) -> None:
        """None waits."""
        self._retry = retry
        self._folders: dict[Path, _Folder[M]] = {}

    def __len__(self) -> int:
        """Count them."""
        return sum(len(one.moves) for one in self._folders.values())

    def folders(self) -> list[tuple[Path, int, str]]:
        """List the folders, how many originals wait for each, and what would help; most first."""
        found = [
            (folder, len(one.moves), one.backoff.reason) for folder, one in self._folders.items()
        ]
        return sorted(found, key=lambda one: -one[1])

    def words(self, shown: int = 5) -> Iterator[str]:
        """Yield the same in lines for people, of so many folders."""
        folders = self.folders()
        for folder, count, reason in folders[:shown]:
            photos = f"{count} original{'s' * (count > 1)}"
            yield f"{photos} cannot {self._folders[folder].verb} {folder}: {reason}"
        if more := folders[shown:]:
            rest = sum(count for _folder, count, _reason in more)
            yield f"{rest} originals cannot leave or enter {len(more)} more folders"

    def add(self, folder: Path, move: M, now: float, *, leaves: bool) -> None:
        """Have a move wait for a folder, which it is to leave or to enter; the first is told of."""
        one = self._folders.get(folder)
        if one is None:
            backoff = Backoff().after_failure(now, may_not_write(folder), self._retry)
            one = self._folders[folder] = _Folder("leave" if leaves else "enter", backoff)
            log.warning("originals.blocked", folder=folder, reason=backoff.reason)
        one.moves.append(move)

    def probes(self, now: float) -> list[M]:
        """Take one move of each folder whose turn it is, to be tried; it waits no more."""
        taken = []
        # Where nothing waits any more, the originals were taken away.
        self._folders = {folder: one for folder, one in self._folders.items() if one.moves}
        for one in self._folders.values():
            if not one.backoff.waits(now):
                one.backoff = one.backoff.after_failure(now, one.backoff.reason, self._retry)
                taken.append(one.moves.popleft())
        return taken

    def opened(self, *folders: Path) -> list[M]:
        """Take all moves that waited for these folders, since one of them was made; and say so."""
        taken: list[M] = []
        for folder in folders:
            one = self._folders.pop(folder, None)
            if one is not None:
                log.info("originals.unblocked", folder=folder, photos=len(one.moves) + 1)
                taken.extend(one.moves)
        return taken

    def hasten(self, now: float) -> None:
        """Try all folders at the next step."""
        for one in self._folders.values():
            one.backoff = one.backoff.ended(now)

    def dues(self) -> Iterator[float]:
        """Yield when each folder is tried next."""
        yield from (one.backoff.until for one in self._folders.values())
