"""Finds the files in the inbox that are complete, and tells of each once.

What the system announces is only a hint, since it forgets, overflows and dies in silence; the scan
at the start and the rescans are the truth. A lost hint delays a file to the next rescan, no more.
Each step: keep the observer alive, rescan or take the hints, tell of what has been stable.
"""

import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import structlog

from service.config.sections import Watch
from service.filesystem.ignored import Ignored, ignored
from service.filesystem.safe_open import has_writer, snapshot
from service.filesystem.snapshot import FileStat
from service.watch.observer import Hints, Writer
from service.watch.selection import eligible, find, say_unreadable
from service.watch.stability import StabilityTracker
from service.watch.supervisor import Supervisor

MOST_LOOKED_AT_IN_A_STEP = 1_000  # so that a full inbox does not keep the daemon
MOST_TOLD_IN_A_STEP = 16  # from its other work
POLL_EVERY = 5.0  # seconds

log = structlog.get_logger()


class Rest(NamedTuple):
    """How long a file has been at rest.

    Attributes:
        seconds: since it was last seen to change.
        closed: whether it is known that no writer has it open.
    """

    seconds: float
    closed: bool


class Arriving(NamedTuple):
    """A file that is not taken yet: why, and since when it has not changed (monotonic seconds)."""

    path: Path
    reason: str
    since: float


class Watcher:
    """Watches one inbox; every method is called from one thread.

    Times are seconds of a clock that never goes back (`time.monotonic`).

    Args:
        inbox: the folder; it may be missing for a while.
        habits: when a file counts as at rest, and how it is looked for.
        on_stable: told of each file at rest, in `step`; again only when the file changes. Returns
            "", or why the file is not whole; then it is told again when the file has been at rest
            for `habits.incomplete_timeout`. When it raises, the error leaves `step`, and it is told
            again after another settle time.
        wake: called from other threads when a step is useful; must not raise.
        poll: seconds between the looks of `habits.polling`.

    Attributes:
        ignore: which names are no scans; set it before `start`.
        found_one: called for each file that a rescan finds, since a rescan may take long.
        rescanned_at: when the last rescan ended, even one that could not read the inbox.
        rescan_moved_at: when a rescan last found a file, or ended.
        rescan_seconds: how long the last one took that read all of it.
        sees_inbox: whether the inbox could be read when it was last looked at.
    """

    def __init__(
        self,
        inbox: Path,
        habits: Watch,
        *,
        on_stable: Callable[[Path, FileStat, Rest], str],
        wake: Callable[[], None],
        poll: float = POLL_EVERY,
    ) -> None:
        """Nothing is watched before `start`."""
        self._inbox = inbox
        self._settle = habits.settle
        self._settle_shared = max(habits.settle, habits.settle_shared)
        self._patience = habits.incomplete_timeout
        self._rescan_every = habits.rescan
        self._on_stable = on_stable
        self.ignore: Ignored = ignored()
        self.found_one: Callable[[], None] = lambda: None
        self._hints = Hints(wake)
        self._supervisor = Supervisor(inbox, self._hints, habits.polling, poll)
        self._tracker = StabilityTracker(habits.settle)
        self._incomplete: dict[Path, str] = {}  # why each is waited for
        self._waited_for: set[Path] = set()  # and told of, though they may not be whole
        self._written: dict[Path, float] = {}  # since when a writer was seen to hold each open
        # How each file that is still there looked when it was told of. With `originals.after: keep`
        # that may be half a million: 83 MB; with Path and Snapshot it would be 286.
        self._told: dict[str, int] = {}
        self._rescan_at = 0.0
        self._walk: Iterator[Path] | None = None  # of the rescan that goes on
        self._seen: set[str] = set()  # by it
        self._walked = 0.0  # seconds it took so far
        self.rescanned_at = self.rescan_moved_at = 0.0
        self.rescan_seconds = 0.0
        self.sees_inbox = True
        self._unreadable = False  # and that was told
        self._closed: set[str] = set()  # sub-folders that cannot be read, and that was told
        self._closed_now: set[str] = set()  # of them, those that the rescan came to

    def start(self, now: float) -> None:
        """Begin to watch; the first `step` scans what is there already."""
        self._rescan_at = self.rescanned_at = self.rescan_moved_at = now
        self._supervisor.keep(now)

    def step(self, now: float, *, tell: bool = True) -> None:
        """Do what is to do now.

        Args:
            now: seconds.
            tell: False to only look; what is stable is told of by a later step.

        Raises:
            Exception: whatever `on_stable` raises.
        """
        if self._supervisor.keep(now) or self._hints.overflowed:
            self._rescan_at = min(self._rescan_at, now)
        self.sees_inbox = self.sees_inbox and not self._supervisor.missing
        if self._walk is None and now >= self._rescan_at:
            self._begin_rescan(now)
        if self._walk is not None:
            self._go_on(self._walk, now)
        for path in self._hints.take(MOST_LOOKED_AT_IN_A_STEP):
            self._follow(path, now)
        if tell:
            self._tell(now)

    def next_due(self, now: float) -> float:
        """Seconds until a step is useful though nothing wakes the daemon; 0 when it is now."""
        if self._walk is not None or self._hints.any:
            return 0.0
        observing, settling = self._supervisor.next_due(now), self._tracker.next_due(now)
        dues = (self._rescan_at - now, observing, settling)
        return max(0.0, min(due for due in dues if due is not None))

    def settled(self, now: float) -> bool:
        """Whether all that is in the inbox was looked at and no file is waiting to be stable.

        Files that are not whole do not count: nobody knows when their rest comes.
        """
        looked = self._walk is None and now < self._rescan_at
        waiting = self._tracker.waiting - len(self._incomplete)
        return looked and not self._hints.any and not waiting

    @property
    def arriving(self) -> list[Arriving]:
        """The files that are there and not taken yet: not whole, or open for writing."""
        open_for_writing = "a program has it open for writing"
        found = [Arriving(path, open_for_writing, since) for path, since in self._written.items()]
        for path, reason in self._incomplete.items():
            found.append(Arriving(path, reason, self._tracker.since(path) or 0.0))
        return found

    def settle_of(self, path: Path) -> float:
        """Return the seconds a file must stay unchanged where it lies, if it is closed."""
        looks = snapshot(path)
        local = looks is not None and self._supervisor.is_local(path, looks.device)
        return self._settle if local else self._settle_shared

    def emitters_alive(self) -> bool:
        """Whether hints can come; without them only rescans find files."""
        return self._supervisor.alive

    @property
    def unannounced(self) -> str:
        """Which part of the inbox is not watched, why, and what to do; "" where all is."""
        return self._supervisor.unannounced

    @property
    def overflows(self) -> int:
        """How often announcements were lost because there were too many; each brought a rescan."""
        return self._hints.overflows

    @property
    def rebuilt(self) -> int:
        """How many observers were built in place of one that had died."""
        return self._supervisor.rebuilt

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The sub-folders that could not be read when they were last looked at."""
        return tuple(sorted(self._closed | self._closed_now))

    def stop(self) -> None:
        """Stop watching; what is still settling is found again by the next start."""
        self._supervisor.stop()

    def forget(self, path: Path) -> None:
        """Take a file for unknown, as when it was moved away: if it comes back, it is told of."""
        self._tracker.forget(path)
        self._no_longer_arriving(path)
        self._told.pop(os.fspath(path), None)

    def revisit(self, path: Path) -> None:
        """Take a file for unknown, and look at it in the next step."""
        self.forget(path)
        self._hints.add(path)

    def hold(self, path: Path, reason: str, now: float) -> bool:
        """Wait for the rest of a file that was told of and is not whole.

        Args:
            path: the file.
            reason: what of it is missing.
            now: seconds.

        Returns:
            False when it was waited for already.
        """
        if path in self._waited_for or not self._patience:
            self._waited_for.discard(path)
            return False
        self._told.pop(os.fspath(path), None)
        looks = snapshot(path)
        if looks is not None and self._tracker.since(path) is None:  # else it was seen to change
            self._tracker.restart(path, looks, now)
            self._put_off(path, reason, now)
        return True

    def _begin_rescan(self, now: float) -> None:
        self._rescan_at = now + self._rescan_every
        self._supervisor.watch_the_rest(now)
        self._hints.overflowed = False  # from here on, one brings another rescan
        self._hints.take()  # this one sees what they were about
        self._walk, self._seen, self._walked = (
            find(self._inbox, self._note_closed, self.ignore),
            set(),
            0.0,
        )

    def _go_on(self, walk: Iterator[Path], now: float) -> None:
        """Look at some more files; with the last one, also at those that were not found again."""
        began = time.perf_counter()
        count = 0
        try:
            for path in islice(walk, MOST_LOOKED_AT_IN_A_STEP):
                count += 1
                self._seen.add(os.fspath(path))
                self._look_at(path, now)
                self.found_one()
        except OSError as error:
            if not self._unreadable and not self._supervisor.missing:
                log.warning("watch.unreadable", inbox=self._inbox, reason=error.strerror)
                self._unreadable = True
            self._end_rescan(now, sees_inbox=False)
            return
        self._walked += time.perf_counter() - began
        self.rescan_moved_at = now
        if count < MOST_LOOKED_AT_IN_A_STEP:
            known = self._told.keys() | {os.fspath(path) for path in self._tracker.paths}
            for name in known - self._seen:
                self._look_at(Path(name), now)
            self.rescan_seconds, self._unreadable = self._walked, False
            for folder in self._closed - self._closed_now:
                log.info("inbox.readable", folder=folder)
            self._closed = self._closed_now
            self._end_rescan(now, sees_inbox=True)

    def _note_closed(self, folder: str, reason: str) -> None:
        if folder not in self._closed | self._closed_now:
            say_unreadable(folder, reason)
        self._closed_now.add(folder)

    def _end_rescan(self, now: float, *, sees_inbox: bool) -> None:
        self.rescanned_at = self.rescan_moved_at = now
        self.sees_inbox = sees_inbox
        self._walk, self._seen, self._closed_now = None, set(), set()

    def _follow(self, hint: Path, now: float) -> None:
        """Look at what a hint is about: a file, or all in a folder; a rescan, if they are many."""
        paths = [hint]
        if os.path.isdir(hint) and not os.path.islink(hint):  # noqa: PTH112, PTH114 - never raise
            try:
                paths = list(
                    islice(find(hint, lambda *_: None, self.ignore), MOST_LOOKED_AT_IN_A_STEP)
                )
            except OSError:  # gone again
                return
            if len(paths) == MOST_LOOKED_AT_IN_A_STEP:
                self._rescan_at = now
                return
        for path in paths:
            if eligible(path, self._inbox, self.ignore):
                self._look_at(path, now, announced=True)
            else:
                self.forget(path)

    def _look_at(self, path: Path, now: float, *, announced: bool = False) -> None:
        """Look at a file; one of which something was announced is not at rest."""
        looks = snapshot(path)
        if looks is None:
            self.forget(path)
        elif self._told.get(os.fspath(path)) != hash(looks):
            self._told.pop(os.fspath(path), None)
            if announced:
                self._tracker.restart(path, looks, now)
            else:
                self._tracker.observe(path, looks, now)
            if self._tracker.since(path) == now:
                self._incomplete.pop(path, None)
                self._waited_for.discard(path)

    def _tell(self, now: float) -> None:
        for path in self._tracker.due(now, MOST_TOLD_IN_A_STEP):
            looks = snapshot(path)
            if looks is None or not self._tracker.observe(path, looks, now):
                self._look_at(path, now)
                continue
            since = self._tracker.since(path) or now
            writer = self._writer(path, looks)
            if writer is Writer.WRITING:
                self._written.setdefault(path, now)
                self._tracker.restart(path, looks, now)  # the settle time follows the close
                continue
            self._written.pop(path, None)
            closed = writer is Writer.DONE
            if not closed and now < since + self._settle_shared:
                self._tracker.postpone(path, since + self._settle_shared)
                continue
            self._tracker.postpone(path, now + self._settle)  # for an error
            reason = self._on_stable(path, looks, Rest(now - since, closed))
            if reason:
                self._put_off(path, reason, now)
                continue
            self._tracker.forget(path)
            self._no_longer_arriving(path)
            if self._patience and now >= since + self._patience:
                self._waited_for.add(path)
            self._hints.forget_writer(path)
            self._told[os.fspath(path)] = hash(looks)

    def _put_off(self, path: Path, reason: str, now: float) -> None:
        since = self._tracker.since(path) or now
        self._incomplete[path] = reason
        self._tracker.postpone(path, max(since + self._patience, now + self._settle))

    def _no_longer_arriving(self, path: Path) -> None:
        self._incomplete.pop(path, None)
        self._waited_for.discard(path)
        self._written.pop(path, None)

    def _writer(self, path: Path, looks: FileStat) -> Writer:
        """Tell whether somebody still writes a file, as far as the system knows.

        A lease answers for certain, but only for one's own files; inotify for those of everybody,
        but only since the watch began.
        """
        if not self._supervisor.is_local(path, looks.device):
            return Writer.UNKNOWN
        answer = has_writer(self._inbox, path.relative_to(self._inbox))
        if answer is None:
            return self._hints.writer(path)
        return Writer.WRITING if answer else Writer.DONE
