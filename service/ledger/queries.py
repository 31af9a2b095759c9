"""Read-only questions to the ledger: which jobs exist, and their state."""

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Self

from service.filesystem.access import refuse_strangers
from service.filesystem.file_stat import FileStat
from service.ledger.conditions import named, range_of
from service.ledger.database import LONGEST_LOCK_WAIT, Database
from service.ledger.gallery import GalleryQueries
from service.ledger.jobs import TAKEN_AWAY, ActiveModel, Job, JobStatus
from service.ledger.rows import job_of_row
from service.ledger.schema import BACKED_OFF, OWNS_OUTPUT

PORTION = 500  # jobs per query
NAMES = ("path", "output", "original")


class LedgerQueries:
    """A ledger that can only be read; errors are those of `Ledger`.

    `Ledger.queries` reads in the process that writes; `LedgerQueries.open` beside it.

    Attributes:
        gallery: the questions about results that people look at.
    """

    def __init__(self, database: Database) -> None:
        """Read an open file."""
        self._database = database
        self.gallery = GalleryQueries(database)

    @classmethod
    def open(cls, path: Path, wait: float = LONGEST_LOCK_WAIT) -> Self:
        """Open an existing ledger, which a daemon may be using.

        `wait` is the lock timeout in seconds.
        """
        refuse_strangers(path.parent, write=False)
        return cls(Database(path, read_only=True, wait=wait))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the open ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def outdated(self) -> bool:
        """Whether the file has an older schema; only possible when it was opened read-only."""
        return self._database.outdated

    # Counts

    def counts(self) -> dict[JobStatus, int]:
        """Count the jobs of each status."""
        sql = "SELECT status, jobs AS n FROM counts"
        if self._database.outdated:
            sql = "SELECT status, count(*) AS n FROM jobs GROUP BY status"
        rows = self._database.rows(sql)
        return dict.fromkeys(JobStatus, 0) | {JobStatus(row["status"]): row["n"] for row in rows}

    def finished_since(self, moment: float) -> int:
        """Count the jobs finished at or after a moment, in seconds since 1970."""
        sql = "SELECT count(*) AS n FROM jobs WHERE status = 'finished' AND finished_at >= ?"
        return int(self._database.rows(sql, moment)[0]["n"])

    def done_since(self, moment: float) -> int:
        """Count the jobs finished or failed at or after a moment, in seconds since 1970."""
        where = "status IN ('finished', 'failed') AND finished_at >= ?"
        sql = f"SELECT count(*) AS n FROM jobs WHERE {where}"  # noqa: S608
        return int(self._database.rows(sql, moment)[0]["n"])

    # The queue

    def has_due(
        self, now: float, *, longest_wait: float = math.inf, below: int | None = None
    ) -> bool:
        """Tell whether a queued job may be claimed; for the arguments see `Ledger.claim`."""
        return bool(self.due(1, now, longest_wait, below))

    def due(
        self, limit: int, now: float, longest_wait: float = math.inf, below: int | None = None
    ) -> list[Job]:
        """List the jobs `Ledger.claim` may start, in its order."""
        table, order, values = "jobs", "recolor, id", [now, now + longest_wait]
        where = f"status = 'queued' AND NOT {BACKED_OFF}"
        if below is not None:
            table, order, values = "jobs INDEXED BY jobs_by_size", "size, id", [*values, below]
            where += " AND size < ?"
        sql = f"SELECT * FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return self._all(sql, *values, limit)

    def backed_off(
        self, now: float, limit: int = -1, *, longest_wait: float = math.inf
    ) -> list[Job]:
        """List queued jobs that may not be claimed yet, after a temporary failure.

        Args:
            now: seconds since 1970.
            limit: maximum number; -1: all.
            longest_wait: seconds; as for `Ledger.claim`.
        """
        where = f"status = 'queued' AND {BACKED_OFF} ORDER BY recolor, id LIMIT ?"
        sql = f"SELECT * FROM jobs WHERE {where}"  # noqa: S608 - of constants
        return self._all(sql, now, now + longest_wait, limit)

    def oldest_waiting(self) -> Job | None:
        """Return the job that has been queued longest, or None."""
        # Without the hint, SQLite sorts the whole queue.
        index = "" if self._database.outdated else "INDEXED BY jobs_by_wait"
        sql = f"SELECT * FROM jobs {index} WHERE status = 'queued' ORDER BY queued_at, id LIMIT 1"  # noqa: S608
        return next(iter(self._all(sql)), None)

    def started(self) -> list[Job]:
        """List the jobs in progress, in the order they were started."""
        return self._all("SELECT * FROM jobs WHERE status = 'started' ORDER BY started_at, id")

    def exhausted(self, attempts: int) -> list[Job]:
        """List queued jobs with at least that many attempts; after `recover`, each was cut off."""
        return self._all(
            "SELECT * FROM jobs WHERE status = 'queued' AND attempts >= ? ORDER BY recolor, id",
            attempts,
        )

    # Results

    def colored(self) -> list[Job]:
        """List the jobs with a result, present or past."""
        rows = self._all("SELECT * FROM jobs WHERE status = 'finished' OR recolor ORDER BY id")
        return [job for job in rows if job.superseded_by is None]  # an older schema has no column

    def owning_output(self) -> list[Job]:
        """List the jobs that own a name in the outbox, whether or not a file is there yet."""
        rows = self._all(f"SELECT * FROM jobs WHERE {OWNS_OUTPUT} ORDER BY id")  # noqa: S608
        return [job for job in rows if job.superseded_by is None]

    def output_taken(self, output: PurePosixPath) -> bool:
        """Tell whether a job owns a path in the outbox."""
        where = f"output = ? AND {OWNS_OUTPUT} AND superseded_by IS NULL"
        return self._one(where, os.fsencode(output)) is not None

    def latest_finished(self, path: PurePosixPath) -> Job | None:
        """Return the last finished job of a path in the inbox that is not superseded, or None."""
        where = "path = ? AND status = 'finished' AND superseded_by IS NULL ORDER BY id DESC"
        return self._one(where, os.fsencode(path))

    def predecessor(self, job_id: int) -> Job | None:
        """Return the last job that this job superseded, or None."""
        return self._one("superseded_by = ? ORDER BY id DESC", job_id)

    def finished_before(self, moment: float, after: Job | None, limit: int) -> list[Job]:
        """List the jobs finished before a moment, oldest first.

        Args:
            moment: seconds since 1970.
            after: the last job of the previous page, or None for the first page.
            limit: maximum number.
        """
        where = "status = 'finished' AND finished_at < ? AND (finished_at, id) > (?, ?)"
        place = (-math.inf, 0) if after is None else (after.finished_at, after.id)
        sql = f"SELECT * FROM jobs WHERE {where} ORDER BY finished_at, id LIMIT ?"  # noqa: S608
        return self._all(sql, moment, *place, limit)

    def with_xmp_owed(self) -> list[Job]:
        """List the jobs whose XMP files have yet to follow their originals."""
        return self._all("SELECT * FROM jobs WHERE xmp_owed ORDER BY id")

    # Failures

    def failed(self) -> list[Job]:
        """List the failed jobs, including those that failed to be recolored."""
        return self._all("SELECT * FROM jobs WHERE status = 'failed' ORDER BY id")

    def recent_failures(self, limit: int) -> list[Job]:
        """List the last failed jobs, newest first."""
        return self._all(
            "SELECT * FROM jobs WHERE status = 'failed' ORDER BY finished_at DESC, id DESC LIMIT ?",
            limit,
        )

    def rejected_of(self, path: PurePosixPath) -> list[Job]:
        """List the jobs of a path in the inbox whose scans were rejected, newest first."""
        where = "path = ? AND status = 'failed' ORDER BY id DESC"
        found = self._all(f"SELECT * FROM jobs WHERE {where}", os.fsencode(path))  # noqa: S608
        return [job for job in found if not job.recolor]  # an older schema has no column

    # One scan

    def job(self, job_id: int) -> Job | None:
        """Return a job by its id, or None."""
        return self._one("id = ?", job_id)

    def by_digest(self, path: PurePosixPath, digest: str) -> Job | None:
        """Return the job of a path in the inbox with this content, or None."""
        return self._one("path = ? AND digest = ?", os.fsencode(path), digest)

    def by_stat(self, path: PurePosixPath, stat: FileStat) -> Job | None:
        """Return the job of a file unchanged since it was queued, judged by its stat alone.

        Failed jobs are left out: dropping the file again asks for another attempt.
        """
        return self._one(f"{_SAME_FILE} AND status != 'failed'", *_same_file(path, stat))

    def rejected_by_stat(self, path: PurePosixPath, stat: FileStat) -> Job | None:
        """Return the job of a rejected file unchanged since then, or None."""
        where = f"{_SAME_FILE} AND status = 'failed' AND NOT recolor AND reason != ?"
        return self._one(where, *_same_file(path, stat), TAKEN_AWAY)

    def has_done_below(self, folder: PurePath) -> bool:
        """Tell whether any scan in a folder of the inbox, however deep, finished or failed."""
        where = "path > ? AND path < ? AND status IN ('finished', 'failed')"
        return self._one(where, *range_of(folder)) is not None

    # The model

    def active_model(self) -> ActiveModel | None:
        """Return what `Ledger.record_active_model` stored last, or None."""
        if self._database.outdated:
            return None
        rows = self._database.rows("SELECT model, refused, refused_because FROM serving")
        return ActiveModel(**rows[0]) if rows else None

    def last_model(self) -> str | None:
        """Return the model version of the last finished job, or None."""
        last = self._one("status = 'finished' ORDER BY finished_at DESC, id DESC")
        return last.model if last else None

    # Selections by people; ids only, for there may be a million

    def ids_of_path(self, path: PurePosixPath) -> list[int]:
        """List the jobs of a path in the inbox."""
        return self._ids("path = ?", os.fsencode(path))

    def ids_of_output(self, output: PurePosixPath) -> list[int]:
        """List the job that owns a path in the outbox, if any."""
        owns = f" AND {OWNS_OUTPUT} AND superseded_by IS NULL"
        where = "output = ?" + ("" if self._database.outdated else owns)
        return self._ids(where, os.fsencode(output))

    def ids_within(self, folder: PurePosixPath) -> list[int]:
        """List the jobs of scans in a folder of the inbox, however deep; `.`: all jobs."""
        if not folder.parts:
            return self._ids("1")
        return self._ids("path > ? AND path < ?", *range_of(folder))

    def ids_named(self, text: str) -> list[int]:
        """List the jobs with this text in the path of scan, result or original.

        Case is ignored, and composed and decomposed letters are equal.
        """
        columns = ("path", "output") if self._database.outdated else NAMES
        where, values = named(text, columns)
        return self._ids(where, *values)

    def by_ids(self, job_ids: Iterable[int]) -> Iterator[Job]:
        """Yield jobs by their ids; jobs forgotten in the meantime are skipped."""
        left = iter(job_ids)
        while portion := list(itertools.islice(left, PORTION)):
            marks = ", ".join("?" * len(portion))
            sql = f"SELECT * FROM jobs WHERE id IN ({marks}) ORDER BY id"  # noqa: S608
            yield from self._all(sql, *portion)

    def all_jobs(self) -> Iterator[Job]:
        """Yield all jobs by id, in portions, so that no reader blocks a writer for long."""
        last = 0
        while portion := self._all(
            "SELECT * FROM jobs WHERE id > ? ORDER BY id LIMIT ?", last, PORTION
        ):
            yield from portion
            last = portion[-1].id

    # Rows

    def _ids(self, where: str, *values: Any) -> list[int]:
        rows = self._database.rows(f"SELECT id FROM jobs WHERE {where} ORDER BY id", *values)  # noqa: S608
        return [row["id"] for row in rows]

    def _all(self, sql: str, *values: Any) -> list[Job]:
        return [job_of_row(row) for row in self._database.rows(sql, *values)]

    def _one(self, where: str, *values: Any) -> Job | None:
        # `where` is a constant of this file, never user input.
        found = self._all(f"SELECT * FROM jobs WHERE {where} LIMIT 1", *values)  # noqa: S608
        return found[0] if found else None


_SAME_FILE = "path = ? AND size = ? AND mtime_ns = ? AND inode = ?"


def _same_file(path: PurePosixPath, stat: FileStat) -> tuple[bytes, int, int, str]:
    return os.fsencode(path), stat.size, stat.mtime_ns, str(stat.inode)
