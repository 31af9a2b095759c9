"""The command `photochrom verify`: fixity checks of originals, results, sidecars, rejected scans.

All files are read and compared with the ledger and the sidecars. Only the ledger is changed, and
only with `repair`, which queues results that can be recreated. A daemon may be running.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NoReturn

from rich.console import Console

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import file_stat, files_beneath
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import (
    Finding,
    as_text,
    check_photo,
    check_rejected,
    is_delivered,
    is_fetched,
    rejected_jobs,
)
from service.maintenance.recolor import queue_in_portions
from service.storage import held
from service.storage.naming import fits, misfit
from service.storage.sidecar import SUFFIX, sidecar_name
from service.terminal import Report, printable
from worker.errors import DeviceError

THREADS = 2  # more make a disk seek
REPAIRABLE = {"missing", "altered", "disagreeing"}


class Verification(NamedTuple):
    """The result of `verify`.

    Attributes:
        checked: number of photos checked.
        without_digest: how many of them could only be read, because an earlier photochrom recorded
            no digest.
        in_work: photos skipped because they are being colored or queued to be recolored.
        findings: what is wrong.
        queued: photos queued to be recolored.
        not_queued: how many that need it were not, by reason.
        rejected: rejected scans checked.
        fetched: photos checked whose result was taken out of the outbox, and is not there.
    """

    checked: int
    without_digest: int
    in_work: int
    findings: list[Finding]
    queued: int
    not_queued: dict[str, int]
    rejected: int = 0
    fetched: int = 0

    def plain(self) -> dict[str, Any]:
        """Return it as JSON objects."""
        return {**self._asdict(), "findings": [finding._asdict() for finding in self.findings]}


def verify(config: Config, report: Report, *, repair: bool = False) -> Verification:
    """Check all colored photos, other files beside them, and the rejected scans.

    Args:
        config: the folders.
        report: called after each photo.
        repair: requeue photos whose result or sidecar is wrong and whose original is right.

    Raises:
        DeviceError: a folder is missing, or the ledger cannot be used or has an older schema.
        OSError: a folder cannot be listed.
    """
    path = config.state / LEDGER_FILE
    # Listed before the ledger is read, which then knows all.
    present, waiting = _files(config.outbox), _held_files(config)
    beside = _files(config.rejected)
    if not path.exists():
        return Verification(0, 0, 0, list(_orphans(present, waiting, [], config)), 0, {})
    found: list[Finding] = []
    checked = without_digest = fetched = 0
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(
                f"the ledger {path} is from an older photochrom; start this one to upgrade it"
            )
        jobs = ledger.owning_output()
        photos = [job for job in jobs if is_delivered(job)]
        in_work = sum(_in_work(job) for job in jobs)
        _refuse_missing_folders(photos, config)
        for done, (job, findings, has_digest) in enumerate(_checks(photos, config), 1):
            if findings and ledger.job(job.id) != job:  # it may have been replaced meanwhile
                in_work += 1
            else:
                checked += 1
                was_fetched = is_fetched(job, config)
                fetched += was_fetched
                without_digest += not (has_digest or was_fetched)
                found += findings
            report(done, len(photos), "")
        rejected = rejected_jobs(ledger)
        if rejected:
            FolderMonitor(config.folders).check("rejected", to_write=False)
        strangers = list(check_rejected(rejected, beside, config, ledger))
    queued, not_queued = _repair(found, photos, config) if repair else (0, {})
    found += [*_orphans(present, waiting, jobs, config), *strangers]
    return Verification(
        checked, without_digest, in_work, found, queued, not_queued, len(rejected), fetched
    )


def print_verification(found: Verification, console: Console) -> None:
    """Print what `verify` found."""
    lines = [f"{one.kind} {one.fault}: {one.path}: {one.words}" for one in found.findings]
    lines.append(f"photographs checked: {found.checked}; findings: {len(found.findings)}")
    if found.rejected:
        lines.append(f"rejected scans checked: {found.rejected}")
    if found.fetched:
        lines.append(f"results fetched from the outbox, so only their originals: {found.fetched}")
    if found.without_digest:
        lines.append(
            f"only checked to be readable, because no digest was recorded: {found.without_digest}"
        )
    if found.in_work:
        lines.append(f"skipped because in progress: {found.in_work}")
    if found.queued or found.not_queued:
        lines.append(f"queued to be recolored: {found.queued}")
    lines += [f"not queued: {count} ({reason})" for reason, count in found.not_queued.items()]
    lost = any((one.kind, one.fault) == ("output", "missing") for one in found.findings)
    if lost and not found.queued:
        lines.append(
            "If the missing results were carried away, run: photochrom mark-fetched --missing"
        )
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _in_work(job: Job) -> bool:
    return job.status is JobStatus.STARTED or (job.status is JobStatus.QUEUED and job.recolor)


def _refuse_missing_folders(photos: Sequence[Job], config: Config) -> None:
    """Raise if a share is not mounted, so that its photos do not count as missing."""
    keys = ["outbox"] if any(not job.held or job.delivered_digest for job in photos) else []
    if any(job.held for job in photos):
        keys.append(held.KEY)
    if any(job.original for job in photos):
        keys.append("originals.folder")
    folders = {**config.folders, "originals.folder": config.originals.folder}
    folders[held.KEY] = config.review.folder
    FolderMonitor(folders).check(*keys, to_write=False)


def _checks(photos: Sequence[Job], config: Config) -> Iterator[tuple[Job, list[Finding], bool]]:
    """Check photos in threads, a few ahead; yield the results in order."""
    ahead: deque[tuple[Job, Future[tuple[list[Finding], bool]]]] = deque()
    with ThreadPoolExecutor(THREADS, "verify") as threads:
        for job in photos:
            ahead.append((job, threads.submit(check_photo, job, config)))
            if len(ahead) > 2 * THREADS:
                first, future = ahead.popleft()
                yield first, *future.result()
        for job, future in ahead:
            yield job, *future.result()


def _files(folder: Path) -> list[PurePosixPath]:
    """List the files beneath a folder, except temporary, hidden and ignored ones."""
    if not folder.is_dir():
        return []

    def fail(_path: Path, error: OSError) -> NoReturn:
        raise error

    return [name for name, _is_regular in files_beneath(folder, fail)]


def _held_files(config: Config) -> list[PurePosixPath]:
    """List the files in the folder of held results, unless it was never used as one."""
    return _files(config.review.folder) if held.is_used(config) else []


def _orphans(
    delivered: Sequence[PurePosixPath],
    waiting: Sequence[PurePosixPath],
    jobs: Sequence[Job],
    config: Config,
) -> Iterator[Finding]:
    """Yield the files in the outbox, and those among held results, that belong to no job there."""
    # From one to the other; unless another file is in the way of that.
    going = [job for job in jobs if job.review_owed and not job.review_problem]
    in_outbox = [job for job in jobs if not job.held or job.delivered_digest is not None]
    in_work = (JobStatus.QUEUED, JobStatus.STARTED)
    in_held = [job for job in jobs if job.held or job.status in in_work]
    for name in _strangers(delivered, [*in_outbox, *going]):
        yield _orphan(name, "belongs to no photograph in the ledger")
    for name in _strangers(waiting, [*in_held, *going]):
        if file_stat(config.review.folder / name):  # else it was approved and delivered meanwhile
            yield _orphan(name, "held, but belongs to no held photograph")


def _strangers(present: Sequence[PurePosixPath], jobs: Sequence[Job]) -> Iterator[PurePosixPath]:
    known = {job.output for job in jobs}
    known |= {sidecar_name(name) for name in known}
    yield from (name for name in present if name not in known)


def _orphan(name: PurePosixPath, words: str) -> Finding:
    kind: Literal["output", "sidecar"] = "sidecar" if name.suffix == SUFFIX else "output"
    return Finding(kind, "orphaned", as_text(name), None, words)


def _repair(
    findings: Sequence[Finding], photos: Sequence[Job], config: Config
) -> tuple[int, dict[str, int]]:
    """Queue what can be recolored; return how many, and why the others were not."""
    broken = {one.job for one in findings if one.kind != "original"}
    lost = {one.job for one in findings if one.kind == "original"}
    unreadable = {one.job for one in findings if one.fault not in REPAIRABLE}
    chosen: list[int] = []
    reasons: Counter[str] = Counter()
    for job in photos:
        if job.id not in broken:
            continue
        if job.id in lost:
            reasons["the original is missing or altered"] += 1
        elif job.id in unreadable:
            reasons["fix the disk or the permissions first"] += 1
        elif not fits(job, config.output.format):
            reasons[misfit(job)] += 1
        else:
            chosen.append(job.id)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        return queue_in_portions(ledger, chosen, repair=True), dict(reasons)
