"""Has a file stopped changing? Pure: what was seen and when are arguments.

A file is stable when it has looked the same for the settle time. A file that changes, or is gone
and comes back, starts again.
"""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a file looked at one moment.

    Attributes:
        size: in bytes.
        mtime_ns: time of the last change, in nanoseconds since 1970.
        inode: its number in its file system; another number is another file.
        device: the number of that file system.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int

    def same_as(self, other: "Snapshot") -> bool:
        """Tell whether it is the same file, unchanged; a reboot may have renumbered the device."""
        return replace(self, device=other.device) == other


class StabilityTracker:
    """The files that are still watched for changes.

    Times are seconds of a clock that never goes back (`time.monotonic`).
    """

    def __init__(self, settle: float) -> None:
        """Start with no file; `settle` is the seconds a file must stay the same."""
        self._settle = settle
        # Longest unchanged first: a file that changes is taken out and put at the end.
        self._since: dict[Path, tuple[Snapshot, float]] = {}

    def observe(self, path: Path, snapshot: Snapshot | None, now: float) -> bool:
        """Note how a file looks now.

        Args:
            path: the file.
            snapshot: how it looks; None when it is gone, and then it is forgotten.
            now: seconds.

        Returns:
            True when it has looked like this for the settle time, until it is forgotten.
        """
        if snapshot is None:
            self.forget(path)
            return False
        before = self._since.get(path)
        if before is None or before[0] != snapshot:
            self.restart(path, snapshot, now)
        return now - self._since[path][1] >= self._settle

    def restart(self, path: Path, snapshot: Snapshot, now: float) -> None:
        """Count the settle time of a file from now, whatever was seen before."""
        self.forget(path)
        self._since[path] = (snapshot, now)

    def forget(self, path: Path) -> None:
        """Stop watching a file; one that is not watched is no error."""
        self._since.pop(path, None)

    @property
    def waiting(self) -> int:
        """How many files are watched."""
        return len(self._since)

    @property
    def paths(self) -> frozenset[Path]:
        """The files that are watched."""
        return frozenset(self._since)

    def due(self, now: float, limit: int) -> list[Path]:
        """List files not seen to change for the settle time, longest first, at most `limit`."""
        found: list[Path] = []
        for path, (_, since) in self._since.items():
            if len(found) >= limit or now - since < self._settle:
                break
            found.append(path)
        return found

    def next_due(self, now: float) -> float | None:
        """Seconds until a file may be stable: 0 when one may be now, None when none is watched."""
        for _, since in self._since.values():
            return max(0.0, since + self._settle - now)
        return None
