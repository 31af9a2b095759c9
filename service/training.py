"""The command `photochrom train`: where things lie, what is told, how it is stopped."""

import signal
import time
from pathlib import Path
from typing import NamedTuple

import structlog

from service.config import Config
from service.lock import StateLock
from service.progress import Report
from worker.device import Device
from worker.models import ModelStore
from worker.training.plan import Budget, Plan, Progress
from worker.training.train import train

TELL_SECONDS = 30.0  # between two lines of the log

log = structlog.get_logger()


class Wish(NamedTuple):
    """What a person wants trained; see `worker.training.plan.Plan`."""

    folders: tuple[Path, ...]
    start: str
    minutes: float | None
    steps: int | None


class Teller:
    """Tells how a training goes: on the progress bar at once, in the log now and then.

    Args:
        batch: photos in one step.
        report: moves the bar.
    """

    def __init__(self, batch: int, report: Report) -> None:
        """Nothing was told yet."""
        self._batch = batch
        self._report = report
        self._told = float("-inf")

    def preparing(self, done: int, of: int) -> None:
        """Tell how many photographs were read."""
        self._report(done, of, "reading photographs")

    def progress(self, progress: Progress) -> None:
        """Tell of a step."""
        rate = progress.photos_per_second(self._batch)
        words = f"step {progress.step}, loss {progress.generator_loss:.3f}, {rate:.0f} photos/s"
        self._report(progress.share, 1.0, words)
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            log.info("training.progress", **progress.summary(), photos_per_second=round(rate, 1))


def run_training(config: Config, device: Device, wish: Wish | None, report: Report) -> None:
    """Train and publish; SIGTERM and SIGINT save a checkpoint and end it.

    Args:
        config: the recipe and the state folder.
        device: what it runs on, already set up.
        wish: what to train; None resumes the training that was ended.
        report: moved after each step.

    Raises:
        PhotochromError: no photo is fit, no such version, or nothing to resume.
        OSError: the disk fails.
    """
    stop_asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stop_asked.append(number))
    home = config.state / "training"
    home.mkdir(parents=True, exist_ok=True)
    tell = Teller(config.training.batch, report)
    with StateLock(home):
        log.info("training.started", resumed=wish is None, device=device.name)
        version = train(
            _plan(config, wish) if wish else None,
            ModelStore(config.models_folder),
            home,
            home / "photographs",
            report=tell.progress,
            preparing=tell.preparing,
            should_stop=lambda: bool(stop_asked),
        )
    if version is None:
        log.info("training.stopped", checkpoint=home, go_on_with="photochrom train --resume")
    else:
        log.info(
            "training.published",
            version=version.name,
            scores=version.card["scores"],
            folder=version.folder,
        )


def _plan(config: Config, wish: Wish) -> Plan:
    return Plan(
        tuple(folder.absolute() for folder in wish.folders),
        int(wish.start) if wish.start.isdigit() else wish.start,
        Budget(wish.minutes, wish.steps),
        config.train_settings,
        config.read_settings,
    )
