"""How far a training is, in plain numbers."""

import json

from worker.training.run import Budget, Check, Progress


def test_a_budget_is_counted_in_its_own_unit() -> None:
    """Seconds where minutes are given, else steps; until a plateau there is no total."""
    assert (120.0, 60.0) == (Budget(minutes=2).total, Budget(minutes=2).used(10**6, 60.0))
    assert (10, 5) == (Budget(steps=10).total, Budget(steps=10).used(5, 1e6))
    plateau = Budget(until_plateau=True)
    assert (None, 5) == (plateau.total, plateau.used(5, 1e6))


def test_a_summary_can_be_logged() -> None:
    """In plain numbers that JSON takes, with the last check and not all of them."""
    progress = Progress(step=8, generator_loss=1.23456789)
    assert 1.234568 == json.loads(json.dumps(progress.summary()))["generator_loss"]
    assert "validation_loss" not in progress.summary()

    for step in (4, 8):
        check = Check(
            step, 1.0, adversarial=False, loss=step / 10, colorfulness=1, variety=0.5, learned=True
        )
        progress.checks.append(check)

    summary = json.loads(json.dumps(progress.summary()))
    assert (0.8, 0.5) == (summary["validation_loss"], summary["variety"])
    assert "checks" not in summary


def test_the_speed_is_photographs_over_seconds() -> None:
    """Those that the discriminator alone saw count too."""
    assert 5.0 == Progress(step=8, judge_steps=2, seconds=4.0).photos_per_second(2)
    assert 0.0 == Progress().photos_per_second(2)
