"""A stable file becomes a job, or is moved away when its work was done before."""

import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import structlog

from service.beneath import digest_of, open_beneath, snapshot_of
from service.config import Config
from service.jobs import Job, JobStatus
from service.ledger import Ledger
from service.naming import free_name
from service.stability import Snapshot
from worker.errors import DeviceError

UNREADABLE = "unreadable "  # begins what stands for the digest of a file that may not be read

log = structlog.get_logger()


class Intake:
    """Queues what the watcher found.

    Args:
        config: folders and the results' format.
        ledger: where jobs go to.
        archive: moves the original of a job that was finished before.
    """

    def __init__(
        self, config: Config, ledger: Ledger, archive: Callable[[Job, float], None]
    ) -> None:
        """Nothing is queued yet."""
        self._config = config
        self._ledger = ledger
        self._archive = archive

    def take(self, path: Path, snapshot: Snapshot) -> None:
        """Queue a stable file, or move it away when its work was done before.

        Raises:
            DeviceError: the file or the ledger cannot be read now.
        """
        relative = PurePosixPath(path.relative_to(self._config.inbox))
        job = self._ledger.find(relative, snapshot)
        rejected = None
        if job is None and self._config.originals.after == "keep":  # it was to stay where it is
            rejected = self._ledger.given_up(relative, snapshot)
            if rejected and not rejected.digest.startswith(UNREADABLE):
                return
        if job is None:
            try:
                with open_beneath(self._config.inbox, relative) as file:
                    digest = digest_of(file)
                    if snapshot_of(file) != snapshot:
                        return  # it was changed meanwhile: the watcher will tell of it again
            except FileNotFoundError:
                return  # taken away again
            except PermissionError:
                if rejected:
                    return
                # The pipeline rejects it, with this reason; another unreadable file is another job.
                digest = f"{UNREADABLE}{snapshot.inode} {snapshot.mtime_ns}"
            except OSError as error:  # the watcher will tell of it again
                raise DeviceError(f"{path} cannot be read now: {error.strerror}") from error
            job = self._enqueue(relative, digest, snapshot)
        if job.status is JobStatus.FINISHED:
            self._archive(job, time.monotonic())

    def _enqueue(self, relative: PurePosixPath, digest: str, snapshot: Snapshot) -> Job:
        name = free_name(relative, digest, self._config, self._ledger)
        job, is_new = self._ledger.enqueue(relative, digest, snapshot, name, time.time())
        if is_new:
            log.info("photo.queued", job=job.id, path=job.path, same_content_as=job.same_content_as)
        return job
