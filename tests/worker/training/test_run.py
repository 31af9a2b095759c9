"""How far a training is, in plain numbers."""

import json

from worker.training.run import Check, Progress


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
