"""The command `photochrom train`: runs one training, reports on it, and stops it on a signal."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from service.config.loader import Config
from service.filesystem.lock import StateLock
from service.signals import Signals
from service.terminal import Report
from worker.inference.device import Device
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.training.request import TrainingRequest
from worker.training.run import Progress
from worker.training.train import train
from worker.training.trainer import Callbacks

LOG_SECONDS = 30.0  # between lines of progress in the log
WARNINGS = {"rolled_back", "not_saved", "not_noted", "not_validated"}
ON_BAR = {  # what the progress bar shows of the latest event; the log has all of it
    "stage": "{stage}",
    "rolled_back": "rolled back to step {back_to_step}: {reason}",
    "not_saved": "checkpoint not saved: {reason}",
    "comparing": "comparing photographs with training.scans",
    "measuring": "measuring",
}

log = structlog.get_logger()


class StoppedEarlyError(Exception):
    """A signal arrived before there was anything to save."""


def run_training(
    config: Config,
    device: Device,
    request: TrainingRequest | None,
    report: Report,
    signals: Signals | None = None,
) -> ModelVersion | None:
    """Train and publish. SIGTERM and SIGINT save a checkpoint and stop; SIGHUP is ignored.

    Args:
        config: where state and models are.
        device: set up already.
        request: what to train; None resumes the interrupted training.
        report: updates the progress bar.
        signals: what the process was asked so far.

    Returns:
        the new version; None if a signal stopped the training.

    Raises:
        PhotochromError: no photograph is fit, no such version, or nothing to resume.
        OSError: the disk failed.
    """
    signals = signals or Signals()
    signals.listen()
    home = config.state / "training"
    home.mkdir(parents=True, exist_ok=True)
    reporter = TrainingReporter(config.training.batch, report)
    with StateLock(home):
        log.info("training.started", resumed=request is None, device=device.name, journal=home)
        try:
            version = train(
                request,
                ModelStore(config.models_folder),
                home,
                home / "photographs",
                reporter.callbacks(lambda: signals.stop),
            )
        except StoppedEarlyError:
            log.info("training.stopped", checkpoint=None, go_on_with="the same command")
            return None
    _log_end(version, home)
    return version


def _log_end(version: ModelVersion | None, home: Path) -> None:
    if version is None:
        log.info("training.stopped", checkpoint=home, go_on_with="photochrom train --resume")
        return
    promotion = version.card["promotion"]
    log.info(
        "training.published",
        version=version.name,
        scores=version.card["scores"],
        folder=version.folder,
        promoted=promotion["promoted"],
        why=promotion["why"],
    )


class TrainingReporter:
    """Shows a training on the progress bar, and logs its events and, now and then, its progress.

    Args:
        batch: photographs in one step.
        report: updates the progress bar.
    """

    def __init__(self, batch: int, report: Report) -> None:
        """Begin with nothing logged."""
        self._batch = batch
        self._report = report
        self._logged = float("-inf")
        self._latest_event = ""

    def callbacks(self, should_stop: Callable[[], bool]) -> Callbacks:
        """Return what the training is to call."""

        def on_prepare(done: int, files: int) -> None:
            self._report(done, files, "reading photographs")
            if should_stop():
                raise StoppedEarlyError

        return Callbacks(on_prepare, self.on_step, self.on_event, should_stop)

    def on_step(self, progress: Progress) -> None:
        """Show a step; the bar has no share while the length of the training is unknown."""
        speed = progress.photos_per_second(self._batch)
        words = [
            f"step {progress.step}",
            f"loss {progress.generator_loss:.3f}",
            f"rate {progress.rate:.2g}",
            f"{speed:.0f} photos/s",
        ]
        if progress.checks and (loss := progress.checks[-1].loss):
            words.insert(2, f"validation {loss:.3f}")
        if self._latest_event:
            words.append(self._latest_event)
        self._report(progress.share, 1.0 if progress.share else 0.0, ", ".join(words))
        if time.monotonic() - self._logged >= LOG_SECONDS:
            self._logged = time.monotonic()
            log.info("training.progress", **progress.summary(), photos_per_second=round(speed, 1))

    def on_event(self, name: str, facts: dict[str, Any]) -> None:
        """Log an event and show it on the bar."""
        level = log.warning if name in WARNINGS else log.info
        level(f"training.{name}", **facts)
        if name in ON_BAR:
            self._latest_event = ON_BAR[name].format(**facts)
            if name in {"comparing", "measuring"}:
                self._report(0.0, 0.0, self._latest_event)
