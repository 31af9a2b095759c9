"""Reconstructs the jobs of a lost ledger from the folders.

1. Each sidecar in the outbox is a finished job, with the decisions on it; find its original. So is
   each one among held results, where the result in the outbox is the earlier one.
2. Each original without a sidecar is a finished job; find its result by name.
3. Each rejected scan is a failed job; the reason is beside it.
4. Report the files in the outbox, and among held results, that belong to no job.

All input may be hostile: no symlink is followed, nothing huge is read, no path leaves its folder.
"""

import itertools
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.file_stat import FileStat
from service.ledger.jobs import UNREADABLE, Job, JobStatus
from service.ledger.ledger import Ledger
from service.maintenance.fixity import as_text
from service.storage import outbox
from service.storage.held import is_used
from service.storage.lookup import Lookup
from service.storage.moves import REASON_SUFFIX
from service.storage.originals import places_of_original
from service.storage.rejected import unnumbered
from service.storage.sidecar import (
    EPOCH,
    SUFFIX,
    Sidecar,
    SidecarError,
    decisions_in,
    parse_sidecar,
    sidecar_name,
)
from service.terminal import Report
from worker.formats.registry import format_of, output_formats

LARGEST_SIDECAR = 64 << 20  # bytes; one of ten thousand pages has five million
LARGEST_REASON = 4096  # bytes
PORTION = 200  # files per transaction
NO_REASON = "rejected before the ledger was rebuilt; the reason is unknown"


class Unplaced(NamedTuple):
    """A file that could not be assigned to a job, and why."""

    path: str
    words: str


class Rebuilt(NamedTuple):
    """What the new ledger contains.

    Attributes:
        finished: finished jobs with a sidecar.
        held: how many of them wait for approval.
        without_sidecar: finished jobs found by their original only.
        without_original: finished jobs whose original was not found.
        rejected: rejected scans.
        copies: originals with the same content as another.
        unplaced: files that belong to no job.
        aside: path of the renamed old ledger, or None.
    """

    finished: int = 0
    without_sidecar: int = 0
    without_original: int = 0
    rejected: int = 0
    copies: int = 0
    unplaced: tuple[Unplaced, ...] = ()
    aside: str | None = None
    held: int = 0

    def plain(self) -> dict[str, Any]:
        """Return it as JSON objects."""
        return {**self._asdict(), "unplaced": [one._asdict() for one in self.unplaced]}


class Restorer:
    """Fills an empty ledger.

    Attributes:
        found: the counts so far.
        unplaced: the files that belong to no job.
    """

    def __init__(self, config: Config, ledger: Ledger, report: Report) -> None:
        """Nothing has been read yet."""
        self._config = config
        self._ledger = ledger
        self._lookup = Lookup(config, ledger.queries)
        self._report = report
        self._done = 0
        self.unplaced: list[Unplaced] = []
        self.found = Rebuilt()

    def run(self) -> None:
        """Take the four steps."""
        config = self._config
        held = [config.review.folder] if is_used(config) else []
        for folder in (config.outbox, *held):
            self._each(folder, partial(self._take_sidecar, folder))
        self._each(config.originals.folder, self._take_original)
        self._each(config.rejected, self._take_rejected)
        with self._ledger.transaction():
            self._ledger.link_same_contents()
        self._each(config.outbox, self._take_leftover)
        for folder in held:
            self._each(folder, self._take_held_leftover)

    def _each(self, root: Path, take: Callable[[PurePosixPath], None]) -> None:
        """Take each regular file beneath a folder, many per transaction."""

        def tell(path: Path, error: OSError) -> None:
            self._leave_out(path, f"cannot be read: {error.strerror}")

        files = safe_open.files_beneath(root, tell)
        while portion := list(itertools.islice(files, PORTION)):
            with self._ledger.transaction():
                for name, is_regular in portion:
                    if not is_regular:
                        self._leave_out(root / name, "not a regular file")
                        continue
                    try:
                        take(name)
                    except (OSError, ValueError) as error:  # a NUL in a name is a ValueError
                        words = getattr(error, "strerror", None) or str(error)
                        self._leave_out(root / name, f"cannot be read: {words}")
                    self._done += 1
                    self._report(self._done, 0, f"{self._done} files")

    def _leave_out(self, path: Path, words: str) -> None:
        one = Unplaced(as_text(PurePosixPath(path)), words)
        if one not in self.unplaced[-1:]:
            self.unplaced.append(one)

    def _count(self, field: str) -> None:
        self.found = self.found._replace(**{field: getattr(self.found, field) + 1})

    # Step 1

    def _take_sidecar(self, folder: Path, name: PurePosixPath) -> None:
        path = folder / name
        if name.suffix != SUFFIX:
            return
        with safe_open.open_beneath(folder, name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_SIDECAR:
                self._leave_out(path, f"too large for a sidecar ({size / 1e6:,.0f} MB)")
                return
            text = file.read(LARGEST_SIDECAR)
        try:
            sidecar = parse_sidecar(text or b"", path)
            source, output = sidecar.source.name, sidecar.output.name
        except (SidecarError, ValueError) as error:
            self._leave_out(path, str(error).removeprefix(f"{path} "))
            return
        if not (_leads_inside(source) and _leads_inside(output)):
            self._leave_out(path, "contains a path that leads out of its folder")
        elif sidecar_name(output) != name:
            self._leave_out(path, f"describes another file, {as_text(output)}")
        else:
            job = self._with_original(_job_of(sidecar))
            if folder == self._config.review.folder:
                job = replace(job, held=True)
            self._restore_finished(path, job, sidecar)

    def _restore_finished(self, path: Path, job: Job, sidecar: Sidecar) -> None:
        known = self._ledger.queries.by_digest(job.path, job.digest)
        if job.held and known and known.output == job.output:
            self._restore_beside(path, job, known, sidecar)
        elif known and (known.finished_at or 0) >= (job.finished_at or 0):
            self._leave_out(
                path, f"superseded by {as_text(known.output)}, colored later from the same scan"
            )
        elif not self._ledger.restore(job):
            self._leave_out(path, f"its result {as_text(job.output)} belongs to another scan")
        elif known:
            self._leave_out(
                self._config.outbox / known.output,
                f"superseded by {as_text(job.output)}, colored later from the same scan",
            )
        else:
            self._restore_decisions(job, sidecar)
            self._count("finished")
            if job.held:
                self._count("held")
            if not original_stat(job, self._config):
                self._count("without_original")

    def _restore_beside(self, path: Path, job: Job, known: Job, sidecar: Sidecar) -> None:
        """Restore a held result whose earlier result is in the outbox."""
        if known.event == job.event:  # it was about to be removed here
            self._ledger.reviews.owe(known.id)
        elif (known.finished_at or 0) > (job.finished_at or 0):
            self._leave_out(path, f"superseded by {as_text(known.output)} in the outbox")
        else:
            digest, event = known.output_digest, known.event
            self._ledger.restore(replace(job, delivered_digest=digest, delivered_event=event))
            self._restore_decisions(job, sidecar)
            self._count("held")

    def _restore_decisions(self, job: Job, sidecar: Sidecar) -> None:
        restored = self._ledger.queries.by_digest(job.path, job.digest)
        if restored and sidecar.decisions:
            self._ledger.reviews.restore(restored.id, decisions_in(sidecar))

    def _with_original(self, job: Job) -> Job:
        """Return the job with the path and stat of its original, if that is found."""
        for folder, name in places_of_original(job, self._config):
            stat = safe_open.file_stat(folder / name)
            if stat is None or stat.size != job.stat.size:
                continue
            same_time = stat.mtime_ns // 1000 == job.stat.mtime_ns // 1000
            if same_time or _digest(folder, name) == job.digest:
                archived = folder == self._config.originals.folder
                original = PurePosixPath(name) if archived else None
                return replace(job, stat=stat, original=original)
        return job

    # Step 2

    def _take_original(self, name: PurePosixPath) -> None:
        folder = self._config.originals.folder
        if format_of(name) is None or next(self._lookup.at("originals", name), None):
            return
        digest = _digest(folder, name)
        stat = safe_open.file_stat(folder / name)
        if stat is None:
            return
        path = self._path_of(name, digest)
        if self._ledger.queries.by_digest(path, digest):
            self._count("copies")
            return
        result = self._result_of(path, name, digest)
        own = result or PurePosixPath(outbox.alternative_name(path, digest))
        later = None if result else self._ledger.queries.latest_finished(path)
        there = safe_open.file_stat(self._config.outbox / own)
        job = _job(
            path,
            digest,
            output=later.output if later else own,
            stat=stat,
            status=JobStatus.FINISHED,
            moment=(there or stat).mtime_ns / 1e9,
            original=name,
            superseded_by=later.id if later else None,
        )
        if not self._ledger.restore(job):
            self._leave_out(folder / name, f"its result {as_text(own)} belongs to another scan")
        else:
            self._count("without_sidecar")

    def _path_of(self, name: PurePosixPath, digest: str) -> PurePosixPath:
        """Guess the path in the inbox that an original had."""
        plain = unnumbered(name)
        ending = f".{digest[:8]}"
        if plain.stem.endswith(ending):
            return plain.with_name(plain.stem.removesuffix(ending) + plain.suffix)
        taken = plain != name and safe_open.file_stat(self._config.originals.folder / plain)
        return plain if taken and not self._result_of(name, name, digest) else name

    def _result_of(
        self, path: PurePosixPath, name: PurePosixPath, digest: str
    ) -> PurePosixPath | None:
        """Find a scan's result in the outbox that belongs to no other job."""
        for one in dict.fromkeys((path, name)):
            own = [outbox.output_name(one, output_format) for output_format in output_formats()]
            for output in dict.fromkeys([*own, *(outbox.alternative_name(o, digest) for o in own)]):
                there = safe_open.file_stat(self._config.outbox / output)
                if there and not self._ledger.queries.output_taken(output):
                    return output
        return None

    # Step 3

    def _take_rejected(self, name: PurePosixPath) -> None:
        folder = self._config.rejected
        stat = safe_open.file_stat(folder / name)
        if format_of(name) is None or stat is None:
            return
        try:
            digest = _digest(folder, name)
        except PermissionError:
            digest = f"{UNREADABLE}{stat.inode} {stat.mtime_ns}"
        plain = unnumbered(name)
        numbered = plain != name and (
            safe_open.file_stat(folder / plain) or self._ledger.queries.ids_of_path(plain)
        )
        path = plain if numbered else name
        reason, moment = self._reason(name)
        job = _job(
            path,
            digest,
            output=outbox.output_name(path, self._config.output.format),
            stat=stat,
            status=JobStatus.FAILED,
            moment=stat.mtime_ns / 1e9 if moment is None else moment,
            reason=reason,
        )
        known = self._ledger.queries.by_digest(path, digest)
        if known is None and self._ledger.restore(job):
            self._count("rejected")
        else:
            other = known.status.words if known else "known"
            self._leave_out(folder / name, f"the same scan is already {other}")

    def _reason(self, name: PurePosixPath) -> tuple[str, float | None]:
        """Return why a scan was rejected, and when that was written (seconds since 1970)."""
        note = name.with_name(name.name + REASON_SUFFIX)
        with suppress(OSError), safe_open.open_beneath(self._config.rejected, note) as file:
            text = (file.read(LARGEST_REASON) or b"").decode("utf-8", "replace")
            text = re.sub(r"photochrom retry \d+", "photochrom retry FILE", " ".join(text.split()))
            return text or NO_REASON, os.fstat(file.fileno()).st_mtime
        return NO_REASON, None

    # Step 4

    def _take_leftover(self, name: PurePosixPath) -> None:
        if name.suffix != SUFFIX and not self._ledger.queries.output_taken(name):
            words = "no sidecar or original shows what it was made from"
            self._leave_out(self._config.outbox / name, words)

    def _take_held_leftover(self, name: PurePosixPath) -> None:
        queries = self._ledger.queries
        jobs = queries.by_ids(queries.ids_of_output(name))
        if name.suffix != SUFFIX and not any(job.held or job.review_owed for job in jobs):
            words = "no sidecar shows what it was made from"
            self._leave_out(self._config.review.folder / name, words)


def original_stat(job: Job, config: Config) -> FileStat | None:
    """Return the stat of a job's original; None: it was not found."""
    path = config.originals.folder / job.original if job.original else config.inbox / job.path
    return safe_open.file_stat(path)


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
        confidence=sidecar.confidence,
        change=sidecar.change,
        settings=_settings_of(sidecar),
    )


def _settings_of(sidecar: Sidecar) -> FolderSettings:
    """Return the settings that a photo was colored with, for recoloring it."""
    said = sidecar.settings.get("even_if_colored", AS_USUAL.even_if_colored)
    try:
        settings = FolderSettings.model_validate({"even_if_colored": said})
        return (
            FolderSettings.of(sidecar.wishes.asked).over(settings) if sidecar.wishes else settings
        )
    except ValueError:  # forged
        return AS_USUAL


def _job(path: PurePosixPath, digest: str, *, stat: FileStat, moment: float, **known: Any) -> Job:
    """Return a job that ended at a moment, in seconds since 1970; it has no id yet."""
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
