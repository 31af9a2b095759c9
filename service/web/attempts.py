"""How long a log-in must wait after wrong passwords, counted by address and by name."""

from collections import OrderedDict
from dataclasses import dataclass

FREE = 5  # attempts in a row without a wait
LONGEST = {"address": 900.0, "name": 60.0}  # seconds; nobody can lock out somebody else for long
FORGOTTEN = 3600.0  # seconds after the last attempt
REMEMBERED = 10_000  # addresses and names


@dataclass
class _Row:
    failures: int
    until: float
    last: float


class Attempts:
    """Counts attempts to log in; each after the first five doubles the wait, from one second."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._rows: OrderedDict[tuple[str, str], _Row] = OrderedDict()

    def begin(self, address: str, name: str, now: float) -> float:
        """Note an attempt as failed, until `succeeded` says otherwise.

        Args:
            address: where it comes from.
            name: whose password it is.
            now: in seconds, of a clock that never goes back.

        Returns:
            0 if it may go on; else the seconds to wait, and it was not counted.
        """
        keys = [("address", address), ("name", name)]
        waits = [row.until - now for key in keys if (row := self._rows.get(key))]
        if any(wait > 0 for wait in waits):
            return max(waits)
        for key in keys:
            row = self._rows.pop(key, None)
            if row is None or now - row.last > FORGOTTEN:
                row = _Row(0, now, now)
            over = row.failures - FREE + 1
            row.failures, row.last = row.failures + 1, now
            row.until = now if over < 0 else now + min(LONGEST[key[0]], 2.0 ** min(over, 32))
            self._rows[key] = row
        while len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)
        return 0.0

    def succeeded(self, address: str, name: str) -> None:
        """Forget the failed attempts from an address and for a name."""
        for key in (("address", address), ("name", name)):
            self._rows.pop(key, None)
