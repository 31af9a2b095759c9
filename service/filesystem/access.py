"""Which folders the system lets this process work in, and in words for people, what would help.

What is asked is asked of the system, so that modes, groups, ACLs and root's rights all count.
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
    """Name the user this process runs as; its number, where it has no name."""
    with suppress(KeyError):
        return pwd.getpwuid(os.geteuid()).pw_name
    return str(os.geteuid())


def group_name() -> str:
    """Name the group this process runs as; its number, where it has no name."""
    with suppress(KeyError):
        return grp.getgrgid(os.getegid()).gr_name
    return str(os.getegid())


def unwritable(source: Path, target: Path) -> Path | None:
    """Return the folder that keeps a file from being moved, or None where nothing seems to.

    Args:
        source: the file.
        target: the folder it is to go to; what is missing of it would be made.
    """
    if not may_empty(source.parent, source):
        return source.parent
    while not os.path.lexists(target) and target != target.parent:
        target = target.parent
    return None if not target.is_dir() or os.access(target, os.W_OK | os.X_OK) else target


def may_empty(folder: Path, file: Path | None = None) -> bool:
    """Tell whether a file, or with None any file of others, may be moved out of a folder."""
    return os.access(folder, os.W_OK | os.X_OK) and not _sticks(folder, file)


def how_to_open(folder: Path) -> str:
    """Say what lets this process move files out of a folder and into it."""
    name = shlex.quote(str(folder))
    try:
        status = folder.stat()
    except OSError as error:
        return (
            f"it cannot be looked at ({error.strerror}): let {user_name()} into the folders above"
        )
    if os.access(folder, os.W_OK | os.X_OK):
        if _sticks(folder, None):
            return f"its sticky bit lets only the owners move files: chmod -t {name}"
        return "the system refuses it though its mode allows it; see its ACL and attributes"
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return "it is on a disk that is read-only: mount it for writing"
    if status.st_gid in {os.getegid(), *os.getgroups()}:
        return f"chmod g+w {name}"
    group = shlex.quote(group_name())
    return f"chgrp {group} {name} && chmod g+ws {name}"


def may_not_write(folder: Path) -> str:
    """Say that this process may not write in a folder, and what would help."""
    return f"{user_name()} may not write there; {how_to_open(folder)}"


def may_not_read(folders: tuple[str, ...], shown: int = 3) -> str:
    """Say that this process may not read some folders of the inbox, and what would help."""
    count = f"{len(folders)} folder{'s' * (len(folders) > 1)} in the inbox cannot be read"
    names = ", ".join(folders[:shown]) + (", …" if len(folders) > shown else "")
    group, first = shlex.quote(group_name()), shlex.quote(folders[0])
    return (
        f"{count} ({names}): let {user_name()} read there, such as by"
        f" chgrp {group} {first} && chmod g+rxs {first}"
    )


def refuse_strangers(folder: Path, *, write: bool) -> None:
    """Make sure that this process may use a folder of photochrom's own.

    Args:
        folder: the state folder; it may be missing.
        write: whether it is to be written, too.

    Raises:
        DeviceError: it may not; the words say as whom to run the command.
    """
    if not os.path.lexists(folder) and os.access(folder.parent, os.X_OK):
        return
    may_read = os.access(folder, os.R_OK | os.X_OK)
    if may_read and (not write or os.access(folder, os.W_OK)):
        return
    what = "write" if may_read else "read"
    to_do = as_whom(folder) or "its mode or its disk refuses it"
    raise DeviceError(f"{user_name()} may not {what} {folder}; {to_do}")


def as_whom(path: Path) -> str:
    """Say as whom to run this very command, where it is refused a file or folder.

    Returns:
        "" where it belongs to this user already.
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
    """Name who owns a file or folder; "" where it cannot be looked at."""
    try:
        number = path.stat().st_uid
    except OSError:
        return ""
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return f"#{number}"


def _sticks(folder: Path, file: Path | None) -> bool:
    """Tell whether a folder's sticky bit keeps a file of others in it."""
    me = os.geteuid()
    try:
        status = folder.stat()
        owners = {status.st_uid} | ({file.lstat().st_uid} if file else set())
    except OSError:
        return False
    return bool(status.st_mode & stat.S_ISVTX) and me != 0 and me not in owners
