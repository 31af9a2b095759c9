"""XMP sidecar files of scans, which are read with them and follow them.

`0042.tif.xmp` belongs to `0042.tif`; `0042.xmp` belongs to every scan with that stem in its folder,
so it is copied along with each and moved with the last. The scan moves first; before that, the
ledger records that its XMP files are owed, so that a crash in between leaves none behind.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple

import structlog

from service.backoff import Backoff
from service.config.loader import Config
from service.config.sections import Retry
from service.filesystem import safe_open
from service.filesystem.durable import is_copy, numbered_names
from service.filesystem.safe_open import open_beneath, open_dir_beneath
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import Ledger
from service.ledger.rows import storable
from service.storage import moves
from service.storage.originals import find_original
from service.storage.rejected import RejectedScans
from worker.errors import ScanError
from worker.formats.registry import BY_SUFFIX, format_of
from worker.metadata.provenance import XmpFile

SUFFIXES = (".xmp", ".XMP")
LARGEST = 4_000_000  # bytes; larger files are moved but not read

log = structlog.get_logger()


def read(root: Path, scan: PurePath) -> tuple[XmpFile, ...]:
    """Read the XMP files of a scan, in order of increasing precedence.

    Args:
        root: the folder of scans.
        scan: the scan's path in it; symlinks are not followed.

    Returns:
        The files, including those that could not be read.
    """
    return tuple(_read(root, scan.with_name(name)) for name in present(root, scan))


def present(root: Path, scan: PurePath) -> list[str]:
    """List the names of a scan's XMP files, in order of increasing precedence."""
    folder = root / scan.parent
    names = [stem + suffix for stem in (scan.stem, scan.name) for suffix in SUFFIXES]
    return [name for name in names if safe_open.file_stat(f"{folder}/{name}") is not None]


def is_companion(path: Path) -> bool:
    """Tell whether a file is an XMP file of a scan in its folder."""
    if path.suffix not in SUFFIXES:
        return False
    own = path.with_suffix("")
    if format_of(own) and safe_open.file_stat(own) is not None:
        return True
    return any(_scans_of_stem(path.parent, path.stem))


def carry(
    root: Path, scan: PurePath, target_root: Path, place: PurePath, *, ahead: bool = False
) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Move a scan's XMP files after it, or copy those that other scans share.

    Args:
        root: the folder that the scan was in.
        scan: its path there.
        target_root: the folder it moved to.
        place: its path there; the files are named after it.
        ahead: the scan itself moves later. A file whose name is taken then stays where it is;
            otherwise it gets a numbered name.

    Returns:
        The files' new paths in `target_root`, and the paths of those that stayed in `root`.

    Raises:
        OSError: one cannot be moved now; the call may be repeated.
    """
    moved, left = [], []
    for name in present(root, scan):
        wanted = _free_name(root / scan.with_name(name), scan, target_root, place)
        if wanted is None and ahead:
            left.append(PurePosixPath(scan.with_name(name)))
            continue
        wanted = wanted or _named_after(name, scan, place, full=True)
        go = _copy if _is_shared(root, scan, name, ahead=ahead) else _move
        target = go(root / scan.with_name(name), root, target_root, name=wanted)
        moved.append(PurePosixPath(target.relative_to(target_root)))
    return moved, left


def bring_back(place: Path, scan: PurePath, config: Config) -> list[Path]:
    """Move or copy a rejected scan's XMP files back to the inbox, ahead of the scan.

    Args:
        place: the scan's path.
        scan: its path in the inbox.
        config: the folders.

    Returns:
        The files that stay, because the inbox has others with their names.

    Raises:
        OSError: one cannot be moved now; the call may be repeated.
    """
    _, left = carry(
        config.rejected, place.relative_to(config.rejected), config.inbox, scan, ahead=True
    )
    return [config.rejected / name for name in left]


class _Due(NamedTuple):
    job: Job
    place: Path
    read: frozenset[str] | None
    backoff: Backoff


class Companions:
    """The XMP files that have yet to follow their originals.

    Args:
        config: the folders, and how long to back off.
        ledger: records what is owed.
    """

    def __init__(self, config: Config, ledger: Ledger) -> None:
        """Nothing is owed except after a crash, which the first step finds out."""
        self._config = config
        self._retry: Retry = config.retry
        self._ledger = ledger
        self._waiting: list[_Due] = []
        self._owed: set[int] = set()
        self._recovered = False

    def waiting(self, faults: int) -> bool:
        """Tell whether a file is waiting whose move failed fewer times than `faults`."""
        return any(one.backoff.faults < faults for one in self._waiting)

    def dues(self) -> list[float]:
        """List when moves are due, in monotonic seconds."""
        return [one.backoff.until for one in self._waiting]

    def owe(self, job: Job) -> None:
        """Record, before a scan is moved, that its XMP files, if any, are owed.

        Raises:
            DeviceError: the ledger cannot be written now.
        """
        if present(self._config.inbox, job.path):
            self._ledger.set_xmp_owed(job.id, owed=True)
            self._owed.add(job.id)

    def follow(self, job: Job, place: Path, read: frozenset[str] | None, now: float) -> None:
        """Schedule the XMP files of a moved scan, if any are owed, to be moved by `step`.

        Args:
            job: the scan's job.
            place: the scan's new path.
            read: SHA-256 of the files that were read with it; None: unknown.
            now: monotonic seconds.
        """
        if job.id in self._owed:
            self._waiting.append(_Due(job, place, read, Backoff(now)))

    def bring_back(self, job: Job, place: Path) -> None:
        """Undo `follow` as far as possible: the scan is back in the inbox."""
        self._waiting = [one for one in self._waiting if one.job.id != job.id]
        root = self._root(place)
        try:
            carry(root, place.relative_to(root), self._config.inbox, job.path)
        except OSError as error:
            log_not_moved(job, f"cannot move its XMP file back: {error}", None)

    def step(self, now: float) -> None:
        """Move what is due, beginning with what a crash left behind. All folders must be available.

        Raises:
            DeviceError: the ledger cannot be read or written now; the next step tries again.
        """
        if not self._recovered:
            self._recover(now)
            self._recovered = True
        for one in [one for one in self._waiting if not one.backoff.waits(now)]:
            self._move(one, now)

    def _recover(self, now: float) -> None:
        for job in self._ledger.queries.with_xmp_owed():
            if (
                job.id in self._owed
                or safe_open.file_stat(self._config.inbox / job.path) is not None
            ):
                continue  # the scan has yet to move, which records it again
            place = self._find(job)
            if place is None:
                self._ledger.set_xmp_owed(job.id, owed=False)
            else:
                self._waiting.append(_Due(job, place, None, Backoff(now)))

    def _move(self, one: _Due, now: float) -> None:
        job, root = one.job, self._root(one.place)
        try:
            self._log_unread(one)
            moved, _ = carry(self._config.inbox, job.path, root, one.place.relative_to(root))
        except OSError as error:
            reason = f"cannot move its XMP file: {error}"
            backoff = one.backoff.after_failure(now, reason, self._retry)
            self._waiting[self._waiting.index(one)] = one._replace(backoff=backoff)
            if backoff.is_to_be_logged:
                log_not_moved(job, reason, round(backoff.until - now, 3))
            return
        for name in moved:
            log.info("photo.xmp_moved", job=job.id, path=job.path, to=root / name)
        self._ledger.set_xmp_owed(job.id, owed=False)
        self._owed.discard(job.id)
        self._waiting.remove(one)

    def _log_unread(self, one: _Due) -> None:
        """Log the files that were added or changed after the scan was read."""
        if one.read is None:
            return
        for file in read(self._config.inbox, one.job.path):
            if file.sha256 and file.sha256 not in one.read:
                job = one.job
                log.warning("photo.xmp_unread", job=job.id, path=job.path, file=file.name)

    def _root(self, place: Path) -> Path:
        originals = self._config.originals.folder
        return originals if place.is_relative_to(originals) else self._config.rejected

    def _find(self, job: Job) -> Path | None:
        try:
            if job.status is JobStatus.FAILED and not job.recolor:
                found = RejectedScans(self._config, self._ledger.queries.rejected_of).place_of(job)
                return found.path if found and not found.changed else None
            with find_original(job, self._config) as file:
                path = Path(str(file.name))
        except (ScanError, OSError):
            return None
        return path if path.is_relative_to(self._config.originals.folder) else None


def log_not_moved(job: Job, reason: str, seconds: float | None) -> None:
    """Log that an original or its XMP file was not moved, and after how long it is retried."""
    log.warning("photo.not_moved", job=job.id, path=job.path, reason=reason, seconds=seconds)


def _read(root: Path, path: PurePath) -> XmpFile:
    name = storable(path.name)
    try:
        with open_beneath(root, path) as file:
            size, sha256 = safe_open.file_stat_of(file).size, safe_open.digest_of(file)
            if size > LARGEST:
                fault = f"too large ({size / 1e6:,.1f} MB; the limit is {LARGEST / 1e6:.0f} MB)"
                return XmpFile(name, b"", sha256, size, fault)
            return XmpFile(name, file.read(LARGEST), sha256, size)
    except OSError as error:
        return XmpFile(name, fault=str(error.strerror))


def _scans_of_stem(folder: Path, stem: str) -> Iterator[str]:
    """Yield the names of the scans in a folder with this stem."""
    for suffix in BY_SUFFIX:
        for spelled in (suffix, suffix.upper(), suffix.capitalize()):
            if safe_open.file_stat(folder / (stem + spelled)) is not None:
                yield stem + spelled


def _is_shared(root: Path, scan: PurePath, name: str, *, ahead: bool) -> bool:
    """Tell whether an XMP file also belongs to other scans, or to a new one with the old name."""
    others = set(_scans_of_stem((root / scan).parent, scan.stem))
    if PurePath(name).stem == scan.name:
        others &= {scan.name}
    return bool(others - {scan.name} if ahead else others)


def _named_after(name: str, scan: PurePath, place: PurePath, *, full: bool) -> str:
    """Name an XMP file after the scan's new name, as it was named after the old one or in full."""
    is_full = full or PurePath(name).stem == scan.name
    return (place.name if is_full else place.stem) + PurePath(name).suffix


def _free_name(source: Path, scan: PurePath, target_root: Path, place: PurePath) -> str | None:
    """Return a name after the scan's that is free or belongs to a copy of the file, or None."""
    for full in (False, True):
        name = _named_after(source.name, scan, place, full=full)
        target = target_root / place.with_name(name)
        if safe_open.file_stat(target) is None or is_copy(source, target):
            return name
    return None


def _copy(path: Path, root: Path, target_root: Path, *, name: str) -> Path:
    """Copy a file unless it is copied already, naming it as `moves.archive` does."""
    inside = path.relative_to(root)
    with (
        open_dir_beneath(root, inside.parent) as home,
        open_dir_beneath(target_root, inside.parent, make=True) as folder,
    ):
        for target in numbered_names(folder / name):
            with contextlib.suppress(FileExistsError):
                if not os.path.lexists(target):
                    moves.copy_file(home / inside.name, target, None, path)
                elif not is_copy(home / inside.name, target):
                    continue
                return target_root / inside.with_name(target.name)
    raise AssertionError  # the names never run out


def _move(path: Path, root: Path, target_root: Path, *, name: str) -> Path:
    departure = moves.archive(path, root, target_root, name=name)
    for error in moves.sync_folders([departure], root).values():
        raise error
    if not moves.settle(departure, root):
        raise BlockingIOError(errno.EAGAIN, "file is being written", str(path))
    return departure.place
