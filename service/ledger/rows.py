"""Jobs as rows of the ledger's table, in both directions."""

import os
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from service.config.folder_sections import FolderSettings
from service.filesystem.file_stat import FileStat
from service.ledger.database import Row
from service.ledger.jobs import Decision, Job, JobStatus


def job_of_row(row: Row) -> Job:
    """Return the job of a row, which it empties; an older schema lacks some columns."""
    original, decision = row.pop("original", None), row.pop("decision", None)
    row.pop("xmp_owed", None)
    row["path"] = PurePosixPath(os.fsdecode(row["path"]))
    row["output"] = PurePosixPath(os.fsdecode(row["output"]))
    row["status"] = JobStatus(row["status"])
    return Job(
        stat=FileStat(
            row.pop("size"), row.pop("mtime_ns"), int(row.pop("inode")), int(row.pop("device"))
        ),
        original=None if original is None else PurePosixPath(os.fsdecode(original)),
        recolor=bool(row.pop("recolor", 0)),
        settings=_settings_of(row.pop("settings", "{}"), row.pop("asked", "{}")),
        repair=bool(row.pop("repair", 0)),
        in_delivery=tuple(row.pop("in_delivery", "").split()),
        decision=decision_of(decision),
        held=bool(row.pop("held", 0)),
        review_owed=bool(row.pop("review_owed", 0)),
        **row,
    )


@lru_cache(1000)  # those of a folder are the same for all of its scans
def _settings_of(folder: str, asked: str) -> FolderSettings:
    """Return the settings of a scan: those asked for it alone, over those of its folder."""
    both = (FolderSettings.model_validate_json(text) for text in (asked, folder))
    return next(both).over(next(both))


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
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
