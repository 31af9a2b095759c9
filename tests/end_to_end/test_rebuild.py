"""`photochrom rebuild-ledger` after the state folder was lost: no photo is colored twice.

The tests look at one story: two photos are colored and one is rejected, the state is lost, the
ledger is made again beside a daemon (refused) and without one, and a scan is dropped once more.
"""

import json
import shutil
import signal
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.command import HASTY, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

WITH_FAKE = (sys.executable, "-m", "tests.support.fake_device_command")


@dataclass
class Story:
    """What was said, and what is known in the end."""

    home: Home
    said: list[tuple[int, str, str]]  # by each rebuild-ledger: exit code, output and error
    delivered: list[dict[str, Any]]  # by the daemon after it
    found: list[dict[str, Any]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Lose the state, make the ledger again, and drop a scan that was colored, and a new one."""
    home = Home(tmp_path_factory.mktemp("rebuild"), HASTY)
    scans = {}
    for n, name in enumerate(("album/a.png", "b.png")):
        scans[name] = home.drop(name, gray_scene(64, 80, seed=n)).read_bytes()
    (home.inbox / "broken.png").write_bytes(b"\x89PNG broken")
    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 3 == daemon.exit_code()
    shutil.rmtree(home.folder / "state")
    said = [rebuild(home)]
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("daemon.started")
        said.append(rebuild(home, "--move-aside"))
        (home.inbox / "album").mkdir(exist_ok=True)
        (home.inbox / "album/a.png").write_bytes(scans["album/a.png"])
        daemon.wait_for("photo.moved")
        home.drop("new.png", gray_scene(64, 80, seed=9))
        daemon.wait_for("photo.moved", times=2)
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()
    said += [rebuild(home), rebuild(home, "--move-aside", "--json")]
    with home.start("find", str(home.inbox), "--json") as find:
        assert 0 == find.exit_code()
    return Story(home, said, daemon.events("photo.delivered"), json.loads(find.printed))


def rebuild(home: Home, *options: str) -> tuple[int, str, str]:
    """Make the ledger again."""
    with home.start("rebuild-ledger", *options) as command:
        code = command.exit_code()
    return code, command.printed, command.said


def test_a_lost_ledger_is_made_again(story: Story) -> None:
    """It says what it knows."""
    code, text, said = story.said[0]

    assert (0, "") == (code, said)
    assert "finished, with a sidecar: 2\nrejected: 1\nnot placed: 0\n" in text


def test_beside_a_daemon_or_over_a_ledger_it_is_refused(story: Story) -> None:
    """With what to do."""
    beside, over = story.said[1], story.said[2]

    assert (1, 1) == (beside[0], over[0])
    assert "stop it first" in beside[2]
    assert "--move-aside" in over[2]


def test_a_scan_that_was_colored_is_not_colored_again(story: Story) -> None:
    """Though it was dropped once more, and the ledger that knew it was lost."""
    assert ["new.png"] == [one["path"] for one in story.delivered]
    assert ["album/a.png", "b.png", "new.png"] == files(story.home.outbox)
    assert [] == files(story.home.inbox)


def test_on_demand_a_ledger_that_is_there_gets_another_name(story: Story) -> None:
    """The copy of the original that was dropped again is counted; all photos are known."""
    code, text, _ = story.said[3]
    made = json.loads(text)

    assert 0 == code
    assert (3, 1, 1) == (made["finished"], made["rejected"], made["copies"])
    assert made["aside"].startswith(str(story.home.folder / "state/ledger.sqlite3."))
    assert {"album/a.png", "b.png", "new.png", "broken.png"} == {row["path"] for row in story.found}
