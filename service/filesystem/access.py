"""Checks what this process may do with folders, and says what would fix a refusal.

The system is asked, so modes, groups, ACLs and root's privileges all count.
"""

import grp
import os
import pwd
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path

from worker.errors import DeviceError


def user_name() -> str:
    """Return the name of the user this process runs as, or its number."""
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def group_name() -> str:
    """Return the name of the group this process runs as, or its number."""
    with suppress(KeyError):
        return grp.getgrgid(os.getegid()).gr_name
    return str(os.getegid())


def unwritable(source: Path, target: Path) -> Path | None:
    """Return the folder whose permissions prevent a move, or None.

    Args:
        source: the file.
        target: the folder it is to go to; it need not exist.
    """
    if not may_empty(source.parent, source):
        return source.parent
    while not os.path.lexists(target) and target != target.parent:
        target = target.parent
    return None if not target.is_dir() or os.access(target, os.W_OK | os.X_OK) else target


def may_empty(folder: Path, file: Path | None = None) -> bool:
    """Tell whether a file (None: any file of another user) may be moved out of a folder."""
    return os.access(folder, os.W_OK | os.X_OK) and not _sticks(folder, file)


def how_to_open(folder: Path) -> str:
    """Say how to let this process move files out of and into a folder."""
    name = shlex.quote(str(folder))
    try:
        status = folder.stat()
    except OSError as error:
        user = user_name()
        return f"it is not accessible ({error.strerror}): give {user} access to its parent folders"
    if os.access(folder, os.W_OK | os.X_OK):
        if _sticks(folder, None):
            return f"its sticky bit lets only owners move files: chmod -t {name}"
        return "the system refuses although the mode allows it; check its ACL and attributes"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "its file system is read-only: mount it read-write"
    if status.st_gid in {os.getegid(), *os.getgroups()}:
        return f"chmod g+w {name}"
    group = shlex.quote(group_name())
    return f"chgrp {group} {name} && chmod g+ws {name}"


def may_not_write(folder: Path) -> str:
    """Say that this process may not write to a folder, and how to fix it."""
    return f"{user_name()} may not write there; {how_to_open(folder)}"


def may_not_read(folders: tuple[str, ...], shown: int = 3) -> str:
    """Say that this process may not read some folders of the inbox, and how to fix it."""
    count = f"{len(folders)} folder{'s' * (len(folders) > 1)} in the inbox cannot be read"
    names = ", ".join(folders[:shown]) + (", …" if len(folders) > shown else "")
    group, first = shlex.quote(group_name()), shlex.quote(folders[0])
    return (
        f"{count} ({names}): give {user_name()} read access, for example:"
        f" chgrp {group} {first} && chmod g+rxs {first}"
    )


def refuse_strangers(folder: Path, *, write: bool) -> None:
    """Make sure that this process may use the state folder.

    Args:
        folder: the state folder; it may be missing.
        write: whether it must be writable.

    Raises:
        DeviceError: it may not; the message says as which user to run the command.
    """
    if not os.path.lexists(folder) and os.access(folder.parent, os.X_OK):
        return
    may_read = os.access(folder, os.R_OK | os.X_OK)
    if may_read and (not write or os.access(folder, os.W_OK)):
        return
    what = "write" if may_read else "read"
    to_do = as_whom(folder) or "check its mode and its file system"
    raise DeviceError(f"{user_name()} may not {what} {folder}; {to_do}")


def as_whom(path: Path) -> str:
    """Say as which user to run this command, which was refused a file or folder.

    Returns:
        "" if it belongs to this user.
    """
    owner, nearest = _owner(path), path
    while not owner and nearest != nearest.parent:
        nearest = nearest.parent
        owner = _owner(nearest)
    if owner in {"", user_name()}:
        return ""
    command = shlex.join(["photochrom", *sys.argv[1:]])
    return f"run it as the user {owner}: sudo -u {shlex.quote(owner)} {command}"


def _owner(path: Path) -> str:
    """Return the owner of a file or folder; "" if it is not accessible."""
    try:
        number = path.stat().st_uid
    except OSError:
        return ""
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return f"#{number}"


def _sticks(folder: Path, file: Path | None) -> bool:
    """Tell whether a folder's sticky bit prevents moving another user's file out of it."""
    me = os.geteuid()
    try:
        status = folder.stat()
        owners = {status.st_uid} | ({file.lstat().st_uid} if file else set())
    except OSError:
        return False
    return bool(status.st_mode & stat.S_ISVTX) and me != 0 and me not in owners
