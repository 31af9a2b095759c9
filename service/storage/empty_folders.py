"""Removes sub-folders of the inbox that stay empty after their last scan left.

Never the inbox itself, a folder that was just created, or one that contains anything, such as an
XMP file or a photochrom.yaml. The delay is for people still adding scans; folders of held results
are removed at once. `rmdir` has the last word, so nothing can be lost.
"""

import time
from contextlib import suppress
from pathlib import Path, PurePath

import structlog

from service.config.loader import Config
from service.filesystem.safe_open import open_dir_beneath, walk
from service.ledger.queries import LedgerQueries
from worker.errors import DeviceError

# What Finder and Explorer leave behind, and recreate themselves.
LITTER = frozenset({".ds_store", "thumbs.db"})

log = structlog.get_logger()


class EmptyFolders:
    """The folders of the inbox that may be empty.

    Args:
        config: the inbox, and how long a folder must be unchanged.
        ledger: which scans left.
    """

    def __init__(self, config: Config, ledger: LedgerQueries) -> None:
        """No folder is known yet."""
        moves = config.originals.after == "move"
        self._after = config.originals.remove_empty_after if moves else None
        self._inbox = config.inbox
        self._ignore = config.watch.ignored
        self._ledger = ledger
        self._due: dict[PurePath, float] = {}

    def left(self, folder: PurePath, now: float) -> None:
        """Record that a scan left a folder, at a time in monotonic seconds."""
        if self._after is not None and folder.parts:
            self._due[folder] = now + self._after

    def find(self, now: float) -> None:
        """Find folders left empty before this process started, as far as they can be read.

        Args:
            now: monotonic seconds.
        """
        if self._after is not None:
            with suppress(DeviceError):
                self._find(now, self._after)

    def _find(self, now: float, after: float) -> None:
        for inside, folder, folders, names, _ in walk(self._inbox):
            folders[:] = [name for name in folders if not self._ignore.folder(name)]
            if not folders and not _all_but_litter(names) and inside.parts:
                unchanged = _unchanged_for(folder)
                if unchanged is not None and self._ledger.has_done_below(inside):
                    self._due[inside] = now + max(0.0, after - unchanged)

    def step(self, now: float) -> None:
        """Remove folders that stayed empty long enough, and parents that thereby become empty."""
        if self._after is None:
            return
        for folder in [folder for folder, due in self._due.items() if now >= due]:
            unchanged = _unchanged_for(self._inbox / folder)
            if unchanged is not None and unchanged < self._after - 1.0:  # somebody was there since
                self._due[folder] = now + self._after - unchanged
                continue
            del self._due[folder]
            remove_empty(self._inbox, folder)


def remove_empty(root: Path, folder: PurePath) -> None:
    """Remove a folder beneath another, if it is empty, and its parents that thereby become empty.

    Args:
        root: stays.
        folder: its path in that.
    """
    while folder.parts and _removed(root, folder):
        log.info("folder.removed", folder=root / folder)
        folder = folder.parent


def _removed(root: Path, folder: PurePath) -> bool:
    """Remove a folder with nothing but litter in it; tell whether it is gone."""
    with suppress(OSError):  # it is not empty, or permissions protect it
        with open_dir_beneath(root, folder) as inside:
            found = list(inside.iterdir())
            if _all_but_litter([path.name for path in found]):
                return False
            for path in found:
                path.unlink()
        with open_dir_beneath(root, folder.parent) as home:
            (home / folder.name).rmdir()
        return True
    return False


def _all_but_litter(names: list[str]) -> list[str]:
    return [name for name in names if name.lower() not in LITTER]


def _unchanged_for(folder: Path) -> float | None:
    """Return how long a folder's entries have not changed, in seconds; None: it is gone."""
    try:
        return max(0.0, time.time() - folder.stat().st_mtime)
    except OSError:
        return None
