"""The command `photochrom mark-fetched`: results that were carried away are no loss.

Taking results out of the outbox is the normal end of the work. The ledger records it, so that
`verify` does not miss them and nothing colors them again. Only the ledger is changed; a daemon may
be running.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.fixity import is_delivered
from service.maintenance.recolor import refuse_an_older_daemon
from service.storage.lookup import Lookup
from service.storage.sidecar import sidecar_name
from service.terminal import printable
from worker.errors import DeviceError

PORTION = 1000  # jobs per transaction
FOLDERS_SHOWN = 10


class Fetched(NamedTuple):
    """Which results are, or are to be, marked.

    Attributes:
        jobs: of the results.
        folders: how many of them each folder of the outbox has.
        present: how many of them are in the outbox.
        halves: results or sidecars that are missing without the other; left as they are.
        already: results that are marked already.
        others: results in the outbox that were not asked for.
    """

    jobs: list[int]
    folders: dict[PurePosixPath, int]
    present: int = 0
    halves: int = 0
    already: int = 0
    others: int = 0


def find_missing(config: Config) -> Fetched:
    """Find the delivered results that are not in the outbox, and neither are their sidecars.

    Raises:
        DeviceError: the outbox is not there or looks unmounted, or the ledger cannot be used.
    """
    FolderMonitor(config.folders).check("outbox", to_write=False)
    missing: list[Job] = []
    already = halves = others = 0
    for job in _delivered(config):
        result = file_stat(config.outbox / job.output) is not None
        sidecar = file_stat(config.outbox / sidecar_name(job.output)) is not None
        if job.fetched_at is not None:
            already += not result
        elif not result and not sidecar:
            missing.append(job)
        else:
            halves += result != (sidecar or job.event is None)
            others += 1
    return _fetched(missing)._replace(already=already, halves=halves, others=others)


def find_named(config: Config, names: Sequence[str], *, undo: bool) -> Fetched:
    """Find results by job numbers, files and folders, whether or not they are in the outbox.

    Args:
        config: the folders.
        names: as for `service.storage.lookup`.
        undo: find those that are marked, instead of those that are not.

    Raises:
        DeviceError: the ledger cannot be used.
        ValueError: a name matches no photograph.
    """
    path = config.state / LEDGER_FILE
    chosen: set[int] = set()
    jobs = {job.id: job for job in _delivered(config)}
    if path.exists():
        with Ledger(path) as ledger:
            lookup = Lookup(config, ledger.queries)
            for name in names:
                numbers = lookup.exactly(name)
                if not numbers:
                    raise ValueError(f"no photograph has this number or path: {name}")
                chosen |= set(numbers)
    found = [job for number, job in jobs.items() if number in chosen]
    marked = [job for job in found if job.fetched_at is not None]
    wanted = marked if undo else [job for job in found if job.fetched_at is None]
    present = sum(file_stat(config.outbox / job.output) is not None for job in wanted)
    return _fetched(wanted)._replace(present=present, already=0 if undo else len(marked))


def mark(config: Config, found: Fetched, moment: float | None) -> int:
    """Mark results as fetched at a moment, in seconds since 1970; None: they are not.

    Returns:
        How many were; others may have been recolored meanwhile.

    Raises:
        DeviceError: the ledger cannot be used.
    """
    numbers = iter(found.jobs)
    changed = 0
    with Ledger(config.state / LEDGER_FILE) as ledger:
        while portion := list(itertools.islice(numbers, PORTION)):
            changed += ledger.reviews.mark_fetched(portion, moment)
    return changed


def refuse_an_accident(found: Fetched) -> None:
    """Raise DeviceError if nothing at all is in the outbox, as after a mistake."""
    if found.jobs and not found.others and not found.already:
        raise DeviceError(
            f"all {len(found.jobs)} results are missing from the outbox; if they really were"
            " carried away, give --yes"
        )


def print_fetched(found: Fetched, console: Console) -> None:
    """Print what is about to be marked, by folder, and what is not."""
    lines = [f"{len(found.jobs)} result{'s' * (len(found.jobs) != 1)}"]
    shown = sorted(found.folders.items(), key=lambda one: (-one[1], one[0]))
    lines += [
        f"  in {f'{folder}/' if folder.parts else 'the outbox itself'}: {count}"
        for folder, count in shown[:FOLDERS_SHOWN]
    ]
    if len(shown) > FOLDERS_SHOWN:
        lines.append(f"  and {len(shown) - FOLDERS_SHOWN} more folders")
    for count, words in (
        (found.present, "of them still in the outbox"),
        (found.halves, "left: only the result or only the sidecar is missing; see verify"),
        (found.already, "marked before"),
    ):
        if count:
            lines.append(f"{count} {words}")
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _fetched(jobs: Sequence[Job]) -> Fetched:
    return Fetched([job.id for job in jobs], Counter(job.output.parent for job in jobs))


def _delivered(config: Config) -> Iterator[Job]:
    """Yield the jobs with a result in the outbox that is not about to be replaced.

    It may be an earlier one, while the present one is held.
    """
    path = config.state / LEDGER_FILE
    if not path.exists():
        return
    refuse_an_older_daemon(config, path)
    with Ledger(path) as ledger:
        jobs = ledger.queries.colored()
    jobs = [job for job in jobs if not job.held or job.delivered_digest is not None]
    yield from filter(is_delivered, jobs)
