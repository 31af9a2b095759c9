"""Queue stable files, or archive those whose content was colored before.

An incomplete file is not queued, since the rest may still come; after `watch.incomplete_timeout`
without a change it is queued as it is.
"""

import io
import os
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import structlog

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import digest_of, file_stat_of, open_beneath
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import Ledger
from service.storage.naming import free_name
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.settings_file import FolderSettingsError
from service.watch.stability import Rest, StableFile
from worker.errors import DeviceError

TAIL = 64  # bytes; zeros in a file that was preallocated and is still being written

log = structlog.get_logger()


class _New(NamedTuple):
    """A file to be queued."""

    path: PurePosixPath
    digest: str
    stat: FileStat
    settings: FolderSettings


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

    def take(self, files: Sequence[StableFile], now: float, wall: float) -> list[str | Exception]:
        """Queue stable files, all in one transaction, and archive those whose jobs are finished.

        Args:
            files: in the inbox.
            now: monotonic seconds.
            wall: seconds since 1970; a job that is queued then is due then.

        Returns:
            For each, why it is not queued yet; "" if it is, or if it is gone or changed; or a
            DeviceError if it cannot be read now.

        Raises:
            DeviceError: the ledger cannot be used now; none was queued.
        """
        answers: list[str | Exception] = []
        new: list[_New] = []
        known: list[Job] = []
        settings: dict[PurePosixPath, FolderSettings] = {}  # of the folders, at this moment
        for file in files:
            relative = PurePosixPath(file.path.relative_to(self._config.inbox))
            job = self._ledger.queries.by_stat(relative, file.stat)
            if job is not None:
                known.append(job)
                answers.append("")
                continue
            try:
                folder = relative.parent
                if folder not in settings:
                    settings[folder] = self._settings.settings_of(relative)
                digest, missing = self._look_into(relative, file.stat, file.rest)
            except FolderSettingsError:
                answers.append("")  # reported again once the settings are corrected
                continue
            except DeviceError as error:
                answers.append(error)
                continue
            answers.append(missing)
            if digest and not self._stays_rejected(relative, file.stat, digest):
                new.append(_New(relative, digest, file.stat, settings[folder]))
        if new:
            known += self._enqueue(new, wall)
        for job in known:
            if job.status is JobStatus.FINISHED:
                self._archive(job, now)
        return answers

    def _stays_rejected(self, path: PurePosixPath, snapshot: FileStat, digest: str) -> bool:
        """Tell whether a file was rejected before and stays in the inbox."""
        if self._config.originals.after != "keep":
            return False
        rejected = self._ledger.queries.rejected_by_stat(path, snapshot)
        return rejected is not None and digest == rejected.digest

    def _look_into(self, path: PurePosixPath, snapshot: FileStat, rest: Rest) -> tuple[str, str]:
        """Return the digest of a file in the inbox, or "" and why it counts as incomplete, if so.

        Raises:
            DeviceError: it cannot be read now.
        """
        young = rest.seconds < self._config.watch.incomplete_timeout
        if young and not snapshot.size:
            return "", "it is empty"
        try:
            with open_beneath(self._config.inbox, path) as file:
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
            place = self._config.inbox / path
            raise DeviceError(f"{place} cannot be read now: {error.strerror}") from error

    def _enqueue(self, new: Sequence[_New], wall: float) -> list[Job]:
        """Queue files, and return their jobs."""
        jobs = list[tuple[Job, bool]]()
        with self._ledger.transaction():
            for one in new:
                name = free_name(one.path, one.digest, self._config, self._ledger.queries)
                jobs.append(self._ledger.enqueue(*one[:3], name, wall, one.settings))
        for job, is_new in jobs:
            if is_new:
                log.info(
                    "photo.queued", job=job.id, path=job.path, same_content_as=job.same_content_as
                )
        return [job for job, _is_new in jobs]


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
