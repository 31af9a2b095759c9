"""Ledgers with as many results as wanted, without a file behind them."""

import random
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Decision, Job, JobStatus
from service.ledger.ledger import Ledger

FOLDERS = 200  # in which they lie, in two levels
FIRST = 1_700_000_000.0  # when the first was colored; the next ones follow each 10 seconds
MODELS = ("1", "2", "3")


def fill(path: Path, count: int, *, decided: float = 0.4) -> None:
    """Make a ledger in one transaction.

    Args:
        path: of the new ledger.
        count: how many results.
        decided: the share that was decided on.
    """
    with Ledger(path) as ledger, ledger.transaction():
        for job in results(count, decided):
            ledger.restore(job)


def results(count: int, decided: float) -> Iterator[Job]:
    """Yield finished jobs, the same ones each time."""
    dice = random.Random(14)  # noqa: S311 - no secret
    for number in range(count):
        folder = f"fonds {number % FOLDERS // 20:02}/album {number % FOLDERS:03}"
        path = PurePosixPath(f"{folder}/portrait of the year 19{number % 90:02}, {number:06}.tif")
        digest = f"{dice.getrandbits(256):064x}"
        decision = dice.choice((*[Decision.APPROVED] * 8, *Decision))
        yield Job(
            id=0,
            path=path,
            digest=digest,
            output=path,
            stat=FileStat(size=20_000_000, mtime_ns=10**18, inode=number, device=1),
            same_content_as=None,
            status=JobStatus.FINISHED,
            attempts=1,
            waits=0,
            reason=None,
            model=MODELS[number * len(MODELS) // count],
            not_before=0.0,
            queued_at=FIRST + 10 * number,
            started_at=FIRST + 10 * number,
            finished_at=FIRST + 10 * number,
            original=path,
            output_digest=digest[::-1],
            event=None,
            confidence=None if number % 50 == 0 else dice.random(),
            change=dice.random() * 20 if number % 7 == 0 else None,
            decision=decision if dice.random() < decided else None,
            held=number % 100 == 0,
        )
