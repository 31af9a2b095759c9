"""Originals on their way out of the inbox, archived or rejected; and found again by their content.

A move that fails holds up nothing else; a crash before it is mended when the file is found again.
"""

import errno
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import structlog

from service import beneath, inbox
from service.config import Config
from service.disk import ReplacedError
from service.jobs import Job
from service.naming import fits, misfit
from service.places import Places
from service.stability import Snapshot
from worker.errors import ScanError

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
        moved: told of each path that left the inbox, or may have meanwhile.
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
            move = partial(
                inbox.archive, inbox=self._config.inbox, originals=folder, expected=job.snapshot
            )
            self._waiting.append(_Move(job, move, now))

    def reject(self, job: Job, reason: str, now: float) -> None:
        """Have the original of a failed job moved to the rejected ones, with the reason.

        Where originals are kept it stays in the inbox too; the ledger has the reason.

        Args:
            job: whose original it is.
            reason: plain words for the archivist.
            now: monotonic seconds.
        """
        if self._config.originals.after == "keep":
            return
        folder = self._config.rejected
        move = partial(
            inbox.reject,
            inbox=self._config.inbox,
            rejected=folder,
            reason=reason,
            expected=job.snapshot,
        )
        self._waiting.append(_Move(job, move, now))

    def look_anew(self, job: Job) -> None:
        """Have a job's scan found again: it was not what was queued when it was needed.

        By now it may be again, as when it was away for a moment, and then nothing else would tell.
        """
        self._moved(self._config.inbox / job.path)

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
                else:
                    self.look_anew(job)
                continue
            try:
                target = move.move(path)
                log.info("photo.moved", job=job.id, path=job.path, to=target)
                self._moved(path)
                if target.is_relative_to(self._config.originals.folder):
                    place = target.relative_to(self._config.originals.folder)
                    self._unnoted.append((job.id, PurePosixPath(place)))
            except ReplacedError:  # just now; the new one stays
                self.look_anew(job)
            except OSError as error:
                wait = self._config.retry.wait_after(move.faults)
                self._waiting.append(move._replace(due=now + wait, faults=move.faults + 1))
                reason = str(error)
                if (move.faults + 1).bit_count() == 1:  # the 1st, 2nd, 4th, 8th …: it may last
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
    now = beneath.snapshot(path)
    return now is not None and now.same_as(snapshot)


def open_scan(job: Job, config: Config) -> tuple[io.FileIO, Snapshot]:
    """Open the scan of a job, once: all that is read of it is read from what is returned.

    Args:
        job: to be colored, or colored again.
        config: the folders.

    Returns:
        the open file, whose `name` is its path; and how it must still look when it was read.

    Raises:
        FileNotFoundError: it is gone, or is no longer the file that was queued.
        ScanError: it may not be read; or, of a job that was finished, as `find_original`, or
            its result is of another format than `output.format` gives by now.
        OSError: the disk failed.
    """
    if job.recolor:
        if not fits(job, config.output.format):
            raise ScanError(misfit(job))
        file = find_original(job, config)
        return file, beneath.snapshot_of(file)
    try:
        file = beneath.open_beneath(config.inbox, job.path)
    except PermissionError as error:
        raise ScanError("the file may not be read: its permissions refuse it") from error
    if not beneath.snapshot_of(file).same_as(job.snapshot):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "it is another file by now", file.name)
    return file, job.snapshot


def find_original(job: Job, config: Config) -> io.FileIO:
    """Find the original of a job that was finished, wherever it may lie, by its content.

    Args:
        job: the job.
        config: the folders.

    Returns:
        the open file whose content was compared; its `name` is its path.

    Raises:
        ScanError: it is gone, or is no longer what was colored.
        OSError: the disk failed.
    """
    changed: list[str] = []
    places = list(dict.fromkeys(_places(job, config)))
    for folder, name in places:
        path = folder / name
        try:
            file = beneath.open_beneath(folder, name)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise ScanError(f"the original {path} may not be read") from error
        if _has_digest(file, job.digest):
            return file
        file.close()
        changed.append(str(path))
    if changed:
        raise ScanError(
            f"the original was changed since it was colored: {changed[0]} has another SHA-256;"
            " the photo in the outbox stays as it is"
        )
    looked = ", ".join(str(folder / name) for folder, name in places)
    raise ScanError(
        f"the original is gone (looked for at {looked}); the photo in the outbox stays as it is"
    )


def _has_digest(file: io.FileIO, digest: str) -> bool:
    """Compare the content of an open file, which must not change meanwhile."""
    try:
        looks = beneath.snapshot_of(file)
        return beneath.digest_of(file) == digest and beneath.snapshot_of(file) == looks
    except OSError:
        file.close()
        raise


def _places(job: Job, config: Config) -> Iterator[tuple[Path, PurePath]]:
    """Yield where an original may lie: as noted, in the inbox, or archived under a name of its own.

    Several scans may have had one name one after the other, so numbered names follow while there
    are such files.
    """
    folder = config.originals.folder
    if job.original is not None:
        yield folder, job.original
    yield config.inbox, job.path
    for path in inbox.numbered_names(folder / job.path):
        yield folder, path.relative_to(folder)
        if beneath.snapshot(path) is None:
            return
