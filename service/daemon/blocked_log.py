"""What holds the work up, said in the log: when it begins, when it ends, and rarely in between."""

import structlog

AGAIN = 600.0  # seconds until it is said again
SAME = 60.0  # seconds; what is back within them had never gone

log = structlog.get_logger()


class BlockedLog:
    """Says that no work begins; a fault that comes and goes, or lasts a year, fills no log.

    Attributes:
        reason: of now, or "".
    """

    def __init__(self) -> None:
        """Nothing holds the work up."""
        self.reason = ""
        self._seen: dict[str, tuple[float, float]] = {}  # reason: when it was seen, and said, last
        self._said = False

    def note(self, reason: str, now: float, *, over: bool = True) -> None:
        """Take note of how it is now.

        Args:
            reason: why no work begins, or "".
            now: monotonic seconds.
            over: False where the reason may be back as soon as work is tried.
        """
        self.reason = reason
        if reason:
            seen, said = self._seen.get(reason, (float("-inf"), float("-inf")))
            if now - seen > SAME or now - said >= AGAIN:
                log.warning("daemon.held_up", reason=reason)
                self._said, said = True, now
            self._seen[reason] = (now, said)
            self._seen = {one: at for one, at in self._seen.items() if now - at[0] <= AGAIN}
        elif self._said and over:
            log.info("daemon.goes_on")
            self._said = False
