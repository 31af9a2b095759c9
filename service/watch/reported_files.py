"""The files that were reported, while they exist and do not change.

With `originals.after: keep` there may be a million. So those of a folder are packed: their names in
one piece, sorted, and beside them two arrays; 26 bytes a file, where a dictionary takes 170.
"""

import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.filesystem.file_stat import FileStat

LEAST_CHANGES = 20_000  # that are kept apart, 3 MB, before they are packed
SHARE_OF_CHANGES = 16  # and at least one in so many files, so that packing takes linear time


class ReportedFiles:
    """The files that were reported, each with the hash of its stat."""

    def __init__(self) -> None:
        """Nothing was reported yet."""
        self._packed: dict[str, _Packed] = {}  # by folder
        self._changed: dict[str, dict[str, int | None]] = {}  # since; None: no longer reported
        self._changes = 0
        self._count = 0

    def __len__(self) -> int:
        """Return how many files there are."""
        return self._count

    def __iter__(self) -> Iterator[str]:
        """Yield their paths."""
        for folder in self._folders():
            yield from (f"{folder}/{name}" for name in self.names_in(folder))

    def add(self, path: Path, looks: FileStat) -> None:
        """Add a file."""
        folder, name = os.path.split(path)
        self._count += self._get(folder, name) is None
        self._change(folder, name, hash(looks))

    def discard(self, path: Path) -> None:
        """Forget a file, if it is known."""
        folder, name = os.path.split(path)
        if self._get(folder, name) is not None:
            self._count -= 1
            self._change(folder, name, None)

    def has(self, path: Path, looks: FileStat) -> bool:
        """Tell whether a file was reported just as it is."""
        return self._get(*os.path.split(path)) == hash(looks)

    def names_in(self, folder: str) -> dict[str, int]:
        """Return the hash of each file's stat in a folder, by name; a copy."""
        packed = self._packed.get(folder)
        known = packed.unpacked() if packed else {}
        for name, looks in self._changed.get(folder, {}).items():
            if looks is None:
                known.pop(name, None)
            else:
                known[name] = looks
        return known

    def outside(self, folders: set[str]) -> list[str]:
        """List the folders of reported files that are not among these."""
        return [folder for folder in self._folders() if folder not in folders]

    def _folders(self) -> dict[str, None]:
        return dict.fromkeys((*self._packed, *self._changed))

    def _get(self, folder: str, name: str) -> int | None:
        changed = self._changed.get(folder, {})
        if name in changed:
            return changed[name]
        packed = self._packed.get(folder)
        return packed.get(name) if packed else None

    def _change(self, folder: str, name: str, looks: int | None) -> None:
        changed = self._changed.setdefault(folder, {})
        if looks is None and folder not in self._packed:
            del changed[name]
            if not changed:
                del self._changed[folder]
        else:
            changed[name] = looks
        self._changes += 1
        if self._changes >= max(LEAST_CHANGES, self._count // SHARE_OF_CHANGES):
            self._pack()

    def _pack(self) -> None:
        for folder in list(self._changed):
            known = self.names_in(folder)
            del self._changed[folder]
            self._packed.pop(folder, None)
            if known:
                self._packed[folder] = _Packed(known)
        self._changes = 0


class _Packed:
    """The files of one folder."""

    def __init__(self, known: Mapping[str, int]) -> None:
        by_name = sorted((os.fsencode(name), looks) for name, looks in known.items())
        self._names = b"".join(b"%b\0" % name for name, _looks in by_name)
        self._looks = array("q", (looks for _name, looks in by_name))
        self._ends = array("L", [0])  # of the names, each with the zero behind it
        for name, _looks in by_name:
            self._ends.append(self._ends[-1] + len(name) + 1)

    def get(self, name: str) -> int | None:
        """Return the hash of a file's stat; None if it is not among them."""
        wanted = os.fsencode(name)
        at = bisect_left(range(len(self._looks)), wanted, key=self._name)
        found = at < len(self._looks) and self._name(at) == wanted
        return self._looks[at] if found else None

    def unpacked(self) -> dict[str, int]:
        """Return all, by name."""
        names = os.fsdecode(self._names[:-1]).split("\0")
        return dict(zip(names, self._looks, strict=True))

    def _name(self, at: int) -> bytes:
        return self._names[self._ends[at] : self._ends[at + 1] - 1]
