"""When a new generator may take the place of the one that serves: a pure rule of numbers.

Better on the new collection, and nothing lost elsewhere: docs/evaluation.md says why each limit is
what it is.
"""

from typing import NamedTuple

import numpy as np

from worker.training.evaluation.evaluate import Scored

FEWEST_PHOTOS = 20  # with fewer, the standard error itself is a guess
BETTER_BY = 1.0  # standard errors that the ab error must fall by; chance alone does it 1 time in 6
REFERENCE_LOSS = 0.02  # share of the ab error that may be lost elsewhere; 0.25 units, below sight
DULLER_BY = 0.05  # of colorfulness ratio; it hides 0.3 units of error, as much as may be lost
MOST_COLORFUL = 1.15  # ratio; above it colors scream
WORSE_KERNEL = 0.03  # of kernel share; two equal generators scatter by 0.0024
ENOUGH_FOR_KERNEL = 100  # photographs; with fewer it scatters more than it says


class Pair(NamedTuple):
    """The new generator and the one that serves, on the same photographs in the same order."""

    new: Scored
    current: Scored


class Verdict(NamedTuple):
    """Whether the new one serves from now on, and why or why not, in plain words."""

    promoted: bool
    why: str


class Difference(NamedTuple):
    """Mean difference of ab error, new less current, and its standard error; ab units."""

    mean: float
    error: float


def judge(collection: Pair | None, reference: Pair | None) -> Verdict:
    """Decide whether a new generator is promoted.

    Args:
        collection: scores on photographs of the new collection that were never trained on; None
            when none could be held back.
        reference: scores on photographs that stand for everything else; None without such a set.

    Returns:
        promoted only when it is better on the collection by more than chance and loses no more than
        the limits on the reference set; all reasons against it are named.
    """
    reasons = [
        *_too_few(collection, "validation photographs of the collection were held back"),
        *_too_few(reference, "photographs are in the reference set"),
    ]
    if collection is None or reference is None or reasons:
        return Verdict(promoted=False, why="; ".join(reasons))
    gained, lost = difference(collection), difference(reference)
    before, base = (pair.current.scores.ab_rmse for pair in (collection, reference))
    on_collection = (
        f"ab error on the collection {_step(before, gained)} over "
        f"{collection.new.scores.photographs} photographs"
    )
    on_reference = (
        f"on the reference set {_step(base, lost)} over {reference.new.scores.photographs}"
    )
    if gained.mean >= -BETTER_BY * gained.error:
        reasons.append(f"no better than chance: {on_collection}")
    if lost.mean + lost.error > REFERENCE_LOSS * base:
        reasons.append(
            f"it forgets: ab error {on_reference}, of which {REFERENCE_LOSS * base:.2f} may be lost"
        )
    reasons += _uglier(collection, "on the collection") + _uglier(reference, "on the reference set")
    if reasons:
        return Verdict(promoted=False, why="; ".join(reasons))
    return Verdict(promoted=True, why=f"better: {on_collection}; kept: {on_reference}")


def difference(pair: Pair) -> Difference:
    """Compare photograph by photograph, so that hard ones weigh on both alike."""
    each = pair.new.ab_errors - pair.current.ab_errors
    return Difference(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))))


def _step(before: float, by: Difference) -> str:
    return f"{before:.2f} -> {before + by.mean:.2f} ({by.mean:+.2f}, give or take {by.error:.2f})"


def _too_few(pair: Pair | None, what: str) -> list[str]:
    count = pair.new.scores.photographs if pair else 0
    if not pair and "reference" in what:
        return ["no reference set to see what it forgot (training.reference)"]
    return [] if count >= FEWEST_PHOTOS else [f"only {count} {what}; {FEWEST_PHOTOS} are needed"]


def _uglier(pair: Pair, where: str) -> list[str]:
    """Name what got worse beside the error: an average can be nearer and the picture duller."""
    new, current = pair.new.scores, pair.current.scores
    color, before = new.colorfulness_ratio, current.colorfulness_ratio
    reasons = []
    if color < before - DULLER_BY:
        reasons.append(f"duller {where}: colorfulness {before:.2f} -> {color:.2f} of the truth")
    if color > max(MOST_COLORFUL, before):
        reasons.append(f"gaudy {where}: colorfulness {before:.2f} -> {color:.2f} of the truth")
    share, old_share = new.kernel_share, current.kernel_share
    if (
        share is not None
        and old_share is not None
        and new.photographs >= ENOUGH_FOR_KERNEL
        and share > old_share + WORSE_KERNEL
    ):
        reasons.append(
            f"less like photographs {where}: "
            f"kernel distance {old_share:.3f} -> {share:.3f} of gray's"
        )
    return reasons
