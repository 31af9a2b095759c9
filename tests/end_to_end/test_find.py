"""`photochrom find` and `status --all`, beside a running daemon: where each photograph is."""

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import HASTY, Home
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

WITH_FAKE = (sys.executable, "-m", "tests.support.fake_device_command")


@dataclass
class Story:
    """What was said of three photos: two colored, and one rejected and edited then."""

    home: Home
    said: dict[str, tuple[int, str, str]]  # by command: exit code, standard output and error

    def rows(self, command: str) -> list[dict[str, Any]]:
        """Return the JSON that a command printed."""
        rows: list[dict[str, Any]] = json.loads(self.said[command][1])
        return rows


COMMANDS = (
    "find a.png --json",
    "find /rejected --json",
    "find A.PNG",
    "find nothing broken --json",
    "find notes.txt",
    "status --all --json",
    "status --all",
    "recolor outbox/album/a.png",
    "recolor nothing.png",
    "retry rejected/broken.png --dry-run",
)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Color two, reject one, edit that, and ask while another daemon runs."""
    home = Home(tmp_path_factory.mktemp("find"), HASTY)
    for n, name in enumerate(("album/a.png", "b.png")):
        home.drop(name, gray_scene(64, 80, seed=n))
    (home.inbox / "broken.png").write_bytes(b"\x89PNG broken")
    (home.inbox / "notes.txt").write_bytes(b"no scan")
    said = {}
    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 3 == daemon.exit_code()
    (home.rejected / "broken.png").write_bytes(b"mended, or so")
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("daemon.started")
        for command in COMMANDS:
            arguments = command.replace("/rejected", str(home.rejected)).split()
            with home.start(*arguments) as asked:
                code = asked.exit_code()
            said[command] = code, asked.printed, asked.said
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()
    return Story(home, said)


def test_a_photo_is_found_with_its_files(story: Story) -> None:
    """Which are where the answer says."""
    [row] = story.rows("find a.png --json")

    assert ("album/a.png", "finished", "fake") == (row["path"], row["state"], row["version"])
    assert all(Path(row[key]).is_file() for key in ("original", "result", "sidecar"))
    assert [] == row["missing"]


def test_a_rejected_one_is_found_by_its_folder_though_it_was_edited(story: Story) -> None:
    """With the reason, and all others of that folder of the inbox."""
    rows = {row["path"]: row for row in story.rows("find /rejected --json")}
    row = rows["broken.png"]

    assert {"album/a.png", "b.png", "broken.png"} == rows.keys()
    assert (str(story.home.rejected / "broken.png"), True) == (row["rejected"], row["changed"])
    assert row["reason"]


def test_a_person_reads_it_and_what_finds_nothing_is_said(story: Story) -> None:
    """On standard error, with an exit code of its own; what was found is told all the same."""
    code, text, _ = story.said["find A.PNG"]
    other_code, _, said = story.said["find nothing broken --json"]

    assert 0 == code
    assert "album/a.png (job 1)\n  Colored by version fake on " in text
    assert 3 == other_code
    assert "photochrom: no photograph matches nothing\n" == said
    assert ["broken.png"] == [row["path"] for row in story.rows("find nothing broken --json")]
    assert "but ignored: its name is not that of a photograph" in story.said["find notes.txt"][2]


def test_status_gives_every_row_on_demand(story: Story) -> None:
    """As one value of JSON, or a line each; rejected photos with where they lie now."""
    code, text, said = story.said["status --all --json"]
    status = json.loads(text)
    lines = story.said["status --all"][1].splitlines()

    assert (0, "") == (code, said)
    assert {"finished": 2, "failed": 1, "queued": 0, "started": 0} == status["jobs"]
    assert 3 == len(status["photographs"])
    assert [str(story.home.rejected / "broken.png")] == [row["where"] for row in status["rejected"]]
    assert 3 == sum(line.lstrip()[:1].isdigit() for line in lines[-3:])


def test_files_are_understood_by_recolor_and_retry(story: Story) -> None:
    """By where they lie; a name that means none has nothing done."""
    assert (0, "queued: 1\n") == story.said["recolor outbox/album/a.png"][:2]
    code, text, said = story.said["recolor nothing.png"]

    assert (2, "") == (code, text)
    words = " ".join(said.replace("│", " ").split())
    assert "no photograph has this number or path: nothing.png" in words
    code, text, _ = story.said["retry rejected/broken.png --dry-run"]
    assert 0 == code
    assert "would be moved back to the inbox" in text
    assert "changed since it was rejected, so it will be a new job" in text
