"""Held results wait for approval in a folder of their own, beside their sidecars.

Both keep the names there that they will have in the outbox. A result goes from one folder to the
other as a second name of the same file, or else as a compared copy; the first is removed when the
ledger knows of the second. So a crash in between loses nothing, and doing it again ends it.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from service.config.loader import Config
from service.filesystem.availability import noted
from service.filesystem.durable import part_path
from service.filesystem.ownership import MARKER
from service.filesystem.permissions import file_made
from service.filesystem.safe_open import digest as digest_of_file
from service.filesystem.safe_open import (
    digest_of,
    file_stat,
    open_beneath,
    open_dir_beneath,
    open_regular,
)
from service.ledger.jobs import DecisionRecord, Job
from service.ledger.queries import LedgerQueries
from service.storage import outbox
from service.storage.empty_folders import remove_empty
from service.storage.sidecar import (
    Sidecar,
    SidecarError,
    deliver_sidecar,
    read_sidecar,
    sidecar_name,
    with_decisions,
)
from worker.atomic import CHUNK, digest_from_disk, sync_folder
from worker.errors import PhotochromError

KEY = "review.folder"  # of the folder in config.yaml
_NO_LINK = {
    errno.EXDEV,
    errno.EPERM,
    errno.EACCES,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EINVAL,
}


class NotAsColoredError(PhotochromError):
    """A result, or its sidecar, is not what was colored, or is gone."""


def home(job: Job, config: Config) -> Path:
    """Return the folder where a job's present result is: the outbox, or that of held results."""
    return config.review.folder if job.held else config.outbox


def folders_in_use(config: Config, ledger: LedgerQueries) -> dict[str, Path]:
    """Return the folders in use, by key; held results are watched over also when no more are held.

    Raises:
        DeviceError: the ledger cannot be read now.
    """
    if config.review.may_hold or not ledger.gallery.held_count():
        return config.folders
    return {**config.folders, KEY: config.review.folder}


def is_used(config: Config) -> bool:
    """Tell whether results are held, or were before; then their folder should be there.

    Raises:
        DeviceError: the list of folders that were used cannot be read.
    """
    folder = config.review.folder
    return config.review.may_hold or folder in noted(config.state) or (folder / MARKER).exists()


def bring(
    source: Path,
    name: PurePosixPath,
    target: Path,
    staging: PurePosixPath,
    digest: str,
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Give a file a staging name in another folder: a link where possible, or else a copy.

    Args:
        source: folder with the file: complete and synced.
        name: path of the file in it; it stays there.
        target: the other folder; missing sub-folders are created.
        staging: path of the staging file in it, which must not exist.
        digest: SHA-256 of the file, hexadecimal.
        check: raises if the target is unavailable; called before anything is created.

    Raises:
        NotAsColoredError: the file has other content.
        FileNotFoundError: the file is gone.
        ScanError: there is no place for it; a person must make room.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    check()
    try:
        linked = _linked(source, name, target, staging, digest)
    except FileNotFoundError:
        if file_stat(source / name) is None:
            raise
        # The folder for it was removed as empty at this very moment.
        linked = _linked(source, name, target, staging, digest)
    if linked:
        return
    with outbox.staging_file(target, staging, check) as file:
        if _copied(source, name, file) != digest:
            raise NotAsColoredError(f"{source / name} was altered")
        file.flush()
        os.fsync(file.fileno())
        if digest_from_disk(Path(file.name)) != digest:
            words = "what was written is not what was copied"
            raise OSError(errno.EIO, words, os.fspath(target / staging))


def _linked(
    source: Path, name: PurePosixPath, target: Path, staging: PurePosixPath, digest: str
) -> bool:
    """Link the file, and compare it; False if it cannot be linked, and nothing was changed."""
    with (
        open_dir_beneath(source, name.parent) as there,
        open_dir_beneath(target, staging.parent, make=True) as here,
    ):
        link = here / staging.name
        try:
            os.link(there / name.name, link, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise
        try:
            _make_ours(link, here, digest, source / name)
        except BaseException:  # even Ctrl-C must not leave a staging file
            link.unlink(missing_ok=True)
            raise
    return True


def _make_ours(link: Path, folder: Path, digest: str, source: Path) -> None:
    with open_regular(link) as file:
        if digest_of(file) != digest:
            raise NotAsColoredError(f"{source} was altered")
        file_made(file.fileno(), folder)


def _copied(source: Path, name: PurePosixPath, file: BinaryIO) -> str:
    """Copy a file into an open one; return the SHA-256 of what was read."""
    sha256 = hashlib.sha256()
    with open_beneath(source, name) as original:
        while chunk := original.read(CHUNK):
            sha256.update(chunk)
            file.write(chunk)
    return sha256.hexdigest()


def take_in(
    source: Path,
    staging: PurePosixPath,
    target: Path,
    digest: str,
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Move a staging file to another folder, or remove it; arguments and errors as for `bring`."""
    try:
        bring(source, staging, target, staging, digest, check=check)
    finally:
        with open_dir_beneath(source, staging.parent) as folder:
            (folder / staging.name).unlink(missing_ok=True)


def put_into_outbox(
    job: Job,
    config: Config,
    records: Iterable[DecisionRecord],
    *,
    check: Callable[[], None],
    confirm: Callable[[], None],
) -> None:
    """Deliver a held result and its sidecar to the outbox; they stay where they were held, too.

    An earlier result of the job there is replaced. Doing it again changes nothing.

    Args:
        job: held.
        config: the folders.
        records: all decisions on it, for the sidecar.
        check: raises if the outbox is unavailable.
        confirm: raises if the result is not to be delivered after all; called last.

    Raises:
        NotAsColoredError: the held result or its sidecar is missing or altered.
        TakenError: another file has the name of the photo, or of its sidecar.
        ScanError: there is no place for it.
        DeviceError: the outbox is unavailable.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    held, own = config.review.folder, _Earlier(job)
    sidecar = with_decisions(_sidecar_of(job, held), records)
    if not is_in_outbox(job, config):
        _refuse_taken(config.outbox / sidecar_name(job.output), own)
        staging = job.output.with_name(part_path(held).name)
        digest = job.output_digest or sidecar.output.sha256
        try:
            bring(held, job.output, config.outbox, staging, digest, check=check)
        except FileNotFoundError as error:
            raise NotAsColoredError(f"{held / job.output} is gone") from error
        outbox.publish(config.outbox, {staging: job.output}, check=check, confirm=confirm, own=own)
    deliver_sidecar(config.outbox, sidecar, check, own)


def is_in_outbox(job: Job, config: Config) -> bool:
    """Tell whether a job's present result is in the outbox already, though it counts as held."""
    return _has(config.outbox, job.output, job.output_digest)


def discard(job: Job, config: Config) -> None:
    """Remove what is left in the folder of held results of a result that is in the outbox.

    Sub-folders that thereby become empty are removed too.

    Raises:
        OSError: it cannot be removed now.
    """
    held, name = config.review.folder, sidecar_name(job.output)
    with suppress(FileNotFoundError), open_dir_beneath(held, job.output.parent) as folder:
        left = []
        if _has(folder, PurePosixPath(job.output.name), job.output_digest):
            left.append(folder / job.output.name)
        if _tells_of(folder / name.name, job):
            left.append(folder / name.name)
        for path in left:
            path.unlink(missing_ok=True)
        if left:
            sync_folder(folder)
    remove_empty(held, job.output.parent)


def record_decisions(
    job: Job, config: Config, records: Iterable[DecisionRecord], check: Callable[[], None]
) -> bool:
    """Write the decisions on a result to its sidecar, wherever that is, if they are not there yet.

    Args:
        job: with a result.
        config: the folders.
        records: all decisions on it.
        check: raises if the folder is unavailable.

    Returns:
        Whether the sidecar was changed.

    Raises:
        NotAsColoredError: the sidecar is gone, altered, or of another coloring; it stays as it is.
        DeviceError: the folder is unavailable.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    folder = home(job, config)
    check()
    present = _sidecar_of(job, folder)
    wanted = with_decisions(present, records)
    if wanted is present:
        return False
    deliver_sidecar(folder, wanted, check, _Earlier(job))
    return True


class _Earlier:
    """What of a job may be replaced: its earlier result, and the sidecars of both."""

    def __init__(self, job: Job) -> None:
        """Refer to a job; see `service.storage.outbox.Replaceable`."""
        self._job = job

    def has(self, path: Path) -> bool:
        """Tell whether a file may be replaced."""
        job = self._job
        if path.name != job.output.name:
            return _tells_of(path, job)
        if job.delivered_digest == "":  # by an earlier photochrom, or it was altered since
            return True
        with suppress(FileNotFoundError):  # not a regular file
            return digest_of_file(path) in {job.output_digest, job.delivered_digest}
        return False


def _refuse_taken(path: Path, own: _Earlier) -> None:
    if os.path.lexists(path) and not own.has(path):
        words = "another file has the name of its sidecar"
        raise outbox.TakenError(errno.EEXIST, words, os.fspath(path))


def _sidecar_of(job: Job, folder: Path) -> Sidecar:
    """Read a result's sidecar.

    Raises:
        NotAsColoredError: it is gone, altered, or of another coloring.
        OSError: it cannot be read.
    """
    name = sidecar_name(job.output)
    try:
        with open_dir_beneath(folder, name.parent) as there:
            sidecar = read_sidecar(there / name.name)
    except FileNotFoundError as error:
        raise NotAsColoredError(f"its sidecar {folder / name} is gone") from error
    except SidecarError as error:
        raise NotAsColoredError(f"its sidecar {folder / name} was altered") from error
    if str(sidecar.event) != job.event:
        raise NotAsColoredError(f"its sidecar {folder / name} is of another coloring")
    return sidecar


def _tells_of(path: Path, job: Job) -> bool:
    """Tell whether a file is the sidecar of a job's present result, or of the one before."""
    with suppress(SidecarError, OSError):
        return str(read_sidecar(path).event) in {job.event, job.delivered_event}
    return False


def _has(folder: Path, name: PurePosixPath, digest: str | None) -> bool:
    """Tell whether a file has this SHA-256."""
    with suppress(FileNotFoundError, NotADirectoryError), open_beneath(folder, name) as file:
        return digest is not None and digest_of(file) == digest
    return False
