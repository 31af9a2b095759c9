"""Results wait for approval beside a running daemon, are approved by command, and are delivered.

The real command colors real files; only the network is replaced by a fast one.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import HASTY, Home
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

WITH_FAKE = (sys.executable, "-m", "tests.support.fake_device_command")
HOLD, AFTER = f"{HASTY}review: hold\n", f"{HASTY}review: after\n"


def say(home: Home, *arguments: str, code: int = 0) -> str:
    """Run a command to its end, and return what it printed."""
    fake = {"program": WITH_FAKE} if arguments[0] == "run" else {}
    with home.start(*arguments, **fake) as command:
        assert code == command.exit_code(), command.said
    return command.printed


def names(folder: Path) -> list[str]:
    """List the files in a folder that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def sidecar(path: Path) -> dict[str, Any]:
    """Read a sidecar."""
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def both(*photos: str) -> list[str]:
    """Name results and their sidecars."""
    return sorted(name for photo in photos for name in (photo, f"{photo}.json"))


def test_what_is_approved_is_delivered_and_nothing_else(tmp_path: Path) -> None:
    """From the first scan to a lost ledger; at every stage, all files are as recorded."""
    home = Home(tmp_path, HOLD)
    held = home.folder / "held"
    for n, name in enumerate(("a.png", "b.png")):
        home.drop(name, gray_scene(64, 80, seed=n))
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("photo.held", times=2)
        daemon.wait_for("photo.moved", times=2)
        assert ([], both("a.png", "b.png")) == (names(home.outbox), names(held))
        assert "2; 2 to decide on: photochrom web" in say(home, "status")
        say(home, "verify")

        # Approved by a script, rejected by a person
        say(home, "review", "approve", "a.png", "--who", "Ada", "--note", "as I remember it")
        daemon.wait_for("photo.released", who="Ada")
        say(home, "review", "reject", str(held / "b.png"), "--reason", "the coat was red")
        daemon.wait_until(lambda: bool(sidecar(held / "b.png.json")["decisions"]))
        assert (both("a.png"), both("b.png")) == (names(home.outbox), names(held))
        (told,) = sidecar(home.outbox / "a.png.json")["decisions"]
        assert ("approved", "Ada", "as I remember it") == tuple(
            told[key] for key in ("decision", "who", "note")
        )
        say(home, "verify")

        # Colored again: the approved result stays in the outbox
        before = (home.outbox / "a.png").read_bytes()
        say(home, "recolor", "a.png")
        daemon.wait_for("photo.held", times=3)
        daemon.wait_until(lambda: names(held) == both("a.png", "b.png"))
        assert before == (home.outbox / "a.png").read_bytes()
        say(home, "verify")

        # Delivered at once again: what is held stays so until a person lets it go
        (home.folder / "config.yaml").write_text(AFTER)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for("config.reloaded")
        home.drop("c.png", gray_scene(64, 80, seed=2))
        daemon.wait_for("photo.delivered", path="c.png")
        daemon.wait_for("photo.moved", path="c.png")
        assert both("a.png", "b.png") == names(held)
        assert "2; 1 to decide on: photochrom web; new results are del" in say(home, "status")
        say(home, "review", "approve", "b.png")
        daemon.wait_for("photo.released", path="b.png")
        say(home, "verify")
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()

    # Without a daemon the decision waits for the next one
    say(home, "review", "approve", "a.png")
    assert "1 to be carried out once photochrom runs" in say(home, "status")
    say(home, "run", "--once")
    assert (both("a.png", "b.png", "c.png"), []) == (names(home.outbox), names(held))
    assert before != (home.outbox / "a.png").read_bytes()
    say(home, "verify")
    assert "undone for Bo: 0" in say(home, "review", "undo", "--who", "Bo", code=3)


def test_a_lost_ledger_is_made_again_with_what_is_held_and_decided(tmp_path: Path) -> None:
    """By sidecars alone."""
    home = Home(tmp_path, HOLD)
    held = home.folder / "held"
    home.drop("d.png")
    say(home, "run", "--once")
    say(home, "review", "flag", "d.png", "--who", "Bo")
    say(home, "run", "--once")

    assert "held for approval: 1" in say(home, "rebuild-ledger", "--move-aside")
    say(home, "verify")
    (row,) = json.loads(say(home, "find", "d.png", "--json"))
    assert (True, "flagged", "Bo") == tuple(row[key] for key in ("held", "decision", "decided_by"))
    assert str(held / "d.png") == row["result"]


def test_a_folder_of_held_results_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Nothing is colored meanwhile, and nothing approved is missed."""
    home = Home(tmp_path, HOLD)
    held, away = home.folder / "held", home.folder / "away"
    home.drop("a.png")
    say(home, "run", "--once")
    say(home, "review", "approve", "a.png")
    held.rename(away)
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("daemon.held_up")
        home.drop("b.png", gray_scene(64, 80, seed=1))
        assert "review.folder: " in daemon.events("daemon.held_up")[0]["reason"]
        assert [] == names(home.outbox)
        away.rename(held)
        daemon.wait_for("photo.released")
        daemon.wait_for("photo.held")
        daemon.wait_for("photo.moved")
        assert (both("a.png"), both("b.png")) == (names(home.outbox), names(held))
    say(home, "verify")
