"""The stages of a training and its learning rate at each step; pure.

With a length (`--minutes`, `--steps`), the rate of the first stage warms up, then decays along a
cosine. The stage ends early if validation keeps getting worse, as on a small collection.

Until a plateau, the rate warms up and stays constant. When validation stops improving, it decays
over a quarter of the steps so far, a fifth of the stage: as good as a cosine over the whole stage
(Haegele et al. 2024, "Scaling laws and compute-optimal training beyond fixed durations").

The adversarial stage follows. It takes `adversarial_share` of the whole training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from worker.training.request import TrainingRequest
from worker.training.run import Check, Progress

WARM_UP = 0.02  # share of the first stage, if its length is known
WARM_UP_STEPS = 200  # if it is not
LOWEST = 0.02  # share of the peak rate at which a decay ends
COOL_DOWN = 0.25  # length of the decay after a plateau, as a share of the steps before it
SETTLED_STEPS = 500  # earlier checks mean nothing: the rate has risen for 200 of them
PATIENCE = 6  # checks without a gain that make a plateau
GAIN = 0.005  # share of the best loss; a smaller improvement is no gain
WORSE_CHECKS = 5  # in a row that end the first stage early
WORSE = 0.02  # share of the best loss; seventeen photographs vary by half of it
ROUNDING = 1e-9

Decision = Literal["plateau", "early stop"]


@dataclass(frozen=True)
class Schedule:
    """The stages of the training that a request asks for.

    Times are in units of its length: seconds if it has `minutes`, else steps of the generator.
    """

    request: TrainingRequest

    @property
    def total(self) -> float | None:
        """The length of the training; None until a plateau is found."""
        request = self.request
        return None if request.until_plateau else request.steps or 60 * (request.minutes or 0.0)

    def share(self, progress: Progress) -> float:
        """Return the share of the training that is done; 0 while the length is unknown."""
        end = self._end(progress)
        share = self._used(progress) / end if end else 0.0
        return share if share < 1 - ROUNDING else 1.0

    def over(self, progress: Progress) -> bool:
        """Tell whether the training is complete."""
        return self.share(progress) >= 1

    def alone(self, progress: Progress) -> bool:
        """Tell whether the next step belongs to the first stage."""
        until = self._alone_until(progress)
        return until is None or self._used(progress) < until - ROUNDING

    def rate(self, progress: Progress) -> float:
        """Return the generator's learning rate for the next step, lowered by rollbacks."""
        used, until = self._used(progress), self._alone_until(progress)
        recipe = self.request.recipe
        if not self.alone(progress):
            assert until is not None  # noqa: S101  (else it would be the first stage)
            length = (self._end(progress) or until) - until
            peak, part = recipe.adversarial_rate, _cosine((used - until) / max(length, ROUNDING))
        elif self.total is not None:
            peak, part = recipe.rate, _warm_cosine(used / self._planned_alone())
        elif progress.cooling_from is None or until is None:
            peak, part = recipe.rate, min(1.0, (used + 1) / WARM_UP_STEPS)
        else:
            cooled = (used - progress.cooling_from) / (until - progress.cooling_from)
            peak, part = recipe.rate, _cosine(cooled)
        return peak * part * progress.rate_factor

    def review(self, progress: Progress) -> Decision | None:
        """Decide from the checks whether the first stage should end, and note it in `progress`.

        Returns:
            "plateau" if the rate decays from now on, "early stop" if the stage ends now, else None.
        """
        if not self.alone(progress) or progress.alone_until is not None:
            return None
        losses = _settled(progress.checks)
        used = self._used(progress)
        if self.request.until_plateau and is_plateau(losses):
            progress.cooling_from = used
            progress.alone_until = used + max(1.0, COOL_DOWN * used)
            return "plateau"
        if not self.request.until_plateau and grows_worse(losses):
            progress.alone_until = used
            return "early stop"
        return None

    def _used(self, progress: Progress) -> float:
        return progress.step if self.request.minutes is None else progress.seconds

    def _planned_alone(self) -> float:
        return (self.total or 0.0) * (1 - self.request.recipe.adversarial_share)

    def _alone_until(self, progress: Progress) -> float | None:
        if progress.alone_until is None and self.total is not None:
            return self._planned_alone()
        return progress.alone_until

    def _end(self, progress: Progress) -> float | None:
        if progress.alone_until is None:
            return self.total
        return progress.alone_until / (1 - self.request.recipe.adversarial_share)


def is_plateau(losses: Sequence[float]) -> bool:
    """Tell whether none of the last PATIENCE losses improved on the best before them."""
    before, last = losses[:-PATIENCE], losses[-PATIENCE:]
    return bool(before) and min(last) > min(before) * (1 - GAIN)


def grows_worse(losses: Sequence[float]) -> bool:
    """Tell whether all of the last WORSE_CHECKS losses were worse than the best before them."""
    before, last = losses[:-WORSE_CHECKS], losses[-WORSE_CHECKS:]
    return bool(before) and min(last) > min(before) * (1 + WORSE)


def best(checks: Sequence[Check]) -> Check | None:
    """Return the check of the first stage with the lowest loss; of equal ones, the latest."""
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
    """Decay from 1 to LOWEST along half a cosine (Loshchilov and Hutter 2017)."""
    return LOWEST + (1 - LOWEST) * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
