"""A file copied to another file system: verified, with its times, and whole or not at all."""

import errno
import os
import shutil
from pathlib import Path

from service.filesystem.durable import (
    ReplacedError,
    part_path,
    rename_without_overwriting,
    sync_folder,
)
from service.filesystem.safe_open import digest, digest_of, open_regular


def copy_file(path: Path, target: Path, wanted: str | None, name: Path) -> os.stat_result:
    """Copy a file to a free name; return how it looked, for it may be another by now.

    Args:
        path: the file.
        target: the free name.
        wanted: SHA-256 that the copy must have; None: that of the file.
        name: what to call the file in an error.
    """
    part = part_path(target.parent)
    try:
        with open_regular(path) as source:
            looks = os.fstat(source.fileno())
            with part.open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
                copy.flush()
                os.fsync(copy.fileno())
            shutil.copystat(f"/proc/self/fd/{source.fileno()}", part)
            copied = digest(part)
            if wanted is not None and copied != wanted:
                raise replaced(name)
            if wanted is None and copied != digest_of(source):
                raise OSError(errno.EIO, "the copy differs from the original", os.fspath(name))
        rename_without_overwriting(part, target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return looks


def replaced(path: Path) -> ReplacedError:
    """Say that another file has a name by now."""
    return ReplacedError(errno.ESTALE, "another file was saved under this name", os.fspath(path))
