"""The ledger: one row a job, in SQLite, and every change to it.

    enqueue -> queued -- claim ---> started -- finish --> finished
                 ^                     |
                 +- back_off, requeue -+-- fail --> failed -- enqueue --> queued
                    unclaim, recover   +-- unqueue --> no job

`recolor` puts a finished job back in the queue, and a failed one that was finished before. `forget`
deletes the row of a finished or failed job. Read-only questions are in `service.ledger.queries`.
Each change is on disk before its call returns; those inside `transaction`, before that ends. Times
are seconds since 1970, passed by the caller.
A damaged ledger, or one with a newer schema, is refused and never deleted.
"""

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.filesystem.access import refuse_strangers
from service.filesystem.file_stat import FileStat
from service.ledger.database import Database, LedgerError
from service.ledger.jobs import ActiveModel, Job, JobStatus
from service.ledger.queries import LedgerQueries
from service.ledger.reviews import Reviews
from service.ledger.rows import job_of_row, restored_columns, stat_columns, storable
from service.ledger.schema import (
    ALONE,
    CLAIM,
    ENQUEUE,
    EXPEDITE,
    FINISH,
    FORGET,
    LINK_SAME_CONTENTS,
    NOTE_DELIVERY,
    RECOLOR,
    RESTORE,
    SEEN_AGAIN,
    STAND_AGAIN,
    STAND_AGAIN_BESIDE,
    STORE_ACTIVE_MODEL,
    SUPERSEDE,
    TAKE_OVER,
    UNLINK,
    UNQUEUE,
)

__all__ = ["LEDGER_FILE", "ActiveModel", "Job", "JobStatus", "Ledger", "LedgerError"]

LEDGER_FILE = "ledger.sqlite3"


class Ledger:
    """An open ledger that can be changed; used by the thread that opened it.

    Every method raises DeviceError when the disk is full or the ledger is locked or not writable;
    nothing was changed then, and the call may be repeated. It raises LedgerError when the ledger
    is damaged, and ValueError for a job whose status does not allow the change.

    Attributes:
        queries: the read-only questions to the same open file.
        reviews: the decisions on results in the same open file.
    """

    def __init__(self, path: Path) -> None:
        """Open the ledger, creating it in an existing folder if it is missing."""
        refuse_strangers(path.parent, write=True)
        self._database = Database(path)
        self.queries = LedgerQueries(self._database)
        self.reviews = Reviews(self._database)

    def close(self) -> None:
        """Close the ledger."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def wal_size(self) -> int:
        """Size of its write-ahead log, bytes."""
        return self._database.wal_size

    def transaction(self) -> AbstractContextManager[None]:
        """Commit all changes inside together, in one transaction, or none of them.

        No daemon can claim a job meanwhile. A change that raises ValueError undoes only itself.
        """
        return self._database.transaction()

    # Queueing

    def enqueue(
        self,
        path: PurePosixPath,
        digest: str,
        stat: FileStat,
        output: PurePosixPath,
        now: float,
        settings: FolderSettings = AS_USUAL,
    ) -> tuple[Job, bool]:
        """Queue a scan, unless it is queued, started or finished already.

        Args:
            path: of the scan in the inbox.
            digest: SHA-256 of its content, hexadecimal.
            stat: of the scan.
            output: path in the outbox that no other job owns (`output_taken`). It is used only if
                the scan is queued now and has no earlier result under a name of its own.
            now: seconds since 1970.
            settings: those of its folder.

        Returns:
            The job of this path and content, and whether it was queued now, being new or failed;
            a failed job starts afresh.

        Raises:
            ValueError: another job owns the output.
        """
        key = (os.fsencode(path), digest)
        columns = stat_columns(stat)
        with self._database.transaction():
            known = self.queries.by_digest(path, digest)
            if known and known.status is not JobStatus.FAILED:
                return self._all(SEEN_AGAIN, *columns, known.id)[0], False
            if not (known and known.recolor) and self.queries.output_taken(output):
                raise ValueError(f"another job owns {output} in the outbox")
            given = settings.model_dump_json(exclude_unset=True)
            values = (*key, os.fsencode(output), *columns, given, now, now, *key)
            return self._all(ENQUEUE, *values)[0], True

    def recolor(self, job_ids: Iterable[int], now: float, *, repair: bool = False) -> int:
        """Queue jobs with a result again, in one transaction.

        Their attempts start afresh; model and output stay as they are until the jobs finish.

        Args:
            job_ids: which; jobs that never finished, or are queued or started, are skipped.
            now: seconds since 1970.
            repair: the new results may replace files with their names that were altered.

        Returns:
            How many were queued.
        """
        with self._database.transaction():
            return sum(len(self._all(RECOLOR, repair, now, now, job_id)) for job_id in job_ids)

    def override_settings(self, job_id: int, settings: FolderSettings) -> None:
        """Store settings for one photo, which take precedence over those of its folder.

        Earlier overrides of other keys stay. They apply when work on the job next begins.
        """
        with self._database.transaction():
            rows = self._database.rows("SELECT asked FROM jobs WHERE id = ?", job_id)
            for row in rows:
                asked = settings.over(FolderSettings.model_validate_json(row["asked"]))
                given = asked.model_dump_json(exclude_unset=True)
                self._database.rows("UPDATE jobs SET asked = ? WHERE id = ?", given, job_id)

    def expedite(self, now: float) -> list[Job]:
        """End the backoff of all queued jobs, and return those that had one."""
        with self._database.transaction():
            return sorted(self._all(EXPEDITE, now, now), key=lambda job: job.id)

    def forget(self, job_id: int) -> Job:
        """Delete a finished or failed job, as if its scan had never been queued.

        Returns:
            The job as it was; its id is never reused.
        """
        with self._database.transaction():
            forgotten = self._forget(job_id)
            if forgotten is None:
                raise ValueError(f"job {job_id} is not finished or failed")
        return forgotten

    def forget_finished(self, job_ids: Iterable[int]) -> int:
        """Delete those of these jobs that are still finished; return how many."""
        with self._database.transaction():
            jobs = self.queries.by_ids(list(job_ids))
            finished = [job.id for job in jobs if job.status is JobStatus.FINISHED]
            return sum(self._forget(job_id) is not None for job_id in finished)

    def _forget(self, job_id: int) -> Job | None:
        self._database.rows(UNLINK, job_id)
        forgotten = self._all(FORGET, job_id)
        if not forgotten:
            return None
        if digest := forgotten[0].delivered_digest:
            self._database.rows(STAND_AGAIN_BESIDE, os.fsencode(forgotten[0].path), digest)
        return forgotten[0]

    # Rebuilding a lost ledger; inside `transaction`

    def restore(self, job: Job) -> bool:
        """Insert a job that ended before the ledger was lost, under a new id.

        It replaces a job with the same path and content.

        Returns:
            False if another job owns its output; nothing was changed then.
        """
        queries = self.queries
        known = queries.by_digest(job.path, job.digest)
        owns = job.status is not JobStatus.FAILED and job.superseded_by is None
        moves = known is None or known.output != job.output
        if owns and moves and queries.output_taken(job.output):
            return False
        if known:
            self._forget(known.id)
        self._database.rows(RESTORE, *restored_columns(job))
        return True

    def link_same_contents(self) -> None:
        """Set `same_content_as` of all restored jobs."""
        self._database.rows(LINK_SAME_CONTENTS)

    # Working

    def claim(
        self,
        limit: int,
        now: float,
        *,
        in_flight: int,
        longest_wait: float = math.inf,
        below: int | None = None,
        alone: bool = True,
    ) -> list[Job]:
        """Start the jobs that have waited longest, counting the attempt before any work.

        Photos to be recolored come last. A job attempted before may be what killed the process: it
        is started when nothing is in flight, and nothing else until it is done.

        Args:
            limit: maximum number.
            now: seconds since 1970.
            in_flight: how many claimed jobs are still in progress.
            longest_wait: seconds; a job due later than that is due now, because the clock was set
                back since its backoff began.
            below: bytes; only scans smaller than this, smallest first. None: any size.
            alone: False starts such a job like any other: it would kill another process.

        Returns:
            The jobs, in that order.
        """
        with self._database.transaction():
            if alone and self._database.rows(ALONE):
                return []
            due = self.queries.due(limit, now, longest_wait, below)
            if alone and due and due[0].attempts:
                due = [] if in_flight else due[:1]
            elif alone:
                due = list(itertools.takewhile(lambda job: not job.attempts, due))
            for job in due:
                self._database.rows(CLAIM, now, job.id)
        begun = partial(replace, status=JobStatus.STARTED, started_at=now)
        return [begun(job, attempts=job.attempts + 1) for job in due]

    def note_delivery(self, job_id: int, *noted: str) -> None:
        """Record what an unfinished job is about to deliver, before that gets its name.

        Args:
            job_id: which; nothing is recorded of jobs that are not queued or started.
            noted: SHA-256 of the result, and UUID of the coloring in its sidecar.
        """
        with self._database.transaction():
            self._database.rows(NOTE_DELIVERY, "".join(f"{one} " for one in noted), job_id)

    def finish(  # noqa: PLR0913 - each is a column
        self,
        job_id: int,
        *,
        model: str,
        now: float,
        output_digest: str | None = None,
        event: str | None = None,
        confidence: float | None = None,
        change: float | None = None,
        held: bool = False,
    ) -> Job:
        """Record that a started job's result is in the outbox, or held; arguments as in `Job`.

        The new result is open to review, whatever was decided on the one before, which stays in the
        outbox if the new one is held.
        """
        values = {"model": model, "now": now, "output_digest": output_digest, "event": event}
        values |= {"confidence": confidence, "change": change, "held": held, "id": job_id}
        with self._database.transaction():
            rows = self._database.rows_named(FINISH, values)
        if not rows:
            raise ValueError(f"job {job_id} is not started")
        return job_of_row(rows[0])

    def record_originals(self, originals: Iterable[tuple[int, PurePosixPath]]) -> None:
        """Record where the originals of jobs, by id, are in the originals' folder."""
        with self._database.transaction():
            for job_id, path in originals:
                sql = "UPDATE jobs SET original = ? WHERE id = ?"
                self._database.rows(sql, os.fsencode(path), job_id)

    def set_xmp_owed(self, job_id: int, *, owed: bool) -> None:
        """Record whether XMP files have yet to follow a job's original."""
        with self._database.transaction():
            self._database.rows("UPDATE jobs SET xmp_owed = ? WHERE id = ?", owed, job_id)

    def back_off(self, job_id: int, reason: str, not_before: float) -> Job:
        """Put a started job back after a temporary failure; the attempt does not count."""
        change = "status = 'queued', attempts = attempts - 1, waits = waits + 1, reason = ?"
        return self._change(job_id, f"{change}, not_before = ?", storable(reason), not_before)

    def requeue(self, job_id: int, reason: str, not_before: float) -> Job:
        """Put a started job back for another attempt; this one counts."""
        change = "status = 'queued', reason = ?, not_before = ?"
        return self._change(job_id, change, storable(reason), not_before)

    def supersede(self, job_id: int, earlier: Job) -> Job:
        """Give a started job the output of a finished one, whose scan it is with more pages.

        Raises:
            ValueError: one of them has changed its status.
        """
        with self._database.transaction():
            if not self._all(SUPERSEDE, job_id, earlier.id):
                raise ValueError(f"job {earlier.id} is not finished, or is superseded")
            changed = self._all(TAKE_OVER, earlier.id, job_id)
            if not changed:
                raise ValueError(f"job {job_id} is not started")
        return changed[0]

    def rename_output(self, job_id: int, output: PurePosixPath) -> Job:
        """Change the output of a started job; its earlier result keeps its name, and is let go."""
        let_go = "fetched_at = iif(recolor, coalesce(fetched_at, started_at), fetched_at)"
        return self._change(job_id, f"output = ?, {let_go}", os.fsencode(output))

    def unqueue(self, job_id: int) -> None:
        """Delete a started job whose file turned out to be incomplete."""
        with self._database.transaction():
            self._database.rows(UNLINK, job_id)
            if not self._all(UNQUEUE, job_id):
                raise ValueError(f"job {job_id} is not started")

    def unclaim(self, job_id: int, now: float) -> Job:
        """Put back a started job that nobody has worked on, as if it had not been claimed."""
        change = "status = 'queued', attempts = attempts - 1, started_at = NULL, not_before = ?"
        return self._change(job_id, change, now)

    def fail(self, job_id: int, reason: str, now: float) -> Job:
        """Record that a started or queued job's scan cannot be colored, and why."""
        change = "status = 'failed', reason = ?, finished_at = ?"
        before = ("started", "queued")
        return self._change(job_id, change, storable(reason), now, before=before, then=STAND_AGAIN)

    def recover(self) -> list[Job]:
        """Put back all started jobs at startup; their attempts count, and backoffs end."""
        with self._database.transaction():
            self._database.rows(
                "UPDATE jobs SET not_before = 0 WHERE status = 'queued' AND not_before > queued_at"
            )
            sql = "UPDATE jobs SET status = 'queued' WHERE status = 'started' RETURNING *"
            return sorted(self._all(sql), key=lambda job: job.id)

    def record_active_model(self, active: ActiveModel) -> None:
        """Store which model the daemon uses, for other processes to read."""
        with self._database.transaction():
            self._database.rows(STORE_ACTIVE_MODEL, *active)

    def _all(self, sql: str, *values: Any) -> list[Job]:
        return [job_of_row(row) for row in self._database.rows(sql, *values)]

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
