"""Are the rejected scans still there, as they were, and each with what belongs to it?"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from service.config.loader import Config
from service.filesystem.safe_open import digest, snapshot
from service.ledger.jobs import TAKEN_AWAY, UNREADABLE, Job
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import Fault, Finding, as_text
from service.storage.moves import REASON_SUFFIX
from service.storage.rejected import Place, RejectedScans
from worker.formats.registry import format_of


def rejected_jobs(ledger: LedgerQueries) -> list[Job]:
    """List the jobs whose scans were rejected, and should lie among the rejected ones."""
    return [job for job in ledger.failed() if not job.recolor and job.reason != TAKEN_AWAY]


def check_rejected(
    jobs: Sequence[Job], present: Sequence[PurePosixPath], config: Config, ledger: LedgerQueries
) -> Iterator[Finding]:
    """Check the rejected scans by reading them, and look for files that belong to none.

    Args:
        jobs: those of the rejected scans.
        present: all files among the rejected ones, listed before the jobs were.
        config: the folders.
        ledger: is asked again before something is said; a daemon or person may have changed it.
    """
    scans = RejectedScans(config, ledger.rejected_of)
    belongs = set()
    for job in jobs:
        try:
            place = scans.place_of(job)
            finding = _check(job, place, config)
        except OSError as error:
            place, finding = None, _finding(job, "unreadable", str(error))
        if place is not None:
            belongs.add(place.path)
        if finding and ledger.job(job.id) == job:
            yield finding
    for name in present:
        path = config.rejected / name
        told = name.with_name(name.name.removesuffix(REASON_SUFFIX))
        if told != name and snapshot(config.rejected / told) is None and snapshot(path):
            words = "the scan that it tells of is not beside it"
            yield Finding("reason", "orphaned", as_text(name), None, words)
        elif format_of(name) and path not in belongs and snapshot(path):
            words = "no job in the ledger has it; `photochrom retry FILE` takes it back"
            yield Finding("rejected", "orphaned", as_text(name), None, words)


def _check(job: Job, place: Place | None, config: Config) -> Finding | None:
    if place is None:
        words = f"it is not in {config.rejected}; drop it again, or `photochrom forget {job.id}`"
        return _finding(job, "missing", words)
    if place.changed:
        words = f"{place.path} was edited or replaced; `photochrom retry {job.id}` takes it back"
        return _finding(job, "altered", words)
    if not job.digest.startswith(UNREADABLE):
        found = digest(place.path)
        if found != job.digest:
            words = f"the SHA-256 of {place.path} is {found}; that of the rejected is {job.digest}"
            return _finding(job, "altered", words)
    return None


def _finding(job: Job, fault: Fault, words: str) -> Finding:
    return Finding("rejected", fault, as_text(job.path), job.id, words)
