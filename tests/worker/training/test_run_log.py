"""Promises of worker.training.run_log and curves: what a person finds in the run's folder."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene
from worker.training.curves import draw_curves
from worker.training.run import Check, Progress
from worker.training.run_log import CURVES, LINE_SECONDS, LOG, SAMPLES, TENSORBOARD, RunLog


def check_at(seconds: float, loss: float | None = 3.0) -> Check:
    """Make a check."""
    return Check(
        1, seconds, adversarial=False, loss=loss, colorfulness=0.6, variety=0.4, learned=True
    )


def resumed(seconds: float) -> Progress:
    """Stand in the middle of a training."""
    return Progress(step=40, seconds=seconds, checks=[check_at(0.0)])


def teach(journal: RunLog, seconds: range, **changes: Any) -> None:
    """Note a step each second."""
    for second in seconds:
        losses = {"generator_loss": float(second), "discriminator_loss": 1.0, "rate": 1e-3}
        journal.step(Progress(step=second, seconds=float(second), **{**losses, **changes}))


def lines(folder: Path) -> list[dict[str, Any]]:
    """Read the log."""
    return [json.loads(text) for text in (folder / LOG).read_text().splitlines()]


def test_a_line_holds_the_means_of_ten_seconds(tmp_path: Path) -> None:
    """So that the log stays small, and its curves calm."""
    journal = RunLog(tmp_path, Progress())
    teach(journal, range(1, 21))
    journal.close()
    first, second = lines(tmp_path)

    assert 10 == LINE_SECONDS
    assert (10.0, 5.5) == (first["seconds"], first["generator_loss"])
    assert (20.0, 15.5) == (second["seconds"], second["generator_loss"])
    assert {"kind", "step", "rate", "discriminator_loss"} < set(first)


def test_a_resumed_training_goes_on_with_its_journal(tmp_path: Path) -> None:
    """Without what a killed run did after its last checkpoint: it is done again."""
    killed = RunLog(tmp_path, Progress())
    teach(killed, range(1, 51))
    killed.check(check_at(25.0), Progress())
    killed.close()
    with (tmp_path / LOG).open("a") as file:
        file.write('{"kind": "steps", "seco')  # torn by the kill
    journal = RunLog(tmp_path, resumed(31.04))
    teach(journal, range(32, 43))
    journal.close()

    assert [10.0, 20.0, 30.0, 25.0, 42.0] == [line["seconds"] for line in lines(tmp_path)]


def test_a_new_training_begins_a_new_journal(tmp_path: Path) -> None:
    """Pictures and events of the one before are gone, or they would be taken for its own."""
    old = RunLog(tmp_path, Progress())
    teach(old, range(1, 21))
    old.draw([(color_scene(32, 32),) * 3])
    old.close()
    RunLog(tmp_path, Progress()).close()

    assert [] == lines(tmp_path)
    assert [LOG] == [path.name for path in tmp_path.iterdir()]


def test_steps_before_a_new_stage_are_not_mixed_with_its_own(tmp_path: Path) -> None:
    """Their losses are of another kind."""
    journal = RunLog(tmp_path, Progress())
    teach(journal, range(1, 6), generator_loss=100.0)
    journal.event("stage", Progress(seconds=5.0), "adversarial")
    teach(journal, range(6, 16), generator_loss=1.0, adversarial=True)
    journal.close()
    stage, steps = lines(tmp_path)

    assert ("stage", "adversarial") == (stage["kind"], stage["words"])
    assert 1.0 == steps["generator_loss"]


def test_a_network_that_takes_no_step_has_no_loss(tmp_path: Path) -> None:
    """The discriminator before its stage; the generator while the discriminator learns alone."""
    journal = RunLog(tmp_path, resumed(0.0))
    teach(journal, range(1, 11))
    for second in range(11, 21):
        progress = Progress(step=10, seconds=float(second), generator_loss=9.0)
        progress.adversarial, progress.discriminator_loss = True, 1.25
        journal.step(progress)
    journal.draw([(color_scene(32, 32),) * 3])
    journal.close()
    alone, judging = lines(tmp_path)

    assert (5.5, None) == (alone["generator_loss"], alone["discriminator_loss"])
    assert (None, 1.25) == (judging["generator_loss"], judging["discriminator_loss"])


def test_tensorboard_can_read_the_same_numbers(tmp_path: Path) -> None:
    """Through its own reader; a resumed run's are beside those before."""
    for seconds in (range(1, 12), range(12, 23)):
        journal = RunLog(tmp_path, resumed(float(seconds.start)))
        teach(journal, seconds, adversarial=True)
        journal.check(check_at(float(seconds.stop), 2.5), Progress(step=seconds.stop))
        journal.close()
    read = EventAccumulator(str(tmp_path / TENSORBOARD))
    read.Reload()

    tags = read.Tags()["tensors"]
    assert {
        "loss/generator",
        "loss/discriminator",
        "loss/validation",
        "rate",
        "color/colorfulness",
        "color/variety",
    } == set(tags)
    assert [12, 23] == [event.step for event in read.Tensors("loss/validation")]
    assert [2.5, 2.5] == [
        event.tensor_proto.float_val[0] for event in read.Tensors("loss/validation")
    ]


def test_the_samples_show_gray_colored_and_true_side_by_side(tmp_path: Path) -> None:
    """One row for each photograph, drawn again each time."""
    journal = RunLog(tmp_path, Progress())
    gray, colored, true = as_rgb(gray_scene(64, 64)), color_scene(64, 64, 1), color_scene(64, 64, 2)
    journal.draw([(gray, colored, true)] * 2)
    once = cv2.imread(str(tmp_path / SAMPLES))
    journal.draw([(gray, true, true)] * 2)
    again = cv2.imread(str(tmp_path / SAMPLES))

    assert once is not None
    assert again is not None
    left, middle, right = np.array_split(once[40:].astype(int), 3, axis=1)
    assert np.ptp(left, axis=-1).max() == 0
    assert np.ptp(middle, axis=-1).max() > 50
    assert np.ptp(right, axis=-1).max() > 50
    assert not np.array_equal(once, again)


@pytest.mark.parametrize("loss", [None, 3.0])
def test_the_curves_mark_stages_and_rollbacks(tmp_path: Path, loss: float | None) -> None:
    """In a picture of its own colors; also where no photograph could be held back."""
    journal = RunLog(tmp_path, Progress())
    teach(journal, range(1, 31))
    journal.check(check_at(30.0, loss), Progress())
    journal.draw([(color_scene(32, 32),) * 3])
    plain = cv2.imread(str(tmp_path / CURVES))
    journal.event("rolled_back", Progress(seconds=31.0), "put back")
    journal.event("stage", Progress(seconds=32.0), "adversarial")
    teach(journal, range(33, 53), adversarial=True)
    journal.draw([(color_scene(32, 32),) * 3])
    marked = cv2.imread(str(tmp_path / CURVES))
    journal.close()

    assert plain is not None
    assert marked is not None
    assert not _reddish(plain)
    assert _reddish(marked)
    assert {LOG, CURVES, SAMPLES, TENSORBOARD} == {path.name for path in tmp_path.iterdir()}


def _reddish(picture: np.ndarray) -> bool:
    blue, green, red = np.moveaxis(picture.astype(int), -1, 0)
    return bool(((red > 180) & (green < 80) & (blue < 80)).any())


def test_curves_of_a_single_check_can_be_drawn(tmp_path: Path) -> None:
    """As they stand after the first minute."""
    line = {"kind": "check", "seconds": 0.0, "loss": 3.0, "colorfulness": 0.5, "variety": 0.4}
    draw_curves([line], tmp_path / CURVES)

    assert cv2.imread(str(tmp_path / CURVES)) is not None


def test_a_full_disk_is_an_os_error_and_harms_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last ones stay whole."""
    journal = RunLog(tmp_path, Progress())
    teach(journal, range(1, 31))
    journal.draw([(color_scene(32, 32),) * 3])
    before = {name: (tmp_path / name).read_bytes() for name in (CURVES, SAMPLES)}

    def full(path: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        journal.draw([(color_scene(32, 32, 1),) * 3])

    assert before == {name: (tmp_path / name).read_bytes() for name in (CURVES, SAMPLES)}
