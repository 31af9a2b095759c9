"""Sub-folders of the inbox that stand empty since their last scan left, removed after a while.

Only those: never the inbox, nor a folder that somebody just made, nor one in which anything lies,
such as an XMP file or a folder's settings. The while is for those who are still dropping scans
there. It is `rmdir` that decides, so that nothing can be lost.
"""

import os
import time
from contextlib import suppress
from pathlib import Path, PurePath

import structlog

from service.config.loader import Config
from service.filesystem.safe_open import open_dir_beneath
from service.ledger.queries import LedgerQueries
from worker.errors import DeviceError

# What the Finder and the Explorer leave, and make again by themselves.
LITTER = frozenset({".ds_store", "thumbs.db"})

log = structlog.get_logger()


class EmptyFolders:
    """The folders of one inbox that may be empty by now.

    Args:
        config: the inbox, and how long a folder must have been at rest.
        ledger: knows which scans left.
    """

    def __init__(self, config: Config, ledger: LedgerQueries) -> None:
        """None is known yet."""
        moves = config.originals.after == "move"
        self._after = config.originals.remove_empty_after if moves else None
        self._inbox = config.inbox
        self._ignore = config.watch.ignored
        self._ledger = ledger
        self._due: dict[PurePath, float] = {}

    def left(self, folder: PurePath, now: float) -> None:
        """Take note that a scan left a folder, at a time in monotonic seconds."""
        if self._after is not None and folder.parts:
            self._due[folder] = now + self._after

    def find(self, now: float) -> None:
        """Look for folders that were left empty before this process began.

        What cannot be looked at now is found by a later start.

        Args:
            now: monotonic seconds.
        """
        if self._after is not None:
            with suppress(DeviceError):
                self._find(now, self._after)

    def _find(self, now: float, after: float) -> None:
        for parent, folders, names in os.walk(self._inbox):
            folders[:] = [name for name in folders if not self._ignore.folder(name)]
            inside = PurePath(os.path.relpath(parent, self._inbox))
            if not folders and not _all_but_litter(names) and inside.parts:
                is_delivered = _at_rest(Path(parent))
                if is_delivered is not None and self._ledger.has_done_below(inside):
                    self._due[inside] = now + max(0.0, after - is_delivered)

    def step(self, now: float) -> None:
        """Remove what is empty and was at rest for long enough, and what is empty by that."""
        if self._after is None:
            return
        for folder in [folder for folder, due in self._due.items() if now >= due]:
            is_delivered = _at_rest(self._inbox / folder)
            if (
                is_delivered is not None and is_delivered < self._after - 1.0
            ):  # somebody was there since
                self._due[folder] = now + self._after - is_delivered
                continue
            del self._due[folder]
            while folder.parts and self._remove(folder):
                log.info("folder.removed", folder=self._inbox / folder)
                folder = folder.parent  # noqa: PLW2901 - upward, as far as they are empty

    def _remove(self, folder: PurePath) -> bool:
        """Remove a folder if nothing but litter is in it; tell whether it is gone."""
        with suppress(OSError):  # something is in it, or permissions keep it: it stays
            with open_dir_beneath(self._inbox, folder) as inside:
                found = list(inside.iterdir())
                if _all_but_litter([path.name for path in found]):
                    return False
                for path in found:
                    path.unlink()
            with open_dir_beneath(self._inbox, folder.parent) as home:
                (home / folder.name).rmdir()
            return True
        return False


def _all_but_litter(names: list[str]) -> list[str]:
    return [name for name in names if name.lower() not in LITTER]


def _at_rest(folder: Path) -> float | None:
    """Return for how many seconds nothing came into a folder or left it; None: it is gone."""
    try:
        return max(0.0, time.time() - folder.stat().st_mtime)
    except OSError:
        return None
