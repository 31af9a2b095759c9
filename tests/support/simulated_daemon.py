"""A daemon among people who toss files about: real folders and ledger, time and threads by hand.

Every file gets the time of the hand clock as its time of change, so what the daemon may know of it
can be checked against what was really done.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
)

from service.config.loader import Config
from service.config.sections import Batching, Originals, Retry, Review, Watch
from service.daemon import daemon
from service.daemon.daemon import Daemon
from service.filesystem import safe_open
from service.filesystem.availability import MARKER
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Decision, Job, JobStatus
from service.storage import moves
from service.storage.sidecar import read_sidecar, sidecar_name
from service.watch.selection import find
from service.watch.stability import StableFile
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files

SETTLE, RESCAN = 2.0, 60.0
START = 1_800_000_000.0  # seconds since 1970; the clock of this world is one for both


def photograph(shade: int) -> bytes:
    """Give a tiny black-and-white photograph as a PNG file."""
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8) * 2 + shade
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


CONTENTS = (photograph(0), photograph(40), photograph(90), b"no photograph at all")
PHOTOGRAPHS = {hashlib.sha256(content).hexdigest() for content in CONTENTS[:3]}


@dataclass
class ByHand:
    """Stands for a ThreadPoolExecutor: what is submitted is done when the test says so."""

    waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = field(
        default_factory=list
    )

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Note what is to be done."""
        future: Future[Any] = Future()
        self.waiting.append((future, work, arguments))
        return future

    def do(self, which: int) -> None:
        """Do one of what waits, if anything does."""
        if not self.waiting:
            return
        future, work, arguments = self.waiting.pop(which % len(self.waiting))
        try:
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)

    def shutdown(self, **_: Any) -> None:
        """End; nothing runs by itself."""


def rightly_rejected(job: Job) -> bool:
    """Tell whether a job failed whose scan cannot be colored, or ended the process."""
    killer = (job.reason or "").startswith("photochrom was killed")
    return job.status is JobStatus.FAILED and (job.digest not in PHOTOGRAPHS or killer)


class World:
    """One inbox, a daemon that may be ended and started again, and the truth about the files.

    Args:
        folder: an empty one.
        after: what becomes of originals, "move" or "keep".
        logs: where the log lines arrive.
        local: whether the system can be asked who has a file open, as on a local disk.
        hold: whether results wait for approval.
    """

    def __init__(
        self, folder: Path, after: str, logs: list[Any], *, local: bool = False, hold: bool = False
    ) -> None:
        """Start the first daemon."""
        self.config = Config(
            review=Review(mode="hold" if hold else "after"),
            watch=Watch(settle=SETTLE, rescan=RESCAN, incomplete_timeout=0.0),
            batch=Batching(longest_wait=0.0),
            retry=Retry(attempts=3, first_wait=1.0, longest_wait=1.0),
            originals=Originals(after=after),  # type: ignore[arg-type]
        ).beside(folder)
        make_folders(self.config.folders.values())
        self.inbox = self.config.inbox
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.clock = START
        self.ticks = 0
        self.colorist = FakeColorist()
        self.events: list[FileSystemEvent] = []
        self.first_seen: dict[tuple[Path, FileStat], float] = {}
        self.moved_by_daemon: set[tuple[str, int]] = set()  # digest and time of change
        self.logs = logs
        self.local = local
        self.held: dict[str, tuple[io.FileIO, bytes]] = {}  # open files, and what they are to be
        self.faults: list[str] = []
        self._start()

    # What people do

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, into the one that has the name, and so under all of its names."""
        path = self._path(name)
        if self._is_archived(path):
            path.unlink()  # else an original would be written into, by its other name
        kind = FileModifiedEvent if path.exists() else FileCreatedEvent
        path.write_bytes(content)
        self._touch(path)
        self._announce(kind(str(path)), FileClosedEvent(str(path)))

    def begin(self, name: str, content: bytes) -> None:
        """Write the first half of a file."""
        self.write(name, content[: len(content) // 2])

    def go_on(self, name: str) -> None:
        """Write the rest of a file that was begun."""
        path = self._path(name)
        if path.is_file():
            so_far = path.read_bytes()
            whole = next((one for one in CONTENTS if one.startswith(so_far)), so_far)
            self.write(name, whole)

    def hold(self, name: str, content: bytes) -> None:
        """Write the first half of a file, and pause with it open."""
        self.let_go(name)
        self.begin(name, content)
        if self.local:
            self.held[name] = (io.FileIO(self._path(name), "r+"), content)

    def grow(self, name: str) -> None:
        """Write the rest of a file that is held open, wherever it is by now, and keep it open.

        Where another program wrote into it meanwhile, nothing.
        """
        if name in self.held:
            file, content = self.held[name]
            so_far = os.pread(file.fileno(), len(content) + 1, 0)
            if so_far == content[: len(content) // 2]:
                os.pwrite(file.fileno(), content[len(so_far) :], len(so_far))
                self._touch(file.fileno())
                self._announce(FileModifiedEvent(str(self.inbox / name)))

    def let_go(self, name: str) -> None:
        """Write the rest of a file that is held open, and close it."""
        if name in self.held:
            self.grow(name)
            self.held.pop(name)[0].close()
            self._announce(FileClosedEvent(str(self.inbox / name)))

    def replace(self, name: str, content: bytes) -> None:
        """Write a file beside the inbox and rename it to its name in it, as careful programs do."""
        spare = self.outside / ".spare"
        spare.write_bytes(content)
        self._touch(spare)
        spare.replace(self._path(name))
        self._announce(FileCreatedEvent(str(self._path(name))))

    def rename(self, name: str, other: str) -> None:
        """Give a file another name, on top of what has it."""
        path, target = self._path(name), self._path(other)
        if path.is_file():
            path.replace(target)
            self._announce(FileMovedEvent(str(path), str(target)))

    def link(self, name: str, other: str) -> None:
        """Give a file a second name."""
        path, target = self._path(name), self._path(other)
        if path.is_file() and not target.exists():
            target.hardlink_to(path)
            self._announce(FileCreatedEvent(str(target)))

    def change_time(self, name: str) -> None:
        """Give a file another time of change and the same content."""
        path = self._path(name)
        if path.is_file() and not self._is_archived(path):
            self._touch(path)
            self._announce(FileModifiedEvent(str(path)))

    def delete(self, name: str) -> None:
        """Delete a file."""
        path = self._path(name)
        if path.is_file():
            path.unlink()
            self._announce(FileDeletedEvent(str(path)))

    def take_out(self, name: str) -> None:
        """Move a file out of the inbox."""
        path = self._path(name)
        if path.is_file():
            path.replace(self.outside / path.name)
            self._announce(FileDeletedEvent(str(path)))

    def bring_in(self, name: str) -> None:
        """Move a file of this name in again, which was moved out."""
        path = self._path(name)
        if (self.outside / path.name).is_file():
            (self.outside / path.name).replace(path)
            self._announce(FileCreatedEvent(str(path)))

    def move_folder(self, name: str, other: str) -> None:
        """Give a folder with all its files another name in the inbox."""
        path, target = self.inbox / name, self.inbox / other
        free = target.parent.is_dir() and not target.is_relative_to(path) and not target.exists()
        if path.is_dir() and free:
            path.rename(target)
            self._announce(DirMovedEvent(str(path), str(target)))

    def take_folder_out(self, name: str) -> None:
        """Move a folder out of the inbox."""
        path, target = self.inbox / name, self.outside / name
        if path.is_dir() and not target.exists():
            path.rename(target)

    def bring_folder_in(self, name: str) -> None:
        """Move a folder in again."""
        path, target = self.outside / name, self.inbox / name
        if path.is_dir() and not target.exists():
            path.rename(target)
            self._announce(DirCreatedEvent(str(target)))

    def delete_folder(self, name: str) -> None:
        """Delete a folder with all in it."""
        shutil.rmtree(self.inbox / name, ignore_errors=True)

    def decide(self, decision: Decision | None) -> None:
        """Decide on all results that there are."""
        reviews, gallery = self.daemon.ledger.reviews, self.daemon.ledger.queries.gallery
        reviews.decide(gallery.ids(), decision, who="Ada", now=self.clock)

    # What the system tells of it: nothing, unless one of these is called

    def tell(self, which: int, *, again: bool) -> None:
        """Announce one of the things that happened, in any order, and perhaps again later."""
        if self.events:
            which %= len(self.events)
            event = self.events[which] if again else self.events.pop(which)
            self.daemon.watcher._hints.dispatch(event)

    def tell_wrongly(self, name: str) -> None:
        """Announce what did not happen."""
        self.daemon.watcher._hints.dispatch(FileCreatedEvent(str(self.inbox / name)))

    def overflow(self) -> None:
        """Lose all that was not announced yet, and say so."""
        self.events.clear()
        self.daemon.watcher._hints.overflow()

    # What the daemon does

    def step(self, seconds: float = 0.0) -> None:
        """Let time pass, then have one step done, and look at what it did."""
        self._look()
        self.clock += seconds
        before = self._tree()
        with self._clock():
            self.daemon.step(self.clock, self.clock)
        after = self._tree()
        for path in before.keys() - after.keys():
            self._check_move(path, *before[path])

    def queue(self) -> None:
        """Let enough time pass for what is there to be queued, and have no work done."""
        self.step(RESCAN)
        self.step(SETTLE)

    def work(self, which: int) -> None:
        """Have one piece of work done by a reader, the device or a writer."""
        busy = [hands for hands in self.hands if hands.waiting]
        if busy:
            busy[which % len(busy)].do(which)

    def work_all(self) -> None:
        """Have everything done that can be done at this moment."""
        for _ in range(1000):
            for hands in self.hands:
                while hands.waiting:
                    hands.do(0)
            self.step()
            due = self.daemon.watcher.next_due(self.clock) == 0.0
            if not due and not self.daemon.pipeline.busy:
                return
        self.faults.append("the work never ends")

    def end(self, *, crash: bool) -> None:
        """End the daemon, by a kill or as asked, and start another one."""
        with self._clock():
            if not crash:
                self.daemon.pipeline.release(self.clock)
            self.daemon.watcher.stop()
            self.daemon.ledger.close()
        self._start()

    def close(self) -> None:
        """End for good."""
        for file, _content in self.held.values():
            file.close()
        self.daemon.watcher.stop()
        self.daemon.ledger.close()

    # The truth

    def settle(self) -> None:
        """Nobody touches anything for one rescan and two settle times; then all must be done."""
        for name in list(self.held):
            self.let_go(name)
        self.work_all()
        self.step(RESCAN)
        self.work_all()
        # Twice: an original that is moved changes the ctime of its other names, which settle anew.
        for _ in range(2):
            self.step(SETTLE)
            self.work_all()
        self.decide(Decision.APPROVED)
        for _ in range(1 + len(self._jobs())):
            self.step()
        self.faults += self._faults_at_rest()

    def _faults_at_rest(self) -> list[str]:
        faults = []
        jobs = {(str(job.path), job.digest): job for job in self._jobs()}
        for path, (looks, digest) in self._tree().items():
            job = jobs.get((str(path.relative_to(self.inbox)), digest))
            if self.config.originals.after == "move" or not job:
                faults.append(f"{path.name} was left in the inbox; its job: {job}")
            elif not job.stat.same_as(looks) or not (
                job.status is JobStatus.FINISHED or rightly_rejected(job)
            ):
                faults.append(f"{path.name} is not done: {job}")
        counts = self.daemon.ledger.queries.counts()
        if counts[JobStatus.QUEUED] or counts[JobStatus.STARTED]:
            faults.append(f"work is left: {counts}")
        finished = [job for job in jobs.values() if job.status is JobStatus.FINISHED]
        done = ("photo.delivered", "photo.held")
        delivered = [line["job"] for line in self.logs if line["event"] in done]
        if sorted(delivered) != sorted(job.id for job in finished):
            faults.append(f"delivered were {delivered}, and not each finished job once")
        faults += self._wrong_results(finished)
        kept = {
            (safe_open.digest(path), path.stat().st_mtime_ns)
            for folder in (self.config.originals.folder, self.config.rejected)
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith((moves.REASON_SUFFIX, MARKER))
        }
        if kept != self.moved_by_daemon:
            faults.append("what was moved is not what lies among originals and rejected")
        return faults

    def _wrong_results(self, finished: list[Job]) -> list[str]:
        """Say what is wrong in the outbox, and among held results, now that all are approved."""
        wrong = []
        outbox = files(self.config.outbox)
        if sorted(str(job.output) for job in finished) != outbox:
            wrong.append(f"the outbox has {outbox}, and not what was finished")
        if held := files(self.config.review.folder):
            wrong.append(f"still held, though all is approved: {held}")
        for job in finished if not wrong else ():
            said = read_sidecar(self.config.outbox / sidecar_name(job.output))
            if job.review_owed or said.decisions[-1].decision != "approved":
                wrong.append(f"{job.output} is approved, which is not in its sidecar")
            if (said.source.path, said.source.sha256) != (str(job.path), job.digest):
                wrong.append(f"{job.output} was not made from the scan of its job")
        return wrong

    def _check_move(self, path: Path, looks: FileStat, digest: str) -> None:
        """An original left the inbox: was it done, and rightly so?"""
        self.moved_by_daemon.add((digest, looks.mtime_ns))
        name = str(path.relative_to(self.inbox))
        job = next(
            (job for job in self._jobs() if (str(job.path), job.digest) == (name, digest)), None
        )
        if job is None or job.status not in {JobStatus.FINISHED, JobStatus.FAILED}:
            self.faults.append(f"{name} was moved away before it was done: {job}")
            return
        finished = job.status is JobStatus.FINISHED and digest in PHOTOGRAPHS
        if not finished and not rightly_rejected(job):
            self.faults.append(f"{name} is {job.status}: {job.reason}")

    def _check_stable(self, path: Path, looks: FileStat) -> None:
        since = self.first_seen.get((path, looks))
        if since is None or self.clock - since < SETTLE:
            self.faults.append(f"{path.name} was taken, and had not settled")

    # Inside

    def _start(self) -> None:
        self.daemon = Daemon(self.config, self.colorist)
        self.hands = [ByHand(), ByHand(), ByHand(), ByHand()]
        pipeline, engine = self.daemon.pipeline, self.daemon.pipeline.engine
        engine._readers, engine._device, engine._writers, pipeline._deliverers = self.hands  # type: ignore[assignment,attr-defined]
        take = self.daemon.watcher._on_stable

        def checked(files: Sequence[StableFile]) -> Sequence[str | Exception]:
            open_ones = {os.fstat(file.fileno()).st_ino for file, _ in self.held.values()}
            for path, looks, _rest in files:
                self._check_stable(path, looks)
                if looks.inode in open_ones:
                    self.faults.append(f"{path.name} was taken while its writer paused")
            return take(files)

        self.daemon.watcher._on_stable = checked
        if self.local:
            self.daemon.watcher._supervisor.is_local = lambda *_: True  # type: ignore[method-assign]
        with self._clock():
            self.daemon.startup()

    def _look(self) -> None:
        for path, (looks, _digest) in self._tree().items():
            self.first_seen.setdefault((path, looks), self.clock)

    def _tree(self) -> dict[Path, tuple[FileStat, str]]:
        found = {}
        for path in find(self.inbox):
            looks = safe_open.file_stat(path)
            assert looks
            found[path] = (looks, safe_open.digest(path))
        return found

    def _jobs(self) -> list[Job]:
        return self.daemon.ledger.queries._all("SELECT * FROM jobs")

    def _path(self, name: str) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _is_archived(self, path: Path) -> bool:
        """Tell whether a file has another name where the daemon has moved it."""
        if not path.is_file():
            return False
        ours = (self.config.originals.folder, self.config.rejected)
        return any(path.samefile(one) for each in ours for one in each.rglob("*"))

    def _touch(self, path: Path | int) -> None:
        self.ticks += 1
        moment = int(self.clock) * 1_000_000_000 + self.ticks
        os.utime(path, ns=(moment, moment))

    def _announce(self, *events: FileSystemEvent) -> None:
        self.events.extend(events)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        clock = SimpleNamespace(monotonic=lambda: self.clock, time=lambda: self.clock)
        with patch.object(daemon, "time", clock):
            yield
