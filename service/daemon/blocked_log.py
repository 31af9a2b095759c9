"""Logs when work becomes blocked and when it resumes, without flooding the log."""

import structlog

REPEAT_AFTER = 600.0  # seconds until a lasting reason is logged again
SAME_WITHIN = 60.0  # seconds; a reason that returns within them never went away

log = structlog.get_logger()


class BlockedLog:
    """Logs why no new work begins; a fault that flaps or lasts a year is not logged each time.

    Attributes:
        reason: the current one, or "".
    """

    def __init__(self) -> None:
        """Begin unblocked."""
        self.reason = ""
        self._seen: dict[str, tuple[float, float]] = {}  # reason: last seen, last logged
        self._logged = False

    def note(self, reason: str, now: float, *, over: bool = True) -> None:
        """Record the current state.

        Args:
            reason: why no new work begins, or "".
            now: monotonic seconds.
            over: False if the reason may return as soon as work is tried.
        """
        self.reason = reason
        if reason:
            seen, logged = self._seen.get(reason, (float("-inf"), float("-inf")))
            if now - seen > SAME_WITHIN or now - logged >= REPEAT_AFTER:
                log.warning("daemon.held_up", reason=reason)
                self._logged, logged = True, now
            self._seen[reason] = (now, logged)
            self._seen = {one: at for one, at in self._seen.items() if now - at[0] <= REPEAT_AFTER}
        elif self._logged and over:
            log.info("daemon.goes_on")
            self._logged = False
