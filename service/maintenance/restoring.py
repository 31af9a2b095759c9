"""What the folders tell of a ledger that is lost, noted in a new one.

1. each sidecar in the outbox tells of a finished photograph; its original is looked for
2. an original without a sidecar was colored, too; its result is the one of its name
3. a rejected scan is one that failed, with the reason beside it
4. what then lies in the outbox and belongs to none is told

All that is read may be hostile: no symlink is followed, nothing huge is read, and no name leads out
of its folder.
"""

import itertools
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from service.config.loader import Config
from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem import safe_open
from service.filesystem.snapshot import FileStat
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import Ledger
from service.maintenance.fixity import as_text
from service.storage import outbox
from service.storage.lookup import Lookup
from service.storage.moves import REASON_SUFFIX
from service.storage.originals import places_of_original
from service.storage.rejected import unnumbered
from service.storage.sidecar import (
    EPOCH,
    SUFFIX,
    Sidecar,
    SidecarError,
    parse_sidecar,
    sidecar_name,
)
from service.terminal import Report
from worker.formats.registry import format_of, output_formats

LARGEST_SIDECAR = 64 << 20  # bytes; one of ten thousand pages has five million
LARGEST_REASON = 4096  # bytes
AT_ONCE = 200  # files in one change of the ledger
NO_REASON = "rejected before the ledger was made again; why is not known"


class Unplaced(NamedTuple):
    """A file of which nothing could be learned, and why."""

    path: str
    words: str


class Rebuilt(NamedTuple):
    """What the new ledger knows.

    Attributes:
        finished: photos that have a sidecar.
        without_sidecar: finished ones of which only the original, and perhaps the result, is there.
        without_original: finished ones whose original was not found.
        rejected: rejected scans.
        copies: further originals with the content of another.
        unplaced: what could not be placed.
        aside: where the ledger is that was there before; None: there was none.
    """

    finished: int = 0
    without_sidecar: int = 0
    without_original: int = 0
    rejected: int = 0
    copies: int = 0
    unplaced: tuple[Unplaced, ...] = ()
    aside: str | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**self._asdict(), "unplaced": [one._asdict() for one in self.unplaced]}


class Restorer:
    """Fills an empty ledger."""

    def __init__(self, config: Config, ledger: Ledger, report: Report) -> None:
        """Nothing is known yet."""
        self._config = config
        self._ledger = ledger
        self._lookup = Lookup(config, ledger.queries)
        self._report = report
        self._done = 0
        self.unplaced: list[Unplaced] = []
        self.found = Rebuilt()

    def run(self) -> None:
        """Take the steps."""
        config = self._config
        self._each(config.outbox, self._take_sidecar)
        self._each(config.originals.folder, self._take_original)
        self._each(config.rejected, self._take_rejected)
        with self._ledger.exclusive():
            self._ledger.link_same_contents()
        self._each(config.outbox, self._take_leftover)

    def _each(self, root: Path, take: Callable[[PurePosixPath], None]) -> None:
        """Have each plain file of a folder and its sub-folders taken, many in one change."""
        files = safe_open.plain_files(root, self._tell)
        while portion := list(itertools.islice(files, AT_ONCE)):
            with self._ledger.exclusive():
                for name in portion:
                    try:
                        take(name)
                    except (OSError, ValueError) as error:  # a zero in a name is a ValueError
                        words = getattr(error, "strerror", None) or str(error)
                        self._tell(root / name, f"it cannot be read: {words}")
                    self._done += 1
                    self._report(self._done, 0, f"{self._done} files")

    def _tell(self, path: Path, words: str) -> None:
        one = Unplaced(as_text(PurePosixPath(path)), words)
        if one not in self.unplaced[-1:]:
            self.unplaced.append(one)

    def _count(self, field: str) -> None:
        self.found = self.found._replace(**{field: getattr(self.found, field) + 1})

    # Step 1

    def _take_sidecar(self, name: PurePosixPath) -> None:
        path = self._config.outbox / name
        if name.suffix != SUFFIX:
            return
        with safe_open.open_beneath(self._config.outbox, name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_SIDECAR:
                self._tell(path, f"too large for a sidecar ({size / 1e6:,.0f} MB)")
                return
            text = file.read(LARGEST_SIDECAR)
        try:
            sidecar = parse_sidecar(text or b"", path)
            source, output = sidecar.source.name, sidecar.output.name
        except (SidecarError, ValueError) as error:
            self._tell(path, str(error).removeprefix(f"{path} "))
            return
        if not (_leads_inside(source) and _leads_inside(output)):
            self._tell(path, "it names a path that leads out of its folder")
        elif sidecar_name(output) != name:
            self._tell(path, f"it tells of another file, {as_text(output)}")
        else:
            self._restore_finished(path, self._with_original(_job_of(sidecar)))

    def _restore_finished(self, path: Path, job: Job) -> None:
        known = self._ledger.queries.by_digest(job.path, job.digest)
        if known and (known.finished_at or 0) >= (job.finished_at or 0):
            self._tell(path, f"the same scan was colored later as {as_text(known.output)}")
        elif not self._ledger.restore(job):
            self._tell(path, f"its result {as_text(job.output)} belongs to another scan")
        elif known:
            self._tell(
                self._config.outbox / known.output,
                f"the same scan was colored later as {as_text(job.output)}",
            )
        else:
            self._count("finished")
            if not snapshot_of(job, self._config):
                self._count("without_original")

    def _with_original(self, job: Job) -> Job:
        """Note where the original of a job lies, if it is found."""
        for folder, name in places_of_original(job, self._config):
            looks = safe_open.snapshot(folder / name)
            if looks is None or looks.size != job.stat.size:
                continue
            same_time = looks.mtime_ns // 1000 == job.stat.mtime_ns // 1000
            if same_time or _digest(folder, name) == job.digest:
                archived = folder == self._config.originals.folder
                original = PurePosixPath(name) if archived else None
                return replace(job, stat=looks, original=original)
        return job

    # Step 2

    def _take_original(self, name: PurePosixPath) -> None:
        folder = self._config.originals.folder
        if format_of(name) is None or next(self._lookup.at("originals", name), None):
            return
        digest = _digest(folder, name)
        looks = safe_open.snapshot(folder / name)
        if looks is None:
            return
        path = self._path_of(name, digest)
        if self._ledger.queries.by_digest(path, digest):
            self._count("copies")
            return
        result = self._result_of(path, name, digest)
        own = result or PurePosixPath(outbox.alternative_name(path, digest))
        later = None if result else self._ledger.queries.latest_finished(path)
        there = safe_open.snapshot(self._config.outbox / own)
        job = _job(
            path,
            digest,
            output=later.output if later else own,
            stat=looks,
            status=JobStatus.FINISHED,
            moment=(there or looks).mtime_ns / 1e9,
            original=name,
            superseded_by=later.id if later else None,
        )
        if not self._ledger.restore(job):
            self._tell(folder / name, f"its result {as_text(own)} belongs to another scan")
        else:
            self._count("without_sidecar")

    def _path_of(self, name: PurePosixPath, digest: str) -> PurePosixPath:
        """Guess under which path an original was dropped."""
        plain = unnumbered(name)
        ending = f".{digest[:8]}"
        if plain.stem.endswith(ending):
            return plain.with_name(plain.stem.removesuffix(ending) + plain.suffix)
        taken = plain != name and safe_open.snapshot(self._config.originals.folder / plain)
        return plain if taken and not self._result_of(name, name, digest) else name

    def _result_of(
        self, path: PurePosixPath, name: PurePosixPath, digest: str
    ) -> PurePosixPath | None:
        """Find the result of a scan in the outbox, that no other has."""
        for one in dict.fromkeys((path, name)):
            own = [outbox.output_name(one, output_format) for output_format in output_formats()]
            for output in dict.fromkeys([*own, *(outbox.alternative_name(o, digest) for o in own)]):
                there = safe_open.snapshot(self._config.outbox / output)
                if there and not self._ledger.queries.output_taken(output):
                    return output
        return None

    # Step 3

    def _take_rejected(self, name: PurePosixPath) -> None:
        folder = self._config.rejected
        looks = safe_open.snapshot(folder / name)
        if format_of(name) is None or looks is None:
            return
        try:
            digest = _digest(folder, name)
        except PermissionError:
            digest = f"{UNREADABLE}{looks.inode} {looks.mtime_ns}"
        plain = unnumbered(name)
        numbered = plain != name and (
            safe_open.snapshot(folder / plain) or self._ledger.queries.ids_of_path(plain)
        )
        path = plain if numbered else name
        reason, moment = self._reason(name)
        job = _job(
            path,
            digest,
            output=outbox.output_name(path, self._config.output.format),
            stat=looks,
            status=JobStatus.FAILED,
            moment=looks.mtime_ns / 1e9 if moment is None else moment,
            reason=reason,
        )
        known = self._ledger.queries.by_digest(path, digest)
        if known is None and self._ledger.restore(job):
            self._count("rejected")
        else:
            other = known.status.words if known else "known"
            self._tell(folder / name, f"the same scan is {other} already")

    def _reason(self, name: PurePosixPath) -> tuple[str, float | None]:
        """Return why a scan was rejected, and when that was written."""
        note = name.with_name(name.name + REASON_SUFFIX)
        with suppress(OSError), safe_open.open_beneath(self._config.rejected, note) as file:
            text = (file.read(LARGEST_REASON) or b"").decode("utf-8", "replace")
            text = re.sub(r"photochrom retry \d+", "photochrom retry FILE", " ".join(text.split()))
            return text or NO_REASON, os.fstat(file.fileno()).st_mtime
        return NO_REASON, None

    # Step 4

    def _take_leftover(self, name: PurePosixPath) -> None:
        if name.suffix != SUFFIX and not self._ledger.queries.output_taken(name):
            words = "neither a sidecar nor an original tells what it was made from"
            self._tell(self._config.outbox / name, words)


def snapshot_of(job: Job, config: Config) -> FileStat | None:
    """Look at the original of a job where it was found; None where it was not."""
    path = config.originals.folder / job.original if job.original else config.inbox / job.path
    return safe_open.snapshot(path)


def _job_of(sidecar: Sidecar) -> Job:
    modified = sidecar.source.modified
    mtime = (modified - EPOCH) // timedelta(microseconds=1) * 1000 if modified else 0
    return replace(
        _job(
            sidecar.source.name,
            sidecar.source.sha256,
            output=sidecar.output.name,
            stat=FileStat(sidecar.source.size, mtime, 0, 0),
            status=JobStatus.FINISHED,
            moment=sidecar.colored.timestamp(),
        ),
        model=sidecar.model.version,
        queued_at=sidecar.read.timestamp(),
        started_at=sidecar.read.timestamp(),
        output_digest=sidecar.output.sha256,
        event=str(sidecar.event),
        settings=_settings_of(sidecar),
    )


def _settings_of(sidecar: Sidecar) -> FolderSettings:
    """Return how a photo was to be colored, so that it is colored so again."""
    fields = FolderSettings.model_fields
    said = {name: value for name, value in sidecar.settings.items() if name in fields}
    try:
        return FolderSettings.model_validate(said)
    except ValueError:  # somebody made it up
        return AS_USUAL


def _job(path: PurePosixPath, digest: str, *, stat: FileStat, moment: float, **known: Any) -> Job:
    """Describe a job that ended at a moment, seconds since 1970; its number is not known yet."""
    nothing = dict.fromkeys(("same_content_as", "reason", "model", "started_at"))
    ended = {"attempts": 0, "waits": 0, "not_before": 0.0, "queued_at": moment}
    values = {**nothing, **ended, "finished_at": moment, **known}
    return Job(id=0, path=path, digest=digest, stat=stat, **values)


def _leads_inside(name: PurePosixPath) -> bool:
    parts = name.parts
    return bool(parts) and not name.is_absolute() and ".." not in parts and "\0" not in str(name)


def _digest(folder: Path, name: Any) -> str:
    with safe_open.open_beneath(folder, name) as file:
        return safe_open.digest_of(file)
