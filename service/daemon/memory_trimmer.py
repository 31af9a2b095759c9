"""Gives the memory that malloc keeps free back to the system.

After a burst of large scans most of a process can be such free memory. malloc keeps it for each
thread apart, so a table that is rebuilt in another thread than before takes it a second time.
"""

import ctypes

TRIM_EVERY = 30.0  # seconds


class MemoryTrimmer:
    """Gives free memory back now and then, while there is work."""

    def __init__(self) -> None:
        """Find glibc's function; other C libraries have none."""
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._due = 0.0
        self._done = 0

    def step(self, now: float, done: int) -> None:
        """Give back what is free, if anything was done since, and it is time.

        Args:
            now: monotonic seconds.
            done: how many photographs were done until now.
        """
        if self._trim is not None and done != self._done and now >= self._due:
            self._trim(0)
            self._due, self._done = now + TRIM_EVERY, done
