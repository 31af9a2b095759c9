"""Are the configured folders mounted, writable and not full?

Every folder gets a hidden marker, `.photochrom`, on first use, and the state folder records its
device number. A folder that has lost its marker *and* lies on another device is the mount point of
an unmounted share: nothing is read or written there, and no file counts as deleted. The marker
survives a reboot, which may renumber devices; the device number survives a tidied folder.
"""

import errno
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

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
from worker.atomic import sync_opened, write_durably
from worker.errors import DeviceError

NOTED = "places.json"  # in the state folder
AUTO_SHARE, AUTO_MOST = 0.01, 1e9  # `limits.free_space: auto`: 1 % of the disk, at most 1e9 bytes
GIGABYTE = 1e9

_REMEDIES = {
    errno.ENOSPC: "free up space",
    errno.EDQUOT: "free up space or raise the quota",
    errno.EROFS: "remount it read-write",
    errno.EACCES: "give photochrom's user read and write access",
    errno.EPERM: "give photochrom's user read and write access",
    errno.EIO: "check the disk (see dmesg)",
    errno.ESTALE: "remount the share",
}
_TEXT = b"photochrom recognizes this folder by this file. Leave it in place.\n"


class FolderMonitor:
    """Watches the folders of one daemon.

    Only `refresh` writes (markers and device numbers); everything else is a query.

    Args:
        folders: by their key in config.yaml (`Config.folders`), "state" among them. Without an
            "originals.folder" the inbox is read-only and gets no marker.
        free_space: gigabytes to keep free on each disk written to; "auto": 1 % of the disk, at most
            1 GB.
        owner: whose the folders are; by default the daemon with this state folder.

    Attributes:
        blocked_by: why no new work may begin, as of the last `refresh`; or "".
        unavailable: keys of the folders that could not be used then.

    Raises:
        DeviceError: the recorded device numbers cannot be read.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        free_space: float | Literal["auto"] = "auto",
        owner: Owner | None = None,
    ) -> None:
        """Read the recorded device numbers."""
        self._folders = dict(folders)
        self._state = folders["state"]
        self._free_space = free_space
        self._only_read = set() if "originals.folder" in folders else {"inbox"}
        self._me = owner or known_owner(self._state)
        self._owned = owned(folders)
        self._stamped: set[str] = set()  # keys of folders this process has marked as its own
        self._owners: dict[str, tuple[tuple[int, int], Owner | None]] = {}  # by marker identity
        self._noted = noted(self._state)  # to be written
        self._written = dict(self._noted)  # on disk
        self.blocked_by = ""
        self.unavailable: set[str] = set()
        self._devices = {path: one for path, one in self._noted.items() if one is not None}

    def refresh(self) -> str:
        """Check all folders, and mark those that are new, emptied or recreated.

        Call it from one thread only.

        Returns:
            Why no new work may begin now, or ""; the text stays the same while the reason does.

        Raises:
            DeviceError: a folder cannot be marked, or its device not be recorded.
        """
        blocked_by = ""
        self.unavailable = set()
        self._me = self._me or new_owner(self._state)
        for key, folder in self._folders.items():
            problem = full = ""
            try:
                with _opened(folder) as descriptor:
                    problem = self._problem(key, descriptor)
                    if not problem:
                        self._keep_marked(key, descriptor)
                        full = self._full(key, descriptor)
            except OSError as error:
                problem = self._open_problem(key, error)
            if problem:
                self.unavailable.add(key)
            blocked_by = blocked_by or problem or full
        if self._noted != self._written:
            self._note()
        self.blocked_by = blocked_by
        return blocked_by

    def problem(self, key: str, *, to_write: bool = True) -> str:
        """Return why a folder cannot be used now, or "". Safe in any thread; changes nothing.

        Args:
            key: of the folder; an unknown key has no problem.
            to_write: False if the folder will only be read.
        """
        if key not in self._folders:
            return ""
        try:
            with _opened(self._folders[key]) as descriptor:
                return self._problem(key, descriptor, to_write=to_write)
        except OSError as error:
            return self._open_problem(key, error)

    def check(self, *keys: str, to_write: bool = True) -> None:
        """Raise if `problem` finds one in any of these folders.

        Raises:
            DeviceError: a folder cannot be used now.
        """
        for key in keys:
            if reason := self.problem(key, to_write=to_write):
                raise DeviceError(reason)

    @property
    def owner(self) -> Owner:
        """Whose the folders are.

        Raises:
            DeviceError: the state folder has no id yet, and cannot be given one.
        """
        self._me = self._me or new_owner(self._state)
        return self._me

    def free(self) -> dict[str, int]:
        """Return the free bytes on the disk of each available folder, by its key."""
        found = {}
        for key, folder in self._folders.items():
            with suppress(OSError), _opened(folder) as descriptor:
                if not self._problem(key, descriptor):
                    room = os.fstatvfs(descriptor)
                    found[key] = room.f_bavail * room.f_frsize
        return found

    def in_words(self, error: OSError) -> str:
        """Say what failed, in which folder, and the remedy; the same text for every photo."""
        for key, folder in self._folders.items():
            if error.filename and Path(os.fsdecode(error.filename)).is_relative_to(folder):
                remedy = _REMEDIES.get(error.errno or 0, "")
                said = f"{key}: {folder}: {error.strerror}"
                return f"{said}; {remedy}" if remedy else said
        return str(error) or repr(error)

    def _problem(self, key: str, descriptor: int, *, to_write: bool = True) -> str:
        """Return why an open folder is the wrong one or cannot be written, or ""."""
        folder, marker = self._folders[key], _marked(descriptor)
        if marker is None and self._is_another(key, descriptor):
            missing = shlex.quote(str(folder / MARKER))
            return (
                f"{key}: {folder} looks like an unmounted share (different device, marker {MARKER}"
                f" missing); mount it, or if {folder} is right, run: touch {missing}"
            )
        if key in self._owned and (owner := self._other_owner(key, descriptor, marker)):
            return another_owner(key, folder, owner)
        written = to_write and key not in self._only_read
        if written and os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            return f"{key}: {folder} is mounted read-only; remount it read-write"
        return ""

    def _other_owner(
        self, key: str, descriptor: int, looks: tuple[int, int] | None
    ) -> Owner | None:
        """Return the daemon an open folder with such a marker belongs to, if it is another one."""
        if looks is None or self._me is None:
            return None
        known = self._owners.get(key)
        if known is None or known[0] != looks:
            try:
                known = self._owners[key] = looks, owner_in(descriptor)
            except PermissionError:  # of another user, who may have run this daemon before
                return None
        owner = known[1]
        # A folder this process has marked may since have been taken over by a copy of its state.
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
        # It never had a marker. A share may come back as another device; but a folder on its
        # parent's device is no share at all.
        return os.stat("..", dir_fd=descriptor).st_dev == device

    def _keep_marked(self, key: str, descriptor: int) -> None:
        folder, device = self._folders[key], os.fstat(descriptor).st_dev
        self._devices[folder] = device
        if key == "state":  # holds the record itself
            return
        marked = _marked(descriptor) is not None
        if not marked and key not in self._only_read:
            try:
                self._mark(key, descriptor)
                marked = True
            except OSError as error:
                raise DeviceError(
                    f"{key}: cannot create {folder / MARKER}: {error.strerror}"
                ) from error
        elif key in self._owned and key not in self._stamped:
            # Written by an earlier version, or by this daemon on another host. If it belongs to
            # another user and cannot be replaced, it stays.
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

    def _full(self, key: str, descriptor: int) -> str:
        """Return that the disk of a folder that is written to is nearly full, or ""."""
        room = os.fstatvfs(descriptor)
        disk = room.f_blocks * room.f_frsize  # 0 if the file system does not report it
        if self._free_space == "auto":
            wanted = min(AUTO_SHARE * disk, AUTO_MOST)
        else:
            wanted = self._free_space * GIGABYTE
        if key == "inbox" or not disk or room.f_bavail * room.f_frsize >= wanted:
            return ""
        return (
            f"{key}: less than {wanted / 1e6:,.1f} MB free on the disk of {self._folders[key]}"
            " (limits.free_space); free up space"
        )

    def _open_problem(self, key: str, error: OSError) -> str:
        folder = self._folders[key]
        if isinstance(error, FileNotFoundError):
            return f"{key}: {folder} does not exist; mount or create it"
        if isinstance(error, NotADirectoryError):
            return f"{key}: {folder} is not a folder"
        return f"{key}: cannot access {folder}: {error.strerror}"


def noted(state: Path) -> dict[Path, int | None]:
    """Return the folders used before, each with its device number; None if it has no marker.

    Raises:
        DeviceError: the record cannot be read.
    """
    path = state / NOTED
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DeviceError(f"cannot read {path}: {error.strerror}") from error
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(
        one is None or isinstance(one, int) for one in said.values()
    ):
        raise DeviceError(f"{path} is corrupt; mount all folders of config.yaml, then delete it")
    return {Path(folder): device for folder, device in said.items()}


def make_new_folders(folders: Mapping[str, Path]) -> None:
    """Create missing folders, except those used before: they may be unmounted shares.

    Args:
        folders: as for `FolderMonitor`.

    Raises:
        DeviceError: a folder cannot be created.
    """
    known = noted(folders["state"])
    missing = [folder for folder in folders.values() if folder not in known and not folder.is_dir()]
    make_folders(missing)
    for folder in missing:
        if folder != folders["state"]:
            folder_made(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder, so that all checks see the same one even if a mount comes or goes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _marked(folder: int) -> tuple[int, int] | None:
    """Return what identifies the marker of an open folder, or None if it has none."""
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
