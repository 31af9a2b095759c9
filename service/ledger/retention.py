"""Keeps the ledger small: forgets photos that finished long ago, in small portions.

A photo is forgotten only if its original was moved out of the inbox and is not back there: its scan
would be taken for a new one. Nor is one forgotten that is held, or whose decision is not in its
sidecar yet. SQLite reuses the freed pages; the file itself does not shrink.
"""

import os

import structlog

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger

DAY = 86_400.0  # seconds
ROUND = 3600.0  # seconds between two rounds, and until a clock that jumped is trusted
PORTION = 100  # photos examined per step
PAUSE = 0.5  # seconds between two portions
JUMP = 60.0  # seconds; a smaller step of the clock is a correction
LARGE_WAL = 256 << 20  # bytes

log = structlog.get_logger()


class Retention:
    """Goes through the finished photos once an hour.

    Args:
        config: the folders, and how long to remember.
        ledger: what is kept small.
    """

    def __init__(self, config: Config, ledger: Ledger) -> None:
        """Nothing has been examined yet."""
        self._config = config
        self._ledger = ledger
        self._age = config.ledger.forget_after * DAY
        self._forgets = self._age > 0 and config.originals.after == "move"
        self._due = float("-inf")
        self._offset: float | None = None  # of the wall clock from the monotonic one
        self._last: Job | None = None
        self._forgotten = 0

    def step(self, now: float, wall: float) -> None:
        """Examine a portion, if one is due.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970. After a jump nothing is forgotten for an hour: by a clock that
                is years ahead, every photo would be old.

        Raises:
            DeviceError: the ledger cannot be changed now; the next step tries again.
        """
        offset = wall - now
        if self._offset is None or abs(offset - self._offset) > JUMP:
            self._offset, self._due, self._last = offset, now + ROUND, None
        if now < self._due:
            return
        self._due = now + PAUSE
        if not (self._forgets and self._forget(wall - self._age)):
            self._end_round(now)

    def _forget(self, moment: float) -> bool:
        """Forget what is old in the next portion; tell whether another portion follows."""
        portion = self._ledger.queries.finished_before(moment, self._last, PORTION)
        old = [job.id for job in portion if self._may_be_forgotten(job)]
        if old:
            self._forgotten += self._ledger.forget_finished(old)
        self._last = portion[-1] if portion else None
        return len(portion) == PORTION

    def _may_be_forgotten(self, job: Job) -> bool:
        waits = job.is_colored and (job.held or job.review_owed)
        return (
            not waits
            and job.original is not None
            and not os.path.lexists(self._config.inbox / job.path)
        )

    def _end_round(self, now: float) -> None:
        if self._forgotten:
            days = self._config.ledger.forget_after
            log.info("ledger.forgotten", photos=self._forgotten, older_than_days=days)
        if (size := self._ledger.wal_size) > LARGE_WAL:
            log.warning(
                "ledger.held",
                reason="another program has kept a read transaction open for a long time, so the"
                " ledger's log keeps growing; end that program",
                bytes=size,
            )
        self._forgotten, self._last, self._due = 0, None, now + ROUND
