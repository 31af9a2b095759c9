"""`photochrom run` as a daemon: how files arrive, what disturbs it, and that it goes on.

One process serves all tests, in their order.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import encoded, gray_scene
from worker import scan
from worker.settings import ReadSettings

pytestmark = pytest.mark.slow

# A disk of 16 KB is mounted in the outbox, which only this daemon sees.
SMALL_DISK = 'mount -t tmpfs -o size=16k small outbox/small && exec "$@"'
IN_ITS_OWN_MOUNTS = ("unshare", "--mount", "sh", "-c", SMALL_DISK, "sh")


def can_mount(folder: Path) -> bool:
    """Tell whether disks can be mounted for one process alone."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("nsenter"):
        return False
    (folder / "outbox/small").mkdir(parents=True)
    return 0 == subprocess.run([*IN_ITS_OWN_MOUNTS, "true"], cwd=folder, check=False).returncode


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Make the folders."""
    return Home(tmp_path_factory.mktemp("daemon"))


@pytest.fixture(scope="module")
def daemon(home: Home) -> Iterator[Command]:
    """Start the daemon and wait until it watches."""
    prefix = IN_ITS_OWN_MOUNTS if can_mount(home.folder) else ()
    with home.start("run", prefix=prefix) as command:
        command.wait_for("daemon.started")
        yield command


def status(home: Home) -> dict[str, Any]:
    """Ask for the status."""
    with home.start("status", "--json") as command:
        assert 0 == command.exit_code()
        answer: dict[str, Any] = json.loads(command.printed)
        return answer


def test_a_file_that_is_written_slowly_is_not_taken_half_written(
    home: Home, daemon: Command
) -> None:
    """As long as its writer holds it open, however long that pauses."""
    whole = encoded("PNG", gray_scene(300, 200))
    with (home.inbox / "slow.png").open("wb") as writer:
        writer.write(whole[: len(whole) // 2])
        writer.flush()
        home.drop("meanwhile.png", gray_scene(64, 80, seed=1))
        daemon.wait_for("photo.delivered", path="meanwhile.png")  # the settle time is over by now

        assert [] == daemon.events(path="slow.png")

        writer.write(whole[len(whole) // 2 :])
    daemon.wait_for("photo.moved", path="slow.png")

    assert (300, 200, 3) == scan.read_color(home.outbox / "slow.png", ReadSettings()).shape
    assert whole == (home.originals / "slow.png").read_bytes()
    assert 1 == len(daemon.events("photo.queued", path="slow.png"))


def test_a_file_with_the_name_of_an_unfinished_one_is_not_taken_before_it_is_renamed(
    home: Home, daemon: Command
) -> None:
    """As browsers and copying programs do."""
    part = home.inbox / "page.jpg.part"
    part.write_bytes(encoded("JPEG", gray_scene(64, 80, seed=2)))
    home.drop("control.png", gray_scene(64, 80, seed=3))
    daemon.wait_for("photo.delivered", path="control.png")

    assert part.exists()

    part.rename(home.inbox / "page.jpg")
    daemon.wait_for("photo.moved", path="page.jpg")

    assert ["page.jpg"] == [name for name in files(home.outbox) if name.startswith("page")]


def test_a_folder_that_is_moved_in_is_mirrored(home: Home, daemon: Command) -> None:
    """With all its sub-folders, though only its own arrival is announced."""
    names = ["1931/a.png", "1931/may/b.png", "1931/may/17/c.png"]
    outside = Home(home.folder / "outside")
    for n, name in enumerate(names):
        outside.drop(name, gray_scene(64, 80, seed=10 + n))
    (outside.inbox / "1931").rename(home.inbox / "1931")
    for name in names:
        daemon.wait_for("photo.moved", path=name)

    assert set(names) <= set(files(home.outbox))
    assert set(names) <= set(files(home.originals))


def test_a_second_daemon_is_refused(home: Home, daemon: Command) -> None:
    """In one plain sentence with the owner's number, and the first one does not notice."""
    with home.start("run") as second:
        assert 1 == second.exit_code()

    assert 1 == len(second.said.splitlines())
    assert f"is in use by process {daemon.process.pid} on " in second.said
    assert "stop it first" in second.said
    assert daemon.process.poll() is None


def test_the_status_can_be_asked_meanwhile(home: Home, daemon: Command) -> None:
    """It names the daemon and counts its work."""
    home.drop("asked.png", gray_scene(64, 80, seed=20))
    daemon.wait_for("photo.moved", path="asked.png")
    answer = status(home)

    assert f"process {daemon.process.pid} on " in answer["running"]
    assert len(daemon.events("photo.delivered")) == answer["jobs"]["finished"]
    assert "builtin" == answer["model"]["serving"]


def test_a_photo_whose_place_is_taken_is_rejected_and_can_be_tried_again(
    home: Home, daemon: Command
) -> None:
    """Told where and why, it holds up nothing; with the place cleared, `retry` delivers it."""
    obstacle = home.outbox / "blocked"
    obstacle.write_text("a file where a folder should be")
    home.drop("blocked/a.png", gray_scene(64, 80, seed=30))
    daemon.wait_for("photo.moved", path="blocked/a.png")

    assert ["blocked/a.png", "blocked/a.png.reason.txt"] == files(home.rejected)
    reason = status(home)["rejected"][0]["reason"]
    assert "there is no place for its result: a symlink or a file is in the place of" in reason
    assert f"({obstacle})" in reason
    assert reason in (home.rejected / "blocked/a.png.reason.txt").read_text()

    obstacle.unlink()
    with home.start("retry", "--rejected") as retry:
        assert 0 == retry.exit_code()
    daemon.wait_for("photo.moved", times=2, path="blocked/a.png")

    assert "blocked/a.png" in files(home.outbox)
    assert [] == files(home.rejected)


def test_a_full_disk_heals_by_itself(home: Home, daemon: Command) -> None:
    """Nothing unfinished is left on it, and when there is room again the photo is delivered."""
    seen = Path(f"/proc/{daemon.process.pid}/root") / home.outbox.relative_to("/") / "small"
    if not os.path.ismount(seen):
        pytest.skip("only root can mount a small disk")
    home.drop("small/large.png", gray_scene(200, 300))
    daemon.wait_for("photo.waits", times=2, path="small/large.png")

    waits = daemon.events("photo.waits", path="small/large.png")
    assert "No space left" in waits[0]["reason"]
    assert pytest.approx([0.2, 0.4], abs=0.01) == [entry["seconds"] for entry in waits[:2]]
    assert "small/large.png" in files(home.inbox)
    assert "small/large.png" not in files(seen)

    enter = ["nsenter", "--mount", "--target", str(daemon.process.pid)]
    remount = ["mount", "-o", "remount,size=8m", "small", str(home.outbox / "small")]
    subprocess.run([*enter, *remount], check=True)
    daemon.wait_for("photo.moved", path="small/large.png")

    assert ["large.png"] == files(seen)


def test_it_stops_when_asked_to(home: Home, daemon: Command) -> None:
    """With exit code 0, everything told in JSON, and the lock free; keep this test the last."""
    daemon.signal(signal.SIGTERM)

    assert 0 == daemon.exit_code()
    assert daemon.events("daemon.stopped")[0]["everything_done"]
    assert status(home)["running"] is None
    photos = [entry for entry in daemon.events() if entry["event"].startswith("photo.")]
    assert all({"job", "path"} <= entry.keys() for entry in photos)
    assert "" == daemon.printed
