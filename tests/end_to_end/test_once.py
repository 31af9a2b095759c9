"""`photochrom run --once` on everything an archive may throw at it, good and bad."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import HASTY, Command, Home, can_be_ordinary, ordinary_prefix
from tests.support.folder_listing import files
from tests.support.ray_cluster import RayCluster
from tests.support.synthetic_photos import (
    as_rgb,
    color_scene,
    encoded,
    exif_block,
    gray_scene,
    png_bomb,
    save,
    sepia,
    turned,
)
from worker import scan
from worker.color import cielab
from worker.settings import ReadSettings

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 96, 128
GOOD = [
    "album/gray.jpg",
    "album/gray.png",
    "album/gray8.tif",
    "album/gray16.tiff",
    "album/deep/Gray.WEBP",
    "album/rgb.png",
    "album/sepia.jpg",
    "turned.jpg",
    "caf\udce9 \N{HORIZONTAL ELLIPSIS}.png",  # a name that is not UTF-8
]
BAD = {
    "bad/empty.jpg": "the file is empty",
    "bad/truncated.jpg": "damaged or cut short",
    "bad/truncated.tif": "cut short",
    "bad/wrong.png": "the name says PNG but the content is JPEG",
    "bad/text.jpg": "not an image",
    "bad/bomb.png": "megapixels",
    "bad/colored.jpg": "in color already",
    "bad/forbidden.png": "may not be read",
}


@dataclass
class Done:
    """What was dropped, and the run that is over."""

    home: Home
    dropped: dict[str, bytes]
    command: Command
    code: int


def drop_all(home: Home) -> None:
    """Fill the inbox."""
    gray, deep = gray_scene(HEIGHT, WIDTH), gray_scene(HEIGHT, WIDTH, 16)
    for name in ("album/gray.jpg", "album/gray.png", "album/gray8.tif", GOOD[-1]):
        home.drop(name, gray)
    home.drop("album/gray16.tiff", deep)
    (home.inbox / "album/deep").mkdir()
    (home.inbox / "album/deep/Gray.WEBP").write_bytes(encoded("WEBP", as_rgb(gray), lossless=True))
    home.drop("album/rgb.png", as_rgb(gray))
    home.drop("album/sepia.jpg", sepia(gray), quality=95)
    home.drop("turned.jpg", turned(gray, 6), exif=exif_block(6))
    for name in BAD:
        home.drop(name, gray)
    bad = home.inbox / "bad"
    (bad / "empty.jpg").write_bytes(b"")
    (bad / "truncated.jpg").write_bytes(encoded("JPEG", gray)[:-600])
    (bad / "truncated.tif").write_bytes((bad / "truncated.tif").read_bytes()[:-600])
    (bad / "wrong.png").write_bytes(encoded("JPEG", gray))
    (bad / "text.jpg").write_text("Dear archivist,\n")
    (bad / "bomb.png").write_bytes(png_bomb(60_000, 60_000))
    (bad / "colored.jpg").write_bytes(encoded("JPEG", color_scene(HEIGHT, WIDTH)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Start a Ray cluster of one machine with room for two workers."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with RayCluster(cpus=4) as started:
        yield started


@pytest.fixture(scope="module", params=["local", "ray"])
def done(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Done]:
    """Run once on all of it with each engine; two names are taken where the originals go."""
    config = HASTY
    if request.param == "ray":
        config += f"engine: {{kind: ray, address: {request.getfixturevalue('cluster').address}}}\n"
    home = Home(tmp_path_factory.mktemp("once"), config)
    drop_all(home)
    dropped = {name: (home.inbox / name).read_bytes() for name in files(home.inbox)}
    (home.inbox / "bad/forbidden.png").chmod(0)
    (home.inbox / "notes.txt").write_text("left alone")
    for name in ("rejected/bad/text.jpg", "originals/album/gray.png"):
        taken = home.folder / name
        taken.parent.mkdir(parents=True)
        taken.write_text("was here before")
    with home.start("run", "--once", prefix=ordinary_prefix()) as command:
        code = command.exit_code()
        yield Done(home, dropped, command, code)


def test_some_were_rejected_and_the_exit_code_says_so(done: Done) -> None:
    """3, as the help of the command says."""
    assert 3 == done.code
    assert [len(GOOD)] == [entry["finished"] for entry in done.command.events("daemon.stopped")]


def test_every_good_photo_comes_back_in_color_under_its_name(done: Done) -> None:
    """In the same sub-folder, and nothing else is in the outbox."""
    expected = [name for name in GOOD if name != GOOD[-1]]

    assert sorted(GOOD) == files(done.home.outbox)
    for name in expected:
        rgb = scan.read_color(done.home.outbox / name, ReadSettings())
        chroma = np.abs(cielab.lab_of_rgb(rgb)[..., 1:]).max()
        assert (HEIGHT, WIDTH, 3) == rgb.shape, name  # upright, whatever way the camera was held
        assert chroma > 2, name


@pytest.mark.parametrize("name", ["album/gray.png", "album/gray8.tif", "album/rgb.png"])
def test_the_scans_own_lightness_stays(done: Done, name: str) -> None:
    """CIE L* differs by less than 1.0 at every pixel."""
    before = cielab.lab_of_rgb(as_rgb(gray_scene(HEIGHT, WIDTH)))[..., 0]
    after = cielab.lab_of_rgb(scan.read_color(done.home.outbox / name, ReadSettings()))[..., 0]

    assert np.abs(after - before).max() < 1.0


def test_the_originals_are_moved_byte_for_byte(done: Done) -> None:
    """Every good one; a name that was taken there is not overwritten."""
    moved = {name: name for name in GOOD} | {"album/gray.png": "album/gray (2).png"}
    for name, where in moved.items():
        assert done.dropped[name] == (done.home.originals / where).read_bytes()
    assert "was here before" == (done.home.originals / "album/gray.png").read_text()
    assert len(GOOD) + 1 == len(files(done.home.originals))


def test_the_inbox_is_empty_but_for_what_is_no_photo(done: Done) -> None:
    """Nothing that was dropped is left or lost."""
    assert ["notes.txt"] == files(done.home.inbox)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_rejected_with_its_reason(done: Done, name: str) -> None:
    """Untouched, in the same sub-folder, with a note in plain words."""
    if name == "bad/forbidden.png" and not can_be_ordinary():
        pytest.skip("permissions do not bind root, and setpriv is not there")
    where = done.home.rejected / name.replace("text.jpg", "text (2).jpg")
    reason = where.with_name(where.name + ".reason.txt").read_text()

    assert BAD[name] in reason
    assert reason.endswith("\n")
    assert "Error" not in reason
    where.chmod(0o600)
    assert done.dropped[name] == where.read_bytes()


def test_nothing_in_the_rejected_folder_is_overwritten(done: Done) -> None:
    """What was there before stays as it was."""
    assert "was here before" == (done.home.rejected / "bad/text.jpg").read_text()
    assert 2 * len(BAD) + 1 == len(files(done.home.rejected))


def test_each_line_of_the_log_is_json_and_tells_whose_it_is(done: Done) -> None:
    """Every event of a photo carries its job and path; a rejection its reason."""
    entries = done.command.events()
    photos = [entry for entry in entries if entry["event"].startswith("photo.")]
    rejected = done.command.events("photo.rejected")

    assert all({"event", "level", "timestamp"} <= entry.keys() for entry in entries)
    assert all({"job", "path"} <= entry.keys() for entry in photos)
    assert sorted(BAD) == sorted(entry["path"] for entry in rejected)
    assert all(BAD[entry["path"]] in entry["reason"] for entry in rejected)
    assert "" == done.command.printed


def test_the_status_tells_it_afterwards(done: Done) -> None:
    """Without a daemon, from the ledger."""
    with done.home.start("status") as command:
        assert 0 == command.exit_code()
        said = " ".join(command.printed.split())

    assert "photochrom is not running" in said
    assert f"finished {len(GOOD)}" in said
    assert f"rejected {len(BAD)}" in said
    assert "notes.txt" in said


def test_colorize_colors_given_files_and_moves_nothing(done: Done, tmp_path: Path) -> None:
    """What cannot be colored is named, and the exit code is 3."""
    good = save(tmp_path / "a.png", gray_scene(HEIGHT, WIDTH))
    bad = save(tmp_path / "b.png", color_scene(HEIGHT, WIDTH))
    config = str(done.home.folder / "config.yaml")
    with Command(
        tmp_path, ["colorize", str(good), str(bad), "--out", "out", "-c", config]
    ) as command:
        assert 3 == command.exit_code()
        assert [str(bad)] == [entry["path"] for entry in command.events("photo.refused")]

    assert ["a.png"] == files(tmp_path / "out")
    assert good.exists()
    assert bad.exists()
    assert (HEIGHT, WIDTH, 3) == scan.read_color(tmp_path / "out/a.png", ReadSettings()).shape
