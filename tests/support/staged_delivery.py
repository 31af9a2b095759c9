"""Delivers a file to the outbox in one call: staged, read back and published."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from service.storage.outbox import Delivered, Replaceable, publish, stage
from worker.atomic import digest_from_disk

T = TypeVar("T")


def deliver(
    outbox: Path,
    name: PurePosixPath,
    write: Callable[[BinaryIO], T],
    *,
    check: Callable[[], None] = lambda: None,
    own: Replaceable | None = None,
) -> Delivered[T]:
    """Deliver what `write` writes; arguments and errors as for `stage` and `publish`."""
    staging, result = stage(outbox, name, write, check)
    digest, size = digest_from_disk(outbox / staging), (outbox / staging).stat().st_size
    publish(outbox, {staging: name}, check=check, own=own)
    return Delivered(outbox / name, digest, size, result)
