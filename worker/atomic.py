"""Atomic file writes: whoever reads a file meanwhile finds the old content or the new, whole.

`write_durably` is for what must survive a power cut, `write_atomically` for what need not.
"""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # bytes copied at a time
_CANNOT_SYNC_FOLDERS = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}


def write_durably(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Replace a file atomically and sync it to disk; see `replacing`.

    Args:
        path: the file; its folder must exist.
        content: of the file; text is written as UTF-8.
        mode: permissions; None leaves them to the umask.

    Raises:
        OSError: the disk failed; the old content stands.
    """
    with replacing(path, durable=True, mode=mode) as file:
        file.write(_encoded(content))


def write_atomically(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Replace a file atomically without syncing it; otherwise like `write_durably`."""
    with replacing(path, durable=False, mode=mode) as file:
        file.write(_encoded(content))


@contextmanager
def replacing(
    path: Path, *, durable: bool, mode: int | None = None, part: Path | None = None
) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends without an exception.

    Args:
        path: the file to replace; its folder must exist.
        durable: sync the file and its folder.
        mode: permissions; None leaves them to the umask.
        part: temporary file in the same folder; None uses a hidden one named after `path`, which
            allows one writer at a time and is overwritten if a killed process left it.

    Raises:
        OSError: the disk failed; the old content stands and nothing temporary is left.
    """
    if part is None:
        part = path.with_name(f".{path.name}.part")
        part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            yield file
            if durable:
                file.flush()
                os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync(file: Path) -> None:
    """Sync a file to disk.

    Raises:
        OSError: the disk failed.
    """
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the file system can do that.

    Raises:
        OSError: the disk failed, or it is not a folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_opened(descriptor)
    finally:
        os.close(descriptor)


def sync_opened(folder: int) -> None:
    """Do the same for the descriptor of an open folder."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise


def digest_from_disk(path: Path) -> str:
    """Compute the SHA-256 of a file that was just synced, from the disk and not from memory.

    Raises:
        OSError: the disk failed.
    """
    with path.open("rb", buffering=0) as file:
        # The pages are on the disk by now, so the kernel can forget them, where it knows how.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        # Into one buffer: a new one for each part took as long as the digest itself.
        return hashlib.file_digest(file, "sha256").hexdigest()


def _encoded(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content
