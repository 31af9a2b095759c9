"""Hundreds of hostile files: each ends colored or refused in plain words, and harms nothing.

First the way of a photograph without daemon and generator, file by file; then the real daemon, all
at once, with innocent photographs between them.
"""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import fuzz_readers
from tests.fuzz.fuzz_readers import Outcome
from tests.support import hostile_files, independent_decoders
from tests.support.command import HASTY, Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene
from worker.color import cielab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LIMIT = f"limits: {{megapixels: {fuzz_readers.MEGAPIXELS:g}}}\n"
MOST_READING = 800  # MB that one reading process may ever hold
MOST_RUNNING = 2300  # MB that the daemon may ever hold, TensorFlow and all
PATIENCE = 240  # seconds for all
INNOCENT = ["innocent.tif", "m-innocent.jpg", "z-innocent.png"]  # first, between, and last
HOLDS = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""  # runs a command, and tells in a file how many KB it held at most


@pytest.fixture(scope="module")
def hostiles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make the files, in a folder."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, data in hostile_files.files():
        (folder / name).write_bytes(data)
    yield folder
    shutil.rmtree(folder)  # 0.6 GB


@pytest.fixture(scope="module")
def outcomes(hostiles: Path) -> list[Outcome]:
    """Read each file, and write it in color where it can be read."""
    return list(fuzz_readers.read_all(sorted(hostiles.iterdir())))


def test_there_are_hundreds_of_every_kind(hostiles: Path) -> None:
    """At least 300, and at least 20 of each kind of image."""
    names = files(hostiles)

    assert len(names) >= 300
    for suffix in ("tif", "jpg", "png", "webp", "jp2", "bmp", "pgm", "heic", "jxl"):
        assert len([name for name in names if name.endswith(f".{suffix}")]) >= 20, suffix


def test_each_file_is_colored_or_refused_in_plain_words(outcomes: list[Outcome]) -> None:
    """No other exception, no crash, no reason with a program's words; nothing beside the log."""
    assert [] == [outcome for outcome in outcomes if outcome.fault]


def test_hostile_is_not_the_same_as_useless(outcomes: list[Outcome]) -> None:
    """Most are refused; what only carries garbage beside its pixels is colored all the same."""
    colored = {outcome.name for outcome in outcomes if not outcome.reason}

    assert len(colored) < len(outcomes) / 2
    assert colored >= {
        *("dot.tif", "dot.png", "dot.jpg", "dot.pbm", "wide.tif", "wide.png", "wide.pgm"),
        *("segments.jpg", "comments.jpg", "profile-noise.jpg", "exif-noise.jpg", "exif-loop.jpg"),
        *(
            "iptc-noise.jpg",
            "xmp-laughs.jpg",
            "xmp-outside.jpg",
            "xmp-laughs.png",
            "xmp-laughs.tif",
        ),
        *("profile-inflates.png", "text-inflates.png", "texts-inflate.png", "raw-profile.png"),
        *("exif-self.tif", "gps-beyond.tif", "profile-50mb.tif", "exif-noise.webp"),
    }


def test_none_takes_longer_than_ten_seconds(outcomes: list[Outcome]) -> None:
    """From opening to the last byte written."""
    assert [] == [outcome for outcome in outcomes if outcome.seconds > 10]


def test_none_fills_the_memory(outcomes: list[Outcome]) -> None:
    """The process that read them all one after the other stayed small."""
    assert max(outcome.peak for outcome in outcomes) < MOST_READING


@dataclass
class Done:
    """What was dropped, and the run that is over."""

    home: Home
    dropped: list[str]
    command: Command
    code: int
    peak: int  # MB


@pytest.fixture(scope="module")
def done(hostiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """Color all of it with the real command, in one run."""
    home = Home(tmp_path_factory.mktemp("daemon"), HASTY + LIMIT)
    for path in hostiles.iterdir():
        (home.inbox / path.name).hardlink_to(path)
    for name in INNOCENT:
        home.drop(name, gray_scene(48, 64))
    dropped = files(home.inbox)
    peak = home.folder / "peak"
    with home.start("run", "--once", prefix=(sys.executable, "-c", HOLDS, str(peak))) as command:
        code = command.process.wait(PATIENCE)
        yield Done(home, dropped, command, code, int(peak.read_text()) // 1024)
    shutil.rmtree(home.folder)


def test_the_run_ends_by_itself_and_says_that_some_were_rejected(done: Done) -> None:
    """3, as the help of the command says; and its log is JSON to the last line."""
    assert 3 == done.code
    assert 1 == len(done.command.events("daemon.stopped"))


def test_each_photograph_came_to_one_end(done: Done) -> None:
    """In the outbox or among the rejected, never both; the inbox is empty."""
    delivered = {entry["path"] for entry in done.command.events("photo.delivered")}
    rejected = {entry["path"] for entry in done.command.events("photo.rejected")}

    assert [] == files(done.home.inbox)
    assert sorted(done.dropped) == sorted(delivered | rejected)
    assert set() == delivered & rejected
    assert len(delivered) == len(files(done.home.outbox))
    assert 2 * len(rejected) == len(files(done.home.rejected))


def test_each_rejected_file_has_a_reason_for_people(done: Done) -> None:
    """Beside it, in plain words."""
    reasons = {path: path.read_text() for path in done.home.rejected.glob("*.reason.txt")}

    assert len(reasons) > 200
    assert [] == [path for path, text in reasons.items() if not fuzz_readers.is_plain(text.strip())]


def test_what_is_delivered_can_be_opened_by_others(done: Done) -> None:
    """Every page of it, whole."""
    outbox = [done.home.outbox / name for name in files(done.home.outbox)]
    pages = [page for path in outbox for page in independent_decoders.pages(path)]

    assert len(pages) >= len(outbox) > 50
    assert all(page.size for page in pages)


@pytest.mark.parametrize("name", INNOCENT)
def test_the_innocent_among_them_are_colored(done: Done, name: str) -> None:
    """Whatever came before."""
    (rgb,) = independent_decoders.pages(done.home.outbox / name)

    assert (48, 64, 3) == rgb.shape
    assert np.abs(cielab.lab_of_rgb(rgb)[..., 1:]).max() > 2


def test_no_file_was_tried_twice(done: Done) -> None:
    """None crashed the daemon, or met a fault that nobody foresaw."""
    with sqlite3.connect(done.home.folder / "state/ledger.sqlite3") as ledger:
        (most,) = ledger.execute("SELECT max(attempts) FROM jobs").fetchone()
    ledger.close()

    assert 1 == most
    assert [] == done.command.events("photo.failed")
    assert [] == done.command.events("photo.waits")


def test_the_daemon_stayed_small(done: Done) -> None:
    """Less than 2.3 GB at its highest, TensorFlow and all."""
    assert done.peak < MOST_RUNNING
