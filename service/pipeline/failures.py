"""What went wrong with a photo, whose fault it is, and so what becomes of its job."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import structlog

from service.config.sections import Retry
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import TAKEN_AWAY, Job
from service.ledger.ledger import Ledger
from service.storage.departures import Originals
from worker.errors import DeviceError, InColorError, IncompleteError, ScanError
from worker.formats.memory import is_short

Hold = Callable[[PurePosixPath, str, float], bool]  # path in the inbox, reason, monotonic seconds
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # for this file; perhaps for a smaller one

log = structlog.get_logger()


class SourceChanged(Exception):  # noqa: N818 - it is news, no error
    """The file is gone, or no longer the one that was queued; the watcher brings what it is now."""


@dataclass
class Counters:
    """What happened since the daemon started, in photos."""

    finished: int = 0
    rejected: int = 0
    pixels: int = 0  # of those that were finished


class Backoff:
    """How long the machine's faults make everything wait: doubling until something works again."""

    def __init__(self, retry: Retry) -> None:
        """There is no trouble yet."""
        self._retry = retry
        self.faults = 0
        self.until = 0.0
        self.reason = ""

    def begin(self, now: float, reason: str) -> float:
        """Note a fault; return the seconds to wait. Photos that fail together are one fault."""
        if now >= self.until:
            self.until = now + self._retry.wait_after(self.faults)
            self.faults += 1
            self.reason = reason
        return self.until - now

    def end(self) -> None:
        """Something works again."""
        self.faults, self.until, self.reason = 0, 0.0, ""


class Shortage(Backoff):
    """A disk without room for large photos: they wait, and smaller ones go on meanwhile.

    Attributes:
        size: bytes of the smallest scan whose result did not fit.
    """

    size = 0

    def begin_with(self, job: Job, now: float, reason: str) -> float:
        """Note that a job's result did not fit; return the seconds it waits, longer each time."""
        size = job.stat.size
        if now >= self.until:
            self.until = now + self._retry.wait_after(job.waits)
            self.faults += 1
            self.reason, self.size = reason, size
        self.size = min(size, self.size)
        return self.until - now

    def below(self, now: float) -> int | None:
        """Return how large a scan must not be to be begun now, in bytes; None: as it likes."""
        return self.size if now < self.until else None

    def delivered(self, size: int, now: float) -> None:
        """Note that the result of a scan of so many bytes did fit."""
        if size >= self.size or now >= self.until:
            self.end()


def ended_the_process(job: Job) -> str:
    """Say, for the archivist, why a job is given up in whose work the process ended each time."""
    return (
        f"photochrom was ended {job.attempts} times while it worked on this photo"
        f" ({_megabytes(job)}): its decoder crashed, or memory ran out and the system ended"
        " photochrom for it (journalctl -k tells). Give photochrom more memory and have the photo"
        f" tried again (photochrom retry {job.id}), or save the scan anew"
    )


class FailureHandler:
    """Settles jobs that did not come to their end.

    Args:
        retry: how often and when to try again.
        ledger: where the jobs are.
        places: tells whether the folders are there, and have room.
        originals: moves what is rejected.
        tally: counts it.
        hold: has the rest of a file waited for, which is why it cannot be colored yet; False when
            that was done long enough.
    """

    def __init__(
        self,
        retry: Retry,
        ledger: Ledger,
        places: FolderMonitor,
        originals: Originals,
        tally: Counters,
        hold: Hold,
    ) -> None:
        """Nothing went wrong yet."""
        self._retry = retry
        self._ledger = ledger
        self._places = places
        self._was_away = False
        self._originals = originals
        self._tally = tally
        self._hold = hold
        self.trouble = Backoff(retry)
        self.shortage = Shortage(retry)

    @property
    def in_a_row(self) -> int:
        """How many faults of the machine came with nothing delivered in between."""
        return max(self.trouble.faults, self.shortage.faults)

    def met(self, now: float, *, busy: bool) -> str:
        """Name the fault of the machine that photos did not get past yet, or "".

        Args:
            now: monotonic seconds.
            busy: whether photos are in hand.
        """
        both = (self.trouble, self.shortage)
        return next((one.reason for one in both if one.reason and (busy or now < one.until)), "")

    def delivered(self, job: Job, now: float) -> None:
        """Note that a job's photo is in the outbox."""
        self.trouble.end()
        self.shortage.delivered(job.stat.size, now)

    def settle(self, job: Job, error: Exception, now: float, wall: float) -> None:
        """Reject a started job or put it back, by whose fault it was.

        Args:
            job: the job.
            error: what its work ended with.
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.

        Raises:
            DeviceError: the ledger cannot be written now; nothing was changed.
        """
        arriving = isinstance(error, IncompleteError) and not job.recolor
        if arriving and self._hold(job.path, str(error), now):
            self._ledger.unqueue(job.id)
            log.info("photo.arriving", job=job.id, path=job.path, reason=str(error))
        elif isinstance(error, ScanError):
            self.reject(job, str(error) + _way_out(job, error), now, wall)
        elif isinstance(error, SourceChanged):
            self._let_go(job, wall)
        elif is_short(error):
            self._try_alone(job, error, now, wall)
        elif isinstance(error, OSError | DeviceError):
            self._wait(job, error, now, wall)
        else:
            # A fault nobody foresaw, met by one photo, must not stop the line. Its traceback is
            # logged, its attempt counts, and after the last one the photo is rejected.
            log.error(
                "photo.failed", job=job.id, path=job.path, attempt=job.attempts, exc_info=error
            )
            if job.attempts >= self._retry.attempts:
                reason = f"photochrom failed on this photo {job.attempts} times, lastly: {error!r}"
                self.reject(job, reason, now, wall)
            else:
                self._ledger.requeue(job.id, repr(error), wall + self._retry.wait_after(0))

    def hold_up(self, now: float, wall: float) -> str:
        """Say why no new work may begin now, or nothing.

        When the folders are as they should be again, all that waited is due at once. So it is when
        `photochrom retry` made it due.

        Raises:
            DeviceError: the ledger cannot be used now, or a folder not be marked.
        """
        away = self._places.look()
        if self._was_away and not away:
            self._ledger.expedite(wall)
            self._originals.hasten(now)
            self.trouble.end()
            self.shortage.end()
        self._was_away = bool(away)
        longest = self._retry.longest_wait
        waits = [one for one in (self.trouble, self.shortage) if now < one.until]
        if waits and not self._ledger.queries.backed_off(wall, limit=1, longest_wait=longest):
            for one in waits:
                one.until = now  # the count of faults stays: it may not have been mended
        if away or now < self.trouble.until:
            return away or self.trouble.reason
        below = self.shortage.below(now)
        if below is None or self._ledger.queries.has_due(wall, longest_wait=longest, below=below):
            return ""
        return self.shortage.reason

    def reject(self, job: Job, reason: str, now: float, wall: float) -> None:
        """Give a queued or started job up; arguments as for `settle`.

        A photo that was colored before stays in the outbox as it is, and its original where it is.
        """
        # As the ledger has it now: the same scan may have been dropped again meanwhile.
        failed = self._ledger.fail(job.id, reason, wall)
        self._tally.rejected += 1
        if job.recolor:
            log.warning("photo.not_recolored", job=job.id, path=job.path, reason=reason)
            return
        log.warning("photo.rejected", job=job.id, path=job.path, reason=reason)
        self._originals.reject(failed, reason, now)

    def _let_go(self, job: Job, wall: float) -> None:
        """Give up a file that is not there as it was, unless the same scan was dropped again."""
        known = self._ledger.queries.job(job.id)
        if known and known.stat != job.stat:  # the watcher told of it, and will not again
            self._ledger.unclaim(job.id, wall)
            return
        self._ledger.fail(job.id, TAKEN_AWAY, wall)
        log.info("photo.changed", job=job.id, path=job.path)
        self._originals.request_rescan(job)

    def _try_alone(self, job: Job, error: Exception, now: float, wall: float) -> None:
        """Put a job back for want of memory; its attempt counts, so that it comes alone next.

        Everything waits, since it may be another program that has the memory. But a photo that did
        not fit on its last attempt, alone, must not stop the line.
        """
        told = str(error) if type(error) is MemoryError else ""  # by `worker.scan.read`
        size = " and ".join(filter(None, (told, _megabytes(job))))
        if job.attempts >= self._retry.attempts:
            reason = (
                f"this machine's memory did not suffice for it in {job.attempts} attempts, the last"
                f" time alone: it has {size}. Give photochrom more memory and have it tried again"
                f" (photochrom retry {job.id}), or save the scan smaller or in parts"
            )
            self.reject(job, reason, now, wall)
            return
        reason = f"too little memory for a photo of {size}"
        together = now < self.trouble.until
        seconds = self.trouble.begin(now, reason)
        self._ledger.requeue(job.id, reason, wall + seconds)
        self._say_waits(job, reason, seconds, self.trouble, together=together)

    def _wait(self, job: Job, error: Exception, now: float, wall: float) -> None:
        """Put a job back in the queue: the machine is at fault, so everything waits a while.

        For room on a disk only the job itself waits, and those that are larger still.
        """
        reason = str(error) or repr(error)
        waits: Backoff = self.trouble
        if isinstance(error, OSError):
            reason = self._places.in_words(error)
            waits = self.shortage if error.errno in NO_ROOM else waits
        together = now < waits.until
        if isinstance(waits, Shortage):
            reason += "; smaller photographs go on meanwhile"
            seconds = waits.begin_with(job, now, reason)
        else:
            seconds = waits.begin(now, reason)
        self._ledger.back_off(job.id, reason, wall + seconds)
        self._say_waits(job, reason, seconds, waits, together=together)

    @staticmethod
    def _say_waits(
        job: Job, reason: str, seconds: float, trouble: Backoff, *, together: bool
    ) -> None:
        """Say it of the first photo of those that failed together, at the 1st, 2nd, 4th … time."""
        again = together or trouble.faults.bit_count() != 1
        say = log.debug if again else log.warning
        say("photo.waits", job=job.id, path=job.path, reason=reason, seconds=round(seconds, 1))


def _megabytes(job: Job) -> str:
    return f"{job.stat.size / 1e6:,.1f} MB as a file"


def _way_out(job: Job, error: ScanError) -> str:
    """Say what a person can do who knows better, such as that a stamp is the only color."""
    if not isinstance(error, InColorError):
        return ""
    command = f"photochrom retry {job.id} --even-if-colored"
    return (
        "; if only a color target, a ruler or a stamp lies beside a gray print, color it all the"
        f" same with `{command}`"
    )
