"""Results are handed over: packed, reported, carried away, and never colored again by themselves.

The real command colors real files; only the network is replaced by a fast one.
"""

import csv
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.command import HASTY, Home
from tests.support.packages import premis_of
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

WITH_FAKE = (sys.executable, "-m", "tests.support.fake_device_command")
NAMES = ("album/a.png", "album/b.png", "c.png")
LAYOUTS = ("plain", "archivematica", "rosetta", "preservica", "islandora")


@dataclass
class Story:
    """What the commands said, by a name; and what was in the outbox then."""

    home: Home
    codes: dict[str, int] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    outbox: dict[str, set[str]] = field(default_factory=dict)

    def tell(self, name: str, *arguments: str) -> None:
        """Run a command and note what it said."""
        fake = {"program": WITH_FAKE} if arguments[0] == "run" else {}
        with self.home.start(*arguments, **fake) as command:
            self.codes[name] = command.exit_code()
        self.said[name] = command.printed + command.said
        self.outbox[name] = {
            str(path.relative_to(self.home.outbox))
            for path in self.home.outbox.rglob("*.png*")
            if path.name[0] != "."
        }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Color three, approve one, pack and report them; carry two away; recolor one of these."""
    story = Story(Home(tmp_path_factory.mktemp("handover"), HASTY))
    for n, name in enumerate(NAMES):
        story.home.drop(name, gray_scene(64, 80, seed=n))
    story.tell("colored", "run", "--once")
    story.tell("approved", "review", "approve", "album/a.png", "--note", "as I remember it")
    story.tell("decisions written", "run", "--once")
    for layout in LAYOUTS:
        story.tell(layout, "bag", layout, "--layout", layout)
    story.tell("report", "report", "--out", "report")
    for path in (story.home.outbox / "album").glob("[ab].png*"):
        path.rename(story.home.folder / path.name)  # to another system's folder, say
    story.tell("before it is said", "verify")
    story.tell("marked", "mark-fetched", "--missing", "--yes")
    story.tell("afterwards", "verify", "--repair")
    story.tell("another start", "run", "--once")
    story.tell("where", "where", "album", "--json")
    story.tell("recolor", "recolor", "album/b.png")
    story.tell("delivered anew", "run", "--once")
    story.tell("where in the end", "where", "album", "--json")
    return story


def test_each_layout_is_packed_from_what_was_really_colored(story: Story) -> None:
    """With PREMIS that is valid, of real sidecars; the approval is in it."""
    for layout in LAYOUTS:
        folder = story.home.folder / layout
        assert (0, f"{folder}: 3 photographs\n") == (story.codes[layout], story.said[layout])
        papers = list(folder.rglob("*.premis.xml"))
        for path in papers:
            premis_of(path)
        assert (0 if layout == "preservica" else 3) == len(papers)
    path = story.home.folder / "plain/data/album/a.png.premis.xml"

    assert "as I remember it" in path.read_text()


def test_the_report_shows_real_pictures(story: Story) -> None:
    """Of each photograph two; the table has the confidence and the approval."""
    folder = story.home.folder / "report"
    with (folder / "photographs.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["scan"]: row for row in csv.DictReader(file)}

    assert 0 == story.codes["report"]
    assert 6 == len(list(folder.rglob("*.jpg")))
    assert set(NAMES) == rows.keys()
    assert ("approved", "as I remember it") == (
        rows["album/a.png"]["decision"],
        rows["album/a.png"]["note"],
    )


def test_results_that_were_carried_away_are_missed_until_it_is_said(story: Story) -> None:
    """Then they are no finding, and neither a repair nor another start makes them again."""
    assert 1 == story.codes["before it is said"]
    assert "run: photochrom mark-fetched --missing" in story.said["before it is said"]
    assert story.said["marked"].endswith("marked as fetched: 2\n")
    assert 0 == story.codes["afterwards"]
    for moment in ("afterwards", "another start"):
        assert {"c.png", "c.png.json"} == story.outbox[moment]
    rows = json.loads(story.said["where"])
    assert [True, True] == [row["fetched"] is not None for row in rows]
    assert [[], []] == [row["missing"] for row in rows]


def test_one_that_is_recolored_is_delivered_anew(story: Story) -> None:
    """And no longer counts as fetched; the other still does."""
    rows = {row["path"]: row for row in json.loads(story.said["where in the end"])}

    assert "queued: 1\n" in story.said["recolor"]
    assert {"album/b.png", "album/b.png.json", "c.png", "c.png.json"} == story.outbox[
        "delivered anew"
    ]
    assert (None, True) == (
        rows["album/b.png"]["fetched"],
        rows["album/a.png"]["fetched"] is not None,
    )
    assert Path(rows["album/b.png"]["result"]).is_file()
