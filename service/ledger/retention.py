"""Keeps the ledger small: forgets photos that were finished long ago, and gives their room back.

In small portions between other work. A photo is forgotten only when its original was moved out of
the inbox and does not lie there again: its scan would be taken for a new one.
"""

import os
import shutil

import structlog

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from worker.errors import DeviceError

DAY = 86_400.0  # seconds
ROUND = 3600.0  # seconds between two rounds, and until the clock is believed
PORTION = 100  # photos looked at in one go
PAUSE = 0.5  # seconds between two portions
PAGES = 256  # given back in one go, of 4 kB
JUMP = 60.0  # seconds by which a clock that is only corrected does not move at once
ROOM = 3  # times the ledger's size that writing it anew may take
LARGE_JOURNAL = 256 << 20  # bytes

log = structlog.get_logger()


class Retention:
    """Goes through the finished photos once an hour.

    Args:
        config: the folders, and how long to remember.
        ledger: what is kept small.
    """

    def __init__(self, config: Config, ledger: Ledger) -> None:
        """Nothing was looked at yet."""
        self._config = config
        self._ledger = ledger
        self._age = config.ledger.forget_after * DAY
        self._forgets = self._age > 0 and config.originals.after == "move"
        self._due = float("-inf")
        self._ahead: float | None = None  # of the clock that never jumps
        self._last: Job | None = None
        self._forgotten = 0

    def start(self) -> None:
        """Have a ledger of an earlier photochrom shrink from now on, if anything is forgotten.

        It is written anew for that, once. Where that cannot be, it is told and tried at the next
        start; room that is free in it is used again in any case.
        """
        if not self._forgets or self._ledger.shrinks:
            return
        path = self._config.state / LEDGER_FILE
        size, free = path.stat().st_size, shutil.disk_usage(path.parent).free
        takes, has = f"{ROOM * size / 1e6:,.0f} MB", f"{free / 1e6:,.0f} MB"
        reason = f"writing it anew takes {takes}, and {path.parent} has {has} free"
        try:
            if free >= ROOM * size:
                self._ledger.rewrite()
                log.info("ledger.rewritten", bytes_before=size, bytes_after=path.stat().st_size)
                return
        except DeviceError as error:
            reason = str(error)
        log.warning("ledger.not_rewritten", reason=reason)

    def step(self, now: float, wall: float) -> None:
        """Do a portion, if one is due.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970. While it jumps, nothing is forgotten for an hour: a clock that
                is years ahead would make every photo an old one.

        Raises:
            DeviceError: the ledger cannot be changed now; the next step tries again.
        """
        ahead = wall - now
        if self._ahead is None or abs(ahead - self._ahead) > JUMP:
            self._ahead, self._due, self._last = ahead, now + ROUND, None
        if now < self._due:
            return
        self._due = now + PAUSE
        if self._forgets and self._forget(wall - self._age):
            return
        if self._ledger.give_back(PAGES):
            return
        self._end_round(now)

    def _forget(self, moment: float) -> bool:
        """Forget of the next portion what may be; tell whether there is another portion."""
        portion = self._ledger.finished_before(moment, self._last, PORTION)
        old = [job.id for job in portion if self._may_be_forgotten(job)]
        if old:
            self._forgotten += self._ledger.forget_finished(old)
        self._last = portion[-1] if portion else None
        return len(portion) == PORTION

    def _may_be_forgotten(self, job: Job) -> bool:
        return job.original is not None and not os.path.lexists(self._config.inbox / job.path)

    def _end_round(self, now: float) -> None:
        if self._forgotten:
            days = self._config.ledger.forget_after
            log.info("ledger.forgotten", photos=self._forgotten, older_than_days=days)
        if (size := self._ledger.journal_size) > LARGE_JOURNAL:
            log.warning(
                "ledger.held",
                reason="another program has read from the ledger for a long time and does not let"
                " go of it, so that its log grows; end that program",
                bytes=size,
            )
        self._forgotten, self._last, self._due = 0, None, now + ROUND
