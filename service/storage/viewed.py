"""Opens the scan or result of a job to be shown, if it still is the file that was recorded."""

import io
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from service.config.loader import Config
from service.filesystem import safe_open
from service.ledger.jobs import Job, JobStatus
from service.storage.held import home
from service.storage.originals import find_original
from service.storage.rejected import RejectedScans
from worker.errors import ScanError

Side = Literal["scan", "colored"]


def digest_of_side(job: Job, side: Side) -> str | None:
    """Return the SHA-256 of a job's scan or result, hexadecimal; None if there is none."""
    if side == "scan":
        return job.digest
    return job.output_digest


def open_side(
    job: Job,
    side: Side,
    config: Config,
    rejected_of: Callable[[PurePosixPath], Sequence[Job]],
) -> io.FileIO:
    """Open a job's scan or result, wherever it is now.

    Args:
        job: the job.
        side: which of the two.
        config: the folders.
        rejected_of: `LedgerQueries.rejected_of`.

    Returns:
        The open file, whose content has the recorded SHA-256; its `name` is its path.

    Raises:
        ScanError: it is missing, was changed, or may not be read; says which.
        OSError: the disk failed.
    """
    if side == "colored":
        return open_result(job, config)
    if job.status is JobStatus.FAILED and not job.recolor:
        place = RejectedScans(config, rejected_of).place_of(job)
        if place is not None and place.path.is_relative_to(config.rejected):
            file = safe_open.open_beneath(
                config.rejected, PurePosixPath(place.path.relative_to(config.rejected))
            )
            return _verified(file, job.digest, "the rejected scan")
    return find_original(job, config)


def open_result(job: Job, config: Config) -> io.FileIO:
    """Open a job's present result, held or delivered; as `open_side`."""
    if job.output_digest is None:
        raise ScanError("there is no result, or its digest was not recorded")
    # An approved one is on its way from one to the other, under both names for a moment.
    folders = dict.fromkeys((home(job, config), config.outbox, config.review.folder))
    fault: ScanError | None = None
    for folder in folders:
        path = folder / job.output
        try:
            file = safe_open.open_beneath(folder, job.output)
            return _verified(file, job.output_digest, "the result")
        except FileNotFoundError:
            fault = fault or ScanError(f"the result {path} is gone")
        except PermissionError:
            fault = fault or ScanError(f"the result {path} may not be read (permission denied)")
        except ScanError as error:
            fault = error
    assert fault is not None  # noqa: S101 - of the last folder
    raise fault


def _verified(file: io.FileIO, digest: str, what: str) -> io.FileIO:
    try:
        if safe_open.digest_of(file) == digest:
            return file
    except OSError:
        file.close()
        raise
    file.close()
    raise ScanError(f"{what} {file.name!s} was changed: its SHA-256 differs")
