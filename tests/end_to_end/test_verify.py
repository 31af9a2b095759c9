"""`photochrom verify` and `photochrom bag` on what the real command colored.

The tests look at one story: four photos are colored, two of them, a sidecar and an original come
to harm, and what can be mended is.
"""

import json
from dataclasses import dataclass
from typing import Any

import bagit
import pytest

from tests.support.command import Home
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

NAMES = ["album/a.png", "album/b.png", "c.tif", "d.jpg"]


@dataclass
class Story:
    """What was said, and what was there."""

    home: Home
    verified: list[tuple[int, dict[str, Any]]]  # before the harm, after it, after the repair
    packed: tuple[int, str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Color four photos; alter a result, a sidecar and an original, lose a result; repair; pack."""
    home = Home(tmp_path_factory.mktemp("verify"))
    for n, name in enumerate(NAMES):
        home.drop(name, gray_scene(64, 80, seed=n))
    assert 0 == run(home, "run", "--once")[0]
    verified = [verify(home)]
    sidecar = home.outbox / "d.jpg.json"
    for path in (home.outbox / "album/a.png", home.originals / "c.tif", sidecar):
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    (home.outbox / "album/b.png").unlink()
    verified.append(verify(home, "--repair"))
    assert 0 == run(home, "run", "--once")[0]
    verified.append(verify(home))
    packed = run(home, "bag", "bag", "--subfolder", "album")
    return Story(home, verified, packed)


def run(home: Home, *arguments: str) -> tuple[int, str]:
    """Run a command to its end; return its exit code and what it printed."""
    with home.start(*arguments) as command:
        code = command.exit_code()
    return code, command.printed


def verify(home: Home, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Verify, and return the exit code and the findings."""
    code, printed = run(home, "verify", "--json", *arguments)
    return code, json.loads(printed)


def found(verified: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the findings in short."""
    return [(one["kind"], one["fault"], one["path"]) for one in verified["findings"]]


def test_what_was_just_delivered_is_well(story: Story) -> None:
    """Each digest is known; nothing is orphaned."""
    code, verified = story.verified[0]

    assert (0, 4, 0, []) == (code, *map(verified.get, ("checked", "without_digest", "findings")))


def test_each_harm_is_found(story: Story) -> None:
    """And what has a sound original is queued."""
    code, verified = story.verified[1]

    assert 1 == code
    assert [
        ("original", "altered", "c.tif"),
        ("output", "altered", "album/a.png"),
        ("output", "missing", "album/b.png"),
        ("sidecar", "altered", "d.jpg.json"),
    ] == sorted(found(verified))
    assert 3 == verified["queued"]


def test_what_was_repaired_is_well_again(story: Story) -> None:
    """The altered original is still told: nobody can make it again."""
    code, verified = story.verified[2]

    assert (1, [("original", "altered", "c.tif")]) == (code, found(verified))


def test_the_repaired_photos_are_packed(story: Story) -> None:
    """Into a bag that validates."""
    code, printed = story.packed
    payload = bagit.Bag(str(story.home.folder / "bag"))

    assert 0 == code
    assert f"{story.home.folder / 'bag'}: 2 photographs" == printed.splitlines()[0]
    assert payload.validate()
    assert {"data/album/a.png", "data/album/b.png"} <= set(payload.entries)
