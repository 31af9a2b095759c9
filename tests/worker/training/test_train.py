"""The story on tiny images, stopped, resumed, from a version.

What publishing adds is left to test_publish.py and to tests/end_to_end: here it saves and no more.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.synthetic_photos import color_scene, save
from tests.worker.conftest import SMALL
from worker.errors import ModelError, ScanError
from worker.inference.device import Precision
from worker.models import generator
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.settings import TrainSettings
from worker.training import checkpoint, train, trainer
from worker.training.publish import Trained
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT, Progress
from worker.training.run_log import LOG
from worker.training.trainer import Callbacks

RECIPE = TrainSettings(crop=32, batch=2, adversarial_share=0.5, validation_share=0.3)
STEPS, JUDGE_ALONE = 4, 1  # two steps alone, one of the judge, two adversarial


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small folder of color photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        save(folder / f"{number}.png", color_scene(100, 100, number))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_story() -> Iterator[None]:
    """Make the networks narrow, compile nothing, publish at once: the story takes seconds."""
    patch = pytest.MonkeyPatch()
    patch.setattr(train, "build_generator", lambda: generator.build_generator(SMALL))
    patch.setattr(train, "training_precision", lambda **_: Precision("float32", "float32"))
    patch.setattr(train, "publish", publish)
    patch.setattr(trainer, "DISCRIMINATOR_STEPS", JUDGE_ALONE)
    tf.config.run_functions_eagerly(True)  # noqa: FBT003
    yield
    tf.config.run_functions_eagerly(False)  # noqa: FBT003
    patch.undo()


def publish(trained: Trained, store: ModelStore, _run_folder: Path) -> ModelVersion:
    """Save the version with its weights as they are."""
    version = store.publish(trained.generator, {"parent": str(trained.request.start)})
    np.savez(version.folder / "exact.npz", *trained.generator.get_weights())
    return version


def exact_weights(version: ModelVersion) -> list[np.ndarray]:
    """Read the weights that were published, before they were rounded for the file."""
    with np.load(version.folder / "exact.npz") as saved:
        return list(saved.values())


class Home(NamedTuple):
    """Where one training lies, and what it told."""

    store: ModelStore
    run: Path
    cache: Path
    told: list[Progress]

    def train(
        self, request: TrainingRequest | None, should_stop: Callable[[], bool] = lambda: False
    ) -> ModelVersion | None:
        """Train here; keeps a copy of each report."""
        callbacks = Callbacks(
            on_step=lambda progress: self.told.append(dataclasses.replace(progress)),
            should_stop=should_stop,
        )
        return train.train(request, self.store, self.run, self.cache, callbacks)


def home_in(folder: Path) -> Home:
    """Lay out a training under a folder."""
    return Home(ModelStore(folder / "models"), folder / "run", folder / "cache", [])


def request_for(photos: Path, **changes: object) -> TrainingRequest:
    """Ask for the small training."""
    request = TrainingRequest((photos,), "scratch", steps=STEPS, recipe=RECIPE, seed=5)
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, ModelVersion]:
    """Train once without a break."""
    home = home_in(tmp_path_factory.mktemp("finished"))
    version = home.train(request_for(photos))
    assert version is not None
    return home, version


@pytest.mark.slow
def test_the_story_ends_with_a_published_version(finished: tuple[Home, ModelVersion]) -> None:
    """Its checkpoints are gone, or resuming would publish it again; its journal stays."""
    home, version = finished

    assert [version] == home.store.versions()[1:]
    assert all(np.isfinite(weights).all() for weights in exact_weights(version))
    assert {"log.jsonl", "curves.png", "samples.png"} == {
        path.name for path in home.run.iterdir() if path.is_file()
    }
    log = [json.loads(line) for line in (home.run / LOG).read_text().splitlines()]
    kinds = [line["kind"] for line in log if line["kind"] != "steps"]  # of every ten seconds
    assert ["check", "check", "stage", "check"] == kinds
    with pytest.raises(ModelError, match="no training to resume"):
        home.train(None)


def test_every_step_is_reported(finished: tuple[Home, ModelVersion]) -> None:
    """Each step is told: alone first, then the judge, then both in turn; losses are finite."""
    told = finished[0].told

    assert [1, 2, 2, 3, 4] == [progress.step for progress in told]
    assert [0, 0, 1, 1, 1] == [progress.judge_steps for progress in told]
    assert [False, False, True, True, True] == [progress.adversarial for progress in told]
    assert 1 == told[-1].share
    assert all(progress.rate > 0 for progress in told)
    assert all(
        np.isfinite([progress.generator_loss, progress.discriminator_loss]).all()
        for progress in told
    )
    assert told[-1].seconds > told[0].seconds >= 0


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3], ids=["alone", "adversarial"])
def test_a_resumed_training_ends_where_an_unbroken_one_does(
    photos: Path, tmp_path: Path, finished: tuple[Home, ModelVersion], stop_after: int
) -> None:
    """Stopped in either stage and resumed from the checkpoint alone: same losses, same weights."""
    home = home_in(tmp_path)
    stopped = home.train(request_for(photos), should_stop=lambda: len(home.told) == stop_after)

    assert stopped is None
    assert stop_after == len(home.told)
    assert ["builtin"] == [version.name for version in home.store.versions()]
    assert (home.run / CHECKPOINT).exists()
    version = home.train(None)
    assert version is not None
    unbroken, expected = finished

    assert len(unbroken.told) == len(home.told)
    for one, other in zip(unbroken.told, home.told, strict=True):
        for name in ("step", "judge_steps", "adversarial", "rate"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("generator_loss", "discriminator_loss"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-5)
    for weights, others in zip(exact_weights(expected), exact_weights(version), strict=True):
        assert np.allclose(weights, others, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_version_can_be_trained_on(
    photos: Path,
    tmp_path: Path,
    finished: tuple[Home, ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A published version is where the next training begins, and is named as its parent."""
    home = home_in(tmp_path)._replace(store=finished[0].store)
    begun: list[list[np.ndarray]] = []

    def note(networks: keras.Model, *_: object) -> None:
        begun.append(networks.generator.get_weights())
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Trainer, "run", lambda self: note(self._gan))
    with pytest.raises(KeyboardInterrupt):
        home.train(request_for(photos, start=1))
    parent = load_generator(finished[1]).get_weights()

    assert all(map(np.array_equal, parent, begun[0]))


def test_the_promoted_version_is_named_once_and_for_all(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another may be promoted before a resume; the card must name the one it came from."""
    requests: list[TrainingRequest] = []
    monkeypatch.setattr(train, "_networks", lambda request, *_: requests.append(request) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        home_in(tmp_path).train(request_for(photos, start="promoted"))

    assert "builtin" == requests[0].start


def test_a_missing_start_is_a_model_error(photos: Path, tmp_path: Path) -> None:
    """A start version that was never published is named, before any photograph is read."""
    with pytest.raises(ModelError, match="version 3 "):
        home_in(tmp_path).train(request_for(photos, start=3))

    assert not (tmp_path / "cache").exists()


def test_nothing_to_resume_is_a_model_error(tmp_path: Path) -> None:
    """Without a checkpoint there is nothing to go on with, and that is said at once."""
    with pytest.raises(ModelError, match="no training to resume"):
        home_in(tmp_path).train(None)


def test_a_checkpoint_of_other_networks_is_a_model_error(photos: Path, tmp_path: Path) -> None:
    """Such as an older photochrom's; it is refused with advice and kept."""
    home = home_in(tmp_path)

    class Other:
        def state(self) -> list[np.ndarray]:
            return [np.zeros(7)]

    checkpoint.save(home.run / CHECKPOINT, Other(), request_for(photos), Progress())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="another shape"):
        home.train(None)

    assert (home.run / CHECKPOINT).exists()


def test_nothing_to_learn_from_is_a_scan_error(tmp_path: Path) -> None:
    """A folder without a color photograph is refused before any network is built."""
    (tmp_path / "none").mkdir()

    with pytest.raises(ScanError, match=r"no photograph in .* is fit"):
        home_in(tmp_path).train(request_for(tmp_path / "none"))


def test_training_leaves_keras_as_it_was(finished: tuple[Home, ModelVersion]) -> None:
    """A colorizer built after a training in the same process still computes in float32."""
    assert finished
    assert "float32" == keras.config.dtype_policy().name
