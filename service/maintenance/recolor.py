"""The command `photochrom recolor`: queue finished photos again, to be colored by another version.

Only the ledger is changed; a daemon, running or started later, does the work from the originals.
"""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.loader import Config
from service.filesystem.lock import owner_of
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.storage.lookup import Lookup
from service.storage.naming import fits, misfit
from service.terminal import printable
from worker.errors import DeviceError
from worker.models.promotions import BUILT_IN, active_versions, read_promotions

AT_ONCE = 1000  # jobs in one change of the ledger, so that a daemon need not wait for it


class RecolorResult(NamedTuple):
    """What was, or would be, queued.

    Attributes:
        queued: how many photos.
        skipped: how many were not, by the reason.
    """

    queued: int
    skipped: dict[str, int]


def queue_again(
    config: Config,
    *,
    older_than: str | None = None,
    folder: PurePosixPath | None = None,
    chosen: Sequence[str] = (),
    dry_run: bool = False,
) -> RecolorResult:
    """Queue finished photos again.

    Args:
        config: where the ledger is, and which version serves.
        older_than: "promoted", "builtin" or a number: only photos that an earlier version colored;
            None: all that another version colored than the one that serves.
        folder: only photos under this sub-folder of the inbox.
        chosen: only these jobs, files and folders (`service.storage.lookup`). One meant alone is
            colored again whatever version colored it, unless `older_than` is given.
        dry_run: change nothing.

    Returns:
        How many were queued, and why the others were not. Photos that were not chosen, and those
        that were never colored, count nowhere.

    Raises:
        DeviceError: the ledger cannot be used now, or an older daemon works with it.
        ModelError: the history of promotions is damaged.
        ValueError: what was chosen means no photo; then nothing was queued.
        OSError: the folder of the rejected scans cannot be read.
    """
    path = config.state / LEDGER_FILE
    if not path.exists():
        _refuse_unknown({one: [] for one in chosen})
        return RecolorResult(0, {})
    refuse_an_older_daemon(config, path)
    serving = str(config.model.version)
    if serving == "promoted":
        serving = active_versions(read_promotions(config.models_folder))[-1]
    limit = serving if older_than == "promoted" else older_than
    skipped: Counter[str] = Counter()
    again: list[int] = []
    with Ledger(path) as ledger:
        lookup = Lookup(config, ledger.queries)
        found = {one: lookup.exactly(one) for one in chosen}
        _refuse_unknown(found)
        named = {number for numbers in found.values() for number in numbers}
        alone = {numbers[0] for numbers in found.values() if len(numbers) == 1}
        for job in ledger.queries.by_ids(sorted(named)) if chosen else ledger.queries.colored():
            if folder is not None and not job.path.is_relative_to(folder):
                continue
            if not (job.status is JobStatus.FINISHED or job.recolor):
                skipped["not colored yet"] += job.id in alone
                continue
            if job.superseded_by:
                skipped[f"a longer scan took its place, job {job.superseded_by}"] += 1
                continue
            any_version = job.id in alone and limit is None
            reason = _reason_to_skip(job, config, "" if any_version else serving, limit)
            if reason:
                skipped[reason] += 1
            else:
                again.append(job.id)
        queued = len(again) if dry_run else _queue(ledger, again)
    return RecolorResult(queued, dict(+skipped))


def print_recoloring(found: RecolorResult, console: Console, *, dry_run: bool) -> None:
    """Tell a person what was, or with `dry_run` would be, queued, and what was skipped."""
    lines = [f"{'would be queued' if dry_run else 'queued'}: {found.queued}"]
    lines += [f"skipped: {count}, {reason}" for reason, count in sorted(found.skipped.items())]
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False)


def inside_inbox(folder: Path, config: Config) -> PurePosixPath:
    """Return a folder, given from the inbox or as a full path, as it is called from the inbox.

    Raises:
        ValueError: it is a full path to somewhere else, or leads out of the inbox.
    """
    inside = folder.is_relative_to(config.inbox) or not folder.is_absolute()
    if not inside or ".." in folder.parts:
        raise ValueError(f"{folder} is not in the inbox, {config.inbox}")
    relative = folder.relative_to(config.inbox) if folder.is_absolute() else folder
    return PurePosixPath(relative)


def age(version: str | None) -> int:
    """Order versions: unknown ones first, then the built-in one, then by number."""
    if version == BUILT_IN:
        return 0
    return int(version) if version and version.isascii() and version.isdigit() else -1


def refuse_an_older_daemon(config: Config, path: Path) -> None:
    """Raise DeviceError where a ledger is brought to a newer form under a daemon that works."""
    with LedgerQueries.open(path) as ledger:
        outdated = ledger.outdated
    owner = owner_of(config.state)
    if outdated and owner:
        raise DeviceError(
            f"the ledger {path} is in use by an older photochrom ({owner}); restart that first"
        )


def _refuse_unknown(found: dict[str, list[int]]) -> None:
    unknown = [one for one, numbers in found.items() if not numbers]
    if unknown:
        raise ValueError(f"no photograph has this number or path: {', '.join(unknown)}")


def _queue(ledger: Ledger, chosen: list[int]) -> int:
    starts = range(0, len(chosen), AT_ONCE)
    return sum(ledger.recolor(chosen[at : at + AT_ONCE], time.time()) for at in starts)


def _reason_to_skip(job: Job, config: Config, serving: str, limit: str | None) -> str:
    """Tell why a photo is not colored again, or give an empty text."""
    if job.status in {JobStatus.QUEUED, JobStatus.STARTED}:
        return "waiting to be colored again already"
    if limit is None and job.model == serving:
        return f"colored by version {serving}, which serves"
    if limit is not None and age(job.model) >= age(limit):
        return f"colored by version {limit} or a later one"
    if not fits(job, config.output.format):
        return misfit(job)
    return ""
