"""The commands `photochrom retry` and `photochrom forget`: another try, and a clean slate.

Both work beside a running daemon or without one. `retry` moves a rejected scan back into the inbox,
where the daemon finds it and queues its job afresh; until then the job counts as failed, and a
`retry` that was killed is run again. `forget` removes rows from the ledger, and never a file.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service import companions, moves
from service.beneath import digest_of, open_beneath
from service.config import Config
from service.folder_settings import FolderSettingsError, settings_of
from service.jobs import UNREADABLE, Job, JobStatus
from service.ledger import LEDGER_FILE, Ledger
from service.naming import free_name
from service.originals import by_size, find_rejected, still_there
from service.places import Places
from service.printable import printable
from service.recolor import refuse_an_older_daemon
from service.sections import FolderSettings


class Answer(NamedTuple):
    """What became of one job.

    Attributes:
        job: its number.
        path: of its scan in the inbox; None: there is no such job.
        done: whether what was asked for was, or with `dry_run` would be, done.
        words: what was done, or why not; for people.
    """

    job: int
    path: PurePosixPath | None
    done: bool
    words: str


def retry(
    config: Config,
    job_ids: Sequence[int] = (),
    *,
    rejected: bool = False,
    waiting: bool = False,
    dry_run: bool = False,
    asked: FolderSettings | None = None,
) -> list[Answer]:
    """Have photos tried again that failed, or that wait after a fault.

    Args:
        config: the folders.
        job_ids: these jobs. One that waits makes all due that do: they wait for the same machine.
        rejected: all jobs that failed.
        waiting: all jobs that wait.
        dry_run: change nothing.
        asked: settings for these photos, which count more than their folders'; kept from then on.

    Returns:
        An answer for each job, those that wait last.

    Raises:
        DeviceError: a folder is away, or the ledger cannot be used now.
    """
    Places(config.folders).check("inbox", "rejected")  # nothing is made in the place of a share
    listing = cache(by_size)
    with _opened(config) as ledger:
        if ledger is None:
            return [_none(number) for number in job_ids]
        now = time.time()
        held_up = {job.id: job for job in ledger.waiting(now)}
        chosen = {number: ledger.job(number) for number in job_ids}
        chosen |= {job.id: job for job in (ledger.failed() if rejected else ())}
        if asked and not dry_run:  # before a daemon can find the scans
            _note(asked, [job for job in chosen.values() if job], ledger)
        answers = [
            _none(number)
            if job is None
            else _try_again(job, config, ledger, listing, dry_run=dry_run)
            for number, job in chosen.items()
            if number not in held_up
        ]
        if waiting or held_up.keys() & chosen.keys():
            due = held_up.values() if dry_run else ledger.hasten(now)
            answers += [_done(job, "due now") for job in due]
    return answers


def forget(config: Config, job_ids: Sequence[int]) -> list[Answer]:
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


def print_answers(answers: Sequence[Answer], console: Console, *, dry_run: bool = False) -> None:
    """Tell a person what became of each job, or with `dry_run` would."""
    for answer in answers:
        name = f"job {answer.job}" + ("" if answer.path is None else f", {answer.path}")
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
            ledger.ask(job.id, asked)


def _try_again(
    job: Job,
    config: Config,
    ledger: Ledger,
    listing: Callable[[Path], dict[int, list[Path]]],
    *,
    dry_run: bool,
) -> Answer:
    if job.status is JobStatus.FINISHED:
        return _not_done(job, "it is finished; `photochrom recolor` colors anew, `forget` forgets")
    if job.status is not JobStatus.FAILED:
        return _not_done(job, "it is in the queue or in work already")
    if not job.recolor:
        return _bring_back(job, config, ledger, listing, dry_run=dry_run)
    if not dry_run:
        ledger.recolor([job.id], time.time())
    return _done(job, "queued again, to be colored from its original")


def _bring_back(
    job: Job,
    config: Config,
    ledger: Ledger,
    listing: Callable[[Path], dict[int, list[Path]]],
    *,
    dry_run: bool,
) -> Answer:
    target = config.inbox / job.path
    left: list[Path] = []
    kept = config.originals.after == "keep" and still_there(target, job.snapshot)
    try:
        if kept:
            return _queue_kept(job, config, ledger, dry_run=dry_run)
        if os.path.lexists(target):
            return _not_done(job, "the inbox has a file of its name, which the daemon takes first")
        place = find_rejected(job, config, listing)
        if place is None:
            return _not_done(job, f"its scan is not in {config.rejected}; drop it again")
        if not dry_run:
            left = companions.bring_back(place, job.path, config)
            with ledger.held():  # or a daemon could reject the new copy for this one, which goes
                moves.take_back(place, config.rejected, target, config.inbox)
    except OSError as error:
        return _not_done(job, f"its scan cannot be moved back: {error}")
    words = f"moved back into the inbox from {place}"
    if left:
        words += f"; {', '.join(map(str, left))} stayed there: the inbox has other files so named"
    return _done(job, words)


def _queue_kept(job: Job, config: Config, ledger: Ledger, *, dry_run: bool) -> Answer:
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
        name = free_name(job.path, digest, config, ledger)
        ledger.enqueue(job.path, digest, job.snapshot, name, time.time(), settings)
    return _done(job, "queued again, from the inbox, where it was kept")


def _forget(number: int, config: Config, ledger: Ledger) -> Answer:
    job = ledger.job(number)
    if job is None:
        return _none(number)
    try:
        ledger.forget(number)
    except ValueError:
        return _not_done(job, "it is waiting or in work; only what is finished or failed can be")
    if job.status is JobStatus.FAILED and not job.recolor:
        return _done(job, "forgotten; its scan stays where it is")
    return _done(job, f"forgotten; {config.outbox / job.output} and its scan stay where they are")


def _done(job: Job, words: str) -> Answer:
    return Answer(job.id, job.path, done=True, words=words)


def _not_done(job: Job, words: str) -> Answer:
    return Answer(job.id, job.path, done=False, words=words)


def _none(number: int) -> Answer:
    return Answer(number, None, done=False, words="there is no such job")
