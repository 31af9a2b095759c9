"""`photochrom retry` and `photochrom forget`, beside a daemon and without one.

The tests look at one story: two photos are rejected for their size, the limit is raised, they are
tried again, and one that was finished is forgotten and dropped again.
"""

import json
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.command import HASTY, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

NAMES = ["album/a.png", "b.png"]


@dataclass
class Story:
    """What was said, and what lay where."""

    home: Home
    rejected: list[dict[str, Any]]  # as `status` tells of them
    said: list[tuple[int, str]]
    delivered: list[tuple[int, str]]  # job and output, by the second daemon


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Reject two; raise the limit; retry one without a daemon, the rest beside one; forget one."""
    home = Home(tmp_path_factory.mktemp("retry"), HASTY + "limits: {megapixels: 0.005}\n")
    for n, name in enumerate(NAMES):
        home.drop(name, gray_scene(64, 80, seed=n))
    code, _ = run(home, "run", "--once")
    assert 3 == code
    rejected = json.loads(run(home, "status", "--json")[1])["rejected"]
    (home.folder / "config.yaml").write_text(HASTY)
    number = {one["path"]: str(one["job"]) for one in rejected}
    said = [run(home, "retry", number["album/a.png"])]
    with home.start("run") as daemon:
        daemon.wait_for("photo.moved")
        said += [run(home, "retry", "--all", "--dry-run"), run(home, "retry", "--all")]
        daemon.wait_for("photo.moved", times=2)
        said += [run(home, "forget", number["b.png"]), run(home, "retry", "--rejected")]
        home.drop("b.png", gray_scene(64, 80, seed=1))
        daemon.wait_for("photo.moved", times=3)
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()
    delivered = [(one["job"], one["output"]) for one in daemon.events("photo.delivered")]
    return Story(home, rejected, said, delivered)


def run(home: Home, *arguments: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it printed."""
    with home.start(*arguments) as command:
        code = command.exit_code()
    return code, command.printed


def test_status_tells_the_number_to_try_again(story: Story) -> None:
    """Of each rejected photo."""
    assert [1, 2] == sorted(one["job"] for one in story.rejected)
    assert NAMES == sorted(one["path"] for one in story.rejected)


def test_each_command_says_what_it_did(story: Story) -> None:
    """With the number and the path of each job."""
    rejected, outbox = story.home.rejected, story.home.outbox
    number = {one["path"]: one["job"] for one in story.rejected}
    first, second = (f"job {number[name]}, {name}: " for name in NAMES)
    back = "moved back to the inbox from"

    assert [
        (0, f"{first}{back} {rejected / NAMES[0]}\n"),
        (0, f"{second}would be {back} {rejected / NAMES[1]}\n"),
        (0, f"{second}{back} {rejected / NAMES[1]}\n"),
        (0, f"{second}forgotten; {outbox / 'b.png'} and its scan stay in place\n"),
        (0, "nothing to retry\n"),
    ] == story.said


def test_what_was_tried_again_is_colored_once_as_the_same_job(story: Story) -> None:
    """And what was forgotten as a new one, beside the earlier result."""
    number = {one["path"]: one["job"] for one in story.rejected}
    (*tried_again, forgotten) = story.delivered

    assert [(number[name], name) for name in NAMES] == tried_again
    assert forgotten[0] > max(number.values())
    assert sorted([*NAMES, forgotten[1]]) == files(story.home.outbox)


def test_no_scan_is_left_behind_or_doubled(story: Story) -> None:
    """The rejected ones are gone, with their reasons; each that was dropped is an original."""
    assert sorted([*NAMES, story.delivered[-1][1]]) == files(story.home.originals)
    assert [] == files(story.home.inbox)
    assert [] == files(story.home.rejected)
