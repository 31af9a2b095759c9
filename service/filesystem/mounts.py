"""Which kind of file system holds a path, read from the system's mount table.

It matters twice: events do not cross a network, so an inbox there is polled, and SQLite may lose
its data there, so the ledger refuses to live on it.
"""

import os
import re
from pathlib import Path

MOUNT_TABLE = Path("/proc/self/mounts")

# Also folders lent by the host of a virtual machine: the guest sees no events of the host's writes.
NETWORK_TYPES = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "coda", "davfs"),
        *("ceph", "glusterfs", "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "fuse"),
        *("virtiofs", "vboxsf", "prl_fs"),
    }
)


def file_system_type(path: Path, mounts_text: str | None = None) -> str:
    """Name the type of the file system that holds a path, such as `ext4` or `nfs4`.

    Args:
        path: need not exist yet; symlinks are followed as far as it does.
        mounts_text: a mount table in the form of /proc/self/mounts; the system's own without it.

    Returns:
        The type, or an empty text where the system has no such table.
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
    """Tell whether a path is on another machine, as far as the mount table knows.

    Args:
        path: need not exist yet.
        mounts_text: a mount table in the form of /proc/self/mounts; the system's own without it.

    Returns:
        True for network shares, FUSE file systems, and folders lent by a virtual machine's host.
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
