"""Fixity checks: whether files still match what the ledger and the sidecars recorded."""

import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from service.config.loader import Config
from service.filesystem.safe_open import digest, file_stat
from service.ledger.jobs import TAKEN_AWAY, UNREADABLE, Job, JobStatus
from service.ledger.queries import LedgerQueries
from service.ledger.rows import storable
from service.storage.held import home
from service.storage.moves import REASON_SUFFIX
from service.storage.originals import find_original
from service.storage.rejected import Place, RejectedScans
from service.storage.sidecar import Sidecar, SidecarError, read_sidecar, sidecar_name
from worker.errors import ScanError
from worker.formats.registry import format_of

Fault = Literal["missing", "altered", "unreadable", "disagreeing", "orphaned"]


class Finding(NamedTuple):
    """A file that is not as it should be.

    Attributes:
        kind: of file.
        fault: what is wrong with it.
        path: in the inbox for an original, or a rejected scan with a job; in the rejected folder
            for one without a job, and for reasons; otherwise in the outbox, or in the folder of
            held results. As text.
        job: its id, or None.
        words: an explanation for people.
    """

    kind: Literal["original", "output", "sidecar", "rejected", "reason"]
    fault: Fault
    path: str
    job: int | None
    words: str


def is_delivered(job: Job) -> bool:
    """Tell whether a job has a result, delivered or held, that is not about to be replaced."""
    return job.status is JobStatus.FINISHED or (job.status is JobStatus.FAILED and job.recolor)


def is_fetched(job: Job, config: Config) -> bool:
    """Tell whether a result was taken out of the outbox, and is not there again."""
    return job.fetched_at is not None and file_stat(config.outbox / job.output) is None


def check_photo(job: Job, config: Config) -> tuple[list[Finding], bool]:
    """Check one photo by reading all of its files.

    Args:
        job: one that `is_delivered`.
        config: the folders.

    Returns:
        What is wrong with original, result, sidecar, and the earlier result in the outbox while
        the present one is held, in this order (a result that was fetched, and its sidecar, may be
        missing); and whether the result's digest is known from the ledger or the sidecar.
        Otherwise it is only known to be readable.
    """
    sidecar, wrong = check_sidecar(job, config)
    expected = job.output_digest or (sidecar.output.sha256 if sidecar else None)
    output = _check_output(job, config, expected)
    if job.fetched_at is not None:
        output, wrong = (one if one and one.fault != "missing" else None for one in (output, wrong))
    findings = [_check_original(job, config), output, wrong]
    if job.held and job.delivered_digest:
        earlier = replace(
            job, held=False, output_digest=job.delivered_digest, event=job.delivered_event
        )
        findings += [_check_output(earlier, config, job.delivered_digest)]
        findings += [check_sidecar(earlier, config)[1]]
    return [finding for finding in findings if finding], expected is not None


def _check_original(job: Job, config: Config) -> Finding | None:
    folder = config.originals.folder
    places = [config.inbox / job.path, folder / job.path]
    if job.original:
        places = [folder / job.original]
    fault: Fault
    try:
        find_original(job, config).close()
    except OSError as error:
        fault, words = "unreadable", str(error)
    except ScanError as error:
        words = str(error)
        if isinstance(error.__cause__, OSError):
            fault = "unreadable"
        else:
            fault = "altered" if any(map(file_stat, places)) else "missing"
    else:
        return None
    return Finding("original", fault, as_text(job.path), job.id, words)


def _check_output(job: Job, config: Config, expected: str | None) -> Finding | None:
    path = home(job, config) / job.output
    fault: Fault
    try:
        _refuse_irregular(path)
        sha256 = digest(path)
    except FileNotFoundError:
        fault, words = "missing", f"not {_where(job)}"
    except OSError as error:
        fault, words = "unreadable", str(error)
    else:
        if expected in {None, sha256}:
            return None
        done = "held" if job.held else "delivered"
        fault, words = "altered", f"SHA-256 is {sha256}, but {expected} was {done}"
    return Finding("output", fault, as_text(job.output), job.id, words)


def check_sidecar(job: Job, config: Config) -> tuple[Sidecar | None, Finding | None]:
    """Read a photo's sidecar and compare it with the ledger.

    Returns:
        The sidecar, or None if it is missing or not readable; and what is wrong, or None.
    """
    name = sidecar_name(job.output)
    path = home(job, config) / name

    def finding(fault: Fault, words: str) -> Finding:
        return Finding("sidecar", fault, as_text(name), job.id, words)

    try:
        _refuse_irregular(path)
        sidecar = read_sidecar(path)
    except FileNotFoundError:
        expected = job.event is not None
        return None, finding("missing", f"not {_where(job)}") if expected else None
    except SidecarError as error:
        return None, finding("altered", str(error).removeprefix(f"{path} "))
    except OSError as error:
        return None, finding("unreadable", str(error))
    said = [
        f"{what} is {here}, but {there} in the ledger"
        for what, here, there in (
            ("event", str(sidecar.event), job.event),
            ("source.sha256", sidecar.source.sha256, job.digest),
            ("output.sha256", sidecar.output.sha256, job.output_digest),
            ("output.path", sidecar.output.path, as_text(job.output)),
        )
        if there not in {None, here}
    ]
    return sidecar, finding("disagreeing", "; ".join(said)) if said else None


def _where(job: Job) -> str:
    return "among the held results" if job.held else "in the outbox"


def _refuse_irregular(path: Path) -> None:
    """Raise FileNotFoundError for anything but a regular file; reading a FIFO would block."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise FileNotFoundError


def as_text(path: PurePosixPath) -> str:
    """Return a path as text, with bytes that are not UTF-8 escaped."""
    return storable(str(path))


def rejected_jobs(ledger: LedgerQueries) -> list[Job]:
    """List the jobs whose scans were rejected and should be in the rejected folder."""
    return [job for job in ledger.failed() if not job.recolor and job.reason != TAKEN_AWAY]


def check_rejected(
    jobs: Sequence[Job], present: Sequence[PurePosixPath], config: Config, ledger: LedgerQueries
) -> Iterator[Finding]:
    """Check the rejected scans by reading them, and find files that belong to no job.

    Args:
        jobs: from `rejected_jobs`.
        present: all files in the rejected folder, listed before the jobs were.
        config: the folders.
        ledger: asked again before each finding, because a daemon or person may have changed it.
    """
    scans = RejectedScans(config, ledger.rejected_of)
    belongs = set()
    for job in jobs:
        try:
            place = scans.place_of(job)
            finding = _check_scan(job, place, config)
        except OSError as error:
            place, finding = None, _rejected_finding(job, "unreadable", str(error))
        if place is not None:
            belongs.add(place.path)
        if finding and ledger.job(job.id) == job:
            yield finding
    for name in present:
        path = config.rejected / name
        told = name.with_name(name.name.removesuffix(REASON_SUFFIX))
        if told != name and file_stat(config.rejected / told) is None and file_stat(path):
            words = "its scan is missing"
            yield Finding("reason", "orphaned", as_text(name), None, words)
        elif format_of(name) and path not in belongs and file_stat(path):
            words = "belongs to no job; `photochrom retry FILE` moves it back to the inbox"
            yield Finding("rejected", "orphaned", as_text(name), None, words)


def _check_scan(job: Job, place: Place | None, config: Config) -> Finding | None:
    if place is None:
        words = f"not in {config.rejected}; drop it again, or run: photochrom forget {job.id}"
        return _rejected_finding(job, "missing", words)
    if place.changed:
        words = f"{place.path} was edited or replaced; to color it, run: photochrom retry {job.id}"
        return _rejected_finding(job, "altered", words)
    if not job.digest.startswith(UNREADABLE):
        found = digest(place.path)
        if found != job.digest:
            words = f"SHA-256 of {place.path} is {found}, but {job.digest} was rejected"
            return _rejected_finding(job, "altered", words)
    return None


def _rejected_finding(job: Job, fault: Fault, words: str) -> Finding:
    return Finding("rejected", fault, as_text(job.path), job.id, words)
