"""Lists photographs under folders, and fingerprints them without reading them."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from worker.formats.registry import format_of

DIGITS = 16  # of a fingerprint; a million photographs collide once in 30 million cases


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """List all files under `folders` with the suffix of a format photochrom reads, sorted."""
    return sorted(
        {
            path
            for folder in folders
            for path in folder.rglob("*")
            if format_of(path) and not path.name.startswith(".") and path.is_file()
        }
    )


def fingerprints(folders: Sequence[Path]) -> set[str]:
    """Return a short digest of path, size and modification time for each photograph."""
    found = set()
    for path in find_photos(folders):
        try:
            status = path.stat()
        except FileNotFoundError:  # removed since it was listed
            continue
        state = f"{status.st_size} {status.st_mtime_ns} ".encode() + os.fsencode(path)
        found.add(hashlib.sha256(state).hexdigest()[:DIGITS])
    return found
