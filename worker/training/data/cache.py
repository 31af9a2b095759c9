"""The cache of decoded photographs: one file of squares that only grows, and what is known of each.

A photograph is known by the digest of its content, so what was decoded once is never decoded again,
whatever collection it is part of. Rows are written before the lines that name them; whatever ends
the process, only whole photographs are taken for whole.
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

SIDE = 256  # photos are stretched to this square, as serving stretches scans to the render size
SQUARE_BYTES = SIDE * SIDE * 3
FORMAT = 1  # of both files and of what `unfit` means; another number begins anew


@dataclass(frozen=True)
class Facts:
    """What is known of a photograph by its content.

    Attributes:
        digest: SHA-256 of the file, hexadecimal.
        width: pixels, upright.
        height: pixels, upright.
        perceptual_hash: 16 hexadecimal digits, see `duplicates.perceptual_hash`.
        unfit: why it cannot teach; None when it can, and then it has a row.
    """

    digest: str
    width: int
    height: int
    perceptual_hash: str
    unfit: str | None = None


class DecodeCache:
    """The cache in a folder, open for adding; one process at a time, another one waits.

    Args:
        folder: made if missing; may be deleted whole when nothing runs.

    Attributes:
        known: facts by digest.

    Raises:
        DeviceError: the files do not belong together.
        OSError: the disk fails.
    """

    def __init__(self, folder: Path) -> None:
        """Open the files and cut off what was not finished."""
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
            f"the cache of decoded photographs in {self._folder} is damaged; delete that folder, "
            "and it is filled again"
        )

    def _note(self, facts: Facts) -> None:
        self.known[facts.digest] = facts
        if facts.unfit is None:
            self._rows[facts.digest] = len(self._rows)

    def add(self, facts: Facts, square: Pixels) -> None:
        """Keep a photograph that is not known; for good only after `commit`.

        Args:
            facts: of the photo.
            square: (256, 256, 3) uint8; kept when the photo is fit.

        Raises:
            OSError: when the disk is full or fails; what was committed stays.
        """
        if facts.unfit is None:
            with self._room():
                _write(self._squares, np.ascontiguousarray(square).tobytes())
        self._note(facts)
        self._new.append(facts)

    def commit(self) -> None:
        """Make all that was added last.

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
        """Return where in `photos` a fit photograph lies."""
        return self._rows[digest]

    def photos(self) -> Pixels:
        """Map all rows into memory, (P, 256, 256, 3) uint8 sRGB, read-only; P is at least 1."""
        shape = (len(self._rows), SIDE, SIDE, 3)
        return np.memmap(self._squares.name, np.uint8, "r", shape=shape)

    def close(self) -> None:
        """Close the files; maps of them stay."""
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
    while rest:  # a disk that fills up takes a part first, and refuses the next
        rest = rest[file.write(rest) :]
