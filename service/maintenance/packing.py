"""Packages: folders of copies for other systems, that appear complete or not at all.

Each file is hashed while it is copied, and read back before the package gets its name.
"""

import hashlib
import io
import os
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

from service.config.loader import Config
from service.filesystem.durable import make_folder, numbered_names, part_path
from service.filesystem.safe_open import digest
from service.terminal import printable
from worker.atomic import sync_folder
from worker.errors import DeviceError

CHUNK = 1 << 20  # bytes copied at a time


class Packed(NamedTuple):
    """A file in a package.

    Attributes:
        name: its path in the package.
        sha256: hexadecimal.
        md5: hexadecimal; the checksum that some systems ask for.
        size: bytes.
    """

    name: PurePosixPath
    sha256: str
    md5: str
    size: int


class Package:
    """A package that is being filled, under a hidden name.

    Attributes:
        root: the hidden folder.
        name: of the package, once it is complete.
        files: what is in it, by name.
    """

    def __init__(self, root: Path, name: str) -> None:
        """Nothing is in it yet."""
        self.root = root
        self.name = name
        self.files: dict[PurePosixPath, Packed] = {}
        self._taken: set[str] = set()

    def free(self, name: PurePath | str, room: str = "") -> PurePosixPath:
        """Reserve a name: UTF-8, without line breaks, and not taken on any system.

        Names that differ only in case or in how accents are encoded count as the same; the second
        is numbered. The name is shortened if `room` would not fit after it.
        """
        for path in numbered_names(Path(printable(str(name))), room):
            key = unicodedata.normalize("NFC", str(path)).casefold()
            if key not in self._taken:
                self._taken.add(key)
                return PurePosixPath(path)
        raise AssertionError  # the names never run out

    def copy(self, source: io.FileIO, name: PurePosixPath) -> Packed:
        """Copy an open file with its times, and close it.

        Raises:
            FileExistsError: the name is taken.
            OSError: the disk is full or failed.
        """
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        target = self._new(name)
        with source, target.open("xb") as copy:
            while chunk := source.read(CHUNK):
                sha256.update(chunk)
                md5.update(chunk)
                copy.write(chunk)
                size += len(chunk)
        shutil.copystat(source.name, target)
        return self._note(Packed(name, sha256.hexdigest(), md5.hexdigest(), size))

    def write(self, name: PurePosixPath, *parts: bytes | Iterable[bytes]) -> Packed:
        """Write a file; errors as for `copy`."""
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        with self._new(name).open("xb") as file:
            for part in parts:
                for chunk in (part,) if isinstance(part, bytes) else part:
                    sha256.update(chunk)
                    md5.update(chunk)
                    size += file.write(chunk)
        return self._note(Packed(name, sha256.hexdigest(), md5.hexdigest(), size))

    def check_copies(self) -> None:
        """Read all files back.

        Raises:
            DeviceError: one differs from what was written.
        """
        for packed in self.files.values():
            if digest(self.root / packed.name) != packed.sha256:
                raise DeviceError(
                    f"the copy of {packed.name} differs from what was read; check the disk"
                )

    def _new(self, name: PurePosixPath) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _note(self, packed: Packed) -> Packed:
        self.files[packed.name] = packed
        return packed


@contextmanager
def new_package(folder: Path, config: Config) -> Iterator[Package]:
    """Make a package that gets its name when the block ends without an error.

    Args:
        folder: the package; it must not exist, or be empty.
        config: the folders, none of which may contain it.

    Yields:
        The package.

    Raises:
        DeviceError: the folder is unsuitable.
        OSError: the disk is full or failed. Nothing is left.
    """
    refuse_folder(folder, config)
    make_folder(folder.parent)
    part = part_path(folder.parent)
    part.mkdir()
    try:
        yield Package(part, folder.name)
        _sync(part)
        os.rename(part, folder)  # noqa: PTH104 - beside os.fsync
    except BaseException:  # even Ctrl-C must not leave half a package
        shutil.rmtree(part)
        raise
    sync_folder(folder.parent)


def refuse_folder(folder: Path, config: Config) -> None:
    """Raise DeviceError if a folder has contents, or is in one that photochrom uses."""
    real = Path(os.path.realpath(folder))
    for name, used in config.folders.items():
        if real.is_relative_to(os.path.realpath(used)):
            raise DeviceError(f"{folder} is inside the folder `{name}`; choose another place")
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise DeviceError(f"{folder} exists and is not an empty folder")


def _sync(folder: Path) -> None:
    """Make a folder with all its contents durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
