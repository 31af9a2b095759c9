"""Finds the files in the inbox that are complete, and tells of each once.

What the system announces is only a hint, since it forgets, overflows and dies in silence; the scan
at the start and the rescans are the truth. A lost hint delays a file to the next rescan, no more.
Each step: keep the observer alive, rescan or take the hints, tell of what has been stable.
"""

import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from service.beneath import has_writer, snapshot
from service.inbox import eligible, find
from service.mounts import is_network_file_system
from service.stability import Snapshot, StabilityTracker

Polling = Literal["auto", "always", "never"]

MOST_HINTS = 10_000  # beyond it a rescan is cheaper
MOST_TOLD_IN_A_STEP = 16  # so that a full inbox does not keep the daemon from its other work
POLL_EVERY = 5.0  # seconds
FIRST_REPAIR = 1.0  # seconds until a dead observer is built again; doubled each time it dies
LONGEST_REPAIR = 60.0  # seconds; an observer that lived longer was well

_EVENTS: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent),
]

log = structlog.get_logger()


class Watcher:
    """Watches one inbox; every method is called from one thread.

    Times are seconds of a clock that never goes back (`time.monotonic`).

    Args:
        inbox: the folder; it may be missing for a while.
        settle: seconds a file must stay unchanged.
        rescan: seconds between full looks through the inbox.
        polling: regular looks in place of the system's announcements; "auto" for network shares.
        on_stable: told of each complete file, in `step`; again only when the file changes. When it
            raises, the error leaves `step`, and it is told again after another settle time.
        wake: called from other threads when a step is useful; must not raise.
        poll: seconds between the looks of `polling`.

    Attributes:
        found_one: called for each file that a rescan finds, since a rescan may take long.
        rescanned_at: when the last rescan was, even one that could not read the inbox.
        sees_inbox: whether the inbox could be read when it was last looked at.
    """

    def __init__(
        self,
        inbox: Path,
        *,
        settle: float,
        rescan: float,
        polling: Polling,
        on_stable: Callable[[Path, Snapshot], None],
        wake: Callable[[], None],
        poll: float = POLL_EVERY,
    ) -> None:
        """Nothing is watched before `start`."""
        self._inbox = inbox
        self._rescan_every = rescan
        self._polling = polling
        self._on_stable = on_stable
        self.found_one: Callable[[], None] = lambda: None
        self._poll = poll
        self._hints = _Hints(wake)
        self._tracker = StabilityTracker(settle)
        self._told: dict[Path, Snapshot] = {}  # of the files that are still there
        self._rescan_at = 0.0
        self.rescanned_at = 0.0
        self.sees_inbox = True
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None  # device and inode of the watched folder
        self._asks_writers = False
        self._missing = False
        self._broken = False
        self._built_at = float("-inf")
        self._repair_at = float("-inf")
        self._repair_wait = FIRST_REPAIR

    def start(self, now: float) -> None:
        """Begin to watch; the first `step` scans what is there already."""
        self._rescan_at = self.rescanned_at = now
        self._keep_observing(now)

    def step(self, now: float) -> None:
        """Do what is to do now.

        Raises:
            Exception: whatever `on_stable` raises.
        """
        self._keep_observing(now)
        if now >= self._rescan_at or self._hints.overflowed:
            self._rescan(now)
        for path in self._hints.take():
            self._follow(path, now)
        self._tell(now)

    def next_due(self, now: float) -> float:
        """Seconds until a step is useful though nothing wakes the daemon; 0 when it is now."""
        dues = [self._rescan_at - now]
        if self._observer is None:
            dues.append(self._repair_at - now)
        settling = self._tracker.next_due(now)
        if settling is not None:
            dues.append(settling)
        return max(0.0, min(dues))

    def settled(self, now: float) -> bool:
        """Whether all that is in the inbox was looked at and no file is waiting to be stable."""
        return now < self._rescan_at and not self._hints.any and not self._tracker.waiting

    def emitters_alive(self) -> bool:
        """Whether hints can come; without them only rescans find files."""
        if self._observer is None or not self._observer.is_alive():
            return False
        emitters = self._observer.emitters
        return bool(emitters) and all(emitter.is_alive() for emitter in emitters)

    def stop(self) -> None:
        """Stop watching; what is still settling is found again by the next start."""
        if self._observer is not None:
            observer, self._observer = self._observer, None
            _end(observer)

    def forget(self, path: Path) -> None:
        """Take a file for unknown, as when it was moved away: if it comes back, it is told of."""
        self._tracker.forget(path)
        self._told.pop(path, None)

    # The observer

    def _keep_observing(self, now: float) -> None:
        """Build the observer where there is none, or none that lives and watches this inbox."""
        folder = self._identity()
        if self._observer is not None and (folder != self._watched or not self.emitters_alive()):
            self.stop()
            if now - self._built_at > LONGEST_REPAIR:
                self._repair_wait = FIRST_REPAIR
            self._put_off_repair(now)
        self.sees_inbox = self.sees_inbox and folder is not None
        if folder is None and not self._missing:
            log.error("watch.inbox_missing", inbox=self._inbox)
        elif folder is not None and self._missing:
            log.info("watch.inbox_found", inbox=self._inbox)
            self._rescan_at = self._repair_at = now
        self._missing = folder is None
        if self._observer is None and now >= self._repair_at:
            if folder is None:
                self._put_off_repair(now)
            else:
                self._observe(folder, now)

    def _observe(self, folder: tuple[int, int], now: float) -> None:
        repaired = self._built_at > float("-inf")
        network = is_network_file_system(self._inbox)
        polling = self._polling == "always" or (self._polling == "auto" and network)
        # It warns of folders made while it looks at them, with all its watches; that is harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = _observer(self._inbox, self._hints, self._poll if polling else None)
        except OSError as error:
            if not self._broken:
                reason = f"{error.strerror}; new files are found by the rescans only"
                log.warning("watch.unavailable", inbox=self._inbox, reason=reason)
            self._broken = True
            self._put_off_repair(now)
            return
        self._broken = False
        self._watched, self._asks_writers = folder, not network
        self._built_at = now
        if repaired:
            self._rescan_at = now  # for what came in between
            log.warning("watch.rebuilt", inbox=self._inbox, polling=polling)

    def _put_off_repair(self, now: float) -> None:
        self._repair_at = now + self._repair_wait
        self._repair_wait = min(2 * self._repair_wait, LONGEST_REPAIR)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._inbox.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    # The files

    def _rescan(self, now: float) -> None:
        self._rescan_at = now + self._rescan_every
        self.rescanned_at = now
        self._hints.take()  # the rescan sees what they were about
        found = []
        try:
            for path in find(self._inbox):
                found.append(path)
                self.found_one()
            self.sees_inbox = True
        except OSError as error:
            self.sees_inbox = False
            if not self._missing:
                log.warning("watch.unreadable", inbox=self._inbox, reason=error.strerror)
            return
        gone = (self._told.keys() | self._tracker.paths).difference(found)
        for path in (*gone, *found):
            self._look_at(path, now)

    def _follow(self, hint: Path, now: float) -> None:
        """Look at what a hint is about: a file, or all files in a folder."""
        paths = [hint]
        if os.path.isdir(hint) and not os.path.islink(hint):  # noqa: PTH112, PTH114 - never raise
            try:
                paths = list(find(hint))
            except OSError:  # gone again
                return
        for path in paths:
            if eligible(path, self._inbox):
                self._look_at(path, now)
            else:
                self.forget(path)

    def _look_at(self, path: Path, now: float) -> None:
        looks = snapshot(path)
        if looks is None:
            self.forget(path)
        elif self._told.get(path) != looks:
            self._told.pop(path, None)
            self._tracker.observe(path, looks, now)

    def _tell(self, now: float) -> None:
        for path in self._tracker.due(now, MOST_TOLD_IN_A_STEP):
            looks = snapshot(path)
            if looks is None or not self._tracker.observe(path, looks, now):
                self._look_at(path, now)
                continue
            self._tracker.restart(path, looks, now)  # for a writer, or an error
            if self._has_writer(path, looks):
                continue
            self._on_stable(path, looks)
            self._tracker.forget(path)
            self._told[path] = looks

    def _has_writer(self, path: Path, looks: Snapshot) -> bool:
        """Ask only for files on the inbox's own local disk; a share mounted in it cannot tell."""
        ours = self._watched is not None and looks.device == self._watched[0]
        if not (self._asks_writers and ours):
            return False
        return has_writer(self._inbox, path.relative_to(self._inbox))


class _Hints(FileSystemEventHandler):
    """Paths of which something was announced; never raises, or watchdog's threads would die."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self.overflowed = False

    def dispatch(self, event: FileSystemEvent) -> None:
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        path = Path(os.fsdecode(event.dest_path if moved else event.src_path))
        with self._lock:
            if len(self._paths) < MOST_HINTS:
                self._paths.add(path)
            else:
                self.overflowed = True
        # A file that is being written is announced a thousand times a second, and can wait.
        if not isinstance(event, FileModifiedEvent):
            self._wake()

    @property
    def any(self) -> bool:
        """Whether there is a hint."""
        return bool(self._paths) or self.overflowed

    def take(self) -> list[Path]:
        """Return the hints and forget them, and the overflow."""
        with self._lock:
            paths, self._paths, self.overflowed = self._paths, set(), False
        return sorted(paths)


def _observer(inbox: Path, hints: _Hints, poll: float | None) -> BaseObserver:
    """Return an observer at work; raises OSError where the system does not let it."""
    observer: BaseObserver = Observer() if poll is None else PollingObserver(timeout=poll)
    try:
        # The slash at the end: should the inbox be a symlink, what it leads to is watched.
        observer.schedule(hints, os.path.join(inbox, ""), recursive=True, event_filter=_EVENTS)  # noqa: PTH118
        observer.start()
    except BaseException:  # whatever ended it, no thread may stay behind; it goes on up
        _end(observer)
        raise
    return observer


def _end(observer: BaseObserver) -> None:
    observer.stop()
    if observer.ident is not None:
        observer.join()
