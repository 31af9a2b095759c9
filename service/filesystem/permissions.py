"""Group and mode of the folders and files that photochrom creates: `permissions` of config.yaml.

Like the umask, they apply to the whole process, and are set at startup or by a reload. Folders get
their mode from the umask, so that the setgid bit and default ACLs are inherited as usual; files get
theirs before they get their name, unless their folder has a default ACL. Moved originals keep
theirs.
"""

import errno
import grp
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from service.filesystem.access import user_name
from worker.errors import DeviceError

_DEFAULT_ACL = "system.posix_acl_default"
_STATE_MODE = 0o700

log = structlog.get_logger()


class PermissionSettings(Protocol):
    """The section `permissions` of config.yaml."""

    @property
    def group(self) -> str | None:
        """The group of created files and folders; None: the system's default."""

    @property
    def folders(self) -> str | None:
        """Mode of created folders, octal digits; None: the system's default."""

    @property
    def files(self) -> str | None:
        """Mode of created files, octal digits; None: the system's default."""


class _Rule:
    """The settings in effect."""

    def __init__(self) -> None:
        self.umask: int | None = None  # the process's own, while `folders` replaces it
        self.group: int | None = None
        self.folders: int | None = None
        self.files: int | None = None
        self.refused = False  # and logged


_rule = _Rule()


def adopt(settings: PermissionSettings) -> None:
    """Apply settings to everything created from now on.

    Raises:
        DeviceError: the group does not exist, or this process is not in it.
    """
    group = None if settings.group is None else group_number(settings.group)
    if _rule.umask is not None:
        os.umask(_rule.umask)
        _rule.umask = None
    _rule.group, _rule.refused = group, False
    _rule.folders = None if settings.folders is None else int(settings.folders, 8)
    _rule.files = None if settings.files is None else int(settings.files, 8)
    if _rule.folders is not None:
        _rule.umask = os.umask(0o777 & ~_rule.folders)


def group_number(name: str) -> int:
    """Return the gid of a group that this process may give its files.

    Raises:
        DeviceError: it does not exist, or this process is not in it.
    """
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise DeviceError(f"there is no group {name} on this machine") from error
    if os.geteuid() != 0 and group not in {os.getegid(), *os.getgroups()}:
        raise DeviceError(
            f"{user_name()} is not in the group {name}; run: usermod -aG {name} {user_name()}"
        )
    return group


def folder_made(folder: Path) -> None:
    """Give a new folder its group, and the setgid bit so that everything in it inherits it."""
    if _rule.group is None and not (_rule.folders or 0) & stat.S_ISGID:
        return
    try:
        status = folder.stat()
        if _rule.group is not None and status.st_gid != _rule.group:
            os.chown(folder, -1, _rule.group)
        if not status.st_mode & stat.S_ISGID:
            folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_ISGID)
    except OSError as error:
        _refused(folder, error)


def file_made(file: int, folder: Path) -> None:
    """Give a new, open file in a folder its group and mode."""
    if _rule.group is None and _rule.files is None:
        return
    try:
        if _rule.group is not None and os.fstat(file).st_gid != _rule.group:
            os.fchown(file, -1, _rule.group)
        if _rule.files is not None and not has_default_acl(folder):
            os.fchmod(file, _rule.files)
    except OSError as error:
        _refused(folder, error)


def has_default_acl(folder: Path) -> bool:
    """Tell whether a folder has a default ACL."""
    with suppress(OSError):  # it has none, or the file system has no ACLs
        return bool(os.getxattr(folder, _DEFAULT_ACL))
    return False


def close_state(state: Path) -> None:
    """Make the state folder private: anyone who can write there could remove the ledger.

    Raises:
        DeviceError: others can write it, and it belongs to another user.
    """
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode == _STATE_MODE:
        return
    try:
        state.chmod(_STATE_MODE)
    except OSError as error:
        if error.errno in {errno.ENOTSUP, errno.ENOSYS} or not mode & 0o022:
            return  # others can read it, but only its owner can change it
        raise DeviceError(
            f"{state} is writable for other users (mode {mode:o}), who could remove the ledger, and"
            f" chmod failed: {error.strerror}; run: chown {os.geteuid()} {state}"
        ) from error


def _refused(folder: Path, error: OSError) -> None:
    """Log once that the file system refused; the work goes on all the same."""
    if not _rule.refused:
        log.warning("permissions.refused", folder=os.path.realpath(folder), reason=error.strerror)
    _rule.refused = True
