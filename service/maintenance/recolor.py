"""The command `photochrom recolor`: queues finished photos to be colored by another model version.

Only the ledger is changed; a daemon, now or later, recolors the photos from their originals.
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
from service.maintenance.fixity import is_fetched
from service.storage.lookup import Lookup
from service.storage.naming import fits, misfit
from service.terminal import printable
from worker.errors import DeviceError
from worker.models.promotions import BUILT_IN, active_versions, read_promotions

PORTION = 1000  # jobs per transaction


class RecolorResult(NamedTuple):
    """What was, or would be, queued.

    Attributes:
        queued: number of photos.
        skipped: number of others, by reason.
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
        config: the ledger's folder, and the model in use.
        older_than: "promoted", "builtin" or a number: only photos colored by an earlier version;
            None: all that were not colored by the version in use.
        folder: only photos in this sub-folder of the inbox.
        chosen: only these jobs, files and folders (`service.storage.lookup`). A single photo is
            recolored whatever version colored it, unless `older_than` is given.
        dry_run: change nothing.

    Returns:
        How many were queued, and why others were skipped. Photos that were not chosen or never
        colored are not counted.

    Raises:
        DeviceError: the ledger cannot be used, or an older daemon is using it.
        ModelError: the history of promotions is damaged.
        ValueError: a choice matches no photo; nothing was queued.
        OSError: the rejected folder cannot be read.
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
                skipped[f"superseded by a scan with more pages, job {job.superseded_by}"] += 1
                continue
            if is_fetched(job, config) and not chosen:
                skipped["its result was fetched; to recolor it, name it or its folder"] += 1
                continue
            any_version = job.id in alone and limit is None
            reason = _reason_to_skip(job, config, "" if any_version else serving, limit)
            if reason:
                skipped[reason] += 1
            else:
                again.append(job.id)
        queued = len(again) if dry_run else queue_in_portions(ledger, again)
    return RecolorResult(queued, dict(+skipped))


def print_recoloring(found: RecolorResult, console: Console, *, dry_run: bool) -> None:
    """Print what was, or with `dry_run` would be, queued, and what was skipped."""
    lines = [f"{'would be queued' if dry_run else 'queued'}: {found.queued}"]
    lines += [f"skipped: {count} ({reason})" for reason, count in sorted(found.skipped.items())]
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False)


def inside_inbox(folder: Path, config: Config) -> PurePosixPath:
    """Return the path in the inbox of a folder given relative to it or absolute.

    Raises:
        ValueError: it is not in the inbox.
    """
    inside = folder.is_relative_to(config.inbox) or not folder.is_absolute()
    if not inside or ".." in folder.parts:
        raise ValueError(f"{folder} is not in the inbox, {config.inbox}")
    relative = folder.relative_to(config.inbox) if folder.is_absolute() else folder
    return PurePosixPath(relative)


def age(version: str | None) -> int:
    """Return a sort key of versions: unknown ones first, then the built-in one, then by number."""
    if version == BUILT_IN:
        return 0
    return int(version) if version and version.isascii() and version.isdigit() else -1


def refuse_an_older_daemon(config: Config, path: Path) -> None:
    """Raise DeviceError if opening the ledger would migrate it while an older daemon uses it."""
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


def queue_in_portions(ledger: Ledger, job_ids: list[int], *, repair: bool = False) -> int:
    """Queue jobs again, in transactions so short that no daemon waits; see `Ledger.recolor`."""
    portions = (job_ids[at : at + PORTION] for at in range(0, len(job_ids), PORTION))
    return sum(ledger.recolor(portion, time.time(), repair=repair) for portion in portions)


def _reason_to_skip(job: Job, config: Config, serving: str, limit: str | None) -> str:
    """Say why a photo is not recolored, or return ""."""
    if job.status in {JobStatus.QUEUED, JobStatus.STARTED}:
        return "already queued"
    if limit is None and job.model == serving:
        return f"already colored by version {serving}, the one in use"
    if limit is not None and age(job.model) >= age(limit):
        return f"colored by version {limit} or later"
    if not fits(job, config.output.format):
        return misfit(job)
    return ""
