"""Originals on their way out of the inbox, archived or rejected; and found again by their content.

A move that fails holds up nothing else; a crash before it is mended when the file is found again.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import structlog

from service import inbox
from service.config import Config
from service.jobs import Job
from service.places import Places
from service.stability import Snapshot
from worker.errors import ScanError

_NUMBER = re.compile(r" \(\d+\)$")  # of `inbox.numbered_names`

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
        places: tells whether the folders are there.
        moved: told of each path that left the inbox.
        note: told, by number of their jobs, where originals lie now in the originals' folder; may
            raise DeviceError, and is told again then.
    """

    def __init__(
        self,
        config: Config,
        places: Places,
        moved: Callable[[Path], None],
        note: Callable[[Sequence[tuple[int, PurePosixPath]]], None],
    ) -> None:
        """Nothing waits to be moved."""
        self._config = config
        self._places = places
        self._moved = moved
        self._note = note
        self._waiting: list[_Move] = []
        self._unnoted: list[tuple[int, PurePosixPath]] = []

    def waiting(self, faults: int = sys.maxsize) -> bool:
        """Tell whether a move waits that was refused fewer times than `faults`."""
        return any(move.faults < faults for move in self._waiting)

    def archive(self, job: Job, now: float) -> None:
        """Have the original of a finished job moved to the originals, if they are to be moved.

        Args:
            job: whose original it is.
            now: monotonic seconds.
        """
        if self._config.originals.after == "move":
            folder = self._config.originals.folder
            move = partial(inbox.archive, inbox=self._config.inbox, originals=folder)
            self._waiting.append(_Move(job, move, now))

    def reject(self, job: Job, reason: str, now: float) -> None:
        """Have the original of a failed job moved to the rejected ones, with the reason.

        Args:
            job: whose original it is.
            reason: plain words for the archivist.
            now: monotonic seconds.
        """
        folder = self._config.rejected
        move = partial(inbox.reject, inbox=self._config.inbox, rejected=folder, reason=reason)
        self._waiting.append(_Move(job, move, now))

    def hasten(self, now: float) -> None:
        """Have all that waits moved at the next step: what hindered it is mended."""
        self._waiting = [move._replace(due=min(now, move.due)) for move in self._waiting]

    def step(self, now: float) -> None:
        """Move what is due, and have it noted; nothing while a folder is away.

        Raises:
            DeviceError: where originals lie cannot be noted now; the next step tries again.
        """
        for move in [move for move in self._waiting if now >= move.due]:
            if any(map(self._places.unusable, ("inbox", "originals.folder", "rejected"))):
                break
            self._waiting.remove(move)
            job, path = move.job, self._config.inbox / move.job.path
            if not still_there(path, job.snapshot):  # it was taken away, or is another by now
                if self._places.unusable("inbox"):
                    self._waiting.append(move)
                continue
            try:
                target = move.move(path)
                log.info("photo.moved", job=job.id, path=job.path, to=target)
                self._moved(path)
                if target.is_relative_to(self._config.originals.folder):
                    place = target.relative_to(self._config.originals.folder)
                    self._unnoted.append((job.id, PurePosixPath(place)))
            except OSError as error:
                wait = self._config.retry.wait_after(move.faults)
                self._waiting.append(move._replace(due=now + wait, faults=move.faults + 1))
                reason = str(error)
                log.warning(
                    "photo.not_moved", job=job.id, path=job.path, reason=reason, seconds=wait
                )

        if self._unnoted:
            self._note(self._unnoted)
            self._unnoted = []

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a move is due, or None."""
        return max(0.0, min(move.due for move in self._waiting) - now) if self._waiting else None


def still_there(path: Path, snapshot: Snapshot) -> bool:
    """Tell whether a file looks as it did; but for its device, which a reboot may renumber."""
    now = inbox.snapshot(path)
    return now is not None and replace(now, device=snapshot.device) == snapshot


def find_original(job: Job, config: Config) -> tuple[Path, Snapshot]:
    """Find the original of a job that was finished, wherever it may lie, by its content.

    Args:
        job: the job.
        config: the folders.

    Returns:
        its path, and how it looked before its content was compared.

    Raises:
        ScanError: it is gone, or is no longer what was colored.
        OSError: the disk failed.
    """
    changed: list[str] = []
    places = list(dict.fromkeys(_places(job, config)))
    for path in places:
        looks = inbox.snapshot(path)
        if looks is None:
            continue
        try:
            if inbox.digest(path) == job.digest:
                return path, looks
        except FileNotFoundError:  # taken away just now
            continue
        except PermissionError as error:
            raise ScanError(f"the original {path} may not be read") from error
        changed.append(str(path))
    if changed:
        raise ScanError(
            f"the original was changed since it was colored: {changed[0]} has another SHA-256;"
            " the photo in the outbox stays as it is"
        )
    looked = ", ".join(str(path) for path in places)
    raise ScanError(
        f"the original is gone (looked for at {looked}); the photo in the outbox stays as it is"
    )


def find_rejected(
    job: Job, config: Config, by_size: Callable[[Path], dict[int, list[Path]]]
) -> Path | None:
    """Find the scan of a job that failed among the rejected ones, by its content.

    Args:
        job: the job.
        config: the folders.
        by_size: the function of that name; with many jobs, one that remembers its answers.

    Returns:
        its path, under the scan's own name where possible, or one that was numbered or shortened;
        None where it is not there.

    Raises:
        OSError: the disk failed.
    """
    own = config.rejected / job.path
    named = [
        path
        for path in by_size(own.parent).get(job.snapshot.size, [])
        if path.suffix == own.suffix and own.stem.startswith(_NUMBER.sub("", path.stem))
    ]
    for path in sorted(named, key=lambda path: (path != own, path)):
        # One that could never be read has no digest, but looks as it did.
        if still_there(path, job.snapshot):
            return path
        with suppress(FileNotFoundError, PermissionError):
            if inbox.digest(path) == job.digest:
                return path
    return None


def by_size(folder: Path) -> dict[int, list[Path]]:
    """List the plain files in a folder, not those in its sub-folders, by their size in bytes.

    Returns:
        An empty dict also where the folder is missing.

    Raises:
        OSError: it cannot be read.
    """
    found: dict[int, list[Path]] = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in folder.iterdir():
            if looks := inbox.snapshot(path):
                found.setdefault(looks.size, []).append(path)
    return found


def _places(job: Job, config: Config) -> Iterator[Path]:
    """Yield where an original may lie: as noted, in the inbox, or archived under a name of its own.

    Several scans may have had one name one after the other, so numbered names follow while there
    are such files.
    """
    folder = config.originals.folder
    if job.original is not None:
        yield folder / job.original
    yield config.inbox / job.path
    for path in inbox.numbered_names(folder / job.path):
        yield path
        if inbox.snapshot(path) is None:
            return
