"""Finds the files in the inbox that are complete, and reports each once.

Events are only hints: they get lost, overflow, and their threads die silently. The scan at startup
and the periodic rescans are authoritative; a lost event only delays a file to the next rescan.
Each step keeps the observer alive, rescans or follows hints, and reports the files that are stable.
"""

import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import structlog

from service.config.sections import Watch
from service.filesystem.file_stat import FileStat
from service.filesystem.ignored import Ignored, ignored
from service.filesystem.safe_open import file_stat, has_writer
from service.watch.observer import Hints, Writer
from service.watch.reported_files import ReportedFiles
from service.watch.rescan import Rescan
from service.watch.selection import eligible, find, log_unreadable
from service.watch.stability import Rest, StabilityTracker, StableFile
from service.watch.supervisor import Supervisor

# Limits of one step, so that a full inbox does not keep the daemon from its other work
CHECKED_PER_STEP = 5_000  # files
CHECKED_TOGETHER = 500  # of them, between two looks at the clock
CHECKED_WITHIN = 0.1  # seconds
REPORTED_PER_STEP = 64  # files
REPORTED_BYTES = 256 << 20  # of them together, unless the first is larger
MOST_SETTLING = 50_000  # files, 40 MB; the rescan of an inbox that holds more goes on later
POLL_EVERY = 5.0  # seconds

log = structlog.get_logger()


class Arriving(NamedTuple):
    """A file that is still incomplete: why, and since when it is unchanged (monotonic seconds)."""

    path: Path
    reason: str
    since: float


class Watcher:
    """Watches one inbox; used from one thread.

    Times are monotonic seconds.

    Args:
        inbox: the folder; it may be missing temporarily.
        habits: the settle times, and how to watch.
        on_stable: called in `step` with stable files, each once unless it changes. For each it
            answers "", or why the file is incomplete; then it is called again when the file has
            been unchanged for `habits.incomplete_timeout`; or an error: the first one leaves
            `step`. After an error, or if it raises, the files are reported again after another
            settle time.
        wake: called from other threads when a step is useful; must not raise.
        poll: seconds between polls, if `habits.polling` asks for them.

    Attributes:
        ignore: the ignored names; set it before `start`.
        found_some: called while a rescan finds files, because it may take long.
        rescanned_at: when the last rescan ended, even one that could not read the inbox.
        rescan_moved_at: when a rescan last found a file, or ended.
        rescan_seconds: duration of the last complete rescan.
        sees_inbox: whether the inbox could be read the last time.
    """

    def __init__(
        self,
        inbox: Path,
        habits: Watch,
        *,
        on_stable: Callable[[Sequence[StableFile]], Sequence[str | Exception]],
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
        self.found_some: Callable[[], None] = lambda: None
        self._hints = Hints(wake)
        self._supervisor = Supervisor(inbox, self._hints, habits.polling, poll)
        self._tracker = StabilityTracker(habits.settle)
        self._incomplete: dict[Path, str] = {}  # and why
        self._waited_for: set[Path] = set()  # long enough: reported though they may be incomplete
        self._written: dict[Path, float] = {}  # since when a writer was seen to have each open
        self._reported = ReportedFiles()
        self._rescan_at = 0.0
        self._rescan: Rescan | None = None  # in progress
        self._walked = 0.0  # seconds so far
        self.rescanned_at = self.rescan_moved_at = 0.0
        self.rescan_seconds = 0.0
        self.sees_inbox = True
        self._unreadable = False  # and logged
        self._closed: set[str] = set()  # unreadable sub-folders, logged
        self._closed_now: set[str] = set()  # those met by the rescan in progress

    def start(self, now: float) -> None:
        """Start watching; the first `step` scans what is there already."""
        self._rescan_at = self.rescanned_at = self.rescan_moved_at = now
        self._supervisor.keep(now)

    def step(self, now: float, *, tell: bool = True) -> None:
        """Do what is due.

        Args:
            now: seconds.
            tell: whether to report stable files; otherwise a later step does.

        Raises:
            Exception: whatever `on_stable` raises.
        """
        if self._supervisor.keep(now) or self._hints.overflowed:
            self._rescan_at = min(self._rescan_at, now)
        self.sees_inbox = self.sees_inbox and not self._supervisor.missing
        if self._rescan is None and now >= self._rescan_at:
            self._begin_rescan(now)
        if self._rescan is not None:
            self._continue_rescan(self._rescan, now)
        for path in self._hints.take(CHECKED_PER_STEP):
            self._follow(path, now)
        if tell:
            self._report_stable(now)

    def next_due(self, now: float) -> float:
        """Return the seconds until a step is due if no event comes first; 0: one is due now."""
        if self._hints.any or (self._rescan is not None and not self._many_settle):
            return 0.0
        observing, settling = self._supervisor.next_due(now), self._tracker.next_due(now)
        dues = (self._rescan_at - now, observing, settling)
        return max(0.0, min(due for due in dues if due is not None))

    def settled(self, now: float) -> bool:
        """Tell whether the whole inbox was examined and no file is still settling.

        Incomplete files do not count, because nobody knows when the rest of them comes.
        """
        looked = self._rescan is None and now < self._rescan_at
        waiting = self._tracker.waiting - len(self._incomplete)
        return looked and not self._hints.any and not waiting

    @property
    def arriving(self) -> list[Arriving]:
        """The files that are incomplete or open for writing."""
        open_for_writing = "a program has it open for writing"
        found = [Arriving(path, open_for_writing, since) for path, since in self._written.items()]
        for path, reason in self._incomplete.items():
            found.append(Arriving(path, reason, self._tracker.since(path) or 0.0))
        return found

    def settle_of(self, path: Path) -> float:
        """Return the settle time of a closed file in its folder, seconds."""
        stat = file_stat(path)
        local = stat is not None and self._supervisor.is_local(path, stat.device)
        return self._settle if local else self._settle_shared

    def emitters_alive(self) -> bool:
        """Tell whether events can arrive; without them only rescans find files."""
        return self._supervisor.alive

    @property
    def unannounced(self) -> str:
        """Which part of the inbox is not watched, why, and what to do; or ""."""
        return self._supervisor.unannounced

    @property
    def overflows(self) -> int:
        """How often the event queue overflowed, each time causing a rescan."""
        return self._hints.overflows

    @property
    def rebuilt(self) -> int:
        """How many observers were started to replace a dead one."""
        return self._supervisor.rebuilt

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The sub-folders that could not be read the last time."""
        return tuple(sorted(self._closed | self._closed_now))

    def stop(self) -> None:
        """Stop watching; the next start finds what is still settling."""
        self._supervisor.stop()

    def forget(self, path: Path) -> None:
        """Forget a file, for example one that was moved away: if it returns, it is reported."""
        self._tracker.forget(path)
        self._no_longer_arriving(path)
        self._reported.discard(path)

    def revisit(self, path: Path) -> None:
        """Forget a file, and examine it in the next step."""
        self.forget(path)
        self._hints.add(path)

    def hold(self, path: Path, reason: str, now: float) -> bool:
        """Wait for the rest of a reported file that is incomplete.

        Args:
            path: the file.
            reason: what is missing.
            now: seconds.

        Returns:
            False if it was waited for already.
        """
        if path in self._waited_for or not self._patience:
            self._waited_for.discard(path)
            return False
        self._reported.discard(path)
        stat = file_stat(path)
        if stat is not None and self._tracker.since(path) is None:  # else it has changed meanwhile
            self._tracker.restart(path, stat, now)
            self._await_rest(path, reason, now)
        return True

    def _begin_rescan(self, now: float) -> None:
        self._rescan_at = now + self._rescan_every
        self._supervisor.watch_the_rest(now)
        self._hints.overflowed = False  # an overflow from here on causes another rescan
        self._hints.take()  # this rescan sees their files
        self._rescan, self._walked = (
            Rescan(self._inbox, self._reported, self._note_unreadable, self.ignore),
            0.0,
        )

    @property
    def _many_settle(self) -> bool:
        """Whether the rescan in progress waits until some files are reported."""
        return self._tracker.waiting - len(self._incomplete) >= MOST_SETTLING

    def _continue_rescan(self, rescan: Rescan, now: float) -> None:
        """Examine some more files."""
        self.rescan_moved_at = now
        if self._many_settle:
            return
        began, count = time.perf_counter(), 0
        try:
            while not rescan.ended and count < CHECKED_PER_STEP:
                most = min(CHECKED_TOGETHER, CHECKED_PER_STEP - count)
                looked_at, found = rescan.portion(most)
                count += looked_at
                for path, stat in found:
                    self._examine(path, stat, now)
                self.found_some()
                if time.perf_counter() > began + CHECKED_WITHIN:
                    break
        except OSError as error:
            if not self._unreadable and not self._supervisor.missing:
                log.warning("watch.unreadable", inbox=self._inbox, reason=error.strerror)
                self._unreadable = True
            self._end_rescan(now, sees_inbox=False)
            return
        self._walked += time.perf_counter() - began
        if rescan.ended:
            for path in [*self._incomplete, *self._written]:  # others are looked at when due
                self._examine(path, file_stat(path), now)
            self.rescan_seconds, self._unreadable = self._walked, False
            for folder in self._closed - self._closed_now:
                log.info("inbox.readable", folder=folder)
            self._closed = self._closed_now
            self._end_rescan(now, sees_inbox=True)

    def _note_unreadable(self, folder: str, reason: str) -> None:
        if folder not in self._closed | self._closed_now:
            log_unreadable(folder, reason)
        self._closed_now.add(folder)

    def _end_rescan(self, now: float, *, sees_inbox: bool) -> None:
        self.rescanned_at = self.rescan_moved_at = now
        self.sees_inbox = sees_inbox
        self._rescan, self._closed_now = None, set()

    def _follow(self, hint: Path, now: float) -> None:
        """Examine a hint's file, or all files beneath its folder; if there are many, rescan."""
        paths = [hint]
        if not os.path.lexists(hint):  # as after each move of an original
            self.forget(hint)
            return
        if os.path.isdir(hint) and not os.path.islink(hint):  # noqa: PTH112, PTH114 - never raise
            try:
                paths = list(islice(find(hint, lambda *_: None, self.ignore), CHECKED_PER_STEP))
            except OSError:  # gone again
                return
            if len(paths) == CHECKED_PER_STEP:
                self._rescan_at = now
                return
        for path in paths:
            if eligible(path, self._inbox, self.ignore):
                self._examine(path, file_stat(path), now, announced=True)
            else:
                self.forget(path)

    def _examine(
        self, path: Path, stat: FileStat | None, now: float, *, announced: bool = False
    ) -> None:
        """Examine a file (None: it is gone); an announced one starts settling again."""
        if stat is None:
            self.forget(path)
        elif not self._reported.has(path, stat):
            self._reported.discard(path)
            if announced:
                self._tracker.restart(path, stat, now)
            else:
                self._tracker.observe(path, stat, now)
            if self._tracker.since(path) == now:
                self._incomplete.pop(path, None)
                self._waited_for.discard(path)

    def _report_stable(self, now: float) -> None:
        ready = self._ready(now)
        if not ready:
            return
        for one in ready:
            self._tracker.postpone(one.path, now + self._settle)  # in case of an error
        answers = list(zip(ready, self._on_stable(ready), strict=True))
        for one, answer in answers:
            if not isinstance(answer, Exception):
                self._note_answer(one, answer, now)
        for _one, answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def _ready(self, now: float) -> list[StableFile]:
        """List the files that are due and stable, as many as one step reports."""
        ready, size = list[StableFile](), 0
        for path in self._tracker.due(now, REPORTED_PER_STEP):
            stat = file_stat(path)
            if stat is None or not self._tracker.observe(path, stat, now):
                self._examine(path, stat, now)
            elif (rest := self._rest_of(path, stat, now)) is not None:
                size += stat.size
                if ready and size > REPORTED_BYTES:
                    break  # the others stay due
                ready.append(StableFile(path, stat, rest))
        return ready

    def _rest_of(self, path: Path, stat: FileStat, now: float) -> Rest | None:
        """Return how long a file has rested; None: not long enough, for it may be open."""
        since = self._tracker.since(path) or now
        writer = self._writer(path, stat)
        if writer is Writer.WRITING:
            self._written.setdefault(path, now)
            self._tracker.restart(path, stat, now)  # the settle time starts at the close
            return None
        self._written.pop(path, None)
        closed = writer is Writer.DONE
        if not closed and now < since + self._settle_shared:
            self._tracker.postpone(path, since + self._settle_shared)
            return None
        return Rest(now - since, closed)

    def _note_answer(self, one: StableFile, missing: str, now: float) -> None:
        """Note that a file was reported, or await what is missing of it."""
        path = one.path
        if missing:
            self._await_rest(path, missing, now)
            return
        self._tracker.forget(path)
        self._no_longer_arriving(path)
        if self._patience and one.rest.seconds >= self._patience:
            self._waited_for.add(path)
        self._hints.forget_writer(path)
        self._reported.add(path, one.stat)

    def _await_rest(self, path: Path, reason: str, now: float) -> None:
        since = self._tracker.since(path) or now
        self._incomplete[path] = reason
        self._tracker.postpone(path, max(since + self._patience, now + self._settle))

    def _no_longer_arriving(self, path: Path) -> None:
        self._incomplete.pop(path, None)
        self._waited_for.discard(path)
        self._written.pop(path, None)

    def _writer(self, path: Path, stat: FileStat) -> Writer:
        """Tell whether someone is still writing a file, as far as the system knows.

        A lease answers with certainty, but only for one's own files (or with CAP_LEASE); inotify
        for everyone's, but only for what happened since the watch began.
        """
        if not self._supervisor.is_local(path, stat.device):
            return Writer.UNKNOWN
        answer = has_writer(self._inbox, path.relative_to(self._inbox))
        if answer is None:
            return self._hints.writer(path)
        return Writer.WRITING if answer else Writer.DONE
