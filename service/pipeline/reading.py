"""The scan of a job, read: the very file that was queued, or nothing."""

from dataclasses import replace
from pathlib import Path

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import digest_of, file_stat_of
from service.ledger.jobs import Job
from service.pipeline.failures import SourceChanged
from service.storage import companions
from service.storage.originals import open_scan, still_there
from worker import scan
from worker.errors import ScanError
from worker.scan import Scan


def read_scan(job: Job, config: Config, places: FolderMonitor) -> Scan:
    """Read the scan of a job, in a thread of its own.

    Args:
        job: to be colored, or colored again.
        config: the folders, and what a scan may be.
        places: tells whether the folders are there.

    Returns:
        The scan, upright, at its own depth.

    Raises:
        Changed: it is gone, or was changed since it was queued or while it was read.
        ScanError: it cannot be colored; or, to be colored again, its original is gone.
        DeviceError: its folder is away.
        MemoryError: it does not fit.
        OSError: the disk failed.
    """
    try:
        return _read(job, config)
    except (SourceChanged, ScanError):  # what is away was neither changed nor taken away
        places.check("inbox", "originals.folder", to_write=False)
        raise


def _read(job: Job, config: Config) -> Scan:
    try:
        file, looks = open_scan(job, config)
    except FileNotFoundError as error:
        raise SourceChanged from error
    with file:
        path = Path(str(file.name))
        settings = replace(config.read_settings, **job.settings.model_dump())
        root = config.inbox if path.is_relative_to(config.inbox) else config.originals.folder
        xmp_files = companions.read(root, path.relative_to(root))
        try:
            photo = scan.read(path, settings, file, xmp_files)
        except ScanError as error:
            if not still_there(path, looks):  # its writer was not done: nothing is wrong with it
                raise SourceChanged from error
            raise
        if not still_there(path, looks):
            raise SourceChanged
    return photo


def confirm(job: Job, config: Config, places: FolderMonitor) -> None:
    """Make sure that a scan is still what was colored, before its result gets its name.

    Args:
        job: colored from the inbox.
        config: the folders.
        places: tells whether the inbox is there.

    Raises:
        Changed: it is gone, or has other content.
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
