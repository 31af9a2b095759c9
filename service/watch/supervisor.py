"""Keeps an observer at work on the inbox: builds it again when it died, and says what is missing.

Each trouble is told when it begins and when it ends, and mended when that can be: the inbox may be
away for a while, and the kernel's limits may be raised without a restart.
"""

import errno
import warnings
from pathlib import Path
from typing import Literal

import structlog

from service.filesystem.mounts import is_network_file_system
from service.watch.observer import Hints, Observer

Polling = Literal["auto", "always", "never"]

FIRST_REPAIR = 1.0  # seconds until a dead observer is built again; doubled each time it dies
LONGEST_REPAIR = 60.0  # seconds; an observer that lived longer was well

_WHAT_TO_DO = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches",
    errno.EMFILE: "raise fs.inotify.max_user_instances, or the limit of open files",
}

log = structlog.get_logger()


class Supervisor:
    """An observer of an inbox that is built again when it dies; used from one thread.

    Args:
        inbox: the folder; it may be missing for a while.
        hints: told of every event.
        polling: regular looks in place of the system's announcements; "auto" for network shares.
        poll: seconds between those looks.

    Attributes:
        missing: whether the inbox was not there when it was last looked for.
        rebuilt: how many observers were built in place of one that had died.
    """

    def __init__(self, inbox: Path, hints: Hints, polling: Polling, poll: float) -> None:
        """Nothing is watched before `keep`."""
        self._inbox = inbox
        self._hints = hints
        self._polling = polling
        self._poll = poll
        self.missing = False
        self.rebuilt = 0
        self._observer: Observer | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the watched folder
        self._local: dict[int, bool] = {}  # by device
        self._died = False
        self._refused = ""  # why there is no observer
        self._incomplete = False
        self._built_at = float("-inf")
        self._repair_at = float("-inf")
        self._repair_wait = FIRST_REPAIR

    @property
    def alive(self) -> bool:
        """Whether hints can come; without them only rescans find files."""
        return self._observer is not None and self._observer.alive

    @property
    def unannounced(self) -> str:
        """What is not watched, and what to do, or "" where all is."""
        if self._observer is None:
            return f"the inbox is not watched: {self._refused}" if self._refused else ""
        refused, folders = self._observer.refused, self._observer.folders
        words = f"{refused} of {folders} folders are not watched; {_WHAT_TO_DO[errno.ENOSPC]}"
        return words if refused else ""

    def is_local(self, file: Path, device: int) -> bool:
        """Tell whether the system knows who writes a file: not on a share, nor on FUSE.

        Args:
            file: in the inbox, perhaps on a share that is mounted there.
            device: the number of its file system.
        """
        if device not in self._local:
            self._local[device] = not is_network_file_system(file.parent)
        return self._local[device]

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds `keep` is useful, or None while an observer is at work."""
        return self._repair_at - now if self._observer is None else None

    def keep(self, now: float) -> bool:
        """Build the observer where there is none, or none that lives and watches this inbox.

        Args:
            now: monotonic seconds.

        Returns:
            Whether something may have come that was not announced, so that a rescan is due.
        """
        folder = self._identity()
        if self._observer is not None and (folder != self._watched or not self.alive):
            self.stop()
            self._died = True
            if now - self._built_at > LONGEST_REPAIR:
                self._repair_wait = FIRST_REPAIR
            self._put_off_repair(now)
        came_back = folder is not None and self.missing
        if came_back:
            log.info("watch.inbox_found", inbox=self._inbox)
            self._repair_at = now
        elif folder is None and not self.missing:
            log.error("watch.inbox_missing", inbox=self._inbox)
        self.missing = folder is None
        news = False
        if self._observer is None and now >= self._repair_at:
            if folder is None:
                self._put_off_repair(now)
            else:
                news = self._observe(folder, now)
        self._tell_what_is_left_out()
        return came_back or news

    def watch_the_rest(self, now: float) -> None:
        """Try again to watch every folder, if some are not; call it just before a rescan."""
        folder = self._identity()
        if self._incomplete and folder is not None:
            self.stop()
            self._observe(folder, now)
            self._tell_what_is_left_out()

    def stop(self) -> None:
        """Stop watching; `keep` begins again."""
        if self._observer is not None:
            observer, self._observer = self._observer, None
            observer.stop()

    def _observe(self, folder: tuple[int, int], now: float) -> bool:
        """Build an observer; return whether it is not the first, or comes late."""
        network = is_network_file_system(self._inbox)
        polling = self._polling == "always" or (self._polling == "auto" and network)
        self._hints.hears_closes = not polling
        # It warns of folders made while it looks at them, with all its watches; that is harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = Observer(self._inbox, self._hints, self._poll if polling else None)
        except OSError as error:
            if not self._refused:
                to_do = _WHAT_TO_DO.get(error.errno or 0, "")
                self._refused = f"{error.strerror}; {to_do}" if to_do else f"{error.strerror}"
                reason = f"{self._refused}; new files are found by the rescans only"
                log.warning("watch.unavailable", inbox=self._inbox, reason=reason)
            self._put_off_repair(now)
            return False
        self._watched = folder
        self._local.clear()  # what is mounted there may be another
        self._hints.forget_writers()  # closes may have been missed
        self._built_at = now
        if self._refused:
            log.info("watch.available", inbox=self._inbox, polling=polling)
        elif self._died:
            log.warning("watch.rebuilt", inbox=self._inbox, polling=polling)
        self.rebuilt += self._died
        news = self._died or bool(self._refused)
        self._died, self._refused = False, ""
        return news

    def _tell_what_is_left_out(self) -> None:
        if self._observer is None:  # told as missing, dead or unavailable
            return
        refused, folders = self._observer.refused, self._observer.folders
        if refused and not self._incomplete:
            reason = f"{_WHAT_TO_DO[errno.ENOSPC]}; files in them are found by the rescans only"
            log.warning(
                "watch.incomplete",
                inbox=self._inbox,
                unwatched=refused,
                folders=folders,
                reason=reason,
            )
        elif self._incomplete and not refused:
            log.info("watch.complete", inbox=self._inbox, folders=folders)
        self._incomplete = bool(refused)

    def _put_off_repair(self, now: float) -> None:
        self._repair_at = now + self._repair_wait
        self._repair_wait = min(2 * self._repair_wait, LONGEST_REPAIR)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._inbox.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
