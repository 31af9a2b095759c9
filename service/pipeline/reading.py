"""The files of a task, opened for an engine: the very scan that was queued, and a staging file.

Of a photograph that is colored again also the earlier result.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import BufferedRandom, FileIO
from pathlib import Path
from typing import Protocol

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import digest_of, file_stat_of
from service.ledger.jobs import Job
from service.pipeline.tasks import is_staged_in, job_of, staging_in
from service.storage import companions, held, outbox
from service.storage.originals import open_scan, still_there
from service.storage.viewed import open_result
from worker.errors import ScanError, SourceChanged
from worker.inference.engine import Task
from worker.inference.task_files import OpenedSource, TaskFiles


class Places(Protocol):
    """The folders; see `service.filesystem.availability.FolderMonitor`."""

    def check(self, *keys: str, to_write: bool = True) -> None:
        """Raise DeviceError where one of them is away."""


def task_files(config: Config, places: Places) -> TaskFiles:
    """Open files in the folders of a configuration.

    Args:
        config: the folders.
        places: tells whether they are there.
    """

    def open_staging(task: Task) -> AbstractContextManager[BufferedRandom]:
        key, folder = "outbox", config.outbox
        if not is_staged_in(folder, task):
            key, folder = held.KEY, config.review.folder
        return outbox.staging_file(folder, staging_in(folder, task), partial(places.check, key))

    def folder_of(task: Task) -> Path:
        return config.outbox if is_staged_in(config.outbox, task) else config.review.folder

    def staged(task: Task) -> int:
        return outbox.size_of(folder_of(task), staging_in(folder_of(task), task))

    def discard(task: Task) -> None:
        outbox.discard(folder_of(task), staging_in(folder_of(task), task))

    return TaskFiles(
        partial(open_source, config=config, places=places),
        open_staging,
        partial(open_earlier, config=config),
        staged,
        discard,
    )


@contextmanager
def open_source(task: Task, config: Config, places: Places) -> Iterator[OpenedSource]:
    """Open the scan of a task, from a reader's thread.

    Args:
        task: to be colored, or colored again.
        config: the folders.
        places: tells whether they are there.

    Yields:
        The scan, and the XMP beside it.

    Raises:
        SourceChanged: it is gone, or was changed since it was queued or while it was read.
        ScanError: it cannot be colored; or, to be colored again, its original is gone.
        DeviceError: its folder is away.
        OSError: the disk failed.
    """
    try:
        with _open(job_of(task), config) as opened:
            yield opened
    except (SourceChanged, ScanError):  # what is away was neither changed nor taken away
        places.check("inbox", "originals.folder", to_write=False)
        raise


@contextmanager
def _open(job: Job, config: Config) -> Iterator[OpenedSource]:
    try:
        file, looks = open_scan(job, config)
    except FileNotFoundError as error:
        raise SourceChanged from error
    with file:
        path = Path(str(file.name))
        root = config.inbox if path.is_relative_to(config.inbox) else config.originals.folder
        try:
            yield OpenedSource(path, file, companions.read(root, path.relative_to(root)))
        except ScanError as error:
            if not still_there(path, looks):  # its writer was not done: nothing is wrong with it
                raise SourceChanged from error
            raise
        if not still_there(path, looks):
            raise SourceChanged


@contextmanager
def open_earlier(task: Task, config: Config) -> Iterator[FileIO | None]:
    """Open the earlier result of a photograph that is colored again, held or delivered.

    Args:
        task: to be colored again.
        config: the folders.

    Yields:
        The result; None if it is gone, was changed, or its digest was never recorded.

    Raises:
        OSError: the disk failed.
    """
    try:
        file = open_result(job_of(task), config)
    except ScanError:
        yield None
        return
    with file:
        yield file


def confirm(job: Job, config: Config, places: FolderMonitor) -> None:
    """Make sure that a scan is still what was colored, before its result gets its name.

    Args:
        job: colored from the inbox.
        config: the folders.
        places: tells whether the inbox is there.

    Raises:
        SourceChanged: it is gone, or has other content.
        DeviceError: its folder is away.
        OSError: the disk failed.
    """
    try:
        with open_scan(job, config)[0] as file:
            if digest_of(file) == job.digest and file_stat_of(file).same_as(job.stat):
                return
    except (FileNotFoundError, ScanError):  # it is gone, or may no longer be read
        places.check("inbox", to_write=False)
    raise SourceChanged
