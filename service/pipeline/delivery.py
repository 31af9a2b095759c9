"""A colored photo put in a folder, and its sidecar beside it."""

import errno
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import uuid4

import structlog

from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.file_stat import FileStat
from service.pipeline.protocols import Renderer
from service.storage import outbox
from service.storage.outbox import Delivered, Replaceable, TakenError
from service.storage.sidecar import deliver_sidecar, describe, sidecar_name
from worker.metadata.provenance import Origin, Record
from worker.scan import Scan

log = structlog.get_logger()

SOFTWARE = f"photochrom {version('photochrom')}"


@dataclass(frozen=True)
class Source:
    """The scan that a photo is made from.

    Attributes:
        path: in the inbox, or as it was given.
        sha256: of its content, hexadecimal.
        snapshot: how it looked when it was read.
        read: when work on it began, seconds since 1970.
        settings: how it was to be read.
    """

    path: PurePosixPath
    sha256: str
    snapshot: FileStat
    read: float
    settings: FolderSettings = AS_USUAL


class Target(NamedTuple):
    """Where a photo goes.

    Attributes:
        folder: the outbox.
        name: the photo's path in it.
        check: raises where the folder is away; see `outbox.deliver`.
        confirm: raises where the photo is not wanted after all.
        own: what there may be replaced; see `outbox.deliver`.
    """

    folder: Path
    name: PurePosixPath
    check: Callable[[], None] = lambda: None
    confirm: Callable[[], None] = lambda: None
    own: Replaceable | None = None


def deliver(
    target: Target,
    photo: Scan,
    chroma: Any,
    painter: Renderer,
    source: Source,
    now: float,
) -> tuple[Delivered[Record], Origin]:
    """Write a colored photo, then its sidecar; each whole or not at all.

    Args:
        target: where it goes.
        photo: the scan.
        chroma: as the painter predicted it.
        painter: the colorizer.
        source: where the scan came from.
        now: seconds since 1970.

    Returns:
        The photo, and what its label says.

    Raises:
        ScanError: the container cannot hold it.
        TakenError: another file has the name of the photo, or of its sidecar.
        DeviceError: it cannot be signed, though that is set.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    origin = Origin(
        name=source.path.name,
        sha256=source.sha256,
        model=painter.model,
        weights_sha256=painter.weights_sha256,
        software=SOFTWARE,
        event=str(uuid4()),
        when=datetime.fromtimestamp(int(now), UTC),
    )
    write = partial(painter.paint, photo, chroma, origin)
    _refuse_a_taken_sidecar(target)
    delivered = outbox.deliver(
        target.folder,
        target.name,
        write,
        check=target.check,
        confirm=target.confirm,
        own=target.own,
    )
    sidecar = describe(
        origin,
        delivered,
        source=source.path,
        stat=source.snapshot,
        output=target.name,
        read=datetime.fromtimestamp(source.read, UTC),
        settings=source.settings,
    )
    deliver_sidecar(target.folder, sidecar, target.check, target.own)
    return delivered, origin


def _refuse_a_taken_sidecar(target: Target) -> None:
    """Raise before the photo is delivered, where its sidecar could not be."""
    path = target.folder / sidecar_name(target.name)
    if os.path.lexists(path) and not (target.own and target.own.has(path)):
        raise TakenError(errno.EEXIST, "another file has the name of its sidecar", os.fspath(path))


def log_replaced_color(record: Record, **photo: Any) -> None:
    """Log where a scan had color of its own, which its photo does not have; nothing if nowhere.

    Args:
        record: what was written.
        photo: names the photo in the log.
    """
    for number, page in enumerate(record.pages, 1):
        if page.replaced_color:
            regions = [asdict(region) for region in page.replaced_color]
            log.warning("photo.color_replaced", **photo, page=number, regions=regions)
