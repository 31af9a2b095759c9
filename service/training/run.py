"""The command `photochrom train`: where things lie, what is told, how it is stopped."""

import time
from typing import Any

import structlog

from service.config.loader import Config, ConfigError, missing_photographs
from service.filesystem.lock import StateLock
from service.signals import Signals
from service.terminal import Report
from service.training.wish import Wish
from worker.inference.device import Device
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.training.run import Budget, Plan, Progress
from worker.training.train import train
from worker.training.trainer import Callbacks

TELL_SECONDS = 30.0  # between two lines of the log
WARNINGS = {"rolled_back", "not_saved", "not_noted", "not_validated"}
SAID = {  # what the bar shows of the last thing that happened; the log has all of it
    "stage": "{stage}",
    "rolled_back": "put back to step {back_to_step}: {reason}",
    "not_saved": "no checkpoint saved: {reason}",
    "measuring": "measuring",
}

log = structlog.get_logger()


class StoppedEarlyError(Exception):
    """Asked to stop before there was anything to save."""


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
        self._happened = ""

    def preparing(self, done: int, of: int) -> None:
        """Tell how many photographs were read."""
        self._report(done, of, "reading photographs")

    def progress(self, progress: Progress) -> None:
        """Tell of a step. Until the length of the training is known, the bar shows no share."""
        speed = progress.photos_per_second(self._batch)
        words = [
            f"step {progress.step}",
            f"loss {progress.generator_loss:.3f}",
            f"rate {progress.rate:.2g}",
            f"{speed:.0f} photos/s",
        ]
        if progress.checks and (loss := progress.checks[-1].loss):
            words.insert(2, f"validation {loss:.3f}")
        if self._happened:
            words.append(self._happened)
        self._report(progress.share, 1.0 if progress.share else 0.0, ", ".join(words))
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            log.info("training.progress", **progress.summary(), photos_per_second=round(speed, 1))

    def notice(self, word: str, facts: dict[str, Any]) -> None:
        """Tell what happened."""
        level = log.warning if word in WARNINGS else log.info
        level(f"training.{word}", **facts)
        if word in SAID:
            self._happened = SAID[word].format(**facts)
            if word == "measuring":
                self._report(0.0, 0.0, self._happened)


def run_training(
    config: Config,
    device: Device,
    wish: Wish | None,
    report: Report,
    signals: Signals | None = None,
) -> ModelVersion | None:
    """Train and publish; SIGTERM and SIGINT save a checkpoint and end it. SIGHUP changes nothing.

    Args:
        config: the recipe and the state folder.
        device: what it runs on, already set up.
        wish: what to train; None resumes the training that was ended.
        report: moved after each step.
        signals: what was asked of the process before.

    Returns:
        The new version, or None where it was ended before.

    Raises:
        ConfigError: the reference set is not there.
        PhotochromError: no photo is fit, no such version, or nothing to resume.
        OSError: the disk fails.
    """
    plan = _plan(config, wish) if wish else None
    signals = signals or Signals()
    signals.listen()
    home = config.state / "training"
    home.mkdir(parents=True, exist_ok=True)
    tell = Teller(config.training.batch, report)

    def preparing(done: int, of: int) -> None:
        tell.preparing(done, of)
        if signals.stop:
            raise StoppedEarlyError

    with StateLock(home):
        log.info("training.started", resumed=wish is None, device=device.name, journal=home)
        try:
            version = train(
                plan,
                ModelStore(config.models_folder),
                home,
                home / "photographs",
                Callbacks(preparing, tell.progress, tell.notice, lambda: signals.stop),
            )
        except StoppedEarlyError:
            log.info("training.stopped", checkpoint=None, go_on_with="the same command")
            return None
    if version is None:
        log.info("training.stopped", checkpoint=home, go_on_with="photochrom train --resume")
    else:
        _tell_end(version)
    return version


def _tell_end(version: ModelVersion) -> None:
    promotion = version.card["promotion"]
    log.info(
        "training.published",
        version=version.name,
        scores=version.card["scores"],
        folder=version.folder,
        promoted=promotion["promoted"],
        why=promotion["why"],
    )


def _plan(config: Config, wish: Wish) -> Plan:
    reference = wish.reference or config.training.reference
    missing = dict(missing_photographs(config))
    if not wish.reference and (text := missing.get("training.reference")):
        raise ConfigError([f"training.reference: {text}"])
    return Plan(
        tuple(folder.absolute() for folder in wish.folders),
        int(wish.start) if wish.start.isdigit() else wish.start,
        Budget(wish.minutes, wish.steps, wish.until_plateau),
        config.train_settings,
        config.read_settings,
        name=wish.name,
        reference=reference.absolute() if reference else None,
    )
