"""The scans of jobs, found wherever they lie by now: by their content, or as they were queued."""

import errno
import io
from collections.abc import Iterator
from pathlib import Path, PurePath

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.durable import numbered_names
from service.filesystem.snapshot import FileStat
from service.ledger.jobs import Job
from service.storage.naming import fits, misfit, original_name
from service.storage.outbox import alternative_name
from worker.errors import ScanError


def still_there(path: Path, snapshot: FileStat) -> bool:
    """Tell whether a file looks as it did; but for its device, which a reboot may renumber."""
    now = safe_open.snapshot(path)
    return now is not None and now.same_as(snapshot)


def open_scan(job: Job, config: Config) -> tuple[io.FileIO, FileStat]:
    """Open the scan of a job, once: all that is read of it is read from what is returned.

    Args:
        job: to be colored, or colored again.
        config: the folders.

    Returns:
        the open file, whose `name` is its path; and how it must still look when it was read.

    Raises:
        FileNotFoundError: it is gone, or is no longer the file that was queued.
        ScanError: it may not be read; or, of a job that was finished, as `find_original`, or
            its result is of another format than `output.format` gives by now.
        OSError: the disk failed.
    """
    if job.recolor:
        if not fits(job, config.output.format):
            raise ScanError(misfit(job))
        file = find_original(job, config)
        return file, safe_open.snapshot_of(file)
    try:
        file = safe_open.open_beneath(config.inbox, job.path)
    except PermissionError as error:
        raise ScanError("the file may not be read: its permissions refuse it") from error
    if not safe_open.snapshot_of(file).same_as(job.stat):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "it is another file by now", file.name)
    return file, job.stat


def find_original(job: Job, config: Config) -> io.FileIO:
    """Find the original of a job that was finished, wherever it may lie, by its content.

    Args:
        job: the job.
        config: the folders.

    Returns:
        the open file whose content was compared; its `name` is its path.

    Raises:
        ScanError: it is gone, or is no longer what was colored.
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
            raise ScanError(f"the original {path} may not be read") from error
        if _has_digest(file, job.digest):
            return file
        file.close()
        changed.append(str(path))
    if changed:
        raise ScanError(
            f"the original was changed since it was colored: {changed[0]} has another SHA-256;"
            " the photo in the outbox stays as it is"
        )
    looked = ", ".join(str(folder / name) for folder, name in places)
    raise ScanError(
        f"the original is gone (looked for at {looked}); the photo in the outbox stays as it is"
    )


def _has_digest(file: io.FileIO, digest: str) -> bool:
    """Compare the content of an open file, which must not change meanwhile."""
    try:
        looks = safe_open.snapshot_of(file)
        return safe_open.digest_of(file) == digest and safe_open.snapshot_of(file) == looks
    except OSError:
        file.close()
        raise


def places_of_original(job: Job, config: Config) -> Iterator[tuple[Path, PurePath]]:
    """Yield where an original may lie: as noted, in the inbox, or archived under a name of its own.

    Several scans may have had one name one after the other, so numbered names follow while there
    are such files.
    """
    folder = config.originals.folder
    if job.original is not None:
        yield folder, job.original
    yield config.inbox, job.path
    other = alternative_name(job.path, job.digest).name  # a longer one superseded it
    for name in dict.fromkeys((original_name(job), job.path.name, other)):
        for path in numbered_names(folder / job.path.with_name(name)):
            yield folder, path.relative_to(folder)
            if safe_open.snapshot(path) is None:
                break
