"""What an archivist does in the inbox and on the command line, with the real command.

The tests look at one story: gray prints with a red patch, one of them with XMP beside it; a folder
whose settings have a mistake, which is mended under a running daemon; and another try.
"""

import json
import signal
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.support.command import HASTY, Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import Array, as_rgb, gray_scene

pytestmark = pytest.mark.slow

WITH_FAKE = (sys.executable, "-m", "tests.support.fake_device_command")
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Source="Fonds 12, Box 7"/>
</rdf:RDF></x:xmpmeta>"""
COLORED = "settings/colored.tif"


@dataclass
class Story:
    """What was said, and what lay where."""

    home: Home
    reason: str
    codes: list[int]
    status: dict[str, Any]
    problems: str
    said: str
    log: Command


def patched(seed: int) -> Array:
    """Paint a gray print with a red patch, too large for a stain."""
    pixels = as_rgb(gray_scene(64, 80, seed=seed) // 2 + 60)
    pixels[:16, :30] = (190, 30, 40)
    return np.ascontiguousarray(pixels)


def start(home: Home, *arguments: str) -> Command:
    """Start a command with a fake device."""
    return home.start(*arguments, program=WITH_FAKE)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Reject one; have one wait for its folder's settings, and mend them; try the first again."""
    home = Home(tmp_path_factory.mktemp("archivist"), HASTY)
    settings = home.inbox / "settings/photochrom.yaml"
    settings.parent.mkdir()
    settings.write_text("even_if_colord: true\n")
    home.drop("album/a.tif", patched(1))
    (home.inbox / "album/a.xmp").write_text(XMP)
    home.drop(COLORED, patched(2))
    with start(home, "run", "--once") as once:
        codes = [once.exit_code()]
    with start(home, "status", "--json") as command:
        codes.append(command.exit_code())
    status = json.loads(command.printed)
    problems = settings.with_name("photochrom.yaml.problems.txt").read_text()
    with start(home, "run") as daemon:
        daemon.wait_for("folder_settings.refused")
        settings.write_text("even_if_colored: true\n")
        daemon.wait_for("photo.delivered", path=COLORED)
        with start(home, "retry", "1", "--even-if-colored") as again:
            codes.append(again.exit_code())
        daemon.wait_for("photo.xmp_moved")
        daemon.signal(signal.SIGTERM)
        codes.append(daemon.exit_code())
    reason = status["rejected"][0]["reason"]
    return Story(home, reason, codes, status, problems, again.printed, daemon)


def test_the_reason_says_the_way_out(story: Story) -> None:
    """And that way leads out."""
    assert "with `photochrom retry 1 --even-if-colored`" in story.reason
    assert "moved back to the inbox" in story.said
    assert [75, 0, 0, 0] == story.codes


def test_a_mistake_is_told_where_it_is_seen(story: Story) -> None:
    """In `status` and beside the file; the scan waits meanwhile."""
    mistake = "line 1: even_if_colord: unknown key; did you mean even_if_colored?"

    assert [
        {"file": "settings/photochrom.yaml", "problems": [mistake], "scans": 1}
    ] == story.status["folder_settings"]
    assert mistake in story.problems
    assert [] == story.status["left_alone"]
    assert 1 == len(story.status["rejected"])


def test_all_is_colored_and_where_it_should_be(story: Story) -> None:
    """The settings stay; the text of mistakes is gone; the XMP is beside its scan."""
    assert ["settings/photochrom.yaml"] == files(story.home.inbox)
    assert ["album/a.tif", COLORED] == files(story.home.outbox)
    assert ["album/a.tif", "album/a.xmp", COLORED] == files(story.home.originals)
    assert [] == files(story.home.rejected)


def test_what_was_replaced_and_read_is_told(story: Story) -> None:
    """In the log and in the sidecar."""
    sidecar = json.loads((story.home.outbox / "album/a.tif.json").read_text())
    (told,) = story.log.events("photo.color_replaced", path="album/a.tif")
    (region,) = told["regions"]

    assert [region] == sidecar["pages"][0]["replaced_color"]
    assert region["x"] == region["y"] == 0
    assert abs(region["width"] - 30) <= 3
    assert sidecar["settings"]["even_if_colored"]
    assert ["album/a.xmp"] == [one["path"] for one in sidecar["xmp_files"]]
    assert b"Fonds 12, Box 7" in (story.home.outbox / "album/a.tif").read_bytes()
