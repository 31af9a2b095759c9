"""Drops photos in waves into an inbox that a daemon watches, and keeps the book of what must come.

Most photos arrive in one step, some are written slowly, some come with their whole folder. A few
are torn, some have the content of another, some are dropped twice; and, while the daemon is at it,
some are replaced by another content and some are taken away again.
"""

import hashlib
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs

from tests.support.synthetic_photos import encoded, gray_scene

HEIGHT, WIDTH = 24, 32
FATES = {"once": 91.5, "torn": 2, "twin": 2, "twice": 1.5, "replaced": 2, "taken away": 1}
SUFFIXES = ("png", "jpg")
WRITTEN_SLOWLY = 0.03  # share
LONGEST_PAUSE = 60  # photos that are dropped before the second act of one that has two

Scan = tuple[str, str]  # name in the inbox, SHA-256


@dataclass
class Book:
    """What was dropped.

    Attributes:
        must: is to be delivered once.
        may: was replaced or taken away, perhaps before the daemon had it.
        torn: is to be rejected.
        twice: was dropped a second time, so that there may be a second original.
    """

    must: set[Scan] = field(default_factory=set)
    may: set[Scan] = field(default_factory=set)
    torn: set[Scan] = field(default_factory=set)
    twice: set[Scan] = field(default_factory=set)


class Feeder:
    """Someone with many scans.

    Args:
        home: the daemon's folder; photos are made beside its inbox.
        seed: of all that is left to chance.

    Attributes:
        book: what was dropped so far.
        dropped: how many photos that was.
    """

    def __init__(self, home: Path, seed: int) -> None:
        """Nothing is dropped yet."""
        self._inbox, self._outside = home / "inbox", home / "outside"
        self._outside.mkdir()
        self._chance = random.Random(seed)  # noqa: S311 - the same waves each time
        self._twin: tuple[str, bytes] | None = None  # suffix and content of the photo before
        self._second_acts: list[tuple[int, Callable[[], None]]] = []
        self._waves = 0
        self.book = Book()
        self.dropped = 0

    def wave(self, count: int) -> None:
        """Drop that many photos in a sub-folder of their own."""
        self._waves += 1
        folder = f"{self._waves % 7}/{self._waves:04d}"
        if self._waves % 5 == 0:
            self._drop_folder(folder, count)
        else:
            for _ in range(count):
                self._drop(folder)
        self._act(everything=True)

    def _drop_folder(self, folder: str, count: int) -> None:
        """Move a folder in that was filled elsewhere."""
        filled = self._outside / "folder"
        filled.mkdir()
        for _ in range(count):
            content = self._photo("png")
            name = f"{self.dropped:05d}.png"
            (filled / name).write_bytes(content)
            self.book.must.add(_scan(f"{folder}/{name}", content))
        (self._inbox / folder).parent.mkdir(parents=True, exist_ok=True)
        filled.rename(self._inbox / folder)

    def _drop(self, folder: str) -> None:
        """Drop one photo, whose fate is left to chance, and do what is due to others."""
        (fate,) = self._chance.choices(list(FATES), list(FATES.values()))
        suffix, twin = self._chance.choice(SUFFIXES), self._twin
        content = self._photo(suffix)
        name = f"{folder}/{self.dropped:05d}.{suffix}"
        if fate == "torn":
            self.book.torn.add(_scan(name, content[:-40]))
            self._put(name, content[:-40])
            return
        if fate == "twin" and twin:
            suffix, content = twin
            name = f"{folder}/{self.dropped:05d} twin.{suffix}"
        scan = _scan(name, content)
        self.book.must.add(scan)
        if self._chance.random() < WRITTEN_SLOWLY:
            self._write_slowly(name, content)
            return
        self._put(name, content)
        if fate == "twice":
            self.book.twice.add(scan)
            self._later(lambda: self._put(name, content))
        elif fate == "replaced":
            self._later(lambda: self._replace(scan, self._photo(suffix)))
        elif fate == "taken away":
            self._later(lambda: self._take_away(scan))
        self._act()

    def _photo(self, suffix: str) -> bytes:
        """Make a photo unlike all before."""
        self.dropped += 1
        depth = 16 if suffix == "png" and self.dropped % 5 == 0 else 8
        pixels = gray_scene(HEIGHT, WIDTH, depth, seed=self.dropped)
        if depth == 16:
            content = bytes(imagecodecs.png_encode(pixels))
        else:
            content = encoded({"png": "PNG", "jpg": "JPEG"}[suffix], pixels)
        self._twin = suffix, content
        return content

    def _put(self, name: str, content: bytes) -> None:
        outside, path = self._outside / "photo", self._inbox / name
        outside.write_bytes(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        outside.rename(path)

    def _write_slowly(self, name: str, content: bytes) -> None:
        path = self._inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = path.open("wb", buffering=0)
        writer.write(content[: len(content) // 2])

        def go_on() -> None:
            writer.write(content[len(content) // 2 :])
            writer.close()

        self._later(go_on)

    def _replace(self, scan: Scan, content: bytes) -> None:
        self.book.must.remove(scan)
        self.book.may.add(scan)
        self.book.must.add(_scan(scan[0], content))
        self._put(scan[0], content)

    def _take_away(self, scan: Scan) -> None:
        self.book.must.remove(scan)
        self.book.may.add(scan)
        (self._inbox / scan[0]).unlink(missing_ok=True)

    def _later(self, act: Callable[[], None]) -> None:
        self._second_acts.append((self.dropped + self._chance.randint(0, LONGEST_PAUSE), act))

    def _act(self, *, everything: bool = False) -> None:
        due = [one for one in self._second_acts if everything or one[0] <= self.dropped]
        for one in due:
            self._second_acts.remove(one)
            one[1]()


def left(inbox: Path) -> int:
    """Count the photos in an inbox."""
    return sum(
        name.endswith(SUFFIXES) for _parent, _folders, names in os.walk(inbox) for name in names
    )


def _scan(name: str, content: bytes) -> Scan:
    return name, hashlib.sha256(content).hexdigest()
