"""A colored photograph gets its name in a folder, and its sidecar beside it."""

import errno
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import structlog

from service.pipeline.tasks import looks_of, staging_in
from service.storage import outbox
from service.storage.outbox import Delivered, Replaceable, TakenError
from service.storage.sidecar import Choice, deliver_sidecar, describe, sidecar_name
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
        folder: the outbox.
        name: the photograph's path in it.
        check: raises where the folder is away; see `outbox.publish`.
        confirm: raises where the photograph is not wanted after all.
        own: what may be replaced there; see `outbox.publish`.
    """

    folder: Path
    name: PurePosixPath
    check: Callable[[], None] = lambda: None
    confirm: Callable[[], None] = lambda: None
    own: Replaceable | None = None


def deliver(target: Target, delivery: Delivery) -> Delivered[Record]:
    """Give a staging file its name, and write its sidecar; each whole or not at all.

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

    def confirm() -> None:
        _refuse_taken_sidecar(target)
        target.confirm()

    path = outbox.publish(
        target.folder,
        staging_in(target.folder, task),
        target.name,
        outcome.sha256,
        check=target.check,
        confirm=confirm,
        own=target.own,
    )
    delivered = Delivered(path, outcome.sha256, outcome.size, outcome.record)
    source = PurePosixPath(task.source.path)
    sidecar = describe(
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
        choice=Choice(task.read.even_if_colored, task.wishes, outcome.confidence),
    )
    deliver_sidecar(target.folder, sidecar, target.check, target.own)
    return delivered


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
