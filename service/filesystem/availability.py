"""Are the folders the ones they were, and is there room? A share that is away is no empty folder.

Each folder holds a hidden file, `.photochrom`, from its first use on, and the state folder notes
the device it lay on. One that has lost the file *and* lies on another device is the empty place
where a share is not mounted: nothing is read there, nothing written, and nothing thought deleted.
The file outlives a reboot, which may renumber devices; the device outlives tidy people.
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from service.filesystem.durable import sync_opened
from service.filesystem.folder_checks import make_folders
from service.filesystem.ownership import (
    MARKER,
    Owner,
    another_owner,
    known_owner,
    new_owner,
    owned,
    owner_in,
    put_marker,
)
from service.filesystem.permissions import folder_made
from worker.atomic import write_durably
from worker.errors import DeviceError

NOTED = "places.json"  # in the state folder
AUTO_SHARE, AUTO_MOST = 0.01, 1e9  # of a disk, and bytes; what `limits.free_space: auto` keeps free
GIGABYTE = 1e9

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "let photochrom's user read and write it",
    errno.EPERM: "let photochrom's user read and write it",
    errno.EIO: "look after the disk (dmesg says more)",
    errno.ESTALE: "mount the share anew",
}
_TEXT = b"By this file photochrom sees that the right disk is mounted here. Leave it in place.\n"


class FolderMonitor:
    """The folders of one daemon, looked at again and again; nothing is written before `look`.

    Args:
        folders: by their key in config.yaml (`Config.folders`), "state" among them; without an
            "originals.folder" the inbox is only read, and not even marked.
        free_space: gigabytes that stay free on each disk that is written to; "auto": 1 % of the
            disk, at most 1 GB.

    Attributes:
        trouble: why no new work may begin, as of the last `look`; or "".
        away: keys of the folders that could not be used then.

    Raises:
        DeviceError: what was noted of the folders cannot be read.
    """

    def __init__(
        self, folders: Mapping[str, Path], free_space: float | Literal["auto"] = "auto"
    ) -> None:
        """Read what was noted."""
        self._folders = dict(folders)
        self._state = folders["state"]
        self._free_space = free_space
        self._only_read = set() if "originals.folder" in folders else {"inbox"}
        self._me = known_owner(self._state)
        self._owned = owned(folders)
        self._stamped: set[str] = set()  # keys of folders that were marked as one's own since then
        self._owners: dict[str, tuple[tuple[int, int], Owner | None]] = {}  # with how markers look
        self._noted = noted(self._state)  # as it is to be in the file
        self._written = dict(self._noted)  # as it is
        self.trouble = ""
        self.away: set[str] = set()
        self._devices = {path: one for path, one in self._noted.items() if one is not None}

    def look(self) -> str:
        """Look at all folders, and mark those that are new, or were emptied or made anew.

        Call it from one thread only.

        Returns:
            Why no new work may begin now, in words that stay while the reason does; or "".

        Raises:
            DeviceError: a folder cannot be marked, or its mark not be noted.
        """
        trouble = ""
        self.away = set()
        self._me = self._me or new_owner(self._state)
        for key, folder in self._folders.items():
            wrong = short = ""
            try:
                with _opened(folder) as descriptor:
                    wrong = self._wrong(key, descriptor)
                    if not wrong:
                        self._keep_marked(key, descriptor)
                        short = self._short(key, descriptor)
            except OSError as error:
                wrong = self._in_words(key, error)
            if wrong:
                self.away.add(key)
            trouble = trouble or wrong or short
        if self._noted != self._written:
            self._note()
        self.trouble = trouble
        return trouble

    def problem(self, key: str, *, to_write: bool = True) -> str:
        """Say why a folder cannot be used now, or nothing; for every thread, and changes nothing.

        Args:
            key: of the folder; one that is not in use has nothing against it.
            to_write: False where the folder is only to be read.
        """
        if key not in self._folders:
            return ""
        try:
            with _opened(self._folders[key]) as descriptor:
                return self._wrong(key, descriptor, to_write=to_write)
        except OSError as error:
            return self._in_words(key, error)

    def check(self, *keys: str, to_write: bool = True) -> None:
        """Make sure of folders, as `unusable` does.

        Raises:
            DeviceError: one cannot be used now.
        """
        for key in keys:
            if reason := self.problem(key, to_write=to_write):
                raise DeviceError(reason)

    def free(self) -> dict[str, int]:
        """Return the free bytes of the disk of each folder, by its key; of those that are there."""
        found = {}
        for key, folder in self._folders.items():
            with suppress(OSError), _opened(folder) as descriptor:
                if not self._wrong(key, descriptor):
                    room = os.fstatvfs(descriptor)
                    found[key] = room.f_bavail * room.f_frsize
        return found

    def in_words(self, error: OSError) -> str:
        """Say what the disk refused, in which folder, and what to do; the same for every photo."""
        for key, folder in self._folders.items():
            if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(folder):
                remedy = _REMEDIES.get(error.errno or 0, "")
                said = f"{key}: {folder}: {error.strerror}"
                return f"{said}; {remedy}" if remedy else said
        return str(error) or repr(error)

    def _wrong(self, key: str, descriptor: int, *, to_write: bool = True) -> str:
        """Say why an open folder is not the one it should be, or cannot be written; or nothing."""
        folder = self._folders[key]
        if _marked(descriptor) is None and self._is_another(key, descriptor):
            return (
                f"{key}: {folder} is not what it was: it is on another disk and has no file"
                f" {MARKER}; mount it, or if this is the right folder, make that file in it"
            )
        if key in self._owned and (owner := self._other_owner(key, descriptor)):
            return another_owner(key, folder, owner)
        written = to_write and key not in self._only_read
        if written and os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            return f"{key}: {folder} is on a disk that is read-only; mount it for writing"
        return ""

    def _other_owner(self, key: str, descriptor: int) -> Owner | None:
        """Return the daemon an open folder belongs to, where that is another one."""
        looks = _marked(descriptor)
        if looks is None or self._me is None:
            return None
        known = self._owners.get(key)
        if known is None or known[0] != looks:
            try:
                known = self._owners[key] = looks, owner_in(descriptor)
            except PermissionError:  # it is of another user, who may be this one's predecessor
                return None
        owner = known[1]
        # Since it was marked by this process, it may have been taken over with a copy of the state.
        is_mine = owner is None or (
            owner == self._me if key in self._stamped else owner.is_the_one(self._me)
        )
        return None if is_mine else owner

    def _is_another(self, key: str, descriptor: int) -> bool:
        folder, device = self._folders[key], os.fstat(descriptor).st_dev
        if self._devices.get(folder, device) == device:
            return False
        if self._noted.get(folder) is not None:
            return True
        # It never could be marked. A share may be mounted as another device than before; but what
        # lies on the device of the folder above is no share at all.
        return os.stat("..", dir_fd=descriptor).st_dev == device

    def _keep_marked(self, key: str, descriptor: int) -> None:
        folder, device = self._folders[key], os.fstat(descriptor).st_dev
        self._devices[folder] = device
        if key == "state":  # where it is noted; nobody could say what it was before
            return
        marked = _marked(descriptor) is not None
        if not marked and key not in self._only_read:
            try:
                self._mark(key, descriptor)
                marked = True
            except OSError as error:
                raise DeviceError(
                    f"{key}: cannot make the file {folder / MARKER}: {error.strerror}"
                ) from error
        elif key in self._owned and key not in self._stamped:
            # It is of an earlier photochrom, or of this one on another host. Where somebody else's
            # file cannot be replaced, it stays as it is.
            with suppress(OSError):
                self._mark(key, descriptor)
        self._noted[folder] = device if marked else None

    def _mark(self, key: str, descriptor: int) -> None:
        if key not in self._owned or self._me is None:
            _mark(descriptor)
            return
        if _marked(descriptor) is None or owner_in(descriptor) != self._me:
            put_marker(descriptor, self._me)
        self._stamped.add(key)

    def _note(self) -> None:
        text = json.dumps({str(path): device for path, device in self._noted.items()}, indent=2)
        try:
            write_durably(self._state / NOTED, text + "\n")
        except OSError as error:
            raise DeviceError(f"cannot write {self._state / NOTED}: {error.strerror}") from error
        self._written = dict(self._noted)

    def _short(self, key: str, descriptor: int) -> str:
        """Say that too little is free on the disk of a folder that is written to, or nothing."""
        room = os.fstatvfs(descriptor)
        disk = room.f_blocks * room.f_frsize  # 0 where the file system does not tell
        if self._free_space == "auto":
            wanted = min(AUTO_SHARE * disk, AUTO_MOST)
        else:
            wanted = self._free_space * GIGABYTE
        if key == "inbox" or not disk or room.f_bavail * room.f_frsize >= wanted:
            return ""
        return (
            f"{key}: the disk of {self._folders[key]} has less than {wanted / 1e6:,.1f} MB free"
            " (limits.free_space); free some"
        )

    def _in_words(self, key: str, error: OSError) -> str:
        folder = self._folders[key]
        if isinstance(error, FileNotFoundError):
            return f"{key}: {folder} is not there; mount it, or make it"
        if isinstance(error, NotADirectoryError):
            return f"{key}: {folder} is not a folder"
        return f"{key}: {folder} cannot be used: {error.strerror}"


def noted(state: Path) -> dict[Path, int | None]:
    """Return the folders that were used before, each with its device; None: it has no mark.

    Raises:
        DeviceError: that cannot be read.
    """
    path = state / NOTED
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(
        one is None or isinstance(one, int) for one in said.values()
    ):
        raise DeviceError(f"{path} is damaged; mount all folders of config.yaml, then delete it")
    return {Path(folder): device for folder, device in said.items()}


def make_new_folders(folders: Mapping[str, Path]) -> None:
    """Make the folders that are missing, but none that was used before: it may be a share.

    Args:
        folders: as for `FolderMonitor`.

    Raises:
        DeviceError: one cannot be made.
    """
    known = noted(folders["state"])
    missing = [folder for folder in folders.values() if folder not in known and not folder.is_dir()]
    make_folders(missing)
    for folder in missing:
        if folder != folders["state"]:
            folder_made(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder, so that all that is asked of it is asked of one, whatever is mounted there."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _marked(folder: int) -> tuple[int, int] | None:
    """Return what changes with the marker of an open folder, or None where there is none."""
    try:
        looks = os.lstat(MARKER, dir_fd=folder)
    except FileNotFoundError:
        return None
    return looks.st_ino, looks.st_mtime_ns


def _mark(folder: int) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(MARKER, flags, 0o644, dir_fd=folder), "wb") as file:
        file.write(_TEXT)
        file.flush()
        os.fsync(file.fileno())
    sync_opened(folder)
