"""`photochrom recolor` beside a running daemon.

The tests look at one story: six photos by version 1, then version 2 is promoted and taken up.
"""

import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.small_generators import vivid_generator
from tests.support.synthetic_photos import gray_scene, save
from worker.inference.trial import try_version
from worker.models.store import ModelStore

pytestmark = pytest.mark.slow

NAMES = ["album/a.png", "album/may/b.png", "c.png", "d.png", "gone.png", "torn.png"]


@dataclass
class Story:
    """What lay where, and what was said."""

    home: Home
    originals: dict[str, bytes]
    outboxes: list[dict[str, bytes]]  # by version 1; after the folder; after all
    said: list[str]
    delivered: list[list[Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Color six photos; promote version 2; color a folder again, then all."""
    home = Home(tmp_path_factory.mktemp("recolor"))
    models = ModelStore(home.folder / "state/models")
    models.publish(vivid_generator(1), {})
    models.publish(vivid_generator(3), {})
    models.promote(1, "the first", datetime.now(UTC), try_version)
    for n, name in enumerate(NAMES):
        home.drop(name, gray_scene(64, 80, seed=n))
    with home.start("run") as daemon:
        daemon.wait_for("photo.moved", times=6)
        story = Story(home, contents(home, "originals"), [contents(home, "outbox")], [])
        models.promote(2, "the second", datetime.now(UTC), try_version)
        (home.originals / "gone.png").unlink()
        save(home.originals / "torn.png", gray_scene(64, 80, seed=99))
        daemon.wait_for("model.taken_up", to="2")
        for arguments in (["album", "--dry-run"], ["album"], ["elsewhere"]):
            story.said.append(ended(home.start("recolor", "--folder", *arguments)).printed)
        daemon.wait_for("photo.delivered", times=2, model="2")
        story.outboxes.append(contents(home, "outbox"))
        story.said.append(ended(home.start("recolor", "--older-than", "2")).printed)
        daemon.wait_for("photo.delivered", times=4, model="2")
        daemon.wait_for("photo.not_recolored", times=2)
        story.outboxes.append(contents(home, "outbox"))
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()
    story.said.append(ended(home.start("recolor")).printed)
    story.delivered = [
        sorted(entry["path"] for entry in daemon.events("photo.delivered", model="2")),
        sorted((entry["path"], entry["reason"]) for entry in daemon.events("photo.not_recolored")),
    ]
    return story


def ended(command: Command) -> Command:
    """Wait for a command that must succeed."""
    with command:
        assert 0 == command.exit_code(), command.said
    return command


def contents(home: Home, folder: str) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {
        name: (home.folder / folder / name).read_bytes() for name in files(home.folder / folder)
    }


def test_what_is_queued_and_skipped_is_said(story: Story) -> None:
    """A dry run says the same and queues nothing."""
    assert [
        "would be queued: 2\n",
        "queued: 2\n",
        "queued: 0\n",
        "queued: 4\nskipped: 2 (colored by version 2 or later)\n",
    ] == story.said[:4]


def test_a_folder_is_colored_again_and_nothing_else(story: Story) -> None:
    """With other colors; everything is under its own name, and nothing more."""
    before, after, _ = story.outboxes

    assert NAMES == sorted(before) == sorted(after)
    assert {"album/a.png", "album/may/b.png"} == {n for n in NAMES if before[n] != after[n]}


def test_a_running_daemon_takes_up_what_is_queued(story: Story) -> None:
    """All but those whose originals are gone or altered, each once."""
    before, _, after = story.outboxes

    assert NAMES == sorted(after)
    assert NAMES[:4] == sorted(name for name in NAMES if before[name] != after[name])
    assert NAMES[:4] == story.delivered[0]


def test_a_lost_or_altered_original_is_told_and_its_result_stays(story: Story) -> None:
    """Nothing is rejected; and it may be tried again."""
    (gone, because_gone), (torn, because_torn) = story.delivered[1]

    assert ("gone.png", "torn.png") == (gone, torn)
    assert "the original is gone" in because_gone
    assert "was changed since it was colored" in because_torn
    assert [] == files(story.home.rejected)
    assert "queued: 2\nskipped: 4 (already colored by version 2, the one in use)\n" == story.said[4]


def test_the_originals_stay_byte_for_byte(story: Story) -> None:
    """Where they were."""
    now = contents(story.home, "originals")
    untouched = [name for name in NAMES if name not in {"gone.png", "torn.png"}]

    assert {name: story.originals[name] for name in untouched} == {
        name: now[name] for name in untouched
    }
    assert [*untouched, "torn.png"] == sorted(now)
    assert [] == files(story.home.inbox)
