"""Promises of worker.training.train: the story on tiny images, stopped, resumed, disturbed."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from tests.images import color_scene, save
from tests.worker.conftest import SMALL
from worker import generator, models
from worker.errors import ModelError, ScanError
from worker.generator import DECODING, color_grid
from worker.generator_file import load_generator
from worker.models import ModelStore, ModelVersion
from worker.settings import TrainSettings
from worker.training import dataset, evaluate, train
from worker.training.train import CHECKPOINT, Budget, Plan, Progress

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
def _small_story() -> Any:
    """Make the networks narrow and the examination short, so that the story takes seconds."""
    patch = pytest.MonkeyPatch()
    patch.setattr(train, "build_generator", lambda: generator.build_generator(SMALL))
    patch.setattr(train, "training_precision", lambda: "float32")
    patch.setattr(train, "JUDGE_ALONE_STEPS", JUDGE_ALONE)
    patch.setattr(train, "RENDER_SIZE", 32)
    patch.setattr(evaluate, "SHIFTS", (0.0, 0.5))
    patch.setattr(models, "built_in", lambda: ModelVersion("builtin", Path("nowhere"), {}))
    yield
    patch.undo()


class Home(NamedTuple):
    """Where one training lies, and what it told."""

    store: ModelStore
    run: Path
    cache: Path
    told: list[Progress]

    def train(
        self, plan: Plan | None, should_stop: Callable[[], bool] = lambda: False
    ) -> ModelVersion | None:
        """Train here; keeps a copy of each report."""

        def report(progress: Progress) -> None:
            self.told.append(dataclasses.replace(progress))

        return train.train(
            plan, self.store, self.run, self.cache, report=report, should_stop=should_stop
        )


def home_in(folder: Path) -> Home:
    """Lay out a training under a folder."""
    return Home(ModelStore(folder / "models"), folder / "run", folder / "cache", [])


def plan_for(photos: Path, **changes: Any) -> Plan:
    """Plan the small training."""
    return Plan(
        **{
            "folders": (photos,),
            "start": "scratch",
            "budget": Budget(steps=STEPS),
            "settings": RECIPE,
            "seed": 5,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, ModelVersion]:
    """Train once without a break."""
    home = home_in(tmp_path_factory.mktemp("finished"))
    version = home.train(plan_for(photos))
    assert version is not None
    return home, version


@pytest.mark.slow
def test_the_story_ends_with_a_published_version(finished: tuple[Home, ModelVersion]) -> None:
    """A version is published that loads, is calibrated, and has a card of how it was made."""
    home, version = finished
    scores = np.asarray(
        load_generator(version)(np.full((1, 32, 32, 1), 0.5, np.float32), training=False)
    )
    card = version.card

    assert [version] == home.store.versions()[1:]
    assert (1, 8, 8, len(color_grid())) == scores.shape
    assert np.isfinite(scores).all()
    assert DECODING == load_generator(version).layers[-1].name
    assert ("scratch", STEPS) == (card["parent"], card["steps"])
    assert 8 == card["photographs"]["training"] + card["photographs"]["validation"]
    assert dataclasses.asdict(RECIPE) == card["recipe"]
    assert {"psnr_gain", "ab_rmse", "colorfulness_ratio"} == set(card["scores"])
    assert {"created", "code_version", "decoding", "scores_on", "sha256", "minutes"} <= set(card)


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
def test_a_resumed_training_ends_where_an_unbroken_one_does(
    photos: Path, tmp_path: Path, finished: tuple[Home, ModelVersion]
) -> None:
    """Stopped and resumed from the checkpoint alone, the losses and the weights are the same."""
    stop_after = 3  # the lone stage is over, the judge has had its first step
    home = home_in(tmp_path)
    stopped = home.train(plan_for(photos), should_stop=lambda: len(home.told) == stop_after)

    assert stopped is None
    assert stop_after == len(home.told)
    assert ["builtin"] == [version.name for version in home.store.versions()]
    assert [CHECKPOINT] == [path.name for path in home.run.iterdir()]
    version = home.train(None)
    assert version is not None
    unbroken, expected = finished

    assert [progress.step for progress in unbroken.told] == [
        progress.step for progress in home.told
    ]
    for name in ("generator_loss", "discriminator_loss", "rate"):
        assert [getattr(progress, name) for progress in unbroken.told] == pytest.approx(
            [getattr(progress, name) for progress in home.told], rel=1e-3
        )
    for one, other in zip(
        load_generator(expected).get_weights(), load_generator(version).get_weights(), strict=True
    ):
        assert np.allclose(one, other, rtol=1e-2, atol=2e-3)
    assert expected.card["photographs"] == version.card["photographs"]
    assert expected.card["steps"] == version.card["steps"]


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
    teach = train._teach

    def note(plan: Plan, collection: dataset.Collection, gan: Any, *rest: Any) -> bool:
        begun.append(gan.generator.get_weights())
        return teach(plan, collection, gan, *rest)

    monkeypatch.setattr(train, "_teach", note)
    settings = dataclasses.replace(RECIPE, adversarial_share=0.0)
    version = home.train(plan_for(photos, start=1, budget=Budget(steps=1), settings=settings))
    assert version is not None
    parent = generator.without_decoding(load_generator(finished[1])).get_weights()

    assert ("2", "1") == (version.name, version.card["parent"])
    assert all(map(np.array_equal, parent, begun[0]))


def test_nothing_to_resume_is_a_model_error(tmp_path: Path) -> None:
    """Without a checkpoint there is nothing to go on with, and that is said at once."""
    with pytest.raises(ModelError, match="no training to resume"):
        home_in(tmp_path).train(None)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_a_damaged_checkpoint_is_a_model_error(tmp_path: Path, content: bytes) -> None:
    """A checkpoint that cannot be read is refused with advice."""
    home = home_in(tmp_path)
    home.run.mkdir()
    (home.run / CHECKPOINT).write_bytes(content)

    with pytest.raises(ModelError, match="damaged"):
        home.train(None)


def test_a_missing_start_is_a_model_error(photos: Path, tmp_path: Path) -> None:
    """A start version that was never published is named."""
    with pytest.raises(ModelError, match="version 3 "):
        home_in(tmp_path).train(plan_for(photos, start=3))


def test_nothing_to_learn_from_is_a_scan_error(tmp_path: Path) -> None:
    """A folder without a color photograph is refused before any network is built."""
    (tmp_path / "none").mkdir()

    with pytest.raises(ScanError, match=r"no photograph in .* is fit"):
        home_in(tmp_path).train(plan_for(tmp_path / "none"))


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


def test_a_checkpoint_holds_the_whole_plan(tmp_path: Path) -> None:
    """What is loaded is what was saved: plan, progress and state; resuming needs no more."""
    plan = plan_for(Path("/photos"), start=7, budget=Budget(minutes=2.5))
    progress = Progress(
        step=12, seconds=3.25, adversarial=True, judge_steps=4, share=0.5, rate=1e-4
    )
    train._save_checkpoint(tmp_path / "deep" / CHECKPOINT, OneArray(3.0), plan, progress)  # type: ignore[arg-type]
    loaded = train._load_checkpoint(tmp_path / "deep" / CHECKPOINT)

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
    path, plan = tmp_path / CHECKPOINT, plan_for(Path("/photos"))
    train._save_checkpoint(path, OneArray(1.0), plan, Progress(step=1))  # type: ignore[arg-type]
    with monkeypatch.context() as failing:
        failing.setattr(f"worker.training.train.{where}", what)
        with pytest.raises(OSError, match="No space left"):
            train._save_checkpoint(path, OneArray(2.0), plan, Progress(step=2))  # type: ignore[arg-type]
    loaded = train._load_checkpoint(path)

    assert 1 == loaded.progress.step
    assert np.array_equal(np.full(1000, 1.0), loaded.state[0])
    assert [CHECKPOINT] == [left.name for left in tmp_path.iterdir()]


def test_a_checkpoint_of_other_networks_is_a_model_error(tmp_path: Path) -> None:
    """A checkpoint whose arrays do not fit the networks is refused with advice."""
    checkpoint = train._Checkpoint(plan_for(tmp_path), Progress(), [np.zeros(7)])

    with pytest.raises(ModelError, match="another shape"):
        train._restore(OneArray(1.0), checkpoint, tmp_path)  # type: ignore[arg-type]


def test_a_budget_is_used_up_by_steps_or_by_minutes() -> None:
    """The share used follows whichever was given."""
    assert [0.0, 0.5, 1.0] == [Budget(steps=10).done(step, 1e6) for step in (0, 5, 10)]
    assert [0.0, 0.5, 1.0] == [Budget(minutes=2).done(10**6, seconds) for seconds in (0, 60, 120)]


def test_the_rate_warms_up_and_falls() -> None:
    """The rate begins small but not at 0, reaches its peak soon, and ends small but not at 0."""
    shares = np.linspace(0, 1, 201)
    rates = [train._warm_cosine(share) for share in shares]

    assert 0 < rates[0] < 0.05
    assert 1 == pytest.approx(max(rates), abs=0.02)
    assert shares[int(np.argmax(rates))] <= 2 * train.WARM_UP
    assert 0 < rates[-1] < 0.05
    assert all(rate > 0 for rate in rates)


def test_a_summary_can_be_logged() -> None:
    """Progress is told in plain numbers that JSON takes; its speed is photos over seconds."""
    progress = Progress(step=8, judge_steps=2, seconds=4.0, generator_loss=1.23456789)

    assert 1.234568 == json.loads(json.dumps(progress.summary()))["generator_loss"]
    assert 5.0 == progress.photos_per_second(2)
    assert 0.0 == Progress().photos_per_second(2)


def test_training_leaves_keras_as_it_was(finished: tuple[Home, ModelVersion]) -> None:
    """A colorizer built after a training in the same process still computes in float32."""
    assert finished
    assert "float32" == keras.config.dtype_policy().name
