"""What is asked of the ledger: which jobs there are and how far each is; it changes nothing."""

import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePath, PurePosixPath
from typing import Any

from service.config.sections import FolderSettings
from service.filesystem.snapshot import FileStat
from service.ledger.database import Database, Row, folded
from service.ledger.jobs import TAKEN_AWAY, ActiveModel, Job, JobStatus
from service.ledger.schema import OWNS_OUTPUT, WAITS

PORTION = 500  # jobs asked for in one go
NAMES = ("path", "output", "original")
PATTERN = "? ESCAPE '\\'"


class Questions:
    """A ledger that can be asked; every answer may raise what `Ledger` tells of."""

    def __init__(self, database: Database) -> None:
        """Ask an open file."""
        self._database = database

    def exhausted(self, attempts: int) -> list[Job]:
        """List queued jobs with that many attempts or more; after `recover`, each ended one."""
        return self._all(
            "SELECT * FROM jobs WHERE status = 'queued' AND attempts >= ? ORDER BY recolor, id",
            attempts,
        )

    def counts(self) -> dict[JobStatus, int]:
        """Count the jobs of each status."""
        sql = "SELECT status, jobs AS n FROM counts"
        if self._database.outdated:
            sql = "SELECT status, count(*) AS n FROM jobs GROUP BY status"
        rows = self._database.rows(sql)
        return dict.fromkeys(JobStatus, 0) | {JobStatus(row["status"]): row["n"] for row in rows}

    def oldest_waiting(self) -> Job | None:
        """Return the queued job that has waited longest, or None."""
        # Left to itself, SQLite sorts all that wait.
        index = "" if self._database.outdated else "INDEXED BY jobs_by_wait"
        sql = f"SELECT * FROM jobs {index} WHERE status = 'queued' ORDER BY queued_at, id LIMIT 1"  # noqa: S608
        return next(iter(self._all(sql)), None)

    def any_due(
        self, now: float, *, longest_wait: float = math.inf, below: int | None = None
    ) -> bool:
        """Tell whether a queued job may be claimed; for the arguments see `Ledger.claim`."""
        return bool(self._due(1, now, longest_wait, below))

    def _due(self, limit: int, now: float, longest_wait: float, below: int | None) -> list[Job]:
        """List what `Ledger.claim` may start, in its order."""
        table, order, values = "jobs", "recolor, id", [now, now + longest_wait]
        where = f"status = 'queued' AND NOT {WAITS}"
        if below is not None:
            table, order, values = "jobs INDEXED BY jobs_by_size", "size, id", [*values, below]
            where += " AND size < ?"
        sql = f"SELECT * FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return self._all(sql, *values, limit)

    def recent_failures(self, limit: int) -> list[Job]:
        """List the last jobs that failed, newest first."""
        return self._all(
            "SELECT * FROM jobs WHERE status = 'failed' ORDER BY finished_at DESC, id DESC LIMIT ?",
            limit,
        )

    def finished_since(self, moment: float) -> int:
        """Count the jobs finished at or after a moment, in seconds since 1970."""
        sql = "SELECT count(*) AS n FROM jobs WHERE status = 'finished' AND finished_at >= ?"
        return int(self._database.rows(sql, moment)[0]["n"])

    def done_since(self, moment: float) -> int:
        """Count the jobs finished or failed at or after a moment, in seconds since 1970."""
        where = "status IN ('finished', 'failed') AND finished_at >= ?"
        sql = f"SELECT count(*) AS n FROM jobs WHERE {where}"  # noqa: S608
        return int(self._database.rows(sql, moment)[0]["n"])

    def started(self) -> list[Job]:
        """List the jobs in work, those begun first first."""
        return self._all("SELECT * FROM jobs WHERE status = 'started' ORDER BY started_at, id")

    def colored(self) -> list[Job]:
        """List the jobs whose photos are in the outbox, or were put there once."""
        rows = self._all("SELECT * FROM jobs WHERE status = 'finished' OR recolor ORDER BY id")
        return [job for job in rows if job.superseded_by is None]  # no column of an outdated ledger

    def owning(self) -> list[Job]:
        """List the jobs that own a name in the outbox, whether anything is there yet or not."""
        rows = self._all(f"SELECT * FROM jobs WHERE {OWNS_OUTPUT} ORDER BY id")  # noqa: S608
        return [job for job in rows if job.superseded_by is None]

    def latest_of(self, path: PurePosixPath) -> Job | None:
        """Return the last finished job of a path in the inbox that no other superseded, or None."""
        where = "path = ? AND status = 'finished' AND superseded_by IS NULL ORDER BY id DESC"
        return self._one(where, os.fsencode(path))

    def superseded_by(self, job_id: int) -> Job | None:
        """Return the last job that a job superseded, or None."""
        return self._one("superseded_by = ? ORDER BY id DESC", job_id)

    def failed(self) -> list[Job]:
        """List the jobs that failed, to be colored again or for the first time."""
        return self._all("SELECT * FROM jobs WHERE status = 'failed' ORDER BY id")

    def waiting(self, now: float, limit: int = -1, *, longest_wait: float = math.inf) -> list[Job]:
        """List queued jobs that may not be claimed yet after a fault.

        Args:
            now: seconds since 1970.
            limit: how many at most; -1: all.
            longest_wait: seconds; as for `Ledger.claim`.
        """
        where = f"status = 'queued' AND {WAITS} ORDER BY recolor, id LIMIT ?"
        sql = f"SELECT * FROM jobs WHERE {where}"  # noqa: S608 - of constants
        return self._all(sql, now, now + longest_wait, limit)

    def finished_before(self, moment: float, after: Job | None, limit: int) -> list[Job]:
        """List photos that were finished before a moment, the oldest first.

        Args:
            moment: seconds since 1970.
            after: the last one of the list before, or None; those up to it are left out.
            limit: how many at most.
        """
        where = "status = 'finished' AND finished_at < ? AND (finished_at, id) > (?, ?)"
        place = (-math.inf, 0) if after is None else (after.finished_at, after.id)
        sql = f"SELECT * FROM jobs WHERE {where} ORDER BY finished_at, id LIMIT ?"  # noqa: S608
        return self._all(sql, moment, *place, limit)

    def owing(self) -> list[Job]:
        """List the jobs whose originals were moved, or nearly, and whose XMP files were not yet."""
        return self._all("SELECT * FROM jobs WHERE xmp_owed ORDER BY id")

    def known(self, path: PurePosixPath, digest: str) -> Job | None:
        """Return the job of a path in the inbox and a content, or None."""
        return self._one("path = ? AND digest = ?", os.fsencode(path), digest)

    def failed_of(self, path: PurePosixPath) -> list[Job]:
        """List the jobs of a path in the inbox whose scans were rejected, the last one first."""
        where = "path = ? AND status = 'failed' ORDER BY id DESC"
        found = self._all(f"SELECT * FROM jobs WHERE {where}", os.fsencode(path))  # noqa: S608
        return [job for job in found if not job.recolor]  # no column of an outdated ledger

    def find(self, path: PurePosixPath, snapshot: FileStat) -> Job | None:
        """Return the job of a file that looks as it did when it was queued, without reading it.

        A failed job is not returned: whoever drops its file again wants another try.
        """
        return self._one(
            "path = ? AND size = ? AND mtime_ns = ? AND inode = ? AND status != 'failed'",
            os.fsencode(path),
            snapshot.size,
            snapshot.mtime_ns,
            str(snapshot.inode),
        )

    def output_taken(self, output: PurePosixPath) -> bool:
        """Tell whether a job that has not failed, or has an earlier photo, owns a path there."""
        return (
            self._one(
                f"output = ? AND {OWNS_OUTPUT} AND superseded_by IS NULL", os.fsencode(output)
            )
            is not None
        )

    def serving(self) -> ActiveModel | None:
        """Return what `serve` noted last, or None."""
        if self._database.outdated:
            return None
        rows = self._database.rows("SELECT model, refused, refused_because FROM serving")
        return ActiveModel(**rows[0]) if rows else None

    # Which jobs a person means; by number, for there may be a million

    def numbers_of(self, path: PurePosixPath) -> list[int]:
        """List the jobs of a path in the inbox."""
        return self._numbers("path = ?", os.fsencode(path))

    def numbers_of_output(self, output: PurePosixPath) -> list[int]:
        """List the job that owns a path in the outbox, if one does."""
        owns = f" AND {OWNS_OUTPUT} AND superseded_by IS NULL"
        where = "output = ?" + ("" if self._database.outdated else owns)
        return self._numbers(where, os.fsencode(output))

    def numbers_within(self, folder: PurePosixPath) -> list[int]:
        """List the jobs of scans in a folder of the inbox and its sub-folders; `.`: all jobs."""
        if not folder.parts:
            return self._numbers("1")
        start = os.fsencode(folder)  # "0" comes after "/", and nothing in between
        return self._numbers("path > ? AND path < ?", start + b"/", start + b"0")

    def numbers_named(self, text: str) -> list[int]:
        """List the jobs with this text in the name of scan, result or original, in any case.

        Composed and decomposed letters are the same.
        """
        plain = max(re.split("[^\0-\x7f]+", text := folded(text)), key=len)
        tests, values = [f"CAST({{}} AS TEXT) LIKE {PATTERN}"], [_pattern(plain)]
        if plain != text:  # slower, so only of those that have what the first test looks for
            tests, values = [*tests, f"folded({{}}) LIKE {PATTERN}"], [*values, _pattern(text)]
        columns = ("path", "output") if self._database.outdated else NAMES
        either = (" AND ".join(test.format(one) for test in tests) for one in columns)
        return self._numbers(" OR ".join(either), *values * len(columns))

    def some(self, numbers: Iterable[int]) -> Iterator[Job]:
        """Yield jobs by their numbers; those that were forgotten meanwhile are left out."""
        for portion in _portions(numbers):
            marks = ", ".join("?" * len(portion))
            sql = f"SELECT * FROM jobs WHERE id IN ({marks}) ORDER BY id"  # noqa: S608
            yield from self._all(sql, *portion)

    def every(self) -> Iterator[Job]:
        """Yield all jobs in their order, a portion at a time: whoever writes is never kept out."""
        last = 0
        while portion := self._all(
            "SELECT * FROM jobs WHERE id > ? ORDER BY id LIMIT ?", last, PORTION
        ):
            yield from portion
            last = portion[-1].id

    def job(self, job_id: int) -> Job | None:
        """Return a job as it is now, or None."""
        return self._one("id = ?", job_id)

    def given_up(self, path: PurePosixPath, snapshot: FileStat) -> Job | None:
        """Return the job that was rejected of a file that still looks as it did then, or None."""
        looks = (snapshot.size, snapshot.mtime_ns, str(snapshot.inode))
        where = "path = ? AND size = ? AND mtime_ns = ? AND inode = ? AND status = 'failed'"
        where += " AND NOT recolor AND reason != ?"
        return self._one(where, os.fsencode(path), *looks, TAKEN_AWAY)

    def any_done_below(self, folder: PurePath) -> bool:
        """Tell whether a scan of a folder, or of one in it, was finished or rejected."""
        below = os.fsencode(folder) + b"/"
        after = below[:-1] + b"0"  # the character after the slash
        where = "path >= ? AND path < ? AND status IN ('finished', 'failed')"
        return self._one(where, below, after) is not None

    def last_model(self) -> str | None:
        """Return the version that colored the last finished photo, or None."""
        last = self._one("status = 'finished' ORDER BY finished_at DESC, id DESC")
        return last.model if last else None

    # Rows

    def _numbers(self, where: str, *values: Any) -> list[int]:
        rows = self._database.rows(f"SELECT id FROM jobs WHERE {where} ORDER BY id", *values)  # noqa: S608
        return [row["id"] for row in rows]

    def _all(self, sql: str, *values: Any) -> list[Job]:
        return [_job(row) for row in self._database.rows(sql, *values)]

    def _one(self, where: str, *values: Any) -> Job | None:
        # `where` is a text of this file, never a user's; never anything else.
        found = self._all(f"SELECT * FROM jobs WHERE {where} LIMIT 1", *values)  # noqa: S608
        return found[0] if found else None


def _pattern(text: str) -> str:
    r"""Write a pattern of LIKE that a text holds this one; `\` makes what follows plain."""
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"%{text}%"


def storable(text: str) -> str:
    """Return a text without the parts of a file's name that are not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def restored(job: Job) -> tuple[Any, ...]:
    """Return a job's columns as `schema.RESTORE` takes them."""
    looks = job.snapshot
    return (
        *(os.fsencode(job.path), job.digest, os.fsencode(job.output)),
        *(looks.size, looks.mtime_ns, str(looks.inode), str(looks.device)),
        *(job.status, job.reason and storable(job.reason), job.model),
        *(job.queued_at, job.started_at, job.finished_at),
        None if job.original is None else os.fsencode(job.original),
        *(job.output_digest, job.event, job.superseded_by),
        job.settings.model_dump_json(exclude_defaults=True),
    )


def _portions(numbers: Iterable[int]) -> Iterator[list[int]]:
    left = iter(numbers)
    while portion := list(itertools.islice(left, PORTION)):
        yield portion


def _job(row: Row) -> Job:
    looks = (row.pop(name) for name in ("size", "mtime_ns", "inode", "device"))
    # An older form has not all of them.
    original = row.pop("original", None)
    row.pop("xmp_owed", None)
    folder, asked = (
        FolderSettings.model_validate_json(row.pop(name, "{}")) for name in ("settings", "asked")
    )
    return Job(
        path=PurePosixPath(os.fsdecode(row.pop("path"))),
        output=PurePosixPath(os.fsdecode(row.pop("output"))),
        status=JobStatus(row.pop("status")),
        snapshot=FileStat(*(int(number) for number in looks)),
        original=None if original is None else PurePosixPath(os.fsdecode(original)),
        recolor=bool(row.pop("recolor", 0)),
        settings=asked.over(folder),
        repair=bool(row.pop("repair", 0)),
        **row,
    )
