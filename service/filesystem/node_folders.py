"""Are the daemon's folders mounted on another machine of its cluster?

A worker there has no state folder. It knows the folders by their markers (`ownership`), which name
the daemon: a folder without one is an unmounted share, whose missing files say nothing.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from service.filesystem.ownership import MARKER, Owner, owned, owner_in
from worker.errors import DeviceError


class NodeFolders:
    """The folders of a daemon, as a worker on another machine sees them.

    Args:
        folders: by their key in config.yaml (`Config.folders`).
        owner: the daemon.
    """

    def __init__(self, folders: Mapping[str, Path], owner: Owner) -> None:
        """Look at nothing yet."""
        self._folders = folders
        self._owner = owner
        self._owned = owned(folders)
        # With `originals.after: keep` nothing is written into the inbox, no marker either.
        self._unmarked = set() if "originals.folder" in folders else {"inbox"}

    def check(self, *keys: str, to_write: bool = True) -> None:
        """Raise if one of these folders is not the daemon's.

        Args:
            keys: of folders; an unknown one has no problem.
            to_write: False if they are only read.

        Raises:
            DeviceError: one cannot be used on this machine now.
        """
        for key in keys:
            if key in self._folders and (problem := self._problem(key, to_write=to_write)):
                raise DeviceError(f"{key}: {self._folders[key]} {problem}")

    def _problem(self, key: str, *, to_write: bool) -> str:
        here = f"on {socket.gethostname()}"
        try:
            folder = os.open(self._folders[key], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            return f"cannot be used {here}: {error.strerror}; mount it there"
        try:
            if key not in self._unmarked and not self._is_the_daemons(key, folder):
                return f"is not that of the daemon {here}; mount the same share there"
            if to_write and os.fstatvfs(folder).f_flag & os.ST_RDONLY:
                return f"is mounted read-only {here}; remount it read-write"
        finally:
            os.close(folder)
        return ""

    def _is_the_daemons(self, key: str, folder: int) -> bool:
        if key in self._owned:
            owner = None
            with suppress(OSError):
                owner = owner_in(folder)
            return owner is not None and owner.is_the_one(self._owner)
        try:
            os.lstat(MARKER, dir_fd=folder)
        except OSError:
            return False
        return True
