"""Promises of service.training, with the training itself replaced."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config import Config
from service.lock import StateLock
from service.sections import Training
from service.training import Wish, run_training
from worker.device import Device
from worker.errors import DeviceError
from worker.training.train import Progress

CPU = Device("CPU", 8)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Configure a folder in which nothing is yet."""
    return Config(training=Training(batch=4)).beside(tmp_path)


@pytest.fixture(autouse=True)
def _signals_left_as_found() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the training by one that notes what it was asked, and obeys a stop."""
    asked: dict[str, Any] = {}

    def train(
        plan: Any, _store: Any, run: Path, cache: Path, **callbacks: Callable[..., Any]
    ) -> Any:
        asked.update(plan=plan, run=run, cache=cache)
        callbacks["preparing"](1, 2)
        callbacks["report"](Progress(step=10, seconds=2.0, share=0.5, generator_loss=1.5))
        if asked.get("interrupt"):
            signal.raise_signal(asked["interrupt"])
        if callbacks["should_stop"]():
            return None
        return SimpleNamespace(name="3", card={"scores": {"psnr": 24.0}}, folder=run)

    monkeypatch.setattr("service.training.train", train)
    return asked


def run(config: Config, wish: Wish | None) -> tuple[list[Any], list[tuple[float, float, str]]]:
    """Run the command; return its log and what was reported."""
    told: list[tuple[float, float, str]] = []
    with capture_logs() as logs:
        run_training(config, CPU, wish, lambda *words: told.append(words))
    return logs, told


def test_the_wish_becomes_a_plan(asked: dict[str, Any], config: Config, tmp_path: Path) -> None:
    """With the recipe of the configuration; a number names a version; folders are absolute."""
    run(config, Wish((Path("photos"), tmp_path / "more"), "12", None, 40))
    plan = asked["plan"]

    assert (Path.cwd() / "photos", tmp_path / "more") == plan.folders
    assert 12 == plan.start
    assert (None, 40) == (plan.budget.minutes, plan.budget.steps)
    assert 4 == plan.settings.batch
    assert config.state / "training" == asked["run"]


def test_resuming_needs_no_plan(asked: dict[str, Any], config: Config) -> None:
    """The checkpoint holds it."""
    logs, _ = run(config, None)

    assert asked["plan"] is None
    assert logs[0]["resumed"]


def test_the_end_is_told(asked: dict[str, Any], config: Config) -> None:
    """What was begun, how it goes, what was published."""
    logs, told = run(config, Wish((), "latest", 1.0, None))

    assert asked["plan"].start == "latest"
    assert ["training.started", "training.progress", "training.published"] == [
        entry["event"] for entry in logs
    ]
    assert "3" == logs[-1]["version"]
    assert {"psnr": 24.0} == logs[-1]["scores"]
    assert [(1, 2, "reading photographs"), (0.5, 1.0, "step 10, loss 1.500, 20 photos/s")] == told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_checkpoint(
    asked: dict[str, Any], config: Config, number: signal.Signals
) -> None:
    """Which the log says, and how to go on."""
    asked["interrupt"] = number
    logs, _ = run(config, Wish((), "latest", 1.0, None))

    assert "training.stopped" == logs[-1]["event"]
    assert "photochrom train --resume" == logs[-1]["go_on_with"]


def test_two_trainings_at_once_are_refused(asked: dict[str, Any], config: Config) -> None:
    """They would write one checkpoint; a daemon at work is no hindrance."""
    (config.state / "training").mkdir(parents=True)
    with StateLock(config.state):
        run(config, Wish((), "latest", 1.0, None))
    asked.clear()
    with StateLock(config.state / "training"), pytest.raises(DeviceError, match="stop it first"):
        run(config, Wish((), "latest", 1.0, None))

    assert {} == asked
