"""A job as a task for an engine, and a task as the job whose files are opened."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from uuid import uuid4

from service.config.loader import Config
from service.filesystem.durable import staging_name
from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Job, JobStatus
from worker.inference.engine import Label, Source, Task

SOFTWARE = f"photochrom {version('photochrom')}"


def task_of(job: Job, config: Config, wall: float) -> Task:
    """Describe the work on a job.

    Args:
        job: started.
        config: the folders, and how scans are read and results written.
        wall: seconds since 1970.
    """
    looks = job.stat
    source = Source(
        *(str(job.path), job.digest),
        *(looks.size, looks.mtime_ns, looks.inode, looks.device, looks.ctime_ns),
        recolor=job.recolor,
        original=None if job.original is None else str(job.original),
        output=str(job.output),
        output_sha256=job.output_digest,
        held=job.held,
    )
    # Of doubtful results it is known only when they are colored that they are held.
    held = job.held or config.review.mode == "hold"
    folder = config.review.folder if held else config.outbox
    staging = job.output.with_name(staging_name(job.id, job.attempts))
    return Task(
        job=job.id,
        attempt=job.attempts,
        source=source,
        read=replace(config.read_settings, even_if_colored=job.settings.even_if_colored),
        write=config.write_settings,
        label=label_of(wall),
        staging=f"{folder}/{staging}",
        wishes=job.settings.wishes(config.color),
    )


def source_of(path: str, sha256: str, looks: FileStat) -> Source:
    """Describe a scan that looks so."""
    return Source(
        path, sha256, looks.size, looks.mtime_ns, looks.inode, looks.device, looks.ctime_ns
    )


def label_of(wall: float) -> Label:
    """Return what a result that is colored now says of its making; `wall`: seconds since 1970."""
    return Label(SOFTWARE, str(uuid4()), _iso(int(wall)))


@lru_cache(16)
def _iso(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def job_of(task: Task) -> Job:
    """Return as much of a task's job as it takes to find its scan and its earlier result."""
    source = task.source
    return Job(
        id=task.job,
        path=PurePosixPath(source.path),
        digest=source.sha256,
        output=PurePosixPath(source.output),
        stat=looks_of(source),
        same_content_as=None,
        status=JobStatus.STARTED,
        attempts=task.attempt,
        waits=0,
        reason=None,
        model=None,
        not_before=0.0,
        queued_at=0.0,
        started_at=None,
        finished_at=None,
        original=None if source.original is None else PurePosixPath(source.original),
        recolor=source.recolor,
        output_digest=source.output_sha256,
        held=source.held,
    )


def looks_of(source: Source) -> FileStat:
    """Return how a scan must look."""
    return FileStat(source.size, source.mtime_ns, source.inode, source.device, source.ctime_ns)


def is_staged_in(folder: Path, task: Task) -> bool:
    """Tell whether a task's staging file is in a folder."""
    return task.staging.startswith(f"{folder}/")


def staging_in(folder: Path, task: Task) -> PurePosixPath:
    """Return the path of a task's staging file in a folder.

    Raises:
        ValueError: it is to be written elsewhere.
    """
    name = task.staging.removeprefix(f"{folder}/")
    if name == task.staging:
        raise ValueError(f"{name} is not in {folder}")
    return PurePosixPath(name)
