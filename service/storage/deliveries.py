"""Which files in the outbox a job wrote, and may therefore replace.

The ledger knows the results of finished jobs, but not what a daemon delivered just before it was
killed. So before a file gets its name, its SHA-256 is appended to `state/delivering/JOB`, which is
deleted when the job is finished.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from service.filesystem.durable import make_folder
from service.filesystem.safe_open import digest
from service.ledger.jobs import Job, JobStatus
from service.storage.sidecar import SidecarError, read_sidecar
from worker.atomic import sync_folder

FOLDER = "delivering"  # in the state folder
_OPEN = (JobStatus.QUEUED, JobStatus.STARTED)


class Own:
    """The files that one job wrote to the outbox; used by the thread that writes for it.

    Args:
        state: the state folder.
        job: the job.
    """

    def __init__(self, state: Path, job: Job) -> None:
        """Nothing is read yet."""
        self._notes = state / FOLDER / str(job.id)
        self._job = job

    def note(self, sha256: str) -> None:
        """Record durably a file that is about to get its name.

        Raises:
            OSError: the disk refuses.
        """
        make_folder(self._notes.parent)
        is_new = not self._notes.exists()
        with self._notes.open("a", encoding="ascii") as file:
            file.write(f"{sha256}\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self._notes.parent)

    def has(self, path: Path) -> bool:
        """Tell whether this job may replace a file.

        It may if it wrote the file, if `verify --repair` found the file altered, or if the digest
        of its earlier result is unknown, because an earlier photochrom delivered it.

        Raises:
            OSError: the file or the notes cannot be read.
        """
        job = self._job
        if job.repair:
            return True
        if path.name == job.output.name and job.recolor and job.output_digest is None:
            return True
        noted = set()
        with suppress(FileNotFoundError):
            noted = set(self._notes.read_text(encoding="ascii").split())
        with suppress(FileNotFoundError):  # not a regular file
            return digest(path) in noted | {job.output_digest} or self._is_sidecar(path)
        return False

    def _is_sidecar(self, path: Path) -> bool:
        """Tell whether a file is the sidecar of the job's earlier result."""
        with suppress(SidecarError):
            return self._job.event is not None and str(read_sidecar(path).event) == self._job.event
        return False


def forget(state: Path, job_id: int) -> None:
    """Delete the record of a finished job, which the ledger now has."""
    with suppress(OSError):  # the next startup deletes it
        (state / FOLDER / str(job_id)).unlink(missing_ok=True)


def forget_all_but_open(state: Path, job_of: Callable[[int], Job | None]) -> None:
    """Delete the records of jobs that are not queued or started; for startup.

    Args:
        state: the state folder.
        job_of: finds a job by its id.
    """
    with suppress(FileNotFoundError):
        for path in (state / FOLDER).iterdir():
            job = job_of(int(path.name)) if path.name.isdecimal() else None
            if job is None or job.status not in _OPEN:
                path.unlink(missing_ok=True)
