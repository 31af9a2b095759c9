"""Looked after, put back, saved in time, brought to an end.

The networks are stood in for by a number of steps and scripted losses; photographs, batches,
checkpoints and the journal are real.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support.synthetic_photos import color_scene
from worker.errors import ModelError
from worker.settings import TrainSettings
from worker.training import checkpoint, divergence, schedule, trainer
from worker.training.data.collection import Collection
from worker.training.data.dataset import Batch
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT, Check, Progress
from worker.training.trainer import Callbacks, Trainer

RECIPE = TrainSettings(crop=32, batch=2, adversarial_share=0.25)
PRIOR = np.zeros(224, np.float32)


class Networks:
    """Stand in for the networks: their one weight is how many steps were taken."""

    def __init__(self) -> None:
        """Take no step yet."""
        self.weight = 0.0
        self.rates: list[float] = []
        self.seen: list[float] = []  # what tells one batch from another
        self.loss: Callable[[int], float] = lambda _taken: 3.0  # of steps taken, lost ones included

    def step_alone(self, batch: Batch, rate: float) -> float:
        """Take a step."""
        self.weight += 1
        self.rates.append(rate)
        self.seen.append(float(batch.lightness.sum()))
        return self.loss(len(self.rates))

    step_adversarial = step_alone

    def step_discriminator(self, _batch: Batch, _rate: float) -> float:
        """Judge."""
        return 1.4

    def begin_adversarial(self) -> None:
        """Note nothing."""

    def state(self) -> list[np.ndarray]:
        """Give the weight."""
        return [np.array([self.weight])]

    def restore(self, state: list[np.ndarray]) -> None:
        """Take the weight."""
        self.weight = float(state[0][0])


@dataclass
class Looks:
    """Stands in for the validation: a check follows from the weight."""

    held_back: bool = True
    loss: Callable[[float], float] = lambda _weight: 3.0
    variety: Callable[[float], float] = lambda _weight: 0.8
    taken: list[float] = field(default_factory=list)

    def check(self, gan: Networks, progress: Progress) -> Check:
        """Look at the weight."""
        self.taken.append(gan.weight)
        return Check(
            progress.step,
            progress.seconds,
            progress.adversarial,
            self.loss(gan.weight) if self.held_back else None,
            0.8,
            self.variety(gan.weight),
            learned=True,
        )

    def samples(self) -> list[Any]:
        """Show one photograph."""
        photo = color_scene(32, 32)
        return [(photo, photo, photo)]


class Training:
    """A course over stand-ins, and what it told."""

    def __init__(self, folder: Path, recipe: TrainSettings = RECIPE, **length: Any) -> None:
        """Lay it out; nothing runs yet."""
        self.folder, self.networks, self.looks = folder, Networks(), Looks()
        self.request = TrainingRequest((folder,), "scratch", recipe=recipe, seed=3, **length)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.stop_at: int | None = None
        squares = np.stack([color_scene(256, 256, seed) for seed in range(6)])
        self.photos = Collection(squares, np.arange(4), np.arange(4, 6), {}, "")
        self.trainer: Trainer | None = None

    def run(self, monkeypatch: pytest.MonkeyPatch, progress: Progress | None = None) -> bool:
        """Run it with the stand-ins in place."""
        monkeypatch.setattr(trainer, "Validation", lambda *_: self.looks)
        callbacks = Callbacks(
            on_event=lambda word, facts: self.told.append((word, facts)),
            should_stop=lambda: len(self.networks.rates) == self.stop_at,
        )
        self.trainer = Trainer(
            self.request,
            self.photos,
            self.networks,  # type: ignore[arg-type]
            progress or Progress(),
            self.folder,
            PRIOR,
            callbacks,
        )
        try:
            return self.trainer.run()
        finally:
            self.trainer.close()

    def events(self, word: str) -> list[dict[str, Any]]:
        """Return what was told of a kind."""
        return [facts for kind, facts in self.told if kind == word]

    @property
    def kept(self) -> checkpoint.Checkpoint:
        """The checkpoint on disk."""
        return checkpoint.load(self.folder / CHECKPOINT)


@pytest.fixture(autouse=True)
def _nothing_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the pictures to test_journal.py; they take longer than all the rest."""
    monkeypatch.setattr(trainer.RunLog, "draw", lambda *_: None)


def clock(monkeypatch: pytest.MonkeyPatch, tick: float) -> None:
    """Let each look at the clock take so many seconds."""
    times = count(0.0, tick)
    monkeypatch.setattr(trainer, "time", SimpleNamespace(monotonic=lambda: next(times)))


def test_a_course_ends_with_its_last_state_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all its steps, with a check at the end of each stage."""
    training = Training(tmp_path, steps=8)
    monkeypatch.setattr(trainer, "DISCRIMINATOR_STEPS", 2)

    assert training.run(monkeypatch)
    assert (8, 2, True, 1.0) == (
        training.kept.progress.step,
        training.kept.progress.judge_steps,
        training.kept.progress.adversarial,
        training.kept.progress.share,
    )
    assert [0.0, 6.0, 8.0] == training.looks.taken
    assert ["adversarial"] == [facts["stage"] for facts in training.events("stage")]


def test_a_stop_is_obeyed_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the very step after which it was asked."""
    training = Training(tmp_path, steps=100)
    training.stop_at = 5

    assert not training.run(monkeypatch)
    assert 5 == training.kept.progress.step
    assert 5.0 == training.kept.state[0][0]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_an_impossible_loss_puts_the_training_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float
) -> None:
    """To the last good checkpoint, with half the rates and another order, and it says so."""
    training = Training(tmp_path, TrainSettings(crop=32, batch=2), steps=20)
    training.networks.loss = lambda taken: loss if taken == 5 else 3.0

    assert training.run(monkeypatch)
    (told,) = training.events("rolled_back")
    assert f"loss became {loss} in step 5" in told["reason"]
    assert (0, 0.5, 1) == (told["back_to_step"], told["rate_factor"], told["rollbacks"])
    assert 20.0 == training.networks.weight
    lost, again = slice(0, 5), slice(5, 10)
    assert np.array(training.networks.rates[lost]) / 2 == pytest.approx(
        training.networks.rates[again]
    )
    assert not set(training.networks.seen[lost]) & set(training.networks.seen[again])
    assert (0.5, 1) == (training.kept.progress.rate_factor, training.kept.progress.rollbacks)


def test_a_training_that_keeps_failing_ends_with_its_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last rollback that may help; the error says where to look and what to change."""
    training = Training(tmp_path, steps=200)
    training.networks.loss = lambda _taken: math.nan
    with pytest.raises(ModelError, match=r"after 4 rollbacks.*lower training.rate"):
        training.run(monkeypatch)

    assert divergence.MAX_ROLLBACKS == len(training.events("rolled_back"))
    assert 0.0 == training.kept.state[0][0]
    assert 0.5**divergence.MAX_ROLLBACKS == training.kept.progress.rate_factor


def test_weights_that_are_no_numbers_are_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the loss did not show it; the training is put back."""
    training = Training(tmp_path, TrainSettings(crop=32, adversarial_share=0.0), steps=4)
    poison = iter([math.nan])
    state = training.networks.state

    def poisoned() -> list[np.ndarray]:
        return [np.array([next(poison, 9.0)])] if training.networks.weight == 4 else state()

    monkeypatch.setattr(training.networks, "state", poisoned)

    assert training.run(monkeypatch)
    assert "NaN" in training.events("rolled_back")[0]["reason"]
    assert 9.0 == training.kept.state[0][0]


def test_dead_color_puts_the_training_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the photographs show counts, not the loss alone."""
    training = Training(tmp_path, steps=8)
    dead = iter([0.01])
    training.looks.variety = lambda weight: next(dead, 0.7) if weight == 6 else 0.8

    assert training.run(monkeypatch)
    assert "colors collapsed" in training.events("rolled_back")[0]["reason"]
    assert [0.0, 6.0, 6.0, 8.0] == training.looks.taken


def test_a_broken_start_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing good to go back to; an older training's checkpoint is not touched."""
    training = Training(tmp_path, steps=8)
    training.looks.loss = lambda _weight: math.nan
    (tmp_path / CHECKPOINT).write_bytes(b"an older one")
    with pytest.raises(ModelError, match="starts from are broken"):
        training.run(monkeypatch)

    assert [] == training.networks.rates
    assert b"an older one" == (tmp_path / CHECKPOINT).read_bytes()


def test_a_kill_costs_at_most_five_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the speed, checkpoints are closer than that."""
    training = Training(tmp_path, minutes=90)
    clock(monkeypatch, 12.0)
    saved: list[float] = []
    save = checkpoint.save

    def note(path: Path, gan: Any, request: TrainingRequest, progress: Progress) -> None:
        save(path, gan, request, progress)
        if path.name == CHECKPOINT:
            saved.append(progress.seconds)

    monkeypatch.setattr(checkpoint, "save", note)

    assert training.run(monkeypatch)
    assert saved[-1] >= 90 * 60
    assert max(np.diff(saved)) <= 300
    assert min(np.diff(saved[:-2])) > 60  # and not all the time


def test_a_checkpoint_on_a_slow_device_needs_no_second_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where checks are nearly as far apart as checkpoints, one does for both."""
    training = Training(tmp_path, steps=120, recipe=replace(RECIPE, adversarial_share=0.0))
    clock(monkeypatch, 6.0)

    assert training.run(monkeypatch)
    checked = training.looks.taken
    assert len(checked) >= 8
    assert min(np.diff(checked[:-1])) > 1  # the last comes with the end


def full_disk(path: Path, *_: Any) -> None:
    """Have no room."""
    raise OSError(28, "No space left on device", str(path))


def test_a_full_disk_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, keeps the checkpoint it has, goes on, and saves when there is room again."""
    training = Training(tmp_path, minutes=60)
    clock(monkeypatch, 10.0)
    save = checkpoint.save
    kept: list[int] = []

    def sometimes(path: Path, gan: Any, request: TrainingRequest, progress: Progress) -> None:
        if 600 < progress.seconds < 2000:
            kept.append(training.kept.progress.step)
            full_disk(path)
        save(path, gan, request, progress)

    monkeypatch.setattr(checkpoint, "save", sometimes)

    assert training.run(monkeypatch)
    assert len(training.events("not_saved")) >= 3
    assert "No space left" in training.events("not_saved")[0]["reason"]
    assert 1 == len(set(kept))
    assert training.kept.progress.step == training.networks.weight


@pytest.mark.parametrize("stop_at", [None, 6])
def test_a_disk_that_is_full_at_the_end_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int | None
) -> None:
    """At the end or at a stop, "saved" would be a lie; the checkpoint before it stays."""
    training = Training(tmp_path, steps=8)
    training.stop_at = stop_at
    save = checkpoint.save
    monkeypatch.setattr(
        checkpoint,
        "save",
        lambda path, gan, request, progress: (full_disk if progress.step else save)(
            path, gan, request, progress
        ),
    )
    with pytest.raises(OSError, match="No space left"):
        training.run(monkeypatch)

    assert 0 == training.kept.progress.step


def without_matplotlib(*_: Any) -> None:
    """Lack a library."""
    raise ModuleNotFoundError("No module named 'matplotlib'")


@pytest.mark.parametrize("fault", [full_disk, without_matplotlib])
def test_a_journal_that_cannot_be_written_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
) -> None:
    """It is told, once in a while."""
    training = Training(tmp_path, steps=8)
    monkeypatch.setattr(trainer.RunLog, "step", fault)
    monkeypatch.setattr(trainer.RunLog, "draw", fault)

    assert training.run(monkeypatch)
    assert 1 == len(training.events("not_noted"))
    assert 8 == training.kept.progress.step


def test_a_collection_learned_by_heart_ends_the_first_stage_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights that did best on validation go on, not the last ones."""
    monkeypatch.setattr(schedule, "SETTLED_STEPS", 0)
    training = Training(tmp_path, minutes=600)
    clock(monkeypatch, 10.0)
    training.looks.loss = lambda weight: 2.0 + abs(weight - 19) / 20
    begun: list[float] = []
    monkeypatch.setattr(
        training.networks, "begin_adversarial", lambda: begun.append(training.networks.weight)
    )

    assert training.run(monkeypatch)
    assert ["early stop", "adversarial"] == [facts["stage"] for facts in training.events("stage")]
    best = min(training.looks.taken, key=training.looks.loss)
    assert [best] == begun
    assert training.kept.progress.seconds < 0.5 * 600 * 60


@pytest.mark.parametrize("rise", [1 / 20, 1 / 20_000])
def test_the_first_stage_alone_also_ends_with_its_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rise: float
) -> None:
    """Where no adversarial stage follows, they are what is published, however close the last."""
    monkeypatch.setattr(schedule, "SETTLED_STEPS", 0)
    recipe = TrainSettings(crop=32, batch=2, adversarial_share=0.0)
    training = Training(tmp_path, recipe, minutes=600)
    clock(monkeypatch, 10.0)
    training.looks.loss = lambda weight: 2.0 + rise * abs(weight - 19)

    assert training.run(monkeypatch)
    best = min(training.looks.taken, key=training.looks.loss)
    assert best == training.networks.weight == training.kept.state[0][0]


def test_a_plateau_is_found_on_a_tiny_collection_and_all_stages_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rate stays until validation improves no more, then falls; then both are taught."""
    monkeypatch.setattr(schedule, "SETTLED_STEPS", 0)
    training = Training(tmp_path, until_plateau=True)
    clock(monkeypatch, 2.0)
    training.looks.loss = lambda weight: 2.0 + 1 / (1 + weight)

    assert training.run(monkeypatch)
    assert ["cooling down", "adversarial"] == [facts["stage"] for facts in training.events("stage")]
    progress = training.kept.progress
    assert progress.cooling_from is not None
    assert progress.step == pytest.approx(progress.cooling_from * 1.25 / 0.75, abs=2)


def test_without_held_back_photographs_it_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By steps or minutes; no plateau can be seen without them, and that is an error."""
    training = Training(tmp_path, steps=4)
    training.looks.held_back = False

    assert training.run(monkeypatch)
    assert 1 == len(training.events("not_validated"))
    training.request = replace(training.request, steps=None, until_plateau=True)
    with pytest.raises(ModelError, match="--until-plateau needs"):
        training.run(monkeypatch)


def test_a_resumed_course_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same photographs in the same order as without the stop."""
    unbroken = Training(tmp_path / "unbroken", steps=8)
    unbroken.run(monkeypatch)
    stopped = Training(tmp_path / "stopped", steps=8)
    stopped.stop_at = 3
    stopped.run(monkeypatch)
    resumed = Training(tmp_path / "stopped", steps=8)
    checkpoint.restore(resumed.networks, stopped.kept, tmp_path)  # type: ignore[arg-type]

    assert resumed.run(monkeypatch, stopped.kept.progress)
    assert unbroken.networks.seen == stopped.networks.seen + resumed.networks.seen
    assert unbroken.networks.rates == stopped.networks.rates + resumed.networks.rates
