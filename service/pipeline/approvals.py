"""Carries out what people decided: approved results go into the outbox, decisions into sidecars.

Each step, for some of the results whose decision is not carried out yet:
1. a held result that was approved is delivered, with its sidecar, and the ledger told
2. it is removed where it was held
3. the decisions are written to the sidecar, wherever that is
4. the ledger is told that all is done, unless somebody has decided anew meanwhile

Each can be done again, so a crash in between costs nothing. All of it happens in the daemon's main
thread: no other work on the same result can come in between. What only a person can mend holds up
that result alone; the ledger has the reason, and it goes on when the obstacle is gone.
"""

import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from service.backoff import Backoff
from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import Decision, DecisionRecord, Job, JobStatus
from service.ledger.ledger import Ledger
from service.storage import held
from service.storage.held import NotAsColoredError
from service.storage.outbox import TakenError
from worker.errors import DeviceError, ScanError

PORTION = 20  # results a step, at most one of which is delivered

log = structlog.get_logger()


class _DecidedAnew(Exception):  # noqa: N818 - nothing is wrong
    """The result is not to be delivered any more."""


class _Wait(NamedTuple):
    """The wait of a single result.

    Attributes:
        backoff: how long, and why.
        obstacle: the file that has its name in the outbox, or None.
        stat: of that file when it was seen; None also if it is no regular file.
    """

    backoff: Backoff
    obstacle: Path | None = None
    stat: FileStat | None = None

    def is_over(self, job: Job, now: float) -> bool:
        """Tell whether its time is up, the obstacle another one, or its reviewer decided anew."""
        if not self.backoff.waits(now) or job.review_problem is None:
            return True
        return self.obstacle is not None and not self._is_there(self.obstacle)

    def _is_there(self, obstacle: Path) -> bool:
        return os.path.lexists(obstacle) and file_stat(obstacle) == self.stat


class Approvals:
    """The decisions that wait to be carried out.

    Args:
        config: the folders, and how long to back off.
        ledger: has the decisions.
        places: tells whether the folders are there, and have room.
    """

    def __init__(self, config: Config, ledger: Ledger, places: FolderMonitor) -> None:
        """Nothing is known to wait."""
        self._config = config
        self._ledger = ledger
        self._places = places
        self._machine = Backoff()  # of all
        self._waits: dict[int, _Wait] = {}  # of single results, by job
        self.more = False  # a further step has something to do

    @property
    def fault(self) -> str:
        """Why the decision on some result cannot be carried out now, or ""."""
        if self._machine.reason or not self._waits:
            return self._machine.reason
        first, *others = (one.backoff.reason for one in self._waits.values())
        return f"{first}; and {len(others)} more wait" if others else first

    def step(self, now: float) -> None:
        """Carry out some.

        Args:
            now: monotonic seconds.

        Raises:
            DeviceError: the ledger cannot be used now; the next step tries again.
        """
        self.more = False
        if self._machine.waits(now) or self._places.blocked_by:
            return
        limit = PORTION + len(self._waits)
        owed = self._ledger.queries.gallery.owing_review(limit)
        self._waits = {job.id: self._waits[job.id] for job in owed if job.id in self._waits}
        waits = self._waits
        due = [job for job in owed if job.id not in waits or waits[job.id].is_over(job, now)]
        for number, job in enumerate(due, 1):
            delivered = self._try(job, now)
            if self._machine.waits(now):
                return
            if delivered or number == PORTION:
                self.more = number < len(due) or len(owed) == limit
                return

    def _try(self, job: Job, now: float) -> bool:
        """Do all for one result; tell whether it was delivered."""
        records = self._ledger.queries.gallery.decisions_of(job.id)
        try:
            delivered = self._is_to_be_delivered(job)
            if delivered:
                job = self._deliver(job, records)
            if not job.held:
                held.discard(job, self._config)
            self._record(job, records)
        except _DecidedAnew:
            return False
        except (NotAsColoredError, TakenError, ScanError) as error:
            self._put_off(job, error, now)
            return False
        except OSError as error:
            self._back_off(job, self._places.in_words(error), now)
            return False
        except DeviceError as error:
            self._back_off(job, str(error), now)
            return False
        self._waits.pop(job.id, None)
        self._machine = self._machine.cleared()
        self._ledger.reviews.carried_out(job.id, records)
        return delivered

    def _is_to_be_delivered(self, job: Job) -> bool:
        """Tell whether a result leaves the held ones; also if that was begun before an undo."""
        if not job.held:
            return False
        return job.decision is Decision.APPROVED or held.is_in_outbox(job, self._config)

    def _deliver(self, job: Job, records: list[DecisionRecord]) -> Job:
        """Put a held result into the outbox; return the job as it is afterwards."""

        def confirm() -> None:
            present = self._ledger.queries.job(job.id)
            if present is None or (present.event, present.held) != (job.event, True):
                raise _DecidedAnew
            if present.decision is not Decision.APPROVED or present.status is JobStatus.STARTED:
                raise _DecidedAnew

        check = partial(self._places.check, "outbox", held.KEY)
        held.put_into_outbox(job, self._config, records, check=check, confirm=confirm)
        self._ledger.reviews.release_held(job.id, job.event)
        approvals = (one.who for one in reversed(records) if one.decision is Decision.APPROVED)
        who = next(approvals, "")
        log.info("photo.released", job=job.id, path=job.path, output=job.output, who=who)
        released = self._ledger.queries.job(job.id)
        if released is None or released.held:
            raise _DecidedAnew
        return released

    def _record(self, job: Job, records: list[DecisionRecord]) -> None:
        """Write the decisions to the sidecar; one that is not ours any more stays as it is."""
        if job.event is None or job.fetched_at is not None:
            return
        key = held.KEY if job.held else "outbox"
        try:
            held.record_decisions(job, self._config, records, partial(self._places.check, key))
        except NotAsColoredError as error:
            log.warning("photo.sidecar_left", job=job.id, path=job.path, reason=str(error))

    def _put_off(self, job: Job, error: Exception, now: float) -> None:
        """Let one result wait: a person must act."""
        reason, obstacle, stat = str(error), None, None
        if isinstance(error, TakenError):
            obstacle = Path(os.fsdecode(error.filename))
            stat = file_stat(obstacle)
            reason = f"another file has its name in the outbox; move it away: {obstacle}"
        elif isinstance(error, NotAsColoredError):
            reason = f"{error}; have it colored again: photochrom verify --repair"
        before = self._waits[job.id].backoff if job.id in self._waits else Backoff()
        after = before.ended(now).after_failure(now, reason, self._config.retry)
        self._waits[job.id] = _Wait(after, obstacle, stat)
        if job.review_problem != reason:
            self._ledger.reviews.note_problem(job.id, reason)
        _log_wait(job, reason, now, after)

    def _back_off(self, job: Job, reason: str, now: float) -> None:
        """Let all wait: the machine is at fault."""
        self._machine = self._machine.after_failure(now, reason, self._config.retry)
        _log_wait(job, reason, now, self._machine)


def _log_wait(job: Job, reason: str, now: float, backoff: Backoff) -> None:
    if backoff.is_to_be_logged:
        log.warning(
            "photo.not_released",
            job=job.id,
            path=job.path,
            reason=reason,
            seconds=round(backoff.until - now, 1),
        )
