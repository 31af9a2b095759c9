"""Which photographs lie under some folders, and how they look from outside; none is opened."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from worker.formats.registry import format_of

SHORT = 16  # digits of a digest; among a million photographs two are alike once in 30 million cases


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """List every file under `folders` whose name says that photochrom can read it, sorted."""
    return sorted(
        {
            path
            for folder in folders
            for path in folder.rglob("*")
            if format_of(path) and not path.name.startswith(".") and path.is_file()
        }
    )


def looks(folders: Sequence[Path]) -> set[str]:
    """Give a short digest of path, size and time of change for each photograph under `folders`."""
    found = set()
    for path in find_photos(folders):
        try:
            status = path.stat()
        except FileNotFoundError:  # taken away since it was listed
            continue
        seen = f"{status.st_size} {status.st_mtime_ns} ".encode() + os.fsencode(path)
        found.add(hashlib.sha256(seen).hexdigest()[:SHORT])
    return found
