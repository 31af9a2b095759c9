"""Real history, a fake loader, and the test's own clock."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.daemon.model_updates import LOOK_EVERY, ModelWatch
from service.ledger.ledger import ActiveModel
from tests.support.fakes import LONGEST_WAIT, FakeLoader
from tests.support.waiting import wait_until
from worker.errors import DeviceError, ModelError
from worker.inference.predictor import Predictor
from worker.models.promotions import PROMOTIONS_FILE, Promotion, write_promotions


class Scene:
    """A model store's folder, a loader, and a watch with its clock."""

    def __init__(self, folder: Path) -> None:
        """Begin with the built-in generator serving, and no history."""
        self.folder = folder
        self.loader = FakeLoader()
        self.now = 0.0
        self.watch = ModelWatch(folder, self.loader, ActiveModel("builtin"))

    def promote(self, version: str) -> None:
        """Write the history anew, as a promotion does."""
        self.loader.version = version
        at = datetime.now(UTC).isoformat()
        write_promotions(self.folder, [Promotion(version, at, f"the test promotes {version}")])

    def look(self) -> Predictor | None:
        """Let time pass for a look, and follow it to its end."""
        self.now += LOOK_EVERY
        first = self.watch.step(self.now)
        assert first is None, "a step never waits for a load"
        work = self.watch._work
        if work is None:
            return None
        wait_until(work.done)
        return self.watch.step(self.now)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Make a scene that has looked once, as each daemon does at its start."""
    scene = Scene(tmp_path)
    assert scene.look() is None
    yield scene
    scene.loader.gate.set()
    assert scene.watch.end(time.monotonic() + LONGEST_WAIT)


def test_a_promoted_version_is_brought(scene: Scene) -> None:
    """Once; afterwards it is what serves."""
    scene.promote("3")
    with capture_logs() as logs:
        brought = scene.look()

    assert brought is not None
    assert "3" == brought.model
    assert ActiveModel("3") == scene.watch.serving
    assert [("model.taken_up", "builtin", "3")] == [
        (entry["event"], entry["from"], entry["to"]) for entry in logs
    ]
    assert scene.look() is None
    assert ["3"] == scene.loader.loaded


def test_nothing_is_read_while_the_history_does_not_change(scene: Scene) -> None:
    """One look costs a stat; the loader is not even asked what is promoted."""
    scene.loader.version = ModelError("asked though nothing changed")
    for _ in range(3):
        assert scene.look() is None

    assert ActiveModel("builtin") == scene.watch.serving


def test_it_looks_now_and_then(scene: Scene) -> None:
    """Not at each of the daemon's many steps."""
    scene.promote("3")

    assert scene.watch.step(scene.now + 0.9 * LOOK_EVERY) is None
    assert scene.watch._work is None
    assert scene.look() is not None


def test_while_a_version_is_loaded_the_steps_go_on(scene: Scene) -> None:
    """They give nothing until it is there."""
    scene.promote("3")
    scene.loader.gate.clear()
    scene.now += LOOK_EVERY
    for _ in range(5):
        assert scene.watch.step(scene.now) is None

    assert ActiveModel("builtin") == scene.watch.serving

    scene.loader.gate.set()
    assert scene.watch._work is not None
    wait_until(scene.watch._work.done)
    brought = scene.watch.step(scene.now)

    assert brought is not None
    assert "3" == brought.model


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ModelError("all probes are nearly gray"), "all probes are nearly gray"),
        (DeviceError("the device has too little memory"), "the device has too little memory"),
        (RuntimeError("nobody foresaw this"), "RuntimeError('nobody foresaw this')"),
    ],
)
def test_a_version_that_cannot_serve_is_refused_once(
    scene: Scene, fault: Exception, reason: str
) -> None:
    """The old one stays, the reason is told, and it is not tried again until something changes."""
    scene.promote("3")
    scene.loader.faults["3"] = fault
    with capture_logs() as logs:
        brought = [scene.look() for _ in range(3)]

    assert [None] * 3 == brought
    assert ["3"] == scene.loader.loaded
    assert ActiveModel("builtin", "3", reason) == scene.watch.serving
    assert [("model.refused", "3", "builtin", reason)] == [
        (entry["event"], entry["version"], entry["serving"], entry["reason"]) for entry in logs
    ]

    del scene.loader.faults["3"]
    scene.promote("3")

    assert scene.look() is not None
    assert ActiveModel("3") == scene.watch.serving


def test_going_back_to_what_serves_ends_a_refusal(scene: Scene) -> None:
    """Nothing is loaded for it."""
    scene.promote("3")
    scene.loader.faults["3"] = ModelError("all probes are nearly gray")
    scene.look()
    scene.promote("builtin")

    assert scene.look() is None
    assert ActiveModel("builtin") == scene.watch.serving
    assert ["3"] == scene.loader.loaded


def test_a_damaged_history_changes_nothing_and_is_told(scene: Scene) -> None:
    """Of no version."""
    (scene.folder / PROMOTIONS_FILE).write_text("[")
    scene.loader.version = ModelError("promotions.json does not tell which version serves")

    assert scene.look() is None
    assert (
        ActiveModel("builtin", None, "promotions.json does not tell which version serves")
        == scene.watch.serving
    )


def test_a_promotion_during_the_start_is_not_missed(tmp_path: Path) -> None:
    """The first look reads the history, whenever it was written."""
    scene = Scene(tmp_path)
    scene.promote("3")
    brought = scene.look()

    assert brought is not None
    assert "3" == brought.model


def test_what_the_start_refused_is_not_tried_again_at_the_first_look(tmp_path: Path) -> None:
    """It was tried a moment ago; once the history changes it is."""
    scene = Scene(tmp_path)
    scene.promote("3")
    scene.watch = ModelWatch(tmp_path, scene.loader, ActiveModel("2", "3", "all nearly gray"))

    assert scene.look() is None
    assert [] == scene.loader.loaded
    assert ActiveModel("2", "3", "all nearly gray") == scene.watch.serving

    scene.promote("3")

    assert scene.look() is not None


def test_the_end_waits_no_longer_than_it_may(scene: Scene) -> None:
    """A load that hangs does not hold the daemon's stop up."""
    scene.promote("3")
    scene.loader.gate.clear()
    scene.watch.step(scene.now + LOOK_EVERY)
    wait_until(lambda: scene.loader.loaded == ["3"])

    assert not scene.watch.end(deadline=0.0)

    scene.loader.gate.set()

    assert scene.watch.end(time.monotonic() + LONGEST_WAIT)
