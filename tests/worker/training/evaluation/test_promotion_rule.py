"""What is promoted, what is refused, and what is said."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.training.evaluation import promotion_rule
from worker.training.evaluation.evaluate import Scored, Scores
from worker.training.evaluation.promotion_rule import (
    Pair,
    Verdict,
    difference,
    judge,
    judge_precision,
)

ALIKE = Scores(
    photographs=120,
    psnr=23.0,
    psnr_gain=1.0,
    ab_rmse=12.0,
    colorfulness=34.0,
    colorfulness_truth=40.0,
    colorfulness_ratio=0.85,
    colorfulness_difference=-6.0,
    kernel_distance=7.0,
    kernel_share=0.18,
    agreement=0.65,
    lightness_mean=0.1,
    lightness_max=0.4,
    calibration_error=3.0,
    calibration_rank=0.5,
    confidence_rank=0.5,
    red_on_dark=0.03,
    chroma_of_neutral=7.5,
    brown_ratio=1.0,
    patchiness=1.0,
    chroma=16.0,
    chroma_truth=17.0,
)


def pair(by: float, scatter: float = 1.0, count: int = 120, **changes: float | None) -> Pair:
    """Score a new generator whose ab error differs from the current one's by so much.

    Scatter is the standard deviation of that difference between photographs.
    """
    rng = np.random.default_rng(1)
    current = rng.uniform(4, 20, count)
    current += 12 - current.mean()
    noise = rng.normal(size=count)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * scatter if count > 1 else np.zeros(count)
    new = current + by + noise
    scores = replace(ALIKE, photographs=count)
    changed = replace(scores, ab_rmse=float(new.mean()), **changes)  # type: ignore[arg-type]
    return Pair(Scored(changed, new), Scored(scores, current))


BETTER, SAME = pair(-0.5), pair(0.0, scatter=0.3)


def refused(verdict: Verdict, *words: str) -> bool:
    """Tell whether it is refused with a reason that has these words."""
    return not verdict.promoted and all(word in verdict.why for word in words)


def test_better_on_the_new_and_no_worse_elsewhere_is_promoted() -> None:
    """The numbers that decided are told."""
    verdict = judge(BETTER, SAME)

    assert verdict.promoted
    for number in ("12.00 -> 11.50", "-0.50, standard error 0.09", "120 photographs", "+0.00"):
        assert number in verdict.why


def test_a_precision_that_changes_nothing_to_be_seen_is_accepted() -> None:
    """The numbers that decided are told."""
    verdict = judge_precision(pair(0.01, scatter=0.1))

    assert verdict.promoted
    assert "12.00 -> 12.01" in verdict.why


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (pair(0.1, scatter=0.1), ("worse", "12.00 -> 12.10", "accepted +0.06")),
        (pair(0.0, colorfulness_ratio=0.5), ("duller than in float32",)),
        (pair(0.0, count=5), ("only 5 photographs to compare precisions on",)),
    ],
)
def test_a_precision_that_colors_worse_is_refused(measured: Pair, words: tuple[str, ...]) -> None:
    """By its error, by its colors, or because too little was measured."""
    assert refused(judge_precision(measured), *words)


def test_no_reference_set_is_a_reason() -> None:
    """What it may have forgotten cannot be seen, so it stays a candidate."""
    assert refused(judge(BETTER, None), "no reference set", "training.reference")


@pytest.mark.parametrize("collection", [None, pair(-5, count=promotion_rule.FEWEST_PHOTOS - 1)])
def test_a_tiny_collection_is_refused(collection: Pair | None) -> None:
    """However good it looks on a handful of photographs, or when none could be held back."""
    count = collection.new.scores.photographs if collection else 0

    assert refused(judge(collection, SAME), f"only {count} validation", "20 required")


def test_a_tiny_reference_set_is_refused() -> None:
    """It cannot stand for everything else."""
    assert refused(judge(BETTER, pair(0, count=5)), "only 5 photographs in the reference set")


def test_every_reason_is_told() -> None:
    """Not only the first one."""
    verdict = judge(None, None)

    assert refused(verdict, "only 0 validation", "no reference set")


@pytest.mark.parametrize("by", [0.0, 0.3, -0.08])
def test_what_chance_can_do_is_not_better(by: float) -> None:
    """Equal, worse, or better by less than a standard error (0.09 here)."""
    assert refused(judge(pair(by), SAME), "not clearly better")


def test_a_generator_of_a_tinted_collection_is_refused() -> None:
    """It fits its own tinted photographs far better, and all others worse."""
    verdict = judge(pair(-4.0), pair(2.5, scatter=2.0, colorfulness_ratio=0.9))

    assert refused(verdict, "worse on the reference set", "12.00 -> 14.50", "accepted +0.24")


def test_a_generator_of_mislabelled_gray_is_refused() -> None:
    """On its dull collection it errs less, elsewhere it is dull."""
    verdict = judge(pair(-3.0), pair(0.1, scatter=0.3, colorfulness_ratio=0.5))

    assert refused(verdict, "duller on the reference set", "0.85 -> 0.50")


def test_a_garish_generator_is_refused() -> None:
    """More color than life is no gain, on either set."""
    assert refused(
        judge(BETTER, pair(0, 0.3, colorfulness_ratio=1.3)), "too colorful on the reference"
    )
    assert refused(
        judge(pair(-0.5, colorfulness_ratio=1.3), SAME), "too colorful on the collection"
    )


def test_less_like_photographs_is_refused_where_that_can_be_measured() -> None:
    """A kernel distance that grew counts from a hundred photographs on."""
    worse, few = (pair(0, 0.1, count, kernel_share=0.25) for count in (120, 99))

    assert refused(judge(BETTER, worse), "less photographic on the reference", "0.180 -> 0.250")
    assert judge(BETTER, few).promoted


def test_a_small_loss_that_is_not_sure_is_refused() -> None:
    """What is lost must be within the limit by a standard error; noise proves little."""
    sure, unsure = pair(0.15, scatter=0.3), pair(0.15, scatter=4.0)

    assert judge(BETTER, sure).promoted
    assert refused(judge(BETTER, unsure), "worse on the reference set")


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.1, 1.4))
def test_a_promotion_keeps_its_word(by: float, lost: float, colorful: float) -> None:
    """Whatever the numbers, what is promoted is better, has forgotten little, and is as alive."""
    reference = pair(lost, 0.5, colorfulness_ratio=colorful)
    verdict = judge(pair(by), reference)
    sound = by < -1 / np.sqrt(120) and lost + 0.5 / np.sqrt(120) <= 0.02 * 12
    alive = 0.85 - 0.05 <= colorful <= 1.15

    assert (sound and alive) == verdict.promoted
    assert verdict.why


@given(st.integers(0, 99))
def test_hard_photographs_weigh_on_both_alike(seed: int) -> None:
    """The standard error is that of the differences, however unlike the photographs are."""
    rng = np.random.default_rng(seed)
    easy, hard = Scored(ALIKE, rng.uniform(0, 1, 50)), Scored(ALIKE, rng.uniform(0, 100, 50))
    better = [Scored(ALIKE, one.ab_errors - 1) for one in (easy, hard)]

    for new, current in zip(better, (easy, hard), strict=True):
        assert -1 == pytest.approx(difference(Pair(new, current)).mean)
        assert 0 == pytest.approx(difference(Pair(new, current)).error, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"red_on_dark": 0.036}, "more red on dark things on the collection: 0.030 -> 0.036"),
        ({"chroma_of_neutral": 8.1}, "more color on neutral things"),
        ({"brown_ratio": 0.85}, "too much or too little brown"),
        ({"brown_ratio": 1.2}, "too much or too little brown"),
        ({"patchiness": 1.06}, "patchier"),
    ],
)
def test_more_false_color_is_refused(changes: dict[str, float], words: str) -> None:
    """However much smaller the error is; a little more is within chance."""
    assert refused(judge(pair(-0.5, **changes), SAME), words)


def test_fewer_false_colors_or_none_to_count_are_no_fault() -> None:
    """A collection may have nothing dark, neutral or brown, and calm surfaces."""
    calmer = {"red_on_dark": 0.0, "chroma_of_neutral": 3.0, "patchiness": 0.2}

    assert judge(pair(-0.5, **calmer), SAME).promoted
    assert judge(pair(-0.5, red_on_dark=None, brown_ratio=None), SAME).promoted
