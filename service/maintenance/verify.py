"""The command `photochrom verify`: are originals, results and sidecars still what they were?

Everything is read again and compared with the ledger and the sidecars. Nothing is changed but, with
`repair`, the ledger: what can be made again from its original is queued. It works beside a daemon.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, NoReturn

from rich.console import Console

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.ignored import ignored
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import Finding, as_text, check_photo, is_delivered
from service.maintenance.rejected_fixity import check_rejected, rejected_jobs
from service.storage import outbox
from service.storage.sidecar import SUFFIX, sidecar_name
from service.terminal import Report, printable
from worker.errors import DeviceError

THREADS = 2  # more would have a disk run to and fro
AT_ONCE = 1000  # jobs in one change of the ledger, so that a daemon need not wait for it
REPAIRABLE = {"missing", "altered", "disagreeing"}


class Verification(NamedTuple):
    """What was found.

    Attributes:
        checked: photos that were checked.
        without_digest: those of them whose digest an earlier photochrom did not keep: it is only
            known that they can be read.
        in_work: photos that were not checked, since they are being colored, or wait to be again.
        findings: what is wrong.
        queued: photos that were queued to be colored again.
        not_queued: how many that need it were not, by the reason.
        rejected: rejected scans that were checked.
    """

    checked: int
    without_digest: int
    in_work: int
    findings: list[Finding]
    queued: int
    not_queued: dict[str, int]
    rejected: int = 0

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**self._asdict(), "findings": [finding._asdict() for finding in self.findings]}


def verify(config: Config, report: Report, *, repair: bool = False) -> Verification:
    """Check all photos that were colored, what else lies in the outbox, and the rejected scans.

    Args:
        config: the folders.
        report: moved after each photo.
        repair: queue photos again whose result or sidecar is not right, if their original is.

    Raises:
        DeviceError: a folder is not there, or the ledger cannot be used now or is in an older form.
        OSError: the outbox cannot be listed.
    """
    path = config.state / LEDGER_FILE
    present = list(_files(config.outbox))  # before the ledger is read, which knows all of them then
    beside = list(_files(config.rejected))
    if not path.exists():
        return Verification(0, 0, 0, list(_orphans(present, [])), 0, {})
    found: list[Finding] = []
    checked = without_digest = 0
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(f"the ledger {path} is of an older photochrom; run this one once")
        jobs = ledger.owning_output()
        photos = [job for job in jobs if is_delivered(job)]
        in_work = sum(_in_work(job) for job in jobs)
        _refuse_missing_folders(photos, config)
        for done, (job, findings, has_digest) in enumerate(_checks(photos, config), 1):
            if findings and ledger.job(job.id) != job:  # perhaps caught while it was replaced
                in_work += 1
            else:
                checked += 1
                without_digest += not has_digest
                found += findings
            report(done, len(photos), "")
        rejected = rejected_jobs(ledger)
        if rejected:
            FolderMonitor(config.folders).check("rejected", to_write=False)
        strangers = list(check_rejected(rejected, beside, config, ledger))
    queued, not_queued = _repair(found, photos, config) if repair else (0, {})
    found += [*_orphans(present, jobs), *strangers]
    return Verification(checked, without_digest, in_work, found, queued, not_queued, len(rejected))


def print_verification(found: Verification, console: Console) -> None:
    """Tell a person what `verify` found."""
    lines = [f"{one.kind} {one.fault}: {one.path}: {one.words}" for one in found.findings]
    lines.append(f"photographs checked: {found.checked}; findings: {len(found.findings)}")
    if found.rejected:
        lines.append(f"rejected scans checked: {found.rejected}")
    if found.without_digest:
        lines.append(
            f"delivered before photochrom kept digests, so only known to be there and readable:"
            f" {found.without_digest}"
        )
    if found.in_work:
        lines.append(f"not checked, being in work: {found.in_work}")
    if found.queued or found.not_queued:
        lines.append(f"queued to be colored again: {found.queued}")
    lines += [f"not queued: {count}, {reason}" for reason, count in found.not_queued.items()]
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _in_work(job: Job) -> bool:
    return job.status is JobStatus.STARTED or (job.status is JobStatus.QUEUED and job.recolor)


def _refuse_missing_folders(photos: Sequence[Job], config: Config) -> None:
    """Raise where a share is not mounted: not all photos are lost then, nor to be made again."""
    keys = ["outbox"] if photos else []
    if any(job.original for job in photos):
        keys.append("originals.folder")
    folders = {**config.folders, "originals.folder": config.originals.folder}
    FolderMonitor(folders).check(*keys, to_write=False)


def _checks(photos: Sequence[Job], config: Config) -> Iterator[tuple[Job, list[Finding], bool]]:
    """Check photos in threads, a few ahead; yield each with its findings in their order."""
    ahead: deque[tuple[Job, Future[tuple[list[Finding], bool]]]] = deque()
    with ThreadPoolExecutor(THREADS, "verify") as threads:
        for job in photos:
            ahead.append((job, threads.submit(check_photo, job, config)))
            if len(ahead) > 2 * THREADS:
                first, future = ahead.popleft()
                yield first, *future.result()
        for job, future in ahead:
            yield job, *future.result()


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """Walk the outbox for all that is no unfinished or hidden file, nor a file manager's litter."""
    if not folder.is_dir():
        return
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not ignored().folder(name))
        for name in sorted(names):
            if not ignored().file(name):
                yield PurePosixPath(Path(parent, name).relative_to(folder))


def _raise(error: OSError) -> NoReturn:
    raise error


def _orphans(present: Sequence[PurePosixPath], jobs: Sequence[Job]) -> Iterator[Finding]:
    known = {job.output for job in jobs}
    known |= {sidecar_name(name) for name in known}
    for name in present:
        if name not in known:
            kind: Literal["output", "sidecar"] = "sidecar" if name.suffix == SUFFIX else "output"
            yield Finding(
                kind, "orphaned", as_text(name), None, "no photograph in the ledger has it"
            )


def _repair(
    findings: Sequence[Finding], photos: Sequence[Job], config: Config
) -> tuple[int, dict[str, int]]:
    """Queue what can be made again; return how many, and why the others were not."""
    broken = {one.job for one in findings if one.kind != "original"}
    lost = {one.job for one in findings if one.kind == "original"}
    unreadable = {one.job for one in findings if one.fault not in REPAIRABLE}
    chosen: list[int] = []
    reasons: Counter[str] = Counter()
    for job in photos:
        now = outbox.output_name(job.path, config.output.format).suffix.lower()
        if job.id not in broken:
            continue
        if job.id in lost:
            reasons["the original is not what it was"] += 1
        elif job.id in unreadable:
            reasons["the disk or the permissions are to be mended first"] += 1
        elif now != job.output.suffix.lower():
            reasons[f"delivered as {job.output.suffix}, which output.format no longer gives"] += 1
        else:
            chosen.append(job.id)
    starts = range(0, len(chosen), AT_ONCE)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        queued = sum(
            ledger.recolor(chosen[at : at + AT_ONCE], time.time(), repair=True) for at in starts
        )
    return queued, dict(reasons)
