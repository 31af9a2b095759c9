"""Originals on their way out of the inbox, archived or rejected; and found again by their content.

A move that fails holds up nothing else; a crash before it is mended when the file is found again.
What was moved is looked at once more after a settle time: a writer may have had it open.
"""

import errno
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple, Protocol

import structlog

from service import beneath, moves
from service.config import Config
from service.disk import ReplacedError
from service.jobs import UNREADABLE, Job, JobStatus
from service.ledger import Ledger
from service.moves import Departure
from service.naming import fits, misfit, original_name
from service.outbox import alternative_name, withdraw
from service.places import Places
from service.sidecar import sidecar_name
from service.stability import Snapshot
from worker.errors import ScanError

_NUMBER = re.compile(r" \(\d+\)$")  # of `moves.numbered_names`

log = structlog.get_logger()


class _Move(NamedTuple):
    job: Job
    move: Callable[[Path], Departure]
    due: float
    verified: bool
    faults: int = 0


class _Departed(NamedTuple):
    job: Job
    departure: Departure
    due: float
    undone: bool = False  # the file is in the inbox again


class Watched(Protocol):
    """The inbox, as who moves files out of it needs it."""

    def revisit(self, path: Path) -> None:
        """Look at a path anew: the file left the inbox, or is another."""

    def settle_of(self, path: Path) -> float:
        """Return the seconds a file must stay unchanged where it lies."""


class Originals:
    """Moves the originals of jobs that are done.

    Args:
        config: the folders, and how long to wait after a fault.
        places: tells whether the folders are there.
        watched: the inbox.
        ledger: told where originals lie, and which jobs are taken back.
    """

    def __init__(self, config: Config, places: Places, watched: Watched, ledger: Ledger) -> None:
        """Nothing waits to be moved."""
        self._config = config
        self._places = places
        self._watched = watched
        self._ledger = ledger
        self._waiting: list[_Move] = []
        self._departed: list[_Departed] = []
        self._unnoted: list[tuple[int, PurePosixPath]] = []

    def waiting(self, faults: int = sys.maxsize) -> bool:
        """Tell whether a move waits that was refused fewer times than `faults`."""
        hidden = any(one.departure.hidden for one in self._departed)
        return hidden or any(move.faults < faults for move in self._waiting)

    def archive(self, job: Job, now: float, *, verified: bool = False) -> None:
        """Have the original of a finished job moved to the originals, if they are to be moved.

        Args:
            job: whose original it is.
            now: monotonic seconds.
            verified: whether its content was compared just now with what was colored.
        """
        if self._config.originals.after == "move":
            move = partial(
                moves.archive,
                inbox=self._config.inbox,
                originals=self._config.originals.folder,
                expected=job.snapshot,
                digest=job.digest,
                name=original_name(job),
            )
            self._waiting.append(_Move(job, move, now, verified))

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
        readable = not job.digest.startswith(UNREADABLE)
        move = partial(
            moves.reject,
            inbox=self._config.inbox,
            rejected=folder,
            reason=reason,
            expected=job.snapshot,
            digest=job.digest if readable else None,
        )
        self._waiting.append(_Move(job, move, now, verified=not readable))

    def look_anew(self, job: Job) -> None:
        """Have a job's scan found again: it was not what was queued when it was needed.

        By now it may be again, as when it was away for a moment, and then nothing else would tell.
        """
        self._watched.revisit(self._config.inbox / job.path)

    def hasten(self, now: float) -> None:
        """Have all that waits moved at the next step: what hindered it is mended."""
        self._waiting = [move._replace(due=min(now, move.due)) for move in self._waiting]

    def step(self, now: float) -> None:
        """Move what is due, and end the moves of what was at rest since; see `moves.settle`.

        Raises:
            DeviceError: what became of originals cannot be noted now; the next step tries again.
        """
        for move in [move for move in self._waiting if now >= move.due]:
            if any(map(self._places.unusable, ("inbox", "originals.folder", "rejected"))):
                break
            self._waiting.remove(move)
            self._move(move, now)
        if self._unnoted:
            self._ledger.moved(self._unnoted)
            self._unnoted = []
        for one in [one for one in self._departed if now >= one.due]:
            if any(map(self._places.unusable, ("inbox", "originals.folder", "rejected"))):
                break
            self._settle(one, now)

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a move is due, or to be ended; or None."""
        dues = [move.due for move in self._waiting] + [one.due for one in self._departed]
        return max(0.0, min(dues) - now) if dues else None

    def _move(self, move: _Move, now: float) -> None:
        job, path = move.job, self._config.inbox / move.job.path
        if not still_there(path, job.snapshot):  # it was taken away, or is another by now
            if self._places.unusable("inbox"):
                self._waiting.append(move)
            else:
                self.look_anew(job)
            return
        try:
            if not move.verified and not _is_content(path, job.digest):
                self._take_back(job)
                return
            self._set_shorter_aside(job)
            settle = self._watched.settle_of(path)
            departure = move.move(path)
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
        else:
            log.info("photo.moved", job=job.id, path=job.path, to=departure.place)
            self._watched.revisit(path)
            self._departed.append(_Departed(job, departure, now + settle))
            if departure.place.is_relative_to(self._config.originals.folder):
                place = departure.place.relative_to(self._config.originals.folder)
                self._unnoted.append((job.id, PurePosixPath(place)))

    def _set_shorter_aside(self, job: Job) -> None:
        """Give the original of a superseded job another name, if it has the one of this job.

        Raises:
            OSError: it cannot be renamed.
            DeviceError: where it lies cannot be noted now; it is found by its content then.
        """
        folder = self._config.originals.folder
        name = job.path.with_name(original_name(job))
        if job.status is not JobStatus.FINISHED or beneath.snapshot(folder / name) is None:
            return
        earlier = self._ledger.superseded_by(job.id)
        if earlier and earlier.original == name:
            wanted = alternative_name(name, earlier.digest).name
            place = moves.rename(folder, name, wanted)
            self._ledger.moved([(earlier.id, PurePosixPath(place))])

    def _settle(self, one: _Departed, now: float) -> None:
        """End a move; where a writer had the file open, its job is taken back with its result."""
        job, place = one.job, self._departed.index(one)
        if not one.undone:
            try:
                ended = moves.settle(one.departure, self._config.inbox)
            except OSError as error:
                wait = self._config.retry.longest_wait
                self._departed[place] = one._replace(due=now + wait)
                reason = str(error)
                log.warning(
                    "photo.not_moved", job=job.id, path=job.path, reason=reason, seconds=wait
                )
                return
            if ended:
                del self._departed[place]
                return
            self._departed[place] = one._replace(undone=True)
        self._take_back(job)
        del self._departed[place]

    def _take_back(self, job: Job) -> None:
        """Have the content that a file has by now colored in place of what was colored of it.

        Raises:
            DeviceError: the result cannot be removed, or the ledger not be written, now.
        """
        log.warning("photo.taken_back", job=job.id, path=job.path, output=job.output)
        known = self._ledger.job(job.id)
        if known and known.status is JobStatus.FINISHED:
            sidecar = sidecar_name(known.output)
            withdraw(self._config.outbox, known.output, sidecar, known.output_digest)
        if known and known.status in {JobStatus.FINISHED, JobStatus.FAILED}:
            self._ledger.forget(job.id)
        self.look_anew(job)


def _is_content(path: Path, digest: str) -> bool:
    """Tell whether a file has this SHA-256; one that may not be read by now is let off."""
    with suppress(PermissionError):
        return beneath.digest(path) == digest
    return True


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
            if beneath.digest(path) == job.digest:
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
            if looks := beneath.snapshot(path):
                found.setdefault(looks.size, []).append(path)
    return found


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
    other = alternative_name(job.path, job.digest).name  # a longer one superseded it
    for name in dict.fromkeys((original_name(job), job.path.name, other)):
        for path in moves.numbered_names(folder / job.path.with_name(name)):
            yield folder, path.relative_to(folder)
            if beneath.snapshot(path) is None:
                break
