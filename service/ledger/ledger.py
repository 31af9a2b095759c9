"""Every photo that was ever queued, and how far it is: one row a job, in SQLite.

    enqueue -> queued -- claim --> started -- finish --> finished
                 ^                    |
                 +- wait, release, ---+-- fail --> failed -- enqueue --> queued
                    again, recover    +-- unqueue --> no job

`recolor` puts a finished job back to queued; so it does a failed one that was finished before.
`forget` removes the row of a finished or failed job. What only asks is in `service.ledger.queries`.
Each change is on disk before its call returns. Times are seconds since 1970, given by the caller.
A ledger that is damaged or of a newer photochrom is refused, and never deleted.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Self

from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.access import refuse_strangers
from service.filesystem.snapshot import FileStat
from service.ledger.database import LONGEST_LOCK_WAIT, Database, LedgerError
from service.ledger.jobs import ActiveModel, Job, JobStatus
from service.ledger.queries import Questions, restored, storable
from service.ledger.schema import (
    ENQUEUE,
    FORGET,
    HASTEN,
    RECOLOR,
    RESTORE,
    SAME_CONTENTS,
    SERVE,
    STAND_AGAIN,
    SUPERSEDE,
    TAKE_OVER,
    UNLINK,
    UNQUEUE,
)

__all__ = ["LEDGER_FILE", "ActiveModel", "Job", "JobStatus", "Ledger", "LedgerError"]

LEDGER_FILE = "ledger.sqlite3"


class Ledger(Questions):
    """An open ledger; used by the thread that opened it.

    Every method raises DeviceError when the disk is full or the ledger is locked or cannot be
    written: nothing was changed then, and it may be tried again. It raises LedgerError when the
    ledger is damaged, and ValueError for a job that is not where the drawing above has it.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, wait: float = LONGEST_LOCK_WAIT
    ) -> None:
        """Open the ledger; one to write is made when missing, in a folder that exists.

        `wait` is for how many seconds it waits for another process that holds it.
        """
        refuse_strangers(path.parent, write=not read_only)
        super().__init__(Database(path, read_only=read_only, wait=wait))

    @classmethod
    def open_read_only(cls, path: Path, wait: float = LONGEST_LOCK_WAIT) -> Self:
        """Open a ledger that exists, to look at it while a daemon works with it."""
        return cls(path, read_only=True, wait=wait)

    @property
    def outdated(self) -> bool:
        """Whether it is still in the form of an older photochrom (when opened read-only)."""
        return self._database.outdated

    def close(self) -> None:
        """Close the ledger."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # Into the queue

    def enqueue(
        self,
        path: PurePosixPath,
        digest: str,
        snapshot: FileStat,
        output: PurePosixPath,
        now: float,
        settings: FolderSettings = AS_USUAL,
    ) -> tuple[Job, bool]:
        """Queue a scan, unless it is queued, started or finished already.

        Args:
            path: of the scan in the inbox.
            digest: SHA-256 of its content, hexadecimal.
            snapshot: how it looks.
            output: path in the outbox that no other job owns (`output_taken`); only a job that is
                queued now gets it, unless it has an earlier photo there under its own name.
            now: seconds since 1970.
            settings: those of its folder.

        Returns:
            The job of this path and content, and whether it was queued now: because it is new, or
            because it had failed, and then it starts afresh.

        Raises:
            ValueError: another job owns the output.
        """
        key = (os.fsencode(path), digest)
        looks = (snapshot.size, snapshot.mtime_ns, str(snapshot.inode), str(snapshot.device))
        with self._database.transaction():
            known = self._one("path = ? AND digest = ?", *key)
            if known and known.status is not JobStatus.FAILED:
                sql = "UPDATE jobs SET size = ?, mtime_ns = ?, inode = ?, device = ? WHERE id = ?"
                return self._all(f"{sql} RETURNING *", *looks, known.id)[0], False
            if not (known and known.recolor) and self.output_taken(output):
                raise ValueError(f"another job owns {output} in the outbox")
            given = settings.model_dump_json(exclude_unset=True)
            values = (*key, os.fsencode(output), *looks, given, now, now, *key)
            return self._all(ENQUEUE, *values)[0], True

    def recolor(self, job_ids: Iterable[int], now: float, *, repair: bool = False) -> int:
        """Queue jobs again whose photos are in the outbox; all of them, or none at a fault.

        Their attempts start afresh; model and output stay what they were until they are finished.

        Args:
            job_ids: which; those that are not finished, nor failed to be colored again, are left.
            now: seconds since 1970.
            repair: the new results may replace what has their names, though it was altered.

        Returns:
            How many are queued now.
        """
        with self._database.transaction():
            return sum(len(self._all(RECOLOR, repair, now, now, job_id)) for job_id in job_ids)

    def ask(self, job_id: int, settings: FolderSettings) -> None:
        """Note what a person asks for one photo; it counts more than its folder's settings.

        What was asked before and is not given now stays. It is minded when work on it next begins.
        """
        with self._database.transaction():
            rows = self._database.rows("SELECT asked FROM jobs WHERE id = ?", job_id)
            for row in rows:
                asked = settings.over(FolderSettings.model_validate_json(row["asked"]))
                given = asked.model_dump_json(exclude_unset=True)
                self._database.rows("UPDATE jobs SET asked = ? WHERE id = ?", given, job_id)

    def expedite(self, now: float) -> list[Job]:
        """Make the queued jobs due that wait after a fault, and return them."""
        with self._database.transaction():
            return sorted(self._all(HASTEN, now, now), key=lambda job: job.id)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Let nobody else change the ledger meanwhile, so that no daemon takes up another job."""
        with self._database.transaction():
            yield

    def forget(self, job_id: int) -> Job:
        """Remove the row of a finished or failed job, as if its scan had never been queued.

        Returns:
            The job as it was; its number is never given to another.
        """
        with self._database.transaction():
            forgotten = self._forget(job_id)
            if forgotten is None:
                raise ValueError(f"job {job_id} is not finished or failed")
        return forgotten

    def forget_finished(self, job_ids: Iterable[int]) -> int:
        """Remove the rows of those jobs that are still finished; return how many."""
        with self._database.transaction():
            still = "id = ? AND status = 'finished'"
            return sum(
                self._one(still, number) is not None and self._forget(number) is not None
                for number in job_ids
            )

    def _forget(self, job_id: int) -> Job | None:
        self._database.rows(UNLINK, job_id)
        forgotten = self._all(FORGET, job_id)
        return forgotten[0] if forgotten else None

    def restore(self, job: Job) -> bool:
        """Note a job that ended before the ledger was lost; use it while the ledger is `held`.

        It gets a number of its own. Of one that is known by path and content, what it was is
        replaced.

        Returns:
            False where another job owns its output; nothing was noted then.
        """
        known = self.known(job.path, job.digest)
        owns = job.status is not JobStatus.FAILED and job.superseded_by is None
        if owns and (known is None or known.output != job.output) and self.output_taken(job.output):
            return False
        if known:
            self._forget(known.id)
        self._database.rows(RESTORE, *restored(job))
        return True

    def note_same_contents(self) -> None:
        """Note of all restored jobs which have the content of an earlier one; as `restore`."""
        self._database.rows(SAME_CONTENTS)

    # Through the work

    def claim(
        self,
        limit: int,
        now: float,
        *,
        in_flight: int,
        longest_wait: float = math.inf,
        below: int | None = None,
    ) -> list[Job]:
        """Start the jobs that have waited longest, and count the attempt before any work.

        Those that are colored again come after all others, which have no photo yet. A job whose
        work began before may be what ended the process then. It is started alone: only with nothing
        in flight, and nothing else until it is done.

        Args:
            limit: how many at most.
            now: seconds since 1970.
            in_flight: how many claimed jobs are still in work.
            longest_wait: seconds; a job that is due later still is due now, for the clock was put
                back since it was told to wait.
            below: bytes; only scans of fewer, the smallest first. None: of any size.

        Returns:
            The jobs, in that order; none when there is none, or when one must be alone.
        """
        with self._database.transaction():
            if self._one("status = 'started' AND attempts > 1"):
                return []
            due = self._due(limit, now, longest_wait, below)
            if due and due[0].attempts:
                due = [] if in_flight else due[:1]
            else:
                suspect = next((at for at, job in enumerate(due) if job.attempts), len(due))
                due = due[:suspect]
            sql = "UPDATE jobs SET status = 'started', attempts = attempts + 1, started_at = ?"
            sql += " WHERE id = ? RETURNING *"
            return [self._all(sql, now, job.id)[0] for job in due]

    def finish(
        self,
        job_id: int,
        *,
        model: str,
        now: float,
        output_digest: str | None = None,
        event: str | None = None,
    ) -> Job:
        """Note that a started job's photo is in the outbox; for the arguments see `Job`."""
        change = "status = 'finished', recolor = 0, repair = 0, model = ?, reason = NULL"
        change += ", finished_at = ?, output_digest = ?, event = ?"
        return self._change(job_id, change, model, now, output_digest, event)

    def moved(self, originals: Iterable[tuple[int, PurePosixPath]]) -> None:
        """Note where in the originals' folder the originals of jobs, by number, lie now."""
        with self._database.transaction():
            for job_id, place in originals:
                sql = "UPDATE jobs SET original = ? WHERE id = ?"
                self._database.rows(sql, os.fsencode(place), job_id)

    def owe(self, job_id: int, *, owed: bool) -> None:
        """Note that XMP files are still to follow a job's original, or that none is."""
        with self._database.transaction():
            self._database.rows("UPDATE jobs SET xmp_owed = ? WHERE id = ?", owed, job_id)

    def back_off(self, job_id: int, reason: str, not_before: float) -> Job:
        """Put a started job back for a fault of the machine; the attempt does not count."""
        change = "status = 'queued', attempts = attempts - 1, waits = waits + 1, reason = ?"
        return self._change(job_id, f"{change}, not_before = ?", storable(reason), not_before)

    def requeue(self, job_id: int, reason: str, not_before: float) -> Job:
        """Put a started job back for another attempt; this one counts."""
        change = "status = 'queued', reason = ?, not_before = ?"
        return self._change(job_id, change, storable(reason), not_before)

    def supersede(self, job_id: int, earlier: Job) -> Job:
        """Let a started job take over the name of a finished one, whose scan it is with more pages.

        Raises:
            ValueError: one of them is by now what it must not be.
        """
        with self._database.transaction():
            result = (os.fsencode(earlier.output), earlier.output_digest, earlier.event)
            if not self._all(SUPERSEDE, job_id, earlier.id):
                raise ValueError(f"job {earlier.id} is not finished, or is superseded")
            changed = self._all(TAKE_OVER, *result, job_id)
            if not changed:
                raise ValueError(f"job {job_id} is not started")
        return changed[0]

    def rename_output(self, job_id: int, output: PurePosixPath) -> Job:
        """Give a started job's result another name."""
        return self._change(job_id, "output = ?", os.fsencode(output))

    def unqueue(self, job_id: int) -> None:
        """Remove the row of a started job whose file is not whole yet: it is no job."""
        with self._database.transaction():
            self._database.rows(UNLINK, job_id)
            if not self._all(UNQUEUE, job_id):
                raise ValueError(f"job {job_id} is not started")

    def unclaim(self, job_id: int, now: float) -> Job:
        """Put a started job back that nobody has begun to work on, as if never claimed."""
        change = "status = 'queued', attempts = attempts - 1, started_at = NULL, not_before = ?"
        return self._change(job_id, change, now)

    def fail(self, job_id: int, reason: str, now: float) -> Job:
        """Note that a started or queued job's scan cannot be colored, and why."""
        change = "status = 'failed', reason = ?, finished_at = ?"
        before = ("started", "queued")
        return self._change(job_id, change, storable(reason), now, before=before, then=STAND_AGAIN)

    def recover(self) -> list[Job]:
        """Put back all started jobs at start-up: the process that worked on them is gone.

        Their attempts count. What waited for the machine waits no longer: it may have been mended.
        """
        with self._database.transaction():
            due = (
                "UPDATE jobs SET not_before = 0 WHERE status = 'queued' AND not_before > queued_at"
            )
            self._database.rows(due)
            sql = "UPDATE jobs SET status = 'queued' WHERE status = 'started' RETURNING *"
            return sorted(self._all(sql), key=lambda job: job.id)

    # Kept small

    @property
    def journal_size(self) -> int:
        """Bytes of its write-ahead log."""
        return self._database.journal_size

    @property
    def shrinks(self) -> bool:
        """Whether what is forgotten can be given back to the disk."""
        return self._database.shrinks

    def rewrite(self) -> None:
        """Write it anew, so that it shrinks from then on; see `Database.rewrite`."""
        self._database.rewrite()

    def give_back(self, pages: int) -> bool:
        """Give free pages back to the disk; tell whether there are more."""
        return self._database.give_back(pages)

    # Which generator serves

    def serve(self, serving: ActiveModel) -> None:
        """Note which generator the daemon uses, for those who ask beside it."""
        with self._database.transaction():
            self._database.rows(SERVE, *serving)

    def _change(
        self,
        job_id: int,
        change: str,
        *values: Any,
        before: Sequence[str] = ("started",),
        then: str | None = None,
    ) -> Job:
        marks = ", ".join("?" * len(before))
        sql = f"UPDATE jobs SET {change} WHERE id = ? AND status IN ({marks}) RETURNING *"  # noqa: S608
        with self._database.transaction():
            changed = self._all(sql, *values, job_id, *before)
            if changed and then:
                self._database.rows(then, job_id)
        if not changed:
            raise ValueError(f"job {job_id} is not {' or '.join(before)}")
        return changed[0]
