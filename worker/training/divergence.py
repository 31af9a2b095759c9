"""Signs that a training diverges: infinite or exploding losses, and collapsed color; pure."""

import math
import statistics
from collections import deque
from collections.abc import Sequence

from worker.training.run import Check, Progress

RATE_FACTOR = 0.5  # by which each rollback lowers the learning rates
MAX_ROLLBACKS = 4  # at a sixteenth of the rate, the rate is not the cause
BEFORE = 100  # steps whose median is the usual loss
LATELY = 10  # steps whose median is the present loss; one bad batch does not matter
EXPLODED = 2.0  # times the usual loss; it varies by a fifth from batch to batch
DEAD = 0.25  # share of the former variety below which the color has collapsed
ALIVE = 0.1  # of the true variety; there was no color to lose if it was less before


class LossWatch:
    """Watches the losses of one stage, comparing medians, which ignore outliers."""

    def __init__(self) -> None:
        """Begin with an empty history."""
        self._losses: deque[float] = deque(maxlen=BEFORE + LATELY)
        self._step = 0

    def problem(self, progress: Progress) -> str | None:
        """Add the losses of a step; describe what is wrong with them, if anything."""
        for name, loss in (
            ("generator", progress.generator_loss),
            ("discriminator", progress.discriminator_loss),
        ):
            if not math.isfinite(loss):
                return f"the {name}'s loss became {loss} in step {progress.step}"
        if progress.step != self._step:  # else only the discriminator took a step
            self._step = progress.step
            self._losses.append(progress.generator_loss)
        if len(self._losses) < BEFORE + LATELY:
            return None
        losses = list(self._losses)
        usual, now = statistics.median(losses[:BEFORE]), statistics.median(losses[BEFORE:])
        if now > EXPLODED * usual:
            return (
                f"the generator's loss rose from {usual:.2f} to {now:.2f} by step {progress.step}"
            )
        return None


def color_problem(checks: Sequence[Check]) -> str | None:
    """Describe what is wrong with the colors of the last check, if anything.

    They are compared with the most varied check since the generator learned anything, but at most
    with the truth: a generator that starts out too vivid may settle.
    """
    now = checks[-1]
    numbers = (now.colorfulness, now.variety, 0.0 if now.loss is None else now.loss)
    if not all(map(math.isfinite, numbers)):
        return f"the generator's output is not finite on validation photographs in step {now.step}"
    alive = [check.variety for check in checks[:-1] if check.learned]
    before = min(1.0, max(alive, default=0.0))
    if before < ALIVE or now.variety >= DEAD * before:
        return None
    kind = "gray" if now.colorfulness < DEAD else "one color"
    return (
        f"colors collapsed to {kind} by step {now.step}: their variety within a photograph is "
        f"{now.variety:.2f} of the true one, and was {before:.2f}"
    )
