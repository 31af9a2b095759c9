"""The commands `photochrom retry` and `photochrom forget`: another try, and a clean slate.

Both work beside a running daemon or without one. `retry` moves a rejected scan back into the inbox,
whatever became of it in between, where the daemon finds it and queues it as what it is by now;
until then the job counts as failed, and a `retry` that was killed is run again. `forget` removes
rows from the ledger, and never a file.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.loader import Config
from service.config.sections import FolderSettings
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import digest_of, open_beneath, snapshot
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.recolor import refuse_an_older_daemon
from service.storage import companions, moves
from service.storage.lookup import Lookup, is_number
from service.storage.naming import free_name
from service.storage.originals import still_there
from service.storage.rejected import RejectedScans
from service.terminal import printable
from service.watch.folder_settings import FolderSettingsError, settings_of


class JobResult(NamedTuple):
    """What became of one job, or of a file that no job has.

    Attributes:
        job: its number; None: what was named belongs to no job.
        path: of its scan in the inbox, or as it was named; None: there is no job of this number.
        done: whether what was asked for was, or with `dry_run` would be, done.
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
    """Have photos tried again that failed, or that wait after a fault.

    Args:
        config: the folders.
        chosen: jobs by their number, and files and folders; `service.storage.lookup`. One that
            waits makes all due that do: they wait for the same machine.
        rejected: all jobs that failed.
        waiting: all jobs that wait.
        dry_run: change nothing.
        asked: settings for these photos, which count more than their folders'; kept from then on.

    Returns:
        An answer for each job, those that wait last.

    Raises:
        DeviceError: a folder is away, or the ledger cannot be used now.
        OSError: the folder of the rejected scans cannot be read.
    """
    FolderMonitor(config.folders).check(
        "inbox", "rejected"
    )  # nothing is made in the place of a share
    with _opened(config) as ledger:
        if ledger is None:
            return [_none(one) for one in chosen]
        now = time.time()
        lookup = Lookup(config, ledger.queries)
        held_up = {job.id: job for job in ledger.queries.backed_off(now)}
        jobs, strangers = _chosen(chosen, config, lookup, ledger, held_up, dry_run=dry_run)
        jobs |= {job.id: job for job in (ledger.queries.failed() if rejected else ())}
        if asked and not dry_run:  # before a daemon can find the scans
            _note(asked, list(jobs.values()), ledger)
        answers = [
            _try_again(job, config, ledger, lookup.rejected, dry_run=dry_run)
            for number, job in jobs.items()
            if number not in held_up
        ]
        answers += strangers
        if waiting or held_up.keys() & jobs.keys():
            due = held_up.values() if dry_run else ledger.expedite(now)
            answers += [_done(job, "due now") for job in due]
    return answers


def _chosen(
    chosen: Sequence[int | str],
    config: Config,
    lookup: Lookup,
    ledger: Ledger,
    held_up: dict[int, Job],
    *,
    dry_run: bool,
) -> tuple[dict[int, Job], list[JobResult]]:
    """Find the jobs that are meant; of a folder those that failed or wait. Answer for the rest."""
    jobs: dict[int, Job] = {}
    answers: list[JobResult] = []
    for one in chosen:
        found = {job.id: job for job in ledger.queries.by_ids(lookup.exactly(str(one)))}
        if not found:
            answers.append(_stranger(one, config, lookup, ledger, dry_run=dry_run))
        elif len(found) > 1:
            again = {job.id for job in found.values() if job.status is JobStatus.FAILED}
            found = {number: found[number] for number in found if number in again | held_up.keys()}
            if not found:
                words = "nothing in it was rejected, or waits after a fault"
                answers.append(JobResult(None, PurePosixPath(str(one)), done=False, words=words))
        jobs |= found
    return jobs, answers


def _stranger(
    one: int | str, config: Config, lookup: Lookup, ledger: Ledger, *, dry_run: bool
) -> JobResult:
    """Answer for what no job has; a scan among the rejected ones is moved back all the same."""
    if is_number(str(one)):
        return _none(one)
    rejected = (name for root, name in lookup.places(str(one)) if root == "rejected")
    name = next((name for name in rejected if snapshot(config.rejected / name)), None)
    if name is None:
        return _none(one)
    place, target = config.rejected / name, config.inbox / name
    try:
        if not dry_run:
            companions.bring_back(place, name, config)
            with ledger.exclusive():
                moves.restore(place, config.rejected, target, config.inbox)
    except OSError as error:
        return JobResult(None, name, done=False, words=f"it cannot be moved back: {error}")
    return JobResult(None, name, done=True, words=f"moved back into the inbox from {place}")


def forget(config: Config, job_ids: Sequence[int]) -> list[JobResult]:
    """Remove finished and failed jobs from the ledger, so that their scans are new again.

    Args:
        config: the folders.
        job_ids: which jobs.

    Returns:
        An answer for each.

    Raises:
        DeviceError: the ledger cannot be used now; jobs before the one at fault are forgotten.
    """
    with _opened(config) as ledger:
        if ledger is None:
            return [_none(number) for number in job_ids]
        return [_forget(number, config, ledger) for number in dict.fromkeys(job_ids)]


def print_answers(answers: Sequence[JobResult], console: Console, *, dry_run: bool = False) -> None:
    """Tell a person what became of each job, or with `dry_run` would."""
    for answer in answers:
        named = [f"job {answer.job}"] if answer.job is not None else []
        name = ", ".join([*named, *([str(answer.path)] if answer.path is not None else [])])
        would = "would be " if dry_run and answer.done else ""
        line = printable(f"{name}: {would}{answer.words}")
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not answers:
        console.print("nothing to try again")


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
        return _not_done(job, "it is finished; `photochrom recolor` colors anew, `forget` forgets")
    if job.status is not JobStatus.FAILED:
        return _not_done(job, "it is in the queue or in work already")
    if not job.recolor:
        return _bring_back(job, config, ledger, rejected, dry_run=dry_run)
    if not dry_run:
        ledger.recolor([job.id], time.time())
    return _done(job, "queued again, to be colored from its original")


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
            return _not_done(job, "the inbox has a file of its name, which the daemon takes first")
        place = rejected.place_of(job)
        if place is None:
            return _not_done(job, f"its scan is not in {config.rejected}; drop it again")
        if not dry_run:
            left = companions.bring_back(place.path, job.path, config)
            with (
                ledger.exclusive()
            ):  # or a daemon could reject the new copy for this one, which goes
                moves.restore(place.path, config.rejected, target, config.inbox)
            rejected.changed(job.path)
    except OSError as error:
        return _not_done(job, f"its scan cannot be moved back: {error}")
    words = f"moved back into the inbox from {place.path}"
    if left:
        words += f"; {', '.join(map(str, left))} stayed there: the inbox has other files so named"
    if not place.changed:
        return _done(job, words)
    if not dry_run:
        ledger.forget(job.id)  # nobody has what it was any more
    return _done(job, f"{words}; it was changed since it was rejected, and is queued as new")


def _queue_kept(job: Job, config: Config, ledger: Ledger, *, dry_run: bool) -> JobResult:
    """Queue a rejected scan that was kept in the inbox, where no daemon takes it up by itself."""
    digest = job.digest
    if digest.startswith(UNREADABLE):
        with open_beneath(config.inbox, job.path) as file:  # else its permissions still refuse it
            digest = digest_of(file)
    try:
        settings = settings_of(config.inbox, job.path)
    except FolderSettingsError as error:
        return _not_done(job, str(error))
    if not dry_run:
        name = free_name(job.path, digest, config, ledger.queries)
        ledger.enqueue(job.path, digest, job.stat, name, time.time(), settings)
    return _done(job, "queued again, from the inbox, where it was kept")


def _forget(number: int, config: Config, ledger: Ledger) -> JobResult:
    job = ledger.queries.job(number)
    if job is None:
        return _none(number)
    try:
        ledger.forget(number)
    except ValueError:
        return _not_done(job, "it is waiting or in work; only what is finished or failed can be")
    if job.status is JobStatus.FAILED and not job.recolor:
        return _done(job, "forgotten; its scan stays where it is")
    return _done(job, f"forgotten; {config.outbox / job.output} and its scan stay where they are")


def _done(job: Job, words: str) -> JobResult:
    return JobResult(job.id, job.path, done=True, words=words)


def _not_done(job: Job, words: str) -> JobResult:
    return JobResult(job.id, job.path, done=False, words=words)


def _none(one: int | str) -> JobResult:
    if is_number(str(one)):
        return JobResult(int(one), None, done=False, words="there is no such job")
    words = "no photograph has this path; `photochrom find` looks for parts of names, too"
    return JobResult(None, PurePosixPath(str(one)), done=False, words=words)
