"""Color given files straight away, without inbox or queue; they stay where they are."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from io import BufferedRandom
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath

import structlog

from service.config.loader import Config
from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.durable import fitting_name, make_folder, staging_name
from service.filesystem.safe_open import digest, file_stat
from service.pipeline.delivery import Delivery, Target, deliver, log_replaced_color
from service.pipeline.tasks import label_of, source_of, staging_in
from service.storage import companions, outbox
from service.storage.sidecar import sidecar_name
from service.terminal import Report
from worker.errors import DeviceError, PhotochromError
from worker.inference.engine import Failed, Outcome, Task
from worker.inference.local_engine import LocalEngine, OpenedSource, TaskFiles
from worker.inference.predictor import Predictor

log = structlog.get_logger()


def colorize_files(
    files: Sequence[Path],
    out: Path,
    config: Config,
    predictor: Predictor,
    report: Report,
    settings: FolderSettings = AS_USUAL,
) -> int:
    """Color files into a folder.

    Args:
        files: photographs anywhere; they stay as they are.
        out: folder for the results, named like the files. `NAME (2).ext` and so on where that is
            taken.
        config: what may be read and how it is written.
        predictor: the loaded generator.
        report: moved after each photograph.
        settings: how they are to be colored.

    Returns:
        How many files could not be colored; why is in the log.

    Raises:
        DeviceError: the device failed.
        OSError: a file or the folder cannot be read or written.
        MemoryError: a photograph does not fit into memory.
        PhotochromError: something failed that nobody foresaw; the log has its traceback.
    """
    refused = 0
    make_folder(out)
    engine = LocalEngine(predictor, _task_files(out), signer=config.credential_settings)
    waiting = deque(enumerate(files, 1))
    in_hand: deque[tuple[Task, Future[Outcome]]] = deque()
    try:
        while waiting or in_hand:
            while waiting and len(in_hand) < engine.slots:
                task = _task(*waiting.popleft(), out, config, settings)
                in_hand.append((task, engine.submit(task)))
            task, future = in_hand.popleft()
            refused += not _delivered(task, future.result(), out, config, settings)
            report(task.job, len(files), "")
    finally:
        for _task_of, future in in_hand:
            future.cancel()
        engine.close()
    return refused


def _task(number: int, path: Path, out: Path, config: Config, settings: FolderSettings) -> Task:
    """Describe the work on a file; one that cannot be read now is refused by the engine."""
    real, sha256 = path.resolve(), ""
    looks = file_stat(real)
    if looks is None:
        raise FileNotFoundError(f"{path} was taken away")
    with suppress(PermissionError):
        sha256 = digest(real)
    return Task(
        job=number,
        attempt=1,
        source=source_of(str(path), sha256, looks),
        read=replace(config.read_settings, **settings.model_dump()),
        write=config.write_settings,
        label=label_of(time.time()),
        staging=str(out / staging_name(number, 1)),
    )


def _task_files(out: Path) -> TaskFiles:
    def open_staging(task: Task) -> AbstractContextManager[BufferedRandom]:
        return outbox.staging_file(out, staging_in(out, task))

    return TaskFiles(_open_source, open_staging)


@contextmanager
def _open_source(task: Task) -> Iterator[OpenedSource]:
    path = Path(task.source.path)
    yield OpenedSource(path, None, companions.read(path.parent, PurePath(path.name)))


def _delivered(
    task: Task, outcome: Outcome, out: Path, config: Config, settings: FolderSettings
) -> bool:
    """Deliver a photograph; False for one that cannot be colored, which is logged.

    Raises:
        DeviceError, OSError, MemoryError, PhotochromError: as `colorize_files`.
    """
    path = Path(task.source.path)
    if isinstance(outcome, Failed):
        _raise_unless_refused(outcome)
        hint = "; color it all the same with --even-if-colored"
        reason = outcome.reason + (hint if outcome.kind == "in color" else "")
        log.warning("photo.refused", path=path, reason=reason)
        return False
    name = _free_name(path, out, config)
    delivery = Delivery(task, outcome, time.time(), settings)
    delivered = deliver(Target(out, name), delivery)
    if outcome.record.lost:
        log.warning("photo.left_behind", path=path, what=outcome.record.lost)
    log_replaced_color(outcome.record, path=path)
    log.info("photo.delivered", path=path, output=delivered.path)
    return True


def _raise_unless_refused(failure: Failed) -> None:
    """Raise what ends the command: all but what is wrong with one file."""
    if failure.kind in {"scan", "in color", "incomplete"}:
        return
    if failure.kind == "device":
        raise DeviceError(failure.reason)
    if failure.kind == "disk":
        raise failure.error
    if failure.kind == "memory":
        raise MemoryError(failure.reason)
    if failure.traceback:
        log.error("photo.failed", exception=failure.traceback)
    raise PhotochromError(failure.reason)


def _free_name(path: Path, out: Path, config: Config) -> PurePosixPath:
    name = outbox.output_name(PurePosixPath(path.name), config.output.format)
    numbered = (fitting_name(name.stem, f" ({number}){name.suffix}") for number in count(2))
    return next(
        one
        for one in chain([name], map(name.with_name, numbered))
        if not os.path.lexists(out / one) and not os.path.lexists(out / sidecar_name(one))
    )
