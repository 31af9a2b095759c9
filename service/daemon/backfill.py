"""`photochrom backfill`: color a collection that is there already into another folder.

The same engine, ledger and delivery as the daemon's, but nothing is watched and no scan is moved.
A walk through the collection queues a little ahead of the work, so memory does not grow with it.
The ledger is the checkpoint: an interrupted run continues where it ended. Several processes, on any
machines, share a collection by `Shard`; each has a ledger of its own.
"""

import json
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePosixPath

import structlog

from service.config.loader import Config
from service.config.sections import Originals
from service.daemon.blocked_log import BlockedLog
from service.daemon.model_updates import ModelWatch
from service.filesystem.availability import FolderMonitor
from service.filesystem.durable import make_folder
from service.filesystem.ownership import Owner
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger
from service.monitoring.heartbeat import Heartbeat, WorkerBeat, longest_first, write_heartbeat
from service.pipeline.engines import make_engine
from service.pipeline.failures import Counters, ended_the_process
from service.pipeline.intake import Intake
from service.pipeline.pipeline import Pipeline
from service.signals import Signals
from service.storage import deliveries
from service.storage.cleanup import sweep
from service.terminal import Report
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.selection import find
from service.watch.stability import Rest, StableFile
from worker.atomic import write_durably
from worker.errors import DeviceError
from worker.inference.predictor import Predictor

AT_REST = Rest(float("inf"), closed=True)  # the collection is no longer being written
AHEAD = 4  # photographs are queued for each that the engine takes
PORTION = 200  # files are queued in one transaction, at the most
STEP = 0.5  # seconds between two steps, at the most
TELL_EVERY = 5.0  # seconds between two heartbeats
LEFT_BEHIND = 86_400.0  # seconds after which a temporary file belongs to no shard that runs

log = structlog.get_logger()


@dataclass(frozen=True)
class Shard:
    """A part of a collection: number `index` of `count`, from 1; a path is in exactly one."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read a text such as "2/5".

        Raises:
            ValueError: it is none.
        """
        index, _, count = text.partition("/")
        if not (index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
            raise ValueError(f"must be like 2/5, not {text}")
        if not 1 <= int(index) <= int(count):
            raise ValueError(f"must be from 1/{count} to {count}/{count}, not {text}")
        return cls(int(index), int(count))

    def has(self, path: PurePosixPath) -> bool:
        """Tell whether a path in the collection is in this part."""
        return zlib.crc32(os.fsencode(path)) % self.count == self.index - 1


def configured(config: Config, source: Path, target: Path, shard: Shard) -> Config:
    """Return the configuration of a backfill, whose state lies within that of another.

    Args:
        config: how is colored, and where.
        source: the collection; it is only read.
        target: where results go.
        shard: which part is to be colored.
    """
    config = config.beside(Path.cwd())
    source, target = source.absolute(), target.absolute()
    names = f"{source}\0{target}".encode(errors="surrogateescape")
    part = f"-{shard.index}of{shard.count}" if shard.count > 1 else ""
    home = config.state / "backfill" / f"{source.name}-{sha256(names).hexdigest()[:8]}{part}"
    return config.model_copy(
        update={
            "inbox": source,
            "outbox": target,
            "originals": Originals(folder=home / "originals", after="keep"),
            "rejected": home / "rejected",  # nothing is put there, as all scans stay
            "state": home / "state",
        }
    )


def prepare(config: Config, models: Path) -> None:
    """Make the folders of a backfill, with a config.yaml for the other commands.

    Args:
        config: as `configured` gives it.
        models: the folder of model versions, which it shares.

    Raises:
        OSError: one cannot be made.
    """
    for folder in (config.outbox, config.state, config.rejected):
        make_folder(folder)
    if not config.models_folder.is_symlink():
        config.models_folder.symlink_to(models, target_is_directory=True)
    text = json.dumps(config.model_dump(mode="json"), indent=2)
    note = "# Of photochrom backfill, which writes it anew; for status, verify, retry and so on.\n"
    write_durably(config.state.parent / "config.yaml", f"{note}{text}\n")


def owner_of(config: Config) -> Owner:
    """Return who owns the target: all shards of a backfill are one."""
    names = f"{config.inbox}\0{config.outbox}".encode(errors="surrogateescape")
    return Owner(sha256(names).hexdigest(), "any machine", f"backfill of {config.inbox}")


class Backfill:
    """Colors a collection.

    Args:
        config: as `configured` gives it.
        predictor: the loaded generator.
        models: brings promoted versions; None keeps the predictor.
        shard: which part.
        report: progress, in photographs; the total grows while they are counted.
        signals: a request to stop ends it as soon as what is in hand is done.

    Attributes:
        counters: what became of photographs in this run.
        work_left: after `run`, whether photographs were left for another run.
        rejected: after `run`, how many of the collection are rejected, in earlier runs too.
    """

    def __init__(
        self,
        config: Config,
        predictor: Predictor,
        models: ModelWatch | None,
        shard: Shard,
        report: Report,
        signals: Signals,
    ) -> None:
        """Open the ledger, and start the engine."""
        self._config = config
        self._shard = shard
        self._report = report
        self._signals = signals
        self._models = models
        self.counters = Counters()
        self.work_left = False
        self.rejected = 0
        self._woken = threading.Event()
        self._blocked = BlockedLog()
        self._again: deque[Path] = deque()  # to be looked at once more
        self._files = self._walk()
        self._walked = False
        self._counted = 0
        self._tell_at = float("-inf")
        self._started = time.time()
        self._ledger = Ledger(config.state / LEDGER_FILE)
        self._places = FolderMonitor(
            config.folders, config.limits.free_space, owner=owner_of(config)
        )
        engine = make_engine(config, predictor, self._places)
        self._settings = FolderSettingsWatch(config, self.revisit)
        self._pipeline = Pipeline(
            config, self._ledger, engine, self._places, self._woken.set, self, self.counters
        )
        archive = self._pipeline.originals.archive
        self._intake = Intake(config, self._ledger, archive, self._settings)

    # What the pipeline asks of a watched inbox

    def revisit(self, path: Path) -> None:
        """Look at a file again: it was changed while it was colored, or its settings are mended."""
        self._again.append(path)

    def settle_of(self, _path: Path) -> float:
        """Return the seconds that a file must be at rest: none, as nobody writes."""
        return 0.0

    def hold(self, _path: Path, _reason: str, _now: float) -> bool:
        """Wait for the rest of no file: it is rejected."""
        return False

    def run(self) -> bool:
        """Color what is not colored yet, until nothing is left or a stop was asked for.

        Returns:
            False if stop.within ended before everything in hand was done.

        Raises:
            LedgerError: the ledger is damaged.
        """
        self._signals.listen()
        self._recover()
        threading.Thread(target=self._count, daemon=True).start()
        while not self._signals.stop:
            self._woken.clear()
            try:
                if self._step(time.monotonic(), time.time()):
                    break
            except DeviceError as error:  # nothing was changed; the next step tries again
                self._blocked.note(str(error), time.monotonic())
                self._woken.clear()
            self._tell()
            self._woken.wait(STEP)
        return self._end()

    def _recover(self) -> None:
        """Clean up after an interrupted run."""
        interrupted = self._ledger.recover()
        deliveries.adopt(self._config.state, self._ledger)
        shared = self._shard.count > 1  # others are at work there
        older = time.time() - LEFT_BEHIND if shared else float("inf")
        swept = sweep(self._config.outbox, older_than=older)
        log.info(
            "backfill.started",
            source=self._config.inbox,
            target=self._config.outbox,
            shard=f"{self._shard.index}/{self._shard.count}",
            swept=swept,
            resumed=len(interrupted),
        )
        for job in self._ledger.queries.exhausted(self._config.retry.attempts):
            reason = ended_the_process(job)
            self._pipeline.reject(job, reason, time.monotonic(), time.time())

    def _step(self, now: float, wall: float) -> bool:
        """Do all that can be done now; return whether nothing is left."""
        self._settings.step(now)
        self._take_up_model(now)
        if not (self._places.problem("inbox") or self._places.problem("outbox")):
            self._queue(now, wall)
        self._pipeline.step(now, wall)
        self._blocked.note(self._pipeline.blocked_by, now, over=not self._pipeline.faults)
        if self._pipeline.busy or not self._walked or self._again:
            return False
        counts = self._ledger.queries.counts()
        return not counts[JobStatus.QUEUED] + counts[JobStatus.STARTED]

    def _queue(self, now: float, wall: float) -> None:
        """Queue files while too few wait."""
        waiting = self._ledger.queries.counts()[JobStatus.QUEUED]
        if waiting >= AHEAD * self._pipeline.engine.slots:
            return
        again = [self._again.popleft() for _ in range(min(PORTION, len(self._again)))]
        paths = again + list(islice(self._files, PORTION - len(again)))
        self._walked = len(paths) < PORTION
        looks = ((path, file_stat(path)) for path in paths)
        files = [StableFile(path, stat, AT_REST) for path, stat in looks if stat is not None]
        for file, answer in zip(files, self._intake.take(files, now, wall), strict=True):
            if isinstance(answer, Exception):
                self._blocked.note(str(answer), now)
                self._again.append(file.path)
        self._woken.set()  # there may be more

    def _walk(self) -> Iterator[Path]:
        root = self._config.inbox
        for path in find(root, ignore=self._config.watch.ignored):
            if self._shard.has(PurePosixPath(path.relative_to(root))):
                yield path

    def _count(self) -> None:
        """Count the collection, beside the work, so that its progress can be told."""
        counted = 0
        for counted, _path in enumerate(self._walk(), 1):
            if counted % 1000 == 0 and self._signals.stop:
                return
        self._counted = counted

    def _take_up_model(self, now: float) -> None:
        predictor = self._models.step(now) if self._models else None
        if predictor is not None:
            self._pipeline.take_up(predictor)
            self._ledger.record_active_model(ActiveModel(predictor.model))

    def _tell(self) -> None:
        """Tell of the progress, on the terminal and to `photochrom status`."""
        now, wall = time.monotonic(), time.time()
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_EVERY
        try:
            counts = self._ledger.queries.counts()
        except DeviceError:  # the next step says why
            return
        done = counts[JobStatus.FINISHED] + counts[JobStatus.FAILED]
        self._report(done, max(self._counted, done), self._blocked.reason[:60])
        engine = self._pipeline.engine
        beat = Heartbeat(
            time=wall,
            pid=os.getpid(),
            started=self._started,
            health="blocked" if self._blocked.reason else "ok",
            reasons=(self._blocked.reason,) if self._blocked.reason else (),
            model=engine.model,
            batch_size=engine.batch_size,
            jobs=counts,
            in_work=longest_first(self._pipeline.in_hand(), wall),
            rescanned=wall,
            free=self._places.free(),
            finished=self.counters.finished,
            rejected=self.counters.rejected,
            megapixels=self.counters.pixels / 1e6,
            workers=tuple(map(WorkerBeat.of, engine.workers)),
            worker_deaths=engine.worker_deaths,
        )
        write_heartbeat(self._config.state, beat)

    def _end(self) -> bool:
        """Finish what is in hand, within stop.within; return whether that was possible."""
        deadline = time.monotonic() + self._config.stop.within
        while self._pipeline.busy and time.monotonic() < deadline:
            self._woken.clear()
            try:
                self._pipeline.release(time.time())
                self._pipeline.step(time.monotonic(), time.time(), claim=False)
            except DeviceError as error:
                self._blocked.note(str(error), time.monotonic())
            if self._pipeline.busy:
                self._woken.wait(STEP)
        done = not self._pipeline.busy
        counts = self._ledger.queries.counts()
        left = counts[JobStatus.QUEUED] + counts[JobStatus.STARTED]
        self.rejected = counts[JobStatus.FAILED]
        self.work_left = bool(left or self._signals.stop or self._settings.waiting)
        self._tell_at = float("-inf")
        self._tell()
        if done:
            self._pipeline.close()
        else:
            self._pipeline.abandon()
        if self._models:
            done = self._models.end(deadline) and done
        self._ledger.close()
        log.info(
            "backfill.ended",
            finished=self.counters.finished,
            rejected=self.counters.rejected,
            work_left=self.work_left,
        )
        return done
