"""The daemon's sign of life to systemd: given now and then, and only while its work goes on.

It comes from the loop that does the work, not from a thread of its own, which would go on beating
in a daemon that hangs.
"""

import structlog

from service.config import Config
from service.health import Signs, stuck, troubles
from service.jobs import JobStatus
from service.ledger import Ledger
from service.notify import Notifier
from service.pipeline import Pipeline
from service.watcher import Watcher
from worker.errors import DeviceError

log = structlog.get_logger()


class Pulse:
    """Looks at the parts of a daemon and tells systemd how they do.

    Args:
        config: how long things may take.
        notifier: who tells systemd; where nobody listens, nothing is looked at.
        watcher: when was the last rescan?
        pipeline: does the work move?
        ledger: how much is left?
    """

    def __init__(
        self,
        config: Config,
        notifier: Notifier,
        watcher: Watcher,
        pipeline: Pipeline,
        ledger: Ledger,
    ) -> None:
        """Nothing was told yet."""
        self._config = config
        self._notifier = notifier
        self._watcher = watcher
        self._pipeline = pipeline
        self._ledger = ledger
        self._due = float("-inf")
        self._stuck = False

    def step(self, now: float, held_up: str = "") -> None:
        """Tell how it goes, if it is time to.

        Args:
            now: monotonic seconds.
            held_up: the machine's fault that kept the loop from its work just now, or "".
        """
        if not self._is_time(now, late=0.0):
            return
        counts: dict[JobStatus, int] = {}
        try:
            counts = self._ledger.counts()
        except DeviceError as error:
            held_up = str(error)
        signs = self._signs(now, held_up, counts.get(JobStatus.STARTED, 0))
        reason = stuck(signs)
        if reason and not self._stuck:
            log.error("daemon.stuck", reason=reason)
        self._stuck = bool(reason)
        work = [f"{count} {status}" for status, count in counts.items()]
        self._notifier.alive("; ".join([*troubles(signs), ", ".join(work)]), well=not reason)

    def goes_on(self, now: float) -> None:
        """Tell that a long step goes on, if it is long: one more file was found or taken."""
        if self._is_time(now, late=self._notifier.beat):
            self._notifier.alive("looking through the inbox", well=not self._stuck)

    def _is_time(self, now: float, *, late: float) -> bool:
        if not self._notifier.wanted or now < self._due + late:
            return False
        self._due = now + self._notifier.beat
        return True

    def _signs(self, now: float, held_up: str, started: int) -> Signs:
        return Signs(
            rescan_age=now - self._watcher.rescanned_at,
            rescan_every=self._config.watch.rescan,
            still=self._pipeline.still(now),
            longest_wait=self._config.batch.longest_wait,
            hints=self._watcher.emitters_alive(),
            inbox=self._watcher.sees_inbox,
            held_up=held_up,
            orphans=0 if self._pipeline.busy else started,
        )
