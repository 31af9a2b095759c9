"""Finds the type of the file system that a path is on, in the system's mount table.

Two things depend on it: inotify does not work across a network, so an inbox there is polled; and
SQLite may lose data there, so the ledger must not be on it.
"""

import os
import re
from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mounts")

# Including folders shared by a virtual machine's host, whose writes cause no events in the guest.
NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "coda", "davfs"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "fuse"),
        *("virtiofs", "vboxsf", "prl_fs"),
    }
)


def file_system_type(path: Path, mounts_text: str | None = None) -> str:
    """Return the type of the file system that a path is on, such as `ext4` or `nfs4`.

    Args:
        path: need not exist; symlinks are followed.
        mounts_text: a mount table like /proc/self/mounts; by default that one.

    Returns:
        The type, or "" if the system has no such table.
    """
    if mounts_text is None:
        mounts_text = _mount_table()
    resolved = Path(os.path.realpath(path))
    deepest, kind = -1, ""
    for line in mounts_text.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # device, folder, type
            continue
        folder = Path(_unescaped(fields[1]))
        # Of two mounts on one folder the later one is on top.
        if resolved.is_relative_to(folder) and len(folder.parts) >= deepest:
            deepest, kind = len(folder.parts), fields[2]
    return kind


def is_network_file_system(path: Path, mounts_text: str | None = None) -> bool:
    """Tell whether a path is on a network file system, according to the mount table.

    Args:
        path: need not exist.
        mounts_text: a mount table like /proc/self/mounts; by default that one.

    Returns:
        True for network shares, FUSE, and folders shared by a virtual machine's host.
    """
    kind = file_system_type(path, mounts_text)
    return kind in NETWORK_TYPES or kind.startswith("fuse.")


def _mount_table() -> str:
    try:
        return os.fsdecode(MOUNT_TABLE.read_bytes())
    except FileNotFoundError:
        return ""


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
