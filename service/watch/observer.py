"""Turns watchdog's file system events into hints.

Watchdog's threads die silently when the inbox disappears, it loses events when the kernel's queue
overflows, and it skips folders when the kernel's watches run out. All three can be queried here;
`service.watch.supervisor` acts on them.
"""

import errno
import logging
import os
import threading
from collections.abc import Callable
from enum import Enum
from itertools import islice
from pathlib import Path

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
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyFullEmitter
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)
from watchdog.observers.polling import PollingObserver

MOST_HINTS = 10_000  # beyond it a rescan is cheaper
MOST_WRITERS = 200_000  # files whose writer is known; 40 MB
PAIRED_WITHIN = 0.1  # seconds; the kernel reports a move's two halves at once, one after the other

_EVENTS: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent),
]
# Messages of watchdog that we log ourselves, or that only report a thread being stopped.
_IGNORED_MESSAGES = ("Inotify queue overflowed", "called when the thread is inactive")


def _is_news(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _IGNORED_MESSAGES)


for _name in ("watchdog.observers.inotify", "watchdog.observers.inotify_c"):
    logging.getLogger(_name).addFilter(_is_news)


class Writer(Enum):
    """What inotify has reported about a file's writer since the watch began.

    It reports each write and the final close (inotify(7): IN_MODIFY, IN_CLOSE_WRITE), whoever owns
    the file.
    """

    WRITING = "writing"  # written to, and not closed since
    DONE = "done"  # closed, or moved here complete
    UNKNOWN = "unknown"  # no event: it is older than the watch, or events were lost


class Hints(FileSystemEventHandler):
    """Paths with events; never raises, because that would kill watchdog's threads.

    Args:
        wake: called from other threads when there is a new hint; must not raise.

    Attributes:
        overflowed: whether events were lost; a rescan resets it before it begins.
        overflows: how often events were lost, in the kernel's queue or in this one.
        hears_closes: whether closes are reported; polling cannot see them.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """No event has arrived yet."""
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self._writers: dict[str, Writer] = {}
        self.overflowed = False
        self.overflows = 0
        self.hears_closes = True

    def dispatch(self, event: FileSystemEvent) -> None:
        """Record an event; called from watchdog's threads."""
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        source = os.fsdecode(event.src_path)
        path = (os.fsdecode(event.dest_path) if moved else "") or source
        with self._lock:
            if self.hears_closes:
                self._note_writer(event, source, path)
            self._add(Path(path))
        # A file being written causes a thousand events a second, which can wait.
        if not isinstance(event, FileModifiedEvent):
            self._wake()

    def add(self, path: Path) -> None:
        """Add a path, as if it had an event."""
        with self._lock:
            self._add(path)
        self._wake()

    def writer(self, path: Path) -> Writer:
        """Return what is known about a file's writer."""
        return self._writers.get(os.fspath(path), Writer.UNKNOWN)

    def forget_writer(self, path: Path) -> None:
        """Forget the writer of a file that was reported or is gone."""
        with self._lock:
            self._writers.pop(os.fspath(path), None)

    def forget_writers(self) -> None:
        """Forget all writers, because closes may have been missed."""
        with self._lock:
            self._writers.clear()

    def overflow(self) -> None:
        """Record that the kernel dropped events."""
        with self._lock:
            self.overflowed = True
            self.overflows += 1
            self._writers.clear()
        self._wake()

    def _add(self, path: Path) -> None:
        if len(self._paths) < MOST_HINTS:
            self._paths.add(path)
        elif not self.overflowed:
            self.overflowed = True
            self.overflows += 1

    def _note_writer(self, event: FileSystemEvent, source: str, path: str) -> None:
        writers = self._writers
        if len(writers) >= MOST_WRITERS:
            writers.clear()
        match event:
            case FileModifiedEvent():
                writers[path] = Writer.WRITING
            case FileClosedEvent():
                writers[path] = Writer.DONE
            case FileMovedEvent():
                known = writers.pop(source, None)
                if not event.dest_path:  # moved out of the inbox
                    return
                # A renamed file is complete, unless the kernel reported otherwise; one moved with
                # its folder keeps its state.
                if known is None and not event.is_synthetic:
                    known = Writer.DONE
                if known is None:
                    writers.pop(path, None)
                else:
                    writers[path] = known
            case FileCreatedEvent() if event.is_synthetic:  # moved into the inbox with its folder
                writers[path] = Writer.DONE
            case FileDeletedEvent():
                writers.pop(path, None)

    @property
    def any(self) -> bool:
        """Whether there is a hint, or one was lost."""
        return bool(self._paths) or self.overflowed

    def take(self, most: int = MOST_HINTS) -> list[Path]:
        """Return and forget at most so many hints."""
        with self._lock:
            paths = sorted(islice(self._paths, most))
            self._paths.difference_update(paths)
        return paths


class Observer:
    """A running observer of a folder and its sub-folders, until it dies or is stopped.

    Args:
        inbox: the folder; if it is a symlink, its target is watched under the symlink's name.
        hints: receives every event.
        poll: seconds between polls; None: use inotify.

    Raises:
        OSError: the kernel refused, or the folder is missing. No thread is left running.
    """

    def __init__(self, inbox: Path, hints: Hints, poll: float | None) -> None:
        """Start watching."""
        self._kernel: _Inotify | None = None
        if poll is None:
            self._kernel = _Inotify(hints)
            self._kernel.start()
            self._observer = BaseObserver(_Emitter, inotify_fd=self._kernel)
        else:
            self._observer = PollingObserver(timeout=poll)
        try:
            # The trailing slash follows a symlink.
            self._observer.schedule(
                hints,
                os.path.join(inbox, ""),  # noqa: PTH118 - a Path has none
                recursive=True,
                event_filter=_EVENTS,
            )
            self._observer.start()
        except BaseException:  # even Ctrl-C must not leave its threads running
            self.stop()
            raise

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that must all be alive for events to arrive."""
        kernel = [] if self._kernel is None else [self._kernel]
        return [self._observer, *self._observer.emitters, *kernel]

    @property
    def alive(self) -> bool:
        """Whether events can arrive."""
        return bool(self._observer.emitters) and all(one.is_alive() for one in self.threads)

    @property
    def refused(self) -> int:
        """How many folders are not watched because the kernel ran out of watches."""
        return 0 if self._kernel is None else len(self._kernel.refused)

    @property
    def folders(self) -> int:
        """How many folders it watches or tried to watch."""
        return 0 if self._kernel is None else self._kernel.watched + len(self._kernel.refused)

    def stop(self) -> None:
        """Stop watching, and join its threads."""
        self._observer.stop()
        if self._kernel is not None:
            self._kernel.stop()
            self._kernel.join()
        if self._observer.ident is not None:
            self._observer.join()


class _Emitter(InotifyFullEmitter):
    """Watchdog's emitter, which waits less long for the second half of a move.

    Until then all later events wait too. An original that leaves the inbox has no second half, so
    each one would hold up the next photograph for half a second.
    """

    def on_thread_start(self) -> None:
        """Start, with that wait."""
        super().on_thread_start()
        if self._inotify is not None:
            self._inotify._move_event_grouper._queue.delay = PAIRED_WITHIN  # noqa: SLF001


class _Inotify(InotifyFD):
    """Watchdog's reader of the kernel's queue, which also records what watchdog keeps silent about.

    Attributes:
        refused: folders for which the kernel had no watch.
    """

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self.refused: set[bytes] = set()
        super().__init__()

    @property
    def watched(self) -> int:
        """How many folders it watches."""
        return len(self._watch_for_wd)

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a folder; watchdog ignores the error."""
        try:
            descriptor = super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.refused.add(path)
            raise
        self.refused.discard(path)
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        """Handle an event; report an overflow after watchdog has repaired its watches."""
        super().handle_event(event)
        if event.is_queue_overflow:
            self._hints.overflow()
