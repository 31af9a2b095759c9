"""The training loop: steps, checks, checkpoints, and rollback when the training diverges.

Every few minutes the loop checks the generator on validation photographs and saves a checkpoint if
the check passes. A training that diverges is rolled back to the last checkpoint and continues with
lower learning rates.
"""

import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worker.errors import ModelError
from worker.training import checkpoint, divergence, schedule
from worker.training.checkpoint import BEST, NotFiniteError
from worker.training.data import dataset
from worker.training.data.cache import SIDE
from worker.training.data.collection import Collection
from worker.training.gan import ColorizationGAN
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT, Progress
from worker.training.run_log import RunLog
from worker.training.schedule import Schedule
from worker.training.validation import Validation

SAVE_SECONDS = 180.0  # between checkpoints: the most work a kill can lose, apart from the saving
CHECK_EPOCHS = 2.0  # between checks, within these bounds:
SHORTEST_CHECK_SECONDS, LONGEST_CHECK_SECONDS = 20.0, SAVE_SECONDS
DISCRIMINATOR_STEPS = 40  # of the discriminator alone, before the generator learns from it
NEXT_ORDER = 7919  # added to the seed by each rollback


class Callbacks(NamedTuple):
    """Functions called as a training proceeds.

    Attributes:
        on_prepare: with files read so far and files in all.
        on_step: after each step.
        on_event: with a name and its facts; names are "checked", "stage", "rolled_back",
            "not_saved", "not_noted", "not_validated", "comparing" and "measuring".
        should_stop: asked after each step.
    """

    on_prepare: Callable[[int, int], None] = lambda _done, _all: None
    on_step: Callable[[Progress], None] = lambda _progress: None
    on_event: Callable[[str, dict[str, Any]], None] = lambda _name, _facts: None
    should_stop: Callable[[], bool] = lambda: False


class Trainer:
    """Runs one training from its current progress to its end.

    Args:
        request: what to do.
        photos: the collection to learn from.
        gan: the networks in the state that `progress` describes.
        progress: how far the training is; empty for a new one.
        run_folder: for checkpoints and the run log.
        log_prior: (K,) log-probability of each color of the grid.
        callbacks: called as the training proceeds.

    Raises:
        ModelError: training until a plateau needs validation photographs, and there are none.
    """

    def __init__(
        self,
        request: TrainingRequest,
        photos: Collection,
        gan: ColorizationGAN,
        progress: Progress,
        run_folder: Path,
        log_prior: NDArray[np.float32],
        callbacks: Callbacks,
    ) -> None:
        """Prepare the validation photographs and open the run log."""
        recipe = request.recipe
        self.progress = progress
        self._request, self._photos, self._gan = request, photos, gan
        self._folder, self._callbacks = run_folder, callbacks
        self._schedule = Schedule(request)
        self._validation = Validation(photos, SIDE, recipe.batch, log_prior)
        self._losses = divergence.LossWatch()
        self._batches = self._batches_from_here()
        self._run_log = RunLog(run_folder, progress)
        self._clock = self._checked = self._saved = time.monotonic()
        self._warned = float("-inf")
        if not self._validation.held_back:
            if request.until_plateau:
                raise ModelError(
                    "--until-plateau needs validation photographs, and none could be held back; "
                    "add photographs, raise training.validation_share, or use --minutes"
                )
            callbacks.on_event("not_validated", {"reason": "no photograph could be held back"})

    def run(self) -> bool:
        """Train to the end of the schedule; return False if asked to stop before.

        Raises:
            ModelError: the training diverged too often; the last good checkpoint is kept.
            OSError: the final checkpoint could not be saved; the one before it is kept.
        """
        self._clock = time.monotonic()
        if not self.progress.checks:
            (self._folder / BEST).unlink(missing_ok=True)
            self._check_and_save(must_save=True)  # a rollback always finds a checkpoint
        while not (self._schedule.over(self.progress) and self._finish()):
            self._step(next(self._batches))
            if problem := self._losses.problem(self.progress):
                self._roll_back(problem)
                continue
            self._callbacks.on_step(self.progress)
            self._log(lambda: self._run_log.step(self.progress))
            if self._callbacks.should_stop():
                self._check_and_save(must_save=True)
                return False
            self._check_and_save_when_due()
        return True

    def close(self) -> None:
        """Close the run log and drop the batches in preparation."""
        self._batches.close()
        self._log(self._run_log.close)

    def _step(self, batch: dataset.Batch) -> None:
        progress, gan = self.progress, self._gan
        progress.rate = self._schedule.rate(progress)
        if self._schedule.alone(progress):
            progress.generator_loss = gan.step_alone(batch, progress.rate)
            progress.step += 1
        else:
            if not progress.adversarial:
                self._begin_adversarial()
            progress.discriminator_loss = gan.step_discriminator(batch, 3 * progress.rate)
            if progress.judge_steps < DISCRIMINATOR_STEPS:
                progress.judge_steps += 1
            else:
                progress.generator_loss = gan.step_adversarial(batch, progress.rate)
                progress.step += 1
        self._count_time()
        progress.share = self._schedule.share(progress)

    def _begin_adversarial(self) -> None:
        """Begin the second stage from the averaged weights that did best on validation."""
        self._return_to_best()
        self._gan.begin_adversarial()
        self.progress.adversarial = True
        self._losses = divergence.LossWatch()
        self._enter("adversarial", "the generator now trains against the discriminator")

    def _return_to_best(self) -> None:
        checks = self.progress.checks
        best = schedule.best(checks)
        if best and best is not checks[-1] and (self._folder / BEST).exists():
            self._restore(BEST)

    def _finish(self) -> bool:
        """Check and save for the last time; return False if a rollback left more to do."""
        if not self._check() and not self._schedule.over(self.progress):
            return False
        if not self.progress.adversarial:
            self._return_to_best()
        saved = self._save_checkpoint(must_save=True)
        self._log(lambda: self._run_log.draw(self._validation.samples()))
        return saved or self._schedule.over(self.progress)

    def _check_and_save_when_due(self) -> None:
        now, progress = time.monotonic(), self.progress
        if self._schedule.over(progress):
            return
        stage_ends = not self._schedule.alone(progress) and not progress.adversarial
        between_checks = self._seconds_between_checks()
        if not stage_ends and now - self._checked <= between_checks:
            return
        # Checkpoints are saved with a check: the last one before SAVE_SECONDS have passed.
        if stage_ends or now - self._saved + between_checks > SAVE_SECONDS:
            self._check_and_save()
        else:
            self._check()

    def _seconds_between_checks(self) -> float:
        """Return the time of two epochs, within bounds.

        A small collection is overfitted soon; checks are cheap where validation photographs are few
        or the device is fast.
        """
        speed = self.progress.photos_per_second(self._request.recipe.batch)
        epochs = CHECK_EPOCHS * len(self._photos.training) / speed
        return max(SHORTEST_CHECK_SECONDS, min(LONGEST_CHECK_SECONDS, epochs))

    def _check_and_save(self, *, must_save: bool = False) -> None:
        if self._check() and self._save_checkpoint(must_save=must_save):
            self._log(lambda: self._run_log.draw(self._validation.samples()))

    def _check(self) -> bool:
        """Check the generator and act on the result; return False after a rollback."""
        progress = self.progress
        check = self._validation.check(self._gan, progress)
        progress.checks.append(check)
        self._checked = time.monotonic()
        if problem := divergence.color_problem(progress.checks):
            self._roll_back(problem)
            return False
        facts = {"step": check.step, "loss": check.loss, "variety": check.variety}
        self._callbacks.on_event("checked", facts)
        self._log(lambda: self._run_log.check(check, progress))
        is_best = check.step and check is schedule.best(progress.checks)
        if is_best and not self._save(BEST):
            return False
        if decision := self._schedule.review(progress):
            self._decide(decision)
        return True

    def _decide(self, decision: schedule.Decision) -> None:
        if decision == "plateau":
            self._return_to_best()
            self._enter("cooling down", "validation stopped improving; lowering the learning rate")
        else:
            self._enter("early stop", "validation is getting worse; continuing from the best")

    def _enter(self, stage: str, reason: str) -> None:
        facts = {"stage": stage, "step": self.progress.step, "reason": reason}
        self._callbacks.on_event("stage", facts)
        self._log(lambda: self._run_log.event("stage", self.progress, stage))

    def _save_checkpoint(self, *, must_save: bool) -> bool:
        self._count_time()
        self._saved = time.monotonic()
        return self._save(CHECKPOINT, must_save=must_save)

    def _save(self, name: str, *, must_save: bool = False) -> bool:
        """Save the networks; return False if their weights are broken and were rolled back.

        A disk that fails does not end the training, unless `must_save`; the next save tries again.
        """
        try:
            checkpoint.save(self._folder / name, self._gan, self._request, self.progress)
        except NotFiniteError as error:
            self._roll_back(str(error))
            return False
        except OSError as error:
            if must_save:
                raise
            facts = {"file": self._folder / name, "reason": str(error)}
            self._callbacks.on_event("not_saved", facts)
        return True

    def _roll_back(self, problem: str) -> None:
        """Return to the last checkpoint, with lower rates and the photographs in another order.

        The same photographs in the same batches might do the same again. Lost steps are repeated;
        the time they took stays spent.

        Raises:
            ModelError: the training has been rolled back too often.
        """
        if not self.progress.batches:
            raise ModelError(f"{problem}: the weights that the training starts from are broken")
        rollbacks, factor = self.progress.rollbacks + 1, self.progress.rate_factor
        self._count_time()
        seconds = self.progress.seconds
        if rollbacks > divergence.MAX_ROLLBACKS:
            raise ModelError(
                f"{problem}, after {divergence.MAX_ROLLBACKS} rollbacks; the last good checkpoint "
                f"and the run log are in {self._folder}. Start again with a lower training.rate or "
                "training.adversarial_rate"
            )
        self.progress = self._restore(CHECKPOINT)
        self.progress.rollbacks, self.progress.seconds = rollbacks, seconds
        self.progress.rate_factor = factor * divergence.RATE_FACTOR
        self._losses = divergence.LossWatch()
        self._batches.close()
        self._batches = self._batches_from_here()
        facts = {
            "reason": problem,
            "back_to_step": self.progress.step,
            "rate_factor": self.progress.rate_factor,
            "rollbacks": rollbacks,
        }
        self._callbacks.on_event("rolled_back", facts)
        self._log(lambda: self._run_log.event("rolled_back", self.progress, "rolled back"))
        self._save(CHECKPOINT)  # so that a kill now keeps the lower rates

    def _log(self, write: Callable[[], None]) -> None:
        """Write to the run log; if that fails, warn now and then and continue."""
        try:
            write()
        except (OSError, ImportError) as error:
            if time.monotonic() - self._warned > SAVE_SECONDS:
                self._warned = time.monotonic()
                self._callbacks.on_event("not_noted", {"reason": str(error)})

    def _restore(self, name: str) -> Progress:
        saved = checkpoint.load(self._folder / name)
        checkpoint.restore(self._gan, saved, self._folder)
        return saved.progress

    def _count_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _batches_from_here(self) -> Generator[dataset.Batch]:
        recipe, progress = self._request.recipe, self.progress
        seed = self._request.seed + NEXT_ORDER * progress.rollbacks
        return dataset.batches(self._photos, recipe.crop, recipe.batch, seed, progress.batches)
