"""`photochrom train`: stopped, resumed, published, and loaded by the next run."""

import json
import signal
from dataclasses import dataclass

import pytest

from tests.end_to_end.command import HASTY, Command, Home, files
from tests.images import color_scene, gray_scene, save

pytestmark = pytest.mark.slow

CONFIG = HASTY + "training: {crop: 32, batch: 2, adversarial_share: 0.25}\n"
STEPS = 16


@dataclass
class Story:
    """The three commands, in their order."""

    home: Home
    stopped: Command
    resumed: Command
    run: Command
    checkpoint_after_stop: bool
    models_after_stop: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Train, stop, resume to the end, and color one photo with the result."""
    home = Home(tmp_path_factory.mktemp("training"), CONFIG)
    photographs = home.folder / "photographs"
    photographs.mkdir()
    for n in range(6):
        save(photographs / f"{n}.jpg", color_scene(120, 160, seed=n))
    home.drop("a.png", gray_scene(64, 80))
    with home.start("train", "photographs", "--steps", str(STEPS)) as stopped:
        stopped.wait_for("training.progress")
        stopped.signal(signal.SIGTERM)
        stopped.exit_code()
    training = home.folder / "state/training"
    checkpoint, models = (training / "checkpoint.npz").exists(), files(home.folder / "state/models")
    with home.start("train", "--resume") as resumed:
        resumed.exit_code()
    with home.start("run", "--once") as run:
        run.exit_code()
    return Story(home, stopped, resumed, run, checkpoint, models)


def test_a_training_that_is_stopped_saves_a_checkpoint(story: Story) -> None:
    """Exit code 0, nothing published, and the log says how to go on."""
    assert 0 == story.stopped.process.returncode
    assert story.checkpoint_after_stop
    assert [] == story.models_after_stop
    last = story.stopped.events()[-1]
    assert "training.stopped" == last["event"]
    assert "photochrom train --resume" == last["go_on_with"]


def test_a_training_that_is_resumed_ends_with_a_version(story: Story) -> None:
    """After the steps it was begun with, those before the stop included."""
    assert 0 == story.resumed.process.returncode
    assert ["0001/card.json", "0001/generator.keras"] == files(story.home.folder / "state/models")
    first, last = story.resumed.events("training.progress")[0], story.resumed.events()[-1]
    card = json.loads((story.home.folder / "state/models/0001/card.json").read_text())
    assert 1 < first["step"] < STEPS == card["steps"]
    assert first["generator_loss"] > 0
    assert "training.published" == last["event"]
    assert "1" == last["version"]
    assert last["scores"]


def test_the_next_run_loads_the_version(story: Story) -> None:
    """And colors with it."""
    assert 0 == story.run.process.returncode
    assert ["1"] == [entry["version"] for entry in story.run.events("model.loaded")]
    assert ["a.png"] == files(story.home.outbox)
    with story.home.start("status") as status:
        assert 0 == status.exit_code()
        assert "model 1" in " ".join(status.printed.split())


def test_nothing_but_the_log_is_written_where_there_is_no_terminal(story: Story) -> None:
    """TensorFlow's own messages do not reach it either: each line is JSON."""
    for command in (story.stopped, story.resumed, story.run):
        assert command.events()
        assert "" == command.printed
