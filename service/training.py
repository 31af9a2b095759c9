"""The command `photochrom train`: where things lie, what is told, how it is stopped."""

import signal
import time
from pathlib import Path

import structlog

from service.config import Config
from service.lock import StateLock
from service.progress import Report
from worker.device import Device

TELL_SECONDS = 30.0  # between two lines of the log
Wish = tuple[tuple[Path, ...], str, float | None, int | None]  # folders, start, minutes, steps

log = structlog.get_logger()


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
    from worker.models import ModelStore
    from worker.training.train import Budget, Plan, Progress, train

    home = config.state / "training"
    home.mkdir(parents=True, exist_ok=True)
    stop_asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stop_asked.append(number))
    told = 0.0

    def tell(progress: Progress) -> None:
        nonlocal told
        rate = progress.photos_per_second(config.training.batch)
        words = f"step {progress.step}, loss {progress.generator_loss:.3f}, {rate:.0f} photos/s"
        report(progress.share, 1.0, words)
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            log.info("training.progress", **progress.summary(), photos_per_second=round(rate, 1))

    def tell_preparing(done: int, of: int) -> None:
        report(done, of, "reading photographs")

    plan = None
    if wish is not None:
        folders, start, minutes, steps = wish
        plan = Plan(
            tuple(folder.absolute() for folder in folders),
            int(start) if start.isdigit() else start,
            Budget(minutes, steps),
            config.train_settings,
            config.read_settings,
        )
    with StateLock(home):
        log.info("training.started", resumed=wish is None, device=device.name)
        version = train(
            plan, ModelStore(config.models_folder), home, config.state / "training" / "photographs",
            report=tell, preparing=tell_preparing, should_stop=lambda: bool(stop_asked),
        )  # fmt: skip
    if version is None:
        log.info("training.stopped", checkpoint=home, go_on_with="photochrom train --resume")
    else:
        log.info(
            "training.published",
            version=version.name,
            scores=version.card["scores"],
            folder=version.folder,
        )
