"""Jobs as rows of the ledger's table, in both directions."""

import os
from pathlib import PurePosixPath
from typing import Any

from service.config.sections import FolderSettings
from service.filesystem.file_stat import FileStat
from service.ledger.database import Row
from service.ledger.jobs import Decision, Job, JobStatus


def job_of_row(row: Row) -> Job:
    """Return the job of a row, which it empties; an older schema lacks some columns."""
    stat = (row.pop(name) for name in ("size", "mtime_ns", "inode", "device"))
    original = row.pop("original", None)
    row.pop("xmp_owed", None)
    folder, asked = (
        FolderSettings.model_validate_json(row.pop(name, "{}")) for name in ("settings", "asked")
    )
    return Job(
        path=PurePosixPath(os.fsdecode(row.pop("path"))),
        output=PurePosixPath(os.fsdecode(row.pop("output"))),
        status=JobStatus(row.pop("status")),
        stat=FileStat(*(int(number) for number in stat)),
        original=None if original is None else PurePosixPath(os.fsdecode(original)),
        recolor=bool(row.pop("recolor", 0)),
        settings=asked.over(folder),
        repair=bool(row.pop("repair", 0)),
        decision=decision_of(row.pop("decision", None)),
        held=bool(row.pop("held", 0)),
        review_owed=bool(row.pop("review_owed", 0)),
        **row,
    )


def decision_of(text: str | None) -> Decision | None:
    """Return a decision as it is stored."""
    return None if text is None else Decision(text)


def stat_columns(stat: FileStat) -> tuple[int, int, str, str]:
    """Return size, mtime_ns, inode and device as columns; inodes exceed SQLite's integers."""
    return stat.size, stat.mtime_ns, str(stat.inode), str(stat.device)


def restored_columns(job: Job) -> tuple[Any, ...]:
    """Return a job's columns in the order of `schema.RESTORE`."""
    colored_at = job.finished_at if job.status is JobStatus.FINISHED else None
    return (
        *(os.fsencode(job.path), job.digest, os.fsencode(job.output)),
        *stat_columns(job.stat),
        *(job.status, job.reason and storable(job.reason), job.model),
        *(job.queued_at, job.started_at, job.finished_at),
        None if job.original is None else os.fsencode(job.original),
        *(job.output_digest, job.event, job.superseded_by),
        job.settings.model_dump_json(exclude_defaults=True),
        *(job.confidence, job.change, job.colored_at or colored_at, job.decision, job.held),
        *(job.delivered_digest, job.delivered_event),
    )


def storable(text: str) -> str:
    """Return a text with bytes that are not UTF-8 escaped by backslashes."""
    return text.encode("utf-8", "backslashreplace").decode()
