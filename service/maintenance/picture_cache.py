"""Keeps the pyramids and thumbnails that were looked at, under a size limit; others go first.

Names are digests of the pictures' own files, so nothing here is ever out of date, and two servers
may share a cache. Whatever is here can be made again.
"""

import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from service.filesystem.durable import PART_PREFIX, make_folder, part_path
from service.maintenance.pyramid_maker import GRACE, LONGEST

FOLDER = "web-cache"  # in the state folder
BLOCK = 4096  # bytes by which a file system counts
USED_AGAIN = 3600.0  # seconds after which another use is noted
ENOUGH = 0.9  # of the limit, to which the cache is emptied when it is full
FORGOTTEN = LONGEST + GRACE + 60.0  # seconds after which nobody is making what has a hidden name


class _Entry(NamedTuple):
    used: float  # seconds since 1970
    size: int  # bytes on disk
    path: Path


class PictureCache:
    """The cache in a folder; methods may be called by several threads.

    Args:
        folder: in `state`; made when it is needed.
        limit: bytes on disk.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        """Look at nothing yet."""
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._added = 0  # bytes since the last `empty`

    def pyramid(self, digest: str, page: int) -> Path:
        """Return the path of a page's pyramid, a folder."""
        return self._folder / "pyramids" / digest[:2] / f"{digest}-{page}"

    def thumbnail(self, digest: str, page: int, side: int) -> Path:
        """Return the path of a page's thumbnail, a JPEG with a long side of `side` pixels."""
        return self._folder / "thumbnails" / digest[:2] / f"{digest}-{page}-{side}.jpg"

    def has(self, path: Path) -> bool:
        """Tell whether a pyramid or thumbnail is there, and note that it is used."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        if time.time() - found.st_atime > USED_AGAIN:
            with suppress(FileNotFoundError):
                os.utime(path, (time.time(), found.st_mtime))
        return True

    def copy_thumbnail(self, digest: str, page: int, sides: Iterable[int], target: Path) -> bool:
        """Copy the first thumbnail that is there to a new file; tell whether there is one.

        Args:
            digest: of the picture's own file.
            page: which one, from 0.
            sides: which thumbnails would do, by their long sides.
            target: path of the copy.
        """
        for side in sides:
            with suppress(OSError):  # as if it were not there
                shutil.copyfile(self.thumbnail(digest, page, side), target)
                return True
        return False

    def make_room(self, path: Path) -> None:
        """Make the folder for a pyramid or thumbnail that is to be made.

        Raises:
            OSError: it cannot be made.
        """
        make_folder(path.parent)

    def discard(self, path: Path) -> None:
        """Remove a pyramid or thumbnail; readers that have a file of it open keep that."""
        hidden = part_path(path.parent)
        with suppress(FileNotFoundError):
            path.rename(hidden)
            _remove(hidden)

    def added(self, size: int) -> None:
        """Count what was made, in bytes on disk; make room when the limit may be exceeded."""
        with self._lock:
            self._added += size
            full = self._added > (1 - ENOUGH) * self._limit
        if full:
            self.empty()

    def empty(self) -> None:
        """Remove what was used longest ago while there is more than the limit, and leftovers."""
        if not self._lock.acquire(blocking=False):
            return  # another thread is at it
        try:
            self._added = 0
            entries = sorted(self._entries())
            total = sum(entry.size for entry in entries)
            if total > self._limit:
                for entry in entries:
                    self.discard(entry.path)
                    total -= entry.size
                    if total <= ENOUGH * self._limit:
                        break
        finally:
            self._lock.release()

    def _entries(self) -> Iterator[_Entry]:
        """Yield what is here; remove what a process that died was making."""
        for path in self._folder.glob("*/*/*"):
            with suppress(FileNotFoundError):
                found = path.stat()
                if not path.name.startswith(PART_PREFIX):
                    yield _Entry(found.st_atime, _size(path), path)
                elif time.time() - found.st_mtime > FORGOTTEN:
                    _remove(path)


def _size(path: Path) -> int:
    """Return the bytes that a file, or all in a folder, takes on disk."""
    if not path.is_dir():
        return _blocks(path.stat().st_size)
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            total += _blocks(Path(folder, name).lstat().st_size)
    return total


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
