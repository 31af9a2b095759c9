"""Promises of `photochrom train --scheduled`: what it finds to do, with the training replaced."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import train as learning
from service.cli.main import app
from service.config.loader import Config, ConfigError
from tests.support.synthetic_photos import color_scene, save
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT


class Archive:
    """A configuration with two collections, and a training that does as it is told."""

    def __init__(self, folder: Path) -> None:
        """Write two photographs."""
        self.folder = folder
        self.file = folder / "config.yaml"
        self.file.write_text("training: {collections: [color, more], minutes: 7.0}\n")
        self.home = folder / "state" / "training"
        self.color, self.more = folder / "color", folder / "more"
        self.more.mkdir()
        self.color.mkdir()
        self.add("a.jpg")
        self.add("b.png")
        self.trained: list[TrainingRequest | None] = []
        self.ends_as: str | None = "scheduled"  # the version's name; None for a checkpoint

    def add(self, name: str) -> Path:
        """Add a photograph."""
        return save(self.color / name, color_scene(32, 40, len(name)))

    def train(self, settings: Config, request: TrainingRequest | None) -> Any:
        """Stand for the training."""
        self.trained.append(request)
        home = settings.state / "training"
        home.mkdir(parents=True, exist_ok=True)
        if self.ends_as is None:
            (home / CHECKPOINT).touch()
            return None
        (home / CHECKPOINT).unlink(missing_ok=True)
        return SimpleNamespace(card={"name": self.ends_as})

    def run(self) -> str:
        """Run the command; return what it says."""
        command = ["train", "--scheduled", "--config", str(self.file)]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert 0 == result.exit_code, result.output
        return result.stdout.strip()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Make one whose training is replaced."""
    made = Archive(tmp_path)
    monkeypatch.setattr(learning, "_train", made.train)
    return made


def test_photographs_are_trained_on_once(archive: Archive) -> None:
    """All collections, as long as the configuration says; the second time nothing is new."""
    first, second = archive.run(), archive.run()
    folders = (archive.color, archive.more)

    (trained,) = archive.trained
    assert trained
    assert (folders, "promoted", 7.0, "scheduled") == (
        *(trained.folders, trained.start, trained.minutes),
        trained.name,
    )
    assert "photochrom: 2 of 2 photographs are new" == first
    assert "photochrom: no new photographs among 2 since the last scheduled training" == second


@pytest.mark.parametrize("change", ["added", "replaced", "touched"])
def test_new_photographs_begin_another(archive: Archive, change: str) -> None:
    """One that was added, and one that has another size or time."""
    archive.run()
    if change == "added":
        archive.add("c.tif")
    elif change == "replaced":
        old = (archive.color / "a.jpg").stat().st_mtime_ns
        (archive.color / "a.jpg").write_bytes(b"another")
        os.utime(archive.color / "a.jpg", ns=(old, old))
    else:
        os.utime(archive.color / "a.jpg", (1, 1))
    said = archive.run()

    assert 2 == len(archive.trained)
    assert said.startswith("photochrom: 1 of ")


def test_photographs_taken_away_begin_none(archive: Archive) -> None:
    """There is nothing to learn from what is gone."""
    archive.run()
    (archive.color / "a.jpg").unlink()
    archive.run()

    assert 1 == len(archive.trained)


def test_a_training_that_was_ended_is_gone_on_with(archive: Archive) -> None:
    """Photographs that came meanwhile wait for the next one."""
    archive.ends_as = None
    archive.run()
    archive.add("c.tif")
    archive.ends_as = "scheduled"
    resumed = archive.run()
    after = archive.run()

    assert "photochrom: resuming the interrupted training" == resumed
    assert archive.trained[1] is None
    assert "photochrom: 1 of 3 photographs are new" == after


def test_a_persons_training_does_not_count_for_it(archive: Archive) -> None:
    """One that took the place of the scheduled one knows other photographs."""
    archive.ends_as = None
    archive.run()
    archive.ends_as = "harbor"
    archive.run()
    archive.ends_as = "scheduled"
    said = archive.run()

    assert "photochrom: 2 of 2 photographs are new" == said


def test_without_collections_there_is_nothing_to_do(archive: Archive) -> None:
    """Which is no fault: exit 0."""
    archive.file.write_text("")

    assert "photochrom: nothing to train on: training.collections is empty" == (archive.run())
    assert [] == archive.trained


def test_a_collection_that_is_not_there_is_a_mistake(archive: Archive) -> None:
    """A share that is not mounted must not count as photographs taken away."""
    archive.more.rmdir()
    with pytest.raises(ConfigError) as caught:
        archive.run()

    assert [f"training.collections: is not a folder ({archive.more})"] == caught.value.problems
    assert [] == archive.trained


def test_a_damaged_note_means_that_all_are_new(archive: Archive) -> None:
    """At worst it trains once more."""
    archive.run()
    (archive.home / "learned.json").write_text('{"half')

    assert "photochrom: 2 of 2 photographs are new" == archive.run()


@pytest.mark.parametrize("also", [["--resume"], ["--minutes", "3"], ["--dry-run"]])
def test_it_is_given_alone(archive: Archive, also: list[str]) -> None:
    """The configuration says the rest."""
    result = CliRunner().invoke(
        app, ["train", "--scheduled", *also, "--config", str(archive.file)], catch_exceptions=False
    )

    assert 2 == result.exit_code
    assert [] == archive.trained
