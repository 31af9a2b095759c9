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
from typing import NamedTuple

import structlog

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.config.loader import Config
from service.config.pixel_points import PixelPoint
from service.filesystem.durable import fitting_name, make_folder, staging_name
from service.filesystem.safe_open import digest, file_stat
from service.pipeline.delivery import Delivery, Target, deliver, log_replaced_color
from service.pipeline.tasks import label_of, source_of, staging_in
from service.storage import companions, outbox
from service.storage.sidecar import sidecar_name
from service.terminal import Report
from worker.errors import DeviceError, PhotochromError, ScanError
from worker.inference.engine import Colored, Failed, Outcome, Task
from worker.inference.local_engine import LocalEngine
from worker.inference.predictor import Predictor
from worker.inference.task_files import OpenedSource, TaskFiles
from worker.scan import upright_sizes

log = structlog.get_logger()


class Wanted(NamedTuple):
    """How given files are to be colored.

    Attributes:
        settings: of all of them.
        points: known colors; each file must have those pixels.
        who: says so.
        source: on what evidence.
        variants: how many colorings of each to make, where there are so many.
    """

    settings: FolderSettings = AS_USUAL
    points: tuple[PixelPoint, ...] = ()
    who: str = ""
    source: str = ""
    variants: int = 1


AS_EVER = Wanted()


def colorize_files(
    files: Sequence[Path],
    out: Path,
    config: Config,
    predictor: Predictor,
    report: Report,
    wanted: Wanted = AS_EVER,
) -> int:
    """Color files into a folder.

    Args:
        files: photographs anywhere; they stay as they are.
        out: folder for the results, named like the files; with several variants `NAME.1.ext` and
            so on. `NAME (2).ext` where that is taken.
        config: what may be read and how it is written.
        predictor: the loaded generator.
        report: moved after each photograph.
        wanted: how they are to be colored.

    Returns:
        How many files could not be colored; why is in the log.

    Raises:
        ValueError: a color point lies outside a photograph; nothing was colored.
        DeviceError: the device failed.
        OSError: a file or the folder cannot be read or written.
        MemoryError: a photograph does not fit into memory.
        PhotochromError: something failed that nobody foresaw; the log has its traceback.
    """
    asked = [(path, one) for path in files for one in _colorings(path, wanted, config)]
    refused = 0
    drawn: set[tuple[str, ...]] = set()
    make_folder(out)
    engine = LocalEngine(predictor, _task_files(out), signer=config.credential_settings)
    waiting = deque(enumerate(asked, 1))
    in_hand: deque[tuple[Task, Future[Outcome]]] = deque()
    try:
        while waiting or in_hand:
            while waiting and len(in_hand) < engine.slots:
                number, (path, settings) = waiting.popleft()
                task = _task(number, path, out, config, settings)
                in_hand.append((task, engine.submit(task)))
            task, future = in_hand.popleft()
            outcome = future.result()
            if isinstance(outcome, Colored) and _is_again(task, outcome, drawn):
                outbox.discard(out, staging_in(out, task))
                log.info("photo.no_more_variants", path=Path(task.source.path))
            else:
                name = _free_name(task, out, config, numbered=wanted.variants > 1)
                refused += not _delivered(task, outcome, Target(out, name))
            report(task.job, len(asked), "")
    finally:
        for _task_of, future in in_hand:
            future.cancel()
        engine.close()
    return refused


def _colorings(path: Path, wanted: Wanted, config: Config) -> list[FolderSettings]:
    """Return the settings of each coloring of a file."""
    settings = wanted.settings
    if wanted.points:
        with suppress(ScanError):  # the engine refuses it in the same words
            sizes = upright_sizes(path, config.read_settings)
            said = {"who": wanted.who, "source": wanted.source}
            try:
                points = tuple(point.on(sizes, **said) for point in wanted.points)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            settings = FolderSettings(points=points).over(settings)
    if wanted.variants == 1:
        return [settings]
    return [FolderSettings(variant=one).over(settings) for one in range(wanted.variants)]


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
        read=replace(config.read_settings, even_if_colored=settings.even_if_colored),
        write=config.write_settings,
        label=label_of(time.time()),
        staging=str(out / staging_name(number, 1)),
        wishes=settings.wishes(config.color),
    )


def _task_files(out: Path) -> TaskFiles:
    def open_staging(task: Task) -> AbstractContextManager[BufferedRandom]:
        return outbox.staging_file(out, staging_in(out, task))

    return TaskFiles(_open_source, open_staging)


@contextmanager
def _open_source(task: Task) -> Iterator[OpenedSource]:
    path = Path(task.source.path)
    yield OpenedSource(path, None, companions.read(path.parent, PurePath(path.name)))


def _is_again(task: Task, outcome: Colored, drawn: set[tuple[str, ...]]) -> bool:
    """Tell whether another variant of a scan came out the same, and note this one."""
    pixels = (task.source.path, *(page.pixels_sha256 for page in outcome.record.pages))
    again = bool(task.wishes.variant) and pixels in drawn
    drawn.add(pixels)
    return again


def _delivered(task: Task, outcome: Outcome, target: Target) -> bool:
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
    delivered = deliver(target, Delivery(task, outcome, time.time()))
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


def _free_name(task: Task, out: Path, config: Config, *, numbered: bool) -> PurePosixPath:
    name = outbox.output_name(PurePosixPath(Path(task.source.path).name), config.output.format)
    if numbered:
        name = name.with_name(fitting_name(name.stem, f".{task.wishes.variant + 1}{name.suffix}"))
    others = (fitting_name(name.stem, f" ({number}){name.suffix}") for number in count(2))
    return next(
        one
        for one in chain([name], map(name.with_name, others))
        if not os.path.lexists(out / one) and not os.path.lexists(out / sidecar_name(one))
    )
