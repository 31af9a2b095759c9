"""The promotion rule: when a new version replaces the active one; pure.

It must be better on the new collection and no worse elsewhere. And the rule for a precision: when a
version may compute in it. docs/evaluation.md gives the reason for each limit.
"""

from typing import NamedTuple

import numpy as np

from worker.training.evaluation.evaluate import Scored, Scores

FEWEST_PHOTOS = 20  # with fewer, the standard error itself is unreliable
BETTER_BY = 1.0  # standard errors of improvement in ab error; 1 in 6 by chance
PRECISION_LOSS = 0.005  # accepted increase of the ab error by a precision; 0.06 units
REFERENCE_LOSS = 0.02  # accepted increase of the reference set's ab error; 0.25 units, invisible
DULLER_BY = 0.05  # accepted loss of colorfulness ratio; it can hide 0.3 units of error
MOST_COLORFUL = 1.15  # colorfulness ratio above which colors are garish
WORSE_KERNEL = 0.03  # accepted increase of kernel share; its standard error is 0.0024
ENOUGH_FOR_KERNEL = 100  # photographs; with fewer the kernel distance is noise
REDDER_BY = 0.005  # accepted increase of the share of dark colorless pixels that come out red
TINTED_BY = 0.5  # accepted increase of the chroma given to neutral pixels, CIE units
BROWNER_BY = 0.1  # accepted growth of the distance of the brown ratio from 1
PATCHIER_BY = 0.05  # accepted increase of patchiness, and only above 1


class Pair(NamedTuple):
    """Scores of the new and the active version, on the same photographs in the same order."""

    new: Scored
    current: Scored


class Verdict(NamedTuple):
    """Whether the new version is promoted, and why or why not, in plain words."""

    promoted: bool
    why: str


class Difference(NamedTuple):
    """Mean difference of ab error, new minus current, and its standard error; ab units."""

    mean: float
    error: float


def judge(collection: Pair | None, reference: Pair | None) -> Verdict:
    """Decide whether a new version is promoted.

    Args:
        collection: scores on validation photographs of the collection; None if there are none.
        reference: scores on the reference set; None without one.

    Returns:
        promoted if it is clearly better on the collection and within the limits on the
        reference set; otherwise with all reasons against it.
    """
    reasons = [
        *_too_few(collection, "validation photographs in the collection"),
        *_too_few(reference, "photographs in the reference set"),
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
        f"on the reference set: ab error {_step(base, lost)} over "
        f"{reference.new.scores.photographs} photographs"
    )
    if gained.mean >= -BETTER_BY * gained.error:
        reasons.append(f"not clearly better: {on_collection}")
    if lost.mean + lost.error > REFERENCE_LOSS * base:
        accepted = REFERENCE_LOSS * base
        reasons.append(f"worse {on_reference}, more than the accepted {accepted:+.2f}")
    reasons += _worse_colors(collection, "on the collection") + _worse_colors(
        reference, "on the reference set"
    )
    if reasons:
        return Verdict(promoted=False, why="; ".join(reasons))
    return Verdict(promoted=True, why=f"better: {on_collection}; {on_reference}")


def judge_precision(pair: Pair) -> Verdict:
    """Decide whether a version may compute in another precision.

    Args:
        pair: scores of the version in that precision, and in float32 as the current one.

    Returns:
        promoted if it colors as well; otherwise with all reasons against it.
    """
    reasons = _too_few(pair, "photographs to compare precisions on")
    if reasons:
        return Verdict(promoted=False, why="; ".join(reasons))
    changed, base = difference(pair), pair.current.scores.ab_rmse
    step = f"ab error {_step(base, changed)} over {pair.new.scores.photographs} photographs"
    if changed.mean + changed.error > PRECISION_LOSS * base:
        reasons.append(f"worse: {step}, more than the accepted {PRECISION_LOSS * base:+.2f}")
    reasons += _worse_colors(pair, "than in float32")
    if reasons:
        return Verdict(promoted=False, why="; ".join(reasons))
    return Verdict(promoted=True, why=step)


def difference(pair: Pair) -> Difference:
    """Compare photograph by photograph, so that hard ones count equally for both."""
    each = pair.new.ab_errors - pair.current.ab_errors
    return Difference(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))))


def _step(before: float, by: Difference) -> str:
    return f"{before:.2f} -> {before + by.mean:.2f} ({by.mean:+.2f}, standard error {by.error:.2f})"


def _too_few(pair: Pair | None, what: str) -> list[str]:
    count = pair.new.scores.photographs if pair else 0
    if not pair and "reference" in what:
        return ["no reference set (training.reference)"]
    return [] if count >= FEWEST_PHOTOS else [f"only {count} {what} ({FEWEST_PHOTOS} required)"]


def _worse_colors(pair: Pair, where: str) -> list[str]:
    """List what got worse besides the error: a smaller error can come from duller colors."""
    new, current = pair.new.scores, pair.current.scores
    color, before = new.colorfulness_ratio, current.colorfulness_ratio
    reasons = []
    if color < before - DULLER_BY:
        reasons.append(f"duller {where}: colorfulness {before:.2f} -> {color:.2f} of the truth")
    if color > max(MOST_COLORFUL, before):
        reasons.append(
            f"too colorful {where}: colorfulness {before:.2f} -> {color:.2f} of the truth"
        )
    share, old_share = new.kernel_share, current.kernel_share
    if (
        share is not None
        and old_share is not None
        and new.photographs >= ENOUGH_FOR_KERNEL
        and share > old_share + WORSE_KERNEL
    ):
        reasons.append(
            f"less photographic {where}: kernel distance {old_share:.3f} -> {share:.3f} of gray's"
        )
    return reasons + _false_colors(new, current, where)


def _false_colors(new: Scores, current: Scores, where: str) -> list[str]:
    """List which false colors became more; what one set has none of is not compared."""
    return [
        f"{words} {where}: {before:.3f} -> {now:.3f}"
        for words, now, before, accepted in (
            ("more red on dark things", new.red_on_dark, current.red_on_dark, REDDER_BY),
            (
                "more color on neutral things",
                new.chroma_of_neutral,
                current.chroma_of_neutral,
                TINTED_BY,
            ),
            (
                "patchier",
                _above_truth(new.patchiness),
                _above_truth(current.patchiness),
                PATCHIER_BY,
            ),
            (
                "too much or too little brown",
                _off(new.brown_ratio),
                _off(current.brown_ratio),
                BROWNER_BY,
            ),
        )
        if now is not None and before is not None and now > before + accepted
    ]


def _above_truth(patchiness: float | None) -> float | None:
    """Return 1 for what is no patchier than the truth."""
    return None if patchiness is None else max(1.0, patchiness)


def _off(ratio: float | None) -> float | None:
    return None if ratio is None else abs(ratio - 1)
