"""Takes a scan that arrives over the network into the inbox, whole or not at all.

It is written under a hidden name, which the watcher ignores and `cleanup` removes after a crash,
synced, and then renamed, so that it settles at once. Never replaces a file.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from service.config.loader import Config
from service.filesystem.availability import AUTO_MOST, AUTO_SHARE, GIGABYTE, FolderMonitor
from service.filesystem.durable import (
    LONGEST_NAME,
    numbered_names,
    part_path,
    rename_without_overwriting,
)
from service.filesystem.permissions import file_made
from service.filesystem.safe_open import ObstructedError, open_dir_beneath
from worker.atomic import sync_folder
from worker.errors import PhotochromError
from worker.formats.registry import format_of

DEEPEST = 20  # folders below the inbox
MEGABYTE = 1_000_000

Reason = Literal[
    "off",  # uploads are
    "kept",  # others manage the inbox
    "name",  # unusable
    "folder",  # unusable
    "ignored",  # so named
    "format",  # unknown
    "empty",
    "large",
    "room",  # too little on the disk
    "taken",
    "interrupted",
]


class UploadError(PhotochromError):
    """A scan was not taken; nothing of it is left.

    Attributes:
        reason: why, as a word.
        name: what it is about: the name, the folder, or a limit in megabytes.
    """

    def __init__(self, reason: Reason, name: object = "") -> None:
        """Hold the reason."""
        super().__init__(f"{reason}: {name}")
        self.reason, self.name = reason, str(name)


class Upload:
    """A scan that is arriving; see `receiving`.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, file: BinaryIO, hidden: Path, target: Path, limit: float) -> None:
        """Begin with an open, empty file.

        Args:
            file: to write to.
            hidden: its present path.
            target: the path it is to get, in the same folder.
            limit: largest size in bytes.
        """
        self.size = 0
        self._file, self._hidden, self._target, self._limit = file, hidden, target, limit

    def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            UploadError: it is larger than allowed.
            OSError: the disk failed, or is full.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            raise UploadError("large", f"{self._limit / MEGABYTE:g}")
        self._file.write(chunk)

    def finish(self, *, numbered: bool) -> str:
        """Sync the file and give it its name.

        Args:
            numbered: if the name is taken, use the first free one of `NAME (2).ext` and so on.

        Returns:
            The name.

        Raises:
            UploadError: it is empty, the name is taken, or the hidden file was removed, as by a
                daemon that started meanwhile.
            OSError: the disk failed.
        """
        if not self.size:
            raise UploadError("empty", self._target.name)
        self._file.flush()
        os.fsync(self._file.fileno())
        for target in numbered_names(self._target):
            try:
                rename_without_overwriting(self._hidden, target)
            except FileExistsError as error:
                if not numbered:
                    raise UploadError("taken", self._target.name) from error
            except FileNotFoundError as error:
                raise UploadError("interrupted", self._target.name) from error
            else:
                sync_folder(target.parent)
                return target.name
        raise AssertionError  # the names never run out


@contextmanager
def receiving(config: Config, inside: PurePosixPath, name: str, size: int) -> Iterator[Upload]:
    """Open a hidden file in a folder of the inbox; it is removed unless `Upload.finish` renames it.

    Args:
        config: the inbox and its limits.
        inside: the folder in the inbox, which is created if it is missing; `.` is the inbox.
        name: that the file is to get.
        size: bytes that are announced, 0 if unknown.

    Raises:
        UploadError: the daemon would not color such a file, or it is too large.
        DeviceError: the inbox is unavailable, such as a share that is not mounted.
        OSError: the disk failed.
    """
    check(config, inside, name, size)
    FolderMonitor(config.folders).check("inbox")
    _refuse_if_full(config, size)
    limit = config.web.upload_limit * MEGABYTE
    try:
        with open_dir_beneath(config.inbox, inside, make=True) as folder:
            hidden = part_path(folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(hidden, flags, 0o666), "wb") as file:
                try:
                    file_made(file.fileno(), folder)
                    yield Upload(file, hidden, folder / name, limit)
                finally:
                    with suppress(FileNotFoundError):  # it has its name
                        hidden.unlink()
    except ObstructedError as error:
        raise UploadError("folder", inside) from error


def check(config: Config, inside: PurePosixPath, name: str, size: int) -> None:
    """Check that the daemon would color a file of this name in this folder; see `receiving`.

    Raises:
        UploadError: it would not.
    """
    ignored = config.watch.ignored
    limit = config.web.upload_limit * MEGABYTE
    if limit == 0:
        raise UploadError("off")
    if config.originals.after == "keep":  # others manage the inbox, and nothing sweeps it
        raise UploadError("kept")
    if len(inside.parts) > DEEPEST or not all(map(_usable, inside.parts)):
        raise UploadError("folder", inside)
    if not _usable(name):
        raise UploadError("name", name)
    if ignored.file(name) or any(map(ignored.folder, inside.parts)):
        raise UploadError("ignored", inside / name)
    if format_of(Path(name)) is None:
        raise UploadError("format", name)
    if size > limit:
        raise UploadError("large", f"{config.web.upload_limit:g}")


def _usable(name: str) -> bool:
    """Tell whether people can see and type all of a name, and it leads nowhere else."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return (
        0 < length <= LONGEST_NAME
        and name.isprintable()
        and "/" not in name
        and name not in {".", ".."}
        and name == name.strip()
    )


def _refuse_if_full(config: Config, size: int) -> None:
    room = os.statvfs(config.inbox)
    disk, free = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
    wanted = config.limits.free_space
    kept = min(AUTO_SHARE * disk, AUTO_MOST) if wanted == "auto" else wanted * GIGABYTE
    if disk and free - size < kept:
        raise UploadError("room", config.inbox)
