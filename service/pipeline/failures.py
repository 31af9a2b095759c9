"""Decide what becomes of a job that failed: rejected, dropped, or tried again after a wait."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import structlog

from service.backoff import Backoff
from service.config.sections import Retry
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import TAKEN_AWAY, Job
from service.ledger.ledger import Ledger
from service.storage.departures import Originals
from worker.inference.engine import Failed

Hold = Callable[[PurePosixPath, str, float], bool]  # path in the inbox, reason, monotonic seconds
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # for this file; perhaps for a smaller one

log = structlog.get_logger()


@dataclass
class Counters:
    """Photographs since the daemon started."""

    finished: int = 0
    rejected: int = 0
    pixels: int = 0  # of the finished ones


@dataclass(frozen=True)
class Shortage:
    """A disk without room for large results: their scans wait, and smaller ones go ahead.

    Attributes:
        backoff: the wait.
        size: bytes of the smallest scan whose result did not fit.
    """

    backoff: Backoff = field(default_factory=Backoff)
    size: int = 0

    def after_failure(self, job: Job, now: float, reason: str, retry: Retry) -> "Shortage":
        """Return the state after a job's result did not fit; each time it waits longer."""
        size = job.stat.size
        if self.backoff.waits(now):
            return replace(self, size=min(size, self.size))
        return Shortage(self.backoff.after_failure(now, reason, retry, job.waits), size)

    def after_delivery(self, size: int, now: float) -> "Shortage":
        """Return the state after the result of a scan of so many bytes did fit."""
        return self if size < self.size and self.backoff.waits(now) else Shortage()

    def ended(self, now: float) -> "Shortage":
        """Return the state with its wait over; the faults still count."""
        return replace(self, backoff=self.backoff.ended(now))

    def below(self, now: float) -> int | None:
        """Return the size in bytes that a scan to be begun now must stay below; None: any."""
        return self.size if self.backoff.waits(now) else None


def ended_the_process(job: Job) -> str:
    """Return the reason for rejecting a job on which the process died each time."""
    return (
        f"photochrom was killed {job.attempts} times while it worked on this photo"
        f" ({_megabytes(job)}): its decoder crashed, or the system ran out of memory (see"
        f" journalctl -k). Give photochrom more memory and run `photochrom retry {job.id}`, or save"
        " the scan anew"
    )


class FailureHandler:
    """Decides what becomes of jobs that failed.

    Args:
        retry: how often and when to try again.
        ledger: where the jobs are.
        places: tells whether the folders are there, and have room.
        originals: moves what is rejected.
        counters: of rejected jobs.
        hold: waits for the rest of an incomplete file; False when that has taken long enough.
    """

    def __init__(
        self,
        retry: Retry,
        ledger: Ledger,
        places: FolderMonitor,
        originals: Originals,
        counters: Counters,
        hold: Hold,
    ) -> None:
        """Start without failures."""
        self._retry = retry
        self._ledger = ledger
        self._places = places
        self._away = ""
        self._originals = originals
        self._counters = counters
        self._hold = hold
        self.backoff = Backoff()
        self.shortage = Shortage()

    @property
    def in_a_row(self) -> int:
        """How many faults of the machine came without a delivery in between."""
        return max(self.backoff.faults, self.shortage.backoff.faults)

    def unresolved(self, now: float, *, busy: bool) -> str:
        """Return the machine's fault that photographs were put back for and did not get past yet.

        Args:
            now: monotonic seconds.
            busy: whether photographs are in hand.
        """
        both = (self.backoff, self.shortage.backoff)
        return next((one.reason for one in both if one.reason and (busy or one.waits(now))), "")

    def blocked_by(self, now: float, wall: float) -> str:
        """Return why no new work may begin, as of the last `update`; "" if it may.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.

        Raises:
            DeviceError: the ledger cannot be read now.
        """
        if self._away or self.backoff.waits(now):
            return self._away or self.backoff.reason
        below, longest = self.shortage.below(now), self._retry.longest_wait
        if below is None or self._ledger.queries.has_due(wall, longest_wait=longest, below=below):
            return ""
        return self.shortage.backoff.reason

    def update(self, now: float, wall: float) -> None:
        """Look at the folders, and end waits that have lost their reason.

        When all folders are back, everything that waited is due at once. A wait also ends when
        nothing waits any more: `photochrom retry` made it due.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.

        Raises:
            DeviceError: the ledger cannot be used now, or a folder cannot be marked.
        """
        away = self._places.refresh()
        if self._away and not away:
            self._ledger.expedite(wall)
            self._originals.hasten(now)
            self.backoff, self.shortage = self.backoff.cleared(), Shortage()
        self._away = away
        longest = self._retry.longest_wait
        waits = self.backoff.waits(now) or self.shortage.backoff.waits(now)
        if waits and not self._ledger.queries.backed_off(wall, limit=1, longest_wait=longest):
            self.backoff, self.shortage = self.backoff.ended(now), self.shortage.ended(now)

    def delivered(self, job: Job, now: float) -> None:
        """Note that a job's result is in the outbox."""
        self.backoff = self.backoff.cleared()
        self.shortage = self.shortage.after_delivery(job.stat.size, now)

    def handle(self, job: Job, failure: Failed, now: float, wall: float) -> None:
        """Reject a started job or put it back, by whose fault it was.

        Args:
            job: the job.
            failure: that its work ended with.
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.

        Raises:
            DeviceError: the ledger cannot be written now; nothing was changed.
        """
        kind, reason = failure.kind, failure.reason
        arriving = kind == "incomplete" and not job.recolor
        if arriving and self._hold(job.path, reason, now):
            self._ledger.unqueue(job.id)
            log.info("photo.arriving", job=job.id, path=job.path, reason=reason)
        elif kind in {"scan", "in color", "incomplete"}:
            hint = _hint(job) if kind == "in color" else ""
            self.reject(job, reason + hint, now, wall)
        elif kind == "source changed":
            self._let_go(job, wall)
        elif kind == "memory":
            self._try_alone(job, failure, now, wall)
        elif kind in {"device", "disk", "model"} and is_of_one_worker(failure):
            self._try_elsewhere(job, failure, wall)
        elif kind in {"device", "disk"}:
            self._wait(job, failure, now, wall)
        else:
            self._count_unforeseen(job, failure, now, wall)

    def reject(self, job: Job, reason: str, now: float, wall: float) -> None:
        """Reject a queued or started job; arguments as for `handle`.

        The earlier result of a job to be colored again stays, and so does its original.
        """
        # As the ledger has it now: the same scan may have been dropped again meanwhile.
        failed = self._ledger.fail(job.id, reason, wall)
        self._counters.rejected += 1
        if job.recolor:
            log.warning("photo.not_recolored", job=job.id, path=job.path, reason=reason)
            return
        log.warning("photo.rejected", job=job.id, path=job.path, reason=reason)
        self._originals.reject(failed, reason, now)

    def _let_go(self, job: Job, wall: float) -> None:
        """Drop the job of a file that is gone or changed, unless its scan was dropped again."""
        known = self._ledger.queries.job(job.id)
        if known and known.stat != job.stat:  # the watcher reported it already
            self._ledger.unclaim(job.id, wall)
            return
        self._ledger.fail(job.id, TAKEN_AWAY, wall)
        log.info("photo.changed", job=job.id, path=job.path)
        self._originals.request_rescan(job)

    def _count_unforeseen(self, job: Job, failure: Failed, now: float, wall: float) -> None:
        """Try a job again that met a bug; after the last attempt it is rejected.

        One photograph must not stop the others.
        """
        log.error(
            "photo.failed",
            job=job.id,
            path=job.path,
            attempt=job.attempts,
            exception=failure.traceback,
        )
        if job.attempts >= self._retry.attempts:
            reason = f"photochrom failed on this photo {job.attempts} times, most recently: "
            self.reject(job, reason + failure.reason, now, wall)
        else:
            self._ledger.requeue(job.id, failure.reason, wall + self._retry.wait_after(0))

    def _try_elsewhere(self, job: Job, failure: Failed, wall: float) -> None:
        """Requeue a job without counting the attempt: one machine of several is at fault.

        Another may take the job at once; one that fails everywhere waits longer each time.
        """
        reason = failure.reason
        if failure.kind == "disk":
            reason = f"{failure.worker}: {self._places.in_words(failure.error)}"
        seconds = self._retry.wait_after(job.waits - 1) if job.waits else 0.0
        self._ledger.back_off(job.id, reason, wall + seconds)
        log.info("photo.moves_on", job=job.id, path=job.path, worker=failure.worker, reason=reason)

    def _try_alone(self, job: Job, failure: Failed, now: float, wall: float) -> None:
        """Requeue a job that ran out of memory; the attempt counts, so it is tried alone next.

        All work waits, since another program may have the memory. But a photograph that did not
        fit on its last attempt, alone, must not stop the others.
        """
        told, worker = failure.reason, failure.worker
        size = " and ".join(filter(None, (told, _megabytes(job))))
        if job.attempts >= self._retry.attempts:
            reason = (
                f"out of memory after {job.attempts} attempts (the last one alone): it has {size}."
                f" Give photochrom more memory and run `photochrom retry {job.id}`, or save the"
                " scan smaller or in parts"
            )
            self.reject(job, reason, now, wall)
            return
        reason = f"out of memory for a photograph of {size}"
        if worker:  # the others have theirs
            self._ledger.requeue(job.id, f"{worker}: {reason}", wall)
            log.info("photo.moves_on", job=job.id, path=job.path, worker=worker, reason=reason)
            return
        before, self.backoff = self.backoff, self.backoff.after_failure(now, reason, self._retry)
        seconds = self.backoff.until - now
        self._ledger.requeue(job.id, reason, wall + seconds)
        _log_wait(job, reason, seconds, before, self.backoff)

    def _wait(self, job: Job, failure: Failed, now: float, wall: float) -> None:
        """Requeue a job without counting the attempt: the machine is at fault, so all work waits.

        On a full disk only the job itself waits, and those of larger scans.
        """
        reason = failure.reason
        if failure.kind == "disk":
            reason = self._places.in_words(failure.error)
        if failure.errno in NO_ROOM:
            reason += "; smaller photographs go on meanwhile"
            before = self.shortage.backoff
            self.shortage = self.shortage.after_failure(job, now, reason, self._retry)
            backoff = self.shortage.backoff
        else:
            before = self.backoff
            self.backoff = backoff = before.after_failure(now, reason, self._retry)
        seconds = backoff.until - now
        self._ledger.back_off(job.id, reason, wall + seconds)
        _log_wait(job, reason, seconds, before, backoff)


def is_of_one_worker(failure: Failed) -> bool:
    """Tell whether a machine's fault is that of one of several; a full disk is that of all."""
    return bool(failure.worker) and failure.errno not in NO_ROOM


def _log_wait(job: Job, reason: str, seconds: float, before: Backoff, after: Backoff) -> None:
    """Warn of the first photograph of those that failed together, at the 1st, 2nd, 4th ... time."""
    tell = log.warning if after != before and after.is_to_be_logged else log.debug
    tell("photo.waits", job=job.id, path=job.path, reason=reason, seconds=round(seconds, 1))


def _megabytes(job: Job) -> str:
    return f"{job.stat.size / 1e6:,.1f} MB as a file"


def _hint(job: Job) -> str:
    """Return what to do if the only color is that of a stamp, say."""
    command = f"photochrom retry {job.id} --even-if-colored"
    return (
        "; if only a color target, a ruler or a stamp lies beside a gray print, color it all the"
        f" same with `{command}`"
    )
