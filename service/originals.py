"""Originals on their way out of the inbox: archived or rejected, and tried again where refused.

A move that fails holds up nothing else; a crash before it is mended when the file is found again.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from service import inbox
from service.config import Config
from service.jobs import Job
from service.stability import Snapshot

log = structlog.get_logger()


class _Move(NamedTuple):
    job: Job
    move: Callable[[Path], Path]
    due: float
    faults: int = 0


class Originals:
    """Moves the originals of jobs that are done.

    Args:
        config: the folders, and how long to wait after a fault.
        moved: told of each path that left the inbox.
    """

    def __init__(self, config: Config, moved: Callable[[Path], None]) -> None:
        """Nothing waits to be moved."""
        self._config = config
        self._moved = moved
        self._waiting: list[_Move] = []

    def waiting(self, faults: int = sys.maxsize) -> bool:
        """Tell whether a move waits that was refused fewer times than `faults`."""
        return any(move.faults < faults for move in self._waiting)

    def archive(self, job: Job, now: float) -> None:
        """Move the original of a finished job to the originals, if they are to be moved.

        Args:
            job: whose original it is.
            now: monotonic seconds.
        """
        if self._config.originals.after == "move":
            folder = self._config.originals.folder
            move = partial(inbox.archive, inbox=self._config.inbox, originals=folder)
            self._waiting.append(_Move(job, move, now))
            self.step(now)

    def reject(self, job: Job, reason: str, now: float) -> None:
        """Move the original of a failed job to the rejected ones, with the reason.

        Args:
            job: whose original it is.
            reason: plain words for the archivist.
            now: monotonic seconds.
        """
        folder = self._config.rejected
        move = partial(inbox.reject, inbox=self._config.inbox, rejected=folder, reason=reason)
        self._waiting.append(_Move(job, move, now))
        self.step(now)

    def step(self, now: float) -> None:
        """Move what is due."""
        for move in [move for move in self._waiting if now >= move.due]:
            self._waiting.remove(move)
            job, path = move.job, self._config.inbox / move.job.path
            if not still_there(path, job.snapshot):  # it was taken away, or is another by now
                continue
            try:
                log.info("photo.moved", job=job.id, path=job.path, to=move.move(path))
                self._moved(path)
            except OSError as error:
                wait = self._config.retry.wait_after(move.faults)
                self._waiting.append(move._replace(due=now + wait, faults=move.faults + 1))
                reason = str(error)
                log.warning(
                    "photo.not_moved", job=job.id, path=job.path, reason=reason, seconds=wait
                )

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a move is due, or None."""
        return max(0.0, min(move.due for move in self._waiting) - now) if self._waiting else None


def still_there(path: Path, snapshot: Snapshot) -> bool:
    """Tell whether a file looks as it did; but for its device, which a reboot may renumber."""
    now = inbox.snapshot(path)
    return now is not None and replace(now, device=snapshot.device) == snapshot
