"""What makes a change in the state folder last: it is on the disk, and whole, or it did not happen.

The service has its own (`service.filesystem.durable`), for folders that others own.
"""

import hashlib
import os
from pathlib import Path

CHUNK = 1 << 20  # bytes read back at a time


def sync(path: Path) -> None:
    """See a file, or the names in a folder, onto the disk.

    Raises:
        OSError: the disk did not do it.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_from_disk(path: Path) -> str:
    """Compute the SHA-256 of a file that was just synced, from the disk and not from memory.

    Raises:
        OSError: the disk failed.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        # The pages are on the disk by now, so the kernel can forget them, where it knows how.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def replace_text(path: Path, text: str) -> None:
    """Give a file a new text; whoever reads it meanwhile finds the old one or the new one, whole.

    Only one process may do this to one path at a time.

    Raises:
        OSError: the disk failed; the old text stands.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)
