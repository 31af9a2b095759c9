"""Signs that a training has gone wrong: impossible or exploding losses, and dead color; pure."""

import math
import statistics
from collections import deque
from collections.abc import Sequence

from worker.training.run import Check, Progress

RATE_FACTOR = 0.5  # of the learning rates, after each rollback
MAX_ROLLBACKS = 4  # a sixteenth of the rate: what still fails then is no matter of the rate
BEFORE = 100  # steps that say what is usual
LATELY = 10  # steps that say what is now; one bad batch is none of our business
EXPLODED = 2.0  # times the usual loss; a class loss varies by a fifth from batch to batch
DEAD = 0.25  # of the variety there was: below it the color has collapsed
ALIVE = 0.1  # of the truth's variety: with less than that before, there was nothing to lose


class LossWatch:
    """Looks at the losses of one stage, step by step, and compares medians (robust to outliers)."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._losses: deque[float] = deque(maxlen=BEFORE + LATELY)
        self._step = 0

    def complaint(self, progress: Progress) -> str | None:
        """Take the losses of a step in; say in plain words what is wrong with them, if anything."""
        for name, loss in (
            ("generator", progress.generator_loss),
            ("discriminator", progress.discriminator_loss),
        ):
            if not math.isfinite(loss):
                return f"the {name}'s loss became {loss} in step {progress.step}"
        if progress.step != self._step:  # else it was the discriminator's step alone
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


def dead_color(checks: Sequence[Check]) -> str | None:
    """Say in plain words what is wrong with the last check, if anything.

    Its colors are compared with the most varied before, since something was learned, but at most
    with the truth: a generator that starts out too vivid may come down to it.
    """
    now = checks[-1]
    numbers = (now.colorfulness, now.variety, 0.0 if now.loss is None else now.loss)
    if not all(map(math.isfinite, numbers)):
        return f"the generator gives no numbers on the validation photographs in step {now.step}"
    alive = [check.variety for check in checks[:-1] if check.learned]
    before = min(1.0, max(alive, default=0.0))
    if before < ALIVE or now.variety >= DEAD * before:
        return None
    kind = "gray" if now.colorfulness < DEAD else "one color"
    return (
        f"colors collapsed to {kind} by step {now.step}: within a photograph they vary "
        f"{now.variety:.2f} as much as the true ones, {before:.2f} before"
    )
