"""Watchdog's home: the system's announcements of an inbox become hints, and never the whole truth.

Watchdog's threads die in silence when the inbox goes away, it loses events when the kernel's queue
is full, and leaves out folders that the kernel does not let it watch. Each can be asked here; what
is done about it is in `service.watch.supervisor`.
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
MOST_WRITERS = 200_000  # files of which it is known whether they are being written; 40 MB

_EVENTS: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent),
]
# What watchdog logs and we tell of ourselves, or what only says that a thread is being stopped.
_TOLD_BETTER = ("Inotify queue overflowed", "called when the thread is inactive")


def _news(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _TOLD_BETTER)


for _name in ("watchdog.observers.inotify", "watchdog.observers.inotify_c"):
    logging.getLogger(_name).addFilter(_news)


class Writer(Enum):
    """What inotify told of a file's writer since the watch began.

    It tells an unprivileged watcher of each write, and of the close when the writer is done,
    whoever owns the file (inotify(7): IN_MODIFY, IN_CLOSE_WRITE).
    """

    WRITING = "writing"  # written to, and not closed since
    DONE = "done"  # closed, or moved here when it was whole
    UNKNOWN = "unknown"  # nothing was told: it is older than the watch, or its events were lost


class Hints(FileSystemEventHandler):
    """Paths of which something was announced; never raises, or watchdog's threads would die.

    Args:
        wake: called from other threads when there is something to look at; must not raise.

    Attributes:
        overflowed: whether some were lost; who looks at everything sets it back before.
        overflows: how often some were lost, be it the kernel's queue that was full or this one.
        hears_closes: whether a writer's close is announced; who only looks now and then, as a
            polling observer does, never sees one.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Nothing was announced yet."""
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: set[Path] = set()
        self._writers: dict[str, Writer] = {}
        self.overflowed = False
        self.overflows = 0
        self.hears_closes = True

    def dispatch(self, event: FileSystemEvent) -> None:
        """Note what an event is about; called from watchdog's threads."""
        moved = isinstance(event, FileMovedEvent | DirMovedEvent)
        source = os.fsdecode(event.src_path)
        path = (os.fsdecode(event.dest_path) if moved else "") or source
        with self._lock:
            if self.hears_closes:
                self._note_writer(event, source, path)
            self._add(Path(path))
        # A file that is being written is announced a thousand times a second, and can wait.
        if not isinstance(event, FileModifiedEvent):
            self._wake()

    def add(self, path: Path) -> None:
        """Have a path looked at, as if it had been announced."""
        with self._lock:
            self._add(path)
        self._wake()

    def writer(self, path: Path) -> Writer:
        """Return what is known of the writer of a file."""
        return self._writers.get(os.fspath(path), Writer.UNKNOWN)

    def forget_writer(self, path: Path) -> None:
        """Forget what is known of the writer of a file that was taken or is gone."""
        with self._lock:
            self._writers.pop(os.fspath(path), None)

    def forget_writers(self) -> None:
        """Forget what is known of all writers: a close may have been missed."""
        with self._lock:
            self._writers.clear()

    def overflow(self) -> None:
        """Note that the kernel dropped events."""
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
                # Who renames a file is done with it, unless the kernel told otherwise. One that was
                # moved with its folder is what it was before.
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
        """Return so many hints and forget them."""
        with self._lock:
            paths = sorted(islice(self._paths, most))
            self._paths.difference_update(paths)
        return paths


class Observer:
    """An observer at work on a folder and all in it, until it dies or is stopped.

    Args:
        inbox: the folder; should it be a symlink, what it leads to is watched, under its own name.
        hints: told of every event.
        poll: seconds between regular looks in place of the system's announcements, or None.

    Raises:
        OSError: the system does not let it, or the folder is not there. No thread is left.
    """

    def __init__(self, inbox: Path, hints: Hints, poll: float | None) -> None:
        """Begin to watch."""
        self._kernel: _Inotify | None = None
        if poll is None:
            self._kernel = _Inotify(hints)
            self._kernel.start()
            self._observer = BaseObserver(InotifyFullEmitter, inotify_fd=self._kernel)
        else:
            self._observer = PollingObserver(timeout=poll)
        try:
            # The slash at the end follows a symlink.
            self._observer.schedule(
                hints,
                os.path.join(inbox, ""),  # noqa: PTH118 - a Path has none
                recursive=True,
                event_filter=_EVENTS,
            )
            self._observer.start()
        except BaseException:  # whatever ended it, no thread may stay behind; it goes on up
            self.stop()
            raise

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads without any of which hints no longer come."""
        kernel = [] if self._kernel is None else [self._kernel]
        return [self._observer, *self._observer.emitters, *kernel]

    @property
    def alive(self) -> bool:
        """Whether hints can come."""
        return bool(self._observer.emitters) and all(one.is_alive() for one in self.threads)

    @property
    def refused(self) -> int:
        """How many folders the kernel did not let it watch, for want of watches."""
        return 0 if self._kernel is None else len(self._kernel.refused)

    @property
    def folders(self) -> int:
        """How many folders it watches, or tried to."""
        return 0 if self._kernel is None else self._kernel.watched + len(self._kernel.refused)

    def stop(self) -> None:
        """Stop watching, and end its threads."""
        self._observer.stop()
        if self._kernel is not None:
            self._kernel.stop()
            self._kernel.join()
        if self._observer.ident is not None:
            self._observer.join()


class _Inotify(InotifyFD):
    """Watchdog's reader of the kernel's queue; it notes what watchdog does not tell of.

    Attributes:
        refused: folders that the kernel did not let it watch.
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
        """Watch a folder; watchdog lets the error pass in silence."""
        try:
            descriptor = super().add_callback(path, mask, callback, id_)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.refused.add(path)
            raise
        self.refused.discard(path)
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        """Handle an event; after a loss, when watchdog has put its watches in order again."""
        super().handle_event(event)
        if event.is_queue_overflow:
            self._hints.overflow()
