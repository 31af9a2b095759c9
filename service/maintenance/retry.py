"""The commands `photochrom retry` and `photochrom forget`.

A daemon may be running. `retry` moves a rejected scan, even an edited one, back to the inbox, where
the daemon finds and queues it; until then the job counts as failed, so an interrupted `retry` can
be repeated. `forget` deletes jobs from the ledger, never a file.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import digest_of, file_stat, open_beneath
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.recolor import refuse_an_older_daemon
from service.storage import companions, moves
from service.storage.held import home
from service.storage.lookup import Lookup, is_number
from service.storage.naming import free_name
from service.storage.originals import still_there
from service.storage.rejected import RejectedScans
from service.terminal import printable
from service.watch.settings_file import FolderSettingsError, settings_of


class JobResult(NamedTuple):
    """What was done for one job, or for a file that belongs to none.

    Attributes:
        job: its id, or None.
        path: of its scan in the inbox, or as given; None: no job has this id.
        done: whether the request was, or with `dry_run` would be, carried out.
        words: what was done, or why not; for people.
    """

    job: int | None
    path: PurePosixPath | None
    done: bool
    words: str


def retry(
    config: Config,
    chosen: Sequence[int | str] = (),
    *,
    rejected: bool = False,
    waiting: bool = False,
    dry_run: bool = False,
    asked: FolderSettings | None = None,
) -> list[JobResult]:
    """Retry photos that failed or that wait after a temporary failure.

    Args:
        config: the folders.
        chosen: jobs, files and folders; see `service.storage.lookup`. One that waits ends the wait
            of all, because the cause is the same machine.
        rejected: all failed jobs.
        waiting: all waiting jobs.
        dry_run: change nothing.
        asked: settings for these photos from now on, which override those of their folders.

    Returns:
        A result for each job, waiting ones last.

    Raises:
        DeviceError: a folder is unavailable, or the ledger cannot be used.
        OSError: the rejected folder cannot be read.
    """
    FolderMonitor(config.folders).check("inbox", "rejected")  # they may be unmounted shares
    with _opened(config) as ledger:
        if ledger is None:
            return [_none(one) for one in chosen]
        now = time.time()
        lookup = Lookup(config, ledger.queries)
        waits = {job.id: job for job in ledger.queries.backed_off(now)}
        jobs, strangers = _chosen(chosen, config, lookup, ledger, waits, dry_run=dry_run)
        jobs |= {job.id: job for job in (ledger.queries.failed() if rejected else ())}
        if asked and not dry_run:  # before a daemon can find the scans
            _note(asked, list(jobs.values()), ledger)
        results = [
            _try_again(job, config, ledger, lookup.rejected, dry_run=dry_run)
            for number, job in jobs.items()
            if number not in waits
        ]
        results += strangers
        if waiting or waits.keys() & jobs.keys():
            due = waits.values() if dry_run else ledger.expedite(now)
            results += [_done(job, "due now") for job in due]
    return results


def _chosen(
    chosen: Sequence[int | str],
    config: Config,
    lookup: Lookup,
    ledger: Ledger,
    waits: dict[int, Job],
    *,
    dry_run: bool,
) -> tuple[dict[int, Job], list[JobResult]]:
    """Find the chosen jobs, of a folder those that failed or wait; return results for the rest."""
    jobs: dict[int, Job] = {}
    results: list[JobResult] = []
    for one in chosen:
        found = {job.id: job for job in ledger.queries.by_ids(lookup.exactly(str(one)))}
        if not found:
            results.append(_stranger(one, config, lookup, ledger, dry_run=dry_run))
        elif len(found) > 1:
            again = {job.id for job in found.values() if job.status is JobStatus.FAILED}
            found = {number: found[number] for number in found if number in again | waits.keys()}
            if not found:
                words = "nothing in it was rejected or is waiting"
                results.append(JobResult(None, PurePosixPath(str(one)), done=False, words=words))
        jobs |= found
    return jobs, results


def _stranger(
    one: int | str, config: Config, lookup: Lookup, ledger: Ledger, *, dry_run: bool
) -> JobResult:
    """Return the result for a file without a job; a rejected scan is moved back all the same."""
    if is_number(str(one)):
        return _none(one)
    rejected = (name for root, name in lookup.places(str(one)) if root == "rejected")
    name = next((name for name in rejected if file_stat(config.rejected / name)), None)
    if name is None:
        return _none(one)
    place, target = config.rejected / name, config.inbox / name
    try:
        if not dry_run:
            companions.bring_back(place, name, config)
            with ledger.transaction():
                moves.restore(place, config.rejected, target, config.inbox)
    except OSError as error:
        return JobResult(None, name, done=False, words=f"cannot be moved back: {error}")
    return JobResult(None, name, done=True, words=f"moved back to the inbox from {place}")


def forget(config: Config, job_ids: Sequence[int]) -> list[JobResult]:
    """Delete finished and failed jobs from the ledger, so that their scans count as new.

    Args:
        config: the folders.
        job_ids: which jobs.

    Returns:
        A result for each.

    Raises:
        DeviceError: the ledger cannot be used; the jobs before are forgotten.
    """
    with _opened(config) as ledger:
        if ledger is None:
            return [_none(number) for number in job_ids]
        return [_forget(number, config, ledger) for number in dict.fromkeys(job_ids)]


def print_results(results: Sequence[JobResult], console: Console, *, dry_run: bool = False) -> None:
    """Print what was, or with `dry_run` would be, done for each job."""
    for result in results:
        named = [f"job {result.job}"] if result.job is not None else []
        name = ", ".join([*named, *([str(result.path)] if result.path is not None else [])])
        would = "would be " if dry_run and result.done else ""
        line = printable(f"{name}: {would}{result.words}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not results:
        console.print("nothing to retry")


@contextmanager
def _opened(config: Config) -> Iterator[Ledger | None]:
    path = config.state / LEDGER_FILE
    if not path.exists():
        yield None
        return
    refuse_an_older_daemon(config, path)
    with Ledger(path) as ledger:
        yield ledger


def _note(asked: FolderSettings, jobs: Sequence[Job], ledger: Ledger) -> None:
    for job in jobs:
        if job.status in {JobStatus.FAILED, JobStatus.QUEUED}:
            ledger.override_settings(job.id, asked)


def _try_again(
    job: Job,
    config: Config,
    ledger: Ledger,
    rejected: RejectedScans,
    *,
    dry_run: bool,
) -> JobResult:
    if job.status is JobStatus.FINISHED:
        return _not_done(job, "finished; to color it again, run: photochrom recolor")
    if job.status is not JobStatus.FAILED:
        return _not_done(job, "already waiting or in work")
    if not job.recolor:
        return _bring_back(job, config, ledger, rejected, dry_run=dry_run)
    if not dry_run:
        ledger.recolor([job.id], time.time())
    return _done(job, "queued to be recolored from its original")


def _bring_back(
    job: Job,
    config: Config,
    ledger: Ledger,
    rejected: RejectedScans,
    *,
    dry_run: bool,
) -> JobResult:
    target = config.inbox / job.path
    left: Sequence[Path] = ()
    kept = config.originals.after == "keep" and still_there(target, job.stat)
    try:
        if kept:
            return _queue_kept(job, config, ledger, dry_run=dry_run)
        if os.path.lexists(target):
            return _not_done(job, "the inbox has another file with its name, which comes first")
        place = rejected.place_of(job)
        if place is None:
            return _not_done(job, f"its scan is not in {config.rejected}; drop it again")
        if not dry_run:
            left = companions.bring_back(place.path, job.path, config)
            with ledger.transaction():  # else a daemon could reject the copy as the same job
                moves.restore(place.path, config.rejected, target, config.inbox)
            rejected.changed(job.path)
    except OSError as error:
        return _not_done(job, f"its scan cannot be moved back: {error}")
    words = f"moved back to the inbox from {place.path}"
    if left:
        words += f"; {', '.join(map(str, left))} stayed there: the inbox has other files so named"
    if not place.changed:
        return _done(job, words)
    if not dry_run:
        ledger.forget(job.id)  # its content no longer exists
    return _done(job, f"{words}; changed since it was rejected, so it will be a new job")


def _queue_kept(job: Job, config: Config, ledger: Ledger, *, dry_run: bool) -> JobResult:
    """Queue a rejected scan that was kept in the inbox, where daemons ignore it."""
    digest = job.digest
    if digest.startswith(UNREADABLE):
        with open_beneath(config.inbox, job.path) as file:  # raises if the permissions still refuse
            digest = digest_of(file)
    try:
        settings = settings_of(config, job.path)
    except FolderSettingsError as error:
        return _not_done(job, str(error))
    if not dry_run:
        name = free_name(job.path, digest, config, ledger.queries)
        ledger.enqueue(job.path, digest, job.stat, name, time.time(), settings)
    return _done(job, "queued again, in the inbox")


def _forget(number: int, config: Config, ledger: Ledger) -> JobResult:
    job = ledger.queries.job(number)
    if job is None:
        return _none(number)
    try:
        ledger.forget(number)
    except ValueError:
        return _not_done(
            job, "waiting or in work; only finished and rejected photographs can be forgotten"
        )
    if job.status is JobStatus.FAILED and not job.recolor:
        return _done(job, "forgotten; its scan stays in place")
    return _done(job, f"forgotten; {home(job, config) / job.output} and its scan stay in place")


def _done(job: Job, words: str) -> JobResult:
    return JobResult(job.id, job.path, done=True, words=words)


def _not_done(job: Job, words: str) -> JobResult:
    return JobResult(job.id, job.path, done=False, words=words)


def _none(one: int | str) -> JobResult:
    if is_number(str(one)):
        return JobResult(int(one), None, done=False, words="no such job")
    words = "no photograph has this path; to search by parts of names, run: photochrom find"
    return JobResult(None, PurePosixPath(str(one)), done=False, words=words)
