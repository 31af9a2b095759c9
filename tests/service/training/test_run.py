"""Promises of service.training.run, with the training itself replaced."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Training
from service.filesystem.lock import StateLock
from service.training.run import run_training
from worker.errors import DeviceError
from worker.inference.device import Device
from worker.training.request import TrainingRequest
from worker.training.run import Check, Progress
from worker.training.trainer import Callbacks

CPU = Device("CPU", 8, 2)
AT_HALF = Progress(step=10, seconds=2.0, share=0.5, generator_loss=1.5, rate=0.00098)
ONE_MINUTE = TrainingRequest((), minutes=1.0)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Configure a folder in which nothing is yet."""
    return Config(training=Training(batch=4)).beside(tmp_path)


@pytest.fixture(autouse=True)
def _signals_left_as_found() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


PROMOTION = {"promoted": False, "why": "no reference set"}
CARD = {"scores": {"psnr": 24.0}, "promotion": PROMOTION}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the training by one that notes what it was asked, and obeys a stop."""
    asked: dict[str, Any] = {}

    def train(request: Any, _store: Any, run: Path, cache: Path, callbacks: Callbacks) -> Any:
        asked.update(request=request, run=run, cache=cache)
        if asked.get("interrupt_reading"):
            signal.raise_signal(signal.SIGTERM)
        callbacks.on_prepare(1, 2)
        for word, facts in asked.get("events", []):
            callbacks.on_event(word, facts)
        callbacks.on_step(asked.get("progress", AT_HALF))
        if asked.get("interrupt"):
            signal.raise_signal(asked["interrupt"])
        if callbacks.should_stop():
            return None
        return SimpleNamespace(name="3", card=CARD, folder=run)

    monkeypatch.setattr("service.training.run.train", train)
    return asked


def run(
    config: Config, request: TrainingRequest | None
) -> tuple[list[Any], list[tuple[float, float, str]]]:
    """Run the command; return its log and what was reported."""
    told: list[tuple[float, float, str]] = []
    with capture_logs() as logs:
        run_training(config, CPU, request, lambda *words: told.append(words))
    return logs, told


def test_the_request_is_handed_on(asked: dict[str, Any], config: Config) -> None:
    """As it is; checkpoints and the run log go to the state folder."""
    run(config, ONE_MINUTE)

    assert ONE_MINUTE == asked["request"]
    assert (config.state / "training", config.state / "training" / "photographs") == (
        asked["run"],
        asked["cache"],
    )


def test_resuming_needs_no_request(asked: dict[str, Any], config: Config) -> None:
    """The checkpoint holds it."""
    logs, _ = run(config, None)

    assert asked["request"] is None
    assert logs[0]["resumed"]


@pytest.mark.usefixtures("asked")
def test_the_end_is_told(config: Config) -> None:
    """What was begun, how it goes, what was published."""
    logs, told = run(config, ONE_MINUTE)

    assert ["training.started", "training.progress", "training.published"] == [
        entry["event"] for entry in logs
    ]
    assert "3" == logs[-1]["version"]
    assert {"psnr": 24.0} == logs[-1]["scores"]
    assert (False, PROMOTION["why"]) == (logs[-1]["promoted"], logs[-1]["why"])
    words = "step 10, loss 1.500, rate 0.00098, 20 photos/s"
    assert [(1, 2, "reading photographs"), (0.5, 1.0, words)] == told


def test_an_open_end_has_no_share(asked: dict[str, Any], config: Config) -> None:
    """The bar shows how it goes, with the last validation, and no estimate that would be a lie."""
    check = Check(9, 1.0, adversarial=False, loss=2.25, colorfulness=1, variety=1, learned=True)
    asked["progress"] = replace(AT_HALF, share=0.0, checks=[check])
    _, told = run(config, ONE_MINUTE)

    assert (0.0, 0.0) == told[-1][:2]
    assert "loss 1.500, validation 2.250, rate" in told[-1][2]


def test_what_happens_is_told_in_the_log_and_on_the_bar(
    asked: dict[str, Any], config: Config
) -> None:
    """A rollback with its reason; a disk that refuses a checkpoint; both are warnings."""
    back = {"reason": "the loss became nan", "back_to_step": 7, "rate_factor": 0.5, "rollbacks": 1}
    asked["events"] = [
        ("not_saved", {"file": config.state, "reason": "No space left"}),
        ("rolled_back", back),
        ("checked", {"step": 9, "loss": 2.0, "variety": 0.5}),
    ]
    logs, told = run(config, ONE_MINUTE)
    events = {entry["event"]: entry for entry in logs}

    assert "warning" == events["training.not_saved"]["log_level"]
    assert "warning" == events["training.rolled_back"]["log_level"]
    assert back.items() <= events["training.rolled_back"].items()
    assert "info" == events["training.checked"]["log_level"]
    assert told[-1][2].endswith("rolled back to step 7: the loss became nan")


def test_the_end_shows_that_it_measures(asked: dict[str, Any], config: Config) -> None:
    """It takes minutes in which no step is told."""
    asked["events"] = [("measuring", {})]
    _, told = run(config, ONE_MINUTE)

    assert (0.0, 0.0, "measuring") == told[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_checkpoint(
    asked: dict[str, Any], config: Config, number: signal.Signals
) -> None:
    """Which the log says, and how to go on."""
    asked["interrupt"] = number
    logs, _ = run(config, ONE_MINUTE)

    assert "training.stopped" == logs[-1]["event"]
    assert "photochrom train --resume" == logs[-1]["go_on_with"]


def test_two_trainings_at_once_are_refused(asked: dict[str, Any], config: Config) -> None:
    """They would write one checkpoint; a daemon at work is no hindrance."""
    (config.state / "training").mkdir(parents=True)
    with StateLock(config.state):
        run(config, ONE_MINUTE)
    asked.clear()
    with StateLock(config.state / "training"), pytest.raises(DeviceError, match="stop it first"):
        run(config, ONE_MINUTE)

    assert {} == asked


def test_asked_to_stop_while_photographs_are_read_it_stops(
    asked: dict[str, Any], config: Config
) -> None:
    """There is no checkpoint yet; the same command begins again, and what was read is kept."""
    asked["interrupt_reading"] = True
    logs, _ = run(config, ONE_MINUTE)

    assert ("training.stopped", None, "the same command") == (
        *(logs[-1]["event"], logs[-1]["checkpoint"]),
        logs[-1]["go_on_with"],
    )


def test_sighup_changes_nothing(asked: dict[str, Any], config: Config) -> None:
    """Its recipe is settled; a reload is for the daemon."""
    asked["interrupt"] = signal.SIGHUP
    logs, _ = run(config, ONE_MINUTE)

    assert "training.published" == logs[-1]["event"]
