"""Finds and opens the scans of jobs, in the inbox or wherever their originals are now."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path, PurePath

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.durable import numbered_names
from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Job
from service.storage.naming import fits, misfit, original_name
from service.storage.outbox import alternative_name
from worker.errors import ScanError


def still_there(path: Path, stat: FileStat) -> bool:
    """Tell whether a file is unchanged; the device, which a reboot may renumber, does not count."""
    now = safe_open.file_stat(path)
    return now is not None and now.same_as(stat)


def open_scan(job: Job, config: Config) -> tuple[io.FileIO, FileStat]:
    """Open the scan of a job, to be read from this one descriptor.

    Args:
        job: to be colored or recolored.
        config: the folders.

    Returns:
        The open file, whose `name` is its path, and the stat it must still have after reading.

    Raises:
        FileNotFoundError: it is gone, or is no longer the file that was queued.
        ScanError: it may not be read; or, for a job to be recolored, as `find_original`, or its
            output does not fit `output.format`.
        OSError: the disk failed.
    """
    if job.recolor:
        if not fits(job, config.output.format):
            raise ScanError(misfit(job))
        file = find_original(job, config)
        return file, safe_open.file_stat_of(file)
    try:
        file = safe_open.open_beneath(config.inbox, job.path)
    except PermissionError as error:
        raise ScanError("the file may not be read (permission denied)") from error
    if not safe_open.file_stat_of(file).same_as(job.stat):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "another file has taken its place", file.name)
    return file, job.stat


def find_original(job: Job, config: Config) -> io.FileIO:
    """Find the original of a finished job by its content.

    Args:
        job: the job.
        config: the folders.

    Returns:
        The open file that was compared; its `name` is its path.

    Raises:
        ScanError: it is missing, or was changed.
        OSError: the disk failed.
    """
    changed: list[str] = []
    places = list(dict.fromkeys(places_of_original(job, config)))
    for folder, name in places:
        path = folder / name
        try:
            file = safe_open.open_beneath(folder, name)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise ScanError(f"the original {path} may not be read (permission denied)") from error
        if _has_digest(file, job.digest):
            return file
        file.close()
        changed.append(str(path))
    if changed:
        raise ScanError(
            f"the original was changed since it was colored: the SHA-256 of {changed[0]} differs;"
            " the result in the outbox is kept"
        )
    looked = ", ".join(str(folder / name) for folder, name in places)
    raise ScanError(
        f"the original is gone (not found at {looked}); the result in the outbox is kept"
    )


def _has_digest(file: io.FileIO, digest: str) -> bool:
    """Tell whether an open file has this SHA-256 and did not change while it was read."""
    try:
        stat = safe_open.file_stat_of(file)
        return safe_open.digest_of(file) == digest and safe_open.file_stat_of(file) == stat
    except OSError:
        file.close()
        raise


def places_of_original(job: Job, config: Config) -> Iterator[tuple[Path, PurePath]]:
    """Yield the folders and paths where an original may be, most likely first.

    As recorded, in the inbox, or archived: several scans may have had the same name in turn, so
    numbered names follow as long as such files exist.
    """
    folder = config.originals.folder
    if job.original is not None:
        yield folder, job.original
    yield config.inbox, job.path
    other = alternative_name(job.path, job.digest).name  # if superseded
    for name in dict.fromkeys((original_name(job), job.path.name, other)):
        for path in numbered_names(folder / job.path.with_name(name)):
            yield folder, path.relative_to(folder)
            if safe_open.file_stat(path) is None:
                break
