"""How the result of a scan is named in the outbox: after the scan, and so that none is overwritten.

A job keeps its name. Only where `output.format` became another one before it was begun is it given
a new name, for a name must tell the truth about what is inside.
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
    """Name the result of a scan; with a part of its digest where another has that name.

    Args:
        path: of the scan in the inbox.
        digest: SHA-256 of its content, hexadecimal.
        config: the outbox, and the results' format.
        ledger: knows the names that are given.

    Returns:
        `NAME.ext`, else `NAME.<first 8 digits>.ext`, else that with a number: the first one that no
        other job has, and under which nothing lies in the outbox.

    Raises:
        DeviceError: the ledger cannot be read now.
    """
    own = outbox.output_name(path, config.output.format)
    for name in _names(own, digest):
        there = any(os.path.lexists(config.outbox / one) for one in (name, sidecar_name(name)))
        if not there and not ledger.output_taken(name):
            return name
    raise AssertionError  # the names never end


def _names(own: PurePosixPath, digest: str) -> Iterator[PurePosixPath]:
    yield own
    yield from map(PurePosixPath, numbered_names(Path(outbox.alternative_name(own, digest))))


def original_name(job: Job) -> str:
    """Name the original of a finished job in the originals' folder: after its result.

    Returns:
        The scan's own name; where the result has another, because that of the scan belongs to an
        earlier one, the same other: `0042.1a2b3c4d.tif`, in both folders.
    """
    own = (outbox.output_name(job.path, one) for one in output_formats())
    if job.output in own:
        return job.path.name
    return outbox.alternative_name(job.path, job.digest).name


def well_named(job: Job, config: Config, ledger: Ledger) -> Job:
    """Have a started job that has no result yet come out under a name that fits `output.format`.

    Raises:
        DeviceError: the ledger cannot be read or written now.
    """
    if job.recolor or fits(job, config.output.format):
        return job
    return ledger.rename_output(job.id, free_name(job.path, job.digest, config, ledger.queries))


def fits(job: Job, output_format: str) -> bool:
    """Tell whether a job's result is named as this format names it."""
    wanted = outbox.output_name(job.path, output_format)
    return wanted.suffix.lower() == job.output.suffix.lower()


def misfit(job: Job) -> str:
    """Say why a photo that has a result of another format is not colored again."""
    return f"delivered as {job.output.suffix}, which output.format no longer gives"
