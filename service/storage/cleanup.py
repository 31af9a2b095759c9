"""Removes the temporary files that a crash left behind; in an unavailable folder, later."""

from collections.abc import Callable
from pathlib import Path

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.durable import PART_PREFIX, PART_SUFFIX
from service.filesystem.safe_open import walk
from service.storage import held
from service.storage.moves import is_hidden, unhide
from worker.errors import DeviceError

KEYS = frozenset({"inbox", "outbox", "originals.folder", "rejected", held.KEY})


class TempFileSweeper:
    """Remembers which folders to sweep: all at startup, later those that were unavailable."""

    def __init__(self) -> None:
        """Nothing has been swept."""
        self._unswept = set(KEYS)

    def note(self, away: set[str]) -> None:
        """Have folders, by their keys, swept again: they became unavailable in mid-work."""
        self._unswept |= away & KEYS

    def remove(
        self, config: Config, places: FolderMonitor, report: Callable[[], None] = lambda: None
    ) -> int:
        """Sweep the available folders that are due. No work may be in progress.

        Args:
            config: the folders.
            places: which folders are available.
            report: called for each folder and sub-folder.

        Returns:
            How many files were removed.

        Raises:
            DeviceError: one cannot be removed now.
        """
        unused = {"originals.folder": config.originals.folder, held.KEY: config.review.folder}
        folders = {**unused, **config.folders}
        removed = 0
        for key in sorted(self._unswept):
            if key == "inbox" and config.originals.after == "keep":  # nothing is written there
                continue
            if places.problem(key):
                continue
            try:
                removed += sweep(folders[key], report)
            except OSError as error:
                message = f"cannot remove temporary files from {folders[key]}: {error.strerror}"
                raise DeviceError(message) from error
            self._unswept.remove(key)
        return removed


def sweep(
    folder: Path,
    report: Callable[[], None] = lambda: None,
    *,
    older_than: float = float("inf"),
) -> int:
    """Remove temporary files from a folder and its sub-folders, and end interrupted moves.

    A file hidden for a move gets its own name back; the watcher finds it again. No work may be in
    progress: its temporary files look the same.

    Args:
        folder: may be missing.
        report: called for each folder.
        older_than: only temporary files last changed before, seconds since 1970, where others may
            be at work.

    Returns:
        How many files were removed.

    Raises:
        OSError: one cannot be removed or renamed.
    """
    removed = 0
    for listing in walk(folder):
        for name in listing.files:
            if name.startswith(PART_PREFIX) and name.endswith(PART_SUFFIX):
                path = listing.folder / name
                if older_than == float("inf") or _changed(path) < older_than:
                    path.unlink(missing_ok=True)
                    removed += 1
            elif is_hidden(name):
                unhide(listing.folder, name)
        report()
    return removed


def _changed(path: Path) -> float:
    """Return when a file was last changed; one that is gone, never."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return float("inf")
