"""What is taken for illness and what is not."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.training.divergence import ALIVE, BEFORE, DEAD, LATELY, LossWatch, color_problem
from worker.training.run import Check, Progress

normal = st.floats(2.0, 3.5)


def watch(losses: list[float], judge: float = 1.4) -> list[str]:
    """Show losses to a new watch, step by step; return the problems it finds."""
    looking = LossWatch()
    said = (
        looking.problem(Progress(step=step, generator_loss=loss, discriminator_loss=judge))
        for step, loss in enumerate(losses, start=1)
    )
    return [text for text in said if text]


def look(variety: float, *before: float, learned: bool = True, **changes: float) -> str | None:
    """Show a check with this variety after others."""
    check = Check(200, 2.0, False, 3.0, 0.5, variety, learned)  # noqa: FBT003
    earlier = [replace(check, step=100, variety=value) for value in before]
    return color_problem([*earlier, replace(check, **changes)])  # type: ignore[arg-type]


@given(st.lists(normal, max_size=3 * BEFORE))
def test_an_ordinary_training_is_healthy(losses: list[float]) -> None:
    """However the losses jump within their usual range."""
    assert [] == watch(losses)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_noticed_at_once(loss: float) -> None:
    """In its own step, and whose it is."""
    assert ["the generator's loss became " + f"{loss} in step 3"] == watch([3.0, 3.0, loss])
    assert "the discriminator's loss" in watch([3.0], judge=loss)[0]


@given(st.integers(0, LATELY // 2 - 1), st.floats(100, 1e9))
def test_a_few_bad_batches_are_no_explosion(count: int, bad: float) -> None:
    """They pass by themselves, clipped."""
    assert [] == watch([3.0] * 2 * BEFORE + [bad] * count + [3.0] * BEFORE)


def test_a_loss_that_explodes_is_noticed_soon() -> None:
    """Within a few steps, with the numbers before and after."""
    losses = [3.0] * 2 * BEFORE
    said = watch([*losses, *[9.0] * LATELY])

    assert "rose from 3.00 to 9.00" in said[0]
    assert [] == watch([*losses, *[9.0] * (LATELY // 2)])


def test_a_loss_that_falls_is_welcome() -> None:
    """However fast."""
    assert [] == watch([6.0] * 2 * BEFORE + [0.5] * 2 * BEFORE)


def test_dead_color_is_noticed_and_named() -> None:
    """Gray, or one color everywhere, where there was color before."""
    gray = look(0.0, 0.5, colorfulness=0.0)
    tint = look(0.01, 0.5, colorfulness=0.9)

    assert gray is not None
    assert "collapsed to gray by step 200" in gray
    assert "0.00 of the true one, and was 0.50" in gray
    assert tint is not None
    assert "collapsed to one color" in tint


def test_color_that_was_never_there_cannot_die() -> None:
    """A training from scratch begins gray, or in the wild colors of fresh weights."""
    assert look(0.0) is None
    assert look(0.0, 3.0, learned=False) is None
    assert look(0.0, ALIVE / 2, 0.0) is None


def test_a_generator_may_come_down_from_too_much_color() -> None:
    """A start that is four times too vivid for pale photographs is no measure."""
    assert look(0.9, 4.0) is None
    assert look(DEAD + 0.01, 4.0) is None
    assert look(DEAD - 0.01, 4.0) is not None


def test_calmer_color_is_not_dead() -> None:
    """A new stage may halve it."""
    assert look(0.3, 0.6) is None


@pytest.mark.parametrize("check", [{"loss": math.nan}, {"colorfulness": math.inf}])
def test_a_check_that_is_no_number_is_noticed(check: dict[str, float]) -> None:
    """Without any check before it."""
    said = look(0.5, **check)

    assert said is not None
    assert "not finite" in said


def test_steps_of_the_discriminator_alone_are_no_news_of_the_generator() -> None:
    """Its last loss, told again and again, is not what is usual."""
    looking = LossWatch()
    for _ in range(2 * BEFORE):
        looking.problem(Progress(step=7, generator_loss=0.5, discriminator_loss=1.4))

    assert not [
        text
        for step in range(8, 8 + BEFORE + LATELY)
        if (text := looking.problem(Progress(step=step, generator_loss=3.0)))
    ]
