"""The unfinished files that a crash left in the folders, removed; of one that is away, later."""

from collections.abc import Callable

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.storage import outbox
from service.storage.moves import restore_hidden
from worker.errors import DeviceError

KEYS = frozenset({"inbox", "outbox", "originals.folder", "rejected"})


class TempFileSweeper:
    """Remembers which folders are to be swept: all at the start, later those that were away."""

    def __init__(self) -> None:
        """Nothing was swept."""
        self._unswept = set(KEYS)

    def note(self, away: set[str]) -> None:
        """Take note of the keys of folders that are away: what was being written is in them."""
        self._unswept |= away & KEYS

    def remove(
        self, config: Config, places: FolderMonitor, report: Callable[[], None] = lambda: None
    ) -> int:
        """Sweep what is to be swept and is there. Call it while no work is in hand.

        Args:
            config: the folders.
            places: tells which are there.
            report: called for each folder and sub-folder that was looked through.

        Returns:
            How many files were removed.

        Raises:
            DeviceError: one cannot be removed now.
        """
        folders = {"originals.folder": config.originals.folder, **config.folders}
        removed = 0
        for key in sorted(self._unswept):
            if key == "inbox" and config.originals.after == "keep":  # nothing is written there
                continue
            if places.problem(key):
                continue
            try:
                removed += outbox.sweep(folders[key], report)
                if key == "inbox":
                    restore_hidden(folders[key])
            except OSError as error:
                message = f"cannot remove what a crash left in {folders[key]}: {error.strerror}"
                raise DeviceError(message) from error
            self._unswept.remove(key)
        return removed
