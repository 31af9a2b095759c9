"""Moves the originals of finished and failed jobs out of the inbox.

A failed move delays nothing else and is retried; after a crash, the watcher finds the file again.
Each moved file is checked once more after the settle time, in case a writer had it open.
"""

import errno
import heapq
import itertools
import sys
from collections.abc import Callable, Sequence
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
from service.storage.blocked_moves import BlockedMoves
from service.storage.companions import Companions, log_not_moved
from service.storage.empty_folders import EmptyFolders, remove_empty
from service.storage.held import home
from service.storage.moves import Departure
from service.storage.naming import original_name
from service.storage.originals import still_there
from service.storage.outbox import alternative_name, withdraw
from service.storage.sidecar import sidecar_name

MOVED_PER_STEP = 64  # files
_REFUSED = {errno.EACCES, errno.EPERM}

log = structlog.get_logger()


class _Move(NamedTuple):
    job: Job
    move: Callable[[Path], Departure]
    root: Path  # the originals' or the rejected folder
    backoff: Backoff
    verified: bool
    xmp_read: frozenset[str] | None = None


class _Moved(NamedTuple):
    move: _Move
    departure: Departure
    settle: float


class _Departed(NamedTuple):
    due: float
    number: int  # in order, for the heap
    job: Job
    departure: Departure
    undone: bool = False  # the file is back in the inbox


class Watched(Protocol):
    """What moving files out of the inbox needs of its watcher."""

    def revisit(self, path: Path) -> None:
        """Look at a path again: the file left the inbox, or was replaced."""

    def settle_of(self, path: Path) -> float:
        """Return the settle time of a file, seconds."""


class Originals:
    """The originals that wait to be moved, and those just moved.

    Args:
        config: the folders, and how long to back off.
        places: which folders are available.
        watched: the inbox's watcher.
        ledger: records where originals are, and forgets jobs whose scans changed.

    Attributes:
        unmoved: the originals that permissions keep in the inbox.
        emptied: the folders that scans left.
        companions: the XMP files of the originals.
    """

    def __init__(
        self, config: Config, places: FolderMonitor, watched: Watched, ledger: Ledger
    ) -> None:
        """Nothing is waiting."""
        self._config = config
        self._places = places
        self._watched = watched
        self._ledger = ledger
        self._waiting: list[_Move] = []
        self.unmoved: BlockedMoves[_Move] = BlockedMoves(config.retry)
        self._departed: list[_Departed] = []  # a heap
        self._numbers = itertools.count()
        self.emptied = EmptyFolders(config, ledger.queries)
        self._unrecorded: list[tuple[int, PurePosixPath]] = []
        self.companions = Companions(config, ledger)

    def waiting(self, faults: int = sys.maxsize) -> bool:
        """Tell whether a move is waiting that failed fewer times than `faults`.

        Originals that permissions keep in the inbox count as failed forever.
        """
        if faults == sys.maxsize and len(self.unmoved) > 0:
            return True
        waiting = self.leaving or any(move.backoff.faults < faults for move in self._waiting)
        return waiting or self.companions.waiting(faults)

    @property
    def leaving(self) -> bool:
        """Whether a file copied to another file system is still hidden in the inbox."""
        return any(one.departure.hidden for one in self._departed)

    def archive(
        self,
        job: Job,
        now: float,
        *,
        verified: bool = False,
        xmp_read: frozenset[str] | None = None,
    ) -> None:
        """Schedule the original of a finished job to be moved, unless originals are kept.

        Args:
            job: the job.
            now: monotonic seconds.
            verified: whether the file's digest was just compared with the job's.
            xmp_read: SHA-256 of the XMP files that were read with it; None: unknown.
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
        """Schedule the original of a failed job to be moved to the rejected ones, with the reason.

        With `originals.after: keep` it stays in the inbox; the ledger has the reason.

        Args:
            job: the job.
            reason: for the archivist.
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
        """Have the watcher look at a job's scan again, because it was not as queued when needed.

        It may have been missing for a moment only, and then no event would report it.
        """
        self._watched.revisit(self._config.inbox / job.path)

    def hasten(self, now: float) -> None:
        """End all backoffs: the cause of the failures is gone."""
        self._waiting = [move._replace(backoff=move.backoff.ended(now)) for move in self._waiting]
        self.unmoved.expedite(now)

    def step(self, now: float) -> None:
        """Move some of what is due, and settle earlier moves; see `moves.settle`.

        Raises:
            DeviceError: the ledger cannot be used now; the next step tries again.
        """
        self._waiting += self.unmoved.probes(now)
        if self._waiting and not self._folder_missing():
            self._move_due(now)
        if self._unrecorded:
            self._ledger.record_originals(self._unrecorded)
            self._unrecorded = []
        if not self._folder_missing():
            self.companions.step(now)
        if not self._folder_missing():
            self._settle_due(now)
        if not self._places.problem("inbox"):
            self.emptied.step(now)

    def _folder_missing(self) -> bool:
        return any(map(self._places.problem, ("inbox", "originals.folder", "rejected")))

    def next_due(self, now: float) -> float | None:
        """Return the seconds until a move is due or to be settled; None: nothing is waiting."""
        dues = [move.backoff.until for move in self._waiting]
        dues += [one.due for one in self._departed[:1]]
        dues += [*self.unmoved.dues(), *self.companions.dues()]
        return max(0.0, min(dues) - now) if dues else None

    def _move_due(self, now: float) -> None:
        """Move a portion of what is due; each folder is synced once, after all of it."""
        due, later = list[_Move](), list[_Move]()
        for move in self._waiting:
            fits = len(due) < MOVED_PER_STEP and not move.backoff.waits(now)
            (due if fits else later).append(move)
        self._waiting, moved = later, list[_Moved]()
        try:
            while due:
                one = self._move(due[0], now)
                moved += [one] if one else []
                del due[0]
        finally:  # also where the ledger cannot be used now
            self._waiting += due
            self._note_moved(moved, now)

    def _move(self, move: _Move, now: float) -> _Moved | None:
        """Move an original if that is possible now; its folders have yet to be synced."""
        job, path = move.job, self._config.inbox / move.job.path
        if not still_there(path, job.stat):  # it is missing, or was replaced
            if self._places.problem("inbox"):
                self._waiting.append(move)
            else:
                self.request_rescan(job)
            return None
        if folder := unwritable(path, move.root / job.path.parent):
            self.unmoved.add(folder, move, now, leaves=folder == path.parent)
            return None
        try:
            if not move.verified and not _is_content(path, job.digest):
                self._withdraw(job)
                return None
            self._set_shorter_aside(job)
            settle = self._watched.settle_of(path)
            self.companions.owe(job)
            return _Moved(move, move.move(path), settle)
        except ReplacedError:  # just now; the new file stays
            self.request_rescan(job)
        except OSError as error:
            if error.errno in _REFUSED:
                self.unmoved.add(path.parent, move, now, leaves=True)
            else:
                self._put_off(move, str(error), now)
        return None

    def _note_moved(self, moved: Sequence[_Moved], now: float) -> None:
        """Sync the folders of moved files, and go on with each."""
        inbox = self._config.inbox
        failed = moves.sync_folders((one.departure for one in moved), inbox)
        for move, departure, settle in moved:
            job, path = move.job, inbox / move.job.path
            if error := failed.get(path.parent) or failed.get(departure.place.parent):
                self._put_off(move, str(error), now)
                continue
            if len(self.unmoved) > 0:
                goal = move.root / job.path.parent
                self._waiting += self.unmoved.opened(path.parent, goal, *goal.parents)
            log.info("photo.moved", job=job.id, path=job.path, to=departure.place)
            self._watched.revisit(path)
            self.companions.follow(job, departure.place, move.xmp_read, now)
            due = _Departed(now + settle, next(self._numbers), job, departure)
            heapq.heappush(self._departed, due)
            if move.root == self._config.originals.folder:
                self._unrecorded.append((job.id, job.path.with_name(departure.place.name)))

    def _put_off(self, move: _Move, reason: str, now: float) -> None:
        job, backoff = move.job, move.backoff.after_failure(now, reason, self._config.retry)
        self._waiting.append(move._replace(backoff=backoff))
        if backoff.is_to_be_logged:
            log_not_moved(job, reason, round(backoff.until - now, 3))

    def _set_shorter_aside(self, job: Job) -> None:
        """Rename the original of the job that this one superseded, if it has this one's name.

        Raises:
            OSError: it cannot be renamed.
            DeviceError: its new path cannot be recorded now; it is then found by its content.
        """
        folder = self._config.originals.folder
        name = job.path.with_name(original_name(job))
        if job.status is not JobStatus.FINISHED or safe_open.file_stat(folder / name) is None:
            return
        earlier = self._ledger.queries.predecessor(job.id)
        if earlier and earlier.original == name:
            wanted = alternative_name(name, earlier.digest).name
            place = moves.set_aside(folder, name, wanted)
            self._ledger.record_originals([(earlier.id, PurePosixPath(place))])

    def _settle_due(self, now: float) -> None:
        """Settle a portion of the moves that are due."""
        for _ in range(MOVED_PER_STEP):
            if not self._departed or now < self._departed[0].due:
                return
            self._settle(self._departed[0], now)

    def _settle(self, one: _Departed, now: float) -> None:
        """Settle the first move; if a writer had the file open, withdraw the job and its result."""
        job = one.job
        if not one.undone:
            try:
                ended = moves.settle(one.departure, self._config.inbox)
            except OSError as error:
                wait = self._config.retry.longest_wait
                heapq.heapreplace(self._departed, one._replace(due=now + wait))
                log_not_moved(job, str(error), wait)
                return
            if ended:
                self.emptied.left(job.path.parent, now)
                heapq.heappop(self._departed)
                return
            self._departed[0] = one._replace(undone=True)
            self.companions.bring_back(job, one.departure.place)
        self._withdraw(job)
        heapq.heappop(self._departed)

    def _withdraw(self, job: Job) -> None:
        """Undo a job whose scan changed after it was read: the new content is a new job.

        Raises:
            DeviceError: the result cannot be removed, or the ledger not be used, now.
        """
        log.warning("photo.taken_back", job=job.id, path=job.path, output=job.output)
        known = self._ledger.queries.job(job.id)
        if known and known.status is JobStatus.FINISHED:
            sidecar = sidecar_name(known.output)
            withdraw(home(known, self._config), known.output, sidecar, known.output_digest)
            if known.held:
                remove_empty(self._config.review.folder, known.output.parent)
            if known.delivered_digest and self._ledger.queries.predecessor(job.id) is None:
                withdraw(self._config.outbox, known.output, sidecar, known.delivered_digest)
        if known and known.status in {JobStatus.FINISHED, JobStatus.FAILED}:
            self._ledger.forget(job.id)
        self.request_rescan(job)


def _is_content(path: Path, digest: str) -> bool:
    """Tell whether a file has this SHA-256, or can no longer be read."""
    with suppress(PermissionError):
        return safe_open.digest(path) == digest
    return True
