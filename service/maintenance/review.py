"""What reviewers do, for the web page and the command `photochrom review`: decide, undo, claim.

Only the ledger is changed, which each call opens and closes, so that any thread and process may
call. A daemon, now or later, writes the decisions to the sidecars and delivers what was approved.
"""

import getpass
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from service.config.loader import Config
from service.filesystem.access import user_name
from service.ledger.gallery import GalleryFilter, Order
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.recolor import refuse_an_older_daemon
from service.storage.lookup import Lookup

CLAIM_SECONDS = 600.0  # that a photograph stays with the reviewer who looks at it
LONGEST_NAME, LONGEST_REASON, LONGEST_NOTE = 100, 500, 10_000  # characters; sidecars have them all


class CountChangedError(ValueError):
    """There are more or fewer results now than the person saw when deciding on all of them."""


def decide(
    config: Config,
    job_ids: Iterable[int],
    decision: Decision | None,
    *,
    who: str,
    reason: str = "",
    note: str = "",
) -> int:
    """Record one decision on results; all are undone together.

    Args:
        config: the ledger's folder.
        job_ids: which; jobs without a result are skipped.
        decision: None opens them again.
        who: name of the person.
        reason: why, or "".
        note: further words, or "".

    Returns:
        On how many it was recorded.

    Raises:
        DeviceError: the ledger cannot be used, or an older daemon is using it.
        ValueError: the name is missing, or a text is too long.
    """
    _check_words(who, reason, note)
    with _reviewed(config) as ledger:
        if ledger is None:
            return 0
        return ledger.reviews.decide(
            job_ids, decision, who=who, now=time.time(), reason=reason, note=note
        )


def decide_filtered(
    config: Config,
    which: GalleryFilter,
    expected: int,
    decision: Decision | None,
    *,
    who: str,
    reason: str = "",
    note: str = "",
) -> int:
    """Record one decision on all results of a filter.

    Args:
        config: the ledger's folder.
        which: results.
        expected: how many there were when the person was asked to confirm.
        decision: None opens them again.
        who: name of the person.
        reason: why, or "".
        note: further words, or "".

    Returns:
        On how many it was recorded.

    Raises:
        CountChangedError: there are more or fewer now; nothing was recorded.
        DeviceError: as `decide`.
        ValueError: as `decide`.
    """
    _check_words(who, reason, note)
    with _reviewed(config) as ledger:
        decided = 0 if ledger is None and expected == 0 else None
        if ledger is not None:
            decided = ledger.reviews.decide_all(
                which, expected, decision, who=who, now=time.time(), reason=reason, note=note
            )
    if decided is None:
        raise CountChangedError(f"there are no longer {expected} such photographs; look again")
    return decided


def undo(config: Config, who: str) -> list[DecisionRecord]:
    """Undo what a person decided last, all that was decided together; see `Reviews.undo`.

    What was delivered because it was approved stays in the outbox, and is open to review again.

    Raises:
        DeviceError: as `decide`.
    """
    with _reviewed(config) as ledger:
        return [] if ledger is None else ledger.reviews.undo(who, time.time())


def add_note(config: Config, job_id: int, note: str, *, who: str) -> bool:
    """Record words on a result whose decision stays; tell whether there is such a result.

    Raises:
        DeviceError: as `decide`.
        ValueError: as `decide`, or there are no words.
    """
    _check_words(who, "", note)
    if not note.strip():
        raise ValueError("the note is empty")
    with _reviewed(config) as ledger:
        return ledger is not None and ledger.reviews.add_note(
            job_id, note, who=who, now=time.time()
        )


def claim_next(
    config: Config,
    which: GalleryFilter,
    order: Order,
    after: int | None,
    *,
    who: str,
    seconds: float = CLAIM_SECONDS,
) -> Job | None:
    """Give a reviewer the next open result that nobody else is looking at.

    Args:
        config: the ledger's folder.
        which: results.
        order: of the results.
        after: job behind which to begin; None, or one that is gone: the first.
        who: name of the reviewer.
        seconds: how long it stays theirs.

    Returns:
        The result, or None if nothing is open.

    Raises:
        DeviceError: as `decide`.
    """
    with _reviewed(config) as ledger:
        if ledger is None:
            return None
        start = None if after is None else ledger.queries.job(after)
        now = time.time()
        return ledger.reviews.claim_next(which, order, start, who=who, now=now, seconds=seconds)


def claim(config: Config, job_id: int, *, who: str, seconds: float = CLAIM_SECONDS) -> str | None:
    """Give a reviewer a result they ask for; return who else is looking at it, or None.

    Raises:
        DeviceError: as `decide`.
    """
    with _reviewed(config) as ledger:
        if ledger is None or ledger.queries.job(job_id) is None:
            return None
        return ledger.reviews.claim(job_id, who=who, now=time.time(), seconds=seconds)


def release(config: Config, job_id: int | None, *, who: str) -> None:
    """End a reviewer's claim on a result, or, for None, all of theirs.

    Raises:
        DeviceError: as `decide`.
    """
    with _reviewed(config) as ledger:
        if ledger is not None:
            ledger.reviews.release(job_id, who)


def results_of(config: Config, chosen: Sequence[str]) -> list[int]:
    """Find the results of jobs, files and folders, for the command.

    Args:
        config: the folders.
        chosen: as typed (`service.storage.lookup`).

    Returns:
        The ids of their jobs that have a result.

    Raises:
        DeviceError: as `decide`.
        OSError: the rejected folder cannot be read.
        ValueError: a choice matches no photograph, or none with a result.
    """
    with _reviewed(config) as ledger:
        found = {}
        for one in chosen:
            numbers = Lookup(config, ledger.queries).exactly(one) if ledger else []
            jobs = ledger.queries.by_ids(numbers) if ledger else ()
            found[one] = [job.id for job in jobs if job.is_colored]
    unknown = [one for one, numbers in found.items() if not numbers]
    if unknown:
        raise ValueError(f"no result has this number or path: {', '.join(unknown)}")
    return sorted({number for numbers in found.values() for number in numbers})


def person() -> str:
    """Return the name of who runs this command, also by way of sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # no such user, as in a container
        return user_name()


@contextmanager
def _reviewed(config: Config) -> Iterator[Ledger | None]:
    """Open the ledger; None where nothing was colored yet."""
    path = config.state / LEDGER_FILE
    if not path.exists():
        yield None
        return
    refuse_an_older_daemon(config, path)
    with Ledger(path) as ledger:
        yield ledger


def _check_words(who: str, reason: str, note: str) -> None:
    if not who.strip():
        raise ValueError("the name of who decides is missing")
    for what, text, longest in (
        ("name", who, LONGEST_NAME),
        ("reason", reason, LONGEST_REASON),
        ("note", note, LONGEST_NOTE),
    ):
        if len(text) > longest:
            raise ValueError(f"the {what} is longer than {longest} characters")
