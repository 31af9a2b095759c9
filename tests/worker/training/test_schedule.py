"""Stages, rates, plateau and early stop."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.settings import TrainSettings
from worker.training import schedule
from worker.training.request import TrainingRequest
from worker.training.run import Check, Progress
from worker.training.schedule import PATIENCE, WORSE_CHECKS, Schedule, grows_worse, is_plateau

RECIPE = TrainSettings(rate=1e-3, adversarial_rate=1e-4, adversarial_share=0.25)
losses = st.lists(st.floats(0.1, 10), min_size=1, max_size=30)


def at(step: int, **changes: Any) -> Progress:
    """Stand at a step."""
    return replace(Progress(step=step), **changes)


def checked(values: list[float], *, every: int = 1000) -> list[Check]:
    """Make checks of the first stage with these losses."""
    return [
        Check(
            every * number,
            0.0,
            adversarial=False,
            loss=loss,
            colorfulness=1,
            variety=1,
            learned=True,
        )
        for number, loss in enumerate(values, start=1)
    ]


def schedule_of(recipe: TrainSettings, **length: Any) -> Schedule:
    """Make the schedule of a training of some length."""
    return Schedule(TrainingRequest((), recipe=recipe, **length))


def walk(planned: Schedule, progress: Progress) -> list[tuple[bool, float]]:
    """Go to the end step by step; return for each its stage and its rate."""
    steps = []
    while not planned.over(progress):
        steps.append((planned.alone(progress), planned.rate(progress)))
        progress.step += 1
        assert len(steps) < 10**5
    return steps


@given(total=st.integers(1, 3000), share=st.floats(0, 0.95))
def test_a_length_in_steps_is_kept(total: int, share: float) -> None:
    """Exactly so many steps, the adversarial ones last, and no rate outside 0 to its peak."""
    planned = schedule_of(replace(RECIPE, adversarial_share=share), steps=total)
    steps = walk(planned, Progress())
    alone = [is_alone for is_alone, _ in steps]

    assert total == len(steps)
    assert sorted(alone, reverse=True) == alone
    assert abs(total * (1 - share) - sum(alone)) <= 1
    for is_alone, rate in steps:
        assert 0 < rate <= (1.03e-3 if is_alone else 1e-4)


def test_minutes_count_the_clock_and_not_the_steps() -> None:
    """The share follows the seconds."""
    planned = schedule_of(RECIPE, minutes=2)

    assert [0.0, 0.5, 1.0, 1.0] == [
        planned.share(Progress(step=9, seconds=seconds)) for seconds in (0, 60, 120, 500)
    ]
    assert planned.alone(Progress(seconds=89))
    assert not planned.alone(Progress(seconds=90))


def test_the_rate_warms_up_and_falls() -> None:
    """It begins small but not at 0, reaches its peak soon, and ends small but not at 0."""
    planned = schedule_of(replace(RECIPE, adversarial_share=0.0), steps=1000)
    rates = [rate for _, rate in walk(planned, Progress())]

    assert 0 < rates[0] < 0.05e-3
    assert 1e-3 == pytest.approx(max(rates), rel=0.02)
    assert rates.index(max(rates)) <= 2 * schedule.WARM_UP * 1000
    assert 0 < rates[-1] < 0.05e-3


def test_rollbacks_lower_every_rate() -> None:
    """By the factor that is kept with the progress."""
    planned = schedule_of(RECIPE, steps=100)
    for step in (0, 40, 90):
        assert 0.25 * planned.rate(at(step)) == pytest.approx(
            planned.rate(at(step, rate_factor=0.25))
        )


def test_until_the_plateau_the_rate_stays_and_the_end_is_open() -> None:
    """Nobody knows how long it takes."""
    planned = schedule_of(RECIPE, until_plateau=True)

    assert 1e-3 / schedule.WARM_UP_STEPS == pytest.approx(planned.rate(at(0)))
    assert {1e-3} == {planned.rate(at(step)) for step in (schedule.WARM_UP_STEPS, 10**4, 10**6)}
    assert 0 == planned.share(at(10**6))
    assert not planned.over(at(10**6))


def test_a_plateau_lets_the_rate_fall_and_sets_the_end() -> None:
    """A quarter of the steps so far cooling down; then the adversarial share of the whole."""
    planned = schedule_of(RECIPE, until_plateau=True)
    progress = at(8000, checks=checked([3.0] * (PATIENCE + 1)))

    assert "plateau" == planned.review(progress)
    assert planned.review(progress) is None  # once
    steps = walk(planned, progress)
    alone = [rate for is_alone, rate in steps if is_alone]
    adversarial = [rate for is_alone, rate in steps if not is_alone]
    assert 2000 == len(alone)
    assert 8000 + 2000 == pytest.approx(3 * len(adversarial), abs=2)
    assert sorted(alone, reverse=True) == alone
    assert 1e-3 == alone[0]
    assert 1e-4 == adversarial[0]
    assert sorted(adversarial, reverse=True) == adversarial


def test_even_a_plateau_at_once_comes_to_an_end() -> None:
    """With so few steps that a quarter of them is none."""
    planned = schedule_of(replace(RECIPE, adversarial_share=0.0), until_plateau=True)
    progress = at(1, checks=checked([3.0] * (PATIENCE + 1)))

    assert "plateau" == planned.review(progress)
    assert 1 == len(walk(planned, progress))


def test_a_worsening_validation_ends_the_first_stage_early() -> None:
    """And the adversarial stage keeps its share of what was used."""
    planned = schedule_of(RECIPE, steps=30_000)
    progress = at(6000, checks=checked([3.0, *[3.2] * WORSE_CHECKS]))
    before = replace(progress, checks=progress.checks[:-1])

    assert planned.review(before) is None
    assert "early stop" == planned.review(progress)
    steps = walk(planned, progress)
    assert not any(is_alone for is_alone, _ in steps)
    assert 2000 == len(steps)


def test_the_adversarial_stage_is_not_stopped_by_the_class_loss() -> None:
    """It rises there by design."""
    planned = schedule_of(RECIPE, steps=10_000)

    assert planned.review(at(9000, checks=checked([3.0, *[4.0] * WORSE_CHECKS]))) is None


def test_checks_of_the_first_steps_tell_nothing() -> None:
    """While the rate rises, a trained generator grows worse before it grows better."""
    planned = schedule_of(RECIPE, steps=30_000)

    assert planned.review(at(900, checks=checked([2.0, *[4.0] * WORSE_CHECKS], every=80))) is None


@given(losses, st.floats(0.01, 0.9))
def test_a_gain_is_no_plateau_and_never_worse(history: list[float], part: float) -> None:
    """Whatever came before, a last loss clearly below all others means: go on."""
    history = [*history, min(history) * part]

    assert not is_plateau(history)
    assert not grows_worse(history)


@given(losses)
def test_what_grows_worse_is_a_plateau_as_well(history: list[float]) -> None:
    """With as many checks behind it as a plateau takes."""
    if grows_worse(history) and len(history) > PATIENCE:
        assert is_plateau(history) or min(history[:-PATIENCE]) > min(history[:-WORSE_CHECKS])


def test_the_best_check_is_of_the_first_stage_and_the_latest_of_equals() -> None:
    """Losses of the adversarial stage measure something else; some checks have none."""
    checks = checked([3.0, 2.0, 2.0])
    checks += [replace(checks[0], adversarial=True, loss=1.0), replace(checks[0], loss=None)]

    assert checks[2] is schedule.best(checks)
    assert schedule.best([]) is None
