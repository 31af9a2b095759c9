"""The cache of decoded photographs: an append-only file of squares, and a line of facts for each.

Photographs are identified by the digest of their content, so none is decoded twice, in whatever
collection it is. Squares are synced before the lines that name them, so a crash leaves no line for
an incomplete square.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Self

import numpy as np

from worker.color.cielab import Pixels
from worker.errors import DeviceError

SIDE = 256  # photographs are stretched to a square, as the colorizer does
SQUARE_BYTES = SIDE * SIDE * 3
FORMAT = 1  # of both files and of the values of `unfit`; a new number starts new files


@dataclass(frozen=True)
class Facts:
    """What the content of a photograph says about it.

    Attributes:
        digest: SHA-256 of the file, hexadecimal.
        width: pixels, upright.
        height: pixels, upright.
        perceptual_hash: 16 hexadecimal digits, see `duplicates.perceptual_hash`.
        unfit: why it is not fit for training; None if it is, and then it has a row.
    """

    digest: str
    width: int
    height: int
    perceptual_hash: str
    unfit: str | None = None


class DecodeCache:
    """The cache in a folder, open for appending; a second process waits for the first.

    Args:
        folder: created if missing; may be deleted when no training runs.

    Attributes:
        known: facts by digest.

    Raises:
        DeviceError: the files do not match each other.
        OSError: the disk failed.
    """

    def __init__(self, folder: Path) -> None:
        """Open the files and truncate what was not finished."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._facts = FileIO(folder / f"facts-{FORMAT}.jsonl", "a+")
        fcntl.flock(self._facts, fcntl.LOCK_EX)
        self._squares = FileIO(folder / f"squares-{FORMAT}.bin", "a+")
        self.known: dict[str, Facts] = {}
        self._rows: dict[str, int] = {}
        self._new: list[Facts] = []
        try:
            self._read()
        except (DeviceError, OSError):
            self.close()
            raise

    def _read(self) -> None:
        self._facts.seek(0)
        lines, _newline, _torn = self._facts.readall().rpartition(b"\n")
        try:
            for line in lines.splitlines():
                self._note(Facts(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise self._damaged() from error
        end = len(self._rows) * SQUARE_BYTES
        if self._squares.seek(0, os.SEEK_END) < end:
            raise self._damaged()
        self._facts.truncate(len(lines) + len(_newline))
        self._squares.truncate(end)

    def _damaged(self) -> DeviceError:
        return DeviceError(
            f"the cache of decoded photographs in {self._folder} is damaged; delete that folder to "
            "have it built again"
        )

    def _note(self, facts: Facts) -> None:
        self.known[facts.digest] = facts
        if facts.unfit is None:
            self._rows[facts.digest] = len(self._rows)

    def add(self, facts: Facts, square: Pixels) -> None:
        """Add a new photograph; it lasts only after `commit`.

        Args:
            facts: of the photograph.
            square: (256, 256, 3) uint8 sRGB; stored if the photograph is fit.

        Raises:
            OSError: the disk is full or failed; what was committed stays.
        """
        if facts.unfit is None:
            with self._room():
                _write(self._squares, np.ascontiguousarray(square).tobytes())
        self._note(facts)
        self._new.append(facts)

    def commit(self) -> None:
        """Sync all that was added to disk.

        Raises:
            OSError: as `add`.
        """
        lines = [json.dumps(asdict(facts)) + "\n" for facts in self._new]
        with self._room():
            os.fsync(self._squares.fileno())
            _write(self._facts, "".join(lines).encode())
            os.fsync(self._facts.fileno())
        self._new.clear()

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"{error.strerror}: decoded photographs need {SQUARE_BYTES // 1000} kB each"
            raise OSError(error.errno, message, str(self._folder)) from error

    def row(self, digest: str) -> int:
        """Return the row of a fit photograph in `photos`."""
        return self._rows[digest]

    def photos(self) -> Pixels:
        """Map all rows into memory read-only, (P, 256, 256, 3) uint8 sRGB; P is at least 1."""
        shape = (len(self._rows), SIDE, SIDE, 3)
        return np.memmap(self._squares.name, np.uint8, "r", shape=shape)

    def close(self) -> None:
        """Close the files; mappings stay valid."""
        self._squares.close()
        self._facts.close()

    def __enter__(self) -> Self:
        """Return the cache."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _write(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # a disk that fills up accepts a part first
        rest = rest[file.write(rest) :]
