"""When each stage of a training begins and ends, and how fast it learns; pure.

With a length (`--minutes`, `--steps`): the rate of the first stage warms up and falls along a
cosine over its share of the length. When validation grows worse for long, as on a small collection,
the stage ends early.

Until a plateau: the rate warms up and stays. When validation improves no more, the rate falls over
a quarter of the steps so far, which is a fifth of the stage: as good as a cosine over its whole
length (Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed durations").

The adversarial stage follows: `adversarial_share` of the whole, however long the first stage was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from worker.settings import TrainSettings
from worker.training.run import Budget, Check, Progress

WARM_UP = 0.02  # share of the first stage in which the rate rises, where its length is known
WARM_UP_STEPS = 200  # where it is not
LOWEST = 0.02  # of its peak: where a falling rate ends
COOL_DOWN = 0.25  # of the steps until the plateau: how long the rate then falls
SETTLED_STEPS = 500  # earlier checks tell nothing: the average is as long, and the warm-up not over
PATIENCE = 6  # checks without a gain that are a plateau
GAIN = 0.005  # of the best loss: less is no gain
WORSE_CHECKS = 5  # in a row that end the first stage early
WORSE = 0.02  # above the best loss: what counts as worse; seventeen photographs vary by half of it
ROUNDING = 1e-9

Decision = Literal["plateau", "early stop"]


@dataclass(frozen=True)
class Schedule:
    """The course of one training.

    Attributes:
        budget: its length, or until a plateau.
        settings: its rates and the share of the adversarial stage.
    """

    budget: Budget
    settings: TrainSettings

    def share(self, progress: Progress) -> float:
        """Return the share that is done, 1 at the end; 0 while the length is not known."""
        end = self._end(progress)
        share = self._used(progress) / end if end else 0.0
        return share if share < 1 - ROUNDING else 1.0

    def over(self, progress: Progress) -> bool:
        """Tell whether the training is done."""
        return self.share(progress) >= 1

    def alone(self, progress: Progress) -> bool:
        """Tell whether the next step belongs to the first stage."""
        until = self._alone_until(progress)
        return until is None or self._used(progress) < until - ROUNDING

    def rate(self, progress: Progress) -> float:
        """Return the generator's learning rate of the next step, rollbacks taken into account."""
        used, until = self._used(progress), self._alone_until(progress)
        settings = self.settings
        if not self.alone(progress):
            assert until is not None  # noqa: S101  (else it would be the first stage)
            length = (self._end(progress) or until) - until
            peak, part = settings.adversarial_rate, _cosine((used - until) / max(length, ROUNDING))
        elif self.budget.total is not None:
            peak, part = settings.rate, _warm_cosine(used / self._planned_alone())
        elif progress.cooling_from is None or until is None:
            peak, part = settings.rate, min(1.0, (used + 1) / WARM_UP_STEPS)
        else:
            cooled = (used - progress.cooling_from) / (until - progress.cooling_from)
            peak, part = settings.rate, _cosine(cooled)
        return peak * part * progress.rate_factor

    def review(self, progress: Progress) -> Decision | None:
        """Look at the checks, and change the course in `progress` where they ask for it.

        Returns:
            What was decided: "plateau" when the rate begins to fall, "early stop" when the first
            stage ends now; None when the course stays.
        """
        if not self.alone(progress) or progress.alone_until is not None:
            return None
        losses = _settled(progress.checks)
        used = self._used(progress)
        if self.budget.until_plateau and is_plateau(losses):
            progress.cooling_from = used
            progress.alone_until = used + max(1.0, COOL_DOWN * used)
            return "plateau"
        if not self.budget.until_plateau and grows_worse(losses):
            progress.alone_until = used
            return "early stop"
        return None

    def _used(self, progress: Progress) -> float:
        return self.budget.used(progress.step, progress.seconds)

    def _planned_alone(self) -> float:
        return (self.budget.total or 0.0) * (1 - self.settings.adversarial_share)

    def _alone_until(self, progress: Progress) -> float | None:
        if progress.alone_until is None and self.budget.total is not None:
            return self._planned_alone()
        return progress.alone_until

    def _end(self, progress: Progress) -> float | None:
        if progress.alone_until is None:
            return self.budget.total
        return progress.alone_until / (1 - self.settings.adversarial_share)


def is_plateau(losses: Sequence[float]) -> bool:
    """Tell whether the last PATIENCE losses brought no gain over the best before them."""
    before, last = losses[:-PATIENCE], losses[-PATIENCE:]
    return bool(before) and min(last) > min(before) * (1 - GAIN)


def grows_worse(losses: Sequence[float]) -> bool:
    """Tell whether each of the last WORSE_CHECKS losses was clearly above the best before them."""
    before, last = losses[:-WORSE_CHECKS], losses[-WORSE_CHECKS:]
    return bool(before) and min(last) > min(before) * (1 + WORSE)


def best(checks: Sequence[Check]) -> Check | None:
    """Return the check of the first stage with the lowest loss, the latest of equals."""
    measured = [check for check in checks if check.loss is not None and not check.adversarial]
    return min(reversed(measured), key=lambda check: check.loss or 0.0, default=None)


def _settled(checks: Sequence[Check]) -> list[float]:
    return [
        check.loss
        for check in checks
        if check.loss is not None and not check.adversarial and check.step >= SETTLED_STEPS
    ]


def _warm_cosine(share: float) -> float:
    return share / WARM_UP + 0.01 if share < WARM_UP else _cosine(share)


def _cosine(share: float) -> float:
    """Fall from 1 to LOWEST along half a cosine (Loshchilov and Hutter 2017)."""
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
