"""The course of a training: step after step, looked after, and put back when it goes wrong.

Every few minutes the validation photographs are looked at and, when all is well, a checkpoint is
kept. What fails is put back to the last one kept, with lower rates.
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
from worker.training.data.collection import Collection
from worker.training.gan import ColorizationGAN
from worker.training.run import CHECKPOINT, Plan, Progress
from worker.training.run_log import RunLog
from worker.training.schedule import Schedule
from worker.training.validation import Validation

KEEP_SECONDS = 180.0  # between checkpoints: the most that a kill costs, but for the saving itself
CHECK_PASSES = 2.0  # times through the collection between checks, within these bounds:
SHORTEST_CHECK_SECONDS, LONGEST_CHECK_SECONDS = 20.0, KEEP_SECONDS
JUDGE_ALONE_STEPS = 40  # discriminator only, before its first verdict counts
NEXT_ORDER = 7919  # added to the seed by each rollback


class Callbacks(NamedTuple):
    """Who follows a training.

    Attributes:
        preparing: told of files looked at, and of all.
        report: told after each step.
        notice: told what happened, as a word and facts: "checked", "stage", "rolled_back",
            "not_saved", "not_noted", "not_validated", "measuring".
        should_stop: asked after each step.
    """

    preparing: Callable[[int, int], None] = lambda _done, _of: None
    report: Callable[[Progress], None] = lambda _progress: None
    notice: Callable[[str, dict[str, Any]], None] = lambda _word, _facts: None
    should_stop: Callable[[], bool] = lambda: False


class Trainer:
    """One training from where it stands to its end.

    Args:
        plan: what to do.
        photos: what to learn from.
        gan: the networks, as `progress` left them.
        progress: where the training stands; nothing for a new one.
        run_folder: for checkpoints and the journal.
        log_prior: (K,) log-probability of each color.
        listener: who follows.

    Raises:
        ModelError: a plateau is to be found without any photograph to find it by.
    """

    def __init__(
        self,
        plan: Plan,
        photos: Collection,
        gan: ColorizationGAN,
        progress: Progress,
        run_folder: Path,
        log_prior: NDArray[np.float32],
        listener: Callbacks,
    ) -> None:
        """Make ready; no step is taken yet."""
        settings = plan.settings
        self.progress = progress
        self._plan, self._photos, self._gan = plan, photos, gan
        self._folder, self._listener = run_folder, listener
        self._schedule = Schedule(plan.budget, settings)
        self._validation = Validation(photos, settings.crop, settings.batch, log_prior)
        self._losses = divergence.LossWatch()
        self._batches = self._batches_from_here()
        self._journal = RunLog(run_folder, progress)
        self._clock = self._looked = self._kept = time.monotonic()
        self._complained = float("-inf")
        if not self._validation.held_back:
            if plan.budget.until_plateau:
                raise ModelError(
                    "no photograph could be held back, so no plateau can be seen; give more "
                    "photographs, raise training.validation_share, or train by --minutes"
                )
            listener.notice("not_validated", {"reason": "no photograph could be held back"})

    def run(self) -> bool:
        """Teach to the end of the schedule; False when asked to stop before.

        Raises:
            ModelError: it went wrong too often; the last good checkpoint is kept.
            OSError: the last state could not be saved; the checkpoint before it is kept.
        """
        self._clock = time.monotonic()
        if not self.progress.checks:
            (self._folder / BEST).unlink(missing_ok=True)
            self._look_and_keep(insist=True)  # so that there is always one to go back to
        while not (self._schedule.over(self.progress) and self._ends_well()):
            self._step(next(self._batches))
            if complaint := self._losses.complaint(self.progress):
                self._go_back(complaint)
                continue
            self._listener.report(self.progress)
            self._try(lambda: self._journal.step(self.progress))
            if self._listener.should_stop():
                self._look_and_keep(insist=True)
                return False
            self._look_and_keep_when_due()
        return True

    def close(self) -> None:
        """Let go of the journal and of the batches in preparation."""
        self._batches.close()
        self._try(self._journal.close)

    def _step(self, batch: dataset.Batch) -> None:
        progress, gan = self.progress, self._gan
        progress.rate = self._schedule.rate(progress)
        if self._schedule.alone(progress):
            progress.generator_loss = gan.step_alone(batch, progress.rate)
            progress.step += 1
        else:
            if not progress.adversarial:
                self._begin_adversarial()
            progress.discriminator_loss = gan.step_judge(batch, 3 * progress.rate)
            if progress.judge_steps < JUDGE_ALONE_STEPS:
                progress.judge_steps += 1
            else:
                progress.generator_loss = gan.step_adversarial(batch, progress.rate)
                progress.step += 1
        self._count_time()
        progress.share = self._schedule.share(progress)

    def _begin_adversarial(self) -> None:
        """Begin the second stage, from the averaged weights that did best on validation."""
        self._return_to_best()
        self._gan.begin_adversarial()
        self.progress.adversarial = True
        self._losses = divergence.LossWatch()
        self._enter("adversarial", "the generator learns colors and to pass for a photograph")

    def _return_to_best(self) -> None:
        checks = self.progress.checks
        best = schedule.best(checks)
        if best is None or not checks[-1].loss or not (self._folder / BEST).exists():
            return
        if (best.loss or 0.0) < checks[-1].loss * (1 - schedule.GAIN):
            self._restore(BEST)

    def _ends_well(self) -> bool:
        """Look and save for the last time; False when that put it back and there is more to do."""
        if not self._look() and not self._schedule.over(self.progress):
            return False
        if not self.progress.adversarial:
            self._return_to_best()
        well = self._keep(insist=True)
        self._try(lambda: self._journal.draw(self._validation.samples()))
        return well or self._schedule.over(self.progress)

    def _look_and_keep_when_due(self) -> None:
        now, progress = time.monotonic(), self.progress
        if self._schedule.over(progress):
            return
        stage_ends = not self._schedule.alone(progress) and not progress.adversarial
        if now - self._kept > KEEP_SECONDS or stage_ends:
            self._look_and_keep()
        elif now - self._looked > self._seconds_between_checks():
            self._look()

    def _seconds_between_checks(self) -> float:
        """Return the time of two passes through the collection, within bounds.

        A small collection is learned by heart soon; a check takes little time where photographs are
        few or the device is fast.
        """
        speed = self.progress.photos_per_second(self._plan.settings.batch)
        passes = CHECK_PASSES * len(self._photos.training) / speed
        return max(SHORTEST_CHECK_SECONDS, min(LONGEST_CHECK_SECONDS, passes))

    def _look_and_keep(self, *, insist: bool = False) -> None:
        if self._look() and self._keep(insist=insist):
            self._try(lambda: self._journal.draw(self._validation.samples()))

    def _look(self) -> bool:
        """Check, and act on it; False when the training had to be put back."""
        progress = self.progress
        check = self._validation.check(self._gan, progress)
        progress.checks.append(check)
        self._looked = time.monotonic()
        if complaint := divergence.dead_color(progress.checks):
            self._go_back(complaint)
            return False
        facts = {"step": check.step, "loss": check.loss, "variety": check.variety}
        self._listener.notice("checked", facts)
        self._try(lambda: self._journal.check(check, progress))
        is_best = check.step and check is schedule.best(progress.checks)
        if is_best and not self._save(BEST):
            return False
        if decision := self._schedule.review(progress):
            self._decide(decision)
        return True

    def _decide(self, decision: schedule.Decision) -> None:
        if decision == "plateau":
            self._return_to_best()
            self._enter("cooling down", "validation improves no more: the learning rate falls now")
        else:
            self._enter("early stop", "validation grows worse: the best weights so far go on")

    def _enter(self, stage: str, reason: str) -> None:
        facts = {"stage": stage, "step": self.progress.step, "reason": reason}
        self._listener.notice("stage", facts)
        self._try(lambda: self._journal.event("stage", self.progress, stage))

    def _keep(self, *, insist: bool) -> bool:
        self._count_time()
        self._kept = time.monotonic()
        return self._save(CHECKPOINT, insist=insist)

    def _save(self, name: str, *, insist: bool = False) -> bool:
        """Save; False when the networks are broken and had to be put back.

        Where the disk refuses, the training goes on, and the next time tries again; unless
        `insist`.
        """
        try:
            checkpoint.save(self._folder / name, self._gan, self._plan, self.progress)
        except NotFiniteError as error:
            self._go_back(str(error))
            return False
        except OSError as error:
            if insist:
                raise
            self._listener.notice("not_saved", {"file": self._folder / name, "reason": str(error)})
        return True

    def _go_back(self, complaint: str) -> None:
        """Return to the last good checkpoint and go on with lower rates and another order.

        Another order, because the same photographs in the same company may do the same again. The
        time that was lost stays used; steps are done again.

        Raises:
            ModelError: it did not help often enough.
        """
        if not self.progress.batches:
            raise ModelError(f"{complaint}: the weights that the training starts from are broken")
        rollbacks, factor = self.progress.rollbacks + 1, self.progress.rate_factor
        self._count_time()
        seconds = self.progress.seconds
        if rollbacks > divergence.MAX_ROLLBACKS:
            raise ModelError(
                f"{complaint}, after {divergence.MAX_ROLLBACKS} rollbacks; the last good "
                f"checkpoint is kept in {self._folder}. Look at its journal, and begin again with a"
                "lower training.rate or adversarial_rate"
            )
        self.progress = self._restore(CHECKPOINT)
        self.progress.rollbacks, self.progress.seconds = rollbacks, seconds
        self.progress.rate_factor = factor * divergence.RATE_FACTOR
        self._losses = divergence.LossWatch()
        self._batches.close()
        self._batches = self._batches_from_here()
        facts = {
            "reason": complaint,
            "back_to_step": self.progress.step,
            "rate_factor": self.progress.rate_factor,
            "rollbacks": rollbacks,
        }
        self._listener.notice("rolled_back", facts)
        self._try(lambda: self._journal.event("rolled_back", self.progress, "put back"))
        self._save(CHECKPOINT)  # so that a kill now does not forget the lower rates

    def _try(self, note: Callable[[], None]) -> None:
        """Write in the journal; a disk that refuses it is told now and then and ends nothing."""
        try:
            note()
        except (OSError, ImportError) as error:
            if time.monotonic() - self._complained > KEEP_SECONDS:
                self._complained = time.monotonic()
                self._listener.notice("not_noted", {"reason": str(error)})

    def _restore(self, name: str) -> Progress:
        saved = checkpoint.load(self._folder / name)
        checkpoint.restore(self._gan, saved, self._folder)
        return saved.progress

    def _count_time(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def _batches_from_here(self) -> Generator[dataset.Batch]:
        settings, progress = self._plan.settings, self.progress
        seed = self._plan.seed + NEXT_ORDER * progress.rollbacks
        return dataset.batches(self._photos, settings.crop, settings.batch, seed, progress.batches)
