"""Color given files straight away, batch by batch; without inbox, queue or moving anything."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, count, repeat
from pathlib import Path, PurePath, PurePosixPath

import structlog

from service.config.loader import Config
from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.durable import fitting_name, make_folder
from service.filesystem.safe_open import digest, file_stat
from service.pipeline.delivery import Source, Target, deliver, log_replaced_color
from service.pipeline.pipeline import THREADS
from service.pipeline.protocols import Predictor
from service.storage import companions, outbox
from service.storage.sidecar import sidecar_name
from service.terminal import Report
from worker import scan
from worker.errors import InColorError, ScanError
from worker.scan import Scan, predict_scans

log = structlog.get_logger()


def colorize_files(
    files: Sequence[Path],
    out: Path,
    config: Config,
    colorist: Predictor,
    report: Report,
    settings: FolderSettings = AS_USUAL,
) -> int:
    """Color files into a folder.

    Args:
        files: photographs anywhere; they stay as they are.
        out: folder for the results, named like the files. `NAME (2).ext` and so on where that is
            taken.
        config: what may be read and how it is written.
        colorist: the loaded generator.
        report: moved after each batch.
        settings: how they are to be colored.

    Returns:
        How many files could not be colored; why is in the log.

    Raises:
        DeviceError: the device failed.
        OSError: a file or the folder cannot be read or written.
    """
    refused = 0
    make_folder(out)
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(files), colorist.batch_size):
            some = files[start : start + colorist.batch_size]
            read = list(threads.map(_read, some, repeat(config), repeat(settings)))
            scans = [photo for photo in read if isinstance(photo, Scan)]
            chromas = iter(predict_scans(colorist.predict, scans))
            results = [photo if isinstance(photo, ScanError) else next(chromas) for photo in read]
            for path, photo, result in zip(some, read, results, strict=True):
                if isinstance(photo, ScanError) or isinstance(result, ScanError):
                    refused += 1
                    log.warning("photo.refused", path=path, reason=str(result))
                    continue
                name = _free_name(path, out, config)
                source = _source(path, settings)
                delivered, _origin = deliver(
                    Target(out, name), photo, result, colorist, source, time.time()
                )
                if delivered.result.lost:
                    log.warning("photo.left_behind", path=path, what=delivered.result.lost)
                log_replaced_color(delivered.result, path=path)
                log.info("photo.delivered", path=path, output=delivered.path)
            report(start + len(some), len(files), "")
    return refused


def _source(path: Path, settings: FolderSettings) -> Source:
    real = path.resolve()
    looks = file_stat(real)
    if looks is None:
        raise FileNotFoundError(f"{path} was taken away while it was colored")
    return Source(PurePosixPath(path), digest(real), looks, time.time(), settings)


def _read(path: Path, config: Config, settings: FolderSettings) -> Scan | ScanError:
    try:
        how = replace(config.read_settings, **settings.model_dump())
        return scan.read(path, how, None, companions.read(path.parent, PurePath(path.name)))
    except InColorError as error:
        return InColorError(f"{error}; color it all the same with --even-if-colored")
    except ScanError as error:
        return error


def _free_name(path: Path, out: Path, config: Config) -> PurePosixPath:
    name = outbox.output_name(PurePosixPath(path.name), config.output.format)
    numbered = (fitting_name(name.stem, f" ({number}){name.suffix}") for number in count(2))
    return next(
        one
        for one in chain([name], map(name.with_name, numbered))
        if not os.path.lexists(out / one) and not os.path.lexists(out / sidecar_name(one))
    )
