"""`photochrom train`: killed, resumed, stopped, resumed, published, and loaded by a run."""

import json
import signal
from dataclasses import dataclass

import pytest

from tests.support.command import HASTY, Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import color_scene, gray_scene, save

pytestmark = pytest.mark.slow

RECIPE = "training: {crop: 32, batch: 2, adversarial_share: 0.25, validation_share: 0.3}\n"
STEPS = 40


@dataclass
class Story:
    """The commands, in their order, and what lay on disk between them."""

    home: Home
    killed: Command
    stopped: Command
    resumed: Command
    run: Command
    after_kill: list[str]
    after_stop: list[str]
    models_after_stop: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Train, kill, resume, stop, resume to the end, and color one photo with the result."""
    home = Home(tmp_path_factory.mktemp("training"), HASTY + RECIPE)
    photographs = home.folder / "photographs"
    photographs.mkdir()
    for n in range(8):
        save(photographs / f"{n}.jpg", color_scene(120, 160, seed=n))
    home.drop("a.png", gray_scene(64, 80))
    training = home.folder / "state/training"
    with home.start("train", "photographs", "--steps", str(STEPS), "--name", "harbor") as killed:
        killed.wait_for("training.progress")
        killed.signal(signal.SIGKILL)
        killed.exit_code()
    after_kill = [path.name for path in training.iterdir()]
    with home.start("train", "--resume") as stopped:
        stopped.wait_for("training.progress")
        stopped.signal(signal.SIGTERM)
        stopped.exit_code()
    after_stop = [path.name for path in training.iterdir()]
    models = files(home.folder / "state/models")
    with home.start("train", "--resume") as resumed:
        resumed.exit_code()
    pinned = HASTY.replace("model: {", "model: {version: 1, ")
    (home.folder / "config.yaml").write_text(pinned)
    with home.start("run", "--once") as run:
        run.exit_code()
    return Story(home, killed, stopped, resumed, run, after_kill, after_stop, models)


def test_a_training_that_is_killed_can_be_resumed(story: Story) -> None:
    """There is a checkpoint from its first minute on."""
    assert -signal.SIGKILL == story.killed.process.returncode
    assert "checkpoint.npz" in story.after_kill
    assert [True] == [entry["resumed"] for entry in story.stopped.events("training.started")]
    assert story.stopped.events("training.progress")


def test_a_training_that_is_stopped_saves_a_checkpoint(story: Story) -> None:
    """Exit code 0, nothing published, and the log says how to go on."""
    assert 0 == story.stopped.process.returncode
    assert "checkpoint.npz" in story.after_stop
    assert [] == story.models_after_stop
    last = story.stopped.events()[-1]
    assert "training.stopped" == last["event"]
    assert "photochrom train --resume" == last["go_on_with"]


def test_a_training_that_is_resumed_ends_with_a_version(story: Story) -> None:
    """After the steps it was begun with, those before the stop included."""
    assert 0 == story.resumed.process.returncode
    home = story.home.folder / "state/models/0001"
    assert {"card.json", "generator.keras", "curves.png", "sheet.jpg"} <= set(files(home))
    first, last = story.resumed.events("training.progress")[0], story.resumed.events()[-1]
    card = json.loads((home / "card.json").read_text())
    assert 1 < first["step"] < STEPS == card["steps"]
    assert first["generator_loss"] > 0
    assert ("harbor", "builtin") == (card["name"], card["parent"])
    assert ("training.published", "1") == (last["event"], last["version"])
    assert last["scores"]


def test_what_was_not_promoted_is_told_with_its_reason(story: Story) -> None:
    """Here there is no reference set to see what was forgotten."""
    last = story.resumed.events()[-1]
    assert not last["promoted"]
    assert "no reference set" in last["why"]


def test_the_journal_is_of_the_whole_training(story: Story) -> None:
    """Lines of all three runs, in the order of time, and what is drawn from them."""
    training = story.home.folder / "state/training"
    log = [json.loads(line) for line in (training / "log.jsonl").read_text().splitlines()]
    checks = [line["step"] for line in log if line["kind"] == "check"]
    assert [0, STEPS] == [checks[0], checks[-1]]
    assert sorted(checks) == checks
    assert ["adversarial"] == [line["words"] for line in log if line["kind"] == "stage"]
    assert (training / "curves.png").stat().st_size > 10_000
    assert (training / "samples.png").stat().st_size > 10_000
    assert files(training / "tensorboard")
    assert not [name for name in files(training) if name.endswith(".npz") and "/" not in name]


def test_a_run_loads_the_version(story: Story) -> None:
    """And colors with it."""
    assert 0 == story.run.process.returncode
    assert ["1"] == [entry["version"] for entry in story.run.events("model.loaded")]
    assert ["a.png"] == files(story.home.outbox)
    with story.home.start("status") as status:
        assert 0 == status.exit_code()
        assert "model 1" in " ".join(status.printed.split())


def test_nothing_but_the_log_is_written_where_there_is_no_terminal(story: Story) -> None:
    """TensorFlow's own messages do not reach it either: each line is JSON."""
    for command in (story.killed, story.stopped, story.resumed, story.run):
        assert command.events()
        assert "" == command.printed
