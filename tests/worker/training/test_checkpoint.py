"""Whole or not there, whatever the disk does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.errors import ModelError
from worker.settings import ReadSettings, TrainSettings
from worker.training import checkpoint
from worker.training.checkpoint import Checkpoint, NotFiniteError
from worker.training.run import CHECKPOINT, Budget, Check, Plan, Progress

PLAN = Plan((Path("/photos"), Path("/more")), "scratch", Budget(steps=4), TrainSettings(crop=32))


class OneArray:
    """Stands in for the networks: their state is one array."""

    def __init__(self, value: float) -> None:
        """Hold a value."""
        self.array = np.full(1000, value)

    def state(self) -> list[np.ndarray]:
        """Give the state."""
        return [self.array]

    def restore(self, state: list[np.ndarray]) -> None:
        """Take a state, or refuse one of another length."""
        if state[0].shape != self.array.shape:
            raise ValueError
        self.array = state[0]


def save(path: Path, value: float, plan: Plan = PLAN, progress: Progress | None = None) -> None:
    """Save networks whose state is one value."""
    checkpoint.save(path, OneArray(value), plan, progress or Progress(step=int(value)))  # type: ignore[arg-type]


def test_a_checkpoint_holds_the_whole_plan(tmp_path: Path) -> None:
    """What is loaded is what was saved: plan, progress with its checks, and state."""
    plan = Plan(
        PLAN.folders,
        7,
        Budget(until_plateau=True),
        TrainSettings(batch=3, train_encoder="all"),
        ReadSettings(9.0),
        5,
        "harbor",
        Path("/reference"),
    )
    checks = [
        Check(3, 1.5, adversarial=False, loss=3.1, colorfulness=0.5, variety=0.4, learned=True),
        Check(6, 2.5, adversarial=True, loss=None, colorfulness=0.6, variety=0.5, learned=False),
    ]
    progress = Progress(12, 3.25, 4, adversarial=True, share=0.5, rate=1e-4, rollbacks=2)
    progress.rate_factor, progress.alone_until, progress.checks = 0.25, 9.5, checks
    save(tmp_path / "deep" / CHECKPOINT, 3.0, plan, progress)
    loaded = checkpoint.load(tmp_path / "deep" / CHECKPOINT)

    assert (plan, progress) == (loaded.plan, loaded.progress)
    assert np.array_equal(np.full(1000, 3.0), loaded.state[0])


def fail(*_: Any, **__: Any) -> None:
    """Be a disk that is full."""
    raise OSError(28, "No space left on device")


def half_saved(file: Any, **_: Any) -> None:
    """Be a disk that becomes full while writing."""
    file.write(b"PK half")
    fail()


@pytest.mark.parametrize(
    ("where", "what"), [("np.savez", half_saved), ("os.fsync", fail), ("Path.replace", fail)]
)
def test_a_failing_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, what: Callable[..., None]
) -> None:
    """A checkpoint that cannot be written whole leaves the last one as it was, and no litter."""
    path = tmp_path / CHECKPOINT
    save(path, 1.0)
    with monkeypatch.context() as failing:
        failing.setattr(f"worker.training.checkpoint.{where}", what)
        with pytest.raises(OSError, match="No space left"):
            save(path, 2.0)
    loaded = checkpoint.load(path)

    assert 1 == loaded.progress.step
    assert np.array_equal(np.full(1000, 1.0), loaded.state[0])
    assert [CHECKPOINT] == [left.name for left in tmp_path.iterdir()]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_networks_are_not_saved(tmp_path: Path, value: float) -> None:
    """One number that is none among all makes no good checkpoint; the last good one stays."""
    path = tmp_path / CHECKPOINT
    save(path, 1.0)
    networks = OneArray(2.0)
    networks.array[500] = value
    with pytest.raises(NotFiniteError, match="by step 7"):
        checkpoint.save(path, networks, PLAN, Progress(step=7))  # type: ignore[arg-type]

    assert 1 == checkpoint.load(path).progress.step


def test_nothing_to_resume_is_a_model_error(tmp_path: Path) -> None:
    """Without a checkpoint there is nothing to go on with, and that is said."""
    with pytest.raises(ModelError, match="no training to resume"):
        checkpoint.load(tmp_path / CHECKPOINT)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_a_damaged_checkpoint_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    """A checkpoint that cannot be read is refused with advice."""
    (tmp_path / CHECKPOINT).write_bytes(content)

    with pytest.raises(ModelError, match="damaged"):
        checkpoint.load(tmp_path / CHECKPOINT)


def test_a_checkpoint_of_another_photochrom_is_a_model_error(tmp_path: Path) -> None:
    """What it holds no more or not yet is no reason to guess."""
    with (tmp_path / CHECKPOINT).open("wb") as file:
        np.savez(file, about=np.array('{"plan": {"folders": []}, "progress": {}}'))

    with pytest.raises(ModelError, match="another photochrom"):
        checkpoint.load(tmp_path / CHECKPOINT)


def test_a_checkpoint_of_other_networks_is_a_model_error(tmp_path: Path) -> None:
    """A checkpoint whose arrays do not fit the networks is refused with advice."""
    other = Checkpoint(PLAN, Progress(), [np.zeros(7)])

    with pytest.raises(ModelError, match="another shape"):
        checkpoint.restore(OneArray(1.0), other, tmp_path)  # type: ignore[arg-type]
