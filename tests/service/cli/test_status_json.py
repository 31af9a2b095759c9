"""`photochrom status --json` and `find --json` keep their keys, order and values: programs read it.

status_example.json was recorded with the code of 2026-11-28, before `Status` was typed; what rows
and status say of reviews, fetched results and workers was added since.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.filesystem.lock import StateLock
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger
from service.monitoring.heartbeat import (
    ArrivingFile,
    Heartbeat,
    InWork,
    UnmovedIn,
    WorkerBeat,
    write_heartbeat,
)
from worker.models.promotions import Promotion, write_promotions

NOON = 1_800_000_000.0
EXAMPLE = Path(__file__).with_name("status_example.json")


def fill_ledger(config: Config) -> None:
    """Have jobs of every kind; all that is ever in a ledger."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for n in range(7):
            path = PurePosixPath(f"album/{n}.png")
            ledger.enqueue(path, f"{n:064x}", FileStat(1, 1, n, 1), path, NOON - 100 + n)
        old, first, second, rejected, blocked, started, _ = ledger.claim(7, NOON, in_flight=0)
        ledger.unclaim(7, NOON)
        ledger.finish(old.id, model="1", now=NOON - 90_000, output_digest="0" * 64, event="e")
        ledger.finish(first.id, model="1", now=NOON - 20, output_digest="0" * 64)
        ledger.finish(second.id, model="2", now=NOON - 10)
        ledger.fail(rejected.id, "the file is empty (0 bytes)", NOON - 5)
        ledger.back_off(blocked.id, "[Errno 28] No space left on device", NOON + 60)
        assert started.started_at == NOON
        ledger.recolor([second.id], NOON)
        ledger.record_active_model(ActiveModel("3", "4", "all probes are nearly gray"))


def fill_folders(config: Config) -> None:
    """Have files of every kind that is told of."""
    for path in (
        config.inbox / "album/5.png",
        config.inbox / "bad/deep/a.tif",
        config.inbox / "bad/b.tif",
        config.inbox / "notes \x1b[2J.txt",
        config.outbox / "album/0.png",
        config.originals.folder / "album/0.png",
        config.rejected / "album/3.png",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not empty")
    (config.inbox / "bad/photochrom.yaml").write_text("vivid: 3\n")
    config.models_folder.mkdir()
    promotion = Promotion("4", "2027-01-15T07:00:00+00:00", "it is better")
    write_promotions(config.models_folder, [promotion])


def beat() -> Heartbeat:
    """Give a heartbeat with everything in it."""
    return Heartbeat(
        time=NOON - 4,
        pid=os.getpid(),
        started=NOON - 300,
        health="blocked",
        reasons=("the disk is full", "caf\udce9 cannot be read"),
        model="3",
        batch_size=8,
        jobs={"queued": 2, "started": 1},
        oldest_waiting=NOON - 90,
        in_work=(InWork(job=6, path="album/5.png", seconds=3.5),),
        arriving=2,
        arriving_files=(ArrivingFile(path="new.tif", reason="it is empty", seconds=9.5),),
        rescanned=NOON - 5,
        free={"inbox": 1},
        workers=(
            WorkerBeat(
                name="scanner-2 #1",
                host="scanner-2",
                state="paused",
                done=12,
                rate_per_hour=144.0,
                reason="its card failed",
            ),
        ),
        worker_deaths=3,
        refused_config="stop.within: must be a number",
        unmoved_originals=3,
        unmoved=(UnmovedIn(folder="/in/album", photos=3, reason="chgrp it"),),
        unreadable_folders=1,
        unreadable=("secret",),
    )


def busy(config: Config, ask: Callable[[], Any]) -> Any:
    """Ask beside a daemon that tells all it can."""
    fill_ledger(config)
    fill_folders(config)
    with StateLock(config.state):
        write_heartbeat(config.state, beat())
        return ask()


def without_ledger(config: Config, ask: Callable[[], Any]) -> Any:
    """Ask beside a daemon whose ledger is not there."""
    with StateLock(config.state):
        write_heartbeat(config.state, beat())
        return ask()


def starting(config: Config, ask: Callable[[], Any]) -> Any:
    """Ask beside a daemon that has told nothing yet."""
    with StateLock(config.state):
        return ask()


def stopped(config: Config, ask: Callable[[], Any]) -> Any:
    """Ask after a daemon has stopped."""
    fill_ledger(config)
    return ask()


def unused(_config: Config, ask: Callable[[], Any]) -> Any:
    """Ask before the first start."""
    return ask()


SCENES = [busy, without_ledger, starting, stopped, unused]


def asked(*command: str, home: Path) -> Any:
    """Run a command in this process; return its JSON with paths and process replaced."""
    result = CliRunner().invoke(app, [*command, "--config", str(home / "config.yaml")])
    text = result.stdout.replace(str(home), "HOME")
    text = text.replace(f"process {os.getpid()} on {socket.gethostname()}", "PROCESS")
    return json.loads(text)


def without_words(status: dict[str, Any]) -> dict[str, Any]:
    """Blank what may be said otherwise one day: it is for people."""
    if status["health"]["level"] == "starting":
        status["health"]["reasons"] = ["..." for _ in status["health"]["reasons"]]
    for one in status["folder_settings"]:
        one["problems"] = ["..." for _ in one["problems"]]
    return status


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make the folders in Greenwich; the clock stands still and disks have a fixed size."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("time.time", lambda: NOON)
    monkeypatch.setattr(FolderMonitor, "free", lambda _self: {"inbox": 10**9, "state": 10**10})
    (tmp_path / "config.yaml").write_text("inbox: inbox\n")
    make_folders(Config().beside(tmp_path).folders.values())
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_json_of_a_folder_is_what_it_was(
    scene: Callable[[Config, Callable[[], Any]], Any], home: Path
) -> None:
    """Its keys in their order, and every value."""
    config = Config().beside(home)
    told = scene(config, lambda: asked("status", "--json", "--all", home=home))
    found = asked("find", "--json", "album", home=home) if scene is busy else []
    recorded = json.loads(EXAMPLE.read_text())[scene.__name__]

    recorded["status"] = without_words(recorded["status"])

    # As texts, so that the order of keys counts.
    assert json.dumps(recorded) == json.dumps({"status": without_words(told), "find": found})
