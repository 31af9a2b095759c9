"""Queue a stable file, or archive it if its content was colored before.

An incomplete file is not queued, since the rest may still come; after `watch.incomplete_timeout`
without a change it is queued as it is.
"""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import structlog

from service.config.loader import Config
from service.config.sections import FolderSettings
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import digest_of, file_stat_of, open_beneath
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import Ledger
from service.storage.naming import free_name
from service.watch.folder_settings import FolderSettingsError, FolderSettingsWatch
from service.watch.watcher import Rest
from worker.errors import DeviceError

TAIL = 64  # bytes; zeros in a file that was preallocated and is still being written

log = structlog.get_logger()


class Intake:
    """Queues the files that the watcher found.

    Args:
        config: folders and the results' format.
        ledger: of the jobs.
        archive: moves the original of a finished job.
        settings: of the inbox's folders.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        archive: Callable[[Job, float], None],
        settings: FolderSettingsWatch,
    ) -> None:
        """Queue nothing yet."""
        self._config = config
        self._ledger = ledger
        self._archive = archive
        self._settings = settings

    def take(self, path: Path, snapshot: FileStat, rest: Rest) -> str:
        """Queue a stable file, or archive it if its job is finished.

        Args:
            path: the file, in the inbox.
            snapshot: its state.
            rest: how long it has not changed.

        Returns:
            Why it is not queued yet; "" if it is, or if it is gone or changed.

        Raises:
            DeviceError: the file or the ledger cannot be read now.
        """
        relative = PurePosixPath(path.relative_to(self._config.inbox))
        job = self._ledger.queries.by_stat(relative, snapshot)
        if job is None:
            try:
                settings = self._settings.settings_of(relative)
            except FolderSettingsError:
                return ""  # reported again once the settings are corrected
            digest, missing = self._look_into(path, snapshot, rest)
            if not digest or self._stays_rejected(relative, snapshot, digest):
                return missing
            job = self._enqueue(relative, digest, snapshot, settings)
        if job.status is JobStatus.FINISHED:
            self._archive(job, time.monotonic())
        return ""

    def _stays_rejected(self, path: PurePosixPath, snapshot: FileStat, digest: str) -> bool:
        """Tell whether a file was rejected before and stays in the inbox."""
        if self._config.originals.after != "keep":
            return False
        rejected = self._ledger.queries.rejected_by_stat(path, snapshot)
        return rejected is not None and digest == rejected.digest

    def _look_into(self, path: Path, snapshot: FileStat, rest: Rest) -> tuple[str, str]:
        """Return the digest of a file, or "" and why it counts as incomplete, if it does.

        Raises:
            DeviceError: it cannot be read now.
        """
        young = rest.seconds < self._config.watch.incomplete_timeout
        if young and not snapshot.size:
            return "", "it is empty"
        relative = path.relative_to(self._config.inbox)
        try:
            with open_beneath(self._config.inbox, relative) as file:
                if young and _is_being_filled(file, closed=rest.closed):
                    return "", "it ends in zeros, as a file does that is still being filled"
                digest = digest_of(file)
                # If it changed meanwhile, the watcher reports it again.
                return (digest if file_stat_of(file) == snapshot else ""), ""
        except FileNotFoundError:  # taken away again
            return "", ""
        except PermissionError:
            if young:
                return "", "it may not be read: its permissions refuse it"
            # The pipeline rejects it; the inode and time keep unreadable files apart.
            return f"{UNREADABLE}{snapshot.inode} {snapshot.mtime_ns}", ""
        except OSError as error:  # the watcher reports it again
            raise DeviceError(f"{path} cannot be read now: {error.strerror}") from error

    def _enqueue(
        self,
        relative: PurePosixPath,
        digest: str,
        snapshot: FileStat,
        settings: FolderSettings,
    ) -> Job:
        name, now = free_name(relative, digest, self._config, self._ledger.queries), time.time()
        job, is_new = self._ledger.enqueue(relative, digest, snapshot, name, now, settings)
        if is_new:
            log.info("photo.queued", job=job.id, path=job.path, same_content_as=job.same_content_as)
        return job


def _is_being_filled(file: io.FileIO, *, closed: bool) -> bool:
    """Tell whether the end of a preallocated file has not been written yet.

    A scan may end in black, so zeros count only while a writer may have the file open. A hole at
    the end always counts: the connection broke off, say.
    """
    end = os.fstat(file.fileno()).st_size
    tail = os.pread(file.fileno(), TAIL, max(0, end - TAIL))
    if any(tail):
        return False
    try:
        return not closed or os.lseek(file.fileno(), end - 1, os.SEEK_HOLE) < end
    except OSError:  # the file system has no holes
        return False
