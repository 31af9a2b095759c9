"""Who may do what with the folders and files that photochrom makes: `permissions` of config.yaml.

Like the umask, it holds for the whole process and is set once, at the start or by a reload. Folders
get their mode by the umask, so that the setgid bit and default ACLs are inherited as the system has
it; files are given theirs before they get their name. Where a folder has a default ACL, that one
decides about modes. Originals that are moved are never touched.
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
        """The name of the group of all that is made; None leaves it to the system."""

    @property
    def folders(self) -> str | None:
        """Mode of folders, in octal digits."""

    @property
    def files(self) -> str | None:
        """Mode of files, in octal digits."""


class _Rule:
    """What holds now."""

    def __init__(self) -> None:
        self.umask: int | None = None  # of the process, where `folders` has replaced it
        self.group: int | None = None
        self.folders: int | None = None
        self.files: int | None = None
        self.refused = False  # and that was told


_rule = _Rule()


def adopt(settings: PermissionSettings) -> None:
    """Have settings hold for all that is made from now on.

    Raises:
        DeviceError: there is no such group, or this process is not in it.
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
    """Return the number of a group to which this process may give its files.

    Raises:
        DeviceError: there is none, or this process is not in it.
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
    """Give a folder that was just made its group, and the setgid bit: others' files get it too."""
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
    """Give an open file that was just made in a folder its group and mode."""
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
    """Tell whether a folder has an ACL for what is made in it."""
    with suppress(OSError):  # none, or a file system that knows none
        return bool(os.getxattr(folder, _DEFAULT_ACL))
    return False


def close_state(state: Path) -> None:
    """Close the state folder to all others: who may write there could take the ledger away.

    Raises:
        DeviceError: it is of another user and open, so that this process cannot close it.
    """
    mode = stat.S_IMODE(state.stat().st_mode)
    if mode == _STATE_MODE:
        return
    try:
        state.chmod(_STATE_MODE)
    except OSError as error:
        if error.errno in {errno.ENOTSUP, errno.ENOSYS} or not mode & 0o022:
            return  # others may look, and nobody but its owner can change anything
        raise DeviceError(
            f"{state} can be written by others (mode {mode:o}), who could take the ledger away, and"
            f" cannot be closed: {error.strerror}; run: chown {os.geteuid()} {state}"
        ) from error


def _refused(folder: Path, error: OSError) -> None:
    """Say once that a file system does not let it: the work is of more worth than the mode."""
    if not _rule.refused:
        log.warning("permissions.refused", folder=os.path.realpath(folder), reason=error.strerror)
    _rule.refused = True
