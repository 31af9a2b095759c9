"""A colored photograph gets its name in a folder, and its sidecar beside it."""

import errno
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import structlog

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import Job
from service.pipeline.reading import confirm
from service.pipeline.tasks import is_staged_in, looks_of, staging_in
from service.storage import held, outbox
from service.storage.deliveries import Own
from service.storage.outbox import Delivered, TakenError
from service.storage.sidecar import Choice, Sidecar, describe, sidecar_name, stage_sidecar
from worker.inference.engine import Colored, Task
from worker.metadata.provenance import Origin, Record

log = structlog.get_logger()


@dataclass(frozen=True)
class Delivery:
    """A photograph that is to be delivered.

    Attributes:
        task: what was asked of the engine.
        outcome: what came back; its staging file is in the folder.
        read: when work on the scan began, seconds since 1970.
    """

    task: Task
    outcome: Colored
    read: float


class Target(NamedTuple):
    """Where a photograph goes.

    Attributes:
        folder: the outbox, or that of held results.
        name: the photograph's path in it.
        check: raises where the folder is away; see `outbox.publish`.
        confirm: raises where the photograph is not wanted after all.
        own: which files there the job may replace; None: none.
        staged: the folder with the staging file, if that is another.
    """

    folder: Path
    name: PurePosixPath
    check: Callable[[], None] = lambda: None
    confirm: Callable[[], None] = lambda: None
    own: Own | None = None
    staged: Path | None = None


def target_of(
    job: Job, delivery: Delivery, config: Config, places: FolderMonitor, *, hold: bool
) -> Target:
    """Return where the result of a job goes.

    Args:
        job: started; the ledger has noted what it is to deliver.
        delivery: its.
        config: the folders.
        places: tells whether they are there.
        hold: whether it is to wait for approval.
    """
    key, folder = (held.KEY, config.review.folder) if hold else ("outbox", config.outbox)
    # What waits there was written by this job only if it counts as held.
    known = job if job.held or not hold else replace(job, output_digest=None, event=None)
    known = known if known is job else replace(known, recolor=False, repair=False)
    task = delivery.task
    own = Own(known, delivery.outcome.sha256, task.label.event)
    target = Target(folder, job.output, partial(places.check, key), own=own)
    if not is_staged_in(folder, task):
        target = target._replace(staged=config.outbox)
    if not job.recolor:  # else it was found by its content
        target = target._replace(confirm=partial(confirm, job, config, places))
    return target


def deliver(target: Target, delivery: Delivery) -> Delivered[Record]:
    """Give a staging file its name, and then its sidecar, which is on the disk before.

    Args:
        target: where it goes.
        delivery: the photograph.

    Raises:
        ScanError: there is no place for it.
        SourceChanged: `target.confirm` found so.
        TakenError: another file has the name of the photograph, or of its sidecar.
        DeviceError: the folder is away.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    task, outcome = delivery.task, delivery.outcome

    def confirm_all() -> None:
        _refuse_taken_sidecar(target)
        target.confirm()

    path, staging = target.folder / target.name, _staging(target, task, outcome)
    delivered = Delivered(path, outcome.sha256, outcome.size, outcome.record)
    try:
        sidecar = _sidecar(target, delivery, delivered)
        beside, name = stage_sidecar(target.folder, sidecar, target.check)
    except BaseException:  # even Ctrl-C must not leave a staging file
        outbox.discard(target.folder, staging)
        raise
    outbox.publish(
        target.folder,
        {staging: target.name, beside: name},
        check=target.check,
        confirm=confirm_all,
        own=target.own,
    )
    return delivered


def _sidecar(target: Target, delivery: Delivery, delivered: Delivered[Record]) -> Sidecar:
    task, outcome = delivery.task, delivery.outcome
    source = PurePosixPath(task.source.path)
    return describe(
        Origin(
            name=source.name,
            sha256=task.source.sha256,
            model=outcome.model,
            weights_sha256=outcome.weights_sha256,
            software=task.label.software,
            event=task.label.event,
            when=datetime.fromisoformat(task.label.when),
        ),
        delivered,
        source=source,
        stat=looks_of(task.source),
        output=target.name,
        read=datetime.fromtimestamp(delivery.read, UTC),
        choice=Choice(task.read.even_if_colored, task.wishes, outcome.confidence, outcome.change),
    )


def _staging(target: Target, task: Task, outcome: Colored) -> PurePosixPath:
    """Return the path of the staging file in the target's folder, after it was brought there."""
    if target.staged is None:
        return staging_in(target.folder, task)
    name = staging_in(target.staged, task)
    held.take_in(target.staged, name, target.folder, outcome.sha256, check=target.check)
    return name


def _refuse_taken_sidecar(target: Target) -> None:
    """Raise before the photograph is delivered, where its sidecar could not be."""
    path = target.folder / sidecar_name(target.name)
    if os.path.lexists(path) and not (target.own and target.own.has(path)):
        raise TakenError(errno.EEXIST, "another file has the name of its sidecar", os.fspath(path))


def log_replaced_color(record: Record, **photo: Any) -> None:
    """Log where a scan had color of its own, which its result does not have.

    Args:
        record: what was written.
        photo: keys that name the photograph in the log.
    """
    for number, page in enumerate(record.pages, 1):
        if page.replaced_color:
            regions = [asdict(region) for region in page.replaced_color]
            log.warning("photo.color_replaced", **photo, page=number, regions=regions)
