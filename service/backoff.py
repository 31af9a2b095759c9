"""How long to wait after faults of the machine: twice as long after each, up to a limit; pure."""

from dataclasses import dataclass, replace

from service.config.sections import Retry


@dataclass(frozen=True)
class Backoff:
    """A wait after faults in a row.

    Attributes:
        until: when the wait ends, monotonic seconds.
        faults: how many came in a row.
        reason: the last one's; "" after none.
    """

    until: float = 0.0
    faults: int = 0
    reason: str = ""

    def after_failure(
        self, now: float, reason: str, retry: Retry, before: int | None = None
    ) -> "Backoff":
        """Return the wait after one more fault; the same one while it lasts: they failed together.

        Args:
            now: monotonic seconds.
            reason: of the fault.
            retry: how long to wait.
            before: faults that make the wait longer; by default those in a row.
        """
        if self.waits(now):
            return self
        wait = retry.wait_after(self.faults if before is None else before)
        return Backoff(now + wait, self.faults + 1, reason)

    def cleared(self) -> "Backoff":
        """Return the state after a success."""
        return Backoff()

    def ended(self, now: float) -> "Backoff":
        """Return the state with its wait over; the faults still count, as they may not be mended.

        Args:
            now: monotonic seconds.
        """
        return replace(self, until=min(self.until, now))

    def waits(self, now: float) -> bool:
        """Tell whether the wait lasts."""
        return now < self.until

    @property
    def is_to_be_logged(self) -> bool:
        """Whether this is the 1st, 2nd, 4th, 8th ... fault in a row: it may last for weeks."""
        return self.faults.bit_count() == 1
