"""Originals on their way out of the inbox, archived or rejected.

A move that fails holds up nothing else; a crash before it is mended when the file is found again.
What was moved is looked at once more after a settle time: a writer may have had it open.
"""

import errno
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import structlog

from service.backoff import Backoff
from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.access import unwritable
from service.filesystem.availability import FolderMonitor
from service.filesystem.durable import ReplacedError
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import Ledger
from service.storage import moves
from service.storage.companions import Companions
from service.storage.empty_folders import EmptyFolders
from service.storage.moves import Departure
from service.storage.naming import original_name
from service.storage.originals import still_there
from service.storage.outbox import alternative_name, withdraw
from service.storage.sidecar import sidecar_name
from service.storage.unmoved import Unmoved
from worker.errors import DeviceError

_REFUSED = {errno.EACCES, errno.EPERM}

log = structlog.get_logger()


class _Move(NamedTuple):
    job: Job
    move: Callable[[Path], Departure]
    root: Path  # of the folder it goes to
    backoff: Backoff
    verified: bool
    xmp_read: frozenset[str] | None = None


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

    Attributes:
        unmoved: what permissions keep in the inbox.
        emptied: the folders that scans left.
    """

    def __init__(
        self, config: Config, places: FolderMonitor, watched: Watched, ledger: Ledger
    ) -> None:
        """Nothing waits to be moved."""
        self._config = config
        self._places = places
        self._watched = watched
        self._ledger = ledger
        self._waiting: list[_Move] = []
        self.unmoved: Unmoved[_Move] = Unmoved(config.retry)
        self._departed: list[_Departed] = []
        self.emptied = EmptyFolders(config, ledger.queries)
        self._unnoted: list[tuple[int, PurePosixPath]] = []
        self.companions = Companions(config, ledger)

    def waiting(self, faults: int = sys.maxsize) -> bool:
        """Tell whether a move waits that was refused fewer times than `faults`.

        What permissions keep in the inbox counts as refused for ever: only a person helps there.
        """
        if faults == sys.maxsize and len(self.unmoved) > 0:
            return True
        waiting = self.leaving or any(move.backoff.faults < faults for move in self._waiting)
        return waiting or self.companions.waiting(faults)

    @property
    def leaving(self) -> bool:
        """Whether one that was copied to another file system is still hidden in the inbox."""
        return any(one.departure.hidden for one in self._departed)

    def archive(
        self,
        job: Job,
        now: float,
        *,
        verified: bool = False,
        xmp_read: frozenset[str] | None = None,
    ) -> None:
        """Have the original of a finished job moved to the originals, if they are to be moved.

        Args:
            job: whose original it is.
            now: monotonic seconds.
            verified: whether its content was compared just now with what was colored.
            xmp_read: SHA-256 of the XMP files that were read with it; None: nobody knows.
        """
        if self._config.originals.after == "move":
            folder = self._config.originals.folder
            move = partial(
                moves.archive,
                inbox=self._config.inbox,
                originals=folder,
                expected=job.stat,
                digest=job.digest,
                name=original_name(job),
            )
            self._waiting.append(_Move(job, move, folder, Backoff(now), verified, xmp_read))

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
            expected=job.stat,
            digest=job.digest if readable else None,
        )
        self._waiting.append(_Move(job, move, folder, Backoff(now), verified=not readable))

    def request_rescan(self, job: Job) -> None:
        """Have a job's scan found again: it was not what was queued when it was needed.

        By now it may be again, as when it was away for a moment, and then nothing else would tell.
        """
        self._watched.revisit(self._config.inbox / job.path)

    def hasten(self, now: float) -> None:
        """Have all that waits moved at the next step: what hindered it is mended."""
        self._waiting = [move._replace(backoff=move.backoff.ended(now)) for move in self._waiting]
        self.unmoved.hasten(now)

    def step(self, now: float) -> None:
        """Move what is due, and end the moves of what was at rest since; see `moves.settle`.

        Raises:
            DeviceError: what became of originals cannot be noted now; the next step tries again.
        """
        self._waiting += self.unmoved.probes(now)
        for move in [move for move in self._waiting if not move.backoff.waits(now)]:
            if any(map(self._places.problem, ("inbox", "originals.folder", "rejected"))):
                break
            self._waiting.remove(move)
            try:
                self._move(move, now)
            except DeviceError:
                self._waiting.append(move)
                raise
        if self._unnoted:
            self._ledger.record_originals(self._unnoted)
            self._unnoted = []
        if not any(map(self._places.problem, ("inbox", "originals.folder", "rejected"))):
            self.companions.step(now)
        for one in [one for one in self._departed if now >= one.due]:
            if any(map(self._places.problem, ("inbox", "originals.folder", "rejected"))):
                break
            self._settle(one, now)
        if not self._places.problem("inbox"):
            self.emptied.step(now)

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a move is due, or to be ended; or None."""
        dues = [move.backoff.until for move in self._waiting] + [one.due for one in self._departed]
        dues += [*self.unmoved.dues(), *self.companions.dues()]
        return max(0.0, min(dues) - now) if dues else None

    def _move(self, move: _Move, now: float) -> None:
        job, path = move.job, self._config.inbox / move.job.path
        if not still_there(path, job.stat):  # it was taken away, or is another by now
            if self._places.problem("inbox"):
                self._waiting.append(move)
            else:
                self.request_rescan(job)
            return
        goal = move.root / job.path.parent
        if folder := unwritable(path, goal):
            self.unmoved.add(folder, move, now, leaves=folder == path.parent)
            return
        try:
            if not move.verified and not _is_content(path, job.digest):
                self._restore(job)
                return
            self._set_shorter_aside(job)
            settle = self._watched.settle_of(path)
            self.companions.owe(job)
            departure = move.move(path)
        except ReplacedError:  # just now; the new one stays
            self.request_rescan(job)
        except OSError as error:
            if error.errno in _REFUSED:
                self.unmoved.add(path.parent, move, now, leaves=True)
            else:
                self._put_off(move, str(error), now)
        else:
            self._waiting += self.unmoved.opened(path.parent, goal, *goal.parents)
            log.info("photo.moved", job=job.id, path=job.path, to=departure.place)
            self._watched.revisit(path)
            self.companions.follow(job, departure.place, move.xmp_read, now)
            self._departed.append(_Departed(job, departure, now + settle))
            if departure.place.is_relative_to(self._config.originals.folder):
                place = departure.place.relative_to(self._config.originals.folder)
                self._unnoted.append((job.id, PurePosixPath(place)))

    def _put_off(self, move: _Move, reason: str, now: float) -> None:
        job, backoff = move.job, move.backoff.after_failure(now, reason, self._config.retry)
        self._waiting.append(move._replace(backoff=backoff))
        if backoff.is_to_be_logged:
            wait = round(backoff.until - now, 3)
            log.warning("photo.not_moved", job=job.id, path=job.path, reason=reason, seconds=wait)

    def _set_shorter_aside(self, job: Job) -> None:
        """Give the original of a superseded job another name, if it has the one of this job.

        Raises:
            OSError: it cannot be renamed.
            DeviceError: where it lies cannot be noted now; it is found by its content then.
        """
        folder = self._config.originals.folder
        name = job.path.with_name(original_name(job))
        if job.status is not JobStatus.FINISHED or safe_open.snapshot(folder / name) is None:
            return
        earlier = self._ledger.queries.predecessor(job.id)
        if earlier and earlier.original == name:
            wanted = alternative_name(name, earlier.digest).name
            place = moves.set_aside(folder, name, wanted)
            self._ledger.record_originals([(earlier.id, PurePosixPath(place))])

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
                self.emptied.left(job.path.parent, now)
                del self._departed[place]
                return
            self._departed[place] = one._replace(undone=True)
            self.companions.bring_back(job, one.departure.place)
        self._restore(job)
        del self._departed[place]

    def _restore(self, job: Job) -> None:
        """Have the content that a file has by now colored in place of what was colored of it.

        Raises:
            DeviceError: the result cannot be removed, or the ledger not be written, now.
        """
        log.warning("photo.taken_back", job=job.id, path=job.path, output=job.output)
        known = self._ledger.queries.job(job.id)
        if known and known.status is JobStatus.FINISHED:
            sidecar = sidecar_name(known.output)
            withdraw(self._config.outbox, known.output, sidecar, known.output_digest)
        if known and known.status in {JobStatus.FINISHED, JobStatus.FAILED}:
            self._ledger.forget(job.id)
        self.request_rescan(job)


def _is_content(path: Path, digest: str) -> bool:
    """Tell whether a file has this SHA-256; one that may not be read by now is let off."""
    with suppress(PermissionError):
        return safe_open.digest(path) == digest
    return True
