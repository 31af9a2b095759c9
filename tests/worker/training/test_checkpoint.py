"""Whole or not there, whatever the disk does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.errors import ModelError
from worker.settings import ReadSettings, TrainSettings
from worker.training import checkpoint
from worker.training.checkpoint import Checkpoint, NotFiniteError
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT, Check, Progress

REQUEST = TrainingRequest(
    (Path("/photos"), Path("/more")), "scratch", steps=4, recipe=TrainSettings(crop=32)
)
RECORDED = """{
"plan": {"folders": ["/archive/color", "/archive/more"], "start": 7,
    "budget": {"minutes": 90.0, "steps": null, "until_plateau": false},
    "settings": {"crop": 192, "batch": 3, "rate": 0.001, "adversarial_rate": 0.0001,
        "adversarial_weight": 0.3, "adversarial_share": 0.25, "train_encoder": "deep",
        "validation_share": 0.02},
    "read": {"megapixels": 9.0, "even_if_colored": false},
    "seed": 5, "name": "harbor", "reference": "/reference"},
"progress": {"step": 12, "seconds": 3.25, "judge_steps": 4, "adversarial": true, "share": 0.5,
    "generator_loss": 0.0, "discriminator_loss": 0.0, "rate": 0.0001, "rate_factor": 1.0,
    "rollbacks": 2, "cooling_from": null, "alone_until": null,
    "checks": [{"step": 3, "seconds": 1.5, "adversarial": false, "loss": 3.1, "colorfulness": 0.5,
        "variety": 0.4, "learned": true}]}}"""  # as photochrom 0.1 saved it, before TrainingRequest


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


def save(
    path: Path,
    value: float,
    request: TrainingRequest = REQUEST,
    progress: Progress | None = None,
) -> None:
    """Save networks whose state is one value."""
    checkpoint.save(path, OneArray(value), request, progress or Progress(step=int(value)))  # type: ignore[arg-type]


def test_a_checkpoint_holds_the_whole_request(tmp_path: Path) -> None:
    """What is loaded is what was saved: request, progress with its checks, and state."""
    request = TrainingRequest(
        REQUEST.folders,
        7,
        until_plateau=True,
        recipe=TrainSettings(batch=3, train_encoder="all"),
        read=ReadSettings(9.0),
        seed=5,
        name="harbor",
        reference=Path("/reference"),
    )
    checks = [
        Check(3, 1.5, adversarial=False, loss=3.1, colorfulness=0.5, variety=0.4, learned=True),
        Check(6, 2.5, adversarial=True, loss=None, colorfulness=0.6, variety=0.5, learned=False),
    ]
    progress = Progress(12, 3.25, 4, adversarial=True, share=0.5, rate=1e-4, rollbacks=2)
    progress.rate_factor, progress.alone_until, progress.checks = 0.25, 9.5, checks
    save(tmp_path / "deep" / CHECKPOINT, 3.0, request, progress)
    loaded = checkpoint.load(tmp_path / "deep" / CHECKPOINT)

    assert (request, progress) == (loaded.request, loaded.progress)
    assert np.array_equal(np.full(1000, 3.0), loaded.state[0])


def fail(*_: Any, **__: Any) -> None:
    """Be a disk that is full."""
    raise OSError(28, "No space left on device")


def half_saved(file: Any, **_: Any) -> None:
    """Be a disk that becomes full while writing."""
    file.write(b"PK half")
    fail()


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("training.checkpoint.np.savez", half_saved),
        ("atomic.os.fsync", fail),
        ("atomic.Path.replace", fail),
    ],
)
def test_a_failing_disk_leaves_the_last_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, what: Callable[..., None]
) -> None:
    """A checkpoint that cannot be written whole leaves the last one as it was, and no litter."""
    path = tmp_path / CHECKPOINT
    save(path, 1.0)
    with monkeypatch.context() as failing:
        failing.setattr(f"worker.{where}", what)
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
        checkpoint.save(path, networks, REQUEST, Progress(step=7))  # type: ignore[arg-type]

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


def test_a_checkpoint_of_the_version_before_can_be_resumed(tmp_path: Path) -> None:
    """Its plan becomes the request, its progress stays; and it is saved in the same layout."""
    path = tmp_path / CHECKPOINT
    with path.open("wb") as file:
        np.savez(file, about=np.array(RECORDED), **{"00000": np.zeros(1000)})
    loaded = checkpoint.load(path)
    checkpoint.save(path, OneArray(0.0), loaded.request, loaded.progress)  # type: ignore[arg-type]
    with np.load(path, allow_pickle=False) as saved:
        again = json.loads(str(saved["about"]))

    assert loaded.request == TrainingRequest(
        (Path("/archive/color"), Path("/archive/more")),
        7,
        minutes=90.0,
        recipe=TrainSettings(batch=3, train_encoder="deep"),
        read=ReadSettings(9.0),
        seed=5,
        name="harbor",
        reference=Path("/reference"),
    )
    assert (12, 4, 2, 3.1) == (
        *(loaded.progress.step, loaded.progress.judge_steps, loaded.progress.rollbacks),
        loaded.progress.checks[0].loss,
    )
    assert again["plan"].pop("scans") is None  # new since; the version before ignores it
    assert json.loads(RECORDED) == again


def test_a_checkpoint_of_another_photochrom_is_a_model_error(tmp_path: Path) -> None:
    """What it holds no more or not yet is no reason to guess."""
    with (tmp_path / CHECKPOINT).open("wb") as file:
        np.savez(file, about=np.array('{"plan": {"folders": []}, "progress": {}}'))

    with pytest.raises(ModelError, match="another version of photochrom"):
        checkpoint.load(tmp_path / CHECKPOINT)


def test_a_checkpoint_of_other_networks_is_a_model_error(tmp_path: Path) -> None:
    """A checkpoint whose arrays do not fit the networks is refused with advice."""
    other = Checkpoint(REQUEST, Progress(), [np.zeros(7)])

    with pytest.raises(ModelError, match="another shape"):
        checkpoint.restore(OneArray(1.0), other, tmp_path)  # type: ignore[arg-type]
