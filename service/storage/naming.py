"""Names results in the outbox after their scans, without conflicts.

A job keeps its output's name, unless `output.format` changes before it has a result.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from service.config.loader import Config
from service.filesystem.durable import numbered_names
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.ledger.queries import LedgerQueries
from service.storage import outbox
from service.storage.sidecar import sidecar_name
from worker.formats.registry import output_formats


def free_name(
    path: PurePosixPath, digest: str, config: Config, ledger: LedgerQueries
) -> PurePosixPath:
    """Return a free name for the result of a scan.

    Args:
        path: of the scan in the inbox.
        digest: SHA-256 of its content, hexadecimal.
        config: the outbox, and the results' format.
        ledger: which names are taken.

    Returns:
        The first of `NAME.ext`, `NAME.<first 8 digits>.ext`, and that with a number, that no job
        owns and that is free in the outbox and among held results.

    Raises:
        DeviceError: the ledger cannot be read now.
    """
    own = outbox.output_name(path, config.output.format)
    folders = (config.outbox, *([config.review.folder] if config.review.may_hold else []))
    for name in _names(own, digest):
        both = (name, sidecar_name(name))
        there = any(os.path.lexists(f"{folder}/{one}") for folder in folders for one in both)
        if not there and not ledger.output_taken(name):
            return name
    raise AssertionError  # the names never run out


def _names(own: PurePosixPath, digest: str) -> Iterator[PurePosixPath]:
    yield own
    yield from map(PurePosixPath, numbered_names(Path(outbox.alternative_name(own, digest))))


def original_name(job: Job) -> str:
    """Name the original of a finished job in the originals' folder.

    Returns:
        The scan's own name; if the result has an alternative name, that one, so that it is
        `0042.1a2b3c4d.tif` in both folders.
    """
    own = (outbox.output_name(job.path, one) for one in output_formats())
    if job.output in own:
        return job.path.name
    return outbox.alternative_name(job.path, job.digest).name


def well_named(job: Job, config: Config, ledger: Ledger) -> Job:
    """Rename the output of a started job without a result if it does not fit `output.format`.

    Raises:
        DeviceError: the ledger cannot be read or written now.
    """
    if job.recolor or fits(job, config.output.format):
        return job
    return ledger.rename_output(job.id, free_name(job.path, job.digest, config, ledger.queries))


def fits(job: Job, output_format: str) -> bool:
    """Tell whether a job's output has the suffix of this format."""
    wanted = outbox.output_name(job.path, output_format)
    return wanted.suffix.lower() == job.output.suffix.lower()


def misfit(job: Job) -> str:
    """Say why a photo whose result has another format is not recolored."""
    return f"delivered as {job.output.suffix}, but output.format now produces another format"
