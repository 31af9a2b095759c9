"""Keeps an observer watching the inbox, restarts it when it dies, and reports what is not watched.

Each problem is logged when it begins and when it ends. The inbox may be unavailable temporarily,
and the kernel's limits may be raised without a restart.
"""

import errno
import warnings
from pathlib import Path
from typing import Literal

import structlog

from service.filesystem.mounts import is_network_file_system
from service.watch.observer import Hints, Observer

Polling = Literal["auto", "always", "never"]

FIRST_RESTART = 1.0  # seconds until a dead observer is restarted; doubled each time it dies
LONGEST_RESTART = 60.0  # seconds; an observer that lived longer starts over

_REMEDIES = {
    errno.ENOSPC: "raise fs.inotify.max_user_watches",
    errno.EMFILE: "raise fs.inotify.max_user_instances, or the limit of open files",
}

log = structlog.get_logger()


class Supervisor:
    """An observer of an inbox that is restarted when it dies; used from one thread.

    Args:
        inbox: the folder; it may be missing temporarily.
        hints: receives every event.
        polling: whether to poll instead of using inotify; "auto": on network shares.
        poll: seconds between polls.

    Attributes:
        missing: whether the inbox was missing the last time.
        rebuilt: how many observers were started to replace a dead one.
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
        self._restart_at = float("-inf")
        self._restart_wait = FIRST_RESTART

    @property
    def alive(self) -> bool:
        """Whether events can arrive; without them only rescans find files."""
        return self._observer is not None and self._observer.alive

    @property
    def unannounced(self) -> str:
        """What is not watched, and what to do; or ""."""
        if self._observer is None:
            return f"the inbox is not watched: {self._refused}" if self._refused else ""
        refused, folders = self._observer.refused, self._observer.folders
        words = f"{refused} of {folders} folders are not watched; {_REMEDIES[errno.ENOSPC]}"
        return words if refused else ""

    def is_local(self, file: Path, device: int) -> bool:
        """Tell whether the kernel knows who writes a file: not on a network share or FUSE.

        Args:
            file: in the inbox, possibly on a share mounted in it.
            device: of its file system.
        """
        if device not in self._local:
            self._local[device] = not is_network_file_system(file.parent)
        return self._local[device]

    def next_due(self, now: float) -> float | None:
        """Return the seconds until `keep` is due; None: an observer is running."""
        return self._restart_at - now if self._observer is None else None

    def keep(self, now: float) -> bool:
        """Make sure that a live observer is watching this inbox.

        Args:
            now: monotonic seconds.

        Returns:
            Whether events may have been missed, so that a rescan is due.
        """
        folder = self._identity()
        if self._observer is not None and (folder != self._watched or not self.alive):
            self.stop()
            self._died = True
            if now - self._built_at > LONGEST_RESTART:
                self._restart_wait = FIRST_RESTART
            self._postpone_restart(now)
        came_back = folder is not None and self.missing
        if came_back:
            log.info("watch.inbox_found", inbox=self._inbox)
            self._restart_at = now
        elif folder is None and not self.missing:
            log.error("watch.inbox_missing", inbox=self._inbox)
        self.missing = folder is None
        news = False
        if self._observer is None and now >= self._restart_at:
            if folder is None:
                self._postpone_restart(now)
            else:
                news = self._observe(folder, now)
        self._log_unwatched()
        return came_back or news

    def watch_the_rest(self, now: float) -> None:
        """Try again to watch folders that are not; for the start of a rescan."""
        folder = self._identity()
        if self._incomplete and folder is not None:
            self.stop()
            self._observe(folder, now)
            self._log_unwatched()

    def stop(self) -> None:
        """Stop watching; `keep` starts again."""
        if self._observer is not None:
            observer, self._observer = self._observer, None
            observer.stop()

    def _observe(self, folder: tuple[int, int], now: float) -> bool:
        """Start an observer; return whether events may have been missed before."""
        network = is_network_file_system(self._inbox)
        polling = self._polling == "always" or (self._polling == "auto" and network)
        self._hints.hears_closes = not polling
        # Watchdog warns about folders created while it adds its watches; that is harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = Observer(self._inbox, self._hints, self._poll if polling else None)
        except OSError as error:
            if not self._refused:
                to_do = _REMEDIES.get(error.errno or 0, "")
                self._refused = f"{error.strerror}; {to_do}" if to_do else f"{error.strerror}"
                reason = f"{self._refused}; only rescans find new files"
                log.warning("watch.unavailable", inbox=self._inbox, reason=reason)
            self._postpone_restart(now)
            return False
        self._watched = folder
        self._local.clear()  # another file system may be mounted there
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

    def _log_unwatched(self) -> None:
        if self._observer is None:  # logged as missing, dead or unavailable
            return
        refused, folders = self._observer.refused, self._observer.folders
        if refused and not self._incomplete:
            reason = f"{_REMEDIES[errno.ENOSPC]}; only rescans find files in them"
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

    def _postpone_restart(self, now: float) -> None:
        self._restart_at = now + self._restart_wait
        self._restart_wait = min(2 * self._restart_wait, LONGEST_RESTART)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._inbox.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
